"""Does it hold on this series? What its labels said of the days after them, beside simple rivals.

Only labels count whose model had not seen their day. Each figure has an interval, and each
difference from a rival, by a stationary bootstrap of the scored days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from regime_engine import measures
from regime_engine.arrays import Floats, Indices
from regime_engine.database import Database
from regime_engine.measures import DAYS_AHEAD
from regime_engine.reading import scored_days
from regime_engine.reading.scored_days import (
    EWM,
    EXPECTED_LABEL,
    EXPECTED_VOLATILITY,
    FALL,
    FEWEST_DAYS,
    HAR,
    LABEL,
    NO_REGIME,
    OURS,
    Coming,
    Forecasts,
    Rule,
    ScoredDays,
    Trading,
)
from regime_engine.series import Series

# A day shares its next 21 days with its neighbours: a block is three times as long.
MEAN_BLOCK = 63
N_RESAMPLES = 1000
RESAMPLES_AT_ONCE = 50  # whose arrays stay in the processor's cache
SEED = 19_940_401
LEVEL = 0.95
FEWEST_TOLD = 0.95  # share of the resamples: one may have no day of a label

MISSING = "–"
AHEAD, BEHIND, ALIKE = "ahead", "behind", "not distinguishable"
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
    return of_days(scored_days.read(database, series, rule, start, end), series, rule)


def of_days(days: ScoredDays, series: Series, rule: Rule) -> Score:
    """The score of days that were read by this rule."""
    found = _measures(days)
    return Score(
        **vars(series),
        instrument_id=days.instrument_id,
        first_date=days.dates[0].item(),
        last_date=days.dates[-1].item(),
        days=len(days.dates),
        left_out=days.left_out,
        days_a_year=days.days_a_year,
        har_on_ranges=days.har_on_ranges,
        hold=days.trading.hold,
        cost=rule.cost,
        level=LEVEL,
        sections=_sections(found, days, rule),
        notes=_notes(days, list(found.values())),
    )


Key = tuple[str, str]  # a measure and a contender
Names = dict[str, tuple[str, str | None]]  # a forecast's rank correlation and its AUC, if told


def _measures(days: ScoredDays) -> dict[str, Measure]:
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


def _statistics(days: ScoredDays, weights: Floats, drawn: Indices) -> dict[Key, Floats]:
    """(b,) of every measure that can be told, NaN in a resample in which it cannot.

    drawn: (b, n) the days of each resample; weights: (b, n) how often each day is among them
    """
    return (
        _of_volatility(days.coming, weights)
        | _of_forecasts(days.forecasts, weights)
        | _of_labels(days, weights)
        | _of_rule(days.trading, days.days_a_year, weights, drawn)
    )


def _of_volatility(coming: Coming, weights: Floats) -> dict[Key, Floats]:
    none = np.zeros(len(weights))
    found: dict[Key, Floats] = {}
    known = coming.known
    has_expected = known & np.isfinite(coming.forecasts[EXPECTED_VOLATILITY])
    of_labels: Names = {LABEL: (RANK_LABEL, None), EXPECTED_LABEL: (RANK_EXPECTED, AUC_EXPECTED)}
    of_expected: Names = {EXPECTED_VOLATILITY: (RANK_VOLATILITY, AUC_VOLATILITY)}
    if (has_expected == known).all():
        groups = [(known, of_labels | of_expected)]
    elif has_expected.sum() >= FEWEST_DAYS:
        groups = [(known, of_labels), (has_expected, of_expected)]
    else:
        groups = [(known, of_labels)]
    for which, ours in groups:
        w, fell = weights[:, which], coming.fell[which]
        came = measures.mid_ranks(coming.deviation[which], w)
        quality = {}
        for name in (*ours, EWM, HAR):
            ranks = measures.mid_ranks(coming.forecasts[name][which], w)
            quality[name] = (
                measures.correlation(ranks, came, w),
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
        moved = has_expected & (coming.size > 0)
        w, size = weights[:, moved], coming.size[moved]
        for contender, name in ((OURS, EXPECTED_VOLATILITY), (EWM, EWM), (HAR, HAR)):
            expected = coming.forecasts[name][moved]
            found[ERROR, contender] = measures.mean(measures.log_errors(expected, size), w)
            found[BIAS, contender] = measures.mean(size, w) / measures.mean(expected, w)

    w, deviation = weights[:, known], coming.deviation[known]
    for contender, (highest, lowest) in coming.extremes.items():
        found[RATIO, contender] = _ratio(deviation, highest[known], lowest[known], w)
    found[RATIO, NO_REGIME] = none + 1
    return found


def _ratio(came: Floats, over: np.ndarray, under: np.ndarray, weights: Floats) -> Floats:
    """(b,) mean of what came on the days over, divided by that on the days under"""
    with np.errstate(invalid="ignore", divide="ignore"):
        above, below = (
            (weights @ (came * days)) / (weights @ days.astype(float)) for days in (over, under)
        )
        return above / below


def _of_forecasts(forecasts: Forecasts, weights: Floats) -> dict[Key, Floats]:
    known = forecasts.known
    w = weights[:, known]
    found = {}
    for contender in (OURS, NO_REGIME):
        found[CALIBRATION, contender] = measures.error_of_gaps(forecasts.gaps[contender][known], w)
        found[BRIER, contender] = measures.mean(forecasts.brier[contender][known], w)
    return found


def _of_labels(days: ScoredDays, weights: Floats) -> dict[Key, Floats]:
    switches = np.diff(days.labels, prepend=days.labels[0]) != 0
    found = {(SWITCHES, OURS): measures.mean(switches, weights) * days.days_a_year}
    for place, name in enumerate(days.names):
        found[f"{SHARE}{name}", OURS] = measures.mean(days.labels == place, weights)
    return found


def _of_rule(
    trading: Trading, days_a_year: int, weights: Floats, drawn: Indices
) -> dict[Key, Floats]:
    known = trading.known
    w = weights[:, known]
    found: dict[Key, Floats] = {}
    for contender, daily, trades, position in (
        (OURS, trading.daily, trading.trades, trading.position),
        (NO_REGIME, trading.market, 0 * trading.trades, np.ones(len(known))),
    ):
        growth = measures.mean(np.log1p(daily[known]), w) * days_a_year
        found |= {
            (SHARPE, contender): measures.sharpe_ratios(daily[known], w, days_a_year),
            (DRAWDOWN, contender): measures.max_drawdowns(daily[drawn]),
            (RETURN, contender): np.expm1(growth),
            (TRADES, contender): measures.mean(trades[known], w) * days_a_year,
            (HELD, contender): measures.mean(position[known], w),
        }
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


def _sections(found: Mapping[str, Measure], days: ScoredDays, rule: Rule) -> list[Section]:
    ratio = (
        "For EWM and HAR, the ratio compares as many days: those with the highest forecasts and "
        "those with the lowest."
    )
    of_ranges = f" HAR reads the high and the low on {days.har_on_ranges:.0%} of the days."
    held = ", ".join(days.trading.hold) or "no label"
    about = {
        VOLATILITY: ratio + (of_ranges if days.har_on_ranges else ""),
        FALLS: "",
        FORECASTS: "Each day forecasts every label, from the labels up to that day.",
        LABELS: "",
        RULE: (
            f"Hold on {held}; {rule.cost * 1e4:g} bp a trade; a label is traded at the close of "
            "the next day; cash earns nothing."
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


def _notes(days: ScoredDays, found: list[Measure]) -> list[str]:
    """What is missing, and why."""
    n = len(days.labels)
    notes = []
    expected = int(np.isfinite(days.coming.forecasts[EXPECTED_VOLATILITY]).sum())
    if not expected:
        notes.append("The models of these labels do not tell an expected volatility.")
    elif expected < n:
        notes.append(f"The expected volatility is scored on the {expected:,} days that have one.")
    if not days.coming.fell[days.coming.known].any():
        notes.append(f"No fall of more than {FALL:.0%} came after these days.")
    if any(measure.ours is not None and measure.low is None for measure in found):
        notes.append(
            f"Some intervals are left out: more than {1 - FEWEST_TOLD:.0%} of the resamples have "
            "no value, for lack of such days."
        )
    return notes
