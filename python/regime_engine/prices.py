"""Price files → checked rows → prices_daily; a refused row is kept with its line and its reason."""

import csv
import gzip
import hashlib
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import polars as pl
import psycopg
from psycopg import errors, sql

from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.price_columns import (
    ALIASES,
    DAY,
    REQUIRED,
    missing,
    name_of,
    positions_by_name,
)

CHUNK_ROWS = 20_000
FIRST_REFUSALS = 20

PRICES = "prices_daily"
REFUSED = "prices_daily_refused"
STAGED_COLUMNS = ("line_number", "written_date", "reason", "row_text")
NUMBERS = ("open", "high", "low", "close", "adjusted_close", "volume")
KEY = ("instrument_id", "trade_date")

# How files spell "no value". NaN is not among them: a non-finite number is refused.
NULLS = ("", "na", "n/a", "#n/a", "null", "none", r"\n")

FIRST_DAY = date(1700, 1, 1)

LONGEST_NAME = 200
CONTROL_CHARACTER = r"\p{Cc}"


@dataclass(frozen=True)
class Refusal:
    line_number: int
    reason: str


@dataclass(frozen=True)
class LoadResult:
    """What became of a file: rows = inserted + updated + unchanged + refused, if it landed.

    landed: False where --strict and a refused row kept every price out
    ignored_columns: the file's columns that have no place in the table
    first_refusals: at most FIRST_REFUSALS; all of them are in prices_daily_refused
    """

    rows: int
    inserted: int
    updated: int
    unchanged: int
    refused: int
    landed: bool
    first_refusals: tuple[Refusal, ...]
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class PriceFile:
    """A file whose columns are known and whose rows are still to be read.

    header: the columns as the file names them
    columns: those of prices_daily that it fills
    chunks: frames of text with those columns, line_number, row_text, and fault: why the row
        could not be taken apart, else null
    """

    header: list[str]
    columns: list[str]
    chunks: Iterator[pl.DataFrame]


def load(
    database: Database,
    path: str | Path,
    instrument_id: str | None = None,
    strict: bool = False,
) -> LoadResult:
    """Land the good rows of a price file in prices_daily and keep the refused ones, at once.

    connection: in autocommit mode; the file is one transaction
    instrument_id: whose prices these are, where the file does not say
    strict: land no price if any row is refused
    raises RegimeError where the file as a whole cannot be read
    """
    schema = database.settings.historical_schema
    with open_prices(Path(path), instrument_id) as file:
        table_columns = _create_missing_tables(database, schema)
        columns = [name for name in file.columns if name in table_columns]
        with database.transaction(), database.cursor() as cursor:
            rows = _stage(cursor, file)
            _refuse_contradictions(cursor, columns)
            _take_turns(cursor, schema)
            refused = _keep_refused(cursor, schema, Path(path))
            landed = not (strict and refused)
            inserted = updated = 0
            if landed:
                inserted, updated = _upsert(cursor, schema, columns, "loaded_at" in table_columns)
            first_refusals = _first_refusals(cursor)
    ignored = [name for name in file.header if name_of(name) not in columns]
    return LoadResult(
        rows=rows,
        inserted=inserted,
        updated=updated,
        unchanged=rows - inserted - updated - refused if landed else 0,
        refused=refused,
        landed=landed,
        first_refusals=first_refusals,
        ignored_columns=tuple(ignored),
    )


@contextmanager
def open_prices(path: Path, instrument_id: str | None = None) -> Iterator[PriceFile]:
    """The price file at `path`: CSV or Parquet, either of them gzipped, told by its content."""
    instrument_id = (instrument_id or "").strip()
    try:
        if not path.is_file():
            reason = "a folder, or no plain file" if path.exists() else "no such file"
            raise RegimeError(f"{path}: {reason}: name the CSV or Parquet files to load")
        with path.open("rb") as raw, _unzipped(raw) as content:
            start = content.peek(4)[:4]
            if not start:
                raise RegimeError(f"{path}: the file is empty")
            if start in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
                raise RegimeError(f"{path}: an Excel workbook or zip archive: save it as CSV")
            if start == b"PAR1":
                file = _open_parquet(path, path if content is raw else io.BytesIO(content.read()))
            else:
                file = _open_csv(path, content)
            yield _complete(path, file, instrument_id)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RegimeError(f"{path}: the gzip file is cut short or damaged") from error
    except UnicodeDecodeError as error:
        raise RegimeError(f"{path}: not UTF-8 text: save it as CSV in UTF-8") from error
    except OSError as error:
        raise RegimeError(f"{path}: {error.strerror or error}") from error


def _unzipped(raw: io.BufferedReader) -> io.BufferedReader | gzip.GzipFile:
    return gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw


def _complete(path: Path, file: PriceFile, instrument_id: str) -> PriceFile:
    """The file with an instrument in every row; raises RegimeError if a column is missing."""
    for name in REQUIRED:
        if name in file.columns or (name == "instrument_id" and instrument_id):
            continue
        option = ", or say --instrument-id" if name == "instrument_id" else ""
        raise RegimeError(missing(str(path), name, file.header) + option)
    if not instrument_id:
        return file
    if "instrument_id" in file.columns:
        same = (_only(path, chunk, instrument_id) for chunk in file.chunks)
        return replace(file, chunks=same)
    named = (chunk.with_columns(instrument_id=pl.lit(instrument_id)) for chunk in file.chunks)
    return replace(file, columns=["instrument_id", *file.columns], chunks=named)


def _only(path: Path, chunk: pl.DataFrame, instrument_id: str) -> pl.DataFrame:
    others = chunk.filter(~pl.col("instrument_id").str.strip_chars().is_in([instrument_id, ""]))
    if others.height:
        line, other = others.select("line_number", "instrument_id").row(0)
        raise RegimeError(
            f"{path}:{line}: a price of {other!r}, not of --instrument-id {instrument_id!r}: "
            "leave the option out, since the file names its instruments"
        )
    return chunk


def _open_parquet(path: Path, source: Path | BinaryIO) -> PriceFile:
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
    except pl.exceptions.PolarsError as error:
        raise _not_parquet(path, error) from error
    positions = positions_by_name(str(path), header)
    return PriceFile(header, list(positions), chunks())


def _as_text(column: pl.Series) -> pl.Series:
    # A float32 is stored as the double that it equals, not as the one its shortest text names.
    if column.dtype == pl.Float32:
        column = column.cast(pl.Float64)
    return column.cast(pl.String)


def _not_parquet(path: Path, error: Exception) -> RegimeError:
    reason = str(error).split("\n")[0]
    return RegimeError(f"{path}: cannot be read as Parquet: {reason}")


def _open_csv(path: Path, content: BinaryIO) -> PriceFile:
    lines = _Lines(io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))
    first = next(lines, "")
    delimiter = max(",;\t|", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    positions = positions_by_name(str(path), header)
    one_line = [at for name, at in positions.items() if name != "metadata"]
    width = len(header)

    def chunks() -> Iterator[pl.DataFrame]:
        rows = _csv_rows(lines, delimiter, width, one_line)
        while True:
            numbers, texts, faults, fields = [], [], [], []
            for number, text, fault, row in itertools.islice(rows, CHUNK_ROWS):
                numbers.append(number)
                texts.append(text)
                faults.append(fault)
                fields += row  # flat: a list a row kept alive is slow to collect
            if not numbers:
                return
            yield pl.DataFrame(
                {name: fields[at::width] for name, at in positions.items()}
                | {"line_number": numbers, "row_text": texts, "fault": faults},
                schema_overrides={"fault": pl.String},
            )

    return PriceFile(header, list(positions), chunks())


class _Lines:
    """The lines of a text, counted; those of the row being read can be given back."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._given_back: list[str] = []
        self.row: list[str] = []
        self.row_number = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.pop() if self._given_back else next(self._text)
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
    """Line number, text, fault and `width` fields of each row.

    one_line: positions of the fields that never run over several lines. Where one does, or the
        row has other faults, a quote was left open: its line is refused alone and the next lines
        are rows again.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.next_row()
        fields, fault = [], None
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
        if len(lines.row) > 1 and (fault or any(_is_broken(fields[at]) for at in one_line)):
            lines.give_back_all_but_the_first()
            fields, fault = [], "a quote on this line is not closed"
        if fault:
            fields = (fields + [""] * width)[:width]
        yield lines.row_number, "".join(lines.row).rstrip("\r\n"), fault, fields


def _is_broken(field: str) -> bool:
    return "\n" in field or "\r" in field


def check(rows: pl.DataFrame) -> pl.DataFrame:
    """Good rows with typed values, and refused ones with their `reason` in place of values.

    rows: text, as in PriceFile.chunks; written_date is the trade_date as it stands there
    """
    names = [name for name in ALIASES if name in rows.columns]
    rows = rows.with_columns(_trimmed(name) for name in names)
    rows = rows.with_columns(_value(name).alias(f"{name}_value") for name in names)
    rules = [(pl.col("fault").is_not_null(), pl.col("fault"))]
    rules += [rule for name in names for rule in _rules(name)]

    is_refused = pl.any_horizontal(broken for broken, _ in rules).fill_null(False)
    reason = pl.coalesce(pl.when(broken).then(reason) for broken, reason in rules)
    good = rows.filter(~is_refused).select(
        "line_number",
        *(pl.col(f"{name}_value").alias(name) for name in names),
        pl.col("trade_date").alias("written_date"),
        pl.lit(None, pl.String).alias("reason"),
        "row_text",
    )
    refused = rows.filter(is_refused).select(
        "line_number",
        "instrument_id",
        pl.col("trade_date").alias("written_date"),
        reason.alias("reason"),
        "row_text",
    )
    return pl.concat([good, refused], how="diagonal")


def _trimmed(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    nulls = NULLS if name != "instrument_id" else ("",)
    return pl.when(~text.str.to_lowercase().is_in(nulls)).then(text).alias(name)


def _value(name: str) -> pl.Expr:
    text = pl.col(name)
    if name in NUMBERS:
        return text.cast(pl.Float64, strict=False)
    if name == "trade_date":
        day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return pl.when(text.str.contains(DAY)).then(day)
    if name == "metadata":
        return text.map_elements(_json_or_none, return_dtype=pl.String)
    return text


def _json_or_none(text: str) -> str | None:
    """The text if Postgres's jsonb takes it: no NaN, no NUL, no half of a surrogate pair."""
    try:
        json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return None if r"\u0000" in text else text


def _rules(name: str) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """When a column's text or value breaks a rule, and the reason to give."""
    text, value = pl.col(name), pl.col(f"{name}_value")
    shown = text.str.slice(0, 40).str.replace_all(CONTROL_CHARACTER, "?")

    def because(reason: str) -> pl.Expr:
        return pl.format(f"{name} {reason}", *[shown] * reason.count("{}"))

    if name in REQUIRED:
        yield text.is_null(), because("is missing")
    if name in NUMBERS:
        yield text.is_not_null() & value.is_null(), because("is not a number: '{}'")
        yield ~value.is_finite(), because("is not finite: {}")
        if name == "volume":
            yield value < 0, because("is negative: {}")
        else:
            yield value <= 0, because("is not positive: {}")
    elif name == "trade_date":
        yield value.is_null(), because("cannot be read as YYYY-MM-DD: '{}'")
        yield value < FIRST_DAY, because(f"is before {FIRST_DAY}: {{}}")
        # Somewhere it is tomorrow already.
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        yield value > tomorrow, because("is in the future: {}")
    elif name == "metadata":
        yield text.is_not_null() & value.is_null(), because("is not JSON: '{}'")
    else:
        yield text.str.contains(CONTROL_CHARACTER), because("has a control character: '{}'")
        too_long = text.str.len_chars() > LONGEST_NAME
        yield too_long, because(f"is longer than {LONGEST_NAME} characters: '{{}}'")


CREATE_PRICES = """
create table {} (
    instrument_id text not null,
    trade_date date not null,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    adjusted_close double precision,
    volume double precision,
    currency text,
    metadata jsonb,
    loaded_at timestamptz not null default now(),
    primary key (instrument_id, trade_date)
)
"""

# By which dbt finds what is new where the var features_changes says `loaded`.
INDEX_PRICES = "create index on {} (loaded_at)"

# line_number is the row's first line in the file, or its row in a Parquet file.
CREATE_REFUSED = """
create table {} (
    file_sha256 text not null,
    line_number bigint not null,
    file_name text not null,
    instrument_id text,
    trade_date text,
    reason text not null,
    row_text text not null,
    refused_at timestamptz not null default now(),
    primary key (file_sha256, line_number)
)
"""

# Collation "C" sorts by bytes, which is all that a key needs and twice as fast.
CREATE_STAGED = """
create temporary table staged_prices (
    line_number bigint,
    instrument_id text collate "C",
    trade_date date,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    adjusted_close double precision,
    volume double precision,
    currency text,
    metadata jsonb,
    written_date text,
    reason text,
    row_text text,
    loaded_at timestamptz default now()
) on commit drop
"""

# Where two good rows of a key differ, none of the key's rows is believed.
REFUSE_CONTRADICTIONS = """
with

repeated as (

    select
        instrument_id,
        trade_date,
        min(line_number) as first_line
    from staged_prices
    where reason is null
    group by instrument_id, trade_date
    having count(*) > 1

),

compared as (

    select
        repeated.first_line,
        this.line_number,
        ({this}) is distinct from ({first}) as differs
    from repeated
    inner join staged_prices as first on first.line_number = repeated.first_line
    inner join staged_prices as this
        on this.instrument_id = repeated.instrument_id
        and this.trade_date = repeated.trade_date
    where this.reason is null

),

contradicted as (

    select
        first_line,
        min(line_number) as second_line
    from compared
    where differs
    group by first_line

)

update staged_prices
set reason = 'the same instrument and date with different values on line '
    || case when differs then first_line else second_line end
from compared
inner join contradicted using (first_line)
where staged_prices.line_number = compared.line_number
"""

KEEP_REFUSED = """
insert into {refused}
    (file_sha256, line_number, file_name, instrument_id, trade_date, reason, row_text)
select %s, line_number, %s, instrument_id, written_date, reason, row_text
from staged_prices
where reason is not null
order by line_number
on conflict do nothing
"""

# In the order of the key, so that two writers never wait for each other in a circle. The last
# select still sees the table as it was before the insert.
UPSERT = """
with

landed as (

    insert into {prices} as stored ({columns})
    select distinct on (instrument_id, trade_date) {columns}
    from staged_prices
    where reason is null
    order by instrument_id, trade_date
    on conflict (instrument_id, trade_date) do update
    set {assignments}
    where ({stored}) is distinct from ({excluded})
    returning instrument_id, trade_date

)

select
    count(*) filter (where stored.instrument_id is null) as inserted,
    count(stored.instrument_id) as updated
from landed
left join {prices} as stored using (instrument_id, trade_date)
"""


def _create_missing_tables(database: Database, schema: str) -> set[str]:
    """The columns of prices_daily; it, the table of refused rows and their schema exist then."""
    prices, refused = sql.Identifier(schema, PRICES), sql.Identifier(schema, REFUSED)
    with database.transaction(), database.cursor() as cursor:
        _take_turns(cursor, schema)
        # `if not exists` would ask for the right to create even where nothing is missing.
        if not _exists(cursor, "to_regnamespace", sql.Identifier(schema)):
            cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        if not _exists(cursor, "to_regclass", prices):
            cursor.execute(sql.SQL(CREATE_PRICES).format(prices))
            cursor.execute(sql.SQL(INDEX_PRICES).format(prices))
        if not _exists(cursor, "to_regclass", refused):
            cursor.execute(sql.SQL(CREATE_REFUSED).format(refused))
        cursor.execute(
            "select attname from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            [prices.as_string()],
        )
        columns = {name for (name,) in cursor}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise RegimeError(
            f"{prices.as_string()} has no column {' or '.join(missing)}: give the table the "
            f"columns {', '.join(REQUIRED)}"
        )
    return columns


def _exists(cursor: psycopg.Cursor, lookup: str, name: sql.Identifier) -> bool:
    statement = sql.SQL("select {}(%s) is not null").format(sql.SQL(lookup))
    return cursor.execute(statement, [name.as_string()]).fetchone()[0]


def _take_turns(cursor: psycopg.Cursor, schema: str) -> None:
    """Loads into one table go one by one from here to the end of the transaction."""
    key = f"regime load {schema}.{PRICES}"
    cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _stage(cursor: psycopg.Cursor, file: PriceFile) -> int:
    """Copy every row, with the reason where it is refused; returns how many there are."""
    cursor.execute(CREATE_STAGED)
    rows = 0
    columns = [*file.columns, *STAGED_COLUMNS]
    statement = sql.SQL("copy staged_prices ({}) from stdin (format csv, encoding 'utf8')")
    with cursor.copy(statement.format(_listed(columns))) as copy:
        for chunk in file.chunks:
            copy.write(_copy_text(check(chunk).select(columns)))
            rows += chunk.height
    cursor.execute("analyze staged_prices")
    return rows


def _copy_text(rows: pl.DataFrame) -> bytes:
    # Postgres's text cannot hold NUL, and before version 18 COPY stops at a line that is `\\.`.
    one_line = pl.selectors.string().str.replace_all(r"[\x00\r\n]+", " ")
    text = io.BytesIO()
    rows.with_columns(one_line).write_csv(text, include_header=False)
    return text.getvalue()


def _refuse_contradictions(cursor: psycopg.Cursor, columns: list[str]) -> None:
    values = [name for name in columns if name not in KEY]
    cursor.execute(
        sql.SQL(REFUSE_CONTRADICTIONS).format(
            first=_listed(values, "first"), this=_listed(values, "this")
        )
    )


def _keep_refused(cursor: psycopg.Cursor, schema: str, path: Path) -> int:
    """How many rows are refused; those of a file that was loaded before are kept already."""
    (count,) = cursor.execute(
        "select count(*) from staged_prices where reason is not null"
    ).fetchone()
    if count:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        statement = sql.SQL(KEEP_REFUSED).format(refused=sql.Identifier(schema, REFUSED))
        cursor.execute(statement, [sha256, path.name])
    return count


def _first_refusals(cursor: psycopg.Cursor) -> tuple[Refusal, ...]:
    cursor.execute(
        "select line_number, reason from staged_prices where reason is not null"
        " order by line_number limit %s",
        [FIRST_REFUSALS],
    )
    return tuple(Refusal(*row) for row in cursor)


def _upsert(cursor: psycopg.Cursor, schema: str, columns: list[str], dated: bool) -> list[int]:
    """How many keys are new and how many have other values now; an equal row is not touched."""
    values = [name for name in columns if name not in KEY]
    written = [*columns, "loaded_at"] if dated else columns
    statement = sql.SQL(UPSERT).format(
        prices=sql.Identifier(schema, PRICES),
        columns=_listed(written),
        assignments=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in written
            if name not in KEY
        ),
        stored=_listed(values, "stored"),
        excluded=_listed(values, "excluded"),
    )
    try:
        return cursor.execute(statement).fetchone()
    except (errors.InvalidColumnReference, errors.ObjectNotInPrerequisiteState) as error:
        raise RegimeError(
            f"{schema}.{PRICES} has no unique key on ({', '.join(KEY)}), without which a reload "
            "would double its rows: add the primary key"
        ) from error


def _listed(names: list[str], table: str | None = None) -> sql.Composed:
    path = [table] if table else []
    return sql.SQL(", ").join(sql.Identifier(*path, name) for name in names)
