"""Connections to the database that holds prices, features and regimes."""

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from string import Formatter
from typing import Any, Generic, LiteralString, Self, TypeAlias, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from regime_engine.config import EMBEDDED, Settings
from regime_engine.database import session
from regime_engine.database.watch import Watch
from regime_engine.errors import RegimeError

# Of a connection whose URL does not say otherwise.
DEFAULTS: dict[str, Any] = {"connect_timeout": 10, "application_name": "regime"}

Record = TypeVar("Record")
Query: TypeAlias = LiteralString | sql.SQL | sql.Composed
Parameters: TypeAlias = Mapping[str, Any] | Sequence[Any] | None

# What psycopg warns of on the way out of a failed block is raised as an error too.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Rows(Generic[Record]):
    """What a query gives: the names of its columns, and a tuple a row.

    Record: a dataclass that has a field for each column
    """

    headers: list[str]
    rows: list[tuple[Any, ...]]

    def records(self, kind: type[Record]) -> list[Record]:
        """Each row as an object with names. kind: Record"""
        return [kind(**dict(zip(self.headers, row, strict=True))) for row in self.rows]


@dataclass(frozen=True)
class Database:
    """A connection in autocommit mode, and what the tables of its database are called.

    A query is a text with slots in braces, or composed already. The keyword of a slot's name fills
    it, else the table or view of dbt's model of that name:
    `database.one("select max(trade_date) from {daily_features}")`.
    """

    connection: psycopg.Connection[tuple[Any, ...]]
    settings: Settings
    watch: Watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.end()
        self.connection.close()

    def table(self, name: str) -> sql.Identifier:
        """The table, view or function of dbt's model, seed or function of this name."""
        return sql.Identifier(*self.settings.table(name))

    def compose(self, query: Query, /, **slots: sql.Composable) -> sql.Composed:
        """The query with its slots filled."""
        if isinstance(query, sql.Composed):
            return query
        template = query if isinstance(query, sql.SQL) else sql.SQL(query)
        wanted = {name for _, name, _, _ in Formatter().parse(template.as_string()) if name}
        return template.format(**{name: self.table(name) for name in wanted - slots.keys()} | slots)

    def execute(
        self, query: Query, parameters: Parameters = None, /, **slots: sql.Composable
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        return self.connection.execute(self.compose(query, **slots), parameters)

    def first(
        self, query: Query, parameters: Parameters = None, /, **slots: sql.Composable
    ) -> tuple[Any, ...] | None:
        """The first row, None where there is none."""
        return self.execute(query, parameters, **slots).fetchone()

    def one(
        self, query: Query, parameters: Parameters = None, /, **slots: sql.Composable
    ) -> tuple[Any, ...]:
        """The first row of a query that always has one."""
        row = self.first(query, parameters, **slots)
        assert row is not None
        return row

    def rows(self, query: Query, parameters: Parameters = None, /, **slots: sql.Composable) -> Rows:
        """All rows, with the names of the columns."""
        cursor = self.execute(query, parameters, **slots)
        assert cursor.description is not None
        return Rows([column.name for column in cursor.description], cursor.fetchall())

    def rows_of_each(
        self, query: Query, each: Sequence[Mapping[str, object]], /, **slots: sql.Composable
    ) -> list[list[tuple[Any, ...]]]:
        """The rows for each of the parameters, all sent together.

        Use it to look up several names by key: a distributed Postgres refuses the one query that
        would do the same with a lateral join.
        """
        if not each:
            return []
        with self.connection.cursor() as cursor:
            cursor.executemany(self.compose(query, **slots), each, returning=True)
            return [result.fetchall() for result in cursor.results()]

    def rows_for_all(
        self, query: Query, each: Sequence[Mapping[str, object]], /, **slots: sql.Composable
    ) -> Rows:
        """The rows for all of the parameters in one table; without parameters it has no columns."""
        if not each:
            return Rows([], [])
        with self.connection.cursor() as cursor:
            cursor.executemany(self.compose(query, **slots), each, returning=True)
            columns = [column.name for column in cursor.description or ()]
            return Rows(columns, [row for result in cursor.results() for row in result])

    def transaction(
        self, force_rollback: bool = False
    ) -> contextlib.AbstractContextManager[psycopg.Transaction]:
        return self.connection.transaction(force_rollback=force_rollback)

    def pipeline(self) -> contextlib.AbstractContextManager[psycopg.Pipeline]:
        return self.connection.pipeline()

    def create_locks(self, owner: str | None = None) -> None:
        """Create the table of locks if it is missing. owner: the role that is to own it

        dbt does not create it, since its first build has to be locked already.
        """
        name = self.table("regime_locks")
        if self.one("select to_regclass(%s) is not null", [name.as_string()])[0]:
            return
        schema, _ = self.settings.table("regime_locks")
        with created_by_one_of_several(self):
            if not self.one("select to_regnamespace(quote_ident(%s)) is not null", [schema])[0]:
                self.execute("create schema {schema}", schema=sql.Identifier(schema))
        with created_by_one_of_several(self):
            if owner:
                self.execute("set local role {owner}", owner=sql.Identifier(owner))
            self.execute("create table {regime_locks} (name text primary key)")

    @contextlib.contextmanager
    def locked(self, owner: str | None = None) -> Iterator[None]:
        """Be the only one that builds in this database: dbt's relations, or an index.

        A lock of a table, since anyone may take any advisory lock, while this one needs the right
        to write there. The transaction that holds it is open as long as it is needed; it has no
        snapshot and no number, so that it keeps no vacuum from its work.
        owner: the role that is to own the table of locks if it is missing
        """
        self.create_locks(owner)
        with self.transaction():
            self.execute("lock table {regime_locks} in share update exclusive mode")
            yield

    def take_turns(self, names: Iterable[str]) -> None:
        """Lock these names until the end of the transaction; all lock in one order."""
        # The table is missing if only dbt, from the shell, has built here.
        self.create_locks()
        self.execute(
            """
            insert into {regime_locks} (name)
            select name
            from unnest(%s::text[]) as name
            order by name
            on conflict (name) do update set name = excluded.name where false
            """,
            [list(names)],
        )


@contextlib.contextmanager
def created_by_one_of_several(database: Database) -> Iterator[None]:
    """A transaction that creates something, unless another session does so at the same moment."""
    with (
        contextlib.suppress(
            errors.DuplicateSchema,
            errors.DuplicateTable,
            errors.DuplicateObject,
            errors.UniqueViolation,
        ),
        database.transaction(),
    ):
        yield


def connect(settings: Settings) -> Database:
    """The database of the settings; the embedded server is started if it is the one meant.

    raises RegimeError where no server answers or the login is refused, without the password, and
    where the database or a pooler cannot serve
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
        given = psycopg.conninfo.conninfo_to_dict(conninfo)
        parameters = DEFAULTS | given | {"client_encoding": session.SETTINGS["client_encoding"]}
        parameters["conninfo"] = conninfo
        connection = psycopg.connect(**parameters, autocommit=True)
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
    try:
        pid = session.make_ours(connection, settings, parameters)
    except BaseException:
        connection.close()
        raise
    watch = Watch(connection, partial(session.open_another, settings, parameters), pid)
    watch.start()
    return Database(connection, settings, watch)


def libpq_environment(database: Database) -> dict[str, str]:
    """The variables with which libpq (psql, dbt) reaches the database."""
    info = database.connection.info
    variables = {
        option.envvar.decode(): option.val.decode()
        for option in database.connection.pgconn.info
        if option.envvar and option.val and option.val != option.compiled
    }
    variables |= {"PGHOST": info.host, "PGPORT": str(info.port)}
    variables |= {"PGUSER": info.user, "PGDATABASE": info.dbname}
    if info.password:
        variables["PGPASSWORD"] = info.password
    return variables


def document(value: Mapping[str, object]) -> Jsonb:
    """A JSON document as a parameter of a query; a date in it becomes YYYY-MM-DD."""
    return Jsonb(value, dumps=partial(json.dumps, default=str))


def row_hash(values: LiteralString) -> sql.SQL:
    """SQL for the sha-256 (hex) over a row's values, as the canonical text of a JSON array.

    The macro row_hash gives the same expression to the audit, which finds an edited row by it.
    values: SQL expressions, separated by commas. A timestamp is hashed as its epoch, since its text
    depends on the time zone of the session.
    """
    return sql.SQL(f"encode(sha256(convert_to(jsonb_build_array({values})::text, 'UTF8')), 'hex')")


def explain(error: BaseException) -> str | None:
    """One line for what the database refused, None for an error that is not the database's."""
    if not isinstance(error, psycopg.Error):
        return None
    text = " ".join((error.diag.message_primary or str(error)).split())
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)):
        return (
            f"{text}: tables are missing or unfinished; for features and views run `regime "
            "pipeline` once prices are loaded, for all else run `regime init`"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{text}: log in as a user who may, or have this granted"
    if advice := _ended_by(error, text):
        return f"the database ended the work: {text}; nothing is half-written: {advice}"
    if isinstance(error, psycopg.OperationalError):
        return f"the database ended the work: {text}; nothing half-written, run the command again"
    return f"the database refused: {text}"


def advice_on_timeouts(text: str) -> str | None:
    """What to do about the timeout that Postgres names in this text; None if it names none."""
    if "statement timeout" in text:
        return (
            "raise the setting statement_timeout of this login (`alter role … set "
            "statement_timeout`), then run the command again"
        )
    if "lock timeout" in text:
        return (
            "another session held a lock for longer than lock_timeout allows; end that session "
            "or set REGIME_LOCK_TIMEOUT to more seconds, then run the command again"
        )
    return None


def _ended_by(error: psycopg.Error, text: str) -> str | None:
    """What to do about a limit or a person that ended the work; None for another error."""
    if advice := advice_on_timeouts(text):
        return advice
    match error:
        case errors.QueryCanceled() | errors.AdminShutdown():
            return "a person, a program or a shutdown ended the statement; run the command again"
        case errors.ReadOnlySqlTransaction():
            return (
                "the server is a standby, or default_transaction_read_only is on for this login or "
                "database; connect where you may write"
            )
        case errors.DiskFull() | errors.OutOfMemory() | errors.ConfigurationLimitExceeded():
            return "free or allow more of it on the server, then run the command again"
        case errors.TooManyConnections():
            return "free some connections, or use fewer --workers, then run the command again"
    return None
