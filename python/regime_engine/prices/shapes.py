"""What a file's rows mean: where its header is, which column holds what, how days and numbers are
written. What can be read in two ways is never guessed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import polars as pl

from regime_engine.errors import RegimeError
from regime_engine.prices.columns import (
    ALIASES,
    KEY,
    NUMBERS,
    REQUIRED,
    folded,
    missing,
    name_of,
    positions_by_name,
)
from regime_engine.prices.formats import Content
from regime_engine.prices.writing import DateStyle, Evidence, NumberStyle, is_day

SEPARATORS = (",", ";", "\t", "|")
PLAIN = "one price a row"
WIDE, FRED, YFINANCE = "a column an instrument", "FRED series", "yfinance download"
# What pandas calls an index without a name, and the levels of names of yfinance's columns.
UNNAMED = ("", "index", "Unnamed: 0", "__index_level_0__")
LEVELS = ("", "Price", "Ticker", "Attributes", "Symbols")
# How a wide file says that an instrument has no price on a day.
MISSING = ("", "na", "n/a", "#n/a", "#n/a n/a", "nan", "null", "none", r"\n", "-", "--", ".")
# Columns of yfinance that are no prices.
EVENTS = ("dividends", "stocksplits", "capitalgains", "repaired")


@dataclass(frozen=True)
class Reading:
    """What the user says about the files; None: find out.

    instrument_id: whose prices these are; instrument_if_unnamed: the same, if the file does not say
    columns: column of prices_daily → the file's name of it
    field: which column of prices_daily a wide file has for each instrument
    """

    instrument_id: str | None = None
    instrument_if_unnamed: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    separator: str | None = None
    sheet: str | None = None
    is_wide: bool = False
    field: str = "close"


@dataclass(frozen=True)
class Series:
    """Where the columns of prices_daily are; instrument_id: None if a column names it."""

    instrument_id: str | None
    positions: Mapping[str, int]


@dataclass(frozen=True)
class Layout:
    """Where the values are.

    name: what such a file is called, for people
    top_rows: how many rows come before the prices
    header: the file's columns
    series: one, or in a wide file one for each instrument
    note: what else a user should know
    only_instrument: the only one that may be in it
    """

    name: str
    separator: str
    top_rows: int
    header: list[str]
    series: list[Series]
    note: str = ""
    only_instrument: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of prices_daily that the file fills."""
        filled = {name for series in self.series for name in series.positions}
        filled.discard("price_factor")
        if "price_factor" in self.series[0].positions:
            filled.add("adjusted_close")
        return [name for name in ALIASES if name in filled | {"instrument_id"}]

    @property
    def wanted(self) -> list[int]:
        return sorted({at for series in self.series for at in series.positions.values()})

    @property
    def ignored(self) -> list[str]:
        """The file's columns from which nothing is read."""
        wanted = set(self.wanted)
        return [name for at, name in enumerate(self.header) if at not in wanted]


@dataclass(frozen=True)
class Shape:
    """All that is needed to read the rows."""

    layout: Layout
    dates: DateStyle
    numbers: NumberStyle

    def __str__(self) -> str:
        parts = [self.layout.name]
        names = [series.instrument_id for series in self.layout.series if series.instrument_id]
        if len(self.layout.series) > 1:
            parts.append(f"{len(names):,} instruments")
        elif names:
            parts.append(names[0])
        parts += [f"dates {self.dates}", str(self.numbers), self.layout.note]
        return ", ".join(filter(None, parts))


def recognise(source: str, content: Content, reading: Reading) -> Shape | None:
    """The shape of a file; None if it has no rows.

    source: the file as messages call it
    raises RegimeError if the file has no place for a day or a close, or if its days or its numbers
    can be read in two ways
    """
    layout = _layout(source, content, reading)
    evidence = Evidence(
        source, reading.date_format, reading.decimal, reading.thousands, layout.separator
    )
    rows = 0
    for chunk in content.chunks(layout.separator, layout.top_rows, layout.wanted):
        rows += chunk.rows.height
        for series in layout.series:
            day = chunk.rows[str(series.positions["trade_date"])]
            evidence.add_days(day, chunk.rows["line_number"])
            for name in NUMBERS:
                at = series.positions.get(name)
                if at is not None and not content.is_number(at):
                    evidence.add_numbers(name, chunk.rows[str(at)], chunk.rows["line_number"])
        if evidence.is_settled:
            break
    if not rows:
        return None
    if layout.series[0].instrument_id is None and "instrument_id" not in layout.series[0].positions:
        option = ", or say --instrument-id or --instrument-from"
        raise RegimeError(missing(source, "instrument_id", layout.header) + option)
    return Shape(layout, evidence.dates(), evidence.numbers())


def rows_of(layout: Layout, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a chunk, with columns called as in prices_daily.

    returns also row: the position in `rows`; column_number: the place of a wide file's instrument
    """
    rows = rows.with_row_index("row")
    first, *others = layout.series
    has_fault = pl.col("fault").is_not_null()
    if not others and layout.name not in (WIDE, FRED, YFINANCE):
        return _rows_of_series(rows, first, column_number=1)
    # A day on which an instrument with columns of its own has no price is no row.
    frames = [rows.filter(has_fault).pipe(_rows_of_series, first, column_number=1)]
    good = rows.filter(~has_fault)
    for series in layout.series:
        names = [name for name in series.positions if name not in KEY]
        texts = (pl.col(name).str.strip_chars().fill_null("") for name in names)
        is_there = pl.any_horizontal(~text.str.to_lowercase().is_in(MISSING) for text in texts)
        column_number = 1 + min(series.positions[name] for name in names)
        frames.append(_rows_of_series(good, series, column_number).filter(is_there))
    return pl.concat(frames, how="diagonal")


def _rows_of_series(rows: pl.DataFrame, series: Series, column_number: int) -> pl.DataFrame:
    columns = [pl.col(str(at)).alias(name) for name, at in series.positions.items()]
    if "instrument_id" not in series.positions:
        columns.append(pl.lit(series.instrument_id, pl.String).alias("instrument_id"))
    numbered = pl.lit(column_number).alias("column_number")
    return rows.select("row", "line_number", "fault", numbered, *columns)


def _layout(source: str, content: Content, reading: Reading) -> Layout:
    separators = (reading.separator,) if reading.separator else SEPARATORS
    tops = {separator: content.top(separator) for separator in separators}
    layouts = [
        layout
        for separator, rows in tops.items()
        if (layout := next(_layouts(source, rows, separator, reading), None))
    ]
    if not layouts:
        raise _unknown(source, list(tops.values()), reading)
    layout = max(layouts, key=lambda layout: len(layout.wanted))
    if layout.name == PLAIN:
        layout = replace(layout, name=f"{content.kind}, one price a row")
    instrument_id = reading.instrument_id or reading.instrument_if_unnamed
    (series, *others) = layout.series
    is_unnamed = not series.instrument_id and "instrument_id" not in series.positions
    if instrument_id and is_unnamed and not others:
        layout = replace(layout, series=[replace(series, instrument_id=instrument_id)])
    return replace(layout, only_instrument=reading.instrument_id)


def _unknown(source: str, tops: Sequence[list[list[str]]], reading: Reading) -> RegimeError:
    """Why no row of any of these tops can be the header."""

    def known(row: list[str]) -> int:
        return sum(name_of(cell) is not None for cell in row)

    rows = [row for top in tops for row in top if any(cell.strip() for cell in row)]
    header = max(rows, key=lambda row: (known(row), len(row)), default=[])
    if not known(header):
        header = max((top[0] for top in tops if top), key=len, default=[])
    for written in reading.columns.values():
        if written and written not in map(str.strip, header):
            return RegimeError(f"{source}: --map: no column {written!r} among {_shown(header)}")
    if reading.is_wide:
        return RegimeError(f"{source}: --wide: no column of days among {_shown(header)}")
    positions = positions_by_name(source, header)
    absent = [name for name in REQUIRED[::-1] if name not in positions]
    name = next(iter(absent), "close")
    hint = ", or say --map close=NAME; if each column is an instrument, say --wide"
    if name != "close":
        hint = f", or say --map {name}=NAME"
    return RegimeError(missing(source, name, header) + hint)


def _shown(header: Sequence[str]) -> str:
    return ", ".join(map(repr, header))[:300]


def _layouts(
    source: str, rows: list[list[str]], separator: str, reading: Reading
) -> Iterator[Layout]:
    """The layouts that have their header in one of the first rows."""
    for number, row in enumerate(rows):
        header = [cell.strip() for cell in row]
        if len(header) < 2:
            continue
        below = [[cell.strip() for cell in row] for row in rows[number + 1 : number + 3]]
        if reading.is_wide:
            found = _wide(source, header, below, reading)
        elif reading.columns:
            found = _long(source, header, below, reading)
        else:
            found = (
                _yfinance(header, below)
                or _yfinance_table(header)
                or _fred(header, below)
                or _long(source, header, below, reading)
            )
        if found:
            name, names, series, lines, note = found
            yield Layout(name, separator, number + lines, names, series, note)


class Found(NamedTuple):
    """The parts of a layout; lines: how many rows the header has"""

    name: str
    header: list[str]
    series: list[Series]
    lines: int = 1
    note: str = ""


def _long(source: str, header: list[str], below: list[list[str]], reading: Reading) -> Found | None:
    """One price a row."""
    plain = [folded(name) for name in header]
    given = {}
    for name, written in reading.columns.items():
        if written and written not in header:
            return None
        if written and header.count(written) > 1:
            raise RegimeError(f"{source}: --map: two columns are called {written!r}: rename one")
        given[name] = header.index(written) if written else None
    if "trade_date" not in given and not any(name_of(name) == "trade_date" for name in header):
        at = _unnamed_days(header, below)
        if at is not None:
            given["trade_date"] = at
    is_named = any(name_of(name) == "instrument_id" for name in header)
    if reading.instrument_id and not is_named:
        given.setdefault("instrument_id", None)  # a column Name may have anything
    if "prc" in plain:
        given |= {"close": plain.index("prc"), "price_factor": _index(plain, "cfacpr")} | given
        if "instrument_id" not in given:
            named = (_index(plain, name) for name in ("ticker", "tsymbol", "permno"))
            given["instrument_id"] = next((at for at in named if at is not None), None)
    if {"t", "c"} <= set(header) and "close" not in plain:
        letters = {"trade_date": "t", "open": "o", "high": "h", "low": "l", "close": "c"}
        letters |= {"volume": "v", "instrument_id": "T"}
        given = {name: _index(header, letter) for name, letter in letters.items()} | given
    if "unix" in plain and "volume" not in given:
        coins = (at for at, name in enumerate(header) if re.match(r"Volume [A-Z0-9]+$", name))
        given["volume"] = next(coins, None)
    if "<PER>" in header:
        given["period"] = header.index("<PER>")
    taken = {at for at in given.values() if at is not None}
    free = ["" if at in taken else name for at, name in enumerate(header)]
    found = positions_by_name(source, free, given)
    positions = found | {name: at for name, at in given.items() if at is not None}
    if not {"trade_date", "close"} <= positions.keys():
        return None
    return Found(_name(header, plain), header, [Series(None, positions)])


def _index(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _name(header: list[str], plain: list[str]) -> str:
    """What a file with these columns is called."""
    signs = {
        "Investing.com": {"price", "change"},
        "Nasdaq.com": {"closelast"},
        "Bloomberg": {"pxlast"},
        "CRSP": {"prc"},
        "CryptoDataDownload": {"unix", "symbol"},
    }
    for name, columns in signs.items():
        if columns <= set(plain):
            return name
    if "<PER>" in header:
        return "Stooq bulk file"
    if {"t", "c"} <= set(header):
        return "Polygon aggregates"
    return PLAIN


def _unnamed_days(header: list[str], below: list[list[str]]) -> int | None:
    """The place of a column of days that has no name, as pandas writes an index without one."""
    if "__index_level_0__" in header:
        return header.index("__index_level_0__")
    if not header or header[0] not in UNNAMED:
        return None
    return 0 if not below or is_day(next(iter(below[0]), "")) else None


def _wide(source: str, header: list[str], below: list[list[str]], reading: Reading) -> Found | None:
    """A column of days and a column for each instrument."""
    written = reading.columns.get("trade_date")
    if written:
        at = _index(header, written)
    else:
        days = (at for at, name in enumerate(header) if name_of(name) == "trade_date")
        at = next(days, _unnamed_days(header, below))
    if at is None or len(header) < 2:
        return None
    for place, name in enumerate(header):
        if place != at and name_of(name) in ("instrument_id", "close", "adjusted_close"):
            raise RegimeError(f"{source}: {name!r} is no instrument: leave out --wide")
    series = [
        Series(name, {"trade_date": at, reading.field: place})
        for place, name in enumerate(header)
        if place != at and name
    ]
    note = f"each is a {reading.field}"
    return Found(WIDE, header, series, note=note) if series else None


def _fred(header: list[str], below: list[list[str]]) -> Found | None:
    """A day and the value of a series whose id is the name of the column."""
    is_fred = len(header) == 2 and header[0] in ("observation_date", "DATE")
    is_id = re.match(r"[A-Z0-9_]+$", header[1]) and header[1] != "VALUE"
    if not is_fred or not is_id or positions_by_name("", header[1:]):
        return None
    return Found(FRED, header, [Series(header[1], {"trade_date": 0, "close": 1})])


def _yfinance(header: list[str], below: list[list[str]]) -> Found | None:
    """Two lines of names, of fields and of tickers, and often a third that names the days."""
    if len(header) < 2 or not below or len(below[0]) != len(header):
        return None
    first, second = header[0], below[0][0]
    if first not in LEVELS or second not in LEVELS or is_day(below[0][1]):
        return None
    third = below[1] if len(below) > 1 else []
    lines = 3 if third[:1] in (["Date"], ["Datetime"]) and not any(third[1:]) else 2
    pairs = list(zip(header[1:], below[0][1:], strict=True))
    return _of_pairs(
        ["Date", *map(" ".join, pairs)], {1 + at: pair for at, pair in enumerate(pairs)}, lines
    )


def _yfinance_table(header: list[str]) -> Found | None:
    """Columns called like ('Close', 'AAPL'), as pandas writes two levels of names to Parquet."""
    pairs = {}
    days = None
    for at, name in enumerate(header):
        if name_of(name) == "trade_date" or name in UNNAMED or re.match(r"\('Date', '.*'\)$", name):
            days = at
        elif match := re.match(r"\('(.*)', '(.*)'\)$", name):
            pairs[at] = (match[1], match[2])
    return _of_pairs(header, pairs, 1, days) if pairs and days is not None else None


def _of_pairs(
    header: list[str], pairs: Mapping[int, tuple[str, str]], lines: int, days: int = 0
) -> Found | None:
    """pairs: position of a column → its field and its ticker, or the other way round"""
    for field_at in (0, 1):
        fields = [name_of(pair[field_at]) for pair in pairs.values()]
        plain = [folded(pair[field_at]) for pair in pairs.values()]
        tickers = [pair[1 - field_at] for pair in pairs.values()]
        if all(tickers) and all(a or b in EVENTS for a, b in zip(fields, plain, strict=True)):
            break
    else:
        return None
    found: dict[str, dict[str, int]] = {}
    for at, name, ticker in zip(pairs, fields, tickers, strict=True):
        if name:
            found.setdefault(ticker, {"trade_date": days})[name] = at
    if not all("close" in positions for positions in found.values()) or not found:
        return None
    is_adjusted = any("adjusted_close" in positions for positions in found.values())
    note = "" if is_adjusted else "adjusted by default"
    series = [Series(ticker, positions) for ticker, positions in found.items()]
    return Found(YFINANCE, header, series, lines, note)
