"""The past windows most like a given one: their labels, and what came after them."""

from dataclasses import dataclass, fields
from datetime import date

from regime_engine import seeds
from regime_engine.database import Database, Rows
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError
from regime_engine.reading import nearest
from regime_engine.reading.nearest import Window
from regime_engine.reading.rows import IS_SERIES, require_region
from regime_engine.series import GLOBAL, Series


@dataclass(frozen=True)
class Analogue:
    """A past window. distance: of its embedding to that of the asked one

    region, regime_label, confidence: of its regime, None if it has none
    next_21_days_return, next_63_days_return: of the trading days after it, None if the days were
        not over on the asked date
    """

    region: str | None
    instrument_id: str
    as_of_date: date
    distance: float
    regime_label: str | None
    confidence: float | None
    next_21_days_return: float | None
    next_63_days_return: float | None
    first_trade_date: date
    last_trade_date: date


def analogues(
    database: Database,
    series: Series,
    as_of: date | None = None,
    n: int = 10,
    scope: str = "region",
) -> Rows[Analogue]:
    """The n nearest earlier windows, nearest first; fewer if there are no more.

    Each ends before the asked window begins, and shares no day with a nearer one of its instrument.
    as_of: by default the last embedded date
    scope: whose windows are searched: "region", "regions" (all of them) or "market" (every
        instrument)

    raises RegimeError if the region is unknown or a vote, or has no embedding as of the date
    """
    if n < 1:
        raise RegimeError(f"-n {n}: ask for at least one analogue")
    asked = _asked(database, series, as_of)
    found = nearest.search(
        database, series, asked=asked, instrument_ids=_searched(database, asked, scope), n=n
    )
    each = [
        vars(series) | vars(neighbour.window) | {"known_until": asked.as_of_date}
        for neighbour in found
    ]
    regimes = database.rows_of_each(statement(__package__, "regime_of_window"), each)
    returns = database.rows_of_each(statement(__package__, "returns_after"), each)
    rows = []
    for neighbour, of_window, [(next_21_days, next_63_days)] in zip(
        found, regimes, returns, strict=True
    ):
        window = neighbour.window
        region, label, confidence = of_window[0] if of_window else (None, None, None)
        rows.append(
            Analogue(
                region=region,
                instrument_id=window.instrument_id,
                as_of_date=window.as_of_date,
                distance=neighbour.distance,
                regime_label=label,
                confidence=confidence,
                next_21_days_return=next_21_days,
                next_63_days_return=next_63_days,
                first_trade_date=window.first_trade_date,
                last_trade_date=window.last_trade_date,
            )
        )
    headers = [field.name for field in fields(Analogue)]
    return Rows(headers, [tuple(vars(row).values()) for row in rows])


def _searched(database: Database, asked: Window, scope: str) -> list[str] | None:
    """The instruments whose windows are searched; None for all."""
    if scope == "market":
        return None
    if scope == "region":
        return [asked.instrument_id]
    of_regions = {region.instrument_id for region in seeds.regions(database).values()}
    return sorted(of_regions | {asked.instrument_id})


def _asked(database: Database, series: Series, as_of: date | None) -> Window:
    """The window of the region's instrument as of the date."""
    instrument_id = _instrument_of(database, series, as_of)
    parameters = vars(series) | {"instrument_id": instrument_id, "as_of": as_of}
    first, last = database.one(
        """
        select
            min(as_of_date),
            max(as_of_date) filter (where as_of_date <= coalesce(%(as_of)s::date, 'infinity'))
        from {numeric_window_embeddings}
        where
            entity_type = 'INSTRUMENT'
            and entity_id = %(instrument_id)s
            and model_id = %(model_id)s
            and window_days = %(window_days)s
        """,
        parameters,
    )
    if first is None:
        raise RegimeError(
            f"no embeddings of {instrument_id} by {series.model_id} with windows of "
            f"{series.window_days} days: `regime backfill --region {series.region}` writes them"
        )
    if last is None:
        raise RegimeError(
            f"the embeddings of {instrument_id} begin on {first}: give an --as-of from then on"
        )
    if as_of and as_of != last:
        raise RegimeError(
            f"{instrument_id} has no embedding as of {as_of}: the last one before it is as of "
            f"{last}; give --as-of {last}, or embed the date with `regime embed --as-of`"
        )
    [window] = nearest.fetch(database, series, instrument_ids=[instrument_id], as_of_dates=[last])
    return window


def _instrument_of(database: Database, series: Series, as_of: date | None) -> str:
    """The instrument of the region's last regime up to the date.

    If all regimes are later, that of the last one; if there is none, that of the region.
    """
    if series.region == GLOBAL:
        return seeds.instrument_of(database, GLOBAL)  # refuses
    classified = database.first(
        """
        select instrument_id
        from {regimes}
        where {is_series}
        order by as_of_date <= coalesce(%(as_of)s::date, 'infinity') desc, as_of_date desc
        limit 1
        """,
        vars(series) | {"as_of": as_of},
        is_series=IS_SERIES,
    )
    if classified is None:
        return require_region(database, series.region)
    return str(classified[0])
