"""Every value of a column that begins an index."""

from psycopg import sql

from regime_engine.database import Database
from regime_engine.database.statements import statement

_ANY = sql.SQL("true")


def distinct(
    database: Database, model: str, column: str, condition: sql.SQL = _ANY
) -> sql.Composed:
    """A query for every value of the column, as `name`.

    By one look into the index for each value: on 2.5 million rows of 2,000 instruments that takes a
    twentieth of the time of `distinct`, which reads every row. A distributed Postgres refuses the
    recursion that it takes, and reads the rows on all nodes at once.
    """
    slots = {
        "table": database.table(model),
        "column": sql.Identifier(column),
        "condition": condition,
    }
    if database.one("select exists (select 1 from pg_extension where extname = 'citus')")[0]:
        return database.compose(
            "select distinct {column} as name from {table} where {condition}", **slots
        )
    return database.compose(statement(__package__, "distinct_by_key"), **slots)
