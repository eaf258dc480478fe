"""A hidden Markov chain with Student-t returns and volumes: forward-backward scan and MAP-EM.

Shapes: B chains side by side (experts × starts), T days, k states. Days are cut into about √T
blocks of √T days; each recursion goes through the days of all blocks at once, so that 5,000 days
take about 70 steps of Python.

docs/formulas.md has the formulas and their sources.
"""

from dataclasses import dataclass, replace
from math import lgamma
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import F, Floats, Indices

FREEDOM = np.array([3.0, 4, 5, 6, 8, 12, 20, 60])  # the ν that a chain can have
_LN_FREEDOM_PRIOR = -2 * np.log(FREEDOM / 7) ** 2
_LN_T_CONSTANT = np.array(
    [lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * np.pi) for nu in FREEDOM]
)
_RESCALE_EVERY = 16  # steps of a recursion between normalisations: far from underflow
_SMALLEST = 1e-100
_FREEDOM_EVERY = 3  # steps of the fit between searches for ν, which moves little and costs most

VOLUME_LIMIT = 6.0  # nats that the volume of one day can speak against a state
# Pseudo-counts of the prior, and the mean stay in a state that it expects.
_MU_COUNT, TRANSITION_COUNT, _VOLUME_COUNT, _STAY_DAYS = 30.0, 60.0, 10.0, 60.0
_LEAST_VOLUME_SCALE = 0.01
_MOST_VOLUME_PERSISTENCE = 0.9


@dataclass(frozen=True)
class Chains:
    """B chains: x | state ~ t_ν(μ, σ), with their prior.

    mu, sigma: (B, k); nu: (B,) index into FREEDOM; transition_matrix: (B, k, k)
    typical_sigma: (B, k) τ, the prior of σ; sigma_count: (B,) its pseudo-count
    volume_mean: (B, k); volume_scale: (B,), the noise around it
    volume_weight: (B,) the share of a day's volume that its neighbours do not tell already; 0 for
        a chain that reads returns alone
    """

    mu: Floats
    sigma: Floats
    nu: Indices
    transition_matrix: Floats
    typical_sigma: Floats
    sigma_count: Floats
    volume_mean: Floats
    volume_scale: Floats
    volume_weight: Floats

    def __getitem__(self, rows: int | slice | Indices) -> "Chains":
        return Chains(**{name: each[rows] for name, each in vars(self).items()})


class Smoothed(NamedTuple):
    """What all days together say of each day.

    log_likelihood: (B,); posterior: (B, k, T); transitions: (B, k, k) expected counts
    """

    log_likelihood: Floats
    posterior: Floats
    transitions: Floats


def forward_backward(likelihood: Floats, A: Floats) -> Smoothed:
    """The exact smoothed posterior (Baum and others 1970), by blocks; before the first day all
    states are equally likely.

    likelihood: (B, k, T) of each day and state, above 0; A: (B, k, k) transition matrices
    """
    chains, k, days = likelihood.shape
    highest = likelihood.max(axis=1)  # (B, T)
    e = _blocks(likelihood, highest)
    product, ln_scale = _products(e, A)
    log_likelihood = np.log(highest).sum(axis=1) + ln_scale.sum(axis=1)
    before, after, log_likelihood = _between_blocks(product, log_likelihood)
    filtered, beta = _filtered(e, A, before), _backward(e, A, after)

    # γ = αβ / Σ αβ
    posterior = filtered * beta
    total = posterior.sum(axis=3, keepdims=True)
    posterior /= total

    # Σ_t ξ_ij = A_ij Σ_t α_i,t-1 e_jt β_jt / Σ αβ
    leaving = np.concatenate([before[None], filtered[:-1]])
    # A rescaled α is filtered over its sum: what the next day was predicted from.
    for t in range(_RESCALE_EVERY, len(e), _RESCALE_EVERY):
        leaving[t] /= leaving[t].sum(axis=2, keepdims=True)
    leaving = leaving.transpose(1, 2, 0, 3).reshape(chains, -1, k)
    arriving = (e * beta / total).transpose(1, 3, 2, 0).reshape(chains, k, -1)
    counts = arriving[:, :, :days] @ leaving[:, :days]  # (B, j, i)
    posterior = posterior.transpose(1, 3, 2, 0).reshape(chains, k, -1)[:, :, :days]
    return Smoothed(log_likelihood, posterior, transitions=A * counts.transpose(0, 2, 1))


def _blocks(likelihood: Floats, highest: Floats) -> Floats:
    """e = likelihood over the day's highest, by blocks: (days of a block, B, blocks, k).

    likelihood: (B, k, T); highest: (B, T). The days past the end are 1: they say nothing.
    """
    chains, k, days = likelihood.shape
    length = max(int(days**0.5), 1)
    blocks = -(-days // length)
    e = np.ones((chains, k, blocks * length))
    np.divide(likelihood, highest[:, None], out=e[:, :, :days])
    np.maximum(e, _SMALLEST, out=e)
    return np.ascontiguousarray(e.reshape(chains, k, blocks, length).transpose(3, 0, 2, 1))


def _products(e: Floats, A: Floats) -> tuple[Floats, Floats]:
    """Π_t A diag(e_t) of the days of each block, (B, blocks, k, k), and the ln of the scale that is
    taken out of it, (B, blocks)."""
    length, chains, blocks, k = e.shape
    product = np.broadcast_to(np.eye(k), (chains, blocks, k, k))
    ln_scale = np.zeros((chains, blocks))
    for t in range(length):
        product = (product.reshape(chains, -1, k) @ A).reshape(product.shape)
        product *= e[t][:, :, None]
        if t % _RESCALE_EVERY == _RESCALE_EVERY - 1 or t == length - 1:
            scale = product.max(axis=(2, 3))
            product /= scale[:, :, None, None]
            ln_scale += np.log(scale)
    return product, ln_scale


def _between_blocks(product: Floats, log_likelihood: Floats) -> tuple[Floats, Floats, Floats]:
    """α before and β after each block, (B, blocks, k); the log likelihood with all blocks, (B,).

    product: (B, blocks, k, k); log_likelihood: (B,) of the scales that product lacks
    """
    chains, blocks, k, _ = product.shape
    before, after = np.empty((2, chains, blocks, k))
    alpha, beta = np.full((chains, 1, k), 1 / k), np.ones((chains, k, 1))
    for block in range(blocks):
        before[:, block] = alpha[:, 0]
        alpha = alpha @ product[:, block]
        total = alpha.sum(axis=2, keepdims=True)
        alpha = alpha / total
        log_likelihood = log_likelihood + np.log(total[:, 0, 0])
    for block in reversed(range(blocks)):
        after[:, block] = beta[:, :, 0]
        beta = product[:, block] @ beta
        beta = beta / beta.sum(axis=1, keepdims=True)
    return before, after, log_likelihood


def _filtered(e: Floats, A: Floats, before: Floats) -> Floats:
    """α_jt ∝ e_jt Σ_i α_i,t-1 A_ij of each day, (days of a block, B, blocks, k)"""
    filtered, predicted, alpha = np.empty_like(e), np.empty_like(before), before
    for t in range(len(e)):
        np.matmul(alpha, A, out=predicted)
        alpha = np.multiply(predicted, e[t], out=filtered[t])
        if t % _RESCALE_EVERY == _RESCALE_EVERY - 1:
            alpha = alpha / alpha.sum(axis=2, keepdims=True)
    return filtered


def _backward(e: Floats, A: Floats, after: Floats) -> Floats:
    """β_it ∝ Σ_j A_ij e_j,t+1 β_j,t+1 of each day, (days of a block, B, blocks, k)"""
    beta, b = np.empty_like(e), after
    A_transposed = np.ascontiguousarray(A.transpose(0, 2, 1))
    for t in reversed(range(len(e))):
        beta[t] = b
        b = (b * e[t]) @ A_transposed
        if t % _RESCALE_EVERY == 0:
            b = b / b.sum(axis=2, keepdims=True)
    return beta


def student_t(z_squared: NDArray[F], nu: float) -> NDArray[F]:
    """Density of Student's t with unit scale, c·(1 + z²/ν)^-((ν+1)/2).

    z_squared: any shape; nu: one of FREEDOM

    Computed by products and a square root, since ν + 1 is a whole number: the same on every
    processor to the last bits, and many times faster than logarithms.
    """
    base = (1 / (1 + z_squared / nu)).astype(z_squared.dtype, copy=False)
    halves = int(nu) + 1
    density = np.sqrt(base) if halves % 2 else np.ones_like(base)
    density *= float(np.exp(_LN_T_CONSTANT[FREEDOM.searchsorted(nu)]))
    power = halves // 2
    while power:
        if power % 2:
            density *= base
        power //= 2
        if power:
            base *= base
    return density


def returns_likelihood(x: Floats, chains: Chains) -> tuple[Floats, Floats]:
    """t_ν(x | μ_k, σ_k) and z² = ((x - μ_k) / σ_k)² of each day and state.

    x: (B, T); returns (B, k, T) each
    """
    sigma = chains.sigma[:, :, None]
    z_squared = ((x[:, None] - chains.mu[:, :, None]) / sigma) ** 2
    unit = [student_t(z, nu) for z, nu in zip(z_squared, FREEDOM[chains.nu], strict=True)]
    return np.array(unit) / sigma, z_squared


def volume_likelihood(volume: Floats, chains: Chains) -> Floats:
    """(exp(-½z²) / s)^w with z = (volume - m_k) / s and ½z² ≤ 6, of each day and state.

    volume: (B, T); returns (B, k, T)
    """
    scale, weight = chains.volume_scale[:, None, None], chains.volume_weight[:, None, None]
    z = (volume[:, None] - chains.volume_mean[:, :, None]) / scale
    likelihood: Floats = np.exp(-weight * np.minimum(0.5 * z * z, VOLUME_LIMIT)) / scale**weight
    return likelihood


def transition_counts(k: int) -> Floats:
    """The prior of the transitions: (k, k) pseudo-counts, off the diagonal ∝ 4^-(|i - j| - 1)"""
    states = np.arange(k)
    away = 4.0 ** (1 - np.abs(states[:, None] - states))
    np.fill_diagonal(away, 0)
    leave = away / away.sum(axis=1, keepdims=True) / _STAY_DAYS
    return np.asarray(TRANSITION_COUNT * (leave + (1 - 1 / _STAY_DAYS) * np.eye(k)))


def _log_prior(chains: Chains) -> Floats:
    """What the prior adds to the log likelihood, up to a constant, (B,)"""
    variance, count = chains.sigma**2, chains.sigma_count[:, None]
    scatter = count * chains.typical_sigma**2 + _MU_COUNT * chains.mu**2
    counts = transition_counts(chains.mu.shape[1])
    return np.asarray(
        _LN_FREEDOM_PRIOR[chains.nu]
        - 0.5 * (count * np.log(variance) + scatter / variance).sum(axis=1)
        + (counts * np.log(chains.transition_matrix)).sum(axis=(1, 2))
    )


def expectation_maximisation(
    x: Floats, volume: Floats, chains: Chains, steps: int, tolerance: float = -np.inf
) -> tuple[Chains, Smoothed, Floats]:
    """Steps of EM for the posterior's maximum (Dempster, Laird and Rubin 1977; Student-t: Peel and
    McLachlan 2000). It stops early when no chain gains more than the tolerance.

    x: (B, T); volume: (B, T) with mean 0
    returns the chains, their smoothed days and their log posterior, (B,)
    """
    reads_volume = np.flatnonzero(chains.volume_weight)
    reached = np.full(len(x), -np.inf)
    step = 0
    while True:
        likelihood, z_squared = returns_likelihood(x, chains)
        likelihood[reads_volume] *= volume_likelihood(volume[reads_volume], chains[reads_volume])
        smoothed = forward_backward(likelihood, chains.transition_matrix)
        log_posterior = smoothed.log_likelihood + _log_prior(chains)
        if step == steps or (log_posterior - reached < tolerance).all():
            return chains, smoothed, log_posterior
        reached = log_posterior
        chains = _maximise(x, chains, smoothed, z_squared)
        if step % _FREEDOM_EVERY == 0:
            chains = replace(chains, nu=_better_nu(x, chains, smoothed.posterior))
        chains = _with_volume(volume, chains, smoothed.posterior, reads_volume)
        step += 1


def _maximise(x: Floats, chains: Chains, smoothed: Smoothed, z_squared: Floats) -> Chains:
    """μ, σ and the transition matrix of the highest posterior, given the smoothed days.

    x: (B, T); z_squared: (B, k, T)
    """
    gamma = smoothed.posterior
    nu = FREEDOM[chains.nu][:, None, None]
    weight = gamma * ((nu + 1) / (nu + z_squared))  # γu, u = (ν + 1) / (ν + z²); (B, k, T)

    # μ = Σ γux / (Σ γu + 30)
    weights = weight.sum(axis=2)
    weighted_x = (weight @ x[:, :, None])[:, :, 0]
    mu = weighted_x / (weights + _MU_COUNT)

    # σ² = (Σ γu(x - μ)² + 30μ² + nτ²) / (Σ γ + n), n = sigma_count
    squares = (weight @ (x * x)[:, :, None])[:, :, 0] - 2 * mu * weighted_x + mu**2 * weights
    count = chains.sigma_count[:, None]
    squares = squares + _MU_COUNT * mu**2 + count * chains.typical_sigma**2
    sigma = np.sqrt(squares / (gamma.sum(axis=2) + count))

    # A_ij = (ξ_ij + α_ij) / Σ_j (ξ_ij + α_ij)
    transitions = smoothed.transitions + transition_counts(mu.shape[1])
    transitions /= transitions.sum(axis=2, keepdims=True)
    return replace(chains, mu=mu, sigma=sigma, transition_matrix=transitions)


def _with_volume(
    volume: Floats, chains: Chains, posterior: Floats, reads_volume: Indices
) -> Chains:
    """The chains with the volume of each state, in those that read it.

    volume: (B, T); posterior: (B, k, T) γ; reads_volume: (R,) rows of the chains that read it
    """
    volume, gamma = volume[reads_volume], posterior[reads_volume]
    # m = Σ γv / (Σ γ + 10)
    days, weighted = gamma.sum(axis=2), (gamma @ volume[:, :, None])[:, :, 0]
    m = weighted / (days + _VOLUME_COUNT)
    # s² = Σ_t Σ_k γ(v - m)² / T
    squares = (volume**2).sum(axis=1) + (m * (m * days - 2 * weighted)).sum(axis=1)
    s = np.sqrt(squares / volume.shape[1])
    # w = (1 - ρ) / (1 + ρ), ρ the lag-1 autocorrelation of what the states leave of volume: T such
    # days tell as much as wT independent ones (Bayley and Hammersley 1946).
    left = volume - (m[:, None] @ gamma)[:, 0]
    rho = (left[:, 1:] * left[:, :-1]).sum(axis=1) / (left**2).sum(axis=1)
    rho = np.clip(rho, 0, _MOST_VOLUME_PERSISTENCE)

    mean, scale = chains.volume_mean.copy(), chains.volume_scale.copy()
    weight = chains.volume_weight.copy()
    mean[reads_volume] = m
    scale[reads_volume] = np.maximum(s, _LEAST_VOLUME_SCALE)
    weight[reads_volume] = (1 - rho) / (1 + rho)
    return replace(chains, volume_mean=mean, volume_scale=scale, volume_weight=weight)


def _better_nu(x: Floats, chains: Chains, posterior: Floats) -> Indices:
    """The best ν among the present one and its neighbours in FREEDOM, (B,).

    x: (B, T); posterior: (B, k, T)
    """
    candidates = np.clip(chains.nu + np.array([[0], [-1], [1]]), 0, len(FREEDOM) - 1)
    expected = []
    for nu in candidates:
        ln_likelihood = np.log(returns_likelihood(x, replace(chains, nu=nu))[0])
        expected.append((posterior * ln_likelihood).sum(axis=(1, 2)) + _LN_FREEDOM_PRIOR[nu])
    return np.asarray(candidates[np.argmax(expected, axis=0), np.arange(len(x))])
