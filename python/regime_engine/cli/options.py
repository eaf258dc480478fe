"""Options that several commands share."""

from collections.abc import Callable
from datetime import date, datetime
from functools import wraps
from typing import Any, TypeAlias

import click

from regime_engine.series import MAX_STALENESS_DAYS, Series

DEFAULT_MODEL_ID = "num-regime-core-v3"
DEFAULT_WINDOW_DAYS = 63

Command: TypeAlias = Callable[..., None]

POSITIVE = click.IntRange(min=1)


def day(text: str) -> date:
    """A calendar day, YYYY-MM-DD: the type of an option."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a day of the calendar, written YYYY-MM-DD"
        ) from None


def day_option(name: str, text: str, required: bool = False) -> Callable[[Command], Command]:
    return click.option(name, type=day, metavar="DATE", required=required, help=text)


def encoding_options(command: Command) -> Command:
    """--model-id and --window-days: how windows become embeddings."""
    command = click.option(
        "--window-days",
        type=click.IntRange(min=2),
        default=DEFAULT_WINDOW_DAYS,
        show_default=True,
        help="Trading days in a window.",
    )(command)
    return click.option(
        "--model-id", default=DEFAULT_MODEL_ID, show_default=True, help="The encoder."
    )(command)


def series_options(command: Command) -> Command:
    """--region, --model-id and --window-days, given to the command as one `series`."""

    @wraps(command)
    def with_series(region: str, model_id: str, window_days: int, **options: Any) -> None:
        command(series=Series(region, model_id, window_days), **options)

    region_option = click.option(
        "--region", required=True, help="A region; `regime region list` shows them."
    )
    return region_option(encoding_options(with_series))


regions_option = click.option(
    "--region", "regions", multiple=True, help="Only this region; repeatable.  [default: all]"
)

instrument_option = click.option(
    "--instrument-id", help="The instrument to classify.  [default: that of the region]"
)

model_version_option = click.option(
    "--model-version",
    type=POSITIVE,
    help="Use this version, valid or not; the rows record it.  [default: the valid one]",
)

staleness_option = click.option(
    "--max-staleness-days",
    type=click.IntRange(min=0),
    default=MAX_STALENESS_DAYS,
    show_default=True,
    help="Allow the last price to be this many calendar days before --as-of.",
)

quiet_option = click.option("--quiet", is_flag=True, help="Show no progress on stderr.")

format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Output format; JSON and CSV have every digit.",
)


def table_or_json_option(json: str) -> Callable[[Command], Command]:
    """--format of a command that prints several tables. json: what its JSON is, for the help"""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=f"Output format; JSON, {json}.",
    )


def period(unit: str, longest: int) -> Callable[[str], int]:
    """The type of an option: a number with its unit, such as 6m or 8y."""

    def convert(text: str) -> int:
        number = text.removesuffix(unit)
        if not number.isdecimal() or not 1 <= int(number) <= longest:
            raise click.BadParameter(f"{text!r} is not a period from 1{unit} to {longest}{unit}")
        return int(number)

    return convert


def training(text: str) -> int | str:
    """`all`, or a number of years: the type of an option."""
    return text if text == "all" else period("y", longest=100)(text)


def train_years(train: int | str | None) -> int | None:
    """What --train says as a number of years; None: all the past"""
    return train if isinstance(train, int) else None


train_option = click.option(
    "--train",
    type=training,
    metavar="all|Ny",
    help="Train each version on all the days before it, or on at most so many years. Without "
    "--start, the first version has at least three years.  [default: all]",
)


def stretch_options(command: Command) -> Command:
    """--start and --end, both included."""
    command = day_option("--end", "Last date.  [default: the last one]")(command)
    return day_option("--start", "First date.  [default: the first one]")(command)
