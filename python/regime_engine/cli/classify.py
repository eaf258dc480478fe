from datetime import date

import click

from regime_engine.cli.options import (
    day_option,
    instrument_option,
    model_version_option,
    quiet_option,
    series_options,
    staleness_option,
    stretch_options,
)
from regime_engine.cli.output import dates_written, last_regime, say
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.series import Series


@click.command()
@series_options
@instrument_option
@model_version_option
@day_option("--as-of", "The date to classify.", required=True)
@staleness_option
@click.pass_obj
def run(
    settings: Settings,
    series: Series,
    instrument_id: str | None,
    model_version: int | None,
    as_of: date,
    max_staleness_days: int,
) -> None:
    """Classify one region on one date, and store the result.

    It uses the model version that is valid on the date. If there is none, the label is NEUTRAL with
    confidence 1 (the seed rule). If the date is not a trading day, the window ends on the last
    trading day before it, and stderr says so.

    \b
    regime run --region US --as-of 2018-12-31
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify

    with connect(settings) as database:
        outcome = classify.run(
            database,
            series,
            as_of,
            instrument_id=instrument_id,
            max_staleness_days=max_staleness_days,
            model_version=model_version,
        )
    if outcome.window_end != as_of:
        say(
            f"{as_of} has no price of {outcome.instrument_id}; the window ends on "
            f"{outcome.window_end}",
            err=True,
        )
    say(last_regime(outcome))


@click.command()
@series_options
@instrument_option
@model_version_option
@stretch_options
@quiet_option
@click.pass_obj
def backfill(
    settings: Settings,
    series: Series,
    instrument_id: str | None,
    model_version: int | None,
    start: date | None,
    end: date | None,
    quiet: bool,
) -> None:
    """Classify one region on every trading day from --start to --end.

    By default it starts on the first day that has a whole window and ends on the last day with a
    price. Rows that are equal to the stored ones stay as they are. If a row differs (a restated
    price, a new model), it replaces the stored row, which is kept in regime_revisions.
    """
    from regime_engine.database import connect
    from regime_engine.engine import classify

    with Phases(quiet) as phases, connect(settings) as database:
        outcome = classify.backfill(
            database,
            series,
            start=start,
            end=end,
            instrument_id=instrument_id,
            progress=phases.begin(f"classifying {series.region}"),
            model_version=model_version,
        )
    if start and outcome.first > start:
        say(
            f"no day from {start} on has a price and {series.window_days} trading days up to it "
            f"before {outcome.first}",
            err=True,
        )
    say(dates_written(outcome))
    say(last_regime(outcome))
