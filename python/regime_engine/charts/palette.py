"""The colours of a page or a picture, and the Vega-Lite theme that is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Palette:
    """The colours of a page, as #rrggbb.

    labels: calmest first; the worse one is, the further its lightness from that of the panel, so
        that they differ for any eye and in print
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


LIGHT = Palette(
    labels=["#a3d3c2", "#74a0cb", "#bf5f0c", "#86103a"],
    page="#f6f7f9",
    panel="#ffffff",
    text="#16202c",
    muted="#566270",
    line="#dde2e8",
    accent="#1f5fa8",
    good="#1b7a4b",
    bad="#b3261e",
)

DARK = Palette(
    labels=["#1b5449", "#2f66a6", "#bd7118", "#ff7d70"],
    page="#0e1319",
    panel="#161d26",
    text="#e6ebf1",
    muted="#9aa7b5",
    line="#2b3643",
    accent="#7fb4ee",
    good="#6fd09b",
    bad="#ff8a80",
)

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


def colours(palette: Sequence[str], n: int) -> list[str]:
    """n colours from the first of the palette to its last, mixed if n is not the palette's size."""
    channels = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in palette])
    positions = np.arange(n) * (len(palette) - 1) / max(n - 1, 1)
    mixed = [np.interp(positions, range(len(palette)), channel) for channel in channels.T]
    return [
        "#" + "".join(f"{round(value):02x}" for value in colour)
        for colour in zip(*mixed, strict=True)
    ]


def fitted(palette: Palette, n_labels: int) -> Palette:
    """The palette with as many colours of labels."""
    return replace(palette, labels=colours(palette.labels, n_labels))


def by_variables(n_labels: int) -> Palette:
    """The palette of a page whose style sheet has the colours, as custom properties.

    Its charts take the reader's scheme, and that of print, without being drawn anew.
    """
    names = [field.name for field in fields(Palette) if field.name != "labels"]
    labels = [f"var(--label-{place})" for place in range(n_labels)]
    return Palette(labels=labels, **{name: f"var(--{name})" for name in names})


def readable(colour: str) -> str:
    """Black or white, whichever is read better on the colour: their contrast is at least 4.5."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """Of two colours, 1 to 21, as WCAG 2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """0 to 1, as WCAG 2 defines it."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def theme(palette: Palette) -> dict[str, object]:
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
        "range": {"category": palette.labels},
        "rect": {"color": palette.accent},
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
