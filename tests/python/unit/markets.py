"""Simulated price histories whose regimes are known."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from regime_engine.encoders import num_regime_core_v3

SIGMA = {2: [0.006, 0.022], 3: [0.005, 0.012, 0.03], 4: [0.004, 0.009, 0.018, 0.04]}


def draw(days: int, k: int = 2, seed: int = 0, stay: float = 0.985):
    """Adjusted log returns, relative log volumes and states, each (days,)."""
    chance = np.random.default_rng(seed)
    state, states = 0, np.empty(days, int)
    for t in range(days):
        if chance.random() > stay:
            state = (state + chance.integers(1, k)) % k
        states[t] = state
    returns = np.array(SIGMA[k])[states] * chance.standard_t(6, days) * (4 / 6) ** 0.5
    volumes = 0.3 * (states - states.mean()) + 0.25 * chance.standard_normal(days)
    return returns, np.clip(volumes, -3, 3), states


def embedded(days: int, k: int = 2, seed: int = 0, stay: float = 0.985):
    """Embeddings of the windows of drawn days, and the states of their last days, (days - 62,)."""
    returns, volumes, states = draw(days, k, seed, stay)
    return embeddings(returns, volumes), states[62:]


def windows(
    returns: np.ndarray,
    volumes: np.ndarray,
    price: float = 100.0,
    log_ranges: np.ndarray | None = None,
    overnight_gaps: np.ndarray | None = None,
) -> np.ndarray:
    """(days - 62, 63, 5) of num-regime-core-v3's columns; ranges and gaps are missing if not given"""
    closes = price * np.exp(np.cumsum(returns))
    missing = np.full(len(returns), np.nan)
    ranges = [missing if path is None else path for path in (log_ranges, overnight_gaps)]
    features = np.column_stack([returns, closes, volumes, *ranges])
    return sliding_window_view(features, 63, axis=0).transpose(0, 2, 1)


def embeddings(returns: np.ndarray, volumes: np.ndarray, *others: object) -> np.ndarray:
    """(days - 62, 384) by num-regime-core-v3; others: of `windows`"""
    return num_regime_core_v3.encode(windows(returns, volumes, *others))
