import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regime_engine.cli.output import say
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.database.embedded.server import Server

# These win over PGHOST and PGPASSFILE, and would lead past the embedded server.
CONTRARY_VARIABLES = ("PGHOSTADDR", "PGPASSWORD", "PGSERVICE")


@click.group()
def db() -> None:
    """Start, stop and reach the embedded Postgres server.

    This is a real Postgres from the installed wheel, which only this user can reach: it has no TCP
    port, its socket is in a folder that only its owner can enter, and a file holds its random
    password. A command that needs the server starts it. It runs until you stop it.

    Its files are in REGIME_STATE_DIR (by default ~/.local/share/regime-engine; for root
    /var/lib/regime-engine). These commands always use the server in that folder, and ignore
    --database-url and the libpq variables.
    """


@db.command()
@click.pass_obj
def start(settings: Settings) -> None:
    """Start the server, and create it first if necessary. It runs until `regime db stop`."""
    server = _started(settings)
    say(f"running: Postgres {server.version}, process {server.pid}, data {server.data}")


@db.command()
@click.pass_obj
def stop(settings: Settings) -> None:
    """Stop the server. Its data are kept."""
    from regime_engine.database import embedded

    say("stopped" if embedded.stop(settings) else "not running")


@db.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show whether the server runs, and where. The exit code is 0 if it runs, else 1."""
    from regime_engine.database import embedded

    found = embedded.status(settings)
    say(f"status   {found.state}")
    if found.version:
        say(f"version  {found.version}")
    say(f"data     {found.data}")
    if found.state != "not created":
        say(f"size     {_size(found.data) / 1e6:.1f} MB")
    if not found.server:
        sys.exit(1)
    say(f"socket   {found.server.socket_folder}")
    say(f"process  {found.server.pid}")


@db.command()
@click.pass_obj
def url(settings: Settings) -> None:
    """Print the URL of the server, without the password. Start the server if necessary.

    \b
    psql "$(regime db url)"
    """
    click.echo(_started(settings).url)


@db.command()
@click.pass_obj
def env(settings: Settings) -> None:
    """Print shell lines that point psql and dbt to the server. Start it if necessary.

    \b
    eval "$(regime db env)"
    """
    variables = _started(settings).environment | settings.names
    say(f"unset {' '.join(CONTRARY_VARIABLES)}")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@db.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", metavar="[PSQL ARGUMENTS]…", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def psql(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Open psql on the server, and start the server if necessary. Arguments go to psql."""
    from regime_engine.database import embedded

    server = _started(settings)
    beside_server = embedded.client_folder(settings) / "psql"
    program = beside_server if beside_server.exists() else shutil.which("psql")
    if not program:
        raise RegimeError(
            f"no psql beside the server's programs in {beside_server.parent} and none in PATH: "
            "install postgresql-client"
        )
    environment = {n: value for n, value in os.environ.items() if n not in CONTRARY_VARIABLES}
    os.execve(program, ["psql", *arguments], environment | server.environment)


def _started(settings: Settings) -> "Server":
    from regime_engine.database import embedded

    return embedded.start(settings)


def _size(folder: Path) -> int:
    """Bytes of the files below; a file that the server removes meanwhile counts nothing."""
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
