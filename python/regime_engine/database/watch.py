"""Who holds the lock that a command waits for: said on stderr, so that no wait is silent."""

import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import pq

from regime_engine.database.statements import statement

SECONDS_BETWEEN_LOOKS = 1
SILENT_SECONDS = 2


class Watch(threading.Thread):
    """Looks, while a statement takes long, whether it waits for a lock of somebody else.

    parameters: those of the connection, to open another one like it
    pids: the server processes that work for this command: its own and those of dbt
    """

    def __init__(
        self, connection: psycopg.Connection[Any], parameters: Mapping[str, Any], pid: int
    ) -> None:
        super().__init__(daemon=True, name="regime-watch")
        self.pids = [pid]
        self._connection = connection
        self._parameters = parameters
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        told: set[object] = set()
        other = None
        was_active = False
        try:
            while not self._ended.wait(SECONDS_BETWEEN_LOOKS) and not self._connection.closed:
                status = self._connection.pgconn.transaction_status
                is_active = status == pq.TransactionStatus.ACTIVE
                if len(self.pids) > 1 or (is_active and was_active):
                    other = other or psycopg.connect(**self._parameters, autocommit=True)
                    for holder in self._look(other):
                        if holder not in told and not self._ended.is_set():
                            told.add(holder)
                            print(_sentence(*holder), file=sys.stderr, flush=True)
                was_active = is_active
        except (psycopg.Error, OSError):
            return
        finally:
            if other:
                other.close()

    def _look(
        self, other: psycopg.Connection[Any]
    ) -> list[tuple[int, str | None, str | None, datetime | None]]:
        parameters = {"ours": list(self.pids), "seconds": SILENT_SECONDS}
        return other.execute(statement(__package__, "who_is_waited_for"), parameters).fetchall()


def _sentence(pid: int, login: str | None, application: str | None, since: datetime | None) -> str:
    if not pid:
        return "waiting for a lock that a prepared transaction holds (see pg_prepared_xacts)"
    begun = f", since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return (
        f"waiting for a lock that process {pid} holds: user {login}, application "
        f"{application or 'unknown'}{begun}"
    )
