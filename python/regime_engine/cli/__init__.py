"""The `regime` command: one file a command group, imported when the command is called."""

import contextlib
import errno
import importlib
import io
import keyword
import os
import sys

import click

from regime_engine import __version__
from regime_engine.cli.output import say
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

# The commands by purpose, as `regime --help` and the reference show them: section → command → the
# file in this package that holds it
SECTIONS = {
    "Set up": {"demo": "demo", "init": "init", "region": "region"},
    "Load": {"load": "load", "forget": "forget"},
    "Classify": {
        "pipeline": "pipeline",
        "fit": "fit",
        "run": "classify",
        "backfill": "classify",
        "embed": "embed",
        "global": "global_series",
    },
    "Read": {
        "history": "read",
        "transitions": "read",
        "matrix": "matrix",
        "forecast": "forecast",
        "explain": "explain",
        "analogues": "analogues",
        "score": "score",
        "models": "models",
        "report": "report",
    },
    "Prove": {"audit": "audit", "seal": "seal"},
    "Operate": {"status": "status", "notify": "notify", "index": "index", "db": "db"},
}
COMMANDS = {name: file for files in SECTIONS.values() for name, file in files.items()}


class LazyGroup(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections, each command with the whole first sentence of its help."""
        width = max(map(len, COMMANDS))
        for section, names in SECTIONS.items():
            commands = {name: self.get_command(context, name) for name in names}
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name.ljust(width), command.get_short_help_str(limit=1000))
                        for name, command in commands.items()
                        if command
                    ]
                )

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


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `regime demo`. `regime COMMAND --help` explains a command.",
)
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
    # The matrices are small: a second thread costs more than it brings, and on a busy machine many
    # times more. Read when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_streams()
    try:
        code = _run()
    except OSError as error:
        # Only here can a full disk still keep the results from stdout.
        code = 1
        if error.errno != errno.EPIPE:
            _say_error(f"the output could not be written: {error.strerror or error}")
    _leave(code)


def _run() -> int | str | None:
    """Exit code of the command, with its output written."""
    try:
        os.getcwd()
        regime(prog_name="regime")
    except SystemExit as ended:
        sys.stdout.flush()
        return ended.code
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _say_error(message)
        return 1
    return 0


def _open_streams() -> None:
    """A closed standard stream leads nowhere; what a stream cannot show is written as \\uXXXX.

    Its number is taken too, so that no connection gets it and with it what is meant for a terminal.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say_error(message: str) -> None:
    with contextlib.suppress(OSError):
        say(f"Error: {message}", err=True)


def _leave(code: int | str | None) -> None:
    """Exit; a stream that takes nothing more is dropped, or Python would complain of it."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    sys.exit(code)


def _message(error: Exception) -> str | None:
    """One line for what a user can cause, None for a fault of ours."""
    if isinstance(error, RegimeError):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        text = error.object.encode(errors="backslashreplace").decode()
        return f"not a text in UTF-8: '{text}' (an option, a file name or a variable)"
    if isinstance(error, OSError):
        return _of_operating_system(error)
    if "psycopg" not in sys.modules:
        return None
    from regime_engine.database import explain

    return explain(error)


def _of_operating_system(error: OSError) -> str:
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError) and not error.filename:
        return f"{reason}: the current folder is gone; change to one that exists"
    return f"{reason}: {os.fsdecode(error.filename)}" if error.filename else reason
