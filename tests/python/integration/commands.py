"""The command line as a user runs it: in a process of its own, but for the imports.

Each process is forked from a server that has imported what every command would import anew: dbt
takes seconds. The shells of the pages' tests start theirs from nothing, as a user does.
"""

import logging
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from regime_engine.config import Settings

TIMEOUT = 120  # seconds
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["regime_engine.cli", "dbt.cli.main", "dbt.adapters.postgres"])


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command works on the database of these settings."""
    return os.environ | {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }


def regime_command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess:
    """Run `regime` on the database of the settings; no traceback may ever show."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        process = PROCESSES.Process(
            target=_run, args=(arguments, environment(settings), os.getcwd(), outputs)
        )
        process.start()
        process.join(TIMEOUT)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"regime {' '.join(arguments)}: {outputs[1].read_text()}")
        stdout, stderr = (path.read_text() for path in outputs)
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(arguments, process.exitcode, stdout, stderr)


def _run(
    arguments: tuple[str, ...], variables: dict[str, str], folder: str, outputs: list[Path]
) -> None:
    for stream, path in zip((sys.stdout, sys.stderr), outputs, strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    logging.root.handlers.clear()  # a library of dbt has brought one
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["regime", *arguments]
    runpy.run_module("regime_engine", run_name="__main__")
