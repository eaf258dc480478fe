"""Volatility that moves by itself, filtered on a grid: stochastic volatility with leverage.

Log volatility is an autoregression of order one on 17 nodes. Returns and, where there are any,
high and low are its observations. docs/formulas.md has the formulas and their sources.

Shapes: G nodes, T days, n windows, C candidates side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import comb

import numpy as np

from regime_engine.arrays import Floats, Floats32
from regime_engine.classifiers.hidden_markov import FREEDOM, student_t

NODES = 17
HORIZON_DAYS = 21
PERSISTENCE = 0.99
# The return and the range of a day partly say the same, and neither is quite as the model says.
RETURN_SHARE, RANGE_SHARE = 0.5, 0.8
STATE_WIDTH = 0.7  # of the states that it is read into, in their mean distance
FARTHEST_RANGE = 5.0  # noises: what a wrong high or low can say at the most

_FREEDOM = FREEDOM[FREEDOM <= 20].tolist()
_START_FREEDOM = 8.0
_FARTHEST = 18.0  # σ of the most volatile node, as in the Markov experts
_SMALLEST = 1e-9
_SQRT_2_PI = float(np.sqrt(2 * np.pi))

# The search: where it starts, its first steps, and the deviations of the prior.
_MEDIAN_DEVIATION, _DEVIATION_SPREAD = 0.45, 0.4  # of ln
_LEVERAGE, _LEVERAGE_SPREAD, _MOST_LEVERAGE = 0.4, 0.5, 0.95
_MEDIAN_NOISE, _NOISE_SPREAD = 0.45, 0.3  # of ln
_STEPS = np.array([0.12, 0.25, 0.25, 0.08, 0.2])
_ROUNDS, _ENOUGH_GAIN = 3, 0.5
_BURN_IN, _STRIDE, _WINDOWS = 42, 21, 40
_LEAST_DEVIATION, _MOST_DEVIATION = 0.1, 1.2


@dataclass(frozen=True)
class StochasticVolatility:
    """h_t = m + φ (h_{t-1} - m) + a day's move; x_t ~ t_ν(0, e^h_t); y_t ~ N(h_t + offset, noise²)

    mean, deviation: m, and the deviation of h in the long run; h: ln volatility over the scale
    persistence: φ; leverage: -1 to 1, how far a fall moves h upwards and a rise downwards
    range_offset, range_noise: of y, the log of a day's range; None if there were no ranges
    level: what realised variances are of those that the grid expects
    """

    mean: float
    deviation: float
    persistence: float
    leverage: float
    nu: float
    range_offset: float | None = None
    range_noise: float | None = None
    level: float = 1.0


def log_range(log_ranges: Floats, overnight_gaps: Floats, scale: float) -> Floats:
    """y = ½ ln(range² / (4 ln 2) + gap²) - ln scale: Parkinson's (1980) volatility of a day with
    its night. NaN without a range, or if nothing moved; a missing gap counts as 0."""
    variance = log_ranges**2 / (4 * np.log(2)) + np.nan_to_num(overnight_gaps) ** 2
    moved = np.where(variance > 0, variance, np.nan)
    return np.asarray(0.5 * np.log(moved) - np.log(scale))


def nodes(model: StochasticVolatility) -> Floats:
    """(G,) the values of h: m + deviation · √16 · (-1 … 1)"""
    return np.asarray(model.mean + model.deviation * _UNIT_NODES)


def forward(
    model: StochasticVolatility, x: Floats32, y: Floats32
) -> Iterator[tuple[Floats32, Floats32]]:
    """Day by day, the probability of each node given the days so far, (G, n), and the density of
    the day's return given the days before it, (n,).

    x, y: (T, n) returns over the model's scale, and their log ranges, NaN where there is none
    """
    for p, density, _ in _forward([model], x, y):
        yield p[:, 0], density[0]


def expected_variance(model: StochasticVolatility) -> Floats:
    """(G,) from each node, the mean variance of a day over the next 21.

    1/21 Σ_{j=1}^21 A^j e^{2h} · ν / (ν - 2) · level, A the moves of a day without leverage
    """
    up, down = _rates(model.persistence)
    variance, total = np.exp(2 * nodes(model)), np.zeros(NODES)
    for _ in range(HORIZON_DAYS):
        moved = (1 - up - down) * variance
        moved[:-1] += up[:-1] * variance[1:]
        moved[1:] += down[1:] * variance[:-1]
        variance = moved
        total += variance
    return np.asarray(total / HORIZON_DAYS * _t_variance(model.nu) * model.level)


def state_shares(model: StochasticVolatility, log_sigma: Floats) -> Floats:
    """(k, G) the probability of each state at each node, ∝ exp(-½ ((h - ln σ_k) / width)²), with a
    width of 0.7 times the mean distance of neighbouring states.

    log_sigma: (k,) of the states in order, on the scale of the nodes
    """
    width = STATE_WIDTH * np.diff(log_sigma).mean()
    ln = -0.5 * ((nodes(model) - log_sigma[:, None]) / width) ** 2
    share = np.exp(ln - ln.max(axis=0))
    return np.asarray(share / share.sum(axis=0))


def stationary() -> Floats:
    """(G,) the law of the grid in the long run: binomial, nearly normal."""
    return np.array([comb(NODES - 1, node) for node in range(NODES)]) / 2.0 ** (NODES - 1)


def fit(x: Floats, y: Floats, log_volatility: Floats) -> StochasticVolatility:
    """The parameters with the highest posterior, from a search along all of them at once.

    x: (T,) returns over the model's scale; y: (T,) log ranges, NaN where there is none
    log_volatility: (T,) a first guess of h

    Its log likelihood is that of one-step-ahead densities inside windows of 63 days of which the
    first 42 are not counted: so each day counts at most once, and as a window sees it.
    """
    n_windows = (len(x) - _BURN_IN) // _STRIDE
    stride = _STRIDE * max(1, n_windows // _WINDOWS)
    ends = np.arange(len(x) - 1, _BURN_IN + _STRIDE - 2, -stride)
    days = ends - np.arange(_BURN_IN + _STRIDE - 1, -1, -1)[:, None]  # (63, windows)
    xs, ys = x[days].astype(np.float32), y[days].astype(np.float32)
    mean, deviation = log_volatility.mean(), log_volatility.std()
    deviation = np.clip(deviation, 2 * _LEAST_DEVIATION, _MOST_DEVIATION)
    theta = np.array([mean, np.log(deviation), _LEVERAGE])
    if np.isfinite(y).any():
        theta = np.append(theta, [np.nanmean(y - log_volatility), np.log(_MEDIAN_NOISE)])
    theta = _search(theta, xs, ys)
    models = [_model(theta, nu) for nu in _FREEDOM]
    model = models[_log_likelihood(models, xs, ys).argmax()]
    return replace(model, level=_level(model, xs, ys, x, ends))


def _search(theta: Floats, xs: Floats32, ys: Floats32) -> Floats:
    """Each round tries a step in both directions of each parameter, then a joint Newton step.

    theta: (3,) mean, ln deviation, leverage; (5,) with offset and ln noise of the ranges
    xs, ys: (63, windows); ν is 8 meanwhile
    """

    def log_posterior(tried: Floats) -> Floats:
        models = [_model(each, _START_FREEDOM) for each in tried]
        return _log_likelihood(models, xs, ys) + _log_prior(tried)

    n, steps, best = len(theta), _STEPS[: len(theta)], log_posterior(theta[None])[0]
    for _ in range(_ROUNDS):
        tried = _within(np.concatenate([theta - np.diag(steps), theta + np.diag(steps)]))
        found = log_posterior(tried)
        low, high = found[:n], found[n:]
        # Of the parabola through the three points, or uphill if it has no top.
        curvature = low + high - 2 * best
        is_top = curvature < -_SMALLEST
        to_top = 0.5 * (low - high) / np.where(is_top, curvature, -1)
        move = np.where(is_top, np.clip(to_top, -2, 2), np.sign(high - low)) * steps
        tried = _within(np.array([theta + 0.5 * move, theta + move, tried[found.argmax()]]))
        found = log_posterior(tried)
        gain = found.max() - best
        if gain > 0:
            theta, best = tried[found.argmax()], found.max()
        if gain < _ENOUGH_GAIN:
            break
        steps = steps * 0.7
    return theta


def _within(theta: Floats) -> Floats:
    """theta: (C, 3 or 5)"""
    theta[:, 1] = np.clip(theta[:, 1], np.log(_LEAST_DEVIATION), np.log(_MOST_DEVIATION))
    theta[:, 2] = np.clip(theta[:, 2], -_MOST_LEVERAGE, _MOST_LEVERAGE)
    return theta


def _model(theta: Floats, nu: float) -> StochasticVolatility:
    mean, log_deviation, leverage, *of_range = theta.tolist()
    offset, noise = (of_range[0], float(np.exp(of_range[1]))) if of_range else (None, None)
    return StochasticVolatility(
        mean=mean,
        deviation=float(np.exp(log_deviation)),
        persistence=PERSISTENCE,
        leverage=leverage,
        nu=nu,
        range_offset=offset,
        range_noise=noise,
    )


def _log_likelihood(models: list[StochasticVolatility], xs: Floats32, ys: Floats32) -> Floats:
    """xs, ys: (63, windows); returns (C,)"""
    score = np.zeros(len(models))
    for t, (_, of_return, of_range) in enumerate(_forward(models, xs, ys, scores_ranges=True)):
        if t >= _BURN_IN:
            score += np.log(of_return.astype(float)).sum(axis=1)
            if of_range is not None:
                score += np.log(of_range.astype(float)).sum(axis=1)
    return score


def _log_prior(theta: Floats) -> Floats:
    """theta: (C, 3 or 5); returns (C,)"""
    z = [
        (theta[:, 1] - np.log(_MEDIAN_DEVIATION)) / _DEVIATION_SPREAD,
        (theta[:, 2] - _LEVERAGE) / _LEVERAGE_SPREAD,
    ]
    if theta.shape[1] > len(z) + 1:
        z.append((theta[:, 4] - np.log(_MEDIAN_NOISE)) / _NOISE_SPREAD)
    return np.asarray(-0.5 * np.square(z).sum(axis=0))


def _level(
    model: StochasticVolatility, xs: Floats32, ys: Floats32, x: Floats, ends: np.ndarray
) -> float:
    """The geometric mean of realised over expected variance, of windows with 21 days after them: so
    that ln volatility is expected without bias."""
    *_, (p, _) = forward(model, xs, ys)
    expected = expected_variance(model) @ p
    after = x[np.minimum(ends + np.arange(1, HORIZON_DAYS + 1)[:, None], len(x) - 1)]
    realised = (after**2).mean(axis=0)
    known = (ends + HORIZON_DAYS < len(x)) & (realised > 0)
    return float(np.exp(np.log(realised[known] / expected[known]).mean())) if known.any() else 1.0


def _forward(
    models: list[StochasticVolatility], x: Floats32, y: Floats32, scores_ranges: bool = False
) -> Iterator[tuple[Floats32, Floats32, Floats32 | None]]:
    """(G, C, n) probabilities, (C, n) densities of the return, (C, n) of the range, if asked for.

    Sums go over nodes in a fixed order, never over windows: so the numbers of a window do not
    depend on the others. Nodes are the first axis, candidates the second, windows the last.
    """
    h = np.array([nodes(model) for model in models]).T[:, :, None]
    # The fit need not give the same bits in any batch, and so many small sums would cost it most.
    sum_nodes = _sum_nodes if len(models) == 1 else partial(np.sum, axis=0)
    freedom = [model.nu for model in models]
    if len(set(freedom)) == 1:
        freedom = freedom[:1]
    sigma = np.exp(h).astype(np.float32)
    up, down = (each.astype(np.float32)[:, None, None] for each in _rates(models[0].persistence))
    leverage = np.array([model.leverage for model in models], np.float32)[:, None]
    farthest = _FARTHEST * sigma[-1].max()
    x = np.clip(x, -farthest, farthest)
    has_range = np.isfinite(y)
    reads_ranges = models[0].range_noise is not None and bool(has_range.any())
    if reads_ranges:
        y = np.where(has_range, y, np.float32(0))
        offset, noise = (
            np.array([getattr(model, name) for model in models], np.float32)[:, None]
            for name in ("range_offset", "range_noise")
        )
        level = h.astype(np.float32) + offset
    start = stationary().astype(np.float32)[:, None, None]
    p = np.repeat(np.repeat(start, len(models), axis=1), x.shape[1], axis=2)
    of_range = None
    for t in range(len(x)):
        if t:
            p = _moved(p, up, down, leverage, x[t - 1])
        # t_ν(x / σ) / σ
        z_squared = np.square(x[t] / sigma)
        if len(freedom) == 1:
            likelihood = student_t(z_squared, freedom[0])
        else:
            each = zip(z_squared.swapaxes(0, 1), freedom, strict=True)
            likelihood = np.stack([student_t(z, nu) for z, nu in each], axis=1)
        likelihood /= sigma
        of_return = sum_nodes(p * likelihood)
        if reads_ranges:
            # exp(-½ ((y - h - offset) / noise)²)
            z_squared = np.square((y[t] - level) / noise)
            np.minimum(z_squared, np.float32(FARTHEST_RANGE**2), out=z_squared)
            if scores_ranges:
                density = np.exp(np.float32(-0.5) * z_squared)
                of_range = sum_nodes(p * density) / (np.float32(_SQRT_2_PI) * noise)
                of_range = np.where(has_range[t], of_range, np.float32(1))
            z_squared *= np.float32(-0.5 * RANGE_SHARE)
            both = np.sqrt(likelihood) * np.exp(z_squared, out=z_squared)
            likelihood = np.where(has_range[t], both, likelihood)
        p = p * likelihood
        p /= sum_nodes(p)
        yield p, of_return, of_range


def _moved(p: Floats32, up: Floats32, down: Floats32, leverage: Floats32, x: Floats32) -> Floats32:
    """What goes up and down from each node: more goes up after a fall, and down after a rise.

    p: (G, C, n); up, down: (G, 1, 1); leverage: (C, 1); x: (n,) the day's return
    """
    drift = -leverage * np.sign(x)
    rising, falling = up * p, down * p
    rising *= 1 + drift
    falling *= 1 - drift
    moved = p - rising
    moved -= falling
    moved[1:] += rising[:-1]
    moved[:-1] += falling[1:]
    return np.maximum(moved, np.float32(_SMALLEST), out=moved)


def _rates(persistence: float) -> tuple[Floats, Floats]:
    """(G,) the chances to go up and down by one node: (1 - φ)/2 times the nodes above and below, as
    in the urns of Ehrenfest and Ehrenfest (1907)."""
    node = np.arange(float(NODES))
    return (1 - persistence) / 2 * (NODES - 1 - node), (1 - persistence) / 2 * node


def _t_variance(nu: float) -> float:
    return nu / (nu - 2)


def _sum_nodes(terms: Floats32) -> Floats32:
    """Along the first axis, one term after another."""
    total: Floats32 = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total


_UNIT_NODES = np.sqrt(NODES - 1) * np.linspace(-1, 1, NODES)
