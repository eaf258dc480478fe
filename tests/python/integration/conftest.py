"""A real Postgres: the embedded one, and a second one of another major version if installed.

`by_version` marks what depends on the major version: `make test` runs it on both. `one_server`
marks what the second can say nothing new about: the command line, dbt, the arithmetic. All the rest
runs on the second with `make test-all`; `both_servers` marks such a test of a file that is
`one_server`.

`settings` lead to a database with the bundled prices, features and empty engine tables, which is
dropped after the test; a file that wants another has its own `settings`. `database` is connected to
it, `regime` runs the command on it, and `own` is a copy of it.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import parsing
import pytest
from bundled import PROTOTYPES, US
from commands import regime_command
from psycopg.conninfo import conninfo_to_dict
from servers import DATABASE, TestServer, other_major

from regime_engine import demo
from regime_engine.config import Settings
from regime_engine.database import Database, connect, embedded
from regime_engine.engine import classify, fit, nightly
from regime_engine.prices.load import load_prices

# No test of these servers ends the machine. Commits stay synchronous: a vacuum marks no page whose
# rows were committed otherwise a moment ago.
NOT_DURABLE = ("fsync", "full_page_writes")
MARKS = ("one_server", "by_version", "both_servers")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        marks = (mark.name for mark in metafunc.definition.iter_markers() if mark.name in MARKS)
        closest = next(marks, "both_servers")
        servers = [pytest.param(None, id="embedded")]
        if closest != "one_server" and (folder := other_major()):
            when = () if closest == "by_version" else pytest.mark.second_server
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


@pytest.fixture(scope="session")
def features_template(server: TestServer) -> str:
    with server.new_template("template_features") as database:
        for path in demo.PRICE_FILES:
            load_prices(database, path)
        nightly.build_features(database)
    return "template_features"


@pytest.fixture(scope="session")
def history_template(server: TestServer, features_template: str) -> str:
    """Half a year of US by prototypes."""
    with server.new_template("template_history", features_template) as database:
        fit.fit(database, US, PROTOTYPES)
        classify.backfill(database, US, date(2011, 6, 1), date(2011, 12, 30))
    return "template_history"


@pytest.fixture
def empty_settings(server: TestServer) -> Iterator[Settings]:
    with server.database(DATABASE) as settings:
        yield settings


@pytest.fixture
def settings(server: TestServer, features_template: str) -> Iterator[Settings]:
    with server.database(DATABASE, features_template) as settings:
        yield settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings) as database:
        yield database


@pytest.fixture
def own(server: TestServer, settings: Settings) -> Iterator[Database]:
    template = conninfo_to_dict(settings.database_url)["dbname"]
    with server.database(DATABASE, template) as copy, connect(copy) as database:
        yield database


@pytest.fixture
def regime(settings: Settings) -> Callable[..., subprocess.CompletedProcess]:
    return partial(regime_command, settings)
