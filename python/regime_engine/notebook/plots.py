"""The charts of `regime report`, of prices, labels and probabilities that a notebook has."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any, TypeVar

import altair as alt
import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import Floats
from regime_engine.charts import over_time
from regime_engine.charts.elements import DAY, milliseconds
from regime_engine.charts.palette import LIGHT, fitted, theme
from regime_engine.classifiers import STATE_LABELS
from regime_engine.encoders import DEFAULT
from regime_engine.notebook.prices import Prices, PriceTable, read, read_days

# What the columns of `open_database().regimes(…)` are called.
DAY_COLUMN, LABEL_COLUMN, PROBABILITY = "as_of_date", "regime_label", "probability_"
KNOWN = STATE_LABELS[4]

Chart = TypeVar("Chart", alt.Chart, alt.VConcatChart)


def plot_regimes(
    prices: PriceTable, labels: Any, days: Iterable[Any] | None = None, *, title: str = ""
) -> alt.VConcatChart:
    """The close, and behind it the label of each day.

    prices: as for `encode`
    labels: n labels of days, such as `predict` gives; or a frame of `open_database().regimes`
    days: their n days. Not needed for a frame, for a pandas Series whose index has the days, for a
        label a row of prices, and for all that `encode` gives with windows of 63 days.
    returns a chart: the last line of a cell shows it, `chart.save("regimes.png")` keeps it

    Labels that the engine does not know are coloured by the volatility of their days.
    raises ValueError or TypeError, in one line, for labels and days that do not fit
    """
    table = read(prices)
    of_days = _labels_of_days(labels, days, table)
    known = table.trade_date.tolist()
    if not any(day in of_days for day in known):
        raise ValueError(
            f"no price is of a day that has a label: prices are from {known[0]} to {known[-1]}, "
            f"labels from {min(of_days)} to {max(of_days)}"
        )
    order = _calmest_first(set(of_days.values()), _volatilities(table, of_days))
    calendar = sorted({*known, *of_days})
    first, last = calendar[0], calendar[-1]
    chart = over_time.picture([(alt.TitleParams(title), order)], first, last)
    return _finished(
        chart,
        order,
        days_0=[
            {"date": milliseconds(day), "close": close}
            for day, close in zip(known, table.close.tolist(), strict=True)
        ],
        spells_0=_spells(calendar, of_days),
    )


def plot_probabilities(
    probabilities: Any,
    days: Iterable[Any] | None = None,
    labels: Sequence[Any] | None = None,
    *,
    title: str = "",
) -> alt.Chart:
    """The probability of each label on each day, stacked, the calmest label at the bottom.

    probabilities: (n, k), such as `predict_proba` gives; or a frame of `open_database().regimes`
    days, labels: the n days and the k labels of the columns, such as `model.classes_`; not needed
        for a frame. Labels that the engine does not know come last, in their order.
    returns a chart, as `plot_regimes` does

    raises ValueError or TypeError, in one line, for days and labels that do not fit
    """
    if hasattr(probabilities, "columns"):
        dates, values, names = _of_frame(probabilities)
    elif days is None or labels is None:
        raise TypeError("give days and labels: those of the rows and columns of probabilities")
    else:
        dates, values, names = (
            read_days("days: the day", days),
            np.asarray(probabilities, float),
            list(map(str, labels)),
        )
    if values.shape != (len(dates), len(names)) or not values.size:
        raise ValueError(
            f"probabilities have the shape {values.shape}, and there are {len(dates)} days and "
            f"{len(names)} labels"
        )
    order = _calmest_first(names, {name: math.inf for name in names})
    columns = [names.index(label) for label in order]
    rows = np.argsort(dates, kind="stable")
    chart = over_time.probabilities(
        alt.TitleParams(title), order, dates[rows[0]].item(), dates[rows[-1]].item()
    )
    return _finished(
        chart,
        order,
        days=[
            {"date": milliseconds(dates[row].item())}
            | {f"p{place}": values[row, column] for place, column in enumerate(columns)}
            for row in rows
        ],
    )


def _labels_of_days(labels: Any, days: Iterable[Any] | None, prices: Prices) -> Mapping[date, str]:
    """Day → label; raises ValueError for two labels of one day"""
    if hasattr(labels, "columns"):
        missing = {DAY_COLUMN, LABEL_COLUMN} - set(labels.columns)
        if missing:
            raise ValueError(f"labels: a frame has the columns {DAY_COLUMN} and {LABEL_COLUMN}")
        labels, days = labels[LABEL_COLUMN], labels[DAY_COLUMN]
    elif days is None and getattr(getattr(labels, "index", None), "dtype", None) is not None:
        days = labels.index if labels.index.dtype.kind == "M" else None
    names = [str(label) for label in labels]
    dates = _window_days(len(names), prices) if days is None else read_days("days: the day", days)
    if len(names) != len(dates):
        raise ValueError(f"{len(names)} labels of {len(dates)} days: give a label a day")
    of_days = dict(zip(dates.tolist(), names, strict=True))
    if not of_days:
        raise ValueError("there are no labels")
    if len(of_days) < len(names):
        raise ValueError("labels: several are of one day: give those of one region")
    return of_days


def _window_days(n: int, prices: Prices) -> NDArray[np.datetime64]:
    """The days of n labels, if all rows of the prices have one, or all windows of 63 days."""
    dates = prices.trade_date
    for first in (0, DEFAULT.WINDOW_DAYS - 1):
        if n == len(dates[first:]):
            return dates[first:]
    raise ValueError(
        f"{n} labels, and prices of {len(dates)} days: give days, the day of each label"
    )


def _of_frame(frame: Any) -> tuple[NDArray[np.datetime64], Floats, list[str]]:
    """Days, probabilities and labels of a frame of regimes, without labels that no model knew."""
    columns = [name for name in frame.columns if str(name).startswith(PROBABILITY)]
    if not columns or DAY_COLUMN not in frame.columns:
        raise ValueError(f"a frame has the columns {DAY_COLUMN} and {PROBABILITY}…")
    values = np.column_stack([np.asarray(frame[name], float) for name in columns])
    is_known = np.isfinite(values).any(axis=0)
    names = [name.removeprefix(PROBABILITY) for name in columns]
    return (
        read_days(DAY_COLUMN, frame[DAY_COLUMN]),
        np.nan_to_num(values[:, is_known]),
        [name for name, known in zip(names, is_known, strict=True) if known],
    )


def _calmest_first(labels: Iterable[str], volatility: Mapping[str, float]) -> list[str]:
    """The labels that the engine knows, then the others by their volatility."""
    return sorted(
        labels,
        key=lambda label: (
            KNOWN.index(label) if label in KNOWN else len(KNOWN),
            volatility[label],
        ),
    )


def _volatilities(prices: Prices, of_days: Mapping[date, str]) -> dict[str, float]:
    """Label → standard deviation of the log returns of its days."""
    returns: dict[str, list[float]] = {label: [] for label in of_days.values()}
    log_returns = np.diff(np.log(prices.adjusted_close)).tolist()
    for day, log_return in zip(prices.trade_date[1:].tolist(), log_returns, strict=True):
        if day in of_days:
            returns[of_days[day]].append(log_return)
    return {label: float(np.std(each)) if each else 0.0 for label, each in returns.items()}


def _spells(calendar: Sequence[date], of_days: Mapping[date, str]) -> list[dict[str, object]]:
    """Each stretch of days with one label, up to the next day; days without a label have none."""
    starts = [milliseconds(day) for day in calendar]
    ends = [*starts[1:], starts[-1] + DAY]
    days = zip((of_days.get(day) for day in calendar), starts, ends, strict=True)
    spells: list[dict[str, object]] = []
    for label, stretch in groupby(days, key=lambda each: each[0]):
        _, bounds_from, bounds_to = zip(*stretch, strict=True)
        if label is not None:
            spells.append({"label": label, "start": bounds_from[0], "until": bounds_to[-1]})
    return spells


def _finished(chart: Chart, labels: Sequence[str], **datasets: list[dict[str, Any]]) -> Chart:
    """The chart with its rows and the colours of the report: those of the engine's own labels, or
    for other labels as many from calm to stressed."""
    palette = fitted(LIGHT, len(labels))
    if all(label in KNOWN for label in labels):
        palette = replace(LIGHT, labels=[LIGHT.labels[KNOWN.index(label)] for label in labels])
    return chart.properties(datasets=datasets, config=theme(palette))
