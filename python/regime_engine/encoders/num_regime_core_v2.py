"""Paths of a window, statistics of them and random Fourier features: scale-free and lossless.

LAYOUT names the 384 numbers in order; docs/formulas.md has the formula of each. `decode` gets the
window back from `asinh_return`, `relative_log_volume` and `ln_100s`, so a classifier needs nothing
but the embedding.
"""

import numpy as np

from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders.decoded import Decoded

MODEL_ID = "num-regime-core-v2"
COLUMNS: tuple[str, ...] = ("adjusted_log_return", "adjusted_close", "relative_log_volume")
WINDOW_DAYS = 63
SCALE_FREE = True
DIMENSION = 384
VOLUME_HISTORY_DAYS = 252  # rows before a day whose mean its relative_log_volume is relative to

VOLATILITY_HALF_LIVES = (1, 2, 3, 5, 8, 13, 21, 42)
TREND_HALF_LIVES = (5, 10, 21, 42)
SIZE_HALF_LIVES = (3, 5, 10, 21)
VOLUME_HALF_LIVES = (1, 3, 8, 21)

STATISTICS = (
    "ln_100s",
    "median_volume",
    *(f"ln_volatility_half_life_{days}" for days in VOLATILITY_HALF_LIVES),
    *(f"ln_downside_deviation_half_life_{days}" for days in TREND_HALF_LIVES),
    *(f"mean_over_volatility_half_life_{days}" for days in TREND_HALF_LIVES),
    *(f"mean_ln_size_half_life_{days}" for days in SIZE_HALF_LIVES),
    "drawdown_over_volatility",
    "drawdown",
    "worst_drawdown_over_volatility",
    "worst_drawdown",
    *(f"volume_half_life_{days}" for days in VOLUME_HALF_LIVES),
    "autocorrelation_return",
    "autocorrelation_size",
    "correlation_size_volume",
    "correlation_return_volume",
    "leverage",
    "cube_root_skew",
    "ln_kurtosis",
    "ln_largest_size",
)
_DAYS_AGO = range(WINDOW_DAYS - 1, -1, -1)
_PATHS = ("asinh_return", "log_price", "relative_log_volume", "ln_volatility_path")
_FIRST_STATISTIC = len(_PATHS) * WINDOW_DAYS
STATISTICS_PLACES = slice(_FIRST_STATISTIC, _FIRST_STATISTIC + len(STATISTICS))
_N_FOURIER = DIMENSION - STATISTICS_PLACES.stop
LAYOUT = (
    *(f"{path}_{days}_days_ago" for path in _PATHS for days in _DAYS_AGO),
    *STATISTICS,
    *(f"fourier_{number}" for number in range(_N_FOURIER)),
)

SMALLEST_SCALE = 1e-6
_VOLATILITY_PATH_HALF_LIFE = 5
_LEAST_SPREAD = 1e-9  # a path that moves less has no correlation
# Added before a logarithm, so that a stretch without moves stays finite; the mean square is 1.
_QUIET_VARIANCE = 1e-4
_QUIET_SIZE = 0.02
_CHUNK = 1024  # windows whose arrays fit the processor's cache
_CACHE_LINE = 8  # numbers that are transposed together: one line of the cache a window

# RandomState's stream is frozen by numpy's compatibility policy; Generator's is not.
_chance = np.random.RandomState(63)
_FREQUENCIES = (_chance.standard_normal((len(STATISTICS), _N_FOURIER)) / 6).astype(np.float32)
_PHASES = _chance.uniform(0, 2 * np.pi, _N_FOURIER).astype(np.float32)
_FOURIER_SCALE = np.float32(np.sqrt(2 / _N_FOURIER))


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
    embeddings = np.empty((len(windows), DIMENSION), np.float32)
    n_chunks = max(1, -(-len(windows) // _CHUNK))
    size = max(1, -(-len(windows) // n_chunks))
    for first in range(0, len(windows), size):
        chunk = slice(first, first + size)
        numbers = _encode(windows[chunk])
        for few in range(0, DIMENSION, _CACHE_LINE):
            columns = slice(few, few + _CACHE_LINE)
            embeddings[chunk, columns] = numbers[columns].T
    return embeddings


def decode(embeddings: Floats32) -> Decoded:
    """embeddings: (n, 384); without ranges and gaps, which this encoder does not read"""
    paths = embeddings[:, :_FIRST_STATISTIC].astype(float).reshape(-1, len(_PATHS), WINDOW_DAYS)
    s = np.exp(embeddings[:, LAYOUT.index("ln_100s")].astype(float)) / 100
    z = np.sinh(paths[:, _PATHS.index("asinh_return")])
    missing = np.full(z.shape, np.nan)
    return Decoded(
        returns=z * s[:, None],
        volumes=paths[:, _PATHS.index("relative_log_volume")].copy(),
        log_ranges=missing,
        overnight_gaps=missing,
    )


def _encode(windows: Floats) -> Floats32:
    """windows: (n, 63, 3); returns (384, n)

    Days and statistics are the first axis, and einsum adds along it one by one for any n (BLAS
    does not): so a batch of one equals a row of a larger batch to the bit.
    """
    r, close, v = np.array(windows.transpose(2, 1, 0), order="C")  # (63, n) each
    r[0] = np.where(np.isnan(r[0]), 0, r[0])
    s = np.maximum(np.sqrt(_mean(r * r)), SMALLEST_SCALE)  # s = √(Σ r² / 63)
    z = r / s
    c = np.log(close)
    statistics = _statistics(z, s, c, v)
    return np.concatenate(
        [
            np.arcsinh(z),
            (c - c[-1]) / (s * WINDOW_DAYS**0.5),
            v,
            _half_log(_volatility_path(z * z)),
            statistics,
            _fourier(np.array(statistics, np.float32)),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def _statistics(z: Floats, s: Floats, c: Floats, v: Floats) -> list[Floats]:
    """Each of STATISTICS, (n,).

    z, c, v: (63, n) returns over s, log closes, relative log volumes; s: (n,)
    """
    size, below, variance = np.abs(z), np.minimum(z, 0), z * z
    ln_100s = np.log(100 * s)
    volatility = _half_log(_exponentially_weighted(variance, VOLATILITY_HALF_LIVES))  # L(E_h[z²])
    downside = _half_log(_exponentially_weighted(below * below, TREND_HALF_LIVES))
    # E_h[z] / exp L(E_h[z²])
    trend = _exponentially_weighted(z, TREND_HALF_LIVES) / np.exp(
        _half_log(_exponentially_weighted(variance, TREND_HALF_LIVES))
    )
    ln_size = _exponentially_weighted(np.log(size + _QUIET_SIZE), SIZE_HALF_LIVES)
    drawdown = c - np.maximum.accumulate(c)  # d_t = c_t - max_{i ≤ t} c_i
    root = s * WINDOW_DAYS**0.5
    skew, kurtosis = _mean(variance * z), _mean(variance * variance)  # the mean of z² is 1
    return [
        ln_100s,
        np.sort(v, axis=0)[WINDOW_DAYS // 2],
        *(volatility + ln_100s),
        *(downside + ln_100s),
        *trend,
        *(ln_size + ln_100s),
        drawdown[-1] / root,
        drawdown[-1],
        drawdown.min(axis=0) / root,
        drawdown.min(axis=0),
        *_exponentially_weighted(v, VOLUME_HALF_LIVES),
        _correlation(z[1:], z[:-1]),
        _correlation(size[1:], size[:-1]),
        _correlation(size, v),
        _correlation(z, v),
        _correlation(size[1:], z[:-1]),
        np.cbrt(skew),
        np.log(kurtosis + _QUIET_VARIANCE),
        np.log(size.max(axis=0) + _QUIET_SIZE),
    ]


def _exponentially_weighted(path: Floats, half_lives: tuple[int, ...]) -> Floats:
    """E_h[x] = Σ_t w_t x_t / Σ_t w_t, w_t = 2^(-(63 - t) / h), for each half-life h.

    path: (63, n); returns (half-lives, n)
    """
    ages = np.arange(WINDOW_DAYS)[::-1, None]
    weights = 0.5 ** (ages / np.array(half_lives))  # (63, half-lives)
    weights /= weights.sum(axis=0)
    return np.asarray(np.einsum("th,tn->hn", weights, path))


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


def _fourier(statistics: Floats32) -> Floats32:
    """Random Fourier features (Rahimi and Recht 2007): √(2/94) cos(Ωᵀx + b).

    statistics: (38, n); returns (94, n)
    """
    angles = np.einsum("sf,sn->fn", _FREQUENCIES, statistics) + _PHASES[:, None]
    return np.asarray(_FOURIER_SCALE * np.cos(angles))


def _half_log(variance: Floats) -> Floats:
    """L(x) = ½ ln(x + 10⁻⁴)"""
    return np.asarray(0.5 * np.log(variance + _QUIET_VARIANCE))


def _mean(path: Floats) -> Floats:
    """path: (days, n); returns (n,)"""
    return np.asarray(np.einsum("tn->n", path) / len(path))


def _correlation(x: Floats, y: Floats) -> Floats:
    """The correlation over the days, 0 if x or y does not move.

    x, y: (days, n); returns (n,)
    """
    x, y = x - _mean(x), y - _mean(y)
    spread = np.sqrt(_mean(x * x) * _mean(y * y))
    correlation = _mean(x * y) / np.maximum(spread, _LEAST_SPREAD)
    return np.where(spread > _LEAST_SPREAD, correlation, 0)
