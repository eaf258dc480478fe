"""How fast the main job is: cold commands, and a backfill against a row-at-a-time loop.

    .venv/bin/python benchmarks/main_job.py [--database-url URL]

All measurements run against one server and take turns, so that noise on the machine affects all of
them. Each figure is a median. By default the program starts an embedded server and removes it at
the end. With a URL it uses a temporary database on that server.
"""

import gc
import hashlib
import statistics
import time
import uuid

import click
import numpy as np
import psycopg
from psycopg.types.json import Jsonb
from scratch import command, conninfo, describe, forget_environment, scratch_database

from regime_engine import demo, encoders, seeds
from regime_engine.classifiers import prototype
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.engine import classify, nightly
from regime_engine.prices.load import load_prices
from regime_engine.series import Series

MODEL_ID = "num-regime-core-v1"
SERIES = Series("US", MODEL_ID, 63)
FIRST_DATE = "2010-01-04"
WRITTEN = (
    ("historical", "numeric_window_embeddings"),
    ("runtime", "regimes"),
    ("runtime", "regime_transitions"),
)


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--dates", "n_dates", default=1000, show_default=True, type=click.IntRange(2))
@click.option("--loop-dates", default=200, show_default=True, type=click.IntRange(1))
@click.option("--repeats", default=9, show_default=True, type=click.IntRange(1))
def main(database_url: str | None, n_dates: int, loop_dates: int, repeats: int) -> None:
    """Measure the main job and print one table."""
    forget_environment()
    with scratch_database(database_url) as settings:
        instrument_id, dates = prepare(settings, n_dates)
        environment = describe(settings)
        gc.freeze()  # What dbt left behind is no part of the engine's work.
        seconds: dict[str, list[float]] = {}
        for repeat in range(repeats):
            for name, measured in one_round(settings, instrument_id, dates, loop_dates, repeat):
                seconds.setdefault(name, []).append(measured)
    click.echo(environment)
    click.echo(table(seconds, n_dates, min(loop_dates, n_dates), repeats))


def prepare(settings: Settings, n_dates: int) -> tuple[str, list]:
    """Prices, features and the loop's own tables; the dates to be classified."""
    with connect(settings) as database:
        for path in demo.PRICE_FILES:
            load_prices(database, path)
        nightly.build_features(database)
        database.execute("create schema loop")
        for schema, name in WRITTEN:
            database.execute(f"create table loop.{name} (like {schema}.{name} including all)")
        database.execute("vacuum analyze")
        instrument_id = seeds.regions(database)[SERIES.region].instrument_id
        rows = database.execute(
            "select trade_date from features.daily_features"
            " where instrument_id = %s and trade_date >= %s order by trade_date limit %s",
            [instrument_id, FIRST_DATE, n_dates],
        ).fetchall()
    return instrument_id, [day for (day,) in rows]


def one_round(settings: Settings, instrument_id: str, dates: list, loop_dates: int, repeat: int):
    """(name, seconds) of every measurement, once; each backfill begins with emptied tables."""
    span = ("--start", str(dates[0]), "--end", str(dates[-1]))
    sample = dates[:: max(1, len(dates) // loop_dates)][:loop_dates]

    empty(settings)
    yield "help", command(settings, "--help")
    # A new date each time, after an earlier one: the run writes a row and finds its neighbour.
    as_of = ("--as-of", str(dates[repeat % len(dates)]))
    yield "run", command(settings, "run", "--region", SERIES.region, *as_of)
    empty(settings)
    with connect(settings) as database:
        yield "backfill", backfill(database, settings, dates)
        yield "rerun", backfill(database, settings, dates)
    with psycopg.connect(conninfo(settings)) as connection:
        yield "loop", row_at_a_time(connection, instrument_id, sample)
        yield "commit", smallest_commit(connection)
    empty(settings)
    yield "cold backfill", command(settings, "backfill", "--region", SERIES.region, *span)


def empty(settings: Settings) -> None:
    tables = ", ".join(f"{schema}.{name}, loop.{name}" for schema, name in WRITTEN)
    with connect(settings) as database:
        database.execute(f"truncate {tables}")


def backfill(database: Database, settings: Settings, dates: list) -> float:
    begin = time.perf_counter()
    outcome = classify.backfill(database, SERIES, dates[0], dates[-1])
    elapsed = time.perf_counter() - begin
    assert outcome.n_windows == len(dates)
    return elapsed


def row_at_a_time(connection: psycopg.Connection, instrument_id: str, dates: list) -> float:
    """The simple alternative to the engine: one window at a time, three commits each.

    It uses psycopg's defaults: transactions begin by themselves, and statements are prepared from
    their sixth use on. The label of the seed rule never changes. So the loop never writes a
    transition, and its third commit is that of a read.
    """
    encoder = encoders.get(SERIES.model_id)
    run_id = uuid.uuid4()
    begin = time.perf_counter()
    for as_of in dates:
        rows = connection.execute(
            "select trade_date, close, volume, log_return from features.daily_features"
            " where instrument_id = %s and trade_date <= %s order by trade_date desc limit %s",
            [instrument_id, as_of, SERIES.window_days],
        ).fetchall()[::-1]
        window = np.array([row[1:] for row in rows], float)
        vector = encoder.encode(window[None])
        series = [as_of, SERIES.model_id, SERIES.window_days]
        days = {"first_trade_date": str(rows[0][0]), "last_trade_date": str(rows[-1][0])}
        spec = Jsonb(days | {"rows": len(rows), "columns": encoder.COLUMNS})
        window_hash = hashlib.sha256(window).hexdigest()
        connection.execute(
            "insert into loop.numeric_window_embeddings"
            " values ('INSTRUMENT', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            [
                *(instrument_id, *series, spec, vector.tobytes(), vector.size),
                *(window_hash, hashlib.sha256(vector).hexdigest(), run_id),
            ],
        )
        connection.commit()

        told = prototype.seed_rule(vector)
        label, confidence = told.labels[told.winners[0]], float(told.probabilities.max())
        probabilities = Jsonb({label: confidence})
        evidence = {"distances": {label: 0.0}, "temperature": 1.0, "in_sample": False}
        regime = [label, confidence, probabilities, vector.tobytes(), Jsonb(evidence | days)]
        connection.execute(
            "insert into loop.regimes"
            " values (%s, %s, %s, %s, %s, 0, %s, %s, %s, null, %s, %s, '', %s, now())",
            [SERIES.region, *series, instrument_id, *regime, run_id],
        )
        connection.commit()

        previous = connection.execute(
            "select as_of_date, regime_label, confidence from loop.regimes"
            " where region = %s and as_of_date < %s and model_id = %s and window_days = %s"
            " order by as_of_date desc limit 1",
            [SERIES.region, *series],
        ).fetchone()
        if previous and previous[1] != label:
            change = [previous[0], previous[1], label, previous[2], confidence]
            connection.execute(
                "insert into loop.regime_transitions"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
                [SERIES.region, *series, *change, run_id],
            )
        connection.commit()
    return time.perf_counter() - begin


def smallest_commit(connection: psycopg.Connection) -> float:
    """Median seconds of 20 commits of a few bytes: the cost of a commit on this disk."""
    seconds = []
    for _ in range(20):
        connection.execute("select pg_logical_emit_message(true, '', '')")
        begin = time.perf_counter()
        connection.commit()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def table(seconds: dict[str, list[float]], n_dates: int, loop_dates: int, repeats: int) -> str:
    loop = np.array(seconds["loop"]) / loop_dates  # seconds a window, round by round
    rows = [
        # name, what it is, windows, aim
        ("help", "cold `regime --help`", 0, "< 0.15 s"),
        ("run", "cold `regime run`, one date", 0, "≤ 0.5 s"),
        ("loop", f"row at a time, {loop_dates} dates", loop_dates, ""),
        ("commit", "  of which a commit", 0, ""),
        ("backfill", f"backfill, {n_dates:,} dates", n_dates, "≥ 100 times the loop"),
        ("cold backfill", "the same, cold process", n_dates, ""),
        ("rerun", "backfill, nothing to do", n_dates, ""),
    ]
    lines = [f"{f'median of {repeats}':<32}{'seconds':>9}{'windows/s':>12}{'/ loop':>9}  aim"]
    for name, what, windows, aim in rows:
        measured = statistics.median(seconds[name])
        rate = f"{windows / measured:,.0f}" if windows else ""
        ratio = np.median(loop / (np.array(seconds[name]) / windows)) if windows else None
        times = f"{ratio:,.1f}" if ratio else ""
        lines.append(f"{what:<32}{measured:>9.4f}{rate:>12}{times:>9}  {aim}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
