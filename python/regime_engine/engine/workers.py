"""Where a market is embedded other than in this process: in several, or on a Dask cluster."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import psycopg
from psycopg.conninfo import make_conninfo

from regime_engine.config import Settings
from regime_engine.database import Database, explain
from regime_engine.engine import market
from regime_engine.engine.market import Request, Tally
from regime_engine.errors import RegimeError
from regime_engine.runs import Run

TASK_INSTRUMENTS = 50
DASK_TIMEOUT_SECONDS = 10
# How often a task whose worker died is given to another one.
DASK_RETRIES = 3


def processes(
    settings: Settings, request: Request, n_processes: int, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embed in processes of this machine; a tally a task."""
    with ProcessPoolExecutor(
        n_processes, multiprocessing.get_context("spawn"), initializer=_serve_parent
    ) as pool:
        futures = [
            pool.submit(embed_task, settings, request, run, task) for task in _tasks(instrument_ids)
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RegimeError(
                "a worker process ended before its work did (is the memory enough for --workers "
                f"{n_processes}?): what is written is complete; run the command again to go on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def dask(
    database: Database, request: Request, scheduler: str, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embed as tasks of a Dask cluster, whose workers open connections of their own.

    The workers are told the server, the database and the user, and take the password from their
    own environment (PGPASSWORD or a password file).
    """
    try:
        import distributed
    except ImportError as error:
        raise RegimeError(
            "--scheduler needs Dask: install it with pip install 'regime-engine[dask]'"
        ) from error
    conninfo = make_conninfo(**database.connection.info.get_parameters())
    settings = replace(database.settings, database_url=conninfo, state_directory=None)
    try:
        client = distributed.Client(scheduler, timeout=DASK_TIMEOUT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RegimeError(
            f"no Dask scheduler at {scheduler} ({reason}): give the address that "
            "`dask scheduler` prints, such as tcp://host:8786"
        ) from error
    with contextlib.closing(client):
        futures = [
            client.submit(
                embed_task, settings, request, run, task, pure=False, retries=DASK_RETRIES
            )
            for task in _tasks(instrument_ids)
        ]
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                yield future.result()
        except distributed.KilledWorker as error:
            raise RegimeError(
                "a task ended its Dask workers several times (do they have enough memory?): the "
                "written rows are complete; run the command again to continue"
            ) from error
        finally:
            client.cancel(futures)


def embed_task(settings: Settings, request: Request, run: Run, instrument_ids: list[str]) -> Tally:
    """Embed some instruments and return counts only; raises RegimeError for a database's error."""
    try:
        tallies = market.embed_instruments(settings, request, run, instrument_ids)
        return sum(tallies, start=Tally())
    except psycopg.Error as error:
        # Plain text travels between processes, whatever versions they have.
        raise RegimeError(explain(error)) from None


def _tasks(instrument_ids: list[str]) -> list[list[str]]:
    return [
        instrument_ids[begin : begin + TASK_INSTRUMENTS]
        for begin in range(0, len(instrument_ids), TASK_INSTRUMENTS)
    ]


def _serve_parent() -> None:
    """Leave interrupts to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
