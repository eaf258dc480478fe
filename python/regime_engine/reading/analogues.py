"""The past windows most like a given one: what they were called, and what came after them."""

from datetime import date

from psycopg import sql

from regime_engine import seeds
from regime_engine.database import Database, Rows
from regime_engine.errors import RegimeError
from regime_engine.reading import nearest
from regime_engine.reading.nearest import Window
from regime_engine.reading.rows import IS_SERIES
from regime_engine.series import GLOBAL, Series
from regime_engine.store.embeddings import EMBEDDINGS

# Whose windows are searched: the region's own, those of all regions, those of all instruments.
SCOPES = ("region", "regions", "market")

# With the parameters instrument_id, model_id and window_days.
_OF_INSTRUMENT = sql.SQL("""
    stored.entity_type = 'INSTRUMENT' and stored.entity_id = %(instrument_id)s
    and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
""")


def analogues(
    database: Database,
    series: Series,
    as_of: date | None = None,
    n: int = 10,
    scope: str = "region",
) -> Rows:
    """The n nearest earlier windows, nearest first; fewer where there are no more.

    Each ends before the asked window begins, and shares no day with a nearer one of its instrument.
    The returns of the next 21 and 63 trading days are null where not known as of the asked date.
    as_of: default the last embedded date; scope: one of SCOPES

    raises RegimeError where the region is unknown or a vote, or has no embedding as of the date
    """
    if n < 1:
        raise RegimeError(f"-n {n}: ask for at least one analogue")
    asked = _asked(database, series, as_of)
    instrument_ids = {
        "region": lambda: [asked.instrument_id],
        "regions": lambda: sorted(
            {region.instrument_id for region in seeds.regions(database).values()}
            | {asked.instrument_id}
        ),
        "market": lambda: None,
    }[scope]()
    found = nearest.search(database, series, asked, instrument_ids, n)
    return _told(database, series, asked, found)


def _asked(database: Database, series: Series, as_of: date | None) -> Window:
    """The window of the region's instrument as of the date."""
    instrument_id = _instrument_of(database, series, as_of)
    parameters = vars(series) | {"instrument_id": instrument_id, "as_of": as_of}
    table = EMBEDDINGS.identifier(database)
    first, last = database.execute(
        sql.SQL("""
            select
                (select min(as_of_date) from {table} as stored where {of_instrument}),
                (
                    select max(as_of_date)
                    from {table} as stored
                    where {of_instrument} and as_of_date <= coalesce(%(as_of)s::date, 'infinity')
                )
        """).format(table=table, of_instrument=_OF_INSTRUMENT),
        parameters,
    ).fetchone()
    if first is None:
        raise RegimeError(
            f"no embeddings of {instrument_id} by {series.model_id} with windows of "
            f"{series.window_days} days: write them with `regime backfill --region {series.region}`"
        )
    if last is None:
        raise RegimeError(
            f"the embeddings of {instrument_id} begin on {first}: ask for an --as-of from then on"
        )
    if as_of and as_of != last:
        raise RegimeError(
            f"{instrument_id} has no embedding as of {as_of}: the last one before it is as of "
            f"{last}; ask for --as-of {last}, or embed the date with `regime embed --as-of`"
        )
    (found,) = nearest.fetch(database, series, [instrument_id], [last])
    return found


def _instrument_of(database: Database, series: Series, as_of: date | None) -> str:
    """The instrument whose windows the region was classified by on the date, else that of
    regions.csv: of its last regime up to then, or of the last at all where that is later."""
    classified = database.execute(
        sql.SQL("""
            select instrument_id
            from {}
            where {}
            order by as_of_date <= coalesce(%(as_of)s::date, 'infinity') desc, as_of_date desc
            limit 1
        """).format(database.table("regimes"), IS_SERIES),
        vars(series) | {"as_of": as_of},
    ).fetchone()
    return (
        classified[0]
        if classified and series.region != GLOBAL
        else seeds.instrument_of(database, series.region)
    )


def _told(
    database: Database,
    series: Series,
    asked: Window,
    nearest: list[tuple[Window, float]],
) -> Rows:
    """The windows with their labels, and their returns as far as known on the asked date."""
    features = database.table("daily_features")
    return database.rows(
        sql.SQL("""
            with nearest as (
                select *
                from unnest(
                    %(instrument_ids)s::text[], %(as_of_dates)s::date[],
                    %(first_trade_dates)s::date[], %(last_trade_dates)s::date[],
                    %(distances)s::double precision[]
                ) with ordinality as nearest (
                    instrument_id, as_of_date, first_trade_date, last_trade_date, distance, rank
                )
            )

            select
                regime.region, nearest.instrument_id, nearest.as_of_date, nearest.distance,
                regime.regime_label, regime.confidence,
                later_21.adjusted_close / today.adjusted_close - 1 as next_21_days_return,
                later_63.adjusted_close / today.adjusted_close - 1 as next_63_days_return,
                nearest.first_trade_date, nearest.last_trade_date
            from nearest
            left join lateral (
                select regimes.*
                from {regimes} as regimes
                where
                    regimes.instrument_id = nearest.instrument_id
                    and regimes.as_of_date = nearest.as_of_date
                    and regimes.model_id = %(model_id)s
                    and regimes.window_days = %(window_days)s
                order by regimes.region <> %(region)s, regimes.region
                limit 1
            ) as regime on true
            left join {features} as today
                on
                    today.instrument_id = nearest.instrument_id
                    and today.trade_date = nearest.last_trade_date
            left join lateral ({later_21}) as later_21 on true
            left join lateral ({later_63}) as later_63 on true
            order by nearest.rank
        """).format(
            regimes=database.table("regimes"),
            features=features,
            later_21=_later(features, 21),
            later_63=_later(features, 63),
        ),
        vars(series)
        | {
            "known_until": asked.as_of_date,
            "instrument_ids": [window.instrument_id for window, _ in nearest],
            "as_of_dates": [window.as_of_date for window, _ in nearest],
            "first_trade_dates": [window.first_trade_date for window, _ in nearest],
            "last_trade_dates": [window.last_trade_date for window, _ in nearest],
            "distances": [distance for _, distance in nearest],
        },
    )


def _later(features: sql.Identifier, days: int) -> sql.Composed:
    """The features so many trading days after the window, if they were known."""
    return sql.SQL("""
        select later.adjusted_close
        from {features} as later
        where
            later.instrument_id = nearest.instrument_id
            and later.trade_date > nearest.last_trade_date
            and later.trade_date <= %(known_until)s
        order by later.trade_date
        offset {before}
        limit 1
    """).format(features=features, before=sql.Literal(days - 1))
