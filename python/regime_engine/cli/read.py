from datetime import date

import click

from regime_engine.cli.options import format_option, series_options, stretch_options
from regime_engine.cli.output import print_rows
from regime_engine.config import Settings


def _reader(command):
    """Options of a command that shows rows of one series."""
    for option in (
        format_option,
        click.option(
            "--limit", type=click.IntRange(min=1), help="Only the newest N rows.  [default: all]"
        ),
        stretch_options,
        series_options,
    ):
        command = option(command)
    return command


@click.command()
@_reader
@click.pass_obj
def history(settings: Settings, output_format: str, **which) -> None:
    """Show the regimes of a region, oldest first.

    \b
    regime history --region US --start 2008-09-15 --end 2008-10-15
    """
    from regime_engine.reading import tables

    _show(settings, tables.history, which, output_format)


@click.command()
@_reader
@click.pass_obj
def transitions(settings: Settings, output_format: str, **which) -> None:
    """Show the days on which the label of a region changed, oldest first.

    \b
    regime transitions --region US --limit 10
    """
    from regime_engine.reading import tables

    _show(settings, tables.transitions, which, output_format)


def _show(settings: Settings, read, which: dict, output_format: str) -> None:
    from regime_engine.database import connect
    from regime_engine.series import Series

    series = Series(which.pop("region"), which.pop("model_id"), which.pop("window_days"))
    start: date | None = which["start"]
    end: date | None = which["end"]
    with connect(settings) as database:
        rows = read(database, series, start=start, end=end, limit=which["limit"])
    print_rows(rows.headers, rows.rows, output_format)
