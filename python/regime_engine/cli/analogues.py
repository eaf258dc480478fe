from datetime import date

import click

from regime_engine.cli.options import POSITIVE, day_option, format_option, series_options
from regime_engine.cli.output import print_rows, say
from regime_engine.config import Settings
from regime_engine.series import Series


@click.command()
@series_options
@day_option("--as-of", "The date whose window is compared.  [default: the last embedded one]")
@click.option(
    "-n", "--number", type=POSITIVE, default=10, show_default=True, help="Number of results."
)
@click.option(
    "--across",
    "scope",
    type=click.Choice(["region", "regions", "market"]),
    default="region",
    show_default=True,
    help="Search this region, all regions, or every embedded instrument.",
)
@format_option
@click.pass_obj
def analogues(
    settings: Settings,
    series: Series,
    as_of: date | None,
    number: int,
    scope: str,
    output_format: str,
) -> None:
    """Find the past windows that are most like that of one date, and the returns after them."""
    from regime_engine.database import connect
    from regime_engine.reading.analogues import analogues

    with connect(settings) as database:
        found = analogues(database, series, as_of=as_of, n=number, scope=scope)
    if len(found.rows) < number:
        say(
            f"{len(found.rows)} of {number} analogues: there are no more windows that end before "
            "the asked one begins and share no day with each other",
            err=True,
        )
    print_rows(found.headers, found.rows, output_format)
