"""How fast `regime analogues` searches a whole market, and what memory it needs.

    .venv/bin/python benchmarks/analogues.py [--instruments 500 --days 1330] [--index]

Each call is a process of its own. By default the program starts an embedded server and removes it
at the end. With --index it also measures pgvector's index, and checks that the index gives the same
results.
"""

import operator
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
from market import build_features, make_market
from scratch import command, describe, forget_environment, scratch_database

from regime_engine.config import Settings
from regime_engine.database import connect
from regime_engine.reading.analogues import analogues
from regime_engine.reading.rows import Rows
from regime_engine.series import Series

REGION = "SYN000001"


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--instruments", default=500, show_default=True, type=click.IntRange(1))
@click.option("--days", default=1330, show_default=True, type=click.IntRange(400))
@click.option("--index", "with_index", is_flag=True, help="Also measure with pgvector's index.")
@click.option("--questions", default=40, show_default=True, help="Windows with compared answers.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
def main(
    database_url: str | None,
    instruments: int,
    days: int,
    with_index: bool,
    questions: int,
    repeats: int,
) -> None:
    """Measure `regime analogues` on a synthetic market and print one table."""
    forget_environment()
    with scratch_database(database_url) as settings:
        make_market(settings, instruments, days)
        build_features(settings)
        command(settings, "embed", "--all")
        with connect(settings) as database:
            database.execute("vacuum analyze historical.numeric_window_embeddings")
            (n_windows,) = database.execute(
                "select count(*) from historical.numeric_window_embeddings"
            ).fetchone()
        click.echo(describe(settings))
        click.echo(f"{n_windows:,} windows of 384 float32 stored, median of {repeats} processes")
        measure(settings, repeats, "--across region", "< 0.7 s")
        measure(settings, repeats, "--across market", "< 2 s")
        if with_index:
            _, exact = answers(settings, instruments, questions)
            click.echo(f"regime index: {command(settings, 'index'):.0f} s")
            measure(settings, repeats, "--across market", "< 0.3 s")
            seconds, by_index = answers(settings, instruments, questions)
            n_same = sum(map(operator.eq, exact, by_index))
            click.echo(
                f"same answer with the index: {n_same} of {questions} questions, "
                f"median {1000 * seconds:.0f} ms within one process"
            )


def measure(settings: Settings, repeats: int, arguments: str, aim: str) -> None:
    calls = [search(settings, arguments) for _ in range(repeats)]
    seconds, memory = (statistics.median(values) for values in zip(*calls, strict=True))
    click.echo(f"{arguments}{seconds:8.2f} s {memory:6.0f} MiB   {aim}")


def answers(settings: Settings, instruments: int, questions: int) -> tuple[float, list[Rows]]:
    """Median seconds of a search, and the analogues of some windows in the second half."""
    chance = random.Random(1)
    found, seconds = [], []
    with connect(settings) as database:
        dates = database.execute(
            "select as_of_date from historical.numeric_window_embeddings"
            " where entity_id = %s order by 1",
            [REGION],
        ).fetchall()
        for _ in range(questions):
            series = Series(f"SYN{chance.randint(1, instruments):06d}", "num-regime-core-v3", 63)
            (as_of,) = chance.choice(dates[len(dates) // 2 :])
            begin = time.perf_counter()
            found.append(analogues(database, series, as_of, 10, "market"))
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), found


def search(settings: Settings, arguments: str) -> tuple[float, float]:
    """Seconds of one cold call, and its peak memory in MiB."""
    variables = {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }
    program = Path(sys.executable).with_name("regime")
    # Through a small process: Linux counts the memory of the forking parent as the child's.
    between = (
        "import resource, subprocess, sys, time;"
        "begin = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(time.perf_counter() - begin);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    measured = subprocess.run(
        [
            sys.executable,
            "-c",
            between,
            program,
            "analogues",
            "--region",
            REGION,
            *arguments.split(),
        ],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, kibibytes = measured.stdout.split()
    return float(seconds), int(kibibytes) / 1024


if __name__ == "__main__":
    main()
