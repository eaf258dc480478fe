"""The stored embeddings of an instrument."""

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from regime_engine import seeds
from regime_engine.arrays import Floats32
from regime_engine.database import Database, binary
from regime_engine.errors import RegimeError
from regime_engine.reading.rows import embedded_instruments
from regime_engine.seeds import MOST_NAMES, nearest_first

_OF_INSTRUMENT = sql.SQL(
    "entity_type = 'INSTRUMENT' and entity_id = %(instrument_id)s"
    " and model_id = %(model_id)s and window_days = %(window_days)s"
)


class Embeddings(NamedTuple):
    """days: (n,) datetime64[D], the last day of each window, oldest first
    vectors: (n, d) float32
    """

    days: NDArray[np.datetime64]
    vectors: Floats32


def embeddings(
    database: Database,
    instrument_id: str,
    model_id: str,
    window_days: int,
    start: date | None = None,
    end: date | None = None,
) -> Embeddings:
    """The embeddings of an instrument from start to end.

    raises RegimeError if none at all is stored
    """
    parameters = {
        "instrument_id": instrument_id,
        "model_id": model_id,
        "window_days": window_days,
        "start": start,
        "end": end,
    }
    stored = database.first(
        "select dimension from {numeric_window_embeddings} where {of_instrument} limit 1",
        parameters,
        of_instrument=_OF_INSTRUMENT,
    )
    if stored is None:
        raise _none_stored(database, instrument_id, model_id, window_days)
    query = database.compose(
        """
        select string_agg(date_send(as_of_date), '' order by as_of_date),
            string_agg(vector, '' order by as_of_date)
        from {numeric_window_embeddings}
        where
            {of_instrument}
            and as_of_date >= coalesce(%(start)s::date, '-infinity')
            and as_of_date <= coalesce(%(end)s::date, 'infinity')
        """,
        of_instrument=_OF_INSTRUMENT,
    )
    with database.connection.cursor(binary=True) as cursor:
        [(days, vectors)] = cursor.execute(query, parameters)
    # A copy, which may be written to.
    numbers = np.frombuffer(vectors or b"", "<f4").astype(np.float32)
    return Embeddings(binary.dates(days or b""), numbers.reshape(-1, *stored))


def _none_stored(
    database: Database, instrument_id: str, model_id: str, window_days: int
) -> RegimeError:
    region = seeds.regions(database).get(instrument_id)
    if region and region.instrument_id != instrument_id:
        return RegimeError(
            f"{instrument_id} is a region, and embeddings are of instruments: give that of the "
            f"region, {region.instrument_id}"
        )
    by_encoder = f"by {model_id} with windows of {window_days} days"
    embedded = embedded_instruments(database)
    if instrument_id in embedded:
        return RegimeError(
            f"no embeddings of instrument {instrument_id!r} {by_encoder}: `regime embed "
            f"--instrument-id {instrument_id} --model-id {model_id} --window-days {window_days}` "
            "writes them"
        )
    names = nearest_first(instrument_id, embedded)
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return RegimeError(
        f"no embeddings of instrument {instrument_id!r} {by_encoder}: embedded are "
        f"{', '.join(names[:MOST_NAMES]) or 'none'}{more}; `regime embed` writes more"
    )
