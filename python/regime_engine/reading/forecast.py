"""Where the label goes from here, and how good such forecasts have been.

The law of the label h days on is

    [0.95^h e + (1 - 0.95^h) p] P^h

with e: 1 at today's label; p: today's probabilities; P: the smoothed transition matrix of the
labels so far. A label lags behind the probabilities; each day it catches up by chance 0.05.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import sql

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

# The same as in functions/regime_forecast.sql and functions/smoothed_probabilities.sql.
KEEP = 0.95
PRIOR_TRANSITIONS = 60

SCORED_FROM = 252  # days of history before the first forecast that is scored


@dataclass(frozen=True)
class History:
    """The regimes of a series, oldest first.

    names: k, of every label shown or given a probability; days: (n,) datetime64[D];
    labels: (n,) 0 … k-1; probabilities: (n, k)
    """

    names: list[str]
    days: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def forecast(
    database: Database,
    series: Series,
    horizons: Sequence[int],
    as_of: date | None = None,
) -> Rows:
    """One row a horizon and label, calmest first: the function regime_forecast.

    horizons: trading days ahead; as_of: nothing after it is used, by default all there is
    raises RegimeError where the series has no regime then, or the function is not there
    """
    day = last_regime_day(database, series, as_of)
    return fetch_audit(
        database,
        sql.SQL("""
            select
                as_of_date, horizon, regime_label, label, probability_today, probability,
                probability_reached, probability_reached_or_worse, probability_of_change,
                observed_share
            from unnest(%(horizons)s::int[]) with ordinality as asked (days, which)
            cross join lateral {}(
                %(region)s, %(model_id)s, %(window_days)s, %(day)s, days
            ) with ordinality
            order by which, ordinality
        """).format(database.table("regime_forecast")),
        vars(series) | {"horizons": list(horizons), "day": day},
    )


def score(database: Database, series: Series, horizons: Sequence[int]) -> Rows:
    """One row a horizon: mean scores of the forecasts of all days but the first 252.

    raises RegimeError where the series has too few regimes, or one label only
    """
    stored = _scored_history(database, series, max(horizons))
    found = scores(stored.labels, stored.probabilities, horizons, SCORED_FROM)
    headers = list(next(iter(found.values())))
    return Rows(
        ["region", "horizon", *headers],
        [(series.region, horizon, *values.values()) for horizon, values in found.items()],
    )


def calibration(database: Database, series: Series, horizon: int) -> Rows:
    """One row a tenth of the scale: what was forecast, how often it came, of how many forecasts.

    raises RegimeError where the series has too few regimes, or one label only
    """
    stored = _scored_history(database, series, horizon)
    rows = reliability(stored.labels, stored.probabilities, horizon, SCORED_FROM)
    return Rows(["forecast", "realised", "forecasts"], rows)


def _scored_history(database: Database, series: Series, longest: int) -> History:
    """raises RegimeError where it has one label only, or no forecast of so many days to score"""
    stored = history(database, series)
    if len(stored.names) == 1:
        raise RegimeError(
            f"region {series.region} has one label only, {stored.names[0]}: there is nothing to "
            "score"
        )
    if len(stored.days) <= SCORED_FROM + longest:
        raise RegimeError(
            f"region {series.region} has {len(stored.days)} regimes; to score forecasts of "
            f"{longest} days takes {SCORED_FROM + longest + 1}"
        )
    return stored


def history(database: Database, series: Series) -> History:
    """raises RegimeError where there is no regime at all, or a row was edited beyond reading"""
    require_regimes(database, series)
    rows = database.execute(
        sql.SQL("""
            select as_of_date, regime_label, probabilities
            from {}
            where {} and {}
            order by as_of_date
        """).format(database.table("regimes"), IS_SERIES, IS_OF_TRADING_DAY),
        vars(series),
    ).fetchall()
    with as_written(series):
        names = sorted({name for _, label, told in rows for name in (label, *told)})
        return History(
            names,
            np.array([day for day, _, _ in rows], "datetime64[D]"),
            np.array([names.index(label) for _, label, _ in rows]),
            np.array([[float(told.get(name, 0)) for name in names] for _, _, told in rows]),
        )


def scores(
    labels: np.ndarray, probabilities: np.ndarray, horizons: Sequence[int], first: int
) -> dict[int, dict[str, float]]:
    """horizon → days scored, and the mean log and Brier score of the forecast and two rivals.

    The forecast of a day uses no later one. Base rate: the shares of the labels so far, each with
    a day more. No change: today's label with the share of days so far after which it was the same
    at this horizon (one hit and one miss more); the rest in proportion to the base rate.
    labels: (n,) 0 … k-1; probabilities: (n, k); first: the first day that is scored
    """
    n, k = probabilities.shape
    is_label = np.eye(k)[labels]
    matrices = smoothed_probabilities(transitions_so_far(labels, k))
    base_rate = is_label.cumsum(axis=0) + 1
    base_rate /= base_rate.sum(axis=1, keepdims=True)
    found = {}
    for horizon in horizons:
        days = np.arange(first, n - horizon)
        laws = {
            "": law(is_label[days], probabilities[days], matrices[days], horizon),
            "base_rate_": base_rate[days],
            "no_change_": _no_change(labels, base_rate, horizon)[days],
        }
        outcome = is_label[days + horizon]
        found[horizon] = (
            {"days": len(days)}
            | {f"{name}log_score": log_score(each, outcome) for name, each in laws.items()}
            | {f"{name}brier_score": brier_score(each, outcome) for name, each in laws.items()}
        )
    return found


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, horizon: int, first: int
) -> list[tuple[float, float, int]]:
    """Mean forecast, share that came true and number of the forecasts in each tenth of 0 … 1.

    Each day from the first on forecasts every label; arguments as of scores. Empty tenths are left
    out.
    """
    n, k = probabilities.shape
    is_label = np.eye(k)[labels]
    days = np.arange(first, n - horizon)
    matrices = smoothed_probabilities(transitions_so_far(labels, k)[days])
    forecasts = law(is_label[days], probabilities[days], matrices, horizon).ravel()
    came = is_label[days + horizon].ravel()
    tenth = np.minimum((forecasts * 10).astype(int), 9)
    members = (tenth == place for place in range(10))
    return [
        (float(forecasts[these].mean()), float(came[these].mean()), int(these.sum()))
        for these in members
        if these.any()
    ]


def transitions_so_far(labels: np.ndarray, k: int) -> np.ndarray:
    """(n, k, k) how often one label was followed by another, up to each of n days"""
    steps = np.zeros((len(labels), k, k))
    steps[np.arange(1, len(labels)), labels[:-1], labels[1:]] = 1
    return steps.cumsum(axis=0)


def smoothed_probabilities(transitions: np.ndarray) -> np.ndarray:
    """(n_ij + 60 m_ij) / (n_i + 60), rows sum to 1; transitions: (…, k, k)

    m stays with the share of all transitions that stay (smoothed itself by 60, of which 59 stay),
    and moves to each other label alike.
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
    """(n, k) of the label after `horizon` days.

    is_label, probabilities: (n, k) today; matrices: (n, k, k)
    """
    held = KEEP**horizon
    start = held * is_label + (1 - held) * probabilities
    return (start[:, None] @ np.linalg.matrix_power(matrices, horizon))[:, 0]


def log_score(laws: np.ndarray, outcome: np.ndarray) -> float:
    """Mean ln of the probability of what came: 0 at best. laws, outcome: (n, k)"""
    return float(np.log((laws * outcome).sum(axis=1)).mean())


def brier_score(laws: np.ndarray, outcome: np.ndarray) -> float:
    """Mean Σ_k (p_k - 1[label is k])²: 0 at best, 2 at worst. laws, outcome: (n, k)"""
    return float(((laws - outcome) ** 2).sum(axis=1).mean())


def _no_change(labels: np.ndarray, base_rate: np.ndarray, horizon: int) -> np.ndarray:
    """(n, k) labels: (n,); base_rate: (n, k)"""
    n, k = base_rate.shape
    hits, judged = np.zeros((2, n))
    hits[horizon:] = labels[horizon:] == labels[:-horizon]
    judged[horizon:] = 1
    same = ((hits.cumsum() + 1) / (judged.cumsum() + 2))[:, None]
    is_label = np.eye(k, dtype=bool)[labels]
    others = np.where(is_label, 0, base_rate)
    return np.where(is_label, same, (1 - same) * others / others.sum(axis=1, keepdims=True))
