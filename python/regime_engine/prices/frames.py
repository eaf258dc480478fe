"""Prices from Python: a frame → prices_daily, by the checks of `regime load`."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from regime_engine.config import Settings
from regime_engine.database import connect
from regime_engine.errors import RegimeError, value_errors
from regime_engine.prices.columns import NUMBERS
from regime_engine.prices.load import LoadResult, load_table
from regime_engine.prices.shapes import Reading

NAME = "the frame"


def load(
    frame: Any,
    instrument_id: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    is_wide: bool = False,
    field: str = "close",
    date_format: str | None = None,
    decimal: str | None = None,
    strict: bool = False,
    database_url: str | None = None,
) -> LoadResult:
    """Write the prices of a frame to prices_daily, as `regime load` does with a file.

    frame: of pandas or polars, an Arrow table, a relation of DuckDB, or a dict of columns
    instrument_id: whose prices these are, if no column says so
    columns: column of prices_daily → column of the frame, where it is not found by its name
    is_wide, field: each column is an instrument, and holds its field
    date_format, decimal: as for `regime load`, of texts
    strict: write nothing if any row cannot be used
    database_url: else REGIME_DATABASE_URL or what `regime` uses
    returns counts; warns of rows that are refused and of half-adjusted instruments
    raises ValueError if the frame as a whole cannot be used, TypeError if it is none
    """
    if field not in NUMBERS:
        raise ValueError(f"field {field!r}: choose one of {', '.join(NUMBERS)}")
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal {decimal!r}: choose '.' or ','")
    reading = Reading(
        instrument_id=None if instrument_id is None else str(instrument_id),
        columns=columns or {},
        is_wide=is_wide,
        field=field,
        date_format=date_format,
        decimal=decimal,
    )
    settings = Settings.from_environment(database_url)
    with value_errors(), connect(settings) as database:
        result = load_table(database, NAME, _as_polars(frame), reading, strict)
    if result.refused:
        first = result.first_refusals[0]
        warnings.warn(
            f"{result.refused:,} of {result.rows:,} rows refused, the first is row "
            f"{first.line_number}: {first.reason}",
            stacklevel=2,
        )
    for half in result.half_adjusted:
        warnings.warn(
            f"{half.instrument_id}: {half.rows_without:,} of {half.all_rows:,} rows have no "
            "adjusted close and the others have one: load them for every day of it, or for none",
            stacklevel=2,
        )
    return result


def _as_polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, (pl.DataFrame, Mapping)):
        try:
            # Not strict: a column may have whole numbers and others.
            return pl.DataFrame(frame, strict=False)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{NAME}: {error}") from error
    if hasattr(frame, "columns") and hasattr(frame, "index"):
        return _of_pandas(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    raise TypeError(
        f"prices must be a frame of pandas or polars, an Arrow table, a relation of DuckDB or a "
        f"dict of columns, not a {type(frame).__name__}"
    )


def _of_pandas(frame: Any) -> pl.DataFrame:
    """A frame of pandas, with the levels of its index as columns; NaN is a missing value."""
    if frame.index.names != [None] or getattr(frame.index.dtype, "kind", "O") not in "iuf":
        unnamed = "" if frame.index.nlevels == 1 else "level_{}"
        names = [name or unnamed.format(level) for level, name in enumerate(frame.index.names)]
        frame = frame.rename_axis(names).reset_index(allow_duplicates=True)
    columns: dict[str, pl.Series] = {}
    for place, name in enumerate(map(str, frame.columns)):
        if name in columns:
            raise RegimeError(f"{NAME}: two columns are called {name!r}: rename or drop one")
        column = frame.iloc[:, place]
        if hasattr(column, "dt") and hasattr(column.dt, "tz_localize"):
            values = pl.Series(column.dt.tz_localize(None).to_numpy("datetime64[us]"))
        elif getattr(column.dtype, "kind", "O") in "iuf":
            values = pl.Series(column.to_numpy(float, na_value=np.nan)).fill_nan(None)
        else:
            texts = (
                None if is_missing else str(value)
                for value, is_missing in zip(column, column.isna(), strict=True)
            )
            values = pl.Series(list(texts), dtype=pl.String)
        columns[name] = values
    return pl.DataFrame(columns)
