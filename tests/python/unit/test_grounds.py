"""What is doubtful about a fit is said, and nothing is said of a fit to sound prices."""

import warnings

import markets
import numpy as np
import pytest

from regime_engine import MarkovRegimes
from regime_engine.classifiers import markov
from regime_engine.classifiers.grounds import Grounds, grounds
from regime_engine.encoders import num_regime_core_v1, num_regime_core_v3

MODEL_ID = num_regime_core_v3.MODEL_ID
DAYS = 1500
SOUND = markets.draw(DAYS, 3, seed=1, stay=0.98)


def of(returns, volumes, days=None) -> Grounds:
    embeddings = markets.embeddings(returns, volumes)
    return grounds(embeddings, MODEL_ID, markov.fit(embeddings, 4, MODEL_ID), days)


def rounded(returns: np.ndarray, price: float) -> np.ndarray:
    """The returns of closes that start at a price and have two decimals."""
    closes = np.maximum(np.round(price * np.exp(np.cumsum(returns)), 2), 0.01)
    return np.diff(np.log(closes), prepend=np.log(price))


def with_dead_quote(returns: np.ndarray) -> np.ndarray:
    """The close of day 700 stays for 11 days more; one of 9 days is no dead quote."""
    dead = returns.copy()
    dead[701:712] = 0
    dead[300:308] = 0
    return dead


def with_splits(returns: np.ndarray) -> np.ndarray:
    split = returns.copy()
    split[[400, 900]] -= np.log(10)
    return split


def with_days_without_volume(volumes: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(volumes)) % 10 == 0, -3, volumes)


def test_nothing_is_doubtful_about_a_sound_history_with_regimes():
    returns, volumes, _ = SOUND
    found = of(returns, volumes)
    assert found.doubts == {}
    assert found.clipped_days == ()
    assert found.measures["training_days"] == DAYS


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda r, v: (rounded(r / 4, 0.15), v), "coarse prices", "of a day's volatility"),
        (lambda r, v: (np.where(np.arange(DAYS) % 4, r, 0), v), "unchanged closes", "on 25% of the days"),
        (lambda r, v: (with_dead_quote(r), v), "dead quotes", "once, the longest time 12 days from day 701:"),
        (lambda r, v: (with_splits(r), v), "cut returns", "2 returns of day 401 (-"),
        (lambda r, v: (r, with_days_without_volume(v)), "days without volume", "10% of the days have no volume"),
        (lambda r, v: (r[:503], v[:503]), "few days", "trained on 503 days"),
    ],
)  # fmt: skip
def test_a_doubtful_history_is_named_with_its_numbers(change, kind, words):
    returns, volumes, _ = SOUND
    assert words in of(*change(returns, volumes)).doubts[kind]


def test_504_days_are_enough():
    returns, volumes, _ = SOUND
    assert "few days" not in of(returns[:504], volumes[:504]).doubts


def test_cut_days_have_their_dates_if_they_are_known():
    returns, volumes, _ = SOUND
    days = np.datetime64("2000-01-03") + np.arange(DAYS)
    found = of(with_splits(returns), volumes, days)
    assert found.clipped_days == (str(days[400]), str(days[900]))
    assert f"2 returns of {days[400]} (-" in found.doubts["cut returns"]


def garch(chance: np.random.Generator) -> np.ndarray:
    noise, returns, variance = chance.standard_t(6, DAYS) * (4 / 6) ** 0.5, np.empty(DAYS), 1e-4
    for t in range(DAYS):
        returns[t] = variance**0.5 * noise[t]
        variance = 2e-6 + 0.07 * returns[t] ** 2 + 0.91 * variance
    return returns


@pytest.mark.parametrize(
    "draw", [lambda chance: chance.normal(0, 0.01, DAYS), garch], ids=["Gaussian noise", "GARCH"]
)
def test_without_regimes_one_state_is_enough(draw):
    chance = np.random.default_rng(1000)
    found = of(draw(chance), 0.25 * chance.standard_normal(DAYS))
    assert list(found.doubts) == ["one state is enough"]


def test_days_unlike_those_before_them_are_named():
    returns, volumes, _ = SOUND
    embeddings = markets.embeddings(returns, volumes)
    model = markov.fit(embeddings, 4, MODEL_ID)
    novelty = np.repeat([99.5, 50.0], [80, 20])
    found = grounds(embeddings, MODEL_ID, model, held_out_novelty=novelty)
    assert "80% of the last 100 days are more unusual" in found.doubts["changed series"]
    assert not grounds(embeddings, MODEL_ID, model, held_out_novelty=novelty[40:]).doubts


def test_an_encoder_that_keeps_no_returns_gives_no_grounds():
    assert grounds(np.zeros((200, 384), np.float32), num_regime_core_v1.MODEL_ID, None) == Grounds()


def test_a_fit_in_a_notebook_warns_and_a_sound_one_does_not():
    returns, volumes, _ = SOUND
    with pytest.warns(UserWarning, match="the close stays the same for 10 days or more once"):
        MarkovRegimes().fit(markets.embeddings(with_dead_quote(returns), volumes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MarkovRegimes().fit(markets.embeddings(returns, volumes))
