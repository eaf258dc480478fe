"""`regime load` of a large CSV file, against Postgres's own COPY of the same rows.

    .venv/bin/python benchmarks/load.py [--database-url URL] [--rows 5000000]

Both write the same rows into the same empty table, with its key and its indexes. By default the
program starts an embedded server and removes it at the end.
"""

import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl
from scratch import command, describe, forget_environment, scratch_database

from regime_engine.database import Database, connect

LEAST_RATIO, MOST_MEBIBYTES = 0.5, 300
DAYS = 2_500
SPEED = "{:12,.0f} rows/s"


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--rows", default=5_000_000, show_default=True, type=click.IntRange(DAYS))
def main(database_url: str | None, rows: int) -> None:
    """Measure both, and print speeds and memory."""
    forget_environment()
    with tempfile.TemporaryDirectory() as folder, scratch_database(database_url) as settings:
        path = Path(folder, "prices.csv")
        rows = write_prices(path, rows)
        first = Path(folder, "first.csv")
        first.write_text("ticker,date,close\nA,2020-01-02,1.5\n")
        command(settings, "load", str(first))  # makes the table
        click.echo(describe(settings))
        click.echo(f"{rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB of CSV")
        with connect(settings) as database:
            copying = copy(database, path)
            empty(database)
        loading = command(settings, "load", str(path))
    mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    ratio = copying / loading
    click.echo(f"COPY        {SPEED.format(rows / copying)}  {copying:6.1f} s")
    click.echo(f"regime load {SPEED.format(rows / loading)}  {loading:6.1f} s")
    click.echo(f"ratio {ratio:.2f}  > {LEAST_RATIO}")
    click.echo(f"memory {mebibytes:,.0f} MiB  < {MOST_MEBIBYTES} MiB")


def write_prices(path: Path, rows: int) -> int:
    """Instruments one after the other, each with ten years of days; returns how many rows."""
    chance = np.random.default_rng(0)
    days = pl.date_range(pl.date(2010, 1, 1), pl.date(2030, 1, 1), "1d", eager=True)
    days = days.filter(days.dt.weekday() < 6)[:DAYS].alias("trade_date")
    instruments = rows // DAYS
    with path.open("wb") as file:
        for number in range(instruments):
            close = pl.Series(100 * np.exp(np.cumsum(0.01 * chance.standard_normal(DAYS))))
            prices = pl.DataFrame(
                {
                    "instrument_id": pl.repeat(f"I{number:05}.US", DAYS, eager=True),
                    "trade_date": days,
                    "open": close * 0.999,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                    "adjusted_close": close * 0.9,
                    "volume": chance.integers(1, 10**8, DAYS),
                }
            )
            rounded = prices.with_columns(pl.selectors.float().round(4))
            rounded.write_csv(file, include_header=not number)
    return instruments * DAYS


def copy(database: Database, path: Path) -> float:
    """Seconds of COPY."""
    empty(database)
    begin = time.perf_counter()
    with (
        path.open("rb") as file,
        database.connection.cursor() as cursor,
        cursor.copy(
            "copy historical.prices_daily (instrument_id, trade_date, open, high, low, close,"
            " adjusted_close, volume) from stdin (format csv, header)"
        ) as copying,
    ):
        while block := file.read(2**20):
            copying.write(block)
    return time.perf_counter() - begin


def empty(database: Database) -> None:
    database.execute("truncate historical.prices_daily")
    database.execute("checkpoint")


if __name__ == "__main__":
    main()
