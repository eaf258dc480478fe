"""The rows of an answer, and the regimes that a question about a series requires."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from psycopg import errors, sql

from regime_engine.database import Database, Parameters, Query, Rows
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


def require_regimes(database: Database, series: Series) -> None:
    """raises RegimeError if the series has no regime at all"""
    (exists,) = database.one(
        "select exists (select 1 from {regimes} where {is_series})",
        vars(series),
        is_series=IS_SERIES,
    )
    if not exists:
        of_series = f"--model-id {series.model_id} --window-days {series.window_days}"
        command = "global" if series.region == GLOBAL else f"backfill --region {series.region}"
        raise RegimeError(
            f"no regimes of region {series.region} by {series.model_id} with windows of "
            f"{series.window_days} days: `regime status` lists the stored series; "
            f"`regime {command} {of_series}` writes this one"
        )
