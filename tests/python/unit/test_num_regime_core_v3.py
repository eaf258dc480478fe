import markets
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regime_engine.encoders import num_regime_core_v2, num_regime_core_v3

RANGES, GAPS = slice(189, 252), slice(290, 353)


def some_windows(n: int = 40, seed: int = 0) -> np.ndarray:
    """(n, 63, 5), with a range and a gap each day"""
    returns, volumes, _ = markets.draw(n + 62, seed=seed)
    chance = np.random.default_rng(seed)
    ranges = np.abs(returns) + 0.01 * chance.random(n + 62)
    gaps = 0.004 * chance.standard_normal(n + 62)
    return markets.windows(returns, volumes, 100.0, ranges, gaps).copy()


def test_the_layout_names_384_numbers_once_each():
    layout = num_regime_core_v3.LAYOUT
    assert len(layout) == len(set(layout)) == num_regime_core_v3.dimension(63) == 384
    days_ago = range(62, -1, -1)
    assert layout[RANGES] == tuple(f"log_range_{days}_days_ago" for days in days_ago)
    assert layout[GAPS] == tuple(f"overnight_gap_{days}_days_ago" for days in days_ago)


def test_returns_prices_volumes_and_statistics_stand_where_v2_has_them():
    windows = some_windows()
    v2 = num_regime_core_v2.encode(windows[:, :, :3])
    v3 = num_regime_core_v3.encode(windows)
    for places in (slice(0, 189), slice(252, 290)):
        assert num_regime_core_v3.LAYOUT[places] == num_regime_core_v2.LAYOUT[places]
        assert v3[:, places].tobytes() == v2[:, places].tobytes()


@given(st.integers(0, 999))
def test_every_path_is_decoded_from_the_embedding(seed):
    windows = some_windows(3, seed)
    found = num_regime_core_v3.decode(num_regime_core_v3.encode(windows))
    largest = np.abs(windows[:, :, 0]).max()
    np.testing.assert_allclose(found.returns, windows[:, :, 0], atol=2e-6 * largest)
    for path, column in zip(found[1:], (2, 3, 4), strict=True):
        assert (path == windows[:, :, column].astype(np.float32)).all()


def test_a_missing_range_or_gap_differs_from_one_of_zero():
    windows = some_windows(2)
    windows[0, 5, 3:] = np.nan
    windows[0, 6, 3:] = 0.0
    windows[0, 7, 3:] = -0.0
    windows[0, 8, 4] = -1e-60  # too small for float32
    found = num_regime_core_v3.decode(num_regime_core_v3.encode(windows))
    for path in (found.log_ranges, found.overnight_gaps):
        assert np.argwhere(np.isnan(path)).tolist() == [[0, 5]]
        assert path[0, 6:8].tolist() == [0, 0]
    assert found.overnight_gaps[0, 8] == 0


def test_a_window_without_ranges_is_as_near_to_others_as_one_with_ranges_of_zero():
    windows = some_windows(2)
    windows[:, :, 3:] = 0.0
    zero = num_regime_core_v3.encode(windows)
    windows[:, :, 3:] = np.nan
    missing = num_regime_core_v3.encode(windows)
    assert (missing == zero).all()
    assert missing.tobytes() != zero.tobytes()
    found = num_regime_core_v3.decode(missing)
    v2 = num_regime_core_v2.decode(num_regime_core_v2.encode(windows[:, :, :3]))
    for path, other in zip(found, v2, strict=True):
        np.testing.assert_array_equal(path, other)


def test_a_batch_of_one_equals_its_row_of_a_larger_batch_to_the_bit():
    windows = some_windows(1100)
    windows[::3, 4:40, 3:] = np.nan
    together = num_regime_core_v3.encode(windows)
    for row in [*range(0, 1100, 37), 1023, 1024, 1099]:
        alone = num_regime_core_v3.encode(windows[row : row + 1])
        assert alone.tobytes() == together[row].tobytes()


def test_the_fourier_features_stand_behind_the_statistics_and_the_gaps():
    windows = some_windows(3)
    embeddings = num_regime_core_v3.encode(windows)
    chance = np.random.RandomState(3)
    frequencies = chance.standard_normal((38, 31)) / 6
    phases = chance.uniform(0, 2 * np.pi, 31)
    expected = np.sqrt(2 / 31) * np.cos(embeddings[:, 252:290] @ frequencies + phases)
    np.testing.assert_allclose(embeddings[:, 353:], expected, atol=1e-5)
