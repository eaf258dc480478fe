"""Windows → encoder → classifier → store: one date, a stretch of dates, a fit."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import psycopg
from psycopg import sql

from regime_engine import classifiers, encoders, models, runs, store, windows
from regime_engine.classifiers import Classification, prototype
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.models import FittedModel, Series
from regime_engine.store import Regimes
from regime_engine.windows import Windows

BATCH_WINDOWS = 2000


@dataclass(frozen=True)
class LabelledStretch:
    """As-of dates from start to end, both included, that a person gives a label."""

    label: str
    start: date
    end: date


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
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    as_of: date,
    instrument_id: str | None = None,
    max_staleness_days: int = 7,
) -> Outcome:
    """Classify a region on one date and store the result.

    raises RegimeError for an unknown region or encoder, too few rows or too old a last price
    """
    encoder = encoders.get(series.model_id)
    instrument_id = _instrument(connection, settings, series.region, instrument_id)
    parameters = _parameters(series, instrument_id) | {
        "as_of": as_of.isoformat(),
        "max_staleness_days": max_staleness_days,
    }
    with runs.ledger(connection, settings, "run", parameters, series.model_id) as ledger_run:
        window = windows.on(
            connection,
            instrument_id,
            encoder.COLUMNS,
            as_of,
            series.window_days,
            max_staleness_days,
        )
        return _classify_and_store(connection, settings, ledger_run, series, window)


def backfill(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    start: date | None = None,
    end: date | None = None,
    instrument_id: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Classify a region on each trading day from start to end, in batches.

    start: default the first day with a whole window; end: default the last priced day
    progress: called with windows done and windows in all after each batch
    """
    if start and end and start > end:
        raise RegimeError(f"--start {start} is after --end {end}")
    encoder = encoders.get(series.model_id)
    instrument_id = _instrument(connection, settings, series.region, instrument_id)
    parameters = _parameters(series, instrument_id) | {
        "start": start and start.isoformat(),
        "end": end and end.isoformat(),
    }
    with runs.ledger(connection, settings, "backfill", parameters, series.model_id) as ledger_run:
        stretch = windows.between(
            connection, instrument_id, encoder.COLUMNS, start, end, series.window_days
        )
        return _classify_and_store(connection, settings, ledger_run, series, stretch, progress)


def fit_prototypes(
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    stretches: list[LabelledStretch],
    valid_from: date | None = None,
    instrument_id: str | None = None,
) -> FittedModel:
    """Store prototypes of the labelled stretches as a new model version of the series.

    valid_from: default the day after the last day trained on, so that no date is classified by
        a model of its own future
    raises RegimeError for unknown labels, overlapping stretches or stretches without a window
    """
    encoder = encoders.get(series.model_id)
    _require_usable(connection, settings, stretches)
    instrument_id = _instrument(connection, settings, series.region, instrument_id)
    parameters = _parameters(series, instrument_id) | {
        "classifier": "prototype",
        "windows": [f"{s.label}={s.start}:{s.end}" for s in stretches],
        "valid_from": valid_from and valid_from.isoformat(),
    }
    with runs.ledger(connection, settings, "fit", parameters, series.model_id) as ledger_run:
        labels, parts = [], []
        for stretch in sorted(stretches, key=lambda stretch: stretch.start):
            part = windows.between(
                connection,
                instrument_id,
                encoder.COLUMNS,
                stretch.start,
                stretch.end,
                series.window_days,
            )
            parts.append(part)
            labels += [stretch.label] * len(part)
        embeddings = np.concatenate([_encode(encoder, part) for part in parts])
        prototypes = prototype.fit(embeddings, labels)
        told = prototype.classify(prototypes, embeddings)
        trained_to = parts[-1].as_of_dates[-1].item()
        model = FittedModel(
            series=series,
            version=0,
            classifier="prototype",
            labels=prototypes.labels,
            parameters=prototypes.to_json(),
            trained_from=parts[0].as_of_dates[0].item(),
            trained_to=trained_to,
            n_windows=len(labels),
            training_hash=_training_hash(labels, parts),
            metrics={
                "in_sample_accuracy": float(
                    np.mean(np.array(told.labels)[told.winners] == np.array(labels))
                )
            },
            valid_from=valid_from or trained_to + timedelta(days=1),
        )
        with connection.transaction():
            store.lock_series(connection, instrument_id, series)
            return models.save(connection, settings, ledger_run, model)


def regions(connection: psycopg.Connection, settings: Settings) -> list[tuple[str, str]]:
    """(region, instrument_id) of every region, by name."""
    table = sql.Identifier(settings.runtime_schema, "regions")
    return connection.execute(
        sql.SQL("select region, instrument_id from {} order by region").format(table)
    ).fetchall()


def _instrument(
    connection: psycopg.Connection, settings: Settings, region: str, instrument_id: str | None
) -> str:
    known = dict(regions(connection, settings))
    if region not in known:
        raise RegimeError(
            f"unknown region {region!r}: known are {', '.join(known) or 'none'}; add it to "
            "seeds/regions.csv and run `regime init`"
        )
    return instrument_id or known[region]


def _parameters(series: Series, instrument_id: str) -> dict[str, object]:
    return {
        "region": series.region,
        "instrument_id": instrument_id,
        "model_id": series.model_id,
        "window_days": series.window_days,
    }


def _classify_and_store(
    connection: psycopg.Connection,
    settings: Settings,
    run: runs.Run,
    series: Series,
    stretch: Windows,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    encoder = encoders.get(series.model_id)
    embeddings = _encode(encoder, stretch)
    versions = models.load(connection, settings, series)
    total: dict[str, int] = {}
    for begin in range(0, len(stretch), BATCH_WINDOWS):
        rows = slice(begin, begin + BATCH_WINDOWS)
        regimes = _classify(versions, stretch.as_of_dates[rows], embeddings[rows])
        written = store.write_batch(
            connection, settings, run, series, stretch[rows], embeddings[rows], regimes
        )
        total = {table: total.get(table, 0) + count for table, count in written.items()}
        progress(begin + len(regimes.labels), len(stretch))
    return Outcome(
        series=series,
        instrument_id=stretch.instrument_id,
        first=stretch.as_of_dates[0].item(),
        last=stretch.as_of_dates[-1].item(),
        n_windows=len(stretch),
        label=regimes.labels[-1],
        confidence=float(regimes.confidence[-1]),
        written=total,
        window_end=stretch.last_trade_dates[-1].item(),
    )


def _encode(encoder, stretch: Windows) -> np.ndarray:
    """(n, dimension) float32 of a stretch; raises RegimeError where a number is not finite."""
    embeddings = encoder.encode(stretch.values)
    unusable = ~np.isfinite(embeddings).all(axis=1)
    if unusable.any():
        row = int(unusable.argmax())
        missing = np.isnan(stretch.values[row]).any(axis=0)
        missing[encoder.COLUMNS.index("log_return")] = False
        names = [name for name, absent in zip(encoder.COLUMNS, missing, strict=True) if absent]
        what = f"has days without {' and '.join(names)}" if names else "does not fit float32"
        raise RegimeError(
            f"the window of {stretch.instrument_id} from {stretch.first_trade_dates[row]} to "
            f"{stretch.last_trade_dates[row]} {what}, so {encoder.MODEL_ID} cannot encode "
            f"{int(unusable.sum())} of {len(stretch)} dates: correct the prices, or choose dates "
            "whose windows are complete"
        )
    return embeddings


def _classify(
    versions: list[FittedModel], as_of_dates: np.ndarray, embeddings: np.ndarray
) -> Regimes:
    """Each date by the version valid on it, and by the seed rule before the first."""
    valid = models.valid_on(versions, as_of_dates)
    n = len(as_of_dates)
    labels, runners_up = [""] * n, [None] * n
    probabilities, metadata = [{}] * n, [{}] * n
    confidence, model_versions = np.empty(n), np.zeros(n, int)
    for position in np.unique(valid):
        rows = np.flatnonzero(valid == position)
        if position < 0:
            trained_to = None
            told = prototype.seed_rule(embeddings[rows])
        else:
            model = versions[position]
            trained_to = np.datetime64(model.trained_to, "D")
            classifier = classifiers.get(model.classifier)
            parameters = classifier.from_json(model.labels, model.parameters)
            told = classifier.classify(parameters, embeddings[rows])
            model_versions[rows] = model.version
        confidence[rows] = told.probabilities[np.arange(len(rows)), told.winners]
        for at, row in enumerate(rows):
            labels[row] = told.labels[told.winners[at]]
            runners_up[row] = _runner_up(told, at)
            probabilities[row] = _by_label(told.labels, told.probabilities[at])
            metadata[row] = {
                **{
                    name: _by_label(told.labels, values[at])
                    for name, values in told.evidence.items()
                },
                **told.constants,
                "in_sample": bool(trained_to is not None and as_of_dates[row] <= trained_to),
            }
    return Regimes(labels, confidence, probabilities, runners_up, metadata, model_versions)


def _by_label(labels: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return dict(zip(labels, values.tolist(), strict=True))


def _runner_up(told: Classification, row: int) -> str | None:
    others = [k for k in range(len(told.labels)) if k != told.winners[row]]
    if not others:
        return None
    return told.labels[max(others, key=lambda k: told.probabilities[row, k])]


def _require_usable(
    connection: psycopg.Connection, settings: Settings, stretches: list[LabelledStretch]
) -> None:
    if not stretches:
        raise RegimeError("nothing to fit: give at least one --window LABEL=FROM:TO")
    table = sql.Identifier(settings.runtime_schema, "regime_labels")
    query = sql.SQL("select label from {} order by severity").format(table)
    known = [label for (label,) in connection.execute(query)]
    ordered = sorted(stretches, key=lambda stretch: stretch.start)
    for stretch in ordered:
        if stretch.label not in known:
            raise RegimeError(f"unknown label {stretch.label!r}: choose of {', '.join(known)}")
        if stretch.start > stretch.end:
            raise RegimeError(f"{stretch.label}: {stretch.start} is after {stretch.end}")
    for earlier, later in pairwise(ordered):
        if later.start <= earlier.end:
            raise RegimeError(
                f"{earlier.label} to {earlier.end} overlaps {later.label} from {later.start}: a "
                "day can have one label"
            )


def _training_hash(labels: list[str], parts: list[Windows]) -> str:
    """sha-256 (hex) over label, date and window hash of each training window, in order."""
    dates = np.concatenate([part.as_of_dates for part in parts])
    hashes = np.concatenate([part.hashes for part in parts])
    text = "".join(
        f"{label} {day} {window_hash.tobytes().hex()}\n"
        for label, day, window_hash in zip(labels, dates, hashes, strict=True)
    )
    return hashlib.sha256(text.encode()).hexdigest()
