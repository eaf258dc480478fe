"""What the audits said: the last verdict of each test, and since when it has been that."""

from dataclasses import dataclass
from datetime import datetime

from regime_engine.database import Database, Rows
from regime_engine.reading.rows import fetch_audit


@dataclass(frozen=True)
class VerdictHistory:
    """A row of the view test_history.

    verdict: PASS, WARN or FAIL; verdict_since: the first audit of those without a break that say so
    """

    test_name: str
    verdict: str
    failures: int
    audited_at: datetime
    verdict_since: datetime
    last_passed_at: datetime | None
    first_failed_at: datetime | None
    audits: int


def history(database: Database) -> Rows[VerdictHistory]:
    """One row a test of the last audit, the failed ones first; none if no audit was recorded.

    raises RegimeError if the view is missing
    """
    return fetch_audit(
        database,
        """
        select
            test_name, verdict, failures, audited_at, verdict_since, last_passed_at,
            first_failed_at, audits
        from {test_history}
        order by array_position('{{FAIL,WARN,PASS}}', verdict), test_name
        """,
    )
