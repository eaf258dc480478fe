"""The report as one HTML file that asks nothing of the network, or as a picture."""

import base64
import contextlib
import errno
import hashlib
import math
import os
from datetime import date
from importlib.metadata import version
from pathlib import Path

import altair as alt
import jinja2
import vl_convert

from regime_engine import __version__
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.report import charts
from regime_engine.report.contents import CALIBRATED_HORIZON, Record, RegionReport, Report
from regime_engine.report.tables import moment, number, percent, signed, tables, text

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PICTURE_SCALE = 2
# Days ahead of which the page tells how likely another label is.
TOLD_HORIZONS = (5, 21, 63)


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
    file = path.resolve()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "it is not a file")
        try:
            partial.write_bytes(content)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RegimeError(
            f"{path} cannot be written ({error.strerror}): name another file, in a folder that "
            "is there and that you may write to"
        ) from error


def _title(region: RegionReport) -> str:
    voted = region.version["classifier"] == "vote"
    what = region.description or ("vote of the regions" if voted else region.now["instrument_id"])
    return f"{region.series.region} · {what}"


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
            _rounded(each.get(label, 0), 4) if each else None for each in probabilities
        ]
    drawn = charts.over_time(labels, days[0]["as_of_date"], days[-1]["as_of_date"])
    for name in ("drawdown", "novelty"):
        if not any(value is not None for value in columns[name]):
            del drawn[name]
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
    """Each up to the day on which the next begins, the last one to the end of the last regime's."""
    ends = [charts.milliseconds(spell["start_date"]) for spell in region.spells[1:]]
    ends.append(charts.milliseconds(region.now["as_of_date"]) + charts.DAY)
    return [
        {
            "label": spell["regime_label"],
            "start": charts.milliseconds(spell["start_date"]),
            "until": until,
        }
        for spell, until in zip(region.spells, ends, strict=True)
    ]


def _of_rows(region: RegionReport) -> dict[str, alt.TopLevelMixin]:
    """The charts of few rows; those that have any."""
    labels = region.labels
    known = [row for row in region.matrix if row["probability"] is not None]
    profile = [row for row in region.profile if row["annualised_volatility"] is not None]
    drawn = {
        "matrix": (known, lambda rows: charts.matrix(labels, rows)),
        "profile": (profile, lambda rows: charts.profile(labels, rows)),
        "durations": (region.closed_spells, lambda rows: charts.durations(labels, rows)),
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
        "changes": {
            row["horizon"]: row["probability_of_change"]
            for row in region.forecast
            if row["horizon"] in TOLD_HORIZONS
        },
        "forecasts": sum(row["forecasts"] for row in region.calibration),
        "tables": tables(region),
    }


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
