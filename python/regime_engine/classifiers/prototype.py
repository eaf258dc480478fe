"""Nearest prototype: a label is where its mean embedding is nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regime_engine.classifiers import Classification

SEED_LABEL = "NEUTRAL"


@dataclass(frozen=True)
class Prototypes:
    """labels: k names; centers: (k, d) float64; temperature: a distance, > 0"""

    labels: tuple[str, ...]
    centers: np.ndarray
    temperature: float

    def to_json(self) -> dict[str, object]:
        return {"centers": self.centers.tolist(), "temperature": self.temperature}


def from_json(labels: Sequence[str], parameters: dict) -> Prototypes:
    return Prototypes(
        tuple(labels), np.array(parameters["centers"], float), parameters["temperature"]
    )


def fit(embeddings: np.ndarray, labels: Sequence[str]) -> Prototypes:
    """Centres are mean embeddings; the temperature is the mean distance from window to centre.

    embeddings: (n, d); labels: n names
    """
    names, members = np.unique(np.asarray(labels), return_inverse=True)
    embeddings = embeddings.astype(float)
    centers = np.stack([embeddings[members == k].mean(axis=0) for k in range(len(names))])
    temperature = float(np.linalg.norm(embeddings - centers[members], axis=1).mean())
    # One window a label lies on its centre; any positive temperature then ranks alike.
    return Prototypes(tuple(names.tolist()), centers, temperature or 1.0)


def classify(prototypes: Prototypes, embeddings: np.ndarray) -> Classification:
    """Nearest centre by Euclidean distance; probabilities are softmax(-distance / temperature).

    embeddings: (n, d) float32
    """
    embeddings = embeddings.astype(float)
    # A centre at a time: an array (n, k, d) would not fit the cache.
    distances = np.stack(
        [np.linalg.norm(embeddings - center, axis=1) for center in prototypes.centers], axis=1
    )  # (n, k)
    logits = (distances.min(axis=1, keepdims=True) - distances) / prototypes.temperature
    weights = np.exp(logits)
    return Classification(
        labels=prototypes.labels,
        winners=distances.argmin(axis=1),
        probabilities=weights / weights.sum(axis=1, keepdims=True),
        evidence={"distances": distances},
        constants={"temperature": prototypes.temperature},
    )


def seed_rule(embeddings: np.ndarray) -> Classification:
    """Where no model is fitted: each embedding is its own single centre, NEUTRAL.

    embeddings: (n, d)
    """
    n = len(embeddings)
    return Classification(
        labels=(SEED_LABEL,),
        winners=np.zeros(n, int),
        probabilities=np.ones((n, 1)),
        evidence={"distances": np.zeros((n, 1))},
        constants={"temperature": 1.0},
    )


def train(embeddings, encoder, n_states, labels=None):
    return fit(embeddings, labels)


def scores(model, embeddings, labels=None):
    return {}
