"""The rows of an answer, and the regimes that a question about a series requires."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import errors, sql

from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.models import GLOBAL, Series

Record = TypeVar("Record")

# Its parameters are vars(series).
IS_SERIES = sql.SQL(
    "region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s"
)

# As in the macro is_of_trading_day: a regime of a weekend repeats that of the last trading day.
IS_OF_TRADING_DAY = sql.SQL(
    "coalesce(metadata ->> 'last_trade_date' = to_char(as_of_date, 'YYYY-MM-DD'), true)"
)

# As old as the last price of a window may be: the engine's own limit.
MAX_STALENESS_DAYS = 7


@dataclass(frozen=True)
class Rows(Generic[Record]):
    """The rows of an answer. headers: the names of the columns

    Record: a dataclass that has a field for each column
    """

    headers: list[str]
    rows: list[tuple[Any, ...]]

    def records(self, kind: type[Record]) -> list[Record]:
        """Each row as an object with names. kind: Record"""
        return [kind(**dict(zip(self.headers, row, strict=True))) for row in self.rows]


def fetch(
    connection: psycopg.Connection,
    query: sql.SQL | sql.Composed,
    parameters: Mapping[str, object] | None = None,
) -> Rows:
    """The rows of a query, with the names of its columns."""
    cursor = connection.execute(query, parameters)
    return Rows([column.name for column in cursor.description or ()], cursor.fetchall())


def fetch_audit(
    connection: psycopg.Connection,
    query: sql.SQL | sql.Composed,
    parameters: Mapping[str, object] | None = None,
) -> Rows:
    """The rows of a query on the schema audit.

    raises RegimeError if its views or functions are missing or older than this package
    """
    try:
        return fetch(connection, query, parameters)
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


def last_regime_day(
    connection: psycopg.Connection, settings: Settings, series: Series, as_of: date | None = None
) -> date:
    """The day of the series' last regime up to as_of. as_of: by default its last one of all

    raises RegimeError if there is none, or if it is more than a week older than as_of
    """
    require_regimes(connection, settings, series)
    [(first, last)] = connection.execute(
        sql.SQL("""
            select
                min(as_of_date),
                max(as_of_date) filter (where as_of_date <= coalesce(%(as_of)s, as_of_date))
            from {} where {}
        """).format(sql.Identifier(*settings.table("regimes")), IS_SERIES),
        vars(series) | {"as_of": as_of},
    )
    if last is None:
        raise RegimeError(
            f"the first regime of region {series.region} is of {first}: give a date from then on"
        )
    if as_of and (as_of - last).days > MAX_STALENESS_DAYS:
        raise RegimeError(
            f"the last regime of region {series.region} up to {as_of} is of {last}, "
            f"{(as_of - last).days} days before; at most {MAX_STALENESS_DAYS} are allowed: "
            "`regime history` lists the stored dates, and `regime backfill` writes more"
        )
    return last


def require_regimes(connection: psycopg.Connection, settings: Settings, series: Series) -> None:
    """raises RegimeError if the series has no regime at all"""
    [(exists,)] = connection.execute(
        sql.SQL("select exists (select 1 from {} where {})").format(
            sql.Identifier(*settings.table("regimes")), IS_SERIES
        ),
        vars(series),
    )
    if not exists:
        of_series = f"--model-id {series.model_id} --window-days {series.window_days}"
        command = "global" if series.region == GLOBAL else f"backfill --region {series.region}"
        raise RegimeError(
            f"no regimes of region {series.region} by {series.model_id} with windows of "
            f"{series.window_days} days: `regime status` lists the stored series; "
            f"`regime {command} {of_series}` writes this one"
        )
