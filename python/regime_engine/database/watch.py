"""Who holds the lock that a command waits for: said on stderr, so that no wait is silent."""

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import pq

from regime_engine.database.statements import statement

Session: TypeAlias = psycopg.Connection[tuple[Any, ...]]

SECONDS_BETWEEN_LOOKS = 1
SILENT_SECONDS = 2


class Watch(threading.Thread):
    """Looks, while a statement takes long, whether it waits for a lock of somebody else.

    open_another: opens another session of ours in the same database
    pids: the server processes that work for this command: its own and those of dbt
    """

    def __init__(self, connection: Session, open_another: Callable[[], Session], pid: int) -> None:
        super().__init__(daemon=True, name="regime-watch")
        self.pids = [pid]
        self._connection = connection
        self._open_another = open_another
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
                    other = other or self._open_another()
                    for holder in self._look(other):
                        if holder not in told and not self._ended.is_set():
                            told.add(holder)
                            print(_sentence(*holder), file=sys.stderr, flush=True)
                elif other:
                    other.close()
                    other = None
                was_active = is_active
        except (psycopg.Error, OSError):
            return
        finally:
            if other:
                other.close()

    def _look(self, other: Session) -> list[tuple[Any, ...]]:
        parameters = {"ours": list(self.pids), "seconds": SILENT_SECONDS}
        return other.execute(statement(__package__, "who_is_waited_for"), parameters).fetchall()


def _sentence(pid: int, login: str | None, application: str | None, since: datetime | None) -> str:
    if not pid:
        return "waiting for a lock that a prepared transaction holds (see pg_prepared_xacts)"
    begun = f", since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return (
        f"waiting for a lock that process {pid} holds: user {login!r}, application "
        f"{application!r}{begun}"
    )
