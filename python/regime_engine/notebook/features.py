"""Prices → the columns of daily_features → embeddings, to the bit as the engine stores them."""

import hashlib
import math
import operator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regime_engine import encoders, windows
from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders import DEFAULT, num_regime_core_v2
from regime_engine.errors import value_errors
from regime_engine.notebook.prices import PriceTable, read
from regime_engine.windows import Features, Stretch, embed

VOLUME_HISTORY_DAYS = num_regime_core_v2.VOLUME_HISTORY_DAYS
# As in models/features/daily_features.sql and the macro usual_log_volume.
LARGEST_RELATIVE = 3.0
LOG_UNITS = 1e15


def encode(
    prices: PriceTable,
    model_id: str = DEFAULT.MODEL_ID,
    window_days: int = DEFAULT.WINDOW_DAYS,
) -> tuple[Floats32, NDArray[np.datetime64]]:
    """An embedding of each trading day that has a whole window, oldest first.

    prices: n days of one instrument, from its first day on, as for `daily_features`
    model_id: the encoder; window_days: observed trading days in a window, 63 for the default one
    returns embeddings (n - window_days + 1, dimension) and their last days, datetime64[D]

    raises TypeError or ValueError as `daily_features` does, and ValueError for fewer rows than a
    window has, an unknown encoder, and windows that it cannot encode
    """
    table = daily_features(prices)
    days = table["trade_date"]
    with value_errors():
        window_days = operator.index(window_days)
        encoder = encoders.get(model_id, window_days)
        if window_days < 2:
            raise ValueError(f"a window has 2 days or more, not {window_days}")
        if len(days) < window_days:
            raise ValueError(
                f"prices of {len(days)} days, and a window needs {window_days}: give more of them"
            )
        last = days[-1].item()
        features = Features(
            instrument_id="these prices",
            columns=encoder.COLUMNS,
            dates=days,
            hashes=table["feature_hash"].view(np.uint64),
            values=np.column_stack([table[column] for column in encoder.COLUMNS]),
            last_price=last,
            last_feature=last,
        )
        found = windows.build(features, Stretch(window_days))
        return embed(encoder, found), found.as_of_dates


def daily_features(prices: PriceTable) -> dict[str, NDArray[Any]]:
    """The columns of features.daily_features, oldest day first; any DataFrame library takes them.

    prices: a DataFrame of pandas or polars, as yfinance gives it too, an Arrow table, a relation of
        DuckDB or a dict of columns. It has date and close, and if there are any, adjusted close,
        volume, open, high and low, by the names that `regime load` accepts; a missing value is NaN
        or null
    returns trade_date (n,) datetime64[D]; close, volume, open, log_return, adjusted_close,
        adjusted_log_return, relative_log_volume, log_range, overnight_gap (n,) float64, NaN where
        the table has null; day_number, feature_hash (n,) int64

    warns (UserWarning) if open, high and low of some days contradict each other or the close: they
    are not used

    raises TypeError for something without columns; ValueError for a missing column, several
    instruments, a day that is there twice, and a price that staging would refuse, naming the first
    """
    table = read(prices)
    adjusted_log_return = _log_returns(table.adjusted_close)
    hashed = {
        "close": table.close,
        "volume": table.volume,
        "log_return": _log_returns(table.close),
        "adjusted_close": table.adjusted_close,
        "adjusted_log_return": adjusted_log_return,
        "relative_log_volume": _relative_log_volumes(table.volume),
        "log_range": _log_ratios(table.high, table.low),
        "overnight_gap": adjusted_log_return - _log_ratios(table.close, table.open),
    }
    return {
        "trade_date": table.trade_date,
        **hashed,
        "open": table.open,
        "day_number": np.arange(1, len(table.trade_date) + 1),
        "feature_hash": _hashes(table.trade_date, *hashed.values()),
    }


# Postgres and math.log compute the same logarithms; those of numpy differ in the last bit.


def _log_returns(prices: Floats) -> Floats:
    """ln(C_t / C_{t-1}), NaN for the first; prices: (n,); returns (n,)"""
    returns = [math.log(price / before) for before, price in pairwise(prices.tolist())]
    return np.array([math.nan, *returns][: len(prices)])


def _log_ratios(upper: Floats, lower: Floats) -> Floats:
    """ln(upper / lower), NaN where one is NaN; upper, lower: (n,) positive; returns (n,)"""
    pairs = zip(upper.tolist(), lower.tolist(), strict=True)
    # A NaN of any sign becomes the one that is hashed.
    return np.array([math.log(a / b) if a / b > 0 else math.nan for a, b in pairs], float)


def _relative_log_volumes(volumes: Floats) -> Floats:
    """v_t = ln V_t - the mean of ln V over the 252 rows before that have a volume, clipped to ±3;
    0 without a volume or a history, -3 if the volume is zero.

    volumes: (n,); returns (n,)
    """
    relative = np.zeros(len(volumes))
    # In whole units of 1e-15, as in the macro usual_log_volume: sums are exact in any order.
    logs = [math.log(volume) if volume > 0 else None for volume in volumes.tolist()]
    units = [None if log is None else round(log * LOG_UNITS) for log in logs]
    sums = list(accumulate((unit or 0 for unit in units), initial=0))
    counts = list(accumulate((unit is not None for unit in units), initial=0))
    for t, (volume, log) in enumerate(zip(volumes.tolist(), logs, strict=True)):
        first = max(t - VOLUME_HISTORY_DAYS, 0)
        count = counts[t] - counts[first]
        if math.isnan(volume) or not count:
            continue
        if log is None:
            relative[t] = -LARGEST_RELATIVE
        else:
            usual = _average(sums[t] - sums[first], count) / LOG_UNITS
            relative[t] = min(max(log - usual, -LARGEST_RELATIVE), LARGEST_RELATIVE)
    return relative


def _average(total: int, count: int) -> float:
    """total / count as Postgres computes avg(bigint)::double precision: rounded half away from zero
    to at least 16 significant digits, which its numeric counts in groups of four."""
    total_groups, total_head = _leading_group(abs(total))
    count_groups, count_head = _leading_group(count)
    groups = total_groups - count_groups - (total_head <= count_head)
    scale = 10 ** max(16 - 4 * groups, 0)
    quotient = (2 * abs(total) * scale + count) // (2 * count)
    return math.copysign(quotient / scale, total)


def _leading_group(number: int) -> tuple[int, int]:
    """How many groups of four digits follow the first group, and the first group."""
    groups = (len(str(number)) - 1) // 4
    return groups, number // 10_000**groups


def _hashes(days: NDArray[np.datetime64], *features: Floats) -> NDArray[np.int64]:
    """The macro feature_hash: the first 64 bits of the sha-256 of what Postgres sends.

    days, each of features: (n,); returns (n,)
    """
    rows = np.empty(len(days), [("day", ">i4"), ("features", ">f8", len(features))])
    rows["day"] = (days - np.datetime64("2000-01-01")).astype(int)
    rows["features"] = np.column_stack(features)
    digests = b"".join(hashlib.sha256(row.tobytes()).digest()[:8] for row in rows)
    return np.frombuffer(digests, ">i8").astype(np.int64)
