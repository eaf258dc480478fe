"""The report as one HTML file that asks nothing of the network, or as a picture."""

import base64
import contextlib
import hashlib
import math
import os
from datetime import UTC, date, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import altair as alt
import jinja2
import vl_convert

from regime_engine import __version__
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.report import charts
from regime_engine.report.contents import CALIBRATED_HORIZON, Record, RegionReport, Report

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PICTURE_SCALE = 2
MISSING = "–"


def html(report: Report, settings: Settings) -> str:
    """The page. All values are escaped, and its policy allows no script but its own."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("regime_engine.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "percent": percent,
        "signed": lambda value: percent(value, signed=True),
        "number": number,
        "moment": moment,
        "blank": lambda value: MISSING if value is None else value,
    }
    n_labels = max(len(region.labels) for region in report.regions)
    scripts = [
        _bundle(settings),
        environment.loader.get_source(environment, "page.js")[0],
    ]
    return environment.get_template("page.html").render(
        report=report,
        regions=[
            {"report": region, "data": _data(region)} | _told(region) for region in report.regions
        ],
        themes={
            "light": _theme(charts.LIGHT, n_labels),
            "dark": _theme(charts.DARK, n_labels),
        },
        variables=_variables,
        failed=any(verdict.status == "fail" for verdict in report.verdicts or ()),
        css=environment.loader.get_source(environment, "page.css")[0],
        scripts=scripts,
        policy=_policy(scripts),
        version=__version__,
    )


def png(report: Report) -> bytes:
    """Price, bands and lanes of the regions, one below the other, for a chat or a mail."""
    regions = []
    for region in report.regions:
        now = region.now
        data = _data(region)
        subtitle = (
            f"{now['as_of_date']}: {now['regime_label']}, confidence {percent(now['confidence'])}"
            f"{'' if _since(region) is None else f', since {_since(region)}'}"
        )
        rows = _rows(data["days"])
        regions.append((_title(region), subtitle, region.labels, rows, data["spells"]))
    first = min(region.days[0]["as_of_date"] for region in report.regions)
    last = max(region.days[-1]["as_of_date"] for region in report.regions)
    n_labels = max(len(region.labels) for region in report.regions)
    spec = charts.picture(regions, first, last).to_dict()
    spec["config"] = charts.theme(charts.LIGHT, n_labels) | {"padding": 24}
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=PICTURE_SCALE)


def write(path: Path, content: bytes) -> None:
    """Whole or not at all; a file that is there is replaced.

    raises RegimeError where the file cannot be written
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RegimeError(
            f"{path} cannot be written ({error.strerror}): name another file, in a folder that "
            "is there and that you may write to"
        ) from error


def percent(value: float | None, digits: int = 1, signed: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:{'+' if signed else ''}.{digits}%}".replace("-", "−")


def number(value: float | None, digits: int = 0) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.{digits}f}".replace("-", "−")


def moment(value: datetime | None) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if value else MISSING


def _title(region: RegionReport) -> str:
    return f"{region.series.region} · {region.description or region.now['instrument_id']}"


def _since(region: RegionReport) -> date | None:
    """First day of the label that stands; None in the series' first spell."""
    last = region.spells[-1]
    return last["start_date"] if last["entered_from_label"] else None


def _data(region: RegionReport) -> Record:
    """What the scripts read: days column by column, since names would be most of a row."""
    labels = region.labels
    days = region.days
    probabilities = [day["probabilities"] for day in days]
    columns: dict[str, list] = {
        "date": [(day["as_of_date"] - date(1970, 1, 1)).days for day in days],
        "label": [_place(labels, day["regime_label"]) for day in days],
        "confidence": [_rounded(day["confidence"], 4) for day in days],
        "close": [_significant(day["close"]) for day in days],
        "drawdown": [_rounded(day["drawdown"], 4) for day in days],
        "novelty": [_rounded(day["novelty"], 1) for day in days],
    }
    for place, label in enumerate(labels):
        columns[f"p{place}"] = [
            None if each is None else _rounded(each.get(label, 0), 4) for each in probabilities
        ]
    first, last = days[0]["as_of_date"], days[-1]["as_of_date"]
    nexts = [spell["start_date"] for spell in region.spells[1:]]
    drawn = charts.over_time(labels, first, last) | _of_rows(region)
    return {
        "region": region.series.region,
        "labels": labels,
        "days": columns,
        "spells": [
            {
                "label": spell["regime_label"],
                "start": charts.milliseconds(spell["start_date"]),
                "until": charts.milliseconds(until),
            }
            for spell, until in zip(region.spells, [*nexts, last], strict=True)
        ],
        "specs": {name: chart.to_dict() for name, chart in drawn.items()},
    }


def _of_rows(region: RegionReport) -> dict[str, alt.TopLevelMixin]:
    """The charts of few rows; those that have any."""
    labels = region.labels
    drawn = {
        "matrix": (region.matrix, lambda rows: charts.matrix(labels, rows)),
        "profile": (region.profile, lambda rows: charts.profile(labels, rows)),
        "durations": (_closed(region), lambda rows: charts.durations(labels, rows)),
        "fan": (region.forecast, lambda rows: charts.fan(labels, rows)),
        "calibration": (region.calibration, charts.calibration),
        "analogues": (region.analogues, charts.analogues),
    }
    return {name: draw(rows) for name, (rows, draw) in drawn.items() if rows}


def _told(region: RegionReport) -> Record:
    """What the template says of a region, beyond its rows."""
    occurring = {row["from_label"] for row in region.matrix}
    cells = {(row["from_label"], row["to_label"]): row for row in region.matrix}
    labels = [label for label in region.labels if label in occurring]
    faults = [check for check in region.checks if check["is_fault"] and check["found"]]
    return {
        "title": _title(region),
        "now": region.now,
        "since": _since(region),
        "probabilities": [
            (place, label, (region.now["probabilities"] or {}).get(label, 0))
            for place, label in enumerate(region.labels)
        ],
        "place": {label: place for place, label in enumerate(region.labels)},
        "first": region.days[0]["as_of_date"],
        "last": region.days[-1]["as_of_date"],
        "occurring": labels,
        "cells": cells,
        "profile": sorted(region.profile, key=lambda row: _place(labels, row["regime_label"])),
        "durations": charts.counted_durations(labels, _closed(region)),
        "faults": faults,
        "parameters": _parameters(region.version),
        "forecast": _by_horizon(region.forecast),
        "calibration_told": _calibration_told(region.calibration),
    }


def _by_horizon(rows: list[Record]) -> list[Record]:
    """One row a horizon: its probability of a change, and of each label."""
    return [
        {
            "horizon": horizon,
            "change": labels[0]["probability_of_change"],
            "by_label": {row["label"]: row["probability"] for row in labels},
        }
        for horizon, group in groupby(rows, lambda row: row["horizon"])
        for labels in [list(group)]
    ]


def _calibration_told(rows: list[Record]) -> str:
    forecasts = sum(row["forecasts"] for row in rows)
    return (
        f"{number(forecasts)} forecasts of a label {CALIBRATED_HORIZON} days ahead, each from what "
        "was stored up to its day: those on the dashed line come true as often as they say."
    )


def _closed(region: RegionReport) -> list[Record]:
    return [spell for spell in region.spells if not spell["is_open"]]


def _parameters(version: Record) -> list[tuple[str, list[str]]]:
    """Name and values of the parameters that are a number, or one a label; and the metrics."""
    labels = version["labels"] or []
    told = []
    for group in ("parameters", "metrics"):
        for name, value in (version[group] or {}).items():
            values = value if isinstance(value, list) else [value]
            if all(isinstance(each, (int, float, str)) for each in values) and (
                len(values) == 1 or len(values) == len(labels)
            ):
                shown = [f"{each:.4g}" if isinstance(each, float) else str(each) for each in values]
                told.append((name.replace("_", " "), shown))
    return told


def _theme(palette: Record, n_labels: int) -> Record:
    return {
        "palette": palette | {"labels": charts.colours(palette["labels"], n_labels)},
        "config": charts.theme(palette, n_labels),
    }


def _variables(palette: Record) -> str:
    """A palette as CSS custom properties."""
    names = ("page", "panel", "text", "muted", "line", "accent", "good", "bad")
    labels = (f"--label-{place}: {colour}" for place, colour in enumerate(palette["labels"]))
    return "; ".join([*(f"--{name}: {palette[name]}" for name in names), *labels])


def _rows(columns: dict[str, list]) -> list[Record]:
    """The days row by row, with dates in milliseconds."""
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [row | {"date": row["date"] * 86_400_000} for row in rows]


def _place(labels: list[str], label: str | None) -> int | None:
    return labels.index(label) if label in labels else None


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _significant(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _policy(scripts: list[str]) -> str:
    """A Content-Security-Policy under which nothing is fetched and no other script runs.

    unsafe-eval: Vega compiles the expressions of its charts
    """
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    )
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _bundle(settings: Settings) -> str:
    """Vega, Vega-Lite and Vega-Embed in one script. Making it takes seconds, so it is kept."""
    name = f"vega-{VEGA_LITE}-{version('vl-convert-python')}.js"
    kept = settings.cache_directory / "report" / name
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    bundle = bundle.replace("</script", "<\\/script")
    # Without a place to keep it, it is made anew next time.
    with contextlib.suppress(OSError, RegimeError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write(kept, bundle.encode())
    return bundle
