"""distribute_tables on a plain Postgres, and what it asks of Citus, by functions that take note.

The functions have the names and arguments of those of Citus.
"""

from pathlib import Path

import pytest
from commands import environment, forked_path, succeed
from project import ROOT, run_in

from regime_engine.database import Database, libpq_environment

pytestmark = pytest.mark.one_server

CITUS = """
set allow_system_table_mods to on;

create table pg_catalog.pg_dist_partition (logicalrelid regclass primary key, called text);

create function pg_catalog.create_reference_table(table_name regclass) returns void language sql as
    'insert into pg_dist_partition values (table_name, ''everywhere'')';

create function pg_catalog.create_distributed_table(
    table_name regclass, distribution_column text, distribution_type text default 'hash',
    colocate_with text default 'default', shard_count integer default null
)
returns void language sql as
    'insert into pg_dist_partition
        values (table_name, distribution_column || '' beside '' || colocate_with)'
"""


def distribute(database: Database, target: Path, *options: str) -> str:
    """What `dbt run-operation distribute_tables` prints."""
    command = ["dbt", "run-operation", "distribute_tables", "--profiles-dir", "profiles"]
    command += ["--target-path", target, "--log-path", target, *options]
    env = environment(database.settings) | libpq_environment(database) | {"PATH": forked_path()}
    return succeed(run_in(ROOT, command, env)).stdout


def test_the_big_tables_go_by_instrument_and_their_companions_everywhere(database, tmp_path):
    printed = distribute(database, tmp_path)
    assert "Citus is not installed in this database: nothing to distribute" in printed

    database.execute(CITUS)
    distribute(database, tmp_path)
    called = "select logicalrelid::text, called from pg_dist_partition"
    by_table = {
        "historical.prices_daily": "instrument_id beside none",
        "features.daily_features": 'instrument_id beside "historical"."prices_daily"',
        "historical.numeric_window_embeddings": 'entity_id beside "historical"."prices_daily"',
        "runtime.regions": "everywhere",
        "runtime.regime_labels": "everywhere",
        "runtime.regimes": "everywhere",
        "runtime.regime_transitions": "everywhere",
        "runtime.regime_models": "everywhere",
        "runtime.regime_runs": "everywhere",
        "runtime.notifications": "everywhere",
        "runtime.notification_deliveries": "everywhere",
    }
    assert dict(database.rows(called).rows) == by_table

    # A team with many instruments has too many regimes for a copy on each node.
    database.execute("delete from pg_dist_partition")
    distribute(database, tmp_path, "--vars", "many_instruments: 0")
    by_region = {"runtime.regimes": 'region beside "historical"."prices_daily"'}
    assert dict(database.rows(called).rows) == by_table | by_region
    by_table |= by_region

    # Again after a table was built anew: for that one alone, since a second call would fail.
    database.execute(
        "delete from pg_dist_partition where logicalrelid = 'features.daily_features'::regclass"
    )
    distribute(database, tmp_path)
    assert dict(database.rows(called).rows) == by_table
