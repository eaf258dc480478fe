"""The markets of the benchmark: simulated ones with known states, and the bundled indexes."""

from bisect import bisect
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path as File

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

import regime_engine
from regime_engine import encoders

WINDOW_DAYS = 63
HISTORY_DAYS = 252  # in the mean that relative_log_volume is measured against
LEAST_DAYS = 20  # at least, of each state in each half of a simulated path
INTRADAY_STEPS = 78  # five minutes each
NIGHT = 0.2  # the share of a day's variance that comes before its open
INDEXES = {"S&P 500": "GSPC.INDX", "NASDAQ": "IXIC.INDX"}


@dataclass(frozen=True)
class Path:
    """One price history, (T,) each.

    returns: log returns of the closes; dates, opens, highs, lows: None where they are not known
    """

    returns: np.ndarray
    closes: np.ndarray
    volumes: np.ndarray
    dates: np.ndarray | None = None
    opens: np.ndarray | None = None
    highs: np.ndarray | None = None
    lows: np.ndarray | None = None

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
    def log_ranges(self) -> np.ndarray:
        """(T,) ln(high / low)"""
        if self.highs is None or self.lows is None:
            return np.full(len(self.closes), np.nan)
        return np.log(self.highs / self.lows)

    @cached_property
    def overnight_gaps(self) -> np.ndarray:
        """(T,) the return without that from open to close"""
        if self.opens is None:
            return np.full(len(self.closes), np.nan)
        return self.returns - np.log(self.closes / self.opens)

    @cached_property
    def day_variances(self) -> np.ndarray:
        """(T,) a day's variance from its range (Parkinson 1980) and its gap"""
        return self.log_ranges**2 / (4 * np.log(2)) + self.overnight_gaps**2

    @cached_property
    def _known_embeddings(self) -> dict[str, np.ndarray]:
        return {}

    def embeddings(self, model_id: str) -> np.ndarray:
        """(T - 62, 384) by an encoder of windows of 63 days; the first window ends on day 62"""
        if model_id not in self._known_embeddings:
            encoder = encoders.get(model_id, WINDOW_DAYS)
            columns = {
                "adjusted_log_return": self.returns,
                "adjusted_close": self.closes,
                "relative_log_volume": self.relative_log_volumes,
                "log_range": self.log_ranges,
                "overnight_gap": self.overnight_gaps,
            }
            features = np.column_stack([columns[name] for name in encoder.COLUMNS])
            windows = sliding_window_view(features, WINDOW_DAYS, axis=0).transpose(0, 2, 1)
            self._known_embeddings[model_id] = encoder.encode(windows)
        return self._known_embeddings[model_id]

    def until(self, end: int) -> "Path":
        """The first `end` days."""
        known = {name: None if of is None else of[:end] for name, of in self._arrays().items()}
        return Path(**known)

    def rescaled(self, price: float, volume: float) -> "Path":
        return self._with_prices(np.full(len(self.closes), price), self.volumes * volume)

    def with_split(self, day: int, ratio: float) -> "Path":
        """Every price before the day times the ratio: a split that no adjusted close tells of."""
        before = np.arange(len(self.closes)) < day
        return self._with_prices(np.where(before, ratio, 1.0), self.volumes)

    def with_noise(self, size: float, seed: int = 0) -> "Path":
        noise = size * np.random.default_rng(seed).standard_normal(len(self.closes))
        closes = self.closes * np.exp(noise)
        return replace(self, returns=_log_returns(closes), closes=closes)

    def with_moves(self, factor: np.ndarray) -> "Path":
        """Every move within a day and over night times the day's factor; factor: (T,)"""
        moved = 100 * np.exp(np.cumsum(self.returns * factor))
        before = np.append(100.0, moved[:-1])
        last = np.append(self.closes[0] / np.exp(self.returns[0]), self.closes[:-1])
        known = {
            name: before * (of / last) ** factor
            for name, of in self._arrays().items()
            if name in ("opens", "highs", "lows") and of is not None
        }
        return replace(self, returns=self.returns * factor, closes=moved, **known)

    def _arrays(self) -> dict[str, np.ndarray | None]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _with_prices(self, factor: np.ndarray, volumes: np.ndarray) -> "Path":
        """Prices times the day's factor, (T,)."""
        prices = {
            name: of * factor
            for name, of in self._arrays().items()
            if name in ("closes", "opens", "highs", "lows") and of is not None
        }
        return replace(self, returns=_log_returns(prices["closes"]), volumes=volumes, **prices)


def _log_returns(closes: np.ndarray) -> np.ndarray:
    return np.diff(np.log(closes), prepend=np.log(closes[0]))


def index(name: str) -> Path:
    folder = File(regime_engine.__file__).parent / "demo"
    rows = pd.read_csv(folder / f"{INDEXES[name]}.csv.gz", parse_dates=["trade_date"])
    closes = rows.adjusted_close.to_numpy(float)
    adjustment = closes / rows.close.to_numpy(float)
    return Path(
        returns=_log_returns(closes),
        closes=closes,
        volumes=rows.volume.to_numpy(float),
        dates=rows.trade_date.to_numpy().astype("datetime64[D]"),
        opens=rows.open.to_numpy(float) * adjustment,
        highs=rows.high.to_numpy(float) * adjustment,
        lows=rows.low.to_numpy(float) * adjustment,
    )


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
        scale = self.scale[states] * np.exp(h)
        returns = self.mean[states] + scale * noise
        log_volume = 20 + self.volume_noise * random.standard_normal(n_days) + shown * h
        if self.volume is not None:
            log_volume += self.volume[states]
        closes = 100 * np.exp(np.cumsum(returns))
        # A stream of its own: the returns of a seed are the same with and without highs and lows.
        moves = self._draw_moves(np.random.default_rng([seed, 1]), returns, scale, noise)
        before = closes / np.exp(returns)
        opens, highs, lows = (before * np.exp(each) for each in moves)
        return Path(
            returns=returns,
            closes=closes,
            volumes=np.exp(log_volume),
            opens=opens,
            highs=highs,
            lows=lows,
        ), states

    def _draw_moves(
        self, random: np.random.Generator, returns: np.ndarray, scale: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ln of open, high and low over the close before, given the day's return; (T,) each.

        A day is a Brownian motion that ends at its return, of which the first fifth is the night.
        Student-t noise is normal with a variance of the day, which is drawn given the noise.
        """
        variance = scale**2
        if self.tail is not None:
            shape = (self.tail + 1) / 2
            rate = (self.tail - 2 + noise**2) / 2
            variance = variance * rate / random.standard_gamma(shape, len(noise))
        steps = np.full(INTRADAY_STEPS + 1, (1 - NIGHT) / INTRADAY_STEPS)
        steps[0] = NIGHT
        shocks = np.sqrt(steps) * random.standard_normal((len(returns), len(steps)))
        walk = np.sqrt(variance)[:, None] * np.cumsum(shocks, axis=1)
        walk += (returns - walk[:, -1])[:, None] * np.cumsum(steps)  # a bridge to the return
        return walk[:, 0], walk.max(axis=1), walk.min(axis=1)

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
