"""`regime load`: price files into a real prices_daily."""

import gzip
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from commands import Process, environment, refusal, regime_command, succeed
from project import ROOT
from servers import ALONE, wait_until
from stored import PRICES, day_versions

import regime_engine
from regime_engine import demo
from regime_engine.cli.load import load as load_command
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.errors import RegimeError
from regime_engine.prices import formats, load
from regime_engine.prices.load import HalfAdjusted, LoadResult, Refusal, load_files, load_prices
from regime_engine.prices.shapes import Reading

DEMO = Path(demo.__file__).parent
GSPC = DEMO / "GSPC.INDX.csv.gz"
IXIC = DEMO / "IXIC.INDX.csv.gz"

SOME_BAD_ROWS = """Ticker,Date,Open,Close,Volume
A,2020-01-02,1,10,100
A,2020-01-03,1,abc,100
A,2020-01-06,1,NaN,100
A,2020-01-07,1,-3.0,100
A,2020-01-08,1,11,-1
A,2025-02-30,1,12,100
A,2020-01-09,1
A,2020-01-10,1,13,100
A,2020-01-10,1,13.5,100
A,2020-01-13,-2,14,100
A,0000-01-01,1,14,100
A,2020-01-14,,15,
"""
REFUSED_OF_THEM = [
    (3, "close is not a number: 'abc'"),
    (4, "close is not finite: NaN"),
    (5, "close is not positive: -3.0"),
    (6, "volume is negative: -1"),
    (7, "trade_date cannot be read as YYYY-MM-DD: '2025-02-30'"),
    (8, "the number of fields is 3, the header has 5"),
    (9, "the same instrument and date with different values on line 10"),
    (10, "the same instrument and date with different values on line 9"),
    (11, "open is not positive: -2"),
    (12, "trade_date is before 1700-01-01: 0000-01-01"),
]


@pytest.fixture
def database(empty_settings: Settings):
    with connect(empty_settings) as database:
        yield database


@pytest.fixture
def write(tmp_path: Path):
    """Write a file of prices and return its path."""

    def write(text: str, name: str = "prices.csv") -> Path:
        (tmp_path / name).write_text(text, newline="")
        return tmp_path / name

    return write


def closes(database: Database) -> list[tuple[str, str, float]]:
    return database.rows(
        "select instrument_id, trade_date::text, close from historical.prices_daily order by 1, 2"
    ).rows


def refused(database: Database) -> list[tuple[int, str]]:
    return database.rows(
        "select line_number, reason from historical.prices_daily_refused order by line_number"
    ).rows


def run_load(settings: Settings, *arguments: object) -> subprocess.CompletedProcess:
    return regime_command(settings, "load", *map(str, arguments))


def counts(result: LoadResult) -> tuple[int, ...]:
    return result.rows, result.inserted, result.updated, result.unchanged, result.refused


@pytest.mark.by_version
def test_the_bundled_prices_land_as_they_are_written(database):
    for path in (GSPC, IXIC):
        assert counts(load_prices(database, path)) == (5031, 5031, 0, 0, 0)
        _, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        stored = database.rows(
            "select instrument_id, trade_date::text, open, high, low, close, adjusted_close,"
            " volume, currency, metadata from historical.prices_daily"
            " where instrument_id = %s order by trade_date",
            [path.name.removesuffix(".csv.gz")],
        ).rows
        expected = [
            (*cells[:2], *map(float, cells[2:8]), cells[8], None)
            for cells in (line.split(",") for line in lines)
        ]
        assert stored == expected
    zero_volume = "select count(*) from historical.prices_daily where volume = 0"
    assert database.one(zero_volume) == (2,)


def test_bad_rows_are_refused_by_line_and_reason_and_the_good_rows_land(database, write):
    result = load_prices(database, write(SOME_BAD_ROWS))
    assert counts(result) == (12, 2, 0, 0, 10)
    assert result.first_refusals == tuple(Refusal(*refusal) for refusal in REFUSED_OF_THEM)
    assert refused(database) == REFUSED_OF_THEM
    assert closes(database) == [("A", "2020-01-02", 10.0), ("A", "2020-01-14", 15.0)]


def test_a_refused_row_is_kept_as_it_was_written(database, write):
    load_prices(database, write("ticker,date,close\r\n A\0,2025-02-30,1;5\r\n"))
    kept = database.rows(
        "select file_name, length(file_sha256), instrument_id, trade_date, row_text"
        " from historical.prices_daily_refused"
    ).rows
    # Postgres's text cannot hold NUL: it is a space there.
    assert kept == [("prices.csv", 64, "A ", "2025-02-30", " A ,2025-02-30,1;5")]


def test_strict_lands_nothing_of_a_file_with_a_refused_row(database, write):
    load_prices(database, write("ticker,date,close\nA,2020-01-02,9\n", "before.csv"))
    result = load_prices(database, write(SOME_BAD_ROWS), strict=True)
    assert (result.landed, *counts(result)) == (False, 12, 0, 0, 0, 10)
    assert closes(database) == [("A", "2020-01-02", 9.0)]
    assert refused(database) == REFUSED_OF_THEM


def test_strict_lands_a_file_without_a_refused_row(database):
    assert load_prices(database, GSPC, strict=True).inserted == 5031


def test_a_reload_changes_nothing(database, write):
    path = write(SOME_BAD_ROWS)
    for file in (path, GSPC):
        load_prices(database, file)
    before, refused_before = day_versions(database, PRICES), refused(database)
    assert counts(load_prices(database, path)) == (12, 0, 0, 2, 10)
    assert counts(load_prices(database, GSPC)) == (5031, 0, 0, 5031, 0)
    assert day_versions(database, PRICES) == before
    assert refused(database) == refused_before


def test_a_corrected_file_updates_the_corrected_row_only(database, write):
    text = gzip.decompress(GSPC.read_bytes()).decode()
    load_prices(database, write(text))
    before = day_versions(database, PRICES)
    loaded_at = f"select loaded_at from {PRICES} where trade_date = '1999-01-05'"
    loaded_before = database.one(loaded_at)
    corrected = text.replace(",1244.780029,1244.780029,", ",1244.79,1244.780029,")
    result = load_prices(database, write(corrected))
    assert counts(result) == (5031, 0, 1, 5030, 0)
    after = day_versions(database, PRICES)
    (changed,) = (key for key in before if before[key] != after[key])
    assert (changed[0], str(changed[1])) == ("GSPC.INDX", "1999-01-05")
    assert database.one(loaded_at) > loaded_before
    assert ("GSPC.INDX", "1999-01-05", 1244.79) in closes(database)


def test_columns_that_a_file_does_not_have_are_left_as_they_are(database, write):
    load_prices(database, write("ticker,date,close,volume,currency\nA,2020-01-02,1,5,USD\n"))
    result = load_prices(database, write("ticker,date,close,currency\nA,2020-01-02,2,\n"))
    assert result.updated == 1
    row = database.execute("select close, volume, currency from historical.prices_daily")
    assert row.fetchall() == [(2.0, 5.0, None)]


def test_identical_rows_collapse_and_different_ones_are_all_refused(database, write):
    rows = [
        "A,2020-01-02,1.50",
        "A,2020-01-03,2",
        "A,2020-01-02,1.5",
        "A,2020-01-03,2",
        "B,2020-01-03,7",
        "A,2020-01-03,3",
    ]
    result = load_prices(database, write("ticker,date,close\n" + "\n".join(rows)))
    assert counts(result) == (6, 2, 0, 1, 3)
    assert closes(database) == [("A", "2020-01-02", 1.5), ("B", "2020-01-03", 7.0)]
    different = "the same instrument and date with different values on line"
    assert refused(database) == [
        (3, f"{different} 7"),
        (5, f"{different} 7"),
        (7, f"{different} 3"),
    ]


def test_a_refused_row_does_not_contradict_a_good_one(database, write):
    result = load_prices(database, write("ticker,date,close\nA,2020-01-02,1\nA,2020-01-02,-1\n"))
    assert counts(result) == (2, 1, 0, 0, 1)


def test_duplicates_are_found_across_the_chunks_in_which_a_file_is_read(
    database, write, monkeypatch
):
    monkeypatch.setattr(formats, "CHUNK_ROWS", 2)
    monkeypatch.setattr(formats, "BLOCK_BYTES", 50)
    path = write(SOME_BAD_ROWS)
    assert counts(load_prices(database, path)) == (12, 2, 0, 0, 10)
    assert refused(database) == REFUSED_OF_THEM


def test_parquet_lands_what_csv_lands(database, write, tmp_path):
    frame = pl.read_csv(GSPC, try_parse_dates=True)
    frame.write_parquet(tmp_path / "prices.parquet", row_group_size=700)
    load_prices(database, GSPC)
    before = day_versions(database, PRICES)
    result = load_prices(database, tmp_path / "prices.parquet")
    assert counts(result) == (5031, 0, 0, 5031, 0)
    assert day_versions(database, PRICES) == before


def test_doubles_are_stored_to_the_bit(database, tmp_path):
    random = np.random.default_rng(1)
    bits = random.integers(1, 0x7FF0000000000000, 20_000)  # every finite positive double
    values = bits.view(np.float64)
    frame = pl.DataFrame({"close": values, "row": np.arange(len(values))}).select(
        "close", ticker=pl.format("I{}", pl.col("row")), date=pl.lit("2020-01-02")
    )
    frame.write_parquet(tmp_path / "prices.parquet")
    text = "ticker,date,close\n" + "".join(
        f"I{row},2020-01-02,{value!r}\n" for row, value in enumerate(values.tolist())
    )
    (tmp_path / "prices.csv").write_text(text)
    for name in ("prices.csv", "prices.parquet"):
        load_prices(database, tmp_path / name)
        stored = database.execute(
            "select float8send(close) from historical.prices_daily"
            " order by substr(instrument_id, 2)::int"
        )
        assert np.frombuffer(b"".join(row for (row,) in stored), ">f8").tolist() == values.tolist()


def test_quotes_semicolons_and_backslashes_in_an_instrument_are_data(database, tmp_path):
    names = ["'; drop table x; --", 'say "A"', "a\\.b", "\\.", "\\N", "NULL", "%s {}", "Zürich 株"]
    pl.DataFrame({"ticker": names}).with_columns(
        date=pl.lit("2020-01-02"), close=1.0, metadata=pl.lit('{\n"a": "\\\\."}')
    ).write_csv(tmp_path / "prices.csv")
    assert load_prices(database, tmp_path / "prices.csv").inserted == len(names)
    stored = database.execute("select instrument_id, metadata from historical.prices_daily")
    assert sorted(stored.fetchall()) == [(name, {"a": "\\."}) for name in sorted(names)]


def test_rows_of_two_files_that_contradict_each_other_are_refused_as_in_one_file(database, write):
    a = write(
        "ticker,date,close,volume\nA,2020-01-02,1,5\nA,2020-01-03,2,5\nB,2020-01-02,7,1\n", "a.csv"
    )
    b = write("ticker,date,close\nA,2020-01-02,1\nA,2020-01-03,3\nA,2020-01-06,4\n", "b.csv")
    c = write("ticker,date,close,volume\nB,2020-01-02,7,2\nA,2020-01-06,4,\n", "c.csv")
    (_, of_a), (_, of_b), (_, of_c) = load_files(
        database, [(path, Reading()) for path in (a, b, c)]
    )
    assert closes(database) == [("A", "2020-01-02", 1.0), ("A", "2020-01-06", 4.0)]
    different = "the same instrument and date with different values on line"
    assert of_a.first_refusals == ((3, f"{different} 3 of {b}"), (4, f"{different} 2 of {c}"))
    assert of_b.first_refusals == ((3, f"{different} 3 of {a}"),)
    assert of_c.first_refusals == ((2, f"{different} 4 of {a}"),)
    # The volume that b does not say is no contradiction, and its equal rows are no second ones.
    assert [counts(result) for result in (of_a, of_b, of_c)] == [
        (3, 1, 0, 0, 2),
        (3, 1, 0, 1, 1),
        (2, 0, 0, 1, 1),
    ]


ADJUSTED = "ticker,date,close,adj close\nA,2020-01-02,10,9\nA,2020-01-03,11,10\nB,2020-01-02,5,\n"


def test_a_file_that_leaves_an_instrument_half_adjusted_is_named_at_once(database, write):
    assert load_prices(database, write(ADJUSTED)).half_adjusted == ()
    path = write("ticker,date,close\nA,2020-01-06,12\nB,2020-01-06,6\n")
    assert load_prices(database, path).half_adjusted == (HalfAdjusted("A", 1, 3),)
    # It stays so until the day has an adjusted close, and a strict load does not add to it.
    path = write("ticker,date,close\nA,2020-01-07,13\n")
    strict = load_prices(database, path, strict=True)
    assert (strict.landed, strict.half_adjusted) == (False, (HalfAdjusted("A", 2, 4),))
    assert len(closes(database)) == 5
    path = write("ticker,date,close,adj close\nA,2020-01-06,12,11\n")
    assert load_prices(database, path).half_adjusted == ()


def test_the_first_adjusted_close_of_an_instrument_names_its_older_rows(
    database, empty_settings, write
):
    unadjusted = ADJUSTED.replace(",9", ",").replace(",10\n", ",\n")
    assert load_prices(database, write(unadjusted)).half_adjusted == ()
    path = write("ticker,date,close,adj close\nA,2020-01-06,12,12\n")
    result = run_load(empty_settings, path)
    assert result.returncode == 1
    assert result.stderr == (
        f"{path}: A: 2 of 3 rows have no adjusted close and the others have one, so staging "
        "refuses those without: load adjusted closes for every day of it, or for none\n"
    )
    succeed(run_load(empty_settings, write(ADJUSTED)))


def test_an_adjusted_close_of_years_ago_is_not_the_first_one(database, write):
    load_prices(database, write(ADJUSTED))
    path = write("ticker,date,close,adj close\nA,2024-01-02,12,12\nB,2024-01-02,6,6\n")
    assert load_prices(database, path).half_adjusted == (HalfAdjusted("B", 1, 2),)


def test_only_rows_of_the_file_are_counted_and_not_those_between_them(database, write):
    load_prices(database, write(ADJUSTED))
    path = write(
        "ticker,date,close,adj close\nA,2019-12-31,8,8\nA,2020-01-02,10.5,9\nA,2020-01-06,1,1\n"
    )
    assert counts(load_prices(database, path)) == (3, 2, 1, 0, 0)
    assert counts(load_prices(database, path)) == (3, 0, 0, 3, 0)


def test_a_table_without_adjusted_closes_takes_the_closes_of_a_file_that_has_both(database, write):
    load_prices(database, write(ADJUSTED))
    database.execute("alter table historical.prices_daily drop column adjusted_close")
    path = write(ADJUSTED.replace("11,10", "12,10"))
    result = load_prices(database, path)
    assert (counts(result), result.ignored_columns) == ((3, 0, 1, 2, 0), ("adj close",))


def test_a_close_is_not_changed_under_an_adjusted_close_that_stays(database, write):
    load_prices(database, write(ADJUSTED))
    path = write("ticker,date,close\nA,2020-01-02,10\nA,2020-01-03,5.5\nB,2020-01-02,2.5\n")
    result = load_prices(database, path)
    assert result.first_refusals == (
        (
            3,
            "close differs from the stored 11, which has an adjusted_close, and the file has none: load both",
        ),
    )
    assert counts(result) == (3, 0, 1, 1, 1)
    stored = "select close, adjusted_close from historical.prices_daily order by 1"
    assert database.rows(stored).rows == [(2.5, None), (10.0, 9.0), (11.0, 10.0)]


def test_a_file_without_rows_says_so_and_is_no_failure(empty_settings, write, tmp_path):
    header = write("Date,Close,Volume\r\n\r\n", "header.csv")
    pl.DataFrame(schema={"date": pl.Date, "close": float}).write_parquet(tmp_path / "none.parquet")
    result = succeed(run_load(empty_settings, header, tmp_path / "none.parquet"))
    assert result.stdout.splitlines()[:2] == ["header.csv: no rows", "none.parquet: no rows"]
    assert result.stderr == ""


def test_columns_without_a_place_are_named(database, write):
    path = write(",Date,Close,Dividends,Stock Splits\n0,2020-01-02,1,0,0\n")
    result = load_prices(database, path, instrument_id="A")
    assert (result.inserted, result.ignored_columns) == (1, ("", "Dividends", "Stock Splits"))


def test_a_schema_may_have_any_name(database, empty_settings, write):
    settings = Settings(
        database_url=empty_settings.database_url, historical_schema='My "Prices"; --'
    )
    load_prices(replace(database, settings=settings), write(SOME_BAD_ROWS))
    rows = database.execute('select count(*) from "My ""Prices""; --".prices_daily')
    assert rows.fetchone() == (2,)


def test_a_teams_own_narrower_table_is_filled_as_far_as_it_goes(database, write):
    database.execute("create schema historical")
    database.execute(
        "create table historical.prices_daily (trade_date date, instrument_id varchar(20),"
        " close numeric(12, 4), volume bigint, unique (trade_date, instrument_id))"
    )
    path = write("ticker,date,close,volume,open,currency\nA,2020-01-02,1.00004,5,1,USD\n")
    result = load_prices(database, path)
    assert (result.inserted, result.ignored_columns) == (1, ("open", "currency"))
    assert counts(load_prices(database, path)) == (1, 0, 0, 1, 0)


def test_new_prices_are_found_by_load_time_and_adjusted_instruments_by_name(database, write):
    load_prices(database, write("ticker,date,close\nA,2020-01-02,1\n"))
    (indexed,) = database.one(
        "select array_agg(pg_get_indexdef(indexrelid, 1, true)) from pg_index"
        " where indrelid = 'historical.prices_daily'::regclass and not indisprimary"
    )
    assert sorted(indexed) == ["instrument_id", "loaded_at"]


def test_a_partitioned_table_is_filled_too(database, write):
    database.execute("create schema historical")
    database.execute(
        "create table historical.prices_daily (instrument_id text, trade_date date, close float8,"
        " primary key (instrument_id, trade_date)) partition by range (trade_date)"
    )
    database.execute(
        "create table historical.prices_2020 partition of historical.prices_daily"
        " for values from ('2020-01-01') to ('2021-01-01')"
    )
    path = write("ticker,date,close\nA,2020-01-02,1\nA,2020-01-03,1\n")
    assert load_prices(database, path).inserted == 2
    path = write("ticker,date,close\nA,2020-01-02,1\nA,2020-01-03,2\n")
    assert counts(load_prices(database, path)) == (2, 0, 1, 1, 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            "instrument_id text, trade_date date, close float8",
            r"no unique key on \(instrument_id, trade_date\)",
        ),
        ("symbol text, trade_date date, price float8", "no column instrument_id or close"),
    ],
)
def test_a_table_that_cannot_take_prices_is_named(database, write, columns, message):
    database.execute("create schema historical")
    database.execute(f"create table historical.prices_daily ({columns})")
    with pytest.raises(RegimeError, match=message):
        load_prices(database, write("ticker,date,close\nA,2020-01-02,1\n"))


def test_a_user_without_the_right_to_create_can_load_into_tables_that_are_there(
    database, empty_settings, write
):
    path = write(SOME_BAD_ROWS)
    load_prices(database, path)
    database.execute("create role regime_test_loader")
    try:
        database.execute("grant usage on schema historical to regime_test_loader")
        database.execute(
            "grant select, insert, update on all tables in schema historical to regime_test_loader"
        )
        with connect(empty_settings) as loader:
            loader.execute("set role regime_test_loader")
            assert counts(load_prices(loader, path)) == (12, 0, 0, 2, 10)
    finally:
        database.execute("drop owned by regime_test_loader")
        database.execute("drop role regime_test_loader")


def test_loads_of_the_same_prices_at_once_end_like_one(empty_settings, write):
    rows = [f"I{i % 50},{day},{i + 1}" for i, day in enumerate(days(3_000))]
    paths = [
        write("ticker,date,close\n" + "\n".join(order), f"{name}.csv")
        for name, order in {"up": rows, "down": rows[::-1]}.items()
    ]

    def load_one(path: Path) -> int:
        with connect(empty_settings) as database:
            return load_prices(database, path).inserted

    with ThreadPoolExecutor(6) as pool:
        inserted = list(pool.map(load_one, paths * 3))
    assert sorted(inserted) == [0, 0, 0, 0, 0, 3_000]
    with connect(empty_settings) as database:
        assert len(closes(database)) == 3_000


def days(count: int) -> list[str]:
    return [str(day) for day in np.datetime64("1990-01-01") + np.arange(count)]


def test_a_kill_at_any_point_leaves_nothing_half_written_and_a_reload_completes(
    empty_settings, write, database
):
    rows = [f"I{i},{day},{i + 1}" for i in range(20) for day in days(5_000)]
    path = write("ticker,date,close\n" + "\n".join([*rows, "I0,2020-01-02,bad"]))
    load_prices(database, write("ticker,date,close\nB,2020-01-02,1\n", "other.csv"))
    for seconds in (0.4, 0.7, 1.0, 1.4):
        process = Process("regime", ("load", str(path)), environment(empty_settings))
        time.sleep(seconds)
        process.kill()
        process.wait()
        wait_until(database, ALONE)
        found = len(closes(database)), len(refused(database))
        assert found in {(1, 0), (len(rows) + 1, 1)}
    result = load_prices(database, path)
    assert result.refused == 1
    assert (len(closes(database)), len(refused(database))) == (len(rows) + 1, 1)


def test_a_load_that_ends_in_the_upsert_leaves_nothing(empty_settings, write, database):
    load_prices(database, write("ticker,date,close\nB,2020-01-02,1\n", "other.csv"))
    path = write(SOME_BAD_ROWS)
    with connect(empty_settings) as reader, connect(empty_settings) as victim:
        backend = victim.connection.info.backend_pid
        with reader.transaction():
            reader.execute("lock table historical.prices_daily in share mode")
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(load_prices, victim, path)
                while not waits_for_a_lock(database, backend):
                    time.sleep(0.01)
                database.execute("select pg_terminate_backend(%s)", [backend])
                with pytest.raises(psycopg.OperationalError):
                    loading.result()
    assert closes(database) == [("B", "2020-01-02", 1.0)]
    assert refused(database) == []
    assert counts(load_prices(database, path)) == (12, 2, 0, 0, 10)


def waits_for_a_lock(database: Database, backend: int) -> bool:
    query = "select exists (select from pg_locks where pid = %s and not granted)"
    return database.one(query, [backend])[0]


def test_the_command_says_what_became_of_each_file(empty_settings, write):
    path = write(SOME_BAD_ROWS)
    result = run_load(empty_settings, path, GSPC)
    assert result.returncode == 1
    assert result.stdout == (
        "prices.csv: 12 rows, 2 new, 0 corrected, 0 unchanged, 10 refused (CSV, one price a row, "
        "dates YYYY-MM-DD; adjusted closes on 0 of 4 rows)\n"
        "GSPC.INDX.csv.gz: 5,031 rows, 5,031 new, 0 corrected, 0 unchanged, 0 refused (CSV, one "
        "price a row, dates YYYY-MM-DD; adjusted closes on 5,031 of 5,031 rows)\n"
        "2 of 2 files loaded: 5,043 rows, 5,033 new, 0 corrected, 0 unchanged, 10 refused\n"
    )
    assert result.stderr.splitlines() == [
        *(f"{path}:{line}: {reason}" for line, reason in REFUSED_OF_THEM),
        f"{path}: 10 of 12 rows refused, kept in historical.prices_daily_refused",
    ]
    succeed(run_load(empty_settings, "--allow-refused", path))


def test_the_command_shows_twenty_refusals_and_says_where_the_rest_are(empty_settings, write):
    path = write("date,close,note\n" + "2020-01-02,0,\n" * 1_000)
    result = run_load(empty_settings, path, "--instrument-id", "A", "--allow-refused", "--strict")
    assert result.returncode == 1
    first, *shown, last = result.stderr.splitlines()
    assert first == f"{path}: columns not loaded: 'note'"
    assert shown == [f"{path}:{line}: close is not positive: 0" for line in range(2, 22)]
    assert last == (
        f"{path}: 1,000 of 1,000 rows refused, 980 more than shown, kept in "
        "historical.prices_daily_refused; --strict: none of the file's prices landed"
    )


def test_one_failing_file_does_not_stop_the_others(empty_settings, write, tmp_path):
    empty, folder = write("", "empty.csv"), tmp_path / "none"
    folder.mkdir()
    good = write('ticker,date,close,metadata\nA,2020-01-02,1,"[1e99, 1]"\n', "good.csv")
    result = run_load(empty_settings, tmp_path / "none.csv", empty, good)
    assert result.returncode == 1
    assert result.stdout.startswith("good.csv: 1 rows, 1 new, 0 corrected, 0 unchanged, 0 refused")
    assert result.stderr.splitlines() == [
        f"Error: {tmp_path / 'none.csv'}: no such file: name the files to load",
        f"Error: {empty}: the file is empty",
    ]
    assert refusal(run_load(empty_settings, folder)).endswith(
        "no file in the folder: name the files to load"
    )


def test_a_file_of_which_the_end_cannot_be_read_lands_nothing(database, tmp_path):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(GSPC.read_bytes()[:-20_000])
    load_prices(database, IXIC)
    with pytest.raises(RegimeError, match="cut short"):
        load_prices(database, path)
    assert {row[0] for row in closes(database)} == {"IXIC.INDX"}


def test_help_does_not_import_polars_or_psycopg():
    program = (
        "import sys, click.testing, regime_engine.cli as cli\n"
        "click.testing.CliRunner().invoke(cli.regime, ['load', '--help'])\n"
        "assert 'regime_engine.cli.load' in sys.modules\n"
        "assert not {'polars', 'psycopg'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("order", ["sorted", "not sorted", "stored before", "half adjusted"])
def test_a_large_file_is_written_as_a_small_one_is(database, write, monkeypatch, order):
    rows = [f"I{i},{day},{i + 1}.5,{i + 1}" for i in range(3) for day in days(50)]
    rows[60] = rows[60].replace(",2.5,", ",bad,")
    if order == "not sorted":
        rows = [*rows[::-1], rows[3].replace(",1.5,", ",7,")]
    elif order == "half adjusted":
        rows[70] = rows[70].removesuffix("2")
    text = "ticker,date,close,adj close\n" + "\n".join(rows)
    found = []
    for least_bytes in (2**40, 0):
        database.execute("drop schema if exists historical cascade")
        before = write("ticker,date,close,adj close\nI2,1990-01-02,9,8\n", "before.csv")
        load_prices(database, before if order == "stored before" else write("ticker,date,close\n"))
        monkeypatch.setattr(load, "LARGE_FILE", least_bytes)
        monkeypatch.setattr(formats, "BLOCK_BYTES", 500)
        result = load_prices(database, write(text, "again.csv"))
        stored = database.rows(
            "select instrument_id, trade_date, close, adjusted_close, loaded_at is null"
            " from historical.prices_daily order by 1, 2"
        ).rows
        found.append((counts(result), result.half_adjusted, refused(database), stored))
    assert found[0] == found[1]
    assert found[0][0][1] > 140


def command(settings: Settings, *arguments: object, **invoked: object) -> Result:
    """`regime load`, in this process."""
    result = CliRunner().invoke(load_command, list(map(str, arguments)), obj=settings, **invoked)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_dry_run_shows_what_a_load_would_do_and_needs_no_database(write):
    path = write(SOME_BAD_ROWS + "A,2020-01-15,1,16,1\nA,2020-01-16,1,17,1\nA,2020-01-17,1,18,1\n")
    result = command(Settings(database_url="host=nowhere"), "--dry-run", path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "prices.csv: 15 rows, 10 would be refused",
        "read as: CSV, one price a row, dates YYYY-MM-DD; adjusted closes on 0 of 5 rows",
        "columns: instrument_id from 'Ticker', trade_date from 'Date', open from 'Open', "
        "close from 'Close', volume from 'Volume'",
        "instrument_id  trade_date   open   close   volume",
        "-------------  ----------  -----  ------  -------",
        "A              2020-01-02  1.000  10.000  100.000",
        "A              2020-01-14         15.000",
        "A              2020-01-15  1.000  16.000    1.000",
        "A              2020-01-16  1.000  17.000    1.000",
        "A              2020-01-17  1.000  18.000    1.000",
    ]
    assert result.stderr.splitlines() == [
        f"{path}:{line}: {reason}".replace("line 10", "another line").replace(
            "line 9", "another line"
        )
        for line, reason in REFUSED_OF_THEM
    ]


def test_folders_patterns_and_stdin_are_loaded_and_instruments_come_from_names(
    database, empty_settings, tmp_path
):
    folder = tmp_path / "folder"
    folder.mkdir()
    text = "date,close\n2020-01-02,1.5\n"
    for name in ("A.US_daily.csv", "B_daily.csv", ".hidden"):
        (folder / name).write_text(text)
    (tmp_path / "C.INDX.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert (
        command(empty_settings, "--instrument-from", "{instrument}_daily.csv", folder).exit_code
        == 0
    )
    assert command(empty_settings, "--instrument-from", "name", f"{tmp_path}/*.gz").exit_code == 0
    result = command(empty_settings, "--instrument-id", "D", "-", input=text + "2020-01-03,x\n")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        1,
        "-:3: close is not a number: 'x'",
    )
    assert [row[0] for row in closes(database)] == ["A.US", "B", "C.INDX", "D"]
    result = command(empty_settings, "--instrument-from", "{instrument}_x.csv", folder)
    assert result.stderr.splitlines()[0].endswith(
        "A.US_daily.csv: the name is not like {instrument}_x.csv: see --instrument-from"
    )


def test_splits_and_series_that_are_cut_short_are_named(empty_settings, write):
    rows = [f"A,{day},{100 if day < '1990-01-20' else 50}.5" for day in days(40)]
    rows += [f"B,{day},7" for day in days(20)]
    path = write("ticker,date,close\n" + "\n".join(rows))
    assert command(empty_settings, path).stderr.splitlines() == [
        f"{path}: splits that are not adjusted, it seems: A 1990-01-20 (2:1)",
        f"{path}: 1 series end before the last day of the file: B 1990-01-20",
    ]


def test_a_wide_file_of_volumes_adds_to_the_closes_that_are_there(database, empty_settings, write):
    assert command(empty_settings, "--wide", write("date,A,B\n2020-01-02,1.5,2.5\n")).exit_code == 0
    path = write("date,A,C\n2020-01-02,7,9\n", "volumes.csv")
    result = command(empty_settings, "--wide", "--field", "volume", path)
    assert result.stderr.splitlines()[0] == f"{path}:2: close is missing: load the closes first"
    stored = "select instrument_id, close, volume from historical.prices_daily order by 1"
    assert database.rows(stored).rows == [("A", 1.5, 7.0), ("B", 2.5, None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--map", "closing=x"), "'closing=x' is not COLUMN=NAME, with a column of instrument_id"),
        (("--instrument-from", "x"), "--instrument-from 'x': `name`, or with {instrument}"),
        (("--instrument-from", "name", "--instrument-id", "A"), "exclude each other"),
        (("--decimal", ";"), "--decimal is . or ,"),
        (("--separator", "ab"), "'ab' is not one character"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(empty_settings, write, arguments, message):
    result = command(empty_settings, *arguments, write("date,close\n2020-01-02,1\n"))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


FRAME = {"Date": ["2024-01-02", "2024-01-03"], "Close": [1.234, None], "Adj Close": [1.5, 2.5]}


@pytest.mark.parametrize(
    "kind", ["pandas", "pandas, days in the index", "polars", "Arrow", "DuckDB", "dict"]
)
def test_a_frame_is_loaded_by_the_checks_of_a_file(database, empty_settings, kind):
    pandas = pd.DataFrame(FRAME).assign(
        Date=pd.to_datetime(FRAME["Date"]).tz_localize("Asia/Tokyo")
    )
    frames = {
        "pandas": pandas,
        "pandas, days in the index": pandas.set_index("Date").rename_axis(None),
        "polars": pl.DataFrame(FRAME),
        "Arrow": pa.table(FRAME),
        "DuckDB": duckdb.from_arrow(pa.table(FRAME)),
        "dict": FRAME,
    }
    with pytest.warns(
        UserWarning, match="1 of 2 rows refused, the first is row 2: close is missing"
    ):
        result = regime_engine.load(frames[kind], "A", database_url=empty_settings.database_url)
    assert counts(result) == (2, 1, 0, 0, 1)
    assert closes(database) == [("A", "2024-01-02", 1.234)]


# What the commands of the page name, and what each has.
IMITATIONS = {
    "AAPL.csv": "Date,Close\n2024-02-13,185.25\n",
    "data/daily/us/nasdaq stocks/1/aapl.us.txt": (
        "<TICKER>,<PER>,<DATE>,<CLOSE>\nAAPL.US,D,20240213,185.25\n"
    ),
    "downloads/NDX_daily.csv": 'Date,Price,Vol.\n"Feb 13, 2024","4,631.22",72.69M\n',
    "recent.csv": "Date,Close/Last\n02/01/2024,$185.25\n",
    "fixings.csv": "Day,Fixing\n2024-02-13,4631.22\n",
    "closes.csv": "Date,A,B\n2024-02-13,1.5,2.5\n",
    "volumes.csv": "Date,A,B\n2024-02-13,100,200\n",
    "kurse.csv": "Datum;Schlusskurs\n13.02.2024;16.752\n",
}


def test_the_recipes_of_the_page_on_prices_run(database, empty_settings, tmp_path, monkeypatch):
    for name, text in IMITATIONS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGIME_DATABASE_URL", empty_settings.database_url)
    index = pd.DatetimeIndex(["2024-02-13", "2024-02-14"], name="Date")
    columns = pd.MultiIndex.from_product([["Close", "Volume"], ["AAPL", "MSFT"]])
    frame = pd.DataFrame([[185.25, 401.5, 1, 2], [186.5, 402.5, 3, 4]], index, columns)
    yfinance = SimpleNamespace(download=lambda tickers, start: frame)
    monkeypatch.setitem(sys.modules, "yfinance", yfinance)
    page = (ROOT / "docs/prices.md").read_text()
    for language, block in re.findall(
        r"^```(sh|python)\n(.*?)^```", page, re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            exec(block, {})
            continue
        for line in block.splitlines():
            program, name, *arguments = shlex.split(line)
            assert (program, name) == ("regime", "load")
            result = command(empty_settings, *arguments)
            assert (result.exit_code, result.stderr) == (0, ""), line
    assert [row[:1] + row[2:] for row in closes(database)] == [
        ("A", 1.5),
        ("AAPL", 185.25),
        ("AAPL", 186.5),
        ("AAPL.US", 185.77),
        ("AAPL.US", 187.61),
        ("AAPL.US", 185.25),
        ("B", 2.5),
        ("DAX", 16752.0),
        ("MSFT", 401.5),
        ("MSFT", 402.5),
        ("NDX", 185.25),
        ("NDX", 4631.22),
        ("SPX", 4631.22),
    ]


DAYS = ["2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"date": DAYS, "close": [1]}, {}, "the frame: .*height"),
        ({"date": DAYS, "A": [1, 2]}, {"is_wide": True, "field": "last"}, "field 'last': choose"),
        ({"date": DAYS, "close": [1, 2]}, {"decimal": "x"}, "decimal 'x': choose"),
        (pd.DataFrame([[DAYS[0], 1, 2]], columns=["date", "close", "close"]), {}, "two columns"),
        (pd.DataFrame({"date": DAYS}, index=pd.Index(DAYS, name="date")), {}, "two columns"),
    ],
)
def test_a_frame_that_cannot_be_used_is_a_value_error(empty_settings, frame, options, message):
    with pytest.raises(ValueError, match=message):
        regime_engine.load(frame, "A", database_url=empty_settings.database_url, **options)


def test_a_frame_may_have_missing_texts_whole_numbers_and_a_number_for_a_name(
    database, empty_settings
):
    days = pd.array([DAYS[0], pd.NA], dtype="string")
    with pytest.warns(UserWarning, match="the first is row 2: trade_date is missing"):
        regime_engine.load(
            pd.DataFrame({"date": days, "close": [1, 2]}),
            14593,
            database_url=empty_settings.database_url,
        )
    frame = {"date": DAYS, "close": [2, 2.5]}
    regime_engine.load(frame, "B", database_url=empty_settings.database_url)
    assert closes(database) == [
        ("14593", DAYS[0], 1),
        ("B", DAYS[0], 2),
        ("B", DAYS[1], 2.5),
    ]
