"""The numbers of a report, as a reader is shown them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from regime_engine.model_versions import flat
from regime_engine.report import charts
from regime_engine.report.contents import Record, RegionReport

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """columns: heading, and whether it is of numbers; rows: as they are shown, each named first"""

    columns: list[tuple[str, bool]]
    rows: list[list[str]]


def tables(region: RegionReport) -> dict[str, Table]:
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
            sorted(region.profile, key=lambda row: region.labels.index(row["regime_label"])),
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
            ("As of", "as_of_date", text),
            ("Label", "regime_label", text),
            ("Distance", "distance", lambda value: number(value, 2)),
            ("+21 days", "next_21_days_return", signed),
            ("+63 days", "next_63_days_return", signed),
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
    counted = charts.counted_durations(region.labels, region.closed_spells)
    rows = [
        {row["label"]: row["spells"] for row in labels} | {"duration": duration}
        for duration, group in groupby(counted, lambda row: row["duration"])
        for labels in [list(group)]
    ]
    columns = ((label, label, number) for label in region.labels)
    return _table(rows, ("Trading days", "duration", text), *columns)


def _parameters(version: Record) -> Table:
    """The parameters and metrics that are a number, or one a label."""
    labels = version["labels"] or []
    rows = []
    for group in ("parameters", "metrics"):
        for name, value in flat(group, version[group] or {}):
            values = value if isinstance(value, list) else [value]
            if all(isinstance(each, (int, float, str)) for each in values) and (
                len(values) in (1, len(labels))
            ):
                told = [f"{each:.4g}" if isinstance(each, float) else str(each) for each in values]
                what = name.removeprefix(f"{group}.").replace("_", " ")
                rows.append([what, *told, *[""] * (len(labels) - len(told))])
    return Table([("Parameter", False), *((label, True) for label in labels)], rows)


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
