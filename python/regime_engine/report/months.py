"""Each month of a region: what the market did, and the label that most of its days had."""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from regime_engine.report.contents import Day

N_MONTHS = 12


@dataclass(frozen=True)
class Month:
    """log_return: of its days in the report; None if no day has one

    days: with a label, label by label, the most frequent first; empty if no day has one
    is_change: whether the month before has another label, or none
    """

    log_return: float | None
    days: dict[str, int]
    is_change: bool

    @property
    def total_return(self) -> float | None:
        return None if self.log_return is None else math.expm1(self.log_return)

    @property
    def label(self) -> str | None:
        """The label that most days had."""
        return next(iter(self.days), None)


@dataclass(frozen=True)
class Year:
    """months: January to December, None where the report has no day"""

    year: int
    months: list[Month | None]

    @property
    def total_return(self) -> float | None:
        known = [
            month.log_return for month in self.months if month and month.log_return is not None
        ]
        return math.expm1(math.fsum(known)) if known else None


def years(days: list[Day], labels: list[str]) -> list[Year]:
    """Newest first. labels: calmest first; of two that are equally frequent the worse counts"""
    found: dict[int, Year] = {}
    before = None
    for (year, number), of_month in groupby(
        days, key=lambda day: (day.as_of_date.year, day.as_of_date.month)
    ):
        month = _month(list(of_month), labels, before)
        found.setdefault(year, Year(year, [None] * N_MONTHS)).months[number - 1] = month
        before = month.label
    return list(found.values())[::-1]


def _month(days: list[Day], labels: list[str], before: str | None) -> Month:
    """before: the label of the month before"""
    returns = [day.log_return for day in days if day.log_return is not None]
    counts = Counter(day.regime_label for day in days if day.regime_label is not None)
    ranked = sorted(counts, key=lambda label: (counts[label], labels.index(label)), reverse=True)
    return Month(
        log_return=math.fsum(returns) if returns else None,
        days={label: counts[label] for label in ranked},
        is_change=ranked[:1] != [before],
    )
