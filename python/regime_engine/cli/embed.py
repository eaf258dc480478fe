import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import (
    POSITIVE,
    day_option,
    encoding_options,
    quiet_option,
    staleness_option,
    stretch_options,
)
from regime_engine.cli.output import rows_written, say
from regime_engine.cli.progress import instruments_progress, said_if_slow
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.engine.market import Request, Tally
    from regime_engine.runs import Run


def shard(text: str) -> tuple[int, int]:
    """i/n, the i-th of n parts: the type of an option."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n:
        raise click.BadParameter(f"{text!r} is not i/n with 1 ≤ i ≤ n, such as 1/4")
    return i, n


@click.command()
@click.option("--instrument-id", "instrument_ids", multiple=True, help="An instrument; repeatable.")
@click.option("--all", "is_all", is_flag=True, help="Every instrument that has prices.")
@encoding_options
@day_option("--as-of", "Only the window that ends on this date.")
@stretch_options
@staleness_option
@click.option(
    "--classify", is_flag=True, help="Also classify each instrument, as a region of its own."
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Encode every window and compare whole rows, not only their hashes.",
)
@click.option(
    "--shard", type=shard, metavar="I/N", default="1/1", help="Only part I of N of the instruments."
)
@click.option(
    "--workers",
    type=POSITIVE,
    default=1,
    show_default=True,
    help="Processes on this machine.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--allow-failures", is_flag=True, help="Exit 0 even if an instrument could not be embedded."
)
@quiet_option
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
    quiet: bool,
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
        tally = market.embed(
            database,
            request,
            instrument_ids=list(dict.fromkeys(instrument_ids)) or None,
            shard=shard,
            run_all=_runner(database, request, workers, scheduler),
            progress=instruments_progress(quiet),
        )
    for instrument_id, reason in tally.failures.items():
        say(f"{instrument_id}: {reason}", err=True)
    say(
        f"{tally.instruments:,} instruments, {tally.windows:,} windows; "
        f"{rows_written(tally.written)}"
    )
    if tally.failures and not allow_failures:
        raise RegimeError(
            f"{len(tally.failures):,} of {tally.instruments:,} instruments could not be embedded; "
            "the reasons are above and in regime_runs.failures (accept: --allow-failures)"
        )


def _runner(
    database: "Database", request: "Request", workers: int, scheduler: str | None
) -> Callable[["Run", list[str]], Iterable["Tally"]]:
    """What embeds the instruments: Dask's workers, processes of this machine, or this process."""
    from regime_engine.engine import market

    if not scheduler and workers == 1:
        return partial(market.embed_instruments, database.settings, request)
    from regime_engine.engine.workers import dask, processes

    if scheduler:
        waiting = f"embed: waiting for the workers of the Dask scheduler at {scheduler} …"
        return lambda run, ids: said_if_slow(waiting, dask(database, request, scheduler, run, ids))
    return partial(processes, database.settings, request, workers)
