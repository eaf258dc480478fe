"""A real Postgres: the embedded one, and a second one of another major version if installed.

`by_version` marks what depends on the major version: `make test` runs it on both. `one_server`
marks what the second can say nothing new about: the command line, dbt, the arithmetic. All the rest
runs on the second with `make test-all`.

`empty_settings` is an empty database; that of `features_settings` has the bundled prices, features and empty engine tables.
Both are dropped after the test.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import parsing
import pytest
from commands import regime_command
from psycopg import sql
from psycopg.conninfo import make_conninfo

from regime_engine import dbt, demo
from regime_engine.config import Settings
from regime_engine.database import Database, connect, embedded
from regime_engine.engine import nightly
from regime_engine.prices.load import load_prices

DATABASE = "test"
MODULE_DATABASE = "test_module"
# No test of these servers ends the machine. Commits stay synchronous: a vacuum marks no page whose
# rows were committed otherwise a moment ago.
NOT_DURABLE = ("fsync", "full_page_writes")
SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class TestServer:
    """settings of a server's own database, and a folder for what belongs to the test run."""

    __test__ = False
    settings: Settings

    def create_database(self, name: str, template: str = "template1") -> Settings:
        with connect(self.settings) as database:
            database.execute(
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
        with connect(self.settings) as database:
            database.execute(
                sql.SQL("alter database {} rename to {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(name)
                )
            )

    def drop_database(self, name: str) -> None:
        with connect(self.settings) as database:
            database.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )


def wait_until(database: Database, query: str) -> None:
    deadline = time.monotonic() + 120
    while not database.execute(query).fetchone()[0]:
        assert time.monotonic() < deadline, f"never true: {query}"
        time.sleep(0.02)


# The server has ended what an ended client of this database asked for, and has counted it.
ALONE = (
    "select count(*) = 1 from pg_stat_activity"
    " where datname = current_database() and backend_type = 'client backend'"
)


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker
        servers = [pytest.param(None, id="embedded")]
        if not marker("one_server") and (folder := other_major()):
            when = () if marker("by_version") else pytest.mark.second_server
            servers += [pytest.param(folder, id=f"postgres{folder.parent.name}", marks=when)]
        metafunc.parametrize("server", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    own_folder = tmp_path_factory.getbasetemp()
    # With xdist each process has a folder of its own, inside the test run's.
    parsing.share(own_folder.parent if "PYTEST_XDIST_WORKER" in os.environ else own_folder)
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
            settings = replace(settings, database_url=embedded.start(settings).conninfo)
            with connect(settings) as database:
                for setting in NOT_DURABLE:
                    database.execute(f"alter system set {setting} = off")
                database.execute("select pg_reload_conf()")
            yield TestServer(settings)
        finally:
            embedded.stop(settings)
            shutil.rmtree(state)


@pytest.fixture
def empty_settings(server: TestServer) -> Iterator[Settings]:
    yield server.create_database(DATABASE)
    server.drop_database(DATABASE)


@pytest.fixture(scope="session")
def features_template(server: TestServer) -> str:
    with server.new_template("template_features") as settings, connect(settings) as database:
        for path in demo.PRICE_FILES:
            load_prices(database, path)
        nightly.build_features(database)
    return "template_features"


@pytest.fixture
def features_settings(server: TestServer, features_template: str) -> Iterator[Settings]:
    yield server.create_database(DATABASE, features_template)
    server.drop_database(DATABASE)


@pytest.fixture
def database(features_settings: Settings) -> Iterator[Database]:
    with connect(features_settings) as database:
        yield database


@pytest.fixture
def regime(features_settings: Settings) -> Callable[..., subprocess.CompletedProcess]:
    """Run the command on the database of `features_settings`."""
    return partial(regime_command, features_settings)
