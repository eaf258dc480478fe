"""What a session of ours is: its own settings, and one server process from its first statement to
its last."""

import select
from typing import Any

import psycopg
from psycopg import pq, sql

from regime_engine.config import Settings
from regime_engine.errors import RegimeError

# What decides how values are read and written, how names are resolved, what a statement sees, and
# how long it takes. A role, a database, an environment or a pooler may have set any of them
# otherwise. A test holds this list and the one in profiles/profiles.yml together.
SETTINGS = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    # A policy that hides rows raises an error; silently, the results would be of the other rows.
    "row_security": "off",
    # To compile the many expressions of our views takes longer than to run them.
    "jit": "off",
    "default_transaction_isolation": "read committed",
    # The session that holds the lock of a build is idle while dbt works.
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # Without pg_temp, a session's temporary tables and types would come before those of Postgres.
    "search_path": "pg_catalog, pg_temp",
}
DEFAULT_LOCK_TIMEOUT = 3600  # seconds
CHECK_CLIENT_SECONDS = 3
ANSWER_SECONDS = 10
# How often two connections compare their server processes, and how long the second may wait.
PROBES = 3
PROBE_SECONDS = 2

_ASK = b"select pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_encoding')"


def settings_statement(
    settings: Settings, server_version: int, search_path: str | None = None
) -> sql.Composed:
    """The statements that make a new session ours.

    search_path: one to keep
    """
    values = dict(SETTINGS)
    if search_path:
        del values["search_path"]
    if server_version >= 170000:
        values["transaction_timeout"] = "0"
    if settings.lock_timeout is not None:
        values["lock_timeout"] = f"{settings.lock_timeout}s"
    # Plain `set`: the name of a function would be looked up by the search_path that is to be set.
    statements: list[sql.Composable] = [
        sql.SQL("set {} to {}").format(sql.Identifier(name), _literals(value))
        for name, value in values.items()
    ]
    # A killed command's statement ends too, and with it its locks.
    check = sql.SQL("""
        select pg_catalog.set_config('client_connection_check_interval', {}, false)
        where pg_catalog.version() operator(pg_catalog.~) 'linux'
    """)
    statements.append(check.format(sql.Literal(f"{CHECK_CLIENT_SECONDS}s")))
    if settings.lock_timeout is None:
        unlimited = sql.SQL("""
            select pg_catalog.set_config('lock_timeout', {}, false)
            where pg_catalog.current_setting('lock_timeout') operator(pg_catalog.=) '0'
        """)
        statements.append(unlimited.format(sql.Literal(f"{DEFAULT_LOCK_TIMEOUT}s")))
    return sql.SQL("; ").join(statements)


def _literals(value: str) -> sql.Composed:
    """A setting's value; each name of a list by itself, since a quoted comma separates nothing."""
    return sql.SQL(", ").join(map(sql.Literal, value.split(", ")))


def make_ours(
    connection: psycopg.Connection[Any], settings: Settings, parameters: dict[str, Any]
) -> int:
    """Set what a session of ours needs; returns its server process.

    parameters: those of the connection, to open another one like it
    raises RegimeError if the database is not UTF8, or if a pooler gives each transaction another
    server process
    """
    answer = _ask(connection, ANSWER_SECONDS)
    if answer is None:
        raise RegimeError(
            f"the server accepted the login and then did not answer for {ANSWER_SECONDS} s: if a "
            "pooler stands between, its pool has no free connection (raise its pool size)"
        )
    pid, encoding = int(answer[0]), answer[1]
    if encoding != "UTF8":
        raise RegimeError(
            f"the database {connection.info.dbname} has the encoding {encoding}, and regime needs "
            "UTF8: use another database (create database … template template0 encoding 'UTF8')"
        )
    # A pooler gives the client a number of its own.
    if pid != connection.info.backend_pid:
        _require_session_pooling(connection, parameters)
    connection.execute(settings_statement(settings, connection.info.server_version))
    return pid


def open_another(
    settings: Settings, parameters: dict[str, Any]
) -> psycopg.Connection[tuple[Any, ...]]:
    """A further session of ours, where `make_ours` has made one."""
    connection = psycopg.connect(**parameters, autocommit=True)
    connection.execute(settings_statement(settings, connection.info.server_version))
    return connection


def _require_session_pooling(
    connection: psycopg.Connection[Any], parameters: dict[str, Any]
) -> None:
    """raises RegimeError if two connections get one server process, or one connection gets two

    Nothing has been set or locked before: with transaction pooling, the next client would get it.
    """
    try:
        other = psycopg.connect(**parameters | {"connect_timeout": PROBE_SECONDS}, autocommit=True)
    except psycopg.OperationalError:
        return  # the pool has no second connection, so none is shared
    ours, others = set(), set()
    try:
        for _ in range(PROBES):
            ours.add(_ask(connection, ANSWER_SECONDS))
            others.add(_ask(other, PROBE_SECONDS))
            if None in others:
                break
    finally:
        other.pgconn.finish()
    if len(ours) > 1 or ours & others:
        raise RegimeError(
            f"{connection.info.host}:{connection.info.port} is a pooler that gives each "
            "transaction another session, which loses settings, locks and temporary tables: "
            "connect to Postgres itself, or to a pool with pool_mode = session"
        )


def _ask(connection: psycopg.Connection[Any], seconds: float) -> tuple[str, str] | None:
    """(server process, encoding of the database); None if there is no answer in time."""
    connection.pgconn.send_query(_ASK)
    connection.pgconn.flush()
    rows: list[tuple[str, str]] = []
    while True:
        while connection.pgconn.is_busy():
            if not select.select([connection.fileno()], [], [], seconds)[0]:
                return None
            connection.pgconn.consume_input()
        result = connection.pgconn.get_result()
        if result is None:
            return rows[0]
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(result.get_error_message())
        rows += [(_text(result, 0), _text(result, 1))]


def _text(result: "pq.abc.PGresult", column: int) -> str:
    return (result.get_value(0, column) or b"").decode()
