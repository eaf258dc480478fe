"""A hidden Markov filter with Student-t returns and volume evidence, read out of an embedding."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from regime_engine.classifiers import Classification
from regime_engine.classifiers.hidden_markov import (
    FREEDOM,
    Chains,
    Prior,
    expectation_maximisation,
    log_student_t,
)
from regime_engine.encoders import num_regime_core_v2
from regime_engine.errors import RegimeError

LABELS = {
    2: ("NEUTRAL", "CRISIS"),
    3: ("CARRY", "NEUTRAL", "CRISIS"),
    4: ("CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"),
}
FEWEST_WINDOWS = 126
WARM_UP_DAYS = 63
VOLUME_WEIGHTS = np.array([0, 0.25, 0.5, 0.75, 1])
VOLUME_GAIN = 1.5  # nats that volume must add to the score of returns to be used
VOLUME_LIMIT = 3.0
PRIOR_POWER = 0.7
HYSTERESIS = 0.7
START_QUANTILES = ((0.05, 0.96), (0.05, 0.995), (0.2, 0.9))
PRIOR_QUANTILES = (0.05, 0.99)
PRIOR = {}
STEPS = (12, 48, 24)


@dataclass(frozen=True)
class Markov:
    """labels: k names, calmest first; scale: standard deviation of the training returns, in
    which mu and sigma are measured; novelty_percentiles: (101,) mean log scores of windows"""

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
    """embeddings: (n, 384) of n consecutive trading days"""
    return fit_many([embeddings], n_states)[0]


def fit_many(many: Sequence[np.ndarray], n_states: int = 4) -> list[Markov]:
    """A model of each series; series of one length are fitted side by side."""
    if n_states not in LABELS:
        raise RegimeError(f"a Markov model has 2, 3 or 4 states, not {n_states}")
    paths = [_training_path(embeddings) for embeddings in many]
    models: dict[int, Markov] = {}
    for days in {len(r) for r, _ in paths}:
        members = [i for i, (r, _) in enumerate(paths) if len(r) == days]
        r, v = (np.array([paths[i][column] for i in members]) for column in (0, 1))
        for i, model in zip(members, _fit_paths(r, v, n_states), strict=True):
            models[i] = _calibrated(model, many[i])
    return [models[i] for i in range(len(many))]


def _training_path(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns and volumes of the first window and of the last day of each later one."""
    if len(embeddings) < FEWEST_WINDOWS:
        raise RegimeError(
            f"a Markov model needs {FEWEST_WINDOWS} training windows, and there are "
            f"{len(embeddings)}: train on a longer stretch"
        )
    r, v = num_regime_core_v2.decode(embeddings)
    if np.ptp(r) == 0:
        raise RegimeError(
            "the prices of the training windows never move: there is no regime in them"
        )
    return np.append(r[0], r[1:, -1]), np.append(v[0], v[1:, -1])


def _fit_paths(r: np.ndarray, v: np.ndarray, k: int) -> list[Markov]:
    """r, v: (S, T)"""
    scale = r.std(axis=1)
    x = r / scale[:, None]
    chains, smoothed = _best_chains(x, k)

    order = np.argsort(chains.sigma, axis=1, kind="stable")
    series = np.arange(len(x))[:, None]
    A = chains.transition_matrix[series[:, :, None], order[:, :, None], order[:, None]]
    chains = Chains(chains.mu[series, order], chains.sigma[series, order], chains.nu, A)
    gamma = smoothed.posterior[series, order]  # (S, k, T)

    stationary = _stationary(A)
    initial = (gamma.mean(axis=2) + stationary) / 2
    initial /= initial.sum(axis=1, keepdims=True)
    volume_mean, volume_scale = _volume_by_state(v, gamma)
    volume_weight = _volume_weight(x, v, chains, initial, volume_mean, volume_scale)
    return [
        Markov(
            labels=LABELS[k],
            scale=float(scale[i]),
            mu=chains.mu[i],
            sigma=chains.sigma[i],
            nu=float(FREEDOM[chains.nu[i]]),
            transition_matrix=A[i],
            initial=initial[i],
            volume_weight=float(volume_weight[i]),
            volume_mean=volume_mean[i],
            volume_scale=float(volume_scale[i]),
            prior_power=PRIOR_POWER,
            hysteresis=HYSTERESIS,
            beta=1.0,
            novelty_percentiles=np.zeros(101),
        )
        for i in range(len(x))
    ]


def _volatility(x: np.ndarray) -> np.ndarray:
    """0.85 × EW volatility of half-life 10, (T, S)"""
    keep = 0.5 ** (1 / 10)
    variance, path = (x * x).mean(axis=1), []
    for today in x.T:
        variance = keep * variance + (1 - keep) * today**2
        path.append(variance)
    return 0.85 * np.sqrt(path)


def _spaced(volatility: np.ndarray, k: int, low: float, high: float) -> np.ndarray:
    """(S, k) log-spaced between two quantiles of the volatility, never closer than 1.2 times"""
    bottom, top = np.quantile(volatility, [low, high], axis=0)
    bottom = np.maximum(bottom, 0.01)
    top = np.maximum(top, 1.2 * bottom)
    return bottom[:, None] * (top / bottom)[:, None] ** np.linspace(0, 1, k)


def _best_chains(x: np.ndarray, k: int):
    """3 starts of 12 steps each, the best run on to 60."""
    S, starts = len(x), len(START_QUANTILES)
    volatility = _volatility(x)
    prior = Prior(_spaced(volatility, k, *PRIOR_QUANTILES), **PRIOR)
    sigma = np.stack([_spaced(volatility, k, *ends) for ends in START_QUANTILES], axis=1)
    chains = Chains(
        np.zeros((S * starts, k)),
        sigma.reshape(-1, k),
        np.full(S * starts, 4),
        np.repeat((prior.transitions() / prior.transition_count)[None], S * starts, axis=0),
    )
    each = np.repeat(np.arange(S), starts)
    chains, _, log_posterior = expectation_maximisation(x[each], chains, prior[each], STEPS[0])
    best = log_posterior.reshape(S, starts).argmax(axis=1) + starts * np.arange(S)
    chains, smoothed, _ = expectation_maximisation(x, chains[best], prior, STEPS[1], 0.01)
    return chains, smoothed


def _stationary(A: np.ndarray) -> np.ndarray:
    """(S, k) with πA = π"""
    return np.linalg.matrix_power(A, 2**14)[:, 0]


def _volume_by_state(v: np.ndarray, gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """m_k, (S, k), and s_v, (S,), 0 where there is no volume to tell states by"""
    weights = gamma.sum(axis=2)
    overall = v.mean(axis=1, keepdims=True)
    mean = overall + (gamma @ (v - overall)[:, :, None])[:, :, 0] / (weights + 10)
    squares = (gamma * (v[:, None] - mean[:, :, None]) ** 2).sum(axis=(1, 2)) / v.shape[1]
    return mean, np.sqrt(squares)


def _volume_log_evidence(v, mean, scale):
    """-½((v - m_k)/s_v)², clipped at 3; 0 where there is no volume; v: (...), mean: (k, ...)"""
    if scale < 1e-6:
        return np.zeros((len(mean), *v.shape))
    mean = mean.reshape(-1, *(1,) * v.ndim)
    return -np.minimum(0.5 * ((v - mean) / scale) ** 2, VOLUME_LIMIT)


def _volume_weight(x, v, chains, initial, mean, scale) -> np.ndarray:
    """The w whose filter tells the next day's return best; 0 unless it gains 1.5 nats. (S,)"""
    returns = log_student_t(x, chains)[0]  # (S, k, T)
    volumes = np.array([_volume_log_evidence(*each) for each in zip(v, mean, scale, strict=True)])
    highest = returns.max(axis=1)
    e = np.exp(returns - highest[:, None]).transpose(2, 0, 1)[:, None]  # (T, 1, S, k)
    weights = VOLUME_WEIGHTS[:, None, None]
    told = np.exp(weights * volumes.transpose(2, 0, 1)[:, None])  # (T, W, S, k)
    p = np.repeat(initial[None], len(VOLUME_WEIGHTS), axis=0)  # (W, S, k)
    score = np.zeros(p.shape[:2])
    for today, volume in zip(e, told, strict=True):
        p = p * today
        total = p.sum(axis=2)
        score += np.log(total)
        p = p * volume
        p = (p / p.sum(axis=2, keepdims=True))[:, :, None] @ chains.transition_matrix
        p = p[:, :, 0]
    best = score.argmax(axis=0)
    gained = score.max(axis=0) - score[0]
    return np.where(gained > VOLUME_GAIN, VOLUME_WEIGHTS[best], 0)


def _calibrated(model: Markov, embeddings: np.ndarray) -> Markov:
    return replace(
        model,
        beta=0.8,
        novelty_percentiles=np.quantile(_filter(model, embeddings)[2], np.linspace(0, 1, 101)),
    )


def classify(markov: Markov, embeddings: np.ndarray) -> Classification:
    """embeddings: (n, 384); a pure function of each"""
    p, winners, log_score = _filter(markov, embeddings)
    confidence = p**markov.beta
    confidence /= confidence.sum(axis=0)
    novelty = 100 - np.interp(log_score, markov.novelty_percentiles, np.arange(101))
    return Classification(
        labels=markov.labels,
        winners=winners,
        probabilities=np.ascontiguousarray(confidence.T),
        evidence={"filtered": np.ascontiguousarray(p.T)},
        constants={"beta": markov.beta, "hysteresis": markov.hysteresis},
        novelty=novelty,
    )


def _filter(markov: Markov, embeddings: np.ndarray):
    """63 forward steps: p (k, n) on the last day, the label kept, the mean log score of a day.

    Days and states come first, so that a row's arithmetic never depends on the batch.
    """
    r, v = num_regime_core_v2.decode(embeddings)
    x = np.ascontiguousarray(r.T) / markov.scale  # (63, n)
    v = np.ascontiguousarray(v.T)
    A, k = markov.transition_matrix, len(markov.labels)
    nu, sigma, mu = markov.nu, markov.sigma[:, None], markov.mu[:, None]
    from math import lgamma

    constant = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * np.pi)
    prior = markov.initial[:, None] ** markov.prior_power
    stay = np.exp(markov.hysteresis)
    p = np.repeat(markov.initial[:, None], x.shape[1], axis=1)
    rows = np.arange(x.shape[1])
    label = None
    score = np.zeros(x.shape[1])
    for today, volume in zip(x, v, strict=True):
        predicted = (A[:, :, None] * p[:, None]).sum(axis=0)
        z = (today - mu) / sigma
        e = np.exp(constant - (nu + 1) / 2 * np.log1p(z * z / nu)) / sigma
        p = predicted * e
        total = p.sum(axis=0)
        score += np.log(total)
        if markov.volume_weight:
            p = p * np.exp(
                markov.volume_weight
                * _volume_log_evidence(volume, markov.volume_mean, markov.volume_scale)
            )
            total = p.sum(axis=0)
        p = np.maximum(p / total, 1e-12)
        odds = p / prior
        best = odds.argmax(axis=0)
        if label is None:
            label = best
        label = np.where(odds[best, rows] > stay * odds[label, rows], best, label)
    return p, label, score / len(x)


def train(embeddings, encoder, n_states, labels=None):
    return fit(embeddings, n_states)


def scores(model, embeddings, labels=None):
    return {}
