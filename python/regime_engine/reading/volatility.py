"""The volatility that was expected of the next 21 trading days, and how good such forecasts were.

The rival is the exponentially weighted mean of the squared returns up to the day.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from regime_engine.arrays import Floats
from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.measures import ewm_variance, rank_correlation
from regime_engine.reading.rows import IS_SERIES, Rows, as_written, fetch_audit, require_regimes
from regime_engine.series import Series

FACTOR = 1.5


@dataclass(frozen=True)
class Outcome:
    """A day whose 21 next trading days are there; the volatilities are annualised."""

    as_of_date: date
    expected_volatility: float
    ewm_volatility: float
    realised_volatility: float


class Score(NamedTuple):
    """How close one forecast came, over all days. forecast: model or ewm

    mean_log_error: of ln(forecast / realised), above 0 if the forecast is too high
    share_within_factor: of days on which neither is more than FACTOR times the other
    """

    region: str
    forecast: str
    days: int
    rank_correlation: float | None
    mean_log_error: float
    mean_absolute_log_error: float
    share_within_factor: float


def score(database: Database, series: Series) -> Rows[Score]:
    """One row for the model, one for the rival, on the same days.

    raises RegimeError if no day can be scored
    """
    found = score_if_any(database, series)
    if found is None:
        raise RegimeError(
            f"region {series.region} has no days with an expected volatility of a model that was "
            "fitted before them, and with 21 trading days after them: there is nothing to score. "
            "Of the classifiers only markov tells a volatility, and the vote GLOBAL is not scored"
        )
    return found


def score_if_any(database: Database, series: Series) -> Rows[Score] | None:
    """As `score`; None if there are not two days that can be scored."""
    found = outcomes(database, series)
    if len(found) < 2:
        return None
    realised = np.array([each.realised_volatility for each in found])
    forecasts = {
        "model": np.array([each.expected_volatility for each in found]),
        "ewm": np.array([each.ewm_volatility for each in found]),
    }
    rows = [
        Score(series.region, name, len(found), *accuracy(forecast, realised))
        for name, forecast in forecasts.items()
    ]
    return Rows(list(Score._fields), list(rows))


def outcomes(database: Database, series: Series) -> list[Outcome]:
    """The days that can be scored, oldest first.

    Days on which the model was trained are left out, and days around which no price moved.
    """
    require_regimes(database, series)
    rows = fetch_audit(
        database,
        """
        select
            as_of_date, instrument_id, trading_days_a_year, expected_volatility,
            realised_volatility_21_days_after
        from {volatility_forecasts}
        where
            {is_series}
            and realised_volatility_21_days_after > 0
            and is_in_sample is not true
        order by as_of_date
        """,
        vars(series),
        is_series=IS_SERIES,
    ).rows
    with as_written(series):
        if not all(0 < expected < math.inf for _, _, _, expected, _ in rows):
            raise ValueError("a volatility is a positive number")
    daily = {name: _ewm_by_day(database, name) for name in {row[1] for row in rows}}
    found = [
        Outcome(day, expected, daily[instrument_id].get(day, 0) * math.sqrt(days_a_year), realised)
        for day, instrument_id, days_a_year, expected, realised in rows
    ]
    return [each for each in found if each.ewm_volatility > 0]


def _ewm_by_day(database: Database, instrument_id: str) -> dict[date, float]:
    rows = database.execute(
        """
        select trade_date, adjusted_log_return
        from {daily_features}
        where instrument_id = %s and adjusted_log_return is not null
        order by trade_date
        """,
        [instrument_id],
    ).fetchall()
    volatilities = np.sqrt(ewm_variance(np.array([each for _, each in rows])))
    return dict(zip((day for day, _ in rows), volatilities.tolist(), strict=True))


def accuracy(forecasts: Floats, realised: Floats) -> tuple[float | None, float, float, float]:
    """The four measures of `Score`; forecasts, realised: (n,), above 0"""
    errors = np.log(forecasts / realised)
    correlation = rank_correlation(forecasts, realised)
    return (
        None if math.isnan(correlation) else correlation,
        float(errors.mean()),
        float(np.abs(errors).mean()),
        float((np.abs(errors) <= math.log(FACTOR)).mean()),
    )
