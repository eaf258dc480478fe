"""Rows written so that writing them again changes nothing.

A row that equals the stored one is left alone. A row that differs replaces it, and regime_revisions
keeps what the stored one said. `incoming` below is a query that gives rows: the key, then the
content.

What is to be removed is looked for first, and then removed by its key, because a distributed
Postgres refuses a deletion that reads another table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from psycopg import sql

from regime_engine.database import Database, row_hash
from regime_engine.database.statements import names, statement
from regime_engine.runs import orphaned

REVISION_HASH = row_hash("table_name, key, old_row, new_run_id, extract(epoch from revised_at)")


@dataclass(frozen=True)
class Table:
    """An engine table whose key has an as_of_date, a model_id and window_days.

    entity: the column of its key that names the entity or region
    of_entity: the condition on `stored` for the rows of %(entity)s, as the key's index takes it
    window_column: the jsonb column that holds the first and the last day of the window
    """

    name: str
    key: tuple[str, ...]
    entity: str
    of_entity: sql.SQL
    content: tuple[str, ...]
    window_column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return self.key + self.content


@dataclass(frozen=True, order=True)
class Outdated:
    """A stored row that is to be removed.

    is_revised: whether it said what is no longer so; if not, it is only taken over by another run
    """

    entity: str
    as_of_date: date
    is_revised: bool


def vanished(
    database: Database,
    table: Table,
    which: sql.Composable,
    parameters: Mapping[str, object],
) -> list[Outdated]:
    """The stored rows of days that ended a window and are not trading days any more.

    which: the condition on `stored`
    """
    query = """
        select stored.{entity} as entity, stored.as_of_date, true as is_revised
        from {table} as stored
        where
            stored.as_of_date between %(first)s and %(last)s
            and (stored.{window_column} ->> 'last_trade_date')::date = stored.as_of_date
            and {which}
    """
    return database.rows(
        query,
        parameters,
        table=database.table(table.name),
        entity=sql.Identifier(table.entity),
        window_column=sql.Identifier(table.window_column),
        which=which,
    ).records(Outdated)


def different(
    database: Database,
    table: Table,
    incoming: sql.Composable,
    parameters: Mapping[str, object],
) -> list[Outdated]:
    """The stored rows that are to be replaced by incoming ones."""
    query = """
        select
            stored.{entity} as entity,
            stored.as_of_date,
            ({new_content}) is distinct from ({stored_content}) as is_revised
        from {table} as stored
        inner join ({incoming}) as new ({columns}) on {same_key}
        where
            stored.as_of_date between %(first)s and %(last)s
            and (({new_content}) is distinct from ({stored_content}) or {orphaned})
    """
    same_key = (sql.SQL("stored.{0} = new.{0}").format(sql.Identifier(each)) for each in table.key)
    return database.rows(
        query,
        parameters,
        table=database.table(table.name),
        entity=sql.Identifier(table.entity),
        incoming=incoming,
        columns=names(table.columns),
        same_key=sql.SQL(" and ").join(same_key),
        new_content=names(table.content, "new"),
        stored_content=names(table.content, "stored"),
        orphaned=orphaned(database),
    ).records(Outdated)


def remove(
    database: Database,
    table: Table,
    outdated: Iterable[Outdated],
    parameters: Mapping[str, object],
) -> None:
    """Remove rows, and keep those that are revised."""
    query = database.compose(
        statement(__package__, "remove_and_keep"),
        table=database.table(table.name),
        of_entity=table.of_entity,
        row_hash=REVISION_HASH,
        table_name=sql.Literal(table.name),
        key_names=sql.Literal(list(table.key)),
    )
    for entity, rows in groupby(sorted(outdated), lambda row: row.entity):
        of_entity = list(rows)
        database.execute(
            query,
            {
                **parameters,
                "entity": entity,
                "days": [row.as_of_date for row in of_entity],
                "revised_days": [row.as_of_date for row in of_entity if row.is_revised],
            },
        )


def insert_missing(database: Database, table: Table, incoming: sql.Composable) -> sql.Composed:
    """Insert the rows that are not stored, and return a row for each of them.

    The others are equal to the stored ones by now.
    """
    return database.compose(
        """
        insert into {table} ({columns}, run_id, created_at)
        select {columns}, %(run_id)s, clock_timestamp()
        from ({incoming}) as new ({columns})
        where new.as_of_date between %(first)s and %(last)s
        on conflict ({key}) do nothing
        returning 1
        """,
        table=database.table(table.name),
        incoming=incoming,
        columns=names(table.columns),
        key=names(table.key),
    )
