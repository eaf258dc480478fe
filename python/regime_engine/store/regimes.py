"""A series' embeddings, regimes, transitions and revisions, and the news of them in the outbox,
written in one transaction."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import repeat

import numpy as np
import psycopg
from psycopg import sql

from regime_engine.database import Database, binary, canonical, row_hash
from regime_engine.database.statements import assignments, names, statement
from regime_engine.runs import Run, add_rows_written, orphaned
from regime_engine.series import GLOBAL, Series
from regime_engine.store import embeddings
from regime_engine.store.rows import Table, different, insert_missing, remove, vanished
from regime_engine.windows import Windows

REGIMES = Table(
    name="regimes",
    key=("region", "as_of_date", "model_id", "window_days"),
    entity="region",
    of_entity=sql.SQL("stored.region = %(entity)s"),
    content=(
        "instrument_id",
        "model_version",
        "regime_label",
        "confidence",
        "probabilities",
        "runner_up_label",
        "expected_volatility",
        "regime_embedding",
        "metadata",
        "row_hash",
    ),
    window_column="metadata",
)
REGIME_HASH = row_hash("""
    region, as_of_date, model_id, window_days, instrument_id, model_version, regime_label,
    probabilities, runner_up_label, expected_volatility, encode(sha256(regime_embedding), 'hex'),
    metadata
""")

# The same event has the same id, whenever it is found.
NOTIFICATION_ID = row_hash("kind, region, as_of_date, model_id, window_days, subject")


@dataclass(frozen=True)
class Regimes:
    """Regimes of n windows, row by row.

    confidence: (n,) float64, 0 to 1; model_versions: (n,) int, 0 for the seed rule
    expected_volatility: annualised, of the next 21 trading days; None where it is not known
    probabilities: label → probability; metadata: the evidence, without the window's dates
    """

    labels: list[str]
    confidence: np.ndarray
    probabilities: list[dict[str, float]]
    runner_up_labels: list[str | None]
    expected_volatility: list[float | None]
    metadata: list[dict[str, object]]
    model_versions: np.ndarray


@dataclass(frozen=True)
class _Target:
    """A table that a batch writes.

    of_series: the condition on `stored` for the rows of the series
    incoming: the query that gives the rows as they are to be
    """

    table: Table
    of_series: sql.Composable
    incoming: sql.Composable


_INCOMING_REGIMES = sql.SQL("""
    select *, {row_hash}
    from (
        select
            %(region)s::text as region, as_of_date, %(model_id)s::text as model_id,
            %(window_days)s::int as window_days, %(instrument_id)s::text as instrument_id,
            model_version, regime_label, confidence, probabilities, runner_up_label,
            expected_volatility,
            coalesce(regime_embedding, embeddings.vector) as regime_embedding, metadata
        from incoming_regimes
        left join incoming_embeddings as embeddings using (as_of_date)
    ) as classified
""").format(row_hash=REGIME_HASH)
_OF_SERIES = sql.SQL("""
    stored.region = %(region)s
    and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
""")
_CLASSIFIED = (
    _Target(
        embeddings.EMBEDDINGS,
        sql.SQL("""
            stored.entity_type = 'INSTRUMENT' and stored.entity_id = %(instrument_id)s
            and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
        """),
        embeddings.INCOMING,
    ),
    _Target(
        REGIMES,
        sql.SQL("{} and stored.instrument_id = %(instrument_id)s").format(_OF_SERIES),
        _INCOMING_REGIMES,
    ),
)
# Of any instrument: another one than before may stand for the vote.
_VOTED = (_Target(REGIMES, _OF_SERIES, _INCOMING_REGIMES),)
TRANSITION = (
    "previous_as_of_date",
    "from_regime_label",
    "to_regime_label",
    "from_confidence",
    "to_confidence",
)


def write_batch(
    database: Database,
    run: Run,
    series: Series,
    windows: Windows,
    vectors: np.ndarray,
    regimes: Regimes,
    *,
    span: tuple[date, date],
) -> dict[str, int]:
    """Write one batch of a series; returns table → rows inserted or replaced.

    A row is removed if its day is not a trading day any more, since its price was deleted.
    vectors: (n, dimension) float32, one a window
    span: first and last day that the batch answers for; it has all trading days between them
    """
    with database.transaction():
        lock_series(database, windows.instrument_id, series)
        packed = embeddings.pack(run, series.model_id, windows, vectors)
        firsts = windows.first_trade_dates.astype(str).tolist()
        lasts = windows.last_trade_dates.astype(str).tolist()
        regimes = with_dates(regimes, firsts, lasts)
        embeddings.send_incoming(database, [packed])
        _send_incoming(database, windows.as_of_dates, regimes)
        parameters = _parameters(run, series, windows.instrument_id, span)
        parameters["as_of_dates"] = windows.as_of_dates.tolist()
        return _merge(database, run, _CLASSIFIED, parameters)


def write_votes(
    database: Database,
    run: Run,
    series: Series,
    *,
    instrument_id: str,
    as_of_dates: list[date],
    vectors: list[np.ndarray],
    regimes: Regimes,
) -> dict[str, int]:
    """Write all regimes of a series that has no windows of its own; returns as write_batch.

    To be called in the transaction that holds the lock of the series and has counted the vote. A
    stored row of another day is removed.
    vectors: float32, what each regime was classified from
    """
    embeddings.send_incoming(database, [])
    _send_incoming(database, np.array(as_of_dates, "datetime64[D]"), regimes, vectors)
    parameters = _parameters(run, series, instrument_id, (date.min, date.max))
    parameters["as_of_dates"] = as_of_dates
    return _merge(database, run, _VOTED, parameters)


def follow_removal(database: Database, run: Run, series: Series) -> None:
    """Derive all transitions of a series anew, in the transaction that removed some of its rows."""
    parameters = _parameters(run, series, "", (date.min, date.max))
    (changed,) = _derive_transitions(database, parameters).fetchall()[0]
    add_rows_written(database, run, {"regime_transitions": changed})


def lock_series(database: Database, instrument_id: str, series: Series) -> None:
    """Writers of one series, and of one instrument's embeddings, take turns until commit."""
    embeddings.lock(database, [instrument_id], series.model_id, series.window_days)
    database.take_turns([f"regimes/{series}"])


def _parameters(
    run: Run, series: Series, instrument_id: str, span: tuple[date, date]
) -> dict[str, object]:
    parameters = {"instrument_id": instrument_id, "run_id": run.run_id}
    return vars(series) | parameters | dict(zip(("first", "last"), span, strict=True))


def _merge(
    database: Database, run: Run, targets: tuple[_Target, ...], parameters: dict[str, object]
) -> dict[str, int]:
    """The incoming rows into the tables, and the transitions that follow; table → rows written."""
    outdated = {}
    for target in targets:
        gone = sql.SQL(
            "{} and stored.as_of_date not in (select unnest(%(as_of_dates)s::date[]))"
        ).format(target.of_series)
        outdated[target.table.name] = [
            *vanished(database, target.table, gone, parameters),
            *different(database, target.table, target.incoming, parameters),
        ]
    with database.pipeline():
        inserted = {}
        for target in targets:
            remove(database, target.table, outdated[target.table.name], parameters)
            inserted[target.table.name] = database.execute(
                insert_missing(database, target.table, target.incoming), parameters
            )
        transitions = _derive_transitions(database, parameters)
    written = {table: cursor.rowcount for table, cursor in inserted.items()}
    (written["regime_transitions"],) = transitions.fetchall()[0]
    add_rows_written(database, run, written)
    return written


def _derive_transitions(
    database: Database, parameters: dict[str, object]
) -> psycopg.Cursor[tuple[int]]:
    """The transitions of the stretch as they follow from its regimes; how many were changed."""
    return database.execute(
        statement(__package__, "replace_transitions"),
        parameters,
        content=names(TRANSITION),
        expected_content=names(TRANSITION, "expected"),
        stored_content=names(TRANSITION, "stored"),
        assignments=assignments((*TRANSITION, "run_id", "created_at")),
        orphaned=orphaned(database),
        notification_id=NOTIFICATION_ID,
        vote=sql.Literal(GLOBAL),
    )


def contents(
    series: Series,
    instrument_id: str,
    as_of_dates: Iterable[date],
    regimes: Regimes,
    vectors: Iterable[bytes],
) -> Iterator[dict[str, str | bytes | None]]:
    """What is stored of each regime: column → its text or bytes, numbers with all their digits.

    as_of_dates, vectors: one a regime
    """
    for row, (as_of_date, vector) in enumerate(zip(as_of_dates, vectors, strict=True)):
        version = int(regimes.model_versions[row])
        label, runner_up = regimes.labels[row], regimes.runner_up_labels[row]
        probabilities, metadata = regimes.probabilities[row], regimes.metadata[row]
        volatility = regimes.expected_volatility[row]
        hashed = [series.region, str(as_of_date), series.model_id, series.window_days]
        hashed += [instrument_id, version, label, probabilities, runner_up, volatility]
        hashed += [hashlib.sha256(vector).hexdigest(), metadata]
        yield {
            "instrument_id": instrument_id,
            "model_version": str(version),
            "regime_label": label,
            "confidence": repr(float(regimes.confidence[row])),
            "probabilities": canonical.text(probabilities),
            "runner_up_label": runner_up,
            "expected_volatility": None if volatility is None else repr(volatility),
            "regime_embedding": vector,
            "metadata": canonical.text(metadata),
            "row_hash": canonical.row_hash(hashed),
        }


def with_dates(regimes: Regimes, firsts: list[str], lasts: list[str]) -> Regimes:
    """The regimes, with the first and the last date of their windows in the metadata."""
    metadata = [
        evidence | {"first_trade_date": first, "last_trade_date": last}
        for evidence, first, last in zip(regimes.metadata, firsts, lasts, strict=True)
    ]
    return replace(regimes, metadata=metadata)


def _send_incoming(
    database: Database,
    as_of_dates: np.ndarray,
    regimes: Regimes,
    vectors: list[np.ndarray] | None = None,
) -> None:
    """Send the regimes into the temporary table incoming_regimes, which a commit empties.

    vectors: None where those of incoming_embeddings are meant
    """
    database.execute("""
        create temporary table if not exists incoming_regimes (
            as_of_date date,
            model_version int,
            confidence double precision,
            regime_label text,
            runner_up_label text,
            expected_volatility double precision,
            probabilities jsonb,
            metadata jsonb,
            regime_embedding bytea
        ) on commit delete rows
    """)
    rows = binary.rows(
        [
            binary.fixed("date", as_of_dates),
            binary.fixed("int4", regimes.model_versions),
            binary.fixed("float8", regimes.confidence),
        ],
        [
            [binary.text(label) for label in regimes.labels],
            [binary.text(label) for label in regimes.runner_up_labels],
            [binary.float8(each) for each in regimes.expected_volatility],
            [binary.jsonb(json.dumps(row)) for row in regimes.probabilities],
            [binary.jsonb(json.dumps(row)) for row in regimes.metadata],
            [binary.bytea(vector) for vector in vectors or repeat(None, len(as_of_dates))],
        ],
        len(as_of_dates),
    )
    binary.send(database, sql.SQL("copy incoming_regimes from stdin (format binary)"), [rows])
