"""`regime matrix`, `forecast`, `explain`: what they print, against SQL, numpy and a simulation; and
the same from Python."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pytest
from bundled import GLOBAL, US, US_TECH, V3
from click.testing import CliRunner
from commands import environment, regime_command, succeed
from project import ROOT
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo
from servers import MODULE_DATABASE
from sklearn.metrics import roc_auc_score

from regime_engine import open_database
from regime_engine.cli import regime
from regime_engine.cli.matrix import CELLS
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.encoders import num_regime_core_v3
from regime_engine.engine import classify, fit, vote
from regime_engine.engine.fit import Recipe
from regime_engine.errors import RegimeError
from regime_engine.reading import changes, volatility
from regime_engine.reading import forecast as forecasts
from regime_engine.reading import performance as earnings
from regime_engine.reading import scored_days as days_to_score
from regime_engine.reading.analogues import analogues
from regime_engine.reading.changes import Change, LastLabel
from regime_engine.reading.explain import explain
from regime_engine.reading.matrix import matrix
from regime_engine.reading.score import Rule, score
from regime_engine.reading.suspicions import suspicions
from regime_engine.series import Series

pytestmark = pytest.mark.one_server

SEVERITIES = {"CARRY": 0, "NEUTRAL": 1, "RISK_OFF": 2, "CRISIS": 3}
FIRST, LAST = date(2006, 1, 3), date(2009, 12, 31)


@pytest.fixture(scope="module")
def settings(server, features_template) -> Iterator[Settings]:
    """US of four years by a model of the years before; of US_TECH 2006 by the seed rule, which
    knows one label; their vote."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        with connect(settings) as database:
            fit.fit(database, US, Recipe(), end=date(2005, 12, 30))
            classify.backfill(database, US, FIRST, LAST)
            classify.backfill(database, US_TECH, FIRST, date(2006, 12, 29))
            vote.vote(database, V3, 63)
        yield settings


def history(database, region: str = "US") -> list[tuple[date, str, dict]]:
    return database.rows(
        "select as_of_date, regime_label, probabilities from runtime.regimes"
        " where region = %s order by as_of_date",
        [region],
    ).rows


def as_arrays(rows: list[tuple[date, str, dict]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the labels that are there, (n,) labels and (n, k) probabilities."""
    names = sorted({name for _, label, given in rows for name in (label, *given)})
    labels = np.array([names.index(label) for _, label, _ in rows])
    return names, labels, np.array([[given.get(name, 0) for name in names] for *_, given in rows])


def test_the_history_of_these_tests_has_several_labels(database):
    labels = [label for _, label, _ in history(database)]
    assert len(set(labels)) >= 3
    assert sum(one != other for one, other in pairwise(labels)) > 10


def test_smoothed_probabilities_are_the_same_in_sql_and_python(database):
    chance = np.random.default_rng(3)
    tables = [np.zeros((1, 1)), np.zeros((3, 3)), np.diag([500, 0, 3])]
    tables += [chance.poisson(chance.exponential(20, (k, k))) for k in (1, 2, 4, 6)]
    for counts in tables:
        (found,) = database.one(
            "select audit.smoothed_probabilities(%s::float8[])",
            [counts.astype(float).ravel().tolist()],
        )
        expected = forecasts.smoothed_probabilities(counts.astype(float))
        np.testing.assert_allclose(found, expected.ravel(), rtol=1e-14)


def test_the_matrix_is_that_of_a_count_calmest_label_first(database):
    names, labels, _ = as_arrays(history(database))
    shown = sorted(
        {names[label] for label in labels}, key=["CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"].index
    )
    counts = np.zeros((len(shown), len(shown)))
    for before, after in pairwise(labels):
        counts[shown.index(names[before]), shown.index(names[after])] += 1
    cells = matrix(database, US, shrink=True).records(dict)
    assert [(cell["from_label"], cell["to_label"]) for cell in cells] == [
        (one, other) for one in shown for other in shown
    ]
    np.testing.assert_array_equal([cell["transitions"] for cell in cells], counts.ravel())
    smoothed = forecasts.smoothed_probabilities(counts).ravel()
    np.testing.assert_allclose(
        [cell["smoothed_probability"] for cell in cells], smoothed, rtol=1e-13
    )
    assert "smoothed_probability" not in matrix(database, US).headers


@pytest.mark.parametrize("horizon", [1, 5, 21, 250])
def test_the_law_in_sql_is_the_law_in_python(database, horizon):
    rows = history(database)
    for n in (2, 40, len(rows)):
        names, labels, probabilities = as_arrays(rows[:n])
        k = len(names)
        (law,) = forecasts.law(
            np.eye(k)[labels[-1:]],
            probabilities[-1:],
            forecasts.smoothed_probabilities(forecasts.transitions_so_far(labels, k))[-1:],
            horizon,
        )
        forecast = forecasts.forecast(database, US, [horizon], rows[n - 1][0]).records(dict)
        assert {cell["label"]: cell["probability"] for cell in forecast} == {
            name: pytest.approx(p, rel=1e-10) for name, p in zip(names, law, strict=True)
        }
        assert {cell["label"]: cell["probability_today"] for cell in forecast} == pytest.approx(
            dict(zip(names, probabilities[-1], strict=True))
        )
        assert {(cell["as_of_date"], cell["regime_label"]) for cell in forecast} == {
            rows[n - 1][:2]
        }


def simulated(names, label: int, probabilities, matrix, horizon: int, n: int) -> dict[str, list]:
    """name → (n,) whether the label is it at the end; whether it ever was, or a more severe one;
    and whether it ever was another than today's.

    The label and the state go their own ways by the matrix, until the label catches up with the
    state, which it does with probability 0.05 a day; names: calmest first
    """
    chance = np.random.default_rng(11)
    steps = matrix.cumsum(axis=1)

    def step(now: np.ndarray) -> np.ndarray:
        return np.minimum((chance.random((n, 1)) > steps[now]).sum(axis=1), len(names) - 1)

    labels = np.full(n, label)
    states = chance.choice(len(names), n, p=probabilities / probabilities.sum())
    caught_up = np.zeros(n, bool)
    reached = np.zeros((n, len(names)), bool)
    reached[:, label] = True
    changed = np.zeros(n, bool)
    for _ in range(horizon):
        moved, states = step(labels), step(states)
        caught_up |= chance.random(n) < 0.05
        # One who has caught up walks with the state from then on.
        labels = np.where(caught_up, states, moved)
        reached[np.arange(n), labels] = True
        changed |= labels != label
    return {
        "probability": [labels == i for i in range(len(names))],
        "probability_reached": list(reached.T),
        "probability_reached_or_worse": [reached[:, i:].any(axis=1) for i in range(len(names))],
        "probability_of_change": [changed] * len(names),
    }


@pytest.mark.parametrize("horizon", [1, 5, 21, 63])
def test_first_passages_are_those_of_a_simulation_within_its_error(database, horizon):
    rows = history(database)
    # The day on which label and probabilities say the most different things.
    day = min(range(500, len(rows)), key=lambda n: rows[n][2].get(rows[n][1], 0))
    forecast = forecasts.forecast(database, US, [horizon], rows[day][0]).records(dict)
    names, labels, probabilities = as_arrays(rows[: day + 1])
    k = len(names)
    transitions = forecasts.transitions_so_far(labels, k)[-1]
    order = [names.index(cell["label"]) for cell in forecast]
    found = simulated(
        [cell["label"] for cell in forecast],
        order.index(labels[-1]),
        probabilities[-1][order],
        forecasts.smoothed_probabilities(transitions)[np.ix_(order, order)],
        horizon,
        n := 100_000,
    )
    for quantity, paths in found.items():
        for cell, happened in zip(forecast, paths, strict=True):
            p = cell[quantity]
            error = np.sqrt(max(p * (1 - p), 1e-6) / n)
            assert abs(happened.mean() - p) < 4.5 * error, (quantity, cell["label"])


def test_a_longer_horizon_reaches_more(database):
    forecast = forecasts.forecast(database, US, [1, 2, 30, 1000]).records(dict)
    for name in ("probability_of_change", "probability_reached", "probability_reached_or_worse"):
        by_label: dict[str, list[float]] = {}
        for cell in forecast:
            by_label.setdefault(cell["label"], []).append(cell[name])
        for values in by_label.values():
            assert values == sorted(values)
            assert 0 <= values[0] <= values[-1] <= 1
    for horizon in (1, 2, 30, 1000):
        cells = [cell for cell in forecast if cell["horizon"] == horizon]
        assert sum(cell["probability"] for cell in cells) == pytest.approx(1, abs=1e-9)
        # Somewhere else at the end is less than somewhere else at some time.
        (stay,) = [cell["probability"] for cell in cells if cell["label"] == cell["regime_label"]]
        assert cells[0]["probability_of_change"] >= 1 - stay - 1e-12


def test_a_forecast_knows_nothing_of_the_days_after(database):
    day = history(database)[600][0]
    before = forecasts.forecast(database, US, [5, 63], day)
    with database.transaction(force_rollback=True):
        database.execute(
            "delete from runtime.regimes where region = 'US' and as_of_date > %s", [day]
        )
        assert forecasts.forecast(database, US, [5, 63]) == before


def test_the_score_is_that_of_the_forecasts_that_sql_gives(database):
    rows = history(database)
    names, labels, probabilities = as_arrays(rows)
    n, horizon = len(rows), 5
    (found,) = forecasts.scores(labels, probabilities, [horizon], n - 25).values()
    log, brier = [], []
    for day in range(n - 25, n - horizon):
        forecast = forecasts.forecast(database, US, [horizon], rows[day][0]).records(dict)
        law = {cell["label"]: cell["probability"] for cell in forecast}
        assert set(law) == set(names)
        came = rows[day + horizon][1]
        log.append(np.log(law[came]))
        brier.append(sum((p - (name == came)) ** 2 for name, p in law.items()))
    assert found["log_score"] == pytest.approx(np.mean(log), rel=1e-10)
    assert found["brier_score"] == pytest.approx(np.mean(brier), rel=1e-10)


def test_the_score_of_a_history_counts_its_days(database):
    rows = history(database)
    scored = forecasts.score(database, US, [1, 63]).records(dict)
    assert [(row["horizon"], row["days"]) for row in scored] == [
        (1, len(rows) - 253),
        (63, len(rows) - 315),
    ]


def test_a_series_of_one_label_stays_what_it_is(database):
    (cell,) = matrix(database, US_TECH, shrink=True).records(dict)
    assert (cell["probability"], cell["smoothed_probability"]) == (1, 1)
    assert cell["expected_duration"] is None
    (ahead,) = forecasts.forecast(database, US_TECH, [21]).records(dict)
    assert ahead["label"] == "NEUTRAL"
    assert (ahead["probability"], ahead["probability_of_change"]) == pytest.approx(
        (1, 0), abs=1e-12
    )
    explained = explain(database, US_TECH)
    assert (explained.since, explained.changed_from, explained.model) == (None, None, None)
    assert explained.compared_with == FIRST


def test_an_explanation_is_what_is_stored(database):
    e = explain(database, US)
    assert (e.as_of_date, e.first_day) == (LAST, FIRST)
    label, confidence, runner_up, probabilities, metadata, version, run_id = database.one(
        "select regime_label, confidence, runner_up_label, probabilities, metadata, model_version,"
        " run_id::text from runtime.regimes where region = 'US' and as_of_date = %s",
        [LAST],
    )
    assert (e.regime_label, e.confidence, e.runner_up_label) == (label, confidence, runner_up)
    assert e.probabilities == probabilities
    assert list(e.probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert e.evidence == {"filtered": metadata["filtered"]}
    assert (e.novelty, e.in_sample) == (metadata["novelty"], False)
    assert (e.model_version, e.run.run_id, e.run.command) == (version, run_id, "backfill")
    assert (e.model.classifier, e.model.trained_to) == ("markov", "2005-12-30")
    since, before, changed_from, days = database.one(
        "select change.as_of_date, previous_as_of_date, from_regime_label, days_since_change"
        " from runtime.regime_transitions as change"
        " inner join audit.regime_timeline as timeline using (region, model_id, window_days)"
        " where region = 'US' and timeline.as_of_date = %s"
        " order by change.as_of_date desc limit 1",
        [LAST],
    )
    assert (e.since, e.compared_with) == (since, before)
    assert (e.changed_from, e.trading_days_since) == (changed_from, days)


def test_what_moved_is_what_sql_reads_out_of_the_embeddings(database):
    day = date(2008, 10, 10)
    e = explain(database, US, day)
    layout = num_regime_core_v3.layout(63)
    in_sql = database.rows(
        """
            with stored as materialized (
                select as_of_date, audit.float32_array(regime_embedding)::float8[] as numbers
                from runtime.regimes
                where region = 'US' and as_of_date <= %(day)s
            )
            select place, before, now, (now - before) / spread as moved
            from unnest(%(places)s::int[]) as place
            cross join lateral (
                select
                    max(numbers[place]) filter (where as_of_date = %(before)s) as before,
                    max(numbers[place]) filter (where as_of_date = %(day)s) as now,
                    stddev_pop(numbers[place]) as spread
                from stored
            ) as measured
            order by abs(now - before) / spread desc
            limit 5
        """,
        {
            "places": [layout.index(name) + 1 for name in num_regime_core_v3.STATISTICS],
            "before": e.compared_with,
            "day": day,
        },
    ).rows
    assert [(each.statistic, each.before, each.now) for each in e.moved] == [
        (layout[place - 1], before, now) for place, before, now, _ in in_sql
    ]
    assert [each.in_spreads for each in e.moved] == pytest.approx([row[3] for row in in_sql])


def test_an_explanation_does_without_the_row_before_the_change_where_it_is_gone(own):
    whole = explain(own, US, date(2008, 10, 10))
    assert whole.since
    assert whole.moved
    own.execute(
        "delete from runtime.regimes where region = 'US' and as_of_date = %s", [whole.compared_with]
    )
    assert explain(own, US, date(2008, 10, 10)) == replace(whole, compared_with=None, moved=[])


def test_the_analogues_of_an_explanation_are_those_of_the_command(database):
    day = date(2008, 10, 10)
    found = analogues(database, US, day, 5).records(dict)
    assert len(found) == 5
    assert [asdict(each) for each in explain(database, US, day).analogues] == found


def test_a_vote_is_explained_by_its_voters(database):
    e = explain(database, GLOBAL, date(2006, 11, 1))
    assert {each["region"] for each in e.constituents} == {"US", "US_TECH"}
    assert (e.moved, e.analogues, e.model) == ([], [], None)
    assert sum(e.probabilities.values()) == pytest.approx(1)


@pytest.fixture
def ask(settings, monkeypatch):
    """Call the command in this process; its result."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(regime, arguments)


FORECAST = """
    select ahead.*, stored.expected_volatility
    from audit.regime_forecast('US', 'num-regime-core-v3', 63, '2009-12-31', {}) as ahead
    inner join runtime.regimes as stored using (as_of_date)
    where stored.region = 'US'
    """


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (("matrix", "--shrink"), "select * from audit.transition_matrix where region = 'US'"),
        (("forecast",), FORECAST.format(21)),
        (("forecast", "--horizon", "63"), FORECAST.format(63)),
    ],
)
def test_the_command_gives_the_numbers_of_sql_in_json_and_csv(database, ask, arguments, query):
    def key(row: dict) -> tuple:
        return row.get("from_label"), row.get("to_label"), row.get("label")

    cursor = database.connection.cursor(row_factory=psycopg.rows.dict_row)
    in_sql = {key(row): row for row in cursor.execute(query)}
    result = ask(*arguments, "--region", "US", "--format", "json")
    rows = json.loads(result.stdout)
    assert len(rows) == len(in_sql) > 2
    for row in rows:
        stored = in_sql[key(row)]
        assert row == {
            name: str(stored[name]) if isinstance(stored[name], date) else stored[name]
            for name in row
        }
    in_csv = list(
        csv.DictReader(io.StringIO(ask(*arguments, "--region", "US", "--format", "csv").stdout))
    )
    as_text = [{n: "" if v is None else str(v) for n, v in row.items()} for row in rows]
    assert in_csv == as_text


def test_a_horizon_that_is_given_twice_is_told_once(ask):
    once, twice = (
        ask("forecast", "--region", "US", *horizons)
        for horizons in (("--horizon", "5"), ("--horizon", "5", "--horizon", "5"))
    )
    assert twice.exit_code == 0
    assert twice.stdout == once.stdout


def test_an_explanation_in_json_and_csv_is_the_same(database, ask):
    day = ("--region", "US", "--as-of", "2008-10-10", "--format")
    e = explain(database, US, date(2008, 10, 10))
    in_json = json.loads(ask("explain", *day, "json").stdout)
    assert in_json == json.loads(json.dumps(asdict(e), default=str))
    flat = dict(csv.reader(io.StringIO(ask("explain", *day, "csv").stdout)))
    assert flat["regime_label"] == e.regime_label
    assert float(flat[f"probabilities.{e.regime_label}"]) == e.probabilities[e.regime_label]
    assert flat["moved.0.statistic"] == e.moved[0].statistic
    assert flat["analogues.4.as_of_date"] == str(e.analogues[4].as_of_date)
    assert flat["model.parameters_hash"] == e.model.parameters_hash


def test_the_tables_say_what_a_person_asks_for(database, ask):
    square = ask("matrix", "--region", "US", "--shrink").stdout
    assert [square.count(heading) for heading in CELLS.values()] == [1, 1, 1]
    ahead = ask("forecast", "--region", "US", "--horizon", "1", "--horizon", "21").stdout
    forecast = forecasts.forecast(database, US, [1, 21]).records(dict)
    for days, cell in (("1 trading day", forecast[0]), ("21 trading days", forecast[-1])):
        change = cell["probability_of_change"]
        assert f"In {days}; the label changes at least once: {change:.3f}\n" in ahead
    # A Saturday.
    why = ask("explain", "--region", "US", "--as-of", "2008-10-11").stdout
    assert why.startswith("2008-10-11 has no regime of US; this is the last one before it.\n")
    assert "US on 2008-10-10: " in why
    assert "What moved most since the day before the change" in why
    assert "trained on" in why
    vote = ask("explain", "--region", "GLOBAL").stdout
    assert "Voted by:" in vote
    seed = ask("explain", "--region", "US_TECH").stdout
    assert "the seed rule says NEUTRAL" in seed


@pytest.fixture
def few_resamples(monkeypatch):
    """Where the figures matter, not their intervals."""
    monkeypatch.setattr("regime_engine.reading.score.N_RESAMPLES", 50)


@pytest.fixture(scope="module")
def scored_days(settings) -> pd.DataFrame:
    """The days of US with what was stored of them and what came, by pandas from the tables."""
    with connect(settings) as database:
        prices = database.rows(
            "select trade_date, adjusted_log_return from features.daily_features"
            " where instrument_id = 'GSPC.INDX' order by trade_date"
        )
        regimes = pd.DataFrame(history(database), columns=["day", "label", "probabilities"])
    days = pd.DataFrame(prices.rows, columns=["day", "log_return"])
    next_days = days["log_return"].rolling(21)
    days["volatility"] = next_days.std(ddof=0).shift(-21) * 252**0.5
    days["fell"] = next_days.sum().shift(-21) < np.log(0.95)
    days["ewm"] = (days["log_return"].fillna(0) ** 2).ewm(halflife=10).mean()
    days["return two days later"] = np.expm1(days["log_return"].shift(-2))
    days = days.merge(regimes, on="day")
    days["severity"] = days["label"].map(SEVERITIES)
    days["expected"] = [
        sum(p * SEVERITIES[k] for k, p in of.items()) for of in days["probabilities"]
    ]
    return days


def test_a_score_has_the_figures_of_pandas(database, scored_days, few_resamples):
    found = score(database, US, Rule(("CARRY", "NEUTRAL"), cost=0.002))
    figures = {each.name: each for section in found.sections for each in section.measures}

    def ours(name: str) -> float:
        return figures[name].ours

    days = scored_days
    assert (found.days, found.left_out) == (len(days), {})
    ranks = days[["severity", "expected", "ewm", "volatility"]].rank()
    ranks = ranks.corr()["volatility"]
    assert ours("rank_correlation_label") == pytest.approx(ranks["severity"])
    of_expected = figures["rank_correlation_expected_label"]
    assert of_expected.ours == pytest.approx(ranks["expected"])
    assert of_expected.rivals["ewm"].value == pytest.approx(ranks["ewm"])
    assert of_expected.rivals["ewm"].difference == pytest.approx(ranks["expected"] - ranks["ewm"])
    assert ours("auc_expected_label") == pytest.approx(
        roc_auc_score(days["fell"], days["expected"])
    )
    by_label = days.groupby("severity")["volatility"].mean()
    assert ours("volatility_ratio") == pytest.approx(by_label.iloc[-1] / by_label.iloc[0])
    switches = (days["label"] != days["label"].shift()).iloc[1:].sum()
    assert ours("switches_a_year") == pytest.approx(switches / len(days) * 252)
    assert ours("share_of_days_CRISIS") == pytest.approx((days["label"] == "CRISIS").mean())

    held = days["label"].isin(["CARRY", "NEUTRAL"]).astype(float)
    traded = held.diff().abs().fillna(0)
    daily = held * days["return two days later"] - 0.002 * traded
    assert ours("sharpe_ratio") == pytest.approx(daily.mean() / daily.std(ddof=0) * 252**0.5)
    wealth = (1 + daily).cumprod()
    assert ours("worst_drawdown") == pytest.approx((wealth / wealth.cummax() - 1).min())
    assert ours("trades_a_year") == pytest.approx(traded.mean() * 252)
    assert ours("exposure") == pytest.approx(held.mean())
    market = figures["worst_drawdown"].rivals["no_regime"].value
    bought = (1 + days["return two days later"]).cumprod()
    assert market == pytest.approx((bought / bought.cummax() - 1).min())

    # The report's calibration is of the same forecasts.
    tenths = forecasts.calibration(database, US, 21).records(forecasts.Calibration)
    gaps = [each.forecasts * abs(each.forecast - each.realised) for each in tenths]
    error = sum(gaps) / sum(each.forecasts for each in tenths)
    assert ours("calibration_error") == pytest.approx(error)
    of_forecasts = forecasts.score(database, US, [21]).records(dict)[0]
    assert ours("brier_score") == pytest.approx(of_forecasts["brier_score"])
    base_rate = figures["brier_score"].rivals["no_regime"].value
    assert base_rate == pytest.approx(of_forecasts["base_rate_brier_score"])


def earned(daily: pd.Series) -> dict[str, float]:
    """What the report says of these daily returns, by pandas."""
    wealth = (1 + daily).cumprod()
    downside = (daily.clip(upper=0) ** 2).mean() ** 0.5
    return {
        "annual_return": wealth.iloc[-1] ** (252 / len(daily)) - 1,
        "volatility": daily.std(ddof=0) * 252**0.5,
        "sharpe_ratio": daily.mean() / daily.std(ddof=0) * 252**0.5,
        "sortino_ratio": daily.mean() / downside * 252**0.5,
        "worst_drawdown": min(0, (wealth / wealth.cummax() - 1).min(), wealth.min() - 1),
    }


def test_what_labels_rule_and_benchmark_earned_is_what_pandas_says(
    database, scored_days, few_resamples
):
    rule = Rule(("CARRY", "NEUTRAL"), cost=0.002)
    nasdaq = earnings.benchmark(database, "IXIC.INDX")
    found = earnings.performance(days_to_score.read(database, US, rule), rule, nasdaq)

    market = scored_days["return two days later"]
    of_label = {label: market[days.index] for label, days in scored_days.groupby("label")}
    held = scored_days["label"].isin(rule.hold)
    traded = held.astype(float).diff().abs().fillna(0)
    prices = database.rows(
        "select trade_date, adjusted_log_return from features.daily_features"
        " where instrument_id = 'IXIC.INDX' order by trade_date"
    )
    beside = pd.DataFrame(prices.rows, columns=["day", "log_return"])
    beside["return"] = np.expm1(beside["log_return"].shift(-2))
    beside = scored_days[["day"]].merge(beside, on="day")["return"]
    daily = {
        **{label: of_label[label] for label in sorted(of_label, key=SEVERITIES.get)},
        "Rule": held * market - rule.cost * traded,
        "Buy and hold": market,
        "Benchmark IXIC.INDX": beside,
    }
    rows = {row.name: row for row in (*found.labels, *found.others)}
    assert list(rows) == list(daily)
    for name, returns in daily.items():
        expected = earned(returns)
        figures = {each: getattr(rows[name], each) for each in expected}
        assert figures == pytest.approx(expected), name
        days_held = returns[held] if name == "Rule" else returns
        assert rows[name].days == len(days_held)
        assert rows[name].hit_rate == pytest.approx((days_held > 0).mean())
    turnover = [row.turnover for row in found.others]
    assert turnover == pytest.approx([traded.mean() * 252, 0, 0])
    assert {row.turnover for row in found.labels} == {None}
    assert found.notes == []

    # The rule is that of the score.
    (of_rule,) = (each for each in score(database, US, rule).sections if each.title == "The rule")
    assert of_rule.measures[0].ours == rows["Rule"].sharpe_ratio
    # Wealth is told at the end of each week, of all the days.
    assert found.wealth[-1].rule == pytest.approx((1 + daily["Rule"]).prod())
    assert found.wealth[-1].benchmark == pytest.approx((1 + beside).prod())
    weeks = [each.as_of_date.isocalendar()[:2] for each in found.wealth]
    assert len(set(weeks)) == len(weeks) > 200


def test_a_benchmark_that_has_not_all_the_days_says_so(own):
    def notes(benchmark_id: str = "IXIC.INDX") -> list[str]:
        rule = Rule()
        days = days_to_score.read(own, US, rule)
        return earnings.performance(days, rule, earnings.benchmark(own, benchmark_id)).notes

    with pytest.raises(
        RegimeError, match=r"--benchmark IXIC: no such instrument .* are IXIC\.INDX,"
    ):
        notes("IXIC")
    delete = "delete from features.daily_features where instrument_id = 'IXIC.INDX' and {}"
    own.execute(delete.format("extract(isodow from trade_date) = 3"))
    (sparse,) = notes()
    assert sparse.startswith("IXIC.INDX has a price on 79% of the days; on the others its return")
    own.execute(delete.format("trade_date < '2008-01-01'"))
    late, _ = notes()
    assert late.startswith("IXIC.INDX has prices from 2008-01-03 to ")
    own.execute(delete.format("trade_date < '2015-01-01'"))
    (none,) = notes()
    assert none.endswith("so there is nothing to compare.")


def test_a_score_is_the_same_twice_in_each_format(database, ask, few_resamples):
    asked = ("score", "--region", "US", "--hold", "CARRY, NEUTRAL", "--cost", "0.2%", "--format")
    first = ask(*asked, "json").stdout
    assert ask(*asked, "json").stdout == first
    found = json.loads(first)
    rule = Rule(("CARRY", "NEUTRAL"), cost=0.002)
    assert found == json.loads(json.dumps(asdict(score(database, US, rule)), default=str))
    rows = list(csv.DictReader(io.StringIO(ask(*asked, "csv").stdout)))
    figures = [each for section in found["sections"] for each in section["measures"]]
    assert len(rows) == sum(1 + len(each["rivals"]) for each in figures)
    for each in figures:
        (ours,) = (r for r in rows if (r["measure"], r["contender"]) == (each["name"], "ours"))
        assert [float(ours[name]) for name in ("value", "low", "high")] == [
            each[name] for name in ("ours", "low", "high")
        ]
        assert each["low"] <= each["high"]
    table = ask(*asked, "table").stdout
    assert "Hold on CARRY, NEUTRAL; 20 bp a trade" in table
    for section in found["sections"]:
        assert all(verdict in table for verdict in section["verdicts"])


def test_only_labels_of_models_that_were_valid_and_had_not_seen_the_day_are_scored(
    own, few_resamples
):
    def left_out() -> dict[str, int]:
        return score(own, US).left_out

    (first_year,) = own.one(
        "select count(*) from runtime.regimes where region = 'US' and as_of_date < '2007-01-01'"
    )
    models = "update runtime.regime_models set {} = '2006-12-31' where region = 'US'"
    own.execute(models.format("valid_from"))
    assert left_out() == {"by a model that was not valid yet": first_year}
    own.execute(models.format("trained_to"))
    assert left_out() == {"in sample": first_year}
    seen = score(own, US).sections
    assert seen == score(own, US, start=date(2007, 1, 1)).sections
    own.execute(
        "update runtime.regimes set model_version = 0"
        " where region = 'US' and as_of_date in ('2007-01-03', '2007-01-04')"
    )
    own.execute(
        "delete from features.daily_features"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2008-03-03'"
    )
    assert left_out() == {"in sample": first_year, "by the seed rule": 2, "without a price": 1}


def test_an_expected_volatility_of_the_right_order_and_twice_the_size_is_ahead_and_behind(
    own, few_resamples
):
    own.execute("update runtime.regimes set expected_volatility = null where region = 'US'")
    assert "do not tell an expected volatility" in score(own, US).notes[0]
    own.execute("""
        update runtime.regimes set expected_volatility = 2 * came.volatility
        from (
            select
                instrument_id, trade_date,
                sqrt(252 * avg(adjusted_log_return ^ 2) over (
                    partition by instrument_id order by trade_date
                    rows between 1 following and 21 following
                )) as volatility
            from features.daily_features
        ) as came
        where
            region = 'US' and as_of_date > '2006-06-01'
            and came.instrument_id = regimes.instrument_id and trade_date = as_of_date
    """)
    found = score(own, US)
    (n,) = own.one("select count(expected_volatility) from runtime.regimes where region = 'US'")
    assert found.notes == [f"The expected volatility is scored on the {n} days that have one."]
    figures = {each.name: each for section in found.sections for each in section.measures}
    rank = figures["rank_correlation_expected_volatility"]
    assert rank.ours > 0.99
    assert {rival.verdict for rival in rank.rivals.values()} == {"ahead"}
    assert rank.rivals["ewm"].low > 0
    error = figures["log_error_expected_volatility"]
    assert error.ours == pytest.approx(np.log(2))
    assert {rival.verdict for rival in error.rivals.values()} == {"behind"}
    assert figures["realised_over_expected_volatility"].ours == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--cost", "10", "'10' is no cost: write 10bp or 0.1%"),
        ("--cost", "-1bp", "'-1bp' is no cost"),
        ("--cost", "11%", "11% of each trade is more than 10%"),
        ("--hold", "CARRY,", "'CARRY,' names no label"),
        ("--start", "2009-02-30", "not a day of the calendar"),
    ],
)
def test_a_rule_that_cannot_be_read_is_wrong_usage(ask, option, value, reason):
    result = ask("score", "--region", "US", option, value)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("forecast", "--region", "US", "--as-of", "2005-06-01"), "the first regime of region US is of 2006-01-03"),
        (("explain", "--region", "US", "--as-of", "2005-06-01"), "the first regime of region US is of 2006-01-03"),
        (("explain", "--region", "US", "--as-of", "2010-01-29"), "the last regime of region US up to 2010-01-29 is on 2009-12-31, 29 days before"),
        (("forecast", "--region", "US", "--score", "--horizon", "800"), "to score forecasts of 800 days, it needs 1053"),
        (("forecast", "--region", "US_TECH", "--score"), "region US_TECH has one label only, NEUTRAL"),
        (("score", "--region", "US", "--start", "2009-01-02"), "region US has 252 walk-forward labels to score in this stretch, and a score needs 525: choose a longer stretch"),
        (("score", "--region", "US_TECH"), "region US_TECH has 0 walk-forward labels to score (left out: 251 by the seed rule)"),
        (("score", "--region", "GLOBAL"), "GLOBAL is the vote of the regions and has no prices of its own"),
        (("score", "--region", "US", "--hold", "CARRY,CRISI"), "--hold CRISI: it is no label; there are CRISIS, "),
        (("forecast", "--region", "US_TECH", "--score", "--volatility"), "region US_TECH has no days with an expected volatility"),
        (("matrix", "--region", "US", "--window-days", "21"), "no regimes of region US by num-regime-core-v3 with windows of 21 days"),
        (("forecast", "--region", "US", "--model-id", "v9"), "no regimes of region US by v9"),
        (("explain", "--region", "MARS"), "unknown region 'MARS': known are US, US_TECH"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said_in_one_line(ask, arguments, reason):
    result = ask(*arguments)
    assert isinstance(result.exception, RegimeError)
    assert reason in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


@pytest.fixture
def told(own) -> Database:
    """US with the volatility of the 5 days before each day, as if a model had told it; from 2009 on
    by a model that was trained on those days."""
    own.execute(
        """
        update runtime.regimes
        set
            expected_volatility = told.volatility,
            metadata = metadata || jsonb_build_object(
                'trading_days_a_year', 252, 'in_sample', as_of_date > '2008-12-31'
            )
        from (
            select
                trade_date,
                sqrt(252 * avg(adjusted_log_return ^ 2) over (
                    order by trade_date rows between 4 preceding and current row
                )) as volatility
            from features.daily_features
            where instrument_id = 'GSPC.INDX'
        ) as told
        where region = 'US' and as_of_date = told.trade_date
        """
    )
    return own


def test_the_volatility_is_scored_on_the_days_that_no_model_was_trained_on(told):
    rows = told.rows(
        "select trade_date, adjusted_log_return from features.daily_features"
        " where instrument_id = 'GSPC.INDX' and adjusted_log_return is not null order by trade_date"
    ).rows
    days = np.array([day for day, _ in rows], "datetime64[D]")
    squares = np.array([each for _, each in rows]) ** 2
    asked = np.flatnonzero((days >= np.datetime64(FIRST)) & (days <= np.datetime64("2008-12-31")))
    came = np.array([squares[n + 1 : n + 22].mean() for n in asked])
    weights = 0.5 ** (np.arange(600)[::-1] / 10)
    rivals = {
        "model": np.array([squares[n - 4 : n + 1].mean() for n in asked]),
        "ewm": np.array([np.average(squares[n - 599 : n + 1], weights=weights) for n in asked]),
    }
    model, ewm = volatility.score(told, US).records(volatility.Score)
    for found in (model, ewm):
        forecast = rivals[found.forecast]
        ranks = [np.argsort(np.argsort(each)) for each in (forecast, came)]
        assert (found.region, found.days) == ("US", len(asked))
        assert found.rank_correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])
        errors = np.log(forecast / came) / 2
        assert found.mean_log_error == pytest.approx(errors.mean())
        assert found.mean_absolute_log_error == pytest.approx(np.abs(errors).mean())
        assert found.share_within_factor == (np.abs(errors) <= np.log(1.5)).mean()


def test_the_expected_volatility_is_shown_where_a_regime_is(told):
    def ask(*arguments: str) -> str:
        return succeed(regime_command(told.settings, *arguments)).stdout

    (expected,) = told.one(
        "select expected_volatility from runtime.regimes where region = 'US' and as_of_date = %s",
        [LAST],
    )
    us = ("--region", "US")
    (row,) = json.loads(ask("history", *us, "--limit", "1", "--format", "json"))
    assert row["expected_volatility"] == expected
    (series,) = [
        each
        for each in json.loads(ask("status", "--format", "json"))["series"]
        if each["region"] == "US"
    ]
    assert series["expected_volatility"] == expected
    said = f"xpected volatility of the next 21 trading days: {expected:.1%} a year"
    assert said in ask("forecast", *us)
    daily = expected / 252**0.5
    assert f"{said}, {daily:.2%} a day (252 trading days a year)\n" in ask("explain", *us)
    assert explain(told, US).expected_volatility == expected

    labels, below = ask("forecast", *us, "--score").split("\n\n")
    assert labels == ask("forecast", *us, "--score", "--horizon", "1", "--horizon", "5", "--horizon", "21", "--horizon", "63").split("\n\n")[0]  # fmt: skip
    title, table = below.split("\n", 1)
    assert title == "Expected volatility of the next 21 trading days:"
    only = ("forecast", *us, "--score", "--volatility")
    assert table == ask(*only)
    scores = volatility.score(told, US).records(dict)
    assert json.loads(ask(*only, "--format", "json")) == scores
    in_csv = csv.DictReader(io.StringIO(ask(*only, "--format", "csv")))
    assert [row["rank_correlation"] for row in in_csv] == [
        str(score["rank_correlation"]) for score in scores
    ]


def test_a_regime_of_a_weekend_is_no_trading_day(own):
    def read(database) -> tuple:
        ahead = forecasts.forecast(database, US, [5], date(2008, 10, 12))
        past = forecasts.score(database, US, [5])
        return matrix(database, US, shrink=True), ahead, past

    before = read(own)
    for day in (date(2008, 10, 11), date(2008, 10, 12)):
        classify.run(own, US, day)
    assert len(history(own)) == before[2].rows[0][2] + 252 + 5 + 2
    assert read(own) == before


def from_python(database: Database, series: Series) -> pl.DataFrame:
    with open_database(database.settings.database_url) as opened:
        return opened.regimes(series.region)


@pytest.mark.parametrize(
    ("edit", "read"),
    [
        ("regime_embedding = '\\x00'", explain),
        ("metadata = '[]'", explain),
        ("""probabilities = '{{"CRISIS": null}}'""", explain),
        ("probabilities = '[]'", partial(forecasts.score, horizons=[5])),
        ("""probabilities = '{{"CRISIS": null}}'""", partial(forecasts.score, horizons=[5])),
        ("probabilities = '[]'", score),
        ("probabilities = '[]'", from_python),
        ("""probabilities = '{{"CRISIS": null}}'""", from_python),
    ],
)
def test_a_row_that_was_edited_beyond_reading_gets_one_line(own, edit, read):
    own.execute(
        f"update runtime.regimes set {edit} where region = 'US' and as_of_date = %s", [LAST]
    )
    with pytest.raises(RegimeError, match="a regime of region US is not as the engine wrote"):
        read(own, US)


def test_the_suspicious_prices_that_a_last_regime_rests_on_are_counted(own):
    # A day of its window, one of the training of its model (which ended in 2005), one of neither.
    days = [date(2009, 12, 1), date(2004, 6, 1), date(2006, 6, 1)]
    own.execute(
        "update historical.prices_daily set volume = 0"
        " where instrument_id = 'GSPC.INDX' and trade_date = any(%s)",
        [days],
    )
    us, vote = suspicions(own, [US, US_TECH, GLOBAL])
    assert (us.region, us.in_window, us.in_training) == ("US", 1, 1)
    assert (vote.region, vote.in_window, vote.in_training) == ("GLOBAL", 1, 1)
    assert str(us) == (
        "US rests on 2 suspicious prices (1 in the window of its regime, the others in "
        "training), see: select * from audit.price_suspicions where instrument_id in ('GSPC.INDX');"
    )
    assert own.rows(us.look_further).rows
    with open_database(own.settings.database_url) as opened:
        latest = opened.latest()
    assert dict(latest.select("region", "suspicious_prices").rows()) == {
        "GLOBAL": vote.summary,
        "US": us.summary,
        "US_TECH": None,
    }
    # Of the regime of an earlier day.
    assert explain(own, US, date(2006, 8, 1)).suspicions == replace(us, in_window=1, in_training=1)
    assert explain(own, US, date(2007, 8, 1)).suspicions == replace(us, in_window=0)
    # The fall of 2008-09-29 is not known on the day before it.
    assert explain(own, US, date(2008, 9, 26)).suspicions == replace(us, in_window=0)
    assert explain(own, US, date(2008, 9, 29)).suspicions == us


def test_what_became_of_the_last_labels_is_told(database):
    days = [(day, label) for day, label, _ in history(database)]
    at = max(k for k, (pair, after) in enumerate(pairwise(days[:-30])) if pair[1] != after[1])
    (day, label), (changed_on, changed_to) = days[at], days[at + 1]
    later = [
        Change("US", after[0], before[1], after[1], False)
        for before, after in pairwise(days)
        if after[0] > day and before[1] != after[1]
    ]
    assert later[0] == Change("US", changed_on, label, changed_to, False)
    both = [US, US_TECH]
    before = changes.last_labels(database, both)
    assert before[0] == LastLabel("US", *days[-1])
    assert changes.changes(database, both, before) == []

    us_tech = Change("US_TECH", date(2006, 12, 29), None, "NEUTRAL", False)
    known = [LastLabel("US", day, label)]
    assert changes.changes(database, both, known) == [*later, us_tech]
    # Another label than was seen on that day, and a day that is gone.
    for seen_on in (day, day + timedelta(days=1)):
        first, *others = changes.changes(database, [US], [LastLabel("US", seen_on, "OTHER")])
        assert first.from_label == "OTHER"
        assert first.is_revision
        assert first.as_of_date in (day, changed_on)
        assert others == [each for each in later if each.as_of_date > seen_on]


def test_status_in_json_is_what_a_monitor_needs(own):
    own.execute("update historical.prices_daily set volume = 0 where trade_date = '2009-12-01'")
    own.execute(
        "insert into historical.prices_daily"
        " (instrument_id, trade_date, close, adjusted_close, volume, loaded_at)"
        " select 'GSPC.INDX', current_date - 8, close, adjusted_close, volume, now()"
        " from historical.prices_daily where instrument_id = 'GSPC.INDX'"
        " order by trade_date desc limit 1"
    )
    state = json.loads(regime_command(own.settings, "status", "--format", "json").stdout)
    us, us_tech = state["regions"]
    # Eight days have a weekend and one more day at most.
    assert us["trading_days_old"] in (5, 6)
    assert us_tech["last_price"] == "2018-12-31"
    assert (us["is_stale"], us_tech["is_stale"]) == (True, True)
    last = {series["region"]: series["last_date"] for series in state["series"]}
    assert last["US"] == "2009-12-31"
    assert state["died_runs"] == []
    assert [each["region"] for each in state["suspicions"]] == ["US"]


def test_status_as_metrics_is_what_prometheus_reads(own):
    odd = 'A "b" \\n\nÉ'
    own.execute("insert into runtime.regions (region, instrument_id) values (%s, 'NONE')", [odd])
    own.execute("update historical.prices_daily set volume = 0 where trade_date = '2009-12-01'")
    own.execute(
        "insert into runtime.audit_verdicts values"
        " (gen_random_uuid(), '2020-01-02 03:04:05+00', 'one', 'PASS', 0, '', ''),"
        " (md5('last')::uuid, '2021-01-02 03:04:05+00', 'one', 'FAIL', 3, '', ''),"
        " (md5('last')::uuid, '2021-01-02 03:04:05+00', 'two', 'PASS', 0, '', '')"
    )
    own.execute(
        "insert into runtime.notification_deliveries (notification_id, channel, status, attempts,"
        " next_attempt_at, created_at)"
        " select n::text, 'desk', 'WAITING', 1, now(), '2021-01-02 03:04:05+00'"
        " from generate_series(1, 2) as n"
    )
    done = succeed(regime_command(own.settings, "status", "--format", "prometheus"))
    families = list(text_string_to_metric_families(done.stdout))
    assert all(family.documentation and family.type == "gauge" for family in families)
    assert len({family.name for family in families}) == len(families)
    samples = [sample for family in families for sample in family.samples]

    def values(name: str, *labels: str) -> dict:
        """The values of a metric by the labels that are named."""
        of_metric = [sample for sample in samples if sample.name == name]
        return {
            tuple(sample.labels[label] for label in labels): sample.value for sample in of_metric
        }

    last = own.rows(
        "select distinct on (region) region, regime_label, confidence,"
        " extract(epoch from as_of_date::timestamp at time zone 'UTC')::float8"
        " from runtime.regimes order by region, as_of_date desc"
    ).rows
    labels = values("regime_label", "region", "label")
    assert [key for key, value in labels.items() if value] == [row[:2] for row in last]
    assert len(labels) == 4 * len(last)
    assert values("regime_label_confidence_ratio", "region") == {(r[0],): r[2] for r in last}
    assert values("regime_label_timestamp_seconds", "region") == {(r[0],): r[3] for r in last}
    assert values("regime_region_stale", "region") == {
        (region,): 1 for region in (odd, "US", "US_TECH")
    }
    # No price, so no age.
    assert set(values("regime_region_price_age_sessions", "region")) == {("US",), ("US_TECH",)}
    suspicious = values("regime_suspicious_prices", "region", "place")
    assert (suspicious["US", "window"], suspicious["US_TECH", "window"]) == (1, 0)
    runs = own.rows("select command, status, count(*) from runtime.regime_runs group by 1, 2").rows
    assert values("regime_runs", "command", "status") == {row[:2]: row[2] for row in runs}
    assert values("regime_audit_checks", "verdict") == {("PASS",): 1, ("WARN",): 0, ("FAIL",): 1}
    assert values("regime_audit_timestamp_seconds") == {(): 1609556645}
    assert values("regime_waiting_notifications", "channel") == {("desk",): 2}
    since = values("regime_waiting_notification_timestamp_seconds", "channel")
    assert since == {("desk",): 1609556645}


def test_what_is_not_known_has_no_metric_and_is_named(own):
    own.execute("drop schema audit cascade")
    done = succeed(regime_command(own.settings, "status", "--format", "prometheus"))
    assert "the audit views are missing" in done.stderr
    assert "regime_label{" in done.stdout
    assert "regime_audit" not in done.stdout
    assert "regime_suspicious_prices" not in done.stdout


def test_views_that_are_not_built_are_said_to_be(own):
    own.execute("drop view staging.stg_prices_daily cascade")
    own.execute("drop schema audit cascade")
    for read in (lambda: matrix(own, US), lambda: forecasts.forecast(own, US, [21])):
        with pytest.raises(RegimeError, match="`regime pipeline` builds them"):
            read()
    assert "the audit views are missing" in explain(own, US).why_no_suspicions
    with open_database(own.settings.database_url) as opened:
        with pytest.warns(UserWarning, match="suspicious prices are not known: .* audit views are"):
            latest = opened.latest("US")
        assert latest["suspicious_prices"].to_list() == [None]
    state = succeed(regime_command(own.settings, "status")).stdout
    assert "Suspicious prices are not known: " in state


def test_tables_are_found_under_the_names_of_the_settings(own):
    def read(database: Database) -> list:
        return [
            matrix(database, US, shrink=True),
            forecasts.score(database, US, [5]),
            explain(database, US),
        ]

    before = read(own), forecasts.forecast(own, US, [5])
    own.execute("alter function audit.regime_forecast rename to outlook")
    named = replace(own.settings, aliases={"regime_forecast": "outlook"})
    ahead = forecasts.forecast(replace(own, settings=named), US, [5])
    own.execute("alter schema runtime rename to engine")
    own.execute("alter schema features rename to days")
    own.execute("alter table engine.regimes rename to market_regimes")
    own.execute("alter view audit.transition_matrix rename to chain")
    named = replace(
        own.settings,
        runtime_schema="engine",
        features_schema="days",
        aliases={"regimes": "market_regimes", "transition_matrix": "chain"},
    )
    assert (read(replace(own, settings=named)), ahead) == before


@pytest.fixture
def opened(settings):
    with open_database(settings.database_url) as opened:
        yield opened


def in_sql(database: Database, query: str) -> list[dict]:
    return list(database.connection.cursor(row_factory=psycopg.rows.dict_row).execute(query))


OF_US = "where region = 'US' and model_id = 'num-regime-core-v3' and window_days = 63"
SPRING = ("2008-03-03", "2008-05-30")


def test_a_frame_of_regimes_has_every_number_that_is_stored(database, opened):
    stored = in_sql(database, f"select * from runtime.regimes {OF_US} order by as_of_date")
    frame = opened.regimes("US")
    assert frame.columns == [
        *("region", "as_of_date", "regime_label", "confidence", "runner_up_label"),
        *("expected_volatility", "novelty", "instrument_id", "model_version"),
        *(f"probability_{label}" for label in ("CARRY", "NEUTRAL", "RISK_OFF", "CRISIS")),
    ]
    assert len(frame) == len(stored) > 900
    for row, of_row in zip(frame.iter_rows(named=True), stored, strict=True):
        told = {name: row.pop(name) for name in list(row) if name.startswith("probability_")}
        assert {f"probability_{label}": p for label, p in of_row["probabilities"].items()} == told
        assert row == {"novelty": of_row["metadata"]["novelty"]} | {
            name: of_row[name] for name in row if name != "novelty"
        }
    some = opened.regimes("US", *SPRING)
    assert some.equals(
        frame.filter(pl.col("as_of_date").is_between(date(2008, 3, 3), date(2008, 5, 30)))
    )
    assert len(some) > 50


def test_a_label_that_the_model_does_not_know_has_no_probability(opened):
    tech = opened.regimes("US_TECH")
    assert set(tech["probability_NEUTRAL"]) == {1.0}
    for label in ("CARRY", "RISK_OFF", "CRISIS"):
        assert tech[f"probability_{label}"].null_count() == len(tech) == 251
    assert opened.regimes("GLOBAL").columns == tech.columns


@pytest.mark.parametrize(
    ("read", "command"),
    [
        (lambda db: db.transitions("US"), "transitions --region US"),
        (lambda db: db.transitions("US", *SPRING), "transitions --region US --start 2008-03-03 --end 2008-05-30"),
        (lambda db: db.transition_matrix("US"), "matrix --region US --shrink"),
        (lambda db: db.forecast("US", [5, 63], "2008-10-12"), "forecast --region US --horizon 5 --horizon 63 --as-of 2008-10-12"),
        (lambda db: db.forecast("US"), "forecast --region US"),
        (lambda db: db.regions(), "region list"),
    ],
)  # fmt: skip
def test_a_frame_has_the_rows_of_the_command(opened, ask, read, command):
    rows = json.loads(ask(*command.split(), "--format", "json").stdout)
    frame = read(opened)
    assert len(frame) == len(rows) > 1
    for row, printed in zip(frame.iter_rows(named=True), rows, strict=True):
        assert row.pop("region") == printed.get("region", "US")
        assert {
            name: str(value) if isinstance(value, date) else value for name, value in row.items()
        } == {name: printed[name] for name in row}
        assert set(printed) - set(row) <= {"region", "changed_at", "changed_by"}


def test_a_frame_of_spells_has_the_rows_of_the_view(database, opened):
    view = in_sql(database, f"select * from audit.regime_spells {OF_US} order by start_date")
    spells = opened.spells("US")
    assert spells.rows(named=True) == [{name: row[name] for name in spells.columns} for row in view]
    assert {*view[0]} - {*spells.columns} == {"model_id", "window_days"}
    # A spell that reaches into the stretch is there as a whole.
    some = opened.spells("US", "2008-09-15", "2008-09-15")
    assert some.rows(named=True) == [
        {name: row[name] for name in some.columns}
        for row in view
        if row["start_date"] <= date(2008, 9, 15) <= row["end_date"]
    ]
    assert len(some) == 1


def test_an_explanation_from_python_is_that_of_the_command(database, opened):
    assert opened.explain("US", "2008-10-10") == explain(database, US, date(2008, 10, 10))


def test_the_latest_regimes_are_the_last_of_each_region(opened):
    latest = opened.latest()
    assert latest["region"].to_list() == ["GLOBAL", "US", "US_TECH"]
    for row in latest.drop("suspicious_prices").iter_rows(named=True):
        assert row == opened.regimes(row["region"]).row(-1, named=True)
    assert opened.latest("US").equals(latest.filter(region="US"))


def test_embeddings_are_the_bytes_that_are_stored(database, opened):
    days, vectors = opened.embeddings("GSPC.INDX", end="2009-06-30")
    stored = database.rows(
        f"select as_of_date, regime_embedding from runtime.regimes {OF_US}"
        " and as_of_date <= '2009-06-30' order by as_of_date"
    ).rows
    assert days.tolist() == [day for day, _ in stored]
    assert vectors.dtype == np.float32
    assert [vector.tobytes() for vector in vectors] == [vector for _, vector in stored]
    days, vectors = opened.embeddings("GSPC.INDX", "2030-01-01")
    assert (days.shape, vectors.shape) == ((0,), (0, 384))


FRAMES = {
    "regimes": lambda db, **frame: db.regimes("US", *SPRING, **frame),
    "no regimes": lambda db, **frame: db.regimes("US", end="1990-01-01", **frame),
    "latest": lambda db, **frame: db.latest(**frame),
    "transitions": lambda db, **frame: db.transitions("US", **frame),
    "spells": lambda db, **frame: db.spells("US", **frame),
    "transition_matrix": lambda db, **frame: db.transition_matrix("US", **frame),
    "forecast": lambda db, **frame: db.forecast("US", **frame),
    "regions": lambda db, **frame: db.regions(**frame),
}


@pytest.mark.parametrize("read", FRAMES.values(), ids=FRAMES)
def test_a_frame_of_pandas_has_the_same_rows_and_needs_no_arrow(opened, read, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    polars, pandas = read(opened), read(opened, frame="pandas")
    assert isinstance(pandas, pd.DataFrame)
    assert list(pandas.columns) == polars.columns
    for name, kind in polars.schema.items():
        column = pandas[name]
        if kind == pl.Date:
            assert column.dtype == "datetime64[ns]"
            column = column.dt.date
        elif kind in (pl.Float64, pl.Int64, pl.Boolean):
            assert column.dtype == str(kind).lower().replace("boolean", "bool")
        else:
            assert kind == pl.String
        values = [None if value != value else value for value in column]
        assert values == polars[name].to_list(), name


def test_the_columns_of_each_frame_are_those_of_the_page(opened):
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]* \| (.*) \|$", (ROOT / "docs/python.md").read_text(), re.M
    )
    page = {
        method: columns.replace(
            "`probability_` and each label (calmest first)",
            "probability_CARRY, probability_NEUTRAL, probability_RISK_OFF, probability_CRISIS",
        )
        for method, columns in rows
    }
    page["latest"] = page["latest"].replace("those of `regimes`", page["regimes"])
    assert set(page) == set(FRAMES) - {"no regimes"}
    for method, columns in page.items():
        assert FRAMES[method](opened).columns == columns.split(", "), method


@pytest.mark.parametrize(
    "day",
    [
        *(date(2008, 3, 3), datetime(2008, 3, 3, 16), datetime(2008, 3, 3, 16, tzinfo=UTC)),
        *(np.datetime64("2008-03-03"), np.datetime64("2008-03-03T16:00"), pd.Timestamp("2008-03-03")),
        *("2008-03-03", "2008-03-03T16:00:00", np.str_("2008-03-03")),
        *pl.Series([date(2008, 3, 3)]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_day_is_written_in_any_usual_way(opened, day):
    (found,) = opened.regimes("US", day, day)["as_of_date"]
    assert found == date(2008, 3, 3)


@pytest.mark.parametrize(
    ("read", "error", "reason"),
    [
        (lambda db: db.regimes("MARS"), RegimeError, "unknown region 'MARS': known are US, US_TECH"),
        (lambda db: db.latest("MARS"), RegimeError, "unknown region 'MARS'"),
        (lambda db: db.regimes(7), TypeError, "region is a text, not 7"),
        (lambda db: db.regimes("US", "2008"), ValueError, "start is a day such as '2008-09-15', not '2008'"),
        (lambda db: db.regimes("US", end="31.12.2008"), ValueError, "end is a day such as"),
        (lambda db: db.regimes("US", np.datetime64("NaT")), ValueError, "start is a day such as"),
        (lambda db: db.regimes("US", pd.NaT), ValueError, "start is a day such as '2008-09-15', not NaT"),
        (lambda db: db.regimes("US", 20080915), TypeError, "start is a day such as '2008-09-15', not 20080915"),
        (lambda db: db.spells("US", "2009-01-02", "2008-01-02"), ValueError, "start 2009-01-02 is after end 2008-01-02"),
        (lambda db: db.regimes("US", frame="panda"), ValueError, "frame is 'polars' or 'pandas', not 'panda'"),
        (lambda db: db.forecast("US", 0), ValueError, "horizons are 1 to 1000 trading days, not 0"),
        (lambda db: db.forecast("US", []), ValueError, r"1 to 1000 trading days, not \[\]"),
        (lambda db: db.forecast("US", 1001), ValueError, "1 to 1000 trading days, not 1001"),
        (lambda db: db.forecast("US", "21"), TypeError, "horizons is a whole number, not '21'"),
        (lambda db: db.explain("US", "1999-12-31"), RegimeError, "the first regime of region US is of 2006-01-03"),
        (lambda db: db.embeddings("US"), RegimeError, "US is a region, and embeddings are of instruments: give that of the region, GSPC.INDX"),
        (lambda db: db.embeddings("GSPC"), RegimeError, "no embeddings of instrument 'GSPC' .*: embedded are GSPC.INDX, IXIC.INDX"),
    ],
)  # fmt: skip
def test_what_python_asks_in_vain_is_said_in_one_line(opened, read, error, reason):
    with pytest.raises(error, match=reason) as said:
        read(opened)
    assert "\n" not in str(said.value)


def test_regimes_of_another_encoder_are_asked_for_when_the_database_is_opened(settings):
    of_v2 = open_database(settings.database_url, model_id="num-regime-core-v2", frame="pandas")
    with of_v2:
        with pytest.raises(RegimeError, match="no regimes of region US by num-regime-core-v2"):
            of_v2.regimes("US")
        with pytest.raises(RegimeError, match="no regimes yet by num-regime-core-v2"):
            of_v2.latest()
        with pytest.raises(RegimeError, match=r"`regime embed --instrument-id GSPC\.INDX --model"):
            of_v2.embeddings("GSPC.INDX")
        assert isinstance(of_v2.regions(), pd.DataFrame)
    with pytest.raises(ValueError, match="frame is 'polars' or 'pandas', not 'arrow'"):
        open_database(settings.database_url, frame="arrow")


def test_a_closed_database_says_so_and_a_lost_connection_is_made_again(database, opened):
    before = opened.regimes("US")
    database.execute("""
        select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where datname = current_database() and pid != pg_backend_pid()
    """)
    assert opened.regimes("US").equals(before)
    opened.close()
    opened.close()
    assert "closed" in repr(opened)
    with pytest.raises(RegimeError, match=r"this database is closed: call open_database\(\) again"):
        opened.regimes("US")


def test_a_limit_of_the_login_is_said_in_one_line(settings):
    limited = make_conninfo(settings.database_url, options="-c statement_timeout=1")
    with open_database(limited) as opened, pytest.raises(RegimeError) as said:
        opened.spells("US")
    assert "raise the setting statement_timeout of this login" in str(said.value)
