"""A hidden Markov filter with Student-t returns and volume evidence, read out of an embedding."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import lgamma
from types import ModuleType

import numpy as np

from regime_engine.classifiers import STATE_LABELS, Classification
from regime_engine.classifiers.hidden_markov import (
    FREEDOM,
    Chains,
    Prior,
    Smoothed,
    expectation_maximisation,
)
from regime_engine.encoders import num_regime_core_v2
from regime_engine.errors import RegimeError

FEWEST_WINDOWS = 126
START_QUANTILES = ((0.05, 0.96), (0.05, 0.995), (0.2, 0.9))
PRIOR_QUANTILES = {2: (0.05, 0.99), 3: (0.05, 0.99), 4: (0.05, 0.97)}
LEAST_RATIO = {2: 2.1, 3: 2.1, 4: 1.4}  # of the typical volatilities of neighbouring states
START_STEPS, MORE_STEPS = 12, 48
ENOUGH_GAIN = 0.01  # nats a step of the fit must gain to go on

PRIOR_POWER = 0.7
HYSTERESIS = {2: 0.85, 3: 0.85, 4: 1.4}  # nats; more labels flicker more
CALM_STAY_DAYS = 100.0
LEAST_BETA = 0.4

VOLUME_WEIGHTS = (0.33, 0.67, 1.0)
VOLUME_GAIN = 1.5  # nats that volume must add to the score of returns to be used
VOLUME_LIMIT = 3.0
VOLUME_COUNT = 10.0
VOLUME_YEAR = 252  # days whose mean relative_log_volume is relative to
LEAST_VOLUME_SPREAD = 0.01
OFFSETS = np.array([-1.6, 0, 1.6])  # of a window's usual volume, in spreads

_SCORED_WINDOWS = 800
_CHUNK = 1024  # windows whose arrays stay in the processor's cache


@dataclass(frozen=True)
class Markov:
    """The symbols of the filter; states in order of sigma, calmest first.

    labels: k names; scale: standard deviation of the training returns, the unit of mu and sigma
    mu, sigma: (k,) of a day's return, Student-t with nu degrees of freedom
    transition_matrix: (k, k), rows sum to 1; initial: (k,) before a window's first day
    volume_weight: 0 where volume is not used; volume_mean: (k,); volume_scale: noise around it;
        volume_spread: of a window's offset from it
    prior_power, hysteresis: the rule that keeps a label; beta: power of the confidence
    novelty_percentiles: (101,) of the log score of a training window, a day
    """

    labels: tuple[str, ...]
    scale: float
    mu: np.ndarray
    sigma: np.ndarray
    nu: float
    transition_matrix: np.ndarray
    initial: np.ndarray
    volume_weight: float
    volume_mean: np.ndarray
    volume_scale: float
    volume_spread: float
    prior_power: float
    hysteresis: float
    beta: float
    novelty_percentiles: np.ndarray

    def to_json(self) -> dict[str, object]:
        fields = asdict(self)
        del fields["labels"]
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in fields.items()
        }


def from_json(labels: Sequence[str], parameters: dict) -> Markov:
    arrays = {
        name: np.array(value, float) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    return Markov(tuple(labels), **arrays)


def fit(embeddings: np.ndarray, n_states: int = 4) -> Markov:
    """embeddings: (n, 384) of n consecutive trading days

    raises RegimeError for too few of them, or prices that never move
    """
    return fit_many([embeddings], n_states)[0]


def fit_many(many: Sequence[np.ndarray], n_states: int = 4) -> list[Markov]:
    """A model of each series, as `fit`; series of one length are fitted side by side."""
    if n_states not in STATE_LABELS:
        raise RegimeError(f"a Markov model has 2, 3 or 4 states, not {n_states}")
    paths = [_training_path(embeddings) for embeddings in many]
    models: dict[int, Markov] = {}
    for days in {len(r) for r, _ in paths}:
        members = [i for i, (r, _) in enumerate(paths) if len(r) == days]
        r, v = (np.array([paths[i][column] for i in members]) for column in (0, 1))
        for i, model in zip(members, _fit_paths(r, v, n_states), strict=True):
            models[i] = _weighing_volume(model, many[i])
    return [models[i] for i in range(len(many))]


def classify(markov: Markov, embeddings: np.ndarray) -> Classification:
    """embeddings: (n, 384); what is said of one depends on no other"""
    filtered = _filter(markov, embeddings)
    p = np.maximum(filtered.p, 1e-12)
    calibrated = p**markov.beta
    calibrated /= calibrated.sum(axis=0)
    log_score = filtered.log_scores
    novelty = 100 - np.interp(log_score, markov.novelty_percentiles, np.arange(101.0))
    return Classification(
        labels=markov.labels,
        winners=filtered.winners,
        probabilities=np.ascontiguousarray(calibrated.T),
        evidence={"filtered": np.ascontiguousarray(filtered.p.T)},
        constants={
            "beta": markov.beta,
            "hysteresis": markov.hysteresis,
            "volume_weight": markov.volume_weight,
        },
        novelty=novelty,
    )


def train(
    embeddings: np.ndarray,
    encoder: ModuleType,
    n_states: int = 4,
    labels: Sequence[str] | None = None,
) -> Markov:
    """`fit` to the embeddings of consecutive trading days by num-regime-core-v2."""
    if encoder is not num_regime_core_v2:
        raise RegimeError(
            f"the markov classifier reads {num_regime_core_v2.MODEL_ID}, not {encoder.MODEL_ID}: "
            f"give --model-id {num_regime_core_v2.MODEL_ID}, or --classifier prototype"
        )
    if labels is not None:
        raise RegimeError(
            "the markov classifier finds its states itself: leave --window out, or say "
            "--classifier prototype"
        )
    return fit(embeddings, n_states)


def scores(
    markov: Markov, embeddings: np.ndarray, labels: Sequence[str] | None = None
) -> dict[str, float]:
    """How well each window's last log return was told by the days before it, in nats a day.

    In sample on the embeddings of the fit, one step ahead out of sample on later ones; models
    of any number of states compare.
    """
    last = _filter(markov, embeddings).last_log_scores - np.log(markov.scale)
    return {"log_score": float(last.mean())}


def _training_path(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns and volumes of the first window and of the last day of each later one."""
    if len(embeddings) < FEWEST_WINDOWS:
        raise RegimeError(
            f"a Markov model needs {FEWEST_WINDOWS} training windows, and there are "
            f"{len(embeddings)}: train on a longer stretch"
        )
    r, v = num_regime_core_v2.decode(embeddings)
    r, v = np.append(r[0], r[1:, -1]), np.append(v[0], v[1:, -1])
    if r.std() < num_regime_core_v2.SMALLEST_SCALE:
        raise RegimeError(
            f"the prices of the {len(embeddings)} training windows never move: there are no "
            "regimes to fit"
        )
    return r, v


# ---- fit ----


def _fit_paths(r: np.ndarray, v: np.ndarray, k: int) -> list[Markov]:
    """r, v: (S, T)"""
    scale = r.std(axis=1)
    chains, smoothed = _best_chains(r / scale[:, None], k)
    return [
        _model(scale[i], v[i], chains[i], smoothed.posterior[i], np.argsort(chains.sigma[i]))
        for i in range(len(r))
    ]


def _best_chains(x: np.ndarray, k: int) -> tuple[Chains, Smoothed]:
    """3 starts of 12 steps, the best of each series run on to 60; x: (S, T)"""
    S, starts = len(x), len(START_QUANTILES)
    volatility = np.array([_volatility(path) for path in x])
    prior = Prior(_log_spaced(volatility, k, *PRIOR_QUANTILES[k]))
    sigma = np.stack([_log_spaced(volatility, k, *ends) for ends in START_QUANTILES], axis=1)
    typical = prior.transitions() / prior.transition_count
    chains = Chains(
        mu=np.zeros((S * starts, k)),
        sigma=sigma.reshape(-1, k),
        nu=np.full(S * starts, len(FREEDOM) // 2),
        transition_matrix=np.repeat(typical[None], S * starts, axis=0),
    )
    each = np.repeat(np.arange(S), starts)
    chains, _, log_posterior = expectation_maximisation(x[each], chains, prior[each], START_STEPS)
    best = log_posterior.reshape(S, starts).argmax(axis=1) + starts * np.arange(S)
    chains, smoothed, _ = expectation_maximisation(x, chains[best], prior, MORE_STEPS, ENOUGH_GAIN)
    return chains, smoothed


def _volatility(x: np.ndarray) -> np.ndarray:
    """0.85 × volatility, exponentially weighted with a half-life of 10 days; (T,)"""
    weights = 0.5 ** (np.arange(100) / 10)
    days = len(x)
    total = np.convolve(x * x, weights)[:days]
    return 0.85 * np.sqrt(total / np.convolve(np.ones(days), weights)[:days])


def _log_spaced(volatility: np.ndarray, k: int, low: float, high: float) -> np.ndarray:
    """(S, k) between two quantiles of each series, neighbours LEAST_RATIO apart at least"""
    bottom, top = np.quantile(volatility, [low, high], axis=1)
    bottom = np.maximum(bottom, 0.01)
    top = np.maximum(top, LEAST_RATIO[k] ** (k - 1) * bottom)
    return bottom[:, None] * (top / bottom)[:, None] ** np.linspace(0, 1, k)


def _model(
    scale: float, v: np.ndarray, chain: Chains, posterior: np.ndarray, order: np.ndarray
) -> Markov:
    """One series' fit with its states in order, without volume yet.

    v: (T,); posterior: (k, T); order: (k,)
    """
    A = chain.transition_matrix[np.ix_(order, order)]
    posterior = posterior[order]
    stationary = np.linalg.matrix_power(A, 2**14)[0]
    initial = (posterior.mean(axis=1) + stationary) / 2
    initial /= initial.sum()
    mean, noise, spread = _volume_by_state(v, posterior)
    return Markov(
        labels=STATE_LABELS[len(order)],
        scale=float(scale),
        mu=chain.mu[order],
        sigma=chain.sigma[order],
        nu=float(FREEDOM[chain.nu]),
        transition_matrix=A,
        initial=initial,
        volume_weight=0.0,
        volume_mean=mean,
        volume_scale=noise,
        volume_spread=spread,
        prior_power=PRIOR_POWER,
        hysteresis=HYSTERESIS[len(order)],
        beta=_beta(A, initial),
        novelty_percentiles=np.zeros(101),
    )


def _beta(A: np.ndarray, initial: np.ndarray) -> float:
    """1 + ¾ ln(mean stay / 100 days), between 0.4 and 1.

    States that a fit leaves often are those that it mistakes: on simulated markets with and
    without stochastic volatility this β makes p^β / Σp^β the share of labels that are right.
    """
    leave = 1 - initial @ np.diag(A)
    return float(np.clip(1 - 0.75 * np.log(leave * CALM_STAY_DAYS), LEAST_BETA, 1))


def _volume_by_state(v: np.ndarray, posterior: np.ndarray) -> tuple[np.ndarray, float, float]:
    """m_k, the noise around it and the spread of a window's offset, by ridge regression of

        v_t = m·γ_t - m·(mean of γ over the year before) + c + noise

    since v is relative to the volume of the year before. v: (T,); posterior: γ, (k, T)
    """
    k = len(posterior)
    ahead = np.repeat(posterior.mean(axis=1, keepdims=True), VOLUME_YEAR, axis=1)
    sums = np.cumsum(np.concatenate([np.zeros((k, 1)), ahead, posterior], axis=1), axis=1)
    year = (sums[:, VOLUME_YEAR:-1] - sums[:, : -VOLUME_YEAR - 1]) / VOLUME_YEAR
    design = posterior - year
    m = np.linalg.solve(design @ design.T + VOLUME_COUNT * np.eye(k), design @ (v - v.mean()))
    offset = v.mean() - m @ year
    noise = v - m @ posterior - offset
    return m + offset.mean(), float(noise.std()), float(offset.std())


def _weighing_volume(model: Markov, embeddings: np.ndarray) -> Markov:
    """With the volume weight whose filter tells the next day's return best, and novelty."""
    every = max(3, len(embeddings) // _SCORED_WINDOWS)
    some = embeddings[::-every]
    weights = VOLUME_WEIGHTS if model.volume_scale > LEAST_VOLUME_SPREAD else ()
    models = [model, *(replace(model, volume_weight=weight) for weight in weights)]
    filtered = [_filter(each, some) for each in models]
    gains = [
        every * (each.last_log_scores - filtered[0].last_log_scores).sum() for each in filtered
    ]
    best = int(np.argmax(gains)) if max(gains) > VOLUME_GAIN else 0
    percentiles = np.quantile(filtered[best].log_scores, np.linspace(0, 1, 101))
    return replace(models[best], novelty_percentiles=percentiles)


# ---- filter ----


@dataclass(frozen=True)
class _Filtered:
    """p: (k, n) on the last day; winners: (n,) the label kept; log_scores, last_log_scores: (n,)
    ln density of a return given the days before it, mean over the window and of the last day"""

    p: np.ndarray
    winners: np.ndarray
    log_scores: np.ndarray
    last_log_scores: np.ndarray


def _filter(markov: Markov, embeddings: np.ndarray) -> _Filtered:
    r, v = num_regime_core_v2.decode(embeddings)
    x = r.T / markov.scale
    parts = [
        _filter_chunk(
            markov,
            np.ascontiguousarray(x[:, first : first + _CHUNK]),
            np.ascontiguousarray(v.T[:, first : first + _CHUNK]),
        )
        for first in range(0, max(len(embeddings), 1), _CHUNK)
    ]
    return _Filtered(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _filter_chunk(markov: Markov, x: np.ndarray, v: np.ndarray):
    """63 forward steps from π, and the label kept through them; x, v: (63, n)

    Axes: state, offset of the window's usual volume, window. Sums run over states and offsets
    in a fixed order, never over windows, so that a window's numbers never depend on the batch.
    """
    A, nu = markov.transition_matrix, markov.nu
    k, n = len(markov.labels), x.shape[1]
    mu, sigma, initial = (each[:, None] for each in (markov.mu, markov.sigma, markov.initial))
    power, constant = -(nu + 1) / 2, lgamma((nu + 1) / 2) - lgamma(nu / 2)
    highest = np.exp(constant) / np.sqrt(nu * np.pi) / sigma

    offsets = OFFSETS if markov.volume_weight else np.zeros(1)
    chance = np.exp(-0.5 * offsets**2)
    chance /= chance.sum()
    usual = markov.volume_mean[:, None] + markov.volume_spread * offsets  # (k, U)
    p = np.repeat((initial * chance)[:, :, None], n, axis=2)

    prior = initial**markov.prior_power
    keep = np.exp(markov.hysteresis)
    windows = np.arange(n)
    label = np.zeros(n, int)
    log_score = np.zeros(n)
    for day, (today, volume) in enumerate(zip(x, v, strict=True)):
        p = _sum([A[i][:, None, None] * p[i] for i in range(k)])
        z = (today - mu) / sigma
        p *= (highest * np.exp(power * np.log1p(z * z / nu)))[:, None]  # t_ν(x | μ, σ)
        total = _sum([_sum(state) for state in p])
        last = np.log(total)
        log_score += last
        if markov.volume_weight:
            z = (volume - usual[:, :, None]) / markov.volume_scale
            p *= np.exp(-markov.volume_weight * np.minimum(0.5 * z * z, VOLUME_LIMIT))
            total = _sum([_sum(state) for state in p])
        p /= total
        states = p[:, 0] if len(offsets) == 1 else np.stack([_sum(state) for state in p])

        # The label stays unless another's p / π^0.7 is e^hysteresis times its own.
        odds = states / prior
        best = odds.argmax(axis=0)
        change = odds.max(axis=0) > keep * odds[label, windows]
        label = best if day == 0 else np.where(change, best, label)
    return states, label, log_score / len(x), last


def _sum(terms):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
