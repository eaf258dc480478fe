"""Classifiers by name; each is one file of pure functions and its frozen parameters.

A classifier is a module of this package that has
- `train(embeddings, encoder, n_states=4, labels=None)`: parameters of consecutive trading days, or
  of labelled ones, with the fields of a frozen dataclass, `labels` among them, and `to_json`;
- `scores(parameters, embeddings, labels=None)`: measures of them on embeddings, by name;
- `from_json(labels, parameters)`, and `classify(parameters, embeddings)` to a Classification.
A module that combines others calls theirs.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from regime_engine.errors import RegimeError

# What a fit without labels calls its states, calmest first, by their number.
STATE_LABELS = {
    2: ("NEUTRAL", "CRISIS"),
    3: ("CARRY", "NEUTRAL", "CRISIS"),
    4: ("CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"),
}


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


def names() -> list[str]:
    """The classifiers there are: the modules here that classify."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(_module(name), "classify")]


def get(name: str) -> ModuleType:
    """The classifier of this name; raises RegimeError naming those there are."""
    if name not in names():
        raise RegimeError(f"unknown classifier {name!r}: choose one of {', '.join(names())}")
    return _module(name)


def read(name: str, labels: Sequence[str], parameters: dict) -> object:
    """A classifier's parameters as they are stored.

    raises RegimeError for those of a release that stored others
    """
    try:
        return get(name).from_json(labels, parameters)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegimeError(
            f"the {name} classifier of this release cannot read the parameters of a model that "
            "another release stored: fit it again, with `regime fit`"
        ) from error


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
