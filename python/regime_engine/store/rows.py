"""Rows written so that writing them again changes nothing.

A row that equals the stored one is left alone. A row that differs replaces it, and regime_revisions
keeps what the stored one said. `incoming` below is a query that gives rows: the key, then the
content.
"""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from regime_engine.database import Database, row_hash
from regime_engine.database.statements import names
from regime_engine.runs import orphaned

REVISION_HASH = row_hash("table_name, key, old_row, new_run_id, extract(epoch from revised_at)")


@dataclass(frozen=True)
class Table:
    """An engine table whose key has an as_of_date.

    window_column: the jsonb column that holds the first and the last day of the window
    """

    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    window_column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return self.key + self.content


def remove_vanished(database: Database, table: Table, which: sql.Composable) -> sql.Composed:
    """Remove stored rows of days that ended a window and are not trading days any more.

    which: the condition on `stored`
    """
    return _remove(
        database,
        table,
        """
        delete from {table} as stored
        where
            stored.as_of_date between %(first)s and %(last)s
            and (stored.{window_column} ->> 'last_trade_date')::date = stored.as_of_date
            and {which}
        returning to_jsonb(stored) as old_row, true as is_revised
        """,
        window_column=sql.Identifier(table.window_column),
        which=which,
    )


def remove_different(database: Database, table: Table, incoming: sql.Composable) -> sql.Composed:
    """Remove the stored rows that are to be replaced."""
    return _remove(
        database,
        table,
        """
        delete from {table} as stored
        using ({incoming}) as new ({columns})
        where
            {same_key}
            and stored.as_of_date between %(first)s and %(last)s
            and (({new_content}) is distinct from ({stored_content}) or {orphaned})
        returning
            to_jsonb(stored) as old_row,
            ({new_content}) is distinct from ({stored_content}) as is_revised
        """,
        incoming=incoming,
        columns=names(table.columns),
        same_key=_same_key(table),
        new_content=names(table.content, "new"),
        stored_content=names(table.content, "stored"),
        orphaned=orphaned(database),
    )


def insert_missing(database: Database, table: Table, incoming: sql.Composable) -> sql.Composed:
    """Insert the rows that are not stored; the others are equal to the stored ones by now."""
    return database.compose(
        """
        with new ({columns}) as not materialized ({incoming})

        insert into {table} ({columns}, run_id, created_at)
        select {columns}, %(run_id)s, clock_timestamp()
        from new
        where not exists (
            select 1
            from {table} as stored
            where {same_key} and stored.as_of_date between %(first)s and %(last)s
        )
        """,
        incoming=incoming,
        table=database.table(table.name),
        columns=names(table.columns),
        same_key=_same_key(table),
    )


def _remove(
    database: Database, table: Table, delete: LiteralString, **slots: sql.Composable
) -> sql.Composed:
    """The deletion, which also keeps what the revised rows said."""
    return database.compose(
        """
        with removed as ({delete})

        insert into {regime_revisions} (
            table_name, key, old_row, new_run_id, revised_at, row_hash
        )
        select *, {row_hash}
        from (
            select
                {table_name}::text as table_name,
                (select jsonb_object_agg(k, old_row -> k) from unnest({key_names}::text[]) as k)
                    as key,
                old_row,
                %(run_id)s::uuid as new_run_id,
                clock_timestamp() as revised_at
            from removed
            where is_revised
            -- A barrier: without it the clock would be read a second time for the hash.
            offset 0
        ) as revised
        """,
        delete=database.compose(delete, table=database.table(table.name), **slots),
        table_name=sql.Literal(table.name),
        key_names=sql.Literal(list(table.key)),
        row_hash=REVISION_HASH,
    )


def _same_key(table: Table) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("stored.{0} = new.{0}").format(sql.Identifier(name)) for name in table.key
    )
