"""What a load would read from a file, without a database."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from regime_engine.prices.columns import KEY
from regime_engine.prices.files import open_prices
from regime_engine.prices.shapes import Reading
from regime_engine.prices.survey import Survey

SHOWN_ROWS = 3
KEPT_ROWS = 100
SHOWN_REFUSALS = 20


@dataclass(frozen=True)
class Preview:
    """columns: column of prices_daily → where it is in the file
    ignored: the file's columns from which nothing is read
    first, last: good rows; refusals: the first ones, with line and reason
    """

    shape: str
    columns: dict[str, str]
    ignored: list[str]
    rows: int
    refused: int
    first: pl.DataFrame
    last: pl.DataFrame
    refusals: list[tuple[int, str]]
    survey: Survey


def preview(path: Path, reading: Reading) -> Preview | None:
    """What a load would read, None if there are no rows; raises RegimeError as a load does."""
    with open_prices(path, reading) as prices:
        if not prices.shape:
            return None
        layout = prices.shape.layout
        rows = refused = 0
        survey = Survey()
        first = last = pl.DataFrame()
        refusals: list[tuple[int, str]] = []
        keys: list[pl.DataFrame] = []
        for chunk in prices.chunks:
            good = chunk.filter(pl.col("reason").is_null())
            bad = chunk.filter(pl.col("reason").is_not_null()).select("line_number", "reason")
            rows += chunk.height
            refused += bad.height
            refusals += bad.head(SHOWN_REFUSALS - len(refusals)).rows()
            survey.add(good)
            values = good.select("line_number", *layout.columns)
            first = pl.concat([first, values.head(KEPT_ROWS - first.height)], how="diagonal")
            last = pl.concat([last, values.tail(KEPT_ROWS)], how="diagonal").tail(KEPT_ROWS)
            hashes = pl.struct(pl.exclude("line_number", *KEY)).hash()
            keys.append(values.select(*KEY, hashes.alias("values"), line="line_number"))
    contradicted = (
        pl.concat(keys)
        .filter((pl.col("values").n_unique() > 1).over(KEY))
        .sort("line")
        .get_column("line")
    )
    different = "the same instrument and date with different values on another line"
    shown = contradicted.head(SHOWN_REFUSALS - len(refusals))
    good_rows = rows - refused - len(contradicted)
    positions = layout.series[0].positions
    return Preview(
        shape=str(prices.shape),
        columns={name: layout.header[at] for name, at in positions.items()},
        ignored=layout.ignored,
        rows=rows,
        refused=rows - good_rows,
        first=_shown(first, contradicted).head(SHOWN_ROWS),
        last=_shown(last, contradicted).tail(min(SHOWN_ROWS, max(good_rows - SHOWN_ROWS, 0))),
        refusals=sorted([*refusals, *((line, different) for line in shown)]),
        survey=survey,
    )


def _shown(rows: pl.DataFrame, contradicted: pl.Series) -> pl.DataFrame:
    is_good = ~rows["line_number"].is_in(contradicted.implode())
    return rows.filter(is_good).drop("line_number")
