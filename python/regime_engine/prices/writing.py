"""How a file writes days and numbers. What can be read in two ways is settled by the rest of the
file or by the user, and never guessed."""

import re
from dataclasses import dataclass
from datetime import time
from typing import NamedTuple

import polars as pl

from regime_engine.errors import RegimeError
from regime_engine.prices.columns import DAY

MIDNIGHT = r"[ T]0?0:00(:00(\.0+)?)?$|[ T]12:00(:00)? ?AM$"
EPOCH = {
    "seconds": r"^\d{9,10}(\.0)?$",
    "milliseconds": r"^\d{12,13}(\.0)?$",
    "microseconds": r"^\d{15,16}$",
    "nanoseconds": r"^\d{18,19}$",
}
SECONDS = (-(10**10), 10**11)  # the years 1653 to 5138
A_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
IN_NUMBERS = r"^(\d{1,2})([/.-])(\d{1,2})[/.-]\d{4}"
TWO_DIGIT_YEAR = r"^\d{1,2}[/.-]\d{1,2}[/.-]\d{2}($|[^\d])"
TOKENS = {"YYYY": "%Y", "MMM": "%B", "YY": "%y", "MM": "%m", "DD": "%d", "M": "%m", "D": "%d"}
# Prices of a day begin at midnight in one of these places.
ZONES = ("UTC", "America/New_York")

# Currencies and spaces around a number, and what groups its digits besides a dot or a comma.
AROUND = r"[\s\u00a0$€£¥]"
SPACES = r" \u00a0\u202f'’"
MULTIPLES = {"k": "e3", "m": "e6", "b": "e9", "t": "e12"}
# With `.` for the decimal mark and `,` for the other; what shows which is which.
SHOWS_DECIMAL = (
    r"^\d{1,3}(,\d{3})+\.\d*$|^\d{1,3}(,\d{3}){2,}$|^\d*\.(\d{0,2}|\d{4,})$"
    r"|^(0\d*|\d{4,})\.\d{3}$|^\d*\.\d+[eE][+-]?\d+$"
)
IN_TWO_WAYS = r"^[1-9]\d{0,2}[.,]\d{3}$"


class DateStyle(NamedTuple):
    """shown: for people; format: of chrono, None for YYYY-MM-DD; other: the order of day and month
    that the file does not have"""

    shown: str
    format: str | None = None
    other: str | None = None

    def __str__(self) -> str:
        return self.shown

    def days(self, text: pl.Series) -> pl.Series:
        """The days of some texts; null where one is not written so."""
        if self.format is None:
            is_day = text.str.contains(DAY)
            days = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
            return pl.select(pl.when(is_day).then(days)).to_series()
        if self.format in EPOCH:
            return _days_of_epoch(text, self.format)
        return _parsed(text, self.format)

    def is_of_other_order(self, text: pl.Series, days: pl.Series) -> pl.Series:
        """Which texts are days only if day and month change places."""
        if not self.other:
            return pl.repeat(False, len(text), eager=True)
        return days.is_null() & _parsed(text, self.other).is_not_null()


def _parsed(text: pl.Series, chrono: str) -> pl.Series:
    bare = text.str.replace(MIDNIGHT, "").str.replace(r"\.0$", "")
    # A year of two digits would pass for one of the first century.
    days = bare.str.to_date(chrono, strict=False)
    return pl.select(pl.when(days.dt.year() >= 1000).then(days)).to_series()


def _days_of_epoch(text: pl.Series, unit: str) -> pl.Series:
    counts = text.str.replace(r"\.0$", "").cast(pl.Int64, strict=False)
    seconds = counts // A_SECOND[unit]
    # polars panics where a moment is too far away.
    seconds = seconds.set(~seconds.is_between(*SECONDS), None)
    moments = (seconds * 1000).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    days = pl.Series([None] * len(text), dtype=pl.Date)
    for zone in ZONES:
        local = moments.dt.convert_time_zone(zone)
        is_midnight = (local.dt.time() == time(0)) & (counts % A_SECOND[unit] == 0)
        days = days.zip_with(days.is_not_null() | ~is_midnight, local.dt.date())
    return days


def _of_epoch(unit: str) -> DateStyle:
    return DateStyle(f"{unit} of a midnight in UTC or New York", unit)


# What a day looks like, and how it is read; None: in an order that other days have to show.
DAYS = {
    r"^\d{4}-\d{2}-\d{2}": DateStyle("YYYY-MM-DD"),
    IN_NUMBERS: None,
    TWO_DIGIT_YEAR: None,
    r"^\d{4}/\d{1,2}/\d{1,2}": DateStyle("YYYY/MM/DD", "%Y/%m/%d"),
    r"^\d{4}\.\d{1,2}\.\d{1,2}": DateStyle("YYYY.MM.DD", "%Y.%m.%d"),
    r"^(1[7-9]|20)\d{6}(\.0)?$": DateStyle("YYYYMMDD", "%Y%m%d"),
    r"^[^\W\d]{3,9} \d{1,2}, \d{4}": DateStyle("MMM DD, YYYY", "%B %d, %Y"),
    r"^\d{1,2} [^\W\d]{3,9} \d{4}": DateStyle("DD MMM YYYY", "%d %B %Y"),
    r"^\d{1,2}-[^\W\d]{3,9}-\d{4}": DateStyle("DD-MMM-YYYY", "%d-%B-%Y"),
} | {pattern: _of_epoch(unit) for unit, pattern in EPOCH.items()}


class NumberStyle(NamedTuple):
    """decimal, thousands: the marks; is_shown: whether people need to know"""

    decimal: str = "."
    thousands: str | None = None
    is_shown: bool = False

    def __str__(self) -> str:
        return f"decimal {self.decimal}" if self.is_shown else ""

    def values(self, text: pl.Series, has_multiples: bool = False) -> pl.Series:
        """The numbers of some texts; null where one is not written so.

        has_multiples: whether 1.5M is a number
        """
        if self.decimal == ".":
            values = text.cast(pl.Float64, strict=False)
        else:
            values = pl.Series([None] * len(text), dtype=pl.Float64)
        failed = values.is_null() & text.is_not_null()
        if not failed.any():
            return values
        rows = failed.arg_true()
        return values.scatter(rows, self._values_of_texts(text.gather(rows), has_multiples))

    def _values_of_texts(self, text: pl.Series, has_multiples: bool) -> pl.Series:
        mark = re.escape(self.decimal)
        others = SPACES + ("," if self.decimal == "." else ".")
        groups = re.escape(self.thousands) if self.thousands else f"[{others}]"
        suffix = "[kKmMbBtT]?" if has_multiples else ""
        pattern = (
            rf"^([+-]?{AROUND}*(?:\d{{1,3}}(?:{groups}\d{{3}})+|\d+)?(?:{mark}\d*)?"
            rf"(?:[eE][+-]?\d+)?{suffix}){AROUND}*$"
        )
        exact = rf"{groups}|[\s\u00a0$€£¥]"
        number = (
            text.str.extract(pattern)
            .str.replace_all(exact, "")
            .str.replace(self.decimal, ".", literal=True)
        )
        for letter, exponent in MULTIPLES.items():
            number = number.str.replace(f"(?i){letter}$", exponent)
        words = text.str.to_lowercase().str.extract(r"^([+-]?(?:nan|inf|infinity))$")
        return number.zip_with(words.is_null(), words).cast(pl.Float64, strict=False)


@dataclass
class Evidence:
    """What the rows of a file say about how it writes days and numbers.

    source: the file as messages call it
    date_format, decimal, thousands: what the user says, else None
    separator: of the columns, "" if it is no text
    """

    source: str
    date_format: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    separator: str = ""

    def __post_init__(self) -> None:
        if self.thousands in (".", ",") and not self.decimal:
            self.decimal = "," if self.thousands == "." else "."
        self._dates = given_style(self.date_format) if self.date_format else None
        self._in_numbers: tuple[int, str] | None = None  # line and text of a day in numbers
        self._orders: set[str] = set()
        self._marks: dict[str, tuple[int, str]] = {}  # decimal mark → line and text that show it
        self._in_two_ways: tuple[int, str, str] | None = None  # line, column and text
        self._has_numbers = False
        self._has_ungrouped = False

    @property
    def is_settled(self) -> bool:
        dates = bool(self._dates) or bool(self._orders)
        return dates and bool(self.decimal or self._marks or not self._has_numbers)

    def add_days(self, text: pl.Series, lines: pl.Series) -> None:
        if self._dates:
            return
        text = text.str.strip_chars()
        if not self._in_numbers:
            self._recognise(text, lines)
        if self._in_numbers:
            # A day with other marks between its parts does not show the order of these.
            mark = re.escape(re.sub(IN_NUMBERS, r"\2", self._in_numbers[1])[0])
            parts = rf"^(?<a>\d{{1,2}}){mark}(?<b>\d{{1,2}}){mark}\d{{4}}"
            numbers = text.str.extract_groups(parts).struct
            for name, order in (("a", "day first"), ("b", "month first")):
                if (numbers.field(name).cast(pl.Int64, strict=False) > 12).any():
                    self._orders.add(order)

    def _recognise(self, text: pl.Series, lines: pl.Series) -> None:
        """Days are written as most of the first ones are; the others are refused row by row."""
        counts = {pattern: text.str.contains(pattern).sum() for pattern in DAYS}
        pattern = max(DAYS, key=lambda pattern: counts[pattern])
        if not counts[pattern]:
            return
        row = int(text.str.contains(pattern).arg_true()[0])
        if pattern == IN_NUMBERS:
            self._in_numbers = lines[row], text[row]
        elif pattern == TWO_DIGIT_YEAR:
            raise RegimeError(
                f"{self.source}:{lines[row]}: trade_date: {text[row]!r} has a year of two digits: "
                "say the order with --date-format, such as DD.MM.YY"
            )
        else:
            self._dates = DAYS[pattern]

    def add_numbers(self, name: str, text: pl.Series, lines: pl.Series) -> None:
        self._has_numbers = True
        if self.decimal:
            return
        bare = text.str.replace_all(rf"[{SPACES}]", "").str.replace_all(AROUND, "")
        bare = bare.str.strip_chars("+-").str.replace("[kKmMbBtT]$", "")
        in_two_ways = bare.str.contains(IN_TWO_WAYS).fill_null(False)
        ungrouped = bare.str.contains(r"^\d{4,}$").any()
        self._has_ungrouped |= ungrouped
        for mark in (".", ","):
            pattern = SHOWS_DECIMAL
            if mark == ",":
                pattern = pattern.replace(r"\.", "!").replace(",\\d", r"\.\d").replace("!", ",")
            shows = bare.str.contains(pattern).fill_null(False)
            if ungrouped:
                shows |= in_two_ways & bare.str.contains(mark, literal=True)
            if mark not in self._marks and shows.any():
                first = int(shows.arg_true()[0])
                self._marks[mark] = lines[first], text[first]
        if not self._in_two_ways and in_two_ways.any():
            first = int(in_two_ways.arg_true()[0])
            self._in_two_ways = lines[first], name, text[first]

    def dates(self) -> DateStyle:
        if self._dates:
            return self._dates
        if not self._in_numbers:
            return DateStyle("YYYY-MM-DD")
        line, day = self._in_numbers
        match = re.match(IN_NUMBERS, day)
        assert match
        mark = match[2]
        formats = {"day first": f"%d{mark}%m{mark}%Y", "month first": f"%m{mark}%d{mark}%Y"}
        shown = {order: _shown(chrono) for order, chrono in formats.items()}
        if len(self._orders) != 1:
            why = (
                "in both orders"
                if self._orders
                else f"such as {day!r}, in an order that no row shows"
            )
            readings = " and ".join(
                f"{chrono} ({_parsed(pl.Series([day]), formats[order])[0]!s})"
                for order, chrono in shown.items()
            )
            raise RegimeError(
                f"{self.source}:{line}: trade_date: days {why}; the first reads as {readings}: "
                "say which with --date-format"
            )
        (order,) = self._orders
        (other,) = formats.keys() - {order}
        return DateStyle(shown[order], formats[order], formats[other])

    def numbers(self) -> NumberStyle:
        if self.decimal:
            return NumberStyle(self.decimal, self.thousands, is_shown=True)
        if len(self._marks) > 1:
            dot, comma = self._marks["."], self._marks[","]
            raise RegimeError(
                f"{self.source}: the decimal mark is a dot on line {dot[0]} ({dot[1]!r}) and a "
                f"comma on line {comma[0]} ({comma[1]!r}): say which with --decimal"
            )
        if not self._marks and self._in_two_ways:
            line, name, text = self._in_two_ways
            # Where commas separate columns and long numbers have no groups, a dot is decimal.
            if self.separator == "," and self._has_ungrouped and "." in text:
                return NumberStyle(".", self.thousands)
            with_dot = text.replace(",", ".")
            raise RegimeError(
                f"{self.source}:{line}: {name}: {text!r} can be {with_dot} or "
                f"{with_dot.replace('.', '')}: say which with --decimal . or --decimal ,"
            )
        mark = next(iter(self._marks), ".")
        return NumberStyle(mark, self.thousands, is_shown=mark == ",")


def is_day(text: str) -> bool:
    """Whether a text may be a day."""
    return any(re.match(pattern, text) for pattern in DAYS)


def given_style(date_format: str) -> DateStyle:
    """The style that the user names: DD.MM.YYYY or %d.%m.%Y; raises RegimeError if it is none."""
    if date_format in EPOCH:
        return _of_epoch(date_format)
    chrono = date_format
    if "%" not in chrono:
        chrono = re.sub("|".join(TOKENS), lambda token: TOKENS[token[0]], chrono)
    has = [
        any(part in chrono for part in parts)
        for parts in (("%Y", "%y"), ("%m", "%B", "%b"), ("%d",))
    ]
    if not all(has) and chrono not in ("%F", "%D"):
        raise RegimeError(
            f"--date-format {date_format!r} has no year, month or day: say it like DD.MM.YYYY, "
            "MM/DD/YYYY or %d %b %Y; or "
            f"{', '.join(EPOCH)}"
        )
    return DateStyle(date_format, chrono)


def _shown(chrono: str) -> str:
    for token, part in (("YYYY", "%Y"), ("MMM", "%B"), ("MM", "%m"), ("DD", "%d")):
        chrono = chrono.replace(part, token)
    return chrono
