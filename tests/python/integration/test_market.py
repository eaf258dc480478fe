"""What `regime embed` leaves in the database, of a market of 60 instruments x 80 weekdays.

What its statements do is seen on both servers, what its processes do on one.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from bundled import V3
from commands import Process, environment, refusal, regime_command, succeed
from project import ROOT
from psycopg import sql
from psycopg.conninfo import make_conninfo
from servers import ALONE, DATABASE, follow_prices, wait_until
from stored import EMBEDDINGS, REVISIONS, RUNS, require_sealed

from regime_engine import __version__, demo
from regime_engine.config import Settings
from regime_engine.database import Database, connect, embedded
from regime_engine.engine import nightly, workers
from regime_engine.prices.load import load_prices

pytestmark = pytest.mark.one_server

N_INSTRUMENTS, N_DAYS, WINDOW_DAYS = 60, 80, 63
N_DATES = N_DAYS - WINDOW_DAYS + 1
N_WINDOWS = N_INSTRUMENTS * N_DATES
FIRST_DAY, LAST_DAY = date(2018, 3, 12), date(2018, 6, 29)
OPERATOR = ROOT / "docs/operator.md"


def make_market(database: Database) -> None:
    load_prices(database, demo.PRICE_FILES[0])
    database.execute("truncate historical.prices_daily")
    database.execute("select setseed(0.25)")
    database.execute(
        """
        insert into historical.prices_daily
            (instrument_id, trade_date, close, adjusted_close, volume, loaded_at)
        select
            'SYN' || lpad(instrument::text, 2, '0'), day, close, close, 1000 + 1000 * random(), now()
        from (
            select
                instrument,
                %s::date + number / 5 * 7 + number %% 5 as day,
                100 * exp(sum(random() - 0.5) over by_day * 0.05) as close
            from generate_series(1, %s) as instrument, generate_series(0, %s - 1) as number
            window by_day as (partition by instrument order by number)
        ) as walks
        """,
        [FIRST_DAY, N_INSTRUMENTS, N_DAYS],
    )
    nightly.build_features(database)


@pytest.fixture(scope="session")
def market_template(server) -> str:
    with server.new_template("template_market") as database:
        make_market(database)
    return "template_market"


@pytest.fixture
def settings(server, market_template) -> Iterator[Settings]:
    """A copy of the market; whatever becomes of it, every run has to write what it seals."""
    with server.database(DATABASE, market_template) as settings:
        yield settings
        with connect(settings) as database:
            require_sealed(database)


@pytest.fixture(scope="session")
def undisturbed(server, market_template) -> list:
    """The rows of one whole run."""
    with server.database(DATABASE, market_template) as settings:
        succeed(regime_command(settings, "embed", "--all"))
        with connect(settings) as database:
            rows = stored(database)
    assert len(rows) == N_WINDOWS
    return rows


def stored(database: Database, of_runs: bool = False) -> list:
    without = "{}" if of_runs else "{run_id,created_at}"
    return database.rows(
        f"select to_jsonb(t) - %s::text[] from {EMBEDDINGS} as t"
        " order by entity_id, as_of_date, model_id, window_days",
        [without],
    ).rows


def start(settings: Settings, *arguments: str) -> Process:
    return Process("regime", arguments, environment(settings))


def hold(database: Database, instrument_id: str) -> None:
    """Be the writer of an instrument, so that a run stops when it comes to its batch."""
    database.execute("begin")
    database.take_turns([f"embeddings/{instrument_id}/{V3}/{WINDOW_DAYS}"])


def release(database: Database) -> None:
    database.execute("commit")


def start_and_stop(database: Database, *options: str) -> Process:
    """A run of the whole market that waits for its turn to write SYN20."""
    hold(database, "SYN20")
    process = start(database.settings, "embed", "--all", *options)
    wait_until(database, A_WRITER_WAITS)
    return process


def read_so_far(database: Database, what: str, relation: str) -> int:
    """Of pg_statio_user_tables or pg_stat_user_tables, by all sessions.

    Another session's reading is counted at the latest by its end, this one's up to a second later.
    """
    wait_until(database, ALONE)
    database.execute("select pg_stat_force_next_flush()")
    (count,) = database.one(
        f"select {what} from pg_stat_user_tables join pg_statio_user_tables using (relid)"
        " where relid = %s::regclass",
        [relation],
    )
    return count


A_WRITER_WAITS = "select count(*) > 0 from pg_locks where not granted"


@pytest.mark.both_servers
@pytest.mark.parametrize("model_id", [V3, "num-regime-core-v1"])
def test_the_rows_are_those_of_run_byte_for_byte(database, regime, model_id):
    as_of = ("--model-id", model_id, "--as-of", "2018-06-23")  # a Saturday
    for instrument_id in ("SYN07", "SYN31"):
        succeed(regime("run", "--region", instrument_id, *as_of))
    by_run = stored(database)
    database.execute(f"truncate {EMBEDDINGS}, {REVISIONS}, {RUNS}")
    embed = regime("embed", "--instrument-id", "SYN07", "--instrument-id", "SYN31", *as_of)
    assert "2 instruments, 2 windows; rows written: 2 in" in embed.stdout
    assert stored(database) == by_run


def test_a_stretch_is_that_of_backfill(database, regime):
    stretch = ("--start", "2018-06-07", "--end", "2018-06-20")
    succeed(regime("backfill", "--region", "SYN05", *stretch))
    by_backfill = stored(database)
    database.execute(f"truncate {EMBEDDINGS}, {REVISIONS}, {RUNS}")
    succeed(regime("embed", "--instrument-id", "SYN05", *stretch))
    assert stored(database) == by_backfill


def test_a_run_again_writes_nothing(database, regime):
    regime("embed", "--all")
    before = stored(database, of_runs=True)
    for again in ((), ("--recompute",)):
        result = regime("embed", "--all", *again)
        assert result.stdout == f"60 instruments, {N_WINDOWS:,} windows; nothing to change\n"
        assert stored(database, of_runs=True) == before
    assert not database.one("select count(*) from runtime.regime_revisions")[0]


@pytest.mark.both_servers
def test_a_restated_price_changes_the_windows_that_hold_it(database, regime):
    regime("embed", "--all")
    database.execute(
        "update historical.prices_daily set adjusted_close = adjusted_close * 1.01, loaded_at = now()"
        " where instrument_id = 'SYN09' and trade_date = '2018-06-27'"
    )
    follow_prices(database)
    result = regime("embed", "--all")
    # 27, 28 and 29 June are the last days that there are.
    assert "rows written: 3 in numeric_window_embeddings" in result.stdout
    revised = database.rows(
        "select key ->> 'entity_id', key ->> 'as_of_date', old_row ->> 'run_id' = first.run_id::text"
        " from runtime.regime_revisions, (select run_id from runtime.regime_runs"
        " order by started_at limit 1) as first order by 2"
    ).rows
    assert revised == [("SYN09", f"2018-06-{day}", True) for day in (27, 28, 29)]
    now = stored(database)
    database.execute(f"truncate {EMBEDDINGS}, {REVISIONS}, {RUNS}")
    regime("embed", "--all")
    assert stored(database) == now


def test_the_rows_of_a_deleted_price_go(database, regime):
    regime("embed", "--all")
    database.execute(
        "delete from historical.prices_daily"
        " where instrument_id = 'SYN03' and trade_date = '2018-06-28'"
    )
    follow_prices(database)
    regime("embed", "--all")
    rows = database.rows(
        f"select as_of_date from {EMBEDDINGS} where entity_id = 'SYN03' and as_of_date > '2018-06-26'"
        " order by 1"
    ).rows
    assert rows == [(date(2018, 6, 27),), (LAST_DAY,)]
    kept = database.one(
        "select count(*) from runtime.regime_revisions where key ->> 'as_of_date' = '2018-06-28'"
    )
    assert kept == (1,)


def test_an_edited_vector_is_put_back_by_recompute(database, regime, undisturbed):
    regime("embed", "--all")
    database.execute(
        f"update {EMBEDDINGS} set vector = set_byte(vector, 7, 1 # get_byte(vector, 7))"
        " where entity_id = 'SYN11' and as_of_date = '2018-06-11'"
    )
    assert stored(database) != undisturbed
    assert "1 in numeric_window_embeddings" in regime("embed", "--all", "--recompute").stdout
    assert stored(database) == undisturbed


@pytest.mark.both_servers
def test_a_killed_run_is_continued_where_it_stood(database, regime, undisturbed):
    process = start_and_stop(database)
    process.kill()
    process.communicate()
    release(database)
    # The first 16 instruments were committed together, the next ones were under way.
    before = {row[0]["entity_id"] for row in stored(database)}
    assert before == {f"SYN{number:02}" for number in range(1, 17)}
    result = regime("embed", "--all")
    # The rows of the dead run are this one's now.
    assert f"rows written: {N_WINDOWS:,} in" in result.stdout
    assert stored(database) == undisturbed
    runs = database.rows(
        "select status, rows_written from runtime.regime_runs order by started_at"
    ).rows
    assert [status for status, _ in runs] == ["FAILED", "SUCCEEDED"]
    owners = database.rows(
        f"select distinct status from {EMBEDDINGS} inner join runtime.regime_runs using (run_id)"
    ).rows
    assert owners == [("SUCCEEDED",)]
    succeed(regime("audit"))


def test_two_runs_at_once_end_as_one(database, settings, undisturbed):
    hold(database, "SYN01")
    both = [start(settings, "embed", "--all") for _ in range(2)]
    wait_until(database, "select count(*) = 2 from pg_locks where not granted")
    release(database)
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert stored(database) == undisturbed
    assert not database.one("select count(*) from runtime.regime_revisions")[0]


def test_a_price_restated_during_the_run_is_found_by_the_next(
    database, settings, regime, undisturbed
):
    process = start_and_stop(database)
    with connect(settings) as other:
        for instrument_id in ("SYN02", "SYN20"):
            other.execute(
                "update historical.prices_daily set adjusted_close = adjusted_close * 1.02"
                " where instrument_id = %s and trade_date = '2018-06-25'",
                [instrument_id],
            )
        follow_prices(other)
    release(database)
    process.communicate()
    assert process.returncode == 0
    succeed(regime("embed", "--all"))
    now = stored(database)
    assert now != undisturbed
    database.execute(f"truncate {EMBEDDINGS}, {REVISIONS}, {RUNS}")
    regime("embed", "--all")
    assert stored(database) == now


def test_a_full_disk_loses_nothing(database, regime, undisturbed):
    regime("embed", "--all")
    database.execute(f"update {EMBEDDINGS} set window_hash = 'edited' where entity_id > 'SYN20'")
    before = stored(database, of_runs=True)
    # The merge of a batch has to spill to disk, of which there is next to none.
    name = sql.Identifier(database.connection.info.dbname)
    for setting in ("enable_nestloop = off", "work_mem = '64kB'", "temp_file_limit = '64kB'"):
        database.execute(sql.SQL("alter database {} set {}").format(name, sql.SQL(setting)))
    assert "temporary file size exceeds" in refusal(regime("embed", "--all"))
    assert stored(database, of_runs=True) == before
    database.execute(sql.SQL("alter database {} reset all").format(name))
    succeed(regime("embed", "--all"))
    assert stored(database) == undisturbed


def test_instruments_that_fail_are_named_and_recorded_and_the_others_go_on(database, regime):
    database.execute(
        "delete from historical.prices_daily where instrument_id = 'SYN01'"
        " and trade_date > '2018-04-13'"
    )
    database.execute(
        "update historical.prices_daily set volume = null"
        " where instrument_id = 'SYN02' and trade_date = '2018-06-29'"
    )
    follow_prices(database)
    database.execute(
        "insert into historical.prices_daily (instrument_id, trade_date, close, adjusted_close)"
        " values ('SYN03', '2018-07-02', 100, 100), ('NEW', '2018-07-02', 100, null)"
    )
    embed = ("embed", "--all", "--model-id", "num-regime-core-v1")
    result = regime(*embed)
    assert result.returncode == 1
    assert result.stdout.startswith("61 instruments, ")
    *reasons, last = result.stderr.splitlines()
    found = dict(line.split(": ", 1) for line in reasons)
    assert {name: re.sub(r"[:;].*", "", reason) for name, reason in found.items()} == {
        "SYN01": "SYN01 has no trading day between the first price and the last price with 63 "
        "trading days up to it",
        "SYN02": "the window of SYN02 from 2018-04-04 to 2018-06-29 has days without volume, so "
        "num-regime-core-v1 cannot encode 1 of 18 dates",
        "SYN03": "the features of SYN03 end on 2018-06-29, its prices on 2018-07-02",
        "NEW": "the features of NEW end on no day, its prices on 2018-07-02",
    }
    assert last.startswith("Error: 4 of 61 instruments could not be embedded")
    assert len(stored(database)) == 57 * N_DATES
    status, failures = database.one(
        "select status, failures from runtime.regime_runs where command = 'embed'"
    )
    assert (status, failures) == ("SUCCEEDED", found)
    succeed(regime(*embed, "--allow-failures"))
    unknown = regime("embed", "--instrument-id", "NONE")
    assert unknown.returncode == 1
    assert "NONE: no prices of NONE: load them with `regime load`" in unknown.stderr


def test_shards_part_the_market_by_the_sha_256_of_the_id(database, regime, undisturbed):
    expected = database.rows(
        """
        select instrument_id
        from (select distinct instrument_id from features.daily_features) as instruments
        where mod(
            ('x' || substr(encode(sha256(convert_to(instrument_id, 'UTF8')), 'hex'), 1, 8))::bit(32)
                ::bigint::numeric * 4294967296
            + ('x' || substr(encode(sha256(convert_to(instrument_id, 'UTF8')), 'hex'), 9, 8))::bit(32)
                ::bigint::numeric,
            3
        ) = 1
        """
    ).rows
    assert 0 < len(expected) < N_INSTRUMENTS
    succeed(regime("embed", "--all", "--shard", "2/3"))
    assert {row[0]["entity_id"] for row in stored(database)} == {name for (name,) in expected}
    for shard in ("3/3", "1/3", "2/3"):
        succeed(regime("embed", "--all", "--shard", shard))
    assert stored(database) == undisturbed


def test_processes_write_what_one_writes(database, regime, undisturbed):
    succeed(regime("embed", "--all", "--workers", "2"))
    assert stored(database) == undisturbed
    (counted,) = database.one("select rows_written from runtime.regime_runs")
    assert counted == {"numeric_window_embeddings": N_WINDOWS}


def worker_processes(process: Process) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", "-P", str(process.pid), "spawn_main"], capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]


def test_a_killed_worker_process_ends_the_run_and_loses_nothing(database, regime, undisturbed):
    process = start_and_stop(database, "--workers", "2")
    # What the first task has committed, and all of the second.
    written = (16 + 10) * N_DATES
    wait_until(database, f"select count(*) = {written} from {EMBEDDINGS}")
    # Held meanwhile, since a pool that misses one worker ends the other.
    process.send_signal(signal.SIGSTOP)
    for pid in worker_processes(process):
        os.kill(pid, signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    _, error = process.communicate()
    release(database)
    assert process.returncode == 1
    assert error.startswith("Error: a worker process ended before its work did")
    assert len(error.splitlines()) == 1
    assert len(stored(database)) == written
    succeed(regime("embed", "--all", "--workers", "2"))
    assert stored(database) == undisturbed


def test_worker_processes_end_with_a_killed_parent(database):
    process = start_and_stop(database, "--workers", "2")
    pids = worker_processes(process)
    assert pids
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    those = ["ps", "-o", "pid=", "-p", ",".join(map(str, pids))]
    while alive := subprocess.run(those, capture_output=True).stdout:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)
    release(database)


@pytest.fixture
def cluster():
    """Two Dask workers in processes of their own, in the environment that the docs give them."""
    import dask
    from distributed import LocalCluster

    (setting,) = re.findall(r'^export (DASK_\w+)="(.*)"$', OPERATOR.read_text(), re.MULTILINE)
    with (
        dask.config.set(
            dask.config.merge(
                dask.config.config, dask.config.collect(paths=[], env=dict([setting]))
            )
        ),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        yield cluster


def test_a_killed_dask_worker_loses_nothing(database, settings, undisturbed, cluster):
    with cluster.get_client() as client:
        variables = client.run(lambda: dict(os.environ))
    for of_worker in variables.values():
        assert of_worker["OPENBLAS_NUM_THREADS"] == "1"
        assert "MALLOC_TRIM_THRESHOLD_" not in of_worker
    hold(database, "SYN20")
    scheduler = ("--scheduler", cluster.scheduler_address)
    process = start(settings, "embed", "--all", *scheduler)
    wait_until(database, A_WRITER_WAITS)
    # Both: the one that waits for its turn, and the one that may be done.
    for nanny in cluster.workers.values():
        subprocess.run(["kill", "-9", str(nanny.pid)], check=True)
    release(database)
    output, error = process.communicate()
    assert process.returncode == 0, error
    assert output.startswith(f"{N_INSTRUMENTS} instruments, {N_WINDOWS:,} windows; ")
    assert stored(database) == undisturbed
    statuses = database.rows("select status from runtime.regime_runs").rows
    assert statuses == [("SUCCEEDED",)]


@contextmanager
def dask_worker(scheduler: str, python_path: Path) -> Iterator[None]:
    """A worker whose Python finds modules in this folder first."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *options],
        env=os.environ | {"PYTHONPATH": str(python_path)},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def scheduler():
    """The address of a Dask scheduler without workers."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_that_cannot_do_the_work_gets_a_line(regime, scheduler, tmp_path, database):
    def refused() -> "subprocess.CompletedProcess[str]":
        return regime("embed", "--all", "--scheduler", scheduler)

    waiting, reason = refused().stderr.splitlines()
    assert waiting == f"embed: waiting for the workers of the Dask scheduler at {scheduler} …"
    assert f"the Dask scheduler at {scheduler} has no workers" in reason
    package = tmp_path / "regime_engine" / "__init__.py"
    package.parent.mkdir()
    of_the_package = {
        "raise ImportError": "no regime-engine",
        "__version__ = '0.0.9'": "regime-engine 0.0.9",
    }
    for code, what in of_the_package.items():
        package.write_text(code)
        with dask_worker(scheduler, tmp_path):
            # A worker may take more than three seconds to start.
            assert f"has {what}, this is {__version__}: install" in refused().stderr
    assert stored(database) == []


def test_no_password_goes_to_the_workers(settings):
    secret = make_conninfo(settings.database_url, sslpassword="of the key")
    with connect(replace(settings, database_url=secret)) as database:
        conninfo = workers.conninfo_for_workers(database)
        assert database.connection.info.dbname in conninfo
    assert "of the key" not in conninfo


def test_an_interrupted_run_ends_in_one_line(database, regime, undisturbed):
    process = start_and_stop(database)
    process.send_signal(signal.SIGINT)
    # It no longer waits, since psycopg has cancelled its statement.
    wait_until(database, f"select not ({A_WRITER_WAITS})")
    release(database)
    _, error = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in error
    (status,) = database.one("select status from runtime.regime_runs")
    assert status == "FAILED"
    succeed(regime("embed", "--all"))
    assert stored(database) == undisturbed


def test_classify_gives_each_instrument_the_regimes_of_a_region_of_its_own(database, regime):
    span = ("--start", "2018-06-20", "--end", "2018-06-29")
    labelled = (
        "--window",
        "CARRY=2018-06-06:2018-06-11",
        "--window",
        "CRISIS=2018-06-12:2018-06-19",
    )
    succeed(regime("fit", "--region", "SYN04", *labelled))
    result = succeed(regime("embed", "--all", "--classify", *span))
    assert f"rows written: {60 * 8:,} in numeric_window_embeddings" in result.stdout
    per_region = database.one(
        "select count(*), count(distinct region), count(*) filter (where region = instrument_id),"
        " count(*) filter (where model_version = 1) from runtime.regimes"
    )
    assert per_region == (60 * 8, 60, 60 * 8, 8)
    regimes = (
        "select to_jsonb(t) from runtime.regimes as t where region = 'SYN04' order by as_of_date"
    )
    before = database.rows(regimes).rows
    again = regime("backfill", "--region", "SYN04", *span)
    assert "nothing to change" in again.stdout
    assert database.rows(regimes).rows == before


def test_what_cannot_be_done_gets_a_line(regime):
    messages = {
        ("--model-id", "none"): "unknown model id 'none'",
        ("--window-days", "21"): "reads windows of 63 days",
        ("--scheduler", "tcp://127.0.0.1:9"): "no Dask scheduler at tcp://127.0.0.1:9",
        ("--scheduler", "127.0.0.1"): "127.0.0.1 (missing port number in address",
        ("--scheduler", "tls://127.0.0.1:9"): "(Dask's setting distributed.comm.tls.ca-file is",
    }
    for arguments, message in messages.items():
        assert message in refusal(regime("embed", "--all", *arguments))


def test_a_market_without_prices_gets_a_line(database, regime):
    database.execute("truncate historical.prices_daily")
    no_prices = "Error: there are no prices: load them with `regime load`"
    assert refusal(regime("embed", "--all")) == no_prices
    database.execute("drop view staging.stg_prices_daily cascade")
    line = refusal(regime("embed", "--all"))
    assert "staging.stg_prices_daily" in line
    assert "run `regime pipeline` once prices are loaded" in line


def test_one_new_day_reads_the_rows_of_its_windows_only(database, regime):
    """However long the history: here ten times the market's."""
    database.execute(
        "insert into features.daily_features select (jsonb_populate_record(f, jsonb_build_object("
        "'trade_date', f.trade_date - 120 * era))).*"
        " from features.daily_features as f, generate_series(1, 9) as era"
    )
    database.execute("analyze features.daily_features")
    rows = ("seq_tup_read + idx_tup_fetch", "features.daily_features")
    before = read_so_far(database, *rows)
    succeed(regime("embed", "--all", "--start", str(LAST_DAY)))
    read = read_so_far(database, *rows) - before
    assert len(stored(database)) == N_INSTRUMENTS
    # Each row twice: to find where the windows begin, and for its features.
    assert 0 < read <= 2 * N_INSTRUMENTS * (WINDOW_DAYS + 1)


def filled(database: Database, regime) -> None:
    succeed(regime("embed", "--all"))


def filled_while_another_reads(database: Database, regime) -> None:
    with connect(database.settings) as other, other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select 1")
        filled(database, regime)
    assert "nothing to change" in regime("embed", "--all").stdout


def filled_and_restated(database: Database, regime) -> None:
    filled(database, regime)
    with connect(database.settings) as other:
        other.execute(f"update {EMBEDDINGS} set window_hash = reverse(window_hash)")
    filled(database, regime)
    # Postgres may count the dead rows of a connection a moment after it has closed.
    assert "nothing to change" in regime("embed", "--all").stdout


@pytest.mark.by_version
@pytest.mark.parametrize("fill", [filled, filled_while_another_reads, filled_and_restated])
def test_a_rerun_reads_the_index_of_what_is_stored(database, regime, fill):
    database.execute(f"alter table {EMBEDDINGS} set (autovacuum_enabled = off)")
    fill(database, regime)
    blocks = ("heap_blks_read + heap_blks_hit", EMBEDDINGS)
    before = read_so_far(database, *blocks)
    assert "nothing to change" in regime("embed", "--all").stdout
    read = read_so_far(database, *blocks) - before
    (pages,) = database.one(
        f"select pg_relation_size('{EMBEDDINGS}') / current_setting('block_size')::integer"
    )
    assert pages > 200
    assert read < pages / 20


def test_a_vacuum_that_takes_too_long_fails_no_run(database, settings):
    database.execute(f"alter table {EMBEDDINGS} set (autovacuum_enabled = off)")
    slow = "-c vacuum_cost_delay=100 -c vacuum_cost_limit=1 -c statement_timeout=3000"
    url = make_conninfo(settings.database_url, options=slow)
    result = succeed(regime_command(replace(settings, database_url=url), "embed", "--all"))
    assert f"rows written: {N_WINDOWS:,} " in result.stdout
    (marked,) = database.one(
        "select relallvisible from pg_class where oid = %s::regclass", [EMBEDDINGS]
    )
    assert marked == 0


def test_a_server_that_restarts_ends_the_run_and_loses_nothing(
    server, settings, regime, undisturbed
):
    with connect(settings) as holder:
        process = start_and_stop(holder)
        embedded.stop(server.settings)
    _, error = process.communicate()
    embedded.start(server.settings)
    assert process.returncode == 1
    assert error.startswith("Error: the database ended the work: ")
    assert len(error.splitlines()) == 1
    assert "run the command again" in error
    succeed(regime("embed", "--all"))
    with connect(settings) as database:
        assert stored(database) == undisturbed
        statuses = database.rows("select status from runtime.regime_runs order by started_at").rows
    assert statuses == [("FAILED",), ("SUCCEEDED",)]
