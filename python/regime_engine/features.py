"""daily_features → arrays: the rows of each instrument that a stretch of windows needs."""

import numpy as np
from psycopg import sql

from regime_engine.database import Database, binary
from regime_engine.windows import Features, Stretch, Windows, build


def instruments(database: Database) -> list[str]:
    """Every instrument that has a price, by id; one look-up in the prices' index each."""
    rows = database.execute(
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
        """).format(prices=database.table("stg_prices_daily"))
    )
    return [instrument_id for (instrument_id,) in rows]


def is_instrument(database: Database, instrument_id: str) -> bool:
    query = sql.SQL("select exists (select 1 from {} where instrument_id = %s)").format(
        database.table("stg_prices_daily")
    )
    (found,) = database.execute(query, [instrument_id]).fetchone()
    return found


def read(
    database: Database,
    instrument_id: str,
    columns: tuple[str, ...],
    stretch: Stretch,
) -> Windows:
    """The windows of one instrument; raises RegimeError as `build` does."""
    (features,) = fetch(database, [instrument_id], columns, stretch)
    return build(features, stretch)


def fetch(
    database: Database,
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
    prices = database.table("stg_prices_daily")
    daily_features = database.table("daily_features")
    last_days = database.execute(
        _LAST_DAYS.format(prices=prices, features=daily_features), parameters
    ).fetchall()
    arrays = sql.SQL(", ").join(
        sql.SQL("array_agg(coalesce({}, 'NaN'))").format(sql.Identifier(column))
        for column in columns
    )
    rows = binary.read(
        database,
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
