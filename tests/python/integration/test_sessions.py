"""Whatever the role, the database, the environment or a pooler says: a session is ours, a lock is
held by who needs it, and nobody waits without a word."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from bundled import US
from commands import Process, environment, forked_path, refusal, regime_command, succeed
from pooler import PROGRAM, Pooler, pooled
from project import ROOT, run_in
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from servers import MODULE_DATABASE, wait_until

from regime_engine import dbt, roles
from regime_engine.config import Settings
from regime_engine.database import Database, connect, explain, libpq_environment
from regime_engine.database.session import SETTINGS
from regime_engine.errors import RegimeError
from regime_engine.runs import ledger

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
def shared(server, history_template) -> Iterator[Settings]:
    """A finished database with the roles and two logins, and settings that are nobody's wish."""
    with server.database(MODULE_DATABASE, history_template) as settings:
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
    return SETTINGS | {"search_path": '""'}


def test_a_connection_that_dbt_opens_from_the_shell_has_the_same_settings(shared, tmp_path):
    with connect(shared) as database:
        env = environment(shared) | libpq_environment(database)
    env |= {"PATH": forked_path(), "REGIME_DBT_ROLE": roles.BUILDER}
    query = ASKED.format(names=sql.Literal(list(SETTINGS)).as_string())
    query = f"select current_user as name, '' as setting union all ({query})"
    options = ("--profiles-dir", "profiles", "--target-path", str(tmp_path), "--limit", "100")
    shown = succeed(
        run_in(ROOT, ["dbt", "show", "--inline", query, "--output", "json", *options], env)
    )
    print(shown.stdout)
    assert False
