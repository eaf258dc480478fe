"""A frame of one instrument's prices → checked columns, by the rules of staging."""

import contextlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
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


class ArrowStream(Protocol):
    """An Arrow table, a relation of DuckDB, or anything else that gives Arrow's stream."""

    def __arrow_c_stream__(self, requested_schema: Any = None, /) -> Any: ...


PriceTable = Frame | ArrowStream | Mapping[str, ArrayLike]

# The range of a price, as staging has it.
LEAST, GREATEST = 1e-100, 1e100


@dataclass(frozen=True)
class Prices:
    """Prices of one instrument, oldest first.

    trade_date: (n,) datetime64[D], each day once
    close, adjusted_close: (n,) positive; volume: (n,), NaN if there is none
    open, high, low: (n,), NaN if there is none or it cannot be used
    """

    instrument_id: str
    trade_date: NDArray[np.datetime64]
    close: Floats
    adjusted_close: Floats
    volume: Floats
    open: Floats
    high: Floats
    low: Floats


def read(prices: PriceTable) -> Prices:
    """The prices of a table of one instrument, in any order of days.

    Columns are found by the names that `regime load` knows. If there is no date column, a pandas
    index is used that holds dates or is named as one. NaN and null are missing values. If there is
    no adjusted close, the close is used. Raises and warns as `daily_features` does.
    """
    table = _of_columns(prices)
    header = list(table if isinstance(table, Mapping) else table.columns)
    with value_errors():
        positions = positions_by_name("prices", [str(name) for name in header])
    columns: dict[str, Any] = {name: table[header[at]] for name, at in positions.items()}
    if "trade_date" not in columns and _is_of_dates(index := getattr(table, "index", None)):
        columns["trade_date"] = index
    for name in ("trade_date", "close"):
        if name not in columns:
            raise ValueError(missing("prices", name, map(str, header)))

    days = read_days("prices: the trade_date", columns["trade_date"])
    close = _numbers("close", columns["close"])
    absent = np.full(len(close), np.nan)
    adjusted_close, volume, opened, high, low = (
        _numbers(name, columns[name]) if name in columns else absent
        for name in ("adjusted_close", "volume", "open", "high", "low")
    )
    lengths = {len(each) for each in (days, close, adjusted_close, volume, opened, high, low)}
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
        open=opened[order],
        high=high[order],
        low=low[order],
    )
    _require_usable(given)
    usable = _with_usable_ranges(given)
    is_adjusted = not np.isnan(usable.adjusted_close).any()
    return usable if is_adjusted else replace(usable, adjusted_close=usable.close)


def _of_columns(prices: Any) -> Any:
    """A DataFrame with plain names of columns, or a dict of columns.

    raises TypeError for what is no table, ValueError for several tickers of yfinance
    """
    is_lazy, is_of_pandas = hasattr(prices, "collect"), hasattr(prices, "iloc")
    has_columns = not is_lazy and hasattr(prices, "columns")
    gives_arrow = hasattr(prices, "__arrow_c_stream__") or hasattr(prices, "__arrow_c_array__")
    if isinstance(prices, Mapping):
        return prices
    if is_of_pandas and has_columns:
        return prices if prices.columns.nlevels == 1 else _of_one_ticker(prices)
    if gives_arrow and not is_of_pandas:
        import polars

        with contextlib.suppress(polars.exceptions.PolarsError):  # an array of numbers, say
            return polars.DataFrame(prices)
    elif has_columns:
        return prices
    raise TypeError(
        "prices must be a DataFrame, an Arrow table, a relation of DuckDB or a dict of columns, "
        f"not a {type(prices).__name__}{': collect it first' if is_lazy else ''}"
    )


def _of_one_ticker(frame: Any) -> Any:
    """A frame of yfinance, whose columns are named by price and ticker, without the ticker."""
    levels = [
        level
        for level in range(frame.columns.nlevels)
        if any(name_of(str(name)) == "close" for name in frame.columns.unique(level))
    ]
    if len(levels) != 1 or frame.columns.nlevels != 2:
        raise ValueError(missing("prices", "close", map(str, frame.columns)))
    tickers = frame.columns.unique(1 - levels[0])
    plain = frame.droplevel(1 - levels[0], axis=1)
    return plain.assign(instrument_id=_instrument(tickers))


def _is_of_dates(index: Any) -> bool:
    """Whether a pandas index holds dates, by its type or its name."""
    if getattr(getattr(index, "dtype", None), "kind", "") == "M":
        return True
    return name_of(str(getattr(index, "name", ""))) == "trade_date"


def read_days(name: str, column: Iterable[object]) -> NDArray[np.datetime64]:
    """column: n dates, midnights or texts, as `regime load` reads them; returns (n,) days

    name: what they are, for an error
    """
    days: list[date] = []
    for row, value in enumerate(column):
        text = str(value)
        try:
            if not re.match(DAY, text):
                raise ValueError
            days.append(date.fromisoformat(text[:10]))
        except ValueError:
            raise ValueError(
                f"{name} of row {row} cannot be read as YYYY-MM-DD: {text[:40]!r}"
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


def _with_usable_ranges(prices: Prices) -> Prices:
    """The prices without an open, high and low that staging would not use; warns of such days."""
    # Many sources write 0 if they know no opening price.
    opened = np.where(prices.open == 0, np.nan, prices.open)
    faults = [
        _range_fault(*day)
        for day in zip(
            prices.close.tolist(),
            opened.tolist(),
            prices.high.tolist(),
            prices.low.tolist(),
            strict=True,
        )
    ]
    is_faulty = np.array([fault is not None for fault in faults], bool)
    if is_faulty.any():
        first = int(is_faulty.argmax())
        warnings.warn(
            f"{prices.instrument_id}: open, high and low of {int(is_faulty.sum())} of "
            f"{len(faults)} days are not used, the first of {prices.trade_date[first]}: "
            f"{faults[first]}",
            stacklevel=4,
        )
    opened, high, low = (
        np.where(is_faulty, np.nan, path) for path in (opened, prices.high, prices.low)
    )
    return replace(prices, open=opened, high=high, low=low)


def _range_fault(close: float, open: float, high: float, low: float) -> str | None:
    """The range_fault of staging: why the day's open, high and low are not used."""
    if LEAST <= low <= close <= high <= GREATEST and (low <= open <= high or open != open):
        return None
    for name, price in (("open", open), ("high", high), ("low", low)):
        if np.isinf(price):
            return f"{name} is not finite"
        if price <= 0:
            return f"{name} is not positive"
        if price < LEAST or price > GREATEST:
            return f"{name} is out of range"
    if high < low:
        return "high is below low"
    if not (high != high or low != low):
        # The macro is_outside_the_range.
        digits = max(_decimals(high), _decimals(low))
        rounding = 1e-6 * high + min(0.005 * low, float(f"1e-{digits}"))
        for name, price in (("close", close), ("open", open)):
            if max(price - high, low - price) > rounding:
                return f"{name} is below low or above high"
    return None


def _decimals(price: float) -> int:
    """Digits after the point of the price as Postgres's numeric has it, in 15 digits."""
    exponent = Decimal(f"{price:.15g}").normalize().as_tuple().exponent
    return max(0, -int(exponent))
