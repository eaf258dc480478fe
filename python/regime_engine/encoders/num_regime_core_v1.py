"""numeric-simple-v1 in 384 numbers. Kept for compatibility: its distances follow the volume."""

import numpy as np

from regime_engine.encoders import numeric_simple_v1

MODEL_ID = "num-regime-core-v1"
COLUMNS = numeric_simple_v1.COLUMNS
SCALE_FREE = False
DIMENSION = 384


def dimension(window_days: int) -> int:
    return DIMENSION


def layout(window_days: int) -> list[str]:
    """What each number is."""
    names = numeric_simple_v1.layout(window_days)[-DIMENSION:]
    return names + ["padding"] * (DIMENSION - len(names))


def encode(windows: np.ndarray) -> np.ndarray:
    """The flattened window, zeros after it; of a window over 128 days, the newest 128.

    windows: (n, window_days, 3) float64, oldest row first
    returns (n, 384) float32
    """
    flat = numeric_simple_v1.encode(windows)[:, -DIMENSION:]
    embeddings = np.zeros((len(flat), DIMENSION), np.float32)
    embeddings[:, : flat.shape[1]] = flat
    return embeddings
