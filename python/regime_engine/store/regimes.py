"""A series' embeddings, regimes, transitions and revisions, written in one transaction."""

import json
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from psycopg import sql

from regime_engine.database import Database, binary, row_hash
from regime_engine.runs import Run, add_rows_written, orphaned
from regime_engine.series import Series
from regime_engine.store import embeddings
from regime_engine.store.rows import Table, insert_missing, names, remove_different, remove_vanished
from regime_engine.windows import Windows


@dataclass(frozen=True)
class Regimes:
    """Regimes of n windows, row by row.

    confidence: (n,) float64, 0 to 1; model_versions: (n,) int, 0 for the seed rule
    probabilities: label → probability; metadata: the evidence, without the window's dates
    """

    labels: list[str]
    confidence: np.ndarray
    probabilities: list[dict[str, float]]
    runner_up_labels: list[str | None]
    metadata: list[dict[str, object]]
    model_versions: np.ndarray


def write_batch(
    database: Database,
    run: Run,
    series: Series,
    windows: Windows,
    vectors: np.ndarray,
    regimes: Regimes,
    span: tuple[date, date],
) -> dict[str, int]:
    """Write one batch of a series; returns table → rows inserted or replaced.

    A row of a trading day that is none any more (its price was deleted) is removed.
    vectors: (n, dimension) float32, one a window
    span: first and last day that the batch answers for; it has all trading days between them
    """
    with database.transaction():
        lock_series(database, windows.instrument_id, series)
        embeddings.send_incoming(
            database, [embeddings.pack(run, series.model_id, windows, vectors)]
        )
        _send_incoming(database, windows.as_of_dates, _with_dates(windows, regimes))
        values = _values(run, series, windows.instrument_id, span)
        return _merge(database, run, _TABLES, values)


def write_votes(
    database: Database,
    run: Run,
    series: Series,
    instrument_id: str,
    as_of_dates: list[date],
    vectors: list[np.ndarray],
    regimes: Regimes,
) -> dict[str, int]:
    """Write all regimes of a series that has no windows of its own; returns as write_batch.

    To be called in a transaction that holds the lock of the series, and in which its regimes were
    worked out. A stored row of another day is removed.
    vectors: float32, what each regime was classified from
    """
    embeddings.send_incoming(database, [])
    _send_incoming(database, np.array(as_of_dates, "datetime64[D]"), regimes, vectors)
    span = (date(1, 1, 1), date(9999, 12, 31))
    values = _values(run, series, instrument_id, span)
    return _merge(database, run, _VOTED_TABLES, values)


def _values(
    run: Run, series: Series, instrument_id: str, span: tuple[date, date]
) -> dict[str, object]:
    return {
        "instrument_id": instrument_id,
        "region": series.region,
        "model_id": series.model_id,
        "window_days": series.window_days,
        "run_id": run.run_id,
        "first": span[0],
        "last": span[1],
    }


def _merge(
    database: Database,
    run: Run,
    tables: tuple[tuple[Table, str, sql.Composable, sql.Composable], ...],
    values: dict[str, object],
) -> dict[str, int]:
    """The incoming rows into the tables, and the transitions that follow; table → rows written."""
    with database.pipeline():
        inserted = {}
        for table, document, is_series, incoming in tables:
            vanished = sql.SQL("{} and not exists ({})").format(is_series, _SAME_DAY)
            for statement in (
                remove_vanished(database, table, document, vanished),
                remove_different(database, table, incoming),
            ):
                database.execute(statement, values)
            inserted[table.name] = database.execute(
                insert_missing(database, table, incoming), values
            )
        transitions = database.execute(_replace_transitions(database), values)
    written = {table: cursor.rowcount for table, cursor in inserted.items()}
    (written["regime_transitions"],) = transitions.fetchone()
    add_rows_written(database, run, written)
    return written


def lock_series(database: Database, instrument_id: str, series: Series) -> None:
    """Writers of one series, and of one instrument's embeddings, take turns until commit."""
    embeddings.lock(database, [instrument_id], series.model_id, series.window_days)
    database.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"regime:regimes/{series}"]
    )


def _with_dates(windows: Windows, regimes: Regimes) -> Regimes:
    """The regimes, their evidence with the window's dates."""
    dates = zip(
        regimes.metadata,
        windows.first_trade_dates.astype(str).tolist(),
        windows.last_trade_dates.astype(str).tolist(),
        strict=True,
    )
    metadata = [
        evidence | {"first_trade_date": first, "last_trade_date": last}
        for evidence, first, last in dates
    ]
    return replace(regimes, metadata=metadata)


def _send_incoming(
    database: Database,
    as_of_dates: np.ndarray,
    regimes: Regimes,
    vectors: list[np.ndarray] | None = None,
) -> None:
    """Regimes into the temporary table incoming_regimes, emptied at commit.

    vectors: default those of incoming_embeddings
    """
    database.execute("""
        create temporary table if not exists incoming_regimes (
            as_of_date date,
            model_version int,
            confidence double precision,
            regime_label text,
            runner_up_label text,
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
            [binary.jsonb(json.dumps(row)) for row in regimes.probabilities],
            [binary.jsonb(json.dumps(row)) for row in regimes.metadata],
            [binary.bytea(vector) for vector in vectors or [None] * len(as_of_dates)],
        ],
        len(as_of_dates),
    )
    statement = sql.SQL("copy incoming_regimes from stdin (format binary)")
    binary.send(database, statement, [rows])


REGIMES = Table(
    "regimes",
    ("region", "as_of_date", "model_id", "window_days"),
    (
        "instrument_id",
        "model_version",
        "regime_label",
        "confidence",
        "probabilities",
        "runner_up_label",
        "regime_embedding",
        "metadata",
        "row_hash",
    ),
)
REGIME_HASH = sql.SQL(
    row_hash(
        "region",
        "as_of_date",
        "model_id",
        "window_days",
        "instrument_id",
        "model_version",
        "regime_label",
        "probabilities",
        "runner_up_label",
        "encode(sha256(regime_embedding), 'hex')",
        "metadata",
    )
)
_SAME_DAY = sql.SQL(
    "select 1 from incoming_regimes as new where new.as_of_date = stored.as_of_date"
)
# table, the jsonb column that names the window's dates, the series in it, the rows to be written
_TABLES = (
    (
        embeddings.EMBEDDINGS,
        "window_spec",
        sql.SQL("""
            stored.entity_type = 'INSTRUMENT' and stored.entity_id = %(instrument_id)s
            and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
        """),
        embeddings.INCOMING,
    ),
    (
        REGIMES,
        "metadata",
        sql.SQL("""
            stored.region = %(region)s and stored.instrument_id = %(instrument_id)s
            and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
        """),
        sql.SQL("""
            select *, {row_hash}
            from (
                select
                    %(region)s::text as region, as_of_date, %(model_id)s::text as model_id,
                    %(window_days)s::int as window_days, %(instrument_id)s::text as instrument_id,
                    model_version, regime_label, confidence, probabilities, runner_up_label,
                    coalesce(regime_embedding, embeddings.vector) as regime_embedding, metadata
                from incoming_regimes
                left join incoming_embeddings as embeddings using (as_of_date)
            ) as classified
        """).format(row_hash=REGIME_HASH),
    ),
)
# The instrument that stands for a vote may be another than it was.
_VOTED_TABLES = (
    (
        REGIMES,
        "metadata",
        sql.SQL("""
            stored.region = %(region)s
            and stored.model_id = %(model_id)s and stored.window_days = %(window_days)s
        """),
        _TABLES[1][3],
    ),
)


def _replace_transitions(database: Database) -> sql.Composed:
    """Recompute the transitions from the batch's first date to the row after its last one."""
    content = (
        "previous_as_of_date",
        "from_regime_label",
        "to_regime_label",
        "from_confidence",
        "to_confidence",
    )
    return sql.SQL("""
        with

        -- Not materialized: the neighbours of the stretch then come from the key's index.
        series as not materialized (
            select as_of_date, regime_label, confidence
            from {regimes}
            where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
        ),

        stretch as (
            select *
            from series
            where
                as_of_date >= coalesce(
                    (select max(as_of_date) from series where as_of_date < %(first)s), %(first)s
                )
                and as_of_date <= coalesce(
                    (select min(as_of_date) from series where as_of_date > %(last)s), %(last)s
                )
        ),

        steps as (
            select
                as_of_date,
                lag(as_of_date) over by_date as previous_as_of_date,
                lag(regime_label) over by_date as from_regime_label,
                regime_label as to_regime_label,
                lag(confidence) over by_date as from_confidence,
                confidence as to_confidence
            from stretch
            window by_date as (order by as_of_date)
        ),

        expected as (
            select *
            from steps
            where as_of_date >= %(first)s and from_regime_label <> to_regime_label
        ),

        recorded as (
            select *
            from {transitions}
            where
                region = %(region)s
                and model_id = %(model_id)s
                and window_days = %(window_days)s
                and as_of_date >= %(first)s
                and as_of_date <= greatest(%(last)s, (select max(as_of_date) from stretch))
        ),

        removed as (
            delete from {transitions} as stored
            using recorded
            where
                stored.region = recorded.region
                and stored.model_id = recorded.model_id
                and stored.window_days = recorded.window_days
                and stored.as_of_date = recorded.as_of_date
                and not exists (
                    select 1 from expected where expected.as_of_date = recorded.as_of_date
                )
            returning 1
        ),

        written as (
            insert into {transitions} (
                region, as_of_date, model_id, window_days, {content}, run_id, created_at
            )
            select
                %(region)s, expected.as_of_date, %(model_id)s, %(window_days)s,
                {expected_content}, %(run_id)s, clock_timestamp()
            from expected
            left join recorded as stored using (as_of_date)
            where
                stored.run_id is null
                or ({expected_content}) is distinct from ({stored_content})
                or {orphaned}
            on conflict (region, as_of_date, model_id, window_days) do update set {assignments}
            returning 1
        )

        select (select count(*) from written) + (select count(*) from removed)
    """).format(
        regimes=REGIMES.identifier(database),
        transitions=database.table("regime_transitions"),
        content=names(content),
        expected_content=names(content, "expected"),
        stored_content=names(content, "stored"),
        assignments=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in (*content, "run_id", "created_at")
        ),
        orphaned=orphaned(database),
    )
