"""daily_features → windows of an instrument's last observed rows."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import psycopg
from numpy.lib.stride_tricks import sliding_window_view
from psycopg import sql

from regime_engine.config import Settings
from regime_engine.database import binary
from regime_engine.errors import RegimeError


@dataclass(frozen=True)
class Stretch:
    """Which windows of an instrument are meant: those of the trading days from start to end.

    start, end: None for the first and the last day that there is
    max_staleness_days: where given, start is end, and its window is meant even if it is no trading
        day, as long as its last row is at most so many calendar days old
    """

    window_days: int
    start: date | None = None
    end: date | None = None
    max_staleness_days: int | None = None

    @property
    def span(self) -> tuple[date, date]:
        return self.start or date.min, self.end or date.max


@dataclass(frozen=True)
class Features:
    """The rows of an instrument that a stretch of windows needs, oldest first.

    dates: (n,) datetime64[D]; hashes: (n,) uint64, their feature_hash
    values: (n, columns) float64, NaN where a feature is null
    last_price, last_feature: last days of the prices and the features up to the stretch's end
    """

    instrument_id: str
    columns: tuple[str, ...]
    dates: np.ndarray
    hashes: np.ndarray
    values: np.ndarray
    last_price: date | None
    last_feature: date | None


@dataclass(frozen=True)
class Windows:
    """Windows of one instrument, one an as-of date.

    as_of_dates, first_trade_dates, last_trade_dates: (n,) datetime64[D]
    values: (n, window_days, columns) float64, oldest row first, NaN where a feature is null
    hashes: (n,) uint64, the xor of each window's feature_hash: the macro window_hash_between in SQL
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


def instruments(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Every instrument that has a price, by id; one look-up in the prices' index each."""
    rows = connection.execute(
        sql.SQL("""
            with recursive instruments as (
                (select instrument_id from {prices} order by instrument_id limit 1)
                union all
                select (
                    select prices.instrument_id
                    from {prices} as prices
                    where prices.instrument_id > instruments.instrument_id
                    order by prices.instrument_id
                    limit 1
                )
                from instruments
                where instruments.instrument_id is not null
            )

            select instrument_id from instruments where instrument_id is not null
        """).format(prices=sql.Identifier(*settings.table("stg_prices_daily")))
    )
    return [instrument_id for (instrument_id,) in rows]


def is_instrument(connection: psycopg.Connection, settings: Settings, instrument_id: str) -> bool:
    query = sql.SQL("select exists (select 1 from {} where instrument_id = %s)").format(
        sql.Identifier(*settings.table("stg_prices_daily"))
    )
    (found,) = connection.execute(query, [instrument_id]).fetchone()
    return found


def read(
    connection: psycopg.Connection,
    settings: Settings,
    instrument_id: str,
    columns: tuple[str, ...],
    stretch: Stretch,
) -> Windows:
    """The windows of one instrument; raises RegimeError as `build` does."""
    (features,) = fetch(connection, settings, [instrument_id], columns, stretch)
    return build(features, stretch)


def fetch(
    connection: psycopg.Connection,
    settings: Settings,
    instrument_ids: list[str],
    columns: tuple[str, ...],
    stretch: Stretch,
) -> list[Features]:
    """What the windows of each instrument need of daily_features, and no more."""
    parameters = {
        "instrument_ids": instrument_ids,
        "start": stretch.start,
        "end": stretch.end,
        "window_days": stretch.window_days,
    }
    prices = sql.Identifier(*settings.table("stg_prices_daily"))
    daily_features = sql.Identifier(*settings.table("daily_features"))
    last_days = connection.execute(
        _LAST_DAYS.format(prices=prices, features=daily_features), parameters
    ).fetchall()
    arrays = sql.SQL(", ").join(
        sql.SQL("array_agg(coalesce({}, 'NaN'))").format(sql.Identifier(column))
        for column in columns
    )
    rows = binary.read(
        connection,
        _ROWS.format(arrays=arrays, features=daily_features),
        parameters,
        ["date", "int8"] + ["float8"] * len(columns),
    )
    found = []
    for instrument_id, days, row in zip(instrument_ids, last_days, rows, strict=True):
        order = row[0].argsort()
        dates, hashes, *values = (column[order] for column in row)
        table = np.column_stack(values)
        found.append(Features(instrument_id, columns, dates, hashes.view(np.uint64), table, *days))
    return found


_LAST_DAYS = sql.SQL("""
    select
        (
            select trade_date
            from {prices}
            where
                instrument_id = asked.instrument_id
                and trade_date <= coalesce(%(end)s::date, 'infinity')
            order by trade_date desc
            limit 1
        ),
        (
            select trade_date
            from {features}
            where
                instrument_id = asked.instrument_id
                and trade_date <= coalesce(%(end)s::date, 'infinity')
            order by trade_date desc
            limit 1
        )
    from unnest(%(instrument_ids)s::text[]) with ordinality as asked (instrument_id, ordinal)
    order by asked.ordinal
""")

# The rows from the first one of the start's window on. In order, which comes from the key's index:
# it makes the planner look each instrument up, where it would scan all of them.
_ROWS = sql.SQL("""
    select needed.*
    from unnest(%(instrument_ids)s::text[]) with ordinality as asked (instrument_id, ordinal)
    cross join lateral (
        select coalesce(min(before.trade_date), '-infinity') as trade_date
        from (
            select trade_date
            from {features}
            where
                instrument_id = asked.instrument_id
                and trade_date <= %(start)s::date
            order by trade_date desc
            limit %(window_days)s
        ) as before
    ) as first
    cross join lateral (
        select
            array_agg(trade_date),
            array_agg(coalesce(feature_hash, 0)),
            {arrays}
        from (
            select *
            from {features}
            where
                instrument_id = asked.instrument_id
                and trade_date between first.trade_date and coalesce(%(end)s::date, 'infinity')
            order by trade_date
        ) as in_order
    ) as needed
    order by asked.ordinal
""")


def build(features: Features, stretch: Stretch) -> Windows:
    """The windows of a stretch.

    raises RegimeError where the rows are too few, too old, or behind the prices
    """
    _require_current(features, stretch)
    if stretch.max_staleness_days is None:
        as_of_dates = _trading_days(features, stretch)
    else:
        _require_fresh(features, stretch)
        as_of_dates = np.array([stretch.end], "datetime64[D]")
    window_days = stretch.window_days
    lasts = np.searchsorted(features.dates, as_of_dates, side="right") - 1
    firsts = lasts - window_days + 1
    before = np.bitwise_xor.accumulate(np.concatenate([np.zeros(1, np.uint64), features.hashes]))
    values = sliding_window_view(features.values, window_days, axis=0).transpose(0, 2, 1)
    return Windows(
        features.instrument_id,
        features.columns,
        as_of_dates,
        features.dates[firsts],
        features.dates[lasts],
        values[firsts[0] : firsts[-1] + 1],
        before[lasts + 1] ^ before[firsts],
    )


def _require_current(features: Features, stretch: Stretch) -> None:
    if features.last_price is None:
        span = f" up to {stretch.end}" if stretch.end else ""
        raise RegimeError(
            f"no prices of {features.instrument_id}{span}: load them with `regime load`"
        )
    if features.last_price != features.last_feature:
        raise RegimeError(
            f"the features of {features.instrument_id} end on {features.last_feature or 'no day'}, "
            f"its prices on {features.last_price}: run `dbt build --selector features`, or "
            "`regime pipeline`, which does"
        )


def _require_fresh(features: Features, stretch: Stretch) -> None:
    dates, as_of = features.dates, stretch.end
    if len(dates) < stretch.window_days:
        first = f"; the first is {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{features.instrument_id} has {len(dates)} of the {stretch.window_days} trading days "
            f"needed up to {as_of}{first}: choose a later --as-of or load more prices"
        )
    age = (np.datetime64(as_of, "D") - dates[-1]).astype(int)
    if age > stretch.max_staleness_days:
        raise RegimeError(
            f"the last price of {features.instrument_id} up to {as_of} is of {dates[-1]}, {age} "
            f"days old; at most {stretch.max_staleness_days} are allowed: load newer prices or "
            "raise --max-staleness-days"
        )


def _trading_days(features: Features, stretch: Stretch) -> np.ndarray:
    """The days of the stretch that have a whole window."""
    dates, start, end = features.dates, stretch.start, stretch.end
    days = dates[stretch.window_days - 1 :]
    if start is not None:
        days = days[days >= np.datetime64(start, "D")]
    if not len(days):
        span = f"between {start or 'the first price'} and {end or 'the last price'}"
        found = f"; its prices up to then begin on {dates[0]}" if len(dates) else ""
        raise RegimeError(
            f"{features.instrument_id} has no trading day {span} with {stretch.window_days} "
            f"trading days up to it{found}: choose other dates or load more prices"
        )
    return days


def concatenate(parts: list[Windows]) -> Windows:
    """The windows of one instrument's stretches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    arrays = ("as_of_dates", "first_trade_dates", "last_trade_dates", "values", "hashes")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return replace(parts[0], **joined)
