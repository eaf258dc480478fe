"""Experts that read an embedding: two hidden Markov chains, a volatility that moves by itself and,
for four states, a recurrent network.

One chain reads returns, the other returns and volumes; the volatility expert returns and ranges;
the network reads all of them. Their log probabilities are averaged, since they err on different
days. docs/formulas.md has the formulas and their sources.

Shapes: T days, k states, U values of the usual volume, G nodes of the volatility, n windows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from itertools import repeat
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regime_engine.arrays import F, Floats, Floats32, Indices
from regime_engine.classifiers import recurrent, stochastic_volatility
from regime_engine.classifiers.classification import (
    STATE_LABELS,
    Classification,
    Learned,
    arrays,
    percentile_of,
    percentiles,
)
from regime_engine.classifiers.hidden_markov import (
    FREEDOM,
    TRANSITION_COUNT,
    VOLUME_LIMIT,
    Chains,
    Smoothed,
    expectation_maximisation,
    student_t,
    transition_counts,
)
from regime_engine.classifiers.stochastic_volatility import StochasticVolatility
from regime_engine.encoders import DEFAULT, Encoder, num_regime_core_v2, num_regime_core_v3
from regime_engine.encoders.decoded import Decoded
from regime_engine.errors import RegimeError

# How the embeddings that it reads are decoded, by their encoder.
DECODERS: dict[str, Callable[[Floats32], Decoded]] = {
    num_regime_core_v3.MODEL_ID: num_regime_core_v3.decode,
    num_regime_core_v2.MODEL_ID: num_regime_core_v2.decode,
}
FEWEST_WINDOWS = 126
CLIP_DEVIATIONS = 20.0
_NORMAL_DEVIATIONS = 1.4826  # standard deviations of a normal distribution in a median deviation
START_QUANTILES = ((0.05, 0.96), (0.05, 0.995), (0.2, 0.9))
PRIOR_QUANTILES = {2: (0.05, 0.99), 3: (0.05, 0.99), 4: (0.05, 0.97)}
LEAST_RATIO = {2: 2.1, 3: 2.1, 4: 1.4}  # of the typical volatilities of neighbouring states
SIGMA_COUNT = 10.0
LEAST_VOLATILITY = 0.01
# Long histories begin from the states of their first years: so many days, and pseudo-counts of σ.
ANCHOR_DAYS, ANCHOR_COUNT = (756, 1512, 3024, 6048, 12096), 500.0
ANCHOR_REACH = 0.8  # in ln, between their stormiest state and what is typical of all the days
START_STEPS, MORE_STEPS = 12, 48
ENOUGH_GAIN = 0.01  # nats: the fit goes on while a step gains so much
_VOLATILITY_HALF_LIFE, _VOLATILITY_DAYS, _VOLATILITY_FACTOR = 10, 100, 0.85

# The expert that reads volume too.
VOLUME_PRIOR_QUANTILES = {2: (0.05, 0.99), 3: (0.05, 0.99), 4: (0.1, 0.99)}
VOLUME_SIGMA_COUNT = 80.0
EVEN_WEIGHT = 0.4  # volume weight at which both experts have the same share
LEAST_VOLUME_WEIGHT = 0.05
USUAL_VOLUME_DOUBT = 1.2
MONTH = 21
VOLUME_YEAR = num_regime_core_v2.VOLUME_HISTORY_DAYS
LEAST_VOLUME_SPREAD = 0.01
LEAST_STATE_SPREAD = 0.5  # between the states' volumes, in their noise, for volume to be read
OFFSETS = np.linspace(-2, 2, 5)  # of the usual volume, in its standard deviations
_LEAST_VARIANCE = 1e-6
_SMOOTHING_HALF_LIFE, _SMOOTHING_DAYS = 10, 40

# The volatility expert: the share of its log probabilities, and how sharp its states are.
VOLATILITY_SHARE = {2: 0.2, 3: 0.35, 4: 0.25}
RECURRENT_SHARE = 0.5  # for four states: that of the network
PRIOR_POWER = 0.7
HYSTERESIS = {2: 0.5, 3: 0.5, 4: 0.7}  # nats
CALM_STAY_DAYS = 100.0
LEAST_BETA = 0.4
SEEN_POWERS = np.linspace(0.6, 1.6, 101)
SEEN_DAYS = 252.0  # of training at which what was seen counts by half

# Novelty: the days that a dead quote has at the least, and the size at which returns are the same.
LAST_DAYS = 10
_SAME_SIZE = 0.05
_STILL_STEPS = 20  # of EM for one Student-t, which has the volatility of all days
_SCORED_WINDOWS = 800
_FARTHEST = 18.0  # σ of the stormiest state: further out, float32 holds the density of no state
_SMALLEST = 1e-9
_CHUNK = 4096  # windows side by side: as many as the cache holds


@dataclass(frozen=True)
class Expert:
    """A hidden Markov filter; states in order of sigma, calmest first.

    share: the weight of its log probabilities in the mean of the Markov experts
    mu, sigma: (k,) of a day's return over the model's scale, Student-t with nu degrees of freedom
    transition_matrix: (k, k), rows sum to 1
    volume_weight: 0 if volume is not read; volume_mean: (k,); volume_scale: the noise around it
    usual_volume: (U,) what the volume of the year before a window may have been, less its mean
    initial: (k, U) probability of state and usual volume before a window's first day
    """

    share: float
    mu: Floats
    sigma: Floats
    nu: float
    transition_matrix: Floats
    volume_weight: float
    volume_mean: Floats
    volume_scale: float
    usual_volume: Floats
    initial: Floats


@dataclass(frozen=True)
class Typical:
    """The percentiles 0 … 100 of what is known of the training windows, (101,) each.

    log_score: mean ln density of a day's return given the days before it
    size, last_size: mean ln |return|, over the model's scale, of all 63 days and of the last 10
    rarest: the highest of their three tail probabilities, from 0 to 100
    """

    log_score: Floats
    size: Floats
    last_size: Floats
    rarest: Floats


@dataclass(frozen=True)
class Markov(Learned):
    """The Markov experts (the first alone if volume is not read), the volatility expert, for four
    states the recurrent one, and the rule that labels.

    model_id: the encoder of the embeddings that it reads
    labels: k names; scale: standard deviation of the training returns
    volatility_share, recurrent_share: the weight of these experts' log probabilities; the chains
        have the rest
    context: what the recurrent expert knows of the training path; None if it has no share
    prior_power, hysteresis: the rule that keeps a label; beta: the power of the probabilities
    """

    model_id: str
    scale: float
    experts: tuple[Expert, ...]
    volatility: StochasticVolatility
    volatility_share: float
    recurrent_share: float
    prior_power: float
    hysteresis: float
    beta: float
    typical: Typical
    context: Floats | None = None


def from_json(labels: Sequence[Any], parameters: Mapping[str, Any]) -> Markov:
    """What `to_json` wrote; raises ValueError for another number of labels."""
    experts = tuple(Expert(**arrays(expert)) for expert in parameters["experts"])
    for expert in experts:
        if len(expert.mu) != len(labels):
            raise ValueError(f"{len(labels)} labels for {len(expert.mu)} states")
    parts = {
        "experts": experts,
        "volatility": StochasticVolatility(**parameters["volatility"]),
        "typical": Typical(**arrays(parameters["typical"])),
    }
    return Markov(labels=tuple(labels), **{**parameters, **parts})


def fit(embeddings: Floats32, n_states: int = 4, model_id: str = DEFAULT.MODEL_ID) -> Markov:
    """A model of n consecutive trading days; embeddings: (n, 384) by the encoder of this id

    raises RegimeError for too few days, and for prices that never move
    """
    if n_states not in STATE_LABELS:
        raise RegimeError(f"a Markov model has 2, 3 or 4 states, not {n_states}")
    path = training_path(embeddings, model_id)
    scale = float(path.returns.std())
    x = path.returns / scale
    anchor = _rescaled(_anchor(path.uncut_returns, path.volumes, n_states), scale)
    experts, posterior = _experts(x, path.volumes, n_states, anchor)
    model = Markov(
        labels=STATE_LABELS[n_states],
        model_id=model_id,
        scale=scale,
        experts=experts,
        volatility=stochastic_volatility.fit(
            x,
            stochastic_volatility.log_range(path.log_ranges, path.overnight_gaps, scale),
            np.log(np.maximum(_volatility(x), LEAST_VOLATILITY)),
        ),
        volatility_share=VOLATILITY_SHARE[n_states],
        recurrent_share=RECURRENT_SHARE if n_states == recurrent.N_STATES else 0.0,
        prior_power=PRIOR_POWER,
        hysteresis=HYSTERESIS[n_states],
        beta=1.0,
        typical=Typical(*np.zeros((4, 101))),
        context=recurrent.context(*path[:4]) if n_states == recurrent.N_STATES else None,
    )
    some = slice(None, None, -max(1, len(embeddings) // _SCORED_WINDOWS))  # some 800 windows
    filtered = _filter(model, embeddings[some])
    smoothed = posterior[:, -len(embeddings) :][:, some]
    beta = _beta(experts, filtered.p, smoothed, len(embeddings))
    return replace(model, beta=beta, typical=_typical(filtered))


def classify(model: Markov, embeddings: Floats32) -> Classification:
    """The label that is kept through each window, and the filter's probabilities to the power β.

    embeddings: (n, 384)
    """
    filtered = _filter(model, embeddings)
    calibrated = filtered.p**model.beta  # p_k^β / Σ_j p_j^β
    calibrated /= calibrated.sum(axis=0)
    return Classification(
        labels=model.labels,
        winners=filtered.winners,
        probabilities=np.ascontiguousarray(calibrated.T),
        evidence={"filtered": np.ascontiguousarray(filtered.p.T)},
        constants={
            "beta": model.beta,
            "hysteresis": model.hysteresis,
            "volume_weight": model.experts[-1].volume_weight,
        },
        novelty=percentile_of(_rarity(filtered, model.typical), model.typical.rarest),
        daily_volatility=model.scale * np.sqrt(filtered.variances),
    )


def train(
    embeddings: Floats32, encoder: Encoder, n_states: int = 4, labels: ArrayLike | None = None
) -> Markov:
    """`fit` to the embeddings of consecutive trading days by one of DECODERS."""
    if encoder.MODEL_ID not in DECODERS:
        raise RegimeError(
            f"the markov classifier reads {' and '.join(DECODERS)}, not {encoder.MODEL_ID}: "
            f"give --model-id {DEFAULT.MODEL_ID}, or --classifier prototype"
        )
    if labels is not None:
        raise RegimeError(
            "the markov classifier finds its states itself: leave --window out, or say "
            "--classifier prototype"
        )
    return fit(embeddings, n_states, encoder.MODEL_ID)


def scores(
    model: Markov, embeddings: Floats32, labels: ArrayLike | None = None
) -> dict[str, float]:
    """The mean log density of each window's last log return given the days before it, in nats:
    in sample on the embeddings of the fit, one step ahead out of sample on later ones.

    embeddings: (n, 384); labels: not read
    """
    return {"log_score": float(log_densities(model, embeddings).mean())}


def log_densities(model: Markov, embeddings: Floats32) -> Floats:
    """ln density of each window's last log return given the days before it, (n,), in nats.

    embeddings: (n, 384)
    """
    return np.asarray(_filter(model, embeddings).last_log_scores - np.log(model.scale), float)


def n_parameters(model: Markov) -> int:
    """How many fitted numbers the density of a return depends on.

    Each chain: k μ, k σ, ν, k (k - 1) of A; if it reads volume, k means, scale and weight too.
    The volatility expert: mean, deviation, leverage and ν, and offset and noise of the ranges.
    """
    k = len(model.labels)
    count = 0
    for expert in model.experts:
        count += 2 * k + 1 + k * (k - 1)
        count += k + 2 if expert.volume_weight else 0
    return count + (4 if model.volatility.range_noise is None else 6)


def transition_matrix(model: Markov) -> Floats:
    """A = Σ_e λ_e A_e, (k, k): the daily transitions of the chains, by their shares."""
    return _sum(expert.share * expert.transition_matrix for expert in model.experts)


def sample(model: Markov, n: int, chance: np.random.Generator) -> tuple[Floats, Indices]:
    """Log returns and states of n days, (n,) each, drawn from the chains.

    s_t ~ A[s_{t-1}] with A as in `transition_matrix`; e_t ~ λ; x_t ~ t_ν(μ, σ) of expert e_t in s_t
    """
    shares = [expert.share for expert in model.experts]
    A = transition_matrix(model).cumsum(axis=1)
    initial = _sum(expert.share * expert.initial.sum(axis=1) for expert in model.experts)
    states, draws, reached = np.empty(n, np.intp), chance.random(n), initial.cumsum()
    for t in range(n):
        # The last sum may be a rounding error below 1.
        states[t] = min(reached.searchsorted(draws[t], "right"), len(A) - 1)
        reached = A[states[t]]
    experts = chance.choice(len(shares), n, p=np.divide(shares, sum(shares)))
    mu, sigma = (np.array([getattr(e, name) for e in model.experts]) for name in ("mu", "sigma"))
    nu = np.array([expert.nu for expert in model.experts])
    x = mu[experts, states] + sigma[experts, states] * chance.standard_t(nu[experts])
    return model.scale * x, states


def gain_over_one_state(model: Markov, embeddings: Floats32) -> float:
    """How much better the chains tell each window's last return from the days before it than one
    state does, in nats over all windows.

    One state is the better of two: a volatility that moves by itself, and one that stands still.
    embeddings: (n, 384) of the fit
    """
    _, x, v = _observations(model, embeddings)
    no_ranges = np.full_like(x, np.nan)  # the chains do not read them either
    chains = [_last(_forward(each, x, v)) for each in model.experts]
    of_chains = np.log(_sum(e.share * f for e, f in zip(model.experts, chains, strict=True)))
    moving = np.log(_last(stochastic_volatility.forward(model.volatility, x, no_ranges)))
    still = np.log(_still_density(x[-1].astype(float)))
    return float(of_chains.sum() - max(moving.sum(), still.sum()))


def _last(days: Iterable[tuple[Floats32, Floats32]]) -> Floats:
    """The density of the last day's return, (n,)"""
    *_, (_, density) = days
    return density.astype(float)


def _still_density(x: Floats) -> Floats:
    """The highest t_ν(x / σ) / σ of all ν, each with its own σ; x: (n,)"""
    best = np.zeros(len(x))
    for nu in FREEDOM.tolist():
        variance = max(float(x.var()), LEAST_VOLATILITY**2)
        for _ in range(_STILL_STEPS):
            # σ² = Σ u x² / n, u = (ν + 1) / (ν + x²/σ²)
            variance = float(((nu + 1) / (nu + x * x / variance) * x * x).mean())
            variance = max(variance, LEAST_VOLATILITY**2)
        density = student_t(x * x / variance, nu) / np.sqrt(variance)
        if not best.any() or np.log(density).sum() > np.log(best).sum():
            best = density
    return best


class TrainingPath(NamedTuple):
    """What a model is fitted to, (T,) each: the first window's days and the last day of each later
    window, with the names of `Decoded`.

    uncut_returns: the returns as they were; in `returns`, one that is farther than 20 robust
        standard deviations from the median is moved to that limit
    """

    returns: Floats
    volumes: Floats
    log_ranges: Floats
    overnight_gaps: Floats
    uncut_returns: Floats

    @property
    def is_clipped(self) -> NDArray[np.bool_]:
        """(T,) the days whose return was moved; most are splits that no adjusted close shows."""
        return np.asarray(self.returns != self.uncut_returns)


def training_path(embeddings: Floats32, model_id: str) -> TrainingPath:
    """embeddings: (n, 384); T = n + 62

    raises RegimeError for too few days, and for prices that never move
    """
    if len(embeddings) < FEWEST_WINDOWS:
        raise RegimeError(
            f"a Markov model needs {FEWEST_WINDOWS} training windows, and there are "
            f"{len(embeddings)}: train on a longer stretch"
        )
    paths = decode(embeddings, model_id)
    path = Decoded(*(np.append(each[0], each[1:, -1]) for each in paths))
    if path.returns.std() < num_regime_core_v2.SMALLEST_SCALE:
        raise RegimeError(
            f"the prices of the {len(embeddings)} training windows never move: there are no "
            "regimes to fit"
        )
    clipped = path._replace(returns=_clipped(path.returns))
    return TrainingPath(*clipped, uncut_returns=path.returns)


def decode(embeddings: Floats32, model_id: str) -> Decoded:
    """The paths of each window; embeddings: (n, 384) by the encoder of this id"""
    return DECODERS[model_id](embeddings)


def _clipped(r: Floats) -> Floats:
    """The returns, at most 20 robust standard deviations from their median: 1.4826 ·
    median |r - median| (Hampel 1974), of those that are not 0. r: (T,)"""
    moves = r[r != 0]
    if not len(moves):
        return r
    median = np.median(moves)
    deviation = _NORMAL_DEVIATIONS * np.median(np.abs(moves - median))
    if deviation < num_regime_core_v2.SMALLEST_SCALE:
        return r
    limit = CLIP_DEVIATIONS * deviation
    return np.asarray(np.clip(r, median - limit, median + limit))


def _experts(
    x: Floats, v: Floats, k: int, anchor: Chains | None
) -> tuple[tuple[Expert, ...], Floats]:
    """The filter of returns, and if the states differ in volume, that of returns and volumes; and
    the probability of each state given all days, (k, T), by the experts together.

    x, v: (T,) returns over their deviation, relative volumes; anchor: as `_anchor` gives it, for x
    """
    volume = _log_volume(v)
    chains, smoothed = _chains(x, v, volume, k, anchor)
    spread = np.ptp(chains.volume_mean[1]) / chains.volume_scale[1]
    reads_volume = chains.volume_weight[1] and spread > LEAST_STATE_SPREAD
    rows = (0, 1) if reads_volume else (0,)
    experts = _shared(
        _expert(chains[row], smoothed.posterior[row], volume, v.mean()) for row in rows
    )
    log_posterior = _sum(
        expert.share * np.log(smoothed.posterior[row][np.argsort(chains.sigma[row])] + _SMALLEST)
        for expert, row in zip(experts, rows, strict=True)
    )
    posterior = np.exp(log_posterior)
    return experts, posterior / posterior.sum(axis=0)


def _anchor(r: Floats, v: Floats, k: int) -> tuple[float, Chains] | None:
    """The scale and the two chains of the first 3, 6, 12, … years, as many as are half of the days
    or fewer; None if there are not.

    r, v: (T,) returns, not clipped, and relative volumes

    States that are fitted to all the past begin from there and stay near: so a label means the same
    from one refit to the next.
    """
    years = [days for days in ANCHOR_DAYS if 2 * days <= len(r)]
    first = slice(years[-1] if years else 0)
    if not years or r[first].std() < num_regime_core_v2.SMALLEST_SCALE:
        return None
    return _fitted_anchor(r[first].tobytes(), v[first].tobytes(), k)


# The versions of a walk-forward history have the same few anchors.
@lru_cache(maxsize=32)
def _fitted_anchor(r: bytes, v: bytes, k: int) -> tuple[float, Chains]:
    """r, v: (T,) float64"""
    returns, volumes = np.frombuffer(r), np.frombuffer(v)
    clipped = _clipped(returns)
    scale = max(float(clipped.std()), num_regime_core_v2.SMALLEST_SCALE)
    anchor = _rescaled(_anchor(returns, volumes, k), scale)
    return scale, _chains(clipped / scale, volumes, _log_volume(volumes), k, anchor)[0]


def _rescaled(anchor: tuple[float, Chains] | None, scale: float) -> Chains | None:
    """The chains of an anchor for returns over another scale; their σ is the prior's too."""
    if anchor is None:
        return None
    before, chains = anchor
    sigma = chains.sigma * (before / scale)
    count = np.full(len(sigma), ANCHOR_COUNT)
    mu = chains.mu * (before / scale)
    return replace(chains, mu=mu, sigma=sigma, typical_sigma=sigma, sigma_count=count)


def _chains(
    x: Floats, v: Floats, volume: Floats, k: int, anchor: Chains | None
) -> tuple[Chains, Smoothed]:
    """The two chains of the highest posterior, without and with volume, and their smoothed days.

    x, v, volume: (T,)

    Each chain begins from the anchor, or from the best of 3 starts after 12 steps. Up to 48 steps
    follow.
    """

    def many(path: Floats, chains: int) -> Floats:
        return np.tile(path, (chains, 1))

    n_starts = len(START_QUANTILES)
    starts = _starts(x, v, volume, k)
    if anchor is None or not _is_near(anchor, starts):
        chains, _, log_posterior = expectation_maximisation(
            many(x, 2 * n_starts), many(volume, 2 * n_starts), starts, START_STEPS
        )
        best = log_posterior.reshape(2, n_starts).argmax(axis=1) + n_starts * np.arange(2)
        chains = chains[best]
    else:
        of_volume = ("volume_mean", "volume_scale", "volume_weight")
        known = anchor if anchor.volume_weight[1] else starts[np.arange(2) * n_starts]
        chains = replace(anchor, **{name: getattr(known, name) for name in of_volume})
    chains, smoothed, _ = expectation_maximisation(
        many(x, 2), many(volume, 2), chains, MORE_STEPS, ENOUGH_GAIN
    )
    return chains, smoothed


def _is_near(anchor: Chains, starts: Chains) -> bool:
    """Whether the stormiest states of the first years are at most e^0.8 times as volatile as is
    typical of all the days, or as calm: the first years of a market that changed since, such as a
    currency that was pegged, say nothing of its states."""
    typical = starts.typical_sigma[np.arange(2) * len(START_QUANTILES), -1]
    return bool((np.abs(np.log(anchor.sigma.max(axis=1) / typical)) < ANCHOR_REACH).all())


def _starts(x: Floats, v: Floats, volume: Floats, k: int) -> Chains:
    """The chains before their first step: for each of the two experts, one for each start.

    x, v, volume: (T,)
    """
    starts, volatility = len(START_QUANTILES), _volatility(x)
    priors = (PRIOR_QUANTILES[k], VOLUME_PRIOR_QUANTILES[k])
    typical = np.array([_log_spaced(volatility, k, *ends) for ends in priors])
    sigma = np.array([_log_spaced(volatility, k, *ends) for ends in START_QUANTILES])
    slope, noise = _volume_by_volatility(x, volume)
    usual = np.log(np.maximum(volatility, LEAST_VOLATILITY)).mean()
    moves = v.std() > LEAST_VOLUME_SPREAD
    A = transition_counts(k) / TRANSITION_COUNT
    return Chains(
        mu=np.zeros((2 * starts, k)),
        sigma=np.tile(sigma, (2, 1)),
        nu=np.full(2 * starts, len(FREEDOM) // 2),
        transition_matrix=np.tile(A, (2 * starts, 1, 1)),
        typical_sigma=np.repeat(typical, starts, axis=0),
        sigma_count=np.repeat([SIGMA_COUNT, VOLUME_SIGMA_COUNT], starts),
        volume_mean=np.tile(slope * (np.log(sigma) - usual), (2, 1)),
        volume_scale=np.full(2 * starts, noise),
        volume_weight=np.repeat([0.0, float(moves)], starts),
    )


def _log_volume(v: Floats) -> Floats:
    """Log volume L without its mean, from v_t = L_t - Σ_{i=1}^252 L_{t-i} / 252.

    v: (T,) relative volume; returns (T,)
    """
    level = [0.0] * VOLUME_YEAR
    year = 0.0  # Σ of the last 252
    for relative in (v - v.mean()).tolist():
        level.append(relative + year / VOLUME_YEAR)
        year += level[-1] - level[-1 - VOLUME_YEAR]
    L = np.array(level[VOLUME_YEAR:])
    L -= L.mean()
    return L


def _volume_by_volatility(x: Floats, volume: Floats) -> tuple[float, float]:
    """The slope of volume on ln volatility, both smoothed, and the noise around it.

    x, volume: (T,)
    """
    days = np.abs(np.arange(-_SMOOTHING_DAYS, _SMOOTHING_DAYS + 1))
    weights = 0.5 ** (days / _SMOOTHING_HALF_LIFE)
    weights /= weights.sum()
    smooth = partial(np.convolve, v=weights, mode="same")
    ln_volatility = 0.5 * np.log(smooth(x * x) + _LEAST_VARIANCE)
    ln_volatility -= ln_volatility.mean()
    slope = (ln_volatility * smooth(volume)).sum() / (ln_volatility**2).sum()
    return slope, max((volume - slope * ln_volatility).std(), LEAST_VOLUME_SPREAD)


def _volatility(x: Floats) -> Floats:
    """0.85 √(Σ_a 2^(-a/10) x²_{t-a} / Σ_a 2^(-a/10)), a the age in days.

    x: (T,); returns (T,)
    """
    weights = 0.5 ** (np.arange(_VOLATILITY_DAYS) / _VOLATILITY_HALF_LIFE)
    days = len(x)
    total = np.convolve(x * x, weights)[:days]
    weight = np.convolve(np.ones(days), weights)[:days]
    return np.asarray(_VOLATILITY_FACTOR * np.sqrt(total / weight))


def _log_spaced(volatility: Floats, k: int, low: float, high: float) -> Floats:
    """k volatilities between two quantiles, neighbours at least LEAST_RATIO apart.

    volatility: (T,); returns (k,)
    """
    bottom, top = np.quantile(volatility, [low, high])
    bottom = np.maximum(bottom, LEAST_VOLATILITY)
    top = np.maximum(top, LEAST_RATIO[k] ** (k - 1) * bottom)
    return np.asarray(bottom * (top / bottom) ** np.linspace(0, 1, k))


def _shared(experts: Iterable[Expert]) -> tuple[Expert, ...]:
    """The share of the expert that reads volume is w / (w + 0.4): volume that drifts on its own
    has less to say."""
    *first, last = experts
    share = last.volume_weight / (last.volume_weight + EVEN_WEIGHT) if first else 1.0
    return (*(replace(each, share=1 - share) for each in first), replace(last, share=share))


def _expert(
    chain: Chains, posterior: Floats, volume: Floats, mean_relative_volume: float
) -> Expert:
    """One chain as a filter, with its states in order.

    chain: one row of Chains; posterior: (k, T); volume: (T,) that it was fitted to
    """
    order = np.argsort(chain.sigma)
    A = chain.transition_matrix[np.ix_(order, order)]
    stationary = np.linalg.matrix_power(A, 2**14)[0]  # any row of A^∞
    initial = (posterior[order].mean(axis=1) + stationary) / 2
    initial /= initial.sum()
    volume_mean = chain.volume_mean[order] if chain.volume_weight else np.zeros(len(order))
    weight, offsets, chance = 0.0, np.zeros(1), np.ones((len(order), 1))
    if chain.volume_weight:
        weight = _volume_weight(volume - chain.volume_mean @ posterior)
        offsets, chance = _usual_volume(A, stationary, volume_mean)
    return Expert(
        share=1.0,
        mu=chain.mu[order],
        sigma=chain.sigma[order],
        nu=float(FREEDOM[chain.nu]),
        transition_matrix=A,
        volume_weight=weight,
        volume_mean=volume_mean + mean_relative_volume,
        volume_scale=float(chain.volume_scale),
        usual_volume=offsets,
        initial=initial[:, None] * chance,
    )


def _volume_weight(left: Floats) -> float:
    """w = variance / (21 · variance of 21-day means) of what the states leave of volume: 21 days
    of it tell as much as 21w days of pure noise.

    left: (T,)
    """
    sums = np.cumsum(np.append(0, left - left.mean()))
    means = (sums[MONTH:] - sums[:-MONTH]) / MONTH
    return float(np.clip(left.var() / (MONTH * means.var()), LEAST_VOLUME_WEIGHT, 1))


def _usual_volume(A: Floats, stationary: Floats, volume_mean: Floats) -> tuple[Floats, Floats]:
    """What the mean of m over the 252 days before a day may be, and how likely that is given the
    day's state.

    A: (k, k); stationary, volume_mean: (k,); returns (U,) and (k, U)

    R is the chain backwards (Norris 1997), m the centred volume_mean:
    E[mean | state] = Σ_{j=1}^252 R^j m / 252
    var[mean] = (252 c_0 + 2 Σ_j (252 - j) c_j) / 252², with c_j = Σ_k π_k m_k (R^j m)_k
    """
    backwards = A.T * stationary / stationary[:, None]
    m = volume_mean - stationary @ volume_mean
    ago, expected, variance = m, np.zeros(len(m)), VOLUME_YEAR * stationary @ (m * m)
    for days in range(1, VOLUME_YEAR + 1):
        ago = backwards @ ago
        expected += ago / VOLUME_YEAR
        variance += 2 * (VOLUME_YEAR - days) * stationary @ (m * ago)
    variance = np.maximum(variance / VOLUME_YEAR**2, _LEAST_VARIANCE)
    left = np.maximum(variance - stationary @ expected**2, _LEAST_VARIANCE)
    offsets = OFFSETS * USUAL_VOLUME_DOUBT * np.sqrt(variance)
    z = (offsets - expected[:, None]) / (USUAL_VOLUME_DOUBT * np.sqrt(left))
    chance = np.exp(-0.5 * z * z)
    return offsets, chance / chance.sum(axis=1, keepdims=True)


def _beta(experts: Sequence[Expert], p: Floats, smoothed: Floats, n_windows: int) -> float:
    """The power that makes p^β / Σ p^β the share of labels that are right, at least 0.4:
    β = √β_left · β_seen^(n / (n + 252)).

    p, smoothed: (k, some windows) what the filter says of a window's last day, and the chains given
    all the training days

    β_seen has the least cross entropy of p^β / Σ p^β to what the chains say. It is usually above 1:
    when experts err on different days, the truth is more certain than the mean of their logarithms
    says. A fit that leaves its states often also mistakes them, and its chains are too certain:
    β_left = 1 - ½ ln(100 Σ_e λ_e Σ_k π_ek (1 - A_ekk)), at most 1.
    """
    stays = [each.initial.sum(axis=1) @ np.diag(each.transition_matrix) for each in experts]
    leave = sum(each.share * (1 - stay) for each, stay in zip(experts, stays, strict=True))
    left = float(np.clip(1 - 0.5 * np.log(leave * CALM_STAY_DAYS), LEAST_BETA, 1))
    log_p = np.log(np.maximum(p, _SMALLEST))
    entropies = [
        float(
            (
                np.log(np.exp(power * log_p).sum(axis=0)) - power * (smoothed * log_p).sum(axis=0)
            ).sum()
        )
        for power in SEEN_POWERS
    ]
    seen = float(SEEN_POWERS[int(np.argmin(entropies))])
    return float(max(left**0.5 * seen ** (n_windows / (n_windows + SEEN_DAYS)), LEAST_BETA))


class _Filtered(NamedTuple):
    """p: (k, n) probability of each state on the last day; winners: (n,) the label kept
    log_scores: (n,) mean over the window of the ln density of a return given the days before it;
    last_log_scores: (n,) that of the last day
    sizes, last_sizes: (n,) mean ln (|x| + 0.05) of all days and of the last 10
    variances: (n,) expected of a day within the next 21, over the squared scale
    """

    p: Floats
    winners: Indices
    log_scores: Floats32
    last_log_scores: Floats32
    sizes: Floats32
    last_sizes: Floats32
    variances: Floats


def _typical(training: _Filtered) -> Typical:
    """The percentiles of training windows."""
    typical = Typical(
        log_score=percentiles(training.log_scores),
        size=percentiles(training.sizes),
        last_size=percentiles(training.last_sizes),
        rarest=np.zeros(101),
    )
    return replace(typical, rarest=percentiles(_rarity(training, typical)))


def _rarity(filtered: _Filtered, typical: Typical) -> Floats:
    """How far a window lies in the tails of the training windows: too wild for the model, too calm,
    or too calm in its last days. (n,) from 0 to 100"""
    wild = percentile_of(filtered.log_scores, typical.log_score)
    calm = percentile_of(filtered.sizes, typical.size)
    lately = percentile_of(filtered.last_sizes, typical.last_size)
    return np.asarray(100 - np.minimum(wild, np.minimum(calm, lately)))


def _filter(model: Markov, embeddings: Floats32) -> _Filtered:
    """embeddings: (n, 384)"""
    chunks = range(0, max(len(embeddings), 1), _CHUNK)
    parts = [_filter_chunk(model, embeddings[first : first + _CHUNK]) for first in chunks]
    return _Filtered(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _filter_chunk(model: Markov, embeddings: Floats32) -> _Filtered:
    """embeddings: (n, 384)

    Sums go over states, usual volumes, nodes and experts in a fixed order, never over windows: so
    the numbers of a window do not depend on the others.
    """
    paths, x, v = _observations(model, embeddings)
    log_prior = _log_prior(model)[:, None]
    windows = np.arange(len(embeddings))
    winners, densities = np.zeros(len(windows), np.intp), np.empty_like(x)
    for t, (log_p, density, nodes) in enumerate(_pooled(model, paths, x, v)):  # noqa: B007
        densities[t] = density
        # The label stays unless the p / π^0.7 of another is e^hysteresis times its own.
        log_odds = log_p - log_prior
        best, highest = _highest(log_odds)
        changes = highest > model.hysteresis + log_odds[winners, windows]
        winners = np.where(changes | (t == 0), best, winners)
    p, log_scores = np.exp(log_p.astype(float)), np.log(densities)
    sizes = np.log(np.abs(x) + np.float32(_SAME_SIZE))
    expected = zip(stochastic_volatility.expected_variance(model.volatility), nodes, strict=True)
    return _Filtered(
        p=p / _sum(p),
        winners=winners,
        log_scores=_mean(log_scores),
        last_log_scores=log_scores[-1],
        sizes=_mean(sizes),
        last_sizes=_mean(sizes[-LAST_DAYS:]),
        variances=_sum(variance * p.astype(float) for variance, p in expected),
    )


def _pooled(
    model: Markov, paths: Decoded, x: Floats32, v: Floats32
) -> Iterator[tuple[Floats32, Floats32, Floats32]]:
    """Day by day, ln p of each state by all experts, not normalised, (k, n); the density of the
    day's return given the days before it, (n,); the volatility expert's probabilities, (G, n).

    paths, x, v: as of `_observations`
    """
    y = stochastic_volatility.log_range(paths.log_ranges, paths.overnight_gaps, model.scale)
    chains = [_forward(each, x, v) for each in model.experts]
    grid = stochastic_volatility.forward(model.volatility, x, y.astype(np.float32, order="C"))
    network: Iterable[Floats32 | None] = repeat(None, len(x))
    if model.context is not None:
        network = recurrent.filtered(model.context, *paths)
    of_nodes = _state_shares(model).astype(np.float32).T[:, :, None]  # (G, k, 1)
    with_density = [np.float32(share) for share in _shares_with_density(model)]
    rest = 1 - model.volatility_share - model.recurrent_share
    shares = [np.float32(rest * each.share) for each in model.experts]
    part = np.empty((len(model.labels), x.shape[1]), np.float32)
    for *filtered, (nodes, density), log_network in zip(*chains, grid, network, strict=True):
        # A logarithmic pool (Genest and Zidek 1986): ln p = Σ_e λ_e ln p_e. Density: Σ_e λ_e f_e.
        states = of_nodes[0] * nodes[0]
        for share, p in zip(of_nodes[1:], nodes[1:], strict=True):
            states += np.multiply(share, p, out=part)
        log_p = np.float32(model.volatility_share) * np.log(np.maximum(states, _SMALLEST))
        for share, (p, _) in zip(shares, filtered, strict=True):
            log_p += share * np.log(np.maximum(p, _SMALLEST))
        if log_network is not None:
            log_p += np.float32(model.recurrent_share) * log_network
        densities = [*(each for _, each in filtered), density]
        weighted = (share * each for share, each in zip(with_density, densities, strict=True))
        yield log_p, _sum(weighted), nodes


def _log_prior(model: Markov) -> Floats32:
    """ln π^0.7, (k,), averaged over the experts as ln p is. The network was trained to the
    frequencies of the states, which the chains have too: its share counts as theirs."""
    priors = [each.initial.sum(axis=1) for each in model.experts]
    priors.append(_state_shares(model) @ stochastic_volatility.stationary())
    shares = _shares_with_density(model)
    terms = (share * np.log(prior) for share, prior in zip(shares, priors, strict=True))
    return np.asarray(model.prior_power * _sum(terms), np.float32)


def _shares_with_density(model: Markov) -> list[float]:
    """The shares without the network's, which says nothing of returns: the chains have it."""
    chains = 1 - model.volatility_share
    return [*(chains * each.share for each in model.experts), model.volatility_share]


def _observations(model: Markov, embeddings: Floats32) -> tuple[Decoded, Floats32, Floats32]:
    """The paths of each window, returns over the scale, and relative volumes, (63, n) each; the
    last two in float32, as the embeddings are."""
    paths = Decoded(*(each.T for each in decode(embeddings, model.model_id)))
    x, v = (
        each.astype(np.float32, order="C") for each in (paths.returns / model.scale, paths.volumes)
    )
    return paths, x, v


def _state_shares(model: Markov) -> Floats:
    """(k, G) the states of each node: those of the Markov experts, by their mean ln σ."""
    log_sigma = _sum(each.share * np.log(each.sigma) for each in model.experts)
    return stochastic_volatility.state_shares(model.volatility, log_sigma)


def _forward(expert: Expert, x: Floats32, v: Floats32) -> Iterator[tuple[Floats32, Floats32]]:
    """p_jt ∝ f_j(x_t) Σ_i A_ij p_i,t-1: day by day, the probability of each state given the days
    so far, (k, n), and the density of the day's return given the days before it, (n,).

    x, v: (63, n)

    Axes inside: state, usual volume, window; in place where an array has all three.
    """
    A = expert.transition_matrix[:, :, None, None].astype(np.float32)
    mu, sigma = (each[:, None].astype(np.float32) for each in (expert.mu, expert.sigma))
    x = np.clip(x, mu[-1] - _FARTHEST * sigma[-1], mu[-1] + _FARTHEST * sigma[-1])
    level = (expert.volume_mean[:, None] - expert.usual_volume)[:, :, None].astype(np.float32)
    steepness = np.float32(-expert.volume_weight / 2 / expert.volume_scale**2)
    least = np.float32(-expert.volume_weight * VOLUME_LIMIT)
    p = np.repeat(expert.initial[:, :, None].astype(np.float32), x.shape[1], axis=2)
    arrived, part = np.empty_like(p), np.empty_like(p)
    traded = np.zeros_like(x[0])  # Σ of the window's volumes so far, over the usual one
    for t in range(len(x)):
        # Σ_i A_ij p_i
        np.multiply(A[0], p[0], out=arrived)
        for i in range(1, len(A)):
            arrived += np.multiply(A[i], p[i], out=part)
        p, arrived = arrived, p

        # f_j(x) = t_ν(z) / σ_j
        z = (x[t] - mu) / sigma
        p *= (student_t(z * z, expert.nu) / sigma)[:, None]
        state = p.sum(axis=1)
        density = total = _sum(state)

        if expert.volume_weight:
            # exp(-w min(½ ((L - m_j) / s)², 6)); v is relative to a year that the window's own
            # days enter one by one.
            volume = v[t] + traded / np.float32(VOLUME_YEAR)
            traded += volume
            z = np.subtract(volume, level, out=part)
            z *= z
            z *= steepness
            np.maximum(z, least, out=z)
            p *= np.exp(z, out=z)
            state = p.sum(axis=1)
            total = _sum(state)
        p /= total
        yield state / total, density


def _highest(values: Floats32) -> tuple[Indices, Floats32]:
    """The place of the highest value, the first of equals, and the value; faster than argmax.

    values: (k, n); returns (n,) each
    """
    place, highest = np.zeros(values.shape[1], np.intp), values[0].copy()
    for k in range(1, len(values)):
        np.copyto(place, k, where=values[k] > highest)
        np.maximum(highest, values[k], out=highest)
    return place, highest


def _mean(days: Floats32) -> Floats32:
    """Over the first axis."""
    return np.asarray(_sum(days) / len(days), np.float32)


def _sum(terms: Iterable[NDArray[F]]) -> NDArray[F]:
    """Along the first axis, one term after another."""
    return reduce(add, terms)
