"""Postgres's binary COPY format, to and from numpy, without a Python object a value.

Format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 (11-byte signature,
flags, header extension; a row is an int16 field count, a field an int32 length and its bytes).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import psycopg
from psycopg import sql

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH = np.datetime64("2000-01-01", "D")

# numpy's name of what a column holds → its bytes in Postgres
WIRE_TYPES = {"date": ">i4", "int4": ">i4", "int8": ">i8", "float8": ">f8", "hex_sha256": "S64"}


def days_since_epoch(dates: np.ndarray) -> np.ndarray:
    """dates: (n,) datetime64[D] → (n,) int64, the days that Postgres stores"""
    return (dates - POSTGRES_EPOCH).astype(np.int64)


def read(
    connection: psycopg.Connection,
    query: sql.Composable,
    parameters: Sequence[object],
    types: Sequence[str],
) -> list[np.ndarray]:
    """The columns of a query, one array each; dates as datetime64[D].

    types: names of WIRE_TYPES, one a column; no value may be null, or of another length
    """
    row = [("fields", ">i2")]
    for position, name in enumerate(types):
        row += [(f"length_{position}", ">i4"), (f"value_{position}", WIRE_TYPES[name])]
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        stream = b"".join(copy)
    rows = np.frombuffer(stream[len(HEADER) : -len(TRAILER)], dtype=row)
    columns = []
    for position, name in enumerate(types):
        values = rows[f"value_{position}"]
        if name == "date":
            columns.append(POSTGRES_EPOCH + values.astype("timedelta64[D]"))
        else:
            columns.append(values.astype(np.dtype(WIRE_TYPES[name]).newbyteorder("=")))
    return columns


def fixed(name: str, values: np.ndarray) -> np.ndarray:
    """A column of numbers or dates: (n,) → (n, width) uint8."""
    if name == "date":
        values = days_since_epoch(values)
    return fixed_bytes(np.ascontiguousarray(values, dtype=WIRE_TYPES[name])[:, None])


def fixed_bytes(values: np.ndarray) -> np.ndarray:
    """A bytea or text column of equal lengths: (n, m) of any type → (n, width) uint8."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def text(value: str | None) -> bytes:
    """A text field with its length; null is length -1."""
    if value is None:
        return b"\xff\xff\xff\xff"
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def jsonb(value: str) -> bytes:
    """A jsonb field with its length: version 1, then the text."""
    return (len(value.encode()) + 1).to_bytes(4, "big") + b"\x01" + value.encode()


def pack(columns: Sequence[np.ndarray | bytes], n: int, more_columns: int = 0) -> np.ndarray:
    """n rows of one length, ready to be sent: (n, bytes a row) uint8

    columns: (n, width) uint8 each, or the bytes that are the same on every row
    more_columns: how many fields the rows have that are appended later
    """
    fields = [np.frombuffer(c, np.uint8) if isinstance(c, bytes) else c for c in columns]
    rows = np.empty((n, 2 + sum(4 + field.shape[-1] for field in fields)), np.uint8)
    rows[:, :2] = _big_endian(len(fields) + more_columns, ">i2")
    position = 2
    for field in fields:
        width = field.shape[-1]
        rows[:, position : position + 4] = _big_endian(width, ">i4")
        rows[:, position + 4 : position + 4 + width] = field
        position += 4 + width
    return rows


def send(
    connection: psycopg.Connection,
    statement: sql.Composable,
    blocks: Iterable[np.ndarray | bytes],
    parameters: Sequence[object] | None = None,
) -> None:
    """`copy … from stdin (format binary)` of packed rows, block by block as they come."""
    with connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        copy.write(HEADER)
        for block in blocks:
            copy.write(block if isinstance(block, bytes) else memoryview(block).cast("B"))
        copy.write(TRAILER)


def rows(
    fixed_columns: Sequence[np.ndarray | bytes],
    other_columns: Sequence[Sequence[bytes]],
    n: int,
) -> bytes:
    """n rows of the fixed columns (see pack), then of fields that have their lengths in them."""
    packed = pack(fixed_columns, n, more_columns=len(other_columns))
    parts = [[row.tobytes() for row in packed], *other_columns]
    return b"".join([field for row in zip(*parts, strict=True) for field in row])


def _big_endian(number: int, wire_type: str) -> np.ndarray:
    return np.frombuffer(np.array(number, wire_type).tobytes(), np.uint8)
