import math

import numpy as np
import pytest

from regime_engine.reading import volatility


def test_errors_are_of_the_logarithm():
    correlation, bias, error, share = volatility.accuracy(
        np.array([0.1, 0.2, 0.4]), np.array([0.1, 0.1, 0.3])
    )
    assert correlation == pytest.approx(1.5 / math.sqrt(2 * 1.5))
    assert bias == error == pytest.approx((math.log(2) + math.log(4 / 3)) / 3)
    assert share == pytest.approx(2 / 3)
    assert volatility.accuracy(np.array([0.1, 0.3]), np.array([0.15, 0.2]))[3] == 1


def test_a_constant_forecast_has_no_rank_correlation():
    assert volatility.accuracy(np.ones(3), np.array([0.1, 0.2, 0.3]))[0] is None
