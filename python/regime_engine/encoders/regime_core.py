"""What num-regime-core-v2 and num-regime-core-v3 share: paths and statistics of a window, random
Fourier features, and their places in an embedding.

Both have the same paths in the places 0 to 188, and the same statistics in 252 to 289.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from regime_engine.arrays import Floats, Floats32

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
PATHS = ("asinh_return", "log_price", "relative_log_volume")
STATISTICS_PLACES = slice(4 * WINDOW_DAYS, 4 * WINDOW_DAYS + len(STATISTICS))

SMALLEST_SCALE = 1e-6
_LEAST_SPREAD = 1e-9  # a path that moves less has no correlation
# Added before a logarithm, so that a stretch without moves stays finite; the mean square is 1.
_QUIET_VARIANCE = 1e-4
_QUIET_SIZE = 0.02
_CHUNK = 1024  # windows whose arrays fit the processor's cache
_CACHE_LINE = 8  # numbers that are transposed together: one line of the cache a window


def path_names(path: str) -> tuple[str, ...]:
    """A name for each day of a path, oldest first."""
    return tuple(f"{path}_{days}_days_ago" for days in range(WINDOW_DAYS - 1, -1, -1))


def path_places(number: int) -> slice:
    """The places of the path of this number of PATHS."""
    return slice(number * WINDOW_DAYS, (number + 1) * WINDOW_DAYS)


def in_chunks(encode: Callable[[Floats], Floats32], windows: Floats) -> Floats32:
    """The embeddings of all windows, made of chunk after chunk.

    encode: windows (n, 63, columns) → (384, n); windows: (n, 63, columns); returns (n, 384)
    """
    embeddings = np.empty((len(windows), DIMENSION), np.float32)
    n_chunks = max(1, -(-len(windows) // _CHUNK))
    size = max(1, -(-len(windows) // n_chunks))
    for first in range(0, len(windows), size):
        chunk = slice(first, first + size)
        numbers = encode(windows[chunk])
        for few in range(0, DIMENSION, _CACHE_LINE):
            columns = slice(few, few + _CACHE_LINE)
            embeddings[chunk, columns] = numbers[columns].T
    return embeddings


class Moves(NamedTuple):
    """What statistics are computed of: z, c, v: (63, n) returns over s, log closes, relative log
    volumes; s: (n,) root mean square of the returns"""

    z: Floats
    s: Floats
    c: Floats
    v: Floats


def moves(r: Floats, close: Floats, v: Floats) -> Moves:
    """r, close, v: (63, n) returns, closes, relative log volumes; an r_1 that is NaN counts as 0

    Days and statistics are the first axis, and einsum adds along it one by one for any n (BLAS
    does not): so a batch of one equals a row of a larger batch to the bit.
    """
    r[0] = np.where(np.isnan(r[0]), 0, r[0])
    s = np.maximum(np.sqrt(_mean(r * r)), SMALLEST_SCALE)  # s = √(Σ r² / 63)
    return Moves(z=r / s, s=s, c=np.log(close), v=v)


def paths(window: Moves) -> list[Floats]:
    """Each of PATHS, (63, n)."""
    z, s, c, v = window
    return [np.arcsinh(z), (c - c[-1]) / (s * WINDOW_DAYS**0.5), v]


def decoded_paths(embeddings: Floats32) -> tuple[Floats, Floats]:
    """Returns and relative log volumes of each window, (n, 63) each; embeddings: (n, 384)"""
    ln_100s = STATISTICS_PLACES.start + STATISTICS.index("ln_100s")
    s = np.exp(embeddings[:, ln_100s].astype(float)) / 100
    asinh_return, _, volume = (
        embeddings[:, path_places(number)].astype(float) for number in range(len(PATHS))
    )
    return np.sinh(asinh_return) * s[:, None], volume


def statistics(window: Moves) -> list[Floats]:
    """Each of STATISTICS, (n,)."""
    z, s, c, v = window
    size, below, variance = np.abs(z), np.minimum(z, 0), z * z
    ln_100s = np.log(100 * s)
    volatility = half_log(_exponentially_weighted(variance, VOLATILITY_HALF_LIVES))  # L(E_h[z²])
    downside = half_log(_exponentially_weighted(below * below, TREND_HALF_LIVES))
    # E_h[z] / exp L(E_h[z²])
    trend = _exponentially_weighted(z, TREND_HALF_LIVES) / np.exp(
        half_log(_exponentially_weighted(variance, TREND_HALF_LIVES))
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


def half_log(variance: Floats) -> Floats:
    """L(x) = ½ ln(x + 10⁻⁴)"""
    return np.asarray(0.5 * np.log(variance + _QUIET_VARIANCE))


class Fourier(NamedTuple):
    """Random Fourier features (Rahimi and Recht 2007) of the statistics, √(2/F) cos(Ωᵀx + b).

    frequencies: (38, F) Ω; phases: (F,) b; scale: √(2/F)
    """

    frequencies: Floats32
    phases: Floats32
    scale: np.float32

    @classmethod
    def drawn(cls, seed: int, number: int) -> "Fourier":
        """F = number; RandomState's stream is frozen by numpy's policy, Generator's is not."""
        chance = np.random.RandomState(seed)
        return cls(
            (chance.standard_normal((len(STATISTICS), number)) / 6).astype(np.float32),
            chance.uniform(0, 2 * np.pi, number).astype(np.float32),
            np.float32(np.sqrt(2 / number)),
        )

    def __call__(self, statistics: Floats32) -> Floats32:
        """statistics: (38, n); returns (F, n)"""
        angles = np.einsum("sf,sn->fn", self.frequencies, statistics) + self.phases[:, None]
        return np.asarray(self.scale * np.cos(angles))


def _exponentially_weighted(path: Floats, half_lives: tuple[int, ...]) -> Floats:
    """E_h[x] = Σ_t w_t x_t / Σ_t w_t, w_t = 2^(-(63 - t) / h), for each half-life h.

    path: (63, n); returns (half-lives, n)
    """
    ages = np.arange(WINDOW_DAYS)[::-1, None]
    weights = 0.5 ** (ages / np.array(half_lives))  # (63, half-lives)
    weights /= weights.sum(axis=0)
    return np.asarray(np.einsum("th,tn->hn", weights, path))


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
