"""What is remarkable about the prices of a file as a whole: splits, series that end early."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

# As in audit.price_suspicions.
SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50, 100)
SPLIT_TOLERANCE = 0.02
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
    is_sorted: whether the rows are in the order of the key, and so no key is there twice
    """

    adjusted_rows: int = 0
    adjusted: set[str] = field(default_factory=set)
    unadjusted: set[str] = field(default_factory=set)
    firsts: dict[str, date] = field(default_factory=dict)
    lasts: dict[str, date] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    is_sorted: bool = True
    _newest: pl.DataFrame | None = None
    _last_key: tuple[str, date] | None = None

    def add(self, good: pl.DataFrame) -> None:
        """good: rows of `check` without a reason"""
        if not good.height:
            return
        for name in ("close", "adjusted_close"):
            if name not in good.columns:
                good = good.with_columns(pl.lit(None, pl.Float64).alias(name))
        self.is_sorted = self.is_sorted and self._goes_on(good)
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
        self._find_splits(good.select("instrument_id", "trade_date", "close", "adjusted_close"))

    def _goes_on(self, good: pl.DataFrame) -> bool:
        """Whether the rows are in the order of the key, and come after all rows before."""
        name, day = good["instrument_id"], good["trade_date"]
        last, self._last_key = self._last_key, (name[-1], day[-1])
        if last and (name[0], day[0]) <= last:
            return False
        # As bytes, in which text has one order everywhere.
        is_later = (name > name.shift()) | ((name == name.shift()) & (day > day.shift()))
        return bool(is_later[1:].all())

    def _find_splits(self, good: pl.DataFrame) -> None:
        if self._newest is not None:
            good = pl.concat([self._newest, good])
        columns = ("trade_date", "close", "adjusted_close")
        before = {f"{name}_before": pl.col(name).shift().over("instrument_id") for name in columns}
        steps = good.with_columns(**before).with_columns(
            jump=(pl.col("close") / pl.col("close_before")).log(),
            adjusted_jump=(pl.col("adjusted_close") / pl.col("adjusted_close_before")).log(),
        )
        # Few steps are large enough to be looked at one by one.
        is_large = pl.col("jump").abs() > np.log(min(SPLIT_RATIOS)) - SPLIT_TOLERANCE
        logs = np.log(SPLIT_RATIOS)
        for step in steps.filter(is_large).iter_rows(named=True):
            days = step["trade_date"] - step["trade_date_before"]
            away = np.abs(logs - abs(step["jump"]))
            adjusted_jump = step["adjusted_jump"]
            is_adjusted = (
                adjusted_jump is not None and abs(adjusted_jump - step["jump"]) > SPLIT_TOLERANCE
            )
            if abs(days) > LONGEST_STEP or away.min() > SPLIT_TOLERANCE or is_adjusted:
                continue
            factor = SPLIT_RATIOS[int(away.argmin())]
            falls = (step["jump"] < 0) == (days > timedelta(0))
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
