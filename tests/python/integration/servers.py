"""Servers of the tests and their databases, and what several files wait for."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from regime_engine import dbt
from regime_engine.config import Settings
from regime_engine.database import Database, connect, embedded

DATABASE = "test"
MODULE_DATABASE = "test_module"
SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
# The server has ended what an ended client of this database asked for, and has counted it.
ALONE = (
    "select count(*) = 1 from pg_stat_activity"
    " where datname = current_database() and backend_type = 'client backend'"
)


@dataclass(frozen=True)
class TestServer:
    """settings of a server's own database"""

    __test__ = False
    settings: Settings

    def execute(self, query: str, **names: str) -> None:
        """Run a statement outside the databases of the tests; names fill its slots."""
        with connect(self.settings) as database:
            database.execute(query, **{slot: sql.Identifier(name) for slot, name in names.items()})

    def create_database(self, name: str, template: str = "template1") -> Settings:
        self.execute("create database {name} template {template}", name=name, template=template)
        url = make_conninfo(self.settings.database_url, dbname=name)
        return replace(self.settings, database_url=url)

    def drop_database(self, name: str) -> None:
        self.execute("drop database if exists {name} with (force)", name=name)

    @contextmanager
    def database(self, name: str, template: str = "template1") -> Iterator[Settings]:
        """A database that is dropped after the block."""
        settings = self.create_database(name, template)
        try:
            yield settings
        finally:
            self.drop_database(name)

    @contextmanager
    def new_template(self, name: str, template: str = "template1") -> Iterator[Database]:
        """A database to fill and then to copy.

        It is filled under the name of every test's database, so that what dbt parsed is of use
        to them all.
        """
        with connect(self.create_database(DATABASE, template)) as database:
            yield database
        self.execute("alter database {filled} rename to {name}", filled=DATABASE, name=name)


def wait_until(database: Database, query: str) -> None:
    deadline = time.monotonic() + 120
    while not database.one(query)[0]:
        assert time.monotonic() < deadline, f"never true: {query}"
        time.sleep(0.02)


def follow_prices(database: Database) -> None:
    """Build what new prices need, on a database where the rest is built."""
    dbt.require_success(dbt.build(database, "daily_features"), "building the features")


def other_major() -> Path | None:
    """Programs of a major version that is not the embedded one's."""
    unused = Settings(state_directory=Path(tempfile.gettempdir(), "regime-test-never-made"))
    program = embedded.client_folder(unused) / "postgres"
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    others = (f for f in SYSTEM_PROGRAMS if f" {f.parent.name}." not in version)
    return next(others, None)
