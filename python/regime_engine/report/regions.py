"""The regions of a report: each is read and made into what is shown of it, all at one moment."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import psycopg
from psycopg import sql

from regime_engine import seeds
from regime_engine.config import Settings
from regime_engine.database import Database, connect, explain
from regime_engine.engine.workers import serve_parent
from regime_engine.errors import RegimeError
from regime_engine.reading.performance import Benchmark, benchmark
from regime_engine.reading.rows import require_regimes
from regime_engine.reading.suspicions import suspicions_and_prices
from regime_engine.reading.tables import regions_of
from regime_engine.report import contents
from regime_engine.report.contents import Beforehand, RegionReport, Shared
from regime_engine.series import Series

Made = TypeVar("Made")
# Makes of a region what is to be kept of it. It is called in another process if there are many.
Make = Callable[[RegionReport, Shared], Made]
# Is told how many regions are done, how many there are, and the name of the last one.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Report(Generic[Made]):
    """regions: as asked for, or by name"""

    shared: Shared
    regions: list[Made]


def read(
    database: Database,
    regions: tuple[str, ...],
    *,
    model_id: str,
    window_days: int,
    make: Make[Made],
    audited: dict[str, str] | None = None,
    benchmark_id: str | None = None,
    most: int | None = None,
    progress: Progress = lambda done, total, name: None,
) -> Report[Made]:
    """The report on these regions, or on all that have regimes, at one moment of the database.

    audited: the tests of an audit that was just run, with their descriptions
    benchmark_id: an instrument to compare with
    most: how many regions a picture shows
    raises RegimeError if there is no regime, or more regions than a picture shows, and for a
        benchmark without features
    """
    # The search for analogues sets this level too; the level of a transaction cannot be changed.
    database.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with database.transaction():
        names = dict.fromkeys(regions or regions_of(database, model_id, window_days))
        if most is not None and len(names) > most:
            raise RegimeError(
                f"a picture shows at most {most} regions, and these are {len(names):,}: choose "
                "some of them with --region, once for each"
            )
        beside = benchmark(database, benchmark_id) if benchmark_id else None
        progress(0, len(names), "looking for suspicious prices")
        all_series = [Series(name, model_id, window_days) for name in names]
        asked = _beforehand(database, all_series, beside)
        shared = Shared(model_id, window_days, len(asked), contents.audit_of(database, audited))
        made = []
        for each, one in zip(asked, _each(database, asked, shared, make), strict=True):
            made.append(one)
            progress(len(made), len(asked), each.series.region)
        return Report(shared, made)


def _beforehand(
    database: Database, all_series: list[Series], beside: Benchmark | None
) -> list[Beforehand]:
    """What is read of all regions at once."""
    for series in all_series:
        require_regimes(database, series)
    described = {name: region.description for name, region in seeds.regions(database).items()}
    resting, suspicious_prices = suspicions_and_prices(database, all_series)
    by_region = {each.region: each for each in resting}
    return [
        Beforehand(
            number=number,
            series=series,
            description=described.get(series.region),
            suspicions=by_region.get(series.region),
            suspicious_prices=suspicious_prices,
            benchmark=beside,
        )
        for number, series in enumerate(all_series)
    ]


def _each(
    database: Database, asked: list[Beforehand], shared: Shared, make: Make[Made]
) -> Iterator[Made]:
    processors = len(os.sched_getaffinity(0))
    if shared.are_few or processors == 1:
        for each in asked:
            yield make(contents.read_region(database, each), shared)
        return
    (snapshot,) = database.one("select pg_export_snapshot()")
    with ProcessPoolExecutor(
        min(processors, len(asked)),
        multiprocessing.get_context("spawn"),
        initializer=serve_parent,
    ) as pool:
        try:
            read_and_make = partial(_read_and_make, database.settings, snapshot, shared, make)
            futures = [pool.submit(read_and_make, each) for each in asked]
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise RegimeError(
                "a process that reads regions ended before its work did (is there enough memory?):"
                " run the command again, or choose fewer regions with --region"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


# Of a process that reads regions: its database, in a transaction at the moment of its parent's.
_databases: list[Database] = []


def _read_and_make(
    settings: Settings, snapshot: str, shared: Shared, make: Make[Made], asked: Beforehand
) -> Made:
    try:
        if not _databases:
            database = connect(settings)
            database.execute("begin isolation level repeatable read")
            database.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
            _databases.append(database)
        return make(contents.read_region(_databases[0], asked), shared)
    except psycopg.Error as error:
        # Plain text travels between processes.
        raise RegimeError(explain(error)) from None
