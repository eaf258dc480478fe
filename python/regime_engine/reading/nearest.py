"""The search for the stored windows nearest to a given one.

It is exact, and in two steps. The first gives lower bounds of every window's distance: in float32,
or by the index of a whole market. The second takes the windows in the order of the bounds and
measures them in double precision, until no unmeasured one can be nearer than those chosen.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import sql

from regime_engine.database import Database, binary, connect
from regime_engine.series import Series
from regime_engine.store import nearest_index
from regime_engine.store.embeddings import EMBEDDINGS

# Fewer instruments are read by one connection: more of them would cost more than they save.
INSTRUMENTS_A_CONNECTION = 32
MAX_CONNECTIONS = 8
# By the index: 150 MB of the widest vectors.
MAX_ROWS_A_FETCH = 100_000
# Windows whose differences stay in the processor's cache.
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


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of m windows' distances to the one asked about.

    instrument_ids: (m,) object; as_of_dates: (m,) datetime64[D]; distances: (m,) float32
    """

    instrument_ids: np.ndarray
    as_of_dates: np.ndarray
    distances: np.ndarray


def search(
    database: Database,
    series: Series,
    asked: Window,
    instrument_ids: list[str] | None,
    n: int,
) -> list[tuple[Window, float]]:
    """The n nearest windows that end before the asked one begins, and their distances.

    Those of one instrument share no day. instrument_ids: None for all; these are searched by the
    index, if there is one. connection: in no transaction, or in one that is repeatable read
    """
    measured: dict[tuple[float, str, date], Window] = {}
    chosen: list[tuple[Window, float]] = []
    # One state of the tables for all that is read, by whichever connection.
    with database.transaction():
        database.execute("set transaction isolation level repeatable read, read only")
        for windows, limit in _candidates(database, series, asked, instrument_ids, n):
            for window in windows:
                distance = _distance(window.vector, asked.vector)
                measured[distance, window.instrument_id, window.as_of_date] = window
            chosen = _apart(measured, limit, n)
            if len(chosen) == n:
                break
    return chosen


def _candidates(
    database: Database,
    series: Series,
    asked: Window,
    instrument_ids: list[str] | None,
    n: int,
) -> Iterator[tuple[list[Window], float]]:
    """More and more windows, with the distance that none is nearer than of those to come."""
    if instrument_ids is None:
        extension = nearest_index.extension_of(database, series.model_id, series.window_days)
        if extension:
            rows = min(4 * n, MAX_ROWS_A_FETCH)
            yield from _by_index(database, series, extension, asked, rows)
            return
        instrument_ids = _embedded(database)
    bounds = _lower_bounds(database, series, asked, instrument_ids)
    yield from _by_bound(database, series, bounds, 32 * n)


def _distance(vector: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(vector.astype(float) - other.astype(float)))


def _apart(
    measured: dict[tuple[float, str, date], Window], limit: float, n: int
) -> list[tuple[Window, float]]:
    """The first n within the limit that share no day with one before them of their instrument."""
    chosen: list[tuple[Window, float]] = []
    for key in sorted(measured):
        distance, window = key[0], measured[key]
        if distance > limit or len(chosen) == n:
            break
        if not any(window.overlaps(nearer) for nearer, _ in chosen):
            chosen.append((window, distance))
    return chosen


def _by_index(
    database: Database,
    series: Series,
    extension: str,
    asked: Window,
    n: int,
) -> Iterator[tuple[list[Window], float]]:
    """The nearest by the index, n at a time. extension: the schema of pgvector"""
    dimension = len(asked.vector)
    query = sql.SQL("""
        select
            entity_id,
            as_of_date,
            (window_spec ->> 'first_trade_date')::date,
            (window_spec ->> 'last_trade_date')::date,
            vector,
            {numbers} operator({extension}.<->) %(asked)s::real[]::{extension}.halfvec as distance
        from {table}
        where {condition} and as_of_date < %(before)s
        order by distance
    """).format(
        numbers=nearest_index.numbers(database, extension, dimension),
        extension=sql.Identifier(extension),
        table=EMBEDDINGS.identifier(database),
        condition=nearest_index.condition(series.model_id, series.window_days, dimension),
    )
    vector = asked.vector[: nearest_index.size(dimension)]
    parameters = {"asked": vector.tolist(), "before": asked.first_trade_date}
    # No other plan: it would decode every vector in SQL.
    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"):
        database.execute(sql.SQL("set local {} = off").format(sql.Identifier(setting)))
    # What the index sorts: some 50 bytes a window.
    database.execute("set local work_mem = '256MB'")
    norm = float(np.linalg.norm(vector))
    limit = 0.0
    with database.cursor("nearest", binary=True) as cursor:
        cursor.execute(query, parameters)
        while limit < np.inf:
            rows = cursor.fetchmany(n)
            limit = np.inf
            if len(rows) == n:
                # Both ends are rounded to 11 bits; one norm is at most the other and the distance.
                furthest = rows[-1][-1]
                limit = furthest - 2**-10 * (2 * norm + furthest)
            yield [Window(*key, np.frombuffer(sent, "<f4")) for *key, sent, _ in rows], limit


def _embedded(database: Database) -> list[str]:
    """Every instrument with embeddings: one look into the key's index each."""
    rows = database.execute(
        sql.SQL("""
            with recursive embedded as (
                select min(entity_id) as entity_id from {table} where entity_type = 'INSTRUMENT'

                union all

                select (
                    select min(stored.entity_id)
                    from {table} as stored
                    where
                        stored.entity_type = 'INSTRUMENT'
                        and stored.entity_id > embedded.entity_id
                )
                from embedded
                where embedded.entity_id is not null
            )

            select entity_id from embedded where entity_id is not null
        """).format(table=EMBEDDINGS.identifier(database))
    )
    return [instrument_id for (instrument_id,) in rows]


def _by_bound(
    database: Database, series: Series, bounds: Bounds, n: int
) -> Iterator[tuple[list[Window], float]]:
    """Windows by their bounds, first the n nearest; and what no window to come is nearer than."""
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
    database: Database,
    series: Series,
    asked: Window,
    instrument_ids: list[str],
) -> Bounds:
    """Of every window that ends before the asked one begins, by several connections at once."""
    n = min(len(instrument_ids) // INSTRUMENTS_A_CONNECTION, os.cpu_count() or 1, MAX_CONNECTIONS)
    if n < 2:
        return _concatenate(_measure_roughly(database, series, asked, instrument_ids))
    (snapshot,) = database.execute("select pg_export_snapshot()").fetchone()

    def share(k: int) -> list[Bounds]:
        with connect(database) as other, other.transaction():
            other.execute("set transaction isolation level repeatable read, read only")
            other.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
            return _measure_roughly(other, database, series, asked, instrument_ids[k::n])

    with ThreadPoolExecutor(n) as pool:
        return _concatenate([part for parts in pool.map(share, range(n)) for part in parts])


def _measure_roughly(
    database: Database,
    series: Series,
    asked: Window,
    instrument_ids: list[str],
) -> list[Bounds]:
    """Of one instrument each, one at a time in memory."""
    dimension = len(asked.vector)
    query = sql.SQL("""
        select wanted.number::integer, entity.as_of_dates, entity.vectors
        from unnest(%(instrument_ids)s::text[]) with ordinality as wanted (entity_id, number)
        cross join lateral (
            select
                string_agg(date_send(stored.as_of_date), '') as as_of_dates,
                string_agg(stored.vector, '') as vectors
            from {table} as stored
            where
                stored.entity_type = 'INSTRUMENT' and stored.entity_id = wanted.entity_id
                and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
                and stored.as_of_date < %(before)s and stored.dimension = %(dimension)s
        ) as entity
        where entity.vectors is not null
    """).format(table=EMBEDDINGS.identifier(database))
    parameters = vars(series) | {
        "instrument_ids": instrument_ids,
        "before": asked.first_trade_date,
        "dimension": dimension,
    }
    # A sum of so many squares in float32 is off by no more than this part of it.
    rounding = (dimension + 2) * np.finfo(np.float32).eps
    bounds = []
    for number, as_of_dates, vectors in binary.receive(database, query, parameters):
        instrument_id = instrument_ids[int.from_bytes(number, "big") - 1]
        squares = _squares(np.frombuffer(vectors, "<f4").reshape(-1, dimension), asked.vector)
        bounds.append(
            Bounds(
                np.full(len(squares), instrument_id, object),
                binary.dates(as_of_dates),
                np.sqrt(squares) * np.float32(1 - rounding),
            )
        )
    return bounds


def _concatenate(parts: list[Bounds]) -> Bounds:
    if not parts:
        return Bounds(np.empty(0, object), np.empty(0, "M8[D]"), np.empty(0, np.float32))
    fields = ("instrument_ids", "as_of_dates", "distances")
    return Bounds(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def _squares(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Squared distances in float32, or the largest float32: (m, d), (d,) → (m,)"""
    squares = np.empty(len(vectors), np.float32)
    differences = np.empty((_CHUNK, len(vector)), np.float32)
    with np.errstate(over="ignore"):
        for begin in range(0, len(vectors), _CHUNK):
            chunk = vectors[begin : begin + _CHUNK]
            difference = np.subtract(chunk, vector, out=differences[: len(chunk)])
            np.einsum("ij,ij->i", difference, difference, out=squares[begin : begin + len(chunk)])
    return np.minimum(squares, np.finfo(np.float32).max)


def fetch(
    database: Database,
    series: Series,
    instrument_ids: list[str],
    as_of_dates: list[date],
) -> list[Window]:
    """The windows of these keys, as far as they are stored."""
    with database.cursor(binary=True) as cursor:
        rows = cursor.execute(
            sql.SQL("""
                select
                    stored.entity_id,
                    stored.as_of_date,
                    (stored.window_spec ->> 'first_trade_date')::date,
                    (stored.window_spec ->> 'last_trade_date')::date,
                    stored.vector
                from unnest(%(instrument_ids)s::text[], %(as_of_dates)s::date[])
                    as wanted (entity_id, as_of_date)
                inner join {table} as stored
                    on
                        stored.entity_type = 'INSTRUMENT'
                        and stored.entity_id = wanted.entity_id
                        and stored.as_of_date = wanted.as_of_date
                        and stored.model_id = %(model_id)s
                        and stored.window_days = %(window_days)s
            """).format(table=EMBEDDINGS.identifier(database)),
            vars(series) | {"instrument_ids": instrument_ids, "as_of_dates": as_of_dates},
        )
        return [Window(*key, np.frombuffer(vector, "<f4")) for *key, vector in rows]
