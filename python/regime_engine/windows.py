"""daily_features → windows of an instrument's last observed rows."""

import hashlib
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import psycopg
from numpy.lib.stride_tricks import sliding_window_view
from psycopg import sql

from regime_engine.database import binary_copy
from regime_engine.errors import RegimeError

FEATURES = sql.Identifier("features", "daily_features")
PRICES = sql.Identifier("staging", "stg_prices_daily")


@dataclass(frozen=True)
class Windows:
    """Windows of one instrument, one an as-of date.

    as_of_dates, first_trade_dates, last_trade_dates: (n,) datetime64[D]
    values: (n, window_days, columns) float64, oldest row first, NaN where a feature is null
    hashes: (n, 32) uint8, sha-256 of each window's dates and features
    """

    instrument_id: str
    columns: tuple[str, ...]
    as_of_dates: np.ndarray
    first_trade_dates: np.ndarray
    last_trade_dates: np.ndarray
    values: np.ndarray
    hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.as_of_dates)

    def __getitem__(self, rows: slice | np.ndarray) -> "Windows":
        return Windows(
            self.instrument_id,
            self.columns,
            self.as_of_dates[rows],
            self.first_trade_dates[rows],
            self.last_trade_dates[rows],
            self.values[rows],
            self.hashes[rows],
        )

    @property
    def window_days(self) -> int:
        return self.values.shape[1]


def on(
    connection: psycopg.Connection,
    instrument_id: str,
    columns: tuple[str, ...],
    as_of: date,
    window_days: int,
    max_staleness_days: int,
) -> Windows:
    """The one window of the last `window_days` observed rows up to `as_of`.

    raises RegimeError where the rows are too few, too old, or behind the prices
    """
    _require_current_features(connection, instrument_id, as_of)
    dates, features = _read(connection, instrument_id, columns, as_of, as_of, window_days)
    if len(dates) < window_days:
        first = f"; the first is {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{instrument_id} has {len(dates)} of the {window_days} trading days needed up to "
            f"{as_of}{first}: choose a later --as-of or load more prices"
        )
    age = (np.datetime64(as_of, "D") - dates[-1]).astype(int)
    if age > max_staleness_days:
        raise RegimeError(
            f"the last price of {instrument_id} up to {as_of} is of {dates[-1]}, {age} days old; "
            f"at most {max_staleness_days} are allowed: load newer prices or raise "
            "--max-staleness-days"
        )
    return _build(
        instrument_id, columns, dates, features, np.array([as_of], "datetime64[D]"), window_days
    )


def between(
    connection: psycopg.Connection,
    instrument_id: str,
    columns: tuple[str, ...],
    start: date | None,
    end: date | None,
    window_days: int,
) -> Windows:
    """A window for each trading day from start to end that has `window_days` rows behind it.

    raises RegimeError where no day has, or the features are behind the prices
    """
    _require_current_features(connection, instrument_id, end)
    dates, features = _read(connection, instrument_id, columns, start, end, window_days)
    as_of_dates = dates[window_days - 1 :]
    if start is not None:
        as_of_dates = as_of_dates[as_of_dates >= np.datetime64(start, "D")]
    if not len(as_of_dates):
        span = f"between {start or 'the first price'} and {end or 'the last price'}"
        found = f"; its prices up to then begin on {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{instrument_id} has no trading day {span} with {window_days} trading days up to it"
            f"{found}: choose other dates or load more prices"
        )
    return _build(instrument_id, columns, dates, features, as_of_dates, window_days)


def concatenate(parts: list[Windows]) -> Windows:
    """The windows of one instrument's stretches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    arrays = ("as_of_dates", "first_trade_dates", "last_trade_dates", "values", "hashes")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return replace(parts[0], **joined)


def _require_current_features(
    connection: psycopg.Connection, instrument_id: str, until: date | None
) -> None:
    query = sql.SQL(
        "select max(trade_date) from {} where instrument_id = %(instrument_id)s"
        " and trade_date <= coalesce(%(until)s::date, 'infinity')"
    )
    arguments = {"instrument_id": instrument_id, "until": until}
    with connection.pipeline():
        priced = connection.execute(query.format(PRICES), arguments)
        featured = connection.execute(query.format(FEATURES), arguments)
    (last_price,) = priced.fetchone()
    (last_feature,) = featured.fetchone()
    if last_price is None:
        span = f" up to {until}" if until else ""
        raise RegimeError(f"no prices of {instrument_id}{span}: load them with `regime load`")
    if last_price != last_feature:
        raise RegimeError(
            f"the features of {instrument_id} end on {last_feature or 'no day'}, its prices on "
            f"{last_price}: run `dbt build --selector features`, or `regime pipeline`, which does"
        )


def _read(
    connection: psycopg.Connection,
    instrument_id: str,
    columns: tuple[str, ...],
    start: date | None,
    end: date | None,
    window_days: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Dates (n,) and features (n, columns) of all rows that windows from start to end need."""
    query = sql.SQL("""
        select trade_date, {columns}
        from {features}
        where
            instrument_id = %(instrument_id)s
            and trade_date <= coalesce(%(end)s::date, 'infinity')
            and day_number > coalesce((
                select day_number
                from {features}
                where instrument_id = %(instrument_id)s and trade_date <= %(start)s::date
                order by trade_date desc
                limit 1
            ), 0) - %(window_days)s
        order by trade_date
    """).format(
        columns=sql.SQL(", ").join(
            sql.SQL("coalesce({}, 'NaN')").format(sql.Identifier(column)) for column in columns
        ),
        features=FEATURES,
    )
    dates, *values = binary_copy.read(
        connection,
        query,
        {"instrument_id": instrument_id, "start": start, "end": end, "window_days": window_days},
        ["date"] + ["float8"] * len(columns),
    )
    return dates, np.column_stack(values)


def _build(
    instrument_id: str,
    columns: tuple[str, ...],
    dates: np.ndarray,
    features: np.ndarray,
    as_of_dates: np.ndarray,
    window_days: int,
) -> Windows:
    lasts = np.searchsorted(dates, as_of_dates, side="right") - 1
    firsts = lasts - window_days + 1
    values = sliding_window_view(features, window_days, axis=0).transpose(0, 2, 1)
    return Windows(
        instrument_id,
        columns,
        as_of_dates,
        dates[firsts],
        dates[lasts],
        values[firsts[0] : firsts[-1] + 1],
        _hashes(dates, features, firsts, window_days),
    )


def _hashes(
    dates: np.ndarray, features: np.ndarray, firsts: np.ndarray, window_days: int
) -> np.ndarray:
    """sha-256 over date_send and float8send of a window's rows: the macro window_hash in SQL."""
    days = binary_copy.days_since_epoch(dates).astype(">i4")[:, None]
    rows = np.hstack([days.view(np.uint8), features.astype(">f8").view(np.uint8)])
    digests = b"".join(
        hashlib.sha256(rows[first : first + window_days]).digest() for first in firsts
    )
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)
