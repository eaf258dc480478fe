"""The contenders: the engine's classifiers, the libraries that quants use, and the ceiling.

A contender is `fit(path, begin, end, n_states) -> read` with `read(path, begin, end) -> Reading`.
It learns only from the days begin … end-1. Its reading of a day must not depend on later days.
States are numbered by volatility, the calmest first.
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import arch
import numpy as np
import pandas as pd
from hmmlearn.hmm import GaussianHMM
from jumpmodels import jump
from jumpmodels.preprocess import DataClipperStd, StandardScalerPD
from markets import WINDOW_DAYS, Market, Path
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats
from sklearn.cluster import KMeans
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from regime_engine.cli.options import DEFAULT_MODEL_ID

COMING_DAYS = 21
logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # of starts that do not converge
warnings.filterwarnings("ignore", module="statsmodels")
warnings.filterwarnings("ignore", module="sklearn")


@dataclass(frozen=True)
class Reading:
    """labels: (n,) 0 … k-1; probabilities: (n, k); severity: (n,), the expected label

    volatility: (n,) of a day, expected for the next 21; None if the contender has none
    novelty: (n,) percentile; None if the contender has none
    """

    labels: np.ndarray
    probabilities: np.ndarray
    severity: np.ndarray
    volatility: np.ndarray | None = None
    novelty: np.ndarray | None = None


def reading(probabilities: np.ndarray, labels: np.ndarray | None = None) -> Reading:
    severity = probabilities @ np.arange(probabilities.shape[1])
    labels = probabilities.argmax(axis=1) if labels is None else labels
    return Reading(labels, probabilities, severity)


def hard_reading(labels: np.ndarray, n_states: int) -> Reading:
    return reading(np.eye(n_states)[labels], labels)


Read = Callable[[Path, int, int], Reading]
Fit = Callable[[Path, int, int, int], Read]


def filtered(log_likelihood: np.ndarray, start: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """P(state of day t | days 0 … t) of a hidden Markov model.

    log_likelihood: (…, T, k); start: (k,); transition: (k, k); returns (…, T, k)
    """
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=-1, keepdims=True))
    result = np.empty_like(likelihood)
    prior = start
    for t in range(likelihood.shape[-2]):
        joint = prior * likelihood[..., t, :]
        result[..., t, :] = joint / joint.sum(axis=-1, keepdims=True)
        prior = result[..., t, :] @ transition
    return result


def calmest_first(labels: np.ndarray, returns: np.ndarray, n_states: int) -> np.ndarray:
    """(k,) the rank of each label by volatility; a label without days comes last."""
    size = [np.sqrt(np.mean(returns[labels == k] ** 2)) for k in range(n_states) if k in labels]
    size = iter(size)
    order = np.argsort([next(size) if k in labels else np.inf for k in range(n_states)])
    return np.argsort(order)


# ---- the engine -------------------------------------------------------------------------------


def markov(
    path: Path, begin: int, end: int, n_states: int, model_id: str = DEFAULT_MODEL_ID
) -> Read:
    from regime_engine.classifiers import markov as classifier

    embeddings = _embeddings(path, begin, end, model_id)
    return _read_by(classifier, classifier.fit(embeddings, n_states, model_id), model_id)


def markov_without_ranges(path: Path, begin: int, end: int, n_states: int) -> Read:
    return markov(replace(path, opens=None, highs=None, lows=None), begin, end, n_states)


def prototype(path: Path, begin: int, end: int, n_states: int) -> Read:
    from regime_engine.classifiers import prototype as classifier

    embeddings = _embeddings(path, begin, end, DEFAULT_MODEL_ID)
    return _read_by(classifier, classifier.fit_k_means(embeddings, n_states), DEFAULT_MODEL_ID)


def _embeddings(path: Path, begin: int, end: int, model_id: str) -> np.ndarray:
    """(n, 384) the windows whose 63 days all lie in begin … end-1."""
    return path.embeddings(model_id)[begin : end - WINDOW_DAYS + 1]


def _read_by(classifier, model, model_id: str) -> Read:
    severities = {"CARRY": 0, "NEUTRAL": 1, "RISK_OFF": 2, "CRISIS": 3}
    order = np.argsort([severities[label] for label in model.labels])

    def read(path: Path, begin: int, end: int) -> Reading:
        embeddings = _embeddings(path, begin - WINDOW_DAYS + 1, end, model_id)
        told = classifier.classify(model, embeddings)
        found = reading(told.probabilities[:, order], np.argsort(order)[told.winners])
        return replace(found, volatility=told.daily_volatility, novelty=told.novelty)

    return read


# ---- the ceiling ------------------------------------------------------------------------------


def true_parameters(market: Market, n_nodes: int = 21) -> Read:
    """The filter with the market's true parameters; it follows log volatility on a grid."""
    k = market.n_states
    size, persistence, shown = market.log_volatility
    h = np.linspace(-3.5, 3.5, n_nodes) * size if size else np.zeros(1)
    moves = np.ones((1, 1))
    if size:
        moves = stats.norm.pdf(h, persistence * h[:, None], size * np.sqrt(1 - persistence**2))
        moves /= moves.sum(axis=1, keepdims=True)
    stay = np.linalg.matrix_power(moves, 4096)[0]  # the law of h that the moves tend to

    def read(path: Path, begin: int, end: int) -> Reading:
        # axes: day, state, log volatility
        scale = market.scale[:, None] * np.exp(h)
        z = (path.returns[:end, None, None] - market.mean[:, None]) / scale
        if market.tail is None:
            log_likelihood = stats.norm.logpdf(z) - np.log(scale)
        else:
            unit = np.sqrt(market.tail / (market.tail - 2))
            log_likelihood = stats.t.logpdf(z * unit, market.tail) - np.log(scale)
        if market.volume is not None:
            level = 20 + market.volume[:, None] + shown * h
            seen = np.log(path.volumes[:end, None, None])
            log_likelihood = log_likelihood + stats.norm.logpdf(seen, level, market.volume_noise)
        joint = filtered(
            log_likelihood.reshape(end, -1),
            np.kron(market.stationary, stay),
            np.kron(market.transition, moves),
        )
        probabilities = joint.reshape(end, k, -1).sum(axis=2)[begin:]
        # This rule has the best balanced accuracy of all.
        return reading(probabilities, (probabilities / market.stationary).argmax(axis=1))

    return read


# ---- the libraries ----------------------------------------------------------------------------


def hmmlearn(
    path: Path, begin: int, end: int, n_states: int, volume: bool = False, n_starts: int = 5
) -> Read:
    """GaussianHMM, the best of several starts; filtered, because predict() smooths."""

    def features(path: Path) -> np.ndarray:
        columns = [path.returns] + [path.relative_log_volumes] * volume
        return np.column_stack(columns)

    seen = features(path)[begin:end]
    center, spread = seen.mean(axis=0), seen.std(axis=0)
    seen = (seen - center) / spread

    def start(seed: int) -> GaussianHMM:
        # "scaling" gives the same result as the default, three times as fast.
        options = {"n_iter": 200, "random_state": seed, "implementation": "scaling"}
        return GaussianHMM(n_states, "diag", **options).fit(seen)

    model = max((start(seed) for seed in range(n_starts)), key=lambda model: model.score(seen))
    order = np.argsort(model.covars_[:, 0, 0])

    def read(path: Path, begin: int, end: int) -> Reading:
        scaled = (features(path)[:end] - center) / spread
        log_likelihood = model._compute_log_likelihood(scaled)
        probabilities = filtered(log_likelihood, model.startprob_, model.transmat_)
        return reading(probabilities[begin:, order])

    return read


def hmmlearn_with_volume(path: Path, begin: int, end: int, n_states: int) -> Read:
    return hmmlearn(path, begin, end, n_states, volume=True)


def statsmodels(path: Path, begin: int, end: int, n_states: int) -> Read:
    """MarkovRegression with switching mean and variance."""
    spread = path.returns[begin:end].std()

    def model(path: Path, begin: int, end: int) -> MarkovRegression:
        scaled = path.returns[begin:end] / spread
        return MarkovRegression(scaled, n_states, switching_variance=True)

    parameters = model(path, begin, end).fit(disp=0).params
    order = np.argsort(parameters[-n_states:])  # the variances stand last

    def read(path: Path, begin: int, end: int) -> Reading:
        found = model(path, 0, end).filter(parameters).filtered_marginal_probabilities
        return reading(found[begin:, order])

    return read


def documented_features(returns: np.ndarray) -> pd.DataFrame:
    """The features of the example in jumpmodels' repository, with its half-lives."""
    series, columns = pd.Series(returns), {}
    for half_life in (5, 20, 60):
        mean = series.ewm(halflife=half_life).mean()
        downside = np.sqrt(series.clip(upper=0).pow(2).ewm(halflife=half_life).mean())
        columns[f"return {half_life}"] = mean
        columns[f"log downside {half_life}"] = np.log(downside.where(downside > 0))
        columns[f"Sortino {half_life}"] = mean / downside.where(downside > 0)
    return pd.DataFrame(columns).bfill()


def volatility_features(returns: np.ndarray) -> pd.DataFrame:
    squares = pd.Series(returns).pow(2)
    return pd.DataFrame(
        {
            f"log volatility {half_life}": np.log(squares.ewm(halflife=half_life).mean() + 1e-12)
            for half_life in (3, 8, 20)
        }
    )


def jump_path(
    loss_mx: np.ndarray, penalty_mx: np.ndarray, return_value_mx: bool = False
) -> np.ndarray | tuple[np.ndarray, float]:
    """jumpmodels.jump.dp in plain floats: the same path, several times as fast.

    loss_mx: (T, k); v_t(k) = loss_t(k) + min(v_{t-1}(k), min v_{t-1} + penalty)
    """
    penalty = float(penalty_mx[0, 1])
    values = []
    value = [0.0] * loss_mx.shape[1]
    for loss in np.nan_to_num(loss_mx, nan=np.inf).tolist():
        bound = min(value) + penalty
        value = [a + (b if b < bound else bound) for a, b in zip(loss, value, strict=True)]
        values.append(value)
    table = np.array(values)
    if return_value_mx:
        return table
    best = table.argmin(axis=1).tolist()
    state = best[-1]
    path = [state]
    for before, cheapest in zip(values[-2::-1], best[-2::-1], strict=True):
        if before[cheapest] + penalty < before[state]:
            state = cheapest
        path.append(state)
    return np.array(path[::-1]), table[-1].min()


jump.dp = jump_path  # or its sweep over all seeds would take half an hour


def jumpmodels(features: Callable[[np.ndarray], pd.DataFrame], penalty: float) -> Fit:
    """The statistical jump model as in its example (clipped, standardised), predicted online."""

    def fit(path: Path, begin: int, end: int, n_states: int) -> Read:
        clip, scale = DataClipperStd(mul=3.0), StandardScalerPD()
        seen = scale.fit_transform(clip.fit_transform(features(path.returns)[begin:end]))
        model = jump.JumpModel(n_states, jump_penalty=penalty)
        model.fit(seen, pd.Series(path.returns[begin:end], seen.index), sort_by="vol")

        def read(path: Path, begin: int, end: int) -> Reading:
            table = scale.transform(clip.transform(features(path.returns)[:end]))
            return hard_reading(model.predict_online(table).to_numpy()[begin:], n_states)

        return read

    return fit


def k_means(path: Path, begin: int, end: int, n_states: int) -> Read:
    """k-means on windows of raw close, volume and log return."""

    def windows(path: Path, begin: int, end: int) -> np.ndarray:
        rows = np.column_stack([path.closes, path.volumes, path.returns])[begin:end]
        return sliding_window_view(rows, WINDOW_DAYS, axis=0).reshape(-1, WINDOW_DAYS * 3)

    model = KMeans(n_states, n_init=3, random_state=0).fit(windows(path, begin, end))
    returns = path.returns[begin + WINDOW_DAYS - 1 : end]
    rank = calmest_first(model.labels_, returns, n_states)

    def read(path: Path, begin: int, end: int) -> Reading:
        found = model.predict(windows(path, begin - WINDOW_DAYS + 1, end))
        return hard_reading(rank[found], n_states)

    return read


def ten_day_volatility(path: Path, begin: int, end: int, n_states: int) -> Read:
    """10-day volatility, labelled by the quantiles of its past; severity: the volatility."""

    def volatility(path: Path) -> np.ndarray:
        return pd.Series(path.returns).rolling(10, min_periods=2).std().bfill().to_numpy()

    shares = np.arange(1, n_states) / n_states
    bounds = np.quantile(volatility(path)[begin:end], shares)

    def read(path: Path, begin: int, end: int) -> Reading:
        size = volatility(path)[begin:end]
        labels = np.searchsorted(bounds, size)
        return Reading(labels, np.eye(n_states)[labels], size)

    return read


# ---- forecasts of volatility ------------------------------------------------------------------

Forecast = Callable[[Path, int, int], np.ndarray]
FitForecast = Callable[[Path, int, int], Forecast]


def ewm(path: Path, begin: int, end: int) -> Forecast:
    """Squared returns, exponentially weighted with a half-life of 10 days; nothing is learnt."""
    return lambda path, begin, end: _mean_variance(path.returns**2, 10)[begin:end] ** 0.5


def garch(path: Path, begin: int, end: int) -> Forecast:
    """GARCH(1,1) with Student-t noise, by the library arch: its mean variance of the next days."""
    spread = path.returns[begin:end].std()

    def model(path: Path, begin: int, end: int) -> arch.univariate.base.ARCHModel:
        returns = path.returns[begin:end] / spread
        return arch.arch_model(returns, mean="Constant", vol="GARCH", dist="t", rescale=False)

    parameters = model(path, begin, end).fit(disp="off", show_warning=False).params

    def forecast(path: Path, begin: int, end: int) -> np.ndarray:
        fixed = model(path, 0, end).fix(parameters)
        coming = fixed.forecast(horizon=COMING_DAYS, start=begin, reindex=False).variance
        return spread * coming.to_numpy().mean(axis=1) ** 0.5

    return forecast


def har(path: Path, begin: int, end: int, ranges: bool = False) -> Forecast:
    """The heterogeneous autoregression (Corsi 2009) in logarithms: ln volatility of the next days
    on that of the last day, 5 days and 21 days, by least squares."""

    def regressors(path: Path) -> np.ndarray:
        variance = pd.Series(path.day_variances if ranges else path.returns**2)
        least = 1e-3 * variance.expanding(2).mean().bfill()
        means = [variance.rolling(days, min_periods=1).mean() for days in (1, 5, 21)]
        columns = [0.5 * np.log(np.maximum(mean, least)) for mean in means]
        return np.column_stack([np.ones(len(variance)), *columns])

    days = np.arange(begin + COMING_DAYS, end - COMING_DAYS)
    after = sliding_window_view(path.returns[1:] ** 2, COMING_DAYS)[days].mean(axis=1)
    known = regressors(path)[days]
    weights = np.linalg.lstsq(known, 0.5 * np.log(after), rcond=None)[0]
    return lambda path, begin, end: np.exp(regressors(path)[begin:end] @ weights)


def har_on_ranges(path: Path, begin: int, end: int) -> Forecast:
    return har(path, begin, end, ranges=True)


def _mean_variance(variance: np.ndarray, half_life: float) -> np.ndarray:
    return pd.Series(variance).ewm(halflife=half_life).mean().to_numpy()
