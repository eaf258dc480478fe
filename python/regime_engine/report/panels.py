"""The charts of a report that have few rows, and carry them."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from regime_engine.charts.elements import colour, label_axis, share, sized
from regime_engine.charts.palette import LIGHT
from regime_engine.reading.analogues import Analogue
from regime_engine.reading.forecast import Calibration, Forecast
from regime_engine.reading.matrix import Cell
from regime_engine.report.contents import Profile, Spell

# The bars of the histogram of durations: name → the longest spell in the bar, in trading days
DURATIONS = {
    "1": 1,
    "2–5": 5,
    "6–10": 10,
    "11–21": 21,
    "22–63": 63,
    "64–126": 126,
    "127+": math.inf,
}


@dataclass(frozen=True)
class SpellCount:
    """How many spells of a label had a duration, by its name in DURATIONS."""

    label: str
    duration: str
    spells: int


def matrix(labels: list[str], cells: list[Cell]) -> alt.TopLevelMixin:
    """A square for each pair of labels, with its probability and count."""
    fields = ("from_label", "to_label", "probability", "transitions")
    limit = {"expr": f"width / {len(labels)} - 4"}
    above = alt.Axis(orient="top", labelAngle=0, labelLimit=limit, ticks=False, domain=False)
    base = alt.Chart(_values(cells, fields)).encode(
        x=alt.X("to_label:N", title="to", sort=labels, axis=above),
        y=alt.Y("from_label:N", title=None, sort=labels, axis=label_axis()),
        tooltip=[
            alt.Tooltip("from_label:N", title="from"),
            alt.Tooltip("to_label:N", title="to"),
            alt.Tooltip("probability:Q", title="probability", format=".2%"),
            alt.Tooltip("transitions:Q", title="times", format=","),
        ],
    )
    strength = alt.Scale(type="sqrt", domain=[0, 1], range=[0.05, 1])
    squares = base.mark_rect(cornerRadius=3).encode(
        opacity=alt.Opacity("probability:Q", scale=strength, legend=None)
    )
    # On a dark square the text has the colour of the panel.
    ink = alt.condition(
        "datum.probability > 0.3", alt.value({"expr": "panel"}), alt.value({"expr": "text"})
    )
    percent = base.mark_text(fontSize=13, fontWeight=600, dy=-7).encode(
        text=alt.Text("probability:Q", format=".1%"), color=ink
    )
    times = base.mark_text(fontSize=10, dy=9).encode(
        text=alt.Text("transitions:Q", format=","), color=ink
    )
    chart = alt.layer(squares, percent, times).add_params(
        alt.param("panel", value=LIGHT.panel), alt.param("text", value=LIGHT.text)
    )
    return sized(chart, 58 * len({cell.from_label for cell in cells}))


def profile(labels: list[str], profiles: list[Profile]) -> alt.TopLevelMixin:
    """A lane for each label: a point at its return, a bar of one volatility to each side."""
    fields = ("regime_label", "annualised_return", "annualised_volatility", "days")
    percents = alt.Axis(format="+.0%", tickCount=5, grid=True)
    known = {profile.regime_label for profile in profiles}
    lanes = [label for label in labels[::-1] if label in known]
    base = (
        alt.Chart(_values(profiles, fields))
        .transform_calculate(
            low="datum.annualised_return - datum.annualised_volatility",
            high="datum.annualised_return + datum.annualised_volatility",
        )
        .encode(
            y=alt.Y("regime_label:N", title=None, sort=lanes, axis=label_axis()),
            tooltip=[
                alt.Tooltip("regime_label:N", title="label"),
                alt.Tooltip("annualised_return:Q", title="return, annual", format="+.1%"),
                alt.Tooltip("annualised_volatility:Q", title="volatility, annual", format=".1%"),
                alt.Tooltip("days:Q", title="days", format=","),
            ],
        )
    )
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    across = alt.X("low:Q", title="return, annual", axis=percents)
    bars = base.mark_bar(height=10, cornerRadius=5).encode(
        x=across, x2="high:Q", color=colour(labels, "regime_label")
    )
    points = base.mark_circle(size=90, opacity=1).encode(
        x="annualised_return:Q",
        color=alt.value({"expr": "text"}),
        stroke=alt.value({"expr": "panel"}),
    )
    chart = alt.layer(zero, bars, points).add_params(
        alt.param("text", value=LIGHT.text), alt.param("panel", value=LIGHT.panel)
    )
    return sized(chart, 40 * len(lanes))


def counted_durations(labels: list[str], spells: list[Spell]) -> list[SpellCount]:
    """How many of the spells of each label lasted how long."""

    def bar(spell: Spell) -> str:
        return next(name for name, longest in DURATIONS.items() if spell.trading_days <= longest)

    counts = Counter((spell.regime_label, bar(spell)) for spell in spells if spell.trading_days)
    return [SpellCount(label, name, counts[label, name]) for name in DURATIONS for label in labels]


def durations(labels: list[str], spells: list[Spell]) -> alt.TopLevelMixin:
    """A histogram of the durations of closed spells."""
    counts = counted_durations(labels, spells)
    names = list(DURATIONS)
    bars = _by_severity(labels, _values(counts, ("label", "duration", "spells")))
    axis, scale = alt.Axis(labelAngle=0, labelFontSize=10, ticks=False), alt.Scale(domain=names)
    chart = bars.mark_bar(strokeWidth=1).encode(
        x=alt.X("duration:N", title="trading days", sort=names, scale=scale, axis=axis),
        y=alt.Y(
            "spells:Q", title="spells", axis=alt.Axis(tickMinStep=1, tickCount=5, format=",.0f")
        ),
        color=colour(labels),
        stroke=alt.value({"expr": "panel"}),
        order=alt.Order("severity:Q"),
        tooltip=[
            alt.Tooltip("label:N"),
            alt.Tooltip("duration:N", title="trading days"),
            alt.Tooltip("spells:Q"),
        ],
    )
    return sized(chart.add_params(alt.param("panel", value=LIGHT.panel)), 300)


def fan(labels: list[str], forecasts: list[Forecast]) -> alt.TopLevelMixin:
    """The distribution over the labels, by days ahead."""
    areas = _by_severity(labels, _values(forecasts, ("horizon", "label", "probability")))
    scale = alt.Scale(nice=False, domain=[0, max(each.horizon for each in forecasts)])
    axis = alt.Axis(values=[0, 5, 10, 21, 42, 63], labelFlush=True)
    chart = areas.mark_area().encode(
        x=alt.X("horizon:Q", title="trading days ahead", scale=scale, axis=axis),
        y=share("probability:Q"),
        color=colour(labels),
        order=alt.Order("severity:Q"),
        tooltip=[
            alt.Tooltip("label:N"),
            alt.Tooltip("horizon:Q", title="days ahead"),
            alt.Tooltip("probability:Q", format=".1%"),
        ],
    )
    return sized(chart, 230)


def analogues(rows: list[Analogue]) -> alt.TopLevelMixin:
    """The returns after each analogue. rows: nearest first"""
    values = [
        {
            "name": f"{row.as_of_date:%Y-%m-%d}",
            "label": row.regime_label,
            "days": f"{days} days on",
            "return": later_return,
        }
        for row in rows
        for days, later_return in ((21, row.next_21_days_return), (63, row.next_63_days_return))
        if later_return is not None
    ]
    names = list(dict.fromkeys(str(value["name"]) for value in values))
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("return:Q", title="return", axis=alt.Axis(format="+.0%", tickCount=5, grid=True)),
        y=alt.Y("name:N", title=None, sort=names, axis=label_axis()),
    )
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    scale = alt.Scale(domain=["21 days on", "63 days on"], range=["circle", "triangle-up"])
    legend = alt.Legend(orient="top", title=None, symbolSize=70)
    points = base.mark_point(size=70, opacity=1, strokeWidth=1.5).encode(
        shape=alt.Shape("days:N", scale=scale, legend=legend),
        tooltip=[
            alt.Tooltip("name:N", title="window up to"),
            alt.Tooltip("label:N"),
            alt.Tooltip("days:N", title="after"),
            alt.Tooltip("return:Q", format="+.1%"),
        ],
    )
    return sized(alt.layer(zero, points), 26 * max(4, len(rows)))


def calibration(rows: list[Calibration]) -> alt.TopLevelMixin:
    """What was forecast against how often it came true."""
    unit = alt.Scale(domain=[0, 1])
    corners = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    diagonal = corners.mark_line(strokeDash=[3, 3], strokeWidth=1, opacity=0.6).encode(
        x=alt.X("x:Q", scale=unit), y=alt.Y("y:Q", scale=unit)
    )
    base = alt.Chart(_values(rows, ("forecast", "realised", "forecasts"))).encode(
        x=alt.X("forecast:Q", title="forecast", axis=alt.Axis(format=".0%", tickCount=5)),
        y=alt.Y("realised:Q", title="came true", axis=alt.Axis(format=".0%", tickCount=5)),
        tooltip=[
            alt.Tooltip("forecast:Q", title="forecast", format=".1%"),
            alt.Tooltip("realised:Q", title="came true", format=".1%"),
            alt.Tooltip("forecasts:Q", title="forecasts", format=","),
        ],
    )
    points = base.mark_circle(opacity=1).encode(
        size=alt.Size("forecasts:Q", scale=alt.Scale(range=[40, 400], zero=True), legend=None)
    )
    return sized(alt.layer(diagonal, base.mark_line(strokeWidth=1.5), points), 230)


def _by_severity(labels: list[str], values: alt.Data) -> alt.Chart:
    """A chart to stack by severity, which is 0 for the calmest label."""
    return alt.Chart(values).transform_calculate(
        severity=f"indexof({json.dumps(labels)}, datum.label)"
    )


def _values(rows: Sequence[object], fields: Sequence[str]) -> alt.Data:
    return alt.Data(values=[{field: getattr(row, field) for field in fields} for row in rows])
