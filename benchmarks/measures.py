"""The measures of the quality benchmark: pure functions over arrays, numpy only.

Labels and states are numbers 0 … k-1 in order of stress; n paths of T days each.
"""

import numpy as np

DAYS_A_YEAR = 252


def balanced_accuracy(labels: np.ndarray, states: np.ndarray) -> np.ndarray:
    """(n,) share of a state's days that have its label, averaged over the states.

    labels, states: (n, T); every path has every state
    """
    found = [
        ((labels == k) & (states == k)).sum(axis=1) / (states == k).sum(axis=1)
        for k in range(states.max() + 1)
    ]
    return np.mean(found, axis=0)


def n_switches(labels: np.ndarray) -> int:
    """Changes of label from one day to the next, in all paths together; labels: (…, T)"""
    return int((labels[..., 1:] != labels[..., :-1]).sum())


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


def calibration_error(confidences: np.ndarray, right: np.ndarray, n_bins: int = 10) -> float:
    """Mean over days of |mean confidence - share right| in the day's bin; bins of equal width.

    confidences, right: same shape; the probability of the label, and whether it is right
    """
    confidences, right = confidences.ravel(), right.ravel()
    bins = np.minimum((confidences * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidences - right, n_bins)  # days × (confidence - share right)
    return float(np.abs(gaps).sum() / len(bins))


def ranks(values: np.ndarray) -> np.ndarray:
    """1 … n; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def auc(scores: np.ndarray, events: np.ndarray) -> float:
    """Probability that a day before an event scores higher than another day; a tie counts half."""
    n = events.sum()
    return float((ranks(scores)[events].sum() - n * (n + 1) / 2) / (n * (len(events) - n)))


def log_error(forecast: np.ndarray, realised: np.ndarray) -> float:
    """Mean of |ln(forecast / realised)| of the days on which something moved."""
    moved = realised > 0
    return float(np.abs(np.log(forecast[moved] / realised[moved])).mean())


def next_days(returns: np.ndarray, days: int = 21) -> np.ndarray:
    """(T - days, days): the returns of the days after each day."""
    return np.lib.stride_tricks.sliding_window_view(returns[1:], days)


def hold_unless_stressed(
    log_returns: np.ndarray, stressed: np.ndarray, delay: int = 1, cost: float = 0.001
) -> tuple[np.ndarray, np.ndarray]:
    """Daily returns after costs, and positions (1: held, 0: out), each (T,).

    A label known at the close of day t is traded at the close `delay` days later, so it decides
    the position of day t + delay + 1. `cost` is paid on each day whose position is new.
    """
    position = np.ones(len(stressed))
    position[delay + 1 :] = ~stressed[: -delay - 1]
    traded = np.abs(np.diff(position, prepend=1.0))
    return position * np.expm1(log_returns) - cost * traded, position


def sharpe(daily: np.ndarray) -> float:
    return float(daily.mean() / daily.std() * np.sqrt(DAYS_A_YEAR))


def max_drawdown(daily: np.ndarray) -> float:
    """The deepest fall of wealth below its earlier peak, as a negative share of that peak."""
    wealth = np.cumprod(np.r_[1.0, 1 + daily])
    return float((wealth / np.maximum.accumulate(wealth) - 1).min())
