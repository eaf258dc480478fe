"""The window itself, row by row. Kept for compatibility: large volumes rule its distances."""

import numpy as np

from regime_engine.arrays import Floats, Floats32

MODEL_ID = "numeric-simple-v1"
COLUMNS: tuple[str, ...] = ("close", "volume", "log_return")
WINDOW_DAYS = None
SCALE_FREE = False


def dimension(window_days: int) -> int:
    """How many numbers an embedding has."""
    return window_days * len(COLUMNS)


def layout(window_days: int) -> list[str]:
    """A name for each number of an embedding."""
    days_ago = range(window_days - 1, -1, -1)
    return [f"{column}_{days}_days_ago" for days in days_ago for column in COLUMNS]


def encode(windows: Floats) -> Floats32:
    """The rows of each window, one after another.

    windows: (n, window_days, 3), oldest row first
    returns (n, window_days * 3)

    The first log return is set to 0: it needs the close before the window.
    """
    with np.errstate(over="ignore"):  # a number too large becomes infinite, and is refused later
        flat = windows.astype(np.float32).reshape(len(windows), dimension(windows.shape[1]))
    flat[:, COLUMNS.index("log_return")] = 0
    return flat
