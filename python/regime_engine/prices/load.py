"""Price files into prices_daily: all rows are staged, then written or refused at once."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl
import psycopg
from psycopg import errors, sql

from regime_engine.database import Database
from regime_engine.database.statements import statement
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
    schema = database.settings.historical_schema
    with open_prices(Path(path), instrument_id) as file:
        table_columns = _create_missing_tables(database, schema)
        columns = [name for name in file.columns if name in table_columns]
        with database.transaction(), database.connection.cursor() as cursor:
            rows = _stage(cursor, file)
            _refuse_contradictions(cursor, columns)
            _take_turns(cursor, schema)
            refused = _keep_refused(cursor, schema, Path(path))
            landed = not (strict and refused)
            changes = Changes(inserted=0, updated=0)
            if landed:
                changes = _upsert(cursor, schema, columns, dated="loaded_at" in table_columns)
            first_refusals = _first_refusals(cursor)
    ignored = [name for name in file.header if name_of(name) not in columns]
    return LoadResult(
        rows=rows,
        inserted=changes.inserted,
        updated=changes.updated,
        unchanged=rows - changes.inserted - changes.updated - refused if landed else 0,
        refused=refused,
        landed=landed,
        first_refusals=first_refusals,
        ignored_columns=tuple(ignored),
    )


def _create_missing_tables(database: Database, schema: str) -> set[str]:
    """Create the schema and the two tables if missing; returns the columns of prices_daily."""
    prices, refused = sql.Identifier(schema, PRICES), sql.Identifier(schema, REFUSED)
    with database.transaction(), database.connection.cursor() as cursor:
        _take_turns(cursor, schema)
        # `if not exists` would require the right to create even if nothing is missing.
        if not _exists(cursor, "to_regnamespace", sql.Identifier(schema)):
            cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        if not _exists(cursor, "to_regclass", prices):
            cursor.execute(statement(__package__, "create_prices_daily").format(prices=prices))
            # If the var features_changes is `loaded`, dbt looks for new rows by loaded_at.
            cursor.execute(sql.SQL("create index on {} (loaded_at)").format(prices))
        if not _exists(cursor, "to_regclass", refused):
            create_refused = statement(__package__, "create_prices_daily_refused")
            cursor.execute(create_refused.format(refused=refused))
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
    query = sql.SQL("select {}(%s) is not null").format(sql.Identifier(lookup))
    [(exists,)] = cursor.execute(query, [name.as_string()]).fetchall()
    return exists


def _take_turns(cursor: psycopg.Cursor, schema: str) -> None:
    """From here to the end of the transaction, no other load into this table runs."""
    key = f"regime load {schema}.{PRICES}"
    cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _stage(cursor: psycopg.Cursor, file: PriceFile) -> int:
    """Copy every row, refused ones with their reason; returns how many there are."""
    cursor.execute(statement(__package__, "create_staged_prices"))
    rows = 0
    columns = [*file.columns, *STAGED_COLUMNS]
    command = sql.SQL("copy staged_prices ({}) from stdin (format csv, encoding 'utf8')")
    with cursor.copy(command.format(_listed(columns))) as copy:
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
        statement(__package__, "refuse_contradictions").format(
            first=_listed(values, "first"), this=_listed(values, "this")
        )
    )


def _keep_refused(cursor: psycopg.Cursor, schema: str, path: Path) -> int:
    """Keep the refused rows, once for each file; returns how many there are."""
    query = "select count(*) from staged_prices where reason is not null"
    [(count,)] = cursor.execute(query).fetchall()
    if count:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        cursor.execute(
            statement(__package__, "keep_refused").format(refused=sql.Identifier(schema, REFUSED)),
            {"file_sha256": sha256, "file_name": path.name},
        )
    return count


def _first_refusals(cursor: psycopg.Cursor) -> tuple[Refusal, ...]:
    cursor.execute(
        "select line_number, reason from staged_prices where reason is not null"
        " order by line_number limit %s",
        [FIRST_REFUSALS],
    )
    return tuple(Refusal(line_number, reason) for line_number, reason in cursor)


class Changes(NamedTuple):
    """How many keys are new, and how many have other values now."""

    inserted: int
    updated: int


def _upsert(cursor: psycopg.Cursor, schema: str, columns: list[str], dated: bool) -> Changes:
    """Write the good rows; a row that equals the stored one is not touched."""
    values = [name for name in columns if name not in KEY]
    written = [*columns, "loaded_at"] if dated else columns
    upsert = statement(__package__, "upsert_prices").format(
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
        [changes] = cursor.execute(upsert).fetchall()
    except (errors.InvalidColumnReference, errors.ObjectNotInPrerequisiteState) as error:
        raise RegimeError(
            f"{schema}.{PRICES} has no unique key on ({', '.join(KEY)}), so a reload would write "
            "its rows a second time: add the primary key"
        ) from error
    return Changes(*changes)


def _listed(names: list[str], table: str | None = None) -> sql.Composed:
    path = [table] if table else []
    return sql.SQL(", ").join(sql.Identifier(*path, name) for name in names)
