"""What is measured of labels and forecasts against what came, with bootstrap resamples.

Many functions take `weights` (b, n): how often each of n days counts, in each of b resamples. They
then return one value a resample, (b,). Without weights each day counts once, in one sample.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import Floats, Indices

DAYS_A_YEAR = 252  # of an exchange
DAYS_AHEAD = 21
EWM_HALF_LIFE = 10
HAR_DAYS = (1, 5, 21)
HAR_FEWEST_DAYS = 252  # that a regression is fitted to
HAR_REFIT_DAYS = 252
# A day without a move has no log variance: averages count as at least this share of the usual one.
HAR_FLOOR = 0.001

Flags = NDArray[np.bool_]


def n_switches(labels: NDArray[Any]) -> int:
    """Changes of label from one day to the next, in all paths together; labels: (…, T)"""
    return int((labels[..., 1:] != labels[..., :-1]).sum())


def once(n: int) -> Floats:
    """(1, n) the weights of one sample in which each day counts once"""
    return np.ones((1, n))


def mean(values: Floats, weights: Floats) -> Floats:
    """(b,) values: (n,)"""
    return np.asarray(weights @ values / _total(weights))


def _total(weights: Floats) -> Floats:
    """(b,) how many days each resample has"""
    return np.asarray(weights @ np.ones(weights.shape[1]))  # much faster than sum


def deviation(values: Floats, weights: Floats) -> Floats:
    """(b,) standard deviation; values: (n,)"""
    centred = values - values.mean()  # or the difference of two large numbers would be left
    variance = mean(centred**2, weights) - mean(centred, weights) ** 2
    return np.sqrt(np.maximum(variance, 0))


def mid_ranks(values: NDArray[Any], weights: Floats) -> Floats:
    """(b, n) rank of each day in each resample, from ½; equal values share the mean of their ranks.

    values: (n,)
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    ends = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
    group = np.empty(len(values), np.intp)
    group[order] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    up_to = np.cumsum(weights[:, order], axis=1)[:, ends]
    here = np.diff(up_to, axis=1, prepend=0)
    return np.asarray((up_to - here / 2)[:, group])


def ranks(values: NDArray[Any]) -> Floats:
    """1 … n; equal values share the mean of their ranks."""
    return np.asarray(mid_ranks(values, once(len(values)))[0] + 0.5)


def correlation(a: Floats, b: Floats, weights: Floats) -> Floats:
    """(b,) of two arrays (b, n); NaN in a resample in which one of them is constant"""
    total = _total(weights)[:, None]
    a = a - np.einsum("bn,bn->b", weights, a)[:, None] / total
    b = b - np.einsum("bn,bn->b", weights, b)[:, None] / total
    weighted = weights * a, weights * b
    products = [
        np.einsum("bn,bn->b", *pair)
        for pair in ((weighted[0], b), (weighted[0], a), (weighted[1], b))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(products[0] / np.sqrt(products[1] * products[2]))


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's"""
    weights = once(len(a))
    return float(correlation(mid_ranks(a, weights), mid_ranks(b, weights), weights)[0])


def auc_of_ranks(ranks: Floats, events: Flags, weights: Floats) -> Floats:
    """(b,) as auc; ranks: (b, n), mid_ranks of the scores; NaN where all days are alike"""
    weighted = weights[:, events]
    n = _total(weighted)
    # Each event beats half of the events.
    won = np.einsum("bn,bn->b", weighted, ranks[:, events]) - n**2 / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / (n * (_total(weights) - n)))


def auc(scores: NDArray[Any], events: Flags) -> float:
    """Probability that a day before an event scores higher than another day; a tie counts half."""
    weights = once(len(scores))
    return float(auc_of_ranks(mid_ranks(scores, weights), events, weights)[0])


def calibration_error(confidences: NDArray[Any], right: NDArray[Any], n_bins: int = 10) -> float:
    """Mean of |mean confidence - share right| in a bin, over all cases; bins of equal width.

    confidences, right: same shape; a probability, and whether it came true
    """
    confidences, right = confidences.ravel()[:, None], right.ravel()[:, None]
    gaps = calibration_gaps(confidences, right, n_bins)
    return float(error_of_gaps(gaps, once(len(confidences)))[0] / confidences.shape[1])


def calibration_gaps(probabilities: Floats, came: NDArray[Any], n_bins: int = 10) -> Floats:
    """(n, n_bins) sum of probability - came, over the cases of a day that are in a bin

    probabilities, came: (n, k)
    """
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    gaps = np.zeros((len(bins), n_bins))
    for case in range(bins.shape[1]):
        gaps[np.arange(len(bins)), bins[:, case]] += probabilities[:, case] - came[:, case]
    return gaps


def error_of_gaps(gaps: Floats, weights: Floats) -> Floats:
    """(b,) sum over the bins of |mean gap of a day|; gaps: (n, n_bins)"""
    return np.asarray(np.abs(weights @ gaps).sum(axis=1) / _total(weights))


def log_errors(forecast: Floats, realised: Floats) -> Floats:
    """(n,) |ln(forecast / realised)|, NaN on days on which nothing moved"""
    return np.abs(_log(forecast) - _log(np.where(realised > 0, realised, np.nan)))


def log_error(forecast: Floats, realised: Floats) -> float:
    """Mean of |ln(forecast / realised)| of the days on which something moved."""
    return float(np.nanmean(log_errors(forecast, realised)))


def next_days(returns: Floats, days: int = DAYS_AHEAD) -> Floats:
    """(T - days, days): the returns of the days after each day."""
    return np.lib.stride_tricks.sliding_window_view(returns[1:], days)


def ewm_variance(returns: Floats, half_life: float = EWM_HALF_LIFE) -> Floats:
    """(T,) exponentially weighted mean of the squared returns up to each day"""
    keep = 0.5 ** (1 / half_life)
    variance = np.empty(len(returns))
    total = weight = 0.0
    for t, square in enumerate((returns**2).tolist()):
        total, weight = keep * total + square, keep * weight + 1
        variance[t] = total / weight
    return variance


def day_variance(returns: Floats, log_ranges: Floats, overnight_gaps: Floats) -> Floats:
    """(T,) ln(high/low)² / (4 ln 2) + gap² where both are known, else the squared return"""
    of_range = log_ranges**2 / (4 * np.log(2)) + overnight_gaps**2
    return np.where(np.isfinite(of_range), of_range, returns**2)


def har_volatility(variance: Floats, returns: Floats) -> Floats:
    """(T,) the forecast of the root mean square of the next 21 returns; NaN before the first fit

    ln volatility = b₀ + b₁ ln v₁ + b₂ ln v₅ + b₃ ln v₂₁, where v_d is the mean variance of the last
    d days. Least squares on all days whose next 21 returns are known; fitted again once a year.
    variance: (T,) of each day; returns: (T,)
    """
    n = len(returns)
    sums = np.append(0, np.cumsum(variance))
    floor = HAR_FLOOR * sums[1:] / np.arange(1, n + 1)
    regressors = np.ones((n, 1 + len(HAR_DAYS)))
    for column, days in enumerate(HAR_DAYS, 1):
        first = np.maximum(np.arange(n) + 1 - days, 0)
        means = (sums[1:] - sums[first]) / (np.arange(n) + 1 - first)
        regressors[:, column] = _log(np.maximum(means, floor))
    came = np.full(n, np.nan)
    came[:-DAYS_AHEAD] = np.sqrt((next_days(returns) ** 2).mean(axis=1))
    target = _log(np.maximum(came, np.sqrt(floor)))
    # Not the days whose averages are not full, or before the price first moved.
    usable = np.isfinite(target) & np.isfinite(regressors).all(axis=1)
    usable &= np.arange(n) >= max(HAR_DAYS) - 1
    examples = np.flatnonzero(usable)
    forecast = np.full(n, np.nan)
    if len(examples) < HAR_FEWEST_DAYS:
        return forecast
    for today in range(examples[HAR_FEWEST_DAYS - 1] + DAYS_AHEAD, n, HAR_REFIT_DAYS):
        known = examples[examples <= today - DAYS_AHEAD]
        coefficients, *_ = np.linalg.lstsq(regressors[known], target[known])
        residuals = target[known] - regressors[known] @ coefficients
        days_of_fit = slice(today, today + HAR_REFIT_DAYS)
        # The mean of a log-normal is above its median.
        forecast[days_of_fit] = np.exp(regressors[days_of_fit] @ coefficients + residuals.var() / 2)
    return forecast


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(values))


def daily_results(log_returns: Floats, position: Floats, cost: float, before: float) -> Floats:
    """(T,) simple return of each day after costs

    position: (T,) 1 if the day is held and 0 if not; before: the position of the day before
    cost: share of the traded value, paid on each day whose position is new
    """
    traded = np.abs(np.diff(position, prepend=before))
    return np.asarray(position * np.expm1(log_returns) - cost * traded)


def sharpe(daily: Floats, days_a_year: float = DAYS_A_YEAR) -> float:
    return float(sharpe_ratios(daily, once(len(daily)), days_a_year)[0])


def sharpe_ratios(daily: Floats, weights: Floats, days_a_year: float) -> Floats:
    """(b,) annualised; NaN in a resample whose returns are all alike; daily: (n,)"""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = mean(daily, weights) / deviation(daily, weights) * np.sqrt(days_a_year)
    return np.where(np.isfinite(ratios), ratios, np.nan)


def sortino(daily: Floats, days_a_year: float) -> float:
    """Annualised mean ÷ sqrt(mean(min(return, 0)²)); NaN if no day has a loss; daily: (n,)"""
    downside = np.sqrt((np.minimum(daily, 0) ** 2).mean())
    return float(daily.mean() / downside * np.sqrt(days_a_year)) if downside else np.nan


def max_drawdown(daily: Floats) -> float:
    """The deepest fall of wealth below its earlier peak, as a negative share of that peak."""
    return float(max_drawdowns(daily[None])[0])


def max_drawdowns(daily: Floats) -> Floats:
    """(b,) of each path; daily: (b, n)"""
    wealth = np.cumsum(np.log1p(daily), axis=1)
    peak = np.maximum(np.maximum.accumulate(wealth, axis=1), 0)
    return np.asarray(np.expm1((wealth - peak).min(axis=1)))


def stationary_bootstrap(
    n: int, mean_block: float, n_resamples: int, random: np.random.Generator
) -> Indices:
    """(n_resamples, n) the days of each resample: blocks that start anywhere, whose length is
    geometric, and that go on with the first day after the last (Politis and Romano, 1994).
    """
    day = np.arange(n, dtype=np.int32)
    is_start = random.random((n_resamples, n), np.float32) < 1 / mean_block
    is_start[:, 0] = True
    starts = random.integers(n, size=(n_resamples, n), dtype=np.int32)
    begun = np.maximum.accumulate(np.where(is_start, day, 0), axis=1)
    drawn = np.take_along_axis(starts, begun, axis=1) + day - begun
    return np.where(drawn < n, drawn, drawn - n)


def counts(days: Indices, n: int) -> Floats:
    """(b, n) how often each day is in each resample; days: (b, m) 0 … n-1"""
    b = len(days)
    flat = days + n * np.arange(b)[:, None]
    return np.bincount(flat.ravel(), minlength=b * n).reshape(b, n).astype(float)
