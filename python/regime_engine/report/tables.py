"""The numbers of a report, as a reader is shown them."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from regime_engine.measures import EWM_HALF_LIFE
from regime_engine.model_versions import flat
from regime_engine.reading.matrix import Cell
from regime_engine.reading.performance import Performance
from regime_engine.reading.score import Score, Section
from regime_engine.reading.score import table as score_table
from regime_engine.reading.volatility import FACTOR
from regime_engine.report import panels
from regime_engine.report.contents import ModelVersion, RegionReport

MISSING = "–"
# Of a volatility: the forecasts that are scored, by their name in the scores.
FORECASTS = {
    "model": "the model",
    "ewm": f"weighted mean of the past, half-life {EWM_HALF_LIFE} days",
}


class Heading(NamedTuple):
    """The head of a column."""

    text: str
    is_number: bool


@dataclass(frozen=True)
class Table:
    """A table as it is shown. rows: the first cell of each is its name"""

    headings: list[Heading]
    rows: list[list[str]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    value: a field of the row, or a function of the row; shown: its value as text
    """

    heading: str
    value: str | Callable[[Any], object]
    shown: Callable[[Any], str]

    def cell(self, row: object) -> str:
        value = getattr(row, self.value) if isinstance(self.value, str) else self.value(row)
        return self.shown(value)


def tables(region: RegionReport) -> dict[str, Table]:
    """The tables of a region, by name of the panel: the numbers of its charts, and some more."""
    return {
        "spells": _table(
            region.spells[::-1],
            [
                Column("Label", "regime_label", text),
                Column("From", "start_date", text),
                Column("To", lambda spell: "open" if spell.is_open else spell.end_date, text),
                Column("Trading days", "trading_days", number),
                Column("Mean confidence", "mean_confidence", percent),
                Column("Return", "total_return", signed),
                Column("Volatility", "annualised_volatility", percent),
                Column("Worst drawdown", "worst_drawdown", percent),
            ],
        ),
        "matrix": _matrix_table(region.matrix),
        "forecast": _forecast_table(region),
        "profile": _table(
            sorted(region.profile, key=lambda each: region.labels.index(each.regime_label)),
            [
                Column("Label", "regime_label", text),
                Column("Days", "days", number),
                Column("Share", "share_of_days", percent),
                Column("Return", "annualised_return", signed),
                Column("Volatility", "annualised_volatility", percent),
                Column("Worst day", "worst_day_return", percent),
                Column("Up after 21 days", "hit_rate_21_days", percent),
            ],
        ),
        "durations": _durations_table(region),
        "analogues": _table(
            region.analogues,
            [
                Column("As of", "as_of_date", text),
                Column("Label", "regime_label", text),
                Column("Distance", "distance", lambda value: number(value, 2)),
                Column("+21 days", "next_21_days_return", signed),
                Column("+63 days", "next_63_days_return", signed),
            ],
        ),
        **_score_tables(region.score),
        **({"earned": _earned_table(region.performance)} if region.performance else {}),
        "parameters": _parameters_table(region.version),
        "calibration": _table(
            region.calibration,
            [
                Column("Forecast", "forecast", percent),
                Column("Came true", "realised", percent),
                Column("Forecasts", "forecasts", number),
            ],
        ),
        "volatility": _table(
            region.volatility,
            [
                Column("Forecast", lambda score: FORECASTS[score.forecast], text),
                Column("Days", "days", number),
                Column("Rank correlation", "rank_correlation", lambda value: number(value, 2)),
                Column(f"Within a factor of {FACTOR}", "share_within_factor", percent),
                Column(
                    "Mean absolute log error",
                    "mean_absolute_log_error",
                    lambda value: number(value, 2),
                ),
                Column("Mean log error", "mean_log_error", lambda value: number(value, 2)),
            ],
        ),
        "runs": _table(
            region.runs,
            [
                Column("Started", "started_at", moment),
                Column("Command", "command", text),
                Column("Status", "status", text),
                Column("By", "database_user", text),
                Column("Run", "run_id", text),
                Column("Seconds", "seconds", lambda value: number(value, 1)),
                Column("Regimes in force", "regimes_in_force", number),
                Column("Replaced since", "rows_replaced_since", number),
            ],
        ),
    }


def _table(rows: Iterable[Any], columns: Sequence[Column]) -> Table:
    return Table(
        [Heading(column.heading, column.shown not in (text, moment)) for column in columns],
        [[column.cell(row) for column in columns] for row in rows],
    )


def _matrix_table(cells: list[Cell]) -> Table:
    """A row each label, with its probabilities of staying and of going to each other label."""
    probabilities = {(cell.from_label, cell.to_label): cell.probability for cell in cells}
    stays = [cell for cell in cells if cell.from_label == cell.to_label]

    def to(label: str) -> Callable[[Cell], object]:
        return lambda cell: probabilities[cell.from_label, label]

    return _table(
        stays,
        [
            Column("From", "from_label", text),
            *(Column(f"to {cell.to_label}", to(cell.to_label), percent) for cell in stays),
            Column("Expected days", "expected_duration", lambda value: number(value, 1)),
            Column("Share in the long run", "stationary_share", percent),
            Column("Share observed", "observed_share", percent),
        ],
    )


def _forecast_table(region: RegionReport) -> Table:
    """A row each horizon, with the probability of each label."""
    labels = list(dict.fromkeys(each.label for each in region.forecast))
    rows = []
    for horizon, group in groupby(region.forecast, lambda each: each.horizon):
        forecasts = {each.label: each for each in group}
        changes = percent(forecasts[labels[0]].probability_of_change)
        shares = [percent(forecasts[label].probability) for label in labels]
        rows.append([number(horizon), *shares, changes])
    return Table(_numeric_headings("Days ahead", *labels, "Changes by then"), rows)


def _durations_table(region: RegionReport) -> Table:
    """A row each duration, with the number of spells of each label."""
    counts = panels.counted_durations(region.labels, region.closed_spells)
    rows = [
        [duration, *(number(count.spells) for count in group)]
        for duration, group in groupby(counts, lambda count: count.duration)
    ]
    return Table([Heading("Trading days", False), *_numeric_headings(*region.labels)], rows)


def _score_tables(score: Score | None) -> dict[str, Table]:
    if score is None:
        return {}
    return {
        f"score {place}": _score_table(section, score.level)
        for place, section in enumerate(score.sections)
    }


def _score_table(section: Section, level: float) -> Table:
    (_, *headings), *rows = score_table(section, level)
    return Table(
        [Heading("Measure", False), *_numeric_headings(*headings)],
        [list(map(minus, row)) for row in rows],
    )


def _earned_table(performance: Performance) -> Table:
    def ratio(value: float | None) -> str:
        return number(value, 2)

    return _table(
        [*performance.labels, *performance.others],
        [
            Column("Held", "name", text),
            Column("Days held", "days", number),
            Column("Return a year", "annual_return", signed),
            Column("Volatility", "volatility", percent),
            Column("Sharpe", "sharpe_ratio", ratio),
            Column("Sortino", "sortino_ratio", ratio),
            Column("Worst drawdown", "worst_drawdown", percent),
            Column("Hit rate", "hit_rate", percent),
            Column("Turnover a year", "turnover", lambda value: percent(value, 0)),
        ],
    )


def _parameters_table(version: ModelVersion) -> Table:
    """The parameters and metrics that are one number, or one a label."""
    labels = version.labels or []
    rows = []
    metrics = {name: each for name, each in (version.metrics or {}).items() if name != "doubts"}
    for named in (version.parameters, metrics):
        for name, value in flat("", named or {}):
            values = value if isinstance(value, list) else [value]
            are_plain = all(isinstance(each, (int, float, str)) for each in values)
            if are_plain and len(values) in (1, len(labels)):
                cells = [f"{each:.4g}" if isinstance(each, float) else str(each) for each in values]
                rows.append([name.replace("_", " "), *cells, *[""] * (len(labels) - len(cells))])
    return Table([Heading("Parameter", False), *_numeric_headings(*labels)], rows)


def _numeric_headings(*texts: str) -> list[Heading]:
    return [Heading(each, True) for each in texts]


def percent(value: float | None, digits: int = 1, signed: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    shown = f"{value:{'+' if signed else ''}.{digits}%}"
    return shown.replace("-", "−") if re.search("[1-9]", shown) else shown.lstrip("+-")


def signed(value: float | None) -> str:
    return percent(value, signed=True)


def minus(text: str) -> str:
    """The text with a minus sign before each negative number."""
    return re.sub(r"-(?=\d)", "−", text)


def text(value: object) -> str:
    return MISSING if value is None else str(value)


def number(value: float | None, digits: int = 0) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.{digits}f}".replace("-", "−")


def moment(value: datetime | None) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if value else MISSING
