"""The whole job on a real Citus, beside the same on a plain Postgres.

REGIME_TEST_CITUS_URL leads to a database of the coordinator in which the extension knows the nodes,
as a superuser. The tests make databases of their own on all nodes, and drop them.
"""

import csv
import gzip
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psycopg
import pytest
from bundled import V1
from commands import Process, environment, forked_path, regime_command, succeed
from project import ROOT, run_in
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo
from servers import MODULE_DATABASE
from shapes import DISTRIBUTED, ON_EVERY_NODE
from stored import (
    EMBEDDINGS,
    FEATURES,
    MODELS,
    OF_A_RUN,
    PRICES,
    REGIMES,
    TRANSITIONS,
    contents,
)
from test_shapes import INCOMING, SHAPES

from regime_engine import demo
from regime_engine.config import Settings
from regime_engine.database import connect, libpq_environment

TIMEOUT = 600  # seconds; a cluster for tests may be slow
URL = os.environ.get("REGIME_TEST_CITUS_URL", "")
if not URL:
    pytest.skip("REGIME_TEST_CITUS_URL names no Citus", allow_module_level=True)

pytestmark = pytest.mark.one_server

FIRST_DAY, LAST_DAY = "2012-01-01", "2018-12-14"
WRITTEN = (PRICES, FEATURES, EMBEDDINGS, REGIMES, TRANSITIONS, MODELS)
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The times of a load, a build and a run; two databases never agree on them.
OF_A_MOMENT = (*OF_A_RUN, "loaded_at", "row_hash")


@dataclass(frozen=True)
class Citus:
    """A cluster; nodes: host and port of each, the coordinator first"""

    nodes: list[tuple[str, int]]

    @classmethod
    def of(cls, url: str) -> "Citus":
        with psycopg.connect(url) as connection:
            coordinator = (connection.info.host, connection.info.port)
            workers = connection.execute(
                "select nodename, nodeport from pg_dist_node"
                " where groupid <> 0 and noderole = 'primary' order by groupid"
            ).fetchall()
        return cls([coordinator, *workers])

    def urls(self, database: str | None = None) -> list[str]:
        name = {"dbname": database} if database else {}
        return [make_conninfo(URL, host=host, port=port, **name) for host, port in self.nodes]

    def create_database(self, name: str) -> str:
        self.drop_database(name)
        for url in self.urls():
            execute(url, sql.SQL("create database {}").format(sql.Identifier(name)))
        for url in self.urls(name):
            execute(url, "create extension citus")
        (host, port), *workers = self.nodes
        coordinator = self.urls(name)[0]
        execute(coordinator, "select citus_set_coordinator_host(%s, %s)", host, port)
        for worker in workers:
            execute(coordinator, "select citus_add_node(%s, %s)", *worker)
        return coordinator

    def drop_database(self, name: str) -> None:
        for url in self.urls():
            drop = "drop database if exists {} with (force)"
            execute(url, sql.SQL(drop).format(sql.Identifier(name)))


def execute(url: str, query, *parameters) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(query, parameters)


def regime(settings: Settings, *arguments: str) -> str:
    return succeed(regime_command(settings, *arguments, timeout=TIMEOUT)).stdout


@dataclass(frozen=True)
class Both:
    """A database on a Citus and one on a plain Postgres, in which the same was done."""

    citus: Settings
    plain: Settings
    folder: Path

    def regime(self, *arguments: str) -> list[str]:
        """What the command prints on each of the two."""
        return [regime(each, *arguments) for each in self.each]

    @property
    def each(self) -> tuple[Settings, Settings]:
        return self.citus, self.plain

    def contents(self, *without: str) -> list[dict[str, list[str]]]:
        found = []
        for each in self.each:
            with connect(each) as database:
                found.append(contents(database, WRITTEN, without))
        return found


def prices(path: Path, first: str, last: str, restated: dict[str, float] | None = None) -> Path:
    """A file of the bundled prices of these days; restated: day → what its close is multiplied by"""
    with path.open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(("instrument_id", "trade_date", "close", "volume"))
        for source in demo.PRICE_FILES:
            with gzip.open(source, "rt") as lines:
                for row in csv.DictReader(lines):
                    if first <= row["trade_date"] <= last:
                        factor = (restated or {}).get(row["trade_date"], 1)
                        close = float(row["close"]) * factor
                        written.writerow(
                            (row["instrument_id"], row["trade_date"], close, row["volume"])
                        )
    return path


def dbt(settings: Settings, target: Path, *arguments: str) -> str:
    with connect(settings) as database:
        env = environment(settings) | libpq_environment(database) | {"PATH": forked_path()}
    paths = ("--profiles-dir", "profiles", "--target-path", target, "--log-path", target)
    return succeed(run_in(ROOT, ["dbt", *arguments, *map(str, paths)], env)).stdout


@pytest.fixture(scope="module")
def citus() -> Citus:
    return Citus.of(URL)


@pytest.fixture(scope="module", params=[10_000, 0], ids=["regimes_on_every_node", "by_region"])
def many_instruments(request) -> int:
    """The var of that name: from how many instruments on the regimes are distributed by region."""
    return request.param


@pytest.fixture(scope="module")
def both(citus: Citus, server, many_instruments, tmp_path_factory) -> Iterator[Both]:
    """Prices of seven years, labelled by walk-forward models. On the Citus, embeddings are partitioned
    by year, and a week of the prices came after the tables were distributed."""
    folder = tmp_path_factory.mktemp("citus")
    with server.database(MODULE_DATABASE) as plain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGIME_NOTIFY_DESK", "command:cat")
        url = citus.create_database(MODULE_DATABASE)
        both = Both(replace(plain, database_url=url), plain, folder)
        try:
            before = prices(folder / "before.csv", FIRST_DAY, LAST_DAY)
            after = prices(folder / "after.csv", LAST_DAY, "2018-12-21")
            both.regime("load", str(before))
            with pytest.MonkeyPatch.context() as partitioned:
                partitioned.setenv("REGIME_PARTITION_EMBEDDINGS", "2015")
                regime(both.citus, "init")
            regime(both.plain, "init")
            for each in both.each:
                dbt(each, folder / "target", "build", "--selector", "features")
            layout = ("--vars", f"many_instruments: {many_instruments}")
            dbt(both.citus, folder / "target", "run-operation", "distribute_tables", *layout)
            both.regime("load", str(after))
            both.regime("pipeline", "--walk-forward", "--notify")
            both.regime("global")
            yield both
        finally:
            citus.drop_database(MODULE_DATABASE)


def test_each_table_is_where_the_operators_page_says(both, many_instruments):
    with connect(both.citus) as database:
        found = dict(
            database.rows(
                "select logicalrelid::text, column_to_column_name(logicalrelid, partkey)"
                " from pg_dist_partition"
            ).rows
        )
    years = {name for name in found if name.startswith(f"{EMBEDDINGS}_")}
    assert {name.removeprefix(f"{EMBEDDINGS}_") for name in years} >= {"2015", "2018", "default"}
    regimes = {REGIMES: None} if many_instruments else {}
    expected = DISTRIBUTED | dict.fromkeys(years, "entity_id") | dict.fromkeys(ON_EVERY_NODE)
    assert found == expected | regimes


def test_the_tables_are_those_of_a_plain_postgres(both):
    require_same_tables(both)


def require_same_tables(both: Both) -> None:
    on_citus, on_plain = both.contents(*OF_A_MOMENT)
    for table in WRITTEN:
        assert on_citus[table], table
        # A vote names the runs of its voters.
        rows = (sorted(RUN_ID.sub("", row) for row in each[table]) for each in (on_citus, on_plain))
        assert next(rows) == next(rows), table


READING = [
    "history --region US --limit 100",
    "history --region GLOBAL --limit 100",
    "transitions --region US",
    "matrix --region US",
    "matrix --region US --shrink",
    "forecast --region US --horizon 5 --horizon 21",
    "forecast --region US --score",
    "analogues --region US --as-of 2018-12-10",
    "score --region US",
    "score --region US_TECH --hold CARRY,NEUTRAL --cost 5bp",
    "models --region US",
    "models --region US --show 2",
    "models --region US --compare 1 2",
    "region list",
    "notify --since 2018-01-01 --dry-run",
    "notify --since 2018-06-01",
    "notify --test",
    "embed --all",
    "backfill --region US",
    "global",
]


@pytest.mark.parametrize("command", READING)
def test_a_command_prints_what_it_prints_on_a_plain_postgres(both, command):
    on_citus, on_plain = both.regime(*command.split())
    assert on_citus == on_plain


def test_an_explanation_is_that_of_a_plain_postgres_but_for_its_run(both):
    for asked in (("US", "2018-12-10"), ("GLOBAL", "2018-12-21")):
        printed = both.regime("explain", "--region", asked[0], "--as-of", asked[1])
        on_citus, on_plain = (re.sub(r"^Run: .*$", "", each, flags=re.M) for each in printed)
        assert on_citus == on_plain


def test_the_status_is_that_of_a_plain_postgres(both):
    on_citus, on_plain = map(json.loads, both.regime("status", "--format", "json"))
    for part in ("regions", "series", "waiting_notifications"):
        assert on_citus[part] == on_plain[part]
    for output in ("table", "prometheus"):
        regime(both.citus, "status", "--format", output)


def test_the_audit_finds_nothing_and_the_replay_computes_what_is_stored(both):
    # The tests of an audit end in any order.
    for arguments in (("audit",), ("audit", "--replay", "--fits")):
        on_citus, on_plain = (sorted(each.splitlines()) for each in both.regime(*arguments))
        assert on_citus == on_plain
    regime(both.citus, "audit", "--history")


def test_a_report_and_a_seal_are_made(both):
    regime(both.citus, "report", "--output", str(both.folder / "report.html"))
    seal = both.folder / "seal.txt"
    seal.write_text(regime(both.citus, "seal"))
    regime(both.citus, "audit", "--seal", str(seal))


def test_a_second_run_of_everything_writes_no_row(both):
    before, _ = both.contents()
    both.regime("load", str(both.folder / "after.csv"))
    both.regime("pipeline", "--walk-forward")
    after, _ = both.contents()
    assert after == before


def test_a_restated_price_rewrites_the_rows_that_it_does_on_a_plain_postgres(both):
    def written() -> list[set[tuple]]:
        found = []
        for each in both.each:
            with connect(each) as database:
                found.append(
                    set(
                        database.rows(
                            f"select entity_id, as_of_date, run_id from {EMBEDDINGS}"
                        ).rows
                    )
                )
        return found

    before = written()
    restated = prices(
        both.folder / "restated.csv", "2016-06-01", "2016-06-01", {"2016-06-01": 1.01}
    )
    both.regime("load", str(restated))
    both.regime("pipeline")
    on_citus, on_plain = (
        {row[:2] for row in after - rows} for after, rows in zip(written(), before, strict=True)
    )
    assert on_citus == on_plain
    first, *_, last = sorted({day for _, day in on_citus})
    assert (first, last) == (date(2016, 6, 1), date(2016, 8, 30))
    require_same_tables(both)


def test_a_node_that_is_killed_in_mid_run_costs_nothing_but_a_second_run(both, citus):
    command = ("embed", "--all", "--model-id", V1)
    writing = (
        "select exists (select from pg_stat_activity where state = 'active'"
        f" and datname = current_database() and query ~ '^COPY {EMBEDDINGS}')"
    )
    with ExitStack() as stack:
        workers = [
            stack.enter_context(psycopg.connect(url, autocommit=True))
            for url in citus.urls(MODULE_DATABASE)[1:]
        ]
        running = Process("regime", command, environment(both.citus))
        killed = None
        while not killed and running.poll() is None:
            killed = next((each for each in workers if each.execute(writing).fetchone()[0]), None)
        # If a backend is killed, its server ends all others and recovers as from a loss of power.
        with pytest.raises(psycopg.OperationalError):
            killed.execute("copy (select) to program 'kill -9 $PPID'")
    _, error = running.communicate(TIMEOUT)
    assert running.returncode == 1
    (line,) = (each for each in error.splitlines() if not each.endswith(" …"))
    assert line.startswith("Error: the database ended the work: ")
    assert line.endswith("nothing half-written, run the command again")

    for url in citus.urls(MODULE_DATABASE)[1:]:
        wait_for_server(url)
    both.regime(*command)
    require_same_tables(both)
    assert "nothing to change" in regime(both.citus, *command)
    both.regime("audit")


def wait_for_server(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return execute(url, "select 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_is_forgotten_is_what_is_forgotten_on_a_plain_postgres(both):
    both.regime("region", "add", "TECH", "--instrument-id", "IXIC.INDX", "--weight", "0")
    both.regime("embed", "--all", "--classify", "--start", "2018-12-01")
    for forgotten in (
        ("--region", "TECH"),
        ("--instrument-id", "IXIC.INDX"),
        ("--region", "GLOBAL"),
    ):
        both.regime("forget", *forgotten, "--yes")
        require_same_tables(both)
    both.regime("region", "remove", "TECH")
    both.regime("audit")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.rule)
def test_the_shapes_that_are_looked_for_are_those_that_a_citus_refuses(both, shape):
    """Without parameters, which tell a Citus no more than a null does."""
    refused, runs = (re.sub(r"\$\d", "null", each) for each in (shape.refused, shape.runs))
    with connect(both.citus) as database:
        database.execute(INCOMING)
        with (
            pytest.raises((errors.FeatureNotSupported, errors.InternalError)),
            database.transaction(force_rollback=True),
        ):
            database.connection.execute(f"explain {refused}".encode())
        with database.transaction(force_rollback=True):
            database.connection.execute(f"explain {runs}".encode())
