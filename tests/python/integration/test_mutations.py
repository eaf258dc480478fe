"""Corruptions of a finished database, one at a time: the audit finds each and names the row."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import pytest
from bundled import PROTOTYPES, US, US_TECH, US_V1, V1
from commands import regime_command
from corruptions import DAY, SLIPS, Corruption
from forgeries_of_rows import FORGERIES as OF_ROWS
from forgeries_of_rows import ON_A_DAY_OF_ITS_OWN
from project import ROOT
from servers import DATABASE, MODULE_DATABASE, follow_prices

from regime_engine.database import Database, connect
from regime_engine.engine import classify, fit, forget, nightly, vote
from regime_engine.engine.fit import Recipe, WalkForward
from regime_engine.errors import RegimeError
from regime_engine.series import Series

US_TECH_V1 = Series("US_TECH", V1, 63)
MUTATIONS = (*SLIPS, *OF_ROWS)


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


@pytest.fixture(scope="module")
def unprotected(audited) -> Audited:
    """Without the checks that would refuse a corruption: they are not what is tested."""
    checks = audited.database.rows(
        "select conrelid::regclass::text, conname from pg_constraint"
        " where contype = 'c' and connamespace::regnamespace::text in ('historical', 'runtime')"
    ).rows
    for table, name in checks:
        audited.database.execute(f'alter table {table} drop constraint "{name}"')
    return audited


def statements_of(corruption: Corruption) -> list[str]:
    return [corruption.sql] if isinstance(corruption.sql, str) else corruption.sql


def corrupt(database: Database, corruption: Corruption) -> None:
    for statement in statements_of(corruption):
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


def test_malformed_rows_break_no_view_and_no_test(unprotected):
    """All forgeries of rows at once, those of one day each on a day of its own."""
    database = unprotected.database
    days = database.rows(
        "select as_of_date::text from runtime.regimes"
        " where region = 'US' and model_id = 'num-regime-core-v3' and as_of_date > '2010-06-10'"
        " order by 1"
    ).rows
    views = database.rows("select viewname from pg_views where schemaname = 'audit'").rows
    queries = [f"select sum(length(t::text)) from audit.{view} as t" for (view,) in views]
    with database.transaction(force_rollback=True):
        for forgery, (day,) in zip(ON_A_DAY_OF_ITS_OWN, days, strict=False):
            statements = [sql.replace(DAY, day) for sql in statements_of(forgery)]
            corrupt(database, replace(forgery, sql=statements))
        for query in (*unprotected.queries.values(), *queries):
            rows_of(database, query)


def test_every_audit_test_finds_something(audited):
    assert {corruption.found_by for corruption in MUTATIONS} == set(audited.queries)


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
