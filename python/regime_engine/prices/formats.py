"""Files → rows of text, whatever they mean: CSV, Parquet, Arrow, Excel, zipped or not."""

import csv
import gzip
import io
import itertools
import logging
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import polars as pl

from regime_engine.errors import RegimeError

# What is in memory at once.
CHUNK_ROWS = 20_000
BLOCK_BYTES = 2 * 2**20
LONGEST_LINE = 1_000_000  # bytes
MOST_COLUMNS = 20_000
LARGEST_UNZIPPED = 256 * 2**20  # bytes of a file that is read as a whole
# A longer text with more bytes for each zipped one has no prices: it is made to fill the database.
MOST_BYTES_A_ZIPPED = 200
TEXT_TO_DOUBT = 64 * 2**20  # bytes
MOST_CELLS = 20_000_000  # of a sheet, from its first cell to its last, whether filled or not

# A longer Parquet file with more rows a byte has no prices: it is made to fill the memory.
MOST_ROWS_A_BYTE = 100
ROWS_TO_DOUBT = 10_000_000

TOP_LINES = 40
TOP_BYTES = 2**14

# The first bytes of a file.
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
ARROW = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"
ZIP = b"PK\x03\x04"
OLD_EXCEL = b"\xd0\xcf\x11\xe0"

# What fastexcel warns of is a column without a value.
logging.getLogger("fastexcel").addHandler(logging.NullHandler())

CELL = re.compile(rb'\br="([A-Z]{0,3})(\d{1,7})"')
LONGEST_CELL = 16  # bytes of such a place in a sheet


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    rows: text of the wanted columns, each named by its position; line_number; and fault: why the
        row could not be split into fields, else null
    texts: the rows as the file has them, for some positions in `rows`
    """

    rows: pl.DataFrame
    texts: Callable[[Sequence[int]], list[str]]


class Content(Protocol):
    """What a file holds."""

    @property
    def kind(self) -> str:
        """The format, for people."""

    def top(self, separator: str) -> list[list[str]]:
        """The first rows as text, the names of columns among them; a row is a line of a text."""

    def chunks(self, separator: str, top_rows: int, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The rows after the first `top_rows`, of which the last has the names of columns."""

    def is_number(self, position: int) -> bool:
        """Whether a column holds numbers, which are not to be read by the rules of a text."""


@contextmanager
def open_content(name: Path, path: Path, sheet: str | None = None) -> Iterator[Content]:
    """Open a file; its content, not its name, says which format it has.

    name: the file as messages call it; path: where it is
    sheet: of an Excel workbook
    raises RegimeError if the file cannot be read, also while its chunks are read
    """
    try:
        if not path.is_file():
            reason = "no such file"
            if path.exists():
                reason = "a folder, not a file" if path.is_dir() else "not a regular file"
            raise RegimeError(f"{path}: {reason}: name the files to load")
        yield _content(name, path, sheet)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RegimeError(f"{name}: the gzip file is cut short or damaged") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise RegimeError(f"{name}: the zip file cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise RegimeError(f"{name}: not UTF-8 text: save it as CSV in UTF-8") from error
    except OSError as error:
        raise RegimeError(f"{name}: {error.strerror or error}") from error


def _content(name: Path, path: Path, sheet: str | None) -> Content:
    """name: the file as messages call it; path: where it is"""

    def open_raw() -> IO[bytes]:
        return path.open("rb")

    opener: Callable[[], IO[bytes]] = open_raw
    start = _start(opener)
    if start.startswith(ZIP) and not _is_workbook(path):
        opener = _member(name, path)
        start = _start(opener)
    if start.startswith(GZIP):
        zipped = opener

        def open_gzip() -> IO[bytes]:
            return gzip.GzipFile(fileobj=zipped())  # type: ignore[return-value]

        opener = open_gzip
        start = _start(opener)
    if not start:
        raise RegimeError(f"{name}: the file is empty")
    kinds = {PARQUET: "Parquet", ARROW: "Arrow", ARROW_STREAM: "Arrow"}
    kinds |= {ZIP: "Excel", OLD_EXCEL: "Excel"}
    kind = next((kind for magic, kind in kinds.items() if start.startswith(magic)), None)
    if not kind:
        most = None
        if opener is not open_raw:
            most = max(TEXT_TO_DOUBT, MOST_BYTES_A_ZIPPED * path.stat().st_size)
        return TextFile(name, opener, most)
    if opener is not open_raw:
        path_or_bytes: Path | io.BytesIO = _all_of(name, opener, kind)
    else:
        path_or_bytes = path
    if kind == "Excel":
        return _open_excel(name, path_or_bytes, sheet)
    return Table(name, kind, _scan(name, path_or_bytes, kind, start))


def _start(opener: Callable[[], IO[bytes]]) -> bytes:
    with opener() as file:
        return file.read(6)


def _is_workbook(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.startswith("xl/workbook.") for name in archive.namelist())


def _member(name: Path, path: Path) -> Callable[[], IO[bytes]]:
    """Opens the one file of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        ]
    if len(members) != 1:
        raise RegimeError(f"{name}: {len(members)} files in the archive: unzip it and load them")
    if members[0].flag_bits & 1:
        raise RegimeError(f"{name}: the archive has a password: unzip it and load the file")
    return lambda: zipfile.ZipFile(path).open(members[0])


def _all_of(name: Path, opener: Callable[[], IO[bytes]], kind: str) -> io.BytesIO:
    with opener() as file:
        unzipped = file.read(LARGEST_UNZIPPED + 1)
    if len(unzipped) > LARGEST_UNZIPPED:
        raise RegimeError(
            f"{name}: more than {LARGEST_UNZIPPED >> 20} MiB of {kind} in a zipped file: unzip it "
            "and load what is in it"
        )
    return io.BytesIO(unzipped)


# Tables: files whose columns have names and types.


@dataclass(frozen=True)
class Table:
    """A Parquet or Arrow file, or a frame."""

    name: Path
    kind: str
    frame: pl.LazyFrame

    def top(self, separator: str) -> list[list[str]]:
        return [self.frame.collect_schema().names()]

    def is_number(self, position: int) -> bool:
        return self.frame.collect_schema().dtypes()[position].is_numeric()

    def chunks(self, separator: str, top_rows: int, wanted: Sequence[int]) -> Iterator[Chunk]:
        names = self.frame.collect_schema().names()
        row_number = 1
        try:
            selected = self.frame.select(names[at] for at in wanted)
            # Texts that Spark and others write without saying so.
            selected = selected.with_columns(pl.col(pl.Binary).cast(pl.String))
            for batch in selected.collect_batches(chunk_size=CHUNK_ROWS):
                texts = [_as_text(column) for column in batch]
                rows = pl.DataFrame(texts, schema=[str(at) for at in wanted])
                yield Chunk(_numbered(rows, row_number), _json_of(batch))
                row_number += batch.height
        except pl.exceptions.PolarsError as error:
            raise _unreadable(self.name, self.kind, error) from error


def _numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    numbers = pl.int_range(first, first + rows.height, dtype=pl.Int64)
    return rows.with_columns(line_number=numbers, fault=pl.lit(None, pl.String))


def _json_of(batch: pl.DataFrame) -> Callable[[Sequence[int]], list[str]]:
    def texts(positions: Sequence[int]) -> list[str]:
        of_all = pl.struct(pl.all()).struct.json_encode().alias("text")
        return batch[positions].select(of_all)["text"].to_list()

    return texts


def _as_text(column: pl.Series) -> pl.Series:
    # A float32 is stored as the double of the same value: its own shortest text names another.
    if column.dtype == pl.Float32:
        column = column.cast(pl.Float64)
    return column.cast(pl.String)


def _unreadable(name: Path, kind: str, error: Exception) -> RegimeError:
    reason = str(error).split("\n")[0]
    return RegimeError(f"{name}: cannot be read as {kind}: {reason}")


def _scan(name: Path, source: Path | io.BytesIO, kind: str, start: bytes) -> pl.LazyFrame:
    try:
        if kind == "Parquet":
            frame = pl.scan_parquet(source, glob=False)
            _require_credible(name, source, frame.select(pl.len()).collect().item())
        elif start.startswith(ARROW_STREAM):
            frame = pl.read_ipc_stream(source).lazy()
        else:
            frame = pl.scan_ipc(source)
        frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise _unreadable(name, kind, error) from error
    return frame


def _size(source: Path | io.BytesIO) -> int:
    return source.getbuffer().nbytes if isinstance(source, io.BytesIO) else source.stat().st_size


def _require_credible(name: Path, source: Path | io.BytesIO, rows: int) -> None:
    size = _size(source)
    if rows > max(ROWS_TO_DOUBT, MOST_ROWS_A_BYTE * size):
        raise RegimeError(f"{name}: {rows:,} rows in {size:,} bytes cannot be prices: load others")


def _open_excel(name: Path, source: Path | io.BytesIO, sheet: str | None) -> Content:
    import fastexcel

    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            _require_small(name, sum(member.file_size for member in archive.infolist()))
            for member in archive.namelist():
                if member.startswith("xl/worksheets/") and member.endswith(".xml"):
                    with archive.open(member) as sheet_file:
                        _require_few_cells(name, sheet_file)
    else:
        _require_small(name, _size(source))
    try:
        given = source.getvalue() if isinstance(source, io.BytesIO) else str(source)
        workbook = fastexcel.read_excel(given)
        names = workbook.sheet_names
        if sheet is None and len(names) > 1:
            raise RegimeError(f"{name}: sheets {', '.join(names)[:300]}: choose one with --sheet")
        if sheet is not None and sheet not in names:
            raise RegimeError(f"{name}: no sheet {sheet!r} among {', '.join(names)[:300]}")
        chosen = names[0] if sheet is None else sheet
        # Without skip_rows, blank rows at the top are left out, and the others have wrong numbers.
        load = partial(workbook.load_sheet, chosen, header_row=None, skip_rows=0)
        cells = load(dtypes="string").to_polars()
        # As a truth value, a number is there, and a text or a day is not.
        is_number = load(dtypes="boolean").to_polars().select(pl.all().is_not_null())
    except fastexcel.FastExcelError as error:
        raise _unreadable(name, "Excel", error) from error
    numbers = set()
    columns = []
    for position, (column, is_one) in enumerate(zip(cells, is_number, strict=True)):
        below = slice(is_one.arg_max() or 0, None)
        if is_one.any() and (is_one | column.is_null())[below].all():
            numbers.add(position)
        else:
            columns.append(_in_one_way(column, is_one))
    return Sheet(name, "Excel", cells.with_columns(columns), frozenset(numbers))


def _in_one_way(column: pl.Series, is_number: pl.Series) -> pl.Series:
    """The cells of a column with texts too, its numbers so that no mark is in them: 1234e-3."""
    parts = column.str.extract_groups(r"^(?<whole>-?\d+)\.(?<rest>\d+)$").struct
    whole, rest = parts.field("whole"), parts.field("rest")
    written = whole + rest + "e-" + rest.str.len_chars().cast(pl.String)
    return written.zip_with(is_number & written.is_not_null(), column).alias(column.name)


def _require_small(name: Path, size: int) -> None:
    if size > LARGEST_UNZIPPED:
        raise RegimeError(f"{name}: a workbook of {size >> 20:,} MiB: save it as CSV")


def _require_few_cells(name: Path, sheet: IO[bytes]) -> None:
    """raises RegimeError if the sheet, which is read with all its empty cells, is too large

    One cell at the far end is enough: the memory for the others is then asked for, and the process
    aborts.
    """
    rows, columns = 1, 1
    rest = b""
    while read := sheet.read(BLOCK_BYTES):
        piece = rest + read
        places = CELL.findall(piece)
        rows = max([rows, *(int(row) for _, row in places)])
        columns = max([columns, *map(_column_number, {letters for letters, _ in places})])
        rest = piece[-LONGEST_CELL:]
    if rows * columns > MOST_CELLS:
        raise RegimeError(
            f"{name}: a sheet of {rows:,} rows and {columns:,} columns: delete the cells far from "
            "the prices, or save it as CSV"
        )


def _column_number(letters: bytes) -> int:
    """1 for A, 27 for AA; 0 without a letter."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook; numbers: positions of columns of which all cells but the name are"""

    name: Path
    kind: str
    cells: pl.DataFrame
    numbers: frozenset[int]

    def top(self, separator: str) -> list[list[str]]:
        return [[cell or "" for cell in row] for row in self.cells.head(TOP_LINES).iter_rows()]

    def is_number(self, position: int) -> bool:
        return position in self.numbers

    def chunks(self, separator: str, top_rows: int, wanted: Sequence[int]) -> Iterator[Chunk]:
        below = self.cells.slice(top_rows)
        columns = self.cells.columns
        for begin in range(0, below.height, CHUNK_ROWS):
            batch = below.slice(begin, CHUNK_ROWS).select(columns[at] for at in wanted)
            is_blank = batch.select(pl.all_horizontal(pl.all().is_null())).to_series()
            rows = batch.rename({columns[at]: str(at) for at in wanted})
            rows = _numbered(rows, top_rows + begin + 1).filter(~is_blank)
            yield Chunk(rows, _json_of(batch.filter(~is_blank)))


# Texts: rows are lines, columns are what stands between separators.


@dataclass(frozen=True)
class TextFile:
    """A CSV file. most_bytes: of a zipped one, how many may come out of it"""

    name: Path
    open: Callable[[], IO[bytes]]
    most_bytes: int | None = None
    kind: str = "CSV"

    def top(self, separator: str) -> list[list[str]]:
        with self.open() as stream:
            lines = list(itertools.islice(_Lines(self.name, stream, TOP_BYTES), TOP_LINES))
        rows = [next(csv.reader([line], delimiter=separator), []) for line in lines]
        most = max(map(len, rows), default=0)
        if most > MOST_COLUMNS:
            raise RegimeError(f"{self.name}: {most:,} columns; at most {MOST_COLUMNS:,} are read")
        return rows

    def is_number(self, position: int) -> bool:
        return False

    def chunks(self, separator: str, top_rows: int, wanted: Sequence[int]) -> Iterator[Chunk]:
        width = len(self.top(separator)[top_rows - 1])
        with self.open() as stream:
            lines = _Lines(self.name, stream, most_bytes=self.most_bytes)
            for _ in range(top_rows):
                next(lines)
            lines.next_row()
            while block := lines.take_block():
                rows = _read_plain(block, separator, width, wanted)
                if rows is None:
                    lines.give_back(block)
                    yield from self._read_with_care(lines, separator, width, wanted)
                else:
                    texts = _lines_of(block)
                    yield Chunk(_numbered(rows, lines.row_number), texts)
                    lines.row_number += rows.height

    def _read_with_care(
        self, lines: "_Lines", separator: str, width: int, wanted: Sequence[int]
    ) -> Iterator[Chunk]:
        """The rows of a block, and of the lines after it into which its last row goes on."""
        rows = _csv_rows(lines, separator, width, wanted)
        while True:
            line_numbers: list[int] = []
            texts: list[str] = []
            faults: list[str | None] = []
            fields: list[str] = []
            for line_number, text, fault, row in itertools.islice(rows, CHUNK_ROWS):
                line_numbers.append(line_number)
                texts.append(text)
                faults.append(fault)
                fields += row  # one flat list: the garbage collector is slow with many
            if not line_numbers:
                return
            count = len(wanted)
            columns: dict[str, object] = {
                str(at): fields[place::count] for place, at in enumerate(wanted)
            }
            frame = pl.DataFrame(
                columns | {"line_number": line_numbers, "fault": faults},
                schema_overrides={"fault": pl.String, "line_number": pl.Int64},
            )
            yield Chunk(frame, partial(_at, texts))


def _read_plain(
    block: bytes, separator: str, width: int, wanted: Sequence[int]
) -> pl.DataFrame | None:
    """The fields of lines without a quote, if each line has `width` of them; else None."""
    returns = block.count(b"\r")
    if b'"' in block or (returns and returns != block.count(b"\r\n")) or not block.endswith(b"\n"):
        return None
    characters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    separators = np.flatnonzero(characters == ord(separator))
    before = np.searchsorted(separators, ends)
    counts = np.diff(before, prepend=0)
    lengths = np.diff(ends, prepend=-1)
    if (counts != width - 1).any() or lengths.max() > LONGEST_LINE or lengths.min() < 3:
        return None
    block.decode()  # raises where it is not UTF-8
    names = [str(at) for at in range(width)]
    rows = pl.read_csv(
        block,
        has_header=False,
        new_columns=names,
        columns=sorted(set(wanted)),
        separator=separator,
        quote_char=None,
        infer_schema=False,
    )
    return rows if rows.height == len(ends) else None


def _at(texts: list[str], positions: Sequence[int]) -> list[str]:
    return [texts[at] for at in positions]


def _lines_of(block: bytes) -> Callable[[Sequence[int]], list[str]]:
    def texts(positions: Sequence[int]) -> list[str]:
        if not len(positions):
            return []
        lines = block.split(b"\n")
        return [lines[at].decode().rstrip("\r") for at in positions]

    return texts


class _Lines:
    """The lines of a text, counted; the lines of the current row can be given back.

    It stops at the end of the block of which a row has been read, unless a row goes on.
    """

    def __init__(
        self,
        name: Path,
        stream: IO[bytes],
        block_bytes: int | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self._name = name
        self._most_bytes = most_bytes
        self._bytes_read = 0
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._stream = stream
        self._rest = b""
        self._is_at_start = True
        self._lines: list[str] = []  # of the current block, the next one last
        self.row: list[str] = []
        self.row_number = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._lines:
            self.give_back(self.take_block())
        if not self._lines:
            raise StopIteration
        line = self._lines.pop()
        self.row.append(line)
        return line

    @property
    def is_block_read(self) -> bool:
        return not self._lines

    def take_block(self) -> bytes:
        """Whole lines, as many as there are in a block; none at the end of the text."""
        if self._lines:
            block = "".join(reversed(self._lines)).encode()
            self._lines.clear()
            return block
        while True:
            read = self._stream.read(self._block_bytes)
            self._bytes_read += len(read)
            if self._most_bytes and self._bytes_read > self._most_bytes:
                raise RegimeError(
                    f"{self._name}: more than {self._most_bytes >> 20:,} MiB come out of so small "
                    "a file, which cannot be prices: if they are, unzip it and load what is in it"
                )
            if self._is_at_start and read:
                read = read.removeprefix(b"\xef\xbb\xbf")
                self._is_at_start = False
            block = self._rest + read
            if not read:
                self._rest = b""
                return block
            # The last character is left: a `\r` there may be half of a line's end.
            end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
            if end:
                self._rest = block[end:]
                return block[:end]
            self._rest = block
            if len(block) > LONGEST_LINE:
                self._refuse_line(0)

    def give_back(self, block: bytes) -> None:
        """Read the block's lines one by one."""
        lines = list(io.StringIO(block.decode(), newline=""))
        for place, line in enumerate(lines):
            if len(line) > LONGEST_LINE:
                self._refuse_line(place)
        self._lines = lines[::-1]

    def _refuse_line(self, place: int) -> None:
        raise RegimeError(
            f"{self._name}:{self.row_number + len(self.row) + place}: the line is longer than "
            f"{LONGEST_LINE:,} characters: load a file with one price a line"
        )

    def next_row(self) -> None:
        self.row_number += len(self.row)
        self.row.clear()

    def give_back_all_but_the_first(self) -> None:
        self._lines.extend(reversed(self.row[1:]))
        del self.row[1:]


def _csv_rows(
    lines: _Lines, separator: str, width: int, wanted: Sequence[int]
) -> Iterator[tuple[int, str, str | None, list[str]]]:
    """Line number, text, fault and the wanted fields of each row, up to the end of the block.

    A field with a line break means that a quote was left open, and so does another fault of a row
    of several lines. Then the row's first line is refused, and the lines after it are read again.
    A field in braces, as JSON is, may have line breaks.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.next_row()
        if lines.is_block_read:
            return
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
        if len(lines.row) > 1 and (fault or any(_is_broken(fields[at]) for at in wanted)):
            lines.give_back_all_but_the_first()
            fields, fault = [], "a quote on this line is not closed"
        if fault:
            fields = [fields[at] if at < len(fields) else "" for at in wanted]
        else:
            fields = [fields[at] for at in wanted]
        yield lines.row_number, "".join(lines.row).rstrip("\r\n"), fault, fields


def _is_broken(field: str) -> bool:
    return ("\n" in field or "\r" in field) and not field.lstrip().startswith(("{", "["))
