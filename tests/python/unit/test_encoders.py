import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_engine import encoders
from regime_engine.errors import RegimeError


def some_windows(n: int, window_days: int, seed: int, columns: int = 3) -> np.ndarray:
    chance = np.random.default_rng(seed)
    windows = chance.lognormal(3, 2, (n, window_days, columns))
    windows[:, 0, 2] = np.nan  # an instrument's first row has no return
    return windows


@given(st.integers(1, 5), st.integers(2, 300), st.integers(0, 99))
def test_simple_v1_is_the_window_row_by_row_with_a_first_return_of_zero(n, window_days, seed):
    windows = some_windows(n, window_days, seed)
    embeddings = encoders.get("numeric-simple-v1").encode(windows)
    assert embeddings.dtype == np.float32
    for window, embedding in zip(windows.tolist(), embeddings, strict=True):
        expected = [number for row in window for number in row]
        expected[2] = 0.0
        assert embedding.tolist() == np.float32(expected).tolist()


def test_core_v1_pads_a_63_day_window_behind_its_newest_number():
    windows = some_windows(2, 63, 0)
    embeddings = encoders.get("num-regime-core-v1").encode(windows)
    assert embeddings.shape == (2, 384)
    assert (embeddings[:, 186:189] == windows[:, -1].astype(np.float32)).all()
    assert not embeddings[:, 189:].any()


def test_core_v1_keeps_the_newest_128_days_of_a_longer_window():
    windows = some_windows(2, 252, 0)
    embeddings = encoders.get("num-regime-core-v1").encode(windows)
    assert (embeddings.reshape(2, 128, 3) == windows[:, -128:].astype(np.float32)).all()


@pytest.mark.parametrize(
    ("model_id", "window_days"),
    [
        *((v1, n) for v1 in ("numeric-simple-v1", "num-regime-core-v1") for n in (2, 63, 128, 252)),
        ("num-regime-core-v2", 63),
        ("num-regime-core-v3", 63),
    ],
)
def test_a_batch_of_one_equals_its_row_of_a_larger_batch_to_the_bit(model_id, window_days):
    encoder = encoders.get(model_id, window_days)
    windows = some_windows(7, window_days, 3, len(encoder.COLUMNS))
    together = encoder.encode(windows)
    assert together.shape == (7, encoder.dimension(window_days))
    assert len(encoder.layout(window_days)) == together.shape[1]
    for row in range(7):
        assert encoder.encode(windows[row : row + 1]).tobytes() == together[row].tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_encoding_leaves_the_windows_as_they_were(order):
    for encoder in encoders.ENCODERS.values():
        windows = np.array(some_windows(3, 63, 5, len(encoder.COLUMNS)), order=order)
        windows[:, 0, 0] = np.nan
        before = windows.copy()
        encoder.encode(windows)
        np.testing.assert_array_equal(windows, before)


def test_an_unknown_model_id_is_refused_with_the_known_ones():
    with pytest.raises(RegimeError, match=r"'v3': choose one of numeric-simple-v1, num-regime"):
        encoders.get("v3")
