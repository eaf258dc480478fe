"""Paths of a window, statistics of them and random Fourier features: scale-free and lossless.

LAYOUT names the 384 numbers in order; docs/formulas.md has the formula of each. `decode` gets the
window back from `asinh_return`, `relative_log_volume` and `ln_100s`, so a classifier needs nothing
but the embedding.
"""

import numpy as np

from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders import regime_core
from regime_engine.encoders.decoded import Decoded
from regime_engine.encoders.regime_core import PATHS, Fourier, half_log, path_names

MODEL_ID = "num-regime-core-v2"
COLUMNS: tuple[str, ...] = ("adjusted_log_return", "adjusted_close", "relative_log_volume")
WINDOW_DAYS = regime_core.WINDOW_DAYS
SCALE_FREE = True
DIMENSION = regime_core.DIMENSION
STATISTICS = regime_core.STATISTICS
SMALLEST_SCALE = regime_core.SMALLEST_SCALE
VOLUME_HISTORY_DAYS = 252  # rows before a day whose mean its relative_log_volume is relative to

_N_FOURIER = DIMENSION - regime_core.STATISTICS_PLACES.stop
LAYOUT = (
    *(name for path in (*PATHS, "ln_volatility_path") for name in path_names(path)),
    *STATISTICS,
    *(f"fourier_{number}" for number in range(_N_FOURIER)),
)
_VOLATILITY_PATH_HALF_LIFE = 5
_FOURIER = Fourier.drawn(seed=63, number=_N_FOURIER)


def dimension(window_days: int) -> int:
    """How many numbers an embedding has."""
    return DIMENSION


def layout(window_days: int) -> tuple[str, ...]:
    """A name for each number of an embedding."""
    return LAYOUT


def encode(windows: Floats) -> Floats32:
    """windows: (n, 63, 3) of COLUMNS, oldest row first
    returns (n, 384)

    A first return that is NaN (an instrument's first row has none) is encoded as 0.
    """
    return regime_core.in_chunks(_encode, windows)


def decode(embeddings: Floats32) -> Decoded:
    """embeddings: (n, 384); without ranges and gaps, which this encoder does not read"""
    returns, volumes = regime_core.decoded_paths(embeddings)
    missing = np.full(returns.shape, np.nan)
    return Decoded(returns, volumes, log_ranges=missing, overnight_gaps=missing)


def _encode(windows: Floats) -> Floats32:
    """windows: (n, 63, 3); returns (384, n)"""
    window = regime_core.moves(*np.array(windows.transpose(2, 1, 0), order="C"))
    statistics = regime_core.statistics(window)
    return np.concatenate(
        [
            *regime_core.paths(window),
            half_log(_volatility_path(window.z * window.z)),
            statistics,
            _FOURIER(np.array(statistics, np.float32)),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def _volatility_path(variance: Floats) -> Floats:
    """The exponentially weighted mean of each day and the days before it.

    variance: (63, n); returns (63, n)
    """
    keep, weight = 0.5 ** (1 / _VOLATILITY_PATH_HALF_LIFE), 0.0
    mean, path = np.zeros_like(variance[0]), np.empty_like(variance)
    for t in range(WINDOW_DAYS):
        weight = keep * weight + 1  # Σ keep^age
        mean = path[t] = mean + (variance[t] - mean) / weight
    return path
