from datetime import date

import click

from regime_engine.cli.options import (
    DAY,
    instrument_option,
    model_version_option,
    series_options,
    stretch_options,
)
from regime_engine.config import Settings


@click.command()
@series_options
@instrument_option
@model_version_option
@click.option("--as-of", type=DAY, required=True, help="The date to classify.")
@click.option(
    "--max-staleness-days",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="How many calendar days before --as-of the last price may lie.",
)
@click.pass_obj
def run(
    settings: Settings,
    region: str,
    model_id: str,
    window_days: int,
    instrument_id: str | None,
    model_version: int | None,
    as_of: date,
    max_staleness_days: int,
) -> None:
    """Classify one region on one date, and store the result.

    By the model version that is valid on the date; without one it is NEUTRAL with confidence 1
    (the seed rule). On a day without trading the window ends on the last trading day before it,
    and stderr says so.

    \b
    regime run --region US --as-of 2018-12-31
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify
    from regime_engine.series import Series

    with connect(settings) as database:
        outcome = classify.run(
            database,
            Series(region, model_id, window_days),
            as_of,
            instrument_id,
            max_staleness_days,
            model_version,
        )
    if outcome.window_end != as_of:
        click.echo(
            f"{as_of} has no price of {outcome.instrument_id}; the window ends on "
            f"{outcome.window_end}",
            err=True,
        )
    click.echo(summary(outcome))


@click.command()
@series_options
@instrument_option
@model_version_option
@stretch_options
@click.pass_obj
def backfill(
    settings: Settings,
    region: str,
    model_id: str,
    window_days: int,
    instrument_id: str | None,
    model_version: int | None,
    start: date | None,
    end: date | None,
) -> None:
    """Classify one region on every trading day of a stretch.

    By default from the first day that has a whole window to the last priced day. Rows that are
    equal to what is stored are left alone; a row that differs (a restated price, a new model)
    replaces the old one, which is kept in regime_revisions.
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify
    from regime_engine.series import Series

    with connect(settings) as database:
        outcome = classify.backfill(
            database,
            Series(region, model_id, window_days),
            start,
            end,
            instrument_id,
            progress_bar(region),
            model_version,
        )
    if start and outcome.first > start:
        click.echo(
            f"no day from {start} on has a price and {window_days} trading days up to it before "
            f"{outcome.first}",
            err=True,
        )
    click.echo(
        f"{outcome.n_windows:,} dates from {outcome.first} to {outcome.last}: {changes(outcome)}"
    )
    click.echo(summary(outcome))


def summary(outcome) -> str:
    return (
        f"Regime as of {outcome.last} for region {outcome.series.region}: "
        f"label={outcome.label}, confidence={outcome.confidence:.3f}"
    )


def changes(outcome) -> str:
    counts = [f"{count:,} in {table}" for table, count in outcome.written.items() if count]
    return "rows written: " + ", ".join(counts) if counts else "nothing to change"


def progress_bar(region: str):
    """A progress callback that draws a bar where stderr is a terminal, and is silent elsewhere."""
    stream = click.get_text_stream("stderr")
    if not stream.isatty():
        return lambda done, total: None

    def draw(done: int, total: int) -> None:
        filled = 30 * done // total
        end = "\n" if done >= total else ""
        stream.write(f"\r{region} [{'#' * filled}{'.' * (30 - filled)}] {done:,}/{total:,}{end}")
        stream.flush()

    return draw
