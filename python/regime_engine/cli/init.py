import click

from regime_engine.config import Settings


@click.command()
@click.pass_obj
def init(settings: Settings) -> None:
    """Create or upgrade schemas, engine tables and seeds; no row of the engine is touched."""
    from regime_engine import phases
    from regime_engine.database import connect

    with connect(settings) as connection:
        phases.initialise(settings, connection)
        click.echo(f"engine tables and seeds are ready in database {connection.info.dbname}")
