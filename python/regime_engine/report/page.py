"""The report as one HTML file that asks nothing of the network, or as a picture."""

import base64
import contextlib
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
# Days ahead of which the page tells how likely another label is.
TOLD_HORIZONS = (5, 21, 63)


@dataclass(frozen=True)
class Table:
    """columns: heading, and whether it is of numbers; rows: as they are shown, each named first"""

    columns: list[tuple[str, bool]]
    rows: list[list[str]]


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
        "signed": signed,
        "number": number,
        "moment": moment,
        "text": text,
    }
    n_labels = max(len(region.labels) for region in report.regions)
    scripts = [
        _bundle(settings),
        environment.loader.get_source(environment, "page.js")[0],
    ]
    return environment.get_template("page.html").render(
        report=report,
        regions=[
            vars(region) | {"data": _data(region)} | _told(region) for region in report.regions
        ],
        calibrated_horizon=CALIBRATED_HORIZON,
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
    drawn, datasets = [], {}
    for place, region in enumerate(report.regions):
        now, since = region.now, _since(region)
        subtitle = (
            f"{now['as_of_date']}: {now['regime_label']}, confidence {percent(now['confidence'])}"
            f"{f', since {since}' if since else ''}"
        )
        drawn.append((_title(region), subtitle, region.labels))
        datasets[f"days_{place}"] = [
            {"date": charts.milliseconds(day["as_of_date"]), "close": day["close"]}
            for day in region.days
        ]
        datasets[f"spells_{place}"] = _spells(region)
    first = min(region.days[0]["as_of_date"] for region in report.regions)
    last = max(region.days[-1]["as_of_date"] for region in report.regions)
    n_labels = max(len(region.labels) for region in report.regions)
    # The rows are put in behind Altair's back, which would copy them many times over.
    spec = charts.picture(drawn, first, last).to_dict(validate=False) | {
        "datasets": datasets,
        "config": charts.theme(charts.LIGHT, n_labels) | {"padding": 24},
    }
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


def signed(value: float | None) -> str:
    return percent(value, signed=True)


def text(value: object) -> str:
    return MISSING if value is None else str(value)


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
    drawn = charts.over_time(labels, days[0]["as_of_date"], days[-1]["as_of_date"])
    return {
        "region": region.series.region,
        "labels": labels,
        "days": columns,
        "spells": _spells(region),
        "specs": {
            name: chart.to_dict(validate=False)
            for name, chart in (drawn | _of_rows(region)).items()
        },
    }


def _spells(region: RegionReport) -> list[Record]:
    """Each up to the day on which the next begins, the last one up to the last day."""
    ends = [spell["start_date"] for spell in region.spells[1:]] + [region.days[-1]["as_of_date"]]
    return [
        {
            "label": spell["regime_label"],
            "start": charts.milliseconds(spell["start_date"]),
            "until": charts.milliseconds(until),
        }
        for spell, until in zip(region.spells, ends, strict=True)
    ]


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
    return {
        "title": _title(region),
        "since": _since(region),
        "place": {label: place for place, label in enumerate(region.labels)},
        "first": region.days[0]["as_of_date"],
        "last": region.days[-1]["as_of_date"],
        "faults": [check for check in region.checks if check["is_fault"] and check["found"]],
        "changes": [
            (row["horizon"], row["probability_of_change"])
            for row in region.forecast
            if row["label"] == region.labels[0] and row["horizon"] in TOLD_HORIZONS
        ],
        "forecasts": sum(row["forecasts"] for row in region.calibration),
        "tables": _tables(region),
    }


def _tables(region: RegionReport) -> dict[str, Table]:
    """The numbers of the charts, and what is shown as numbers alone; by name of the panel."""
    return {
        "spells": _table(
            region.spells[::-1],
            ("Label", "regime_label", text),
            ("From", "start_date", text),
            ("To", lambda row: "open" if row["is_open"] else row["end_date"], text),
            ("Trading days", "trading_days", number),
            ("Mean confidence", "mean_confidence", percent),
            ("Return", "total_return", signed),
            ("Volatility", "annualised_volatility", percent),
            ("Worst drawdown", "worst_drawdown", percent),
        ),
        "matrix": _matrix_table(region.matrix),
        "forecast": _forecast_table(region),
        "profile": _table(
            sorted(region.profile, key=lambda row: _place(region.labels, row["regime_label"])),
            ("Label", "regime_label", text),
            ("Days", "days", number),
            ("Share", "share_of_days", percent),
            ("Return", "annualised_return", signed),
            ("Volatility", "annualised_volatility", percent),
            ("Worst day", "worst_day_return", percent),
            ("Up after 21 days", "hit_rate_21_days", percent),
        ),
        "durations": _durations_table(region),
        "analogues": _table(
            region.analogues,
            ("Window up to", "as_of_date", text),
            ("Label", "regime_label", text),
            ("Distance", "distance", lambda value: number(value, 2)),
            ("21 days on", "next_21_days_return", signed),
            ("63 days on", "next_63_days_return", signed),
        ),
        "parameters": _parameters(region.version),
        "calibration": _table(
            region.calibration,
            ("Forecast", "forecast", percent),
            ("Came true", "realised", percent),
            ("Forecasts", "forecasts", number),
        ),
        "runs": _table(
            region.runs,
            ("Started", "started_at", moment),
            ("Command", "command", text),
            ("Status", "status", text),
            ("By", "database_user", text),
            ("Run", "run_id", text),
            ("Seconds", "seconds", lambda value: number(value, 1)),
            ("Regimes in force", "regimes_in_force", number),
            ("Replaced since", "rows_replaced_since", number),
        ),
    }


def _table(
    rows: Sequence[Record],
    *columns: tuple[str, str | Callable[[Record], object], Callable[[object], str]],
) -> Table:
    """columns: a heading, the column of the row or what is made of the row, and how it is told"""
    return Table(
        [(heading, told not in (text, moment)) for heading, _, told in columns],
        [
            [
                told(row[value] if isinstance(value, str) else value(row))
                for _, value, told in columns
            ]
            for row in rows
        ],
    )


def _matrix_table(rows: list[Record]) -> Table:
    cells = {(row["from_label"], row["to_label"]): row["probability"] for row in rows}
    stays = [row for row in rows if row["from_label"] == row["to_label"]]

    def to(label: str) -> Callable[[Record], object]:
        return lambda row: cells[row["from_label"], label]

    return _table(
        stays,
        ("From", "from_label", text),
        *((f"to {row['to_label']}", to(row["to_label"]), percent) for row in stays),
        ("Expected days", "expected_duration", lambda value: number(value, 1)),
        ("Share in the long run", "stationary_share", percent),
        ("Share observed", "observed_share", percent),
    )


def _forecast_table(region: RegionReport) -> Table:
    rows = [
        {row["label"]: row["probability"] for row in labels}
        | {"horizon": horizon, "change": labels[0]["probability_of_change"]}
        for horizon, group in groupby(region.forecast, lambda row: row["horizon"])
        for labels in [list(group)]
    ]
    labels = dict.fromkeys(row["label"] for row in region.forecast)
    return _table(
        rows,
        ("Days ahead", "horizon", number),
        *((label, label, percent) for label in labels),
        ("Another by then", "change", percent),
    )


def _durations_table(region: RegionReport) -> Table:
    counted = charts.counted_durations(region.labels, _closed(region))
    rows = [
        {row["label"]: row["spells"] for row in labels} | {"duration": duration}
        for duration, group in groupby(counted, lambda row: row["duration"])
        for labels in [list(group)]
    ]
    columns = ((label, label, number) for label in region.labels)
    return _table(rows, ("Trading days", "duration", text), *columns)


def _closed(region: RegionReport) -> list[Record]:
    return [spell for spell in region.spells if not spell["is_open"]]


def _parameters(version: Record) -> Table:
    """The parameters and metrics that are a number, or one a label."""
    labels = version["labels"] or []
    rows = []
    for group in ("parameters", "metrics"):
        for name, value in (version[group] or {}).items():
            values = value if isinstance(value, list) else [value]
            if all(isinstance(each, (int, float, str)) for each in values) and (
                len(values) in (1, len(labels))
            ):
                told = [f"{each:.4g}" if isinstance(each, float) else str(each) for each in values]
                rows.append([name.replace("_", " "), *told, *[""] * (len(labels) - len(told))])
    return Table([("Parameter", False), *((label, True) for label in labels)], rows)


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
