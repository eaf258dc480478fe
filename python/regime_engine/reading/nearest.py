"""The search for the stored windows nearest to a given one.

It is exact, and it has two steps. The first computes a lower bound of every window's distance: in
float32, or by the index of a whole market. The second takes the windows in the order of their
bounds and measures them in double precision, until no unmeasured window can be nearer than those
chosen.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from psycopg import sql
from psycopg.rows import dict_row

from regime_engine.database import Database, binary, connect
from regime_engine.database.statements import statement
from regime_engine.reading.rows import embedded_instruments
from regime_engine.series import Series
from regime_engine.store import nearest_index

# A connection reads at least this many instruments: for fewer, opening it costs more than it saves.
INSTRUMENTS_A_CONNECTION = 32
MAX_CONNECTIONS = 8
# Of a search by the index: 150 MB of the widest vectors.
MAX_ROWS_A_FETCH = 100_000
# Windows at a time, so that their differences stay in the processor's cache.
_CHUNK = 128


@dataclass(frozen=True)
class Window:
    """An embedded window. vector: (dimension,) float32"""

    instrument_id: str
    as_of_date: date
    first_trade_date: date
    last_trade_date: date
    vector: np.ndarray

    def overlaps(self, other: "Window") -> bool:
        return (
            self.instrument_id == other.instrument_id
            and self.first_trade_date <= other.last_trade_date
            and other.first_trade_date <= self.last_trade_date
        )

    def distance_to(self, other: "Window") -> float:
        return float(np.linalg.norm(other.vector.astype(float) - self.vector.astype(float)))


@dataclass(frozen=True)
class Neighbour:
    """A window and its distance to the asked one."""

    window: Window
    distance: float

    @property
    def rank(self) -> tuple[float, str, date]:
        return self.distance, self.window.instrument_id, self.window.as_of_date


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of the distances of m windows to the asked one.

    instrument_ids: (m,) object; as_of_dates: (m,) datetime64[D]; distances: (m,) float32
    """

    instrument_ids: np.ndarray
    as_of_dates: np.ndarray
    distances: np.ndarray

    @classmethod
    def joined(cls, parts: "Sequence[Bounds]") -> "Bounds":
        none = cls(np.empty(0, object), np.empty(0, "M8[D]"), np.empty(0, np.float32))
        parts = [none, *parts]
        return cls(
            np.concatenate([part.instrument_ids for part in parts]),
            np.concatenate([part.as_of_dates for part in parts]),
            np.concatenate([part.distances for part in parts]),
        )


def search(
    database: Database, series: Series, asked: Window, instrument_ids: list[str] | None, n: int
) -> list[Neighbour]:
    """The n nearest windows that end before the asked one begins, nearest first.

    Two windows of one instrument share no day.
    database: in no transaction, or in one that is repeatable read
    instrument_ids: None for all, which are searched by the index if there is one
    """
    measured: list[Neighbour] = []
    chosen: list[Neighbour] = []
    # All connections read the same state of the tables.
    with database.transaction():
        database.execute("set transaction isolation level repeatable read, read only")
        for windows, limit in _candidates(database, series, asked, instrument_ids, n):
            measured += [Neighbour(window, asked.distance_to(window)) for window in windows]
            chosen = _apart(measured, limit, n)
            if len(chosen) == n:
                break
    return chosen


def _candidates(
    database: Database, series: Series, asked: Window, instrument_ids: list[str] | None, n: int
) -> Iterator[tuple[list[Window], float]]:
    """More and more windows; with each batch a distance that no later window is nearer than."""
    if instrument_ids is None:
        extension = nearest_index.extension_of(database, series.model_id, series.window_days)
        if extension:
            yield from _by_index(database, series, extension, asked, min(4 * n, MAX_ROWS_A_FETCH))
            return
        instrument_ids = embedded_instruments(database)
    bounds = _lower_bounds(database, series, asked, instrument_ids)
    yield from _by_bound(database, series, bounds, 32 * n)


def _apart(measured: list[Neighbour], limit: float, n: int) -> list[Neighbour]:
    """The nearest n within the limit that share no day with a nearer one of their instrument."""
    chosen: list[Neighbour] = []
    for neighbour in sorted(measured, key=lambda neighbour: neighbour.rank):
        if neighbour.distance > limit or len(chosen) == n:
            break
        if not any(neighbour.window.overlaps(nearer.window) for nearer in chosen):
            chosen.append(neighbour)
    return chosen


def _by_index(
    database: Database, series: Series, extension: str, asked: Window, n: int
) -> Iterator[tuple[list[Window], float]]:
    """The nearest windows by the index, n at a time. extension: the schema of pgvector"""
    dimension = len(asked.vector)
    query = database.compose(
        """
        select
            entity_id as instrument_id,
            as_of_date,
            (window_spec ->> 'first_trade_date')::date as first_trade_date,
            (window_spec ->> 'last_trade_date')::date as last_trade_date,
            vector,
            {numbers} operator({extension}.<->) %(asked)s::real[]::{extension}.halfvec as distance
        from {numeric_window_embeddings}
        where {condition} and as_of_date < %(before)s
        order by distance
        """,
        numbers=nearest_index.numbers(database, extension, dimension),
        extension=sql.Identifier(extension),
        condition=nearest_index.condition(series.model_id, series.window_days, dimension),
    )
    vector = asked.vector[: nearest_index.size(dimension)]
    parameters = {"asked": vector.tolist(), "before": asked.first_trade_date}
    # Rule out every other plan: it would decode every vector in SQL.
    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
        database.execute("set local {setting} = off", setting=sql.Identifier(setting))
    # The index sorts some 50 bytes a window.
    database.execute("set local work_mem = '256MB'")
    norm = float(np.linalg.norm(vector))
    limit = 0.0
    with database.connection.cursor("nearest", binary=True, row_factory=dict_row) as cursor:
        cursor.execute(query, parameters)
        while limit < np.inf:
            rows = cursor.fetchmany(n)
            limit = np.inf
            if len(rows) == n:
                # Both vectors are rounded to 11 bits. The norm of a window is at most the norm of
                # the asked one plus the distance.
                furthest = rows[-1]["distance"]
                limit = furthest - 2**-10 * (2 * norm + furthest)
            yield [_window(row) for row in rows], limit


def _by_bound(
    database: Database, series: Series, bounds: Bounds, n: int
) -> Iterator[tuple[list[Window], float]]:
    """Windows in the order of their bounds, the n nearest first, then twice as many each time.

    With each batch comes a distance that no later window is nearer than.
    """
    done = -np.inf
    while done < np.inf:
        is_last = n >= len(bounds.distances)
        limit = np.inf if is_last else np.partition(bounds.distances, n)[n]
        which = (bounds.distances > done) & (bounds.distances <= limit)
        instrument_ids = bounds.instrument_ids[which].tolist()
        as_of_dates = bounds.as_of_dates[which].tolist()
        yield fetch(database, series, instrument_ids, as_of_dates), limit
        done, n = limit, 2 * n


def _lower_bounds(
    database: Database, series: Series, asked: Window, instrument_ids: list[str]
) -> Bounds:
    """The bounds of every window that ends before the asked one begins, read by several connections
    at once."""
    n = min(len(instrument_ids) // INSTRUMENTS_A_CONNECTION, os.cpu_count() or 1, MAX_CONNECTIONS)
    if n < 2:
        return Bounds.joined(_measure_roughly(database, series, asked, instrument_ids))
    (snapshot,) = database.one("select pg_export_snapshot()")

    def share(k: int) -> list[Bounds]:
        with connect(database.settings) as other, other.transaction():
            other.execute("set transaction isolation level repeatable read, read only")
            other.execute("set transaction snapshot {snapshot}", snapshot=sql.Literal(snapshot))
            return _measure_roughly(other, series, asked, instrument_ids[k::n])

    with ThreadPoolExecutor(n) as pool:
        return Bounds.joined([part for parts in pool.map(share, range(n)) for part in parts])


def _measure_roughly(
    database: Database, series: Series, asked: Window, instrument_ids: list[str]
) -> list[Bounds]:
    """The bounds of each instrument's windows. One instrument's vectors are in memory at a time."""
    dimension = len(asked.vector)
    query = database.compose(statement(__package__, "vectors_of_instrument"))
    # The largest relative error of a sum of `dimension` squares in float32.
    rounding = (dimension + 2) * np.finfo(np.float32).eps
    bounds = []
    for instrument_id in instrument_ids:
        parameters = vars(series) | {
            "instrument_id": instrument_id,
            "before": asked.first_trade_date,
            "dimension": dimension,
        }
        for as_of_dates, vectors in binary.receive(database, query, parameters):
            squares = _squares(np.frombuffer(vectors, "<f4").reshape(-1, dimension), asked.vector)
            instruments = np.full(len(squares), instrument_id, object)
            distances = np.sqrt(squares) * np.float32(1 - rounding)
            bounds.append(Bounds(instruments, binary.dates(as_of_dates), distances))
    return bounds


def _squares(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Squared distances in float32, at most the largest float32: (m, d), (d,) → (m,)"""
    squares = np.empty(len(vectors), np.float32)
    differences = np.empty((_CHUNK, len(vector)), np.float32)
    with np.errstate(over="ignore"):
        for begin in range(0, len(vectors), _CHUNK):
            chunk = vectors[begin : begin + _CHUNK]
            difference = np.subtract(chunk, vector, out=differences[: len(chunk)])
            np.einsum("ij,ij->i", difference, difference, out=squares[begin : begin + len(chunk)])
    return np.minimum(squares, np.finfo(np.float32).max)


def fetch(
    database: Database, series: Series, instrument_ids: list[str], as_of_dates: list[date]
) -> list[Window]:
    """Those windows of these keys that are stored."""
    with database.connection.cursor(binary=True, row_factory=dict_row) as cursor:
        rows = cursor.execute(
            database.compose(statement(__package__, "windows")),
            vars(series) | {"instrument_ids": instrument_ids, "as_of_dates": as_of_dates},
        )
        return [_window(row) for row in rows]


def _window(row: dict[str, Any]) -> Window:
    return Window(
        instrument_id=row["instrument_id"],
        as_of_date=row["as_of_date"],
        first_trade_date=row["first_trade_date"],
        last_trade_date=row["last_trade_date"],
        vector=np.frombuffer(row["vector"], "<f4"),
    )
