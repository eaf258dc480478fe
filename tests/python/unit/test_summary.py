"""What a night says at its end."""

from dataclasses import replace
from datetime import UTC, date, datetime

from regime_engine.cli.summary import Night, lines
from regime_engine.dbt import NodeResult
from regime_engine.errors import RegimeError
from regime_engine.reading.changes import Change
from regime_engine.reading.suspicions import Suspicions


def result(name: str, status: str) -> NodeResult:
    return NodeResult(name, "test", status, "", 1, "", "", None)


QUIET = Night([], {}, [], {}, [result("a", "pass"), result("b", "warn")], {})
RED = Night(
    changes=[
        Change("US", date(2026, 11, 27), "CARRY", "RISK_OFF", False),
        Change("EU", date(2026, 11, 26), "CRISIS", "NEUTRAL", True),
        Change("JP", date(2026, 11, 27), None, "CARRY", False),
    ],
    stale={"EU": date(2026, 11, 13)},
    suspicions=[Suspicions("US", "m", 63, 1, 0, "select 1")],
    errors={"CH": RegimeError("no prices")},
    audit=[result("a", "fail"), result("b", "fail"), result("c", "warn")],
    failing_since={"a": datetime(2026, 11, 20, 4, 30, tzinfo=UTC)},
)


def test_a_quiet_night_needs_nothing():
    assert lines(QUIET) == [
        "Changed label:  no region",
        "Stale:          no region",
        "Suspicious:     no region",
        "Not classified: no region",
        "Audit:          passed (2 tests, 0 failed, 1 with warnings)",
        "To do:          nothing",
    ]


def test_a_bad_night_names_what_is_wrong_and_what_to_do():
    assert lines(RED) == [
        "Changed label:  US went from CARRY to RISK_OFF on 2026-11-27; EU was CRISIS so far, and is "
        "NEUTRAL on 2026-11-26 now: its prices or its model changed; JP has its first regimes, and "
        "is CARRY",
        "Stale:          EU (newest price 2026-11-13)",
        "Suspicious:     US rests on 1 suspicious price (in the window of its regime)",
        "Not classified: CH",
        "Audit:          failed (3 tests, 2 failed, 1 with warnings): a since 2026-11-20 04:30 UTC; b",
        "To do:          look at the rows of the failed tests above; docs/checks.md says more of each",
        "To do:          mend what the errors above say, and run `regime pipeline` again",
        "To do:          load newer prices of the stale regions with `regime load`",
        "To do:          look at the suspicious prices of US: select 1;",
    ]


def test_what_is_not_known_is_said_and_many_are_counted():
    many = {f"R{place}": date(2026, 11, 13) for place in range(8)}
    in_training = Suspicions("US", "m", 63, 0, 2, "select 1")
    assert lines(replace(QUIET, suspicions=[in_training]))[-1] == "To do:          nothing"
    shown = lines(replace(QUIET, suspicions=None, stale=many))
    assert shown[2] == "Suspicious:     not known"
    assert shown[1].endswith("R4 (newest price 2026-11-13); and 3 more")
