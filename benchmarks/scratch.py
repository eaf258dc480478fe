"""A temporary server or database for a benchmark, and commands on it."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from regime_engine.config import Settings
from regime_engine.database import connect, embedded, libpq_environment


def forget_environment() -> None:
    """Remove the variables that would choose another server."""
    for name in [name for name in os.environ if name.startswith(("PG", "REGIME_"))]:
        if name != "PG_BIN":
            del os.environ[name]


@contextlib.contextmanager
def scratch_database(url: str | None) -> Iterator[Settings]:
    # For root, the server runs as another user, who must be able to enter the folder.
    state = Path(tempfile.mkdtemp(prefix="regime-benchmark-"))
    state.chmod(0o755)
    settings = Settings(database_url=url or "embedded", state_directory=state)
    try:
        if not url:
            embedded.start(settings)
            yield settings
            return
        name = f"regime_benchmark_{uuid.uuid4().hex[:8]}"
        with connect(settings) as database:
            identifier = sql.Identifier(name)
            database.execute(sql.SQL("create database {}").format(identifier))
            try:
                yield replace(settings, database_url=make_conninfo(url, dbname=name))
            finally:
                database.execute(sql.SQL("drop database {} with (force)").format(identifier))
    finally:
        if not url:
            embedded.stop(settings)
        shutil.rmtree(state)


def command(settings: Settings, *arguments: str) -> float:
    variables = {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }
    program = Path(sys.executable).with_name("regime")
    begin = time.perf_counter()
    subprocess.run(
        [program, *arguments], env=os.environ | variables, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - begin


def dbt_command(settings: Settings, *arguments: str) -> float:
    with connect(settings) as database:
        variables = libpq_environment(database)
    project = Path(__file__).resolve().parents[1]
    program = Path(sys.executable).with_name("dbt")
    with tempfile.TemporaryDirectory(prefix="regime-benchmark-") as target:
        begin = time.perf_counter()
        subprocess.run(
            [
                program,
                *arguments,
                "--profiles-dir",
                "profiles",
                "--target-path",
                target,
                "--log-path",
                target,
            ],
            env=os.environ | variables,
            cwd=project,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - begin


def conninfo(settings: Settings) -> str:
    if settings.database_url == "embedded":
        return embedded.start(settings).conninfo
    return settings.database_url


def describe(settings: Settings) -> str:
    with connect(settings) as database:
        values = {
            name: database.execute("select current_setting(%s)", [name]).fetchone()[0]
            for name in ("fsync", "synchronous_commit", "shared_buffers")
        }
        version = database.connection.info.server_version
    server = ", ".join(f"{name} {value}" for name, value in values.items())
    return (
        f"Postgres {version // 10000}.{version % 10000} ({server}), {os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}, psycopg {psycopg.__version__}, numpy {np.__version__}"
    )
