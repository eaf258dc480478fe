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

from regime_engine import __version__
from regime_engine.database import Database, document, explain, row_hash
from regime_engine.errors import RegimeError


@dataclass(frozen=True)
class Run:
    run_id: uuid.UUID
    command: str


# A live run holds the advisory lock of the first half of its id; the lock ends with its session,
# however that ends. Anyone may take any such lock, so the session has to be of the run's login.
LOCK_KEY = sql.SQL("('x' || left(replace(run_id::text, '-', ''), 16))::bit(64)::bigint")
# `in`, not `exists`: planned as one pass over pg_locks, where `exists` is costed once a run of the
# ledger, which from some 2,000 runs on makes Postgres compile (JIT) every statement that asks.
LIVE = sql.SQL("""({key}, database_user) in (
    select
        (classid::bigint << 32) | objid::bigint,
        usename
    from pg_locks
    inner join pg_stat_activity using (pid)
    where
        locktype = 'advisory'
        and objsubid = 1
        and pg_locks.database = (select oid from pg_database where datname = current_database())
)""").format(key=LOCK_KEY)

ROW_HASH = row_hash("""
    run_id, command, parameters, model_id, status, extract(epoch from started_at),
    extract(epoch from finished_at), rows_written, rows_removed, error, failures, package_version,
    database_user, host, previous_run_id
""")
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
        _mark_dead_runs(database)
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
        database.execute(
            """
            insert into {regime_runs} (
                run_id, command, parameters, model_id, status, started_at, rows_written,
                package_version, database_user, host, previous_run_id, row_hash
            )
            values (
                %s, %s, %s, %s, 'RUNNING', clock_timestamp(), '{{}}', %s, session_user, %s,
                (select run_id from {regime_runs} order by started_at desc, run_id limit 1), ''
            )
            """,
            [
                run.run_id,
                run.command,
                document(parameters),
                parameters["model_id"],
                __version__,
                socket.gethostname(),
            ],
        )
        _sign(database, [run.run_id])
    return None


def add_rows_written(database: Database, run: Run, counts: dict[str, int]) -> None:
    """Add to the run's counts, in the transaction that wrote the rows."""
    database.execute(
        """
        update {regime_runs}
        set rows_written = rows_written || (
            select coalesce(
                jsonb_object_agg(
                    key, coalesce((rows_written ->> key)::bigint, 0) + value::bigint
                ),
                '{{}}'
            )
            from jsonb_each_text(%s)
        )
        where run_id = %s
        """,
        [document(counts), run.run_id],
    )
    _sign(database, [run.run_id])


def record_removed(database: Database, run: Run, removed: Mapping[str, Mapping[str, int]]) -> None:
    """Keep what a run removed, in the transaction that removes it.

    removed: table → the run that wrote the rows, or their instrument → how many
    """
    query = "update {regime_runs} set rows_removed = %s where run_id = %s"
    database.execute(query, [document(removed), run.run_id])
    _sign(database, [run.run_id])


def record_failures(database: Database, run: Run, failures: dict[str, str]) -> None:
    """Keep which instruments a run of many could not do, and why."""
    query = "update {regime_runs} set failures = %s where run_id = %s"
    database.execute(query, [document(failures), run.run_id])
    _sign(database, [run.run_id])


def orphaned(database: Database) -> sql.Composed:
    """Whether the run of the row `stored` failed or died after the row was committed.

    Such a row is right as it stands. The run that finds it takes it over, since the run of a row
    has to be one that succeeded.
    """
    condition = """
        stored.run_id in (
            select run_id
            from {regime_runs}
            where status = 'FAILED' or (status = 'RUNNING' and not {live})
        )
    """
    return database.compose(condition, live=LIVE)


def _mark_dead_runs(database: Database) -> None:
    dead = """
        update {regime_runs}
        set
            status = 'FAILED',
            finished_at = now(),
            error = 'the process ended before the run did'
        where status = 'RUNNING' and not {live}
        returning run_id
    """
    _sign(database, [run_id for (run_id,) in database.execute(dead, live=LIVE)])


def _finish(database: Database, run: Run, status: str, error: str | None) -> None:
    with database.transaction():
        finished = """
            update {regime_runs} set status = %s, finished_at = clock_timestamp(), error = %s
            where run_id = %s
        """
        database.execute(finished, [status, error, run.run_id])
        _sign(database, [run.run_id])
    _hold(database, run, "pg_advisory_unlock")


def _hold(database: Database, run: Run, function: LiteralString) -> None:
    query = "select {function}({key}) from (select %s::uuid as run_id) as run"
    database.execute(query, [run.run_id], function=sql.SQL(function), key=LOCK_KEY)


def _sign(database: Database, run_ids: list[uuid.UUID]) -> None:
    """Hash the rows as they are now; to be called in the transaction that changed them."""
    query = "update {regime_runs} set row_hash = {row_hash} where run_id = any(%s)"
    database.execute(query, [run_ids], row_hash=ROW_HASH)
