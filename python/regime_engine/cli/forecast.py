from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import day_option, format_option, series_options
from regime_engine.cli.output import print_rows, say, table
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.series import MAX_HORIZON, Series

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.reading.forecast import Forecast

SCORED_HORIZONS = (1, 5, 21, 63)
SHOWN = {
    "label": "label",
    "probability_today": "today",
    "probability": "then",
    "probability_reached": "reached",
    "probability_reached_or_worse": "reached, or worse",
    "observed_share": "share so far",
}


@click.command()
@series_options
@click.option(
    "--horizon",
    "horizons",
    type=click.IntRange(1, MAX_HORIZON),
    multiple=True,
    help="Trading days ahead; repeatable.  [default: 21; with --score 1, 5, 21 and 63]",
)
@day_option("--as-of", "Use nothing after this date.  [default: use everything]")
@click.option("--score", is_flag=True, help="Score past forecasts, out of sample.")
@click.option(
    "--volatility",
    is_flag=True,
    help="With --score: score only the expected volatility, also as JSON or CSV.",
)
@format_option
@click.pass_obj
def forecast(
    settings: Settings,
    series: Series,
    horizons: tuple[int, ...],
    as_of: date | None,
    score: bool,
    volatility: bool,
    output_format: str,
) -> None:
    """Forecast the label after some trading days, and the labels that may occur until then.

    If the model of the region can tell, the expected volatility of the next 21 trading days is
    shown too.
    """
    if score and as_of:
        raise click.UsageError("--score is about the whole history: leave --as-of out")
    if volatility and not score:
        raise click.UsageError("--volatility belongs to --score; the forecast shows it anyway")
    if volatility and horizons:
        raise click.UsageError("the expected volatility is of 21 days: leave --horizon out")
    from regime_engine.database import connect
    from regime_engine.reading import forecast as reading

    horizons = tuple(dict.fromkeys(horizons))
    with connect(settings) as database:
        if score:
            _print_scores(database, series, horizons or SCORED_HORIZONS, volatility, output_format)
            return
        rows = reading.forecast(database, series, horizons=horizons or (21,), as_of=as_of)
    if output_format != "table":
        print_rows(rows.headers, rows.rows, output_format)
    else:
        _print_by_horizon(series.region, rows.records(reading.Forecast))


def _print_scores(
    database: "Database",
    series: Series,
    horizons: tuple[int, ...],
    only_volatility: bool,
    output_format: str,
) -> None:
    """The scores of the labels' forecasts; in a table for a person, the volatility's below them."""
    from regime_engine.reading import forecast as reading
    from regime_engine.reading import volatility

    if only_volatility:
        rows = volatility.score(database, series)
        print_rows(rows.headers, rows.rows, output_format)
        return
    rows = reading.score(database, series, horizons)
    print_rows(rows.headers, rows.rows, output_format)
    if output_format != "table":
        return
    try:
        below = volatility.score_if_any(database, series)
    except RegimeError as error:
        say(f"The expected volatility is not scored: {error}", err=True)
        return
    if below:
        say("\nExpected volatility of the next 21 trading days:")
        say(table(below.headers, below.rows))


def _print_by_horizon(region: str, forecasts: list["Forecast"]) -> None:
    first = forecasts[0]
    say(f"{region} on {first.as_of_date}: {first.regime_label}")
    expected = first.expected_volatility
    if expected is not None:
        say(f"Expected volatility of the next 21 trading days: {expected:.1%} a year")
    for horizon, group in groupby(forecasts, lambda each: each.horizon):
        labels = list(group)
        days = f"{horizon:,} trading day{'s' if horizon > 1 else ''}"
        change = labels[0].probability_of_change
        say(f"\nIn {days}; the label changes at least once: {change:.3f}")
        cells = [[getattr(each, name) for name in SHOWN] for each in labels]
        say(table([*SHOWN.values()], cells))
