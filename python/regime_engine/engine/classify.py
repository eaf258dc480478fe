"""Windows → encoder → classifier → store: one date, or a stretch of dates."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, TypeAlias

import numpy as np

from regime_engine import classifiers, encoders, features, model_versions, runs
from regime_engine.classifiers import Classification, prototype
from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.model_versions import FittedModel
from regime_engine.seeds import instrument_of
from regime_engine.series import MAX_STALENESS_DAYS, Series
from regime_engine.store.regimes import Regimes, write_batch
from regime_engine.trading_days import trading_days_a_year
from regime_engine.windows import Stretch, embed

BATCH_WINDOWS = 2000

# Called with how much is done and how much there is to do.
Progress: TypeAlias = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Task:
    """What to classify.

    instrument_id: whose windows; "" for those of the region's instrument
    model_version: None for the one that is valid on each date
    """

    series: Series
    stretch: Stretch
    instrument_id: str = ""
    model_version: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run wrote, and the regime of its last date.

    expected_volatility: None if the model cannot tell
    """

    series: Series
    instrument_id: str
    first: date
    last: date
    n_windows: int
    label: str
    confidence: float
    expected_volatility: float | None
    written: dict[str, int]
    window_end: date


def run(
    database: Database,
    series: Series,
    as_of: date,
    instrument_id: str | None = None,
    max_staleness_days: int = MAX_STALENESS_DAYS,
    model_version: int | None = None,
) -> Outcome:
    """Classify a region on one date and store the result.

    model_version: default the one that is valid on the date

    raises RegimeError for an unknown region or encoder, too few rows or too old a last price
    """
    stretch = Stretch(series.window_days, as_of, as_of, max_staleness_days)
    task = Task(series, stretch, instrument_id=instrument_id or "", model_version=model_version)
    asked = {"as_of": as_of, "max_staleness_days": max_staleness_days}
    return _as_run(database, "run", task, asked=asked)


def backfill(
    database: Database,
    series: Series,
    start: date | None = None,
    end: date | None = None,
    instrument_id: str | None = None,
    progress: Progress = no_progress,
    model_version: int | None = None,
) -> Outcome:
    """Classify a region on each trading day from start to end, in batches.

    start: default the first day with a whole window; end: default the last priced day
    progress: called with windows done and windows in all after each batch
    model_version: default for each date the one that is valid on it
    """
    if start and end and start > end:
        raise RegimeError(f"--start {start} is after --end {end}")
    stretch = Stretch(series.window_days, start, end)
    task = Task(series, stretch, instrument_id=instrument_id or "", model_version=model_version)
    asked = {"start": start, "end": end}
    return _as_run(database, "backfill", task, asked=asked, progress=progress)


def _as_run(
    database: Database,
    command: str,
    task: Task,
    *,
    asked: dict[str, Any],
    progress: Progress = no_progress,
) -> Outcome:
    series = task.series
    encoders.get(series.model_id, series.window_days)  # refuses before the ledger has a run
    task = replace(task, instrument_id=instrument_of(database, series.region, task.instrument_id))
    asked |= {"instrument_id": task.instrument_id, "model_version": task.model_version}
    with runs.ledger(database, command, vars(series) | asked) as run:
        return classify(database, run, task, progress=progress)


def classify(
    database: Database, run: runs.Run, task: Task, *, progress: Progress = no_progress
) -> Outcome:
    """Embed and classify a stretch of a series' windows, and store the result in batches.

    raises RegimeError where the windows cannot be read, encoded or classified
    """
    series, model_version = task.series, task.model_version
    encoder = encoders.get(series.model_id, series.window_days)
    found = features.read(database, task.instrument_id, encoder.COLUMNS, task.stretch)
    embeddings = embed(encoder, found)
    versions = model_versions.load(database, series)
    valid = model_versions.valid_on(versions, found.as_of_dates)
    days_a_year = trading_days_a_year(found.trade_dates)
    marks: dict[str, bool] = {}
    if model_version is not None:
        valid[:] = versions.index(model_versions.one(versions, model_version))
        marks = {"version_given": True}
    first, last = task.stretch.span
    total: Counter[str] = Counter()
    for begin in range(0, len(found), BATCH_WINDOWS):
        rows = slice(begin, begin + BATCH_WINDOWS)
        batch, vectors = found[rows], embeddings[rows]
        regimes = regimes_of(
            versions, valid[rows], batch.as_of_dates, vectors, days_a_year[rows], marks
        )
        # The batches answer for the whole span, the days between two of them included.
        done = begin + len(batch)
        until = last if done == len(found) else batch.as_of_dates[-1].item()
        span = (first, until)
        total.update(write_batch(database, run, series, batch, vectors, regimes, span=span))
        first = batch.as_of_dates[-1].item() + timedelta(days=1)
        progress(done, len(found))
    return Outcome(
        series=series,
        instrument_id=task.instrument_id,
        first=found.as_of_dates[0].item(),
        last=found.as_of_dates[-1].item(),
        n_windows=len(found),
        label=regimes.labels[-1],
        confidence=float(regimes.confidence[-1]),
        expected_volatility=regimes.expected_volatility[-1],
        written=dict(total),
        window_end=found.last_trade_dates[-1].item(),
    )


def regimes_of(
    versions: list[FittedModel],
    valid: np.ndarray,
    as_of_dates: np.ndarray,
    embeddings: np.ndarray,
    days_a_year: np.ndarray,
    marks: dict[str, bool],
) -> Regimes:
    """Each embedding by its version, or by the seed rule where it has none.

    valid: (n,) int, the position of each one's version in `versions`, -1 for the seed rule
    as_of_dates: (n,) datetime64[D]; embeddings: (n, dimension) float32
    days_a_year: (n,) int, how many days a year the instrument trades, seen from each window
    marks: what the metadata of each regime says besides
    """
    n = len(as_of_dates)
    labels, runners_up = np.empty(n, object), np.empty(n, object)
    probabilities: list[dict[str, float]] = [{}] * n
    metadata: list[dict[str, object]] = [{}] * n
    expected_volatility: list[float | None] = [None] * n
    confidence, version_numbers = np.empty(n), np.zeros(n, int)
    for position in np.unique(valid).tolist():
        rows = np.flatnonzero(valid == position)
        if position < 0:
            in_sample = np.zeros(len(rows), bool)
            classification = prototype.seed_rule(embeddings[rows])
        else:
            model = versions[position]
            in_sample = as_of_dates[rows] <= np.datetime64(model.trained_to, "D")
            parameters = classifiers.read(model.classifier, model.labels, model.parameters)
            classifier = classifiers.get(model.classifier)
            classification = classifier.classify(parameters, embeddings[rows])
            version_numbers[rows] = model.version
        shares = classification.probabilities
        labels[rows] = np.array(classification.labels, object)[classification.winners]
        confidence[rows] = shares[np.arange(len(rows)), classification.winners]
        runners_up[rows] = _runners_up(classification)
        found = zip(rows, shares.tolist(), _evidence(classification), in_sample, strict=True)
        for row, values, evidence, is_in_sample in found:
            probabilities[row] = dict(zip(classification.labels, values, strict=True))
            metadata[row] = evidence | {"in_sample": bool(is_in_sample)} | marks
        if classification.daily_volatility is not None:
            annualised = classification.daily_volatility * np.sqrt(days_a_year[rows])
            told = zip(rows, annualised.tolist(), days_a_year[rows].tolist(), strict=True)
            for row, expected_volatility[row], days in told:
                metadata[row]["trading_days_a_year"] = days
    return Regimes(
        labels=labels.tolist(),
        confidence=confidence,
        probabilities=probabilities,
        runner_up_labels=runners_up.tolist(),
        expected_volatility=expected_volatility,
        metadata=metadata,
        model_versions=version_numbers,
    )


def _runners_up(classification: Classification) -> np.ndarray:
    """The most probable label but the winner, row by row; None where there is one label only."""
    if len(classification.labels) == 1:
        return np.full(len(classification.winners), None)
    others = classification.probabilities.copy()
    others[np.arange(len(others)), classification.winners] = -1
    return np.array(classification.labels, object)[others.argmax(axis=1)]


def _evidence(classification: Classification) -> list[dict[str, object]]:
    """What the classifier saw, row by row: name → (label → number), constants, novelty."""
    rows: list[dict[str, object]] = [dict(classification.constants) for _ in classification.winners]
    for name, numbers in classification.evidence.items():
        for row, values in zip(rows, numbers.tolist(), strict=True):
            row[name] = dict(zip(classification.labels, values, strict=True))
    if classification.novelty is not None:
        for row, value in zip(rows, classification.novelty.tolist(), strict=True):
            row["novelty"] = value
    return rows
