"""The report's months, against a calculation by hand."""

import math
from dataclasses import fields
from datetime import date

import pytest

from regime_engine.report.contents import Day
from regime_engine.report.months import years

LABELS = ["CARRY", "CRISIS"]


def day(text: str, label: str | None, log_return: float | None) -> Day:
    known = {"regime_label": label, "log_return": log_return, "probabilities": {}}
    empty = {field.name: None for field in fields(Day)}
    return Day(**{**empty, **known, "as_of_date": date.fromisoformat(text)})


def test_a_month_has_its_return_and_the_label_of_most_of_its_days():
    newest, older = years(
        [
            day("2007-11-29", "CARRY", None),  # the first day of all has no return
            day("2007-11-30", "CARRY", math.log(1.1)),
            day("2007-12-03", "CRISIS", math.log(0.5)),
            day("2007-12-04", "CARRY", math.log(1.2)),
            day("2008-01-02", "CRISIS", math.log(0.9)),
            day("2008-01-03", None, math.log(1.5)),
            day("2008-03-03", None, math.log(2.0)),
        ],
        LABELS,
    )
    assert [newest.year, older.year] == [2008, 2007]
    assert older.months[:10] == [None] * 10
    november, december = older.months[10:]
    assert (november.label, november.days, november.is_change) == ("CARRY", {"CARRY": 2}, True)
    assert november.total_return == pytest.approx(0.1)
    # Of two labels that are equally frequent, the month has the worse.
    assert (december.label, december.is_change) == ("CRISIS", True)
    assert december.days == {"CRISIS": 1, "CARRY": 1}
    assert december.total_return == pytest.approx(0.5 * 1.2 - 1)
    assert older.total_return == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    january, february, march, *_ = newest.months
    assert (january.label, january.is_change, february) == ("CRISIS", False, None)
    assert january.total_return == pytest.approx(0.9 * 1.5 - 1)
    assert (march.label, march.days, march.total_return) == (None, {}, pytest.approx(1.0))
