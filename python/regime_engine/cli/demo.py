import os
import shutil
import sys
from pathlib import Path

import click

from regime_engine.cli.audit import report
from regime_engine.cli.classify import changes, progress_bar, summary
from regime_engine.cli.options import DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS
from regime_engine.cli.output import table
from regime_engine.config import Settings


@click.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """All of it on the bundled prices of two indexes, 1999 to 2018."""
    from regime_engine import demo, engine, phases, prices, reading
    from regime_engine.database import connect
    from regime_engine.models import Series

    series = [Series(region, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS) for region in demo.REGIONS]
    with connect(settings) as connection:
        info = connection.info
        click.echo(
            f"Postgres {info.server_version // 10000}: database {info.dbname} at {info.host}"
        )
        for path in demo.PRICE_FILES:
            loaded = prices.load(connection, settings, path)
            click.echo(f"Prices: {path.name}, {loaded.rows:,} rows, {loaded.inserted:,} new")
        phases.build_features(settings, connection)
        click.echo("dbt: staging, daily_features and the engine's tables are built and tested")
        for one in series:
            model = engine.fit_prototypes(connection, settings, one, list(demo.LABELLED))
            click.echo(
                f"Model: {one.region} version {model.version}, {' and '.join(model.labels)} of "
                f"{model.trained_from} to {model.trained_to}, valid from {model.valid_from}"
            )
        outcomes, errors = phases.classify_regions(
            settings, connection, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS, progress_bar, demo.REGIONS
        )
        for error in errors.values():
            raise error
        for outcome in outcomes:
            click.echo(
                f"Regimes: {outcome.series.region}, {outcome.n_windows:,} dates from "
                f"{outcome.first} to {outcome.last}; {changes(outcome)}"
            )
        passed = report(*phases.audit(settings, connection))
        for outcome in outcomes:
            last = reading.transitions(connection, settings, outcome.series, limit=5)
            click.echo(f"\n{summary(outcome)}\nIts last transitions:\n")
            click.echo(table(last.headers, last.rows))
    click.echo("\nNext:")
    for arguments in (
        "history --region US --start 2011-08-15 --end 2011-08-31",
        "run --region US --as-of 2008-10-10",
        "status",
        "db psql",
    ):
        click.echo(f"  {_program()} {arguments}")
    if not passed:
        sys.exit(1)


def _program() -> str:
    """What to type for this command: it need not be in the PATH."""
    if shutil.which("regime"):
        return "regime"
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m regime_engine"
    return os.path.relpath(program)
