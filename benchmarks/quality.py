"""How good the labels are: the engine's classifiers and the libraries, side by side in one run.

    pip install -e '.[benchmark]'
    python benchmarks/quality.py [--seeds 50] [--first-seed 0] [--only g2,real,timing] [--quick]
        [--last-year 2018] [--ours]

Simulated markets have 2,500 days: each classifier learns from the first half and labels the second
half causally. Real indexes are labelled walk-forward from 2003 to 2018; each classifier is fitted
again every six months on all the days before. Prints markdown. `must` and `aim` are the project's
own targets.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported; two processes use the cores

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import Pool
from typing import Any

import click
import contenders
import markets
import measures
import numpy as np
from contenders import Fit, Read, Reading
from markets import INDEXES, MARKETS, Path

from regime_engine.cli.options import DEFAULT_MODEL_ID

N_DAYS = 2500
YEARS = range(2003, 2019)
STRESS_YEARS = range(2008, 2010)  # slow contenders are fitted again on these for the three variants
N_STATES = 4  # on the indexes; statsmodels: 2
PENALTIES = {"documented": (10, 50), "volatility": (3, 10)}
USUAL_PENALTY = {"documented": 50, "volatility": 10}  # the example's; the best on simulated markets
FEATURES = {
    "documented": contenders.documented_features,
    "volatility": contenders.volatility_features,
}

MARKOV = "ours: markov"
NO_RANGES = "ours: markov, no high and low"
EIGHT_YEARS = "ours: markov, eight years"
OURS = {
    MARKOV: contenders.markov,
    NO_RANGES: contenders.markov_without_ranges,
    EIGHT_YEARS: contenders.markov,
    "ours: prototype": contenders.prototype,
}
TRAIN_YEARS = {EIGHT_YEARS: 8}  # all others learn from all the past
TRUTH = "true parameters"
HMM = "hmmlearn, filtered"
HMM_VOLUME = "hmmlearn, with volume"
STATSMODELS = "statsmodels, filtered"
JUMP = "jumpmodels, {} features"
K_MEANS = "k-means, raw windows"
TEN_DAYS = "10-day volatility"
HOLD = "buy and hold"
LIBRARIES = {
    HMM: contenders.hmmlearn,
    HMM_VOLUME: contenders.hmmlearn_with_volume,
    STATSMODELS: contenders.statsmodels,
    K_MEANS: contenders.k_means,
    TEN_DAYS: contenders.ten_day_volatility,
}
FORECASTS = {
    "EWM, half-life 10 days": contenders.ewm,
    "GARCH(1,1), Student-t": contenders.garch,
    "HAR on squared returns": contenders.har,
    "HAR on ranges": contenders.har_on_ranges,
}
ROWS = [TRUTH, *OURS, HMM, HMM_VOLUME, STATSMODELS]
ROWS += [JUMP.format(kind) for kind in FEATURES] + [K_MEANS, TEN_DAYS, HOLD]
PARTS = [*MARKETS, "faults", "real", "timing"]


@click.command()
@click.option("--seeds", default=50, show_default=True, type=click.IntRange(1))
@click.option("--first-seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--only", metavar="PART,…", help=f"Only these: {', '.join(PARTS)}.")
@click.option("--quick", is_flag=True, help="Only 6 seeds, and two years of the indexes.")
@click.option(
    "--last-year",
    default=YEARS[-1],
    show_default=True,
    type=click.IntRange(YEARS[0], YEARS[-1]),
    help="Label the indexes up to it. Tune on 2008 and before only.",
)
@click.option("--ours", "ours_only", is_flag=True, help="Only our classifiers and hmmlearn.")
def main(
    seeds: int, first_seed: int, only: str | None, quick: bool, last_year: int, ours_only: bool
) -> None:
    """Measure the quality of labels and print it as markdown."""
    parts = only.split(",") if only else PARTS
    if unknown := set(parts) - set(PARTS):
        raise click.BadParameter(f"{', '.join(unknown)}: no such part", param_hint="--only")
    if quick:
        seeds = min(seeds, 6)
    begin = time.perf_counter()
    names = [name for name in ROWS if not ours_only or name in (*OURS, TRUTH, HMM, HOLD)]
    chosen = [name for name in MARKETS if name in parts]
    years = range(last_year - 1 if quick else YEARS[0], last_year + 1)
    drawn = range(first_seed, first_seed + seeds)
    tasks = list(simulated_tasks(chosen, names, drawn))
    if "faults" in parts:
        tasks += [(split, FAULTY, MARKOV, drawn)]
        tasks += [(one, market, MARKOV, drawn) for one in (novelty, stays) for market in MARKETS]
    if "real" in parts:
        applicable = [name for name in names if name not in (TRUTH, HMM_VOLUME)]
        tasks += [(real, index, name, years) for name in applicable for index in INDEXES]
        tasks += [(forecast, index, name, years) for name in FORECASTS for index in INDEXES]
    found = run(tasks)

    if chosen:
        click.echo(simulated_tables(chosen, found, drawn))
    if "faults" in parts:
        click.echo(fault_tables(found))
    if "real" in parts:
        click.echo(real_table(found, years))
        click.echo(volatility_table(found, years))
    seconds = timings() if "timing" in parts else {}
    if seconds:
        click.echo(timing_table(seconds))
    click.echo(bar_table(found, years, seconds))
    click.echo(f"{time.perf_counter() - begin:.0f} seconds in all", err=True)


def run(tasks: list[tuple]) -> dict[tuple, object]:
    """{(function, *arguments): result} of all tasks, which two processes run."""
    found = {}
    with Pool(2) as pool:
        for task, result, seconds in pool.imap_unordered(_run_one, tasks):
            found[task] = result
            what = f"{len(found)}/{len(tasks)} {task[1]} {task[2]}"
            click.echo(f"{what}: {seconds:.0f} s", err=True)
    return {task: found[task] for task in tasks}


def _run_one(task: tuple) -> tuple[tuple, object, float]:
    function, *arguments = task
    begin = time.perf_counter()
    return task, function(*arguments), time.perf_counter() - begin


# ---- simulated markets ------------------------------------------------------------------------

MEASURES = {
    "accuracy": ("Online balanced accuracy", 3),
    "switches": ("Switches ÷ true", 1),
    "delay": ("Days after a true switch", 1),
    "brier": ("Brier score", 3),
    "calibration": ("Expected calibration error", 3),
}
BARS = {
    "must": {"switches": 2.9, "delay": 13, "calibration": 0.06},
    "aim": {"switches": 2, "delay": 9, "calibration": 0.03},
}
ACCURACY_BARS = {
    "must": {"g2": 0.938, "t2": 0.915, "g3": 0.901, "t3": 0.859, "v4": 0.71},
    "aim": {"g2": 0.945, "t2": 0.925, "g3": 0.92, "t3": 0.88, "v4": 0.75},
}
SIMULATED_NOTE = """## Simulated markets, seeds {first} to {last}

Each contender learns from the first 1,250 days and labels the next 1,250 day by day, using nothing
after the day that it labels.

- Accuracy: for each state, the share of its days that get its label; then the mean over the states.
- Delay: days from a true switch to the first day with the new label. If the new state is never
  found, its whole length counts. By this measure, labels that flicker look fast.
- Brier score: summed over the states.
- Expected calibration error: of the probability of the label, in ten bins.
- Each day has an open, a high and a low: a Brownian motion of 78 steps that ends at the day's
  return. The filter with the true parameters and the libraries do not read them.
- The filter with the true parameters labels by p/π, which gives the best balanced accuracy. The
  libraries label by the most probable state.
- jumpmodels: the penalty with the best result, which nobody knows beforehand ({penalties}).
"""


def simulated_tasks(chosen: list[str], names: list[str], drawn: range) -> Iterable:
    for market in chosen:
        for name in names:
            if (
                name in (TEN_DAYS, HOLD, EIGHT_YEARS)
                or (name == STATSMODELS and MARKETS[market].n_states > 2)
                or (name == HMM_VOLUME and MARKETS[market].volume is None)
            ):
                continue
            if name.startswith("jumpmodels"):
                kind = name.split()[1]
                for penalty in PENALTIES[kind]:
                    yield simulated, market, name, drawn, penalty
            else:
                yield simulated, market, name, drawn, None


def simulated(market_name: str, name: str, seeds: range, penalty: float | None) -> dict[str, float]:
    """Every measure of one contender in one market."""
    market = MARKETS[market_name]
    half = N_DAYS // 2
    readings, states = [], []
    for seed in seeds:
        path, truth = market.draw(seed, N_DAYS)
        if name == TRUTH:
            read = contenders.true_parameters(market)
        else:
            read = contender(name, penalty)(path, 0, half, market.n_states)
        readings.append(read(path, half, N_DAYS))
        states.append(truth[half:])
    labels = np.array([one.labels for one in readings])
    probabilities = np.array([one.probabilities for one in readings])
    states = np.array(states)
    confidences = np.take_along_axis(probabilities, labels[..., None], axis=2)[..., 0]
    return {
        "accuracy": measures.balanced_accuracy(labels, states).mean(),
        "switches": measures.n_switches(labels) / measures.n_switches(states),
        "delay": measures.delays(labels, states).mean(),
        "brier": measures.brier(probabilities, states),
        "calibration": measures.calibration_error(confidences, labels == states),
    }


def contender(name: str, penalty: float | None = None) -> Fit:
    if name.startswith("jumpmodels"):
        kind = name.split()[1]
        return contenders.jumpmodels(FEATURES[kind], penalty or USUAL_PENALTY[kind])
    return (OURS | LIBRARIES)[name]


def simulated_tables(chosen: list[str], found: dict, drawn: range) -> str:
    best: dict[tuple[str, str], dict[str, float]] = {}  # one of a jump model's penalties
    for (part, market, name, *_), result in found.items():
        if part is simulated:
            known = best.get((market, name), result)
            best[market, name] = max(known, result, key=lambda result: result["accuracy"])
    names = [name for name in ROWS if any((market, name) in best for market in chosen)]

    def level(bar: str, key: str, market: str) -> float:
        """The target of a measure in a market."""
        if key != "accuracy":
            return BARS[bar][key]
        return ACCURACY_BARS[bar][market]

    note = SIMULATED_NOTE.format(
        first=drawn[0],
        last=drawn[-1],
        penalties="; ".join(f"{kind}: {', '.join(map(str, of))}" for kind, of in PENALTIES.items()),
    )
    text = [note]
    for key, (title, digits) in MEASURES.items():
        rows = [
            [name, *(number(best.get((market, name), {}).get(key), digits) for market in chosen)]
            for name in names
        ]
        rows += [
            [f"*{bar}*", *(number(level(bar, key, market), digits) for market in chosen)]
            for bar in BARS
            if key in BARS[bar] or key == "accuracy"
        ]
        text.append(markdown([title, *chosen], rows))
    return "\n".join(text)


# ---- the bundled indexes ----------------------------------------------------------------------

Span = tuple[int, int, int, int]  # learnt from the rows begin … end-1, for the rows first … last-1


def spans(path: Path, years: range, train_years: int | None = None) -> list[Span]:
    """One model version every six months, fitted to the years before it; None: to all days."""
    months = [f"{year}-{month}" for year in years for month in ("01", "07")]
    starts = np.array([*months, f"{years[-1] + 1}-01"], "datetime64[M]")
    rows = np.searchsorted(path.dates, starts.astype("datetime64[D]"))
    learnt = np.zeros(len(rows), int)
    if train_years is not None:
        learnt = np.searchsorted(path.dates, (starts - 12 * train_years).astype("datetime64[D]"))
    return [
        (int(begin), int(first), int(first), int(last))
        for begin, (first, last) in zip(learnt, pairwise(rows), strict=False)
    ]


def learn(fit: Fit, path: Path, spans: list[Span], n_states: int) -> list[Read]:
    return [fit(path, begin, end, n_states) for begin, end, *_ in spans]


def tell(reads: list[Read], path: Path, spans: list[Span]) -> Reading:
    told = [read(path, *span[2:]) for read, span in zip(reads, spans, strict=True)]
    volatility = [one.volatility for one in told]
    return Reading(
        np.concatenate([one.labels for one in told]),
        np.concatenate([one.probabilities for one in told]),
        np.concatenate([one.severity for one in told]),
        None if any(each is None for each in volatility) else np.concatenate(volatility),
    )


def real(index: str, name: str, years: range) -> dict[str, float]:
    """Every measure of one contender on one index."""
    path = markets.index(index)
    when = spans(path, years, TRAIN_YEARS.get(name))
    days = np.arange(when[0][2], when[-1][3])
    if name == HOLD:
        return rule(path, days, np.zeros(len(days), bool))

    fit, n_states = contender(name), 2 if name == STATSMODELS else N_STATES
    reads = learn(fit, path, when, n_states)
    told = tell(reads, path, when)
    volatility, fell = coming(path, days)
    labels = told.labels[: len(volatility)]
    result = {
        "switches": measures.n_switches(told.labels) / len(years),
        "ratio": np.divide(*(volatility[labels == k].mean() for k in (labels.max(), labels.min()))),
        **foretold(told.severity, volatility, fell),
    }
    result |= rule(path, days, told.labels == n_states - 1)
    if name in OURS:
        result |= same_labels(reads, path, when)
    if told.volatility is not None:
        expected = foretold(told.volatility, volatility, fell)
        result |= {f"volatility {what}": value for what, value in expected.items()}
        result["volatility error"] = measures.log_error(
            told.volatility[: len(volatility)], volatility
        )
    if name in (NO_RANGES, EIGHT_YEARS):
        return result

    told_on = np.full(len(path.returns), -1)
    told_on[days] = told.labels
    some = slice(None)
    if name not in OURS and years == YEARS:
        some = slice(2 * YEARS.index(STRESS_YEARS[0]), 2 * YEARS.index(STRESS_YEARS[-1]) + 2)
    return result | variants(fit, path, reads[some], when[some], n_states, told_on)


def coming(path: Path, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volatility of the next 21 days and whether they lost more than 5 %, of the days that have
    so many after them, (≤ n,); days: (n,)"""
    after = measures.next_days(path.returns)
    after = after[days[days < len(after)]]
    return after.std(axis=1), after.sum(axis=1) < np.log(0.95)


def foretold(score: np.ndarray, volatility: np.ndarray, fell: np.ndarray) -> dict[str, float]:
    """How well a number of each day ranks what came."""
    score = score[: len(volatility)]
    return {
        "rank": measures.rank_correlation(score, volatility),
        "auc": measures.auc(score, fell),
    }


def forecast(index: str, name: str, years: range) -> dict[str, float]:
    """Every measure of a forecast of volatility that is no classifier."""
    path = markets.index(index)
    when = spans(path, years)
    days = np.arange(when[0][2], when[-1][3])
    fit = FORECASTS[name]
    told = np.concatenate(
        [fit(path, begin, end)(path, first, last) for begin, end, first, last in when]
    )
    volatility, fell = coming(path, days)
    expected = foretold(told, volatility, fell)
    return {f"volatility {what}": value for what, value in expected.items()} | {
        "volatility error": measures.log_error(told[: len(volatility)], volatility)
    }


def same_labels(reads: list[Read], path: Path, when: list[Span]) -> dict[str, float]:
    """Share of days that two consecutive versions label alike: of the days that both learnt from,
    and of the half-year that follows the later version's training."""
    learnt, ahead = [], []
    for (old, old_span), (new, new_span) in pairwise(zip(reads, when, strict=True)):
        common = max(old_span[0], new_span[0]) + markets.WINDOW_DAYS - 1, old_span[1]
        for same, stretch in ((learnt, common), (ahead, new_span[2:])):
            same.append(old(path, *stretch).labels == new(path, *stretch).labels)
    return {
        "same learnt": float(np.concatenate(learnt).mean()),
        "same ahead": float(np.concatenate(ahead).mean()),
    }


def variants(
    fit: Fit, path: Path, reads: list[Read], when: list[Span], n_states: int, labels: np.ndarray
) -> dict[str, float]:
    """Shares of labels (T,) that stay when prices are noisy or rescaled, and repainted days.

    Models are fitted anew, except in `noise`.
    """
    begin, end = when[0][2], when[-1][3]
    noisy, rescaled = path.with_noise(1e-4), path.rescaled(7.3, 0.013)
    told = {
        "noise": tell(reads, noisy, when),
        "noise refitted": tell(learn(fit, noisy, when, n_states), noisy, when),
        "rescaled": tell(learn(fit, rescaled, when, n_states), rescaled, when),
    }
    # Today is a day in the middle of a model version, not its last day.
    today = (begin + end) // 2 + 30
    known = path.until(today)
    then = [(*span[:3], min(span[3], today)) for span in when if span[2] < today]
    before = tell(learn(fit, known, then, n_states), known, then)
    return {name: (one.labels == labels[begin:end]).mean() for name, one in told.items()} | {
        "repainted": int((before.labels != labels[begin:today]).sum())
    }


def rule(path: Path, days: np.ndarray, stressed: np.ndarray) -> dict[str, float]:
    """Hold unless the label is the most stressed one."""
    daily, position = measures.hold_unless_stressed(path.returns[days], stressed)
    return {
        "sharpe": measures.sharpe(daily),
        "drawdown": measures.max_drawdown(daily),
        "trades": np.abs(np.diff(position)).sum() / len(days) * measures.DAYS_A_YEAR,
    }


REAL_NOTE = """## {indexes}, walk-forward, labels of {first}–{last}

Each contender is fitted again every half-year on all the days before, which begin in 1999; one row
has at most the eight years before. Four states; statsmodels has two.

- Volatility ratio: volatility of the next 21 days after the most stressed label, divided by that
  after the least stressed label.
- Rank correlation: between the expected label and the volatility of the next 21 days. AUC: how well
  the expected label predicts a fall of more than 5 % in 21 days.
- 1 bp noise: share of labels that stay the same when each close moves by 0.01 % at random. First
  with the same models, then with models that are fitted to the noisy prices.
- Rescaled: closes × 7.3 and volumes × 0.013, with new fits.
- Same label: share of days with the same label by two consecutive versions, of the days that both
  learnt from; and of the half-year after the later version's training.
- Repainted: labels that differ from those given before the later prices were known.
- For the libraries, the four columns on noise, rescaling and repainting cover only 2008–2009.
- Sharpe ratio, drawdown and trades: of holding the index except under the most stressed label,
  traded one day later, at a cost of 10 bp a trade.
- jumpmodels: penalty {penalties}.
"""


def real_table(found: dict, years: range) -> str:
    columns = {
        # key: title, how a value is shown, must, aim
        "switches": ("switches a year", "{:.1f}", "≤ 6", "≤ 4"),
        "ratio": ("volatility ratio", "{:.2f}", "≥ 2.5", "≥ 2.9"),
        "rank": ("rank correlation", "{:.3f}", "≥ .61 / .52", "≥ .65 / .58"),
        "auc": ("AUC, fall > 5 %", "{:.3f}", "≥ .73 / .65", "≥ .75 / .68"),
        "same learnt": ("same label, next version", "{:.1%}", "≥ 95 %", "≥ 98 %"),
        "same ahead": ("… in the half-year ahead", "{:.1%}", "", ""),
        "noise": ("1 bp noise", "{:.2%}", "≥ 99 %", "≥ 99.5 %"),
        "noise refitted": ("… and refitted", "{:.2%}", "", ""),
        "rescaled": ("rescaled", "{:.2%}", "100 %", "100 %"),
        "repainted": ("days repainted", "{}", "0", "0"),
        "sharpe": ("Sharpe", "{:.2f}", "≥ .54 / .77", "≥ .65 / .85"),
        "drawdown": ("drawdown", "{:.0%}", "≥ -38 %", "≥ -30 %"),
        "trades": ("trades a year", "{:.1f}", "", ""),
    }
    rows = []
    for name in ROWS:
        results = [found.get((real, index, name, years)) for index in INDEXES]
        if any(results):
            rows.append([name])
            for key, (_, shown, *_) in columns.items():
                known = [shown.format(result[key]) for result in results if key in result]
                rows[-1].append(" / ".join(known))
    rows.append(["*must*", *(must for *_, must, _ in columns.values())])
    rows.append(["*aim*", *(aim for *_, aim in columns.values())])
    note = REAL_NOTE.format(
        indexes=" / ".join(INDEXES),
        first=years[0],
        last=years[-1],
        penalties=", ".join(f"{penalty} ({kind})" for kind, penalty in USUAL_PENALTY.items()),
    )
    return note + "\n" + markdown(["", *(title for title, *_ in columns.values())], rows)


VOLATILITY_NOTE = """## Expected volatility of the next 21 days, {indexes}, {first}–{last}

Rank correlation and AUC as above, of the volatility that is expected. Error: the mean of
|ln(expected / realised)|.
"""


def volatility_table(found: dict, years: range) -> str:
    columns = {
        "volatility rank": ("rank correlation", "{:.3f}", "≥ .61 / .59", "≥ .65 / .63"),
        "volatility auc": ("AUC, fall > 5 %", "{:.3f}", "", ""),
        "volatility error": ("error", "{:.3f}", "", ""),
    }
    rows = []
    for part, name in [(real, name) for name in OURS] + [(forecast, name) for name in FORECASTS]:
        results = [found.get((part, index, name, years), {}) for index in INDEXES]
        if any("volatility rank" in result for result in results):
            shown = [
                " / ".join(form.format(result[key]) for result in results if key in result)
                for key, (_, form, *_) in columns.items()
            ]
            rows.append([name, *shown])
    rows.append(["*must*", *(must for *_, must, _ in columns.values())])
    rows.append(["*aim*", *(aim for *_, aim in columns.values())])
    note = VOLATILITY_NOTE.format(indexes=" / ".join(INDEXES), first=years[0], last=years[-1])
    return note + "\n" + markdown(["", *(title for title, *_ in columns.values())], rows)


# ---- faults in the prices, and what a fit says of itself --------------------------------------

FAULTY = "v4"
STRANGE = 99  # a day whose novelty is at least so high is found to be strange
CALMER = 1 / 3
DEAD_DAYS, DEAD_EVERY = 10, 100


def split(market_name: str, name: str, seeds: range) -> dict[str, float]:
    """Accuracy on the second half with an unadjusted 10:1 split amid the first, and without."""
    market, half = MARKETS[market_name], N_DAYS // 2
    labels: dict[str, list[np.ndarray]] = {"without": [], "with": []}
    states = []
    for seed in seeds:
        path, truth = market.draw(seed, N_DAYS)
        for what, known in (("without", path), ("with", path.with_split(half // 2, 10))):
            read = contender(name)(known, 0, half, market.n_states)
            labels[what].append(read(path, half, N_DAYS).labels)
        states.append(truth[half:])
    return {
        what: measures.balanced_accuracy(np.array(found), np.array(states)).mean()
        for what, found in labels.items()
    }


def novelty(market_name: str, name: str, seeds: range) -> dict[str, float]:
    """Shares of days of the second half that are found to be strange."""
    market, half = MARKETS[market_name], N_DAYS // 2
    days = np.arange(N_DAYS)
    dead = (days >= half) & ((days - half) % DEAD_EVERY >= DEAD_EVERY - DEAD_DAYS)
    last_dead = np.flatnonzero(dead[half:] & ~np.append(dead[half + 1 :], False))
    found: dict[str, list[np.ndarray]] = {"false alarms": [], "calm": [], "dead quote": []}
    for seed in seeds:
        path, _ = market.draw(seed, N_DAYS)
        read = contender(name)(path, 0, half, market.n_states)
        calm = path.with_moves(np.where(days >= half, CALMER, 1.0))
        quiet = path.with_moves(np.where(dead, 0.0, 1.0))
        found["false alarms"].append(read(path, half, N_DAYS).novelty)
        # From the first window on that lies in the calm days as a whole.
        found["calm"].append(read(calm, half + markets.WINDOW_DAYS - 1, N_DAYS).novelty)
        found["dead quote"].append(read(quiet, half, N_DAYS).novelty[last_dead])
    return {what: float((np.array(of) >= STRANGE).mean()) for what, of in found.items()}


def stays(market_name: str, name: str, seeds: range) -> list[tuple[float, float]]:
    """(true, fitted) mean stay of each state in days; fitted: the median of the seeds, each the
    harmonic mean over the experts by their shares."""
    from regime_engine.classifiers import markov

    market = MARKETS[market_name]
    fitted = []
    for seed in seeds:
        path, _ = market.draw(seed, N_DAYS)
        embeddings = path.embeddings(DEFAULT_MODEL_ID)[: N_DAYS // 2 - markets.WINDOW_DAYS + 1]
        model = markov.fit(embeddings, market.n_states, DEFAULT_MODEL_ID)
        leave = sum(
            expert.share * (1 - np.diag(expert.transition_matrix)) for expert in model.experts
        )
        fitted.append(sum(expert.share for expert in model.experts) / leave)
    true = 1 / (1 - np.diag(market.transition))
    return list(zip(true, np.median(fitted, axis=0), strict=True))


FAULT_NOTE = """## Faults in the prices, and the mean stays of a fit

- Split: balanced accuracy in {faulty} if the training has an unadjusted 10:1 split, and if not.
- Found: share of days whose novelty is at least {strange}. False alarms: on the second half as it
  is. Calm: if the volatility of the second half is a third of what it was. Dead quote: on the tenth
  day with the same close.
- Mean stay of each state in days, from the calmest to the most stressed: true, and by the fit
  (median over the seeds).
"""


def fault_tables(found: dict) -> str:
    text = [FAULT_NOTE.format(faulty=FAULTY, strange=STRANGE)]
    rows, by_market = [], []
    for (part, market, *_), result in found.items():
        if part is split:
            effect = result["with"] - result["without"]
            rows.append([market, *(number(result[k], 3) for k in result), f"{effect:+.3f}"])
        elif part is novelty:
            by_market.append([market, *(f"{share:.1%}" for share in result.values())])
    text.append(markdown(["Split", "accuracy without", "with", "effect"], rows))
    by_market.sort(key=lambda row: list(MARKETS).index(row[0]))
    text.append(markdown(["Found", "false alarms", "calm", "dead quote"], by_market))
    rows = [
        [
            market,
            *(" / ".join(f"{days:.0f}" for days in each) for each in zip(*result, strict=True)),
        ]
        for market in MARKETS
        for (part, of, *_), result in found.items()
        if part is stays and of == market
    ]
    text.append(markdown(["Mean stay", "true", "fitted"], rows))
    return "\n".join(text)


# ---- time -------------------------------------------------------------------------------------


TIMED_WINDOWS = 5000
TIMED_PATHS = 5


def timings() -> dict[str, float]:
    """Median seconds; each repeat draws a path of v4, and all contenders take turns on it."""
    from hmmlearn.hmm import GaussianHMM

    from regime_engine.classifiers import markov, prototype

    seconds: dict[str, list[float]] = {}

    def clock(what: str, function: Callable, *arguments: object) -> object:
        begin = time.perf_counter()
        result = function(*arguments)
        seconds.setdefault(what, []).append(time.perf_counter() - begin)
        return result

    for seed in range(TIMED_PATHS):
        path, _ = MARKETS["v4"].draw(seed, TIMED_WINDOWS + markets.WINDOW_DAYS - 1)
        scaled = (path.returns[-TIMED_WINDOWS:] / path.returns.std())[:, None]
        embeddings = clock("encode", path.embeddings, DEFAULT_MODEL_ID)
        model = clock("fit", markov.fit, embeddings, 4, DEFAULT_MODEL_ID)
        for how in ("log", "scaling"):
            hmm = GaussianHMM(4, n_iter=200, random_state=seed, implementation=how)
            clock(how, hmm.fit, scaled)
        clock("classify", markov.classify, model, embeddings)
        centers = clock("fit prototype", prototype.fit_k_means, embeddings, 4)
        clock("classify prototype", prototype.classify, centers, embeddings)
    return {what: statistics.median(measured) for what, measured in seconds.items()}


def timing_table(seconds: dict[str, float]) -> str:
    titles = {
        "log": ("GaussianHMM.fit, one start", "", ""),
        "scaling": ("… with implementation='scaling'", "", ""),
        "fit": ("markov.fit, three starts", "≤ 0.6 ×", "≤ 0.3 ×"),
        "fit prototype": ("prototype.fit_k_means", "", ""),
        "encode": ("encode", "", ""),
        "classify": ("markov.classify", "≤ 0.25 s", "≤ 0.1 s"),
        "classify prototype": ("prototype.classify", "", ""),
    }
    rows = [
        [title, f"{seconds[what]:.3f}", f"{seconds[what] / seconds['log']:.2f}", *bar]
        for what, (title, *bar) in titles.items()
    ]
    heading = (
        f"## Time, {TIMED_WINDOWS:,} days, 4 states, one core, median of {TIMED_PATHS} paths\n\n"
    )
    return heading + markdown(["", "seconds", "× GaussianHMM", "must", "aim"], rows)


# ---- the bar ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """What a measure must and should reach; must, aim: one number, or one for each value"""

    title: str
    values: list[float]
    must: tuple[float, ...]
    aim: tuple[float, ...]
    shown: str = "{:.3f}"
    less_is_better: bool = False

    def row(self) -> list[str]:
        reached = [name for name in ("must", "aim") if self._reaches(getattr(self, name))]
        return [
            self.title,
            *(" / ".join(map(self.shown.format, of)) for of in (self.values, self.must, self.aim)),
            reached[-1] if reached else "missed",
        ]

    def _reaches(self, bar: tuple[float, ...]) -> bool:
        """With the digits that are shown."""
        bars = bar if len(bar) == len(self.values) else bar * len(self.values)
        gaps = [
            self._rounded(value) - self._rounded(of)
            for value, of in zip(self.values, bars, strict=True)
        ]
        return max(gaps) <= 0 if self.less_is_better else min(gaps) >= 0

    def _rounded(self, value: float) -> float:
        return float(self.shown.format(value).rstrip("%"))


def bar_table(found: dict, years: range, seconds: dict[str, float]) -> str:
    """The bar, of what was measured."""
    of_market = {
        market: result
        for (part, market, name, *_), result in found.items()
        if part is simulated and name == MARKOV
    }
    easy = [market for market in MARKETS if market != FAULTY]
    indexes = [found.get((real, index, MARKOV, years), {}) for index in INDEXES]
    bars = []

    def add(
        title: str, values: Iterable[float | None], *bar: tuple[float, ...], **how: Any
    ) -> None:
        known = list(values)
        if known and None not in known:
            bars.append(Bar(title, known, *bar, **how).row())

    def of_indexes(title: str, key: str, *bar: tuple[float, ...], **how: Any) -> None:
        add(f"{' / '.join(INDEXES)}: {title}", [one.get(key) for one in indexes], *bar, **how)

    def of_markets(key: str, markets: Iterable[str]) -> list[float | None]:
        return [of_market.get(market, {}).get(key) for market in markets]

    less = {"less_is_better": True}
    add(
        f"balanced accuracy {' / '.join(easy)}",
        of_markets("accuracy", easy),
        (0.938, 0.915, 0.901, 0.859),
        (0.945, 0.925, 0.920, 0.880),
    )
    add(f"balanced accuracy {FAULTY}", of_markets("accuracy", [FAULTY]), (0.71,), (0.75,))
    if of_market:
        worst = max(result["calibration"] for result in of_market.values())
        add("calibration error, worst market", [worst], (0.06,), (0.03,), **less)
        worst = max(result["switches"] for result in of_market.values())
        add("switches ÷ true, worst", [worst], (2.9,), (2.0,), shown="{:.1f}", **less)
    of_indexes("rank correlation", "rank", (0.61, 0.52), (0.65, 0.58), shown="{:.2f}")
    of_indexes("AUC of a fall", "auc", (0.73, 0.65), (0.75, 0.68), shown="{:.2f}")
    of_indexes(
        "rank correlation of the expected volatility",
        "volatility rank",
        (0.61, 0.59),
        (0.65, 0.63),
        shown="{:.2f}",
    )
    of_indexes("switches a year", "switches", (6.0,), (4.0,), shown="{:.1f}", **less)
    of_indexes("Sharpe", "sharpe", (0.54, 0.77), (0.65, 0.85), shown="{:.2f}")
    of_indexes("drawdown", "drawdown", (-0.38,), (-0.30,), shown="{:.0%}")
    for result in (of for task, of in found.items() if task[0] is split):
        effect = [result["with"] - result["without"]]
        add(f"10:1 split in training, {FAULTY}", effect, (-0.02,), (0.0,))
    of_indexes("same label by the next version", "same learnt", (0.95,), (0.98,), shown="{:.1%}")
    of_indexes("days repainted", "repainted", (0,), (0,), shown="{:.0f}", **less)
    of_indexes("rescaled", "rescaled", (1.0,), (1.0,), shown="{:.2%}")
    of_indexes("1 bp noise", "noise", (0.99,), (0.995,), shown="{:.2%}")
    if seconds:
        ratio = [seconds["fit"] / seconds["log"]]
        add("fit, × GaussianHMM", ratio, (0.6,), (0.3,), shown="{:.2f}", **less)
        add("classify, seconds", [seconds["classify"]], (0.25,), (0.1,), shown="{:.2f}", **less)
    return "## The bar\n\n" + markdown(["", "measured", "must", "aim", "reached"], bars)


# ---- markdown ---------------------------------------------------------------------------------


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
