"""The markets of the benchmark: simulated ones with known states, and the bundled indexes."""

from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as File

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

import regime_engine

WINDOW_DAYS = 63
HISTORY_DAYS = 252  # in the mean that relative_log_volume is measured against
LEAST_DAYS = 20  # at least, of each state in each half of a simulated path
INDEXES = {"S&P 500": "GSPC.INDX", "NASDAQ": "IXIC.INDX"}


@dataclass(frozen=True)
class Path:
    """One price history. returns: (T,) log returns; closes, volumes: (T,); dates: (T,) or None"""

    returns: np.ndarray
    closes: np.ndarray
    volumes: np.ndarray
    dates: np.ndarray | None = None

    @cached_property
    def relative_log_volumes(self) -> np.ndarray:
        """(T,) as in daily_features: ln volume minus its mean over the 252 days before."""
        with np.errstate(divide="ignore"):
            log_volumes = np.log(self.volumes)
        traded = np.isfinite(log_volumes)
        sums = np.cumsum(np.r_[0, np.where(traded, log_volumes, 0)])
        counts = np.cumsum(np.r_[0, traded])
        day = np.arange(len(log_volumes))
        first = np.maximum(day - HISTORY_DAYS, 0)
        days = counts[day] - counts[first]
        usual = (sums[day] - sums[first]) / np.maximum(days, 1)
        return np.where(days > 0, np.clip(log_volumes - usual, -3, 3), 0.0)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """(T - 62, 384) by num-regime-core-v2; the first window ends on day 62"""
        from regime_engine.encoders import num_regime_core_v2

        features = np.column_stack([self.returns, self.closes, self.relative_log_volumes])
        windows = sliding_window_view(features, WINDOW_DAYS, axis=0).transpose(0, 2, 1)
        return num_regime_core_v2.encode(windows)

    def until(self, end: int) -> "Path":
        """The first `end` days."""
        dates = None if self.dates is None else self.dates[:end]
        return Path(self.returns[:end], self.closes[:end], self.volumes[:end], dates)

    def rescaled(self, price: float, volume: float) -> "Path":
        closes = self.closes * price
        return Path(_log_returns(closes), closes, self.volumes * volume, self.dates)

    def with_noise(self, size: float, seed: int = 0) -> "Path":
        noise = size * np.random.default_rng(seed).standard_normal(len(self.closes))
        closes = self.closes * np.exp(noise)
        return Path(_log_returns(closes), closes, self.volumes, self.dates)


def _log_returns(closes: np.ndarray) -> np.ndarray:
    return np.diff(np.log(closes), prepend=np.log(closes[0]))


def index(name: str) -> Path:
    folder = File(regime_engine.__file__).parent / "demo"
    rows = pd.read_csv(folder / f"{INDEXES[name]}.csv.gz", parse_dates=["trade_date"])
    closes = rows.adjusted_close.to_numpy(float)
    dates = rows.trade_date.to_numpy().astype("datetime64[D]")
    return Path(_log_returns(closes), closes, rows.volume.to_numpy(float), dates)


@dataclass(frozen=True)
class Market:
    """A hidden Markov chain of k states, with the distribution of a day in each.

    mean, scale: (k,) of a day's log return; transition: (k, k)
    tail: degrees of freedom of Student-t noise of unit variance; None: normal noise
    volume: (k,) mean of ln volume; volume_noise: its standard deviation around that
    log_volatility h is an autoregression of order one, common to all states, on top of `scale`:
        its standard deviation, its persistence, and how much of it ln volume shows
    """

    mean: np.ndarray
    scale: np.ndarray
    transition: np.ndarray
    tail: int | None = None
    volume: np.ndarray | None = None
    volume_noise: float = 0.3
    log_volatility: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def n_states(self) -> int:
        return len(self.mean)

    @cached_property
    def stationary(self) -> np.ndarray:
        k = self.n_states
        equations = np.vstack([self.transition.T - np.eye(k), np.ones(k)])
        return np.linalg.lstsq(equations, np.r_[np.zeros(k), 1.0], rcond=None)[0]

    def draw(self, seed: int, n_days: int) -> tuple[Path, np.ndarray]:
        """One path and its true states (T,), redrawn until each half has enough of each state."""
        random = np.random.default_rng(seed)
        while True:
            states = self._draw_states(random, n_days)
            halves = states[: n_days // 2], states[n_days // 2 :]
            counts = [np.bincount(half, minlength=self.n_states).min() for half in halves]
            if min(counts) >= LEAST_DAYS:
                break
        size, persistence, shown = self.log_volatility
        shocks = size * np.sqrt(1 - persistence**2) * random.standard_normal(n_days)
        h = np.empty(n_days)
        h[0] = size * random.standard_normal()
        for t in range(1, n_days):
            h[t] = persistence * h[t - 1] + shocks[t]

        if self.tail is None:
            noise = random.standard_normal(n_days)
        else:
            noise = random.standard_t(self.tail, n_days) * np.sqrt((self.tail - 2) / self.tail)
        returns = self.mean[states] + self.scale[states] * np.exp(h) * noise
        log_volume = 20 + self.volume_noise * random.standard_normal(n_days) + shown * h
        if self.volume is not None:
            log_volume += self.volume[states]
        return Path(returns, 100 * np.exp(np.cumsum(returns)), np.exp(log_volume)), states

    def _draw_states(self, random: np.random.Generator, n_days: int) -> np.ndarray:
        rows = [list(row) for row in np.cumsum(self.transition, axis=1)[:, :-1]]
        state = bisect(list(np.cumsum(self.stationary)[:-1]), random.random())
        states = np.empty(n_days, int)
        for t, chance in enumerate(random.random(n_days)):
            states[t] = state = bisect(rows[state], chance) if t else state
        return states


TWO = {
    "mean": np.array([0.000615, -0.000785]),
    "scale": np.array([0.00776, 0.01740]),
    "transition": np.array([[0.9979, 0.0021], [0.0120, 0.9880]]),
}
THREE = {
    "mean": np.array([0.0008, 0, -0.002]),
    "scale": np.array([0.006, 0.012, 0.026]),
    "transition": np.array([[0.995, 0.0045, 0.0005], [0.006, 0.990, 0.004], [0.002, 0.013, 0.985]]),
}
FOUR = {
    "mean": np.array([0.0007, 0.0004, -0.0005, -0.0020]),
    "scale": np.array([0.0050, 0.0085, 0.0140, 0.0270]),
    "transition": np.array(
        [
            [0.9920, 0.0070, 0.0008, 0.0002],
            [0.0060, 0.9850, 0.0080, 0.0010],
            [0.0010, 0.0120, 0.9800, 0.0070],
            [0.0005, 0.0025, 0.0150, 0.9820],
        ]
    ),
    "volume": np.array([-0.15, 0.0, 0.25, 0.55]),
    "volume_noise": 0.2,
    "log_volatility": (0.25, 0.95, 0.3),
}
MARKETS = {
    "g2": Market(**TWO),
    "t2": Market(**TWO, tail=5),
    "g3": Market(**THREE),
    "t3": Market(**THREE, tail=5),
    "v4": Market(**FOUR),
}
