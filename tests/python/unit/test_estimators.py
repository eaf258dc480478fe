"""The estimators of a notebook keep the conventions of scikit-learn."""

import pickle
from functools import cache

import markets
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from regime_engine import MarkovRegimes, PrototypeRegimes
from regime_engine.classifiers import markov
from regime_engine.encoders import num_regime_core_v2, num_regime_core_v3
from regime_engine.engine.fit import HELD_OUT, score_states

# It takes any columns, so that it can be fitted to the tables of scikit-learn's checks.
ANY_COLUMNS = PrototypeRegimes(model_id="numeric-simple-v1")
# These checks fit tables of a few rows and two to ten columns. MarkovRegimes refuses such tables: it needs
# the embeddings of at least half a year of days, 384 numbers each. The tests below state the same facts for
# embeddings.
OF_OTHER_TABLES = """
    check_dict_unchanged check_dont_overwrite_parameters check_dtype_object
    check_estimators_dtypes check_estimators_fit_returns_self check_estimators_nan_inf
    check_estimators_overwrite_params check_estimators_pickle check_f_contiguous_array_estimator
    check_fit2d_1feature check_fit2d_1sample check_fit2d_predict1d check_fit_check_is_fitted
    check_fit_idempotent check_fit_score_takes_y check_methods_sample_order_invariance
    check_methods_subset_invariance check_n_features_in check_n_features_in_after_fitting
    check_pipeline_consistency check_positive_only_tag_during_fit check_readonly_memmap_input
"""


def checks_that_do_not_apply(estimator) -> dict[str, str]:
    if isinstance(estimator, MarkovRegimes):
        return dict.fromkeys(OF_OTHER_TABLES.split(), "only a sequence of embeddings can be fitted")
    return {"check_supervised_y_2d": "labels in a column of a table are refused, not flattened"}


@parametrize_with_checks(
    [ANY_COLUMNS, MarkovRegimes()],
    expected_failed_checks=checks_that_do_not_apply,
    xfail_strict=True,
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@cache
def market(k: int) -> np.ndarray:
    """(300, 384) embeddings of consecutive days"""
    embeddings, _ = markets.embedded(362, k, seed=k)
    embeddings.flags.writeable = False
    return embeddings


BOTH = pytest.mark.parametrize(
    "estimator", [MarkovRegimes(3), PrototypeRegimes(3)], ids=["markov", "prototype"]
)


@cache
def fitted(kind: type):
    return kind(3).fit(market(3))


def answers(model, X) -> list[np.ndarray]:
    found = [model.predict(X), model.predict_proba(X), model.novelty(X)]
    is_told = isinstance(model, MarkovRegimes)
    return [*found, model.expected_volatility(X)] if is_told else found


def bits(arrays) -> list[list]:
    return [array.tolist() for array in arrays]


@BOTH
def test_a_fit_returns_itself_and_keeps_its_hyperparameters(estimator):
    X = market(3)
    model = clone(estimator)
    assert model.fit(X) is model
    assert model.get_params() == estimator.get_params()
    assert model.n_features_in_ == 384
    assert not hasattr(model, "feature_names_in_")
    assert model.classes_.tolist() == model.labels_.tolist() == ["CARRY", "NEUTRAL", "CRISIS"]
    label, probabilities, novelty, *_ = answers(model, X)
    assert set(label) == set(model.classes_)
    assert probabilities.shape == (300, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert novelty.min() >= 0
    assert novelty.max() <= 100


@BOTH
def test_the_columns_of_the_probabilities_are_calmest_first(estimator):
    probabilities = fitted(type(estimator)).predict_proba(market(3))
    swings = np.exp(market(3)[:, num_regime_core_v3.LAYOUT.index("ln_volatility_half_life_8")])
    mean_swings = (probabilities * swings[:, None]).sum(axis=0) / probabilities.sum(axis=0)
    assert (np.diff(mean_swings) > 0).all()


@BOTH
def test_a_fit_that_predicts_is_a_fit_and_then_a_prediction(estimator):
    labels = clone(estimator).fit_predict(market(3))
    assert labels.tolist() == fitted(type(estimator)).predict(market(3)).tolist()


def test_given_labels_are_sorted_columns_and_known_ones_are_ordered_by_their_alarm():
    X = market(2)
    labels = np.array(["RISK_OFF", "CRISIS", "CARRY", "mine"])[np.arange(len(X)) % 4]
    model = PrototypeRegimes().fit(X, labels)
    assert model.classes_.tolist() == ["CARRY", "CRISIS", "RISK_OFF", "mine"]
    assert model.labels_.tolist() == ["CARRY", "RISK_OFF", "CRISIS", "mine"]
    assert model.fit_predict(X, labels).tolist() == model.predict(X).tolist()
    read = PrototypeRegimes.from_json(model.parameters_.labels, model.to_json())
    assert read.classes_.tolist() == model.classes_.tolist()


def test_the_transition_matrix_is_the_mean_of_the_chains_by_their_shares():
    model = fitted(MarkovRegimes)
    chains = model.to_json()["experts"]
    assert len(chains) == 2
    expected = sum(each["share"] * np.array(each["transition_matrix"]) for each in chains)
    np.testing.assert_allclose(model.transition_matrix_, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(model.transition_matrix_.sum(axis=1), 1, rtol=0, atol=1e-12)
    # The market stays in its state with probability .985.
    assert np.diag(model.transition_matrix_) == pytest.approx(0.985, abs=0.01)


def test_the_criteria_weigh_the_densities_against_the_fitted_numbers():
    X, model = market(3), fitted(MarkovRegimes)
    samples = model.score_samples(X)
    assert samples.shape == (300,)
    assert model.score(X) == samples.mean()
    # Both chains: 3 μ, 3 σ, ν, 6 transitions; the second: 3 volumes, their scale and weight.
    # The volatility: mean, deviation, leverage, ν.
    n_parameters = 2 * 13 + 5 + 4
    assert model.aic(X) == pytest.approx(2 * n_parameters - 2 * samples.sum(), rel=1e-12)
    assert model.bic(X) == pytest.approx(np.log(300) * n_parameters - 2 * samples.sum(), rel=1e-12)
    assert model.score_samples(X[:1]).tolist() == samples[:1].tolist()


def test_a_sample_has_the_laws_of_the_chains():
    model = fitted(MarkovRegimes)
    returns, labels = model.sample(40_000, random_state=5)
    states = np.array([model.labels_.tolist().index(label) for label in labels])

    steps = np.zeros((3, 3))
    np.add.at(steps, (states[:-1], states[1:]), 1)
    observed, A = steps / steps.sum(axis=1, keepdims=True), model.transition_matrix_
    deviation = np.sqrt(A * (1 - A) / steps.sum(axis=1, keepdims=True))
    assert (abs(observed - A) < 4 * deviation + 1e-4).all()

    for state in range(3):
        drawn = returns[states == state] / model.parameters_.scale

        def law(x, state=state):
            return sum(
                e.share * scipy.stats.t.cdf((x - e.mu[state]) / e.sigma[state], e.nu)
                for e in model.parameters_.experts
            )

        assert scipy.stats.kstest(drawn, law).pvalue > 0.001


def test_a_sample_is_repeated_by_its_seed():
    model = fitted(MarkovRegimes)
    first, again = (bits(model.sample(100, 7)) for _ in range(2))
    assert first == again == bits(model.sample(100, np.random.default_rng(7)))
    assert bits(model.sample(100, 8)) != first
    with pytest.raises(ValueError, match="n_samples is 1 or more, not 0"):
        model.sample(0)
    with pytest.raises(NotFittedError, match="call fit first"):
        MarkovRegimes().sample(9)


def test_the_expected_volatility_is_annualised_by_the_days_that_are_asked_for():
    X, model = market(3), fitted(MarkovRegimes)
    daily = markov.classify(model.parameters_, X.astype(np.float32)).daily_volatility
    assert model.expected_volatility(X) == pytest.approx(daily * 252**0.5, rel=1e-15)
    assert model.expected_volatility(X, 365) == pytest.approx(daily * 365**0.5, rel=1e-15)
    for days in (0, -252, np.nan, np.inf):
        with pytest.raises(ValueError, match="trading_days_a_year is above 0"):
            model.expected_volatility(X, days)
    assert not hasattr(fitted(PrototypeRegimes), "expected_volatility")


@BOTH
def test_the_answer_for_a_row_depends_neither_on_the_other_rows_nor_on_their_order(estimator):
    X = market(3)
    model = fitted(type(estimator))
    whole = answers(model, X)
    order = np.random.default_rng(0).permutation(len(X))
    assert bits(answers(model, X[order])) == bits(each[order] for each in whole)
    for row in (0, 150, 299):
        assert bits(answers(model, X[row : row + 1])) == bits(each[row : row + 1] for each in whole)


@BOTH
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(np.asfortranarray, id="column-major"),
        pytest.param(lambda X: X.astype(float), id="float64"),
        pytest.param(lambda X: X.tolist(), id="lists"),
        pytest.param(lambda X: pd.DataFrame(X), id="pandas"),
        pytest.param(lambda X: X.astype(object), id="objects"),
    ],
)
def test_a_table_in_another_form_is_the_same_table(estimator, given):
    X = market(3)
    known = fitted(type(estimator))
    model = clone(estimator).fit(given(X))
    assert model.to_json() == known.to_json()
    assert bits(answers(model, given(X))) == bits(answers(known, X))


@BOTH
def test_a_fit_is_repeated_pickled_and_read_back_from_json_to_the_bit(estimator):
    X = market(3)
    model = clone(estimator).fit(market(2)).fit(X)
    known = bits(answers(fitted(type(estimator)), X))
    read = type(model).from_json(model.parameters_.labels, model.to_json())
    for each in (model, pickle.loads(pickle.dumps(model)), read):
        assert bits(answers(each, X)) == known
    assert read.get_params() == model.get_params()
    assert read.n_features_in_ == 384


@BOTH
def test_the_columns_of_a_frame_are_those_of_the_fit(estimator):
    X = pd.DataFrame(market(3)).rename(columns="n{}".format)
    model = clone(estimator).fit(X)
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    with pytest.raises(ValueError, match="number 0 is 'n1' and was 'n0'"):
        model.predict(X[[*X.columns[1:], "n0"]])


@BOTH
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (market(3)[:, :9], ValueError, "X has 9 features, but .* is expecting 384 features"),
        (market(3)[0], ValueError, "X has 1 dimensions instead of 2"),
        (market(3)[:0], ValueError, r"0 sample\(s\) .* a minimum of 1 is required"),
        (np.full((300, 384), np.nan), ValueError, "X has NaN in row 0, column 0"),
        (np.full((300, 384), 1e300), ValueError, "X has infinity in row 0, column 0"),
        (np.full((300, 384), "x"), ValueError, "X is not of numbers: could not convert"),
        ((market(3), np.arange(300)), TypeError, "X is a tuple: encode returns embeddings and"),
    ],
    ids=["columns", "one row", "empty", "NaN", "infinity", "text", "tuple"],
)  # fmt: skip
def test_a_table_that_holds_no_embeddings_is_refused_in_one_line(estimator, X, error, message):
    with pytest.raises(error, match=message) as refused:
        clone(estimator).fit(X)
    assert "\n" not in str(refused.value)
    with pytest.raises(error, match=message):
        fitted(type(estimator)).predict(X)


@BOTH
def test_a_model_must_be_fitted_before_it_answers(estimator):
    for ask in ("predict", "predict_proba", "novelty", "score"):
        with pytest.raises(NotFittedError, match="is not fitted yet: call fit first"):
            getattr(clone(estimator), ask)(market(3))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: MarkovRegimes().fit(market(3)[:125]), ValueError, "needs 126 training windows, and there are 125"),
        (lambda: MarkovRegimes(5).fit(market(3)), ValueError, "has 2, 3 or 4 states, not 5"),
        (lambda: MarkovRegimes("4").fit(market(3)), TypeError, "n_states is a whole number, not '4'"),
        (lambda: MarkovRegimes().set_params(k=3), ValueError, "no parameter 'k': it has n_states"),
        (lambda: MarkovRegimes.from_json(["A", "B"], {}), ValueError, "not the parameters of MarkovRegimes"),
        (lambda: MarkovRegimes.from_json(["A"], fitted(MarkovRegimes).to_json()), ValueError, "1 labels for 3 states"),
        (lambda: PrototypeRegimes.from_json(["A"], fitted(PrototypeRegimes).to_json()), ValueError, "1 labels for 3 centres"),
        (lambda: PrototypeRegimes().fit(market(3)[:83]), ValueError, "need 84 training windows, and there are 83"),
        (lambda: PrototypeRegimes(model_id="v9").fit(market(3)), ValueError, "unknown model id 'v9': choose one of"),
        (lambda: ANY_COLUMNS.fit(market(3)[:, :9]), ValueError, "embeddings of 384 numbers, not 9"),
        (lambda: PrototypeRegimes().fit(market(3), ["A"]), ValueError, r"y has the shape \(1,\), and X 300 rows"),
        (lambda: PrototypeRegimes().fit(market(3), ["A", None] * 150), ValueError, "y has no label in row 1"),
    ],
)  # fmt: skip
def test_an_impossible_fit_is_refused_in_one_line(wrong, error, message):
    with pytest.raises(error, match=message) as refused:
        wrong()
    assert "\n" not in str(refused.value)


def test_predicted_labels_are_those_given_to_the_fit():
    X = market(2)
    calm = X[:, -100] < np.median(X[:, -100])
    model = PrototypeRegimes().fit(X, np.where(calm, 7, 3))
    assert is_classifier(model)
    assert model.classes_.tolist() == [3, 7]
    assert model.score(X, model.predict(X)) == 1
    assert model.score(X, 10 - model.predict(X)) == 0


def test_a_search_for_the_number_of_states_scores_as_the_engine_does():
    X = market(4)
    first, rest = np.split(np.arange(len(X)), [int(len(X) * (1 - HELD_OUT))])
    search = GridSearchCV(MarkovRegimes(), {"n_states": [2, 3, 4]}, cv=[(first, rest)]).fit(X)
    found = dict(zip((2, 3, 4), search.cv_results_["mean_test_score"].tolist(), strict=True))
    assert found == dict(score_states(X, MarkovRegimes.model_id))
    assert search.best_params_["n_states"] == max(found, key=found.get)


def test_a_pipeline_and_folds_in_the_order_of_time_take_the_estimators():
    X = market(2)
    pipeline = make_pipeline(MarkovRegimes())
    scores = []
    for train, test in TimeSeriesSplit(2, test_size=60).split(X):
        scores.append(pipeline.set_params(markovregimes__n_states=2).fit(X[train]).score(X[test]))
    assert np.isfinite(scores).all()
    assert pipeline.predict(X).tolist() == pipeline[-1].predict(X).tolist()


def test_a_markov_model_reads_the_embeddings_of_either_encoder_and_no_others():
    returns, volumes, _ = markets.draw(362, 2, seed=1)
    windows = markets.windows(returns, volumes)
    of_v2 = num_regime_core_v2.encode(windows[:, :, :3])
    v2, v3 = MarkovRegimes(2, "num-regime-core-v2").fit(of_v2), MarkovRegimes(2)
    with pytest.raises(ValueError, match="not by num-regime-core-v3, since a range in them is neg"):
        v3.fit(of_v2)
    of_v3 = num_regime_core_v3.encode(windows)
    v3.fit(of_v3)
    assert v2.predict_proba(of_v2).tolist() == v3.predict_proba(of_v3).tolist()
    for ask in (v3.predict, v3.novelty, v3.score):
        with pytest.raises(ValueError, match="name the encoder that made them"):
            ask(of_v2)
    read = MarkovRegimes.from_json(v2.parameters_.labels, v2.to_json())
    assert read.get_params() == v2.get_params()
    assert read.predict(of_v2).tolist() == v2.predict(of_v2).tolist()
