"""A price file or a frame → checked rows."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from regime_engine.prices.formats import Content, open_content
from regime_engine.prices.rules import check
from regime_engine.prices.shapes import Reading, Shape, recognise


@dataclass(frozen=True)
class Prices:
    """Prices that are understood and not read yet.

    shape: None if there are no rows
    chunks: frames as `check` returns them
    sha256: of the file, if it cannot be read again
    """

    shape: Shape | None
    chunks: Iterator[pl.DataFrame]
    sha256: str | None = None


@contextmanager
def open_prices(path: Path, reading: Reading) -> Iterator[Prices]:
    """Open a price file; raises RegimeError if it cannot be read, also while its chunks are.

    path: `-` is stdin
    """
    if str(path) != "-":
        with open_content(path, path, reading.sheet) as content:
            yield understood(str(path), content, reading)
        return
    with tempfile.NamedTemporaryFile() as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        spooled.flush()
        copy = Path(spooled.name)
        with open_content(Path("stdin"), copy, reading.sheet) as content:
            yield replace(understood("stdin", content, reading), sha256=sha256_of(copy))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def understood(source: str, content: Content, reading: Reading) -> Prices:
    """source: the file as messages call it"""
    shape = recognise(source, content, reading)
    return Prices(shape, _checked(source, content, shape) if shape else iter(()))


def _checked(source: str, content: Content, shape: Shape) -> Iterator[pl.DataFrame]:
    layout = shape.layout
    for chunk in content.chunks(layout.separator, layout.top_rows, layout.wanted):
        yield check(source, chunk, shape, content)
