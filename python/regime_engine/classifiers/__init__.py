"""Classifiers by name; each is one file of pure functions and its frozen parameters.

A classifier has `from_json(labels, parameters)` to its parameters, and
`classify(parameters, embeddings)` to a Classification.
"""

from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from regime_engine.errors import RegimeError


@dataclass(frozen=True)
class Classification:
    """What a classifier says of n embeddings.

    labels: the k labels that it can give; winners: (n,) index of the label given
    probabilities: (n, k) float64, rows sum to 1
    evidence: name → (n, k), numbers behind the label; constants: name → number
    novelty: (n,) how untypical of what it was trained on, percentile 0 to 100, or None
    """

    labels: tuple[str, ...]
    winners: np.ndarray
    probabilities: np.ndarray
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    novelty: np.ndarray | None = None


def get(name: str) -> ModuleType:
    """The classifier of this name; raises RegimeError naming those there are."""
    from regime_engine.classifiers import markov, prototype

    classifiers = {"prototype": prototype, "markov": markov}
    if name not in classifiers:
        raise RegimeError(f"unknown classifier {name!r}: choose one of {', '.join(classifiers)}")
    return classifiers[name]
