"""The measures of `regime score`, against hand examples, pandas and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from regime_engine import measures

CHANCE = np.random.default_rng(1_015)
# With ties, and each other day drawn several times.
DRAWN = CHANCE.integers(200, size=(3, 200))
WEIGHTS = measures.counts(DRAWN, 200)
TIED, NOISE = CHANCE.integers(4, size=200), CHANCE.normal(size=200)
EVENTS = CHANCE.random(200) < 0.2
RETURNS = CHANCE.normal(size=900) * np.exp(CHANCE.normal(size=900).cumsum() / 20) / 100


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_days():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 1.0])
    right = np.array([True, True, True, False, True, True])
    # top bin: 5 days, 4.8 believed, 4 right; sixth bin: 1 day, 0.55 believed, 1 right
    assert measures.calibration_error(confidences, right) == pytest.approx((0.8 + 0.45) / 6)


def test_ranks_of_ties_are_shared():
    assert measures.ranks(np.array([3, 1, 3, 2])).tolist() == [3.5, 1, 3.5, 2]


def test_rank_correlation_sees_order_alone():
    assert measures.rank_correlation(np.arange(5), np.exp(np.arange(5))) == pytest.approx(1)
    assert measures.rank_correlation(np.arange(5), -np.arange(5)) == pytest.approx(-1)


def test_auc_counts_pairs():
    # events at 2 and 3, none at 1, 2: three pairs are won and one is a tie
    events = np.array([False, True, False, True])
    assert measures.auc(np.array([1, 2, 2, 3]), events) == pytest.approx(3.5 / 4)


def test_log_error_leaves_days_without_moves_out():
    forecast, realised = np.array([2.0, 1.0, 3.0]), np.array([1.0, 4.0, 0.0])
    assert measures.log_error(forecast, realised) == pytest.approx(np.log(8) / 2)


def test_next_days_begin_tomorrow():
    after = measures.next_days(np.arange(6), days=2)
    assert after.tolist() == [[1, 2], [2, 3], [3, 4], [4, 5]]


def test_sharpe_and_drawdown():
    assert measures.sharpe(np.array([0.03, -0.01])) == pytest.approx(0.5 * np.sqrt(252))
    assert measures.max_drawdown(np.array([0.1, -0.5, 0.2])) == pytest.approx(-0.5)
    assert measures.max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(-0.2)


def test_sortino_counts_only_losses_as_risk():
    # mean 0.01, and two days of four with a loss of 0.02
    daily = np.array([0.03, -0.02, 0.05, -0.02])
    assert measures.sortino(daily, 252) == pytest.approx(0.01 / np.sqrt(0.0002) * np.sqrt(252))
    assert np.isnan(measures.sortino(np.array([0.01, 0.0]), 252))


def test_weighted_days_are_days_that_stand_several_times():
    ranks = measures.mid_ranks(TIED, WEIGHTS)
    of_noise = measures.mid_ranks(NOISE, WEIGHTS)
    correlations = measures.correlation(ranks, of_noise, WEIGHTS)
    areas = measures.auc_of_ranks(ranks, EVENTS, WEIGHTS)
    ratios = measures.sharpe_ratios(NOISE, WEIGHTS, 252)
    for row, days in enumerate(DRAWN):
        frame = pd.DataFrame({"tied": TIED[days], "noise": NOISE[days]}).rank()
        np.testing.assert_allclose(ranks[row, days] + 0.5, frame["tied"])
        assert correlations[row] == pytest.approx(frame.corr().loc["tied", "noise"])
        assert areas[row] == pytest.approx(roc_auc_score(EVENTS[days], TIED[days]))
        of_days = NOISE[days]
        assert ratios[row] == pytest.approx(of_days.mean() / of_days.std() * 252**0.5)


def test_a_measure_without_an_answer_is_not_a_number():
    constant, weights = np.ones(5), measures.once(5)
    ranks = measures.mid_ranks(constant, weights)
    assert np.isnan(measures.correlation(ranks, ranks, weights))
    assert np.isnan(measures.auc_of_ranks(ranks, np.zeros(5, bool), weights))
    assert np.isnan(measures.sharpe_ratios(constant, weights, 252))


def test_the_error_of_several_cases_a_day_is_that_of_all_cases():
    chances = CHANCE.dirichlet([1, 1, 1], size=200)
    came = np.eye(3)[CHANCE.integers(3, size=200)]
    gaps = measures.calibration_gaps(chances, came) / 3
    for days, error in zip(DRAWN, measures.error_of_gaps(gaps, WEIGHTS), strict=True):
        assert error == pytest.approx(measures.calibration_error(chances[days], came[days]))


@pytest.mark.parametrize("half_life", [2, 10])
def test_ewm_is_that_of_pandas(half_life):
    expected = pd.Series(RETURNS**2).ewm(halflife=half_life).mean()
    np.testing.assert_allclose(measures.ewm_variance(RETURNS, half_life), expected)


def test_the_variance_of_a_day_is_of_its_range_and_gap_where_both_are_known():
    found = measures.day_variance(
        np.array([0.02, 0.02, 0.02]),
        np.array([0.03, np.nan, 0.03]),
        np.array([-0.01, 0.01, np.nan]),
    )
    assert found == pytest.approx([0.03**2 / 2.772588722239781 + 0.01**2, 0.02**2, 0.02**2])


def test_har_is_the_regression_on_all_days_whose_future_is_known():
    squares = pd.Series(RETURNS**2)
    averages = pd.concat([squares.rolling(days).mean() for days in (1, 5, 21)], axis=1)
    floor = 0.001 * squares.expanding().mean()
    x = np.log(averages.clip(lower=floor, axis=0)).to_numpy()
    ahead = np.sqrt(squares.rolling(21).mean().shift(-21))
    found = measures.har_volatility(RETURNS**2, RETURNS)
    # 252 days from the first with 21 returns behind it, and the 21 that tell what came.
    first = 20 + 252 - 1 + 21
    assert np.isnan(found[:first]).all()
    for fitted in (first, first + 252, first + 504):
        days = slice(20, fitted - 21 + 1)
        target = np.log(ahead[days])
        model = LinearRegression().fit(x[days], target)
        spread = (target - model.predict(x[days])).var(ddof=0)
        until = fitted + 252
        expected = np.exp(model.predict(x[fitted:until]) + spread / 2)
        np.testing.assert_allclose(found[fitted:until], expected, rtol=1e-9)


def test_no_forecast_uses_a_later_day():
    before = RETURNS[:700]
    for forecast in (measures.ewm_variance, lambda r: measures.har_volatility(r**2, r)):
        np.testing.assert_array_equal(forecast(RETURNS)[:700], forecast(before))


def test_har_of_a_price_that_hardly_moves_is_finite():
    still = np.where(np.arange(900) % 50 == 49, 0.01, 0.0)
    found = measures.har_volatility(still**2, still)
    assert np.isfinite(found[500:]).all()
    assert np.isnan(measures.har_volatility(0 * still, 0 * still)).all()


def test_blocks_begin_anywhere_and_have_the_mean_length():
    drawn = measures.stationary_bootstrap(500, 63, 400, np.random.default_rng(1_000))
    assert drawn.shape == (400, 500)
    # On the average over resamples each day is drawn once; a block goes on behind the last day.
    assert measures.counts(drawn, 500).mean(axis=0) == pytest.approx(np.ones(500), abs=0.25)
    goes_on = (np.diff(drawn, axis=1) % 500 == 1).mean()
    assert goes_on == pytest.approx(1 - 1 / 63 * (1 - 1 / 500), abs=0.002)
    again = measures.stationary_bootstrap(500, 63, 400, np.random.default_rng(1_000))
    np.testing.assert_array_equal(drawn, again)


def test_drawdowns_of_paths():
    paths = np.array([[0.1, -0.5, 0.2], [-0.2, 0.1, 0.0], [0.1, 0.1, 0.1]])
    assert measures.max_drawdowns(paths) == pytest.approx([-0.5, -0.2, 0])
