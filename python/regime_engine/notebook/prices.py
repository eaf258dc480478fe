"""A frame of one instrument's prices → checked columns, by the rules of staging."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regime_engine.arrays import Floats
from regime_engine.errors import value_errors
from regime_engine.prices.columns import DAY, missing, name_of, positions_by_name


class Frame(Protocol):
    """A DataFrame of pandas or polars, or something like one."""

    @property
    def columns(self) -> Any: ...

    def __getitem__(self, column: Any, /) -> Any: ...


PriceTable = Frame | Mapping[str, ArrayLike]

# The range of a price, as staging has it.
LEAST, GREATEST = 1e-100, 1e100


@dataclass(frozen=True)
class Prices:
    """Prices of one instrument, oldest first.

    trade_date: (n,) datetime64[D], each day once
    close, adjusted_close: (n,) positive; volume: (n,), NaN if there is none
    """

    instrument_id: str
    trade_date: NDArray[np.datetime64]
    close: Floats
    adjusted_close: Floats
    volume: Floats


def read(prices: PriceTable) -> Prices:
    """The prices of a frame, or of a dict of columns, in any order of days.

    Columns are found by the names that `regime load` knows. If there is no date column, a pandas
    index is used that holds dates or is named as one. NaN and null are missing values. If there is
    no adjusted close, the close is used. Raises what `daily_features` does.
    """
    is_lazy = hasattr(prices, "collect")
    if is_lazy or not (isinstance(prices, Mapping) or hasattr(prices, "columns")):
        hint = ": collect it first" if is_lazy else ""
        raise TypeError(
            f"prices must be a DataFrame or a dict of columns, not a {type(prices).__name__}{hint}"
        )
    header = list(prices if isinstance(prices, Mapping) else prices.columns)
    with value_errors():
        positions = positions_by_name("prices", [str(name) for name in header])
    columns: dict[str, Any] = {name: prices[header[at]] for name, at in positions.items()}
    if "trade_date" not in columns and _is_of_dates(index := getattr(prices, "index", None)):
        columns["trade_date"] = index
    for name in ("trade_date", "close"):
        if name not in columns:
            raise ValueError(missing("prices", name, map(str, header)))

    days = _days(columns["trade_date"])
    close = _numbers("close", columns["close"])
    absent = np.full(len(close), np.nan)
    adjusted_close, volume = (
        _numbers(name, columns[name]) if name in columns else absent
        for name in ("adjusted_close", "volume")
    )
    lengths = {len(days), len(close), len(adjusted_close), len(volume)}
    if len(lengths) > 1:
        raise ValueError(f"prices: the columns have {' and '.join(map(str, sorted(lengths)))} rows")
    # A negative zero becomes zero, and a NaN of any sign the one that is hashed.
    volume = np.where(np.isnan(volume), np.nan, volume + 0.0)
    order = np.argsort(days, kind="stable")
    given = Prices(
        instrument_id=_instrument(columns.get("instrument_id", ())),
        trade_date=days[order],
        close=close[order],
        adjusted_close=adjusted_close[order],
        volume=volume[order],
    )
    _require_usable(given)
    is_adjusted = not np.isnan(given.adjusted_close).any()
    return given if is_adjusted else replace(given, adjusted_close=given.close)


def _is_of_dates(index: Any) -> bool:
    """Whether a pandas index holds dates, by its type or its name."""
    if getattr(getattr(index, "dtype", None), "kind", "") == "M":
        return True
    return name_of(str(getattr(index, "name", ""))) == "trade_date"


def _days(column: Iterable[object]) -> NDArray[np.datetime64]:
    """column: n dates, midnights or texts, as `regime load` reads them; returns (n,) days"""
    days: list[date] = []
    for row, value in enumerate(column):
        text = str(value)
        try:
            if not re.match(DAY, text):
                raise ValueError
            days.append(date.fromisoformat(text[:10]))
        except ValueError:
            raise ValueError(
                f"prices: the trade_date of row {row} cannot be read as YYYY-MM-DD: {text[:40]!r}"
            ) from None
    return np.array(days, "datetime64[D]")


def _numbers(name: str, column: ArrayLike) -> Floats:
    try:
        numbers = np.array(column, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"prices: column {name} is not of numbers: {error}") from None
    if numbers.ndim != 1:
        raise ValueError(f"prices: column {name} has {numbers.ndim} dimensions instead of one")
    return numbers


def _instrument(column: Iterable[object]) -> str:
    names = sorted({str(name) for name in column})
    if len(names) > 1:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise ValueError(
            f"prices of {len(names)} instruments ({shown}): give those of one at a time"
        )
    return names[0] if names else "these prices"


def _require_usable(prices: Prices) -> None:
    """prices: as given, an adjusted close that is missing is NaN"""
    days, volume = prices.trade_date, prices.volume
    is_unadjusted = np.isnan(prices.adjusted_close)
    half_adjusted = is_unadjusted & (not is_unadjusted.all())
    again = np.flatnonzero(days[1:] == days[:-1])
    if len(again):
        raise ValueError(
            f"{prices.instrument_id}: {len(again)} rows are of a day that has one already, the "
            f"first of {days[again[0]]}: keep one a day"
        )
    broken = [
        (np.isnan(prices.close), prices.close, "close is missing"),
        *_broken_price("close", prices.close),
        *_broken_price("adjusted_close", prices.adjusted_close),
        (
            half_adjusted,
            prices.adjusted_close,
            "adjusted_close is missing, and other days have one",
        ),
        (np.isinf(volume), volume, "volume is not finite"),
        (volume < 0, volume, "volume is negative"),
    ]
    is_broken = np.any([rows for rows, _, _ in broken], axis=0)
    if is_broken.any():
        first = int(is_broken.argmax())
        value, reason = next((of[first], reason) for rows, of, reason in broken if rows[first])
        raise ValueError(
            f"{prices.instrument_id}: {int(is_broken.sum())} of {len(days)} rows cannot be used, "
            f"the first of {days[first]}: {reason} ({value:g}); correct or drop them"
        )


def _broken_price(name: str, price: Floats) -> Iterable[tuple[NDArray[np.bool_], Floats, str]]:
    """What staging refuses in a price column: rows (n,), values (n,) and the reason it gives."""
    yield np.isinf(price), price, f"{name} is not finite"
    yield price <= 0, price, f"{name} is not positive"
    yield (price < LEAST) | (price > GREATEST), price, f"{name} is out of range"
