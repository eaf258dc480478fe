"""Three roles: each can do its work with its own login, and nothing else."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from commands import refusal, regime_command, succeed
from project import ROOT, run_in
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from servers import DATABASE, MODULE_DATABASE
from stored import ENGINE_TABLES, FEATURES

from regime_engine import dbt, open_database, roles
from regime_engine.config import Settings
from regime_engine.database import Database, connect, embedded
from regime_engine.engine import nightly

PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.one_server

As = Callable[[str], Settings]


def settings_of(settings: Settings, login: str) -> Settings:
    return replace(
        settings, database_url=make_conninfo(settings.database_url, user=login, password=PASSWORD)
    )


def create_login(database: Database, name: str, *options: str) -> None:
    database.execute("drop role if exists {name}", name=sql.Identifier(name))
    database.execute(
        "create role {name} login password {password} {options}",
        name=sql.Identifier(name),
        password=sql.Literal(PASSWORD),
        options=sql.SQL(" ".join(options)),
    )


# These three come first: they end with the roles gone, as they are before the others.


@pytest.mark.by_version
def test_a_login_that_may_not_create_roles_is_told_so(server, features_template):
    with connect(server.settings) as database:
        for role in roles.ROLES:
            # As another database of the server may have it.
            database.execute("drop role if exists {role}", role=sql.Identifier(role))
        create_login(database, "reader")
    with server.database("test_no_roles", features_template) as settings:
        line = refusal(regime_command(settings_of(settings, "reader"), "init", "--roles"))
        assert line == (
            "Error: the login reader may not create the roles regime_auditor, regime_engine, "
            "regime_builder: run `regime init --roles` once as one that has CREATEROLE or is a "
            "superuser"
        )


@pytest.mark.by_version
def test_a_login_with_createrole_makes_them_in_its_own_database(server):
    with connect(server.settings) as database:
        create_login(database, "owner", "createrole createdb")
    with server.database("test_owned") as settings:
        with connect(settings) as database:
            database.execute("alter database test_owned owner to owner")
        succeed(regime_command(settings_of(settings, "owner"), "init", "--roles"))
        with connect(settings) as database:
            owners = database.rows(
                "select distinct relowner::regrole::text from pg_class"
                " where relnamespace = 'runtime'::regnamespace and relkind = 'r'"
            ).rows
            assert owners == [("regime_builder",)]
            assert database.one(
                "select has_table_privilege('regime_auditor', 'runtime.regimes', 'select'),"
                " has_table_privilege('regime_auditor', 'runtime.regimes', 'insert'),"
                " has_table_privilege('regime_engine', 'runtime.regimes', 'insert')"
            ) == (True, False, True)
    for role in (*roles.ROLES, "owner", "reader"):
        server.execute("drop role {role}", role=role)


def test_the_login_that_compose_makes_for_grafana_is_an_auditor_and_no_more(server):
    settings = server.settings
    variables = os.environ | {
        "PATH": f"{embedded.client_folder(settings)}:{os.environ['PATH']}",
        "PGPASSFILE": conninfo_to_dict(settings.database_url)["passfile"],
        "PGHOST": conninfo_to_dict(settings.database_url)["host"],
        "POSTGRES_USER": conninfo_to_dict(settings.database_url)["user"],
        "POSTGRES_DB": conninfo_to_dict(settings.database_url)["dbname"],
        "GRAFANA_DATABASE_PASSWORD": PASSWORD + "'$x",
    }
    succeed(run_in(ROOT, ["sh", "examples/docker/logins.sh"], variables))
    url = make_conninfo(settings.database_url, user="grafana", password=PASSWORD + "'$x")
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select roleid::regrole::text from pg_auth_members where member = 'grafana'::regrole"
        ).fetchall()
        assert found == [("regime_auditor",)]
        assert connection.execute(
            "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = 'grafana'"
        ).fetchone() == (False, False, False)
    for role in ("grafana", "regime_auditor"):
        server.execute("drop role {role}", role=role)


@pytest.fixture(scope="module")
def shared(server, history_template) -> Iterator[As]:
    """A finished database with the roles; gives the settings of a login that is a member of one."""
    with server.database(MODULE_DATABASE, history_template) as settings:
        for _ in range(2):
            succeed(regime_command(settings, "init", "--roles"))
        logins = {"auditor": [roles.AUDITOR], "engine": [roles.ENGINE], "builder": [roles.BUILDER]}
        logins["nightly"] = [roles.ENGINE, roles.BUILDER]
        with connect(settings) as database:
            for login, groups in logins.items():
                create_login(database, login, f"in role {', '.join(groups)}")
            # Before anything else: the rights that the rebuild and the audit keep are what is tested.
            succeed(regime_command(settings_of(settings, "builder"), "audit"))
            yield partial(settings_of, settings)
    for login in logins:
        server.execute("drop role {login}", login=login)


OTHERS = {
    "runtime.audit_verdicts",
    "runtime.regions",
    "runtime.current_regions",
    "runtime.run_contents",
    "runtime.regime_labels",
    "runtime.notifications",
    "runtime.notification_deliveries",
}
READABLE = {FEATURES, "staging.stg_prices_daily"} | OTHERS | ENGINE_TABLES
MAY_READ = {"auditor": READABLE, "engine": READABLE | {"runtime.regime_locks"}}


@pytest.mark.parametrize("login", MAY_READ)
def test_a_login_reads_what_its_role_says_and_no_other_table(shared, login):
    with connect(shared(login)) as database:
        relations = database.rows(
            "select nspname || '.' || relname from pg_class"
            " inner join pg_namespace on pg_namespace.oid = relnamespace"
            " where relkind in ('r', 'v') and nspname !~ '^(pg_|information_schema|audit)'"
        ).rows
        readable = set()
        for (name,) in relations:
            try:
                database.execute(f"select * from {name} limit 1")
                readable.add(name)
            except errors.InsufficientPrivilege:
                pass
    assert readable == MAY_READ[login]
    assert "historical.prices_daily" in {name for (name,) in relations}


def test_the_auditor_reads_what_the_audit_found(shared):
    with connect(shared("auditor")) as database:
        tables = database.rows(
            "select relname from pg_class where relnamespace = 'audit_failures'::regnamespace"
            " and relkind = 'r'"
        ).rows
        assert len(tables) >= 30
        for (name,) in tables:
            database.execute("select * from audit_failures.{table}", table=sql.Identifier(name))


FORBIDDEN = {
    "auditor": [
        "insert into runtime.regimes select * from runtime.regimes",
        "update runtime.regimes set regime_label = 'CARRY'",
        "delete from runtime.regime_transitions",
        "truncate runtime.regime_runs",
        "update features.daily_features set close = 1",
        "delete from audit_failures.regimes_have_unique_keys",
        "drop table runtime.regimes",
        "create table runtime.notes (note text)",
        "create schema mine",
        "alter table runtime.regimes disable trigger all",
        "set role regime_engine",
        "set role regime_builder",
        "copy runtime.regimes to program 'cat'",
        "select pg_read_file('/etc/passwd')",
    ],
    "engine": [
        "select close from historical.prices_daily",
        "update historical.prices_daily set close = 1",
        "update features.daily_features set close = 1",
        "delete from runtime.regime_revisions",
        "update runtime.regime_revisions set table_name = 'regimes'",
        "delete from runtime.regime_runs",
        "delete from runtime.regime_models",
        "update runtime.regimes set regime_label = 'CARRY'",
        "update historical.numeric_window_embeddings set vector = ''",
        "update runtime.regime_labels set severity = 9",
        "update runtime.notifications set region = 'US'",
        "delete from runtime.notification_deliveries",
        "truncate runtime.regimes",
        "drop table runtime.regimes",
        "alter table runtime.regimes drop constraint regimes_pkey",
        "create table runtime.notes (note text)",
        "select * from staging.rejected_prices",
        "select * from audit_failures.regimes_have_unique_keys",
        "set role regime_builder",
    ],
    "builder": [
        "insert into historical.prices_daily select * from historical.prices_daily",
        "update historical.prices_daily set close = 1",
        "delete from historical.prices_daily",
        "drop table historical.prices_daily",
        "create role someone",
        "set role regime_engine",
    ],
}


@pytest.mark.parametrize(
    ("login", "statement"), [(login, each) for login in FORBIDDEN for each in FORBIDDEN[login]]
)
def test_a_login_cannot_do_what_its_role_may_not(shared, login, statement):
    with connect(shared(login)) as database, pytest.raises(errors.InsufficientPrivilege):
        database.execute(statement)


def test_the_engine_fits_runs_and_backfills_with_its_own_rights(shared):
    regime = partial(regime_command, shared("engine"))
    for arguments, said in [
        (("fit", "--region", "US", "--states", "2", "--end", "2004-12-31"), "markov version 2 of US"),
        (("backfill", "--region", "US", "--start", "2011-06-01", "--end", "2012-01-31"), "rows written"),
        (("run", "--region", "US", "--as-of", "2011-09-15"), "Regime as of 2011-09-15"),
        (("embed", "--all", "--model-id", "numeric-simple-v1"), "rows written"),
    ]:  # fmt: skip
        assert said in succeed(regime(*arguments)).stdout
    with connect(shared("auditor")) as database:
        (marked,) = database.one(
            "select relallvisible from pg_class where relname = 'numeric_window_embeddings'"
        )
        assert marked > 0
        users = database.rows("select distinct database_user from runtime.regime_runs").rows
        assert ("engine",) in users


def test_the_engine_vacuums_partitions(shared, server, features_template, monkeypatch):
    monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "2000")
    with server.database(DATABASE, features_template) as settings, connect(settings) as database:
        database.execute("drop table historical.numeric_window_embeddings cascade")
        succeed(regime_command(settings, "init", "--roles"))
        succeed(regime_command(settings_of(settings, "engine"), "embed", "--all"))
        unmarked = database.rows(
            "select relname from pg_class"
            " inner join pg_inherits on inhrelid = oid"
            " where inhparent = 'historical.numeric_window_embeddings'::regclass"
            " and relallvisible * 8192 < 0.9 * pg_relation_size(oid)"
        ).rows
        assert unmarked == []
        owned = database.one(
            "select count(*) from pg_class where relname ~ '^numeric_window_embeddings_2'"
            " and relkind = 'r' and relowner = 'regime_builder'::regrole"
        )
        assert owned > (10,)


def test_the_auditor_looks_with_the_command_and_is_told_what_it_may_not(shared):
    regime = partial(regime_command, shared("auditor"))
    reading = [(name, "--region", "US") for name in ("history", "matrix", "forecast", "explain")]
    for arguments in [*reading, ("status",)]:
        succeed(regime(*arguments))
    for arguments, said in [
        (("backfill", "--region", "US"), "permission denied"),
        (("audit",), "run it as a member of regime_builder"),
    ]:
        assert said in refusal(regime(*arguments))


def test_the_auditor_reads_everything_from_python(shared):
    with open_database(shared("auditor").database_url) as opened:
        for frame in (opened.regions(), opened.latest(), opened.forecast("US")):
            assert len(frame)
        for read in (opened.regimes, opened.transitions, opened.spells, opened.transition_matrix):
            assert len(read("US"))
        assert opened.explain("US").region == "US"
        assert len(opened.embeddings("GSPC.INDX").days)


def test_a_rebuild_of_everything_by_the_builder_keeps_every_right(shared):
    def rights(database):
        return database.rows(
            "select nspname, relname, array(select r::text from unnest(relacl) as r order by 1)"
            " from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace"
            " where nspname in ('features', 'staging', 'runtime', 'historical', 'audit_failures')"
            " and relkind in ('r', 'v') order by 1, 2"
        ).rows

    settings = shared("nightly")
    with connect(settings) as database:
        database.execute("grant select on features.daily_features to pg_monitor")
        before = rights(database)
        assert any("regime_auditor=r" in str(acl) for _, name, acl in before if name == "regimes")
        database.execute("drop table features.daily_features cascade")
        nightly.build_features(database)
        dbt.test(database, "audit")
        after = rights(database)
    lost = {"pg_monitor"}  # what was granted on a table that was dropped
    assert [
        (schema, name, [r for r in acl if not any(word in r for word in lost)])
        for schema, name, acl in before
    ] == after


def test_the_nightly_job_needs_both_roles_and_tells_people_with_them(shared, monkeypatch):
    monkeypatch.setenv("REGIME_NOTIFY_APP", "postgres:regimes")
    done = succeed(regime_command(shared("nightly"), "pipeline", "--region", "US", "--notify"))
    assert "notified app: " in done.stdout
    succeed(regime_command(shared("engine"), "notify", "--since", "1d"))
    assert "permission denied" in refusal(regime_command(shared("auditor"), "notify"))


def test_an_error_quotes_no_row(shared):
    """A constraint that fails has the row in its detail, and the ledger is open to others."""
    with connect(shared("builder")) as database:
        database.execute("set role regime_builder")
        database.execute(
            "alter table runtime.regimes add constraint no_crisis"
            " check (regime_label <> 'CRISIS') not valid"
        )
        try:
            span = ("--start", "2008-09-01", "--end", "2009-12-31")
            result = regime_command(shared("engine"), "backfill", "--region", "US", *span)
        finally:
            database.execute("alter table runtime.regimes drop constraint no_crisis")
    assert result.returncode == 1
    with connect(shared("auditor")) as database:
        (error,) = database.one("select error from runtime.regime_runs where status = 'FAILED'")
    for said in (error, result.stderr):
        assert "no_crisis" in said
        assert "Failing row" not in said
        assert "distances" not in said


def test_the_engine_adds_a_region_and_the_builder_forgets_a_series(shared):
    add = ("region", "add", "USA", "--instrument-id", "GSPC.INDX")
    succeed(regime_command(shared("engine"), *add))
    succeed(regime_command(shared("auditor"), "region", "list"))
    line = refusal(regime_command(shared("auditor"), "history", "--region", "UAS"))
    assert "unknown region 'UAS': known are US, USA, US_TECH" in line
    forget = ("forget", "--region", "US", "--yes")
    assert "permission denied" in refusal(regime_command(shared("engine"), *forget))
    succeed(regime_command(shared("builder"), *forget))
    with connect(shared("auditor")) as database:
        assert database.one("select count(*) from runtime.regimes where region = 'US'") == (0,)
