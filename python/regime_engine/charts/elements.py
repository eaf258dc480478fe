"""What the charts share: axes, colours, sizes, and time as Vega counts it."""

from datetime import date
from typing import Any

import altair as alt

# Pixels for the names of the labels; the same in all charts, so that their time axes are aligned.
AXIS_WIDTH = 66

DAY = 86_400_000  # milliseconds


def milliseconds(day: date) -> int:
    """Milliseconds since 1970, in which Vega counts time."""
    return (day - date(1970, 1, 1)).days * DAY


def share(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        stack="zero",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )


def colour(labels: list[str], field: str = "label") -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=labels), legend=None)


def label_axis(**options: Any) -> alt.Axis:
    return axis(ticks=False, domain=False, **options)


def axis(**options: Any) -> alt.Axis:
    """A vertical axis, as wide as all the others."""
    return alt.Axis(minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH, **options)


def sized(chart: alt.TopLevelMixin, height: int) -> alt.TopLevelMixin:
    return chart.properties(
        width="container",
        height=height,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
