"""Nearest prototype: a label is where its mean embedding is nearest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from regime_engine.classifiers import STATE_LABELS, Classification
from regime_engine.encoders import num_regime_core_v2
from regime_engine.errors import RegimeError

SEED_LABEL = "NEUTRAL"
JUMP_PENALTY = 100.0  # a switch costs as much as this much squared distance
WINDOWS_A_STATE = 21
_STARTS, _ROUNDS = 3, 30


@dataclass(frozen=True)
class Prototypes:
    """labels: k names; centers: (k, d) float64; temperature: a distance, > 0
    novelty_percentiles: (101,) of the distances from training windows to their nearest centre

    mean, scale: (d,) of the training embeddings, that distances are standardised by; a number
        of scale 0 does not count. None: distances are of the embeddings as they are.
    """

    labels: tuple[str, ...]
    centers: np.ndarray
    temperature: float
    novelty_percentiles: np.ndarray
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    def to_json(self) -> dict[str, object]:
        parameters = {
            "centers": self.centers.tolist(),
            "temperature": self.temperature,
            "novelty_percentiles": self.novelty_percentiles.tolist(),
        }
        if self.mean is not None:
            parameters |= {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        return parameters

    def standardised(self, embeddings: np.ndarray) -> np.ndarray:
        """(n, d) float64, in the units of the centres"""
        if self.mean is None:
            return embeddings.astype(float)
        counts = self.scale > 0
        return np.where(counts, (embeddings - self.mean) / np.where(counts, self.scale, 1), 0)


def from_json(labels: Sequence[str], parameters: dict) -> Prototypes:
    mean, scale = (
        None if name not in parameters else np.array(parameters[name], float)
        for name in ("mean", "scale")
    )
    centers = np.array(parameters["centers"], float)
    if len(centers) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(centers)} centres")
    return Prototypes(
        tuple(labels),
        centers,
        parameters["temperature"],
        np.array(parameters["novelty_percentiles"], float),
        mean,
        scale,
    )


def train(
    embeddings: np.ndarray,
    encoder: ModuleType,
    n_states: int = 4,
    labels: Sequence[str] | None = None,
) -> Prototypes:
    """`fit` to labelled windows, else `fit_k_means` to those of consecutive trading days."""
    if labels is None:
        return fit_k_means(embeddings, n_states)
    return fit(embeddings, labels, standardise=encoder.SCALE_FREE)


def scores(
    prototypes: Prototypes, embeddings: np.ndarray, labels: Sequence[str] | None = None
) -> dict[str, float]:
    """Mean distance to the nearest centre in temperatures, and how many labels are met."""
    told = classify(prototypes, embeddings)
    nearest = told.evidence["distances"].min(axis=1)
    scores = {"mean_distance": float(nearest.mean() / prototypes.temperature)}
    if labels is not None:
        given = np.array(told.labels)[told.winners]
        scores["accuracy"] = float(np.mean(given == np.asarray(labels)))
    return scores


def fit(embeddings: np.ndarray, labels: Sequence[str], standardise: bool = False) -> Prototypes:
    """Centres are mean embeddings; the temperature is the mean distance from window to centre.

    embeddings: (n, d); labels: n names
    standardise: of num-regime-core-v2, by the mean and deviation of the statistics it is fitted
        on, which alone count then
    """
    names, members = np.unique(np.asarray(labels), return_inverse=True)
    if standardise:
        mean, scale = _statistics_moments(embeddings)
    else:
        mean, scale = None, None
    plain = Prototypes(tuple(names.tolist()), np.empty(0), 1.0, np.empty(0), mean, scale)
    return _around(plain, plain.standardised(embeddings), members)


def fit_k_means(
    embeddings: np.ndarray, n_states: int = 4, jump_penalty: float = JUMP_PENALTY
) -> Prototypes:
    """k-means of consecutive trading days whose assignment pays jump_penalty for each switch.

    embeddings: (n, 384) of num-regime-core-v2; states are named in the order of their volatility
    """
    if n_states not in STATE_LABELS:
        raise RegimeError(f"prototypes have 2, 3 or 4 states, not {n_states}")
    needed = n_states * WINDOWS_A_STATE
    if len(embeddings) < needed:
        raise RegimeError(
            f"prototypes of {n_states} states need {needed} training windows, and there are "
            f"{len(embeddings)}: train on a longer stretch"
        )
    plain = Prototypes(
        STATE_LABELS[n_states], np.empty(0), 1.0, np.empty(0), *_statistics_moments(embeddings)
    )
    points = plain.standardised(embeddings)
    volatility = embeddings[:, _VOLATILITY].astype(float)
    best, least = None, np.inf
    for start in range(_STARTS):
        # Days in groups of rising volatility, whose borders each start draws elsewhere.
        borders = np.linspace(0, 1, n_states + 1)[1:-1] ** (1 / (1 + 0.5 * start))
        members = np.searchsorted(np.quantile(volatility, borders), volatility)
        for _ in range(_ROUNDS):
            centers = _means(points, members, n_states)
            costs = np.stack([((points - center) ** 2).sum(axis=1) for center in centers], axis=1)
            moved, cost = assign(costs, jump_penalty)
            if (moved == members).all():
                break
            members = moved
        if cost < least and len(np.unique(members)) == n_states:
            best, least = members, cost
    if best is None:
        raise RegimeError(
            f"the training windows do not fall into {n_states} groups at a jump penalty of "
            f"{jump_penalty:g}: ask for fewer states or a smaller penalty"
        )
    order = np.argsort([volatility[best == k].mean() for k in range(n_states)])
    return _around(plain, points, np.argsort(order)[best])


def assign(costs: np.ndarray, jump_penalty: float) -> tuple[np.ndarray, float]:
    """The states (n,) of least Σ_t costs[t, s_t] + penalty · #{s_t ≠ s_t-1}, and that sum.

    costs: (n, k); by dynamic programming
    """
    reached = np.empty_like(costs)  # least sum up to day t that ends in state k
    reached[0] = costs[0]
    for t in range(1, len(costs)):
        reached[t] = costs[t] + np.minimum(reached[t - 1], reached[t - 1].min() + jump_penalty)
    states = np.empty(len(costs), int)
    states[-1] = reached[-1].argmin()
    for t in range(len(costs) - 2, -1, -1):
        stay = states[t + 1]
        other = reached[t].argmin()
        states[t] = stay if reached[t, stay] <= reached[t, other] + jump_penalty else other
    return states, float(reached[-1].min())


_STATISTICS = slice(
    num_regime_core_v2.LAYOUT.index(num_regime_core_v2.STATISTICS[0]),
    num_regime_core_v2.LAYOUT.index(num_regime_core_v2.STATISTICS[-1]) + 1,
)
_VOLATILITY = num_regime_core_v2.LAYOUT.index("ln_volatility_half_life_8")


def _statistics_moments(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, (d,), of the named statistics; 0 for all other numbers."""
    if embeddings.shape[1] != num_regime_core_v2.DIMENSION:
        raise RegimeError(
            f"standardised prototypes read {num_regime_core_v2.MODEL_ID}: embeddings of "
            f"{num_regime_core_v2.DIMENSION} numbers, not {embeddings.shape[1]}"
        )
    mean, scale = np.zeros((2, embeddings.shape[1]))
    statistics = embeddings[:, _STATISTICS].astype(float)
    mean[_STATISTICS] = statistics.mean(axis=0)
    deviation = statistics.std(axis=0)
    scale[_STATISTICS] = np.where(deviation > 1e-6, deviation, 0)
    return mean, scale


def _means(points: np.ndarray, members: np.ndarray, k: int) -> np.ndarray:
    """(k, d) mean point of each state; of a state without members, the mean of all"""
    return np.stack(
        [points[members == j].mean(axis=0) if (members == j).any() else points.mean(axis=0)
         for j in range(k)]
    )  # fmt: skip


def _around(plain: Prototypes, points: np.ndarray, members: np.ndarray) -> Prototypes:
    centers = _means(points, members, len(plain.labels))
    temperature = float(np.linalg.norm(points - centers[members], axis=1).mean())
    nearest = _distances(points, centers).min(axis=1)
    return replace(
        plain,
        centers=centers,
        # One window a label lies on its centre; any positive temperature then ranks alike.
        temperature=temperature or 1.0,
        novelty_percentiles=np.quantile(nearest, np.linspace(0, 1, 101)),
    )


def _distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(n, k); a centre at a time, since an array (n, k, d) would not fit the cache"""
    return np.stack([np.linalg.norm(points - center, axis=1) for center in centers], axis=1)


def classify(prototypes: Prototypes, embeddings: np.ndarray) -> Classification:
    """Nearest centre by Euclidean distance; probabilities are softmax(-distance / temperature).

    embeddings: (n, d) float32
    """
    distances = _distances(prototypes.standardised(embeddings), prototypes.centers)
    nearest = distances.min(axis=1)
    logits = (nearest[:, None] - distances) / prototypes.temperature
    weights = np.exp(logits)
    return Classification(
        labels=prototypes.labels,
        winners=distances.argmin(axis=1),
        probabilities=weights / weights.sum(axis=1, keepdims=True),
        evidence={"distances": distances},
        constants={"temperature": prototypes.temperature},
        novelty=np.interp(nearest, prototypes.novelty_percentiles, np.arange(101.0)),
    )


def seed_rule(embeddings: np.ndarray) -> Classification:
    """Where no model is fitted: each embedding is its own single centre, NEUTRAL.

    embeddings: (n, d)
    """
    n = len(embeddings)
    return Classification(
        labels=(SEED_LABEL,),
        winners=np.zeros(n, int),
        probabilities=np.ones((n, 1)),
        evidence={"distances": np.zeros((n, 1))},
        constants={"temperature": 1.0},
    )
