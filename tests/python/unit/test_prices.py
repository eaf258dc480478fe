"""Price files as they are read and checked, before they reach the database."""

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_engine.errors import RegimeError
from regime_engine.prices import formats
from regime_engine.prices.columns import REQUIRED
from regime_engine.prices.files import open_prices
from regime_engine.prices.shapes import Reading

HEADER = "instrument_id,trade_date,open,high,low,close,adjusted_close,volume,currency,metadata\n"


GZIPPED = gzip.compress(b"ticker,date,close\n" * 9, mtime=0)


def rows_of(path: Path, instrument_id: str | None = None, **reading: Any) -> pl.DataFrame:
    with open_prices(path, Reading(instrument_id=instrument_id, **reading)) as prices:
        checked = list(prices.chunks)
    return pl.concat(checked, how="diagonal").sort("line_number") if checked else pl.DataFrame()


def reasons(folder: Path, text: str, instrument_id: str | None = None) -> dict[int, str]:
    """line → reason of the refused rows of a CSV file with this text."""
    (folder / "prices.csv").write_text(text, newline="")
    refused = rows_of(folder / "prices.csv", instrument_id).filter(pl.col("reason").is_not_null())
    return dict(refused.select("line_number", "reason").iter_rows())


def reason(folder: Path, column: str, value: str) -> str | None:
    """Why a row with this value is refused; None if it is accepted. All other values are good."""
    good = {"instrument_id": "A", "trade_date": "2020-01-02", "close": "10.5"} | {column: value}
    return reasons(folder, f"{','.join(good)}\n{','.join(good.values())}\n").get(2)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (column, value, f"{column} {fault.format(value)}")
        for column, fault, values in [
            ("close", "is not a number: '{}'", ("abc", "0x10", "1_000", "5-", "1.5M", "1 00")),
            ("close", "is not a number: '1,23.5'", ('"1,23.5"',)),
            ("close", "is missing", ("", "null")),
            ("close", "is not finite: {}", ("NaN", "inf", "-Infinity", "1e999")),
            ("close", "is not positive: {}", ("0", "-3.0")),
            ("open", "is not positive: {}", ("-1",)),
            ("high", "is not finite: {}", ("nan",)),
            ("low", "is not positive: {}", ("0.0",)),
            ("adjusted_close", "is not a number: '{}'", ("x",)),
            ("volume", "is negative: {}", ("-1",)),
            ("volume", "is not finite: {}", ("NaN",)),
            ("volume", "is not a number: '{}'", ("1000 shares", "5KM")),
            ("trade_date", "is missing", ("",)),
            ("trade_date", "cannot be read as YYYY-MM-DD: '{}'", ("2025-02-30",)),
            (
                "trade_date",
                "cannot be read as YYYY-MM-DD: '{}'",
                ("2020-1-2", "2020-01-02 16:00:00"),
            ),
            ("trade_date", "is before 1700-01-01: {}", ("0000-01-01", "0020-01-02")),
            ("trade_date", "is in the future: {}", ("2999-01-02",)),
            ("instrument_id", "is missing", ("", "  ")),
            ("instrument_id", "has a control character: 'A?B'", ("A\x00B", "A\tB")),
            ("instrument_id", f"is longer than 200 characters: '{'A' * 40}'", ("A" * 201,)),
            ("metadata", "is not JSON: '{}'", ("{", "NaN")),
            ("metadata", "is not JSON: '\"\\u0000\"'", (r'"""\u0000"""',)),
        ]
        for value in values
    ],
)
def test_a_bad_value_is_refused_with_its_reason(tmp_path, column, value, expected):
    assert reason(tmp_path, column, value) == expected


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("close", value) for value in (" 10.5 ", "1e-320")),
        *(("open", ""), ("open", "0"), ("high", "NA"), ("low", "null"), ("adjusted_close", "None")),
        *(("volume", value) for value in ("", "0")),
        *(("trade_date", f"2020-01-02{end}") for end in (" 00:00:00", "T00:00:00.000000")),
        *(("trade_date", f"2020-01-02 00:00:00{zone}") for zone in ("+00:00", "-05:00")),
        ("trade_date", "2020-02-29"),
        *(("instrument_id", name) for name in ('"A"";drop table"', "NA", "Zürich 株")),
        *(("currency", ""), ("metadata", '"{""source"": [1, null]}"')),
    ],
)
def test_an_unusual_but_good_value_is_accepted(tmp_path, column, value):
    assert reason(tmp_path, column, value) is None


def test_a_price_of_tomorrow_is_accepted_and_one_of_the_day_after_is_not(tmp_path):
    today = datetime.now(UTC).date()
    assert reason(tmp_path, "trade_date", str(today + timedelta(days=1))) is None
    assert "in the future" in reason(tmp_path, "trade_date", str(today + timedelta(days=2)))


def test_values_are_trimmed_and_typed(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + ' A ,2020-01-02 00:00:00,,NA,1,2.50,null,0,USD,"{""a"": 1}"\n')
    row = rows_of(path).row(0, named=True)
    missing = dict.fromkeys(("open", "high", "adjusted_close", "reason", "row_text"))
    assert row == missing | {
        "line_number": 2,
        "instrument_id": "A",
        "trade_date": date(2020, 1, 2),
        "low": 1.0,
        "close": 2.5,
        "volume": 0.0,
        "currency": "USD",
        "metadata": '{"a": 1}',
        "written_date": "2020-01-02 00:00:00",
        "column_number": 1,
    }


def test_a_row_with_too_few_or_too_many_fields_is_refused(tmp_path):
    text = "ticker,date,close\nA,2020-01-02\nA,2020-01-03,1\nA,2020-01-06,1,\n"
    expected = {n: f"the number of fields is {n}, the header has 3" for n in (2, 4)}
    assert reasons(tmp_path, text) == expected


def test_a_quoted_line_break_and_blank_lines_keep_the_line_numbers_right(tmp_path):
    text = (
        'ticker,date,close,note\nA,2020-01-02,1,"two\nlines"\n\nA,2020-01-03,bad,\n'
        '\r\nA,2020-01-06,1,"three\r\n\r\nlines"\r\nA,2020-01-07,-1,\r\n'
    )
    assert list(reasons(tmp_path, text)) == [5, 10]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path):
    text = 'ticker,date,close\nA,2020-01-02,1\nA,2020-01-03,"1\nA,2020-01-06,1\nA,2020-01-07,x\n'
    quote, close = "a quote on this line is not closed", "close is not a number: 'x'"
    assert reasons(tmp_path, text) == {3: quote, 5: close}


def test_two_stray_quotes_do_not_swallow_the_rows_between(tmp_path):
    closes = ["1", "1", '"1', "1", "1", "1", '"1', "1", "1"]
    rows = [f"A,2020-01-{day:02},{close}\n" for day, close in enumerate(closes, start=1)]
    text = "ticker,date,close\n" + "".join(rows)
    assert list(reasons(tmp_path, text)) == [4, 8]


@pytest.mark.parametrize(
    "header",
    [
        "Ticker,Date,Close,Adj Close,Vol",
        "SYMBOL;DATETIME;CLOSE;ADJ_CLOSE;VOLUME",
        "Instrument ID\tTrade Date\tClose\tAdjusted Close\tvolume",
        "\ufeffinstrument,timestamp,close*,adj close**,Volume",
    ],
)
def test_columns_go_by_name_whatever_their_order_case_and_spelling(tmp_path, header):
    path = tmp_path / "prices.csv"
    delimiter = next(d for d in ";\t," if d in header)
    cells = [header.split(delimiter), ["A", "2020-01-02", "10", "9", "5"]]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        path.write_text("\n".join(delimiter.join(line[at] for at in order) for line in cells))
        row = rows_of(path).row(0, named=True)
        assert (row["instrument_id"], row["trade_date"]) == ("A", date(2020, 1, 2))
        assert (row["close"], row["adjusted_close"], row["volume"]) == (10, 9, 5)
        assert row["reason"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 xl/workbook.xml", "the zip file cannot be read: File is not a zip file"),
        (b"date,ticker\n2020-01-02,A\n", "no column close among 'date', 'ticker'"),
        (b"date,close\n2020-01-02,1\n", "no column instrument_id among 'date', 'close'"),
        (b"date,Date,close\n", "both 'date' and 'Date' would be trade_date"),
        (b"ticker,date,close\nA,2020-01-02,1\n\xff\n", "not UTF-8 text"),
        ("ticker,date,close\n".encode("utf-16"), "not UTF-8 text"),
        (GZIPPED[:-9], "the gzip file is cut short or damaged"),
        (GZIPPED[:-4] + b"....", "the gzip file is cut short"),
        (b"PAR1 and no more", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_not_a_price_file_is_refused_as_a_whole(tmp_path, content, message):
    path = tmp_path / "prices.csv"
    path.write_bytes(content)
    with pytest.raises(RegimeError) as raised:
        rows_of(path)
    assert str(raised.value).startswith(f"{path}: {message}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["x" * 2**21, "ticker,date,close\nA,2020-01-02," + "9" * 2**21])
def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path, text):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    number = text.count("\n") + 1
    with pytest.raises(
        RegimeError, match=f":{number}: the line is longer than 1,000,000 characters"
    ):
        rows_of(path)


def test_a_parquet_file_made_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "prices.parquet"
    rows = pl.DataFrame({"ticker": "A", "date": "2020-01-02", "close": [1.0] * 500_000})
    rows.write_parquet(path)
    zipped = tmp_path / "zipped"
    zipped.write_bytes(gzip.compress(path.read_bytes() + bytes(2**20)))
    monkeypatch.setattr(formats, "LARGEST_UNZIPPED", 2**20)
    with pytest.raises(RegimeError, match="more than 1 MiB of Parquet in a zipped file: unzip it"):
        rows_of(zipped)
    monkeypatch.setattr(formats, "ROWS_TO_DOUBT", 100_000)
    with pytest.raises(RegimeError, match=r"500,000 rows in \S+ bytes cannot be prices"):
        rows_of(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(RegimeError, match="no such file"):
        rows_of(tmp_path / "none.csv")
    with pytest.raises(RegimeError, match="a folder"):
        rows_of(tmp_path)


def test_an_instrument_given_by_option_may_be_named_in_the_file_too(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("date,close\n2020-01-02,1\n")
    assert rows_of(path, "A.US")["instrument_id"].to_list() == ["A.US"]
    path.write_text("ticker,date,close\n A.US ,2020-01-02,1\n,2020-01-03,1\n")
    assert rows_of(path, "A.US")["instrument_id"].to_list() == ["A.US", None]
    path.write_text("ticker,date,close\nA.US,2020-01-02,1\nB.US,2020-01-02,1\n")
    with pytest.raises(RegimeError, match=r"prices.csv:3: a price of 'B.US', not of"):
        rows_of(path, "A.US")


def test_parquet_and_gzipped_files_hold_the_same_rows_as_csv(tmp_path):
    columns = {
        "Ticker": ["A", "A", "B", None],
        "Date": [date(2020, 1, 2), date(2020, 1, 3), None, date(2020, 1, 6)],
        "Close": [0.1 + 0.2, float("nan"), 1.0, -1e-300],
        "Volume": [1, None, 2, 3],
    }
    frame = pl.DataFrame(columns)
    csv, parquet, zipped = tmp_path / "prices.csv", tmp_path / "prices.parquet", tmp_path / "zipped"
    frame.write_csv(csv)
    frame.write_parquet(parquet)
    found = []
    for path in (csv, parquet):
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        found += [rows_of(path).drop("row_text"), rows_of(zipped).drop("row_text")]
    missing = ["trade_date is missing", "instrument_id is missing"]
    assert found[0]["reason"].to_list() == [None, "close is not finite: NaN", *missing]
    assert found[1].equals(found[0])
    # A Parquet file has no header line: its rows count from 1.
    assert found[2].with_columns(pl.col("line_number") + 1).equals(found[0])
    assert found[3].equals(found[2])


def test_parquet_columns_of_other_types_are_read_or_refused_row_by_row(tmp_path):
    path = tmp_path / "prices.parquet"
    new_york = pl.Series([datetime(2020, 1, 2, 5), datetime(2020, 1, 3, 6)])
    new_york = new_york.dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    tickers = pl.Series(["A", "B"], dtype=pl.Categorical)
    closes = pl.Series([0.1, 2.0], dtype=pl.Float32)
    pl.DataFrame({"ticker": tickers, "date": new_york, "close": closes}).write_parquet(path)
    rows = rows_of(path)
    assert rows["close"].to_list() == [float(np.float32(0.1)), None]
    hour = "trade_date cannot be read as YYYY-MM-DD: '2020-01-03 01:00:00.000000-05:00'"
    assert rows["reason"].to_list() == [None, hour]
    pl.DataFrame({"date": [date(2020, 1, 2)], "close": [True]}).write_parquet(path)
    assert rows_of(path, "A")["reason"].to_list() == ["close is not a number: 'true'"]


def test_a_damaged_parquet_file_is_refused_as_a_whole(tmp_path):
    path = tmp_path / "prices.parquet"
    closes = np.random.default_rng(1).lognormal(size=10_000)
    pl.DataFrame({"close": closes}).with_columns(date=date(2020, 1, 2)).write_parquet(path)
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:100], whole[:4] + bytes(9_000) + whole[9_004:]):
        path.write_bytes(damaged)
        with pytest.raises(RegimeError, match="cannot be read as Parquet"):
            rows_of(path, "A")


positive = st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False)


@given(st.lists(positive, min_size=1, max_size=50), st.sampled_from(["{!r}", "{:.25e}", "{:.17g}"]))
def test_a_decimal_text_becomes_the_nearest_double(tmp_path_factory, closes, spelling):
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    texts = [spelling.format(close) for close in closes]
    path.write_text("date,close\n" + "".join(f"2020-01-02,{text}\n" for text in texts))
    rows = rows_of(path, "A")
    assert rows["close"].to_list() == [float(text) for text in texts]
    assert rows["reason"].null_count() == len(closes)


@given(st.lists(positive, min_size=1, max_size=50))
def test_a_parquet_double_is_kept_to_the_bit(tmp_path_factory, closes):
    path = tmp_path_factory.mktemp("prices") / "prices.parquet"
    pl.DataFrame({"close": closes}).with_columns(date=date(2020, 1, 2)).write_parquet(path)
    assert rows_of(path, "A")["close"].to_list() == closes


@given(st.text(st.sampled_from('AB20-1.,;"\n\r\0 é'), max_size=300) | st.text())
def test_any_text_under_a_header_is_rows_with_a_close_or_with_a_reason(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    path.write_text("ticker,date,close\n" + text, newline="")
    for row in rows_of(path).iter_rows(named=True):
        readable = all(row[name] is not None for name in REQUIRED)
        assert row["reason"] or readable
