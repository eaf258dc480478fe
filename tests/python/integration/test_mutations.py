"""Corruptions of a finished database, one at a time: the audit finds each and names the row."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import forgeries_found_by_a_seal
import forgeries_of_objects
import forgeries_of_rows
import psycopg
import pytest
import yaml
from bundled import PROTOTYPES, US, US_TECH, US_V1, V1, V2
from commands import refusal, regime_command, succeed
from corruptions import (
    CHANGES_OF_THE_WORLD,
    DAY,
    SLIPS,
    THAT_PRICE,
    Corruption,
    copy_of,
    forged_embedding,
    other_number,
)
from forgeries_found_by_a_seal import REWRITES
from forgeries_found_by_replay import FITS_OF_US, FORGERIES, MODEL, Forgery, forged_model
from forgeries_of_rows import ON_A_DAY_OF_ITS_OWN
from forgeries_of_runs import FORGERIES as FORGERIES_OF_RUNS
from project import ROOT
from servers import DATABASE, MODULE_DATABASE, follow_prices
from stored import ENGINE_TABLES, PRICES, contents

from regime_engine import dbt, seals
from regime_engine.database import Database, connect
from regime_engine.dbt import ProjectObject
from regime_engine.engine import catalog, classify, fit, forget, nightly, regions, replay, vote
from regime_engine.engine.comparison import Comparison, Verdict
from regime_engine.engine.fit import Recipe, WalkForward
from regime_engine.errors import RegimeError
from regime_engine.series import Series

US_TECH_V1 = Series("US_TECH", V1, 63)
# Each makes `regime audit` exit with 1.
MUTATIONS = (
    *SLIPS,
    *forgeries_of_rows.FORGERIES,
    *FORGERIES_OF_RUNS,
    *forgeries_found_by_a_seal.FORGERIES,
)


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


def statements_of(corruption: Corruption | Forgery) -> list[str]:
    return [corruption.sql] if isinstance(corruption.sql, str) else corruption.sql


def corrupt(database: Database, corruption: Corruption | Forgery) -> None:
    for statement in statements_of(corruption):
        assert database.connection.execute(statement).rowcount != 0, statement


@pytest.mark.by_version
def test_nothing_is_found_in_the_clean_database(audited):
    assert audited.findings == []
    for test, query in audited.queries.items():
        assert rows_of(audited.database, query) == [], test


@pytest.mark.parametrize(
    "corruption", [*MUTATIONS, *CHANGES_OF_THE_WORLD], ids=lambda corruption: corruption.name
)
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
    corruptions = (*MUTATIONS, *CHANGES_OF_THE_WORLD)
    found = {corruption.found_by for corruption in corruptions} | {catalog.NAME}
    assert found == set(audited.queries)


def test_a_corruption_is_an_error_and_a_change_of_the_world_a_warning():
    tests = yaml.safe_load((ROOT / "tests/dbt/audit/_audit.yml").read_text())["data_tests"]
    warn = {test["name"] for test in tests if test["config"].get("severity") == "warn"}
    assert warn.isdisjoint(corruption.found_by for corruption in MUTATIONS)
    assert warn == {corruption.found_by for corruption in CHANGES_OF_THE_WORLD}


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


def names_the_row(compared: Comparison, forgery: Forgery) -> bool:
    """Whether a difference is of the forged row and begins with the forged number."""
    return any(
        forgery.row.items() <= {name: str(value) for name, value in each.key.items()}.items()
        and any(change.column.startswith(forgery.column) for change in each.changes)
        for each in compared.shown[Verdict.DIFFERS, forgery.table]
    )


@pytest.mark.by_version
def test_the_replay_of_the_clean_database_finds_nothing_that_differs(audited):
    compared = replay.replay(audited.database, replay.Request())
    assert not compared.counts, compared.shown
    stored = "select count(*) from {}"
    for table, name in (
        ("historical.numeric_window_embeddings", "numeric_window_embeddings"),
        ("runtime.regimes", "regimes"),
        ("runtime.regime_transitions", "regime_transitions"),
    ):
        assert compared.rows[name] == audited.database.one(stored.format(table))[0]


@pytest.mark.one_server
def test_the_fits_of_the_clean_database_are_what_they_were(audited):
    compared = replay.replay(audited.database, replay.Request(("US_TECH", "US"), fits=True))
    assert not compared.counts, compared.shown
    assert compared.rows["regime_models"] == 4


@pytest.mark.one_server
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_the_replay_finds_a_consistent_forgery_and_names_the_row(unprotected, forgery):
    with unprotected.database.transaction(force_rollback=True):
        corrupt(unprotected.database, forgery)
        compared = replay.replay(unprotected.database, forgery.request, 1000)
    assert names_the_row(compared, forgery), "\n".join(
        map(str, compared.shown[Verdict.DIFFERS, forgery.table][:5])
    )


@pytest.mark.one_server
def test_the_replay_finds_a_forged_model_that_a_backfill_adopted_by_its_fit_alone(unprotected):
    database = unprotected.database
    with database.transaction(force_rollback=True):
        scale = "parameters = jsonb_set(parameters, '{scale}', '0.02')"
        for statement in forged_model(scale):
            database.connection.execute(statement)
        classify.backfill(database, US, date(2009, 1, 2), date(2009, 12, 31))
        only_us = replay.Request(("US",), date(2009, 1, 1))
        assert replay.replay(database, only_us).has_passed()
        (found,) = replay.replay(database, FITS_OF_US).shown[Verdict.DIFFERS, "regime_models"]
    assert MODEL.items() <= {name: str(value) for name, value in found.key.items()}.items()
    assert [change.column for change in found.changes] == ["parameters.scale"]


def restate_a_price(database: Database) -> None:
    database.execute(f"update {PRICES} set close = close * 1.01 where {THAT_PRICE}")


def delete_a_price(database: Database) -> None:
    database.execute(f"delete from {PRICES} where {THAT_PRICE}")


def insert_a_price(database: Database) -> None:
    price = copy_of(PRICES, THAT_PRICE, trade_date="'2010-05-22'")
    database.connection.execute(price)


def lose_all_prices(database: Database) -> None:
    database.execute(f"delete from {PRICES} where instrument_id = 'GSPC.INDX'")


def keep_70_days(database: Database) -> None:
    database.execute(
        f"delete from {PRICES} where instrument_id = 'GSPC.INDX' and trade_date < '2018-09-20'"
    )


def fit_a_later_model(database: Database) -> None:
    fit.fit(database, US, Recipe(n_states=2), valid_from=date(2010, 6, 1))


def fit_another_schedule(database: Database) -> None:
    half_yearly = WalkForward(every_months=6, train_years=None)
    fit.walk_forward(database, US, Recipe(), half_yearly, date(2010, 1, 1), date(2010, 12, 31))


def fit_on_another_instrument(database: Database) -> None:
    with_labels = Recipe("prototype", n_states=3)
    fit.fit(database, US, with_labels, date(2005, 1, 3), date(2009, 1, 2), None, "IXIC.INDX")


def classify_anew(database: Database) -> None:
    fit.fit(database, US_TECH, Recipe(n_states=2), valid_from=date(2010, 6, 1))
    classify.backfill(database, US_TECH, date(2010, 3, 1), date(2010, 12, 31))


def classify_by_a_given_version(database: Database) -> None:
    classify.backfill(database, US, date(2010, 3, 1), date(2010, 5, 31), model_version=1)


def classify_a_stale_day_by_three_encoders(database: Database) -> None:
    for model_id, window_days in (("num-regime-core-v2", 63), ("numeric-simple-v1", 21), (V1, 200)):
        classify.run(database, Series("US", model_id, window_days), date(2010, 7, 4))
        # As the commit of each run does.
        database.execute("truncate pg_temp.incoming_embeddings, pg_temp.incoming_regimes")
    classify.run(database, US, date(2019, 1, 20), max_staleness_days=30)


def change_the_regions(database: Database) -> None:
    regions.remove(database, "US")
    regions.add(database, "AMERICA", "GSPC.INDX", weight=3)
    regions.add(database, "US_TECH", "IXIC.INDX", weight=0)


def leave_a_run_unfinished(database: Database) -> None:
    series = Series("US", "num-regime-core-v2", 63)
    with pytest.raises(Killed):
        classify.backfill(database, series, date(2010, 3, 1), date(2010, 5, 31), progress=kill)
    database.execute(
        "update runtime.regime_runs set status = 'RUNNING', finished_at = null, error = null where error = 'Killed'"
    )


RESTATED, OUTDATED = Verdict.RESTATED, Verdict.OUTDATED
HONEST = (
    (restate_a_price, {(RESTATED, "numeric_window_embeddings")}),
    (delete_a_price, {(RESTATED, "numeric_window_embeddings")}),
    (insert_a_price, {(RESTATED, "numeric_window_embeddings")}),
    (lose_all_prices, {(RESTATED, "numeric_window_embeddings")}),
    (keep_70_days, {(RESTATED, "numeric_window_embeddings")}),
    (fit_a_later_model, {(OUTDATED, "regimes")}),
    (fit_another_schedule, {(OUTDATED, "regimes")}),
    (fit_on_another_instrument, set()),
    (classify_anew, {(OUTDATED, "regimes")}),
    (classify_by_a_given_version, {(OUTDATED, "regimes")}),
    (classify_a_stale_day_by_three_encoders, set()),
    (change_the_regions, set()),
    (leave_a_run_unfinished, set()),
)


@pytest.mark.one_server
@pytest.mark.parametrize(
    ("happens", "found"), HONEST, ids=lambda each: getattr(each, "__name__", "")
)
def test_the_replay_tells_an_honest_change_from_a_forgery(audited, happens, found):
    with audited.database.transaction(force_rollback=True):
        happens(audited.database)
        compared = replay.replay(audited.database, replay.Request(since=date(2010, 1, 1)))
    assert compared.has_passed(), compared.shown
    assert compared.counts.keys() == found


@pytest.mark.one_server
@pytest.mark.parametrize("happens", [restate_a_price, lose_all_prices, fit_on_another_instrument])
def test_the_fits_are_told_from_forgeries_too(audited, happens):
    with audited.database.transaction(force_rollback=True):
        happens(audited.database)
        since_2009 = replay.Request(("US",), date(2009, 1, 1), fits=True)
        compared = replay.replay(audited.database, since_2009)
    assert compared.has_passed(), compared.shown


@pytest.mark.one_server
def test_a_row_that_one_night_wrote_is_known_by_the_nights_after_it(unprotected):
    database, series = unprotected.database, Series("US", V2, 63)
    forged_window = f"vector = {other_number(260, -3.5)}, window_hash = reverse(window_hash)"
    with database.transaction(force_rollback=True):
        for day in range(17, 22):
            classify.backfill(database, series, date(2010, 5, 10), date(2010, 5, day))
            database.execute("truncate pg_temp.incoming_embeddings, pg_temp.incoming_regimes")
        for statement in forged_embedding(
            forged_window, f"model_id = '{V2}' and as_of_date = '{DAY}'"
        ):
            database.connection.execute(statement)
        found = replay.replay(database, replay.Request(("US",), date(2010, 5, 10))).shown
    (row,) = found[Verdict.DIFFERS, "numeric_window_embeddings"]
    assert (str(row.key["as_of_date"]), row.key["model_id"]) == (DAY, V2)


@pytest.mark.one_server
def test_the_replay_cannot_write(audited):
    with (
        replay.snapshot(audited.database),
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        audited.database.execute("delete from runtime.regimes")


@pytest.mark.one_server
def test_the_command_says_what_the_replay_found(server, finished):
    (forgery,) = (each for each in FORGERIES if each.name == "novelty")
    with server.database(DATABASE, finished) as settings, connect(settings) as database:
        corrupt(database, forgery)
        before = contents(database, ENGINE_TABLES)
        done = regime_command(settings, "audit", "--replay", "--since", DAY, "--region", "US")
        assert contents(database, ENGINE_TABLES) == before
        (transitions,) = database.one(
            "select count(*) from runtime.regime_transitions where region = 'US' and as_of_date >= %s",
            [DAY],
        )
    assert done.returncode == 1
    assert "DIFFERS regimes: 1 rows; they are not what follows from the prices" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "metadata.novelty" in line]
    assert line.split()[:6] == ["US", DAY, US.model_id, "63", "metadata.novelty", "50.5"]
    assert done.stdout.splitlines()[-1] == (
        "Replay failed: rows computed anew: 157 in numeric_window_embeddings, 157 in regimes, "
        f"{transitions} in regime_transitions; 1 differs, 0 restated, 0 outdated"
    )


@pytest.mark.one_server
def test_the_options_of_a_replay_are_refused_before_the_audit_begins(audited):
    settings = audited.database.settings
    alone = regime_command(settings, "audit", "--fits")
    assert alone.returncode == 2
    assert "--region, --since and --fits go with --replay" in alone.stderr
    unknown = regime_command(settings, "audit", "--replay", "--region", "us")
    assert "unknown region 'us': known are US, US_TECH" in refusal(unknown)


@pytest.mark.one_server
def test_a_price_forged_with_all_that_follows_from_it_is_not_found(unprotected):
    database = unprotected.database
    with database.transaction(force_rollback=True):
        database.execute(
            "update historical.prices_daily set close = close * 1.2, adjusted_close = adjusted_close * 1.2,"
            " high = high * 1.2, low = low * 1.2, open = open * 1.2"
            " where instrument_id = 'GSPC.INDX' and trade_date = '2010-12-31'"
        )
        # As dbt builds them.
        database.execute(
            "delete from features.daily_features where instrument_id = 'GSPC.INDX' and trade_date = '2010-12-31'"
        )
        names = "instrument_id, trade_date, close, volume, open, log_return, adjusted_close, adjusted_log_return, relative_log_volume, log_range, overnight_gap, day_number, feature_hash"
        database.execute(
            f"insert into features.daily_features ({names}) select {names} from audit.expected_features where instrument_id = 'GSPC.INDX' and trade_date = '2010-12-31'"
        )
        classify.backfill(database, US, date(2010, 12, 31), date(2010, 12, 31))
        assert replay.replay(database, replay.Request(("US",), date(2010, 12, 1))).counts == {}


@pytest.mark.one_server
@pytest.mark.parametrize("name", ["label flipped", "revision deleted", "price deleted", None])
def test_the_command_finds_it_too(server, finished, name):
    corruption = next((each for each in MUTATIONS if each.name == name), None)
    with server.database(DATABASE, finished) as settings, connect(settings) as database:
        if corruption:
            corrupt(database, corruption)
        options = ("--format", "json", "--rows", "100", "--replay")
        result = regime_command(settings, "audit", *options)
        document = json.loads(result.stdout)
        assert document["passed"] == (corruption is None)
        assert result.returncode == (0 if document["passed"] else 1)
        if corruption is None:
            assert {each["verdict"] for each in document["tests"]} == {"PASS"}
            assert document["replay"]["passed"]
            assert document["replay"]["findings"] == []
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
    stated = re.search(r"in (\d+) ways, one at a\s+time", (ROOT / "README.md").read_text())
    assert stated
    assert int(stated[1]) == len(MUTATIONS) + len(forgeries_of_objects.FORGERIES)


def test_the_documentation_counts_the_forgeries_by_kind():
    table = (ROOT / "docs/seals.md").read_text().partition("| kind of forgery |")[2]
    assert [int(cases) for cases in re.findall(r"^\| .+? \| (\d+) \|", table, re.MULTILINE)] == [
        len(SLIPS),
        len(forgeries_of_rows.FORGERIES),
        len(FORGERIES_OF_RUNS),
        len(forgeries_of_objects.FORGERIES),
        len(FORGERIES),
        len(forgeries_found_by_a_seal.FORGERIES),
        len(REWRITES),
    ]
