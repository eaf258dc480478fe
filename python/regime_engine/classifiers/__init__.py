"""Classifiers by name; each is one file of pure functions and its frozen parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import ArrayLike

from regime_engine.arrays import Floats32
from regime_engine.classifiers import markov, prototype
from regime_engine.classifiers.classification import STATE_LABELS, Classification, Learned
from regime_engine.encoders import Encoder
from regime_engine.errors import RegimeError

__all__ = ["CLASSIFIERS", "STATE_LABELS", "Classification", "Classifier", "Learned", "get", "read"]


class Classifier(Protocol):
    """A module that learns from embeddings and labels others; embeddings: (n, d) float32"""

    def train(
        self, embeddings: Floats32, encoder: Encoder, n_states: int, labels: ArrayLike | None = None
    ) -> Learned:
        """Learn from the embeddings of consecutive trading days, or of labelled days.

        labels: n, where a person gave them
        """

    def scores(
        self, learned: Any, embeddings: Floats32, labels: ArrayLike | None = None, /
    ) -> dict[str, float]:
        """Measures of what was learned on embeddings, by name."""

    def classify(self, learned: Any, embeddings: Floats32, /) -> Classification:
        """The label of each embedding."""

    def from_json(self, labels: Sequence[Any], parameters: Mapping[str, Any], /) -> Learned:
        """What `to_json` wrote."""


CLASSIFIERS: dict[str, Classifier] = {"markov": markov, "prototype": prototype}


def get(name: str) -> Classifier:
    """The classifier of this name; raises RegimeError naming the known ones."""
    if name not in CLASSIFIERS:
        raise RegimeError(f"unknown classifier {name!r}: choose one of {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name]


def read(name: str, labels: Sequence[str], parameters: Mapping[str, Any]) -> Any:
    """A classifier's parameters as they are stored.

    raises RegimeError for parameters that another release stored in another form
    """
    try:
        return get(name).from_json(labels, parameters)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegimeError(
            f"the {name} classifier of this release cannot read the parameters of a model that "
            "another release stored: fit it again, with `regime fit`"
        ) from error
