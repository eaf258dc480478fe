"""How fast stored regimes are read, and how good the forecasts have been, year by year.

    .venv/bin/python benchmarks/reading.py [--database-url URL] [--repeats 9]

It measures on the demo's database. Each call is a process of its own. By default the program starts
an embedded server and removes it at the end.
"""

import statistics

import click
import numpy as np
from scratch import command, describe, forget_environment, scratch_database

from regime_engine.cli.forecast import SCORED_HORIZONS
from regime_engine.cli.options import DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS
from regime_engine.config import Settings
from regime_engine.database import connect
from regime_engine.reading import forecast
from regime_engine.series import Series

CALLS = {  # and the seconds that each may take
    "matrix": 0.5,
    "forecast": 0.5,
    "forecast --score": 0.5,
    "explain": 0.5,
    "explain --as-of 2008-10-10": 0.5,
    "analogues": 0.7,
    "score": 2,
}
REGIONS = ("US", "US_TECH")
RIVALS = ("base_rate", "no_change")


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--repeats", default=9, show_default=True, type=click.IntRange(1))
def main(database_url: str | None, repeats: int) -> None:
    """Measure on the demo, and print two tables."""
    forget_environment()
    with scratch_database(database_url) as settings:
        command(settings, "demo")
        click.echo(describe(settings))
        click.echo(f"{f'cold process, median of {repeats}':40}  aim")
        for call, aim in CALLS.items():
            name, *options = call.split()
            times = [command(settings, name, "--region", "US", *options) for _ in range(repeats)]
            click.echo(f"regime {call:28}{statistics.median(times):.3f}  < {aim} s")
        click.echo(f"{'regime audit, once':35}{command(settings, 'audit'):.3f}  < 20 s")
        click.echo("\ngain of log score, its standard error over years, and years with a gain")
        click.echo(f"{'':8}{'days':>4}" + "".join(f"{f'over {rival}':>28}" for rival in RIVALS))
        for region in REGIONS:
            for horizon in SCORED_HORIZONS:
                gains = gains_by_year(settings, region, horizon)
                cells = "".join(f"{told(gains[rival]):>28}" for rival in RIVALS)
                click.echo(f"{region:8}{horizon:4}{cells}")


def gains_by_year(settings: Settings, region: str, horizon: int) -> dict[str, np.ndarray]:
    """rival → (years,) mean log score of the forecasts minus that of the rival"""
    series = Series(region, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS)
    with connect(settings) as database:
        history = forecast.history(database, series)
    years = history.days.astype("datetime64[Y]")
    first_scored = forecast.SCORED_FROM
    by_year = []
    for year in np.unique(years[first_scored : len(years) - horizon]):
        first, after = np.searchsorted(years, [year, year + 1])
        known = slice(0, after + horizon)
        (scores,) = forecast.scores(
            history.labels[known],
            history.probabilities[known],
            [horizon],
            max(first, first_scored),
        ).values()
        by_year.append([scores["log_score"] - scores[f"{rival}_log_score"] for rival in RIVALS])
    return dict(zip(RIVALS, np.array(by_year).T, strict=True))


def told(gains: np.ndarray) -> str:
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return f"{gains.mean():.3f} ± {error:.3f}, {(gains > 0).sum()} of {len(gains)}"


if __name__ == "__main__":
    main()
