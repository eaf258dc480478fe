"""Price files, CSV or Parquet, gzipped or not → frames of text."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from regime_engine.errors import RegimeError
from regime_engine.prices.columns import REQUIRED, missing, positions_by_name

# What is in memory at once.
CHUNK_ROWS = 20_000
CHUNK_CHARACTERS = 20_000_000
LONGEST_LINE = 1_000_000  # characters
MOST_COLUMNS = 20_000
LARGEST_UNZIPPED = 256 * 2**20  # bytes of a gzipped Parquet file, which is read as a whole

# A longer Parquet file with more rows a byte has no prices: it is made to fill the memory.
MOST_ROWS_A_BYTE = 100
ROWS_TO_DOUBT = 10_000_000

# The first bytes of a file.
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"
OLD_EXCEL = b"\xd0\xcf\x11\xe0"

Content = io.BufferedReader | gzip.GzipFile


@dataclass(frozen=True)
class PriceFile:
    """A file whose columns are known and whose rows are not read yet.

    header: the columns as the file names them
    columns: the columns of prices_daily that it fills
    chunks: frames of text with these columns, line_number, row_text, and fault: why the row could
        not be split into fields, else null
    """

    header: list[str]
    columns: list[str]
    chunks: Iterator[pl.DataFrame]


@contextmanager
def open_prices(path: Path, instrument_id: str | None = None) -> Iterator[PriceFile]:
    """Open a price file; its content, not its name, says which format it has.

    instrument_id: whose prices these are, if the file does not say
    raises RegimeError if the file as a whole cannot be read, also while its chunks are read
    """
    instrument_id = (instrument_id or "").strip()
    try:
        if not path.is_file():
            reason = "no such file"
            if path.exists():
                reason = "a folder, not a file" if path.is_dir() else "not a regular file"
            raise RegimeError(f"{path}: {reason}: name the CSV or Parquet files to load")
        with path.open("rb") as raw, _unzipped(raw) as content:
            start = content.peek(4)[:4]
            if not start:
                raise RegimeError(f"{path}: the file is empty")
            if start in (ZIP, OLD_EXCEL):
                raise RegimeError(f"{path}: an Excel workbook or zip archive: save it as CSV")
            if start == PARQUET:
                file = _open_parquet(path, path if content is raw else _all_of(path, content))
            else:
                file = _open_csv(path, content)
            yield _with_instruments(path, file, instrument_id)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RegimeError(f"{path}: the gzip file is cut short or damaged") from error
    except UnicodeDecodeError as error:
        raise RegimeError(f"{path}: not UTF-8 text: save it as CSV in UTF-8") from error
    except OSError as error:
        raise RegimeError(f"{path}: {error.strerror or error}") from error


def _unzipped(raw: io.BufferedReader) -> Content:
    return gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == GZIP else raw


def _with_instruments(path: Path, file: PriceFile, instrument_id: str) -> PriceFile:
    """The file with an instrument in every row; raises RegimeError if a column is missing."""
    for name in REQUIRED[::-1]:
        if name in file.columns or (name == "instrument_id" and instrument_id):
            continue
        if name == "instrument_id":
            first = next(file.chunks, None)
            if first is None:
                return replace(file, columns=["instrument_id", *file.columns])
        option = ", or say --instrument-id" if name == "instrument_id" else ""
        raise RegimeError(missing(str(path), name, file.header) + option)
    if not instrument_id:
        return file
    if "instrument_id" in file.columns:
        same = (_require_only(path, chunk, instrument_id) for chunk in file.chunks)
        return replace(file, chunks=same)
    named = (chunk.with_columns(instrument_id=pl.lit(instrument_id)) for chunk in file.chunks)
    return replace(file, columns=["instrument_id", *file.columns], chunks=named)


def _require_only(path: Path, chunk: pl.DataFrame, instrument_id: str) -> pl.DataFrame:
    others = chunk.filter(~pl.col("instrument_id").str.strip_chars().is_in([instrument_id, ""]))
    if others.height:
        line, other = others.select("line_number", "instrument_id").row(0)
        raise RegimeError(
            f"{path}:{line}: a price of {other!r}, not of --instrument-id {instrument_id!r}: "
            "leave out the option, because the file names its instruments"
        )
    return chunk


def _all_of(path: Path, content: Content) -> io.BytesIO:
    unzipped = content.read(LARGEST_UNZIPPED + 1)
    if len(unzipped) > LARGEST_UNZIPPED:
        raise RegimeError(
            f"{path}: more than {LARGEST_UNZIPPED >> 20} MiB of Parquet in a gzip file: unzip it "
            "and load the Parquet file"
        )
    return io.BytesIO(unzipped)


def _open_parquet(path: Path, source: Path | io.BytesIO) -> PriceFile:
    def chunks() -> Iterator[pl.DataFrame]:
        wanted = table.select(header[at] for at in positions.values())
        row_number = 1
        try:
            for chunk in wanted.collect_batches(chunk_size=CHUNK_ROWS):
                texts = [_as_text(column) for column in chunk]
                yield pl.DataFrame(texts, schema=list(positions)).select(
                    pl.all(),
                    line_number=pl.int_range(row_number, row_number + chunk.height),
                    row_text=pl.struct(pl.all()).struct.json_encode(),
                    fault=pl.lit(None, pl.String),
                )
                row_number += chunk.height
        except pl.exceptions.PolarsError as error:
            raise _not_parquet(path, error) from error

    try:
        table = pl.scan_parquet(source, glob=False)
        header = table.collect_schema().names()
        rows = table.select(pl.len()).collect().item()
    except pl.exceptions.PolarsError as error:
        raise _not_parquet(path, error) from error
    size = source.getbuffer().nbytes if isinstance(source, io.BytesIO) else path.stat().st_size
    if rows > max(ROWS_TO_DOUBT, MOST_ROWS_A_BYTE * size):
        raise RegimeError(f"{path}: {rows:,} rows in {size:,} bytes cannot be prices: load others")
    positions = positions_by_name(str(path), header)
    return PriceFile(header, list(positions), chunks())


def _as_text(column: pl.Series) -> pl.Series:
    # A float32 is stored as the double of the same value: its own shortest text names another.
    if column.dtype == pl.Float32:
        column = column.cast(pl.Float64)
    return column.cast(pl.String)


def _not_parquet(path: Path, error: Exception) -> RegimeError:
    reason = str(error).split("\n")[0]
    return RegimeError(f"{path}: cannot be read as Parquet: {reason}")


def _open_csv(path: Path, content: Content) -> PriceFile:
    lines = _Lines(path, io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))
    first = next(lines, "")
    delimiter = max(",;\t|", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    positions = positions_by_name(str(path), header)
    one_line = [at for name, at in positions.items() if name != "metadata"]
    width = len(header)
    if width > MOST_COLUMNS:
        raise RegimeError(f"{path}: {width:,} columns; at most {MOST_COLUMNS:,} are read")

    def chunks() -> Iterator[pl.DataFrame]:
        rows = _csv_rows(lines, delimiter, width, one_line)
        while True:
            line_numbers, texts, faults, fields = [], [], [], []
            characters = 0
            for line_number, text, fault, row in itertools.islice(rows, CHUNK_ROWS):
                line_numbers.append(line_number)
                texts.append(text)
                faults.append(fault)
                fields += row  # one flat list: the garbage collector is slow with many
                characters += len(text) + width
                if characters > CHUNK_CHARACTERS:
                    break
            if not line_numbers:
                return
            yield pl.DataFrame(
                {name: fields[at::width] for name, at in positions.items()}
                | {"line_number": line_numbers, "row_text": texts, "fault": faults},
                schema_overrides={"fault": pl.String},
            )

    return PriceFile(header, list(positions), chunks())


class _Lines:
    """The lines of a text, counted; the lines of the current row can be given back."""

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self._path = path
        self._text = text
        self._given_back: list[str] = []
        self.row: list[str] = []
        self.row_number = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.pop() if self._given_back else self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if len(line) == LONGEST_LINE:
            raise RegimeError(
                f"{self._path}:{self.row_number + len(self.row)}: the line is longer than "
                f"{LONGEST_LINE:,} characters: load a file with one price a line"
            )
        self.row.append(line)
        return line

    def next_row(self) -> None:
        self.row_number += len(self.row)
        self.row.clear()

    def give_back_all_but_the_first(self) -> None:
        self._given_back.extend(reversed(self.row[1:]))
        del self.row[1:]


def _csv_rows(
    lines: _Lines, delimiter: str, width: int, one_line: list[int]
) -> Iterator[tuple[int, str, str | None, list[str]]]:
    """Line number, text, fault and `width` fields of each row of a CSV file.

    one_line: positions of the fields that have no line break in a good file. If one has, or if
        a row of several lines has another fault, then a quote was left open: the row's first line
        is refused, and the lines after it are read again as rows.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.next_row()
        fields: list[str] = []
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"the line cannot be read as CSV: {error}"
        else:
            if not fields:
                continue
            if len(fields) != width:
                fault = f"the number of fields is {len(fields)}, the header has {width}"
        if len(lines.row) > 1 and (fault or any(_has_line_break(fields[at]) for at in one_line)):
            lines.give_back_all_but_the_first()
            fields, fault = [], "a quote on this line is not closed"
        if fault:
            fields = (fields + [""] * width)[:width]
        yield lines.row_number, "".join(lines.row).rstrip("\r\n"), fault, fields


def _has_line_break(field: str) -> bool:
    return "\n" in field or "\r" in field
