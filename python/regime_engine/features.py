"""daily_features → arrays: the rows of each instrument that a stretch of windows needs."""

import numpy as np
from psycopg import sql

from regime_engine.database import Database, binary
from regime_engine.database.statements import statement
from regime_engine.windows import Features, Stretch, Windows, build

# A query for the id of every instrument that has a price.
INSTRUMENTS = statement(__package__, "instruments")
# The features as dbt stored them, and as they follow from the prices of this moment.
STORED, EXPECTED = "daily_features", "expected_features"


def instruments(database: Database) -> list[str]:
    """Every instrument that has a price, by id."""
    rows = database.execute(INSTRUMENTS)
    return [instrument_id for (instrument_id,) in rows]


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
    parameters = vars(stretch) | {"instrument_ids": instrument_ids}
    features = database.table(source)
    last = database.compose(statement(__package__, "last_days"), features=features)
    last_days = database.execute(last, parameters).fetchall()
    arrays = sql.SQL(", ").join(
        sql.SQL("array_agg(coalesce({}, 'NaN'))").format(sql.Identifier(column))
        for column in columns
    )
    needed = database.compose(
        statement(__package__, "needed_features"), arrays=arrays, features=features
    )
    types = ["date", "int8"] + ["float8"] * len(columns)
    rows = binary.read(database, needed, parameters, types)
    found = []
    for instrument_id, (last_price, last_feature), row in zip(
        instrument_ids, last_days, rows, strict=True
    ):
        order = row[0].argsort()
        dates, hashes, *values = (column[order] for column in row)
        found.append(
            Features(
                instrument_id=instrument_id,
                columns=columns,
                dates=dates,
                hashes=hashes.view(np.uint64),
                values=np.column_stack(values),
                last_price=last_price,
                last_feature=last_feature,
            )
        )
    return found
