"""The charts of a report, in Vega-Lite.

Several charts share the days and the spells: these are named data sets, and the page has each once.
A chart with few rows carries them itself. The colours are those of the theme, so that one chart
serves light and dark.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import altair as alt
import numpy as np

from regime_engine.reading.analogues import Analogue
from regime_engine.reading.forecast import Calibration, Forecast
from regime_engine.reading.matrix import Cell
from regime_engine.report.contents import Profile, Spell


@dataclass(frozen=True)
class Palette:
    """The colours of a page, as #rrggbb.

    labels: calmest first, ordered by lightness, so that the labels differ for any eye and in print
    ramp: of the transition matrix, from probability 0 to 1
    """

    labels: list[str]
    page: str
    panel: str
    text: str
    muted: str
    line: str
    accent: str
    good: str
    bad: str
    ramp: list[str]


@dataclass(frozen=True)
class SpellCount:
    """How many spells of a label had a duration, by its name in DURATIONS."""

    label: str
    duration: str
    spells: int


LIGHT = Palette(
    labels=["#cfe6df", "#8fb4d4", "#d2791e", "#7a0f3d"],
    page="#f6f7f9",
    panel="#ffffff",
    text="#16202c",
    muted="#566270",
    line="#dde2e8",
    accent="#1f5fa8",
    good="#1b7a4b",
    bad="#b3261e",
    ramp=["#f3f6fa", "#1f5fa8"],
)
DARK = Palette(
    labels=["#2c5a55", "#5b86b0", "#e59a3f", "#ffc4d4"],
    page="#0e1319",
    panel="#161d26",
    text="#e6ebf1",
    muted="#9aa7b5",
    line="#2b3643",
    accent="#7fb4ee",
    good="#6fd09b",
    bad="#ff8a80",
    ramp=["#1b2530", "#7fb4ee"],
)
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

# Pixels for the names of the labels; the same in all charts, so that their time axes are aligned.
AXIS_WIDTH = 66

DAY = 86_400_000  # milliseconds

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


def colours(palette: Sequence[str], n: int) -> list[str]:
    """n colours from the first of the palette to its last, mixed if n is not the palette's size."""
    channels = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in palette])
    positions = np.arange(n) * (len(palette) - 1) / max(n - 1, 1)
    mixed = [np.interp(positions, range(len(palette)), channel) for channel in channels.T]
    return [
        "#" + "".join(f"{round(value):02x}" for value in colour)
        for colour in zip(*mixed, strict=True)
    ]


def theme(palette: Palette, n_labels: int) -> dict[str, object]:
    """The Vega-Lite config of a palette."""
    axis = {
        "domainColor": palette.line,
        "gridColor": palette.line,
        "gridOpacity": 0.7,
        "tickColor": palette.line,
        "labelColor": palette.muted,
        "titleColor": palette.muted,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelPadding": 6,
    }
    return {
        "background": palette.panel,
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "axisX": {"grid": False},
        "range": {
            "category": colours(palette.labels, n_labels),
            "ramp": palette.ramp,
            "heatmap": palette.ramp,
        },
        "line": {"color": palette.text},
        "rule": {"color": palette.muted},
        "area": {"color": palette.muted},
        "circle": {"color": palette.accent},
        "point": {"color": palette.accent, "filled": True},
        "text": {"color": palette.text, "fontSize": 11},
        "legend": {"labelColor": palette.muted, "titleColor": palette.muted},
        "title": {
            "color": palette.text,
            "subtitleColor": palette.muted,
            "anchor": "start",
            "fontSize": 18,
            "subtitleFontSize": 13,
            "subtitlePadding": 6,
            "offset": 14,
        },
    }


def over_time(labels: list[str], first: date, last: date) -> dict[str, alt.TopLevelMixin]:
    """The charts over time, by name: price, lanes, probabilities, volatility, drawdown, novelty.

    Data sets: days (date, close, drawdown, novelty, p0 … in the order of labels; expected and came
    of the volatility) and spells (label, start, until). Parameters: from, to and cursor, in
    milliseconds since 1970.
    """
    days, spells = alt.NamedData("days"), alt.NamedData("spells")
    cursor = (
        alt.Chart(alt.Data(values=[{}]))
        .mark_rule(strokeWidth=1, clip=True)
        .encode(x=alt.XDatum({"expr": "cursor"}, type="temporal"))
    )
    params = [*_range(first, last), alt.param("cursor", value=0)]

    def drawn(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int) -> alt.TopLevelMixin:
        return _sized(alt.layer(chart, cursor).add_params(*params), height)

    return {
        "price": drawn(_price(labels, days, spells), 300),
        "lanes": drawn(_lanes(labels, spells), 26 * len(labels)),
        "probabilities": drawn(_probabilities(labels, days), 190),
        "volatility": drawn(_volatility(days), 190),
        "drawdown": drawn(_drawdown(days), 150),
        "novelty": drawn(_novelty(days), 120),
    }


def picture(
    regions: list[tuple[alt.TitleParams, list[str]]], first: date, last: date
) -> alt.TopLevelMixin:
    """Price, bands and lanes of each region, one below the other: for a PNG.

    regions: the title and the labels of each, calmest first
    Data sets: days_0, spells_0, days_1 …, in the order of the regions.
    """
    drawn = []
    for place, (title, labels) in enumerate(regions):
        days, spells = alt.NamedData(f"days_{place}"), alt.NamedData(f"spells_{place}")
        price = _price(labels, days, spells).properties(width=740, height=300)
        lanes = _lanes(labels, spells).properties(width=740, height=26 * len(labels))
        drawn.append(alt.vconcat(price, lanes, spacing=4, title=title))
    return alt.vconcat(*drawn, spacing=36).add_params(*_range(first, last))


def matrix(labels: list[str], cells: list[Cell]) -> alt.TopLevelMixin:
    """A square for each pair of labels, with its probability and count."""
    fields = ("from_label", "to_label", "probability", "transitions")
    above = alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False)
    base = alt.Chart(_values(cells, fields)).encode(
        x=alt.X("to_label:N", title="to", sort=labels, axis=above),
        y=alt.Y("from_label:N", title=None, sort=labels, axis=_label_axis()),
        tooltip=[
            alt.Tooltip("from_label:N", title="from"),
            alt.Tooltip("to_label:N", title="to"),
            alt.Tooltip("probability:Q", title="probability", format=".2%"),
            alt.Tooltip("transitions:Q", title="times", format=","),
        ],
    )
    ramp = alt.Scale(type="sqrt", domain=[0, 1], range="ramp")
    squares = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("probability:Q", scale=ramp, legend=None)
    )
    # On a dark square the text has the colour of the panel.
    ink = alt.condition(
        "datum.probability > 0.3", alt.value({"expr": "panel"}), alt.value({"expr": "ink"})
    )
    percent = base.mark_text(fontSize=13, fontWeight=600, dy=-7).encode(
        text=alt.Text("probability:Q", format=".1%"), color=ink
    )
    times = base.mark_text(fontSize=10, dy=9).encode(
        text=alt.Text("transitions:Q", format=","), color=ink
    )
    chart = alt.layer(squares, percent, times).add_params(
        alt.param("panel", value=LIGHT.panel), alt.param("ink", value=LIGHT.text)
    )
    return _sized(chart, 54 * len({cell.from_label for cell in cells}))


def profile(labels: list[str], profiles: list[Profile]) -> alt.TopLevelMixin:
    """Return against volatility: a named point for each label."""
    fields = ("regime_label", "annualised_return", "annualised_volatility", "days")
    axis = alt.Axis(format=".0%", tickCount=5)
    across = alt.Scale(zero=True, nice=False, padding=24)
    upward = alt.Scale(zero=True, nice=False, padding=32)
    base = alt.Chart(_values(profiles, fields)).encode(
        x=alt.X("annualised_volatility:Q", title="volatility, annual", axis=axis, scale=across),
        y=alt.Y("annualised_return:Q", title="return, annual", axis=axis, scale=upward),
        tooltip=[
            alt.Tooltip("regime_label:N", title="label"),
            alt.Tooltip("annualised_return:Q", title="return, annual", format=".1%"),
            alt.Tooltip("annualised_volatility:Q", title="volatility, annual", format=".1%"),
            alt.Tooltip("days:Q", title="days", format=","),
        ],
    )
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(strokeDash=[3, 3]).encode(y=alt.datum(0))
    points = base.mark_circle(opacity=1).encode(
        size=alt.Size("days:Q", scale=alt.Scale(range=[60, 700], zero=True), legend=None),
        color=_colour(labels, "regime_label"),
    )
    # Names stand above and below by turns: neighbours in severity are often neighbours here too.
    known = {profile.regime_label for profile in profiles}
    occurring = [label for label in labels if label in known]
    names = [
        base.transform_filter(alt.FieldOneOfPredicate("regime_label", turn))
        .mark_text(dy=dy, fontWeight=600)
        .encode(text="regime_label:N")
        for turn, dy in ((occurring[::2], -20), (occurring[1::2], 22))
        if turn
    ]
    return _sized(alt.layer(zero, points, *names), 230)


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
        color=_colour(labels),
        stroke=alt.value({"expr": "panel"}),
        order=alt.Order("severity:Q"),
        tooltip=[
            alt.Tooltip("label:N"),
            alt.Tooltip("duration:N", title="trading days"),
            alt.Tooltip("spells:Q"),
        ],
    )
    return _sized(chart.add_params(alt.param("panel", value=LIGHT.panel)), 230)


def fan(labels: list[str], forecasts: list[Forecast]) -> alt.TopLevelMixin:
    """The distribution over the labels, by days ahead."""
    areas = _by_severity(labels, _values(forecasts, ("horizon", "label", "probability")))
    scale = alt.Scale(nice=False, domain=[0, max(each.horizon for each in forecasts)])
    axis = alt.Axis(values=[0, 5, 10, 21, 42, 63], labelFlush=True)
    chart = areas.mark_area().encode(
        x=alt.X("horizon:Q", title="trading days ahead", scale=scale, axis=axis),
        y=_share("probability:Q"),
        color=_colour(labels),
        order=alt.Order("severity:Q"),
        tooltip=[
            alt.Tooltip("label:N"),
            alt.Tooltip("horizon:Q", title="days ahead"),
            alt.Tooltip("probability:Q", format=".1%"),
        ],
    )
    return _sized(chart, 230)


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
        y=alt.Y("name:N", title=None, sort=names, axis=_label_axis()),
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
    return _sized(alt.layer(zero, points), 26 * max(4, len(rows)))


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
    return _sized(alt.layer(diagonal, base.mark_line(strokeWidth=1.5), points), 230)


def _price(
    labels: list[str], days: alt.NamedData, spells: alt.NamedData
) -> alt.LayerChart | alt.FacetChart:
    bands = alt.Chart(spells).mark_rect(clip=True, opacity=0.55)
    line = _in_sight(days, "datum.close > 0").mark_line(clip=True, strokeWidth=1.3)
    close = alt.Y(
        "close:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=_axis(format=",", tickCount=5),
    )
    return alt.layer(
        bands.encode(x=_dates("start"), x2="until", color=_colour(labels)),
        line.encode(x=_dates("date"), y=close),
    )


def _lanes(labels: list[str], spells: alt.NamedData) -> alt.Chart:
    lane = alt.Y(
        "label:N",
        title=None,
        sort=labels[::-1],
        scale=alt.Scale(domain=labels[::-1], paddingInner=0.25, paddingOuter=0.1),
        axis=_label_axis(grid=True, tickBand="extent"),
    )
    bars = alt.Chart(spells).mark_rect(clip=True)
    return bars.encode(x=_dates("start"), x2="until", y=lane, color=_colour(labels))


def _probabilities(labels: list[str], days: alt.NamedData) -> alt.Chart:
    columns: list[str | alt.FieldName] = [f"p{place}" for place in range(len(labels))]
    areas = (
        _in_sight(days, "isValid(datum.p0)")
        .transform_fold(columns, as_=["column", "probability"])
        .transform_calculate(
            severity="toNumber(slice(datum.column, 1))",
            label=f"{json.dumps(labels)}[toNumber(slice(datum.column, 1))]",
        )
        .mark_area(clip=True)
    )
    return areas.encode(
        x=_dates("date"),
        y=_share("probability:Q"),
        color=_colour(labels),
        order=alt.Order("severity:Q"),
    )


def _volatility(days: alt.NamedData) -> alt.LayerChart | alt.FacetChart:
    """What was expected as a line over the area of what came, so that print tells them apart."""
    axis = _axis(format=".0%", tickCount=5)
    came = _in_sight(days, "isValid(datum.came)").mark_area(clip=True, opacity=0.35)
    expected = _in_sight(days, "isValid(datum.expected)").mark_line(clip=True, strokeWidth=1.3)
    return alt.layer(
        came.encode(x=_dates("date"), y=alt.Y("came:Q", title=None, axis=axis)),
        expected.encode(x=_dates("date"), y=alt.Y("expected:Q", title=None, axis=axis)),
    )


def _drawdown(days: alt.NamedData) -> alt.Chart:
    area = _in_sight(days, "isValid(datum.drawdown)")
    return area.mark_area(clip=True, opacity=0.35, line={"strokeWidth": 1}).encode(
        x=_dates("date"), y=alt.Y("drawdown:Q", title=None, axis=_axis(format=".0%", tickCount=4))
    )


def _novelty(days: alt.NamedData) -> alt.Chart:
    line = _in_sight(days, "isValid(datum.novelty)").mark_line(clip=True, strokeWidth=1)
    scale, axis = alt.Scale(domain=[0, 100]), _axis(values=[0, 50, 100])
    return line.encode(x=_dates("date"), y=alt.Y("novelty:Q", title=None, scale=scale, axis=axis))


def _in_sight(days: alt.NamedData, condition: str) -> alt.Chart:
    """A chart of the days in the range that is shown, so that the vertical axis fits them."""
    return alt.Chart(days).transform_filter(
        f"datum.date >= from && datum.date <= to && {condition}"
    )


def _by_severity(labels: list[str], values: alt.Data) -> alt.Chart:
    """A chart to stack by severity, which is 0 for the calmest label."""
    return alt.Chart(values).transform_calculate(
        severity=f"indexof({json.dumps(labels)}, datum.label)"
    )


def _dates(field: str) -> alt.X:
    return alt.X(
        f"{field}:T",
        title=None,
        scale=alt.Scale(
            type="utc", nice=False, domainMin={"expr": "from"}, domainMax={"expr": "to"}
        ),
        axis=alt.Axis(tickCount={"expr": "max(3, floor(width / 90))"}, labelOverlap=True),
    )


def _range(first: date, last: date) -> list[alt.Parameter]:
    """The parameters from and to: the whole of both days is shown."""
    return [
        alt.param("from", value=milliseconds(first)),
        alt.param("to", value=milliseconds(last) + DAY),
    ]


def milliseconds(day: date) -> int:
    """Milliseconds since 1970, in which Vega counts time."""
    return (day - date(1970, 1, 1)).days * DAY


def _share(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        stack="zero",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=_axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )


def _colour(labels: list[str], field: str = "label") -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=labels), legend=None)


def _label_axis(**options: Any) -> alt.Axis:
    return _axis(ticks=False, domain=False, **options)


def _axis(**options: Any) -> alt.Axis:
    """A vertical axis, as wide as all the others."""
    return alt.Axis(minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH, **options)


def _values(rows: Sequence[object], fields: Sequence[str]) -> alt.Data:
    return alt.Data(values=[{field: getattr(row, field) for field in fields} for row in rows])


def _sized(chart: alt.TopLevelMixin, height: int) -> alt.TopLevelMixin:
    return chart.properties(
        width="container",
        height=height,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
