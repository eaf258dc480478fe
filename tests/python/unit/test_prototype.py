import json
import math
from itertools import pairwise, product

import markets
import numpy as np
import pytest

from regime_engine.classifiers import prototype
from regime_engine.errors import RegimeError


def test_centres_are_means_and_the_temperature_is_the_mean_distance_to_them():
    embeddings = np.array([[0, 0], [2, 0], [10, 0], [10, 4]], np.float32)
    fitted = prototype.fit(embeddings, ["CARRY", "CARRY", "CRISIS", "CRISIS"])
    assert fitted.labels == ("CARRY", "CRISIS")
    assert fitted.centers.tolist() == [[1, 0], [10, 2]]
    assert fitted.temperature == (1 + 1 + 2 + 2) / 4


def test_confidence_is_the_softmax_of_minus_distance_over_temperature():
    prototypes = prototype.Prototypes(
        ("CARRY", "CRISIS"), np.array([[0.0, 0], [6, 8]]), 5.0, np.linspace(0, 10, 101)
    )
    found = prototype.classify(prototypes, np.array([[0, 0], [3, 4], [6, 8]], np.float32))
    sure = 1 / (1 + math.exp(-10 / 5))
    assert found.winners.tolist() == [0, 0, 1]
    assert found.probabilities[:, 0] == pytest.approx([sure, 0.5, 1 - sure], abs=1e-15)
    assert found.evidence["distances"].tolist() == [[0, 10], [5, 5], [10, 0]]
    assert found.novelty.tolist() == [0, 50, 0]


def test_distances_of_billions_give_probabilities_and_not_nan():
    prototypes = prototype.Prototypes(("A", "B"), np.array([[0.0], [4e9]]), 1e-3, np.zeros(101))
    found = prototype.classify(prototypes, np.array([[1e9], [4e9]], np.float32))
    assert found.probabilities.tolist() == [[1, 0], [0, 1]]


def test_a_model_read_back_from_json_classifies_to_the_bit():
    embeddings, _ = markets.embedded(362)
    for fitted in (
        prototype.fit(embeddings, ["CARRY", "CRISIS"] * 150),
        prototype.fit_k_means(embeddings, 3),  # its embeddings are standardised
    ):
        read = prototype.from_json(fitted.labels, json.loads(json.dumps(fitted.to_json())))
        before, after = (prototype.classify(model, embeddings) for model in (fitted, read))
        assert before.probabilities.tobytes() == after.probabilities.tobytes()


def test_one_window_a_label_is_enough():
    fitted = prototype.fit(np.array([[0.0], [1.0]]), ["CARRY", "CRISIS"])
    found = prototype.classify(fitted, np.array([[0.1]], np.float32))
    assert found.labels[found.winners[0]] == "CARRY"
    assert 0.5 < found.probabilities[0, 0] < 1


def test_the_seed_rule_is_neutral_and_certain():
    found = prototype.seed_rule(np.ones((3, 384), np.float32))
    assert found.labels == ("NEUTRAL",)
    assert found.probabilities.tolist() == [[1.0]] * 3


def test_the_assignment_is_the_cheapest_of_all():
    chance = np.random.default_rng(0)
    for penalty in (0.0, 0.3, 1.0, 100.0):
        costs = chance.random((7, 3))
        states, cost = prototype.assign(costs, penalty)
        every = [
            sum(costs[range(7), path]) + penalty * sum(a != b for a, b in pairwise(path))
            for path in product(range(3), repeat=7)
        ]
        assert cost == pytest.approx(min(every))
        switches = (np.diff(states) != 0).sum()
        assert costs[range(7), states].sum() + penalty * switches == pytest.approx(cost)


def test_k_means_finds_the_states_and_names_them_by_volatility():
    embeddings, states = markets.embedded(1262, seed=2, stay=0.99)
    fitted = prototype.fit_k_means(embeddings, 2)
    found = prototype.classify(fitted, embeddings)
    assert fitted.labels == ("NEUTRAL", "CRISIS")
    assert (found.winners == states).mean() > 0.8


def test_labelled_windows_are_standardised_by_their_own_mean_and_deviation():
    embeddings, states = markets.embedded(562, seed=4)
    labels = np.array(["CARRY", "CRISIS"])[states]
    fitted = prototype.fit(embeddings, labels, standardise=True)
    points = prototype.standardised(embeddings, fitted.mean, fitted.scale)[:, 252:290]
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(points.std(axis=0), 1, atol=1e-9)
    found = prototype.classify(fitted, embeddings)
    assert (np.array(found.labels)[found.winners] == labels).mean() > 0.8


def test_windows_that_are_all_alike_have_no_states():
    embeddings = markets.embeddings(np.zeros(262), np.zeros(262))
    with pytest.raises(RegimeError, match="do not fall into 3 groups"):
        prototype.fit_k_means(embeddings, 3)


def test_too_few_windows_for_k_means_are_counted():
    with pytest.raises(RegimeError, match="4 states need 84 training windows, and there are 20"):
        prototype.fit_k_means(np.zeros((20, 384), np.float32), 4)


def test_standardising_the_embeddings_of_another_encoder_is_refused():
    with pytest.raises(RegimeError, match="read num-regime-core-v3: embeddings of 384 numbers"):
        prototype.fit(np.zeros((4, 189), np.float32), ["CARRY"] * 4, standardise=True)
