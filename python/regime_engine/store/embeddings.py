"""Window embeddings as packed rows, and the writing of them."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import psycopg
from psycopg import sql

from regime_engine import seals
from regime_engine.database import Database, binary
from regime_engine.database.statements import names, statement
from regime_engine.runs import Run, add_rows_written, orphaned
from regime_engine.store.rows import (
    Table,
    different,
    insert_missing,
    remove,
    vanished,
)
from regime_engine.windows import Windows

EMBEDDINGS = Table(
    name="numeric_window_embeddings",
    key=("entity_type", "entity_id", "as_of_date", "model_id", "window_days"),
    entity="entity_id",
    of_entity=sql.SQL("stored.entity_type = 'INSTRUMENT' and stored.entity_id = %(entity)s"),
    content=("window_spec", "vector", "dimension", "window_hash", "row_hash"),
    window_column="window_spec",
)
_COLUMNS = names((*EMBEDDINGS.columns, "run_id", "created_at"))
INCOMING = sql.SQL("select {} from incoming_embeddings").format(names(EMBEDDINGS.columns))
# A vacuum is worth its time where more of a table's pages are new, or more of its rows dead.
MOST_UNMARKED = 0.05
_MICROSECONDS_TO_2000 = 946_684_800 * 10**6  # Postgres's epoch, in Unix time
_OF_THE_SERIES = sql.SQL("""
    stored.entity_type = 'INSTRUMENT'
    and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
    and stored.as_of_date between %(first)s and %(last)s
""")
_ASKED = sql.SQL("stored.entity_id = any(%(instrument_ids)s) and {}").format(_OF_THE_SERIES)


@dataclass(frozen=True)
class Scope:
    """Which rows are meant: an encoder, a window length, and the first and the last date."""

    model_id: str
    window_days: int
    first: date
    last: date


@dataclass(frozen=True)
class Stored:
    """What is stored of an instrument's windows, by date.

    as_of_dates: (n,) datetime64[D]; window_hashes: (n,) S16
    has_orphans: whether some row's run failed or died after the row was committed
    has_own: whether some row is of the run itself, whose worker died and is replaced
    """

    as_of_dates: np.ndarray
    window_hashes: np.ndarray
    has_orphans: bool
    has_own: bool


@dataclass(frozen=True)
class Batch:
    """What one transaction brings to the embeddings of some instruments.

    rows: instrument_id → packed windows that are not stored, or are stored with other content
    vanished: (instrument_id, date) of stored windows that no price supports any more
    has_orphans: whether some equal rows are of runs that failed or died
    has_own: whether some stored rows are of the run itself
    """

    instrument_ids: list[str] = field(default_factory=list)
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    vanished: list[tuple[str, date]] = field(default_factory=list)
    has_orphans: bool = False
    has_own: bool = False

    @property
    def is_to_be_written(self) -> bool:
        return bool(self.rows or self.vanished or self.has_orphans)


@dataclass(frozen=True)
class Written:
    """What one transaction wrote.

    n_rows: inserted, replaced or taken over
    hashes: instrument_id → the hash over its rows; only of rows that were sent straight
    """

    n_rows: int
    hashes: dict[str, str] = field(default_factory=dict)


def pack(run: Run, model_id: str, windows: Windows, embeddings: np.ndarray) -> np.ndarray:
    """The rows of one instrument's windows, as binary COPY sends them: (n, bytes a row) uint8

    embeddings: (n, dimension) float32, one a window
    """
    row = contents(model_id, windows, embeddings)
    n, dimension = embeddings.shape
    return binary.pack(
        [
            b"INSTRUMENT",
            windows.instrument_id.encode(),
            binary.fixed("date", windows.as_of_dates),
            model_id.encode(),
            windows.window_days.to_bytes(4, "big"),
            binary.joined([b"\x01", row["window_spec"]], n),  # version 1 of jsonb on the wire
            row["vector"],
            dimension.to_bytes(4, "big"),
            row["window_hash"],
            row["row_hash"],
            run.run_id.bytes,
            bytes(8),  # created_at, which send_straight fills in
        ],
        n,
    )


def contents(model_id: str, windows: Windows, embeddings: np.ndarray) -> dict[str, np.ndarray]:
    """What is stored of one instrument's windows: column → (n, bytes) uint8, its text or bytes

    embeddings: (n, dimension) float32, one a window
    """
    vectors = np.ascontiguousarray(embeddings, "<f4")
    n, dimension = vectors.shape
    numbers = binary.fixed_bytes(vectors)
    window_spec, window_hashes = _window_spec(windows), hash_text(windows.hashes)
    # What the macro embedding_hash hashes: the canonical text of a JSON array, then the vector.
    key = ["INSTRUMENT", windows.instrument_id, "DATE", model_id, windows.window_days]
    before_date, after_date = _json(key)[:-1].encode().split(b"DATE")
    hashed = binary.joined(
        [
            before_date,
            binary.text_of_dates(windows.as_of_dates),
            after_date + b", ",
            window_spec,
            f', {dimension}, "'.encode(),
            window_hashes,
            b'"]',
            numbers,
        ],
        n,
    )
    return {
        "window_spec": window_spec,
        "vector": numbers,
        "window_hash": window_hashes,
        "row_hash": binary.hex_digits(binary.sha256(hashed)),
    }


def hash_text(hashes: np.ndarray) -> np.ndarray:
    """(n,) uint64 → (n, 16) uint8, as window_hash is stored"""
    return binary.hex_digits(hashes.astype(">u8")[:, None].view(np.uint8))


def lock(database: Database, instrument_ids: list[str], model_id: str, window_days: int) -> None:
    """Writers of an instrument's embeddings take turns until commit."""
    database.take_turns(
        f"embeddings/{instrument_id}/{model_id}/{window_days}" for instrument_id in instrument_ids
    )


def fetch(database: Database, run: Run, instrument_ids: list[str], scope: Scope) -> list[Stored]:
    """What is stored of each instrument's windows, for a run that is to write them."""
    stored = statement(__package__, "stored_windows")
    query = database.compose(stored, orphaned=orphaned(database), of_the_series=_OF_THE_SERIES)
    parameters = vars(scope) | {"instrument_ids": instrument_ids, "run_id": run.run_id}
    types = ["date", "hex_64_bits", "bool"]
    rows = binary.read(database, query, parameters, types)
    found = []
    for instrument_id in instrument_ids:
        dates, hashes, marks = rows.get(instrument_id) or binary.empty(types)
        order = dates.argsort()
        has_orphans, has_own = marks if len(marks) else (False, False)
        found.append(Stored(dates[order], hashes[order], bool(has_orphans), bool(has_own)))
    return found


def write(database: Database, run: Run, scope: Scope, batch: Batch) -> Written:
    """Write a batch in one transaction."""
    parameters = vars(scope) | {"instrument_ids": batch.instrument_ids, "run_id": run.run_id}
    with database.transaction():
        # The planner expects many rows, and would scan the table where there is none.
        database.execute("set local enable_seqscan = off")
        lock(database, batch.instrument_ids, scope.model_id, scope.window_days)
        stored = "select exists (select 1 from {numeric_window_embeddings} as stored where {asked})"
        if database.one(stored, parameters, asked=_ASKED)[0]:
            send_incoming(database, batch.rows.values())
            written = Written(_merge(database, batch, parameters))
        else:
            send_straight(database, list(batch.rows.values()))
            hashes = {name: _hash_of_rows(rows) for name, rows in batch.rows.items()}
            written = Written(sum(map(len, batch.rows.values())), hashes)
        add_rows_written(database, run, {EMBEDDINGS.name: written.n_rows})
    return written


def mark_visible(database: Database) -> None:
    """Vacuum where many pages are new or many rows dead.

    Only a vacuum marks a page whose rows all sessions may see. Where pages are marked, the key's
    index alone tells which windows are stored. Nothing but time depends on it: autovacuum does
    later what this login may not vacuum, or not within its statement_timeout.
    """
    right = "has_table_privilege(pg_class.oid, 'MAINTAIN')"
    if database.connection.info.server_version < 170000:
        right = "pg_has_role(relowner, 'USAGE')"
    parameters = {"table": database.table(EMBEDDINGS.name).as_string(), "most": MOST_UNMARKED}
    with contextlib.suppress(psycopg.OperationalError):
        tables = database.execute(
            statement(__package__, "unmarked_tables"), parameters, may_vacuum=sql.SQL(right)
        ).fetchall()
        if tables:
            parts = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
            database.execute("vacuum (skip_locked, truncate off) {parts}", parts=parts)


def send_incoming(database: Database, rows: Iterable[np.ndarray]) -> None:
    """Send packed rows into the temporary table incoming_embeddings, which a commit empties."""
    database.execute("""
        create temporary table if not exists incoming_embeddings (like {numeric_window_embeddings})
        on commit delete rows
    """)
    _send(database, sql.Identifier("incoming_embeddings"), rows)


def _merge(database: Database, batch: Batch, parameters: dict[str, object]) -> int:
    outdated = different(database, EMBEDDINGS, INCOMING, parameters)
    if batch.vanished:
        instrument_ids, dates = zip(*batch.vanished, strict=True)
        which = sql.SQL("""
            {}
            and (stored.entity_id, stored.as_of_date) in (
                select * from unnest(%(vanished_ids)s::text[], %(vanished_dates)s::date[])
            )
        """).format(_ASKED)
        asked = {"vanished_ids": list(instrument_ids), "vanished_dates": list(dates)}
        outdated += vanished(database, EMBEDDINGS, which, parameters | asked)
    with database.pipeline():
        remove(database, EMBEDDINGS, outdated, parameters)
        written = [database.execute(insert_missing(database, EMBEDDINGS, INCOMING), parameters)]
        if batch.has_orphans:
            # Rows that are right as they stand, of runs that failed or died, become this run's.
            take_over = """
                update {numeric_window_embeddings} as stored
                set run_id = %(run_id)s, created_at = now()
                where {asked} and {orphaned}
            """
            taken = database.execute(
                take_over, parameters, asked=_ASKED, orphaned=orphaned(database)
            )
            written.append(taken)
    return sum(cursor.rowcount for cursor in written)


def send_straight(database: Database, rows: list[np.ndarray]) -> None:
    """Send packed rows into the table itself; fails where one is stored already."""
    (now,) = database.one(
        "select int8send((extract(epoch from clock_timestamp() - timestamptz '2000-01-01Z') * 1e6)"
        "::bigint)"
    )
    for block in rows:
        block[:, -8:] = np.frombuffer(now, np.uint8)
    _send(database, database.table(EMBEDDINGS.name), rows)


def _hash_of_rows(rows: np.ndarray) -> str:
    """The hash over rows that were sent straight, as a run seals them."""
    # The ends of a packed row: row_hash, run_id and created_at, the last two with their lengths.
    row_hashes = np.sort(np.ascontiguousarray(rows[:, -96:-32]).view("S64"), axis=0)
    microseconds = int.from_bytes(rows[0, -8:].tobytes(), "big") + _MICROSECONDS_TO_2000
    created_at = b" %d.%06d" % divmod(microseconds, 10**6)
    lines = binary.joined([binary.fixed_bytes(row_hashes), created_at + b"\n"], len(rows))
    return seals.of_sorted_lines(lines.tobytes()[:-1])


def _send(database: Database, table: sql.Identifier, rows: Iterable[np.ndarray]) -> None:
    binary.send(
        database, sql.SQL("copy {} ({}) from stdin (format binary)").format(table, _COLUMNS), rows
    )


def _window_spec(windows: Windows) -> np.ndarray:
    """(n, bytes) uint8, the window_spec of each window, its keys in the order of jsonb's text."""
    return binary.joined(
        [
            f'{{"rows": {windows.window_days}, "columns": {_json(windows.columns)}, '.encode(),
            b'"last_trade_date": "',
            binary.text_of_dates(windows.last_trade_dates),
            b'", "first_trade_date": "',
            binary.text_of_dates(windows.first_trade_dates),
            b'"}',
        ],
        len(windows),
    )


def _json(value: Sequence[object]) -> str:
    """As Postgres writes jsonb that has these values."""
    return json.dumps(value, ensure_ascii=False)
