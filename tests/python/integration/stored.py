"""What the tables hold, to compare after with before."""

from collections.abc import Iterable

from regime_engine import seals
from regime_engine.database import Database
from regime_engine.runs import SEALED

EMBEDDINGS, REGIMES = "historical.numeric_window_embeddings", "runtime.regimes"
TRANSITIONS, REVISIONS = "runtime.regime_transitions", "runtime.regime_revisions"
MODELS, RUNS = "runtime.regime_models", "runtime.regime_runs"
PRICES, FEATURES = "historical.prices_daily", "features.daily_features"
ENGINE_TABLES = {EMBEDDINGS, REGIMES, TRANSITIONS, REVISIONS, MODELS, RUNS}
# What differs between two runs that write the same.
OF_A_RUN = ("run_id", "created_at", "new_run_id", "revised_at")


def contents(
    database: Database, tables: Iterable[str], without: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """Table → its rows as text, in order, without some columns."""
    row = "to_jsonb(t) - %(without)s::text[]" if without else "t"
    parameters = {"without": list(without)}
    return {
        table: [
            text
            for (text,) in database.execute(
                f"select ({row})::text from {table} as t order by 1", parameters
            )
        ]
        for table in tables
    }


def require_sealed(database: Database) -> None:
    """Every run that succeeded wrote what it sealed, as Postgres computes it from the rows."""
    runs = dict(database.execute(f"select run_id, contents from {RUNS} where status = 'SUCCEEDED'"))
    assert runs == seals.contents(database, list(runs), SEALED)


def versions(database: Database, tables: Iterable[str]) -> dict[str, list[tuple]]:
    """Table → its rows, with what changes if one is written again."""
    every_row = "select tableoid, ctid, xmin, * from {} order by 1, 2"
    return {table: database.rows(every_row.format(table)).rows for table in tables}


def day_versions(database: Database, table: str) -> dict[tuple, tuple]:
    """Instrument and date of a row → what changes if it is written again."""
    rows = database.execute(f"select instrument_id, trade_date, ctid, xmin from {table}")
    return {row[:2]: row[2:] for row in rows}
