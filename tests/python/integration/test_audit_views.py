"""The views of the schema audit, on small series worked out by hand and on random ones by numpy."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from bundled import PROTOTYPES, V1, V2, V3
from project import PROJECT_FILES, change, copy_project
from psycopg import sql
from psycopg.types.json import Jsonb
from servers import DATABASE, MODULE_DATABASE, follow_prices

from regime_engine import classifiers, encoders, model_versions
from regime_engine.database import Database, connect
from regime_engine.engine import classify, fit, nightly
from regime_engine.errors import RegimeError
from regime_engine.series import Series
from regime_engine.trading_days import trading_days_a_year

pytestmark = pytest.mark.one_server

RUN = "00000000-0000-4000-8000-000000000001"
OTHER_RUN = "00000000-0000-4000-8000-000000000002"
SESSION = "01234567-89ab-4def-8123-456789abcdef"


RUN_COLUMNS = sql.SQL(
    "run_id, command, parameters, model_id, status, started_at, finished_at, rows_written,"
    " package_version, database_user, host, row_hash"
)


def weekdays(first: date, count: int) -> list[date]:
    days = (first + timedelta(days=n) for n in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def add_prices(database, instrument: str, days, closes, adjusted=None, volumes=None) -> None:
    adjusted = closes if adjusted is None else adjusted
    volumes = [1000.0] * len(days) if volumes is None else volumes
    with database.connection.cursor() as cursor:
        cursor.executemany(
            "insert into historical.prices_daily"
            " (instrument_id, trade_date, close, adjusted_close, volume) values (%s, %s, %s, %s, %s)",
            [
                (instrument, day, float(close), float(adj), volume)
                for day, close, adj, volume in zip(days, closes, adjusted, volumes, strict=True)
            ],
        )


def add_regimes(
    database, region: str, instrument: str, days, labels, confidences=None, **columns
) -> None:
    values = {"model_id": V1, "window_days": 63, "model_version": 0, "run_id": RUN}
    values |= {"expected_volatility": None} | columns
    confidences = [0.75] * len(days) if confidences is None else confidences
    with database.connection.cursor() as cursor:
        cursor.executemany(
            "insert into runtime.regimes values (%(region)s, %(day)s, %(model_id)s,"
            " %(window_days)s, %(instrument)s, %(model_version)s, %(label)s, %(confidence)s,"
            " %(probabilities)s, 'CARRY', %(expected_volatility)s, '', %(metadata)s, '', %(run_id)s, now())",
            [
                values
                | {"region": region, "day": day, "instrument": instrument, "label": label}
                | {"confidence": confidence}
                | {"probabilities": Jsonb({label: confidence, "CARRY": 1 - confidence})}
                | {"metadata": Jsonb({"distances": {"CARRY": 2.5}, "in_sample": False})}
                for day, label, confidence in zip(days, labels, confidences, strict=True)
            ],
        )


# Tuesday 2024-01-02 to Thursday 2024-01-11: up 10 %, down 10 %, and flat, over and over.
HAND_DAYS = weekdays(date(2024, 1, 2), 8)
HAND_CLOSES = [100, 110, 99, 99, 108.9, 98.01, 98.01, 107.811]
SATURDAY = date(2024, 1, 13)
# No regime on the 8th and on the 11th, and one on a Saturday.
HAND_LABELS = {
    date(2024, 1, 3): ("NEUTRAL", 0.6),
    date(2024, 1, 4): ("CRISIS", 0.7),
    date(2024, 1, 5): ("CRISIS", 0.9),
    date(2024, 1, 9): ("CRISIS", 0.8),
    date(2024, 1, 10): ("NEUTRAL", 0.5),
    SATURDAY: ("NEUTRAL", 0.4),
}
RANDOM_DAYS = weekdays(date(2020, 1, 1), 400)
ALL_LABELS = ("CARRY", "NEUTRAL", "RISK_OFF", "CRISIS")


def random_market() -> tuple[np.ndarray, list[str]]:
    """400 closes, and a label for each of them but the first 100; changes at one day in eight."""
    chance = np.random.default_rng(5)
    closes = 50 * np.exp(np.cumsum(chance.normal(0, 0.02, 400)))
    states = [0]
    for _ in range(299):
        states.append(int(chance.integers(4)) if chance.random() < 1 / 6 else states[-1])
    return closes, [ALL_LABELS[state] for state in states]


YEAR = [date(2010, 1, 1) + timedelta(days=n) for n in range(364)]
EXCHANGE = [day for day in YEAR if day.weekday() < 5]
WEDNESDAY = date(2010, 6, 2)
# Instrument → its trading days. Two of a kind, so that their calendars can be compared.
CALENDARS = {
    "EXCHANGE": EXCHANGE,
    "LISTED": [day for day in EXCHANGE if day != WEDNESDAY] + [day for day in YEAR if day.weekday() == 5][::9],
    "HALF A YEAR": EXCHANGE[-126:],
    "NO MONDAYS": [day for day in EXCHANGE if day.weekday()],
    "GULF": [day for day in YEAR if day.weekday() not in (4, 5)],
    "SIX DAYS": [day for day in YEAR if day.weekday() < 6],
    "COIN": YEAR,
    "COIN WITH GAPS": [day for n, day in enumerate(YEAR) if n % 4 and n % 9],
    "NEW COIN": YEAR[-65:],
    "WEEKLY": [day for day in YEAR if day.weekday() == 4],
    "MONTHLY": [date(year, month, 1) for year in range(2006, 2010) for month in range(1, 13)],
}  # fmt: skip
TRADING_DAYS_A_YEAR = {
    **dict.fromkeys(("EXCHANGE", "LISTED", "HALF A YEAR", "GULF"), 252),
    **dict.fromkeys(("COIN", "COIN WITH GAPS", "NEW COIN"), 365),
    **{"SIX DAYS": 302, "NO MONDAYS": 209, "WEEKLY": 52, "MONTHLY": 12},
}


def closes_of(days: list[date]) -> np.ndarray:
    """Quiet closes, of which no two are equal."""
    return 100 * np.exp(0.001 * np.sin(np.arange(len(days))))


@pytest.fixture(scope="module")
def market(server) -> Iterator[Database]:
    """Series and prices made for these tests."""
    with server.database(MODULE_DATABASE) as settings, connect(settings) as database:
        database.execute("create schema historical")
        database.execute(
            "create table historical.prices_daily (instrument_id text, trade_date date, close"
            " double precision, adjusted_close double precision, volume double precision,"
            " currency text, loaded_at timestamptz default now(),"
            " primary key (instrument_id, trade_date))"
        )
        add_prices(database, "HAND", HAND_DAYS, HAND_CLOSES)
        add_prices(database, "RANDOM", RANDOM_DAYS, random_market()[0])
        add_suspicious_prices(database)
        for instrument, days in CALENDARS.items():
            add_prices(database, instrument, days, closes_of(days))
        ahead = np.full(30, 100.0)
        ahead[21], ahead[22] = 101, 99
        add_prices(database, "AHEAD", weekdays(date(2024, 3, 1), 30), ahead)
        nightly.build_features(database)
        add_regimes(database, "HAND", "HAND", HAND_LABELS, *zip(*HAND_LABELS.values(), strict=True))
        add_regimes(database, "RANDOM", "RANDOM", RANDOM_DAYS[100:], random_market()[1])
        judged = [weekdays(date(2024, 3, 1), 30)[n] for n in (0, 1, 2, 10)]
        add_regimes(database, "AHEAD", "AHEAD", judged, ["CRISIS"] * 4)
        coins = CALENDARS["COIN"]
        add_regimes(database, "COIN", "COIN", coins, ["CARRY"] * len(coins))
        yield database


@pytest.fixture
def audited(market) -> Iterator[Database]:
    """The same; what a test changes is undone."""
    with market.transaction(force_rollback=True):
        yield market


def of(database, view: str, region: str, order: str, **columns) -> list[dict]:
    where = {"region": region} | columns
    conditions = " and ".join(f"{name} = %({name})s" for name in where)
    query = f"select * from audit.{view} where {conditions} order by {order}"
    return database.rows(query, where).records(dict)


def test_the_timeline_has_every_trading_day_and_every_regime(audited):
    timeline = of(audited, "regime_timeline", "HAND", "as_of_date")
    assert [row["as_of_date"] for row in timeline] == [*HAND_DAYS[1:], SATURDAY]
    assert [row["is_trading_day"] for row in timeline] == [True] * 7 + [False]
    assert [row["is_missing"] for row in timeline] == [False, False, False, True, False, False, True, False]  # fmt: skip
    assert [row["days_since_change"] for row in timeline] == [None, 0, 1, None, 3, 0, None, 1]
    assert [row["spell_number"] for row in timeline] == [1, 2, 2, 2, 2, 3, 3, 3]
    crisis = timeline[1]
    assert crisis["regime_label"] == "CRISIS"
    assert crisis["runner_up_probability"] == pytest.approx(0.3)
    assert crisis["runner_up_distance"] == 2.5
    assert crisis["close"] == 99
    assert crisis["day_return"] == pytest.approx(-0.1, rel=1e-12)
    assert crisis["drawdown"] == pytest.approx(99 / 110 - 1)
    assert crisis["volatility_21_days"] is None
    assert timeline[-1]["close"] is None


def test_what_volatility_came_is_that_of_the_21_days_after_a_forecast(audited):
    closes, labels = random_market()
    days, returns = RANDOM_DAYS[100:], np.diff(np.log(closes))
    forecast = {"expected_volatility": 0.3}
    add_regimes(audited, "TOLD", "RANDOM", days, labels, **forecast)
    add_regimes(audited, "TOLD", "RANDOM", [date(2021, 7, 17)], ["CARRY"], **forecast)
    add_regimes(audited, "GLOBAL", "RANDOM", days, labels, **forecast)
    audited.execute(
        "update runtime.regimes set metadata = metadata || '{{\"trading_days_a_year\": 300}}'"
        " where region in ('TOLD', 'GLOBAL')"
    )
    found = of(audited, "volatility_forecasts", "TOLD", "as_of_date")
    assert [row["as_of_date"] for row in found] == days
    assert {(row["expected_volatility"], row["trading_days_a_year"]) for row in found} == {
        (0.3, 300)
    }
    came = [row["realised_volatility_21_days_after"] for row in found]
    # The return of day n stands at n - 1.
    expected = [math.sqrt((returns[n : n + 21] ** 2).mean() * 300) for n in range(100, 379)]
    assert came[:-21] == pytest.approx(expected)
    assert came[-21:] == [None] * 21
    # No model told a volatility of RANDOM, and a vote is of no instrument.
    for region in ("RANDOM", "GLOBAL"):
        assert of(audited, "volatility_forecasts", region, "as_of_date") == []
    (timeline,) = of(audited, "regime_timeline", "TOLD", "as_of_date", as_of_date=days[7])
    assert timeline["expected_volatility"] == 0.3


@pytest.mark.parametrize("instrument", [*CALENDARS, "HAND", "RANDOM"])
def test_windows_are_annualised_by_the_days_of_the_whole_history(audited, instrument):
    rows = audited.rows(
        "select trade_date, trading_days_a_year from audit.market_days"
        " where instrument_id = %s order by trade_date",
        [instrument],
    ).rows
    dates = np.array([day for day, _ in rows], "datetime64[D]")
    windows = np.lib.stride_tricks.sliding_window_view(dates, min(63, len(dates)))
    assert set(trading_days_a_year(windows).tolist()) == {days for _, days in rows}


def test_spells_are_unbroken_stretches_with_what_the_market_did_in_them(audited):
    first, crisis, last = of(audited, "regime_spells", "HAND", "spell_number")
    assert (first["start_date"], first["end_date"]) == (date(2024, 1, 3), date(2024, 1, 3))
    assert (crisis["start_date"], crisis["end_date"]) == (date(2024, 1, 4), date(2024, 1, 9))
    assert (last["start_date"], last["end_date"]) == (date(2024, 1, 10), SATURDAY)
    assert [(s["trading_days"], s["missing_days"]) for s in (first, crisis, last)] == [(1, 0), (4, 1), (2, 1)]  # fmt: skip
    assert [s["is_open"] for s in (first, crisis, last)] == [False, False, True]
    assert crisis["mean_confidence"] == pytest.approx(0.8)
    assert crisis["lowest_confidence"] == 0.7
    assert (crisis["entered_from_label"], crisis["left_to_label"]) == ("NEUTRAL", "NEUTRAL")
    assert (crisis["entry_confidence"], crisis["exit_confidence"]) == (0.7, 0.8)
    assert (first["entered_from_label"], last["left_to_label"]) == (None, None)
    # 0.9 × 1 × 1.1 × 0.9; the low of the way is its end, as seen from the close before.
    assert crisis["total_return"] == pytest.approx(-0.109, rel=1e-12)
    assert crisis["worst_drawdown"] == pytest.approx(-0.109, rel=1e-12)
    assert first["worst_drawdown"] == 0
    logs = [math.log(0.9), 0, math.log(1.1), math.log(0.9)]
    assert crisis["annualised_volatility"] == pytest.approx(np.std(logs, ddof=1) * math.sqrt(252))
    assert first["annualised_volatility"] is None


def test_the_returns_of_spells_compound_to_that_of_the_series(audited):
    closes, _ = random_market()
    spells = of(audited, "regime_spells", "RANDOM", "spell_number")
    total = math.prod(1 + spell["total_return"] for spell in spells)
    assert total == pytest.approx(closes[-1] / closes[99], rel=1e-12)


def test_spells_and_days_are_those_of_a_loop_over_the_days(audited):
    closes, labels = random_market()
    returns = np.diff(np.log(closes))
    expected, since = [], None
    for n, label in enumerate(labels):
        if n == 0 or label != labels[n - 1]:
            expected.append({"first": n, "label": label, "log": 0.0, "peak": 0.0, "worst": 0.0})
            since = None if n == 0 else 0
        else:
            since = None if since is None else since + 1
        spell = expected[-1]
        spell["days_since"] = since
        spell["log"] += returns[100 + n - 1]
        spell["peak"] = max(spell["peak"], spell["log"])
        spell["worst"] = min(spell["worst"], math.expm1(spell["log"] - spell["peak"]))
    spells = of(audited, "regime_spells", "RANDOM", "spell_number")
    assert len(spells) == len(expected) > 30
    for found, spell in zip(spells, expected, strict=True):
        assert found["start_date"] == RANDOM_DAYS[100 + spell["first"]]
        assert found["regime_label"] == spell["label"]
        assert found["total_return"] == pytest.approx(math.expm1(spell["log"]), abs=1e-12)
        assert found["worst_drawdown"] == pytest.approx(spell["worst"], abs=1e-12)
    timeline = of(audited, "regime_timeline", "RANDOM", "as_of_date")
    assert len(timeline) == 300
    last = timeline[-1]
    assert last["days_since_change"] == expected[-1]["days_since"]
    assert last["drawdown"] == pytest.approx(closes[-1] / closes.max() - 1)
    assert last["volatility_21_days"] == pytest.approx(np.std(returns[-21:], ddof=1) * 252**0.5)


def test_a_series_that_changed_its_instrument_takes_each_days_market_from_its_own(audited):
    days = RANDOM_DAYS[100:103]
    add_regimes(audited, "MOVED", "RANDOM", days[:2], ["CARRY", "CARRY"])
    add_regimes(audited, "MOVED", "HAND", HAND_DAYS[:2], ["CRISIS", "CRISIS"])
    timeline = of(audited, "regime_timeline", "MOVED", "as_of_date")
    assert [row["as_of_date"] for row in timeline] == [*days[:2], *HAND_DAYS]
    assert [row["instrument_id"] for row in timeline] == ["RANDOM"] * 2 + ["HAND"] * 8
    assert timeline[0]["close"] == pytest.approx(random_market()[0][100])
    assert timeline[2]["close"] == 100
    assert [row["is_missing"] for row in timeline] == [False] * 4 + [True] * 6


def test_the_transition_matrix_counts_staying_and_solves_for_the_long_run(audited):
    # Dated rows: N C C C N N.
    cells = {
        (cell["from_label"], cell["to_label"]): cell
        for cell in of(audited, "transition_matrix", "HAND", "from_label, to_label")
    }
    counts = {pair: cell["transitions"] for pair, cell in cells.items()}
    assert counts == {
        ("CRISIS", "CRISIS"): 2,
        ("CRISIS", "NEUTRAL"): 1,
        ("NEUTRAL", "CRISIS"): 1,
        ("NEUTRAL", "NEUTRAL"): 1,
    }
    crisis, neutral = cells["CRISIS", "CRISIS"], cells["NEUTRAL", "NEUTRAL"]
    assert (crisis["probability"], neutral["probability"]) == (2 / 3, 1 / 2)
    assert (crisis["expected_duration"], neutral["expected_duration"]) == (3, 2)
    assert crisis["stationary_share"] == pytest.approx(0.6, abs=1e-14)
    assert neutral["stationary_share"] == pytest.approx(0.4, abs=1e-14)
    assert (crisis["observed_share"], neutral["observed_share"]) == (0.5, 0.5)


def test_the_transition_matrix_is_that_of_numpy(audited):
    _, labels = random_market()
    names = sorted(set(labels))
    counts = np.zeros((4, 4))
    for before, after in pairwise(labels):
        counts[names.index(before), names.index(after)] += 1
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(probabilities.T)
    stationary = vectors[:, np.argmax(values.real)].real
    stationary /= stationary.sum()
    cells = of(audited, "transition_matrix", "RANDOM", "from_label, to_label")
    found = np.array([cell["probability"] for cell in cells]).reshape(4, 4)
    np.testing.assert_array_equal([c["transitions"] for c in cells], counts.ravel())
    np.testing.assert_allclose(found, probabilities, rtol=1e-15)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    long_run = np.array([cell["stationary_share"] for cell in cells]).reshape(4, 4)[:, 0]
    np.testing.assert_allclose(long_run, stationary, atol=1e-12)
    observed = {cell["from_label"]: cell["observed_share"] for cell in cells}
    assert observed == {name: labels.count(name) / 300 for name in names}


@pytest.mark.parametrize(
    ("matrix", "shares"),
    [
        ([[0, 1], [1, 0]], [0.5, 0.5]),  # goes round in a circle
        ([[0.75, 0.25], [0, 1]], [0, 1]),  # never comes back
        ([[1]], [1]),
        ([[1 - 1e-6, 1e-6], [1e-3, 1 - 1e-3]], [1000 / 1001, 1 / 1001]),  # nearly stands still
    ],
)
def test_stationary_shares_of_chains_known_by_hand(audited, matrix, shares):
    flat = [float(p) for row in matrix for p in row]
    (found,) = audited.one("select audit.stationary_shares(%s::float8[])", [flat])
    np.testing.assert_allclose(found, shares, atol=1e-10)


def test_a_label_of_the_last_day_alone_has_no_probabilities_yet(audited):
    add_regimes(audited, "NEW", "HAND", HAND_DAYS[:3], ["CARRY", "CARRY", "CRISIS"])
    cells = of(audited, "transition_matrix", "NEW", "from_label, to_label")
    assert [cell["probability"] for cell in cells] == [0.5, 0.5, None, None]
    assert [cell["stationary_share"] for cell in cells] == [None] * 4
    assert [cell["expected_duration"] for cell in cells] == [2, 2, None, None]


def test_the_label_profile_says_what_the_market_did_on_its_days(audited):
    crisis, neutral = of(audited, "label_profile", "HAND", "regime_label")
    assert (crisis["days"], neutral["days"]) == (3, 2)  # the Saturday has no market
    assert (crisis["share_of_days"], neutral["share_of_days"]) == (0.6, 0.4)
    logs = np.array([math.log(0.9), 0, math.log(0.9)])
    assert crisis["annualised_return"] == pytest.approx(math.expm1(252 * logs.mean()))
    assert crisis["annualised_volatility"] == pytest.approx(logs.std(ddof=1) * 252**0.5)
    assert crisis["worst_day_return"] == pytest.approx(-0.1)
    assert crisis["worst_day"] in (date(2024, 1, 4), date(2024, 1, 9))
    assert (crisis["judged_days"], crisis["hit_rate_21_days"]) == (0, None)


def test_the_hit_rate_looks_21_trading_days_ahead(audited):
    # 100 → 101, 100 → 99, 100 → 100, and a day with fewer than 21 after it.
    (profile,) = of(audited, "label_profile", "AHEAD", "regime_label")
    assert profile["judged_days"] == 3
    assert profile["hit_rate_21_days"] == pytest.approx(1 / 3)


def record(database, day, previous, before, after, confidences) -> None:
    database.execute(
        "insert into runtime.regime_transitions values ('HAND', %s, %s, 63, %s, %s, %s, %s, %s, %s, now())",
        [day, V1, previous, before, after, *confidences, RUN],
    )


def test_reconciliation_says_of_each_transition_what_is_wrong(audited):
    def verdicts():
        return {
            row["as_of_date"].day: (row["verdict"], row["differing_columns"])
            for row in of(audited, "transition_reconciliation", "HAND", "as_of_date")
        }

    assert verdicts() == {4: ("not recorded", []), 10: ("not recorded", [])}
    record(audited, "2024-01-04", "2024-01-03", "NEUTRAL", "CRISIS", (0.6, 0.7))
    record(audited, "2024-01-10", "2024-01-08", "CRISIS", "CARRY", (0.8, 0.5))
    record(audited, "2024-01-05", "2024-01-04", "CRISIS", "NEUTRAL", (0.7, 0.9))
    assert verdicts() == {
        4: ("agrees", []),
        5: ("no change of label", []),
        10: ("differs", ["previous_as_of_date", "to_regime_label"]),
    }
    (wrong,) = of(audited, "transition_reconciliation", "HAND", "1", as_of_date="2024-01-10")
    assert (wrong["recorded_to_label"], wrong["recomputed_to_label"]) == ("CARRY", "NEUTRAL")
    assert wrong["recomputed_previous_as_of_date"] == date(2024, 1, 9)


def add_run(database, run: str, status: str = "SUCCEEDED", **parameters) -> None:
    database.execute(
        "insert into runtime.regime_runs ({columns}) values (%s, 'backfill', %s, %s, %s,"
        " '2024-02-01 12:00+00', '2024-02-01 12:00:02.5+00', '{{}}', '0.1', 'someone', 'somewhere', '')",
        [run, Jsonb(parameters), V1, status],
        columns=RUN_COLUMNS,
    )


def add_model(database, region: str, version: int, valid_from: str) -> None:
    database.execute(
        "insert into runtime.regime_models values (%s, %s, 63, %s, 'prototype', '{{CARRY,CRISIS}}',"
        " '{{}}', '2019-01-01', '2019-12-31', 250, 'hash', '{{}}', %s, '', %s, now())",
        [region, V1, version, valid_from, RUN],
    )


def replace_regime(database, region: str, day: date, new_run: str) -> None:
    """As the engine does it: the old row goes to the revisions."""
    database.execute(
        "with removed as (delete from runtime.regimes where region = %s and as_of_date = %s"
        " returning to_jsonb(regimes) as old_row)"
        " insert into runtime.regime_revisions select 'regimes', '{{}}', old_row, %s, now(), '' from removed",
        [region, day, new_run],
    )


def test_lineage_and_ledger_say_who_wrote_what_and_what_was_replaced(audited):
    days = HAND_DAYS[:4]
    add_run(audited, RUN, region="TOLD", instrument_id="HAND", window_days=63)
    add_run(audited, OTHER_RUN, region="TOLD", instrument_id="HAND", window_days=63)
    add_run(audited, SESSION, status="RUNNING")
    for version in (1, 2, 3):
        add_model(audited, "TOLD", version, "2020-01-01")
    add_regimes(audited, "TOLD", "HAND", days, ["CARRY"] * 4, model_version=1)
    for day in days[2:]:
        replace_regime(audited, "TOLD", day, OTHER_RUN)
    add_regimes(
        audited, "TOLD", "HAND", days[2:], ["CRISIS", "CARRY"], model_version=2, run_id=OTHER_RUN
    )

    first, second, unused = of(audited, "model_lineage", "TOLD", "model_version")
    assert (first["rows_in_force"], first["rows_replaced"]) == (2, 2)
    assert (first["first_date"], first["last_date"]) == (days[0], days[1])
    assert str(second["classified_by_run_id"]) == OTHER_RUN
    assert (second["rows_in_force"], second["rows_replaced"]) == (2, 0)
    assert (second["n_windows"], second["classified_by_user"]) == (250, "someone")
    assert (unused["rows_in_force"], unused["classified_by_run_id"]) == (0, None)

    rows = audited.rows("select * from audit.run_ledger").records(dict)
    ledger = {str(row["run_id"]): row for row in rows}
    (in_hand,) = audited.one("select count(*) from runtime.regimes where run_id = %s", [RUN])
    assert ledger[RUN]["regimes_in_force"] == in_hand
    assert ledger[RUN]["rows_replaced_since"] == 2
    assert ledger[RUN]["models_in_force"] == 3
    assert ledger[OTHER_RUN]["regimes_in_force"] == 2
    assert ledger[OTHER_RUN]["rows_it_replaced"] == 2
    assert ledger[OTHER_RUN]["seconds"] == 2.5
    assert (ledger[SESSION]["status"], ledger[RUN]["status"]) == ("DIED", "SUCCEEDED")

    (row,) = of(audited, "version_disagreement", "TOLD", "as_of_date")
    assert row["as_of_date"] == days[2]
    assert (row["first_version"], row["second_version"]) == (1, 2)
    assert (row["first_label"], row["second_label"]) == ("CARRY", "CRISIS")
    assert (row["first_is_in_force"], row["second_is_in_force"]) == (False, True)
    matrix = of(audited, "version_disagreement_matrix", "TOLD", "second_label")
    assert [(m["second_label"], m["days"], m["share_of_days"]) for m in matrix] == [
        ("CARRY", 1, 0.5),
        ("CRISIS", 1, 0.5),
    ]


def test_two_models_are_compared_on_the_days_that_both_label(audited):
    days = HAND_DAYS[:4]
    add_regimes(audited, "BOTH", "HAND", days, ["CARRY", "CARRY", "CRISIS", "CRISIS"])
    add_regimes(
        audited, "BOTH", "HAND", days[1:], ["CRISIS"] * 3, model_id=V3
    )  # fmt: skip
    (row,) = of(audited, "version_disagreement", "BOTH", "as_of_date")
    assert row["as_of_date"] == days[1]
    assert row["second_model_id"] == "num-regime-core-v3"
    matrix = of(audited, "version_disagreement_matrix", "BOTH", "first_label")
    assert [(m["first_label"], m["second_label"], m["days"]) for m in matrix] == [
        ("CARRY", "CRISIS", 1),
        ("CRISIS", "CRISIS", 2),
    ]


SUSPICIOUS_DAYS = weekdays(date(2022, 1, 3), 60)


def add_suspicious_prices(database) -> None:
    """Five instruments that go up and down a little, but for a strange thing or two each."""
    quiet = 100 * np.cumprod(np.tile([1.01, 1 / 1.01, 1.005, 1 / 1.005], 15))
    split = quiet.copy()
    split[30:] /= 2
    add_prices(database, "SPLIT", SUSPICIOUS_DAYS, split)
    add_prices(database, "ADJUSTED", SUSPICIOUS_DAYS, split, adjusted=quiet)
    stale = quiet.copy()
    stale[40:46] = 1.003 * stale[40]
    volumes = [1000.0] * 60
    volumes[10:12] = [0.0, 0.0]
    volumes[20] = 0.0
    add_prices(database, "STALE", SUSPICIOUS_DAYS, stale, volumes=volumes)
    jump = quiet.copy()
    jump[50:] *= 1.2
    add_prices(database, "JUMP", SUSPICIOUS_DAYS, jump)
    kept = [n for n in range(60) if n not in (15, 16)]
    add_prices(database, "GAP", [SUSPICIOUS_DAYS[n] for n in kept], quiet[kept])


def test_suspicious_prices_are_those_that_were_made_suspicious(audited):
    rows = audited.rows(
        "select * from audit.price_suspicions"
        " where instrument_id in ('SPLIT', 'ADJUSTED', 'STALE', 'JUMP', 'GAP') order by 1, 2"
    ).records(dict)
    day = SUSPICIOUS_DAYS
    found = {
        (row["instrument_id"], row["kind"], row["first_date"], row["trade_date"]) for row in rows
    }
    assert found == {
        ("SPLIT", "unadjusted split", day[29], day[30]),
        ("SPLIT", "extreme return", day[29], day[30]),
        ("STALE", "stale close", day[40], day[45]),
        ("STALE", "zero volume", day[10], day[11]),
        ("STALE", "zero volume", day[20], day[20]),
        ("JUMP", "extreme return", day[49], day[50]),
        ("GAP", "calendar gap", day[15], day[16]),
    }
    values = {(row["instrument_id"], row["kind"]): row["value"] for row in rows}
    assert values["STALE", "stale close"] == 6
    assert values["GAP", "calendar gap"] == 2
    assert values["SPLIT", "unadjusted split"] == pytest.approx(1.005 / 2)
    returns = np.log(np.tile([1.01, 1 / 1.01, 1.005, 1 / 1.005], 15))[1:]
    returns[49] += math.log(1.2)
    median = np.median(returns)
    deviation = 1.4826 * np.median(np.abs(returns - median))
    assert values["JUMP", "extreme return"] == pytest.approx((returns[49] - median) / deviation)
    assert all(row["evidence"] for row in rows)


def test_a_year_has_as_many_trading_days_as_the_instrument_trades(audited):
    found = audited.rows(
        "select distinct instrument_id, trading_days_a_year from audit.market_days"
        " where instrument_id = any(%s)",
        [list(CALENDARS)],
    ).rows
    assert dict(found) == TRADING_DAYS_A_YEAR
    assert len(found) == len(CALENDARS)


def test_annual_figures_are_of_a_year_of_the_instrument(audited):
    returns = np.diff(np.log(closes_of(CALENDARS["COIN"])))
    volatility = returns.std(ddof=1) * math.sqrt(365)
    (profile,) = of(audited, "label_profile", "COIN", "regime_label")
    assert profile["annualised_volatility"] == pytest.approx(volatility)
    assert profile["annualised_return"] == pytest.approx(math.expm1(365 * returns.mean()))
    (spell,) = of(audited, "regime_spells", "COIN", "spell_number")
    assert spell["annualised_volatility"] == pytest.approx(volatility)
    last = of(audited, "regime_timeline", "COIN", "as_of_date")[-1]
    assert last["trading_days_a_year"] == 365
    assert last["volatility_21_days"] == pytest.approx(returns[-21:].std(ddof=1) * math.sqrt(365))


def test_calendars_are_compared_among_instruments_that_trade_on_the_same_weekdays(audited):
    found = audited.rows(
        "select instrument_id, sum(value)::integer, min(first_date)"
        " from audit.price_suspicions where kind = 'calendar gap' and instrument_id = any(%s)"
        " group by instrument_id",
        [list(CALENDARS)],
    ).rows
    gaps = {instrument: (days, first) for instrument, days, first in found}

    def missing_among(instrument: str, peer: str) -> tuple[int, date]:
        """Days and first day without a price, between the instrument's first and last price."""
        own = CALENDARS[instrument]
        days = [day for day in CALENDARS[peer] if own[0] < day < own[-1] and day not in own]
        return len(days), days[0]

    assert gaps == {
        "LISTED": (1, WEDNESDAY),
        "COIN WITH GAPS": missing_among("COIN WITH GAPS", "COIN"),
        # Prices are missing from the week of an exchange.
        "NO MONDAYS": missing_among("NO MONDAYS", "EXCHANGE"),
        "WEEKLY": missing_among("WEEKLY", "EXCHANGE"),
    }


def test_float32_bytes_are_numpys_numbers_to_the_bit(audited):
    chance = np.random.default_rng(1)
    bits = chance.integers(0, 2**32, 4000, dtype=np.uint32)
    special = [0, 1 << 31, 1, 0x007FFFFF, 0x00800000]
    special += [0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000]
    vector = np.concatenate([bits, np.array(special, np.uint32)]).astype("<u4").view("<f4")
    (decoded,) = audited.one("select audit.float32_array(%s)", [vector.tobytes()])
    found = np.array(decoded, np.float32)
    same = (found.view(np.uint32) == vector.view(np.uint32)) | (np.isnan(found) & np.isnan(vector))
    assert same.all()
    assert audited.one("select audit.float32_array(null)") == (None,)


READ_TABLES = {
    "embeddings_of_run",
    "market_of",
    "regime_forecast",
    "regimes_of",
    "regimes_of_run",
    "regimes_without_a_window",
}


def test_the_functions_need_no_special_right_and_may_run_in_parallel(audited):
    functions = audited.rows(
        "select proname, provolatile, proparallel, proisstrict, prosecdef,"
        " obj_description(oid) as comment from pg_proc where pronamespace = 'audit'::regnamespace"
    ).records(dict)
    assert {f["proname"] for f in functions} >= {"float32_array", "prototype_distance"}
    for function in functions:
        reads_tables = function["proname"] in READ_TABLES
        assert function["provolatile"] == ("s" if reads_tables else "i")
        assert function["proparallel"] == "s"
        assert function["proisstrict"]
        assert not function["prosecdef"]
        assert function["comment"]


ENCODERS = ("numeric-simple-v1", V1, V2, V3)
FIRST, LAST = date(2011, 8, 1), date(2011, 9, 30)


@pytest.fixture(scope="module")
def classified_template(server, features_template) -> str:
    with server.new_template("template_classified", features_template) as database:
        for model_id in ENCODERS:
            series = Series("US", model_id, 63)
            fit.fit(database, series, PROTOTYPES)
            classify.backfill(database, series, FIRST, LAST)
    return "template_classified"


@pytest.fixture
def classified(server, classified_template) -> Iterator[Database]:
    with server.database(DATABASE, classified_template) as settings, connect(settings) as database:
        yield database


def test_distances_to_the_states_come_out_in_sql_as_python_stored_them(classified):
    rows = classified.rows("select * from audit.prototype_distances").records(dict)
    assert len(rows) == 4 * 2 * 44  # encoders, labels, trading days
    stored = np.array([row["stored_distance"] for row in rows])
    computed = np.array([row["distance"] for row in rows])
    np.testing.assert_allclose(computed, stored, rtol=1e-12)
    assert max(row["relative_difference"] for row in rows) < 1e-12
    np.testing.assert_allclose(
        [row["probability"] for row in rows],
        [row["stored_probability"] for row in rows],
        rtol=1e-9,
        atol=1e-15,
    )
    # And as the classifier gives them of the bytes, for a model with a mean and a scale.
    series = Series("US", "num-regime-core-v3", 63)
    (model,) = model_versions.load(classified, series)
    assert "scale" in model.parameters
    prototypes = classifiers.get("prototype").from_json(model.labels, model.parameters)
    day = date(2011, 8, 8)
    (vector,) = classified.one(
        "select regime_embedding from runtime.regimes where as_of_date = %s and model_id = %s",
        [day, series.model_id],
    )
    told = classifiers.get("prototype").classify(prototypes, np.frombuffer(vector, "<f4")[None])
    of_the_day = of(classified, "prototype_distances", "US", "label", as_of_date=day, model_id=series.model_id)  # fmt: skip
    assert [row["label"] for row in of_the_day] == list(told.labels)
    np.testing.assert_allclose(
        [row["distance"] for row in of_the_day], told.evidence["distances"][0], rtol=1e-12
    )


@pytest.mark.parametrize("model_id", ENCODERS)
def test_the_window_behind_a_row_is_what_the_encoder_read(classified, model_id):
    day = date(2011, 8, 8)
    rows = classified.rows(
        "select * from audit.window_rows where entity_id = 'GSPC.INDX' and as_of_date = %s"
        " and model_id = %s order by place",
        [day, model_id],
    ).records(dict)
    assert [row["place"] for row in rows] == list(range(1, 64))
    assert not any(row["is_changed"] for row in rows)
    encoder = encoders.get(model_id)
    window = np.array(
        classified.rows(
            f"select {', '.join(encoder.COLUMNS)} from features.daily_features"
            " where instrument_id = 'GSPC.INDX' and trade_date <= %s"
            " order by trade_date desc limit 63",
            [day],
        ).rows
    )[::-1]
    found = [[row[name] for name in encoder.COLUMNS] for row in rows]
    np.testing.assert_array_equal(np.array(found, float), window)
    encoded = np.array([[row["encoded_log_return"], row["encoded_volume"]] for row in rows])
    of_range = np.array([[row["encoded_log_range"], row["encoded_overnight_gap"]] for row in rows])
    if model_id in (V2, V3):
        decoded = encoder.decode(encoder.encode(window.astype(float)[None]))
        expected = np.column_stack([path[0] for path in decoded])
        np.testing.assert_allclose(encoded, expected[:, :2], rtol=1e-12)
        np.testing.assert_array_equal(of_range.astype(float), expected[:, 2:])
    else:
        np.testing.assert_allclose(encoded[1:, 0], window[1:, 2], rtol=1e-7)
        np.testing.assert_allclose(encoded[:, 1], window[:, 1], rtol=1e-7)


def integrity(database, model_id=V3, day="2011-09-15", instrument="GSPC.INDX") -> dict:
    (row,) = database.rows(
        "select * from audit.embedding_integrity"
        " where entity_id = %s and as_of_date = %s and model_id = %s",
        [instrument, day, model_id],
    ).records(dict)
    return row


def test_a_sound_embedding_is_current_and_has_the_norm_of_its_numbers(classified):
    everything = classified.rows(
        "select distinct status, faults, changed_days, is_finite from audit.embedding_integrity"
    ).records(dict)
    assert everything == [
        {"status": "current", "faults": [], "changed_days": None, "is_finite": True}
    ]
    row = integrity(classified)
    assert (row["dimension"], row["expected_dimension"], row["vector_bytes"]) == (384, 384, 1536)
    (vector,) = classified.one(
        "select vector from historical.numeric_window_embeddings"
        " where as_of_date = '2011-09-15' and model_id = 'num-regime-core-v3'"
    )
    norm = np.linalg.norm(np.frombuffer(vector, "<f4").astype(float))
    assert row["norm"] == pytest.approx(norm, rel=1e-12)


def copy_instrument(database, name: str) -> None:
    """GSPC.INDX with its embeddings, under another name."""
    for table, key in (
        ("historical.prices_daily", "instrument_id"),
        ("features.daily_features", "instrument_id"),
        ("historical.numeric_window_embeddings", "entity_id"),
    ):
        database.execute(
            f"insert into {table} select (jsonb_populate_record(null::{table},"
            f" to_jsonb(stored) || jsonb_build_object('{key}', %s::text))).*"
            f" from {table} as stored where {key} = 'GSPC.INDX'",
            [name],
        )


RESTATEMENTS = {
    "CLOSE": "update {} set close = close * 1.01, adjusted_close = adjusted_close * 1.01 where {}",
    "ADJUSTED": "update {} set adjusted_close = adjusted_close * 1.01 where {}",
    "VOLUME": "update {} set volume = volume * 1.5 where {}",
    "HIGH": "update {} set high = high * 1.01 where {}",
    "OPEN": "update {} set open = (open + close) / 2 where {}",
    "LOW": "update {} set low = high * 2 where {}",
    "DELETED": "delete from {} where {}",
}


def test_a_restated_price_is_found_with_its_days(classified):
    for name in (*RESTATEMENTS, "SCALED"):
        copy_instrument(classified, name)
    for name, statement in RESTATEMENTS.items():
        day = f"instrument_id = '{name}' and trade_date = '2011-08-10'"
        classified.execute(statement.format("historical.prices_daily", day))
    classified.execute(
        "update historical.prices_daily set adjusted_close = adjusted_close * 0.98"
        " where instrument_id = 'SCALED'"
    )
    follow_prices(classified)

    def told(instrument, model_id, day="2011-09-15"):
        row = integrity(classified, model_id, day, instrument)
        return row["status"], [str(day) for day in row["changed_days"] or []]

    # A close makes two returns; the encoder that reads closes sees one day.
    assert told("CLOSE", V3) == ("restated", ["2011-08-10", "2011-08-11"])
    assert told("CLOSE", V1) == ("restated", ["2011-08-10"])
    assert told("CLOSE", V3, "2011-08-09") == ("current", [])
    assert told("ADJUSTED", V3) == ("restated", ["2011-08-10", "2011-08-11"])
    # The hash is of all features, the vector of those that its encoder reads.
    assert told("ADJUSTED", V1) == ("restated", [])
    # Adjusted closes on another scale are other features, and no change to a scale-free encoder.
    assert told("SCALED", V3) == ("restated", [])
    # A volume is also a little of what is usual on the 25 days from it on.
    status, days = told("VOLUME", V3)
    assert (status, days[0], len(days)) == ("restated", "2011-08-10", 26)
    assert told("VOLUME", V1) == ("restated", ["2011-08-10"])
    for name in ("HIGH", "OPEN", "LOW"):
        assert told(name, V3) == ("restated", ["2011-08-10"])
        assert told(name, V2) == ("restated", [])
    assert told("DELETED", V1) == ("restated", [])
    assert integrity(classified, V1, instrument="DELETED")["window_rows_today"] == 62
    assert told("GSPC.INDX", V3) == ("current", [])


def test_faults_of_the_row_itself_and_missing_embeddings_are_named(classified):
    where = " where as_of_date = '2011-09-15' and model_id = 'num-regime-core-v3'"
    table = "historical.numeric_window_embeddings"
    classified.execute(
        f"update {table} set vector = overlay(vector placing '\\x0000c07f'::bytea from 5){where}"
    )
    row = integrity(classified)
    assert row["status"] == "current"
    assert row["faults"] == ["vector: a number is not finite", "row: not as it was written"]
    assert not row["is_finite"]
    classified.execute(
        f"update {table} set vector = '\\x0000803f', dimension = 1,"
        f" window_spec = window_spec || jsonb_build_object('rows', 62){where}"
    )
    row = integrity(classified)
    assert row["norm"] == 1
    assert [fault.split(":")[0] for fault in row["faults"]] == ["dimension", "row", "window"]
    classified.execute(f"delete from {table}{where}")
    row = integrity(classified)
    assert row["status"] == "missing"
    assert row["faults"] == ["embedding: none is stored for the regime of US"]


EMBEDDING_TABLES = ("regimes", "numeric_window_embeddings")


@pytest.fixture(scope="module")
def wide_market(market) -> Database:
    """Eighty more series of the same instruments' days, so that an index is worth its while."""
    for table, key, name in (
        ("historical.numeric_window_embeddings", "entity_id", "I"),
        ("runtime.regimes", "region", "R"),
    ):
        market.execute(
            f"insert into {table} select (jsonb_populate_record(null::{table}, to_jsonb(stored)"
            f" || jsonb_build_object('{key}', '{name}' || n, 'instrument_id', 'I' || n,"
            " 'run_id', md5(n::text)::uuid))).*"
            f" from (select * from {table} limit 300) as stored, generate_series(1, 80) as n"
        )
    market.execute(
        "insert into historical.numeric_window_embeddings"
        " select 'INSTRUMENT', instrument_id, as_of_date, model_id, window_days,"
        """ '{{"first_trade_date": "2020-01-02", "last_trade_date": "2020-04-01", "rows": 63}}',"""
        " '\\x0000803f', 1, '', '', run_id, created_at from runtime.regimes"
        " on conflict do nothing"
    )
    market.execute(
        "insert into runtime.regime_runs ({columns}) select run_id, 'backfill',"
        " jsonb_build_object('region', min(region)), min(model_id), 'SUCCEEDED', now(), now(), '{{}}',"
        " '0.1', '', '', '' from runtime.regimes group by run_id",
        columns=RUN_COLUMNS,
    )
    market.execute("analyze")
    return market


@pytest.mark.parametrize(
    ("view", "where"),
    [
        *[
            (view, "region = 'R7'")
            for view in (
                "regime_timeline", "regime_spells", "transition_matrix", "label_profile",
                "transition_reconciliation", "prototype_distances", "model_lineage", "run_ledger",
                "version_disagreement", "version_disagreement_matrix",
            )
        ],
        ("regime_timeline", "region = 'R7' and as_of_date = '2020-09-01'"),
        ("embedding_integrity", "entity_id = 'I7'"),
        ("embedding_integrity", "entity_id = 'I7' and as_of_date = '2020-09-01'"),
        ("window_rows", "entity_id = 'I7' and as_of_date = '2020-09-01'"),
        ("run_ledger", "run_id = md5('7')::uuid"),
    ],
)  # fmt: skip
def test_a_lookup_scans_no_embedding_table(wide_market, view, where):
    query = f"explain (format json) select * from audit.{view} where {where}"
    ((plan,),) = wide_market.one(query)

    def scans(node):
        if node.get("Relation Name") in EMBEDDING_TABLES:
            yield node["Node Type"], node["Relation Name"]
        for child in node.get("Plans", []):
            yield from scans(child)

    assert not [scan for scan in scans(plan["Plan"]) if "Seq Scan" in scan[0]], json.dumps(plan)


def test_views_that_a_person_built_on_the_audit_stay_when_it_is_built_again(
    database, settings, tmp_path
):
    database.execute("create view public.mine as select * from audit.regime_spells")
    database.execute("create view public.prices as select * from staging.stg_prices_daily")
    kinds = "select relname, oid from pg_class where relname in ('mine', 'prices') order by 1"
    before = database.rows(kinds).rows
    nightly.build_features(database)
    assert database.rows(kinds).rows == before

    assert "functions" in PROJECT_FILES
    project = copy_project(tmp_path)
    change(project / "models/audit/regime_spells.sql", "        entry_confidence,\n        lead(", "        lead(")  # fmt: skip
    yml = project / "models/audit/_audit.yml"
    begin = yml.read_text().index("      - name: entry_confidence\n")
    end = yml.read_text().index("      - name: left_to_label\n")
    yml.write_text(yml.read_text()[:begin] + yml.read_text()[end:])
    changed = replace(database, settings=replace(settings, project_directory=project))
    with pytest.raises(RegimeError, match=r"views that read it: drop public\.mine first"):
        nightly.build_features(changed)
    database.execute("drop view public.mine")
    nightly.build_features(changed)
    columns = database.execute("select * from audit.regime_spells").description
    assert "entry_confidence" not in [column.name for column in columns]

    # A table of a view's name may have rows that nobody else has.
    database.execute("drop view staging.rejected_prices")
    database.execute("create table staging.rejected_prices as select 1 as mine")
    with pytest.raises(RegimeError, match='"rejected_prices" is a table and should be a view'):
        nightly.build_features(changed)
    assert database.one("select mine from staging.rejected_prices") == (1,)
