"""Text → typed values; which rows are refused, and why."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import polars as pl

from regime_engine.prices.columns import ALIASES, DAY, NUMBERS, REQUIRED

# How files write a missing value. NaN is not among them: a number that is not finite is refused.
NULLS = ("", "na", "n/a", "#n/a", "null", "none", r"\n")

FIRST_DAY = date(1700, 1, 1)

LONGEST_NAME = 200
CONTROL_CHARACTER = r"\p{Cc}"


class Rule(NamedTuple):
    """A row with `is_broken` true is refused with this reason; null counts as false."""

    is_broken: pl.Expr
    reason: pl.Expr


def check(rows: pl.DataFrame) -> pl.DataFrame:
    """Good rows with typed values; refused rows with a `reason` and without values.

    rows: text, as in PriceFile.chunks
    returns one more column, written_date: the trade_date as the file writes it
    """
    names = [name for name in ALIASES if name in rows.columns]
    rows = rows.with_columns(_trimmed(name) for name in names)
    rows = rows.with_columns(_value(name).alias(f"{name}_value") for name in names)
    rules = [Rule(pl.col("fault").is_not_null(), pl.col("fault"))]
    rules += [rule for name in names for rule in _rules(name)]

    is_refused = pl.any_horizontal(rule.is_broken for rule in rules).fill_null(False)
    reason = pl.coalesce(pl.when(rule.is_broken).then(rule.reason) for rule in rules)
    kept: list[str | pl.Expr] = [
        "line_number",
        pl.col("trade_date").alias("written_date"),
        "row_text",
    ]
    values = [pl.col(f"{name}_value").alias(name) for name in names]
    good = rows.filter(~is_refused).select(*kept, *values, reason=pl.lit(None, pl.String))
    refused = rows.filter(is_refused).select(*kept, "instrument_id", reason=reason)
    return pl.concat([good, refused], how="diagonal")


def _trimmed(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    nulls = NULLS if name != "instrument_id" else ("",)
    return pl.when(~text.str.to_lowercase().is_in(nulls)).then(text).alias(name)


def _value(name: str) -> pl.Expr:
    text = pl.col(name)
    if name in NUMBERS:
        return text.cast(pl.Float64, strict=False)
    if name == "trade_date":
        day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return pl.when(text.str.contains(DAY)).then(day)
    if name == "metadata":
        return text.map_elements(_json_or_none, return_dtype=pl.String)
    return text


def _json_or_none(text: str) -> str | None:
    """The text if Postgres's jsonb accepts it: no NaN, no NUL, no half of a surrogate pair."""
    try:
        json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return None if r"\u0000" in text else text


def _rules(name: str) -> Iterator[Rule]:
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
        else:
            yield refuse(value <= 0, "is not positive: {}")
    elif name == "trade_date":
        yield refuse(value.is_null(), "cannot be read as YYYY-MM-DD: '{}'")
        yield refuse(value < FIRST_DAY, f"is before {FIRST_DAY}: {{}}")
        # East of Greenwich it may already be tomorrow.
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        yield refuse(value > tomorrow, "is in the future: {}")
    elif name == "metadata":
        yield refuse(text.is_not_null() & value.is_null(), "is not JSON: '{}'")
    else:
        yield refuse(text.str.contains(CONTROL_CHARACTER), "has a control character: '{}'")
        too_long = text.str.len_chars() > LONGEST_NAME
        yield refuse(too_long, f"is longer than {LONGEST_NAME} characters: '{{}}'")
