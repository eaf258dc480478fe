"""numeric-simple-v1 in 384 numbers. Kept for compatibility, as it is."""

import numpy as np

from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders import numeric_simple_v1

MODEL_ID = "num-regime-core-v1"
COLUMNS = numeric_simple_v1.COLUMNS
WINDOW_DAYS = None
SCALE_FREE = False
DIMENSION = 384


def dimension(window_days: int) -> int:
    """How many numbers an embedding has."""
    return DIMENSION


def layout(window_days: int) -> list[str]:
    """A name for each number of an embedding."""
    names = numeric_simple_v1.layout(window_days)[-DIMENSION:]
    return names + ["padding"] * (DIMENSION - len(names))


def encode(windows: Floats) -> Floats32:
    """The rows of each window, then zeros; of a window over 128 days, the newest 128 rows.

    windows: (n, window_days, 3), oldest row first
    returns (n, 384)
    """
    flat = numeric_simple_v1.encode(windows)[:, -DIMENSION:]
    embeddings = np.zeros((len(flat), DIMENSION), np.float32)
    embeddings[:, : flat.shape[1]] = flat
    return embeddings
