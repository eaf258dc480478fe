"""Postgres's binary formats, to and from numpy, without a Python object a value.

COPY: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 (11-byte signature,
flags, header extension; a row is an int16 field count, a field an int32 length and its bytes).
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from psycopg import sql

from regime_engine.database import Database

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
ARRAY_HEADER = 20
POSTGRES_EPOCH = np.datetime64("2000-01-01", "D")

# numpy's name of what a column holds → its bytes in Postgres
WIRE_TYPES = {
    "bool": "?",
    "date": ">i4",
    "int4": ">i4",
    "int8": ">i8",
    "float8": ">f8",
    "hex_64_bits": "S16",
}

# Byte → its two digits.
_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)


def days_since_epoch(dates: np.ndarray) -> np.ndarray:
    """dates: (n,) datetime64[D] → (n,) int64, the days that Postgres stores"""
    return (dates - POSTGRES_EPOCH).astype(np.int64)


def read(
    database: Database,
    query: sql.SQL | sql.Composed,
    parameters: Mapping[str, object],
    types: Sequence[str],
) -> dict[str, list[np.ndarray]]:
    """The rows of a query: their first column, a text → the others, arrays; dates as datetime64[D].

    types: names of WIRE_TYPES, one an array; no element may be null, or of another length
    """
    with database.connection.cursor(binary=True) as cursor:
        result = cursor.execute(query, parameters).pgresult
        assert result, "an executed query has a result"
        return {
            (result.get_value(row, 0) or b"").decode(): [
                _array(result.get_value(row, column), name)
                for column, name in enumerate(types, start=1)
            ]
            for row in range(result.ntuples)
        }


def empty(types: Sequence[str]) -> list[np.ndarray]:
    """What `read` gives for arrays without elements."""
    return [_array(None, name) for name in types]


def _array(sent: bytes | None, name: str) -> np.ndarray:
    """An array as array_send writes it: dimensions, null flag, type, length, lower bound, then
    each element with its length. None is an array without elements."""
    wire_type = np.dtype(WIRE_TYPES[name])
    element = np.dtype([("length", ">i4"), ("value", wire_type)])
    sent = sent and memoryview(sent)[ARRAY_HEADER:]
    values = np.frombuffer(sent, element)["value"] if sent else np.empty(0, wire_type)
    if name == "date":
        return POSTGRES_EPOCH + values.astype("timedelta64[D]")
    return values.astype(wire_type.newbyteorder("="))


def dates(sent: bytes) -> np.ndarray:
    """What date_send gives, one after another: 4 n bytes → (n,) datetime64[D]"""
    return POSTGRES_EPOCH + np.frombuffer(sent, WIRE_TYPES["date"]).astype("timedelta64[D]")


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
    return NULL if value is None else _with_length(value.encode())


def jsonb(value: str) -> bytes:
    """A jsonb field with its length: version 1, then the text."""
    return _with_length(b"\x01" + value.encode())


def bytea(values: np.ndarray | None) -> bytes:
    """A bytea field with its length, the bytes of an array; null is length -1."""
    return NULL if values is None else _with_length(values.tobytes())


def float8(value: float | None) -> bytes:
    """A double precision field with its length; null is length -1."""
    return NULL if value is None else _with_length(struct.pack(">d", value))


def _with_length(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


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
    database: Database, statement: sql.SQL | sql.Composed, blocks: Iterable[np.ndarray | bytes]
) -> None:
    """`copy … from stdin (format binary)` of packed rows, block by block as they come."""
    with database.connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        for block in blocks:
            copy.write(block if isinstance(block, bytes) else block.data.cast("B"))
        copy.write(TRAILER)


def receive(
    database: Database, query: sql.Composable, parameters: Mapping[str, object]
) -> Iterator[list[memoryview]]:
    """The rows of a query without nulls, as the bytes of their fields, by `copy … to stdout`.

    A third of the time of a cursor, where the fields are long.
    """
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(query)
    position = len(HEADER)
    with database.connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        for block in copy:
            row = memoryview(block)
            count = int.from_bytes(row[position : position + 2], "big", signed=True)
            position += 2
            fields = []
            for _ in range(count):
                begin = position + 4
                position = begin + int.from_bytes(row[position:begin], "big")
                fields.append(row[begin:position])
            if fields:
                yield fields
            position = 0


def rows(
    fixed_columns: Sequence[np.ndarray | bytes], other_columns: Sequence[Sequence[bytes]], n: int
) -> bytes:
    """n rows of the fixed columns (see pack), then of fields that have their lengths in them."""
    packed = pack(fixed_columns, n, more_columns=len(other_columns))
    parts = [[row.tobytes() for row in packed], *other_columns]
    return b"".join([field for row in zip(*parts, strict=True) for field in row])


def joined(parts: Sequence[np.ndarray | bytes], n: int) -> np.ndarray:
    """n rows of bytes, part after part: (n, bytes a row) uint8

    parts: (n, width) uint8 each, or the bytes that are the same on every row
    """
    columns = [np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part for part in parts]
    return np.hstack([np.broadcast_to(column, (n, column.shape[-1])) for column in columns])


def text_of_dates(dates: np.ndarray) -> np.ndarray:
    """(n,) datetime64[D] → (n, 10) uint8, YYYY-MM-DD"""
    return fixed_bytes(dates.astype("S10")[:, None])


def sha256(content: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8 → (n, 32) uint8, as sha256() in SQL gives it"""
    digests = [hashlib.sha256(row).digest() for row in content]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def hex_digits(digests: np.ndarray) -> np.ndarray:
    """(n, m) uint8 → (n, 2 m) uint8, as encode(…, 'hex') in SQL gives it"""
    return _HEX[digests].view(np.uint8)


def _big_endian(number: int, wire_type: str) -> np.ndarray:
    return np.frombuffer(np.array(number, wire_type).tobytes(), np.uint8)
