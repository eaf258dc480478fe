"""How fast `regime analogues` searches a whole market, exactly, and what memory it needs.

    .venv/bin/python benchmarks/analogues.py [--instruments 500 --days 1330] [--database-url URL]

Each call is a process of its own. By default the server is an embedded one, removed at the end.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click
from market import build_features, make_market
from scratch import command, describe, forget_environment, scratch_database

from regime_engine.config import Settings
from regime_engine.database import connect

REGION = "SYN000001"


@click.command()
@click.option("--database-url", metavar="URL", help="A server on which a database may be made.")
@click.option("--instruments", default=500, show_default=True, type=click.IntRange(1))
@click.option("--days", default=1330, show_default=True, type=click.IntRange(400))
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
def main(database_url: str | None, instruments: int, days: int, repeats: int) -> None:
    """Measure `regime analogues` on a synthetic market and print one table."""
    forget_environment()
    with scratch_database(database_url) as settings:
        make_market(settings, instruments, days)
        build_features(settings)
        command(settings, "embed", "--all")
        with connect(settings) as connection:
            connection.execute("vacuum analyze historical.numeric_window_embeddings")
            (n_windows,) = connection.execute(
                "select count(*) from historical.numeric_window_embeddings"
            ).fetchone()
        click.echo(describe(settings))
        click.echo(f"{n_windows:,} windows of 384 float32 stored, median of {repeats} processes")
        for scope, aim in (("region", "< 0.7 s"), ("market", "< 2 s")):
            calls = [search(settings, scope) for _ in range(repeats)]
            seconds, memory = (statistics.median(values) for values in zip(*calls, strict=True))
            click.echo(f"--across {scope:8}{seconds:8.2f} s {memory:6.0f} MiB   {aim}")


def search(settings: Settings, scope: str) -> tuple[float, float]:
    """Seconds of one cold call, and the MiB that it needs at most."""
    variables = {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }
    program = Path(sys.executable).with_name("regime")
    # By a small process between: Linux counts the parent's own memory at the fork as the child's.
    between = (
        "import resource, subprocess, sys, time;"
        "begin = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(time.perf_counter() - begin);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    arguments = ("analogues", "--region", REGION, "--across", scope)
    measured = subprocess.run(
        [sys.executable, "-c", between, program, *arguments],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, kibibytes = measured.stdout.split()
    return float(seconds), int(kibibytes) / 1024


if __name__ == "__main__":
    main()
