"""A real Postgres: the embedded one, and a second time one of another major version if installed
(but for the files marked `one_server`, which are about the command line, dbt or the arithmetic).

`database` is empty; `features_database` has the bundled prices, features and empty engine tables.
Both are dropped after the test.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from commands import regime_command
from psycopg import sql
from psycopg.conninfo import make_conninfo

from regime_engine import demo, phases
from regime_engine.config import Settings
from regime_engine.database import connect, embedded
from regime_engine.prices.load import load_prices

# Few names, since dbt parses the project anew for each.
DATABASE = "test"
MODULE_DATABASE = "test_module"
SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class TestServer:
    """settings of a server's own database, and a folder for what belongs to the test run."""

    __test__ = False
    settings: Settings

    def create_database(self, name: str, template: str = "template1") -> Settings:
        with connect(self.settings) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return replace(
            self.settings, database_url=make_conninfo(self.settings.database_url, dbname=name)
        )

    @contextmanager
    def new_template(self, name: str, template: str = "template1") -> Iterator[Settings]:
        """A database to fill and then to copy.

        It is filled under the name of every test's database, so that what dbt parsed is of use
        to them all.
        """
        yield self.create_database(DATABASE, template)
        with connect(self.settings) as connection:
            connection.execute(
                sql.SQL("alter database {} rename to {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(name)
                )
            )

    def drop_database(self, name: str) -> None:
        with connect(self.settings) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )


def other_major() -> Path | None:
    """Programs of a major version that is not the embedded one's."""
    unused = Settings(state_directory=Path(tempfile.gettempdir(), "regime-test-never-made"))
    program = embedded.client_folder(unused) / "postgres"
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    others = (f for f in SYSTEM_PROGRAMS if f" {f.parent.name}." not in version)
    return next(others, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        folders = [None]
        if not metafunc.definition.get_closest_marker("one_server"):
            folders += filter(None, [other_major()])
        names = ["embedded" if f is None else f"postgres{f.parent.name}" for f in folders]
        metafunc.parametrize("server", folders, ids=names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    # As root the server runs as another user, who cannot enter pytest's own folders.
    state = Path(tempfile.mkdtemp(prefix="regime-test-"))
    state.chmod(0o755)
    settings = Settings(state_directory=state)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PG", "REGIME_"))]:
            patch.delenv(name)
        if request.param:
            patch.setenv("PG_BIN", str(request.param))
        try:
            url = embedded.start(settings).conninfo
            yield TestServer(replace(settings, database_url=url))
        finally:
            embedded.stop(settings)
            shutil.rmtree(state)


@pytest.fixture
def database(server: TestServer) -> Iterator[Settings]:
    yield server.create_database(DATABASE)
    server.drop_database(DATABASE)


@pytest.fixture(scope="session")
def features_template(server: TestServer) -> str:
    with (
        server.new_template("template_features") as settings,
        connect(settings) as connection,
    ):
        for path in demo.PRICE_FILES:
            load_prices(connection, settings, path)
        phases.build_features(settings, connection)
    return "template_features"


@pytest.fixture
def features_database(server: TestServer, features_template: str) -> Iterator[Settings]:
    yield server.create_database(DATABASE, features_template)
    server.drop_database(DATABASE)


@pytest.fixture
def connection(features_database: Settings) -> Iterator[psycopg.Connection]:
    with connect(features_database) as connection:
        yield connection


@pytest.fixture
def regime(features_database: Settings) -> Callable[..., subprocess.CompletedProcess]:
    """Run the command on `features_database`."""
    return partial(regime_command, features_database)
