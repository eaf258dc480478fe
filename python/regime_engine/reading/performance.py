"""What was earned: by label, by the rule, by the market, and by another instrument beside them.

The days are those of a score, and so are the returns: a label known at the close of a day is traded
at the close of the next day, and cash earns nothing.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from regime_engine import measures, seeds
from regime_engine.arrays import Floats
from regime_engine.database import Database
from regime_engine.database.distinct import distinct
from regime_engine.errors import RegimeError
from regime_engine.reading.rows import fetch_audit
from regime_engine.reading.scored_days import Rule, ScoredDays

# A benchmark that trades on fewer of the days than this has days without a return of its own.
FEWEST_SHARED = 0.9
MOST_NAMES = 5


@dataclass(frozen=True)
class Benchmark:
    """An instrument's trading days (T,) datetime64[D], and ln of its adjusted close on them."""

    instrument_id: str
    days: np.ndarray
    log_price: Floats


@dataclass(frozen=True)
class Earned:
    """What a label, the rule or an instrument earned, a year and at its worst.

    days: that count; for a label, those on which it was held
    sharpe_ratio, sortino_ratio: annualised, without an interest rate; None if they have no value
    hit_rate: share of the days held that had a gain
    turnover: share of the wealth that is traded in a year; None for a label
    """

    name: str
    days: int
    annual_return: float
    volatility: float
    sharpe_ratio: float | None
    sortino_ratio: float | None
    worst_drawdown: float
    hit_rate: float | None
    turnover: float | None


@dataclass(frozen=True)
class Wealth:
    """What 1 became up to the close of a day, a day a week; None outside the benchmark's days."""

    as_of_date: date
    rule: float
    market: float
    benchmark: float | None


@dataclass(frozen=True)
class Performance:
    """labels: calmest first, those that occur; others: rule, buy and hold, benchmark if any

    hold, cost: the rule; first_date, last_date: from whose close to whose close was traded
    benchmark_id: None if none was asked for; notes: what a reader must know of it
    """

    instrument_id: str
    benchmark_id: str | None
    first_date: date
    last_date: date
    hold: list[str]
    cost: float
    labels: list[Earned]
    others: list[Earned]
    wealth: list[Wealth]
    notes: list[str]


def benchmark(database: Database, instrument_id: str) -> Benchmark:
    """raises RegimeError if it has no features"""
    rows = fetch_audit(
        database,
        "select trade_date, adjusted_log_return from {market_days} where instrument_id = %s"
        " order by trade_date",
        [instrument_id],
    ).rows
    if not rows:
        nearest = seeds.nearest_first(instrument_id, _instruments(database))[:MOST_NAMES]
        raise RegimeError(
            f"--benchmark {instrument_id}: no such instrument has features; the nearest are "
            f"{', '.join(nearest) or 'none'} (`regime load` and `regime pipeline` add others)"
        )
    days, log_returns = zip(*rows, strict=True)
    # The first day has no return.
    log_price = np.nan_to_num(np.array(log_returns, float)).cumsum()
    return Benchmark(instrument_id, np.array(days, "datetime64[D]"), log_price)


def performance(days: ScoredDays, rule: Rule, beside: Benchmark | None = None) -> Performance:
    """beside: the benchmark"""
    trading, a_year = days.trading, days.days_a_year
    known = trading.known
    daily, market, held = trading.daily[known], trading.market[known], trading.position[known] > 0
    labels = days.labels[known]
    bought, sold = trading.bought[known], trading.sold[known]
    everywhere = np.ones(len(market), bool)
    others = [
        _earned("Rule", daily, held, a_year, float(trading.trades[known].mean()) * a_year),
        _earned("Buy and hold", market, everywhere, a_year, 0.0),
    ]
    of_benchmark = np.full(len(market), np.nan)
    if beside:
        of_benchmark = _returns(beside, bought, sold)
        has_price = np.isfinite(of_benchmark)
        if has_price.any():
            name = f"Benchmark {beside.instrument_id}"
            returns = of_benchmark[has_price]
            others.append(_earned(name, returns, everywhere[has_price], a_year, 0.0))
    return Performance(
        instrument_id=days.instrument_id,
        benchmark_id=beside.instrument_id if beside else None,
        first_date=bought[0].item(),
        last_date=sold[-1].item(),
        hold=trading.hold,
        cost=rule.cost,
        labels=[
            _earned(name, market[of_label], everywhere[of_label], a_year, None)
            for place, name in enumerate(days.names)
            if (of_label := labels == place).any()
        ],
        others=others,
        wealth=_wealth(sold, daily, market, of_benchmark),
        notes=_notes(beside, bought, sold, of_benchmark) if beside else [],
    )


def _instruments(database: Database) -> list[str]:
    """All that have features."""
    rows = fetch_audit(database, distinct(database, "daily_features", "instrument_id")).rows
    return [name for (name,) in rows]


def _earned(
    name: str, daily: Floats, held: np.ndarray, days_a_year: int, turnover: float | None
) -> Earned:
    """daily: (n,) return of each day; held: (n,) whether anything was held"""
    once = measures.once(len(daily))
    return Earned(
        name=name,
        days=int(held.sum()),
        annual_return=float(np.expm1(np.log1p(daily).mean() * days_a_year)),
        volatility=float(measures.deviation(daily, once)[0] * np.sqrt(days_a_year)),
        sharpe_ratio=_known(measures.sharpe(daily, days_a_year)),
        sortino_ratio=_known(measures.sortino(daily, days_a_year)),
        worst_drawdown=measures.max_drawdown(daily),
        hit_rate=float((daily[held] > 0).mean()) if held.any() else None,
        turnover=turnover,
    )


def _returns(beside: Benchmark, bought: np.ndarray, sold: np.ndarray) -> Floats:
    """(n,) the simple return from close to close, by its last price up to each day; NaN outside."""
    places = [np.searchsorted(beside.days, each, side="right") - 1 for each in (bought, sold)]
    inside = (bought >= beside.days[0]) & (sold <= beside.days[-1])
    log_return = beside.log_price[places[1]] - beside.log_price[places[0]]
    return np.where(inside, np.expm1(log_return), np.nan)


def _wealth(sold: np.ndarray, daily: Floats, market: Floats, of_benchmark: Floats) -> list[Wealth]:
    """On the last day of each week."""
    weeks = (sold.astype(int) + 3) // 7  # 1970 began on a Thursday
    ends = np.flatnonzero(np.append(weeks[1:] != weeks[:-1], True))
    rule, held, beside = (
        np.exp(np.log1p(np.nan_to_num(each)).cumsum())[ends]
        for each in (daily, market, of_benchmark)
    )
    beside = np.where(np.isfinite(of_benchmark[ends]), beside, np.nan)
    return [
        Wealth(day.item(), float(a), float(b), _known(c))
        for day, a, b, c in zip(sold[ends], rule, held, beside, strict=True)
    ]


def _notes(
    beside: Benchmark, bought: np.ndarray, sold: np.ndarray, of_benchmark: Floats
) -> list[str]:
    """What makes the benchmark hard to compare."""
    name, first, last = beside.instrument_id, beside.days[0].item(), beside.days[-1].item()
    inside = np.isfinite(of_benchmark)
    if not inside.any():
        return [f"{name} has prices from {first} to {last} only, so there is nothing to compare."]
    notes = []
    if not inside.all():
        notes.append(
            f"{name} has prices from {first} to {last} only: its figures are of {inside.sum():,} "
            f"of the {len(inside):,} days, so they do not compare with the others."
        )
    shared = np.isin(sold[inside], beside.days).mean()
    if shared < FEWEST_SHARED:
        notes.append(
            f"{name} has a price on {shared:.0%} of the days; on the others its return is 0, which "
            "makes its volatility too low and its ratios too high."
        )
    return notes


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
