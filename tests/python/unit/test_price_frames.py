"""Prices of a notebook in any form, and the messages for prices that cannot be used."""

import subprocess
import sys
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regime_engine import daily_features, encode
from regime_engine.encoders import num_regime_core_v3

DAYS = pd.bdate_range("2019-10-01", periods=200)
_CHANCE = np.random.default_rng(7)
CLOSE = np.round(100 * np.exp(np.cumsum(0.01 * _CHANCE.standard_normal(200))), 2)
VOLUME = np.round(np.exp(15 + 0.3 * _CHANCE.standard_normal(200)))
ARRAYS = {"date": DAYS.to_numpy(), "close": CLOSE, "volume": VOLUME}
PANDAS = pd.DataFrame(ARRAYS)
POLARS = pl.DataFrame(ARRAYS)
DECIMALS = "date::date as date, close::decimal(10, 2) as close, volume"
# The volume of 2020-03-02, row 109, is missing.
GAPS = VOLUME.tolist()
GAPS[109] = None


def downloaded(*tickers: str) -> pd.DataFrame:
    """The prices as yfinance.download gives them."""
    columns = {
        (name, ticker): values
        for ticker in tickers
        for name, values in (("Close", CLOSE), ("Volume", VOLUME))
    }
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(DAYS, name="Date"))
    return frame.rename_axis(columns=["Price", "Ticker"])


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param(PANDAS, id="pandas"),
        pytest.param(PANDAS.set_index("date"), id="pandas, days in the index"),
        pytest.param(PANDAS.set_index("date").tz_localize("Asia/Tokyo"), id="pandas, time zone"),
        pytest.param(PANDAS.astype({"date": str}).set_index("date"), id="pandas, text in the index"),
        pytest.param(PANDAS.convert_dtypes(), id="pandas, nullable types"),
        pytest.param(PANDAS.sample(frac=1, random_state=0), id="pandas, shuffled"),
        pytest.param(PANDAS.assign(ticker="SPX", note="as told"), id="pandas, other columns"),
        pytest.param(downloaded("AAPL"), id="yfinance"),
        pytest.param(downloaded("AAPL").swaplevel(axis=1), id="yfinance, by ticker"),
        pytest.param(pa.table(ARRAYS), id="Arrow table"),
        pytest.param(pa.record_batch(ARRAYS), id="Arrow record batch"),
        pytest.param(PANDAS.convert_dtypes(dtype_backend="pyarrow"), id="pandas, Arrow types"),
        pytest.param(duckdb.from_arrow(pa.table(ARRAYS)), id="DuckDB"),
        pytest.param(duckdb.from_arrow(pa.table(ARRAYS)).project(DECIMALS), id="DuckDB, decimals"),
        pytest.param(POLARS, id="polars"),
        pytest.param(POLARS.with_columns(pl.col("date").dt.date()), id="polars, dates"),
        pytest.param(POLARS.rename({"date": "Trading Date", "close": "CLOSE"}), id="polars, other names"),
        pytest.param(POLARS.to_dict(), id="dict of Series"),
        pytest.param(POLARS.to_dict(as_series=False), id="dict of lists"),
        pytest.param(ARRAYS | {"date": DAYS.strftime("%Y-%m-%d").tolist()}, id="dict, text days"),
        pytest.param(ARRAYS | {"close": [Decimal(str(close)) for close in CLOSE]}, id="dict, decimals"),
        pytest.param(ARRAYS | {"adj close": np.full(200, np.nan)}, id="dict, no adjusted close"),
    ],
)  # fmt: skip
def test_prices_in_another_form_are_the_same_prices(prices):
    embeddings, days = encode(prices)
    known, _ = encode(ARRAYS)
    assert embeddings.tobytes() == known.tobytes()
    assert days.tolist() == DAYS[62:].date.tolist()


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param(ARRAYS | {"volume": GAPS}, id="dict"),
        pytest.param(PANDAS.assign(volume=GAPS), id="pandas"),
        pytest.param(PANDAS.assign(volume=GAPS).convert_dtypes(), id="pandas, nullable types"),
        pytest.param(POLARS.with_columns(volume=pl.Series(GAPS)), id="polars"),
    ],
)
def test_a_day_without_a_volume_has_the_usual_volume(prices):
    features = daily_features(prices)
    assert np.flatnonzero(np.isnan(features["volume"])).tolist() == [109]
    assert features["relative_log_volume"][109] == 0
    assert np.isfinite(encode(prices)[0]).all()


def test_without_volumes_only_the_volume_numbers_change():
    embeddings, _ = encode({"date": ARRAYS["date"], "close": CLOSE})
    with_volumes, _ = encode(ARRAYS)
    assert (embeddings[:, :63] == with_volumes[:, :63]).all()
    assert not embeddings[:, 126:189].any()


def changed(column: str, row: int, value: object) -> dict:
    values = list(ARRAYS[column])
    values[row] = value
    return ARRAYS | {column: values}


@pytest.mark.parametrize(
    ("prices", "error", "message"),
    [
        (CLOSE, TypeError, "prices must be a DataFrame, an Arrow table, a relation of DuckDB or a dict of columns, not a ndarray"),
        (pa.chunked_array([CLOSE]), TypeError, "not a ChunkedArray"),
        (PANDAS["close"], TypeError, "not a Series"),
        (downloaded("AAPL", "MSFT"), ValueError, r"prices of 2 instruments \(AAPL, MSFT\): give those of one"),
        (downloaded("AAPL").drop(columns="Close", level=0), ValueError, r"no column close among .*'Volume', 'AAPL'"),
        (None, TypeError, "not a NoneType"),
        (POLARS.lazy(), TypeError, "not a LazyFrame: collect it first"),
        ({"close": CLOSE}, ValueError, "no column trade_date among 'close': call it one of .* date,"),
        ({"date": DAYS}, ValueError, "no column close among 'date': call it one of close, closeprice"),
        (ARRAYS | {"Close": CLOSE}, ValueError, "both 'close' and 'Close' would be close"),
        (ARRAYS | {"close": CLOSE[1:]}, ValueError, "the columns have 199 and 200 rows"),
        (ARRAYS | {"close": ["x"] * 200}, ValueError, "column close is not of numbers: .* 'x'"),
        (ARRAYS | {"close": 5}, ValueError, "column close has 0 dimensions instead of one"),
        (ARRAYS | {"ticker": ["A", "B"] * 100}, ValueError, r"prices of 2 instruments \(A, B\): give those of one"),
        (PANDAS.head(62), ValueError, "prices of 62 days, and a window needs 63: give more of them"),
        (PANDAS.head(0), ValueError, "prices of 0 days"),
        (changed("date", 3, DAYS[2]), ValueError, "1 rows are of a day that has one already, the first of 2019-10-03"),
        (changed("date", 3, "03.10.2019"), ValueError, "trade_date of row 3 cannot be read as YYYY-MM-DD: '03.10.2019'"),
        (changed("date", 3, None), ValueError, "trade_date of row 3 cannot be read as YYYY-MM-DD: 'None'"),
        (changed("date", 3, DAYS[3].replace(hour=9)), ValueError, "YYYY-MM-DD: '2019-10-04 09:00:00'"),
        (changed("close", 2, None), ValueError, r"1 of 200 rows cannot be used, the first of 2019-10-03: close is missing"),
        (changed("close", 2, np.inf), ValueError, r"2019-10-03: close is not finite \(inf\); correct or drop them"),
        (changed("close", 2, 0), ValueError, "close is not positive"),
        (changed("close", 2, 1e-200), ValueError, "close is out of range"),
        (changed("volume", 2, -1), ValueError, "volume is negative"),
        (ARRAYS | {"adjusted_close": [*CLOSE[:-1], None]}, ValueError, r"1 of 200 rows cannot be used, the first of 2020-07-06: adjusted_close is missing, and other days have one"),
        (ARRAYS | {"adjusted_close": [np.nan] * 199 + [5.0]}, ValueError, r"199 of 200 rows .* adjusted_close is missing, and"),
        (ARRAYS | {"adjusted_close": -CLOSE}, ValueError, "200 of 200 rows .* adjusted_close is not positive"),
    ],
)  # fmt: skip
def test_prices_that_cannot_be_used_are_refused_in_one_line(prices, error, message):
    with pytest.raises(error, match=message) as refused:
        encode(prices)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["num-regime-core-v9"], ValueError, "unknown model id 'num-regime-core-v9': choose one of"),
        (["num-regime-core-v2", 21], ValueError, "reads windows of 63 days, not 21"),
        (["num-regime-core-v1", 1], ValueError, "a window has 2 days or more, not 1"),
        (["num-regime-core-v1", 6.3], TypeError, "'float' object cannot be interpreted as an integer"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_encoded_is_refused_in_one_line(arguments, error, message):
    with pytest.raises(error, match=message):
        encode(ARRAYS, *arguments)


OF_RANGE = {"Open": CLOSE * 0.995, "HIGH": CLOSE * 1.01, "low": CLOSE * 0.99}


def test_ranges_are_read_where_there_are_any_and_days_that_contradict_themselves_are_named():
    plain = daily_features(ARRAYS)
    assert np.isnan(plain["log_range"]).all()
    assert np.isnan(plain["overnight_gap"]).all()

    features = daily_features(PANDAS.assign(**OF_RANGE))
    np.testing.assert_allclose(features["log_range"], np.log(1.01 / 0.99))
    returns = np.diff(np.log(CLOSE))
    np.testing.assert_allclose(features["overnight_gap"][1:], returns + np.log(0.995))
    embeddings, _ = encode(ARRAYS | OF_RANGE)
    decoded = num_regime_core_v3.decode(embeddings)
    assert (decoded.log_ranges[:, -1] == features["log_range"][62:].astype(np.float32)).all()

    wrong = ARRAYS | OF_RANGE | {"HIGH": np.where(np.arange(200) < 7, 1.01, 0.999) * CLOSE}
    said = (
        r"^these prices: open, high and low of 193 of 200 days are not used, the first of "
        r"2019-10-10: close is below low or above high$"
    )
    with pytest.warns(UserWarning, match=said):
        features = daily_features(wrong)
    for name in ("open", "log_range", "overnight_gap"):
        assert np.isnan(features[name][7:]).all()
        assert not np.isnan(features[name][1:7]).any()


def test_arrays_are_enough():
    """Neither a DataFrame library nor scikit-learn is required."""
    program = """
import sys
sys.modules |= dict.fromkeys(("pandas", "polars", "sklearn", "pyarrow"))  # an import of one fails
import numpy as np
from regime_engine import MarkovRegimes, encode
days = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
close = 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(0).standard_normal(len(days))))
embeddings, last_days = encode({"date": days, "close": close})
model = MarkovRegimes(2)
try:
    model.predict(embeddings)
except ValueError as error:
    print(error)
print(len(model.fit(embeddings).predict(embeddings)), last_days[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    not_fitted = "this MarkovRegimes is not fitted yet: call fit first"
    assert done.stdout.splitlines() == [not_fitted, "303 2019-03-04"], done.stderr
