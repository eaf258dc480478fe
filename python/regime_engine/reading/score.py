"""Does it hold on this series? What its labels said of the days after them, beside simple rivals.

Only labels count whose model had not seen their day. Each figure has an interval, and each
difference from a rival, by a stationary bootstrap of the scored days.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

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
# A day shares its next 21 days with its neighbours: a block is three times as long.
MEAN_BLOCK = 63
N_RESAMPLES = 1000
RESAMPLES_AT_ONCE = 50  # whose arrays stay in the processor's cache
SEED = 19_940_401
LEVEL = 0.95
FEWEST_TOLD = 0.95  # share of the resamples: one may have no day of a label

MISSING = "–"
AHEAD, BEHIND, ALIKE = "ahead", "behind", "not distinguishable"

# What is scored, and what beside it.
OURS, EWM, HAR, NO_REGIME = "ours", "ewm", "har", "no_regime"
CONTENDERS = {EWM: "EWM", HAR: "HAR", NO_REGIME: "no regime"}


class Heading(NamedTuple):
    """Of a section. no_regime: what stands for "no regime" in it"""

    title: str
    no_regime: str


CONSTANT = "no regime"
VOLATILITY = Heading(f"Volatility of the next {DAYS_AHEAD} trading days", CONSTANT)
FALLS = Heading(f"A fall of more than {FALL:.0%} in {DAYS_AHEAD} trading days", CONSTANT)
FORECASTS = Heading(f"Forecasts of the label {DAYS_AHEAD} trading days ahead", "the base rate")
LABELS = Heading("The labels", "")
RULE = Heading("The rule", "buy and hold")


class Definition(NamedTuple):
    """What is measured.

    better: 1 if more is better, -1 if less is, 0 if neither
    decides: whether the verdict of the section names it
    """

    section: Heading
    title: str
    better: int
    unit: str = "number"
    decides: bool = False


# Our forecasts of the coming volatility, beside those of EWM and HAR.
LABEL, EXPECTED_LABEL, EXPECTED_VOLATILITY = "label", "expected label", "expected volatility"

RATIO = "volatility_ratio"
RANK_LABEL, RANK_EXPECTED = "rank_correlation_label", "rank_correlation_expected_label"
RANK_VOLATILITY, ERROR = "rank_correlation_expected_volatility", "log_error_expected_volatility"
BIAS = "realised_over_expected_volatility"
AUC_EXPECTED, AUC_VOLATILITY = "auc_expected_label", "auc_expected_volatility"
CALIBRATION, BRIER = "calibration_error", "brier_score"
SWITCHES, SHARE = "switches_a_year", "share_of_days_"
SHARPE, DRAWDOWN, RETURN = "sharpe_ratio", "worst_drawdown", "annual_return"
TRADES, HELD = "trades_a_year", "exposure"

DEFINITIONS = {
    RATIO: Definition(VOLATILITY, "Ratio, most to least stressed label", 1),
    RANK_LABEL: Definition(VOLATILITY, "Rank correlation, label", 1),
    RANK_EXPECTED: Definition(VOLATILITY, "Rank correlation, expected label", 1, decides=True),
    RANK_VOLATILITY: Definition(
        VOLATILITY, "Rank correlation, expected volatility", 1, decides=True
    ),
    ERROR: Definition(VOLATILITY, "Mean error of ln(expected volatility)", -1, decides=True),
    BIAS: Definition(VOLATILITY, "Realised ÷ expected volatility", 0),
    AUC_EXPECTED: Definition(FALLS, "AUC, expected label", 1, decides=True),
    AUC_VOLATILITY: Definition(FALLS, "AUC, expected volatility", 1, decides=True),
    CALIBRATION: Definition(FORECASTS, "Calibration error", -1),
    BRIER: Definition(FORECASTS, "Brier score", -1, decides=True),
    SWITCHES: Definition(LABELS, "Switches a year", 0, "count"),
    SHARPE: Definition(RULE, "Sharpe ratio", 1, decides=True),
    DRAWDOWN: Definition(RULE, "Worst drawdown", 1, "share", decides=True),
    RETURN: Definition(RULE, "Return a year", 1, "share"),
    TRADES: Definition(RULE, "Trades a year", 0, "count"),
    HELD: Definition(RULE, "Share of days held", 0, "share"),
}


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
class Rival:
    """What the measure is for a rival.

    difference: ours minus theirs, and its interval from low to high; None if there is none
    verdict: ours is "ahead", "behind" or "not distinguishable"; None if it cannot be said
    """

    value: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: str | None


@dataclass(frozen=True)
class Measure:
    """A figure of the labels, its interval from low to high, and the rivals' figures.

    unit: number, count or share; ours: None if it cannot be told
    rivals: by their key in CONTENDERS
    """

    name: str
    title: str
    unit: str
    ours: float | None
    low: float | None
    high: float | None
    rivals: dict[str, Rival]


@dataclass(frozen=True)
class Section:
    """Measures of one kind.

    about: what a reader must know of them; no_regime: what stands for "no regime"
    verdicts: in plain words, whether ours is ahead or behind
    """

    title: str
    about: str
    no_regime: str
    measures: list[Measure]
    verdicts: list[str]


@dataclass(frozen=True)
class Score:
    """days: labels that are scored, from first_date to last_date

    left_out: reason → labels that are not scored; days_a_year: trading days
    har_on_ranges: share of the days that give HAR a high and a low
    hold, cost: the rule; level: of the intervals; notes: what is missing
    """

    region: str
    model_id: str
    window_days: int
    instrument_id: str
    first_date: date
    last_date: date
    days: int
    left_out: dict[str, int]
    days_a_year: int
    har_on_ranges: float
    hold: list[str]
    cost: float
    level: float
    sections: list[Section]
    notes: list[str]


@dataclass(frozen=True)
class _Stored:
    """The scored labels, n of them, oldest first.

    names: k labels, calmest first; severities: (k,); labels: (n,) 0 … k-1; probabilities: (n, k)
    expected_volatility: (n,) annualised, NaN where it is not known; days: (n,) datetime64[D]
    """

    instrument_id: str
    names: list[str]
    severities: Floats
    days: np.ndarray
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
class _Days:
    """What the measures need of n scored days, (n,) each but where it says otherwise.

    forecasts: of the coming volatility, by name
    came, size: the standard deviation and the root mean square of the next days' returns,
        annualised; fell: whether they fell; known: the days on which this is known
    extremes: by contender, the days of which it expects the most and the least
    gaps, brier: by contender, (n, 10) and (n,); judged: the days that have them
    position, daily, market: of the rule, its returns and the instrument's; traded: the days with it
    """

    labels: Indices
    names: list[str]
    days_a_year: int
    forecasts: Mapping[str, Floats]
    came: Floats
    size: Floats
    fell: np.ndarray
    known: np.ndarray
    extremes: Mapping[str, tuple[np.ndarray, np.ndarray]]
    gaps: Mapping[str, Floats]
    brier: Mapping[str, Floats]
    judged: np.ndarray
    position: Floats
    daily: Floats
    market: Floats
    trades: Floats
    traded: np.ndarray


def score(
    database: Database,
    series: Series,
    rule: Rule | None = None,
    start: date | None = None,
    end: date | None = None,
) -> Score:
    """How well the walk-forward labels from start to end told what came after them.

    raises RegimeError if there are too few of them, if they are all the same, and for the vote
    """
    rule = rule or Rule()
    if series.region == GLOBAL:
        raise RegimeError(
            f"{GLOBAL} is the vote of the regions and has no prices of its own: score one of the "
            "regions"
        )
    require_regimes(database, series)
    stored = _stored(database, series, start, end)
    hold = _held_labels(rule, stored.names, list(seeds.labels(database)))
    prices = _prices(database, stored.instrument_id)
    stored, place, volatility = _with_prices(stored, prices)
    if len(place) < FEWEST_DAYS + DAYS_AHEAD:
        raise _too_few(series, len(place), stored.left_out, is_stretch=bool(start or end))
    if len(set(stored.labels)) == 1:
        raise RegimeError(
            f"all {len(place):,} walk-forward labels of region {series.region} are "
            f"{stored.names[stored.labels[0]]}: there is nothing to score"
        )
    days = _days(stored, prices, place, volatility, held=np.isin(stored.names, hold), rule=rule)
    found = _measures(days)
    used = slice(max(place[0] + 1 - measures.HAR_FEWEST_DAYS, 0), place[-1] + 1)
    has_range = np.isfinite(prices.log_ranges[used]) & np.isfinite(prices.overnight_gaps[used])
    har_on_ranges = float(has_range.mean())
    return Score(
        **vars(series),
        instrument_id=stored.instrument_id,
        first_date=stored.days[0].item(),
        last_date=stored.days[-1].item(),
        days=len(stored.days),
        left_out=stored.left_out,
        days_a_year=prices.days_a_year,
        har_on_ranges=har_on_ranges,
        hold=hold,
        cost=rule.cost,
        level=LEVEL,
        sections=_sections(found, hold, rule.cost, har_on_ranges),
        notes=_notes(days, list(found.values())),
    )


def _stored(database: Database, series: Series, start: date | None, end: date | None) -> _Stored:
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
        expected_volatility = np.array([row[4] for row in scored], float)
        told = expected_volatility[~np.isnan(expected_volatility)]
        if not ((told > 0) & (told < np.inf)).all():
            raise ValueError("a volatility is a positive number")
        return _Stored(
            instrument_id=instrument_id,
            names=names,
            severities=np.array([known[name] for name in names], float),
            days=np.array([row[0] for row in scored], "datetime64[D]"),
            labels=np.array([names.index(row[2]) for row in scored]),
            probabilities=np.array(
                [[float(given.get(name, 0)) for name in names] for _, _, _, given, *_ in scored]
            ),
            expected_volatility=expected_volatility,
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


def _with_prices(stored: _Stored, prices: _Prices) -> tuple[_Stored, Indices, dict[str, Floats]]:
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
    place = np.minimum(np.searchsorted(prices.days, stored.days), n - 1)
    has_price = prices.days[place] == stored.days
    has_rivals = has_price & np.isfinite(rivals[HAR][place])
    left_out = Counter(stored.left_out)
    left_out["without a price"] = int((~has_price).sum())
    left_out["before the rivals have a year of prices"] = int((has_price & ~has_rivals).sum())
    kept = replace(
        stored,
        days=stored.days[has_rivals],
        labels=stored.labels[has_rivals],
        probabilities=stored.probabilities[has_rivals],
        expected_volatility=stored.expected_volatility[has_rivals],
        left_out=dict(+left_out),
    )
    return kept, place[has_rivals], rivals


def _days(
    stored: _Stored,
    prices: _Prices,
    place: Indices,
    volatility: Mapping[str, Floats],
    held: np.ndarray,
    rule: Rule,
) -> _Days:
    """place: (n,) of each label among the prices; held: (k,) whether the rule holds the label"""
    n, k = stored.probabilities.shape
    returns = prices.returns
    after = np.full((len(returns), DAYS_AHEAD), np.nan)
    after[:-DAYS_AHEAD] = measures.next_days(returns)
    after = after[place]
    year = np.sqrt(prices.days_a_year)

    judged, forecasts, outcome = forecast.past_forecasts(
        stored.labels, stored.probabilities, DAYS_AHEAD, forecast.SCORED_FROM
    )
    gaps, brier = {}, {}
    base_rate = forecast.base_rates(stored.labels, k)[judged]
    for contender, told in ((OURS, forecasts), (NO_REGIME, base_rate)):
        gaps[contender], brier[contender] = np.zeros((n, 10)), np.zeros(n)
        # Of the forecasts of all labels, as the calibration of a report.
        gaps[contender][judged] = measures.calibration_gaps(told, outcome) / k
        brier[contender][judged] = ((told - outcome) ** 2).sum(axis=1)
    is_judged = np.zeros(n, bool)
    is_judged[judged] = True

    # A label of day t decides what is held from the close of t + 1 to that of t + 2.
    traded = place + 2 < len(returns)
    market = np.where(traded, returns[np.minimum(place + 2, len(returns) - 1)], 0)
    position = held[stored.labels].astype(float)
    daily = measures.daily_results(market, position, cost=rule.cost, before=position[0])
    known = np.isfinite(after).all(axis=1)
    stressed, calm = (stored.labels == end(stored.labels) for end in (np.max, np.min))
    extremes = {OURS: (stressed, calm)}
    for contender in (EWM, HAR):
        # As many days as have the labels.
        order = np.flatnonzero(known)[np.argsort(volatility[contender][place][known])]
        highest, lowest = np.zeros(n, bool), np.zeros(n, bool)
        highest[order[len(order) - (stressed & known).sum() :]] = True
        lowest[order[: (calm & known).sum()]] = True
        extremes[contender] = highest, lowest
    return _Days(
        labels=stored.labels,
        names=stored.names,
        days_a_year=prices.days_a_year,
        forecasts={
            LABEL: stored.severities[stored.labels],
            EXPECTED_LABEL: stored.probabilities @ stored.severities,
            EXPECTED_VOLATILITY: stored.expected_volatility,
            EWM: volatility[EWM][place],
            HAR: volatility[HAR][place],
        },
        came=after.std(axis=1) * year,
        size=np.sqrt((after**2).mean(axis=1)) * year,
        fell=after.sum(axis=1) < np.log(1 - FALL),
        known=known,
        extremes=extremes,
        gaps=gaps,
        brier=brier,
        judged=is_judged,
        position=position,
        daily=np.where(traded, daily, 0),
        market=np.expm1(market),
        trades=np.abs(np.diff(position, prepend=position[0])),
        traded=traded,
    )


Key = tuple[str, str]  # a measure and a contender
Names = dict[str, tuple[str, str | None]]  # a forecast's rank correlation and its AUC, if told


def _measures(days: _Days) -> dict[str, Measure]:
    """What can be told, by name."""
    n = len(days.labels)
    observed = _statistics(days, measures.once(n), np.arange(n)[None])
    drawn = measures.stationary_bootstrap(n, MEAN_BLOCK, N_RESAMPLES, np.random.default_rng(SEED))
    chunks = [
        _statistics(days, measures.counts(some, n), some)
        for some in np.split(drawn, N_RESAMPLES // RESAMPLES_AT_ONCE)
    ]
    resampled = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in observed}
    found = {}
    for name, contender in observed:
        if contender != OURS:
            continue
        definition = _definition(name)
        ours, drawn_ours = observed[name, OURS][0], resampled[name, OURS]
        low, high = _interval(drawn_ours)
        rivals = {
            rival: _rival(
                ours, observed[name, rival][0], drawn_ours - resampled[name, rival], definition
            )
            for rival in (EWM, HAR, NO_REGIME)
            if (name, rival) in observed
        }
        found[name] = Measure(
            name, definition.title, definition.unit, _known(ours), low, high, rivals
        )
    return found


def _definition(name: str) -> Definition:
    if name.startswith(SHARE):
        return Definition(LABELS, f"Share of days, {name.removeprefix(SHARE)}", 0, "share")
    return DEFINITIONS[name]


def _rival(ours: float, theirs: float, differences: Floats, definition: Definition) -> Rival:
    """differences: ours minus theirs in each resample"""
    low, high = _interval(differences)
    verdict = None
    if definition.better and low is not None and high is not None:
        ends = sorted((definition.better * low, definition.better * high))
        verdict = AHEAD if ends[0] > 0 else BEHIND if ends[1] < 0 else ALIKE
    return Rival(_known(theirs), _known(ours - theirs), low, high, verdict)


def _interval(values: Floats) -> tuple[float | None, float | None]:
    """That of the level, from resamples; None if too many of them have no value."""
    told = values[np.isfinite(values)]
    if len(told) < FEWEST_TOLD * len(values):
        return None, None
    low, high = np.quantile(told, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _statistics(days: _Days, weights: Floats, drawn: Indices) -> dict[Key, Floats]:
    """(b,) of every measure that can be told, NaN in a resample in which it cannot.

    drawn: (b, n) the days of each resample; weights: (b, n) how often each day is among them
    """
    return (
        _of_volatility(days, weights)
        | _of_forecasts(days, weights)
        | _of_labels(days, weights)
        | _of_rule(days, weights, drawn)
    )


def _of_volatility(days: _Days, weights: Floats) -> dict[Key, Floats]:
    none = np.zeros(len(weights))
    found: dict[Key, Floats] = {}
    has_expected = days.known & np.isfinite(days.forecasts[EXPECTED_VOLATILITY])
    of_labels: Names = {LABEL: (RANK_LABEL, None), EXPECTED_LABEL: (RANK_EXPECTED, AUC_EXPECTED)}
    of_expected: Names = {EXPECTED_VOLATILITY: (RANK_VOLATILITY, AUC_VOLATILITY)}
    if (has_expected == days.known).all():
        groups = [(days.known, of_labels | of_expected)]
    elif has_expected.sum() >= FEWEST_DAYS:
        groups = [(days.known, of_labels), (has_expected, of_expected)]
    else:
        groups = [(days.known, of_labels)]
    for which, ours in groups:
        w, came, fell = weights[:, which], days.came[which], days.fell[which]
        came_ranks = measures.mid_ranks(came, w)
        quality = {}
        for name in (*ours, EWM, HAR):
            ranks = measures.mid_ranks(days.forecasts[name][which], w)
            quality[name] = (
                measures.correlation(ranks, came_ranks, w),
                measures.auc_of_ranks(ranks, fell, w),
            )
        for name, (rank, auc) in ours.items():
            for contender, of in ((OURS, name), (EWM, EWM), (HAR, HAR)):
                found[rank, contender] = quality[of][0]
                if auc:
                    found[auc, contender] = quality[of][1]
            found[rank, NO_REGIME] = none
            if auc:
                found[auc, NO_REGIME] = none + 0.5
    if (RANK_VOLATILITY, OURS) in found:
        moved = has_expected & (days.size > 0)
        w, size = weights[:, moved], days.size[moved]
        for contender, name in ((OURS, EXPECTED_VOLATILITY), (EWM, EWM), (HAR, HAR)):
            expected = days.forecasts[name][moved]
            errors = measures.log_errors(expected, size)
            found[ERROR, contender] = measures.mean(errors, w)
            found[BIAS, contender] = measures.mean(size, w) / measures.mean(expected, w)

    w, came = weights[:, days.known], days.came[days.known]
    for contender, (highest, lowest) in days.extremes.items():
        found[RATIO, contender] = _ratio(came, highest[days.known], lowest[days.known], w)
    found[RATIO, NO_REGIME] = none + 1
    return found


def _ratio(came: Floats, over: np.ndarray, under: np.ndarray, weights: Floats) -> Floats:
    """(b,) mean of what came on the days over, divided by that on the days under"""
    with np.errstate(invalid="ignore", divide="ignore"):
        above, below = (
            (weights @ (came * days)) / (weights @ days.astype(float)) for days in (over, under)
        )
        return above / below


def _of_forecasts(days: _Days, weights: Floats) -> dict[Key, Floats]:
    w = weights[:, days.judged]
    found = {}
    for contender in (OURS, NO_REGIME):
        found[CALIBRATION, contender] = measures.error_of_gaps(days.gaps[contender][days.judged], w)
        found[BRIER, contender] = measures.mean(days.brier[contender][days.judged], w)
    return found


def _of_labels(days: _Days, weights: Floats) -> dict[Key, Floats]:
    switches = np.diff(days.labels, prepend=days.labels[0]) != 0
    found = {(SWITCHES, OURS): measures.mean(switches, weights) * days.days_a_year}
    for place, name in enumerate(days.names):
        found[f"{SHARE}{name}", OURS] = measures.mean(days.labels == place, weights)
    return found


def _of_rule(days: _Days, weights: Floats, drawn: Indices) -> dict[Key, Floats]:
    w = weights[:, days.traded]
    found = {}
    for contender, daily in ((OURS, days.daily), (NO_REGIME, days.market)):
        seen = daily[days.traded]
        found[SHARPE, contender] = measures.sharpe_ratios(seen, w, days.days_a_year)
        found[DRAWDOWN, contender] = measures.max_drawdowns(daily[drawn])
        growth = measures.mean(np.log1p(seen), w) * days.days_a_year
        found[RETURN, contender] = np.expm1(growth)
    for contender, trades, position in (
        (OURS, days.trades, days.position),
        (NO_REGIME, np.zeros(len(days.trades)), np.ones(len(days.position))),
    ):
        found[TRADES, contender] = measures.mean(trades[days.traded], w) * days.days_a_year
        found[HELD, contender] = measures.mean(position[days.traded], w)
    return found


def shown(value: float | None, unit: str, signed: bool = False) -> str:
    """A figure as a person reads it."""
    if value is None:
        return MISSING
    digits = {"number": ".3f", "count": ".1f", "share": ".1%"}[unit]
    return f"{value:{'+' if signed else ''}{digits}}"


def table(section: Section, level: float) -> list[list[str]]:
    """The headings, then a row each measure; rivals that the section does not have are left out."""
    rivals = [name for name in CONTENDERS if any(name in each.rivals for each in section.measures)]
    names = [section.no_regime if name == NO_REGIME else CONTENDERS[name] for name in rivals]
    rows = [["", "ours", *names, f"{level:.0%} interval of ours"]]
    for each in section.measures:
        theirs = [each.rivals[name].value if name in each.rivals else None for name in rivals]
        figures = [shown(figure, each.unit) for figure in (each.ours, *theirs)]
        ends = [shown(end, each.unit) for end in (each.low, each.high)]
        rows.append([each.title, *figures, MISSING if each.low is None else " to ".join(ends)])
    return rows


def _sections(
    found: Mapping[str, Measure], hold: list[str], cost: float, har_on_ranges: float
) -> list[Section]:
    ratio = (
        "For EWM and HAR, the ratio compares as many days: those with the highest forecasts and "
        "those with the lowest."
    )
    of_ranges = f" HAR reads the high and the low on {har_on_ranges:.0%} of the days."
    about = {
        VOLATILITY: ratio + (of_ranges if har_on_ranges else ""),
        FALLS: "",
        FORECASTS: "Each day forecasts every label, from the labels up to that day.",
        LABELS: "",
        RULE: (
            f"Hold on {', '.join(hold) or 'no label'}; {cost * 1e4:g} bp a trade; a label is "
            "traded at the close of the next day; cash earns nothing."
        ),
    }
    order = [*DEFINITIONS, *(name for name in found if name not in DEFINITIONS)]
    sections = []
    for heading, text in about.items():
        of_section = [
            found[name] for name in order if name in found and _definition(name).section == heading
        ]
        verdicts = [
            _verdict(each, heading) for each in of_section if _definition(each.name).decides
        ]
        sections.append(Section(heading.title, text, heading.no_regime, of_section, verdicts))
    return sections


VERDICTS = {
    AHEAD: "ahead of",
    BEHIND: "behind",
    ALIKE: "not distinguishable from",
    None: "not comparable with",
}


def _verdict(measure: Measure, heading: Heading) -> str:
    """Whom ours is ahead of or behind, with the difference and its interval."""
    said: dict[str, list[str]] = {}
    for name, rival in measure.rivals.items():
        whom = heading.no_regime if name == NO_REGIME else CONTENDERS[name]
        # Its figure is a constant, so that the interval of ours tells the difference.
        if rival.verdict and whom != CONSTANT:
            numbers = (rival.difference, rival.low, rival.high)
            whom += " ({}; {} to {})".format(
                *(shown(each, measure.unit, signed=True) for each in numbers)
            )
        said.setdefault(VERDICTS[rival.verdict], []).append(whom)
    verdicts = [
        f"{verdict} {' and '.join(filter(None, (', '.join(of[:-1]), of[-1])))}"
        for verdict, of in said.items()
    ]
    return f"{measure.title}: {'; '.join(verdicts)}."


def _notes(days: _Days, found: list[Measure]) -> list[str]:
    """What is missing, and why."""
    n = len(days.labels)
    notes = []
    expected = int(np.isfinite(days.forecasts[EXPECTED_VOLATILITY]).sum())
    if not expected:
        notes.append("The models of these labels do not tell an expected volatility.")
    elif expected < n:
        notes.append(f"The expected volatility is scored on the {expected:,} days that have one.")
    if not days.fell[days.known].any():
        notes.append(f"No fall of more than {FALL:.0%} came after these days.")
    if any(measure.ours is not None and measure.low is None for measure in found):
        notes.append(
            f"Some intervals are left out: more than {1 - FEWEST_TOLD:.0%} of the resamples have "
            "no value, for lack of such days."
        )
    return notes
