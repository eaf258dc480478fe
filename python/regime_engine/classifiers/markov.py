"""Two hidden Markov filters read out of an embedding, one of returns and one of volumes too.

What they say together is the mean of their log probabilities: they err on different days.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import ModuleType

import numpy as np

from regime_engine.classifiers import STATE_LABELS, Classification
from regime_engine.classifiers.hidden_markov import (
    FREEDOM,
    VOLUME_LIMIT,
    Chains,
    Prior,
    Smoothed,
    expectation_maximisation,
    student_t,
)
from regime_engine.encoders import num_regime_core_v2
from regime_engine.errors import RegimeError

FEWEST_WINDOWS = 126
START_QUANTILES = ((0.05, 0.96), (0.05, 0.995), (0.2, 0.9))
PRIOR_QUANTILES = {2: (0.05, 0.99), 3: (0.05, 0.99), 4: (0.05, 0.97)}
LEAST_RATIO = {2: 2.1, 3: 2.1, 4: 1.4}  # of the typical volatilities of neighbouring states
SIGMA_COUNT = 10.0
LEAST_VOLATILITY = 0.01
START_STEPS, MORE_STEPS = 12, 48
ENOUGH_GAIN = 0.01  # nats a step of the fit must gain to go on

# The expert that reads volume too.
VOLUME_PRIOR_QUANTILES = {2: (0.05, 0.99), 3: (0.05, 0.99), 4: (0.1, 0.99)}
VOLUME_SIGMA_COUNT = 80.0
EVEN_WEIGHT = 0.4  # volume weight at which both experts have the same share
LEAST_VOLUME_WEIGHT = 0.05
USUAL_VOLUME_DOUBT = 1.2
MONTH = 21
VOLUME_YEAR = 252  # days whose mean relative_log_volume is relative to
LEAST_VOLUME_SPREAD = 0.01
LEAST_STATE_SPREAD = 0.5  # of the states' volumes, in their noise, for volume to be read
OFFSETS = np.linspace(-2, 2, 5)  # of the usual volume, in its standard deviations

PRIOR_POWER = 0.7
HYSTERESIS = {2: 0.7, 3: 0.7, 4: 1.4}  # nats; more labels flicker more
CALM_STAY_DAYS = 100.0
LEAST_BETA = 0.4

_SCORED_WINDOWS = 800
_FARTHEST = 18.0  # σ of the stormiest state: further out, float32 holds the density of none
_CHUNK = 4096  # windows side by side: as many as the cache holds and calls are worth


@dataclass(frozen=True)
class Expert:
    """A hidden Markov filter; states in order of sigma, calmest first.

    share: of its log probabilities in what the experts say together
    mu, sigma: (k,) of a day's return over the model's scale, Student-t with nu degrees of freedom
    transition_matrix: (k, k), rows sum to 1
    volume_weight: 0 where volume is not read; volume_mean: (k,), volume_scale: noise around it
    usual_volume: (U,) what the volume of the year before a window may have been, on that scale
    initial: (k, U) probability of state and usual volume before a window's first day
    """

    share: float
    mu: np.ndarray
    sigma: np.ndarray
    nu: float
    transition_matrix: np.ndarray
    volume_weight: float
    volume_mean: np.ndarray
    volume_scale: float
    usual_volume: np.ndarray
    initial: np.ndarray


@dataclass(frozen=True)
class Markov:
    """Two experts, or the first of them where there is no volume, and the rule that labels.

    labels: k names; scale: standard deviation of the training returns
    prior_power, hysteresis: the rule that keeps a label; beta: power of the confidence
    novelty_percentiles: (101,) of the log score of a training window, a day
    """

    labels: tuple[str, ...]
    scale: float
    experts: tuple[Expert, ...]
    prior_power: float
    hysteresis: float
    beta: float
    novelty_percentiles: np.ndarray

    def to_json(self) -> dict[str, object]:
        fields = _as_lists(asdict(self))
        del fields["labels"]
        return fields


def from_json(labels: Sequence[str], parameters: dict) -> Markov:
    experts = tuple(Expert(**_as_arrays(expert)) for expert in parameters["experts"])
    for expert in experts:
        if len(expert.mu) != len(labels):
            raise ValueError(f"{len(labels)} labels for {len(expert.mu)} states")
    return Markov(tuple(labels), **_as_arrays(parameters) | {"experts": experts})


def _as_lists(value: object) -> object:
    if isinstance(value, dict):
        return {name: _as_lists(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_as_lists(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def _as_arrays(fields: dict) -> dict:
    return {
        name: np.array(value, float) if isinstance(value, list) and name != "experts" else value
        for name, value in fields.items()
    }


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
            models[i] = _knowing_novelty(model, many[i])
    return [models[i] for i in range(len(many))]


def classify(markov: Markov, embeddings: np.ndarray) -> Classification:
    """embeddings: (n, 384); what is said of one depends on no other"""
    filtered = _filter(markov, embeddings)
    calibrated = filtered.p**markov.beta
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
            "volume_weight": markov.experts[-1].volume_weight,
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
    models = []
    for i, (chains, smoothed, volume) in enumerate(_best_chains(r / scale[:, None], v, k)):
        spread = np.ptp(chains.volume_mean[1]) / chains.volume_scale[1]
        tells = chains.volume_weight[1] and spread > LEAST_STATE_SPREAD
        experts = _shared(
            [
                _expert(chains[row], smoothed.posterior[row], volume, v[i].mean())
                for row in ((0, 1) if tells else (0,))
            ]
        )
        models.append(
            Markov(
                labels=STATE_LABELS[k],
                scale=float(scale[i]),
                experts=experts,
                prior_power=PRIOR_POWER,
                hysteresis=HYSTERESIS[k],
                beta=_beta(experts),
                novelty_percentiles=np.zeros(101),
            )
        )
    return models


def _best_chains(
    x: np.ndarray, v: np.ndarray, k: int
) -> Iterator[tuple[Chains, Smoothed, np.ndarray]]:
    """Of each series two chains, by returns alone and by volumes too, and those volumes (T,).

    Each is the best of 3 starts of 12 steps, run on to 60. The starts of all series go side by
    side; the rest does not, since a series goes on until it gains no more. x, v: (S, T)
    """
    S, starts = len(x), len(START_QUANTILES)
    volume = np.array([_unrelative(path) for path in v])
    volatility = np.array([_volatility(path) for path in x])
    typical = np.stack(
        [
            _log_spaced(volatility, k, *quantiles[k])
            for quantiles in (PRIOR_QUANTILES, VOLUME_PRIOR_QUANTILES)
        ],
        axis=1,
    )
    prior = Prior(typical.reshape(-1, k), np.tile([SIGMA_COUNT, VOLUME_SIGMA_COUNT], S))
    sigma = np.stack([_log_spaced(volatility, k, *ends) for ends in START_QUANTILES], axis=1)
    slope, noise = _volume_by_volatility(x, volume)
    usual = np.log(np.maximum(volatility, LEAST_VOLATILITY)).mean(axis=1)
    mean = slope[:, None, None] * (np.log(sigma) - usual[:, None, None])
    moves = v.std(axis=1) > LEAST_VOLUME_SPREAD
    A = prior.transitions() / prior.transition_count
    B = 2 * S * starts
    chains = Chains(  # axes: series, expert, start
        mu=np.zeros((B, k)),
        sigma=np.repeat(sigma[:, None], 2, axis=1).reshape(B, k),
        nu=np.full(B, len(FREEDOM) // 2),
        transition_matrix=np.repeat(A[None], B, axis=0),
        volume_mean=np.repeat(mean[:, None], 2, axis=1).reshape(B, k),
        volume_scale=np.repeat(noise, 2 * starts),
        volume_weight=(moves[:, None, None] * np.array([[0.0], [1.0]]).repeat(starts, 1)).ravel(),
    )
    each = np.repeat(np.arange(2 * S), starts)
    chains, _, log_posterior = expectation_maximisation(
        x[each // 2], volume[each // 2], chains, prior[each], START_STEPS
    )
    best = log_posterior.reshape(-1, starts).argmax(axis=1) + starts * np.arange(2 * S)
    for i, rows in enumerate(np.arange(2 * S).reshape(S, 2)):
        found, smoothed, _ = expectation_maximisation(
            x[[i, i]], volume[[i, i]], chains[best[rows]], prior[rows], MORE_STEPS, ENOUGH_GAIN
        )
        yield found, smoothed, volume[i]


def _unrelative(v: np.ndarray) -> np.ndarray:
    """(T,) log volume L without its trend: v_t = L_t - the mean of L over the year before."""
    level = [0.0] * VOLUME_YEAR
    year = 0.0  # sum of the last of them
    for relative in (v - v.mean()).tolist():
        level.append(relative + year / VOLUME_YEAR)
        year += level[-1] - level[-1 - VOLUME_YEAR]
    level = np.array(level[VOLUME_YEAR:])
    return level - level.mean()


def _volume_by_volatility(x: np.ndarray, volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope of volume on ln volatility, both smoothed, and noise around it, (S,) each"""
    weights = 0.5 ** (np.abs(np.arange(-40, 41)) / 10)
    weights /= weights.sum()
    smooth = partial(np.apply_along_axis, partial(np.convolve, v=weights, mode="same"), 1)
    ln_volatility = 0.5 * np.log(smooth(x * x) + 1e-6)
    ln_volatility -= ln_volatility.mean(axis=1, keepdims=True)
    slope = (ln_volatility * smooth(volume)).sum(axis=1) / (ln_volatility**2).sum(axis=1)
    noise = (volume - slope[:, None] * ln_volatility).std(axis=1)
    return slope, np.maximum(noise, LEAST_VOLUME_SPREAD)


def _volatility(x: np.ndarray) -> np.ndarray:
    """0.85 × volatility, exponentially weighted with a half-life of 10 days; (T,)"""
    weights = 0.5 ** (np.arange(100) / 10)
    days = len(x)
    total = np.convolve(x * x, weights)[:days]
    return 0.85 * np.sqrt(total / np.convolve(np.ones(days), weights)[:days])


def _log_spaced(volatility: np.ndarray, k: int, low: float, high: float) -> np.ndarray:
    """(S, k) between two quantiles of each series, neighbours LEAST_RATIO apart at least"""
    bottom, top = np.quantile(volatility, [low, high], axis=1)
    bottom = np.maximum(bottom, LEAST_VOLATILITY)
    top = np.maximum(top, LEAST_RATIO[k] ** (k - 1) * bottom)
    return bottom[:, None] * (top / bottom)[:, None] ** np.linspace(0, 1, k)


def _shared(experts: Sequence[Expert]) -> tuple[Expert, ...]:
    """The share of the expert that reads volume is w / (w + 0.4): volume that drifts on its own
    has less to say."""
    *first, last = experts
    share = last.volume_weight / (last.volume_weight + EVEN_WEIGHT) if first else 1.0
    return (*(replace(each, share=1 - share) for each in first), replace(last, share=share))


def _expert(chain: Chains, posterior: np.ndarray, volume: np.ndarray, usual: float) -> Expert:
    """A chain with its states in order.

    posterior: (k, T); volume: (T,) that it was fitted to; usual: the mean relative volume
    """
    order = np.argsort(chain.sigma)
    A = chain.transition_matrix[np.ix_(order, order)]
    stationary = np.linalg.matrix_power(A, 2**14)[0]
    initial = (posterior[order].mean(axis=1) + stationary) / 2
    initial /= initial.sum()
    mean = chain.volume_mean[order] if chain.volume_weight else np.zeros(len(order))
    weight, offsets, chance = 0.0, np.zeros(1), np.ones((len(order), 1))
    if chain.volume_weight:
        weight = _volume_weight(volume - chain.volume_mean @ posterior)
        offsets, chance = _usual_volume(A, stationary, mean)
    return Expert(
        share=1.0,
        mu=chain.mu[order],
        sigma=chain.sigma[order],
        nu=float(FREEDOM[chain.nu]),
        transition_matrix=A,
        volume_weight=weight,
        volume_mean=mean + usual,
        volume_scale=float(chain.volume_scale),
        usual_volume=offsets,
        initial=initial[:, None] * chance,
    )


def _volume_weight(left: np.ndarray) -> float:
    """w = variance / (21 · variance of 21-day means) of what the states leave of volume, (T,):
    21 days of it tell as much as 21w days of pure noise would.
    """
    sums = np.cumsum(np.append(0, left - left.mean()))
    means = (sums[MONTH:] - sums[:-MONTH]) / MONTH
    return float(np.clip(left.var() / (MONTH * means.var()), LEAST_VOLUME_WEIGHT, 1))


def _usual_volume(
    A: np.ndarray, stationary: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the mean of m over the 252 days before a day may be, (U,), and how likely that is
    given the day's state, (k, U).

    With R the chain backwards, E[mean | state] = Σ_j R^j m / 252, and its variance Σ_ij cov_|i-j|
    / 252², where cov_j = Σ_k π_k m_k (R^j m)_k: m centred.
    """
    backwards = A.T * stationary / stationary[:, None]
    m = mean - stationary @ mean
    ago, expected, variance = m, np.zeros(len(m)), VOLUME_YEAR * stationary @ (m * m)
    for days in range(1, VOLUME_YEAR + 1):
        ago = backwards @ ago
        expected += ago / VOLUME_YEAR
        variance += 2 * (VOLUME_YEAR - days) * stationary @ (m * ago)
    variance = max(variance / VOLUME_YEAR**2, 1e-6)
    left = max(variance - stationary @ expected**2, 1e-6)
    offsets = OFFSETS * USUAL_VOLUME_DOUBT * np.sqrt(variance)
    z = (offsets - expected[:, None]) / (USUAL_VOLUME_DOUBT * np.sqrt(left))
    chance = np.exp(-0.5 * z * z)
    return offsets, chance / chance.sum(axis=1, keepdims=True)


def _beta(experts: Sequence[Expert]) -> float:
    """1 + ½ ln(mean stay / 100 days), between 0.4 and 1.

    States that a fit leaves often are those that it mistakes: on simulated markets with and
    without stochastic volatility this β makes p^β / Σp^β the share of labels that are right.
    """
    leave = sum(
        each.share * (1 - each.initial.sum(axis=1) @ np.diag(each.transition_matrix))
        for each in experts
    )
    return float(np.clip(1 - 0.5 * np.log(leave * CALM_STAY_DAYS), LEAST_BETA, 1))


def _knowing_novelty(model: Markov, embeddings: np.ndarray) -> Markov:
    some = embeddings[:: -max(1, len(embeddings) // _SCORED_WINDOWS)]
    scores = _filter(model, some).log_scores
    return replace(model, novelty_percentiles=np.quantile(scores, np.linspace(0, 1, 101)))


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
    # As precise as the embeddings are.
    x, v = (r.T / markov.scale).astype(np.float32), v.T.astype(np.float32)
    parts = [
        _filter_chunk(
            markov,
            np.ascontiguousarray(x[:, first : first + _CHUNK]),
            np.ascontiguousarray(v[:, first : first + _CHUNK]),
        )
        for first in range(0, max(len(embeddings), 1), _CHUNK)
    ]
    return _Filtered(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _filter_chunk(markov: Markov, x: np.ndarray, v: np.ndarray):
    """63 forward steps of each expert, and the label kept through them; x, v: (63, n) float32

    Sums run over states, offsets and experts in a fixed order, never over windows, so that a
    window's numbers never depend on the batch.
    """
    n = x.shape[1]
    prior = _sum(
        [e.share * markov.prior_power * np.log(e.initial.sum(axis=1)) for e in markov.experts]
    )[:, None].astype(np.float32)
    days = [_forward(expert, x, v) for expert in markov.experts]
    shares = [np.float32(expert.share) for expert in markov.experts]
    windows, label = np.arange(n), np.zeros(n, int)
    densities = np.empty_like(x)
    for day, said in enumerate(zip(*days, strict=True)):
        # ln p = Σ share ln p_e; the density of a return is Σ share density_e.
        log_p = _sum(
            [w * np.log(np.maximum(p, 1e-9)) for w, (p, _) in zip(shares, said, strict=True)]
        )
        densities[day] = _sum([w * density for w, (_, density) in zip(shares, said, strict=True)])

        # The label stays unless another's p / π^0.7 is e^hysteresis times its own.
        odds = log_p - prior
        best = odds.argmax(axis=0)
        change = odds[best, windows] > markov.hysteresis + odds[label, windows]
        label = best if day == 0 else np.where(change, best, label)
    p = np.exp(log_p.astype(float))
    log_scores = np.log(densities)
    return p / _sum(p), label, _sum(log_scores) / len(x), log_scores[-1]


def _forward(expert: Expert, x: np.ndarray, v: np.ndarray) -> Iterator:
    """(k, n) P(state | days so far) and (n,) the density of the day's return, day by day

    Axes: state, usual volume, window; in place where an array has all three.
    """
    A = expert.transition_matrix[:, :, None, None].astype(np.float32)
    mu, sigma = (each[:, None].astype(np.float32) for each in (expert.mu, expert.sigma))
    x = np.clip(x, mu[-1] - _FARTHEST * sigma[-1], mu[-1] + _FARTHEST * sigma[-1])
    level = (expert.volume_mean[:, None] - expert.usual_volume)[:, :, None].astype(np.float32)
    steepness = np.float32(-expert.volume_weight / 2 / expert.volume_scale**2)
    least = np.float32(-expert.volume_weight * VOLUME_LIMIT)
    p = np.repeat(expert.initial[:, :, None].astype(np.float32), x.shape[1], axis=2)
    arrived, part = np.empty_like(p), np.empty_like(p)
    traded = np.zeros_like(x[0])  # volume of the window so far, over the usual one
    for today, volume in zip(x, v, strict=True):
        np.multiply(A[0], p[0], out=arrived)
        for i in range(1, len(A)):
            arrived += np.multiply(A[i], p[i], out=part)
        p, arrived = arrived, p
        z = (today - mu) / sigma
        p *= (student_t(z * z, expert.nu) / sigma)[:, None]
        state = p.sum(axis=1)
        density = total = _sum(state)
        if expert.volume_weight:
            # v is relative to a year that the window's own days enter one by one.
            volume = volume + traded / VOLUME_YEAR
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


def _sum(terms):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
