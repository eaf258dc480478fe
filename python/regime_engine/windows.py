"""Arrays of features → windows of an instrument's last observed rows → embeddings."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from regime_engine.encoders import Encoder
from regime_engine.errors import RegimeError

# Features without which an encoder does its work: the first return looks back before the first day,
# and many sources have no range.
_MAY_BE_NULL = ("log_return", "adjusted_log_return", "log_range", "overnight_gap")


@dataclass(frozen=True)
class Stretch:
    """Which windows of an instrument are meant: those of the trading days from start to end.

    start, end: None for the first and the last day that there is
    max_staleness_days: where given, start is end, and its window is meant even if it is no trading
        day, as long as its last row is at most so many calendar days old
    """

    window_days: int
    start: date | None = None
    end: date | None = None
    max_staleness_days: int | None = None

    @property
    def span(self) -> tuple[date, date]:
        return self.start or date.min, self.end or date.max


@dataclass(frozen=True)
class Features:
    """The rows of an instrument that a stretch of windows needs, oldest first.

    dates: (n,) datetime64[D]; hashes: (n,) uint64, their feature_hash
    values: (n, columns) float64, NaN where a feature is null
    last_price, last_feature: last days of the prices and the features up to the stretch's end
    """

    instrument_id: str
    columns: tuple[str, ...]
    dates: np.ndarray
    hashes: np.ndarray
    values: np.ndarray
    last_price: date | None
    last_feature: date | None


@dataclass(frozen=True)
class Windows:
    """Windows of one instrument, one an as-of date.

    as_of_dates: (n,) datetime64[D]; trade_dates: (n, window_days) datetime64[D], oldest first
    values: (n, window_days, columns) float64, oldest row first, NaN where a feature is null
    hashes: (n,) uint64, the xor of each window's feature_hash: the macro window_hash_between in SQL
    """

    instrument_id: str
    columns: tuple[str, ...]
    as_of_dates: np.ndarray
    trade_dates: np.ndarray
    values: np.ndarray
    hashes: np.ndarray

    ARRAYS: ClassVar = ("as_of_dates", "trade_dates", "values", "hashes")

    def __len__(self) -> int:
        return len(self.as_of_dates)

    def __getitem__(self, rows: slice | np.ndarray) -> "Windows":
        return replace(self, **{name: getattr(self, name)[rows] for name in self.ARRAYS})

    @property
    def first_trade_dates(self) -> np.ndarray:
        return self.trade_dates[:, 0]

    @property
    def last_trade_dates(self) -> np.ndarray:
        return self.trade_dates[:, -1]

    @property
    def window_days(self) -> int:
        return int(self.values.shape[1])


def build(features: Features, stretch: Stretch) -> Windows:
    """The windows of a stretch.

    raises RegimeError where the rows are too few, too old, or behind the prices
    """
    _require_current(features, stretch)
    if stretch.max_staleness_days is None:
        as_of_dates = _trading_days(features, stretch)
    else:
        _require_fresh(features, stretch)
        as_of_dates = np.array([stretch.end], "datetime64[D]")
    return ending(features, stretch.window_days, as_of_dates)


def ending(features: Features, window_days: int, as_of_dates: np.ndarray) -> Windows:
    """The windows of these dates; each must have window_days rows up to it.

    as_of_dates: (n,) datetime64[D], in ascending order
    """
    lasts = np.searchsorted(features.dates, as_of_dates, side="right") - 1
    firsts = lasts - window_days + 1
    before = np.bitwise_xor.accumulate(np.concatenate([np.zeros(1, np.uint64), features.hashes]))
    trade_dates = sliding_window_view(features.dates, window_days)
    values = sliding_window_view(features.values, window_days, axis=0).transpose(0, 2, 1)
    is_consecutive = len(firsts) > 0 and bool((np.diff(firsts) == 1).all())
    rows = slice(firsts[0], firsts[-1] + 1) if is_consecutive else firsts
    return Windows(
        instrument_id=features.instrument_id,
        columns=features.columns,
        as_of_dates=as_of_dates,
        trade_dates=trade_dates[rows],
        values=values[rows],
        hashes=before[lasts + 1] ^ before[firsts],
    )


def _require_current(features: Features, stretch: Stretch) -> None:
    if features.last_price is None:
        span = f" up to {stretch.end}" if stretch.end else ""
        raise RegimeError(
            f"no prices of {features.instrument_id}{span}: load them with `regime load`"
        )
    if features.last_price != features.last_feature:
        raise RegimeError(
            f"the features of {features.instrument_id} end on {features.last_feature or 'no day'}, "
            f"its prices on {features.last_price}: run `dbt build --selector features`, or "
            "`regime pipeline`, which does"
        )


def _require_fresh(features: Features, stretch: Stretch) -> None:
    dates, as_of = features.dates, stretch.end
    if len(dates) < stretch.window_days:
        first = f"; the first is {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{features.instrument_id} has {len(dates)} of the {stretch.window_days} trading days "
            f"needed up to {as_of}{first}: choose a later --as-of or load more prices"
        )
    age = (np.datetime64(as_of, "D") - dates[-1]).astype(int)
    if age > stretch.max_staleness_days:
        raise RegimeError(
            f"the last price of {features.instrument_id} up to {as_of} is from {dates[-1]}, {age} "
            f"days old; at most {stretch.max_staleness_days} are allowed: load newer prices or "
            "raise --max-staleness-days"
        )


def _trading_days(features: Features, stretch: Stretch) -> np.ndarray:
    """The days of the stretch that have a whole window."""
    dates, start, end = features.dates, stretch.start, stretch.end
    days = dates[stretch.window_days - 1 :]
    if start is not None:
        days = days[days >= np.datetime64(start, "D")]
    if not len(days):
        span = f"between {start or 'the first price'} and {end or 'the last price'}"
        found = f"; its prices up to then begin on {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{features.instrument_id} has no trading day {span} with {stretch.window_days} "
            f"trading days up to it{found}: choose other dates or load more prices"
        )
    return days


def concatenate(parts: list[Windows]) -> Windows:
    """The windows of one instrument's stretches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in Windows.ARRAYS
    }
    return replace(parts[0], **joined)


def embed(encoder: Encoder, stretch: Windows) -> np.ndarray:
    """(n, dimension) float32 of a stretch; raises RegimeError where a number is not finite."""
    embeddings = encoder.encode(stretch.values)
    require_finite(encoder, stretch, embeddings)
    return embeddings


def require_finite(encoder: Encoder, stretch: Windows, embeddings: np.ndarray) -> None:
    """raises RegimeError naming what the windows lack where an embedding is not finite"""
    unusable = ~np.isfinite(embeddings).all(axis=1)
    if not unusable.any():
        return
    row = int(unusable.argmax())
    missing = np.isnan(stretch.values[row]).any(axis=0)
    missing &= [name not in _MAY_BE_NULL for name in encoder.COLUMNS]
    names = [name for name, absent in zip(encoder.COLUMNS, missing, strict=True) if absent]
    what = f"has days without {' and '.join(names)}" if names else "does not fit float32"
    raise RegimeError(
        f"the window of {stretch.instrument_id} from {stretch.first_trade_dates[row]} to "
        f"{stretch.last_trade_dates[row]} {what}, so {encoder.MODEL_ID} cannot encode "
        f"{int(unusable.sum())} of {len(stretch)} dates: correct the prices, or choose dates "
        "whose windows are complete"
    )
