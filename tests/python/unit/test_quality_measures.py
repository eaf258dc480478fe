"""The measures of benchmarks/quality.py, each by a hand example."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[3] / "benchmarks" / "measures.py"
spec = importlib.util.spec_from_file_location("measures", FILE)
measures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(measures)

STATES = np.array([[0, 0, 0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1, 1, 0]])
LABELS = np.array([[0, 0, 1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1, 1]])


def test_balanced_accuracy_weighs_states_alike():
    # 4 of 6 calm days and 1 of 2 stressed ones; 1 of 2 and 4 of 6.
    assert measures.balanced_accuracy(LABELS, STATES) == pytest.approx([7 / 12, 7 / 12])


def test_switches_are_not_counted_across_paths():
    assert measures.n_switches(STATES) == 4
    assert measures.n_switches(LABELS) == 5


def test_delay_runs_from_a_switch_to_its_label_or_to_the_end_of_the_state():
    assert measures.delays(LABELS, STATES).tolist() == [1, 1, 2, 1]


def test_brier_of_certain_and_of_even_probabilities():
    states = np.array([[0, 1]])
    assert measures.brier(np.array([[[1.0, 0.0], [0.0, 1.0]]]), states) == 0
    assert measures.brier(np.array([[[0.0, 1.0], [0.5, 0.5]]]), states) == pytest.approx(1.25)


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_days():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 1.0])
    right = np.array([True, True, True, False, True, True])
    # top bin: 5 days, 4.8 believed, 4 right; sixth bin: 1 day, 0.55 believed, 1 right
    assert measures.calibration_error(confidences, right) == pytest.approx((0.8 + 0.45) / 6)


def test_ranks_of_ties_are_shared():
    assert measures.ranks(np.array([3, 1, 3, 2])).tolist() == [3.5, 1, 3.5, 2]


def test_rank_correlation_sees_order_alone():
    assert measures.rank_correlation(np.arange(5), np.exp(np.arange(5))) == pytest.approx(1)
    assert measures.rank_correlation(np.arange(5), -np.arange(5)) == pytest.approx(-1)


def test_auc_counts_pairs():
    # events at 2 and 3, none at 1, 2: three pairs are won and one is a tie
    events = np.array([False, True, False, True])
    assert measures.auc(np.array([1, 2, 2, 3]), events) == pytest.approx(3.5 / 4)


def test_log_error_leaves_days_without_moves_out():
    forecast, realised = np.array([2.0, 1.0, 3.0]), np.array([1.0, 4.0, 0.0])
    assert measures.log_error(forecast, realised) == pytest.approx(np.log(8) / 2)


def test_next_days_begin_tomorrow():
    after = measures.next_days(np.arange(6), days=2)
    assert after.tolist() == [[1, 2], [2, 3], [3, 4], [4, 5]]


def test_a_stressed_label_is_acted_on_a_day_late_and_costs_twice():
    stressed = np.array([False, True, False, False, False])
    log_returns = np.log1p([0.01, 0.01, 0.01, 0.01, 0.01])
    daily, position = measures.hold_unless_stressed(log_returns, stressed)
    assert position.tolist() == [1, 1, 1, 0, 1]
    assert daily == pytest.approx([0.01, 0.01, 0.01, -0.001, 0.009])


def test_sharpe_and_drawdown():
    assert measures.sharpe(np.array([0.03, -0.01])) == pytest.approx(0.5 * np.sqrt(252))
    assert measures.max_drawdown(np.array([0.1, -0.5, 0.2])) == pytest.approx(-0.5)
    assert measures.max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(-0.2)
