from typing import Any

import click

from regime_engine.cli.options import (
    POSITIVE,
    Command,
    format_option,
    series_options,
    stretch_options,
)
from regime_engine.cli.output import print_rows
from regime_engine.config import Settings


def rows_options(command: Command) -> Command:
    """The options of a command that shows the rows of one series from --start to --end."""
    limit = click.option("--limit", type=POSITIVE, help="Only the newest N rows.  [default: all]")
    return series_options(stretch_options(limit(format_option(command))))


@click.command()
@rows_options
@click.pass_obj
def history(settings: Settings, output_format: str, **which: Any) -> None:
    """Show the regimes of a region, oldest first.

    \b
    regime history --region US --start 2008-09-15 --end 2008-10-15
    """
    from regime_engine.database import connect
    from regime_engine.reading import tables

    with connect(settings) as database:
        rows = tables.history(database, **which)
    print_rows(rows.headers, rows.rows, output_format)


@click.command()
@rows_options
@click.pass_obj
def transitions(settings: Settings, output_format: str, **which: Any) -> None:
    """Show the days on which the label of a region changed, oldest first.

    \b
    regime transitions --region US --limit 10
    """
    from regime_engine.database import connect
    from regime_engine.reading import tables

    with connect(settings) as database:
        rows = tables.transitions(database, **which)
    print_rows(rows.headers, rows.rows, output_format)
