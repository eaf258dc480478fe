"""A window's paths, named statistics of them and random Fourier features: scale-free, lossless.

LAYOUT names the 384 numbers in order. `asinh_return` and `relative_log_volume` with `ln_100s`
give the window back exactly (`decode`), so a classifier needs the embedding alone.
"""

import numpy as np

from regime_engine.errors import RegimeError

MODEL_ID = "num-regime-core-v2"
COLUMNS = ("adjusted_log_return", "adjusted_close", "relative_log_volume")
SCALE_FREE = True
WINDOW_DAYS = 63
DIMENSION = 384

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
_FIRST_FOURIER = _FIRST_STATISTIC + len(STATISTICS)
LAYOUT = (
    *(f"{path}_{days}_days_ago" for path in _PATHS for days in _DAYS_AGO),
    *STATISTICS,
    *(f"fourier_{number}" for number in range(DIMENSION - _FIRST_FOURIER)),
)

SMALLEST_SCALE = 1e-6
_QUIET_VARIANCE = 1e-4  # what a window's mean square, 1, is never mistaken for: flat stretches
_QUIET_SIZE = 0.02
_CHUNK = 1024  # windows whose arrays stay in the processor's cache
_CACHE_LINE = 8  # numbers that are transposed together: one line of the cache a window

# RandomState's stream is frozen by numpy's compatibility policy; Generator's is not.
_chance = np.random.RandomState(63)
_N_FOURIER = DIMENSION - _FIRST_FOURIER
_FREQUENCIES = np.float32(_chance.standard_normal((len(STATISTICS), _N_FOURIER)) / 6)
_PHASES = np.float32(_chance.uniform(0, 2 * np.pi, _N_FOURIER))
_FOURIER_SCALE = np.float32(np.sqrt(2 / _N_FOURIER))


def dimension(window_days: int) -> int:
    if window_days != WINDOW_DAYS:
        raise RegimeError(
            f"{MODEL_ID} reads windows of {WINDOW_DAYS} days, not {window_days}: "
            f"give --window-days {WINDOW_DAYS}"
        )
    return DIMENSION


def layout(window_days: int) -> tuple[str, ...]:
    """What each number is."""
    dimension(window_days)
    return LAYOUT


def encode(windows: np.ndarray) -> np.ndarray:
    """windows: (n, 63, 3) float64 of COLUMNS, oldest row first; returns (n, 384) float32

    A first return that is null (an instrument's first row) counts as 0.
    """
    dimension(windows.shape[1])
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


def decode(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted log returns and relative log volumes, each (n, 63) float64, oldest first."""
    paths = embeddings[:, :_FIRST_STATISTIC].astype(float).reshape(-1, len(_PATHS), WINDOW_DAYS)
    scale = np.exp(embeddings[:, _FIRST_STATISTIC].astype(float)) / 100
    return np.sinh(paths[:, 0]) * scale[:, None], paths[:, 2].copy()


def _encode(windows: np.ndarray) -> np.ndarray:
    """(384, n) float32: days and statistics come first, and einsum adds them one by one, whatever n
    is (BLAS does not), so that a batch of one equals a row of many to the bit."""
    r, close, v = np.array(windows.transpose(2, 1, 0), order="C")  # (63, n) each
    r[0] = np.where(np.isnan(r[0]), 0, r[0])
    s = np.maximum(np.sqrt(_mean(r * r)), SMALLEST_SCALE)
    z = r / s
    c = np.log(close)

    size, below, variance = np.abs(z), np.minimum(z, 0), z * z
    ln_100s = np.log(100 * s)
    volatility = _half_log(_exponentially_weighted(variance, VOLATILITY_HALF_LIVES))
    downside = _half_log(_exponentially_weighted(below * below, TREND_HALF_LIVES))
    trend = _exponentially_weighted(z, TREND_HALF_LIVES) / np.exp(
        _half_log(_exponentially_weighted(variance, TREND_HALF_LIVES))
    )
    ln_size = _exponentially_weighted(np.log(size + _QUIET_SIZE), SIZE_HALF_LIVES)
    drawdown = c - np.maximum.accumulate(c)
    root = s * WINDOW_DAYS**0.5
    skew, kurtosis = _mean(variance * z), _mean(variance * variance)  # of z of mean square 1

    statistics = [
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
    return np.concatenate(
        [
            np.arcsinh(z),
            (c - c[-1]) / root,
            v,
            _half_log(_volatility_path(variance)),
            statistics,
            _fourier(np.array(statistics, np.float32)),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def _exponentially_weighted(path: np.ndarray, half_lives: tuple[int, ...]) -> np.ndarray:
    """(half-lives, n) means over the days of (63, n) that weigh a day 2^(-age / half-life)"""
    ages = np.arange(WINDOW_DAYS)[::-1, None]
    weights = 0.5 ** (ages / np.array(half_lives))  # (63, half-lives)
    weights /= weights.sum(axis=0)
    return np.einsum("th,tn->hn", weights, path)


def _volatility_path(variance: np.ndarray) -> np.ndarray:
    """(63, n) the same mean of each day and the days before it, half-life 5"""
    keep, weight = 0.5 ** (1 / 5), 0.0
    mean, path = np.zeros_like(variance[0]), np.empty_like(variance)
    for day, today in enumerate(variance):
        weight = keep * weight + 1  # Σ keep^age
        mean = path[day] = mean + (today - mean) / weight
    return path


def _fourier(statistics: np.ndarray) -> np.ndarray:
    """√(2/94) cos(Wᵀ·statistics + b), (94, n) float32: near statistics have near features."""
    angles = np.einsum("sf,sn->fn", _FREQUENCIES, statistics) + _PHASES[:, None]
    return _FOURIER_SCALE * np.cos(angles)


def _half_log(variance: np.ndarray) -> np.ndarray:
    return 0.5 * np.log(variance + _QUIET_VARIANCE)


def _mean(path: np.ndarray) -> np.ndarray:
    return np.einsum("tn->n", path) / len(path)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) correlation over the days of (days, n); 0 where one of them does not move."""
    x, y = x - _mean(x), y - _mean(y)
    spread = np.sqrt(_mean(x * x) * _mean(y * y))
    return np.where(spread > 1e-9, _mean(x * y) / np.maximum(spread, 1e-9), 0)
