"""The measures of benchmarks/quality.py that only it has, each by a hand example."""

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


def test_a_stressed_label_is_acted_on_a_day_late_and_costs_twice():
    stressed = np.array([False, True, False, False, False])
    log_returns = np.log1p([0.01, 0.01, 0.01, 0.01, 0.01])
    daily, position = measures.hold_unless_stressed(log_returns, stressed)
    assert position.tolist() == [1, 1, 1, 0, 1]
    assert daily == pytest.approx([0.01, 0.01, 0.01, -0.001, 0.009])
