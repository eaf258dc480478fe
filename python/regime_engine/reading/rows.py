"""The rows of an answer, and the regimes that a question about a series requires."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from psycopg import errors, sql

from regime_engine import seeds
from regime_engine.database import Database, Parameters, Query, Rows
from regime_engine.database.distinct import distinct
from regime_engine.errors import RegimeError
from regime_engine.series import GLOBAL, MAX_STALENESS_DAYS, Series

# Its parameters are vars(series).
IS_SERIES = sql.SQL(
    "region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s"
)

# As in the macro is_of_trading_day: a regime of a weekend repeats that of the last trading day.
IS_OF_TRADING_DAY = sql.SQL(
    "coalesce(metadata ->> 'last_trade_date' = to_char(as_of_date, 'YYYY-MM-DD'), true)"
)


def fetch_audit(
    database: Database, query: Query, parameters: Parameters = None, /, **slots: sql.Composable
) -> Rows:
    """The rows of a query on the schema audit.

    raises RegimeError if its views or functions are missing or older than this package
    """
    try:
        return database.rows(query, parameters, **slots)
    except (
        errors.InvalidSchemaName,
        errors.UndefinedTable,
        errors.UndefinedColumn,
        errors.UndefinedFunction,
    ) as error:
        raise RegimeError(
            f"{error.diag.message_primary}: the audit views are missing or older than this "
            "package; `regime pipeline` builds them, unless your dbt project leaves them out"
        ) from error


@contextmanager
def as_written(series: Series) -> Iterator[None]:
    """Around code that reads the JSON documents and the bytes of stored regimes.

    raises RegimeError if a row holds something that the engine does not write
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RegimeError(
            f"a regime of region {series.region} is not as the engine wrote it: `regime audit` "
            f"names the row, and `regime backfill --region {series.region}` puts it back"
        ) from error


def last_regime_day(database: Database, series: Series, as_of: date | None = None) -> date:
    """The day of the series' last regime up to as_of. as_of: by default its last one of all

    raises RegimeError if there is none, or if it is more than a week older than as_of
    """
    require_regimes(database, series)
    first, last = database.one(
        """
        select
            min(as_of_date),
            max(as_of_date) filter (where as_of_date <= coalesce(%(as_of)s, as_of_date))
        from {regimes}
        where {is_series}
        """,
        vars(series) | {"as_of": as_of},
        is_series=IS_SERIES,
    )
    if last is None:
        raise RegimeError(
            f"the first regime of region {series.region} is of {first}: give a date from then on"
        )
    if as_of and (as_of - last).days > MAX_STALENESS_DAYS:
        raise RegimeError(
            f"the last regime of region {series.region} up to {as_of} is on {last}, "
            f"{(as_of - last).days} days before; at most {MAX_STALENESS_DAYS} are allowed: "
            "`regime history` lists the stored dates, and `regime backfill` writes more"
        )
    return last


def embedded_instruments(database: Database) -> list[str]:
    """Every instrument that has an embedding, by id."""
    is_instrument = sql.SQL("entity_type = 'INSTRUMENT'")
    rows = database.execute(
        distinct(database, "numeric_window_embeddings", "entity_id", is_instrument)
    )
    return sorted(instrument_id for (instrument_id,) in rows)


def require_regimes(database: Database, series: Series) -> None:
    """raises RegimeError if the series has no regime at all"""
    (exists,) = database.one(
        "select exists (select 1 from {regimes} where {is_series})",
        vars(series),
        is_series=IS_SERIES,
    )
    if not exists:
        _require_prices(database, series.region, require_region(database, series.region))
        of_series = f"--model-id {series.model_id} --window-days {series.window_days}"
        command = "global" if series.region == GLOBAL else f"backfill --region {series.region}"
        raise RegimeError(
            f"no regimes of region {series.region} by {series.model_id} with windows of "
            f"{series.window_days} days: `regime status` lists the stored series; "
            f"`regime {command} {of_series}` writes this one"
        )


def require_region(database: Database, region: str) -> str:
    """The instrument of the region; an instrument, or what has stored rows, is one of its own.

    raises RegimeError if there is no such region
    """
    known = seeds.regions(database)
    if region in known:
        return known[region].instrument_id
    if region == GLOBAL:
        return region
    (is_named,) = database.one(
        """
        select
            exists (select 1 from {regimes} where region = %(region)s)
            or exists (select 1 from {regime_models} where region = %(region)s)
            or exists (
                select 1 from {numeric_window_embeddings}
                where entity_type = 'INSTRUMENT' and entity_id = %(region)s
            )
        """,
        {"region": region},
    )
    if not is_named and not _has_features(database, region):
        raise seeds.unknown_region(region, list(known))
    return region


def _require_prices(database: Database, region: str, instrument_id: str) -> None:
    """raises RegimeError for a region that cannot be classified yet"""
    if region == GLOBAL or _has_features(database, instrument_id):
        return
    if not database.first("select 1 from {regimes} where region = %s limit 1", [region]):
        raise RegimeError(
            f"no regimes of region {region}, and no features of its instrument {instrument_id}: "
            "load its prices with `regime load`, then run `regime pipeline`"
        )


def _has_features(database: Database, instrument_id: str) -> bool:
    """Whether the name is that of an instrument; who only reads may not read its prices."""
    if not seeds.is_built(database, "daily_features"):
        return False
    query = "select exists (select 1 from {daily_features} where instrument_id = %s)"
    return bool(database.one(query, [instrument_id])[0])
