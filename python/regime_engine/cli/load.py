import sys
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import quiet_option
from regime_engine.cli.output import print_rows, say
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.prices.load import LoadResult
    from regime_engine.prices.shapes import Reading
    from regime_engine.prices.survey import Survey

FIRST_INSTRUMENTS = 20
FIRST_NAMES = 5
FIRST_COLUMNS = 20
MARKS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";"}


class Mapped(click.ParamType):
    """close=PX_LAST,trade_date=Dates"""

    name = "COLUMN=NAME,…"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        from regime_engine.prices.columns import ALIASES

        columns = {}
        for part in value.split(","):
            name, equals, written = (word.strip() for word in part.partition("="))
            if not equals or name not in ALIASES:
                self.fail(f"{part!r} is not COLUMN=NAME, with a column of {', '.join(ALIASES)}")
            columns[name] = written
        return columns


def _mark(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    mark = MARKS.get(value, value) if value else None
    if mark is not None and len(mark) != 1:
        raise click.BadParameter(f"{value!r} is not one character", ctx, param)
    return mark


@click.command()
# A path, so that a shell completes it; also a pattern or -, so that nothing is asked of it here.
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(readable=False))
@click.option("--instrument-id", metavar="ID", help="The instrument, if no column names it.")
@click.option(
    "--instrument-from",
    metavar="PATTERN",
    help="Take the instrument from the file's name, if no column names it: `name`, or a pattern "
    "such as '{instrument}_daily.csv'.",
)
@click.option("--map", "columns", type=Mapped(), help="Which column of the file is which of ours.")
@click.option("--date-format", metavar="FORMAT", help="Such as DD/MM/YYYY, or milliseconds.")
@click.option("--decimal", metavar="MARK", callback=_mark, help="The decimal mark: . or ,")
@click.option("--thousands", metavar="MARK", callback=_mark, help="What groups the digits.")
@click.option("--separator", metavar="MARK", callback=_mark, help="What separates the columns.")
@click.option("--sheet", metavar="NAME", help="The sheet of an Excel workbook.")
@click.option("--wide", "is_wide", is_flag=True, help="Each column is an instrument.")
@click.option(
    "--field",
    type=click.Choice(["open", "high", "low", "close", "adjusted_close", "volume"]),
    default="close",
    show_default=True,
    help="With --wide: what the columns hold.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be read, and write nothing.")
@click.option("--strict", is_flag=True, help="If a row cannot be used, load nothing of its file.")
@click.option("--allow-refused", is_flag=True, help="Exit 0 even if rows cannot be used.")
@quiet_option
@click.pass_obj
def load(
    settings: Settings,
    files: tuple[str, ...],
    instrument_id: str | None,
    instrument_from: str | None,
    columns: dict[str, str] | None,
    date_format: str | None,
    decimal: str | None,
    thousands: str | None,
    separator: str | None,
    sheet: str | None,
    is_wide: bool,
    field: str,
    dry_run: bool,
    strict: bool,
    allow_refused: bool,
    quiet: bool,
) -> None:
    """Load prices from files into prices_daily.

    FILE is a file, a folder, a pattern such as '*.csv', or - for stdin. CSV, Parquet, Arrow and
    Excel files are read, also gzipped, or alone in a zip file. Columns are found by name: each file
    needs trade_date (or Date) and close. It may have instrument_id (or Ticker, Symbol), open, high,
    low, adjusted_close (or Adj Close), volume, currency and metadata. The files of many sources are
    recognised, such as those of yfinance, Stooq and Bloomberg. A day such as 03/04/2024 or a number
    such as 1.234 can be read in two ways. If no other row of the file shows which one is meant, the
    file is refused, and you say it with --date-format or --decimal.

    If you load a file again, nothing changes; if you load a corrected file, its rows are updated. A
    bad row is refused: stderr shows its line and the reason, and the row is kept in
    prices_daily_refused. The good rows of the file are loaded, and the exit code is 1.

    Two rows of one instrument and day with different values are both refused, also if they are in
    two files of the command. An instrument has adjusted closes on all its days or on none: stderr
    names one that has them on some days only, and the exit code is 1.
    """
    from regime_engine.prices.shapes import Reading
    from regime_engine.prices.sources import PLACE, files_of, named_after_file
    from regime_engine.prices.writing import given_style

    if instrument_id and instrument_from:
        raise click.UsageError("--instrument-id and --instrument-from exclude each other")
    if instrument_from and instrument_from != "name" and PLACE not in instrument_from:
        raise click.UsageError(f"--instrument-from {instrument_from!r}: `name`, or with {PLACE}")
    if decimal and decimal not in (".", ","):
        raise click.UsageError("--decimal is . or ,")
    if decimal and decimal == thousands:
        raise click.UsageError("--decimal and --thousands are the same mark")
    if date_format:
        given_style(date_format)
    reading = Reading(
        instrument_id=(instrument_id or "").strip() or None,
        columns=columns or {},
        date_format=date_format,
        decimal=decimal,
        thousands=thousands,
        separator=separator,
        sheet=sheet,
        is_wide=is_wide,
        field=field,
    )
    failed = False
    chosen: list[tuple[Path, Reading]] = []
    for path in files_of(files):
        try:
            named = named_after_file(path, instrument_from, reading) if instrument_from else reading
        except RegimeError as error:
            say(f"Error: {error}", err=True)
            failed = True
        else:
            chosen.append((path, named))
    if dry_run:
        failed |= _show(chosen, allow_refused)
    else:
        failed |= _load(settings, chosen, strict=strict, allow_refused=allow_refused, quiet=quiet)
    if failed:
        sys.exit(1)


def _load(
    settings: Settings,
    files: list[tuple[Path, "Reading"]],
    *,
    strict: bool,
    allow_refused: bool,
    quiet: bool,
) -> bool:
    """Returns whether a file or a row was refused."""
    from regime_engine.database import connect, explain
    from regime_engine.prices.load import load_files

    failed = False
    results = []
    with Phases(quiet) as phases, connect(settings) as database:
        for path, outcome in load_files(database, files, strict, phases.begin("loading")):
            phases.end()
            if isinstance(outcome, Exception):
                reason = explain(outcome)
                say(f"Error: {path}: {reason}" if reason else f"Error: {outcome}", err=True)
                failed = True
                continue
            results.append(outcome)
            _print_result(path, outcome, settings)
            unusable = outcome.refused > 0 or bool(outcome.half_adjusted)
            failed |= unusable and (strict or not allow_refused)
    if len(files) > 1:
        say(
            f"{len(results):,} of {len(files):,} files loaded: "
            f"{sum(r.rows for r in results):,} rows, "
            f"{sum(r.inserted for r in results):,} new, {sum(r.updated for r in results):,} "
            f"corrected, {sum(r.unchanged for r in results):,} unchanged, "
            f"{sum(r.refused for r in results):,} refused"
        )
    return failed


def _print_result(path: Path, result: "LoadResult", settings: Settings) -> None:
    if not result.rows:
        say(f"{path.name}: no rows")
        return
    say(
        f"{path.name}: {result.rows:,} rows, {result.inserted:,} new, "
        f"{result.updated:,} corrected, {result.unchanged:,} unchanged, {result.refused:,} refused "
        f"({_understood(result.shape, result.survey, result.good)})"
    )
    if result.ignored_columns:
        ignored = _first(map(repr, result.ignored_columns), FIRST_COLUMNS)
        say(f"{path}: columns not loaded: {ignored}", err=True)
    _print_survey(path, result.survey)
    nothing_landed = "" if result.landed else "; --strict: none of the file's prices landed"
    _print_half_adjusted(path, result, nothing_landed)
    if not result.refused:
        return
    for refusal in result.first_refusals:
        say(f"{path}:{refusal.line_number}: {refusal.reason}", err=True)
    more = result.refused - len(result.first_refusals)
    say(
        f"{path}: {result.refused:,} of {result.rows:,} rows refused"
        + (f", {more:,} more than shown" if more else "")
        + f", kept in {settings.historical_schema}.prices_daily_refused"
        + nothing_landed,
        err=True,
    )


def _understood(shape: str, survey: "Survey", good: int) -> str:
    return f"{shape}; adjusted closes on {survey.adjusted_rows:,} of {good:,} rows"


def _print_survey(path: Path, survey: "Survey") -> None:
    splits = [
        f"{split.instrument_id} {split.trade_date} ({_factor(split.factor)})"
        for split in survey.splits
    ]
    if splits:
        say(f"{path}: splits that are not adjusted, it seems: {_first(splits)}", err=True)
    late, early = survey.cut_short()
    for verb, days in (("begin after the first day", late), ("end before the last day", early)):
        if days:
            named = (f"{name} {day}" for name, day in sorted(days.items(), key=_day_and_name))
            say(f"{path}: {len(days):,} series {verb} of the file: {_first(named)}", err=True)


def _day_and_name(item: tuple[str, date]) -> tuple[date, str]:
    return item[1], item[0]


def _factor(factor: float) -> str:
    return f"{factor:g}:1" if factor > 1 else f"1:{1 / factor:g}"


def _first(texts: Iterable[str], most: int = FIRST_NAMES) -> str:
    texts = list(texts)
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more:,} more" if more > 0 else "")


def _print_half_adjusted(path: Path, result: "LoadResult", nothing_landed: str) -> None:
    for instrument_id, rows_without, all_rows in result.half_adjusted[:FIRST_INSTRUMENTS]:
        say(
            f"{path}: {instrument_id}: {rows_without:,} of {all_rows:,} rows have no adjusted "
            "close and the others have one, so staging refuses those without: load adjusted closes "
            f"for every day of it, or for none{nothing_landed}",
            err=True,
        )
    more = len(result.half_adjusted) - FIRST_INSTRUMENTS
    if more > 0:
        say(f"{path}: so it is with {more:,} more instruments{nothing_landed}", err=True)


def _show(files: list[tuple[Path, "Reading"]], allow_refused: bool) -> bool:
    """Show what a load would read; returns whether a file or a row would be refused."""
    from regime_engine.prices.preview import preview

    failed = False
    for path, reading in files:
        try:
            found = preview(path, reading)
        except RegimeError as error:
            say(f"Error: {error}", err=True)
            failed = True
            continue
        if not found:
            say(f"{path.name}: no rows")
            continue
        good = found.rows - found.refused
        say(f"{path.name}: {found.rows:,} rows, {found.refused:,} would be refused")
        say(f"read as: {_understood(found.shape, found.survey, good)}")
        say(f"columns: {_mapping(found.columns)}")
        if found.ignored:
            say(f"not loaded: {_first(map(repr, found.ignored), FIRST_COLUMNS)}")
        rows = [*found.first.rows(), *found.last.rows()]
        print_rows(found.first.columns, rows, "table")
        _print_survey(path, found.survey)
        for line_number, reason in found.refusals:
            say(f"{path}:{line_number}: {reason}", err=True)
        failed |= found.refused > 0 and not allow_refused
    return failed


def _mapping(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} from {written!r}" for name, written in columns.items())
