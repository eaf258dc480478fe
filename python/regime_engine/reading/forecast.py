"""Where the label goes from here, and how good such forecasts have been.

The distribution over the labels h days ahead is

    [0.95^h e + (1 - 0.95^h) p] P^h

with e: 1 at today's label; p: today's probabilities; P: the smoothed transition matrix of the
labels so far. A label lags behind the probabilities; each day it catches up with probability 0.05.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypedDict

import numpy as np

from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.reading.rows import (
    IS_OF_TRADING_DAY,
    IS_SERIES,
    Rows,
    as_written,
    fetch_audit,
    last_regime_day,
    require_regimes,
)
from regime_engine.series import Series

# The same numbers as in functions/regime_forecast.sql and functions/smoothed_probabilities.sql.
KEEP = 0.95
PRIOR_TRANSITIONS = 60

SCORED_FROM = 252  # days of history before the first forecast that is scored


@dataclass(frozen=True)
class History:
    """The regimes of a series, oldest first.

    names: k, every label that was shown or given a probability; days: (n,) datetime64[D];
    labels: (n,) 0 … k-1; probabilities: (n, k)
    """

    names: list[str]
    days: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """A label some days ahead, by column of the function regime_forecast.

    expected_volatility: of the regime of as_of_date, whatever the label and the horizon
    """

    as_of_date: date
    horizon: int
    regime_label: str
    label: str
    probability_today: float
    probability: float
    probability_reached: float
    probability_reached_or_worse: float
    probability_of_change: float
    observed_share: float
    expected_volatility: float | None


class Scores(TypedDict):
    """days: scored; the rest are means over them."""

    days: int
    log_score: float
    base_rate_log_score: float
    no_change_log_score: float
    brier_score: float
    base_rate_brier_score: float
    no_change_brier_score: float


class Calibration(NamedTuple):
    """Of the forecasts in a tenth of the scale: their mean, how many of them came true as a share,
    and their number."""

    forecast: float
    realised: float
    forecasts: int


def forecast(
    database: Database, series: Series, horizons: Sequence[int], as_of: date | None = None
) -> Rows[Forecast]:
    """One row a horizon and label, calmest first: the function regime_forecast.

    horizons: trading days ahead; as_of: nothing after it is used; by default everything is
    raises RegimeError if the series has no regime then, or if the function is missing
    """
    day = last_regime_day(database, series, as_of)
    return fetch_audit(
        database,
        """
        select
            as_of_date, horizon, regime_label, label, probability_today, probability,
            probability_reached, probability_reached_or_worse, probability_of_change,
            observed_share,
            (
                select expected_volatility from {regimes}
                where {is_series} and as_of_date = %(day)s
            ) as expected_volatility
        from unnest(%(horizons)s::int[]) with ordinality as asked (days, which)
        cross join lateral {regime_forecast}(
            %(region)s, %(model_id)s, %(window_days)s, %(day)s, days
        ) with ordinality
        order by which, ordinality
        """,
        vars(series) | {"horizons": list(horizons), "day": day},
        is_series=IS_SERIES,
    )


def score(database: Database, series: Series, horizons: Sequence[int]) -> Rows:
    """One row a horizon: mean scores of the forecasts of all days but the first 252.

    raises RegimeError if the series has too few regimes, or only one label
    """
    stored = _scored_history(database, series, max(horizons))
    found = scores(stored.labels, stored.probabilities, horizons, first=SCORED_FROM)
    return Rows(
        ["region", "horizon", *Scores.__annotations__],
        [(series.region, horizon, *values.values()) for horizon, values in found.items()],
    )


def calibration(database: Database, series: Series, horizon: int) -> Rows[Calibration]:
    """One row a tenth of the scale: what was forecast, and how often it came true.

    raises RegimeError if the series has too few regimes, or only one label
    """
    stored = _scored_history(database, series, horizon)
    rows = reliability(stored.labels, stored.probabilities, horizon, first=SCORED_FROM)
    return Rows(list(Calibration._fields), list(rows))


def _scored_history(database: Database, series: Series, longest: int) -> History:
    """The history of the series. longest: the longest horizon that is scored

    raises RegimeError if it has only one label, or no forecast of that horizon to score
    """
    stored = history(database, series)
    if len(stored.names) == 1:
        raise RegimeError(
            f"region {series.region} has one label only, {stored.names[0]}: there is nothing to "
            "score"
        )
    if len(stored.days) <= SCORED_FROM + longest:
        raise RegimeError(
            f"region {series.region} has {len(stored.days)} regimes; to score forecasts of "
            f"{longest} days, it needs {SCORED_FROM + longest + 1}"
        )
    return stored


def history(database: Database, series: Series) -> History:
    """The regimes of the series' trading days.

    raises RegimeError if there is none at all, or if a row holds something that the engine does not
        write
    """
    require_regimes(database, series)
    rows = database.execute(
        """
        select as_of_date, regime_label, probabilities
        from {regimes}
        where {is_series} and {is_of_trading_day}
        order by as_of_date
        """,
        vars(series),
        is_series=IS_SERIES,
        is_of_trading_day=IS_OF_TRADING_DAY,
    ).fetchall()
    with as_written(series):
        names = sorted({name for _, label, given in rows for name in (label, *given)})
        return History(
            names,
            np.array([day for day, _, _ in rows], "datetime64[D]"),
            np.array([names.index(label) for _, label, _ in rows]),
            np.array([[float(given.get(name, 0)) for name in names] for _, _, given in rows]),
        )


def scores(
    labels: np.ndarray, probabilities: np.ndarray, horizons: Sequence[int], first: int
) -> dict[int, Scores]:
    """horizon → days scored, and the mean log and Brier score of the forecast and two rivals.

    The forecast of a day uses no later day. The rivals are

    - base rate: the shares of the labels so far, with one day added to each label;
    - no change: today's label with the share of the days so far after which the label was the same
      at this horizon (with one hit and one miss added); the others in proportion to the base rate.

    labels: (n,) 0 … k-1; probabilities: (n, k); first: the first day that is scored
    """
    n, k = probabilities.shape
    is_label = np.eye(k)[labels]
    matrices = smoothed_probabilities(transitions_so_far(labels, k))
    base_rate = base_rates(labels, k)
    found = {}
    for horizon in horizons:
        days = np.arange(first, n - horizon)
        outcome = is_label[days + horizon]
        expected = law(is_label[days], probabilities[days], matrices[days], horizon=horizon)
        no_change = _no_change(labels, base_rate, horizon)[days]
        found[horizon] = Scores(
            days=len(days),
            log_score=log_score(expected, outcome),
            base_rate_log_score=log_score(base_rate[days], outcome),
            no_change_log_score=log_score(no_change, outcome),
            brier_score=brier_score(expected, outcome),
            base_rate_brier_score=brier_score(base_rate[days], outcome),
            no_change_brier_score=brier_score(no_change, outcome),
        )
    return found


def past_forecasts(
    labels: np.ndarray, probabilities: np.ndarray, horizon: int, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The days from the first on whose outcome is known, the forecast of each and what came.

    The arguments are those of scores; returns (m,) days, (m, k) probabilities, (m, k) 0 or 1
    """
    n, k = probabilities.shape
    is_label = np.eye(k)[labels]
    days = np.arange(first, n - horizon)
    matrices = smoothed_probabilities(transitions_so_far(labels, k)[days])
    forecasts = law(is_label[days], probabilities[days], matrices, horizon=horizon)
    return days, forecasts, is_label[days + horizon]


def base_rates(labels: np.ndarray, k: int) -> np.ndarray:
    """(n, k) the shares of the labels up to each day, with one day added to each label"""
    counted = np.eye(k)[labels].cumsum(axis=0) + 1
    return counted / counted.sum(axis=1, keepdims=True)


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, horizon: int, first: int
) -> list[Calibration]:
    """The calibration in each tenth of 0 … 1 that has a forecast.

    Each day from the first on forecasts every label; the arguments are those of scores.
    """
    _, forecasts, came = past_forecasts(labels, probabilities, horizon, first)
    forecasts, came = forecasts.ravel(), came.ravel()
    tenth = np.minimum((forecasts * 10).astype(int), 9)
    members = (tenth == place for place in range(10))
    return [
        Calibration(float(forecasts[these].mean()), float(came[these].mean()), int(these.sum()))
        for these in members
        if these.any()
    ]


def transitions_so_far(labels: np.ndarray, k: int) -> np.ndarray:
    """(n, k, k): how often one label was followed by another up to each of the n days"""
    steps = np.zeros((len(labels), k, k))
    steps[np.arange(1, len(labels)), labels[:-1], labels[1:]] = 1
    return steps.cumsum(axis=0)


def smoothed_probabilities(transitions: np.ndarray) -> np.ndarray:
    """(n_ij + 60 m_ij) / (n_i + 60), rows sum to 1; transitions: (…, k, k)

    m_ii is the share of all transitions that stay (itself smoothed by 60 transitions, of which 59
    stay); m_ij is the same for all j ≠ i.
    """
    k = transitions.shape[-1]
    stays = np.trace(transitions, axis1=-2, axis2=-1)
    stay = (stays + PRIOR_TRANSITIONS - 1) / (transitions.sum(axis=(-2, -1)) + PRIOR_TRANSITIONS)
    stay = stay[..., None, None]
    m = np.where(np.eye(k, dtype=bool), stay if k > 1 else 1.0, (1 - stay) / max(k - 1, 1))
    n = transitions.sum(axis=-1, keepdims=True)
    return (transitions + PRIOR_TRANSITIONS * m) / (n + PRIOR_TRANSITIONS)


def law(
    is_label: np.ndarray, probabilities: np.ndarray, matrices: np.ndarray, horizon: int
) -> np.ndarray:
    """(n, k): the distribution over the labels after `horizon` days.

    is_label, probabilities: (n, k) today; matrices: (n, k, k)
    """
    held = KEEP**horizon
    start = held * is_label + (1 - held) * probabilities
    return (start[:, None] @ np.linalg.matrix_power(matrices, horizon))[:, 0]


def log_score(laws: np.ndarray, outcome: np.ndarray) -> float:
    """Mean ln of the probability of the label that came; the best is 0. laws, outcome: (n, k)"""
    return float(np.log((laws * outcome).sum(axis=1)).mean())


def brier_score(laws: np.ndarray, outcome: np.ndarray) -> float:
    """Mean Σ_k (p_k - 1[label is k])²; the best is 0, the worst 2. laws, outcome: (n, k)"""
    return float(((laws - outcome) ** 2).sum(axis=1).mean())


def _no_change(labels: np.ndarray, base_rate: np.ndarray, horizon: int) -> np.ndarray:
    """The rival "no change" of scores: (n, k). labels: (n,); base_rate: (n, k)"""
    n, k = base_rate.shape
    hits, judged = np.zeros((2, n))
    hits[horizon:] = labels[horizon:] == labels[:-horizon]
    judged[horizon:] = 1
    same = ((hits.cumsum() + 1) / (judged.cumsum() + 2))[:, None]
    is_label = np.eye(k, dtype=bool)[labels]
    others = np.where(is_label, 0, base_rate)
    return np.where(is_label, same, (1 - same) * others / others.sum(axis=1, keepdims=True))
