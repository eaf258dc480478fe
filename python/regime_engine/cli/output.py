"""What commands print on stdout: rows as a table, JSON or CSV, and what a run wrote."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from regime_engine.engine.classify import Outcome


def say(text: str = "", err: bool = False) -> None:
    """Print text for a person, on stdout or stderr."""
    click.echo(printable(text), err=err)


def printable(text: str) -> str:
    """The text with each character that could command a terminal or reorder a line (an escape
    sequence, a bidirectional mark) as its Python escape. Line breaks are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def print_rows(headers: Sequence[str], rows: Sequence[Sequence], output_format: str) -> None:
    """JSON is a list of objects; CSV has a header line; both hold every digit and character."""
    if output_format == "json":
        records = [dict(zip(headers, row, strict=True)) for row in rows]
        click.echo(json.dumps(records, default=str, indent=2))
    elif output_format == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(headers)
        writer.writerows(rows)
        # As in colour: click would drop the escape sequences from a pipe.
        click.echo(text.getvalue(), nl=False, color=True)
    else:
        say(table(headers, rows))


def table(headers: Sequence[str], rows: Sequence[Sequence], digits: int = 3) -> str:
    """Aligned columns, numbers to the right; confidences with three digits."""
    cells = [[_cell(value, digits) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    right = [any(isinstance(row[k], (int, float)) for row in rows) for k in range(len(headers))]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if is_number else value.ljust(width)
            for value, width, is_number in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(headers), line(["-" * width for width in widths]), *map(line, cells)])


def last_regime(outcome: "Outcome") -> str:
    regime = f"label={outcome.label}, confidence={outcome.confidence:.3f}"
    if outcome.expected_volatility is not None:
        regime += f", expected_volatility={outcome.expected_volatility:.3f}"
    return f"Regime as of {outcome.last} for region {outcome.series.region}: {regime}"


def dates_written(outcome: "Outcome") -> str:
    return (
        f"{outcome.n_windows:,} dates from {outcome.first} to {outcome.last}: "
        f"{rows_written(outcome.written)}"
    )


def rows_written(written: Mapping[str, int]) -> str:
    """written: table → rows"""
    counts = [f"{count:,} in {table}" for table, count in written.items() if count]
    return "rows written: " + ", ".join(counts) if counts else "nothing to change"


def _cell(value: object, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return printable(" ".join(str(value).split()))
