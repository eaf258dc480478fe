"""Markets of four states with random parameters, drawn side by side.

Shapes: B markets, T days.
"""

from dataclasses import dataclass

import numpy as np

YEAR = 252  # days in the mean that a relative volume is measured against
K = 4
MOST_VOLUME = 3.0
# What a market's parameters are drawn from: ends of a range, a share of markets, or a deviation.
PRIOR = {
    "training_days": (250, 5000),
    "least_days_of_a_state": 10,  # in the training days, and
    "least_share_of_a_state": 0.01,
    "ratio_of_volatilities": (1.25, 2.6),
    # in daily deviations of the state: of the calmest, how much less of the wildest, and of each
    "mean": (-0.05, 0.2),
    "fall_of_mean": (-0.05, 0.3),
    "deviation_of_mean": 0.03,
    # in days, log-uniform: that of a market, with a log deviation for each state
    "stay": (25, 200),
    "log_deviation_of_stay": 0.6,
    "limits_of_stay": (15, 400),
    "preference_for_neighbours": (0.5, 3),
    "student_t": 0.6,
    "freedom": (3.2, 20),
    "moving_volatility": 0.8,
    "deviation_of_log_volatility": (0, 0.5),
    "forgetting_of_log_volatility": (0.005, 0.2),  # 1 - persistence
    "leverage": (-0.8, 0.1),
    "gaps": 0.8,
    "share_of_gap": (0, 0.4),
    "ranges": 0.5,
    "size_of_range": (0.8, 1.05),  # of that of a Brownian day
    "log_noise_of_range": (0, 0.2),
    "some_ranges_missing": 0.2,
    "ticks": 0.1,
    "tick": (0.02, 0.4),  # in typical deviations
    "volume_shows_state, is noise, drifts, is constant": (0.6, 0.2, 0.12, 0.08),
    "step_of_volume": (-0.05, 0.5),  # from a state to the next
    "small_steps_of_volume": 0.3,
    "shown_log_volatility": (-0.1, 0.8),
    "noise_of_volume": (0.08, 0.6),
    "response_of_volume": (0, 0.3),  # to the size of a return, in half of the markets
    "slow_volume": (0, 0.3),  # deviation of an autoregression, in half of the markets
    "persistence_of_slow_volume": (0.3, 0.98),
    "daily_drift_of_volume": 0.02,
}


@dataclass(frozen=True)
class Prior:
    """Draws of a name in PRIOR for n markets."""

    random: np.random.Generator
    n: int

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        return self.random.uniform(*PRIOR[name], (*shape, self.n))

    def log_uniform(self, name: str, *shape: int) -> np.ndarray:
        return np.exp(self.random.uniform(*np.log(PRIOR[name]), (*shape, self.n)))

    def chosen(self, name: str) -> np.ndarray:
        return self.random.random(self.n) < PRIOR[name]


@dataclass(frozen=True)
class Paths:
    """(T, B) each; `is_usable`: (B,) the training days have each state"""

    returns: np.ndarray
    volumes: np.ndarray
    log_ranges: np.ndarray
    overnight_gaps: np.ndarray
    states: np.ndarray
    is_usable: np.ndarray


def draw(random: np.random.Generator, n: int, training_days: int, later_days: int) -> Paths:
    """n markets, (training_days + later_days, n)"""

    prior = Prior(random, n)
    # Half of the markets have a year of volumes before their first day.
    days = YEAR + training_days + later_days
    ratios = prior.log_uniform("ratio_of_volatilities", K - 1)
    sigma = 0.006 * np.cumprod(np.concatenate([np.ones((1, n)), ratios]), axis=0)
    mean = prior.uniform("mean") - prior.uniform("fall_of_mean") * np.linspace(0, 1, K)[:, None]
    mu = sigma * (mean + PRIOR["deviation_of_mean"] * random.standard_normal((K, n)))

    states = _states(random, _transitions(prior), days)
    noise, common = _noise(prior, days)
    h = _log_volatility(prior, noise)
    market = np.arange(n)
    deviation = sigma[states, market] * np.exp(h)

    # A day is a gap and a Brownian path whose highest and lowest points follow from its end.
    gap_share = np.where(prior.chosen("gaps"), prior.uniform("share_of_gap"), 0.0)
    inner = deviation * common * np.sqrt(1 - gap_share)
    gaps = deviation * common * np.sqrt(gap_share) * random.standard_normal((days, n))
    moved = inner * noise
    up, down = (
        np.sqrt(moved**2 - 2 * inner**2 * np.log1p(-random.random((days, n)))) for _ in range(2)
    )
    ranges = (up + down) / 2 * prior.log_uniform("size_of_range")
    ranges *= np.exp(prior.uniform("log_noise_of_range") * random.standard_normal((days, n)))
    returns = mu[states, market] + moved + gaps

    tick = prior.uniform("tick") * np.median(deviation, axis=0) * prior.chosen("ticks")
    returns = np.where(tick > 0, np.rint(returns / np.maximum(tick, 1e-9)) * tick, returns)

    sometimes = np.where(prior.chosen("some_ranges_missing"), 0.1, 0.0)
    is_missing = ~prior.chosen("ranges") | (random.random((days, n)) < sometimes)
    ranges = np.where(is_missing, np.nan, np.maximum(ranges, np.abs(moved)))
    gaps = np.where(is_missing, np.nan, gaps)

    log_volume = _log_volume(prior, states, h, moved / deviation)
    volumes = np.where(market % 2, _relative(log_volume), _without_history(log_volume[YEAR:]))
    after = slice(YEAR, None)
    training = states[YEAR : YEAR + training_days]
    counts = np.array([(training == k).sum(axis=0) for k in range(K)])
    least = max(PRIOR["least_days_of_a_state"], PRIOR["least_share_of_a_state"] * training_days)
    return Paths(
        returns=returns[after],
        volumes=volumes,
        log_ranges=ranges[after],
        overnight_gaps=gaps[after],
        states=states[after],
        is_usable=(counts >= least).all(axis=0),
    )


def _transitions(prior: Prior) -> np.ndarray:
    """(4, 4, B) transition matrices, mostly to neighbours"""
    random, n = prior.random, prior.n
    each = np.exp(PRIOR["log_deviation_of_stay"] * random.standard_normal((K, n)))
    stay = np.clip(prior.log_uniform("stay") * each, *PRIOR["limits_of_stay"])
    states = np.arange(K)
    distance = np.abs(states[:, None] - states)[..., None]
    away = np.exp(-prior.uniform("preference_for_neighbours") * (distance - 1))
    away = away * random.gamma(2, 0.5, (K, K, n)) * (distance > 0)
    away /= away.sum(axis=1, keepdims=True)
    return away / stay[:, None] + np.eye(K)[..., None] * (1 - 1 / stay[:, None])


def _states(random: np.random.Generator, transitions: np.ndarray, days: int) -> np.ndarray:
    """(T, B)"""
    n = transitions.shape[2]
    # (B, 4, 3): chances of a state up to the first, the second and the third
    bounds = np.ascontiguousarray(np.cumsum(transitions, axis=1)[:, :-1].transpose(2, 0, 1))
    states, market = np.empty((days, n), np.intp), np.arange(n)
    state = random.integers(0, K, n)
    for t, chance in enumerate(random.random((days, n))):
        state = (chance[:, None] > bounds[market, state]).sum(axis=1)
        states[t] = state
    return states


def _noise(prior: Prior, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal noise, and the factor that makes Student-t noise of unit variance of it; (T, B)"""
    nu, heavy = prior.log_uniform("freedom"), prior.chosen("student_t")
    factor = np.ones((days, prior.n))
    chi_squared = 2 * prior.random.standard_gamma(nu[heavy] / 2, (days, heavy.sum()))
    factor[:, heavy] = np.sqrt((nu[heavy] - 2) / chi_squared)
    return prior.random.standard_normal(factor.shape), factor


def _log_volatility(prior: Prior, noise: np.ndarray) -> np.ndarray:
    """An autoregression of order one, shifted by the return of the day before; (T, B)"""
    size = prior.uniform("deviation_of_log_volatility") * prior.chosen("moving_volatility")
    persistence = 1 - prior.log_uniform("forgetting_of_log_volatility")
    leverage = prior.uniform("leverage")
    shocks = np.sqrt(1 - leverage**2) * prior.random.standard_normal(noise.shape)
    shocks[1:] += leverage * noise[:-1]
    shocks *= size * np.sqrt(1 - persistence**2)
    h = np.empty_like(noise)
    h[0] = now = size * prior.random.standard_normal(prior.n)
    for t in range(1, len(h)):
        h[t] = now = persistence * now + shocks[t]
    return h


def _log_volume(prior: Prior, states: np.ndarray, h: np.ndarray, z: np.ndarray) -> np.ndarray:
    """ln volume; states, h, z: (T, B), z the return over its deviation"""
    random, n = prior.random, prior.n
    shows_state, _, drifts, is_constant = range(4)
    kind = random.choice(4, n, p=PRIOR["volume_shows_state, is noise, drifts, is constant"])
    shows = np.where(kind == drifts, random.integers(0, 2, n), kind == shows_state)
    small = np.where(prior.chosen("small_steps_of_volume"), random.uniform(0, 0.5, n), 1)
    steps = shows * small * prior.uniform("step_of_volume", K - 1)
    level = np.concatenate([np.zeros((1, n)), np.cumsum(steps, axis=0)])
    volume = level[states, np.arange(n)]
    volume += shows * prior.uniform("shown_log_volatility") * h
    responds, is_slow = random.integers(0, 2, (2, n))
    volume += responds * prior.uniform("response_of_volume") * (np.abs(z) - 0.8)
    volume += prior.log_uniform("noise_of_volume") * random.standard_normal(z.shape)
    persistence = prior.uniform("persistence_of_slow_volume")
    slow = is_slow * prior.uniform("slow_volume") * np.sqrt(1 - persistence**2)
    now = np.zeros(n)
    for t, shock in enumerate(slow * random.standard_normal(z.shape)):
        now = persistence * now + shock
        volume[t] += now
    steady = random.normal(0, PRIOR["daily_drift_of_volume"] / 20, n)
    daily = PRIOR["daily_drift_of_volume"] * random.standard_normal(z.shape) + steady
    volume += (kind == drifts) * np.cumsum(daily, axis=0)
    return np.where(kind == is_constant, 0, volume)


def _relative(log_volume: np.ndarray) -> np.ndarray:
    """Less the mean of the 252 days before; (T + 252, B) gives (T, B)"""
    sums = np.cumsum(log_volume, axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    usual = (sums[YEAR:-1] - sums[: -YEAR - 1]) / YEAR
    return np.clip(log_volume[YEAR:] - usual, -MOST_VOLUME, MOST_VOLUME)


def _without_history(log_volume: np.ndarray) -> np.ndarray:
    """Less the mean of up to 252 days before, 0 on the first day; (T, B)"""
    sums = np.cumsum(log_volume, axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    day = np.arange(1, len(log_volume))
    first = np.maximum(day - YEAR, 0)
    usual = (sums[day] - sums[first]) / (day - first)[:, None]
    relative = np.clip(log_volume[1:] - usual, -MOST_VOLUME, MOST_VOLUME)
    return np.concatenate([np.zeros_like(relative[:1]), relative])
