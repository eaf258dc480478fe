from math import gamma, pi, sqrt

import numpy as np
import pytest

from regime_engine.classifiers.hidden_markov import (
    FREEDOM,
    TRANSITION_COUNT,
    Chains,
    expectation_maximisation,
    forward_backward,
    student_t,
    transition_counts,
)


def day_by_day(log_emission: np.ndarray, A: np.ndarray):
    """Forward-backward of one chain, (k, T), as in a textbook."""
    k, days = log_emission.shape
    e = np.exp(log_emission).T
    alpha, beta = np.empty((days, k)), np.ones((days, k))
    log_likelihood, ahead = 0.0, np.full(k, 1 / k)
    for t in range(days):
        ahead = (ahead @ A) * e[t]
        log_likelihood += np.log(ahead.sum())
        alpha[t] = ahead = ahead / ahead.sum()
    for t in range(days - 2, -1, -1):
        beta[t] = A @ (e[t + 1] * beta[t + 1])
        beta[t] /= beta[t].sum()
    posterior = alpha * beta / (alpha * beta).sum(axis=1, keepdims=True)
    transitions = np.zeros((k, k))
    before = np.vstack([np.full(k, 1 / k), alpha[:-1]])
    for t in range(days):
        pairs = before[t][:, None] * A * (e[t] * beta[t])
        transitions += pairs / pairs.sum()
    return log_likelihood, posterior.T, transitions


@pytest.mark.parametrize("nu", FREEDOM)
def test_the_density_of_students_t_is_that_of_its_formula(nu):
    z = np.linspace(-40, 40, 1001)
    constant = gamma((nu + 1) / 2) / (gamma(nu / 2) * sqrt(nu * pi))
    formula = constant * (1 + z * z / nu) ** (-(nu + 1) / 2)
    np.testing.assert_allclose(student_t(z * z, nu), formula, rtol=1e-12)


@pytest.mark.parametrize("days", [1, 2, 3, 48, 49, 50, 300, 1111])
def test_the_scan_over_blocks_is_forward_backward_day_by_day(days):
    chance = np.random.default_rng(days)
    log_emission = chance.normal(0, 3, (2, 3, days))
    A = chance.dirichlet(np.full(3, 0.2), (2, 3)) * 0.99 + 0.01 / 3
    scanned = forward_backward(np.exp(log_emission), A)
    for chain in range(2):
        expected = day_by_day(log_emission[chain], A[chain])
        assert scanned.log_likelihood[chain] == pytest.approx(expected[0], abs=1e-8)
        np.testing.assert_allclose(scanned.posterior[chain], expected[1], atol=1e-9)
        np.testing.assert_allclose(scanned.transitions[chain], expected[2], atol=1e-8)


def test_days_that_hardly_any_state_explains_stay_finite():
    log_emission = np.zeros((1, 2, 500))
    log_emission[0, 0, ::2], log_emission[0, 1, 1::2] = -600, -600
    smoothed = forward_backward(np.exp(log_emission), np.array([[[0.999, 0.001], [0.001, 0.999]]]))
    assert np.isfinite(smoothed.log_likelihood).all()
    np.testing.assert_allclose(smoothed.posterior.sum(axis=1), 1)


def started(sigma: np.ndarray, nu: np.ndarray, reads_volume: float = 0.0) -> Chains:
    """Chains before their first step; sigma: (B, k)"""
    B, k = sigma.shape
    return Chains(
        mu=np.zeros((B, k)),
        sigma=sigma,
        nu=nu,
        transition_matrix=np.tile(transition_counts(k) / TRANSITION_COUNT, (B, 1, 1)),
        typical_sigma=sigma,
        sigma_count=np.full(B, 10.0),
        volume_mean=np.zeros((B, k)),
        volume_scale=np.ones(B),
        volume_weight=np.full(B, reads_volume),
    )


@pytest.mark.parametrize("k", [2, 3, 4])
def test_no_step_lowers_the_posterior(k):
    chance = np.random.default_rng(k)
    x = chance.standard_t(4, (2, 400)) * np.where(np.arange(400) % 130 > 90, 2.5, 0.7)
    chains = started(np.tile(np.geomspace(0.4, 3, k), (2, 1)), np.array([0, 7]))
    reached = np.full(2, -np.inf)
    for _ in range(40):
        chains, _, log_posterior = expectation_maximisation(x, 0 * x, chains, 1)
        assert (log_posterior >= reached - 1e-8).all()
        reached = log_posterior


def test_a_chain_is_fitted_alike_alone_and_beside_others():
    chance = np.random.default_rng(1)
    x, volume = chance.standard_t(5, (2, 3, 300))
    chains = started(np.tile([0.6, 1.5], (3, 1)), np.full(3, 4), reads_volume=1.0)
    together, _, _ = expectation_maximisation(x, volume, chains, 5)
    alone, _, _ = expectation_maximisation(x[1:2], volume[1:2], chains[1:2], 5)
    np.testing.assert_allclose(together.sigma[1], alone.sigma[0], rtol=1e-12)
    np.testing.assert_allclose(together.volume_mean[1], alone.volume_mean[0], rtol=1e-9)


def test_volume_that_tells_the_state_is_learnt_beside_a_chain_that_does_not_read_it():
    chance = np.random.default_rng(2)
    states = np.arange(1200) // 100 % 2
    x = np.tile([0.7, 1.3], (2, 1))[:, states] * chance.standard_normal((2, 1200))
    volume = np.tile(0.4 * (states - 0.5) + 0.2 * chance.standard_normal(1200), (2, 1))
    chains = started(np.tile([0.7, 1.3], (2, 1)), np.full(2, 7))
    chains.volume_weight[1] = 1.0
    fitted, smoothed, _ = expectation_maximisation(x, volume, chains, 30)
    np.testing.assert_allclose(fitted.volume_mean, [[0, 0], [-0.2, 0.2]], atol=0.03)
    assert fitted.volume_scale[1] == pytest.approx(0.2, abs=0.02)
    assert fitted.volume_weight[0] == 0
    right = (smoothed.posterior.argmax(axis=1) == states).mean(axis=1)
    assert right[1] > max(right[0], 0.97)
