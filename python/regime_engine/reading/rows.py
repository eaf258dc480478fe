"""The rows of an answer, and what an answer about a series needs to be there."""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.models import Series

# With vars(series) as parameters.
IS_SERIES = sql.SQL(
    "region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s"
)


@dataclass(frozen=True)
class Rows:
    headers: list[str]
    rows: list[tuple]


def fetch(
    connection: psycopg.Connection, query: sql.Composable, parameters: dict | None = None
) -> Rows:
    """The rows of a query, with the names of its columns."""
    cursor = connection.execute(query, parameters)
    return Rows([column.name for column in cursor.description], cursor.fetchall())


def require_regimes(connection: psycopg.Connection, settings: Settings, series: Series) -> None:
    """raises RegimeError where the series has no regime at all"""
    (exists,) = connection.execute(
        sql.SQL("select exists (select 1 from {} where {})").format(
            sql.Identifier(*settings.table("regimes")), IS_SERIES
        ),
        vars(series),
    ).fetchone()
    if not exists:
        raise RegimeError(
            f"no regimes of region {series.region} by {series.model_id} with windows of "
            f"{series.window_days} days: see `regime status` for what there is, or write them "
            f"with `regime backfill --region {series.region}`"
        )
