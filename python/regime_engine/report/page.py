"""The report as one HTML file that requests nothing from the network, or as a picture."""

import base64
import contextlib
import errno
import hashlib
import math
import os
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert

from regime_engine import __version__
from regime_engine.charts import over_time
from regime_engine.charts.elements import DAY, milliseconds
from regime_engine.charts.palette import DARK, LIGHT, Palette, colours, readable, theme
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.report import months, panels
from regime_engine.report.contents import CALIBRATED_HORIZON, RegionReport, Report
from regime_engine.report.tables import minus, moment, number, percent, signed, tables, text

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PICTURE_SCALE = 2
# A chart over time → the column without which it is left out.
EMPTY_WITHOUT = {"drawdown": "drawdown", "novelty": "novelty", "volatility": "expected"}
# Days ahead for which the page says how likely a change of label is.
CHANGE_HORIZONS = (5, 21, 63)

MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def html(report: Report, settings: Settings) -> str:
    """The page. All values are escaped, and its policy allows no script but its own."""
    loader = jinja2.PackageLoader("regime_engine.report", "templates")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    for shown in (percent, signed, number, minus, moment, text):
        environment.filters[shown.__name__] = shown
    n_labels = max(len(region.labels) for region in report.regions)
    script, *_ = loader.get_source(environment, "page.js")
    css, *_ = loader.get_source(environment, "page.css")
    scripts = [_bundle(settings), script]
    return environment.get_template("page.html").render(
        report=report,
        regions=[_template_values(region) for region in report.regions],
        calibrated_horizon=CALIBRATED_HORIZON,
        month_names=MONTH_NAMES,
        themes={"light": _theme(LIGHT, n_labels), "dark": _theme(DARK, n_labels)},
        variables=_variables,
        failed=any(verdict.status == "fail" for verdict in report.verdicts or ()),
        css=css,
        scripts=scripts,
        policy=_policy(scripts),
        version=__version__,
    )


def png(report: Report) -> bytes:
    """Price, bands and lanes of the regions, one below the other, for a chat or a mail."""
    drawn = [
        (alt.TitleParams(_title(region), subtitle=_subtitle(region)), region.labels)
        for region in report.regions
    ]
    datasets: dict[str, list[dict[str, object]]] = {}
    for place, region in enumerate(report.regions):
        datasets[f"days_{place}"] = [
            {"date": milliseconds(day.as_of_date), "close": day.close} for day in region.days
        ]
        datasets[f"spells_{place}"] = _spells(region)
    first = min(region.days[0].as_of_date for region in report.regions)
    last = max(region.days[-1].as_of_date for region in report.regions)
    n_labels = max(len(region.labels) for region in report.regions)
    # The rows are added to Altair's result: Altair itself would copy them many times.
    spec = over_time.picture(drawn, first, last).to_dict(validate=False) | {
        "datasets": datasets,
        "config": theme(LIGHT, n_labels) | {"padding": 24},
    }
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=PICTURE_SCALE)


def write(path: Path, content: bytes) -> None:
    """Write a whole file or none. A file of that name is replaced.

    raises RegimeError if the file cannot be written
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
            "exists and that you may write to"
        ) from error


def _title(region: RegionReport) -> str:
    voted = region.version.classifier == "vote"
    what = region.description or ("vote of the regions" if voted else region.latest.instrument_id)
    return f"{region.series.region} · {what}"


def _subtitle(region: RegionReport) -> str:
    latest, since = region.latest, _since(region)
    return (
        f"{latest.as_of_date}: {latest.regime_label}, confidence {percent(latest.confidence)}"
        f"{f', since {since}' if since else ''}"
    )


def _since(region: RegionReport) -> date | None:
    """First day of the current label; None in the series' first spell."""
    last = region.spells[-1]
    return last.start_date if last.entered_from_label else None


def _data(region: RegionReport) -> dict[str, object]:
    """What the scripts read. The days stand column by column: names would be most of each row."""
    labels = region.labels
    days = region.days
    columns: dict[str, list[Any]] = {
        "date": [(day.as_of_date - date(1970, 1, 1)).days for day in days],
        "label": [_place(labels, day.regime_label) for day in days],
        "confidence": [_rounded(day.confidence, 4) for day in days],
        "close": [_significant(day.close) for day in days],
        "drawdown": [_rounded(day.drawdown, 4) for day in days],
        "novelty": [_rounded(day.novelty, 1) for day in days],
        "expected": [_rounded(day.expected_volatility, 4) for day in days],
        "came": [_rounded(day.realised_volatility_21_days_after, 4) for day in days],
    }
    for place, label in enumerate(labels):
        columns[f"p{place}"] = [
            _rounded(day.probabilities.get(label, 0), 4) if day.probabilities else None
            for day in days
        ]
    wealth = _wealth(region)
    compared = [name for name in over_time.WEALTH if any(wealth[name])]
    drawn = over_time.over_time(labels, days[0].as_of_date, days[-1].as_of_date, compared)
    for name, column in EMPTY_WITHOUT.items():
        if not any(value is not None for value in columns[column]):
            del drawn[name]
    drawn |= _small_charts(region)
    return {
        "region": region.series.region,
        "labels": labels,
        "days": columns,
        "spells": _spells(region),
        "wealth": wealth,
        "specs": {name: chart.to_dict(validate=False) for name, chart in drawn.items()},
    }


def _spells(region: RegionReport) -> list[dict[str, object]]:
    """The spells of the charts: each ends where the next begins, the last one with its last day."""
    starts = [milliseconds(spell.start_date) for spell in region.spells]
    ends = [*starts[1:], milliseconds(region.latest.as_of_date) + DAY]
    return [
        {"label": spell.regime_label, "start": start, "until": until}
        for spell, start, until in zip(region.spells, starts, ends, strict=True)
    ]


def _wealth(region: RegionReport) -> dict[str, list[Any]]:
    weeks = region.performance.wealth if region.performance else []
    return {
        "date": [(week.as_of_date - date(1970, 1, 1)).days for week in weeks],
        "rule": [_significant(week.rule) for week in weeks],
        "market": [_significant(week.market) for week in weeks],
        "benchmark": [_significant(week.benchmark) for week in weeks],
    }


def _small_charts(region: RegionReport) -> dict[str, alt.TopLevelMixin]:
    """The charts that carry their own rows; a chart without rows is left out."""
    labels = region.labels
    cells = [cell for cell in region.matrix if cell.probability is not None]
    profiles = [each for each in region.profile if each.annualised_volatility is not None]
    drawn: dict[str, alt.TopLevelMixin] = {}
    if cells:
        drawn["matrix"] = panels.matrix(labels, cells)
    if profiles:
        drawn["profile"] = panels.profile(labels, profiles)
    if region.closed_spells:
        drawn["durations"] = panels.durations(labels, region.closed_spells)
    if region.forecast:
        drawn["fan"] = panels.fan(labels, region.forecast)
    if region.calibration:
        drawn["calibration"] = panels.calibration(region.calibration)
    if region.analogues:
        drawn["analogues"] = panels.analogues(region.analogues)
    return drawn


def _template_values(region: RegionReport) -> dict[str, object]:
    """What the template knows of a region: the fields of the report, and what is derived here."""
    return {
        **vars(region),
        "data": _data(region),
        "title": _title(region),
        "since": _since(region),
        "place": {label: place for place, label in enumerate(region.labels)},
        "first": region.days[0].as_of_date,
        "last": region.days[-1].as_of_date,
        "faults": [check for check in region.checks if check.is_fault and check.found],
        "changes": {
            each.horizon: each.probability_of_change
            for each in region.forecast
            if each.horizon in CHANGE_HORIZONS
        },
        "years": months.years(region.days, region.labels),
        "forecasts": sum(each.forecasts for each in region.calibration),
        "tables": tables(region),
    }


def _theme(palette: Palette, n_labels: int) -> dict[str, object]:
    labels = colours(palette.labels, n_labels)
    return {
        "palette": asdict(replace(palette, labels=labels)),
        "config": theme(palette, n_labels),
    }


def _variables(palette: dict[str, Any]) -> str:
    """A palette as CSS custom properties."""
    names = ("page", "panel", "text", "muted", "line", "accent", "good", "bad")
    inks = (palette["text"], palette["panel"])
    labels = (
        f"--label-{place}: {colour}; --on-label-{place}: {readable(colour, inks)}"
        for place, colour in enumerate(palette["labels"])
    )
    return "; ".join([*(f"--{name}: {palette[name]}" for name in names), *labels])


def _place(labels: list[str], label: str | None) -> int | None:
    return labels.index(label) if label in labels else None


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _significant(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _policy(scripts: list[str]) -> str:
    """A Content-Security-Policy: nothing is fetched, and no script runs but these.

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
    """Vega, Vega-Lite and Vega-Embed in one script, which takes seconds to make and is cached."""
    name = f"vega-{VEGA_LITE}-{version('vl-convert-python')}.js"
    kept = settings.cache_directory / "report" / name
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    bundle = bundle.replace("</script", "<\\/script")
    # If it cannot be kept, it is made again next time.
    with contextlib.suppress(OSError, RegimeError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write(kept, bundle.encode())
    return bundle
