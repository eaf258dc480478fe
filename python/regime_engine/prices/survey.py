"""What is remarkable about the prices of a file as a whole: splits, series that end early."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

# As in audit.price_suspicions.
SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50, 100)
SPLIT_TOLERANCE = 0.02
MOST_SPLITS = 1_000  # of a chunk
LONGEST_STEP = timedelta(days=7)


class Split(NamedTuple):
    """A day on which the close jumps by a simple factor, and the adjusted close with it."""

    instrument_id: str
    trade_date: date
    factor: float


@dataclass
class Survey:
    """Collects from the good rows of a file, chunk by chunk, in whatever order they are.

    firsts, lasts: each instrument's first and last day
    ascends, descends: whether the days of each instrument do, all over the file
    """

    adjusted_rows: int = 0
    adjusted: set[str] = field(default_factory=set)
    unadjusted: set[str] = field(default_factory=set)
    firsts: dict[str, date] = field(default_factory=dict)
    lasts: dict[str, date] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    ascends: bool = True
    descends: bool = True
    _newest: pl.DataFrame | None = None

    def add(self, good: pl.DataFrame) -> None:
        """good: rows of `check` without a reason"""
        if not good.height:
            return
        for name in ("close", "adjusted_close"):
            if name not in good.columns:
                good = good.with_columns(pl.lit(None, pl.Float64).alias(name))
        by_instrument = good.group_by("instrument_id").agg(
            first=pl.col("trade_date").min(),
            last=pl.col("trade_date").max(),
            adjusted=pl.col("adjusted_close").count(),
            rows=pl.len(),
        )
        for instrument_id, first, last, adjusted, rows in by_instrument.iter_rows():
            self.firsts[instrument_id] = min(self.firsts.get(instrument_id, first), first)
            self.lasts[instrument_id] = max(self.lasts.get(instrument_id, last), last)
            self.adjusted_rows += adjusted
            if adjusted:
                self.adjusted.add(instrument_id)
            if adjusted < rows:
                self.unadjusted.add(instrument_id)
        self._follow(good.select("instrument_id", "trade_date", "close", "adjusted_close"))

    @property
    def is_unique(self) -> bool:
        """Whether it is certain that no key is there twice."""
        return self.ascends or self.descends

    def _follow(self, good: pl.DataFrame) -> None:
        if self._newest is not None:
            good = pl.concat([self._newest, good])
        columns = ("trade_date", "close", "adjusted_close")
        before = {f"{name}_before": pl.col(name).shift().over("instrument_id") for name in columns}
        steps = good.with_columns(**before).with_columns(
            jump=(pl.col("close") / pl.col("close_before")).log(),
            adjusted_jump=(pl.col("adjusted_close") / pl.col("adjusted_close_before")).log(),
        )
        days, days_before = steps["trade_date"], steps["trade_date_before"]
        self.ascends &= bool((days > days_before).all())
        self.descends &= bool((days < days_before).all())
        jump, adjusted_jump = pl.col("jump"), pl.col("adjusted_jump")
        is_simple = pl.any_horizontal(
            (jump.abs() - ratio).abs() <= SPLIT_TOLERANCE for ratio in np.log(SPLIT_RATIOS)
        )
        is_adjusted = ((adjusted_jump - jump).abs() > SPLIT_TOLERANCE).fill_null(False)
        is_next = (pl.col("trade_date") - pl.col("trade_date_before")).abs() <= LONGEST_STEP
        splits = steps.filter(is_simple & ~is_adjusted & is_next).head(MOST_SPLITS)
        for step in splits.iter_rows(named=True):
            nearest = np.abs(np.log(SPLIT_RATIOS) - abs(step["jump"])).argmin()
            factor = SPLIT_RATIOS[int(nearest)]
            falls = (step["jump"] < 0) == (step["trade_date"] > step["trade_date_before"])
            day = max(step["trade_date"], step["trade_date_before"])
            found = Split(step["instrument_id"], day, factor if falls else 1 / factor)
            self.splits.append(found)
        self._newest = good.group_by("instrument_id", maintain_order=True).last()

    def cut_short(self) -> tuple[dict[str, date], dict[str, date]]:
        """The instruments that begin after the file's first days, and that end before its last."""
        if len(self.firsts) < 2:
            return {}, {}
        first, last = min(self.firsts.values()), max(self.lasts.values())
        late = {name: day for name, day in self.firsts.items() if day > first + LONGEST_STEP}
        early = {name: day for name, day in self.lasts.items() if day < last - LONGEST_STEP}
        return late, early
