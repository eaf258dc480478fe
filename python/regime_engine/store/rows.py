"""Rows written so that writing them again changes nothing.

A row equal to what is stored is left alone; a different one replaces it, and regime_revisions keeps
what it said. `incoming` below is a query that gives rows: the key, then the content.
"""

from dataclasses import dataclass

from psycopg import sql

from regime_engine.database import Database, row_hash
from regime_engine.runs import orphaned


@dataclass(frozen=True)
class Table:
    """An engine table with an as_of_date in its key."""

    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]

    def identifier(self, database: Database) -> sql.Identifier:
        return database.table(self.name)


def remove_vanished(
    database: Database, table: Table, document: str, which: sql.Composable
) -> sql.Composed:
    """Remove stored rows of days that ended a window and are no trading days any more.

    document: the jsonb column that names the window's dates; which: the condition on `stored`
    """
    return _remove(
        database,
        table,
        sql.SQL("""
            delete from {table} as stored
            where
                stored.as_of_date between %(first)s and %(last)s
                and (stored.{document} ->> 'last_trade_date')::date = stored.as_of_date
                and {which}
            returning to_jsonb(stored) as old_row, true as is_revised
        """).format(
            table=table.identifier(database),
            document=sql.Identifier(document),
            which=which,
        ),
    )


def remove_different(database: Database, table: Table, incoming: sql.Composable) -> sql.Composed:
    """Remove the stored rows that are to be replaced."""
    new_content, stored_content = names(table.content, "new"), names(table.content, "stored")
    return _remove(
        database,
        table,
        sql.SQL("""
            delete from {table} as stored
            using ({incoming}) as new ({columns})
            where
                {same_key}
                and stored.as_of_date between %(first)s and %(last)s
                and (({new_content}) is distinct from ({stored_content}) or {orphaned})
            returning
                to_jsonb(stored) as old_row,
                ({new_content}) is distinct from ({stored_content}) as is_revised
        """).format(
            table=table.identifier(database),
            incoming=incoming,
            columns=names((*table.key, *table.content)),
            same_key=_same_key(table),
            new_content=new_content,
            stored_content=stored_content,
            orphaned=orphaned(database),
        ),
    )


def insert_missing(database: Database, table: Table, incoming: sql.Composable) -> sql.Composed:
    """Insert the rows of which none is stored; the others are equal by now."""
    columns = (*table.key, *table.content)
    return sql.SQL("""
        with new ({columns}) as not materialized ({incoming})

        insert into {table} ({columns}, run_id, created_at)
        select {columns}, %(run_id)s, clock_timestamp()
        from new
        where not exists (
            select 1
            from {table} as stored
            where {same_key} and stored.as_of_date between %(first)s and %(last)s
        )
    """).format(
        incoming=incoming,
        table=table.identifier(database),
        columns=names(columns),
        same_key=_same_key(table),
    )


def names(columns: tuple[str, ...], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (table, name))) for name in columns)


def _remove(database: Database, table: Table, delete: sql.Composed) -> sql.Composed:
    """The deletion, keeping what the revised rows said."""
    return sql.SQL("""
        with removed as ({delete})

        insert into {revisions} (table_name, key, old_row, new_run_id, revised_at, row_hash)
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
            -- Keeps the rows as they are, where the clock would be read anew for the hash.
            offset 0
        ) as revised
    """).format(
        delete=delete,
        revisions=database.table("regime_revisions"),
        table_name=sql.Literal(table.name),
        key_names=sql.Literal(list(table.key)),
        row_hash=sql.SQL(
            row_hash("table_name", "key", "old_row", "new_run_id", "extract(epoch from revised_at)")
        ),
    )


def _same_key(table: Table) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("stored.{0} = new.{0}").format(sql.Identifier(name)) for name in table.key
    )
