"""daily_features → arrays: the rows of each instrument that a stretch of windows needs."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from psycopg import sql

from regime_engine.database import Database, binary
from regime_engine.database.distinct import distinct
from regime_engine.database.statements import statement
from regime_engine.windows import Features, Stretch, Windows, build

# The features as dbt stored them, and as they follow from the prices of this moment.
STORED, EXPECTED = "daily_features", "expected_features"


def instruments(database: Database) -> list[str]:
    """Every instrument that has a price, by id."""
    rows = database.execute(instruments_query(database))
    return sorted(instrument_id for (instrument_id,) in rows)


def instruments_query(database: Database) -> sql.Composed:
    """A query for the id of every instrument that has a price, as `name`."""
    return distinct(database, "stg_prices_daily", "instrument_id")


def read(
    database: Database,
    instrument_id: str,
    columns: tuple[str, ...],
    stretch: Stretch,
    source: str = STORED,
) -> Windows:
    """The windows of one instrument; raises RegimeError as `build` does. source: as of `fetch`"""
    (features,) = fetch(database, [instrument_id], columns, stretch, source)
    return build(features, stretch)


def fetch(
    database: Database,
    instrument_ids: list[str],
    columns: tuple[str, ...],
    stretch: Stretch,
    source: str = STORED,
) -> list[Features]:
    """What the windows of each instrument need of the features, and no more.

    source: the table or view that has them, STORED or EXPECTED
    """
    query = database.compose(
        statement(__package__, "features_between"),
        arrays=sql.SQL(", ").join(
            sql.SQL("array_agg(coalesce({}, 'NaN'))").format(sql.Identifier(column))
            for column in columns
        ),
        features=database.table(source),
    )
    types = ["date", "int8"] + ["float8"] * len(columns)

    def between(first: date, names: list[str]) -> dict[str, list[np.ndarray]]:
        asked = {"instrument_ids": names, "first": first, "end": stretch.end}
        found = binary.read(database, query, asked, types)
        orders = {name: row[0].argsort() for name, row in found.items()}
        return {name: [column[orders[name]] for column in row] for name, row in found.items()}

    nothing = binary.empty(types)
    first = _likely_first(stretch)
    rows = between(first, instrument_ids)
    if stretch.start:
        day = np.datetime64(stretch.start)
        known = {name: (row[0] <= day).sum() for name, row in rows.items()}
        few = [name for name in instrument_ids if known.get(name, 0) < stretch.window_days]
        # Of these the first window may begin earlier.
        rows |= between(date.min, few) if few else {}
    found = []
    for instrument_id in instrument_ids:
        row = rows.get(instrument_id, nothing)
        begin = 0
        if stretch.start:
            up_to_start = np.searchsorted(row[0], np.datetime64(stretch.start), side="right")
            begin = max(0, int(up_to_start) - stretch.window_days)
        dates, hashes, *values = (column[begin:] for column in row)
        found.append(
            Features(
                instrument_id=instrument_id,
                columns=columns,
                dates=dates,
                hashes=hashes.view(np.uint64),
                values=np.column_stack(values),
                last_price=None,
                last_feature=dates[-1].item() if len(dates) else None,
            )
        )
    last_features = [each.last_feature or date.min for each in found]
    last_prices = dict(
        database.execute(
            statement(__package__, "last_prices"),
            {
                "instrument_ids": instrument_ids,
                "first": min(last_features, default=date.min),
                "end": stretch.end,
            },
        ).fetchall()
    )
    return [replace(each, last_price=last_prices.get(each.instrument_id)) for each in found]


def _likely_first(stretch: Stretch) -> date:
    """A day before which the first window of few instruments begins."""
    if stretch.start is None:
        return date.min
    # Any eight days have five weekdays; the week is for holidays.
    days = min(8 * stretch.window_days // 5 + 7, (stretch.start - date.min).days)
    return stretch.start - timedelta(days=days)
