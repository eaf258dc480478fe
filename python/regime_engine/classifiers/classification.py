"""What a classifier says of embeddings, whichever classifier it is."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    labels: tuple[Any, ...]
    winners: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    evidence: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    novelty: NDArray[np.float64] | None = None


def percentiles(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The percentiles 0, 1 … 100 of the values, (101,)."""
    found: NDArray[np.float64] = np.quantile(values, np.linspace(0, 1, 101))
    return found


def percentile_of(
    values: NDArray[np.floating], percentiles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Which percentile each value is: values, (n,); percentiles: (101,); returns (n,)."""
    found: NDArray[np.float64] = np.interp(values, percentiles, np.arange(101.0))
    return found
