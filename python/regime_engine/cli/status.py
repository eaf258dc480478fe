import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import POSITIVE
from regime_engine.cli.output import say, table
from regime_engine.config import Settings

if TYPE_CHECKING:
    from regime_engine.database import Database, Rows
    from regime_engine.reading.suspicions import Suspicions

# part → its title, and what is said if it has no rows ("": nothing)
PARTS = {
    "regions": ("Regions", "No regions yet: add one with `regime region add`."),
    "series": ("Stored series", "No regimes yet: run `regime pipeline`."),
    "waiting_notifications": ("Notifications that wait", ""),
    "died_runs": ("Runs that died", ""),
    "runs": ("Last runs", "No runs yet."),
}


@click.command()
@click.option(
    "--runs", type=POSITIVE, default=10, show_default=True, help="Number of runs to show."
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    show_default=True,
    help="Output format; JSON, for a monitor, is one object; prometheus is the text format of "
    "metrics, for the textfile collector of node_exporter.",
)
@click.pass_obj
def status(settings: Settings, runs: int, output_format: str) -> None:
    """Show the database, the regions' prices, the stored series, the notifications that wait and
    the last runs.

    The age of a region's newest price is in days on which its instrument trades, holidays included.
    A run is DIED if its process ended without finishing it. A warning names each series of a region
    whose last regime rests on suspicious prices.
    """
    from regime_engine.database import connect
    from regime_engine.reading import tables

    with connect(settings) as database:
        info = database.connection.info
        place = {
            "postgres": f"{info.server_version // 10000}.{info.server_version % 10000}",
            "database": info.dbname,
            "user": info.user,
            "host": info.host,
        }
        parts = {
            "regions": tables.region_overview(database),
            "series": tables.series_overview(database),
            "waiting_notifications": _waiting(database),
            "died_runs": tables.died_runs(database),
            "runs": tables.last_runs(database, runs),
        }
        suspicious, why_not_known = _suspicions(database, parts)
        if output_format == "prometheus":
            _print_metrics(database, parts, None if why_not_known else suspicious)
            return
    if output_format == "json":
        document: dict[str, object] = place | {
            name: part.records(dict) for name, part in parts.items()
        }
        document["suspicions"] = None if why_not_known else [asdict(each) for each in suspicious]
        click.echo(json.dumps(document, default=str, indent=2))
        return
    say("Postgres {postgres}, database {database} as {user} at {host}".format(**place))
    for name, (title, none) in PARTS.items():
        part = parts[name]
        if part.rows or none:
            say(f"\n{title}:\n{table(part.headers, part.rows)}" if part.rows else f"\n{none}")
    for each in suspicious:
        say(f"\nWarning: {each}")
    if why_not_known:
        say(f"\nSuspicious prices are not known: {why_not_known}")


def _print_metrics(
    database: "Database", parts: dict[str, "Rows"], suspicious: list["Suspicions"] | None
) -> None:
    """What is not known has no metric, and is named on stderr."""
    from regime_engine.errors import RegimeError
    from regime_engine.reading import metrics, verdicts

    try:
        audited = verdicts.history(database)
    except RegimeError as error:
        audited = None
        say(f"no metrics of the audit and of suspicious prices: {error}", err=True)
    found = metrics.metrics(
        database,
        regions=parts["regions"],
        series=parts["series"],
        waiting=parts["waiting_notifications"],
        suspicious=suspicious,
        audited=audited,
    )
    # Bytes: the format is UTF-8 whatever the locale says.
    click.echo(metrics.text(found).encode(), nl=False)


def _waiting(database: "Database") -> "Rows":
    """The notifications that wait. If their tables are missing: none, and a line on stderr."""
    from psycopg import errors

    from regime_engine.database import Rows
    from regime_engine.notify import outbox

    try:
        return outbox.waiting(database)
    except errors.UndefinedTable:
        say("no notifications yet: `regime init` makes their tables", err=True)
        return Rows([], [])


def _suspicions(
    database: "Database", parts: dict[str, "Rows"]
) -> tuple[list["Suspicions"], str | None]:
    """The suspicious prices of the regions' series, or why they are not known."""
    from regime_engine.errors import RegimeError
    from regime_engine.reading.suspicions import suspicions
    from regime_engine.series import Series

    regions = {region for region, *_ in parts["regions"].rows}
    stored = [Series(*row[:3]) for row in parts["series"].rows]
    try:
        return suspicions(database, [each for each in stored if each.region in regions]), None
    except RegimeError as error:
        return [], str(error)
