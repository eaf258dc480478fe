import math

import numpy as np
import pytest

from regime_engine.reading import volatility


def test_the_rank_correlation_of_numbers_known_by_hand():
    # Ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3: covariance 4.5, variances 4.5 and 5.
    found = volatility.rank_correlation(np.array([1.0, 2, 2, 9]), np.array([0.1, 0.3, 0.2, 4]))
    assert found == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert volatility.rank_correlation(np.arange(9.0), -np.exp(np.arange(9))) == pytest.approx(-1)
    assert volatility.rank_correlation(np.ones(3), np.arange(3.0)) is None


def test_a_squared_return_counts_half_after_its_half_life():
    variances = volatility.ewm_volatility(np.array([0.04, 0, 0.02]), half_life=2) ** 2
    w = 0.5**0.5
    assert variances == pytest.approx(
        [0.0016, w * 0.0016 / (w + 1), (0.5 * 0.0016 + 0.0004) / (0.5 + w + 1)]
    )
    steady = volatility.ewm_volatility(np.full(3000, -0.01))
    assert steady == pytest.approx(0.01)


def test_errors_are_of_the_logarithm():
    correlation, bias, error, share = volatility.accuracy(
        np.array([0.1, 0.2, 0.4]), np.array([0.1, 0.1, 0.3])
    )
    assert correlation == pytest.approx(1.5 / math.sqrt(2 * 1.5))
    assert bias == error == pytest.approx((math.log(2) + math.log(4 / 3)) / 3)
    assert share == pytest.approx(2 / 3)
    assert volatility.accuracy(np.array([0.1, 0.3]), np.array([0.15, 0.2]))[3] == 1
