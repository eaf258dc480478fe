"""Price files as their sources write them, small: what is read from each, and what is not guessed."""

import gzip
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from regime_engine.errors import RegimeError
from regime_engine.prices import formats, frames
from regime_engine.prices.files import open_prices
from regime_engine.prices.shapes import Reading
from regime_engine.prices.sources import files_of, named_after_file

FIRST, SECOND = date(2024, 2, 13), date(2024, 2, 14)
VALUES = ("instrument_id", "trade_date", "open", "high", "low", "close", "adjusted_close", "volume")


@dataclass(frozen=True)
class Case:
    """understood: the line that is printed; rows: some of VALUES, by name; reading: options"""

    understood: str
    text: str
    rows: list[dict[str, Any]]
    reading: dict[str, Any] = field(default_factory=dict)


def price(day: date, close: float, instrument_id: str = "X", **others: float) -> dict[str, Any]:
    return {"instrument_id": instrument_id, "trade_date": day, "close": close} | others


CASES = {
    "yfinance, one ticker": Case(
        "yfinance download, AAPL, dates YYYY-MM-DD, adjusted by default",
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
        "2024-02-13,185.25,187,184,186,100\n2024-02-14,186.5,187,184,186,100\n",
        [price(FIRST, 185.25, "AAPL", open=186.0), price(SECOND, 186.5, "AAPL", volume=100.0)],
    ),
    "yfinance, two tickers by ticker, not adjusted by default": Case(
        "yfinance download, 2 instruments, dates YYYY-MM-DD",
        "Ticker,AAPL,AAPL,MSFT,MSFT\nPrice,Adj Close,Close,Adj Close,Close\nDate,,,,\n"
        "2024-02-13,90,185.25,,\n2024-02-14,91,186.5,201,401.5\n",
        [
            price(FIRST, 185.25, "AAPL", adjusted_close=90.0),
            price(SECOND, 186.5, "AAPL", adjusted_close=91.0),
            price(SECOND, 401.5, "MSFT", adjusted_close=201.0),
        ],
    ),
    "yfinance, two lines of names": Case(
        "yfinance download, 2 instruments, dates YYYY-MM-DD, adjusted by default",
        ",Close,Close,Dividends,Dividends\n,AAPL,MSFT,AAPL,MSFT\n2024-02-13,185.25,401.5,0,0\n",
        [price(FIRST, 185.25, "AAPL"), price(FIRST, 401.5, "MSFT")],
    ),
    "an index of days without a name": Case(
        "CSV, one price a row, X, dates YYYY-MM-DD",
        ",Close,Adj Close\n2024-02-13 00:00:00-05:00,185.25,90\n",
        [price(FIRST, 185.25, adjusted_close=90.0)],
    ),
    "Stooq": Case(
        "Stooq bulk file, dates YYYYMMDD",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "AAPL.US,D,20240213,000000,186,187,184,185.25,100,0\n",
        [price(FIRST, 185.25, "AAPL.US", high=187.0, volume=100.0)],
    ),
    "Investing.com": Case(
        "Investing.com, X, dates MMM DD, YYYY",
        '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"Feb 14, 2024","4,631.22","4,627.09","4,654.38","4,603.96","72.69M","0.29%"\n'
        '"Feb 13, 2024","4,625.17","4,624.15","4,648.30","4,601.03","-","-0.29%"\n',
        [price(FIRST, 4625.17, volume=None), price(SECOND, 4631.22, open=4627.09, volume=72_690_000.0)],
    ),
    "Nasdaq.com": Case(
        "Nasdaq.com, X, dates MM/DD/YYYY",
        "Date,Close/Last,Volume,Open,High,Low\n02/14/2024,$186.50,N/A,$185.08,$186.18,$184.16\n"
        "02/13/2024,$185.25,72693300,$185.08,$186.18,$184.16\n",
        [price(FIRST, 185.25, volume=72_693_300.0), price(SECOND, 186.5, low=184.16)],
    ),
    "Bloomberg": Case(
        "Bloomberg, X, dates MM/DD/YYYY",
        "Security,AAPL US Equity\nStart Date,02/13/2024\n\nDates,PX_LAST,VOLUME\n"
        "02/13/2024,185.25,100\n",
        [price(FIRST, 185.25, volume=100.0)],
    ),
    "Polygon": Case(
        "Polygon aggregates, X, dates milliseconds of a midnight in UTC or New York",
        "v,vw,o,c,h,l,t,n\n100,185,186,185.25,187,184,1707800400000,5\n",
        [price(FIRST, 185.25, open=186.0, volume=100.0)],
    ),
    "CRSP": Case(
        "CRSP, dates YYYYMMDD",
        "PERMNO,date,TICKER,BIDLO,ASKHI,PRC,VOL,OPENPRC,CFACPR\n"
        "14593,20240213,AAPL,184,187,-185.25,100,186,4\n14593,20240214,AAPL,184,187,186.5,100,186,4\n",
        [
            price(FIRST, 185.25, "AAPL", adjusted_close=46.3125),
            price(SECOND, 186.5, "AAPL", adjusted_close=46.625),
        ],
    ),
    "FRED": Case(
        "FRED series, SP500, dates YYYY-MM-DD",
        "observation_date,SP500\n2024-02-13,4953.17\n2024-02-14,5000.62\n",
        [price(FIRST, 4953.17, "SP500"), price(SECOND, 5000.62, "SP500")],
    ),
    "CryptoDataDownload": Case(
        "CryptoDataDownload, dates YYYY-MM-DD",
        "https://www.CryptoDataDownload.com\n"
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n"
        "1707868800,2024-02-14 00:00:00,BTC/USD,49.5,52,49,51.8,100,5000\n",
        [price(SECOND, 51.8, "BTC/USD", volume=100.0)],
    ),
    "Kaggle": Case(
        "CSV, one price a row, dates YYYY-MM-DD",
        "date,open,high,low,close,volume,Name\n2024-02-13,186,187,184,185.25,100,AAL\n",
        [price(FIRST, 185.25, "AAL")],
    ),
    "a German bank": Case(
        "CSV, one price a row, X, dates DD.MM.YYYY, decimal ,",
        "Datum;Erster;Hoch;Tief;Schlusskurs;Stücke;Volumen EUR\n"
        "13.02.2024;1.186,00;1.187,00;1.184,00;1.185,25;1.000;5\n",
        [price(FIRST, 1185.25, open=1186.0, high=1187.0, volume=1000.0)],
    ),
    "a French bank": Case(
        "CSV, one price a row, X, dates DD/MM/YYYY, decimal ,",
        "Date;Ouverture;Plus haut;Plus bas;Clôture;Volume\n"
        "13/02/2024;1\u202f186,0;1\u202f187,0;1\u202f184,0;1\u202f185,25;1 000\n",
        [price(FIRST, 1185.25, open=1186.0, volume=1000.0)],
    ),
    "Quandl": Case(
        "CSV, one price a row, X, dates YYYY-MM-DD",
        "Date,Close,Volume,Ex-Dividend,Adj. Open,Adj. Close\n2024-02-13,185.25,100,0.0,90,91\n",
        [price(FIRST, 185.25, adjusted_close=91.0)],
    ),
    "a column an instrument": Case(
        "a column an instrument, 2 instruments, dates YYYY-MM-DD, each is a close",
        "Date,AAPL,MSFT\n2024-02-13,185.25,\n2024-02-14,186.5,401.5\n",
        [price(FIRST, 185.25, "AAPL"), price(SECOND, 186.5, "AAPL"), price(SECOND, 401.5, "MSFT")],
        {"is_wide": True},
    ),
    "what the user says": Case(
        "CSV, one price a row, X, dates DD.MM.YY, decimal ,",
        "a|b|c\n13.02.24|1'185,250|2.000\n14.02.24|1'186,500|2.000\n",
        [price(FIRST, 1185.25, volume=2000.0), price(SECOND, 1186.5, volume=2000.0)],
        {
            "columns": {"trade_date": "a", "close": "b", "volume": "c"},
            "date_format": "DD.MM.YY",
            "decimal": ",",
            "separator": "|",
        },
    ),
}  # fmt: skip


def read(path: Path, **reading: Any) -> tuple[str, pl.DataFrame]:
    with open_prices(path, Reading(instrument_if_unnamed="X", **reading)) as prices:
        rows = pl.concat(list(prices.chunks), how="diagonal")
        return str(prices.shape), rows.sort("instrument_id", "trade_date")


def values(rows: pl.DataFrame, expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with the columns that are expected of it."""
    found = rows.iter_rows(named=True)
    return [
        {name: row.get(name) for name in wanted}
        for row, wanted in zip(found, expected, strict=True)
    ]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block_bytes", [2**20, 30])
def test_a_file_is_read_as_its_source_means_it(tmp_path, monkeypatch, name, block_bytes):
    monkeypatch.setattr(formats, "BLOCK_BYTES", block_bytes)
    case = CASES[name]
    path = tmp_path / "prices.csv"
    path.write_text(case.text, encoding="utf-8", newline="")
    understood, rows = read(path, **case.reading)
    assert rows["reason"].to_list() == [None] * len(case.rows)
    assert values(rows, case.rows) == case.rows
    assert understood == case.understood


SHEET = (
    ("Prices of X",),
    ("Date", "Close", "Volume"),
    (FIRST, 185.25, 1000),
    (SECOND, 1.234, 1000),
)


def write_workbook(path: Path, sheet: Sequence[tuple[object, ...]] = SHEET, more: str = "") -> None:
    """A sheet as Excel has it: days are numbers with the style of a date.

    more: rows after these
    """
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    packages = "http://schemas.openxmlformats.org/package/2006"

    def written(cell: object, place: str) -> str:
        if cell is None:
            return ""
        if isinstance(cell, str):
            return f'<c r="{place}" t="inlineStr"><is><t>{cell}</t></is></c>'
        if isinstance(cell, date):
            return f'<c r="{place}" s="1"><v>{(cell - date(1899, 12, 30)).days}</v></c>'
        return f'<c r="{place}"><v>{cell}</v></c>'

    rows = [
        f'<row r="{row}">{"".join(written(cell, f"{letter}{row}") for letter, cell in zip("ABC", cells, strict=False))}</row>'
        for row, cells in enumerate(sheet, 1)
    ]
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{packages}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets><sheet name="Prices" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet {main}><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{''.join(rows)}{more}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)


def test_a_workbook_with_a_cell_at_the_far_end_is_refused(tmp_path):
    path = tmp_path / "far.xlsx"
    write_workbook(path, more='<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')
    with pytest.raises(RegimeError, match="a sheet of 1,048,576 rows and 16,384 columns: delete"):
        read(path)


def test_a_zipped_text_that_is_made_to_fill_the_database_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "TEXT_TO_DOUBT", 2**20)
    path = tmp_path / "short_lines.csv.gz"
    path.write_bytes(gzip.compress(b"date,close\n" + b"x,1\n" * 2**19))
    with pytest.raises(RegimeError, match="more than 1 MiB come out of so small a file"):
        read(path)


def two_levels() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "Date": [datetime(2024, 2, 13), datetime(2024, 2, 14)],
            "('Close', 'AAPL')": [185.25, 1.234],
            "('Close', 'MSFT')": [None, 401.5],
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream", "xlsx", "zip", "gz"])
def test_the_format_of_a_file_is_seen_from_its_content(tmp_path, kind):
    path = tmp_path / "prices"
    frame = pl.DataFrame(
        {"date": [FIRST, SECOND], "close": [185.25, 1.234], "volume": [1000, None]}
    )
    csv = frame.write_csv().encode()
    if kind == "parquet":
        two_levels().write_parquet(path)
    elif kind == "arrow":
        frame.write_ipc(path)
    elif kind == "stream":
        frame.write_ipc_stream(path)
    elif kind == "xlsx":
        write_workbook(path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/prices.csv", csv)
    else:
        path.write_bytes(gzip.compress(csv))
    _, rows = read(path)
    rows = rows.filter(pl.col("instrument_id") != "MSFT")
    assert rows["reason"].null_count() == 2, rows["reason"]
    assert rows["trade_date"].to_list() == [FIRST, SECOND]
    assert rows["close"].to_list() == [185.25, 1.234]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Date,Close\n03/04/2024,185.25\n05/04/2024,186.5\n",
            r"prices.csv:2: trade_date: days such as '03/04/2024', in an order that no row shows; the first reads as DD/MM/YYYY \(2024-04-03\) and MM/DD/YYYY \(2024-03-04\): say which with --date-format",
        ),
        (
            "Date,Close\n13/04/2024,1.5\n05/14/2024,1.5\n03/04/2024,1.5\n",
            "trade_date: days in both orders",
        ),
        ("Date,Close\n03.04.2024,1.5\n04/13/2024,1.5\n", "in an order that no row shows"),
        ("Date,Close\n13.04.24,1.5\n", "prices.csv:2: trade_date: '13.04.24' has a year of two digits"),
        ("Date;Close\n2024-02-13;1.234\n", "prices.csv:2: close: '1.234' can be 1.234 or 1234: say which with --decimal"),
        ("Date,Close\n2024-02-13,1.234\n", "'1.234' can be 1.234 or 1234"),
        ('Date,Close\n2024-02-13,"1,234"\n', "'1,234' can be 1.234 or 1234"),
        ("Date;Close\n2024-02-13;1,5\n2024-02-14;1.5\n", r"the decimal mark is a dot on line 3 \('1.5'\) and a comma on line 2"),
        ("Date,AAPL,MSFT\n2024-02-13,185.25,401.5\n", "no column close among 'Date', 'AAPL', 'MSFT'.*if each column is an instrument, say --wide"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_not_guessed(tmp_path, text, message):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(RegimeError, match=message) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_a_later_day_settles_the_order_and_one_that_contradicts_it_refuses_the_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(formats, "BLOCK_BYTES", 50)
    path = tmp_path / "prices.csv"
    rows = [f"{day:02}/02/2024,185.25\n" for day in range(1, 20)]
    path.write_text("Date,Close\n" + "".join(rows))
    _, found = read(path)
    assert found["trade_date"].to_list() == [date(2024, 2, day) for day in range(1, 20)]
    path.write_text("Date,Close\n" + "".join(rows) + "02/20/2024,185.25\n")
    with pytest.raises(RegimeError, match=r"prices.csv:21: trade_date: other days are DD/MM/YYYY"):
        read(path)


def test_intraday_prices_are_not_taken_for_days(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("<TICKER>,<PER>,<DATE>,<CLOSE>\nA,60,20240213,185.25\n")
    assert read(path)[1]["reason"].to_list() == ["period is not D, a day: '60'"]
    path.write_text("t,c\n1707836400000,185.25\n")  # 15:00 in UTC, midnight in Tokyo
    assert read(path)[1]["reason"].to_list() == [
        "trade_date cannot be read as milliseconds of a midnight in UTC or New York: '1707836400000'"
    ]


def test_a_line_of_a_wide_file_that_cannot_be_split_is_refused_once(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("Date,A,B\n2024-02-13,1.5,2.5\n2024-02-14,1.5\n")
    _, rows = read(path, is_wide=True)
    reasons = rows["reason"].drop_nulls().to_list()
    assert reasons == ["the number of fields is 2, the header has 3"]


@pytest.mark.parametrize("rows_above", [0, 5])
def test_a_number_of_a_workbook_is_not_read_by_the_marks_of_its_texts(tmp_path, rows_above):
    path = tmp_path / "prices.xlsx"
    title: list[tuple[object, ...]] = [("Prices of X",)] * rows_above
    rows = [
        ("Datum", "Schlusskurs", "Volumen"),
        (FIRST, 1.234, "1.234.567"),
        (SECOND, 2.5, "1.000"),
    ]
    write_workbook(path, [*title, *rows, (date(2024, 2, 15), "k.A.", "1.000")])
    understood, found = read(path)
    found = found.sort("line_number")
    assert understood.endswith("decimal ,")
    assert found["close"].to_list() == [1.234, 2.5, None]
    assert found["volume"].to_list() == [1234567.0, 1000.0, None]


def test_the_rows_of_a_workbook_are_numbered_as_in_excel(tmp_path):
    path = tmp_path / "prices.xlsx"
    write_workbook(path, [(), (), ("Date", "Close"), (FIRST, 1.5), (), (SECOND, -1)])
    rows = read(path)[1].sort("line_number")
    assert rows["line_number"].to_list() == [4, 6]
    assert rows["reason"].to_list() == [None, "close is not positive: -1"]


@pytest.mark.parametrize("name", ["PRICE", "LAST"])
def test_the_name_of_a_price_is_not_taken_for_the_id_of_a_series(tmp_path, name):
    path = tmp_path / "prices.csv"
    path.write_text(f"DATE,{name}\n2024-02-13,185.25\n")
    _, rows = read(path, instrument_id="A")
    assert rows.select("instrument_id", "close").rows() == [("A", 185.25)]
    with pytest.raises(RegimeError, match="no column instrument_id"), open_prices(path, Reading()):
        pass


def test_a_column_value_is_not_taken_for_the_id_of_a_series(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("DATE,VALUE\n2024-02-13,185.25\n")
    with pytest.raises(RegimeError, match="no column close among 'DATE', 'VALUE'"):
        read(path)
    _, rows = read(path, columns={"close": "VALUE"})
    assert rows.select("instrument_id", "close").rows() == [("X", 185.25)]


@pytest.mark.parametrize("shares", ["Stücke", "Stuecke"])
def test_the_turnover_in_money_is_not_taken_for_the_number_of_shares(tmp_path, shares):
    path = tmp_path / "prices.csv"
    path.write_text(f"Datum;Schlusskurs;Volumen;{shares}\n13.02.2024;185,25;98765;534\n", "utf-8")
    assert read(path)[1]["volume"].to_list() == [534.0]
    path.write_text("Datum;Schlusskurs;Volumen\n13.02.2024;185,25;98765\n")
    assert read(path)[1]["volume"].to_list() == [98765.0]


@pytest.mark.parametrize(
    "name",
    ["Adjusted Price", "Adj. Closing Price", "Schlusskurs (bereinigt)", "Clôture ajustée"],
)
def test_an_adjusted_close_is_found_by_its_usual_names(tmp_path, name):
    path = tmp_path / "prices.csv"
    path.write_text(f"Date,Close,{name}\n2024-02-13,185.25,92.5\n", "utf-8")
    assert read(path)[1]["adjusted_close"].to_list() == [92.5]


@pytest.mark.parametrize("missing", ["#N/A N/A", "#N/A", "--"])
def test_a_value_that_a_source_does_not_have_is_missing(tmp_path, missing):
    path = tmp_path / "prices.csv"
    path.write_text(f"Date,Close,Volume\n2024-02-13,185.25,{missing}\n")
    _, rows = read(path)
    assert rows.select("close", "volume", "reason").rows() == [(185.25, None, None)]
    path.write_text(f"Date,A,B\n2024-02-13,185.25,{missing}\n")
    _, rows = read(path, is_wide=True)
    assert rows.select("instrument_id", "close").rows() == [("A", 185.25)]


def test_texts_of_parquet_that_are_stored_as_bytes_are_texts(tmp_path):
    path = tmp_path / "prices.parquet"
    frame = pl.DataFrame({"ticker": [b"A", b"A"], "date": [FIRST, SECOND], "close": [1.5, -1.0]})
    frame.write_parquet(path)
    _, rows = read(path)
    assert rows["instrument_id"].to_list() == ["A", "A"]
    assert rows["reason"].drop_nulls().to_list() == ["close is not positive: -1.0"]
    frame.with_columns(ticker=pl.lit(b"\xff")).write_parquet(path)
    with pytest.raises(RegimeError, match="cannot be read as Parquet"):
        read(path)


def test_stdin_is_not_named_after_a_file():
    reading = Reading()
    for pattern in ("name", "{instrument}.csv"):
        assert named_after_file(Path("-"), pattern, reading) == reading
    assert named_after_file(Path("B.A.csv"), "name", reading).instrument_if_unnamed == "B.A"


def test_the_files_in_the_folders_of_a_folder_are_named_with_stars(tmp_path):
    path = tmp_path / "us" / "nasdaq stocks" / "1" / "a.us.txt"
    path.parent.mkdir(parents=True)
    path.touch()
    folder = tmp_path / "us"
    with pytest.raises(RegimeError, match=r"only folders in the folder: name '.*/us/\*\*/\*'"):
        files_of([str(folder)])
    assert files_of([f"{folder}/**/*"]) == [path]


def test_two_columns_of_one_name_in_a_frame_of_pandas_are_refused():
    # What is left of two tickers of yfinance without their level of the names.
    frame = pd.DataFrame([[185.25, 401.5]], pd.DatetimeIndex([FIRST]), ["Close", "Close"])
    with pytest.raises(RegimeError, match="the frame: two columns are called 'Close'"):
        frames._as_polars(frame)


@pytest.mark.parametrize(
    "index", [[FIRST], ["2024-02-13"], pd.PeriodIndex(["2024-02-13"], freq="D")]
)
def test_an_index_of_days_of_any_type_is_a_column_of_a_frame_of_pandas(index):
    frame = pd.DataFrame({"Close": [185.25]}, index)
    assert frames._as_polars(frame).rows() == [("2024-02-13", 185.25)]


def test_a_missing_object_of_pandas_is_a_missing_value():
    frame = pd.DataFrame({"Date": ["2024-02-13"] * 3, "Close": [pd.NA, None, 1.5]})
    assert frames._as_polars(frame)["Close"].to_list() == [None, None, "1.5"]


@pytest.mark.parametrize("missing", [".", ""])
@pytest.mark.parametrize("is_wide", [False, True])
def test_a_holiday_of_a_series_with_its_own_column_is_no_row(tmp_path, missing, is_wide):
    path = tmp_path / "prices.csv"
    path.write_text(f"observation_date,SP500\n2024-02-12,{missing}\n2024-02-13,4953.17\n")
    _, rows = read(path, is_wide=is_wide)
    assert rows.select("line_number", "instrument_id", "close").rows() == [(3, "SP500", 4953.17)]


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        ("Date,Price,Last", {}, "both 'Price' and 'Last' would be close: rename or drop one"),
        ("Date,A,A", {"close": "A"}, "--map: two columns are called 'A': rename one"),
    ],
)
def test_one_of_two_columns_is_not_guessed(tmp_path, names, columns, message):
    path = tmp_path / "prices.csv"
    path.write_text(f"{names}\n2024-02-13,185.25,401.5\n")
    with pytest.raises(RegimeError, match=message):
        read(path, columns=columns)
    path.write_text("Date,Price,Last,Settle\n2024-02-13,185.25,401.5,1.5\n")
    assert read(path, columns={"close": "Settle"})[1]["close"].to_list() == [1.5]


@pytest.mark.parametrize("zeros", ["", "000", "000.0", "000000", "000000000"])
def test_a_moment_is_counted_in_any_unit(tmp_path, zeros):
    path = tmp_path / "prices.csv"
    counts = [f"{seconds}{zeros}" for seconds in (1707782400, 1707886800, 1707886801)]
    path.write_text("t,c\n" + "".join(f"{count},1.5\n" for count in counts))
    _, rows = read(path)
    days = rows.filter(pl.col("reason").is_null())["trade_date"]
    assert days.to_list() == [FIRST, SECOND]
    (reason,) = rows["reason"].drop_nulls()
    assert "seconds of a midnight in UTC or New York: '1707886801" in reason


@pytest.mark.parametrize("count", ["1707782400000000", "9223372036854775807", "9" * 20])
def test_a_moment_that_is_too_far_away_is_refused(tmp_path, count):
    path = tmp_path / "prices.csv"
    path.write_text(f"t,c\n1707782400,1.5\n{count},1.5\n")
    _, rows = read(path)
    (reason,) = rows["reason"].drop_nulls()
    assert reason.endswith(f"cannot be read as seconds of a midnight in UTC or New York: '{count}'")


@pytest.mark.parametrize("names", ["Date,Open,Close", "Date,Symbol,Price"])
def test_a_file_with_one_price_a_row_is_not_read_as_wide(tmp_path, names):
    path = tmp_path / "prices.csv"
    path.write_text(f"{names}\n2024-02-13,185.25,186.5\n")
    with pytest.raises(RegimeError, match="is no instrument: leave out --wide"):
        read(path, is_wide=True)
    path.write_text("Date,OPEN,LOW\n2024-02-13,185.25,186.5\n")  # two tickers
    assert read(path, is_wide=True)[1]["instrument_id"].to_list() == ["LOW", "OPEN"]


def test_days_that_excel_may_have_swapped_are_refused(tmp_path):
    path = tmp_path / "prices.xlsx"
    days = (date(2024, 11, 2), date(2024, 12, 2), "13/02/2024")  # of 11/02, 12/02 and 13/02
    write_workbook(path, [("Date", "Close"), *((day, 1.5) for day in days)])
    with pytest.raises(
        RegimeError, match="4: trade_date: other cells are days and '13/02/2024' is"
    ):
        read(path)
