import sys

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
    from regime_engine import demo, phases, prices, reading
    from regime_engine.database import connect
    from regime_engine.models import Series

    with connect(settings) as connection:
        info = connection.info
        click.echo(f"1. Postgres {info.server_version // 10000}, database {info.dbname} at {info.host}")
        for path in demo.PRICE_FILES:
            loaded = prices.load(connection, settings, path)
            click.echo(f"2. {path.name}: {loaded.rows:,} prices, {loaded.inserted:,} of them new")
        phases.build_features(settings, connection)
        click.echo("3. dbt built staging, daily_features and the engine's tables")
        outcomes, errors = phases.classify_regions(
            settings, connection, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS, progress_bar, demo.REGIONS
        )
        for error in errors.values():
            raise error
        for outcome in outcomes:
            click.echo(
                f"4. {outcome.series.region}: {outcome.n_windows:,} dates classified; {changes(outcome)}"
            )
        click.echo("5. ", nl=False)
        passed = report(*phases.audit(settings, connection))
        click.echo()
        for outcome in outcomes:
            click.echo(summary(outcome))
        for region in demo.REGIONS:
            series = Series(region, DEFAULT_MODEL_ID, DEFAULT_WINDOW_DAYS)
            last = reading.transitions(connection, settings, series, limit=5)
            click.echo(f"\nLast transitions of {region}:")
            click.echo(table(last.headers, last.rows) if last.rows else "none")
    click.echo("\nNext: regime history --region US --limit 10 · regime status · regime db psql")
    if not passed:
        sys.exit(1)
