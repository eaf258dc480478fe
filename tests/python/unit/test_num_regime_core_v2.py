import math

import markets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_engine import encoders
from regime_engine.encoders import num_regime_core_v2 as core
from regime_engine.errors import RegimeError


def some_windows(n: int = 40, seed: int = 0) -> np.ndarray:
    returns, volumes, _ = markets.draw(n + 62, seed=seed)
    return markets.windows(returns, volumes)[:, :, :3].copy()


def test_the_layout_names_384_numbers_once_each():
    assert len(core.LAYOUT) == len(set(core.LAYOUT)) == core.dimension(63) == 384
    assert core.LAYOUT[62] == "asinh_return_0_days_ago"
    paths = ("asinh_return", "log_price", "relative_log_volume", "ln_volatility_path")
    assert core.LAYOUT[0:252:63] == tuple(f"{path}_62_days_ago" for path in paths)
    assert core.LAYOUT[252:254] == ("ln_100s", "median_volume")


@given(st.integers(0, 999))
def test_returns_and_volumes_are_decoded_from_the_embedding(seed):
    windows = some_windows(3, seed)
    returns, volumes, *_ = core.decode(core.encode(windows))
    largest = np.abs(windows[:, :, 0]).max()
    np.testing.assert_allclose(returns, windows[:, :, 0], atol=2e-6 * largest)
    np.testing.assert_allclose(volumes, windows[:, :, 2], rtol=1e-6)


@given(st.floats(1e-6, 1e6), st.integers(0, 99))
def test_a_price_in_another_currency_has_the_same_embedding(factor, seed):
    windows = some_windows(3, seed)
    rescaled = windows.copy()
    rescaled[:, :, 1] *= factor
    rescaled[:, 1:, 0] = np.diff(np.log(rescaled[:, :, 1]), axis=1)
    np.testing.assert_allclose(core.encode(rescaled), core.encode(windows), atol=1e-5)


def test_a_batch_of_one_equals_its_row_of_a_larger_batch_to_the_bit():
    windows = some_windows(1100)
    together = core.encode(windows)
    for row in [*range(0, 1100, 37), 1023, 1024, 1099]:
        assert core.encode(windows[row : row + 1]).tobytes() == together[row].tobytes()
        assert core.encode(windows[row : row + 3])[0].tobytes() == together[row].tobytes()


def test_a_missing_first_return_is_encoded_as_zero():
    windows = some_windows(2)
    windows[:, 0, 0] = 0
    zero = core.encode(windows)
    windows[:, 0, 0] = np.nan
    assert core.encode(windows).tobytes() == zero.tobytes()


@pytest.mark.parametrize(
    ("prices", "volume"),
    [
        (np.full(63, 42.0), 0.0),
        (np.full(63, 42.0), -3.0),
        (np.r_[np.full(40, 1e-12), np.full(23, 1e12)], 3.0),
        (np.where(np.arange(63) % 2, 1e-300, 1e300), 0.0),
        (100 + 1e-9 * np.arange(63), 0.0),
    ],
)
def test_every_number_is_finite(prices, volume):
    returns = np.diff(np.log(prices), prepend=np.log(prices[0]))
    window = np.column_stack([returns, prices, np.full(63, volume)])
    assert np.isfinite(core.encode(window[None])).all()


def test_named_statistics_equal_their_formulas():
    windows = some_windows(5)
    for window, embedding in zip(windows, core.encode(windows), strict=True):
        found = dict(zip(core.LAYOUT, embedding, strict=True))
        r, close, v = window.T
        s = math.sqrt(sum(r * r) / 63)
        assert found["ln_100s"] == pytest.approx(math.log(100 * s), abs=1e-5)
        assert found["median_volume"] == pytest.approx(np.median(v), abs=1e-6)
        variance = np.average(r * r, weights=[0.5 ** ((62 - t) / 8) for t in range(63)])
        volatility = math.log(100 * math.sqrt(variance))
        assert found["ln_volatility_half_life_8"] == pytest.approx(volatility, abs=1e-3)
        worst = min(math.log(close[t] / max(close[: t + 1])) for t in range(63))
        assert found["worst_drawdown"] == pytest.approx(worst, abs=1e-6)
        lagged = np.corrcoef(r[1:], r[:-1])[0, 1]
        assert found["autocorrelation_return"] == pytest.approx(lagged, abs=1e-5)


def test_another_window_length_is_refused():
    with pytest.raises(RegimeError, match="63 days, not 252: give --window-days 63"):
        encoders.get(core.MODEL_ID, 252)


def test_the_numbers_of_a_window_are_those_of_the_first_release():
    days = np.arange(63)
    returns, volumes = 0.02 * np.sin(days * days), np.cos(days)
    window = np.column_stack([returns, np.exp(np.cumsum(returns)), volumes])
    (embedding,) = core.encode(window[None])
    pinned = [
        1.0194602,
        -1.1285855,
        0.5449772,
        0.5403023,
        0.0730639,
        0.333687,
        -0.123888,
        -0.0603903,
        -0.0224523,
        0.3733157,
        -0.1028877,
        0.1207519,
    ]
    places = [1, 62, 64, 127, 200, 252, 262, 275, 280, 289, 290, 383]
    assert embedding[places].tolist() == pytest.approx(pinned, abs=1e-6)
