"""Small pictures of a price with its regimes, in plain SVG: no script draws them."""

import math

from regime_engine.report.contents import Day


def spark(labels: list[str], days: list[Day], width: int, height: int) -> str:
    """The price of the days as a line on a log scale, over bands in the colours of the labels.

    The colours are the custom properties --label-0 … of the page.
    """
    across = width / max(len(days), 1)
    bands: list[list[str]] = [[] for _ in labels]
    begin = 0
    for place, day in enumerate(days):
        if place + 1 < len(days) and days[place + 1].regime_label == day.regime_label:
            continue
        if day.regime_label in labels:
            left, right = round(across * begin), round(across * (place + 1))
            band = f"M{left} 0H{right}V{height}H{left}z"
            bands[labels.index(day.regime_label)].append(band)
        begin = place + 1
    drawn = "".join(
        f'<path d="{"".join(band)}" style="fill:var(--label-{place})"/>'
        for place, band in enumerate(bands)
        if band
    )
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
        f' aria-hidden="true">{drawn}{_line(days, across, width, height)}</svg>'
    )


def _line(days: list[Day], across: float, width: int, height: int) -> str:
    """The line of the price, with a point for every second pixel."""
    step = max(1, 2 * len(days) // width)
    points = [
        (across * (place + 0.5), math.log(day.close))
        for place, day in enumerate(days)
        if day.close is not None
        and 0 < day.close < math.inf
        and (place % step == 0 or place + 1 == len(days))
    ]
    if not points:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    scale = (height - 4) / ((high - low) or 1)
    line = " ".join(f"{x:.0f},{height - 2 - scale * (y - low):.1f}" for x, y in points)
    return f'<polyline points="{line}"/>'
