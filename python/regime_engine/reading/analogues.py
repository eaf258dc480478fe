"""The past windows most like a given one: what they were called, and what came after them.

The search is exact, and in two steps. The first reads every window and gives lower bounds of its
distance, in float32; the second takes the windows in the order of the bounds and measures them in
double precision, until no unmeasured one can be nearer than those chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import psycopg
from psycopg import sql

from regime_engine import engine
from regime_engine.config import Settings
from regime_engine.database import binary
from regime_engine.errors import RegimeError
from regime_engine.models import GLOBAL, Series
from regime_engine.reading.rows import IS_SERIES, Rows, fetch
from regime_engine.store.embeddings import EMBEDDINGS

# Whose windows are searched: the region's own, those of all regions, those of all instruments.
SCOPES = ("region", "regions", "market")

# With the parameters instrument_id, model_id and window_days.
_OF_INSTRUMENT = sql.SQL("""
    stored.entity_type = 'instrument' and stored.entity_id = %(instrument_id)s
    and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
""")


@dataclass(frozen=True)
class Window:
    """An embedded window. vector: (dimension,) float32"""

    instrument_id: str
    as_of_date: date
    first_trade_date: date
    last_trade_date: date
    vector: np.ndarray

    def overlaps(self, other: "Window") -> bool:
        return (
            self.instrument_id == other.instrument_id
            and self.first_trade_date <= other.last_trade_date
            and other.first_trade_date <= self.last_trade_date
        )


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of m windows' distances to the one asked about.

    instrument_ids: (m,) object; as_of_dates: (m,) datetime64[D]; distances: (m,) float32
    """

    instrument_ids: np.ndarray
    as_of_dates: np.ndarray
    distances: np.ndarray


def analogues(
    connection: psycopg.Connection,
    settings: Settings,
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
    asked = _asked(connection, settings, series, as_of)
    instrument_ids = {
        "region": lambda: [asked.instrument_id],
        "regions": lambda: sorted(
            {instrument_id for _, instrument_id in engine.regions(connection, settings)}
            | {asked.instrument_id}
        ),
        "market": lambda: _embedded(connection, settings),
    }[scope]()
    bounds = _lower_bounds(connection, settings, series, asked, instrument_ids)
    nearest = _nearest(
        asked, bounds, n, lambda keys: _windows(connection, settings, series, bounds, keys)
    )
    return _told(connection, settings, series, asked, nearest)


def _asked(
    connection: psycopg.Connection, settings: Settings, series: Series, as_of: date | None
) -> Window:
    """The window of the region's instrument as of the date."""
    instrument_id = _instrument_of(connection, settings, series)
    parameters = vars(series) | {"instrument_id": instrument_id, "as_of": as_of}
    table = EMBEDDINGS.identifier(settings)
    first, last = connection.execute(
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
    (found,) = _fetch_windows(connection, settings, series, [instrument_id], [last])
    return found


def _instrument_of(connection: psycopg.Connection, settings: Settings, series: Series) -> str:
    """The instrument whose windows the region was classified by, else that of regions.csv."""
    classified = connection.execute(
        sql.SQL("select instrument_id from {} where {} order by as_of_date desc limit 1").format(
            sql.Identifier(*settings.table("regimes")), IS_SERIES
        ),
        vars(series),
    ).fetchone()
    return (
        classified[0]
        if classified and series.region != GLOBAL
        else engine.instrument_of(connection, settings, series.region, None)
    )


def _embedded(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Every instrument with embeddings: one look into the key's index each."""
    rows = connection.execute(
        sql.SQL("""
            with recursive embedded as (
                select min(entity_id) as entity_id from {table} where entity_type = 'instrument'

                union all

                select (
                    select min(stored.entity_id)
                    from {table} as stored
                    where
                        stored.entity_type = 'instrument'
                        and stored.entity_id > embedded.entity_id
                )
                from embedded
                where embedded.entity_id is not null
            )

            select entity_id from embedded where entity_id is not null
        """).format(table=EMBEDDINGS.identifier(settings))
    )
    return [instrument_id for (instrument_id,) in rows]


def _lower_bounds(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    asked: Window,
    instrument_ids: list[str],
) -> Bounds:
    """Of every window that ends before the asked one begins; one instrument at a time in memory."""
    dimension = len(asked.vector)
    statement = sql.SQL("""
        select wanted.entity_id, entity.as_of_dates, entity.vectors
        from unnest(%(instrument_ids)s::text[]) as wanted (entity_id)
        cross join lateral (
            select
                string_agg(date_send(stored.as_of_date), '') as as_of_dates,
                string_agg(stored.vector, '') as vectors
            from {table} as stored
            where
                stored.entity_type = 'instrument' and stored.entity_id = wanted.entity_id
                and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
                and stored.as_of_date < %(before)s and stored.dimension = %(dimension)s
        ) as entity
        where entity.vectors is not null
    """).format(table=EMBEDDINGS.identifier(settings))
    parameters = vars(series) | {
        "instrument_ids": instrument_ids,
        "before": asked.first_trade_date,
        "dimension": dimension,
    }
    # A sum of so many squares in float32 is off by no more than this part of it.
    rounding = (dimension + 2) * np.finfo(np.float32).eps
    names, dates, distances = [], [], []
    with connection.cursor(binary=True) as cursor:
        for instrument_id, as_of_dates, vectors in cursor.stream(statement, parameters):
            squares = _squares(np.frombuffer(vectors, "<f4").reshape(-1, dimension), asked.vector)
            distances.append(np.sqrt(squares) * np.float32(1 - rounding))
            dates.append(binary.dates(as_of_dates))
            names.append(np.full(len(squares), instrument_id, object))
    if not names:
        return Bounds(np.empty(0, object), np.empty(0, "M8[D]"), np.empty(0, np.float32))
    return Bounds(np.concatenate(names), np.concatenate(dates), np.concatenate(distances))


def _squares(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Squared distances in float32, or the largest float32: (m, d), (d,) → (m,)"""
    with np.errstate(over="ignore"):
        differences = vectors - vector
        squares = np.einsum("ij,ij->i", differences, differences)
    return np.minimum(squares, np.finfo(np.float32).max)


def _nearest(
    asked: Window, bounds: Bounds, n: int, windows: Callable[[np.ndarray], list[Window]]
) -> list[tuple[Window, float]]:
    """The n nearest windows, one window length apart within an instrument, and their distances.

    windows: positions in the bounds → those windows
    """
    order = bounds.distances.argsort(kind="stable")
    measured: list[tuple[float, str, date, Window]] = []
    begin, size = 0, 32 * n
    while True:
        for window in windows(order[begin : begin + size]):
            distance = _distance(window.vector, asked.vector)
            measured.append((distance, window.instrument_id, window.as_of_date, window))
        begin, size = begin + size, 2 * size
        is_complete = begin >= len(order)
        limit = np.inf if is_complete else bounds.distances[order[begin]]
        chosen = _apart(sorted(entry for entry in measured if entry[0] < limit), n)
        if len(chosen) == n or is_complete:
            return chosen


def _distance(vector: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(vector.astype(float) - other.astype(float)))


def _apart(measured: list[tuple[float, str, date, Window]], n: int) -> list[tuple[Window, float]]:
    """The first n that share no day with one before them of the same instrument."""
    chosen: list[tuple[Window, float]] = []
    for distance, *_, window in measured:
        if not any(window.overlaps(nearer) for nearer, _ in chosen):
            chosen.append((window, distance))
            if len(chosen) == n:
                break
    return chosen


def _windows(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    bounds: Bounds,
    positions: np.ndarray,
) -> list[Window]:
    return _fetch_windows(
        connection,
        settings,
        series,
        bounds.instrument_ids[positions].tolist(),
        bounds.as_of_dates[positions].tolist(),
    )


def _fetch_windows(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    instrument_ids: list[str],
    as_of_dates: list[date],
) -> list[Window]:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            sql.SQL("""
                select
                    stored.entity_id,
                    stored.as_of_date,
                    (stored.window_spec ->> 'first_trade_date')::date,
                    (stored.window_spec ->> 'last_trade_date')::date,
                    stored.vector
                from unnest(%(instrument_ids)s::text[], %(as_of_dates)s::date[])
                    as wanted (entity_id, as_of_date)
                inner join {table} as stored
                    on
                        stored.entity_type = 'instrument'
                        and stored.entity_id = wanted.entity_id
                        and stored.as_of_date = wanted.as_of_date
                        and stored.model_id = %(model_id)s
                        and stored.window_days = %(window_days)s
            """).format(table=EMBEDDINGS.identifier(settings)),
            vars(series) | {"instrument_ids": instrument_ids, "as_of_dates": as_of_dates},
        )
        return [Window(*key, np.frombuffer(vector, "<f4")) for *key, vector in rows]


def _told(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    asked: Window,
    nearest: list[tuple[Window, float]],
) -> Rows:
    """The windows with their labels, and their returns as far as known on the asked date."""
    features = sql.Identifier(*settings.table("daily_features"))
    return fetch(
        connection,
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
            regimes=sql.Identifier(*settings.table("regimes")),
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
