import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regime_engine.cli.output import say
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.prices.load import LoadResult


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--instrument-id", metavar="ID", help="The instrument, if no column names it.")
@click.option("--strict", is_flag=True, help="If a row is refused, load nothing of its file.")
@click.option("--allow-refused", is_flag=True, help="Exit 0 even if rows were refused.")
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
    """
    import psycopg

    from regime_engine.database import connect, explain
    from regime_engine.prices.load import load_prices

    failed = False
    with connect(settings) as database:
        for path in files:
            try:
                result = load_prices(database, path, instrument_id, strict)
            except (RegimeError, psycopg.Error) as error:
                reason = explain(error)
                say(f"Error: {path}: {reason}" if reason else f"Error: {error}", err=True)
                failed = True
            else:
                _print_result(path, result, settings)
                failed |= result.refused > 0 and (strict or not allow_refused)
    if failed:
        sys.exit(1)


def _print_result(path: Path, result: "LoadResult", settings: Settings) -> None:
    say(
        f"{path.name}: {result.rows:,} rows, {result.inserted:,} new, "
        f"{result.updated:,} corrected, {result.unchanged:,} unchanged, {result.refused:,} refused"
    )
    if result.ignored_columns:
        ignored = ", ".join(map(repr, result.ignored_columns))
        say(f"{path}: columns not loaded: {ignored}", err=True)
    if not result.refused:
        return
    for refusal in result.first_refusals:
        say(f"{path}:{refusal.line_number}: {refusal.reason}", err=True)
    more = result.refused - len(result.first_refusals)
    say(
        f"{path}: {result.refused:,} of {result.rows:,} rows refused"
        + (f", {more:,} more than shown" if more else "")
        + f", kept in {settings.historical_schema}.prices_daily_refused"
        + ("" if result.landed else "; --strict: none of the file's prices landed"),
        err=True,
    )
