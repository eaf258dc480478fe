"""What is kept of a region once it is read: its row of the overview, its panel, its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import altair as alt
import jinja2

from regime_engine import __version__
from regime_engine.charts import over_time
from regime_engine.charts.elements import DAY, milliseconds
from regime_engine.report import months, panels
from regime_engine.report.contents import CALIBRATED_HORIZON, Day, RegionReport, Shared
from regime_engine.report.sparks import spark
from regime_engine.report.tables import minus, moment, number, percent, signed, tables, text

# Days ahead for which the page says how likely a change of label is.
CHANGE_HORIZONS = (5, 21, 63)
# Of all regions together: the file stays below 6 MB, and the newest days are all there.
MOST_DAYS = 110_000
DAYS_A_WEEK = 5
SPARK_DAYS = 504
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Row:
    """A region's row in the overview. since: first day of the label, None in the first spell

    place: of the label, calmest first; spark: SVG
    """

    region: str
    title: str
    description: str
    label: str
    place: int
    confidence: float
    since: date | None
    first: date
    as_of_date: date
    last: date
    expected_volatility: float | None
    novelty: float | None
    suspicions: str | None
    faults: int
    spark: str


@dataclass(frozen=True)
class Section:
    """A region in the report.

    source: what the picture says of where it comes from
    panel: HTML; numbers: what the script reads; labels: calmest first
    days, spells: of the picture
    """

    row: Row
    source: str
    labels: list[str]
    panel: str
    numbers: dict[str, object]
    days: list[dict[str, object]]
    spells: list[dict[str, object]]

    @property
    def subtitle(self) -> str:
        row = self.row
        since = f", since {row.since}" if row.since else ""
        return f"{row.as_of_date}: {row.label}, confidence {percent(row.confidence)}{since}"


def section(region: RegionReport, shared: Shared) -> Section:
    """What the page and the picture show of a region."""
    spells = _spells(region)
    days = _kept(region.days, MOST_DAYS // shared.n_regions)
    wealth = _wealth(region, MOST_DAYS // shared.n_regions // DAYS_A_WEEK)
    charts = _charts(region, days, wealth)
    return Section(
        row=_row(region),
        source=_source(region, shared),
        labels=region.labels,
        panel=environment()
        .get_template("region.html")
        .render(_template_values(region, shared, days, charts)),
        numbers={
            "region": region.series.region,
            "labels": region.labels,
            "thinned": len(days) < len(region.days),
            "days": _columns(region.labels, days),
            "spells": spells,
            "wealth": wealth,
            "charts": charts,
        },
        days=[{"date": milliseconds(day.as_of_date), "close": day.close} for day in region.days],
        spells=spells,
    )


def _row(region: RegionReport) -> Row:
    latest = region.latest
    voted = region.version.classifier == "vote"
    what = region.description or ("vote of the regions" if voted else latest.instrument_id)
    assert latest.regime_label is not None
    assert latest.confidence is not None
    return Row(
        region=region.series.region,
        title=f"{region.series.region} · {what}",
        description=what,
        label=latest.regime_label,
        place=region.labels.index(latest.regime_label),
        confidence=latest.confidence,
        since=_since(region),
        first=region.days[0].as_of_date,
        as_of_date=latest.as_of_date,
        last=region.days[-1].as_of_date,
        expected_volatility=latest.expected_volatility,
        novelty=latest.novelty,
        suspicions=region.suspicions.summary if region.suspicions else None,
        faults=sum(1 for check in region.checks if check.is_fault and check.found),
        spark=spark(region.labels, region.days[-SPARK_DAYS:], width=160, height=32),
    )


def _source(region: RegionReport, shared: Shared) -> str:
    """Whose prices, whose model, and when."""
    latest, version = region.latest, region.version
    prices = f"Prices of {latest.instrument_id}" if latest.close is not None else "Votes of regions"
    model = f"{version.classifier or 'seed rule'}"
    if latest.model_version:
        model += f" version {latest.model_version}, trained to {version.trained_to}"
    written = f"written {shared.audit.written_at:%Y-%m-%d %H:%M} UTC"
    return f"{prices} · {model}, on {shared.model_id} · Regime Engine {__version__}, {written}"


def _since(region: RegionReport) -> date | None:
    """First day of the current label; None in the series' first spell."""
    last = region.spells[-1]
    return last.start_date if last.entered_from_label else None


def _kept(days: list[Kept], most: int) -> list[Kept]:
    """All days or weeks; if they are more than most, the newest and each n-th before them."""
    if len(days) <= most:
        return days
    older, newest = days[: -(most // 2)], days[-(most // 2) :]
    step = math.ceil(len(older) / (most - len(newest)))
    return older[::step] + newest


def _columns(labels: list[str], days: list[Day]) -> dict[str, list[object]]:
    """The days column by column, each as [digits, steps]: see _steps.

    confidence is left out if it is the probability of the label on each day, as is usual.
    """
    columns = {
        "date": _steps([_day_number(day.as_of_date) for day in days], 0),
        "label": _steps([_place(labels, day.regime_label) for day in days], 0),
        "close": _on_log_scale([day.close for day in days]),
        "drawdown": _steps([day.drawdown for day in days], 3),
        "novelty": _steps([day.novelty for day in days], 1),
        "expected": _steps([day.expected_volatility for day in days], 3),
        "came": _steps([day.realised_volatility_21_days_after for day in days], 3),
    }
    if any(
        day.regime_label is not None and day.confidence != day.probabilities.get(day.regime_label)
        for day in days
    ):
        columns["confidence"] = _steps([day.confidence for day in days], 3)
    for place, label in enumerate(labels):
        probabilities = [
            day.probabilities.get(label, 0) if day.probabilities else None for day in days
        ]
        columns[f"p{place}"] = _steps(probabilities, 3)
    return columns


def _wealth(region: RegionReport, most_weeks: int) -> dict[str, object]:
    """What 1 became, week by week: the columns that have values, as those of the days."""
    if region.performance is None:
        return {}
    weeks = _kept(region.performance.wealth, most_weeks)
    columns: dict[str, object] = {
        "date": _steps([_day_number(week.as_of_date) for week in weeks], 0)
    }
    for name in over_time.WEALTH:
        values = [getattr(week, name) for week in weeks]
        if any(value is not None for value in values):
            columns[name] = _on_log_scale(values)
    return columns


def _on_log_scale(values: Sequence[float | None]) -> list[object]:
    """A column by _steps whose least value has five significant digits, and none less than two."""
    positive = [value for value in values if value is not None and value > 0]
    return _steps(values, max(2, 4 - math.floor(math.log10(min(positive)))) if positive else 0)


def _steps(values: Sequence[float | None], digits: int) -> list[object]:
    """A column in few characters: [digits, steps].

    steps: from each value to the next, in units of the last digit, separated by commas; empty where
    there is no value
    """
    steps, before = [], 0
    for value in values:
        if value is None or not math.isfinite(value):
            steps.append("")
        else:
            units = round(value * 10**digits)
            steps.append(str(units - before))
            before = units
    return [digits, ",".join(steps)]


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _place(labels: list[str], label: str | None) -> int | None:
    return labels.index(label) if label in labels else None


def _charts(region: RegionReport, days: list[Day], wealth: dict[str, object]) -> dict[str, object]:
    """The charts of a panel in Vega-Lite, by name; a chart without numbers is left out."""
    first, last = days[0].as_of_date, days[-1].as_of_date
    drawn = over_time.over_time(region.labels, first, last, compared=wealth)
    without = {
        "drawdown": [day.drawdown for day in days],
        "novelty": [day.novelty for day in days],
        "volatility": [day.expected_volatility for day in days],
    }
    for name, values in without.items():
        if all(value is None for value in values):
            del drawn[name]
    drawn |= _small_charts(region)
    return {name: _short(chart.to_dict(validate=False)) for name, chart in drawn.items()}


def _short(value: Any) -> Any:
    """A JSON document with at most four significant digits in each number: no chart shows more."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return value


def _spells(region: RegionReport) -> list[dict[str, object]]:
    """The spells of the charts: each ends where the next begins, the last one with its last day."""
    starts = [milliseconds(spell.start_date) for spell in region.spells]
    ends = [*starts[1:], milliseconds(region.latest.as_of_date) + DAY]
    return [
        {"label": spell.regime_label, "start": start, "until": until}
        for spell, start, until in zip(region.spells, starts, ends, strict=True)
    ]


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


def _template_values(
    region: RegionReport, shared: Shared, days: list[Day], charts: dict[str, object]
) -> dict[str, object]:
    """What the template knows: a region's fields with what is derived here, and what all share."""
    derived = {
        "charts": charts,
        "title": _row(region).title,
        "since": _since(region),
        "place": {label: place for place, label in enumerate(region.labels)},
        "first": region.days[0].as_of_date,
        "last": region.days[-1].as_of_date,
        "n_regimes": sum(1 for day in region.days if day.regime_label is not None),
        "shown_days": len(days),
        "thinned_before": _thinned_before(region.days, days),
        "faults": [check for check in region.checks if check.is_fault and check.found],
        "changes": {
            each.horizon: each.probability_of_change
            for each in region.forecast
            if each.horizon in CHANGE_HORIZONS
        },
        "years": months.years(region.days, region.labels),
        "forecasts": sum(each.forecasts for each in region.calibration),
        "tables": tables(region),
        "picture": spark(region.labels, region.days, width=1320, height=240),
        "is_packed": not shared.are_few,
    }
    return {
        "region": {**vars(region), **derived},
        "audit": shared.audit,
        "calibrated_horizon": CALIBRATED_HORIZON,
        "month_names": MONTH_NAMES,
    }


def _thinned_before(days: list[Day], shown: list[Day]) -> date | None:
    """The first day from which on all days are shown, None if all are."""
    if len(shown) == len(days):
        return None
    positions = {day.as_of_date: place for place, day in enumerate(days)}
    gaps = (
        later.as_of_date
        for earlier, later in pairwise(shown)
        if positions[later.as_of_date] - positions[earlier.as_of_date] > 1
    )
    return max(gaps)


@cache
def environment() -> jinja2.Environment:
    """Templates whose values are escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("regime_engine.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    for shown in (percent, signed, number, minus, moment, text):
        made.filters[shown.__name__] = shown
    return made
