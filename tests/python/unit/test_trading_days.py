import numpy as np
import pytest

from regime_engine.trading_days import trading_days_a_year

DAYS = np.arange("2019-09-02", "2020-12-31", dtype="datetime64[D]")  # from a Monday on
WEEKDAY = (DAYS.astype(int) + 3) % 7


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (DAYS, 365),
        (DAYS[WEEKDAY < 6], 302),
        (DAYS[WEEKDAY < 5], 252),
        (DAYS[~np.isin(WEEKDAY, (4, 5))], 252),
        (DAYS[WEEKDAY < 4], 209),
        (DAYS[WEEKDAY == 2], 52),
        # An exchange that is closed for ten days, with prices on two Saturdays.
        (np.delete(DAYS[(WEEKDAY < 5) | np.isin(np.arange(len(DAYS)), (5, 40))], slice(30, 38)), 252),
    ],
)  # fmt: skip
def test_every_window_is_annualised_by_the_week_in_which_its_instrument_trades(dates, expected):
    windows = np.lib.stride_tricks.sliding_window_view(dates, min(63, len(dates)))
    assert set(trading_days_a_year(windows).tolist()) == {expected}


def test_rare_prices_count_as_many_a_year_as_there_are():
    months = np.arange("2015-01", "2020-04", dtype="datetime64[M]").astype("datetime64[D]")
    quarters = np.arange(0, 63) * 91 + np.datetime64("2004-01-01")
    assert trading_days_a_year(months[None]).tolist() == [12]
    assert trading_days_a_year(quarters[None]).tolist() == [4]


def test_a_short_window_is_that_of_an_exchange_if_nothing_speaks_against_it():
    assert trading_days_a_year(DAYS[None, :2]).tolist() == [252]
    assert trading_days_a_year(DAYS[WEEKDAY < 4][None, :21]).tolist() == [252]
    assert trading_days_a_year(DAYS[None, :21]).tolist() == [365]
