import json

import click

from regime_engine.cli.options import table_or_json_option
from regime_engine.cli.output import say
from regime_engine.config import Settings
from regime_engine.errors import RegimeError


@click.command()
@table_or_json_option("for a program, is an object with `seal_number` and `seal`")
@click.pass_obj
def seal(settings: Settings, output_format: str) -> None:
    """Print the newest seal: a hash over all runs that have ended, and over what they wrote.

    Keep the line outside the database. `regime audit --seal FILE` proves later that nothing up to
    this run has changed.
    """
    from regime_engine import seals
    from regime_engine.database import connect

    with connect(settings) as database:
        newest = seals.newest(database)
    if newest is None:
        raise RegimeError("no run has ended yet, so there is no seal: run `regime pipeline`")
    if output_format == "json":
        click.echo(json.dumps(vars(newest), default=str))
    else:
        say(str(newest))
