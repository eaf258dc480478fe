"""Price files into prices_daily: all rows are staged, then each file is written at once."""

import concurrent.futures
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import polars as pl
import psycopg
from psycopg import errors, sql

from regime_engine.database import Database, created_by_one_of_several
from regime_engine.database.statements import assignments, names, statement
from regime_engine.errors import RegimeError
from regime_engine.prices.columns import KEY, REQUIRED
from regime_engine.prices.files import Prices, open_prices, sha256_of, understood
from regime_engine.prices.formats import Table
from regime_engine.prices.shapes import Reading
from regime_engine.prices.survey import Survey

PRICES = "prices_daily"
REFUSED = "prices_daily_refused"
FIRST_REFUSALS = 20
LARGE_FILE = 16 * 2**20  # bytes
# What `check` adds to the columns of the file.
STAGED_COLUMNS = ("line_number", "column_number", "written_date", "reason", "row_text")


class Refusal(NamedTuple):
    line_number: int
    reason: str


class HalfAdjusted(NamedTuple):
    """An instrument whose other rows have an adjusted close, so that staging refuses these."""

    instrument_id: str
    rows_without: int
    all_rows: int


@dataclass(frozen=True)
class LoadResult:
    """What became of a file: rows = inserted + updated + unchanged + refused, if it landed.

    landed: False if --strict and a row that cannot be used kept every price out
    first_refusals: at most FIRST_REFUSALS; all of them are in prices_daily_refused
    half_adjusted: the file's instruments that it made or left half-adjusted
    ignored_columns: the file's columns that the table does not have
    shape: how the file was read, for people; "" if it has no rows
    good: how many rows the file itself gives no reason to refuse; survey: of these rows
    """

    rows: int
    inserted: int
    updated: int
    unchanged: int
    refused: int
    landed: bool
    first_refusals: tuple[Refusal, ...]
    half_adjusted: tuple[HalfAdjusted, ...]
    ignored_columns: tuple[str, ...]
    shape: str
    good: int
    survey: Survey = field(repr=False)


Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Source:
    """open: gives the prices; what it raises is the outcome"""

    path: Path
    open: Callable[[], AbstractContextManager[Prices]]


@dataclass(frozen=True)
class _Opened:
    """Prices that are open already, and what closes them."""

    prices: Prices
    stack: ExitStack

    def __enter__(self) -> Prices:
        self.stack.__enter__()
        return self.prices

    def __exit__(self, *error: Any) -> bool | None:
        return self.stack.__exit__(*error)


Outcome: TypeAlias = LoadResult | RegimeError | psycopg.Error


@dataclass
class StagedFile:
    """A file whose rows are in staged_prices under its number.

    columns: those of prices_daily that it fills
    sha256: if the file cannot be read again
    """

    number: int
    path: Path
    columns: list[str]
    ignored_columns: tuple[str, ...]
    shape: str
    sha256: str | None = None
    rows: int = 0
    good: int = 0
    survey: Survey = field(default_factory=Survey)

    def add(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Count some rows; returns the good ones."""
        good = rows.filter(pl.col("reason").is_null())
        self.rows += rows.height
        self.good += good.height
        self.survey.add(good)
        return good


def load_prices(
    database: Database, path: str | Path, instrument_id: str | None = None, strict: bool = False
) -> LoadResult:
    """What `load_files` does, with one file; raises what it gives as an outcome."""
    file = (Path(path), Reading(instrument_id=instrument_id))
    ((_, outcome),) = load_files(database, [file], strict)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def load_files(
    database: Database,
    files: Iterable[tuple[Path, Reading]],
    strict: bool = False,
    progress: Progress = lambda done, total, name: None,
) -> Iterator[tuple[Path, Outcome]]:
    """Write the files' good rows to prices_daily and the refused ones to prices_daily_refused.

    All files are read before the first is written, so that rows of two files that contradict each
    other are refused like two rows of one file. Each file is then one transaction.

    strict: write no price of a file if any of its rows cannot be used
    progress: called with how many files are read or written, of twice as many, and the next one
    returns what became of each file; a file that cannot be read does not stop the others
    """
    files = list(files)
    if len(files) == 1 and _is_large(files[0][0]):
        path, reading = files[0]
        outcome: Outcome | None
        try:
            outcome = _load_directly(database, path, reading, strict)
        except (RegimeError, psycopg.Error) as error:
            outcome = error
        if outcome:
            yield path, outcome
            return
    sources = [Source(path, partial(open_prices, path, reading)) for path, reading in files]
    yield from _load(database, sources, strict, progress)


def load_table(
    database: Database, name: str, frame: pl.DataFrame, reading: Reading, strict: bool = False
) -> LoadResult:
    """What `load_files` does, with a frame. name: what messages call it"""
    path = Path(name)
    content = Table(path, "a frame", frame.lazy())
    bytes_of_frame = io.BytesIO()
    frame.write_ipc(bytes_of_frame)
    sha256 = hashlib.sha256(bytes_of_frame.getbuffer()).hexdigest()
    prices = replace(understood(name, content, reading), sha256=sha256)
    source = Source(path, lambda: nullcontext(prices))
    ((_, outcome),) = _load(database, [source], strict, progress=lambda done, total, name: None)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _load(
    database: Database,
    sources: Sequence[Source],
    strict: bool,
    progress: Progress,
) -> Iterator[tuple[Path, Outcome]]:
    table_columns = _create_missing_tables(database)
    database.execute(statement(__package__, "create_staged_prices"))
    try:
        staged = []
        steps = 2 * len(sources)
        for number, source in enumerate(_opened_ahead(sources)):
            progress(number, steps, source.path.name)
            try:
                with source.open() as prices, database.transaction():
                    staged.append(_stage(database, number, source.path, prices, table_columns))
            except (RegimeError, psycopg.Error) as error:
                yield source.path, error
        database.execute("analyze staged_prices")
        if len(staged) > 1:
            database.execute("create index on staged_prices using brin (file_number)")
        if _may_contradict(staged):
            _refuse_contradictions(database, staged)
        for file in staged:
            progress(len(sources) + file.number, steps, file.path.name)
            try:
                result = _write(database, file, table_columns, strict)
            except (RegimeError, psycopg.Error) as error:
                yield file.path, error
            else:
                yield file.path, result
    finally:
        if not database.connection.closed:
            database.execute("drop table staged_prices")


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size >= LARGE_FILE


class _Detour(Exception):
    """The file has to be staged."""


def _load_directly(
    database: Database, path: Path, reading: Reading, strict: bool
) -> LoadResult | None:
    """Write a file of new instruments without staging its good rows, which takes half the time.

    returns None if the file has to be staged: a key may be there twice, or one of its instruments
    has a price, or `strict` keeps it out
    """
    table_columns = _create_missing_tables(database)
    try:
        with database.transaction(), open_prices(path, reading) as prices:
            file = _new_file(0, path, prices, table_columns)
            if "close" not in file.columns or not _has_key_and_default(database):
                raise _Detour
            take_turns(database)
            database.execute(statement(__package__, "create_staged_prices"))
            with database.transaction() as prices_only:
                for rows in _one_ahead(prices.chunks):
                    known = set(file.survey.firsts)
                    good = file.add(rows)
                    new = file.survey.firsts.keys() - known
                    if not file.survey.is_unique or not _are_new(database, new):
                        raise _Detour
                    _copy(database, table(database, PRICES), good.select(file.columns))
                    bad = rows.filter(pl.col("reason").is_not_null())
                    if bad.height:
                        _copy_to_staged(database, file, bad)
                both: set[str] = set()
                if "adjusted_close" in table_columns:
                    both = file.survey.unadjusted & file.survey.adjusted
                half_adjusted = _half_adjusted(database, both) if both else []
                landed = not (strict and (half_adjusted or file.good < file.rows))
                if not landed:
                    raise psycopg.Rollback(prices_only)
            if not landed:
                raise _Detour
            counts = (file.good, 0, _keep_refused(database, file))
            result = _result(database, file, counts, landed, half_adjusted)
            database.execute("drop table staged_prices")
            return result
    except (_Detour, errors.UniqueViolation, errors.DeadlockDetected):
        return None


def _has_key_and_default(database: Database) -> bool:
    """Whether a plain COPY refuses what is there already, and dates the rows."""
    found = database.first(
        statement(__package__, "has_key_and_default"),
        {"prices": table(database, PRICES).as_string(), "key": list(KEY)},
    )
    return found is not None and found[0]


def _opened_ahead(sources: Sequence[Source]) -> Iterator[Source]:
    """The sources, of which the next one is opened, and its first rows read, while one is used."""

    def open_source(source: Source) -> AbstractContextManager[Prices]:
        with ExitStack() as stack:
            prices = stack.enter_context(source.open())
            first = list(itertools.islice(prices.chunks, 1))
            read = replace(prices, chunks=itertools.chain(first, prices.chunks))
            return _Opened(read, stack.pop_all())

    with ThreadPoolExecutor(1) as thread:
        coming = [thread.submit(open_source, source) for source in sources[:1]]
        for number, source in enumerate(sources):
            opened = coming.pop()
            if number + 1 < len(sources):
                concurrent.futures.wait([opened])
                coming.append(thread.submit(open_source, sources[number + 1]))
            yield Source(source.path, opened.result)


def _one_ahead(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The chunks, of which the next one is made in a thread while one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = thread.submit(next, chunks, None)
            yield chunk


def _write(
    database: Database, file: StagedFile, table_columns: set[str], strict: bool
) -> LoadResult:
    """Write a staged file in one transaction."""
    survey = file.survey
    with database.transaction():
        take_turns(database)
        are_new = _are_new(database, survey.firsts)
        if not (are_new and "close" in file.columns):
            _refuse_by_stored(database, file, table_columns)
        refused = _keep_refused(database, file)
        inserted, updated = 0, 0
        half_adjusted: list[HalfAdjusted] = []
        landed = not (strict and refused)
        if landed:
            with database.transaction() as prices_only:
                suspects: set[str] = set()
                if "adjusted_close" in table_columns:
                    suspects = (
                        survey.unadjusted & survey.adjusted
                        if are_new
                        else survey.unadjusted | _newly_adjusted(database, file)
                    )
                is_dated = "loaded_at" in table_columns
                if are_new and survey.is_unique:
                    inserted = _insert(database, file, is_dated, file.rows - refused)
                else:
                    inserted, updated = _upsert(database, file, is_dated)
                if suspects:
                    half_adjusted = _half_adjusted(database, suspects)
                if strict and half_adjusted:
                    inserted, updated, landed = 0, 0, False
                    raise psycopg.Rollback(prices_only)
        return _result(database, file, (inserted, updated, refused), landed, half_adjusted)


def _result(
    database: Database,
    file: StagedFile,
    counts: tuple[int, int, int],
    landed: bool,
    half_adjusted: list[HalfAdjusted],
) -> LoadResult:
    """counts: inserted, updated, refused"""
    inserted, updated, refused = counts
    first_refusals = database.execute(
        "select line_number, reason from staged_prices"
        " where file_number = %s and reason is not null"
        " order by line_number, column_number limit %s",
        [file.number, FIRST_REFUSALS],
    )
    return LoadResult(
        rows=file.rows,
        inserted=inserted,
        updated=updated,
        unchanged=file.rows - inserted - updated - refused if landed else 0,
        refused=refused,
        landed=landed,
        first_refusals=tuple(Refusal(*row) for row in first_refusals),
        half_adjusted=tuple(half_adjusted),
        ignored_columns=file.ignored_columns,
        shape=file.shape,
        good=file.good,
        survey=file.survey,
    )


def table(database: Database, name: str) -> sql.Identifier:
    return sql.Identifier(database.settings.historical_schema, name)


def _create_missing_tables(database: Database) -> set[str]:
    """Create the schema and the two tables if missing; returns the columns of prices_daily."""
    schema = sql.Identifier(database.settings.historical_schema)
    prices, refused = table(database, PRICES), table(database, REFUSED)
    # `if not exists` would require the right to create even if nothing is missing.
    with created_by_one_of_several(database):
        if not exists(database, "to_regnamespace", schema):
            database.execute("create schema {schema}", schema=schema)
    with created_by_one_of_several(database):
        if not exists(database, "to_regclass", prices):
            database.execute(statement(__package__, "create_prices_daily"), prices=prices)
            # If the var features_changes is `loaded`, dbt looks for new rows by loaded_at.
            database.execute("create index on {prices} (loaded_at)", prices=prices)
            # Staging asks of a row without an adjusted close whether its instrument has another.
            database.execute(
                "create index on {prices} (instrument_id) where adjusted_close is not null",
                prices=prices,
            )
    with created_by_one_of_several(database):
        if not exists(database, "to_regclass", refused):
            database.execute(statement(__package__, "create_prices_daily_refused"), refused=refused)
    found = database.execute(
        "select attname from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        [prices.as_string()],
    )
    columns = {name for (name,) in found}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise RegimeError(
            f"{prices.as_string()} has no column {' or '.join(missing)}: give the table the "
            f"columns {', '.join(REQUIRED)}"
        )
    return columns


def exists(database: Database, lookup: str, name: sql.Identifier) -> bool:
    query = "select {lookup}(%s) is not null"
    return database.one(query, [name.as_string()], lookup=sql.Identifier(lookup))[0]


def take_turns(database: Database) -> None:
    """From here to the end of the transaction, no other load into this table runs.

    Others may read and write the table.
    """
    lock = "lock table {prices} in share update exclusive mode"
    database.execute(lock, prices=table(database, PRICES))


def _new_file(number: int, path: Path, prices: Prices, table_columns: set[str]) -> StagedFile:
    if not prices.shape:
        return StagedFile(number, path, [*KEY, "close"], (), "")
    layout = prices.shape.layout
    columns = [name for name in layout.columns if name in table_columns]
    places = layout.series[0].positions.items()
    not_stored = [
        layout.header[at] for name, at in places if name in layout.columns and name not in columns
    ]
    ignored = tuple(layout.ignored + not_stored)
    return StagedFile(number, path, columns, ignored, str(prices.shape), prices.sha256)


def _stage(
    database: Database, number: int, path: Path, prices: Prices, table_columns: set[str]
) -> StagedFile:
    """Copy every row, refused ones with their reason."""
    file = _new_file(number, path, prices, table_columns)
    for rows in _one_ahead(prices.chunks):
        file.add(rows)
        _copy_to_staged(database, file, rows)
    return file


def _copy_to_staged(database: Database, file: StagedFile, rows: pl.DataFrame) -> None:
    staged = rows.select(pl.lit(file.number).alias("file_number"), *file.columns, *STAGED_COLUMNS)
    _copy(database, sql.Identifier("staged_prices"), staged)


def _copy(database: Database, table: sql.Identifier, rows: pl.DataFrame) -> None:
    command = sql.SQL("copy {} ({}) from stdin (format csv, encoding 'utf8')")
    copying = command.format(table, names(rows.columns))
    with database.connection.cursor() as cursor, cursor.copy(copying) as copy:
        copy.write(_copy_text(rows))


def _copy_text(rows: pl.DataFrame) -> bytes:
    # Postgres's text cannot hold NUL, and before version 18 COPY stops at a line that is `\\.`.
    one_line = pl.selectors.string().str.replace_all(r"[\x00\r\n]+", " ")
    text = io.BytesIO()
    rows.with_columns(one_line).write_csv(text, include_header=False)
    return text.getvalue()


def _may_contradict(files: list[StagedFile]) -> bool:
    """Whether a key may be there twice, in one of the files or in two."""
    instruments: set[str] = set()
    for file in files:
        if not (file.survey.is_unique and instruments.isdisjoint(file.survey.firsts)):
            return True
        instruments.update(file.survey.firsts)
    return False


def _refuse_contradictions(database: Database, files: list[StagedFile]) -> None:
    values = sorted({name for file in files for name in file.columns} - set(KEY))
    differ = (
        sql.SQL("count(distinct array[{}]) filter (where {} = any (columns)) > 1").format(
            sql.Identifier(name), sql.Literal(name)
        )
        for name in values
    )
    database.execute(
        statement(__package__, "refuse_contradictions"),
        {
            "numbers": [file.number for file in files],
            "names": [_readable(file.path) for file in files],
            "columns": [",".join(file.columns) for file in files],
        },
        values=sql.SQL("row({})::text").format(names(values, "staged_prices")),
        differ=sql.SQL(" or ").join(differ) if values else sql.SQL("false"),
    )


def _are_new(database: Database, instrument_ids: Iterable[str]) -> bool:
    """Whether none of the instruments has a price."""
    found = database.first(
        statement(__package__, "has_prices"),
        {"instrument_ids": sorted(instrument_ids)},
        prices=table(database, PRICES),
    )
    return found is None


def _days(survey: Survey, instrument_ids: Iterable[str]) -> dict[str, object]:
    """The first and the last day that a file has of each of these instruments, as parameters."""
    names = sorted(instrument_ids)
    return {
        "instrument_ids": names,
        "firsts": [survey.firsts[name] for name in names],
        "lasts": [survey.lasts[name] for name in names],
    }


def _refuse_by_stored(database: Database, file: StagedFile, table_columns: set[str]) -> None:
    """Refuse the rows that would make half a row with what is stored.

    What is stored is copied first: a distributed Postgres joins none of its tables with a temporary
    one.
    """
    if "close" not in file.columns:
        refuse, needed = "refuse_without_close", {*KEY, "close"}
    elif "adjusted_close" in table_columns - set(file.columns):
        refuse, needed = "refuse_half_adjusted", {*KEY, "close", "adjusted_close"}
    else:
        return
    database.execute(
        statement(__package__, "copy_stored"),
        _days(file.survey, file.survey.firsts),
        prices=table(database, PRICES),
        columns=names(sorted(needed), "stored"),
    )
    database.execute(statement(__package__, refuse), {"file_number": file.number})


def _keep_refused(database: Database, file: StagedFile) -> int:
    """Keep the refused rows, once for each file; returns how many there are."""
    (count,) = database.one(
        "select count(*) from staged_prices where file_number = %s and reason is not null",
        [file.number],
    )
    if count:
        sha256 = file.sha256 or sha256_of(file.path)
        database.execute(
            statement(__package__, "keep_refused"),
            {
                "file_number": file.number,
                "file_sha256": sha256,
                "file_name": _readable(file.path.name),
            },
            refused=table(database, REFUSED),
        )
    return count


def _readable(name: str | Path) -> str:
    """A file name is bytes; those that are not UTF-8 are kept as \\xNN."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _newly_adjusted(database: Database, file: StagedFile) -> set[str]:
    """The instruments with prices that get their first adjusted close from the file."""
    adjusted = file.survey.adjusted
    if not adjusted:
        return set()
    prices = table(database, PRICES)
    # Of most instruments, a look at a month spares the look at all their days.
    lately = database.execute(
        statement(__package__, "lately_adjusted"), _days(file.survey, adjusted), prices=prices
    )
    others = adjusted - {name for (name,) in lately}
    found = database.execute(
        statement(__package__, "newly_adjusted"), {"instrument_ids": sorted(others)}, prices=prices
    )
    return {name for (name,) in found}


def _half_adjusted(database: Database, instrument_ids: set[str]) -> list[HalfAdjusted]:
    found = database.rows(
        statement(__package__, "half_adjusted"),
        {"instrument_ids": sorted(instrument_ids)},
        prices=table(database, PRICES),
    )
    return found.records(HalfAdjusted)


def _insert(database: Database, file: StagedFile, is_dated: bool, count: int) -> int:
    """Write the good rows of new instruments; returns how many, which is `count`."""
    with _needs_a_key(database):
        (inserted,) = database.one(
            statement(__package__, "insert_prices"),
            {"file_number": file.number},
            **_slots(database, file, is_dated),
        )
    if inserted != count:
        raise RegimeError(
            f"{file.path}: another program wrote prices of its instruments: load it again"
        )
    return int(inserted)


def _upsert(database: Database, file: StagedFile, is_dated: bool) -> tuple[int, int]:
    """Write the good rows; a row that equals the stored one is not touched.

    returns how many keys are new, and how many have other values now
    """
    values = [name for name in file.columns if name not in KEY]
    dated = ["loaded_at"] if is_dated else []
    before = _count_stored(database, file)
    with _needs_a_key(database):
        (written,) = database.one(
            statement(__package__, "upsert_prices"),
            {"file_number": file.number},
            assignments=assignments([*values, *dated]),
            stored=names(values, "stored"),
            excluded=names(values, "excluded"),
            **_slots(database, file, is_dated),
        )
    inserted = _count_stored(database, file) - before if written else 0
    return inserted, written - inserted


def _count_stored(database: Database, file: StagedFile) -> int:
    """How many prices are stored between the first and the last day of the file's instruments."""
    (number,) = database.one(
        statement(__package__, "count_stored"),
        _days(file.survey, file.survey.firsts),
        prices=table(database, PRICES),
    )
    return int(number)


def _slots(database: Database, file: StagedFile, is_dated: bool) -> dict[str, sql.Composable]:
    dated = ["loaded_at"] if is_dated else []
    values = [sql.Identifier(name) for name in file.columns] + [sql.SQL("now()") for _ in dated]
    return {
        "prices": table(database, PRICES),
        "columns": names([*file.columns, *dated]),
        "values": sql.SQL(", ").join(values),
    }


@contextmanager
def _needs_a_key(database: Database) -> Iterator[None]:
    try:
        yield
    except (errors.InvalidColumnReference, errors.ObjectNotInPrerequisiteState) as error:
        schema = database.settings.historical_schema
        raise RegimeError(
            f"{schema}.{PRICES} has no unique key on ({', '.join(KEY)}), so a reload would write "
            "its rows a second time: add the primary key"
        ) from error
