"""The window itself, row by row. Kept for compatibility: its distances follow the volume."""

import numpy as np

MODEL_ID = "numeric-simple-v1"
COLUMNS = ("close", "volume", "log_return")
SCALE_FREE = False


def dimension(window_days: int) -> int:
    return window_days * len(COLUMNS)


def layout(window_days: int) -> list[str]:
    """What each number is."""
    days_ago = range(window_days - 1, -1, -1)
    return [f"{column}_{days}_days_ago" for days in days_ago for column in COLUMNS]


def encode(windows: np.ndarray) -> np.ndarray:
    """Row-major flatten; the first log return, which looks outside the window, is 0.

    windows: (n, window_days, 3) float64, oldest row first
    returns (n, window_days * 3) float32
    """
    with np.errstate(over="ignore"):  # infinite is what the engine refuses, with a reason
        flat = windows.astype(np.float32).reshape(len(windows), dimension(windows.shape[1]))
    flat[:, COLUMNS.index("log_return")] = 0
    return flat
