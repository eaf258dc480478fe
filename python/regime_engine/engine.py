"""Windows → encoder → classifier → store: one date, or a stretch of dates."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import psycopg
from psycopg import sql

from regime_engine import classifiers, encoders, models, runs, windows
from regime_engine.classifiers import Classification, prototype
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.models import GLOBAL, FittedModel, Series
from regime_engine.store.regimes import Regimes, write_batch
from regime_engine.windows import Stretch, Windows

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
    connection: psycopg.Connection,
    settings: Settings,
    series: Series,
    as_of: date,
    instrument_id: str | None = None,
    max_staleness_days: int = 7,
    model_version: int | None = None,
) -> Outcome:
    """Classify a region on one date and store the result.

    model_version: default the one that is valid on the date

    raises RegimeError for an unknown region or encoder, too few rows or too old a last price
    """
    encoders.get(series.model_id, series.window_days)  # refuses before the ledger has a run
    instrument_id = instrument_of(connection, settings, series.region, instrument_id)
    parameters = series_parameters(series, instrument_id) | {
        "as_of": as_of.isoformat(),
        "max_staleness_days": max_staleness_days,
        "model_version": model_version,
    }
    with runs.ledger(connection, settings, "run", parameters, series.model_id) as ledger_run:
        stretch = Stretch(series.window_days, as_of, as_of, max_staleness_days)
        return classify(
            connection, settings, ledger_run, series, instrument_id, stretch, model_version
        )


def backfill(
    connection: psycopg.Connection,
    settings: Settings,
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
    instrument_id = instrument_of(connection, settings, series.region, instrument_id)
    parameters = series_parameters(series, instrument_id) | {
        "start": start and start.isoformat(),
        "end": end and end.isoformat(),
        "model_version": model_version,
    }
    with runs.ledger(connection, settings, "backfill", parameters, series.model_id) as ledger_run:
        stretch = Stretch(series.window_days, start, end)
        return classify(
            connection,
            settings,
            ledger_run,
            series,
            instrument_id,
            stretch,
            model_version,
            progress,
        )


def regions(connection: psycopg.Connection, settings: Settings) -> list[tuple[str, str]]:
    """(region, instrument_id) of every region, by name."""
    table = sql.Identifier(*settings.table("regions"))
    return connection.execute(
        sql.SQL("select region, instrument_id from {} order by region").format(table)
    ).fetchall()


def first_date(connection: psycopg.Connection, settings: Settings, series: Series) -> date | None:
    """The first day of a series' stored regimes, None where it has none."""
    (first,) = connection.execute(
        sql.SQL(
            "select min(as_of_date) from {} where region = %(region)s"
            " and model_id = %(model_id)s and window_days = %(window_days)s"
        ).format(sql.Identifier(*settings.table("regimes"))),
        vars(series),
    ).fetchone()
    return first


def instrument_of(
    connection: psycopg.Connection, settings: Settings, region: str, instrument_id: str | None
) -> str:
    """The instrument given, else that of regions.csv; an instrument is a region of its own.

    raises RegimeError for an unknown region, and for the vote of the regions
    """
    if region == GLOBAL:
        raise RegimeError(
            f"{GLOBAL} is the vote of the regions and has no prices of its own: write it with "
            "`regime global`, or name one of the regions"
        )
    known = dict(regions(connection, settings))
    if region not in known and windows.is_instrument(connection, settings, region):
        known[region] = region
    if region not in known:
        raise RegimeError(
            f"unknown region {region!r}: known are {', '.join(known) or 'none'}; add it to "
            "seeds/regions.csv and run `regime init`"
        )
    return instrument_id or known[region]


def series_parameters(series: Series, instrument_id: str) -> dict[str, object]:
    return {
        "region": series.region,
        "instrument_id": instrument_id,
        "model_id": series.model_id,
        "window_days": series.window_days,
    }


def classify(
    connection: psycopg.Connection,
    settings: Settings,
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
    found = windows.read(connection, settings, instrument_id, encoder.COLUMNS, stretch)
    embeddings = embed(encoder, found)
    versions = models.load(connection, settings, series)
    if model_version is not None:
        versions = [replace(models.one(versions, model_version), valid_from=date.min)]
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
            *(connection, settings, run, series, found[rows], embeddings[rows], regimes),
            span=(first, until),
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


def embed(encoder, stretch: Windows) -> np.ndarray:
    """(n, dimension) float32 of a stretch; raises RegimeError where a number is not finite."""
    embeddings = encoder.encode(stretch.values)
    require_finite(encoder, stretch, embeddings)
    return embeddings


def require_finite(encoder, stretch: Windows, embeddings: np.ndarray) -> None:
    """raises RegimeError naming what the windows lack where an embedding is not finite"""
    unusable = ~np.isfinite(embeddings).all(axis=1)
    if not unusable.any():
        return
    row = int(unusable.argmax())
    missing = np.isnan(stretch.values[row]).any(axis=0)
    # The first return may look back before the instrument's first day.
    missing &= [not name.endswith("log_return") for name in encoder.COLUMNS]
    names = [name for name, absent in zip(encoder.COLUMNS, missing, strict=True) if absent]
    what = f"has days without {' and '.join(names)}" if names else "does not fit float32"
    raise RegimeError(
        f"the window of {stretch.instrument_id} from {stretch.first_trade_dates[row]} to "
        f"{stretch.last_trade_dates[row]} {what}, so {encoder.MODEL_ID} cannot encode "
        f"{int(unusable.sum())} of {len(stretch)} dates: correct the prices, or choose dates "
        "whose windows are complete"
    )


def _classify(
    versions: list[FittedModel],
    version_given: bool,
    as_of_dates: np.ndarray,
    embeddings: np.ndarray,
) -> Regimes:
    """Each date by the version valid on it, and by the seed rule before the first."""
    valid = models.valid_on(versions, as_of_dates)
    n = len(as_of_dates)
    labels, runners_up = np.empty(n, object), np.empty(n, object)
    probabilities, metadata = [{}] * n, [{}] * n
    confidence, model_versions = np.empty(n), np.zeros(n, int)
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
            model_versions[rows] = model.version
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
        labels.tolist(),
        confidence,
        probabilities,
        runners_up.tolist(),
        metadata,
        model_versions,
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
    rows = [dict(classification.constants) for _ in classification.winners]
    for name, numbers in classification.evidence.items():
        for row, values in zip(rows, numbers.tolist(), strict=True):
            row[name] = dict(zip(classification.labels, values, strict=True))
    if classification.novelty is not None:
        for row, value in zip(rows, classification.novelty.tolist(), strict=True):
            row["novelty"] = value
    return rows
