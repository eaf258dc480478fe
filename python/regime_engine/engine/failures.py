"""Keeps what an audit found: the wrong rows of each test in the schema audit_failures, until the
next audit, and the verdicts in audit_verdicts, for ever."""

import uuid
from dataclasses import dataclass

from psycopg import sql

from regime_engine import __version__, roles
from regime_engine.database import Database, Rows
from regime_engine.dbt import NodeResult

TABLE = sql.SQL("table")
# Of what may have taken the place of a table: pg_class.relkind → its name in SQL.
KINDS = {
    "v": sql.SQL("view"),
    "m": sql.SQL("materialized view"),
    "f": sql.SQL("foreign table"),
}
# What dbt says of a test that was run → its verdict
VERDICTS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """A test that did not pass, and its first offending rows.

    look_further: the SQL that gives all of them
    """

    test: NodeResult
    rows: Rows
    look_further: str


def keep(database: Database, results: list[NodeResult], rows_shown: int) -> list[Finding]:
    """Keep the verdicts, and the rows of each test in place of the last audit's.

    Returns what failed or warned.

    The table of a test that found nothing is empty.
    """
    builder = roles.builder_of(database)
    findings = []
    with database.transaction():
        if builder:
            database.execute("set local role {builder}", builder=sql.Identifier(builder))
        for result in results:
            has_found = result.status in ("fail", "warn")
            query = sql.Composed([sql.SQL(result.query.strip())])
            # A test that did not run has no query.
            if result.failures_table and (has_found or result.status == "pass"):
                query = _kept(database, result.failures_table, query, has_found)
            if has_found:
                findings.append(_finding(database, result, query, rows_shown))
        _record_verdicts(database, results)
    return findings


def _record_verdicts(database: Database, results: list[NodeResult]) -> None:
    name = database.table("audit_verdicts").as_string(database.connection)
    # The audit itself finds that the table is missing.
    if not database.one("select to_regclass(%s) is not null", [name])[0]:
        return
    tests = [result for result in results if result.status in VERDICTS]
    audited_at, login = database.one("select clock_timestamp(), session_user::text")
    database.execute(
        """
        insert into {audit_verdicts} (
            audit_id, audited_at, test_name, verdict, failures, package_version, database_user
        )
        select %s::uuid, %s, test_name, verdict, failures, %s, %s
        from unnest(%s::text[], %s::text[], %s::integer[]) as tests (test_name, verdict, failures)
        """,
        [
            uuid.uuid4(),
            audited_at,
            __version__,
            login,
            [test.name for test in tests],
            [VERDICTS[test.status] for test in tests],
            [test.failures for test in tests],
        ],
    )


def _kept(
    database: Database, table: tuple[str, str], query: sql.Composed, has_found: bool
) -> sql.Composed:
    """Create the table; returns a query for the rows: of the table, if it has them all."""
    schema, _ = table
    # By Postgres's own quoting, since a person is to type it.
    (name,) = database.one("select format('%%I.%%I', %s::text, %s::text)", table)
    slots = {"table": sql.Identifier(*table), "query": query}
    # `create schema if not exists` needs the right to create one even if it exists.
    if not database.one("select to_regnamespace(quote_ident(%s)) is not null", [schema])[0]:
        database.execute("create schema {schema}", schema=sql.Identifier(schema))
    found = database.first("select relkind from pg_class where oid = to_regclass(%s)", [name])
    if found:
        database.execute("drop {kind} {table} cascade", kind=KINDS.get(found[0], TABLE), **slots)
    data = sql.SQL("" if has_found else "with no data")
    created = database.execute("create table {table} as (\n{query}\n) {data}", data=data, **slots)
    if not has_found:
        return query
    (stored,) = database.one("select count(*) from {table}", **slots)
    # A trigger on events may have emptied it.
    is_whole = stored == created.rowcount
    return sql.SQL("select * from {}").format(sql.SQL(name)) if is_whole else query


def _finding(database: Database, test: NodeResult, query: sql.Composed, limit: int) -> Finding:
    rows = database.rows(
        "select * from (\n{query}\n) as failures limit {limit}",
        query=query,
        limit=sql.Literal(limit),
    )
    return Finding(test, rows, query.as_string(database.connection))
