from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import format_option
from regime_engine.cli.output import print_rows, say
from regime_engine.config import Settings

if TYPE_CHECKING:
    from regime_engine.seeds import Region


@click.group()
def region() -> None:
    """Add, list and remove regions.

    A region is the name under which an instrument is labelled. A new database starts with the
    regions of the file seeds/regions.csv. For each region the newest command counts, whatever the
    file says. The view runtime.current_regions shows the result, and who changed what; regime_runs
    keeps every change.
    """


@region.command()
@click.argument("name", metavar="NAME")
@click.option("--instrument-id", required=True, help="The instrument that stands for the region.")
@click.option(
    "--weight",
    type=float,
    help="How much the region counts in GLOBAL; 0 leaves it out.  [default: as before, or 1]",
)
@click.option(
    "--description", help="What the instrument is, for a reader.  [default: as before, or none]"
)
@click.option(
    "--replace", is_flag=True, help="Let another instrument stand for an existing region."
)
@click.pass_obj
def add(
    settings: Settings,
    name: str,
    instrument_id: str,
    weight: float | None,
    description: str | None,
    replace: bool,
) -> None:
    """Add a region, or change its weight or description.

    The prices of the instrument may come later. `regime pipeline` then labels the region.

    \b
    regime region add APPLE --instrument-id AAPL.US --description Apple
    """
    from regime_engine.database import connect
    from regime_engine.engine import regions

    with connect(settings) as database:
        change = regions.add(
            database,
            name,
            instrument_id,
            weight=weight,
            description=description,
            replace=replace,
        )
    assert change.after is not None
    done = "added" if change.before is None else "changed"
    say(f"{'unchanged' if change.before == change.after else done}: {_line(change.after)}")
    for note in change.notes:
        say(f"note: {note}", err=True)


@region.command(name="list")
@format_option
@click.pass_obj
def list_(settings: Settings, output_format: str) -> None:
    """List the regions, and who changed each of them when."""
    from regime_engine.database import connect
    from regime_engine.reading import tables

    with connect(settings) as database:
        rows = tables.regions(database)
    print_rows(rows.headers, rows.rows, output_format)


@region.command()
@click.argument("name", metavar="NAME")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove a region. What is stored of it stays; `regime forget` removes that.

    \b
    regime region remove US_TECH
    """
    from regime_engine.database import connect
    from regime_engine.engine import regions

    with connect(settings) as database:
        change = regions.remove(database, name)
    assert change.before is not None
    say(f"removed: {_line(change.before)}")
    for note in change.notes:
        say(f"note: {note}", err=True)


def _line(region: "Region") -> str:
    weight = "" if region.weight is None else f", weight {region.weight:g}"
    description = f" ({region.description})" if region.description else ""
    return f"{region.region} is {region.instrument_id}{description}{weight}"
