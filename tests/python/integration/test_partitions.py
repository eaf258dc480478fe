"""numeric_window_embeddings partitioned by year, and its vectors in line with their rows."""

import re
from collections.abc import Callable
from datetime import date

import pytest
from bundled import US_V1 as US
from commands import refusal, regime_command, succeed
from project import ROOT
from servers import ALONE, follow_prices, wait_until
from stored import EMBEDDINGS, OF_A_RUN, REGIMES, TRANSITIONS, contents, versions

from regime_engine import dbt
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.engine import classify, nightly

pytestmark = pytest.mark.one_server

# What a backfill writes.
WRITTEN = (
    EMBEDDINGS,
    REGIMES,
    TRANSITIONS,
    "(select old_row - array['run_id', 'created_at'] as row from runtime.regime_revisions)",
)
NEXT_YEAR = date.today().year + 1
OPERATOR = ROOT / "docs/operator.md"


def partitions(database: Database) -> dict[str, tuple[str, int]]:
    """Partition → which rows it takes and how many it has."""
    found = database.rows(
        "select relname, pg_get_expr(relpartbound, oid) from pg_class"
        " inner join pg_inherits on inhrelid = oid where inhparent = %s::regclass order by 1",
        [EMBEDDINGS],
    ).rows
    return {
        name.removeprefix("numeric_window_embeddings_"): (
            bound,
            database.one(f"select count(*) from historical.{name}")[0],
        )
        for name, bound in found
    }


def definition(database: Database) -> dict[str, list]:
    """What a table's readers and writers see of it."""
    queries = {
        "columns": "select attname, atttypid::regtype::text, attnotnull,"
        " col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 order by attnum",
        "constraints": "select pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = %s::regclass and contype in ('p', 'c') order by 1",
        "comment": "select obj_description(%s::regclass)",
    }
    return {name: database.rows(q, [EMBEDDINGS]).rows for name, q in queries.items()}


def in_line(database: Database) -> set[str]:
    found = database.execute(
        "select relname from pg_class where reloptions @> '{{toast_tuple_target=8160}}'"
    )
    return {name for (name,) in found}


def test_a_partitioned_table_holds_what_an_unpartitioned_one_does(
    database: Database, server, features_template: str, monkeypatch: pytest.MonkeyPatch
):
    """Backfill, rerun, a restated and a deleted price; the partitions of other years are not read."""

    def written(database: Database) -> tuple:
        backfill(database)
        first = versions(database, [EMBEDDINGS])
        backfill(database)
        assert versions(database, [EMBEDDINGS]) == first
        restate_and_delete(database)
        backfill(database)
        assert nightly.audit(database)[1] == []
        return contents(database, WRITTEN, OF_A_RUN), definition(database)

    expected = written(database)
    with server.database("test_partitioned", features_template) as settings:
        with connect(settings) as partitioned:
            partitioned.execute(f"drop table {EMBEDDINGS} cascade")
            monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "2000")
            nightly.initialise(partitioned)
            years = map(str, range(2000, NEXT_YEAR + 1))
            assert set(partitions(partitioned)) == {"default", *years}
            # The views of the audit went with the table.
            nightly.build_features(partitioned)
            assert written(partitioned) == expected
            counts = {name: count for name, (_, count) in partitions(partitioned).items()}
            assert {name for name, count in counts.items() if count} == {"2003", "2004"}
        before = scans(settings)
        with connect(settings) as partitioned:
            classify.run(partitioned, US, date(2004, 3, 1))
            classify.backfill(partitioned, US, date(2004, 3, 1), date(2004, 6, 30))
        after = scans(settings)
    read = {name for name in after if after[name] != before[name]}
    assert read == {"numeric_window_embeddings_2004"}


def backfill(database: Database) -> None:
    classify.backfill(database, US, date(2003, 10, 1), date(2004, 6, 30))


def restate_and_delete(database: Database) -> None:
    database.execute(
        "update historical.prices_daily set close = close * 1.5"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2003-12-31'"
    )
    database.execute(
        "delete from historical.prices_daily"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2004-02-02'"
    )
    follow_prices(database)


def scans(settings: Settings) -> dict[str, tuple]:
    """Partition → how often it was read, by sessions that have ended and so counted."""
    with connect(settings) as database:
        wait_until(database, ALONE)
        found = database.rows(
            "select relname, seq_scan, idx_scan from pg_stat_user_tables"
            " where relname ~ 'numeric_window_embeddings_'"
        ).rows
        return {name: counts for name, *counts in found}


def test_partitions_outlive_refreshes_and_missing_years_are_added(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    database.execute(f"drop table {EMBEDDINGS} cascade")
    monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "2004")
    nightly.initialise(database)
    backfill(database)
    assert {name for name, (_, count) in partitions(database).items() if count} == {
        "default",
        "2004",
    }
    before = (
        contents(database, WRITTEN, OF_A_RUN),
        definition(database),
        versions(database, [EMBEDDINGS]),
    )

    database.execute(f"drop table {EMBEDDINGS}_{NEXT_YEAR}")
    database.execute(f"alter table {EMBEDDINGS}_2005 reset (toast_tuple_target)")
    monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "2002")
    dbt.require_success(dbt.build(database, "features"), "features")
    # 2003 has rows in the default partition, and stays there.
    years = {"2002", *map(str, range(2004, NEXT_YEAR + 1))}
    assert set(partitions(database)) == {"default", *years}
    leaves = {f"numeric_window_embeddings_{name}" for name in ("default", *years)}
    assert in_line(database) == leaves | {"regimes"}

    monkeypatch.setenv("DBT_FULL_REFRESH", "true")
    nightly.initialise(database)
    assert (
        contents(database, WRITTEN, OF_A_RUN),
        definition(database),
        versions(database, [EMBEDDINGS]),
    ) == before


def test_a_table_without_partitions_is_explained_and_left_as_it_is(
    database: Database, regime: Callable, monkeypatch: pytest.MonkeyPatch
):
    backfill(database)
    before = contents(database, WRITTEN, OF_A_RUN), definition(database)
    assert in_line(database) == {"numeric_window_embeddings", "regimes"}
    monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "2000")
    result = regime("init")
    assert result.stdout == ""
    assert re.search("without partitions.*docs/operator.md, 'Partitions'", refusal(result))
    assert (contents(database, WRITTEN, OF_A_RUN), definition(database)) == before

    migration = re.findall(r"```sql\n(.*?)```", section("Partitions"), re.DOTALL)
    assert len(migration) == 2
    database.connection.execute(migration[0])
    succeed(regime("init"))
    database.connection.execute(migration[1])
    assert (contents(database, WRITTEN, OF_A_RUN), definition(database)) == before
    assert set(partitions(database)) >= {"2003", "2004"}
    assert partitions(database)["default"] == ("DEFAULT", 0)


def section(title: str) -> str:
    _, _, rest = OPERATOR.read_text().partition(f"### {title}\n")
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_a_year_that_cannot_be_read_is_named(
    empty_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REGIME_PARTITION_EMBEDDINGS", "yes")
    line = refusal(regime_command(empty_settings, "init"))
    assert "say false, or the first year to partition by" in line
