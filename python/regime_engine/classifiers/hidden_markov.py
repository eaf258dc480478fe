"""A hidden Markov chain with Student-t returns, and volumes: its forward-backward scan, its MAP-EM.

Shapes: B chains side by side (series × starts), T days, k states. Days are cut into blocks; every
recursion runs through the days of a block for all blocks at once, so that 5,000 days take about
70 steps of Python.
"""

from dataclasses import dataclass, fields, replace
from math import lgamma

import numpy as np

FREEDOM = np.array([3.0, 4, 5, 6, 8, 12, 20, 60])
_LN_FREEDOM_PRIOR = -2 * np.log(FREEDOM / 7) ** 2
_LN_T_CONSTANT = np.array(
    [lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * np.pi) for nu in FREEDOM]
)
_RESCALE_EVERY = 16  # steps of a recursion between normalisations: far from underflow
_SMALLEST = 1e-100
_FREEDOM_EVERY = 3  # steps of the fit between looks at ν, which moves little and costs most

VOLUME_LIMIT = 6.0  # nats that the volume of one day can speak against a state
_VOLUME_COUNT = 10.0
_LEAST_VOLUME_SCALE = 0.01
_MOST_VOLUME_PERSISTENCE = 0.9


@dataclass(frozen=True)
class Chains:
    """B chains: x | state ~ t_ν(μ, σ), with the priors of `expectation_maximisation`.

    mu, sigma: (B, k); nu: (B,) index into FREEDOM; transition_matrix: (B, k, k)
    volume_mean: (B, k), and volume_scale: (B,), the noise around it
    volume_weight: (B,) share of a day's volume that its neighbours do not tell already, 0 for a
        chain that reads returns alone
    """

    mu: np.ndarray
    sigma: np.ndarray
    nu: np.ndarray
    transition_matrix: np.ndarray
    volume_mean: np.ndarray
    volume_scale: np.ndarray
    volume_weight: np.ndarray

    def __getitem__(self, rows) -> "Chains":
        return Chains(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Smoothed:
    """What all days together say of each.

    log_likelihood: (B,); posterior: (B, k, T); transitions: (B, k, k) expected counts
    """

    log_likelihood: np.ndarray
    posterior: np.ndarray
    transitions: np.ndarray


def forward_backward(likelihood: np.ndarray, transition_matrix: np.ndarray) -> Smoothed:
    """The exact smoothed posterior from a uniform day before the first, by blocks.

    likelihood: (B, k, T) of each day and state, above 0; transition_matrix: (B, k, k)
    """
    chains, k, days = likelihood.shape
    highest = likelihood.max(axis=1)  # (B, T)
    length = max(int(days**0.5), 1)
    blocks = -(-days // length)
    # e[l]: (B, blocks, k) of day l of each block; days past the end say nothing: 1.
    emission = np.ones((chains, k, blocks * length))
    np.divide(likelihood, highest[:, None], out=emission[:, :, :days])
    np.maximum(emission, _SMALLEST, out=emission)
    e = np.ascontiguousarray(emission.reshape(chains, k, blocks, length).transpose(3, 0, 2, 1))
    A = transition_matrix

    # Product over the days of a block of A·diag(e): (B, blocks, k, k).
    product = np.broadcast_to(np.eye(k), (chains, blocks, k, k))
    ln_scale = np.zeros((chains, blocks))
    for day in range(length):
        product = (product.reshape(chains, -1, k) @ A).reshape(product.shape)
        product *= e[day][:, :, None]
        if day % _RESCALE_EVERY == _RESCALE_EVERY - 1 or day == length - 1:
            scale = product.max(axis=(2, 3))
            product /= scale[:, :, None, None]
            ln_scale += np.log(scale)

    # Across blocks: the forward vector before each, the backward vector after each.
    before, after = np.empty((2, chains, blocks, k))
    forward = np.full((chains, 1, k), 1 / k)
    log_likelihood = np.log(highest).sum(axis=1) + ln_scale.sum(axis=1)
    ahead = np.ones((chains, k, 1))
    for block in range(blocks):
        before[:, block] = forward[:, 0]
        forward = forward @ product[:, block]
        total = forward.sum(axis=2, keepdims=True)
        forward = forward / total
        log_likelihood += np.log(total[:, 0, 0])
        after[:, -1 - block] = ahead[:, :, 0]
        ahead = product[:, -1 - block] @ ahead
        ahead = ahead / ahead.sum(axis=1, keepdims=True)

    # Within blocks: predicted αA and filtered α of each day, then β of each day backwards.
    predicted, filtered, beta = np.empty((3, length, chains, blocks, k))
    alpha = before
    for day in range(length):
        np.matmul(alpha, A, out=predicted[day])
        alpha = np.multiply(predicted[day], e[day], out=filtered[day])
        if day % _RESCALE_EVERY == _RESCALE_EVERY - 1:
            alpha = alpha / alpha.sum(axis=2, keepdims=True)
    A_transposed = np.ascontiguousarray(A.transpose(0, 2, 1))
    b = after
    for day in range(length - 1, -1, -1):
        beta[day] = b
        b = (b * e[day]) @ A_transposed
        if day % _RESCALE_EVERY == 0:
            b = b / b.sum(axis=2, keepdims=True)

    # γ = αβ / Σαβ; Σ over days of ξ_ij = α_i A_ij e_j β_j / Σαβ, α of the day before.
    posterior = filtered * beta
    total = posterior.sum(axis=3, keepdims=True)
    arriving = e * beta / total
    posterior /= total
    leaving = np.empty_like(filtered)
    leaving[0] = before
    leaving[1:] = filtered[:-1]
    # A rescaled α is filtered[day] over its sum: what the next day was predicted from.
    for day in range(_RESCALE_EVERY, length, _RESCALE_EVERY):
        leaving[day] /= leaving[day].sum(axis=2, keepdims=True)
    arriving = arriving.transpose(1, 3, 2, 0).reshape(chains, k, -1)
    leaving = leaving.transpose(1, 2, 0, 3).reshape(chains, -1, k)
    counts = arriving[:, :, :days] @ leaving[:, :days]  # (B, j, i)
    return Smoothed(
        log_likelihood,
        posterior.transpose(1, 3, 2, 0).reshape(chains, k, -1)[:, :, :days],
        A * counts.transpose(0, 2, 1),
    )


def student_t(z_squared: np.ndarray, nu: float) -> np.ndarray:
    """Density of Student's t with unit scale, c·(1 + z²/ν)^-((ν+1)/2); nu: of FREEDOM.

    By products and a square root, since ν + 1 is a whole number: exact to the last bits on every
    processor, and many times faster than by logarithms.
    """
    base = 1 / (1 + z_squared / nu)
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


def returns_likelihood(x: np.ndarray, chains: Chains) -> tuple[np.ndarray, np.ndarray]:
    """t_ν(x | μ_k, σ_k) and z² of each day and state, (B, k, T); x: (B, T)"""
    sigma = chains.sigma[:, :, None]
    z_squared = ((x[:, None] - chains.mu[:, :, None]) / sigma) ** 2
    unit = [student_t(z, nu) for z, nu in zip(z_squared, FREEDOM[chains.nu], strict=True)]
    return np.array(unit) / sigma, z_squared


def volume_likelihood(volume: np.ndarray, chains: Chains) -> np.ndarray:
    """(exp(-½z²)/s)^w of each day and state, z = (volume - m_k)/s, (B, k, T); volume: (B, T)"""
    scale, weight = chains.volume_scale[:, None, None], chains.volume_weight[:, None, None]
    z = (volume[:, None] - chains.volume_mean[:, :, None]) / scale
    return np.exp(-weight * np.minimum(0.5 * z * z, VOLUME_LIMIT)) / scale**weight


@dataclass(frozen=True)
class Prior:
    """typical_sigma: (B, k) τ and sigma_count: (B,), its pseudo-count; stay_days: mean stay; the
    rest pseudo-counts"""

    typical_sigma: np.ndarray
    sigma_count: np.ndarray
    stay_days: float = 60.0
    transition_count: float = 60.0
    mu_count: float = 30.0

    def __getitem__(self, rows) -> "Prior":
        return replace(
            self, typical_sigma=self.typical_sigma[rows], sigma_count=self.sigma_count[rows]
        )

    def transitions(self) -> np.ndarray:
        """(k, k) pseudo-counts: off the diagonal ∝ 4^-(|i-j|-1)"""
        states = np.arange(self.typical_sigma.shape[1])
        away = 4.0 ** (1 - np.abs(states[:, None] - states))
        np.fill_diagonal(away, 0)
        leave = away / away.sum(axis=1, keepdims=True) / self.stay_days
        return self.transition_count * (leave + (1 - 1 / self.stay_days) * np.eye(len(states)))

    def log_density(self, chains: Chains) -> np.ndarray:
        """(B,) what the prior adds to the log likelihood, up to a constant"""
        variance, count = chains.sigma**2, self.sigma_count[:, None]
        scatter = count * self.typical_sigma**2 + self.mu_count * chains.mu**2
        return (
            _LN_FREEDOM_PRIOR[chains.nu]
            - 0.5 * (count * np.log(variance) + scatter / variance).sum(axis=1)
            + (self.transitions() * np.log(chains.transition_matrix)).sum(axis=(1, 2))
        )


def expectation_maximisation(
    x: np.ndarray,
    volume: np.ndarray,
    chains: Chains,
    prior: Prior,
    steps: int,
    tolerance: float = -np.inf,
) -> tuple[Chains, Smoothed, np.ndarray]:
    """MAP-EM steps from these chains; stops early where no chain gains more than the tolerance.

    x, volume: (B, T), volume with mean 0; returns the chains, their smoothed days and their log
    posterior (B,)
    """
    reads = np.flatnonzero(chains.volume_weight)
    reached = np.full(len(x), -np.inf)
    for step in range(steps + 1):
        likelihood, z_squared = returns_likelihood(x, chains)
        likelihood[reads] *= volume_likelihood(volume[reads], chains[reads])
        smoothed = forward_backward(likelihood, chains.transition_matrix)
        log_posterior = smoothed.log_likelihood + prior.log_density(chains)
        if step == steps or (log_posterior - reached < tolerance).all():
            return chains, smoothed, log_posterior
        reached = log_posterior
        chains = _maximise(x, chains, smoothed, z_squared, prior)
        if step % _FREEDOM_EVERY == 0:
            chains = replace(chains, nu=_better_freedom(x, chains, smoothed.posterior))
        chains = _with_volume(volume, chains, smoothed.posterior, reads)


def _maximise(
    x: np.ndarray, chains: Chains, smoothed: Smoothed, z_squared: np.ndarray, prior: Prior
) -> Chains:
    gamma = smoothed.posterior
    nu = FREEDOM[chains.nu][:, None, None]
    weight = gamma * ((nu + 1) / (nu + z_squared))  # γu, (B, k, T)

    # μ = Σγux / (Σγu + 30); σ² = (Σγu(x-μ)² + 30μ² + 10τ²) / (Σγ + 10)
    weights = weight.sum(axis=2)
    weighted_x = (weight @ x[:, :, None])[:, :, 0]
    mu = weighted_x / (weights + prior.mu_count)
    squares = (weight @ (x * x)[:, :, None])[:, :, 0] - 2 * mu * weighted_x + mu**2 * weights
    count = prior.sigma_count[:, None]
    variance = (squares + prior.mu_count * mu**2 + count * prior.typical_sigma**2) / (
        gamma.sum(axis=2) + count
    )

    transitions = smoothed.transitions + prior.transitions()
    transitions /= transitions.sum(axis=2, keepdims=True)
    return replace(chains, mu=mu, sigma=np.sqrt(variance), transition_matrix=transitions)


def _with_volume(
    volume: np.ndarray, chains: Chains, gamma: np.ndarray, reads: np.ndarray
) -> Chains:
    """The volume of each state, of the chains that read it; gamma: (B, k, T); reads: (R,) rows

    m = Σγv / (Σγ + 10), s² = the mean of Σγ(v-m)²; w = (1-ρ) / (1+ρ), where ρ is the lag-1
    autocorrelation of what the states leave of volume: T such days tell as much as wT others.
    """
    volume, gamma = volume[reads], gamma[reads]
    days, weighted = gamma.sum(axis=2), (gamma @ volume[:, :, None])[:, :, 0]
    m = weighted / (days + _VOLUME_COUNT)
    squares = (volume**2).sum(axis=1) + (m * (m * days - 2 * weighted)).sum(axis=1)
    left = volume - (m[:, None] @ gamma)[:, 0]
    rho = (left[:, 1:] * left[:, :-1]).sum(axis=1) / (left**2).sum(axis=1)
    rho = np.clip(rho, 0, _MOST_VOLUME_PERSISTENCE)
    found = {
        "volume_mean": m,
        "volume_scale": np.maximum(np.sqrt(squares / volume.shape[1]), _LEAST_VOLUME_SCALE),
        "volume_weight": (1 - rho) / (1 + rho),
    }
    columns = {name: getattr(chains, name).copy() for name in found}
    for name, column in columns.items():
        column[reads] = found[name]
    return replace(chains, **columns)


def _better_freedom(x: np.ndarray, chains: Chains, gamma: np.ndarray) -> np.ndarray:
    """The best ν of the present one and its neighbours in FREEDOM, (B,)"""
    candidates = np.clip(chains.nu + np.array([[0], [-1], [1]]), 0, len(FREEDOM) - 1)
    expected = []
    for nu in candidates:
        ln_likelihood = np.log(returns_likelihood(x, replace(chains, nu=nu))[0])
        expected.append((gamma * ln_likelihood).sum(axis=(1, 2)) + _LN_FREEDOM_PRIOR[nu])
    return candidates[np.argmax(expected, axis=0), np.arange(len(x))]
