from dataclasses import replace
from math import gamma, pi

import numpy as np
import pytest

from regime_engine.classifiers import stochastic_volatility as sv
from regime_engine.classifiers.stochastic_volatility import StochasticVolatility

MODEL = StochasticVolatility(
    mean=-0.2,
    deviation=0.4,
    persistence=0.99,
    leverage=0.6,
    nu=8.0,
    range_offset=-0.2,
    range_noise=0.35,
)


def moves(model: StochasticVolatility, drift: float) -> np.ndarray:
    """(17, 17) one of 16 switches is chosen a day and set anew, up with chance (1 + drift) / 2"""
    A = np.zeros((17, 17))
    for node in range(17):
        up = (16 - node) * (1 - model.persistence) * (1 + drift) / 2
        down = node * (1 - model.persistence) * (1 - drift) / 2
        A[node, node] = 1 - up - down
        if node < 16:
            A[node, node + 1] = up
        if node:
            A[node, node - 1] = down
    return A


def simulated(model: StochasticVolatility, days: int, seed: int = 0):
    """Returns, log ranges and log volatilities (days,) of the chain itself."""
    chance = np.random.default_rng(seed)
    node, h = chance.binomial(16, 0.5), np.empty(days)
    x, y = np.empty(days), np.empty(days)
    after = {side: moves(model, -side * model.leverage).cumsum(axis=1) for side in (-1, 1)}
    for t in range(days):
        h[t] = sv.nodes(model)[node]
        x[t] = np.exp(h[t]) * chance.standard_t(model.nu)
        y[t] = h[t] + model.range_offset + model.range_noise * chance.standard_normal()
        node = int(np.searchsorted(after[int(np.sign(x[t]))][node], chance.random()))
    return x, y, h


def t_density(z: np.ndarray, nu: float) -> np.ndarray:
    constant = gamma((nu + 1) / 2) / gamma(nu / 2) / (nu * pi) ** 0.5
    return constant * (1 + z * z / nu) ** (-(nu + 1) / 2)


def test_the_long_run_law_is_binomial_and_the_autocorrelation_is_the_persistence():
    A, law, h = moves(MODEL, 0), sv.stationary(), sv.nodes(MODEL)
    np.testing.assert_allclose(law @ A, law, atol=1e-15)
    centred = h - law @ h
    assert np.sqrt(law @ centred**2) == pytest.approx(MODEL.deviation)
    assert law @ (centred * (A @ centred)) / (law @ centred**2) == pytest.approx(0.99)


@pytest.mark.parametrize("with_ranges", [True, False])
def test_the_filter_is_bayes_rule_on_the_grid(with_ranges):
    x, y, _ = simulated(MODEL, 63)
    model = MODEL
    if not with_ranges:
        y[:] = np.nan
    y[10] = np.nan  # this day has no range
    sigma, p, of_return = np.exp(sv.nodes(model)), sv.stationary(), []
    for t in range(63):
        if t:
            p = p @ moves(model, -np.sign(x[t - 1]) * model.leverage)
        likelihood = t_density(x[t] / sigma, model.nu) / sigma
        of_return.append(p @ likelihood)
        if np.isfinite(y[t]):
            z = (y[t] - sv.nodes(model) - model.range_offset) / model.range_noise
            likelihood = likelihood**0.5 * np.exp(-0.5 * z * z) ** 0.8
        p = p * likelihood / (p @ likelihood)
    days = list(sv.forward(model, *(each[:, None].astype(np.float32) for each in (x, y))))
    np.testing.assert_allclose(days[-1][0][:, 0], p, atol=1e-5)
    np.testing.assert_allclose([density[0] for _, density in days], of_return, rtol=1e-4)


def test_the_fit_finds_the_parameters_of_a_simulated_path():
    x, y, h = simulated(MODEL, 5000, seed=1)
    fitted = sv.fit(x, y, np.full(5000, h.mean()) + 0.3 * np.sign(h - h.mean()))
    # Moves that last 100 days tell little of the level that they return to.
    assert fitted.mean == pytest.approx(h.mean(), abs=0.35)
    assert np.log(fitted.deviation / MODEL.deviation) == pytest.approx(0, abs=0.25)
    assert fitted.range_noise == pytest.approx(MODEL.range_noise, abs=0.03)
    assert fitted.range_offset == pytest.approx(MODEL.range_offset, abs=0.05)
    assert fitted.leverage > 0.2
    mirrored = sv.fit(-x, y, h)
    assert mirrored.leverage < 0


def test_the_expected_variance_is_the_mean_of_simulated_days():
    model = replace(MODEL, leverage=0.0)
    A, variance, total = moves(model, 0), np.exp(2 * sv.nodes(model)), np.zeros(17)
    for days in range(1, 22):
        total += np.linalg.matrix_power(A, days) @ variance
    np.testing.assert_allclose(sv.expected_variance(model), total / 21 * 8 / 6, rtol=1e-12)


def test_a_day_of_a_brownian_price_has_its_volatility_as_the_log_range():
    steps = np.random.default_rng(0).standard_normal((4000, 500)) * 0.01 / 500**0.5
    path = np.concatenate([np.zeros((4000, 1)), steps.cumsum(axis=1)], axis=1)
    y = sv.log_range(np.ptp(path, axis=1), np.full(4000, np.nan), 0.01)
    # Of a range: E[range²] = 4 ln 2 σ² (Parkinson 1980), and ln range has the deviation 0.29
    # (Alizadeh, Brandt and Diebold 2002); 500 steps miss some of the extremes.
    assert np.exp(2 * y).mean() == pytest.approx(1, abs=0.09)
    assert y.std() == pytest.approx(0.29, abs=0.015)


def test_a_day_without_a_move_or_a_range_has_no_log_range():
    y = sv.log_range(np.array([0, np.nan, 0, 0.02]), np.array([0, 0.01, 0.01, np.nan]), 1.0)
    assert np.isnan(y).tolist() == [True, True, False, False]


def test_a_wrong_range_can_say_only_so_much():
    x = np.zeros((63, 2), np.float32) + np.float32(0.5)
    y = np.full((63, 2), -0.9, np.float32)
    y[-1] = 50, 5
    *_, (p, _) = sv.forward(MODEL, x, y)
    np.testing.assert_array_equal(p[:, 0], p[:, 1])
    assert np.isfinite(p).all()


@pytest.mark.parametrize("move", [0.0, 1e4, -1e4, 1e-12])
def test_a_move_that_no_node_explains_leaves_probabilities(move):
    x = np.full((63, 1), 0.3, np.float32)
    x[40] = move
    *_, (p, density) = sv.forward(MODEL, x, np.full((63, 1), np.nan, np.float32))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(density).all()


def test_each_node_is_shared_among_the_states_by_distance():
    model = replace(MODEL, deviation=1.0)
    log_sigma = np.log([0.2, 0.5, 1.3])
    shares = sv.state_shares(model, log_sigma)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    severity = np.arange(3) @ shares
    assert (np.diff(severity) > 0).all()
    assert severity[0] < 1e-2
    assert severity[-1] > 2 - 1e-2
