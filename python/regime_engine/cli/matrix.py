from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import format_option, series_options
from regime_engine.cli.output import print_rows, say, table
from regime_engine.config import Settings
from regime_engine.series import Series

if TYPE_CHECKING:
    from regime_engine.reading.matrix import Cell

CELLS = {
    "transitions": "Transitions, from the row's label to the column's on the next day:",
    "probability": "Daily probabilities:",
    "smoothed_probability": "Smoothed:",
}
OF_A_LABEL = ("expected_duration", "stationary_share", "observed_share")


@click.command()
@series_options
@click.option("--shrink", is_flag=True, help="Also show smoothed probabilities, for rare labels.")
@format_option
@click.pass_obj
def matrix(settings: Settings, series: Series, shrink: bool, output_format: str) -> None:
    """Show how often one label follows another (or itself), and how long labels last."""
    from regime_engine.database import connect
    from regime_engine.reading.matrix import Cell, matrix

    with connect(settings) as database:
        rows = matrix(database, series, shrink)
    if output_format == "table":
        quantities = [name for name in CELLS if name in rows.headers]
        _print_squares(rows.records(Cell), quantities)
    else:
        print_rows(rows.headers, rows.rows, output_format)


def _print_squares(cells: list["Cell"], quantities: list[str]) -> None:
    """A table of the labels by the labels for each quantity of CELLS, then one row a label."""
    pairs = {(cell.from_label, cell.to_label): cell for cell in cells}
    labels = list(dict.fromkeys(cell.from_label for cell in cells))
    for name in quantities:
        say(CELLS[name])
        rows = [[one, *(getattr(pairs[one, other], name) for other in labels)] for one in labels]
        say(table(["", *labels], rows, digits=4))
        say()
    of_labels = [[one, *(getattr(pairs[one, one], name) for name in OF_A_LABEL)] for one in labels]
    say("Days that a label lasts, and its share of days in the long run and so far:")
    say(table(["", *OF_A_LABEL], of_labels))
