from datetime import date

import click

from regime_engine.cli.options import (
    DAY,
    instrument_option,
    model_version_option,
    series_options,
    stretch_options,
)
from regime_engine.cli.output import dates_written, last_regime
from regime_engine.cli.progress import windows_progress
from regime_engine.config import Settings
from regime_engine.series import MAX_STALENESS_DAYS, Series


@click.command()
@series_options
@instrument_option
@model_version_option
@click.option("--as-of", type=DAY, required=True, help="The date to classify.")
@click.option(
    "--max-staleness-days",
    type=click.IntRange(min=0),
    default=MAX_STALENESS_DAYS,
    show_default=True,
    help="Allow the last price to be this many calendar days before --as-of.",
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

    It uses the model version that is valid on the date. If there is none, the label is NEUTRAL with
    confidence 1 (the seed rule). If the date is no trading day, the window ends on the last trading
    day before it, and stderr says so.

    \b
    regime run --region US --as-of 2018-12-31
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify

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
    click.echo(last_regime(outcome))


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
    """Classify one region on every trading day from --start to --end.

    By default it starts on the first day that has a whole window and ends on the last day with a
    price. Rows that are equal to the stored ones stay as they are. If a row differs (a restated
    price, a new model), it replaces the stored row, which is kept in regime_revisions.
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify

    with connect(settings) as database:
        outcome = classify.backfill(
            database,
            Series(region, model_id, window_days),
            start,
            end,
            instrument_id,
            windows_progress(region),
            model_version,
        )
    if start and outcome.first > start:
        click.echo(
            f"no day from {start} on has a price and {window_days} trading days up to it before "
            f"{outcome.first}",
            err=True,
        )
    click.echo(dates_written(outcome))
    click.echo(last_regime(outcome))
