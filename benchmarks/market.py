"""How fast a whole market is embedded: against the COPY floor, a row-at-a-time loop and itself.

    .venv/bin/python benchmarks/market.py [--instruments 500 --days 1260] [--database-url URL]

All measurements run against one server and take turns, so that noise on the machine affects all of
them. Figures are medians, and ratios are medians of the ratios of each round. By default the
program starts an embedded server and removes it at the end. With a URL it uses a temporary database
on that server.
"""

import gc
import hashlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from scratch import command, conninfo, describe, forget_environment, scratch_database

from regime_engine import dbt, demo, encoders, features, windows
from regime_engine.config import Settings
from regime_engine.database import connect
from regime_engine.database.statements import names
from regime_engine.prices.load import load_prices
from regime_engine.runs import Run
from regime_engine.store import embeddings
from regime_engine.windows import Stretch

MODEL_ID = "num-regime-core-v3"
WINDOW_DAYS = 63
FIRST_DAY = "2018-01-01"
TABLE = "historical.numeric_window_embeddings"


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--instruments", default=500, show_default=True, type=click.IntRange(2))
@click.option("--days", default=1260, show_default=True, type=click.IntRange(400))
@click.option(
    "--many",
    default=2000,
    show_default=True,
    type=click.IntRange(0),
    help="Instruments of the larger market whose memory is compared; 0: no comparison.",
)
@click.option("--loop-windows", default=400, show_default=True, type=click.IntRange(1))
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
def main(
    database_url: str | None,
    instruments: int,
    days: int,
    many: int,
    loop_windows: int,
    repeats: int,
) -> None:
    """Measure `regime embed` on a synthetic market and print one table."""
    forget_environment()
    seconds: dict[str, list[float]] = {}
    memory = {}
    with scratch_database(database_url) as settings:
        make_market(settings, instruments, days)
        build_features(settings, "features")
        environment = describe(settings)
        for repeat in range(repeats):
            for name, measured in one_round(settings, days + 2 * repeat, loop_windows):
                seconds.setdefault(name, []).append(measured)
                click.echo(f"{name}: {measured:.2f} s", err=True)
        seconds["audit"] = [audit(settings)]
        memory["few"] = peak_memory(settings)
        if many:
            make_market(settings, many, days)
            build_features(settings, "features")
            memory["many"] = peak_memory(settings)
    click.echo(environment)
    click.echo(f"{instruments:,} instruments x {days:,} days, {repeats} rounds\n")
    n_windows = instruments * (days - WINDOW_DAYS + 1)
    click.echo(table(seconds, n_windows, loop_windows))
    click.echo(
        f"\npeak memory of `regime embed --all`, {instruments:,} instruments: "
        f"{memory['few']:,.0f} MiB"
        + (
            f"; {many:,}: {memory['many']:,.0f} MiB "
            f"({memory['many'] / memory['few']:.2f} x; must: within 10 %, ≤ 400 MiB)"
            if many
            else ""
        )
    )


def make_market(settings: Settings, instruments: int, days: int) -> None:
    """Random walks on weekdays; each price is loaded on the evening of its day."""
    with connect(settings) as database:
        # This creates the table as `regime load` does.
        load_prices(database, demo.PRICE_FILES[0])
        database.execute("truncate historical.prices_daily")
        database.execute("drop table if exists features.daily_features cascade")
        database.execute("select setseed(0.5)")
        database.execute(
            """
            insert into historical.prices_daily
                (instrument_id, trade_date, open, high, low, close, adjusted_close, volume,
                loaded_at)
            select
                'SYN' || lpad(instrument::text, 6, '0'), day,
                close * 1.001, close * (1.001 + 0.02 * random()), close * (1 - 0.02 * random()),
                close, close,
                exp(10 + 2 * random()), day + interval '18 hours'
            from (
                select
                    instrument,
                    %(first)s::date + number / 5 * 7 + number %% 5 as day,
                    100 * exp(sum(random() + random() + random() - 1.5) over by_day * 0.02) as close
                from
                    generate_series(1, %(instruments)s) as instrument,
                    generate_series(0, %(days)s - 1) as number
                window by_day as (partition by instrument order by number)
            ) as walks
            """,
            {"first": FIRST_DAY, "instruments": instruments, "days": days},
        )
        database.execute("vacuum analyze historical.prices_daily")


def one_day_more(settings: Settings, number: int) -> str:
    """The next weekday's prices of every instrument; returns the day."""
    with connect(settings) as database:
        day = database.execute(
            "select %s::date + %s / 5 * 7 + %s %% 5", [FIRST_DAY, number, number]
        ).fetchone()[0]
        database.execute(
            """
            insert into historical.prices_daily
                (instrument_id, trade_date, open, high, low, close, adjusted_close, volume,
                loaded_at)
            select
                instrument_id, %(day)s, open * 1.001, high * 1.001, low * 1.001, close * 1.001,
                adjusted_close * 1.001, volume,
                %(day)s + interval '18 hours'
            from historical.prices_daily
            where trade_date = (
                select max(trade_date) from historical.prices_daily where trade_date < %(day)s
            )
            """,
            {"day": day},
        )
    return str(day)


def one_round(settings: Settings, next_number: int, loop_windows: int):
    """(name, seconds) of every measurement, once."""
    embed = ("embed", "--all", "--end", last_day(settings))
    blocks = prepacked(settings)
    empty(settings)
    yield "floor", floor(settings, blocks)
    del blocks
    gc.collect()
    empty(settings)
    yield "embed", command(settings, *embed)
    yield "rerun", command(settings, *embed)
    yield "loop", row_at_a_time(settings, loop_windows)
    empty(settings)
    yield "embed, 2 workers", command(settings, *embed, "--workers", "2")
    yield "encode", encode_only(1)
    yield "encode, 2 processes", encode_only(2)

    for selector in ("features", "daily_features"):
        yield f"{selector}, full", build_features(settings, selector, from_nothing=True)
        yield f"{selector}, no change", build_features(settings, selector)
        day = one_day_more(settings, next_number)
        next_number += 1
        yield f"{selector}, one new day", build_features(settings, selector)
    yield "embed, one new day", command(settings, "embed", "--all", "--start", day)


def audit(settings: Settings) -> float:
    """Seconds of an audit after every window was embedded; it would report emptied tables."""
    build_features(settings, "features")
    empty(settings)
    with connect(settings) as database:
        database.execute("truncate runtime.regime_runs")
    command(settings, "embed", "--all")
    return command(settings, "audit")


def last_day(settings: Settings) -> str:
    with connect(settings) as database:
        query = "select max(trade_date) from features.daily_features"
        return str(database.execute(query).fetchone()[0])


def empty(settings: Settings) -> None:
    with connect(settings) as database:
        database.execute(f"truncate {TABLE}")
        database.execute("checkpoint")


def build_features(settings: Settings, selector: str, from_nothing: bool = False) -> float:
    """Seconds to build a selector of selectors.yml: everything, or only what new prices need."""
    with connect(settings) as database:
        if from_nothing:
            database.execute("drop table features.daily_features cascade")
        begin = time.perf_counter()
        dbt.require_success(dbt.build(database, selector), "building the features")
        elapsed = time.perf_counter() - begin
        database.execute("vacuum analyze features.daily_features")
    return elapsed


def prepacked(settings: Settings) -> list[np.ndarray]:
    """The rows that `regime embed --all` writes, in the form in which it sends them."""
    encoder = encoders.get(MODEL_ID)
    run = Run(uuid.uuid4(), "embed")
    blocks = []
    with connect(settings) as database:
        for instrument_id in features.instruments(database):
            found = features.read(database, instrument_id, encoder.COLUMNS, Stretch(WINDOW_DAYS))
            blocks.append(embeddings.pack(run, MODEL_ID, found, encoder.encode(found.values)))
    return blocks


def floor(settings: Settings, blocks: list[np.ndarray]) -> float:
    with connect(settings) as database:
        begin = time.perf_counter()
        embeddings.send_straight(database, blocks)
        return time.perf_counter() - begin


def row_at_a_time(settings: Settings, n_windows: int) -> float:
    """A script without batches: read a window, encode it, insert it, commit."""
    encoder = encoders.get(MODEL_ID)
    run_id = uuid.uuid4()
    query = sql.SQL(
        "select trade_date, {} from features.daily_features"
        " where instrument_id = %s and trade_date <= %s order by trade_date desc limit %s"
    ).format(names(encoder.COLUMNS))
    with psycopg.connect(conninfo(settings)) as connection:
        connection.execute("drop table if exists loop")
        connection.execute(f"create table loop (like {TABLE} including all)")
        connection.commit()
        asked = connection.execute(
            "select instrument_id, trade_date from features.daily_features"
            " where day_number = %s order by instrument_id limit %s",
            [WINDOW_DAYS + 1, n_windows],
        ).fetchall()
        connection.commit()
        begin = time.perf_counter()
        for instrument_id, as_of in asked:
            rows = connection.execute(
                query,
                [instrument_id, as_of, WINDOW_DAYS],
            ).fetchall()[::-1]
            window = np.array([row[1:] for row in rows], float)
            vector = encoder.encode(window[None])
            spec = {
                "first_trade_date": str(rows[0][0]),
                "last_trade_date": str(rows[-1][0]),
                "rows": len(rows),
                "columns": encoder.COLUMNS,
            }
            connection.execute(
                "insert into loop values"
                " ('INSTRUMENT', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
                [
                    *(instrument_id, as_of, MODEL_ID, WINDOW_DAYS, Jsonb(spec), vector.tobytes()),
                    *(vector.size, hashlib.sha256(window).hexdigest()),
                    *(hashlib.sha256(vector).hexdigest(), run_id),
                ],
            )
            connection.commit()
        elapsed = time.perf_counter() - begin
    return elapsed / len(asked) * n_windows


def encode_only(n_processes: int) -> float:
    """Seconds to encode and pack the windows of 64 instruments, by this many processes."""
    with ProcessPoolExecutor(n_processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(encode_instruments, [1] * n_processes))  # started and warm
        begin = time.perf_counter()
        list(pool.map(encode_instruments, [64 // n_processes] * n_processes))
        return time.perf_counter() - begin


def encode_instruments(n: int) -> None:
    encoder = encoders.get(MODEL_ID)
    chance = np.random.default_rng(n)
    days = np.arange(np.datetime64(FIRST_DAY), np.datetime64(FIRST_DAY) + 1260)
    returns = chance.normal(scale=0.01, size=1260)
    close, volumes = np.exp(np.cumsum(returns)), chance.normal(size=1260)
    log_ranges, gaps = np.abs(chance.normal(scale=0.01, size=(2, 1260)))
    table = np.column_stack([returns, close, volumes, log_ranges, gaps])
    last = days[-1].item()
    hashes = chance.integers(2**63, size=1260).astype(np.uint64)
    features = windows.Features("SYN", encoder.COLUMNS, days, hashes, table, last, last)
    for _ in range(n):
        found = windows.build(features, Stretch(WINDOW_DAYS))
        run = Run(uuid.uuid4(), "embed")
        embeddings.pack(run, MODEL_ID, found, encoder.encode(found.values))


def peak_memory(settings: Settings) -> float:
    """Peak memory of `regime embed --all`, in MiB."""
    empty(settings)
    variables = {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }
    program = Path(sys.executable).with_name("regime")
    # Through a small process: Linux counts the memory of the forking parent as the child's.
    between = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    measured = subprocess.run(
        [sys.executable, "-c", between, program, "embed", "--all"],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(measured.stdout) / 1024


def table(seconds: dict[str, list[float]], n_windows: int, loop_windows: int) -> str:
    per_window = {
        "floor": n_windows,
        "embed": n_windows,
        "embed, 2 workers": n_windows,
        "loop": loop_windows,
    }
    a_day = "time ≤ 0.5 x, aim 0.2 x"
    rows = [
        # name, what it is, compared with, the bar of that ratio
        ("floor", "COPY of prepacked rows (floor)", None, ""),
        ("embed", "regime embed --all", "floor", "speed ≥ 0.5 x, aim 0.85 x"),
        ("loop", f"row at a time, {loop_windows} windows", "embed", "speed ≥ 100 x, aim 250 x"),
        ("rerun", "… again, nothing to do", "embed", "time ≤ 0.15 x, aim 0.05 x"),
        ("embed, 2 workers", "… --workers 2, beside the server", "embed", ""),
        ("encode", "encode and pack, 1 process", None, ""),
        ("encode, 2 processes", "… 2 processes", "encode", "speed ≥ 1.6 x, aim 1.9 x"),
        ("embed, one new day", "… --start of one new day", None, "≤ 3 s, aim 1 s"),
        ("daily_features, full", "dbt daily_features, full build", None, ""),
        ("daily_features, no change", "… no change", "daily_features, full", "time"),
        ("daily_features, one new day", "… one new day", "daily_features, full", a_day),
        ("features, full", "dbt features, all of it", None, ""),
        ("features, no change", "… no change", "features, full", "time"),
        ("features, one new day", "… one new day", "features, full", a_day),
        ("audit", "regime audit, once", None, "≤ 120 s"),
    ]
    lines = [f"{'':<36}{'seconds':>9}{'windows/s':>11}{'ratio':>9}  of speed or time, and target"]
    for name, what, base, bar in rows:
        measured = np.array(seconds[name])
        n = per_window.get(name)
        rate = f"{n / statistics.median(measured):,.0f}" if n else ""
        ratio = ""
        if base:
            against = np.array(seconds[base])
            if name == "loop":  # how much quicker the command is, window by window
                ratios = (measured / loop_windows) / (against / n_windows)
            elif bar.startswith("speed") or not bar:
                ratios = against / measured
            else:
                ratios = measured / against
            ratio = f"{np.median(ratios):,.2f}"
        lines.append(f"{what:<36}{np.median(measured):>9.2f}{rate:>11}{ratio:>9}  {bar}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
