"""Options that several commands share."""

from collections.abc import Callable
from datetime import date, datetime

import click

DEFAULT_MODEL_ID = "num-regime-core-v2"
DEFAULT_WINDOW_DAYS = 63


class Day(click.ParamType):
    """A calendar day, YYYY-MM-DD."""

    name = "date"

    def convert(self, value, parameter, context) -> date:
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()
        except ValueError:
            self.fail(
                f"{value!r} is not a day of the calendar, written YYYY-MM-DD", parameter, context
            )


DAY = Day()


def encoding_options(command: Callable) -> Callable:
    """--model-id and --window-days: how windows become embeddings."""
    for option in (
        click.option(
            "--window-days",
            type=click.IntRange(min=2),
            default=DEFAULT_WINDOW_DAYS,
            show_default=True,
            help="Trading days in a window.",
        ),
        click.option(
            "--model-id", default=DEFAULT_MODEL_ID, show_default=True, help="The encoder."
        ),
    ):
        command = option(command)
    return command


def series_options(command: Callable) -> Callable:
    """--region, --model-id and --window-days: which series a command is about."""
    region = click.option("--region", required=True, help="A region of seeds/regions.csv.")
    return region(encoding_options(command))


def instrument_option(command: Callable) -> Callable:
    return click.option(
        "--instrument-id", help="The instrument to classify.  [default: the one in regions.csv]"
    )(command)


def model_version_option(command: Callable) -> Callable:
    return click.option(
        "--model-version",
        type=click.IntRange(min=1),
        help="Use this version, valid or not; the rows record it.  [default: the valid one]",
    )(command)


def stretch_options(command: Callable) -> Callable:
    """--start and --end, both included."""
    command = click.option("--end", type=DAY, help="Last date.  [default: the last one]")(command)
    return click.option("--start", type=DAY, help="First date.  [default: the first one]")(command)


def format_option(command: Callable) -> Callable:
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="Output format; JSON and CSV have every digit.",
    )(command)
