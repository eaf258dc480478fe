"""The run ledger: who ran what, what it wrote, how it ended."""

import contextlib
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from regime_engine import __version__, seals
from regime_engine.database import Database, document, explain, row_hash
from regime_engine.errors import RegimeError


@dataclass(frozen=True)
class Run:
    run_id: uuid.UUID
    command: str


# A live run holds the advisory lock of the first half of its id; the lock ends with its session,
# however that ends. Anyone may take any such lock, so the session has to be of the run's login.
_LOCK_KEY = sql.SQL("('x' || left(replace(run_id::text, '-', ''), 16))::bit(64)::bigint")
# `in`, not `exists`: planned as one pass over pg_locks, where `exists` is costed once a run of the
# ledger, which from some 2,000 runs on makes Postgres compile (JIT) every statement that asks.
_LIVE = sql.SQL("""({key}, database_user) in (
    select
        (classid::bigint << 32) | objid::bigint,
        usename
    from pg_locks
    inner join pg_stat_activity using (pid)
    where
        locktype = 'advisory'
        and objsubid = 1
        and pg_locks.database = (select oid from pg_database where datname = current_database())
)""").format(key=_LOCK_KEY)

ROW_HASH = row_hash("""
    run_id, command, parameters, model_id, status, extract(epoch from started_at),
    extract(epoch from finished_at), rows_written, rows_removed, error, failures, package_version,
    database_user, host, previous_run_id, contents, contents_left
""")
# The tables whose rows a run seals: all of them, or those that no later run takes over from it.
SEALED = ["numeric_window_embeddings", "regimes", "regime_models", "regime_revisions"]
SEALED_OF_FAILED = ["regime_revisions"]
# The tables of which a run counts every row that is its own. If it has none, none is looked for: in
# a partitioned table that would read every partition.
_COUNTED = ("numeric_window_embeddings", "regimes")
# The condition on other runs that a run waits for: what `regime forget` removes, no run may be
# about to write again.
FORGETS = sql.SQL("command = 'forget'")
SILENT_SECONDS = 3


@contextlib.contextmanager
def ledger(
    database: Database,
    command: str,
    parameters: Mapping[str, object],
    waits_for: sql.Composable = FORGETS,
) -> Iterator[Run]:
    """A run from its start to SUCCEEDED, or to FAILED with the message of what was raised.

    The start is committed before the work begins, so that others see it.
    parameters: what was asked for, with the model_id; a date is kept as YYYY-MM-DD
    waits_for: the condition on the runs that must have ended before this one begins
    """
    run = Run(uuid.uuid4(), command)
    _hold(database, run, "pg_advisory_lock")
    began, is_told = time.monotonic(), False
    while others := _begin(database, run, parameters, waits_for):
        waited = time.monotonic() - began
        (limit,) = database.one(
            "select extract(epoch from current_setting('lock_timeout')::interval)"
        )
        if limit and waited > limit:
            raise RegimeError(
                f"{others} has not ended within {limit:,.0f} seconds: wait for it, or allow more "
                "time with REGIME_LOCK_TIMEOUT"
            )
        if not is_told and waited > SILENT_SECONDS:
            shown = others if others.isprintable() else ascii(others)
            print(f"waiting until {shown} has ended", file=sys.stderr)
            is_told = True
        time.sleep(0.1)
    try:
        yield run
    except BaseException as error:
        # The first line of the database's error alone: its detail quotes the row.
        reason = explain(error) or " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(psycopg.Error):
            _finish(database, run, "FAILED", reason)
        raise
    _finish(database, run, "SUCCEEDED", None)


def _begin(
    database: Database, run: Run, parameters: Mapping[str, object], waits_for: sql.Composable
) -> str | None:
    """Record the start of the run, or return which live run it has to wait for."""
    with database.transaction():
        # Of two runs that begin, one sees the other.
        database.take_turns(["runs"])
        _markdead_runs(database)
        found = database.first(
            """
            select
                format(
                    '`regime %%s` of %%s, begun %%s,',
                    command, database_user, to_char(started_at, 'YYYY-MM-DD HH24:MI:SS')
                )
            from {regime_runs}
            where status = 'RUNNING' and {waits_for}
            order by started_at
            limit 1
            """,
            [],
            waits_for=waits_for,
        )
        if found:
            return str(found[0])
        before = database.first(
            "select run_id from {regime_runs} order by started_at desc, run_id limit 1"
        )
        # The clock, not the start of the transaction, which may have waited for the run before.
        now, user = database.one("select clock_timestamp(), session_user::text")
        database.execute(
            """
            insert into {regime_runs} (
                run_id, command, parameters, model_id, status, started_at, rows_written,
                package_version, database_user, host, previous_run_id, row_hash
            )
            values (%s, %s, %s, %s, 'RUNNING', %s, '{{}}', %s, %s, %s, %s, '')
            """,
            [
                run.run_id,
                run.command,
                document(parameters),
                parameters["model_id"],
                now,
                __version__,
                user,
                socket.gethostname(),
                before[0] if before else None,
            ],
        )
        _sign(database, run.run_id)
    return None


def add_rows_written(database: Database, run: Run, counts: dict[str, int]) -> None:
    """Add to the run's counts, in the transaction that wrote the rows."""
    # Locked, since other processes of the run add to the counts too.
    (written,) = database.one(
        "select rows_written from {regime_runs} where run_id = %s for update", [run.run_id]
    )
    total = {table: written.get(table, 0) + n for table, n in counts.items()}
    _record(database, run, rows_written=written | total)


def record_contents(database: Database, run: Run, contents: dict[str, str]) -> None:
    """Keep the hashes over what the run wrote; the end of the run adds those of other tables.

    contents: table → hash
    """
    _record(database, run, contents=contents)


def record_removed(
    database: Database,
    run: Run,
    removed: Mapping[str, Mapping[str, int]],
    contents_left: Mapping[str, object],
) -> None:
    """Keep what a run removed, in the transaction that removes it.

    removed: table → the run that wrote the rows, or their instrument → how many
    contents_left: see the column of regime_runs
    """
    _record(database, run, rows_removed=removed, contents_left=contents_left)


def record_failures(database: Database, run: Run, failures: dict[str, str]) -> None:
    """Keep which instruments a run of many could not do, and why."""
    _record(database, run, failures=failures)


def dead_runs(database: Database) -> list[Run]:
    """The runs whose session ended before they did, the first begun first.

    A statement reads locks as they are now, and rows as they were when it began: a run that ends in
    between looks dead. So who acts on the answer asks in a later statement for its status again.
    """
    found = database.execute(
        "select run_id, command from {regime_runs} where status = 'RUNNING' and not {live}"
        " order by started_at, run_id",
        live=_LIVE,
    )
    return [Run(*row) for row in found]


def orphaned(database: Database) -> sql.Composed:
    """Whether the run of the row `stored` failed or died after the row was committed.

    Such a row is right as it stands. The run that finds it takes it over, since the run of a row
    has to be one that succeeded.
    """
    dead = dead_runs(database)
    condition = """
        stored.run_id in (
            select run_id
            from {regime_runs}
            where status = 'FAILED' or (status = 'RUNNING' and run_id = any({dead}::uuid[]))
        )
    """
    return database.compose(condition, dead=sql.Literal([run.run_id for run in dead]))


def _markdead_runs(database: Database) -> None:
    for run in dead_runs(database):
        _end(database, run, "FAILED", "the process ended before the run did")


def _finish(database: Database, run: Run, status: str, error: str | None) -> None:
    with database.transaction():
        database.take_turns(["runs"])
        _end(database, run, status, error)
    _hold(database, run, "pg_advisory_unlock")


def _end(database: Database, run: Run, status: str, error: str | None) -> None:
    """Close the run's row and seal it, in a transaction that holds the lock of the ledger."""
    known, written, now = database.one(
        "select coalesce(contents, '{{}}'), rows_written, clock_timestamp()"
        " from {regime_runs} where run_id = %s",
        [run.run_id],
    )
    tables = SEALED if status == "SUCCEEDED" else SEALED_OF_FAILED
    missing = [
        table
        for table in tables
        if table not in known and (written.get(table) or table not in _COUNTED)
    ]
    contents = seals.contents(database, [run.run_id], missing)[run.run_id]
    contents |= {table: known[table] for table in tables if table in known}
    _record(database, run, status=status, finished_at=now, error=error, contents=contents)
    seals.add(database, run.run_id)


def _hold(database: Database, run: Run, function: LiteralString) -> None:
    query = "select {function}({key}) from (select %s::uuid as run_id) as run"
    database.execute(query, [run.run_id], function=sql.SQL(function), key=_LOCK_KEY)


def _record(database: Database, run: Run, **values: object) -> None:
    """Set columns of the run's row, and its hash with them. A mapping becomes a document."""
    parameters = {
        name: document(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    query = "update {regime_runs} set {columns} where run_id = %(run_id)s"
    database.execute(query, parameters | {"run_id": run.run_id}, columns=columns)
    _sign(database, run.run_id)


def _sign(database: Database, run_id: uuid.UUID) -> None:
    """Hash the row as it is now; to be called in the transaction that changed it."""
    (row_hash,) = database.one(
        "select {row_hash} from {regime_runs} where run_id = %s", [run_id], row_hash=ROW_HASH
    )
    database.execute("update {regime_runs} set row_hash = %s where run_id = %s", [row_hash, run_id])
