"""Postgres's binary COPY format, to and from numpy, without a Python object a value.

Format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 (11-byte signature,
flags, header extension; a row is an int16 field count, a field an int32 length and its bytes).
"""

from collections.abc import Sequence

import numpy as np
import psycopg
from psycopg import sql

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH = np.datetime64("2000-01-01", "D")

# numpy's name of what a column holds → its bytes in Postgres
WIRE_TYPES = {"date": ">i4", "int4": ">i4", "int8": ">i8", "float8": ">f8"}


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

    types: names of WIRE_TYPES, one a column; no value may be null
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
            columns.append(values.astype(WIRE_TYPES[name][1:]))
    return columns


def fixed(name: str, values: np.ndarray) -> np.ndarray:
    """A column of numbers or dates: (n,) → (n, 4 + width) uint8, each field with its length."""
    if name == "date":
        values = days_since_epoch(values)
    return fixed_bytes(np.ascontiguousarray(values, dtype=WIRE_TYPES[name])[:, None])


def fixed_bytes(values: np.ndarray) -> np.ndarray:
    """A bytea column of equal lengths: (n, m) of any type → (n, 4 + width) uint8."""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    length = np.frombuffer(np.array(raw.shape[1], ">i4").tobytes(), np.uint8)
    return np.hstack([np.broadcast_to(length, (len(raw), 4)), raw])


def text(value: str | None) -> bytes:
    """A text field with its length; null is length -1."""
    if value is None:
        return b"\xff\xff\xff\xff"
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def jsonb(value: str) -> bytes:
    """A jsonb field with its length: version 1, then the text."""
    encoded = value.encode()
    return (len(encoded) + 1).to_bytes(4, "big") + b"\x01" + encoded


def write(
    connection: psycopg.Connection,
    statement: sql.Composable,
    fixed_columns: Sequence[np.ndarray],
    other_columns: Sequence[Sequence[bytes]] = (),
) -> None:
    """`copy … from stdin (format binary)`: the fixed columns first, then the others."""
    count = np.array(len(fixed_columns) + len(other_columns), ">i2")
    n = len(fixed_columns[0])
    fields = np.broadcast_to(np.frombuffer(count.tobytes(), np.uint8), (n, 2))
    block = np.hstack([fields, *fixed_columns])
    if other_columns:
        parts = [[row.tobytes() for row in block], *other_columns]
        body = b"".join([field for row in zip(*parts, strict=True) for field in row])
    else:
        body = block.tobytes()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER + body + TRAILER)
