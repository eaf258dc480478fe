"""Whatever the role, the database, the environment or a pooler says: a session is ours, a lock is
held by who needs it, and nobody waits without a word."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from bundled import US
from commands import Process, environment, forked_path, refusal, regime_command, succeed
from pooler import PROGRAM, Pooler, pooled
from project import ROOT, run_in
from psycopg import sql
from psycopg.conninfo import make_conninfo
from servers import MODULE_DATABASE, wait_until

from regime_engine import roles
from regime_engine.config import Settings
from regime_engine.database import Database, connect, explain, libpq_environment
from regime_engine.database.session import SETTINGS
from regime_engine.demo import PRICE_FILES
from regime_engine.runs import ledger, orphaned

pytestmark = pytest.mark.one_server
needs_pgbouncer = pytest.mark.skipif(not PROGRAM, reason="needs pgbouncer")

PASSWORD = "correct horse battery staple"
LOGINS = {
    "pooled_auditor": (roles.AUDITOR,),
    "pooled_nightly": (roles.ENGINE, roles.BUILDER),
}
# Each in another way than a session of ours.
PECULIAR = {
    "standard_conforming_strings": "off",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "extra_float_digits": "0",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "row_security": "on",
    "default_transaction_isolation": "serializable",
    "idle_in_transaction_session_timeout": "50s",
    "idle_session_timeout": "50s",
    "search_path": "nowhere",
    "client_encoding": "LATIN1",
}
ASKED = "select name, setting from pg_settings where name = any({names}) order by 1"


@pytest.fixture(scope="module")
def shared(server, features_template) -> Iterator[Settings]:
    """A finished database with the roles and two logins, and settings that are nobody's wish."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        succeed(regime_command(settings, "init", "--roles"))
        with connect(settings) as database:
            for login, groups in LOGINS.items():
                database.execute("drop role if exists {login}", login=sql.Identifier(login))
                database.execute(
                    "create role {login} login password {password} in role {groups}",
                    login=sql.Identifier(login),
                    password=sql.Literal(PASSWORD),
                    groups=sql.SQL(", ").join(map(sql.Identifier, groups)),
                )
            for name, value in PECULIAR.items():
                database.execute(
                    "alter database {database} set {name} to {value}",
                    database=sql.Identifier(MODULE_DATABASE),
                    name=sql.Identifier(name),
                    value=sql.Literal(value),
                )
        yield settings
    for login in LOGINS:
        server.execute("drop role {login}", login=login)


@pytest.fixture(scope="module")
def pooler(server) -> Iterator[Pooler]:
    with pooled(server.settings, "session", dict.fromkeys(LOGINS, PASSWORD)) as pooler:
        yield pooler


def as_login(settings: Settings, login: str) -> Settings:
    url = make_conninfo(settings.database_url, user=login, password=PASSWORD)
    return replace(settings, database_url=url)


def of_session(database: Database) -> dict[str, str]:
    names = sql.Literal(list(SETTINGS))
    return dict(database.rows(ASKED, names=names).rows)


def test_a_session_is_ours_whatever_database_and_environment_say(shared, monkeypatch):
    monkeypatch.setenv("PGDATESTYLE", "Postgres, DMY")
    monkeypatch.setenv("PGTZ", "Asia/Kolkata")
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    monkeypatch.setenv("PGOPTIONS", "-c extra_float_digits=-15 -c search_path=elsewhere")
    with connect(shared) as database:
        assert of_session(database) == of_a_session_of_ours()
        assert database.one("select 'é', 1/3::float8, date '2008-09-15'::text") == (
            "é",
            0.3333333333333333,
            "2008-09-15",
        )


def of_a_session_of_ours() -> dict[str, str]:
    return SETTINGS


def test_a_connection_that_dbt_opens_from_the_shell_has_the_same_settings(shared, tmp_path):
    with connect(shared) as database:
        env = environment(shared) | libpq_environment(database)
    env |= {"PATH": forked_path(), "REGIME_DBT_ROLE": roles.BUILDER}
    names = sql.Literal(list(SETTINGS)).as_string()
    query = f"select current_user as name, '' as setting union all ({ASKED.format(names=names)})"
    options = ("--profiles-dir", "profiles", "--target-path", str(tmp_path), "--limit", "100")
    command = ["dbt", "--quiet", "show", "--inline", query, "--output", "json", *options]
    shown = json.loads(succeed(run_in(ROOT, command, env)).stdout)["show"]
    assert {row["name"]: row["setting"] for row in shown} == (
        of_a_session_of_ours() | {roles.BUILDER: ""}
    )


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused(server, encoding):
    name = f"test_{encoding.lower()}"
    with connect(server.settings) as database:
        database.execute(
            "create database {name} template template0 encoding {encoding} locale 'C'",
            name=sql.Identifier(name),
            encoding=sql.Literal(encoding),
        )
    url = make_conninfo(server.settings.database_url, dbname=name)
    try:
        for command in (("init",), ("status",)):
            line = refusal(regime_command(replace(server.settings, database_url=url), *command))
            assert line.startswith(f"Error: the database {name} has the encoding {encoding}, and")
    finally:
        server.drop_database(name)


# A pooler


@needs_pgbouncer
def test_behind_a_session_pool_what_dbt_makes_belongs_to_the_builder(shared, pooler):
    nightly = pooler.settings(shared, "pooled_nightly")
    with connect(nightly) as database:
        assert of_session(database) == of_a_session_of_ours()
    with connect(shared) as database:
        database.execute("drop view audit.transition_matrix")
        succeed(regime_command(nightly, "pipeline", "--region", "US"))
        owner = "select relowner::regrole::text from pg_class where relname = 'transition_matrix'"
        assert database.one(owner) == (roles.BUILDER,)


@needs_pgbouncer
def test_transaction_pooling_is_refused_before_anything_is_set_or_locked(shared):
    with pooled(shared, "transaction", {}) as pooler:
        settings = pooler.settings(shared)
        for command in (("status",), ("audit",), ("backfill", "--region", "US")):
            line = refusal(regime_command(settings, *command))
            assert "connect to Postgres itself, or to a pool with pool_mode = session" in line
        with psycopg.connect(settings.database_url, autocommit=True) as next_client:
            left = next_client.execute(ASKED.format(names="'{DateStyle,search_path}'")).fetchall()
            assert left == [("DateStyle", "German, DMY"), ("search_path", "nowhere")]
            locks = next_client.execute("select from pg_locks where locktype = 'advisory'")
            assert locks.fetchall() == []


@needs_pgbouncer
def test_a_killed_command_releases_its_lock_through_the_pooler_too(shared, pooler):
    code = (
        "from regime_engine.config import Settings\n"
        "from regime_engine.database import connect\n"
        "with connect(Settings.from_environment()) as database, database.locked():\n"
        "    database.execute('select pg_sleep(600)')\n"
    )
    through = pooler.settings(shared)
    process = Process("python", ("-c", code), environment(through))
    is_held = f"select count(*) = 1 from pg_locks where mode = '{BUILD_LOCK}' and granted"
    with connect(shared) as database:
        wait_until(database, is_held)
        process.kill()
        process.communicate()
        with database.locked():
            pass


# Locks

BUILD_LOCK = "ShareUpdateExclusiveLock"


def test_a_wait_says_for_whom_and_ends_by_the_limit(shared):
    env = environment(shared) | {"REGIME_LOCK_TIMEOUT": "9"}
    with connect(shared) as holder, holder.locked():
        holder.execute("lock table historical.prices_daily in share update exclusive mode")
        holder.take_turns(["regimes/US/num-regime-core-v3/63"])
        (pid,) = holder.one("select pg_backend_pid()")
        (since,) = holder.one(
            "select to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS') || ' UTC' from pg_stat_activity where pid = pg_backend_pid()"
        )
        commands = (("init",), ("backfill", "--region", "US"), ("load", str(PRICE_FILES[0])))
        waiting = [Process("regime", arguments, env) for arguments in commands]
        outputs = [process.communicate(60)[1].splitlines() for process in waiting]
    # Before these lines, some say what they do.
    for *_, word, last in outputs:
        assert word == (
            f"waiting for a lock that process {pid} holds: user 'regime', application 'regime', "
            f"since {since}"
        )
        assert last.startswith("Error: ")
        assert "lock timeout; nothing is half-written: " in last
        assert "set REGIME_LOCK_TIMEOUT" in last
    assert [process.returncode for process in waiting] == [1, 1, 1]


def test_a_limit_of_a_wait_is_whole_seconds(shared, monkeypatch):
    monkeypatch.setenv("REGIME_LOCK_TIMEOUT", "5s")
    assert "REGIME_LOCK_TIMEOUT=5s: write whole seconds" in refusal(
        regime_command(shared, "status")
    )


def test_the_limit_of_a_login_stays_unless_the_variable_says_otherwise(shared):
    with connect(shared) as database:
        assert database.one("show lock_timeout") == ("1h",)
        database.execute("alter role pooled_nightly set lock_timeout to '7s'")
    nightly = as_login(shared, "pooled_nightly")
    for limit, shown in ((None, "7s"), (600, "10min"), (0, "0")):
        with connect(replace(nightly, lock_timeout=limit)) as database:
            assert database.one("show lock_timeout") == (shown,)


def test_an_auditor_cannot_take_a_lock_of_the_project(shared):
    """All locks need a right to write, and none is advisory, which anyone could take."""
    with connect(shared) as database, database.locked():
        database.take_turns(["regimes/US/x/63"])
        advisory = "select count(*) from pg_locks where locktype = 'advisory'"
        assert database.one(advisory) == (0,)
    for attempt in (
        "lock table runtime.regime_locks in share update exclusive mode",
        "select from runtime.regime_locks for update",
        "insert into runtime.regime_locks values ('regimes/US/x/63')",
        "lock table historical.prices_daily in share update exclusive mode",
    ):
        with (
            connect(as_login(shared, "pooled_auditor")) as auditor,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            auditor.transaction(),
        ):
            auditor.execute(attempt)


def test_a_reader_in_an_open_transaction_holds_up_no_build(shared):
    relations = """
        select format('%%I.%%I', nspname, relname)
        from pg_class
        inner join pg_namespace on pg_namespace.oid = relnamespace
        where
            relkind in ('r', 'v')
            and nspname in ('historical', 'staging', 'features', 'runtime', 'audit')
            and has_schema_privilege(nspname, 'usage')
            and has_table_privilege(pg_class.oid, 'select')
    """
    with connect(as_login(shared, "pooled_auditor")) as reader, reader.transaction():
        read = [name for (name,) in reader.rows(relations, []).rows]
        assert {"features.daily_features", "audit.regime_timeline"} <= {*read}
        for name in read:
            reader.execute(sql.SQL("select from {} limit 0").format(sql.SQL(name)))
        for arguments in (("init",), ("pipeline",)):
            process = Process(
                "regime", arguments, environment(shared) | {"REGIME_LOCK_TIMEOUT": "9"}
            )
            assert "lock" not in process.communicate()[1]
            assert process.returncode == 0


def test_an_auditor_cannot_make_a_dead_run_look_alive(shared):
    with (
        connect(shared) as database,
        connect(as_login(shared, "pooled_auditor")) as auditor,
        ledger(database, "backfill", {"model_id": US.model_id}) as run,
    ):
        database.execute("select pg_advisory_unlock_all()")
        key = f"x{run.run_id.hex[:16]}"
        auditor.execute("select pg_advisory_lock(%s::bit(64)::bigint)", [key])
        status = "select status from audit.run_ledger where run_id = %s"
        assert database.one(status, [run.run_id]) == ("DIED",)


def test_the_rows_of_a_run_that_ends_meanwhile_stay_its_own(shared):
    # A statement of another run sees the status as it was when it began, and the locks as they are.
    waiting = """
        with stored as materialized (
            select %s::uuid as run_id from pg_advisory_xact_lock_shared(7)
        )

        select {orphaned} from stored
    """
    with connect(shared) as first, connect(shared) as second, ThreadPoolExecutor(1) as thread:
        with ledger(first, "backfill", {"model_id": US.model_id}) as run:
            first.execute("select pg_advisory_lock(7)")
            asked = thread.submit(
                lambda: second.one(waiting, [run.run_id], orphaned=orphaned(second))
            )
            wait_until(first, "select count(*) > 0 from pg_locks where not granted")
        first.execute("select pg_advisory_unlock(7)")
        assert asked.result() == (False,)


def test_a_held_lock_keeps_no_vacuum_from_its_work(shared):
    with connect(shared) as holder, connect(shared) as other, holder.locked():
        (pid,) = holder.one("select pg_backend_pid()")
        horizon = "select backend_xid, backend_xmin from pg_stat_activity where pid = %s"
        assert other.one(horizon, [pid]) == (None, None)


def test_the_lock_of_a_series_is_held_by_one_session_until_it_commits(shared):
    with connect(shared) as first, connect(replace(shared, lock_timeout=1)) as second:
        with first.transaction():
            first.take_turns(["b", "a"])
            for names in (["a"], ["c", "b"]):
                with pytest.raises(psycopg.errors.LockNotAvailable), second.transaction():
                    second.take_turns(names)
            with second.transaction():
                second.take_turns(["c"])
        with second.transaction():
            second.take_turns(["a", "b"])


# What the database says


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            ["set statement_timeout to '10ms'", "select pg_sleep(5)"],
            "raise the setting statement_timeout of this login",
        ),
        (
            ["do $$ begin raise exception E'the first line\\nand the second'; end $$"],
            "the database refused: the first line and the second",
        ),
        (
            ["set default_transaction_read_only to on", "create table public.x ()"],
            "default_transaction_read_only is on for this login",
        ),
        (["select pg_terminate_backend(pg_backend_pid())"], "a person, a program or a shutdown"),
        (["select pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"], "a person, a program or a shutdown"),
    ],
)  # fmt: skip
def test_what_ended_the_work_is_named_in_one_line(shared, statements, message):
    with connect(shared) as database:
        *before, last = statements
        for statement in before:
            database.execute(statement)
        with pytest.raises(psycopg.Error) as caught:
            database.execute(last)
    said = explain(caught.value)
    assert message in said
    assert "\n" not in said
