import sys
from pathlib import Path

import click

from regime_engine.config import Settings
from regime_engine.errors import RegimeError


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--instrument-id", metavar="ID", help="Whose prices these are, if no column says so.")
@click.option("--strict", is_flag=True, help="Land nothing of a file with a refused row.")
@click.option("--allow-refused", is_flag=True, help="Exit 0 even if rows were refused.")
@click.pass_obj
def load(
    settings: Settings,
    files: tuple[Path, ...],
    instrument_id: str | None,
    strict: bool,
    allow_refused: bool,
) -> None:
    """CSV or Parquet prices (gzipped too) into prices_daily.

    Columns go by name: trade_date (or Date), close, and what there is of instrument_id (or
    Ticker, Symbol), open, high, low, adjusted_close (or Adj Close), volume, currency, metadata.
    A reload changes nothing, a corrected file updates. Refused rows are named, and kept in
    prices_daily_refused; the good rows of the same file land.
    """
    from regime_engine import prices
    from regime_engine.database import connect

    failed = False
    with connect(settings) as connection:
        for path in files:
            try:
                result = prices.load(connection, settings, path, instrument_id, strict)
            except RegimeError as error:
                click.echo(f"Error: {error}", err=True)
                failed = True
            else:
                _print(result, path, settings)
                failed |= bool(result.refused) and (strict or not allow_refused)
    if failed:
        sys.exit(1)


def _print(result, path: Path, settings: Settings) -> None:
    click.echo(
        f"{path.name}: {result.rows:,} rows, {result.inserted:,} new, "
        f"{result.updated:,} corrected, {result.unchanged:,} unchanged, {result.refused:,} refused"
    )
    if result.ignored_columns:
        click.echo(f"{path}: columns not loaded: {', '.join(result.ignored_columns)}", err=True)
    for refusal in result.first_refusals:
        click.echo(f"{path}:{refusal.line_number}: {refusal.reason}", err=True)
