import json
import math

import numpy as np
import pytest

from regime_engine.classifiers import prototype


def test_centres_are_means_and_the_temperature_is_the_mean_distance_to_them():
    embeddings = np.array([[0, 0], [2, 0], [10, 0], [10, 4]], np.float32)
    fitted = prototype.fit(embeddings, ["CARRY", "CARRY", "CRISIS", "CRISIS"])
    assert fitted.labels == ("CARRY", "CRISIS")
    assert fitted.centers.tolist() == [[1, 0], [10, 2]]
    assert fitted.temperature == (1 + 1 + 2 + 2) / 4


def test_confidence_is_the_softmax_of_minus_distance_over_temperature():
    prototypes = prototype.Prototypes(("CARRY", "CRISIS"), np.array([[0.0, 0], [6, 8]]), 5.0)
    told = prototype.classify(prototypes, np.array([[0, 0], [3, 4], [6, 8]], np.float32))
    sure = 1 / (1 + math.exp(-10 / 5))
    assert told.winners.tolist() == [0, 0, 1]
    assert told.probabilities[:, 0] == pytest.approx([sure, 0.5, 1 - sure], abs=1e-15)
    assert told.evidence["distances"].tolist() == [[0, 10], [5, 5], [10, 0]]


def test_distances_of_billions_give_probabilities_and_not_nan():
    prototypes = prototype.Prototypes(("A", "B"), np.array([[0.0], [4e9]]), 1e-3)
    told = prototype.classify(prototypes, np.array([[1e9], [4e9]], np.float32))
    assert told.probabilities.tolist() == [[1, 0], [0, 1]]


def test_a_model_read_back_from_json_classifies_to_the_bit():
    chance = np.random.default_rng(0)
    embeddings = chance.normal(size=(50, 384)).astype(np.float32)
    fitted = prototype.fit(embeddings, ["CARRY", "CRISIS"] * 25)
    read = prototype.from_json(fitted.labels, json.loads(json.dumps(fitted.to_json())))
    before, after = (prototype.classify(model, embeddings) for model in (fitted, read))
    assert before.probabilities.tobytes() == after.probabilities.tobytes()


def test_one_window_a_label_is_enough():
    fitted = prototype.fit(np.array([[0.0], [1.0]]), ["CARRY", "CRISIS"])
    told = prototype.classify(fitted, np.array([[0.1]], np.float32))
    assert told.labels[told.winners[0]] == "CARRY"
    assert 0.5 < told.probabilities[0, 0] < 1


def test_the_seed_rule_is_neutral_and_certain():
    told = prototype.seed_rule(np.ones((3, 384), np.float32))
    assert told.labels == ("NEUTRAL",)
    assert told.probabilities.tolist() == [[1.0]] * 3
