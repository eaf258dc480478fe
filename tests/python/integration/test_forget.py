"""`regime forget`: afterwards all is as if the rows had never been, and the audit passes."""

import json
import os
import pty
import subprocess
import sys
from datetime import date

import pytest
from bundled import PROTOTYPES, US, US_TECH, V3
from commands import Process, environment, refusal, regime_command, succeed
from corruptions import forged
from servers import DATABASE, wait_until
from stored import (
    EMBEDDINGS,
    ENGINE_TABLES,
    FEATURES,
    MODELS,
    OF_A_RUN,
    PRICES,
    REGIMES,
    REVISIONS,
    RUNS,
    TRANSITIONS,
    contents,
)

from regime_engine import runs, seals
from regime_engine.database import connect
from regime_engine.engine import classify, fit, nightly, regions, vote
from regime_engine.series import Series

pytestmark = pytest.mark.one_server

REFUSED = "historical.prices_daily_refused"
OF_ROWS = {PRICES, REFUSED, FEATURES} | ENGINE_TABLES - {RUNS}
FIRST, LAST = date(2010, 1, 4), date(2010, 6, 30)
FORGET_TECH = ("forget", "--instrument-id", "IXIC.INDX", "--yes")


def write(database, series: Series) -> None:
    fit.fit(database, series, PROTOTYPES)
    classify.backfill(database, series, FIRST, LAST)


@pytest.fixture(scope="module")
def template(server, features_template):
    """US and US_TECH by prototypes, and their vote."""
    with server.new_template("template_two_regions", features_template) as database:
        for series in (US, US_TECH):
            write(database, series)
        vote.vote(database, V3, 63)
    yield "template_two_regions"
    server.drop_database("template_two_regions")


@pytest.fixture
def settings(server, template):
    with server.database(DATABASE, template) as settings:
        yield settings


def test_a_forgotten_instrument_leaves_what_would_be_there_without_it(server, features_template):
    with server.database(DATABASE, features_template) as settings, connect(settings) as database:
        write(database, US)
        vote.vote(database, V3, 63)
        database.execute(f"""
            insert into {REFUSED}
            select 'sha', 1, 1, 'tech.csv', 'IXIC.INDX', '2019-01-02', 'close is missing', ''
        """)
        only_us = contents(database, OF_ROWS, without=(*OF_A_RUN, "metadata", "row_hash"))
        for table in (PRICES, REFUSED, FEATURES):
            only_us[table] = [row for row in only_us[table] if "IXIC.INDX" not in row]

        write(database, US_TECH)
        vote.vote(database, V3, 63)
        classify.backfill(database, Series("IXIC.INDX", V3, 63), FIRST, LAST)
        # A day of US is of the other instrument, and a price is restated: rows are replaced.
        classify.run(database, US, date(2010, 5, 20), instrument_id="IXIC.INDX")
        classify.backfill(database, US_TECH, FIRST, LAST, instrument_id="GSPC.INDX")
        classify.backfill(database, US_TECH, FIRST, LAST)
        vote.vote(database, V3, 63)
        said = succeed(regime_command(settings, *FORGET_TECH))
        assert (
            "These series go as a whole: IXIC.INDX/num-regime-core-v3/63, US_TECH/" in said.stdout
        )
        assert "These lose the regimes of the instrument: US/num-regime-core-v3/63" in said.stdout
        assert "GLOBAL/num-regime-core-v3/63 voted anew: " in said.stdout
        assert "note: US_TECH is still a region, and stands for IXIC.INDX" in said.stderr
        assert "note: `regime backfill --region US --model-id num-regime-core-v3" in said.stderr
        [finding] = nightly.audit(database)[1]
        assert (finding.test.name, finding.test.status) == ("trading_days_have_a_regime", "warn")

        left = contents(database, OF_ROWS)
        assert not [row for rows in left.values() for row in rows if "IXIC.INDX" in row]
        classify.backfill(database, US, FIRST, LAST)
        vote.vote(database, V3, 63)
        now = contents(database, OF_ROWS, without=(*OF_A_RUN, "metadata", "row_hash"))
        # What US itself replaced is still told.
        assert {json.loads(row)["key"]["region"] for row in now.pop(REVISIONS)} <= {"US", "GLOBAL"}
        only_us.pop(REVISIONS)
        assert now == only_us
        assert nightly.audit(database)[1] == []


def test_the_ledger_counts_what_was_removed_and_a_deletion_is_still_found(database):
    counted = {
        table: database.one(f"select count(*) from {table} where run_id in"
                            f" (select run_id from {RUNS} where parameters ->> 'region' = 'US_TECH')")[0]
        for table in (EMBEDDINGS, REGIMES, TRANSITIONS, MODELS)
    }  # fmt: skip
    succeed(regime_command(database.settings, "forget", "--region", "US_TECH", "--yes"))
    removed, status = database.one(
        f"select rows_removed, status from {RUNS} where command = 'forget'"
    )
    of_global = len(removed["regimes"]) == 2 and len(removed["regime_transitions"]) == 2
    assert of_global
    assert status == "SUCCEEDED"
    backfill, fitted = (
        str(database.one(
            f"select run_id from {RUNS} where command = %s and parameters ->> 'region' = 'US_TECH'",
            [command],
        )[0])
        for command in ("backfill", "fit")
    )  # fmt: skip
    assert {
        EMBEDDINGS: removed["numeric_window_embeddings"][backfill],
        REGIMES: removed["regimes"][backfill],
        TRANSITIONS: removed["regime_transitions"][backfill],
        MODELS: removed["regime_models"][fitted],
    } == counted
    # A second forget has nothing to do; the prices are still there.
    said = succeed(regime_command(database.settings, "forget", "--region", "US_TECH", "--yes"))
    assert said.stdout == "nothing is stored of region US_TECH\n"
    write(database, US_TECH)
    vote.vote(database, V3, 63)
    assert nightly.audit(database)[1] == []
    database.execute(f"delete from {REGIMES} where region = 'US_TECH'")
    found = {finding.test.name for finding in nightly.audit(database)[1]}
    assert "runs_wrote_what_they_counted" in found


def test_the_chain_stays_and_says_what_is_left(database):
    kept = seals.newest(database)
    (vote_run,) = database.one(f"select run_id from {RUNS} where command = 'global'")
    for statement in forged("metadata = metadata || '{\"in_sample\": true}'", "region = 'GLOBAL'"):
        database.connection.execute(statement)
    succeed(regime_command(database.settings, "forget", "--region", "US_TECH", "--yes"))
    assert seals.verify(database, {kept.seal_number: kept.seal}, None) == [
        seals.Verdict(kept.seal_number, None)
    ]
    (left,) = database.one(f"select contents_left from {RUNS} where command = 'forget'")
    named = {
        str(run_id): (command, region)
        for run_id, command, region in database.execute(
            f"select run_id, command, parameters ->> 'region' from {RUNS}"
        )
    }
    assert {named[run_id]: of["is_as_sealed"] for run_id, of in left.items()} == {
        ("fit", "US_TECH"): True,
        ("backfill", "US_TECH"): True,
        ("global", "GLOBAL"): False,
    }
    assert left[str(vote_run)]["contents"] == {}


def test_what_another_series_rests_on_stays(database):
    regions.add(database, "TECH", "IXIC.INDX")
    classify.backfill(database, Series("TECH", V3, 63), date(2010, 3, 1), LAST)
    succeed(regime_command(database.settings, "forget", "--region", "US_TECH", "--yes"))
    (first, days) = database.one(
        f"select min(as_of_date), count(*) from {EMBEDDINGS} where entity_id = 'IXIC.INDX'"
    )
    assert (first, days) == (date(2010, 3, 1), 86)
    assert nightly.audit(database)[1] == []


def test_only_what_is_of_the_encoder_goes(database):
    v1 = Series("US_TECH", "num-regime-core-v1", 63)
    classify.backfill(database, v1, FIRST, LAST)
    before = contents(database, {PRICES, FEATURES})
    of_v1 = (*FORGET_TECH, "--model-id", v1.model_id)
    succeed(regime_command(database.settings, *of_v1))
    assert contents(database, {PRICES, FEATURES}) == before
    models = f"select distinct model_id from {EMBEDDINGS} where entity_id = 'IXIC.INDX'"
    assert database.rows(models).rows == [(V3,)]


def test_the_vote_can_be_forgotten(database):
    succeed(regime_command(database.settings, "forget", "--region", "GLOBAL", "--yes"))
    assert database.rows(f"select distinct region from {REGIMES} order by 1").rows == [
        ("US",),
        ("US_TECH",),
    ]
    assert not vote.is_wanted(database)
    assert nightly.audit(database)[1] == []


def test_prices_of_a_teams_own_table_are_not_its_to_remove(database):
    before = contents(database, OF_ROWS)
    database.execute(f"alter table {PRICES} rename to bars")
    line = refusal(regime_command(database.settings, *FORGET_TECH))
    assert "the prices of IXIC.INDX come from a table of yours" in line
    database.execute("alter table historical.bars rename to prices_daily")
    assert contents(database, OF_ROWS) == before


def test_it_asks_on_a_terminal_and_refuses_without_one(database):
    before = contents(database, OF_ROWS)
    line = refusal(regime_command(database.settings, *FORGET_TECH[:-1]))
    assert line == (
        "Error: nothing is removed of instrument IXIC.INDX: there is no terminal to ask; give --yes"
    )
    terminal, end = pty.openpty()
    os.write(terminal, b"n\n")
    command = [sys.executable, "-m", "regime_engine", *FORGET_TECH[:-1]]
    done = subprocess.run(
        command,
        stdin=end,
        capture_output=True,
        text=True,
        env=environment(database.settings),
    )
    assert done.returncode == 1
    assert done.stderr == "Remove these rows? [y/N]: Error: nothing is removed\n"
    for line in ("prices_daily               5031", "regimes                     248"):
        assert line in done.stdout
    assert contents(database, OF_ROWS) == before


WAITING = (
    "select count(*) = 2 from pg_locks where locktype = 'advisory' and objsubid = 1 and granted"
)


def test_it_waits_for_a_run_that_could_write_such_rows_and_later_runs_wait_for_it(database):
    backfill = ("backfill", "--region", "US_TECH", "--start", "2010-06-01", "--end", "2010-06-30")
    parameters = vars(US_TECH) | {"instrument_id": "IXIC.INDX"}
    for command, waiting in (("backfill", FORGET_TECH), ("forget", backfill)):
        before = contents(database, OF_ROWS)
        with runs.ledger(database, command, parameters):
            process = Process("regime", waiting, environment(database.settings))
            wait_until(database, WAITING)
            assert contents(database, OF_ROWS) == before
            assert process.poll() is None
        process.communicate(120)
        # There are no prices any more when it is the turn of the backfill.
        assert process.returncode == (0 if waiting == FORGET_TECH else 1)
    assert not any("IXIC.INDX" in row for row in contents(database, {PRICES})[PRICES])


def test_a_killed_one_has_removed_nothing(database):
    before = contents(database, OF_ROWS)
    with connect(database.settings) as other, other.transaction():
        other.execute(f"select from {PRICES} for update")
        process = Process("regime", FORGET_TECH, environment(database.settings))
        wait_until(database, "select count(*) > 0 from pg_locks where not granted")
        process.kill()
        process.wait(60)
    assert contents(database, OF_ROWS) == before
    succeed(regime_command(database.settings, *FORGET_TECH))
    assert nightly.audit(database)[1] == []
