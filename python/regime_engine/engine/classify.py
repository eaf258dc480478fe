"""Windows → encoder → classifier → store: one date, or a stretch of dates."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from regime_engine import classifiers, encoders, features, model_versions, runs
from regime_engine.classifiers import Classification, prototype
from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.model_versions import FittedModel
from regime_engine.seeds import instrument_of
from regime_engine.series import MAX_STALENESS_DAYS, Series
from regime_engine.store.regimes import Regimes, write_batch
from regime_engine.windows import Stretch, embed

BATCH_WINDOWS = 2000


@dataclass(frozen=True)
class Outcome:
    """What a run wrote, and the regime of its last date."""

    series: Series
    instrument_id: str
    first: date
    last: date
    n_windows: int
    label: str
    confidence: float
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
    encoders.get(series.model_id, series.window_days)  # refuses before the ledger has a run
    instrument_id = instrument_of(database, series.region, instrument_id)
    parameters = series_parameters(series, instrument_id) | {
        "as_of": as_of.isoformat(),
        "max_staleness_days": max_staleness_days,
        "model_version": model_version,
    }
    with runs.ledger(database, "run", parameters, series.model_id) as ledger_run:
        stretch = Stretch(series.window_days, as_of, as_of, max_staleness_days)
        return classify(database, ledger_run, series, instrument_id, stretch, model_version)


def backfill(
    database: Database,
    series: Series,
    start: date | None = None,
    end: date | None = None,
    instrument_id: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    model_version: int | None = None,
) -> Outcome:
    """Classify a region on each trading day from start to end, in batches.

    start: default the first day with a whole window; end: default the last priced day
    progress: called with windows done and windows in all after each batch
    model_version: default for each date the one that is valid on it
    """
    if start and end and start > end:
        raise RegimeError(f"--start {start} is after --end {end}")
    encoders.get(series.model_id, series.window_days)  # refuses before the ledger has a run
    instrument_id = instrument_of(database, series.region, instrument_id)
    parameters = series_parameters(series, instrument_id) | {
        "start": start and start.isoformat(),
        "end": end and end.isoformat(),
        "model_version": model_version,
    }
    with runs.ledger(database, "backfill", parameters, series.model_id) as ledger_run:
        stretch = Stretch(series.window_days, start, end)
        return classify(
            database,
            ledger_run,
            series,
            instrument_id,
            stretch,
            model_version,
            progress,
        )


def first_date(database: Database, series: Series) -> date | None:
    """The first day of a series' stored regimes, None where it has none."""
    (first,) = database.one(
        """
        select min(as_of_date)
        from {regimes}
        where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
        """,
        vars(series),
    )
    return first


def series_parameters(series: Series, instrument_id: str) -> dict[str, object]:
    return {
        "region": series.region,
        "instrument_id": instrument_id,
        "model_id": series.model_id,
        "window_days": series.window_days,
    }


def classify(
    database: Database,
    run: runs.Run,
    series: Series,
    instrument_id: str,
    stretch: Stretch,
    model_version: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Embed and classify a stretch of a series' windows, and store the result in batches.

    raises RegimeError where the windows cannot be read, encoded or classified
    """
    encoder = encoders.get(series.model_id, series.window_days)
    found = features.read(database, instrument_id, encoder.COLUMNS, stretch)
    embeddings = embed(encoder, found)
    versions = model_versions.load(database, series)
    if model_version is not None:
        versions = [replace(model_versions.one(versions, model_version), valid_from=date.min)]
    first, last = stretch.span
    total: dict[str, int] = {}
    for begin in range(0, len(found), BATCH_WINDOWS):
        rows = slice(begin, begin + BATCH_WINDOWS)
        regimes = _classify(
            versions, model_version is not None, found.as_of_dates[rows], embeddings[rows]
        )
        # The batches answer for the whole span, the days between two of them included.
        is_last = begin + BATCH_WINDOWS >= len(found)
        until = last if is_last else found.as_of_dates[rows][-1].item()
        written = write_batch(
            database, run, series, found[rows], embeddings[rows], regimes, span=(first, until)
        )
        if not is_last:
            first = until + timedelta(days=1)
        total = {table: total.get(table, 0) + count for table, count in written.items()}
        progress(begin + len(regimes.labels), len(found))
    return Outcome(
        series=series,
        instrument_id=instrument_id,
        first=found.as_of_dates[0].item(),
        last=found.as_of_dates[-1].item(),
        n_windows=len(found),
        label=regimes.labels[-1],
        confidence=float(regimes.confidence[-1]),
        written=total,
        window_end=found.last_trade_dates[-1].item(),
    )


def _classify(
    versions: list[FittedModel],
    version_given: bool,
    as_of_dates: np.ndarray,
    embeddings: np.ndarray,
) -> Regimes:
    """Each date by the version valid on it, and by the seed rule before the first."""
    valid = model_versions.valid_on(versions, as_of_dates)
    n = len(as_of_dates)
    labels, runners_up = np.empty(n, object), np.empty(n, object)
    probabilities: list[dict[str, float]] = [{}] * n
    metadata: list[dict[str, object]] = [{}] * n
    confidence, version_numbers = np.empty(n), np.zeros(n, int)
    for position in sorted(set(valid.tolist())):
        rows = np.flatnonzero(valid == position)
        if position < 0:
            in_sample = np.zeros(len(rows), bool)
            classification = prototype.seed_rule(embeddings[rows])
        else:
            model = versions[position]
            in_sample = as_of_dates[rows] <= np.datetime64(model.trained_to, "D")
            classifier = classifiers.get(model.classifier)
            parameters = classifiers.read(model.classifier, model.labels, model.parameters)
            classification = classifier.classify(parameters, embeddings[rows])
            version_numbers[rows] = model.version
        names = np.array(classification.labels, object)
        labels[rows] = names[classification.winners]
        confidence[rows] = classification.probabilities[
            np.arange(len(rows)), classification.winners
        ]
        runners_up[rows] = _runners_up(classification)
        for row, values in zip(rows, classification.probabilities.tolist(), strict=True):
            probabilities[row] = dict(zip(classification.labels, values, strict=True))
        for row, evidence, is_in_sample in zip(
            rows, _evidence(classification), in_sample.tolist(), strict=True
        ):
            metadata[row] = evidence | {"in_sample": is_in_sample}
            if version_given:
                metadata[row]["version_given"] = True
    return Regimes(
        labels=labels.tolist(),
        confidence=confidence,
        probabilities=probabilities,
        runner_up_labels=runners_up.tolist(),
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
