import numpy as np
import pytest

from regime_engine.classifiers.hidden_markov import (
    Chains,
    Prior,
    expectation_maximisation,
    forward_backward,
)


def day_by_day(log_emission: np.ndarray, A: np.ndarray):
    """Forward-backward of one chain, (k, T), as the textbook has it."""
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


@pytest.mark.parametrize("days", [1, 2, 3, 48, 49, 50, 300, 1111])
def test_the_scan_over_blocks_is_forward_backward_day_by_day(days):
    chance = np.random.default_rng(days)
    log_emission = chance.normal(0, 3, (2, 3, days))
    A = chance.dirichlet(np.full(3, 0.2), (2, 3)) * 0.99 + 0.01 / 3
    scanned = forward_backward(log_emission, A)
    for chain in range(2):
        expected = day_by_day(log_emission[chain], A[chain])
        assert scanned.log_likelihood[chain] == pytest.approx(expected[0], abs=1e-8)
        np.testing.assert_allclose(scanned.posterior[chain], expected[1], atol=1e-9)
        np.testing.assert_allclose(scanned.transitions[chain], expected[2], atol=1e-8)


def test_days_that_hardly_any_state_explains_stay_finite():
    log_emission = np.zeros((1, 2, 500))
    log_emission[0, 0, ::2], log_emission[0, 1, 1::2] = -600, -600
    smoothed = forward_backward(log_emission, np.array([[[0.999, 0.001], [0.001, 0.999]]]))
    assert np.isfinite(smoothed.log_likelihood).all()
    np.testing.assert_allclose(smoothed.posterior.sum(axis=1), 1)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_no_step_lowers_the_posterior(k):
    chance = np.random.default_rng(k)
    x = chance.standard_t(4, (2, 400)) * np.where(np.arange(400) % 130 > 90, 2.5, 0.7)
    sigma = np.tile(np.geomspace(0.4, 3, k), (2, 1))
    prior = Prior(sigma)
    start = np.tile(prior.transitions() / prior.transition_count, (2, 1, 1))
    chains = Chains(np.zeros((2, k)), sigma, np.array([0, 7]), start)
    reached = np.full(2, -np.inf)
    for _ in range(40):
        chains, _, log_posterior = expectation_maximisation(x, chains, prior, 1)
        assert (log_posterior >= reached - 1e-8).all()
        reached = log_posterior


def test_a_chain_is_fitted_alike_alone_and_beside_others():
    chance = np.random.default_rng(1)
    x = chance.standard_t(5, (3, 300))
    sigma = np.tile([0.6, 1.5], (3, 1))
    prior = Prior(sigma)
    start = np.tile(prior.transitions() / prior.transition_count, (3, 1, 1))
    chains = Chains(np.zeros((3, 2)), sigma, np.full(3, 4), start)
    together, _, _ = expectation_maximisation(x, chains, prior, 5)
    alone, _, _ = expectation_maximisation(x[1:2], chains[1:2], prior[1:2], 5)
    np.testing.assert_allclose(together.sigma[1], alone.sigma[0], rtol=1e-12)
