"""Price files into prices_daily: all rows are staged, then written or refused at once."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from psycopg import errors, sql

from regime_engine.database import Database, created_by_one_of_several
from regime_engine.database.statements import assignments, names, statement
from regime_engine.errors import RegimeError
from regime_engine.prices.columns import KEY, REQUIRED, name_of
from regime_engine.prices.formats import PriceFile, open_prices
from regime_engine.prices.rules import check

PRICES = "prices_daily"
REFUSED = "prices_daily_refused"
FIRST_REFUSALS = 20
# What `check` adds to the columns of the file.
STAGED_COLUMNS = ("line_number", "written_date", "reason", "row_text")


@dataclass(frozen=True)
class Refusal:
    line_number: int
    reason: str


@dataclass(frozen=True)
class LoadResult:
    """What became of a file: rows = inserted + updated + unchanged + refused, if it landed.

    landed: False if --strict and a refused row kept every price out
    ignored_columns: the file's columns that the table does not have
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


def load_prices(
    database: Database, path: str | Path, instrument_id: str | None = None, strict: bool = False
) -> LoadResult:
    """Write a file's good rows to prices_daily and its refused ones to prices_daily_refused.

    The file is one transaction.
    instrument_id: whose prices these are, if the file does not say
    strict: write no price if any row is refused
    raises RegimeError if the file as a whole cannot be read
    """
    with open_prices(Path(path), instrument_id) as file:
        table_columns = _create_missing_tables(database)
        columns = [name for name in file.columns if name in table_columns]
        with database.transaction():
            rows = _stage(database, file)
            _refuse_contradictions(database, columns)
            take_turns(database)
            refused = _keep_refused(database, Path(path))
            landed = not (strict and refused)
            inserted, updated = 0, 0
            if landed:
                inserted, updated = _upsert(database, columns, "loaded_at" in table_columns)
            first_refusals = database.execute(
                "select line_number, reason from staged_prices where reason is not null"
                " order by line_number limit %s",
                [FIRST_REFUSALS],
            )
    return LoadResult(
        rows=rows,
        inserted=inserted,
        updated=updated,
        unchanged=rows - inserted - updated - refused if landed else 0,
        refused=refused,
        landed=landed,
        first_refusals=tuple(Refusal(*row) for row in first_refusals),
        ignored_columns=tuple(name for name in file.header if name_of(name) not in columns),
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


def _stage(database: Database, file: PriceFile) -> int:
    """Copy every row, refused ones with their reason; returns how many there are."""
    database.execute(statement(__package__, "create_staged_prices"))
    rows = 0
    columns = [*file.columns, *STAGED_COLUMNS]
    command = sql.SQL("copy staged_prices ({}) from stdin (format csv, encoding 'utf8')")
    copying = command.format(names(columns))
    with database.connection.cursor() as cursor, cursor.copy(copying) as copy:
        for chunk in file.chunks:
            copy.write(_copy_text(check(chunk).select(columns)))
            rows += chunk.height
    database.execute("analyze staged_prices")
    return rows


def _copy_text(rows: pl.DataFrame) -> bytes:
    # Postgres's text cannot hold NUL, and before version 18 COPY stops at a line that is `\\.`.
    one_line = pl.selectors.string().str.replace_all(r"[\x00\r\n]+", " ")
    text = io.BytesIO()
    rows.with_columns(one_line).write_csv(text, include_header=False)
    return text.getvalue()


def _refuse_contradictions(database: Database, columns: list[str]) -> None:
    values = [name for name in columns if name not in KEY]
    refuse = statement(__package__, "refuse_contradictions")
    database.execute(refuse, first=names(values, "first"), this=names(values, "this"))


def _keep_refused(database: Database, path: Path) -> int:
    """Keep the refused rows, once for each file; returns how many there are."""
    (count,) = database.one("select count(*) from staged_prices where reason is not null")
    if count:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # A file name is bytes; those that are not UTF-8 are kept as \\xNN.
        name = os.fsencode(path.name).decode(errors="backslashreplace")
        parameters = {"file_sha256": sha256, "file_name": name}
        keep = statement(__package__, "keep_refused")
        database.execute(keep, parameters, refused=table(database, REFUSED))
    return count


def _upsert(database: Database, columns: list[str], is_dated: bool) -> tuple[int, int]:
    """Write the good rows; a row that equals the stored one is not touched.

    returns how many keys are new, and how many have other values now
    """
    values = [name for name in columns if name not in KEY]
    dated = ["loaded_at"] if is_dated else []
    try:
        inserted, updated = database.one(
            statement(__package__, "upsert_prices"),
            prices=table(database, PRICES),
            columns=names([*columns, *dated]),
            assignments=assignments([*values, *dated]),
            stored=names(values, "stored"),
            excluded=names(values, "excluded"),
        )
    except (errors.InvalidColumnReference, errors.ObjectNotInPrerequisiteState) as error:
        schema = database.settings.historical_schema
        raise RegimeError(
            f"{schema}.{PRICES} has no unique key on ({', '.join(KEY)}), so a reload would write "
            "its rows a second time: add the primary key"
        ) from error
    return inserted, updated
