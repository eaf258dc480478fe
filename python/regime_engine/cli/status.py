import click

from regime_engine.cli.options import POSITIVE
from regime_engine.cli.output import say, table
from regime_engine.config import Settings


@click.command()
@click.option(
    "--runs", type=POSITIVE, default=10, show_default=True, help="Number of runs to show."
)
@click.pass_obj
def status(settings: Settings, runs: int) -> None:
    """Show the database, the stored series and the last runs.

    A run is DIED if its process ended without finishing it.
    """
    from regime_engine.database import connect
    from regime_engine.reading import tables

    with connect(settings) as database:
        info = database.connection.info
        version = f"{info.server_version // 10000}.{info.server_version % 10000}"
        place = f"Postgres {version}, database {info.dbname} as {info.user} at {info.host}"
        overview = tables.series_overview(database)
        last = tables.last_runs(database, runs)
    say(f"{place}\n")
    for rows, none in (
        (overview, "No regimes yet: run `regime pipeline`."),
        (last, "No runs yet."),
    ):
        say(table(rows.headers, rows.rows) if rows.rows else none)
        say()
