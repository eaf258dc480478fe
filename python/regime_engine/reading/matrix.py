"""How often one label follows another."""

from dataclasses import dataclass

from psycopg import sql

from regime_engine.database import Database, Rows
from regime_engine.reading.rows import IS_SERIES, fetch_audit, require_regimes
from regime_engine.series import Series


@dataclass(frozen=True)
class Cell:
    """A pair of labels, by column of the view transition_matrix.

    smoothed_probability: None if it was not asked for
    """

    from_label: str
    to_label: str
    transitions: int
    probability: float | None
    expected_duration: float | None
    stationary_share: float | None
    observed_share: float
    smoothed_probability: float | None = None


def matrix(database: Database, series: Series, shrink: bool = False) -> Rows[Cell]:
    """One row a pair of labels, calmest first: the view transition_matrix.

    shrink: with the smoothed probability
    raises RegimeError if the series has no regime at all, or if the view is missing
    """
    require_regimes(database, series)
    return fetch_audit(
        database,
        """
        select
            from_label, to_label, transitions, probability, {smoothed}
            expected_duration, stationary_share, observed_share
        from {transition_matrix}
        left join {regime_labels} as departing on departing.label = from_label
        left join {regime_labels} as arriving on arriving.label = to_label
        where {is_series}
        order by departing.severity, from_label, arriving.severity, to_label
        """,
        vars(series),
        smoothed=sql.SQL("smoothed_probability," if shrink else ""),
        is_series=IS_SERIES,
    )
