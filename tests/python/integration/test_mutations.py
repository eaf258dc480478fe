"""Corruptions of a finished database, one at a time: the audit finds each and names the row."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import forgeries_found_by_a_seal
import forgeries_of_objects
import pytest
from bundled import PROTOTYPES, US, US_TECH, US_V1, V1
from commands import regime_command, succeed
from corruptions import SLIPS, Corruption
from forgeries_found_by_a_seal import REWRITES
from project import ROOT
from servers import DATABASE, MODULE_DATABASE, follow_prices

from regime_engine import dbt, seals
from regime_engine.database import Database, connect
from regime_engine.dbt import ProjectObject
from regime_engine.engine import catalog, classify, fit, forget, nightly, vote
from regime_engine.engine.fit import Recipe, WalkForward
from regime_engine.errors import RegimeError
from regime_engine.series import Series

US_TECH_V1 = Series("US_TECH", V1, 63)
MUTATIONS = (*SLIPS, *forgeries_found_by_a_seal.FORGERIES)


@dataclass(frozen=True)
class Audited:
    """The finished database; each test's compiled SQL by its name."""

    database: Database
    queries: dict[str, str]
    findings: list


class Killed(Exception):
    pass


def kill(done: int, total: int) -> None:
    raise Killed


def write_everything(database: Database) -> None:
    """Two regions, versions of both classifiers, the seed rule, runs that ended in every way, a
    restated and a deleted price, days without ranges, the revisions of their rows, and a series that
    was forgotten."""
    database.execute(
        "update historical.prices_daily set open = null, low = null"
        " where instrument_id = 'IXIC.INDX' and trade_date between '2009-06-01' and '2010-05-20'"
    )
    follow_prices(database)
    yearly = WalkForward(every_months=12, train_years=3)
    fit.walk_forward(database, US, Recipe(), yearly, date(2008, 1, 1), date(2010, 12, 31))
    fit.fit(database, US_TECH, PROTOTYPES)
    with pytest.raises(Killed):
        classify.backfill(database, US, date(2007, 10, 1), date(2008, 6, 30), progress=kill)
    classify.backfill(database, US, date(2007, 10, 1), date(2010, 12, 31))
    classify.backfill(database, US_TECH, date(2009, 3, 2), date(2010, 12, 31))
    classify.run(database, US_V1, date(2010, 9, 5))
    with pytest.raises(RegimeError):
        classify.run(database, US_V1, date(1999, 1, 29))
    database.execute(
        "update historical.prices_daily set close = close * 1.01, adjusted_close = adjusted_close * 1.01"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2010-06-01'"
    )
    database.execute(
        "delete from historical.prices_daily"
        " where instrument_id = 'GSPC.INDX' and trade_date = '2010-11-30'"
    )
    follow_prices(database)
    classify.backfill(database, US, date(2007, 10, 1), date(2010, 12, 31))
    classify.run(database, US_V1, date(2010, 9, 5))
    classify.backfill(database, US_TECH_V1, date(2010, 9, 1), date(2010, 9, 30))
    asked = forget.Asked(region="US_TECH", model_id=US_TECH_V1.model_id)
    forget.forget(database, forget.plan(database, asked))
    vote.vote(database, US.model_id, US.window_days)


@pytest.fixture(scope="module")
def finished(server, features_template) -> Iterator[str]:
    """A database to copy."""
    with server.new_template("template_finished", features_template) as database:
        write_everything(database)
    yield "template_finished"
    server.drop_database("template_finished")


@pytest.fixture(scope="module")
def audited(server, finished) -> Iterator[Audited]:
    with server.database(MODULE_DATABASE, finished) as settings, connect(settings) as database:
        results, findings = nightly.audit(database)
        database.execute("analyze")
        queries = {result.name: result.query for result in results}
        yield Audited(database, queries, findings)


def rows_of(database: Database, query: str) -> list[dict[str, str]]:
    """Column → value, as text."""
    cursor = database.connection.execute(query)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, map(str, row), strict=True)) for row in cursor]


@pytest.fixture
def unprotected(audited) -> Iterator[Audited]:
    """Without the checks that would refuse a corruption: they are not what is tested."""
    with audited.database.transaction(force_rollback=True):
        checks = audited.database.rows(
            "select conrelid::regclass::text, conname from pg_constraint"
            " where contype = 'c' and connamespace::regnamespace::text in ('historical', 'runtime')"
        ).rows
        for table, name in checks:
            audited.database.execute(f'alter table {table} drop constraint "{name}"')
        yield audited


@pytest.fixture(scope="module")
def objects(audited) -> list[ProjectObject]:
    return dbt.test(audited.database, "audit").objects


def corrupt(database: Database, corruption: Corruption) -> None:
    statements = [corruption.sql] if isinstance(corruption.sql, str) else corruption.sql
    for statement in statements:
        assert database.connection.execute(statement).rowcount != 0, statement


@pytest.mark.by_version
def test_nothing_is_found_in_the_clean_database(audited):
    assert audited.findings == []
    for test, query in audited.queries.items():
        assert rows_of(audited.database, query) == [], test


@pytest.mark.parametrize("corruption", MUTATIONS, ids=lambda corruption: corruption.name)
def test_the_audit_finds_a_corruption_and_names_the_row(unprotected, corruption):
    with unprotected.database.transaction(force_rollback=True):
        corrupt(unprotected.database, corruption)
        found = rows_of(unprotected.database, unprotected.queries[corruption.found_by])
    assert any(corruption.row.items() <= row.items() for row in found), found[:3]


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda rewrite: rewrite.name)
def test_a_kept_seal_finds_a_ledger_that_was_computed_anew(unprotected, rewrite):
    database = unprotected.database
    newest = seals.newest(database)
    with database.transaction(force_rollback=True):
        corrupt(database, rewrite)
        forgeries_found_by_a_seal.seal_again(database)
        # The chain is complete again, so that only the seal outside tells.
        for test in ("runs_are_sealed", "runs_wrote_what_they_sealed"):
            assert rows_of(database, unprotected.queries[test]) == []
        (verdict,) = seals.verify(database, {newest.seal_number: newest.seal}, None)
    assert verdict.fault


@pytest.mark.parametrize(
    "corruption", forgeries_found_by_a_seal.FORGERIES, ids=lambda corruption: corruption.name
)
def test_the_documented_query_finds_it_too(unprotected, corruption):
    database = unprotected.database
    (query,) = re.findall(
        r"```sql\n.*?;\n.*?;\n(.*?)```", (ROOT / "docs/seals.md").read_text(), re.DOTALL
    )
    clean = rows_of(database, query)
    assert {row["is_proved"] for row in clean} == {"True"}
    with database.transaction(force_rollback=True):
        corrupt(database, corruption)
        found = rows_of(database, query)
    assert [row for row in found if row["is_proved"] == "True"] != clean


@pytest.mark.one_server
def test_the_command_compares_kept_seals(server, finished, tmp_path):
    (rewrite,) = [each for each in REWRITES if each.name == "a run's user edited"]
    kept = tmp_path / "seals.txt"
    with server.database(DATABASE, finished) as settings, connect(settings) as database:
        first = database.rows(
            "select seal_number, seal, run_id, command, finished_at from runtime.regime_runs"
            " where seal_number = 1"
        ).records(seals.Seal)[0]
        newest = succeed(regime_command(settings, "seal", "--format", "json")).stdout
        kept.write_text(f"Our seals:\n{first}\n{newest}\nAll of them.")
        corrupt(database, rewrite)
        forgeries_found_by_a_seal.seal_again(database)
        result = regime_command(settings, "audit", "--seal", str(kept), "--format", "json")
        forged = seals.newest(database)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert not document["passed"]
    assert {each["verdict"] for each in document["tests"]} == {"PASS"}
    number = json.loads(newest)["seal_number"]
    assert document["seals"] == [
        {"seal_number": 1, "fault": None},
        {
            "seal_number": number,
            "fault": f"the ledger has {forged.seal} there: one of the runs 2 to {number}, or what it "
            "wrote, is not as it was",
        },
    ]


def test_every_audit_test_finds_something(audited):
    found = {corruption.found_by for corruption in MUTATIONS} | {catalog.NAME}
    assert found == set(audited.queries)


@pytest.mark.parametrize("forgery", forgeries_of_objects.FORGERIES, ids=lambda each: each.name)
def test_the_audit_finds_a_changed_object_and_names_it(audited, objects, forgery):
    with audited.database.transaction(force_rollback=True):
        for statement in forgery.sql:
            audited.database.connection.execute(statement)
        found = catalog.faults(audited.database, objects)
    assert any(
        (fault.object, fault.fault) == (forgery.object, forgery.fault)
        and forgery.found in fault.found
        and fault.what_to_run
        for fault in found
    ), found[:3]


def test_objects_beside_ours_are_no_fault(audited, objects):
    with audited.database.transaction(force_rollback=True):
        for statement in forgeries_of_objects.BESIDE_OURS:
            audited.database.connection.execute(statement)
        assert catalog.faults(audited.database, objects) == []


@pytest.mark.one_server
def test_neither_a_shadow_nor_an_event_trigger_hides_a_row(server, finished):
    with server.database(DATABASE, finished) as settings, connect(settings) as database:
        corrupt(database, next(each for each in MUTATIONS if each.name == "label flipped"))
        for statement in forgeries_of_objects.SHADOWS:
            database.connection.execute(statement)
        result = regime_command(settings, "audit", "--format", "json")
        assert result.returncode == 1
        tests = {each["name"]: each for each in json.loads(result.stdout)["tests"]}
        found = tests["regimes_are_as_they_were_classified"]
        assert (found["verdict"], found["failures"], len(found["rows"])) == ("FAIL", 1, 1)
        assert "audit_failures" not in found["look_further"]
        named = {row["object"] for row in tests[catalog.NAME]["rows"]}
        assert named == {"empties", "shadows"}


@pytest.mark.one_server
@pytest.mark.parametrize("name", ["label flipped", "revision deleted", "price deleted", None])
def test_the_command_finds_it_too(server, finished, name):
    corruption = next((each for each in MUTATIONS if each.name == name), None)
    with server.database(DATABASE, finished) as settings, connect(settings) as database:
        if corruption:
            corrupt(database, corruption)
        result = regime_command(settings, "audit", "--format", "json", "--rows", "100")
        document = json.loads(result.stdout)
        assert document["passed"] == (corruption is None)
        assert result.returncode == (0 if document["passed"] else 1)
        if corruption is None:
            assert {each["verdict"] for each in document["tests"]} == {"PASS"}
            return
        test = corruption.found_by
        (found,) = [each for each in document["tests"] if each["name"] == test]
        assert found["verdict"] == "FAIL"
        assert found["look_further"] == f"select * from audit_failures.{test}"
        kept = rows_of(database, found["look_further"])
        shown = [{name: str(value) for name, value in row.items()} for row in found["rows"]]
        assert len(kept) == found["failures"]
        assert any(corruption.row.items() <= row.items() for row in kept)
        assert any(corruption.row.items() <= row.items() for row in shown)


def test_the_readme_states_the_score():
    assert len(MUTATIONS) >= 40
    stated = re.search(r"in (\d+) ways, one at a\s+time", (ROOT / "README.md").read_text())
    assert stated
    assert stated[1] == str(len(MUTATIONS))
