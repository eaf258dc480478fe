"""The suspicious prices that regimes rest on."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from psycopg import sql

from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.reading.rows import fetch_audit
from regime_engine.series import Series


@dataclass(frozen=True)
class Suspicions:
    """How many rows of price_suspicions the last regime of a series rests on.

    in_window: in the windows of the regime, or of the regimes that voted
    in_training: only in the prices that the model was trained on
    look_further: the SQL that shows the rows of the instruments
    """

    region: str
    model_id: str
    window_days: int
    in_window: int
    in_training: int
    look_further: str

    def __str__(self) -> str:
        return f"{self.region} rests on {self.summary}, see: {self.look_further};"

    @property
    def summary(self) -> str:
        """How many they are and where: `2 suspicious prices (in the training of its model)`."""
        n = self.in_window + self.in_training
        prices = "1 suspicious price" if n == 1 else f"{n:,} suspicious prices"
        if not self.in_training:
            where = "in the window of its regime"
        elif not self.in_window:
            where = "in the training of its model"
        else:
            where = f"{self.in_window:,} in the window of its regime, the others in training"
        return f"{prices} ({where})"


@dataclass(frozen=True)
class _Evidence:
    region: str
    model_id: str
    window_days: int
    instrument_id: str
    window_from: date | None
    window_to: date | None
    trained_from: date | None
    training_to: date | None


@dataclass(frozen=True)
class _Suspicion:
    instrument_id: str
    first_date: date
    trade_date: date

    def is_between(self, first: date | None, last: date | None) -> bool:
        return (
            first is not None
            and last is not None
            and first <= self.trade_date
            and self.first_date <= last
        )


def suspicions(
    database: Database, all_series: Iterable[Series], as_of: date | None = None
) -> list[Suspicions]:
    """Of each series whose last regime up to as_of rests on suspicious prices, how many they are.

    as_of: by default the last regime of all
    raises RegimeError if the audit's views are missing
    """
    return suspicions_and_prices(database, all_series, as_of)[0]


def suspicions_and_prices(
    database: Database, all_series: Iterable[Series], as_of: date | None = None
) -> tuple[list[Suspicions], Counter[str]]:
    """The suspicions, and how many rows of price_suspicions each instrument of the series has.

    Both at once: the view compares the calendars of all instruments, which takes as long for one.
    """
    asked = list(all_series)
    if not asked:  # nor are there views, in a database without prices
        return [], Counter()
    rested = database.rows_of_each(
        statement(__package__, "evidence_prices"),
        [vars(series) | {"as_of": as_of} for series in asked],
    )
    evidence = [_Evidence(*row) for rows in rested for row in rows]
    training_from = _training_from(database, evidence)
    found = fetch_audit(
        database,
        """
        select
            instrument_id,
            -- A jump is of its second day.
            case
                when kind in ('unadjusted split', 'extreme return') then trade_date
                else first_date
            end as first_date,
            trade_date
        from {price_suspicions}
        where instrument_id = any(%s)
        """,
        [sorted({each.instrument_id for each in evidence})],
    ).records(_Suspicion)
    counted = []
    for series in asked:
        of_series = [each for each in evidence if _series(each) == series]
        in_window = in_training = 0
        for suspicion in found:
            spans = [each for each in of_series if each.instrument_id == suspicion.instrument_id]
            if any(suspicion.is_between(each.window_from, each.window_to) for each in spans):
                in_window += 1
            elif any(
                suspicion.is_between(training_from.get(each), each.training_to) for each in spans
            ):
                in_training += 1
        if in_window or in_training:
            instruments = sorted({each.instrument_id for each in of_series})
            counted.append(
                Suspicions(
                    **vars(series),
                    in_window=in_window,
                    in_training=in_training,
                    look_further=_look_further(database, instruments),
                )
            )
    return counted, Counter(each.instrument_id for each in found)


def _training_from(
    database: Database, evidence: Iterable[_Evidence]
) -> dict[_Evidence, date | None]:
    """The first day of the window that the training of each model begins with."""
    trained = [each for each in evidence if each.trained_from]
    found = database.rows_of_each(
        """
        select min(trade_date)
        from (
            select trade_date
            from {daily_features}
            where instrument_id = %(instrument_id)s and trade_date <= %(trained_from)s
            order by trade_date desc
            limit %(window_days)s
        ) as first_window
        """,
        [vars(each) for each in trained],
    )
    return {each: day for each, [(day,)] in zip(trained, found, strict=True)}


def _series(evidence: _Evidence) -> Series:
    return Series(evidence.region, evidence.model_id, evidence.window_days)


def _look_further(database: Database, instrument_ids: list[str]) -> str:
    # By Postgres's own quoting, since a person is to type it.
    (view,) = database.one(
        "select format('%%I.%%I', %s::text, %s::text)", database.settings.table("price_suspicions")
    )
    query = sql.SQL("select * from {} where instrument_id in ({})").format(
        sql.SQL(view), sql.SQL(", ").join(map(sql.Literal, instrument_ids))
    )
    return query.as_string(database.connection)
