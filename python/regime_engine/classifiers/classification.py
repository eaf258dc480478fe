"""What a classifier says of embeddings, whichever classifier it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import Floats, Indices

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
    probabilities: (n, k), rows sum to 1
    evidence: name → (n, k), numbers behind the label; constants: name → number
    novelty: (n,) how unlike the training windows, a percentile from 0 to 100; None if not known
    daily_volatility: (n,) the volatility of a trading day that is expected for the next 21, as a
        standard deviation of log returns; None if the classifier cannot tell
    """

    labels: tuple[Any, ...]
    winners: Indices
    probabilities: Floats
    evidence: dict[str, Floats] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    novelty: Floats | None = None
    daily_volatility: Floats | None = None


@dataclass(frozen=True)
class Learned:
    """What a classifier learns; each classifier adds its symbols. labels: the k labels it gives"""

    labels: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields but the labels and those that are None, for regime_models.parameters."""
        return {name: each for name, each in _lists(self).items() if name != "labels"}


def _lists(value: Any) -> Any:
    """A dataclass without the fields that are None as a dict; arrays and tuples as lists."""
    if is_dataclass(value):
        fields = vars(value).items()
        return {name: _lists(each) for name, each in fields if each is not None}
    if isinstance(value, tuple):
        return [_lists(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def arrays(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `to_json` with an array for each list."""
    return {
        name: np.array(each, float) if isinstance(each, list) else each
        for name, each in parameters.items()
    }


def percentiles(values: NDArray[np.floating]) -> Floats:
    """The percentiles 0, 1 … 100 of the values, (101,)."""
    return np.asarray(np.quantile(values, np.linspace(0, 1, 101)))


def percentile_of(values: NDArray[np.floating], percentiles: Floats) -> Floats:
    """Which percentile each value is: values, (n,); percentiles: (101,); returns (n,)."""
    return np.asarray(np.interp(values, percentiles, np.arange(101.0)))
