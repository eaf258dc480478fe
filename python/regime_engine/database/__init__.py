"""Connections to the database that holds prices, features and regimes."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors

from regime_engine.config import EMBEDDED, Settings
from regime_engine.errors import RegimeError

CONNECT_TIMEOUT_SECONDS = 10

# What psycopg warns of on the way out of a failed block is raised as an error too.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


def connect(settings: Settings) -> psycopg.Connection:
    """A connection in autocommit mode; the embedded server is started when it is the one meant.

    raises RegimeError where no server answers or the login is refused, without the password
    """
    conninfo = settings.database_url
    if conninfo == EMBEDDED:
        from regime_engine.database import embedded

        conninfo = embedded.start(settings).conninfo
    elif conninfo.count("@") > 1 and "://" in conninfo:
        raise RegimeError(
            "the database URL has more than one '@': write special characters of the user name "
            "and password in percent-encoding ('@' is %40)"
        )
    try:
        return psycopg.connect(conninfo, autocommit=True, **_unless_given(conninfo))
    except psycopg.ProgrammingError as error:
        # libpq's message quotes the string, and with it perhaps the password.
        raise RegimeError(
            "the database URL cannot be read: expected postgresql://user@host:port/database or "
            "host=… dbname=… (see --database-url)"
        ) from error
    except (psycopg.OperationalError, UnicodeError) as error:
        reason = " ".join(str(error).split())
        raise RegimeError(
            f"no connection to Postgres: {reason} (check --database-url, REGIME_DATABASE_URL or "
            "the PG… variables)"
        ) from error


def _unless_given(conninfo: str) -> dict[str, Any]:
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    defaults = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "regime"}
    return {name: value for name, value in defaults.items() if name not in given}


def libpq_environment(connection: psycopg.Connection) -> dict[str, str]:
    """The variables with which libpq (psql, dbt) reaches the database of this connection."""
    info = connection.info
    variables = {
        option.envvar.decode(): option.val.decode()
        for option in connection.pgconn.info
        if option.envvar and option.val and option.val != option.compiled
    }
    variables |= {
        "PGHOST": info.host,
        "PGPORT": str(info.port),
        "PGUSER": info.user,
        "PGDATABASE": info.dbname,
    }
    if info.password:
        variables["PGPASSWORD"] = info.password
    return variables


@contextlib.contextmanager
def locked(connection: psycopg.Connection, name: str) -> Iterator[None]:
    """Hold the advisory lock of this name on the session; others that want it wait."""
    key = f"regime:{name}"
    connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [key])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [key])


def row_hash(*values: str) -> str:
    """SQL for the sha-256 (hex) over a row's values, as the canonical text of a JSON array.

    The same as the macro row_hash, by which the audit finds an edited row. values: SQL expressions;
    a timestamp goes in as its epoch, since the text of one depends on the session's time zone.
    """
    return (
        f"encode(sha256(convert_to(jsonb_build_array({', '.join(values)})::text, 'UTF8')), 'hex')"
    )


def explain(error: Exception) -> str | None:
    """One line for what the database refused, None for an error that is not the database's."""
    if not isinstance(error, psycopg.Error):
        return None
    text = error.diag.message_primary or " ".join(str(error).split())
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)):
        return (
            f"{text}: tables are missing or unfinished; for features and views run `regime "
            "pipeline` once prices are loaded, for all else run `regime init`"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{text}: log in as a user who may, or have this granted"
    if isinstance(error, psycopg.OperationalError):
        return f"the database ended the work: {text}; nothing half-written, run the command again"
    return f"the database refused: {text}"
