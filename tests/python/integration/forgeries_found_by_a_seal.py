"""What the audit cannot find alone: all of the ledger computed again by somebody who knows how."""

from dataclasses import dataclass

from corruptions import (
    DAY,
    FAILED_RUN,
    FORGET,
    OF_PROTOTYPE,
    SECOND_BACKFILL,
    THAT_EMBEDDING,
    THAT_MODEL,
    THAT_REGIME,
    Corruption,
    copy_of,
    forged,
)
from stored import EMBEDDINGS, FEATURES, MODELS, PRICES, REGIMES, REVISIONS, RUNS, TRANSITIONS

from regime_engine import runs, seals
from regime_engine.database import Database

SEALED, WROTE = "runs_are_sealed", "runs_wrote_what_they_sealed"
LAST_RUN = f"seal_number = (select max(seal_number) from {RUNS})"
COPIED_RUN = "'00000000-0000-4000-8000-000000000000'::uuid"


def signed(change: str, condition: str) -> list[str]:
    """The run changed by someone who knows how its hash is made."""
    return [
        f"update {RUNS} set {change} where {condition}",
        f"update {RUNS} set row_hash = {runs.ROW_HASH.as_string()} where {condition}",
    ]


FORGERIES = (
    Corruption("run edited, and its hash with it", signed("database_user = 'nobody'", SECOND_BACKFILL), SEALED, {"command": "backfill"}),
    Corruption("run's machine edited, and its hash with it", signed("host = 'elsewhere'", FORGET), SEALED, {"command": "forget"}),
    Corruption("error of a failed run edited, and its hash with it", signed("error = 'Killed by the operator'", "error like 'Killed%'"), SEALED, {"command": "backfill"}),
    Corruption("package version edited, and its hash with it", signed("package_version = '9.9'", SECOND_BACKFILL), SEALED, {"command": "backfill"}),
    Corruption("seal removed", f"update {RUNS} set seal = null where {SECOND_BACKFILL}", SEALED, {"fault": "the run has no seal"}),
    Corruption("seal edited", f"update {RUNS} set seal = md5(seal) || md5(seal) where {SECOND_BACKFILL}", SEALED, {"command": "backfill"}),
    Corruption("number of a seal removed", f"update {RUNS} set seal_number = null where {SECOND_BACKFILL}", SEALED, {"fault": "the run has no seal"}),
    Corruption("number of the last seal raised", f"update {RUNS} set seal_number = 1 + seal_number where {LAST_RUN}", SEALED, {"fault": "the seals before it are not numbered 1, 2, 3 …"}),
    Corruption("run in the middle deleted", f"delete from {RUNS} where {FAILED_RUN}", SEALED, {"fault": "the seals before it are not numbered 1, 2, 3 …"}),
    Corruption("contents edited, and the run's hash with it", signed("contents = contents - 'regimes'", SECOND_BACKFILL), WROTE, {"table_name": "regimes", "fault": "the run sealed no rows in this table"}),
    Corruption("regime forged, and its hash with it", forged("metadata = metadata || '{\"note\": \"honest\"}'"), WROTE, {"command": "backfill", "table_name": "regimes"}),
    Corruption("regime moved by a millisecond within its run", f"update {REGIMES} set created_at = created_at + interval '1 millisecond' where {THAT_REGIME}", WROTE, {"command": "backfill", "table_name": "regimes"}),
    Corruption("embedding moved by a millisecond within its run", f"update {EMBEDDINGS} set created_at = created_at + interval '1 millisecond' where {THAT_EMBEDDING}", WROTE, {"table_name": "numeric_window_embeddings"}),
    Corruption("model moved by a millisecond within its run", f"update {MODELS} set created_at = created_at + interval '1 millisecond' where {THAT_MODEL}", WROTE, {"command": "fit", "table_name": "regime_models"}),
    Corruption("revision deleted, and its count with it", [
            f"delete from {REVISIONS} where table_name = 'regimes' and key ->> 'as_of_date' = '2010-06-15'",
            *signed("rows_written = jsonb_set(rows_written, '{regimes}', to_jsonb((rows_written ->> 'regimes')::int - 1))", "rows_written ? 'regimes'"),
            ], WROTE, {"table_name": "regime_revisions"}),
    Corruption("regimes exchanged between two runs", f"""
            update {REGIMES} set run_id = {COPIED_RUN} where {THAT_REGIME}
            """, WROTE, {"command": "backfill", "table_name": "regimes", "fault": "the rows are not those that the run sealed"}),
)  # fmt: skip


@dataclass(frozen=True)
class Rewrite:
    """A forgery after which every hash of the ledger, its contents and its seals are made again."""

    name: str
    sql: list[str]


REWRITES = (
    Rewrite("the last run deleted, with its rows", [
        f"delete from {REGIMES} where run_id = (select run_id from {RUNS} where {LAST_RUN})",
        f"delete from {TRANSITIONS} where run_id = (select run_id from {RUNS} where {LAST_RUN})",
        f"delete from {RUNS} where {LAST_RUN}",
    ]),
    Rewrite("a failed run deleted", [
        f"update {RUNS} set previous_run_id = (select previous_run_id from {RUNS} where {FAILED_RUN}) where previous_run_id = (select run_id from {RUNS} where {FAILED_RUN})",
        f"delete from {RUNS} where {FAILED_RUN}",
    ]),
    Rewrite("a run's user edited", [f"update {RUNS} set database_user = 'nobody' where {SECOND_BACKFILL}"]),
    Rewrite("a run's times moved", [f"update {RUNS} set finished_at = finished_at + interval '1 second' where {LAST_RUN}"]),
    Rewrite("all rows moved to a copied run", [
        copy_of(RUNS, SECOND_BACKFILL, run_id=COPIED_RUN, seal_number="null", database_user="'nobody'"),
        f"update {EMBEDDINGS} set run_id = {COPIED_RUN} where {SECOND_BACKFILL}",
        f"update {REGIMES} set run_id = {COPIED_RUN} where {SECOND_BACKFILL}",
    ]),
    Rewrite("a revision deleted, with its count", [
        f"delete from {REVISIONS} where table_name = 'regimes' and key ->> 'as_of_date' = '2010-06-15'",
    ]),
    Rewrite("an instrument renamed everywhere", [
        f"update {table} set {column} = 'RENAMED' where {column} = 'IXIC.INDX'"
        for table, column in ((PRICES, "instrument_id"), (FEATURES, "instrument_id"), (EMBEDDINGS, "entity_id"), (REGIMES, "instrument_id"))
    ]),
    Rewrite("a regime of another label", forged("regime_label = runner_up_label, runner_up_label = regime_label, confidence = (probabilities ->> runner_up_label)::float8")),
    Rewrite("a regime of a prototype with other distances", forged("metadata = jsonb_set(metadata, '{distances, NEUTRAL}', '1')", OF_PROTOTYPE)),
    Rewrite("a model fitted by another run", [f"update {MODELS} set created_at = created_at + interval '1 millisecond' where {THAT_MODEL}"]),
    Rewrite("rows that were forgotten left out", [f"update {RUNS} set rows_removed = rows_removed - 'regimes' where {FORGET}"]),
    Rewrite("a day's regime and embedding deleted", [
        f"delete from {REGIMES} where as_of_date = '{DAY}'", f"delete from {EMBEDDINGS} where as_of_date = '{DAY}'",
    ]),
)  # fmt: skip


def seal_again(database: Database) -> None:
    """Compute the whole ledger anew, as somebody can who reads the source."""
    rows = database.rows(
        f"select run_id, status from {RUNS} where status <> 'RUNNING' order by finished_at, started_at"
    ).rows
    database.execute(f"update {RUNS} set seal_number = null, seal = null")
    for run_id, status in rows:
        tables = runs.SEALED if status == "SUCCEEDED" else runs.SEALED_OF_FAILED
        contents = seals.contents(database, [run_id], tables)[run_id]
        runs._record(database, runs.Run(run_id, ""), contents=contents)
        seals.add(database, run_id)
