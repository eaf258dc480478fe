import json
from dataclasses import replace

import markets
import numpy as np
import pytest

from regime_engine.classifiers import STATE_LABELS, Classification, markov, recurrent
from regime_engine.errors import RegimeError


@pytest.fixture(scope="module")
def market():
    """Embeddings of 2,000 days of two states, their states, and a fit on the first 1,000."""
    embeddings, states = markets.embedded(2062, seed=3)
    return embeddings, states, markov.fit(embeddings[:1000], 2)


def balanced_accuracy(found: Classification, states: np.ndarray) -> float:
    return np.mean([(found.winners == k)[states == k].mean() for k in (0, 1)])


def bits(found: Classification, rows: int | slice = slice(None)) -> list[bytes]:
    return [each[rows].tobytes() for each in (found.winners, found.probabilities, found.novelty)]


def test_the_label_is_the_true_state_on_most_later_days(market):
    embeddings, states, fitted = market
    found = markov.classify(fitted, embeddings[1000:])
    assert balanced_accuracy(found, states[1000:]) > 0.9


def test_confidence_is_the_share_of_labels_that_are_right(market):
    embeddings, states, fitted = market
    found = markov.classify(fitted, embeddings[1000:])
    rows = np.arange(len(found.winners))
    confidence = found.probabilities[rows, found.winners]
    right = found.winners == states[1000:]
    assert confidence.mean() == pytest.approx(right.mean(), abs=0.04)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_the_classification_of_a_window_depends_on_no_other_window(market):
    embeddings, _, fitted = market
    together = markov.classify(fitted, embeddings)
    for row in [0, 1, 500, 1023, 1024, 1999]:
        assert bits(markov.classify(fitted, embeddings[row : row + 1])) == bits(together, row)
    assert bits(markov.classify(fitted, embeddings[::-1])) == bits(together, slice(None, None, -1))


def test_volume_that_tells_the_state_is_used(market):
    fitted = market[2]
    returns_only, both = fitted.experts
    assert returns_only.volume_weight == 0 < both.volume_weight
    assert both.volume_mean[1] - both.volume_mean[0] == pytest.approx(0.3, abs=0.05)
    assert both.volume_scale == pytest.approx(0.25, abs=0.03)


def test_volume_that_is_the_same_in_all_states_is_not_read():
    returns, _, _ = markets.draw(1062, seed=5)
    noise = 0.25 * np.random.default_rng(5).standard_normal(1062)
    fitted = markov.fit(markets.embeddings(returns, noise), 2)
    assert [expert.volume_weight for expert in fitted.experts] == [0]


def test_volume_makes_labels_better_where_returns_tell_little():
    balanced = []
    for seed in range(3):
        returns, _, states = markets.draw(2314, seed=seed)
        returns *= np.where(states == 0, 1.8, 1)  # the volatilities are nearly the same
        level = 0.4 * states + 0.25 * np.random.default_rng(seed).standard_normal(2314)
        year = [level[t - 252 : t].mean() for t in range(252, 2314)]
        returns, volumes, states = returns[252:], level[252:] - year, states[252:]
        for seen in (volumes, 0 * volumes):
            embeddings = markets.embeddings(returns, seen)
            found = markov.classify(markov.fit(embeddings[:1000], 2), embeddings[1000:])
            balanced.append(balanced_accuracy(found, states[1062:]))
    with_volume, without = np.mean(np.reshape(balanced, (3, 2)), axis=0)
    assert with_volume > without + 0.03


def test_the_experts_are_pooled_by_the_mean_of_their_log_probabilities(market):
    embeddings, _, fitted = market
    rows = embeddings[::50]
    share = fitted.volatility_share
    alone = [
        (
            (1 - share) * expert.share,
            replace(fitted, experts=(replace(expert, share=1.0),), volatility_share=0.0),
        )
        for expert in fitted.experts
    ]
    alone.append((share, replace(fitted, volatility_share=1.0)))
    log_p = sum(
        weight * np.log(markov.classify(replace(expert, beta=1.0), rows).probabilities)
        for weight, expert in alone
    )
    assert sum(weight for weight, _ in alone) == pytest.approx(1)
    together = np.exp(log_p) / np.exp(log_p).sum(axis=1, keepdims=True)
    found = markov.classify(replace(fitted, beta=1.0), rows)
    np.testing.assert_allclose(found.probabilities, together, atol=1e-7)


def test_the_usual_volume_before_a_window_has_the_law_of_a_simulated_chain():
    A, mean = np.array([[0.99, 0.01], [0.02, 0.98]]), np.array([-0.1, 0.3])
    offsets, chance = markov._usual_volume(A, np.array([2 / 3, 1 / 3]), mean)
    draw = np.random.default_rng(0).random((2000, 4000))
    state = np.zeros(4000, int)
    level = np.empty(draw.shape)
    for day, drawn in enumerate(draw):
        level[day] = mean[state] - mean @ [2 / 3, 1 / 3]
        state = np.where(drawn < A[state, 0], 0, 1)
    year = level[-252:].mean(axis=0)
    assert np.abs(offsets).max() == pytest.approx(2 * 1.2 * year.std(), rel=0.05)
    for k in (0, 1):
        assert chance[k] @ offsets == pytest.approx(year[state == k].mean(), abs=0.01)


def test_log_volume_is_recovered_from_relative_volume():
    chance = np.random.default_rng(4)
    level = 18 + 0.3 * np.sin(np.arange(1500) / 90) + 0.1 * chance.standard_normal(1500)
    relative = [level[t] - level[t - 252 : t].mean() for t in range(252, 1500)]
    back = markov._log_volume(np.array(relative))
    late = slice(500, None)  # the unknown year before the first day has no weight by then
    assert np.corrcoef(back[late], level[252:][late])[0, 1] > 0.97


@pytest.mark.parametrize("volume", [0.0, -3.0])
def test_a_series_without_volume_is_fitted_to_returns_alone(volume):
    returns, _, states = markets.draw(1062, seed=5)
    embeddings = markets.embeddings(returns, np.full(1062, volume))
    fitted = markov.fit(embeddings, 2)
    assert [expert.volume_weight for expert in fitted.experts] == [0]
    found = markov.classify(fitted, embeddings)
    assert (found.winners == states[62:]).mean() > 0.9


@pytest.mark.filterwarnings("error")
def test_the_first_day_of_an_instrument_which_has_no_return_can_be_fitted():
    returns, volumes, _ = markets.draw(500, seed=6)
    returns[0] = 0
    fitted = markov.fit(markets.embeddings(returns, volumes), 2)
    assert all(np.isfinite(expert.volume_mean).all() for expert in fitted.experts)


@pytest.mark.filterwarnings("error")
def test_a_move_that_no_state_explains_gets_the_most_volatile_state():
    returns, volumes = np.random.default_rng(2).normal(0, [[0.005], [0.2]], (2, 1000))
    fitted = markov.fit(markets.embeddings(returns, volumes), 4)
    returns[300] = np.log(0.01)
    found = markov.classify(fitted, markets.embeddings(returns, volumes)[[300 - 62]])
    assert found.probabilities[0].argmax() == found.winners[0] == 3


def test_multiplying_prices_changes_no_label(market):
    fitted = market[2]
    returns, volumes, _ = markets.draw(400, seed=9)
    many = [markets.embeddings(returns, volumes, price) for price in (1e-3, 100.0, 7e5)]
    labels = [markov.classify(fitted, embeddings).winners.tolist() for embeddings in many]
    assert labels[0] == labels[1] == labels[2]


def test_a_model_read_back_from_json_classifies_to_the_bit(market):
    embeddings, _, fitted = market
    read = markov.from_json(fitted.labels, json.loads(json.dumps(fitted.to_json())))
    assert bits(markov.classify(read, embeddings)) == bits(markov.classify(fitted, embeddings))
    assert read.labels == fitted.labels


def test_the_recurrent_network_has_half_a_say_with_four_states_and_none_with_fewer(market):
    embeddings, _ = markets.embedded(1062, k=4, seed=3)
    fitted = markov.fit(embeddings[:700], 4)
    together = markov.classify(fitted, embeddings[700:])
    others = markov.classify(
        replace(
            fitted,
            context=None,
            recurrent_share=0.0,
            volatility_share=2 * fitted.volatility_share,
        ),
        embeddings[700:],
    )
    days = (each.T for each in markov.decode(embeddings[700:], fitted.model_id))
    *_, log_p = recurrent.filtered(fitted.context, *days)
    p = np.sqrt(others.evidence["filtered"] * np.exp(log_p.T))
    expected = p / p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(together.evidence["filtered"], expected, rtol=1e-4)

    read = markov.from_json(fitted.labels, json.loads(json.dumps(fitted.to_json())))
    assert bits(markov.classify(read, embeddings[700:])) == bits(together)
    for row in (0, 1, 299):
        alone = markov.classify(fitted, embeddings[700 + row : 701 + row])
        assert bits(alone) == bits(together, row)
    assert market[2].context is None


def test_fitting_twice_gives_the_same_model(market):
    embeddings, _, fitted = market
    assert markov.fit(embeddings[:1000], 2).to_json() == fitted.to_json()


@pytest.mark.parametrize("k", [2, 3, 4])
def test_states_are_named_by_their_number_calmest_first(k):
    fitted = markov.fit(markets.embedded(900, k, seed=k)[0], k)
    assert fitted.labels == STATE_LABELS[k]
    for expert in fitted.experts:
        assert (np.diff(expert.sigma) > 0).all()
        np.testing.assert_allclose(expert.transition_matrix.sum(axis=1), 1)
        assert expert.initial.sum() == pytest.approx(1)
    assert 0.4 <= fitted.beta <= 1.6


@pytest.mark.parametrize("mistaken", [0.0, 0.4])
def test_the_power_makes_probabilities_as_sure_as_they_are_right(market, mistaken):
    """A filter that says p^0.75 where p is right needs the power 4/3; the least power if many of the
    states that the chains see are mistakes; less if the states are left often."""
    _, _, fitted = market
    chance = np.random.default_rng(3)
    right = 1 / (1 + np.exp(-chance.normal(0, 2, 4000)))
    said = np.array([right, 1 - right]) ** 0.75
    state = (chance.random(4000) > right) ^ (chance.random(4000) < mistaken)
    (expert, *_) = fitted.experts
    calm = replace(expert, share=1.0, transition_matrix=np.array([[0.999, 0.001], [0.001, 0.999]]))
    restless = replace(calm, transition_matrix=np.array([[0.97, 0.03], [0.03, 0.97]]))
    smoothed = np.eye(2)[state.astype(int)].T
    beta = markov._beta([calm], said / said.sum(axis=0), smoothed, 10**6)
    left = 1 - 0.5 * np.log(100 * 0.03)
    assert beta == pytest.approx(0.6 if mistaken else 4 / 3, abs=0.05)
    assert markov._beta([restless], said / said.sum(axis=0), smoothed, 10**6) == pytest.approx(
        max(left**0.5 * beta, 0.4), abs=1e-9
    )
    # Of few windows less is believed.
    few = markov._beta([calm], said / said.sum(axis=0), smoothed, 252)
    assert few == pytest.approx(beta**0.5, abs=0.01)


def test_novelty_is_100_for_windows_unlike_all_training_windows(market):
    embeddings, _, fitted = market
    returns, volumes, _ = markets.draw(200, seed=1)
    strange = markov.classify(fitted, markets.embeddings(8 * returns, volumes))
    assert strange.novelty.min() == 100
    usual = markov.classify(fitted, embeddings[:1000]).novelty
    assert usual.mean() == pytest.approx(50, abs=5)
    assert usual.min() >= 0


def test_the_score_beats_that_of_one_normal_distribution(market):
    embeddings, _, fitted = market
    scores = markov.scores(fitted, embeddings[1000:])
    one_normal = -0.5 * np.log(2 * np.pi * np.e * fitted.scale**2)
    assert scores["log_score"] > one_normal + 0.2


def test_too_few_windows_are_counted():
    with pytest.raises(RegimeError, match="needs 126 training windows, and there are 38"):
        markov.fit(markets.embedded(100)[0], 2)


def test_prices_that_never_move_are_refused():
    with pytest.raises(RegimeError, match="the 138 training windows never move"):
        markov.fit(markets.embeddings(np.zeros(200), np.zeros(200)), 2)


def test_a_number_of_states_without_labels_is_refused():
    with pytest.raises(RegimeError, match="2, 3 or 4 states, not 5"):
        markov.fit(np.zeros((200, 384), np.float32), 5)


def test_constant_prices_are_classified_by_a_model_of_others(market):
    found = markov.classify(market[2], markets.embeddings(np.zeros(63), np.zeros(63)))
    assert np.isfinite(found.probabilities).all()
    assert found.labels[found.winners[0]] == "NEUTRAL"


def test_an_unadjusted_split_in_the_training_years_does_not_change_the_states():
    returns, volumes, _ = markets.draw(2562, k=4, seed=5)
    split = returns.copy()
    split[700] -= np.log(10)
    later = markets.embeddings(returns, volumes)[1300:]
    found = [
        markov.classify(markov.fit(markets.embeddings(r, volumes)[:1300], 4), later)
        for r in (returns, split)
    ]
    assert (found[0].winners == found[1].winners).mean() > 0.97
    path = markov.training_path(markets.embeddings(split, volumes)[:1300], "num-regime-core-v3")
    assert np.flatnonzero(path.is_clipped).tolist() == [700]
