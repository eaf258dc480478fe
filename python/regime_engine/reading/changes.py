"""Which labels a night changed: those of its new days, and those of before that it revised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.series import Series


@dataclass(frozen=True)
class LastLabel:
    """The label of a series' last regime."""

    region: str
    as_of_date: date
    regime_label: str


@dataclass(frozen=True)
class Change:
    """A label that is another than the one before.

    from_label: None if the series had no regime before
    is_revision: whether from_label was that of this day, or of a day after it that is gone
    """

    region: str
    as_of_date: date
    from_label: str | None
    to_label: str
    is_revision: bool

    def __str__(self) -> str:
        if self.from_label is None:
            return f"{self.region} has its first regimes, and is {self.to_label}"
        if self.is_revision:
            return (
                f"{self.region} was {self.from_label} so far, and is {self.to_label} on "
                f"{self.as_of_date} now: its prices or its model changed"
            )
        return f"{self.region} went from {self.from_label} to {self.to_label} on {self.as_of_date}"


def last_labels(database: Database, all_series: Sequence[Series]) -> list[LastLabel]:
    """Of each series that has regimes, its last label."""
    found = database.rows_of_each(
        """
        select region, as_of_date, regime_label
        from {regimes}
        where
            region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
        order by as_of_date desc
        limit 1
        """,
        [vars(series) for series in all_series],
    )
    return [LastLabel(*row) for rows in found for row in rows]


def changes(
    database: Database, all_series: Sequence[Series], before: Sequence[LastLabel]
) -> list[Change]:
    """What became of the last labels of before: revisions, transitions since, first regimes.

    before: of the same series, as `last_labels` gave them
    """
    known = {each.region: each for each in before}
    nothing = {"as_of_date": None, "regime_label": None}
    found = database.rows_of_each(
        statement(__package__, "label_changes"),
        [
            vars(series) | (vars(known[series.region]) if series.region in known else nothing)
            for series in all_series
        ],
    )
    return [Change(*row) for rows in found for row in rows]
