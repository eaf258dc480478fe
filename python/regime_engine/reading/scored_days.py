"""The days of a series whose labels may be scored: what was said on them, and what came.

Only labels count whose model was valid on their day and had not seen it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from regime_engine import measures, seeds
from regime_engine.arrays import Floats, Indices
from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError
from regime_engine.measures import DAYS_AHEAD
from regime_engine.reading import forecast
from regime_engine.reading.rows import (
    IS_OF_TRADING_DAY,
    IS_SERIES,
    as_written,
    fetch_audit,
    require_regimes,
)
from regime_engine.series import GLOBAL, Series

FEWEST_DAYS = 504  # eight blocks of the bootstrap
FALL = 0.05
DEFAULT_COST = 0.001

# What is scored, and what beside it.
OURS, EWM, HAR, NO_REGIME = "ours", "ewm", "har", "no_regime"
# Our forecasts of the coming volatility, beside those of EWM and HAR.
LABEL, EXPECTED_LABEL, EXPECTED_VOLATILITY = "label", "expected label", "expected volatility"


@dataclass(frozen=True)
class Rule:
    """Hold the instrument on some labels, be out of it on the others.

    A label known at the close of a day is traded at the close of the next day.
    hold: the labels; None: all but the most stressed one
    cost: share of the traded value, paid at each trade
    """

    hold: tuple[str, ...] | None = None
    cost: float = DEFAULT_COST


@dataclass(frozen=True)
class _Labels:
    """The scored labels, n of them, oldest first.

    names: k labels, calmest first; severities: (k,); labels: (n,) 0 … k-1; probabilities: (n, k)
    expected_volatility: (n,) annualised, NaN where it is not known; dates: (n,) datetime64[D]
    """

    instrument_id: str
    names: list[str]
    severities: Floats
    dates: np.ndarray
    labels: Indices
    probabilities: Floats
    expected_volatility: Floats
    left_out: dict[str, int]


@dataclass(frozen=True)
class _Prices:
    """T trading days: days (T,) datetime64[D], the others (T,), NaN where unknown"""

    days: np.ndarray
    returns: Floats
    log_ranges: Floats
    overnight_gaps: Floats
    days_a_year: int


@dataclass(frozen=True)
class Coming:
    """What was expected of the next 21 days, and what came; (n,) each.

    forecasts: of the volatility, by name; those of an expected volatility are annualised, and NaN
        where there is none
    extremes: by contender, the days of which it expects the most and the least
    deviation, size: standard deviation and root mean square of the returns, annualised
    fell: whether the price fell; known: the days on which it is known what came
    """

    forecasts: Mapping[str, Floats]
    extremes: Mapping[str, tuple[np.ndarray, np.ndarray]]
    deviation: Floats
    size: Floats
    fell: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Forecasts:
    """The forecasts of labels, by contender; known: (n,) the days that have one which was judged

    gaps: (n, 10) as measures.calibration_gaps, for one label; brier: (n,)
    """

    gaps: Mapping[str, Floats]
    brier: Mapping[str, Floats]
    known: np.ndarray


@dataclass(frozen=True)
class Trading:
    """What the label of each day leads to two days later; (n,) each.

    hold: the labels on which the instrument is held; position: 1 if it is held
    trades: 1 if the position is new; daily: return after costs; market: that of the instrument
    bought, sold: datetime64[D] from whose close to whose close the return is
    known: the days whose return is known; the others have 0
    """

    hold: list[str]
    position: Floats
    trades: Floats
    daily: Floats
    market: Floats
    bought: np.ndarray
    sold: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class ScoredDays:
    """n days, oldest first.

    dates: (n,) datetime64[D]; names: k labels, calmest first; labels: (n,) 0 … k-1
    left_out: reason → labels that are not scored
    har_on_ranges: share of the days that give HAR a high and a low
    """

    instrument_id: str
    dates: np.ndarray
    names: list[str]
    labels: Indices
    left_out: dict[str, int]
    days_a_year: int
    har_on_ranges: float
    coming: Coming
    forecasts: Forecasts
    trading: Trading


def read(
    database: Database,
    series: Series,
    rule: Rule,
    start: date | None = None,
    end: date | None = None,
) -> ScoredDays:
    """The days from start to end, both by default without a bound.

    raises RegimeError if there are too few of them, if they all have one label, for the vote of the
        regions, and for a rule with a label that the series does not have
    """
    if series.region == GLOBAL:
        raise RegimeError(
            f"{GLOBAL} is the vote of the regions and has no prices of its own: score one of the "
            "regions"
        )
    require_regimes(database, series)
    labels = _labels(database, series, start, end)
    hold = _held_labels(rule, labels.names, list(seeds.labels(database)))
    prices = _prices(database, labels.instrument_id)
    labels, place, volatility = _with_prices(labels, prices)
    n = len(place)
    if n < FEWEST_DAYS + DAYS_AHEAD:
        raise _too_few(series, n, labels.left_out, is_stretch=bool(start or end))
    if len(set(labels.labels)) == 1:
        raise RegimeError(
            f"all {n:,} walk-forward labels of region {series.region} are "
            f"{labels.names[labels.labels[0]]}: there is nothing to score"
        )
    held = np.isin(labels.names, hold)[labels.labels]
    return ScoredDays(
        instrument_id=labels.instrument_id,
        dates=labels.dates,
        names=labels.names,
        labels=labels.labels,
        left_out=labels.left_out,
        days_a_year=prices.days_a_year,
        har_on_ranges=_share_with_ranges(prices, place),
        coming=_coming(labels, prices, place, volatility),
        forecasts=_forecasts(labels),
        trading=_trading(prices, place, hold, held.astype(float), rule.cost),
    )


def _labels(database: Database, series: Series, start: date | None, end: date | None) -> _Labels:
    """The labels of the instrument of the newest one that may be scored."""
    rows = database.execute(
        statement(__package__, "score_days"),
        vars(series) | {"start": start, "end": end},
        is_series=IS_SERIES,
        is_of_trading_day=IS_OF_TRADING_DAY,
    ).fetchall()
    known = dict(database.execute("select label, severity from {regime_labels}").fetchall())
    left_out = Counter[str](row[-1] for row in rows if row[-1])
    scored = [row for row in rows if not row[-1]]
    if not scored:
        raise _too_few(series, 0, left_out, is_stretch=bool(start or end))
    instrument_id = scored[-1][1]
    left_out["of another instrument"] = sum(row[1] != instrument_id for row in scored)
    scored = [row for row in scored if row[1] == instrument_id]
    with as_written(series):
        occurring = {name for _, _, label, given, *_ in scored for name in (label, *given)}
        if unknown := sorted(occurring - known.keys()):
            raise RegimeError(
                f"region {series.region} has the label {unknown[0]}, which regime_labels does not "
                "list, so its severity is not known: add it to the seed regime_labels"
            )
        names = sorted(occurring, key=lambda name: (known[name], name))
        return _Labels(
            instrument_id=instrument_id,
            names=names,
            severities=np.array([known[name] for name in names], float),
            dates=np.array([row[0] for row in scored], "datetime64[D]"),
            labels=np.array([names.index(row[2]) for row in scored]),
            probabilities=np.array(
                [[float(given.get(name, 0)) for name in names] for _, _, _, given, *_ in scored]
            ),
            expected_volatility=np.array([row[4] for row in scored], float),
            left_out=dict(+left_out),
        )


def _too_few(series: Series, n: int, left_out: Mapping[str, int], is_stretch: bool) -> RegimeError:
    """is_stretch: whether the user chose the first or the last date"""
    others = ", ".join(f"{count:,} {why}" for why, count in left_out.items())
    commands = f"`regime fit --region {series.region} --walk-forward` and then `regime backfill "
    return RegimeError(
        f"region {series.region} has {n:,} walk-forward label{'' if n == 1 else 's'} to score"
        f"{' in this stretch' if is_stretch else ''}{f' (left out: {others})' if others else ''}, "
        f"and a score needs {FEWEST_DAYS + DAYS_AHEAD}: "
        f"{'choose a longer stretch, or let ' if is_stretch else ''}{commands}--region "
        f"{series.region}` write more"
    )


def _held_labels(rule: Rule, names: list[str], known: list[str]) -> list[str]:
    """The labels of the rule, calmest first. names: those of the series; known: all

    raises RegimeError for a label that is not known, and for one that the series does not have
    """
    if rule.hold is None:
        return names[:-1]
    for label in rule.hold:
        if label not in names:
            nearest = seeds.nearest_first(label, names)
            what = "never occurs in these regimes" if label in known else "is no label"
            raise RegimeError(f"--hold {label}: it {what}; there are {', '.join(nearest)}")
    return [name for name in names if name in rule.hold]


def _prices(database: Database, instrument_id: str) -> _Prices:
    rows = fetch_audit(database, statement(__package__, "score_prices"), [instrument_id]).rows
    if not rows:
        raise RegimeError(
            f"{instrument_id} has no features, so nothing is known of what came: load its prices "
            "with `regime load`, then run `regime pipeline`"
        )
    days, *numbers = zip(*rows, strict=True)
    returns, log_ranges, overnight_gaps = (np.array(column, float) for column in numbers[:3])
    return _Prices(
        np.array(days, "datetime64[D]"),
        np.nan_to_num(returns),  # the first day has none
        log_ranges,
        overnight_gaps,
        int(numbers[3][0]),
    )


def _with_prices(labels: _Labels, prices: _Prices) -> tuple[_Labels, Indices, dict[str, Floats]]:
    """The labels of days that have a price and rival forecasts, where their days are among the
    prices, and the rivals' forecasts of the annualised volatility on each of the prices' days.
    """
    n = len(prices.days)
    rivals = {EWM: np.full(n, np.nan), HAR: np.full(n, np.nan)}
    if n > DAYS_AHEAD:
        year = np.sqrt(prices.days_a_year)
        rivals[EWM] = np.sqrt(measures.ewm_variance(prices.returns)) * year
        variance = measures.day_variance(prices.returns, prices.log_ranges, prices.overnight_gaps)
        rivals[HAR] = measures.har_volatility(variance, prices.returns) * year
    place = np.minimum(np.searchsorted(prices.days, labels.dates), n - 1)
    has_price = prices.days[place] == labels.dates
    has_rivals = has_price & np.isfinite(rivals[HAR][place])
    left_out = Counter(labels.left_out)
    left_out["without a price"] = int((~has_price).sum())
    left_out["before the rivals have a year of prices"] = int((has_price & ~has_rivals).sum())
    kept = replace(
        labels,
        dates=labels.dates[has_rivals],
        labels=labels.labels[has_rivals],
        probabilities=labels.probabilities[has_rivals],
        expected_volatility=labels.expected_volatility[has_rivals],
        left_out=dict(+left_out),
    )
    return kept, place[has_rivals], rivals


def _share_with_ranges(prices: _Prices, place: Indices) -> float:
    used = slice(max(place[0] + 1 - measures.HAR_FEWEST_DAYS, 0), place[-1] + 1)
    return float(np.isfinite(prices.log_ranges + prices.overnight_gaps)[used].mean())


def _coming(
    labels: _Labels, prices: _Prices, place: Indices, volatility: Mapping[str, Floats]
) -> Coming:
    """place: (n,) of each label among the prices; volatility: of the prices' days, by rival"""
    after = np.full((len(prices.returns), DAYS_AHEAD), np.nan)
    after[:-DAYS_AHEAD] = measures.next_days(prices.returns)
    after = after[place]
    known = np.isfinite(after).all(axis=1)
    year = np.sqrt(prices.days_a_year)

    stressed, calm = (labels.labels == end(labels.labels) for end in (np.max, np.min))
    extremes = {OURS: (stressed, calm)}
    for rival in (EWM, HAR):
        # As many days as have the labels.
        order = np.flatnonzero(known)[np.argsort(volatility[rival][place][known], kind="stable")]
        highest, lowest = np.zeros((2, len(place)), bool)
        highest[order[len(order) - (stressed & known).sum() :]] = True
        lowest[order[: (calm & known).sum()]] = True
        extremes[rival] = highest, lowest
    return Coming(
        forecasts={
            LABEL: labels.severities[labels.labels],
            EXPECTED_LABEL: labels.probabilities @ labels.severities,
            EXPECTED_VOLATILITY: labels.expected_volatility,
            EWM: volatility[EWM][place],
            HAR: volatility[HAR][place],
        },
        extremes=extremes,
        deviation=after.std(axis=1) * year,
        size=np.sqrt((after**2).mean(axis=1)) * year,
        fell=after.sum(axis=1) < np.log(1 - FALL),
        known=known,
    )


def _forecasts(labels: _Labels) -> Forecasts:
    n, k = labels.probabilities.shape
    days, told, came = forecast.past_forecasts(
        labels.labels, labels.probabilities, DAYS_AHEAD, forecast.SCORED_FROM
    )
    gaps, brier = {}, {}
    base_rates = forecast.base_rates(labels.labels, k)[days]
    for contender, probabilities in ((OURS, told), (NO_REGIME, base_rates)):
        gaps[contender], brier[contender] = np.zeros((n, 10)), np.zeros(n)
        gaps[contender][days] = measures.calibration_gaps(probabilities, came) / k
        brier[contender][days] = ((probabilities - came) ** 2).sum(axis=1)
    return Forecasts(gaps, brier, known=np.isin(np.arange(n), days))


def _trading(
    prices: _Prices, place: Indices, hold: list[str], position: Floats, cost: float
) -> Trading:
    """place: (n,) of each label among the prices; position: (n,) 1 if its label is one to hold"""
    # The label of day t decides what is held from the close of t + 1 to that of t + 2.
    days = place + 2
    known = days < len(prices.returns)
    days = np.minimum(days, len(prices.returns) - 1)
    log_returns = np.where(known, prices.returns[days], 0)
    daily = measures.daily_results(log_returns, position, cost=cost, before=position[0])
    return Trading(
        hold=hold,
        position=position,
        trades=np.abs(np.diff(position, prepend=position[0])),
        daily=np.where(known, daily, 0),
        market=np.expm1(log_returns),
        bought=prices.days[days - 1],
        sold=prices.days[days],
        known=known,
    )
