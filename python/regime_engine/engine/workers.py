"""Where a market is embedded other than in this process: in several, or on a Dask cluster."""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from regime_engine import __version__
from regime_engine.config import Settings
from regime_engine.database import Database, explain
from regime_engine.engine import market
from regime_engine.engine.market import Request, Tally
from regime_engine.errors import RegimeError
from regime_engine.runs import Run

if TYPE_CHECKING:
    import distributed

TASK_INSTRUMENTS = 50
DASK_TIMEOUT_SECONDS = 10
DASK_POLL_SECONDS = 2
# How often a task whose worker died is given to another one.
DASK_RETRIES = 3
CONTINUE = "the written rows are complete; run the command again to continue"


def processes(
    settings: Settings, request: Request, n_processes: int, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embed in processes of this machine; a tally a task."""
    with ProcessPoolExecutor(
        n_processes, multiprocessing.get_context("spawn"), initializer=serve_parent
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
                f"{n_processes}?): {CONTINUE}"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def dask(
    database: Database, request: Request, scheduler: str, run: Run, instrument_ids: list[str]
) -> Iterator[Tally]:
    """Embed as tasks of a Dask cluster, whose workers open connections of their own.

    The workers are told the server, the database and the user, and take the password from their
    own environment (PGPASSWORD or a password file).
    raises RegimeError if the cluster cannot be reached, has no workers, or if a worker does not
        have this version of the package
    """
    try:
        import distributed
    except ImportError as error:
        raise RegimeError(
            "--scheduler needs Dask: install it with pip install 'regime-engine[dask]'"
        ) from error
    settings = replace(
        database.settings, database_url=conninfo_for_workers(database), state_directory=None
    )
    with contextlib.closing(_client(scheduler)) as client:
        _require_this_version(client, scheduler)
        futures = [
            client.submit(
                _embed_by_dask,
                __version__,
                settings,
                request,
                run,
                task,
                pure=False,
                retries=DASK_RETRIES,
            )
            for task in _tasks(instrument_ids)
        ]
        try:
            yield from _results(client, scheduler, futures)
        except distributed.KilledWorker as error:
            raise RegimeError(
                "a task ended its Dask workers several times (do they have enough memory?): "
                f"{CONTINUE}"
            ) from error
        except ImportError as error:
            raise RegimeError(_of_another_version("that joined", None, __version__)) from error
        except (distributed.CancelledError, OSError) as error:
            raise RegimeError(
                f"the Dask scheduler at {scheduler} ended before the work did: {CONTINUE}"
            ) from error
        finally:
            client.cancel(futures)


def conninfo_for_workers(database: Database) -> str:
    """How to reach the database, without what libpq says to show as `*`."""
    options = database.connection.pgconn.info
    secrets = {option.keyword.decode() for option in options if option.dispchar == b"*"}
    parameters = database.connection.info.get_parameters()
    return make_conninfo(**{n: value for n, value in parameters.items() if n not in secrets})


def _client(scheduler: str) -> "distributed.Client":
    """A client of the scheduler; raises RegimeError if there is no scheduler at the address."""
    import distributed
    from distributed.comm import get_address_host_port

    try:
        address = get_address_host_port(scheduler, strict=False)
        is_encrypted = scheduler.startswith(("tls://", "wss://"))
        if is_encrypted and not distributed.Security().get_connection_args("client")["ssl_context"]:
            raise ValueError("Dask's setting distributed.comm.tls.ca-file is not set")
        # Dask itself would try again and again, without a word, where nothing listens.
        socket.create_connection(address, DASK_TIMEOUT_SECONDS).close()
        return _answered(scheduler)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RegimeError(
            f"no Dask scheduler at {scheduler} ({reason}): give the address that "
            "`dask scheduler` prints, such as tcp://host:8786"
        ) from error


def _answered(scheduler: str) -> "distributed.Client":
    """A client of the scheduler; raises OSError if there is none in time.

    Dask's own timeout does not end a handshake with a server of another kind.
    """
    import distributed

    answers: list[distributed.Client | Exception] = []

    def ask() -> None:
        try:
            timeout = DASK_TIMEOUT_SECONDS
            answers.append(distributed.Client(scheduler, timeout=timeout, set_as_default=False))
        except Exception as error:
            answers.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(DASK_TIMEOUT_SECONDS + DASK_POLL_SECONDS)
    answer = answers[0] if answers else TimeoutError("the server there does not answer like one")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _require_this_version(client: "distributed.Client", scheduler: str) -> None:
    """raises RegimeError if there is no worker, or one without this version of the package"""

    # Dask sends a function that is not at the top of its module as code: a worker runs it without
    # having this package.
    def installed_version() -> str | None:
        try:
            import regime_engine
        except ImportError:
            return None
        return regime_engine.__version__

    try:
        client.wait_for_workers(1, timeout=DASK_TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise RegimeError(
            f"the Dask scheduler at {scheduler} has no workers: start one with "
            f"`dask worker {scheduler}`"
        ) from error
    try:
        versions = client.run(installed_version, callback_timeout=DASK_TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise RegimeError(
            f"the Dask workers of {scheduler} did not answer within {DASK_TIMEOUT_SECONDS} "
            "seconds: end the work that they are busy with, or start them anew"
        ) from error
    for worker, version in versions.items():
        if version != __version__:
            raise RegimeError(_of_another_version(worker, version, __version__))


def _of_another_version(worker: str, version: str | None, wanted: str) -> str:
    has = f"regime-engine {version}" if version else "no regime-engine"
    return (
        f"the Dask worker {worker} has {has}, this is {wanted}: install regime-engine=={wanted} "
        "in the environment of every worker"
    )


def _results(
    client: "distributed.Client", scheduler: str, futures: "list[distributed.Future]"
) -> Iterator[Tally]:
    """The tasks' results, as they are done; raises RegimeError if no worker is left to do them."""
    import distributed

    todo = set(futures)
    idle_since = None
    while todo:
        try:
            with client.as_current():
                done, todo = distributed.wait(todo, DASK_POLL_SECONDS, "FIRST_COMPLETED")
        except TimeoutError:
            if client.scheduler_info(n_workers=-1)["workers"]:
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since > DASK_TIMEOUT_SECONDS:
                raise RegimeError(
                    f"the Dask scheduler at {scheduler} has no workers left: start one with "
                    f"`dask worker {scheduler}`; {CONTINUE}"
                ) from None
        else:
            idle_since = None
            for future in done:
                yield future.result()


def _embed_by_dask(version: str, *task: Any) -> Tally:
    """version: of the package that gives the task; a worker may join after all were asked theirs"""
    if version != __version__:
        raise RegimeError(_of_another_version("that joined", __version__, version))
    return embed_task(*task)


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


def serve_parent() -> None:
    """Leave interrupts to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
