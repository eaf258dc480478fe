"""The charts over time.

Several charts share the days and the spells: these are named data sets, and a page has each once.
The colours are those of the theme, so that one chart serves light and dark.
"""

import json
from collections.abc import Collection
from datetime import date

import altair as alt

from regime_engine.charts.elements import DAY, axis, colour, label_axis, milliseconds, share, sized
from regime_engine.charts.palette import LIGHT

# What the chart of wealth compares, the last on top: column → its colour in a palette, its dashes
WEALTH = {"market": ("text", [1, 0]), "benchmark": ("muted", [5, 3]), "rule": ("accent", [1, 0])}


def over_time(
    labels: list[str], first: date, last: date, compared: Collection[str] = WEALTH
) -> dict[str, alt.TopLevelMixin]:
    """The charts over time, by name: price, lanes, probabilities, volatility, wealth, drawdown,
    novelty. The lanes have the time axis of the price, which is drawn above them.

    Data sets: days (date, close, drawdown, novelty, p0 … in the order of labels; expected and came
    of the volatility), spells (label, start, until) and wealth (date, rule, market, benchmark).
    compared: the columns of wealth that have values; without any there is no chart of it
    Parameters: from, to, cursor, marked_from and marked_to, in milliseconds since 1970; text,
    muted and accent, colours.
    """
    days, spells = alt.NamedData("days"), alt.NamedData("spells")
    nothing = alt.Chart(alt.Data(values=[{}]))
    cursor = nothing.mark_rule(strokeWidth=1, clip=True).encode(
        x=alt.XDatum({"expr": "cursor"}, type="temporal")
    )
    stretch = (
        nothing.transform_calculate(start="marked_from", end="marked_to")
        .mark_rect(clip=True, opacity=0.2)
        .encode(x=_dates("start"), x2="end", color=alt.value({"expr": "accent"}))
    )
    params = [
        *_range(first, last),
        *(alt.param(name, value=0) for name in ("cursor", "marked_from", "marked_to")),
        *(alt.param(name, value=getattr(LIGHT, name)) for name in ("text", "muted", "accent")),
    ]

    def drawn(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int) -> alt.TopLevelMixin:
        return sized(alt.layer(chart, stretch, cursor).add_params(*params), height)

    charts = {
        "price": drawn(_price(labels, days, spells), 300),
        "lanes": drawn(_lanes(labels, spells), 26 * len(labels)),
        "probabilities": drawn(_probabilities(labels, days), 190),
        "volatility": drawn(_volatility(days), 190),
        "drawdown": drawn(_drawdown(days), 150),
        "novelty": drawn(_novelty(days), 120),
    }
    if compared:
        charts["wealth"] = drawn(_wealth(compared, alt.NamedData("wealth")), 230)
    return charts


def picture(
    regions: list[tuple[alt.TitleParams, list[str]]], first: date, last: date
) -> alt.VConcatChart:
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


def probabilities(title: alt.TitleParams, labels: list[str], first: date, last: date) -> alt.Chart:
    """The probabilities alone, with a legend. Data set: days."""
    legend = alt.Legend(orient="bottom", title=None)
    return (
        _probabilities(labels, alt.NamedData("days"))
        .encode(color=colour(labels).legend(legend))
        .properties(width=740, height=190, title=title)
        .add_params(*_range(first, last))
    )


def _price(
    labels: list[str], days: alt.NamedData, spells: alt.NamedData
) -> alt.LayerChart | alt.FacetChart:
    bands = alt.Chart(spells).mark_rect(clip=True, opacity=0.55)
    line = _in_sight(days, "datum.close > 0").mark_line(clip=True, strokeWidth=1.3)
    close = alt.Y(
        "close:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=axis(format=",", tickCount=5, values=_log_ticks()),
    )
    return alt.layer(
        bands.encode(x=_dates("start", axis=None), x2="until", color=colour(labels)),
        line.encode(x=_dates("date", axis=None), y=close),
    )


def _log_ticks() -> dict[str, str]:
    """Even steps where the values differ too little for the ticks of a log scale."""
    low, high = "domain('y')[0]", "domain('y')[1]"
    power = f"pow(10, floor(log({high} - {low}) / LN10))"
    steps = f"({high} - {low}) / {power}"
    step = f"({power} * ({steps} < 2 ? 0.2 : {steps} < 5 ? 0.5 : 2))"
    even = f"sequence(ceil({low} / {step}) * {step}, {high}, {step})"
    return {"expr": f"{high} < 4 * {low} ? {even} : null"}


def _lanes(labels: list[str], spells: alt.NamedData) -> alt.Chart:
    lane = alt.Y(
        "label:N",
        title=None,
        sort=labels[::-1],
        scale=alt.Scale(domain=labels[::-1], paddingInner=0.25, paddingOuter=0.1),
        axis=label_axis(grid=True, tickBand="extent"),
    )
    bars = alt.Chart(spells).mark_rect(clip=True)
    return bars.encode(x=_dates("start"), x2="until", y=lane, color=colour(labels))


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
        y=share("probability:Q"),
        color=colour(labels),
        order=alt.Order("severity:Q"),
    )


def _volatility(days: alt.NamedData) -> alt.LayerChart | alt.FacetChart:
    """What was expected as a line over the area of what came, so that print tells them apart."""
    shares = axis(format=".0%", tickCount=5)
    came = _in_sight(days, "isValid(datum.came)").mark_area(clip=True, opacity=0.35)
    expected = _in_sight(days, "isValid(datum.expected)").mark_line(clip=True, strokeWidth=1.3)
    return alt.layer(
        came.encode(x=_dates("date"), y=alt.Y("came:Q", title=None, axis=shares)),
        expected.encode(x=_dates("date"), y=alt.Y("expected:Q", title=None, axis=shares)),
    )


def _wealth(compared: Collection[str], weeks: alt.NamedData) -> alt.LayerChart | alt.FacetChart:
    """What 1 became since the first week in sight."""
    growth = alt.Y(
        "growth:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=axis(format=".3~f", tickCount=5, values=_log_ticks()),
    )
    return alt.layer(
        *(
            _in_sight(weeks, f"isValid(datum.{column})")
            .transform_window(
                sort=[alt.SortField("date")], frame=[None, None], first=f"first_value({column})"
            )
            .transform_calculate(growth=f"datum.{column} / datum.first")
            .mark_line(clip=True, strokeWidth=1.6, strokeDash=dashes)
            .encode(x=_dates("date"), y=growth, stroke=alt.value({"expr": colour}))
            for column, (colour, dashes) in WEALTH.items()
            if column in compared
        )
    )


def _drawdown(days: alt.NamedData) -> alt.Chart:
    area = _in_sight(days, "isValid(datum.drawdown)")
    return area.mark_area(clip=True, opacity=0.35, line={"strokeWidth": 1}).encode(
        x=_dates("date"), y=alt.Y("drawdown:Q", title=None, axis=axis(format=".0%", tickCount=4))
    )


def _novelty(days: alt.NamedData) -> alt.Chart:
    line = _in_sight(days, "isValid(datum.novelty)").mark_line(clip=True, strokeWidth=1)
    percentiles = alt.Scale(domain=[0, 100])
    ticks = axis(values=[0, 50, 100])
    return line.encode(
        x=_dates("date"), y=alt.Y("novelty:Q", title=None, scale=percentiles, axis=ticks)
    )


def _in_sight(days: alt.NamedData, condition: str) -> alt.Chart:
    """A chart of the days in the range that is shown, so that the vertical axis fits them."""
    return alt.Chart(days).transform_filter(
        f"datum.date >= from && datum.date <= to && {condition}"
    )


_TIME_AXIS = alt.Axis(tickCount={"expr": "max(3, floor(width / 90))"}, labelOverlap=True)


def _dates(field: str, axis: alt.Axis | None = _TIME_AXIS) -> alt.X:
    """axis: None where another chart below has it"""
    scale = alt.Scale(type="utc", nice=False, domainMin={"expr": "from"}, domainMax={"expr": "to"})
    return alt.X(f"{field}:T", title=None, scale=scale, axis=axis)


def _range(first: date, last: date) -> list[alt.Parameter]:
    """The parameters from and to: the whole of both days is shown."""
    return [
        alt.param("from", value=milliseconds(first)),
        alt.param("to", value=milliseconds(last) + DAY),
    ]
