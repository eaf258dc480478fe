"""How the tests are shared out among the processes of pytest-xdist."""

import os
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadFileScheduling

# As the command line does; commands that the tests fork have the numpy of the tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The rest takes seconds: so all processes end together.
DEAREST_FIRST = (
    "second server",
    *("test_dbt", "test_market", "test_ci", "test_package", "test_docs", "test_fitting"),
    *("test_features", "test_engine", "test_own_prices", "test_partitions", "test_audit_views"),
    *("test_embedded", "test_mutations", "test_audit", "test_roles", "test_report", "test_errors"),
    *("test_forget", "test_regions"),
    *("test_global", "test_notebook", "test_reading", "test_analogues", "test_load", "test_markov"),
)


def together(nodeid: str) -> str:
    """What runs in one process: a file, or all that `make test` runs on the second server."""
    return "second server" if "[postgres" in nodeid else PurePath(nodeid.split("::")[0]).stem


class Together(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadFileScheduling:
    # `make test-all` runs whole files there.
    kind = LoadFileScheduling if config.option.markexpr == "second_server" else Together
    return kind(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(DEAREST_FIRST)}
    items.sort(key=lambda item: places.get(together(item.nodeid), len(places)))
