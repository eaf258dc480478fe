"""The last lines of the nightly job: what a person should know of it in ten seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from regime_engine.dbt import NodeResult
from regime_engine.errors import RegimeError
from regime_engine.reading.changes import Change
from regime_engine.reading.suspicions import Suspicions

MOST_NAMED = 5


@dataclass(frozen=True)
class Night:
    """What became of a night.

    stale: region → the day of its newest price
    suspicions: None if they are not known
    errors: region → why it was not classified
    audit: one result a test; failing_since: of the tests that failed, those whose first failure is
        known
    """

    changes: Sequence[Change]
    stale: Mapping[str, date]
    suspicions: Sequence[Suspicions] | None
    errors: Mapping[str, RegimeError]
    audit: Sequence[NodeResult]
    failing_since: Mapping[str, datetime]


def lines(night: Night) -> list[str]:
    """A line for each question, and one for each thing that there is to do."""
    stale = [f"{region} (newest price {day})" for region, day in night.stale.items()]
    resting = [f"{each.region} rests on {each.summary}" for each in night.suspicions or ()]
    answers = {
        "Changed label": _named(list(map(str, night.changes)), "no region"),
        "Stale": _named(stale, "no region"),
        "Suspicious": "not known" if night.suspicions is None else _named(resting, "no region"),
        "Not classified": _named(list(night.errors), "no region"),
        "Audit": _audit(night),
    }
    width = max(map(len, answers)) + 2
    shown = [f"{question + ':':<{width}}{answer}" for question, answer in answers.items()]
    todo = _to_do(night) or ["nothing"]
    return [*shown, *(f"{'To do:':<{width}}{each}" for each in todo[:MOST_NAMED])]


def _audit(night: Night) -> str:
    failed = [each.name for each in night.audit if each.status == "fail"]
    warned = sum(each.status == "warn" for each in night.audit)
    counts = f"{len(night.audit)} tests, {len(failed)} failed, {warned} with warnings"
    if not failed:
        return f"passed ({counts})"
    named = [
        f"{name} since {night.failing_since[name].astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if name in night.failing_since
        else name
        for name in failed
    ]
    return f"failed ({counts}): {_named(named, '')}"


def _to_do(night: Night) -> list[str]:
    todo = []
    if any(each.status == "fail" for each in night.audit):
        todo.append("look at the rows of the failed tests above; docs/checks.md says more of each")
    if night.errors:
        todo.append("mend what the errors above say, and run `regime pipeline` again")
    if night.stale:
        todo.append("load newer prices of the stale regions with `regime load`")
    # Those of the training were there on the nights before too.
    for each in night.suspicions or ():
        if each.in_window:
            todo.append(f"look at the suspicious prices of {each.region}: {each.look_further};")
    return todo


def _named(each: list[str], none: str) -> str:
    """Some by name, the others counted."""
    more = len(each) - MOST_NAMED
    return "; ".join(each[:MOST_NAMED]) + (f"; and {more:,} more" if more > 0 else "") or none
