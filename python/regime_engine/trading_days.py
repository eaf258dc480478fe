"""How many days a year an instrument trades, seen from a few of its dates."""

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import Indices

# As in the macro trading_weeks, which sees all dates of an instrument.
FEWEST_WEEKS = 8
DAYS_A_YEAR, WEEKS_A_YEAR = 365.25, 52.18
OF_FIVE_DAYS, OF_SIX_DAYS, OF_ALL_DAYS = 252, 302, 365
_EPOCH_WEEKDAY = 3  # 1970-01-01 was the fourth day of its week


def trading_days_a_year(dates: NDArray[np.datetime64]) -> Indices:
    """365, 302 or 252 by the weekdays of each window, or fewer if its dates are rarer than that.

    dates: (n, days) datetime64[D], each row in ascending order; returns (n,) int64
    """
    days = dates.astype(np.int64) + _EPOCH_WEEKDAY
    week = days // 7
    weeks = 1 + (np.diff(week, axis=1) > 0).sum(axis=1)
    prices = np.stack([(days % 7 == weekday).sum(axis=1) for weekday in range(7)])  # (7, n)
    weekdays = (2 * prices >= prices.max(axis=0)).sum(axis=0)
    later_days = days.shape[1] - 1
    years = np.maximum(days[:, -1] - days[:, 0], 1) / DAYS_A_YEAR
    return np.select(
        [
            (weeks >= FEWEST_WEEKS) & (days.shape[1] < 2 * weeks),
            weekdays == 7,
            weekdays == 6,
            (weekdays < 5) & (weeks >= FEWEST_WEEKS),
        ],
        [
            np.maximum(1, np.floor(later_days / years + 0.5)).astype(np.int64),
            OF_ALL_DAYS,
            OF_SIX_DAYS,
            np.floor(WEEKS_A_YEAR * weekdays + 0.5).astype(np.int64),
        ],
        OF_FIVE_DAYS,
    ).astype(np.int64)
