"""num-regime-core-v2 with the ranges of the days and the gaps between them.

LAYOUT names the 384 numbers in order; docs/formulas.md has the formula of each. `decode` gets the
window back. A day without a range or a gap has minus zero (-0.0) in its place: it counts as 0 in a
distance between embeddings, and its sign tells it from a range or a gap of 0.
"""

import numpy as np

from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders import num_regime_core_v2, regime_core
from regime_engine.encoders.decoded import Decoded
from regime_engine.encoders.regime_core import PATHS, Fourier, path_names, path_places

MODEL_ID = "num-regime-core-v3"
COLUMNS: tuple[str, ...] = (*num_regime_core_v2.COLUMNS, "log_range", "overnight_gap")
WINDOW_DAYS = regime_core.WINDOW_DAYS
SCALE_FREE = True
DIMENSION = regime_core.DIMENSION
STATISTICS = regime_core.STATISTICS

_RANGE_PLACES = path_places(len(PATHS))
_FIRST_GAP = regime_core.STATISTICS_PLACES.stop
_GAP_PLACES = slice(_FIRST_GAP, _FIRST_GAP + WINDOW_DAYS)
_N_FOURIER = DIMENSION - _GAP_PLACES.stop
LAYOUT = (
    *(name for path in (*PATHS, "log_range") for name in path_names(path)),
    *STATISTICS,
    *path_names("overnight_gap"),
    *(f"fourier_{number}" for number in range(_N_FOURIER)),
)
_FOURIER = Fourier.drawn(seed=3, number=_N_FOURIER)
_MISSING = np.float32(-0.0)


def dimension(window_days: int) -> int:
    """How many numbers an embedding has."""
    return DIMENSION


def layout(window_days: int) -> tuple[str, ...]:
    """A name for each number of an embedding."""
    return LAYOUT


def encode(windows: Floats) -> Floats32:
    """windows: (n, 63, 5) of COLUMNS, oldest row first, NaN for a range or a gap that is missing
    returns (n, 384)

    A first return that is NaN (an instrument's first row has none) is encoded as 0.
    """
    return regime_core.in_chunks(_encode, windows)


def decode(embeddings: Floats32) -> Decoded:
    """embeddings: (n, 384)"""
    returns, volumes = regime_core.decoded_paths(embeddings)
    return Decoded(
        returns,
        volumes,
        log_ranges=_decoded(embeddings[:, _RANGE_PLACES]),
        overnight_gaps=_decoded(embeddings[:, _GAP_PLACES]),
    )


def _encode(windows: Floats) -> Floats32:
    """windows: (n, 63, 5); returns (384, n)"""
    r, close, v, log_range, overnight_gap = np.array(windows.transpose(2, 1, 0), order="C")
    window = regime_core.moves(r, close, v)
    statistics = regime_core.statistics(window)
    return np.concatenate(
        [
            *regime_core.paths(window),
            _encoded(log_range),
            statistics,
            _encoded(overnight_gap),
            _FOURIER(np.array(statistics, np.float32)),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def _encoded(path: Floats) -> Floats32:
    """The path as float32, minus zero for NaN; path: (63, n)"""
    numbers = path.astype(np.float32) + np.float32(0)  # + 0 makes zero of a minus zero
    return np.where(np.isnan(numbers), _MISSING, numbers)


def _decoded(path: Floats32) -> Floats:
    """NaN for minus zero; path: (n, 63)"""
    is_missing = (path == 0) & np.signbit(path)
    return np.where(is_missing, np.nan, path.astype(float))
