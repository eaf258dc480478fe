import math

import numpy as np
import pytest

from regime_engine.reading import forecast
from regime_engine.reading.explain import farthest

KEEP = 0.95


def test_smoothing_adds_sixty_transitions_that_stay_as_often_as_all_do():
    # 140 of 180 transitions stay; with the 60 of the prior, of which 59 stay, 199 of 240.
    smoothed = forecast.smoothed_probabilities(np.array([[90.0, 30], [10, 50]]))
    stay, leave = 60 * 199 / 240, 60 * 41 / 240
    calm, crisis = [(90 + stay) / 180, (30 + leave) / 180], [(10 + leave) / 120, (50 + stay) / 120]
    assert smoothed == pytest.approx(np.array([calm, crisis]))


def test_a_label_never_left_and_one_never_seen_have_probabilities_that_are_not_0():
    smoothed = forecast.smoothed_probabilities(np.diag([100.0, 0, 0]))
    assert smoothed.sum(axis=1) == pytest.approx(1)
    assert smoothed[1] == pytest.approx([1 / 320, 159 / 160, 1 / 320])
    assert smoothed.min() > 0
    assert forecast.smoothed_probabilities(np.array([[7.0]])) == 1


def test_transitions_so_far_end_with_the_day_itself():
    counts = forecast.transitions_so_far(np.array([0, 0, 1, 0]), 2)
    assert counts.reshape(4, 4).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]


def test_the_law_goes_from_the_label_to_the_probabilities_as_the_horizon_grows():
    is_label, probabilities = np.array([[1.0, 0]]), np.array([[0.25, 0.75]])
    matrix = np.array([[[0.9, 0.1], [0.2, 0.8]]])
    day = forecast.law(is_label, probabilities, matrix, 1)
    assert day == pytest.approx(0.95 * np.array([[0.9, 0.1]]) + 0.05 * np.array([[0.375, 0.625]]))
    two = np.array([[0.83, 0.17], [0.34, 0.66]])
    held = KEEP**2
    expected = (held + (1 - held) * 0.25) * two[0] + (1 - held) * 0.75 * two[1]
    assert forecast.law(is_label, probabilities, matrix, 2)[0] == pytest.approx(expected)
    assert forecast.law(is_label, probabilities, matrix, 1000)[0] == pytest.approx([2 / 3, 1 / 3])


def test_scores_of_laws_known_by_hand():
    laws = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    outcome = np.array([[1.0, 0, 0], [0, 0, 1]])
    assert forecast.log_score(laws, outcome) == pytest.approx((math.log(0.5) + math.log(0.1)) / 2)
    assert forecast.brier_score(laws, outcome) == pytest.approx((0.375 + 0.01 + 0.64 + 0.81) / 2)


def test_the_rivals_of_a_score_equal_those_of_a_loop_over_the_days():
    chance = np.random.default_rng(7)
    labels = chance.choice(3, 80, p=[0.5, 0.3, 0.2])
    probabilities = chance.dirichlet(np.ones(3), 80)
    (found,) = forecast.scores(labels, probabilities, [4], first=20).values()
    base, same = [], []
    for day in range(20, 76):
        counts = [1 + list(labels[: day + 1]).count(label) for label in range(3)]
        shares = np.array(counts) / sum(counts)
        pairs = [(labels[s], labels[s + 4]) for s in range(day - 3)]
        hit_rate = (1 + sum(one == other for one, other in pairs)) / (2 + len(pairs))
        today, then = labels[day], labels[day + 4]
        base.append(math.log(shares[then]))
        others = (1 - hit_rate) * shares[then] / (1 - shares[today])
        same.append(math.log(hit_rate if then == today else others))
    assert found["days"] == 56
    assert found["base_rate_log_score"] == pytest.approx(np.mean(base), rel=1e-12)
    assert found["no_change_log_score"] == pytest.approx(np.mean(same), rel=1e-12)


def test_a_forecast_uses_nothing_after_its_day():
    """The score of a history is the mean of the scores of its days, each computed from the past alone."""
    chance = np.random.default_rng(8)
    labels = np.repeat(chance.integers(0, 3, 12), 6)
    probabilities = chance.dirichlet(np.ones(3), len(labels))
    (whole,) = forecast.scores(labels, probabilities, [5], first=30).values()
    last_days = [
        forecast.scores(labels[:n], probabilities[:n], [5], first=n - 6)[5]
        for n in range(36, len(labels) + 1)
    ]
    assert whole["days"] == len(last_days)
    for name in ("log_score", "base_rate_log_score", "no_change_log_score", "brier_score"):
        assert whole[name] == pytest.approx(np.mean([day[name] for day in last_days]), rel=1e-12)


def test_forecasts_of_a_simulated_chain_are_better_than_both_rivals():
    chance = np.random.default_rng(9)
    matrix = np.array([[0.97, 0.02, 0.01], [0.03, 0.94, 0.03], [0.01, 0.09, 0.9]])
    labels = [0]
    for _ in range(3000):
        labels.append(int(chance.choice(3, p=matrix[labels[-1]])))
    labels = np.array(labels)
    for found in forecast.scores(labels, np.eye(3)[labels], [1, 5, 21], first=252).values():
        assert found["log_score"] > found["base_rate_log_score"]
        assert found["log_score"] > found["no_change_log_score"]
        assert found["brier_score"] < found["base_rate_brier_score"]


def test_moves_are_measured_in_standard_deviations_of_their_own_history():
    history = np.array([[0.0, 10, 5], [2, 30, 5]])  # standard deviations 1, 10 and 0
    moved = farthest(("small", "large", "still"), np.zeros(3), np.array([3.0, -40, 9]), history)
    assert [(each.statistic, each.in_spreads) for each in moved] == [("large", -4), ("small", 3)]


def test_forecasts_are_counted_in_tenths_with_how_often_they_came_true():
    # Each day's label is certain, so the probability that it stays is that of the matrix so far.
    labels = np.array([0, 0, 1, 0])
    probabilities = np.eye(2)[labels]
    rows = forecast.reliability(labels, probabilities, 1, 0)
    matrices = forecast.smoothed_probabilities(forecast.transitions_so_far(labels, 2))[:3]
    stay = [matrix[label, label] for matrix, label in zip(matrices, labels, strict=False)]
    # The next label is the same on the first of the three days only.
    assert rows == [
        (pytest.approx(1 - np.mean(stay)), pytest.approx(2 / 3), 3),
        (pytest.approx(np.mean(stay)), pytest.approx(1 / 3), 3),
    ]
