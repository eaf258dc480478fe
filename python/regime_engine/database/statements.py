"""SQL statements that stand in .sql files beside the Python modules that send them."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from psycopg import sql


@cache
def statement(package: str, name: str) -> sql.SQL:
    """The statement in `name`.sql of a package, as in `statement(__package__, "upsert_prices")`.

    Identifiers and parts of the query are slots in braces, filled by `.format(prices=…)`; values
    are psycopg's named parameters, as in `%(region)s`. A brace of SQL's own is doubled; so is a
    percent sign, if the statement is executed with parameters.
    """
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return sql.SQL(text)


def names(columns: Iterable[str], table: str | None = None) -> sql.Composed:
    """The columns, separated by commas, each with the alias of its table if there is one."""
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (table, name))) for name in columns)


def assignments(columns: Iterable[str]) -> sql.Composed:
    """What an upsert sets: each column to the value that the insert was refused."""
    return sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns
    )
