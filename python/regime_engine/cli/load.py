import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regime_engine.cli.output import say
from regime_engine.config import Settings

if TYPE_CHECKING:
    from regime_engine.prices.load import LoadResult

FIRST_INSTRUMENTS = 20


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--instrument-id", metavar="ID", help="The instrument, if no column names it.")
@click.option("--strict", is_flag=True, help="If a row cannot be used, load nothing of its file.")
@click.option("--allow-refused", is_flag=True, help="Exit 0 even if rows cannot be used.")
@click.pass_obj
def load(
    settings: Settings,
    files: tuple[Path, ...],
    instrument_id: str | None,
    strict: bool,
    allow_refused: bool,
) -> None:
    """Load prices from CSV or Parquet files (also gzipped) into prices_daily.

    Columns are found by name. Each file needs trade_date (or Date) and close. It may have
    instrument_id (or Ticker, Symbol), open, high, low, adjusted_close (or Adj Close), volume,
    currency and metadata. If you load a file again, nothing changes; if you load a corrected file,
    its rows are updated. A bad row is refused: stderr shows its line and the reason, and the row is
    kept in prices_daily_refused. The good rows of the file are loaded, and the exit code is 1.

    Two rows of one instrument and day with different values are both refused, also if they are in
    two files of the command. An instrument has adjusted closes on all its days or on none: stderr
    names one that has them on some days only, and the exit code is 1.
    """
    from regime_engine.database import connect, explain
    from regime_engine.prices.load import load_files

    failed = False
    with connect(settings) as database:
        for path, outcome in load_files(database, files, instrument_id, strict):
            if isinstance(outcome, Exception):
                reason = explain(outcome)
                say(f"Error: {path}: {reason}" if reason else f"Error: {outcome}", err=True)
                failed = True
                continue
            _print_result(path, outcome, settings)
            unusable = outcome.refused > 0 or bool(outcome.half_adjusted)
            failed |= unusable and (strict or not allow_refused)
    if failed:
        sys.exit(1)


def _print_result(path: Path, result: "LoadResult", settings: Settings) -> None:
    if not result.rows:
        say(f"{path.name}: no rows")
        return
    say(
        f"{path.name}: {result.rows:,} rows, {result.inserted:,} new, "
        f"{result.updated:,} corrected, {result.unchanged:,} unchanged, {result.refused:,} refused"
    )
    if result.ignored_columns:
        ignored = ", ".join(map(repr, result.ignored_columns))
        say(f"{path}: columns not loaded: {ignored}", err=True)
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
