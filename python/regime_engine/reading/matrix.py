"""How often one label follows another."""

from psycopg import sql

from regime_engine.database import Database, Rows
from regime_engine.reading.rows import IS_SERIES, fetch_audit, require_regimes
from regime_engine.series import Series


def matrix(database: Database, series: Series, shrink: bool = False) -> Rows:
    """One row a pair of labels, calmest first: the view transition_matrix.

    shrink: with the smoothed probability
    raises RegimeError where the series has no regime at all, or the view is not there
    """
    require_regimes(database, series)
    return fetch_audit(
        database,
        sql.SQL("""
            select
                from_label, to_label, transitions, probability, {smoothed}
                expected_duration, stationary_share, observed_share
            from {matrix}
            left join {labels} as departing on departing.label = from_label
            left join {labels} as arriving on arriving.label = to_label
            where {is_series}
            order by departing.severity, from_label, arriving.severity, to_label
        """).format(
            matrix=database.table("transition_matrix"),
            smoothed=sql.SQL("smoothed_probability," if shrink else ""),
            labels=database.table("regime_labels"),
            is_series=IS_SERIES,
        ),
        vars(series),
    )
