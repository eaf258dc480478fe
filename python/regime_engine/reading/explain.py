"""Why a region has the label it has on a day."""

from dataclasses import dataclass
from datetime import date
from typing import Any, TypedDict

import numpy as np
from psycopg import sql
from psycopg.rows import class_row

from regime_engine import encoders
from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.errors import RegimeError
from regime_engine.reading.analogues import Analogue, analogues
from regime_engine.reading.rows import IS_SERIES, as_written, last_regime_day
from regime_engine.reading.suspicions import Suspicions, suspicions
from regime_engine.series import GLOBAL, Series

N_MOVED = 5
N_ANALOGUES = 5


@dataclass(frozen=True)
class Moved:
    """A statistic of the embedding on two days.

    in_spreads: the difference over the standard deviation of the series' embeddings so far
    """

    statistic: str
    before: float
    now: float
    in_spreads: float


class Constituent(TypedDict):
    """A region that voted, as in the metadata of the vote's regime."""

    region: str
    weight: float
    as_of_date: str
    regime_label: str
    run_id: str


@dataclass(frozen=True)
class Model:
    """The version that classified, by column of regime_models; dates as text."""

    classifier: str
    labels: list[str]
    trained_from: str
    trained_to: str
    n_windows: int
    valid_from: str
    parameters_hash: str


@dataclass(frozen=True)
class Run:
    """The run that wrote the row, by column of regime_runs; started_at as text."""

    run_id: str
    command: str
    status: str
    started_at: str
    package_version: str
    database_user: str
    host: str


@dataclass(frozen=True)
class Explanation:
    """What is stored of a regime, and what led to it.

    probabilities: label → probability, the highest first
    evidence: name → label → number, what the classifier saw: distances to the centres, or the
        filter's probabilities before they were calibrated
    expected_volatility: of the next 21 trading days, annualised by trading_days_a_year; both are
        None if the model cannot tell, and a vote has no trading days of its own
    novelty: the share of the training windows that were less unusual, 0 to 100, or None
    first_day: of the series; the spread of a statistic is over its embeddings from then to
        as_of_date
    since, changed_from, trading_days_since: the last change of label; None in the first spell
    compared_with: the day before that change, or first_day; None on first_day itself, and if that
        row is gone (`regime audit` finds such a gap)
    moved: the statistics that moved most since then, the farthest first
    analogues: the nearest earlier windows of the region
    constituents: the regions that voted; a vote has no windows of its own, so its moved and
        analogues are empty
    suspicions: None if the regime rests on no suspicious price
    why_no_suspicions: why it is not known whether it does, else None
    model: None for the seed rule, and for a version that is not stored
    run: None if the ledger does not have it
    """

    region: str
    model_id: str
    window_days: int
    as_of_date: date
    regime_label: str
    confidence: float
    runner_up_label: str | None
    probabilities: dict[str, float]
    evidence: dict[str, dict[str, float]]
    expected_volatility: float | None
    trading_days_a_year: int | None
    novelty: float | None
    in_sample: bool | None
    instrument_id: str
    first_trade_date: str | None
    last_trade_date: str | None
    first_day: date
    since: date | None
    changed_from: str | None
    trading_days_since: int | None
    compared_with: date | None
    moved: list[Moved]
    analogues: list[Analogue]
    constituents: list[Constituent]
    suspicions: Suspicions | None
    why_no_suspicions: str | None
    model_version: int
    model: Model | None
    run: Run | None


@dataclass(frozen=True)
class _Stored:
    """The row of regime_of_day.sql."""

    instrument_id: str
    regime_label: str
    confidence: float
    runner_up_label: str | None
    expected_volatility: float | None
    probabilities: dict[str, float]
    metadata: dict[str, Any]
    embedding: bytes
    model_version: int
    model: dict[str, Any] | None
    run: dict[str, Any] | None


@dataclass(frozen=True)
class _Before:
    """What came before a day: fields of Explanation, and the embedding of compared_with."""

    since: date | None
    changed_from: str | None
    trading_days_since: int | None
    first_day: date
    compared_with: date | None
    embedding: bytes | None


def explain(database: Database, series: Series, as_of: date | None = None) -> Explanation:
    """The regime of the series' last day up to as_of. as_of: by default its last day of all

    raises RegimeError if the series has no regime then, if the embedding of that day is gone, or if
        a stored row holds something that the engine does not write
    """
    day = last_regime_day(database, series, as_of)
    with as_written(series):
        return _explanation(database, series, day)


def _explanation(database: Database, series: Series, day: date) -> Explanation:
    query = database.compose(statement(__package__, "regime_of_day"))
    with database.connection.cursor(row_factory=class_row(_Stored)) as cursor:
        [stored] = cursor.execute(query, vars(series) | {"day": day})
    before = _before(database, series, day, stored.instrument_id)
    metadata = stored.metadata
    moved: list[Moved] = []
    similar: list[Analogue] = []
    if series.region != GLOBAL:
        moved = _moved(database, series, day, stored.embedding, before)
        similar = analogues(database, series, as_of=day, n=N_ANALOGUES).records(Analogue)
    found, why_no_suspicions = None, None
    try:
        found = next(iter(suspicions(database, [series], as_of=day)), None)
    except RegimeError as error:
        why_no_suspicions = str(error)
    return Explanation(
        **vars(series),
        as_of_date=day,
        regime_label=stored.regime_label,
        confidence=stored.confidence,
        runner_up_label=stored.runner_up_label,
        probabilities=dict(sorted(stored.probabilities.items(), key=lambda each: -each[1])),
        evidence={name: value for name, value in metadata.items() if isinstance(value, dict)},
        expected_volatility=stored.expected_volatility,
        trading_days_a_year=metadata.get("trading_days_a_year"),
        novelty=metadata.get("novelty"),
        in_sample=metadata.get("in_sample"),
        instrument_id=stored.instrument_id,
        first_trade_date=metadata.get("first_trade_date"),
        last_trade_date=metadata.get("last_trade_date"),
        first_day=before.first_day,
        since=before.since,
        changed_from=before.changed_from,
        trading_days_since=before.trading_days_since,
        compared_with=before.compared_with if before.compared_with != day else None,
        moved=moved,
        analogues=similar,
        constituents=metadata.get("constituents", []),
        suspicions=found,
        why_no_suspicions=why_no_suspicions,
        model_version=stored.model_version,
        model=Model(**stored.model) if stored.model else None,
        run=Run(**stored.run) if stored.run else None,
    )


def farthest(
    names: tuple[str, ...], before: np.ndarray, now: np.ndarray, history: np.ndarray
) -> list[Moved]:
    """The statistics by how far they moved, in standard deviations of their history.

    names: k; before, now: (k,); history: (n, k); a statistic that was always the same is left out
    """
    spread = history.std(axis=0)
    moved = [
        Moved(names[i], float(before[i]), float(now[i]), float((now[i] - before[i]) / spread[i]))
        for i in np.flatnonzero(spread)
    ]
    return sorted(moved, key=lambda each: -abs(each.in_spreads))


def _before(database: Database, series: Series, day: date, instrument_id: str) -> _Before:
    """The last change of label up to the day, and the row before it, or else the first one."""
    parameters = vars(series) | {"day": day, "instrument_id": instrument_id}
    since, previous, changed_from = database.first(
        """
        select as_of_date, previous_as_of_date, from_regime_label
        from {regime_transitions}
        where {is_series} and as_of_date <= %(day)s
        order by as_of_date desc
        limit 1
        """,
        parameters,
        is_series=IS_SERIES,
    ) or (None, None, None)
    (first_day,) = database.one(
        "select min(as_of_date) from {regimes} where {is_series}", parameters, is_series=IS_SERIES
    )
    trading_days_since = None
    if since:
        (trading_days_since,) = database.one(
            "select count(*) from {daily_features} where instrument_id = %(instrument_id)s"
            " and trade_date > %(since)s and trade_date <= %(day)s",
            parameters | {"since": since},
        )
    compared_with, embedding = database.first(
        "select as_of_date, regime_embedding from {regimes}"
        " where {is_series} and as_of_date = %(compared_with)s",
        parameters | {"compared_with": previous or first_day},
        is_series=IS_SERIES,
    ) or (None, None)
    return _Before(since, changed_from, trading_days_since, first_day, compared_with, embedding)


def _moved(
    database: Database, series: Series, day: date, embedding: bytes, before: _Before
) -> list[Moved]:
    """The statistics that moved most since the day compared with.

    Empty if there is no such day, or if the encoder has no statistics.
    """
    encoder = encoders.get(series.model_id)
    names = getattr(encoder, "STATISTICS", ())
    if before.compared_with in (None, day) or before.embedding is None or not names:
        return []
    first = encoder.layout(series.window_days).index(names[0])
    query = database.compose(
        """
        select substring(regime_embedding from {first_byte} for {n_bytes})
        from {regimes}
        where {is_series} and as_of_date <= %(day)s
        """,
        first_byte=sql.Literal(4 * first + 1),
        n_bytes=sql.Literal(4 * len(names)),
        is_series=IS_SERIES,
    )
    with database.connection.cursor(binary=True) as cursor:
        rows = cursor.execute(query, vars(series) | {"day": day}).fetchall()
    history = np.frombuffer(b"".join(row for (row,) in rows), "<f4").reshape(-1, len(names))

    def statistics(embedding: bytes) -> np.ndarray:
        return np.frombuffer(embedding, "<f4")[first : first + len(names)].astype(float)

    then, now = statistics(before.embedding), statistics(embedding)
    return farthest(names, then, now, history.astype(float))[:N_MOVED]
