"""Nearest prototype: the label of an embedding is that of the nearest mean embedding.

docs/formulas.md has the formulas and their sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from regime_engine.arrays import Floats, Floats32, Indices
from regime_engine.classifiers.classification import (
    STATE_LABELS,
    Classification,
    Learned,
    arrays,
    percentile_of,
    percentiles,
)
from regime_engine.encoders import DEFAULT, Encoder, regime_core
from regime_engine.errors import RegimeError

SEED_LABEL = "NEUTRAL"
JUMP_PENALTY = 100.0  # a switch costs as much as this squared distance
WINDOWS_A_STATE = 21
_STARTS, _ROUNDS = 3, 30
_LEAST_DEVIATION = 1e-6

_STATISTICS = regime_core.STATISTICS_PLACES
_VOLATILITY = DEFAULT.LAYOUT.index("ln_volatility_half_life_8")


@dataclass(frozen=True)
class Prototypes(Learned):
    """labels: k names; centers: (k, d); temperature: a distance, > 0
    novelty_percentiles: (101,) of the distances from training windows to their nearest centre

    mean, scale: (d,) of the training embeddings, by which embeddings are standardised; a number
        with scale 0 does not count. None: distances are between the embeddings as they are.
    """

    centers: Floats
    temperature: float
    novelty_percentiles: Floats
    mean: Floats | None = None
    scale: Floats | None = None


def from_json(labels: Sequence[Any], parameters: Mapping[str, Any]) -> Prototypes:
    """What `to_json` wrote; raises ValueError for another number of labels."""
    prototypes = Prototypes(labels=tuple(labels), **arrays(parameters))
    if len(prototypes.centers) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(prototypes.centers)} centres")
    return prototypes


def train(
    embeddings: Floats32, encoder: Encoder, n_states: int = 4, labels: ArrayLike | None = None
) -> Prototypes:
    """`fit` to labelled windows; without labels, `fit_k_means` to consecutive trading days."""
    if labels is None:
        return fit_k_means(embeddings, n_states)
    return fit(embeddings, labels, standardise=encoder.SCALE_FREE)


def scores(
    prototypes: Prototypes, embeddings: Floats32, labels: ArrayLike | None = None
) -> dict[str, float]:
    """Mean distance to the nearest centre, in temperatures; with labels, the share that is met."""
    classification = classify(prototypes, embeddings)
    nearest = classification.evidence["distances"].min(axis=1)
    scores = {"mean_distance": float(nearest.mean() / prototypes.temperature)}
    if labels is not None:
        given = np.array(classification.labels)[classification.winners]
        scores["accuracy"] = float(np.mean(given == np.asarray(labels)))
    return scores


def fit(embeddings: Floats32, labels: ArrayLike, standardise: bool = False) -> Prototypes:
    """Each centre is the mean embedding of a label.

    embeddings: (n, d); labels: n
    standardise: for num-regime-core-v2 and -v3: distances are between their statistics alone, each
        less its training mean and over its training deviation
    """
    names, members = np.unique(np.asarray(labels), return_inverse=True)
    mean, scale = _moments_of_statistics(embeddings) if standardise else (None, None)
    points = standardised(embeddings, mean, scale)
    prototypes = _around(points, members, tuple(names.tolist()))
    return replace(prototypes, mean=mean, scale=scale)


def fit_k_means(
    embeddings: Floats32, n_states: int = 4, jump_penalty: float = JUMP_PENALTY
) -> Prototypes:
    """Centres and states of consecutive days that minimise Σ_t ‖x_t - c_{s_t}‖² + penalty · jumps:
    a jump model (Bemporad and others 2018).

    embeddings: (n, 384) of num-regime-core-v2 or -v3
    States are named in the order of their volatility.
    """
    if n_states not in STATE_LABELS:
        raise RegimeError(f"prototypes have 2, 3 or 4 states, not {n_states}")
    needed = n_states * WINDOWS_A_STATE
    if len(embeddings) < needed:
        raise RegimeError(
            f"prototypes of {n_states} states need {needed} training windows, and there are "
            f"{len(embeddings)}: train on a longer stretch"
        )
    mean, scale = _moments_of_statistics(embeddings)
    points = standardised(embeddings, mean, scale)
    volatility = embeddings[:, _VOLATILITY].astype(float)
    best, least = None, np.inf
    for start in range(_STARTS):
        # Days in groups of rising volatility, whose borders differ from start to start.
        borders = np.linspace(0, 1, n_states + 1)[1:-1] ** (1 / (1 + 0.5 * start))
        members = np.searchsorted(np.quantile(volatility, borders), volatility)
        members, cost = _descend(points, members, n_states, jump_penalty)
        if cost < least and len(np.unique(members)) == n_states:
            best, least = members, cost
    if best is None:
        raise RegimeError(
            f"the training windows do not fall into {n_states} groups at a jump penalty of "
            f"{jump_penalty:g}: ask for fewer states or a smaller penalty"
        )
    order = np.argsort([volatility[best == k].mean() for k in range(n_states)])
    prototypes = _around(points, np.argsort(order)[best], STATE_LABELS[n_states])
    return replace(prototypes, mean=mean, scale=scale)


def _descend(
    points: Floats, members: Indices, k: int, jump_penalty: float
) -> tuple[Indices, float]:
    """Centres and states in turn, until no state changes: the states (n,) and their cost.

    points: (n, d); members: (n,) the states to begin with
    """
    cost = np.inf
    for _ in range(_ROUNDS):
        centers = _means(points, members, k)
        costs = np.stack([((points - center) ** 2).sum(axis=1) for center in centers], axis=1)
        moved, cost = assign(costs, jump_penalty)
        if (moved == members).all():
            break
        members = moved
    return members, cost


def assign(costs: Floats, jump_penalty: float) -> tuple[Indices, float]:
    """The states (n,) of least Σ_t costs[t, s_t] + penalty · #{s_t ≠ s_{t-1}}, and that sum.

    costs: (n, k); by dynamic programming
    """
    # reached[t, k]: the least sum up to day t that ends in state k.
    reached = np.empty_like(costs)
    reached[0] = costs[0]
    for t in range(1, len(costs)):
        reached[t] = costs[t] + np.minimum(reached[t - 1], reached[t - 1].min() + jump_penalty)
    states = np.empty(len(costs), np.intp)
    states[-1] = reached[-1].argmin()
    for t in range(len(costs) - 2, -1, -1):
        stay = states[t + 1]
        other = reached[t].argmin()
        states[t] = stay if reached[t, stay] <= reached[t, other] + jump_penalty else other
    return states, float(reached[-1].min())


def standardised(embeddings: Floats32, mean: Floats | None, scale: Floats | None) -> Floats:
    """(x - mean) / scale, 0 where scale is 0; x itself without mean and scale.

    embeddings: (n, d); mean, scale: (d,); returns (n, d)
    """
    if mean is None or scale is None:
        return embeddings.astype(float)
    counts = scale > 0
    return np.where(counts, (embeddings - mean) / np.where(counts, scale, 1), 0)


def _moments_of_statistics(embeddings: Floats32) -> tuple[Floats, Floats]:
    """Mean and deviation of the named statistics, (d,) each; 0 for all other numbers.

    embeddings: (n, 384)
    """
    if embeddings.shape[1] != regime_core.DIMENSION:
        raise RegimeError(
            f"standardised prototypes read {DEFAULT.MODEL_ID}: embeddings of "
            f"{regime_core.DIMENSION} numbers, not {embeddings.shape[1]}"
        )
    mean, scale = np.zeros((2, embeddings.shape[1]))
    statistics = embeddings[:, _STATISTICS].astype(float)
    mean[_STATISTICS] = statistics.mean(axis=0)
    deviation = statistics.std(axis=0)
    scale[_STATISTICS] = np.where(deviation > _LEAST_DEVIATION, deviation, 0)
    return mean, scale


def _means(points: Floats, members: Indices, k: int) -> Floats:
    """The mean point of each state, (k, d); for a state without members, the mean of all points.

    points: (n, d); members: (n,) the state of each
    """
    of_states = [points[members == j] for j in range(k)]
    return np.stack([(some if len(some) else points).mean(axis=0) for some in of_states])


def _around(points: Floats, members: Indices, labels: tuple[Any, ...]) -> Prototypes:
    """Prototypes whose temperature is the mean distance from a point to its own centre.

    points: (n, d), standardised if they are to be; members: (n,) indices of labels
    """
    centers = _means(points, members, len(labels))
    temperature = float(np.linalg.norm(points - centers[members], axis=1).mean())
    return Prototypes(
        labels=labels,
        centers=centers,
        # One window a label lies on its centre; any positive temperature then ranks alike.
        temperature=temperature or 1.0,
        novelty_percentiles=percentiles(_distances(points, centers).min(axis=1)),
    )


def _distances(points: Floats, centers: Floats) -> Floats:
    """points: (n, d); centers: (k, d); returns (n, k)

    One centre at a time: an array (n, k, d) would not fit the processor's cache.
    """
    return np.stack([np.linalg.norm(points - center, axis=1) for center in centers], axis=1)


def classify(prototypes: Prototypes, embeddings: Floats32) -> Classification:
    """The nearest centre, with P(k) = softmax(-‖x - c_k‖ / temperature).

    embeddings: (n, d)
    """
    points = standardised(embeddings, prototypes.mean, prototypes.scale)
    distances = _distances(points, prototypes.centers)
    nearest = distances.min(axis=1)
    weights = np.exp((nearest[:, None] - distances) / prototypes.temperature)
    return Classification(
        labels=prototypes.labels,
        winners=distances.argmin(axis=1),
        probabilities=weights / weights.sum(axis=1, keepdims=True),
        evidence={"distances": distances},
        constants={"temperature": prototypes.temperature},
        novelty=percentile_of(nearest, prototypes.novelty_percentiles),
    )


def seed_rule(embeddings: Floats32) -> Classification:
    """For a series without a model: each embedding is its own single centre, NEUTRAL.

    embeddings: (n, d)
    """
    n = len(embeddings)
    return Classification(
        labels=(SEED_LABEL,),
        winners=np.zeros(n, np.intp),
        probabilities=np.ones((n, 1)),
        evidence={"distances": np.zeros((n, 1))},
        constants={"temperature": 1.0},
    )
