"""Text → typed values; which rows are refused, and why."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import polars as pl

from regime_engine.errors import RegimeError
from regime_engine.prices.columns import ALIASES, NUMBERS, REQUIRED
from regime_engine.prices.formats import Chunk, Content
from regime_engine.prices.shapes import Shape, rows_of
from regime_engine.prices.writing import IN_NUMBERS, NumberStyle

# How files write a missing value. NaN is not among them: a number that is not finite is refused.
NULLS = ("", "na", "n/a", "#n/a", "#n/a n/a", "null", "none", r"\n", "-", "--", ".")

# What a shape may have besides the columns of prices_daily.
EXTRA = ("price_factor", "period")

FIRST_DAY = date(1700, 1, 1)

LONGEST_NAME = 200
CONTROL_CHARACTER = r"\p{Cc}"


class Rule(NamedTuple):
    """A row with `is_broken` true is refused with this reason; null counts as false."""

    is_broken: pl.Expr
    reason: pl.Expr


def check(source: str, chunk: Chunk, shape: Shape, content: Content) -> pl.DataFrame:
    """Good rows with typed values; refused rows with a `reason` and without values.

    source: the file as messages call it
    returns the columns of the shape, line_number, column_number, written_date (as the file writes
        it), reason and row_text (of refused rows)
    raises RegimeError if a day shows that the other days are read in a wrong order
    """
    rows = rows_of(shape.layout, chunk.rows)
    names = [name for name in (*ALIASES, *EXTRA) if name in rows.columns]
    rows = rows.with_columns(_trimmed(name) for name in names)
    _require_only(source, rows, shape.layout.only_instrument)
    rows = rows.with_columns(
        [_values(name, rows[name], shape, content).alias(f"{name}_value") for name in names]
    )
    _require_one_order(source, rows, shape)
    if content.kind == "Excel":
        _require_days_of_one_kind(source, rows, shape)
    if "price_factor" in names:
        # CRSP: a close that is the mean of bid and ask has a minus, and an adjusted one a factor.
        close = pl.col("close_value").abs()
        rows = rows.with_columns(
            close_value=close,
            adjusted_close=pl.col("price_factor"),
            adjusted_close_value=close / pl.col("price_factor_value"),
        )
        names = [*(name for name in names if name != "price_factor"), "adjusted_close"]
    rules = [Rule(pl.col("fault").is_not_null(), pl.col("fault"))]
    rules += [rule for name in names for rule in _rules(name, shape)]

    is_refused = pl.any_horizontal(rule.is_broken for rule in rules).fill_null(False)
    reason = pl.coalesce(pl.when(rule.is_broken).then(rule.reason) for rule in rules)
    kept: list[str | pl.Expr] = [
        "line_number",
        "column_number",
        pl.col("trade_date").alias("written_date"),
    ]
    values = [pl.col(f"{name}_value").alias(name) for name in names if name != "period"]
    good = rows.filter(~is_refused).select(
        *kept, *values, reason=pl.lit(None, pl.String), row_text=pl.lit(None, pl.String)
    )
    refused = rows.filter(is_refused).select("row", *kept, "instrument_id", reason=reason)
    texts = pl.Series("row_text", chunk.texts(refused["row"].to_list()), dtype=pl.String)
    refused = refused.drop("row").with_columns(texts)
    return pl.concat([good, refused], how="diagonal")


def _trimmed(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    nulls = NULLS if name != "instrument_id" else ("",)
    return pl.when(~text.str.to_lowercase().is_in(nulls)).then(text).alias(name)


def _values(name: str, text: pl.Series, shape: Shape, content: Content) -> pl.Series:
    if name in (*NUMBERS, "price_factor"):
        at = shape.layout.series[0].positions.get(name)
        style = NumberStyle() if at is not None and content.is_number(at) else shape.numbers
        return style.values(text, has_multiples=name == "volume")
    if name == "trade_date":
        return shape.dates.days(text)
    if name == "metadata":
        return text.map_elements(_json_or_none, return_dtype=pl.String)
    return text


def _require_only(source: str, rows: pl.DataFrame, instrument_id: str | None) -> None:
    others = (
        rows.filter(pl.col("instrument_id") != instrument_id) if instrument_id else rows.clear()
    )
    if others.height:
        line, other = others.select("line_number", "instrument_id").row(0)
        raise RegimeError(
            f"{source}:{line}: a price of {other!r}, not of --instrument-id {instrument_id!r}: "
            "leave out the option, because the file names its instruments"
        )


def _require_one_order(source: str, rows: pl.DataFrame, shape: Shape) -> None:
    is_other = shape.dates.is_of_other_order(rows["trade_date"], rows["trade_date_value"])
    if is_other.any():
        line, day = rows.filter(is_other).select("line_number", "trade_date").row(0)
        raise RegimeError(
            f"{source}:{line}: trade_date: other days are {shape.dates} and {day!r} cannot be: "
            "give a file with one order, or say it with --date-format"
        )


def _require_days_of_one_kind(source: str, rows: pl.DataFrame, shape: Shape) -> None:
    """Excel makes days of the texts that it can read, with day and month swapped where the texts
    have the other order, and leaves the others."""
    is_text = pl.col("trade_date").str.contains(IN_NUMBERS)
    if shape.dates.format is None and not (texts := rows.filter(is_text)).is_empty():
        line, day = texts.select("line_number", "trade_date").row(0)
        raise RegimeError(
            f"{source}:{line}: trade_date: other cells are days and {day!r} is a text: Excel may "
            "have swapped day and month in the others: load the file from which the sheet was made"
        )


def _json_or_none(text: str) -> str | None:
    """The text if Postgres's jsonb accepts it: no NaN, no NUL, no half of a surrogate pair."""
    try:
        json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return None if r"\u0000" in text else text


def _rules(name: str, shape: Shape) -> Iterator[Rule]:
    """The rules of a column, for its trimmed text and its value."""
    text, value = pl.col(name), pl.col(f"{name}_value")
    shown = text.str.slice(0, 40).str.replace_all(CONTROL_CHARACTER, "?")

    def refuse(is_broken: pl.Expr, reason: str) -> Rule:
        return Rule(is_broken, pl.format(f"{name} {reason}", *[shown] * reason.count("{}")))

    if name in REQUIRED:
        yield refuse(text.is_null(), "is missing")
    if name in NUMBERS:
        yield refuse(text.is_not_null() & value.is_null(), "is not a number: '{}'")
        yield refuse(~value.is_finite(), "is not finite: {}")
        if name == "volume":
            yield refuse(value < 0, "is negative: {}")
        elif name == "open":  # many sources write 0 if they know no opening price
            yield refuse(value < 0, "is not positive: {}")
        else:
            yield refuse(value <= 0, "is not positive: {}")
    elif name == "trade_date":
        yield refuse(value.is_null(), f"cannot be read as {shape.dates}: '{{}}'")
        yield refuse(value < FIRST_DAY, f"is before {FIRST_DAY}: {{}}")
        # East of Greenwich it may already be tomorrow.
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        yield refuse(value > tomorrow, "is in the future: {}")
    elif name == "period":
        yield refuse(text.is_not_null() & (text.str.to_uppercase() != "D"), "is not D, a day: '{}'")
    elif name == "metadata":
        yield refuse(text.is_not_null() & value.is_null(), "is not JSON: '{}'")
    else:
        yield refuse(text.str.contains(CONTROL_CHARACTER), "has a control character: '{}'")
        too_long = text.str.len_chars() > LONGEST_NAME
        yield refuse(too_long, f"is longer than {LONGEST_NAME} characters: '{{}}'")
