"""The writing transaction: embeddings, regimes, transitions, revisions and the run's counts.

One batch is one transaction: killed at any point, nothing half-written is visible.
"""

import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import psycopg
from psycopg import sql

from regime_engine.config import Settings
from regime_engine.database import binary_copy, row_hash
from regime_engine.models import Series
from regime_engine.runs import Run, add_rows_written, orphaned
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


def lock_series(connection: psycopg.Connection, instrument_id: str, series: Series) -> None:
    """Writers of one series, and of one instrument's embeddings, take turns until commit."""
    encoding = f"{series.model_id}/{series.window_days}"
    for name in (f"embeddings/{instrument_id}/{encoding}", f"regimes/{series}"):
        connection.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"regime:{name}"]
        )


def write_batch(
    connection: psycopg.Connection,
    settings: Settings,
    run: Run,
    series: Series,
    windows: Windows,
    embeddings: np.ndarray,
    regimes: Regimes,
    span: tuple[date, date],
) -> dict[str, int]:
    """Write one batch of a series; returns table → rows inserted or replaced.

    A row equal to what is stored is left alone; a different one is replaced, and one of a trading
    day that is none any more (its price was deleted) is removed; regime_revisions keeps what they
    said.
    embeddings: (n, dimension) float32, one a window
    span: first and last day that the batch answers for; it has all trading days between them
    """
    values = {
        "entity_type": "instrument",
        "instrument_id": windows.instrument_id,
        "region": series.region,
        "model_id": series.model_id,
        "window_days": series.window_days,
        "dimension": embeddings.shape[1],
        "columns": json.dumps(windows.columns),
        "run_id": run.run_id,
        "first": span[0],
        "last": span[1],
    }
    with connection.transaction():
        lock_series(connection, windows.instrument_id, series)
        _copy_incoming(connection, windows, embeddings, regimes)
        with connection.pipeline():
            inserted = {}
            for table in (EMBEDDINGS, REGIMES):
                connection.execute(_remove_vanished(settings, table), values)
                connection.execute(_remove_different(settings, table), values)
                inserted[table.name] = connection.execute(_insert_missing(settings, table), values)
            transitions = connection.execute(_replace_transitions(settings), values)
        written = {table: cursor.rowcount for table, cursor in inserted.items()}
        (written["regime_transitions"],) = transitions.fetchone()
        add_rows_written(connection, settings, run, written)
    return written


def _copy_incoming(
    connection: psycopg.Connection, windows: Windows, embeddings: np.ndarray, regimes: Regimes
) -> None:
    connection.execute("""
        create temporary table if not exists incoming (
            as_of_date date,
            first_trade_date date,
            last_trade_date date,
            window_hash bytea,
            vector bytea,
            model_version int,
            confidence double precision,
            regime_label text,
            runner_up_label text,
            probabilities jsonb,
            metadata jsonb
        ) on commit delete rows
    """)
    binary_copy.write(
        connection,
        sql.SQL("copy incoming from stdin (format binary)"),
        [
            binary_copy.fixed("date", windows.as_of_dates),
            binary_copy.fixed("date", windows.first_trade_dates),
            binary_copy.fixed("date", windows.last_trade_dates),
            binary_copy.fixed_bytes(windows.hashes),
            binary_copy.fixed_bytes(embeddings.astype("<f4")),
            binary_copy.fixed("int4", regimes.model_versions),
            binary_copy.fixed("float8", regimes.confidence),
        ],
        [
            [binary_copy.text(label) for label in regimes.labels],
            [binary_copy.text(label) for label in regimes.runner_up_labels],
            [binary_copy.jsonb(json.dumps(row)) for row in regimes.probabilities],
            [binary_copy.jsonb(json.dumps(row)) for row in regimes.metadata],
        ],
    )


@dataclass(frozen=True)
class _Table:
    """An engine table, and the query that gives its rows (key, then content) from `incoming`."""

    name: str
    schema_setting: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    document: str  # the jsonb column that names the window's dates
    is_series: str
    rows: str

    def identifier(self, settings: Settings) -> sql.Identifier:
        return sql.Identifier(getattr(settings, self.schema_setting), self.name)


EMBEDDINGS = _Table(
    "numeric_window_embeddings",
    "historical_schema",
    ("entity_type", "entity_id", "as_of_date", "model_id", "window_days"),
    ("window_spec", "vector", "dimension", "window_hash", "vector_hash"),
    "window_spec",
    """
    entity_type = %(entity_type)s and entity_id = %(instrument_id)s
    and model_id = %(model_id)s and window_days = %(window_days)s
    """,
    """
    select
        %(entity_type)s::text, %(instrument_id)s::text, as_of_date, %(model_id)s::text,
        %(window_days)s::int,
        jsonb_build_object(
            'first_trade_date', first_trade_date,
            'last_trade_date', last_trade_date,
            'rows', %(window_days)s::int,
            'columns', %(columns)s::jsonb
        ),
        vector, %(dimension)s::int, encode(window_hash, 'hex'), encode(sha256(vector), 'hex')
    from incoming
    """,
)
REGIME_HASH = row_hash(
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
REGIMES = _Table(
    "regimes",
    "runtime_schema",
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
    "metadata",
    """
    region = %(region)s and instrument_id = %(instrument_id)s
    and model_id = %(model_id)s and window_days = %(window_days)s
    """,
    "\n".join(
        [
            "select *,",
            REGIME_HASH,
            """
            from (
                select
                    %(region)s::text as region, as_of_date, %(model_id)s::text as model_id,
                    %(window_days)s::int as window_days, %(instrument_id)s::text as instrument_id,
                    model_version, regime_label, confidence, probabilities, runner_up_label,
                    vector as regime_embedding,
                    metadata || jsonb_build_object(
                        'first_trade_date', first_trade_date, 'last_trade_date', last_trade_date
                    ) as metadata
                from incoming
            ) as classified
            """,
        ]
    ),
)


def _remove_vanished(settings: Settings, table: _Table) -> sql.Composed:
    """Remove rows of days that ended a window and are no trading days any more."""
    return _remove(
        settings,
        table,
        sql.SQL("""
            delete from {table} as stored
            where
                {is_series}
                and stored.as_of_date between %(first)s and %(last)s
                and (stored.{document} ->> 'last_trade_date')::date = stored.as_of_date
                and not exists (
                    select 1 from incoming where incoming.as_of_date = stored.as_of_date
                )
            returning to_jsonb(stored) as old_row, true as is_revised
        """).format(
            table=table.identifier(settings),
            is_series=sql.SQL(table.is_series),
            document=sql.Identifier(table.document),
        ),
    )


def _remove_different(settings: Settings, table: _Table) -> sql.Composed:
    """Remove the stored rows that are to be replaced."""
    new_content, stored_content = _list(table.content, "new"), _list(table.content, "stored")
    return _remove(
        settings,
        table,
        sql.SQL("""
            delete from {table} as stored
            using ({rows}) as new ({columns})
            where
                {same_key}
                and stored.as_of_date between %(first)s and %(last)s
                and (({new_content}) is distinct from ({stored_content}) or {orphaned})
            returning
                to_jsonb(stored) as old_row,
                ({new_content}) is distinct from ({stored_content}) as is_revised
        """).format(
            table=table.identifier(settings),
            rows=sql.SQL(table.rows),
            columns=_list((*table.key, *table.content)),
            same_key=_same_key(table),
            new_content=new_content,
            stored_content=stored_content,
            orphaned=orphaned(settings),
        ),
    )


def _remove(settings: Settings, table: _Table, delete: sql.Composed) -> sql.Composed:
    """The deletion, keeping what the revised rows said."""
    return sql.SQL("""
        with removed as ({delete})

        insert into {revisions} (table_name, key, old_row, new_run_id, revised_at, row_hash)
        select *, {row_hash}
        from (
            select
                {table_name}::text as table_name,
                (select jsonb_object_agg(k, old_row -> k) from unnest({key_names}::text[]) as k)
                    as key,
                old_row,
                %(run_id)s::uuid as new_run_id,
                clock_timestamp() as revised_at
            from removed
            where is_revised
            -- Keeps the rows as they are, where the clock would be read anew for the hash.
            offset 0
        ) as revised
    """).format(
        delete=delete,
        revisions=sql.Identifier(settings.runtime_schema, "regime_revisions"),
        table_name=sql.Literal(table.name),
        key_names=sql.Literal(list(table.key)),
        row_hash=sql.SQL(
            row_hash("table_name", "key", "old_row", "new_run_id", "extract(epoch from revised_at)")
        ),
    )


def _insert_missing(settings: Settings, table: _Table) -> sql.Composed:
    """Insert the rows of which none is stored; the others are equal by now."""
    columns = (*table.key, *table.content)
    return sql.SQL("""
        with new ({columns}) as not materialized ({rows})

        insert into {table} ({columns}, run_id, created_at)
        select {columns}, %(run_id)s, clock_timestamp()
        from new
        where not exists (
            select 1
            from {table} as stored
            where {same_key} and stored.as_of_date between %(first)s and %(last)s
        )
    """).format(
        rows=sql.SQL(table.rows),
        table=table.identifier(settings),
        columns=_list(columns),
        same_key=_same_key(table),
    )


def _same_key(table: _Table) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("stored.{0} = new.{0}").format(sql.Identifier(name)) for name in table.key
    )


def _replace_transitions(settings: Settings) -> sql.Composed:
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
        regimes=REGIMES.identifier(settings),
        transitions=sql.Identifier(settings.runtime_schema, "regime_transitions"),
        content=_list(content),
        expected_content=_list(content, "expected"),
        stored_content=_list(content, "stored"),
        assignments=_assignments((*content, "run_id", "created_at")),
        orphaned=orphaned(settings),
    )


def _list(names: tuple[str, ...], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (table, name))) for name in names)


def _assignments(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names
    )
