from importlib.resources import files

import markets
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from regime_engine.classifiers import recurrent

DAYS = 63


def paths(seed: int, days: int, ranges: bool = True):
    """Returns, volumes, log ranges and gaps of an easy market, (days,) each, and its states."""
    returns, volumes, states = markets.draw(days, k=4, seed=seed)
    random = np.random.default_rng(seed)
    size = np.array(markets.SIGMA[4])[states] * np.exp(0.43 + 0.29 * random.standard_normal(days))
    missing = np.full(days, np.nan)
    log_ranges = np.maximum(size, np.abs(returns)) if ranges else missing
    return (returns, volumes, log_ranges, np.zeros(days) if ranges else missing), states


def windows(each, rows=slice(None)):
    return tuple(sliding_window_view(path, DAYS)[rows].T for path in each)


def filtered(context, days):
    return np.array(list(recurrent.filtered(context, *days)))  # (63, 4, n)


def balanced_accuracy(log_p: np.ndarray, states: np.ndarray) -> float:
    return np.mean([(log_p[-1].argmax(axis=0) == k)[states == k].mean() for k in range(4)])


@pytest.fixture(scope="module")
def market():
    """What the network remembers of 1,500 days, the windows of 4,158 later days, their states."""
    each, states = paths(seed=4, days=1500 + 4158)
    context = recurrent.context(*(path[:1500] for path in each))
    return context, windows(path[1500:] for path in each), states[1500 + DAYS - 1 :]


def test_the_most_probable_state_is_the_true_one_on_most_days(market):
    context, days, states = market
    log_p = filtered(context, days)
    assert balanced_accuracy(log_p, states) > 0.9
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-5)


def test_ranges_tell_the_state_better_and_a_series_without_them_is_read_too():
    found = []
    for ranges in (True, False):
        each, states = paths(seed=5, days=4500, ranges=ranges)
        context = recurrent.context(*(path[:2000] for path in each))
        log_p = filtered(context, windows(path[2000:] for path in each))
        found.append(balanced_accuracy(log_p, states[2000 + DAYS - 1 :]))
    with_ranges, without = found
    assert with_ranges > without + 0.02
    assert without > 0.65


def test_a_day_is_read_from_the_days_before_it_alone(market):
    context, days, _ = market
    some = [path[:, :5].copy() for path in days]
    before = filtered(context, some)
    for path in some:
        path[40:] = path[40:][::-1].copy() * 3
    after = filtered(context, some)
    assert after[:40].tobytes() == before[:40].tobytes()
    assert (after[40:] != before[40:]).any()


@pytest.mark.parametrize("n", [1, 3, 17, 1000])
def test_the_bits_of_a_window_depend_on_no_other_window(market, n):
    context, days, _ = market
    together = filtered(context, days)
    assert together.shape[2] == 4096
    for first in (0, 2011, 4096 - n):
        alone = filtered(context, [path[:, first : first + n] for path in days])
        assert alone.tobytes() == together[:, :, first : first + n].tobytes()


def test_float32_holds_the_products_of_weights_and_activations_exactly(market):
    made = recurrent._of_series(recurrent.weights(), market[0][1:])
    random = np.random.default_rng(0)
    largest = np.full(made[0].shape[1], 2.0**8)
    largest[-recurrent.INPUTS :] *= recurrent._MOST_INPUT
    seen = np.rint(random.choice([-1, 1], (len(largest), 500)) * largest[:, None])
    for matrix in made[:2]:
        rounded = recurrent._exactly(matrix)
        steps = rounded.astype(float) * 2.0**30
        assert (steps == np.rint(steps)).all()
        exact = (steps.astype(np.int64) @ seen.astype(np.int64)) / 2.0**30
        np.testing.assert_array_equal(rounded @ seen.astype(np.float32), exact)
        np.testing.assert_allclose(rounded * 2.0**8, matrix, atol=2.0**-8)


def test_the_filter_is_the_recursion_of_the_documentation(market):
    context, days, _ = market
    some = [path[:, :7] for path in days]
    recurrent_weights, output, initial = recurrent._of_series(recurrent.weights(), context[1:])
    inputs = recurrent.window_inputs(float(np.exp(context[0])), *some).astype(float)
    h = np.repeat(initial[:, None], 7, axis=1)
    for day, log_p in zip(inputs, filtered(context, some), strict=True):
        a = recurrent_weights @ np.concatenate([h, day])
        z = 0.5 + 0.5 * np.tanh(a[: len(h)])
        h = h + z * (np.tanh(a[len(h) :]) - h)
        p = np.exp(output @ np.concatenate([h, np.zeros_like(day[:-1]), np.ones((1, 7))]))
        np.testing.assert_allclose(np.exp(log_p), p / p.sum(axis=0), atol=0.03)


def test_prices_in_another_unit_give_the_same_probabilities():
    each, _ = paths(seed=6, days=1000)
    found = []
    for factor in (1.0, 40.0):
        scaled = (each[0] * factor, each[1], each[2] * factor, each[3] * factor)
        context = recurrent.context(*(path[:800] for path in scaled))
        found.append(filtered(context, windows(path[800:] for path in scaled)))
    np.testing.assert_allclose(np.exp(found[0]), np.exp(found[1]), atol=0.02)


def test_a_day_far_outside_of_all_training_is_read_as_the_wildest_state(market):
    context, days, _ = market
    some = [path[:, :1].copy() for path in days]
    some[0][-5:] *= 1e6
    some[2][-5:] *= 1e6
    last = filtered(context, some)[-1, :, 0]
    assert np.isfinite(last).all()
    assert last.argmax() == 3


def test_the_weights_are_small_and_say_how_they_were_made():
    size = len(files(recurrent.__package__).joinpath("recurrent.npz").read_bytes())
    assert size < 500_000
    record = recurrent.record()
    assert {"seed", "steps", "torch", "held_out_log_loss", "prior"} <= record.keys()
