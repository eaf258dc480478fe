"""What a run, a backfill and a fit leave in the database."""

import gzip
import json
import random
import re
import subprocess
import time
from collections import defaultdict
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import psycopg
import pytest
from bundled import US_V1 as US
from commands import Process, environment, succeed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import follow_prices, wait_until
from stored import EMBEDDINGS, OF_A_RUN, REGIMES, REVISIONS, TRANSITIONS, contents, versions

from regime_engine import demo
from regime_engine.classifiers import prototype
from regime_engine.database import Database, canonical, connect, document
from regime_engine.engine import classify, fit
from regime_engine.engine.fit import LabelledStretch, Recipe
from regime_engine.series import Series

LABELLED = (
    LabelledStretch("CARRY", date(2004, 1, 2), date(2004, 6, 30)),
    LabelledStretch("CRISIS", date(2003, 7, 1), date(2003, 12, 31)),
    LabelledStretch("RISK_OFF", date(2003, 1, 2), date(2003, 6, 30)),
)
PROTOTYPES = Recipe("prototype", labelled=LABELLED)
TABLES = (EMBEDDINGS, REGIMES, TRANSITIONS, REVISIONS)


def empty_engine_tables(database: Database) -> None:
    database.execute(f"truncate {', '.join(TABLES)}")


def bundled_prices(instrument_id: str) -> list[list[str]]:
    (path,) = [path for path in demo.PRICE_FILES if path.name.startswith(instrument_id)]
    with gzip.open(path, "rt") as lines:
        return [line.rstrip("\n").split(",") for line in lines][1:]


@pytest.fixture
def fitted(database, settings):
    """Prototypes that are valid from mid-2004, so that both rules and many changes are seen."""
    fit.fit(database, US, PROTOTYPES)
    return settings


def backfill(database, start: date, end: date) -> None:
    classify.backfill(database, US, start, end)


START, END = date(2004, 3, 1), date(2006, 12, 29)


@pytest.fixture
def once(database, fitted) -> dict[str, list]:
    """The tables after one backfill of the stretch, which is then taken away again."""
    backfill(database, START, END)
    tables = contents(database, TABLES, OF_A_RUN)
    empty_engine_tables(database)
    assert len(tables[TRANSITIONS]) > 5
    assert not tables[REVISIONS]
    return tables


def stretches(n: int) -> list[tuple[date, date]]:
    """The stretch cut into n parts, oldest first."""
    edges = np.linspace(START.toordinal(), END.toordinal() + 1, n + 1).astype(int).tolist()
    return [
        (date.fromordinal(first), date.fromordinal(after - 1)) for first, after in pairwise(edges)
    ]


def test_stored_vectors_are_the_flattened_prices_of_the_file(database):
    classify.backfill(database, US)
    rows = bundled_prices("GSPC.INDX")
    days = [row[1] for row in rows]
    close = np.array([float(row[5]) for row in rows])
    volume = np.array([float(row[7]) for row in rows])
    log_return = np.concatenate([[0], np.log(close[1:] / close[:-1])])

    stored = database.rows(
        "select as_of_date::text, vector, dimension from historical.numeric_window_embeddings"
    ).rows

    assert len(stored) == len(rows) - 62
    for as_of, vector, dimension in stored:
        end = days.index(as_of) + 1
        window = np.stack([close, volume, log_return])[:, end - 63 : end].astype(np.float32)
        window[2, 0] = 0
        numbers = np.frombuffer(vector, "<f4")
        assert dimension == len(numbers) == 384
        assert (numbers[:189].reshape(63, 3).T[:2] == window[:2]).all()
        np.testing.assert_array_max_ulp(numbers[:189].reshape(63, 3).T[2], window[2], maxulp=1)
        assert not numbers[189:].any()


def test_without_a_model_every_day_is_neutral_with_confidence_one(database):
    classify.backfill(database, US)
    (rows,) = database.rows(
        "select distinct regime_label, confidence, model_version, probabilities, runner_up_label"
        " from runtime.regimes"
    ).rows
    assert rows == ("NEUTRAL", 1.0, 0, {"NEUTRAL": 1.0}, None)


def test_a_version_classifies_from_its_first_valid_day_on(database, fitted):
    backfill(database, START, END)
    rows = database.rows("select model_version, as_of_date from runtime.regimes").rows
    by_version = defaultdict(list)
    for version, day in rows:
        by_version[version].append(day)
    assert max(by_version[0]) == date(2004, 6, 30)
    assert min(by_version[1]) == date(2004, 7, 1)


def test_labels_and_confidences_follow_from_the_distances_to_mean_windows(database, fitted):
    backfill(database, date(2003, 1, 2), END)
    embeddings = {
        day: np.frombuffer(vector, "<f4").astype(float)
        for day, vector in database.execute(
            "select as_of_date, vector from historical.numeric_window_embeddings"
        )
    }
    members = {
        stretch.label: [e for d, e in embeddings.items() if stretch.start <= d <= stretch.end]
        for stretch in LABELLED
    }
    centers = {label: np.mean(vectors, axis=0) for label, vectors in members.items()}
    temperature = np.mean(
        [np.sqrt(((v - centers[label]) ** 2).sum()) for label in members for v in members[label]]
    )
    rows = database.rows(
        "select as_of_date, regime_label, confidence from runtime.regimes where model_version = 1"
    ).rows
    assert {label for _, label, _ in rows} == {"CARRY", "CRISIS", "RISK_OFF"}
    for day, label, confidence in rows:
        weights = {
            name: np.exp(-np.sqrt(((embeddings[day] - center) ** 2).sum()) / temperature)
            for name, center in centers.items()
        }
        assert label == max(weights, key=weights.get)
        assert confidence == pytest.approx(weights[label] / sum(weights.values()), abs=1e-9)


def test_fitting_the_same_again_stores_no_second_version(database, fitted):
    again = fit.fit(database, US, PROTOTYPES)
    assert again.version == 1
    assert database.one("select count(*) from runtime.regime_models") == (1,)


def test_a_model_of_the_future_is_used_only_where_asked_for_and_says_so(database, fitted):
    fit.fit(database, US, PROTOTYPES, valid_from=date(2003, 1, 1))
    classify.backfill(database, US, date(2003, 6, 2), date(2003, 6, 30))
    rows = database.rows(
        "select distinct model_version, metadata ->> 'in_sample' from runtime.regimes"
    ).rows
    assert rows == [(2, "true")]


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_any_order_of_dates_twice_over_ends_in_the_same_tables(database, fitted, once, order):
    parts = stretches(40)
    if order == "descending":
        parts.reverse()
    if order == "shuffled":
        random.Random(20081010).shuffle(parts)
    for start, end in parts + parts:
        backfill(database, start, end)
    assert contents(database, TABLES, OF_A_RUN) == once


def test_a_rerun_leaves_every_row_as_it_was(database, fitted):
    backfill(database, START, END)
    before = versions(database, TABLES)
    backfill(database, START, END)
    assert versions(database, TABLES) == before


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 90)).map(
            lambda t: (
                date.fromordinal(START.toordinal() + t[0]),
                date.fromordinal(START.toordinal() + t[0] + 4 + t[1]),
            )
        ),
        max_size=4,
    )
)
def test_stretches_that_overlap_and_leave_gaps_end_in_the_same_tables(
    database, fitted, once, parts
):
    empty_engine_tables(database)
    for start, end in parts:
        backfill(database, start, end)
    backfill(database, START, END)
    assert contents(database, TABLES, OF_A_RUN) == once


def start_backfill(settings) -> Process:
    """A backfill of the stretch in a process of its own, in small batches."""
    program = f"""
from regime_engine import cli
from regime_engine.engine import classify
classify.BATCH_WINDOWS = 20
cli.regime(["backfill", "--region", "US", "--model-id", "{US.model_id}", "--start", "{START}", "--end", "{END}"])
"""
    return Process("python", ("-c", program), environment(settings))


def finished(process: Process) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_two_processes_at_once_end_in_the_same_tables(database, fitted, once):
    for process in [start_backfill(fitted), start_backfill(fitted)]:
        finished(process)
    assert contents(database, TABLES, OF_A_RUN) == once


def test_twenty_kills_at_random_moments_lose_nothing(database, fitted, once, regime):
    """Each kill -9 is followed by a rerun; then the tables and their runs are whole."""
    chance = random.Random(11)
    killed, whole = 0, 1.0
    while killed < 20:
        empty_engine_tables(database)
        begun = time.monotonic()
        process = start_backfill(fitted)
        try:
            process.wait(chance.uniform(0.3, 1) * whole)
        except subprocess.TimeoutExpired:
            killed += 1
            process.kill()
        else:
            # It was faster than the kill: the next ones come earlier.
            assert process.returncode == 0
            whole = time.monotonic() - begun
        process.communicate()
        backfill(database, START, END)
        assert contents(database, TABLES, OF_A_RUN) == once
        unowned = database.rows("""
            select run_id from runtime.regimes
            union select run_id from historical.numeric_window_embeddings
            union select run_id from runtime.regime_transitions
            except select run_id from runtime.regime_runs where status = 'SUCCEEDED'
        """).rows
        assert unowned == []


def test_a_killed_run_is_shown_as_died_until_the_next_run_closes_it(database, fitted, regime):
    with connect(fitted) as other, other.transaction(force_rollback=True):
        # In the way of the last batch: a row of the same key, not yet committed.
        other.execute(
            """
            insert into runtime.regimes
            values (
                %s, %s, %s, %s, 'instrument', 0, 'NEUTRAL', 1, '{{}}', null, null, '', '{{}}', '',
                gen_random_uuid(), now()
            )
            """,
            [US.region, END, US.model_id, US.window_days],
        )
        process = start_backfill(fitted)
        wait_until(database, "select count(*) > 0 from pg_locks where not granted")
        process.kill()
        process.communicate()
        assert database.one("select count(*) > 600 from runtime.regimes")[0]
    deadline = time.monotonic() + 10
    while "DIED" not in (shown := regime("status").stdout):
        assert time.monotonic() < deadline, shown
    backfill(database, START, END)
    shown = regime("status").stdout
    assert "DIED" not in shown
    assert "the process ended before the run did" in shown


def test_a_restated_price_revises_its_windows_and_keeps_what_they_said(database, tmp_path, regime):
    classify.backfill(database, US, date(2010, 1, 4), date(2010, 12, 31))
    before = database.rows(
        "select as_of_date, encode(vector, 'hex'), run_id::text"
        " from historical.numeric_window_embeddings order by 1"
    ).rows
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(
        "instrument_id,trade_date,close,adjusted_close,volume\n"
        "GSPC.INDX,2010-06-01,1111.5,1111.5,5271480000\n"
    )
    succeed(regime("load", str(corrected)))
    night = succeed(regime("pipeline", "--region", "US", "--model-id", US.model_id)).stdout
    assert re.search(r"\nStale: +US \(newest price 2018-12-31\)\n", night)
    assert re.search(r"\nAudit: +passed \(\d\d tests, 0 failed, \d with warnings\)\n", night)
    assert re.search(
        r"\nTo do: +load newer prices of the stale regions with `regime load`\n", night
    )

    revised = database.rows(
        "select (key ->> 'as_of_date')::date, substr(old_row ->> 'vector', 3), old_row ->> 'run_id'"
        " from runtime.regime_revisions where table_name = 'numeric_window_embeddings' order by 1"
    ).rows
    days = [day for day, _, _ in before]
    touched = days.index(date(2010, 6, 1))
    # 63 windows hold the day; the next one begins with the return from it.
    assert revised == before[touched : touched + 64]


@pytest.mark.parametrize("day", ["2006-03-15", "2006-03-16", "2006-12-29", "2004-03-01"])
def test_a_deleted_price_takes_its_regime_with_it(database, fitted, monkeypatch, day):
    """Wherever it lay: inside a batch, between two, first or last."""
    monkeypatch.setattr(classify, "BATCH_WINDOWS", 47)
    classify.backfill(database, US, START)
    database.execute("delete from historical.prices_daily where trade_date > '2006-12-29'")
    database.execute("delete from historical.prices_daily where trade_date = %s", [day])
    follow_prices(database)
    classify.backfill(database, US, START)
    followed = contents(database, TABLES, OF_A_RUN)
    revised = database.rows(
        "select old_row ->> 'as_of_date' from runtime.regime_revisions"
        " where table_name = 'regimes' and old_row ->> 'as_of_date' = %s",
        [day],
    ).rows
    assert revised == [(day,)]
    empty_engine_tables(database)
    classify.backfill(database, US, START)
    anew = contents(database, TABLES, OF_A_RUN)
    for table in TABLES:
        if table != REVISIONS:
            assert followed[table] == anew[table]


def tell(monkeypatch, daily_volatility: float) -> None:
    """Let prototypes tell a volatility of a day, which only other classifiers can."""
    classify_as_before = prototype.classify

    def with_volatility(*arguments):
        found = classify_as_before(*arguments)
        return replace(found, daily_volatility=np.full(len(found.winners), daily_volatility))

    monkeypatch.setattr(prototype, "classify", with_volatility)


def test_an_expected_volatility_is_annualised_and_a_changed_one_is_a_revision(
    database, fitted, monkeypatch
):
    def stored() -> list[tuple]:
        return database.rows(
            "select model_version, expected_volatility, metadata -> 'trading_days_a_year', row_hash"
            " from runtime.regimes order by as_of_date"
        ).rows

    with monkeypatch.context() as patch:
        tell(patch, 0.01)
        assert classify.backfill(database, US, START, END).expected_volatility == 0.01 * 252**0.5
        before = stored()
        assert not any(classify.backfill(database, US, START, END).written.values())
        # A weekend has the window of the Friday before.
        assert classify.run(database, US, date(2007, 1, 1)).expected_volatility == 0.01 * 252**0.5
        database.execute("delete from runtime.regimes where as_of_date = '2007-01-01'")
    expected = {0: (None, None), 1: (0.01 * 252**0.5, 252)}
    assert {(version, tuple(row)) for version, *row, _ in before} == set(expected.items())

    # As long as nothing else changes, neither do the other columns.
    tell(monkeypatch, 0.02)
    classify.backfill(database, US, START, END)
    after = stored()
    changed = [row for row in before if row[0] == 1]
    assert [row[:3] for row in after] == [
        (version, value and 2 * value, days) for version, value, days, _ in before
    ]
    assert [one[3] == other[3] for one, other in zip(before, after, strict=True)] == [
        version == 0 for version, *_ in before
    ]
    revised = database.rows(
        "select (old_row ->> 'expected_volatility')::float8, old_row ->> 'row_hash'"
        " from runtime.regime_revisions where table_name = 'regimes'"
        " order by old_row ->> 'as_of_date'"
    ).rows
    assert revised == [(row[1], row[3]) for row in changed]


def test_an_expected_volatility_does_not_depend_on_the_batch_or_on_later_days(
    database, fitted, monkeypatch
):
    """Prices of every day of the week from 2006 on: the windows pass from one week to the other."""
    database.execute(
        "insert into historical.prices_daily (instrument_id, trade_date, close, adjusted_close, volume)"
        " select instrument_id, day::date, close, adjusted_close, volume"
        " from historical.prices_daily,"
        " generate_series(trade_date + 1, trade_date + 2, '1 day') as day"
        " where instrument_id = 'GSPC.INDX' and extract(isodow from trade_date) = 5"
        " and trade_date between '2006-01-01' and '2007-12-31'"
        " on conflict do nothing"
    )
    follow_prices(database)
    tell(monkeypatch, 0.01)
    classify.backfill(database, US, date(2005, 12, 1), date(2006, 6, 30))
    days = database.rows(
        "select as_of_date, (metadata -> 'trading_days_a_year')::int, expected_volatility"
        " from runtime.regimes order by as_of_date"
    ).rows
    # For a few days, only one of the two new weekdays has half as many prices as the others.
    assert sorted({each for _, each, _ in days}) == [252, 302, 365]
    assert [each for _, each, _ in days] == sorted(each for _, each, _ in days)
    first = next(day for day, each, _ in days if each == 365)
    for day, each, volatility in days:
        if abs((day - first).days) < 4:
            assert classify.run(database, US, day).written["regimes"] == 0
            assert volatility == 0.01 * each**0.5


def test_writers_of_different_series_do_not_wait_for_each_other(database, fitted):
    with connect(fitted) as other, other.transaction():
        other.take_turns(["regimes/US_TECH/num-regime-core-v1/63"])
        database.execute("set lock_timeout = '2s'")
        backfill(database, START, date(2004, 4, 1))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            classify.backfill(database, Series("US_TECH", US.model_id, 63), START, END)


def test_the_ledger_counts_what_was_written(database, fitted):
    outcome = classify.backfill(database, US, START, END)
    run = database.one(
        "select command, status, parameters ->> 'start', rows_written, finished_at > started_at"
        " from runtime.regime_runs where command = 'backfill'"
    )
    count = len(contents(database, TABLES, OF_A_RUN)[REGIMES])
    changes = len(contents(database, TABLES, OF_A_RUN)[TRANSITIONS])
    assert outcome.n_windows == count
    assert run == (
        "backfill",
        "SUCCEEDED",
        START.isoformat(),
        {"numeric_window_embeddings": count, "regimes": count, "regime_transitions": changes},
        True,
    )


def test_history_and_transitions_show_what_is_stored(database, fitted, regime):
    backfill(database, START, END)
    shown = json.loads(
        regime(
            "transitions", "--region", "US", "--model-id", US.model_id, "--format", "json"
        ).stdout
    )
    stored = database.rows(
        "select as_of_date::text, from_regime_label, to_regime_label"
        " from runtime.regime_transitions order by 1"
    ).rows
    assert [
        (r["as_of_date"], r["from_regime_label"], r["to_regime_label"]) for r in shown
    ] == stored
    newest = regime(
        "history", "--region", "US", "--model-id", US.model_id, "--limit", "1", "--format", "csv"
    ).stdout
    assert newest.splitlines()[1].startswith("2006-12-29,")


def test_json_is_written_as_postgres_writes_jsonb(database):
    value = {
        "bb": [1.0, -0.0, 1e22, 1.5e-7, 0.1, 123456789012345678, None, True],
        "a": {"ü": 'é\n\t"\\\x01', "z": {}, "yy": []},
        "": 5e-324,
    }
    (text,) = database.one("select (%s)::text", [document(value)])
    assert canonical.text(value) == text
