"""The measures of the quality benchmark: pure functions over arrays, numpy only.

Labels and states are numbers 0 … k-1 in order of stress; n paths of T days each. What is measured
on real series is measured as `regime score` does.
"""

import numpy as np

from regime_engine.measures import (
    DAYS_A_YEAR,
    auc,
    calibration_error,
    daily_results,
    log_error,
    max_drawdown,
    n_switches,
    next_days,
    rank_correlation,
    sharpe,
)

__all__ = [
    "DAYS_A_YEAR",
    "auc",
    "balanced_accuracy",
    "brier",
    "calibration_error",
    "delays",
    "hold_unless_stressed",
    "log_error",
    "max_drawdown",
    "n_switches",
    "next_days",
    "rank_correlation",
    "sharpe",
]


def balanced_accuracy(labels: np.ndarray, states: np.ndarray) -> np.ndarray:
    """(n,) share of a state's days that have its label, averaged over the states.

    labels, states: (n, T); every path has every state
    """
    found = [
        ((labels == k) & (states == k)).sum(axis=1) / (states == k).sum(axis=1)
        for k in range(states.max() + 1)
    ]
    return np.mean(found, axis=0)


def delays(labels: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Days from each true switch to the first day with the new state's label.

    A switch that is never found counts as long as the state lasted. labels, states: (n, T)
    """
    found = []
    for path_labels, path_states in zip(labels, states, strict=True):
        starts = np.flatnonzero(np.diff(path_states)) + 1
        for start, end in zip(starts, np.r_[starts[1:], path_states.size], strict=True):
            seen = path_labels[start:end] == path_states[start]
            found.append(seen.argmax() if seen.any() else end - start)
    return np.array(found)


def brier(probabilities: np.ndarray, states: np.ndarray) -> float:
    """Mean of Σ_k (p_k - 1[state is k])²: 0 at best, 2 at worst.

    probabilities: (n, T, k); states: (n, T)
    """
    truth = np.arange(probabilities.shape[-1]) == states[..., None]
    return float(((probabilities - truth) ** 2).sum(axis=-1).mean())


def hold_unless_stressed(
    log_returns: np.ndarray, stressed: np.ndarray, delay: int = 1, cost: float = 0.001
) -> tuple[np.ndarray, np.ndarray]:
    """Daily returns after costs, and positions (1: held, 0: out), each (T,).

    A label known at the close of day t is traded at the close `delay` days later, so it decides
    the position of day t + delay + 1. `cost` is paid on each day whose position is new.
    """
    position = np.ones(len(stressed))
    position[delay + 1 :] = ~stressed[: -delay - 1]
    return daily_results(log_returns, position, cost=cost, before=1.0), position
