import re
from datetime import date
from functools import partial

import click

from regime_engine.cli.options import DAY, encoding_options, stretch_options
from regime_engine.cli.output import rows_written
from regime_engine.cli.progress import instruments_progress
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.series import MAX_STALENESS_DAYS


class Shard(click.ParamType):
    """i/n, the i-th of n parts."""

    name = "i/n"

    def convert(self, value, parameter, context) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", value)
        i, n = map(int, match.groups()) if match else (0, 0)
        if not 1 <= i <= n:
            self.fail(f"{value!r} is not i/n with 1 ≤ i ≤ n, such as 1/4", parameter, context)
        return i, n


@click.command()
@click.option("--instrument-id", "instrument_ids", multiple=True, help="An instrument; repeatable.")
@click.option("--all", "is_all", is_flag=True, help="Every instrument that has prices.")
@encoding_options
@click.option("--as-of", type=DAY, help="Only the window that ends on this date.")
@stretch_options
@click.option(
    "--max-staleness-days",
    type=click.IntRange(min=0),
    default=MAX_STALENESS_DAYS,
    show_default=True,
    help="With --as-of: allow the last price to be this many calendar days older.",
)
@click.option(
    "--classify", is_flag=True, help="Also classify each instrument, as a region of its own."
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Encode every window and compare whole rows, not only their hashes.",
)
@click.option("--shard", type=Shard(), default="1/1", help="Only part I of N of the instruments.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes on this machine.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--allow-failures", is_flag=True, help="Exit 0 even if an instrument could not be embedded."
)
@click.pass_obj
def embed(
    settings: Settings,
    instrument_ids: tuple[str, ...],
    is_all: bool,
    model_id: str,
    window_days: int,
    as_of: date | None,
    start: date | None,
    end: date | None,
    max_staleness_days: int,
    classify: bool,
    recompute: bool,
    shard: tuple[int, int],
    workers: int,
    scheduler: str | None,
    allow_failures: bool,
) -> None:
    """Embed the windows of many instruments.

    By default it embeds every trading day that has a whole window. It skips windows that are stored
    with the hash of today's features, so a killed run continues where it stopped. If an instrument
    cannot be embedded, the others continue: stderr names it, regime_runs.failures keeps the reason,
    and the exit code is 1.

    \b
    regime embed --all --start 2018-12-31
    """
    if is_all == bool(instrument_ids):
        raise click.UsageError("give either --all or --instrument-id")
    if as_of and (start or end):
        raise click.UsageError("give either --as-of or --start and --end")
    if start and end and start > end:
        raise click.UsageError(f"--start {start} is after --end {end}")
    if scheduler and workers > 1:
        raise click.UsageError("give either --workers or --scheduler")

    from regime_engine.database import connect
    from regime_engine.engine import market
    from regime_engine.windows import Stretch

    stretch = Stretch(window_days, start, end)
    if as_of:
        stretch = Stretch(window_days, as_of, as_of, max_staleness_days)
    request = market.Request(model_id, stretch, recompute, classify)
    with connect(settings) as database:
        run_all = partial(market.embed_instruments, settings, request)
        if scheduler:
            from regime_engine.engine.workers import dask

            run_all = partial(dask, database, request, scheduler)
        elif workers > 1:
            from regime_engine.engine.workers import processes

            run_all = partial(processes, settings, request, workers)
        tally = market.embed(
            database,
            request,
            list(dict.fromkeys(instrument_ids)) or None,
            shard,
            run_all,
            instruments_progress(),
        )
    for instrument_id, reason in tally.failures.items():
        click.echo(f"{instrument_id}: {reason}", err=True)
    click.echo(
        f"{tally.instruments:,} instruments, {tally.windows:,} windows; "
        f"{rows_written(tally.written)}"
    )
    if tally.failures and not allow_failures:
        raise RegimeError(
            f"{len(tally.failures):,} of {tally.instruments:,} instruments could not be embedded; "
            "the reasons are above and in regime_runs.failures (accept: --allow-failures)"
        )
