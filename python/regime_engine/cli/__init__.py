"""The `regime` command: one file a command group, imported when the command is called."""

import importlib
import keyword
import sys

import click

from regime_engine import __version__
from regime_engine.cli.output import say
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

# command → the file in this package that holds it
COMMANDS = {
    "analogues": "analogues",
    "audit": "audit",
    "backfill": "classify",
    "db": "db",
    "demo": "demo",
    "embed": "embed",
    "explain": "explain",
    "fit": "fit",
    "forecast": "forecast",
    "global": "global_series",
    "history": "read",
    "index": "index",
    "init": "init",
    "load": "load",
    "matrix": "matrix",
    "models": "models",
    "pipeline": "pipeline",
    "report": "report",
    "run": "classify",
    "status": "status",
    "transitions": "read",
}


class LazyGroup(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"regime_engine.cli.{COMMANDS[name]}")
        return getattr(module, f"{name}_" if keyword.iskeyword(name) else name)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, arguments)
        except click.NoSuchCommand as error:
            # click suggests only commands that are imported already.
            raise click.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=context
            ) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--database-url",
    metavar="URL",
    help="Postgres URL or conninfo, or the word 'embedded'. Default: REGIME_DATABASE_URL, then "
    "the libpq variables (PGHOST …), then the embedded Postgres.",
)
@click.version_option(__version__)
@click.pass_context
def regime(context: click.Context, database_url: str | None) -> None:
    """Which market regime is it, how sure are we, when did it change, and can you prove it?"""
    context.obj = Settings.from_environment(database_url)


def main() -> None:
    """Run `regime`; whatever a user can cause ends in one line on stderr and exit code 1 or 2."""
    try:
        regime(prog_name="regime")
    except Exception as error:
        message = str(error) if isinstance(error, RegimeError) else _database_message(error)
        if message is None:
            raise
        say(f"Error: {message}", err=True)
        sys.exit(1)


def _database_message(error: Exception) -> str | None:
    """One line for an error of the database, None for any other."""
    if "psycopg" not in sys.modules:
        return None
    from regime_engine.database import explain

    return explain(error)
