"""The engine's classifiers with the conventions of scikit-learn, which is not required."""

import math
import operator
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from numbers import Integral
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regime_engine import encoders
from regime_engine.arrays import Floats, Floats32
from regime_engine.classifiers import (
    STATE_LABELS,
    Classification,
    Classifier,
    Learned,
    markov,
    prototype,
)
from regime_engine.classifiers.grounds import grounds
from regime_engine.encoders import DEFAULT, regime_core
from regime_engine.errors import value_errors
from regime_engine.trading_days import OF_FIVE_DAYS

L = TypeVar("L", bound=Learned)


class _Regimes(Generic[L]):
    """What both estimators share. A subclass is a dataclass whose fields are its hyperparameters.

    classes_: (k,) the labels in the order of the columns of `predict_proba`: calmest first, or
        sorted, as scikit-learn requires, if the fit was given the labels
    labels_: (k,) the same, calmest first; labels that the engine does not know come last
    parameters_: the engine's frozen dataclass, whose labels are those of classes_
    n_features_in_: d; feature_names_in_: (d,) if X was a DataFrame with names
    """

    classes_: NDArray[Any]
    labels_: NDArray[Any]
    parameters_: L
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    n_states: int
    # The encoder whose embeddings it reads, the engine's classifier, and scikit-learn's kind.
    model_id: str
    _classifier: ClassVar[Classifier]
    _kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        raise NotImplementedError

    def fit_predict(self, X: ArrayLike, y: Any = None) -> NDArray[Any]:
        """The labels of the rows that the model is fitted to: in sample, they know later days.

        X, y: as for `fit`; returns (n,)
        """
        return self.fit(X, y).predict(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The label of each embedding; it does not depend on the other embeddings.

        X: (n, d); returns (n,)
        raises ValueError before `fit` (scikit-learn's NotFittedError if that is imported), for
        another d, for NaN and for infinity
        """
        found = self._classify(X)
        return np.array(found.labels)[found.winners]

    def predict_proba(self, X: ArrayLike) -> Floats:
        """The probability of each label, columns as in `classes_`.

        X: (n, d); returns (n, k), rows sum to 1; raises as `predict`
        """
        return self._classify(X).probabilities

    def novelty(self, X: ArrayLike) -> Floats:
        """How unlike the embeddings of the fit each embedding is, as a percentile of theirs.

        X: (n, d); returns (n,), 0 to 100; raises as `predict`
        """
        novelty = self._classify(X).novelty
        assert novelty is not None  # only the seed rule has none
        return novelty

    def to_json(self) -> dict[str, Any]:
        """What runtime.regime_models.parameters holds for such a model: all but its labels."""
        self._require_fitted()
        return self.parameters_.to_json()

    @classmethod
    def from_json(
        cls, labels: Sequence[str], parameters: Mapping[str, Any], **hyperparameters: Any
    ) -> Self:
        """A fitted model from the columns labels and parameters of runtime.regime_models.

        hyperparameters: what the next `fit` needs beside n_states, such as the column model_id
        raises ValueError for parameters of another classifier
        """
        try:
            learned: Any = cls._classifier.from_json(labels, dict(parameters))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not the parameters of {cls.__name__}: {error}") from None
        found: dict[str, Any] = {"n_states": len(labels)}
        if isinstance(learned, markov.Markov):
            found["model_id"] = learned.model_id
        model = cls(**found | hyperparameters)
        return model._with(learned, cls._dimension(learned), None)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name; deep: not used, since none of them is an estimator."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """raises ValueError for an unknown hyperparameter"""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}: it has {', '.join(known)}"
                )
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this.
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        classifier_tags = ClassifierTags() if self._kind == "classifier" else None
        return Tags(self._kind, TargetTags(required=False), classifier_tags=classifier_tags)

    @staticmethod
    def _dimension(parameters: Any) -> int:
        raise NotImplementedError

    def _fit(self, X: ArrayLike, y: ArrayLike | None) -> Self:
        embeddings, names = _table(X)
        if not isinstance(self.n_states, Integral):
            raise TypeError(f"n_states is a whole number, not {self.n_states!r}")
        with value_errors():
            encoder = encoders.get(self.model_id)
            dimension = getattr(encoder, "DIMENSION", embeddings.shape[1])
            if embeddings.shape[1] != dimension:
                raise ValueError(
                    f"X has {embeddings.shape[1]} features, but {type(self).__name__} is expecting "
                    f"{dimension} features as input: the embeddings of encode(prices)"
                )
            labels = None if y is None else _labels(y, len(embeddings))
            learned = self._classifier.train(embeddings, encoder, self.n_states, labels)
        if labels is None:
            for doubt in grounds(embeddings, self.model_id, learned).doubts.values():
                warnings.warn(doubt, UserWarning, stacklevel=3)
        return self._with(learned, embeddings.shape[1], names)

    def _with(self, learned: L, dimension: int, names: NDArray[Any] | None) -> Self:
        self.parameters_ = learned
        self.classes_ = np.array(learned.labels)
        self.labels_ = np.array(sorted(learned.labels, key=_severity))
        self.n_features_in_ = dimension
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names
        return self

    def _require_fitted(self) -> None:
        if not hasattr(self, "parameters_"):
            # Scikit-learn's error is a ValueError too; who expects it has imported it.
            error = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", ValueError)
            raise error(f"this {type(self).__name__} is not fitted yet: call fit first")

    def _classify(self, X: ArrayLike) -> Classification:
        embeddings = self._embeddings(X)  # raises before `parameters_` is there
        with value_errors():
            return self._classifier.classify(self.parameters_, embeddings)

    def _embeddings(self, X: ArrayLike) -> Floats32:
        """(n, d) with the d of the fit; raises ValueError"""
        self._require_fitted()
        embeddings, names = _table(X)
        if embeddings.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {embeddings.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        known = getattr(self, "feature_names_in_", None)
        if known is not None and names is not None and (known != names).any():
            at = int((known != names).argmax())
            here, then = names[at], known[at]
            raise ValueError(
                f"X has other columns than in fit: number {at} is {here!r} and was {then!r}"
            )
        return embeddings


@dataclass(eq=False)
class MarkovRegimes(_Regimes[markov.Markov]):
    """The hidden Markov filter of `regime fit`, with a density estimator's conventions.

    n_states: 2 (NEUTRAL, CRISIS), 3 (CARRY, NEUTRAL, CRISIS) or 4 (CARRY, NEUTRAL, RISK_OFF,
        CRISIS); states are named in the order of their volatility
    model_id: the encoder of the embeddings, num-regime-core-v3 or num-regime-core-v2

    A label stays until another is clearly more probable, so `predict` is not always the label with
    the highest `predict_proba`.

    transition_matrix_: (k, k) daily transition probabilities of the hidden states, from row to
        column, both in the order of labels_; rows sum to 1
    """

    n_states: int = 4
    model_id: str = DEFAULT.MODEL_ID

    _classifier: ClassVar[Classifier] = markov
    _kind: ClassVar[str] = "density_estimator"

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """X: (n, 384), the embeddings of n consecutive trading days, oldest first; y: not read

        raises ValueError for fewer than 126 rows, prices that never move, another n_states, and
        embeddings by another encoder than model_id
        warns with UserWarning of each doubt about the fit
        """
        return self._fit(X, None)

    def expected_volatility(
        self, X: ArrayLike, trading_days_a_year: float = OF_FIVE_DAYS
    ) -> Floats:
        """The annualised volatility that is expected of the 21 trading days after each embedding.

        X: (n, d); trading_days_a_year: of the instrument, such as 365 for a market that never
            closes
        returns (n,), 0.2 for 20 % a year

        raises ValueError as `predict`, and for a number of days that is not above 0
        """
        if not 0 < trading_days_a_year < math.inf:
            raise ValueError(f"trading_days_a_year is above 0, not {trading_days_a_year!r}")
        daily = self._classify(X).daily_volatility
        assert daily is not None  # a Markov model always tells one
        return np.asarray(daily * math.sqrt(trading_days_a_year))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of `score_samples`: out of sample on days after the fit. y: not read"""
        return float(self.score_samples(X).mean())

    def score_samples(self, X: ArrayLike) -> Floats:
        """The log density of each row's last return given the days before it, in nats.

        X: (n, 384); returns (n,); raises as `predict`
        """
        embeddings = self._embeddings(X)
        with value_errors():
            return markov.log_densities(self.parameters_, embeddings)

    def aic(self, X: ArrayLike) -> float:
        """Akaike's criterion: 2 p - 2 Σ `score_samples`, lower is better. X: (n, 384)

        p is the number of fitted parameters. The fit has priors and pools several experts, so
        choose n_states rather by `score` on days after the fit.
        """
        return self._criterion(X, lambda n: 2.0)

    def bic(self, X: ArrayLike) -> float:
        """Schwarz's criterion: p ln n - 2 Σ `score_samples`, else as `aic`. X: (n, 384)"""
        return self._criterion(X, math.log)

    def _criterion(self, X: ArrayLike, penalty: Callable[[int], float]) -> float:
        samples = self.score_samples(X)
        parameters = markov.n_parameters(self.parameters_)
        return float(parameters * penalty(len(samples)) - 2 * samples.sum())

    def sample(
        self, n_samples: int, random_state: int | np.random.Generator | None = None
    ) -> tuple[Floats, NDArray[Any]]:
        """Days of a market as the model describes it: log returns and labels, (n_samples,) each.

        random_state: a seed gives the same days again
        The labels are the hidden states, which `predict` has to guess. Volatility is that of the
        states alone, without what moves inside of them.
        """
        self._require_fitted()
        n_samples = operator.index(n_samples)
        if n_samples < 1:
            raise ValueError(f"n_samples is 1 or more, not {n_samples}")
        chance = np.random.default_rng(random_state)
        returns, states = markov.sample(self.parameters_, n_samples, chance)
        return returns, self.labels_[states]

    def _with(self, learned: markov.Markov, dimension: int, names: NDArray[Any] | None) -> Self:
        super()._with(learned, dimension, names)
        self.labels_ = self.classes_  # the states are in the order of their volatility
        self.transition_matrix_ = markov.transition_matrix(learned)
        return self

    @staticmethod
    def _dimension(parameters: Any) -> int:
        return regime_core.DIMENSION


@dataclass(eq=False)
class PrototypeRegimes(_Regimes[prototype.Prototypes]):
    """The nearest prototype, `regime fit --classifier prototype`, with a classifier's conventions.

    n_states: 2, 3 or 4, named as in MarkovRegimes; not read if `fit` is given labels
    model_id: the encoder of the embeddings; those of num-regime-core-v2 and -v3 are standardised
    """

    n_states: int = 4
    model_id: str = DEFAULT.MODEL_ID

    _classifier: ClassVar[Classifier] = prototype
    _kind: ClassVar[str] = "classifier"

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Each centre is the mean embedding of a label, or of a state that the fit finds.

        X: (n, d); without y, embeddings of n consecutive trading days by num-regime-core-v2
            or -v3
        y: (n,) labels; if None, a jump-penalised k-means finds the states
        raises ValueError for a y of another length or with missing labels; without y, for too few
        rows and another n_states
        warns without y as MarkovRegimes does
        """
        return self._fit(X, y)

    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """The share of labels that are predicted; without y, minus the mean distance to the nearest
        centre, in temperatures. X: (n, d); y: (n,)"""
        embeddings = self._embeddings(X)
        if y is None:
            return -self._classifier.scores(self.parameters_, embeddings)["mean_distance"]
        labels = _labels(y, len(embeddings))
        return self._classifier.scores(self.parameters_, embeddings, labels)["accuracy"]

    @staticmethod
    def _dimension(parameters: Any) -> int:
        return int(parameters.centers.shape[1])


def _severity(label: object) -> int:
    """Its place among the labels of the engine; the same, at the end, for all others."""
    known = STATE_LABELS[4]
    return known.index(label) if label in known else len(known)


def _table(X: ArrayLike) -> tuple[Floats32, NDArray[Any] | None]:
    """(n, d) float32, as embeddings are, and (d,) names of a DataFrame's columns, if any"""
    if isinstance(X, tuple):
        raise TypeError("X is a tuple: encode returns embeddings and their days, give the first")
    if hasattr(X, "toarray"):
        raise TypeError("X is sparse: give a dense array, X.toarray()")
    table = np.asarray(X)
    if table.ndim != 2:
        raise ValueError(
            f"X has {table.ndim} dimensions instead of 2. Reshape your data: X.reshape(1, -1) for "
            "one embedding"
        )
    for what, count in zip(("sample", "feature"), table.shape, strict=True):
        if not count:
            raise ValueError(
                f"X has 0 {what}(s) (shape={table.shape}) while a minimum of 1 is required."
            )
    if np.iscomplexobj(table):
        raise ValueError("Complex data not supported: X has complex numbers")
    try:
        with np.errstate(over="ignore"):  # what does not fit is infinite, and refused
            table = table.astype(np.float32, order="C")  # rows, so that sums round as the engine's
    except ValueError as error:
        raise ValueError(f"X is not of numbers: {error}") from None
    unusable = ~np.isfinite(table)
    if unusable.any():
        row, column = np.argwhere(unusable)[0]
        value = "NaN" if np.isnan(table[row, column]) else "infinity"
        raise ValueError(f"X has {value} in row {row}, column {column}")
    names = np.array(list(getattr(X, "columns", ())), object)
    is_named = len(names) and all(isinstance(name, str) for name in names)
    return table, names if is_named else None


def _labels(y: ArrayLike, n: int) -> NDArray[Any]:
    """(n,) labels; none is missing"""
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise ValueError(f"y has the shape {labels.shape}, and X {n} rows: give a label a row")
    missing = [label is None or label != label for label in labels.tolist()]
    if any(missing):
        raise ValueError(f"y has no label in row {missing.index(True)}: leave such rows out")
    if labels.dtype.kind == "f" and not all(label.is_integer() for label in labels.tolist()):
        raise ValueError("Unknown label type: labels are names or whole numbers, and y has others")
    return labels
