"""What `regime audit` says, and that each generic test tells good rows from bad.

That it finds what it should is in test_mutations.py.
"""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial

import pytest
from bundled import US, V1, V2, V3
from commands import TIMEOUT, Process, environment, regime_command, succeed
from project import ROOT
from psycopg import errors
from servers import DATABASE, MODULE_DATABASE, follow_prices, wait_until

from regime_engine import dbt
from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.engine import catalog, classify, fit, nightly, vote
from regime_engine.engine.fit import Recipe
from regime_engine.reading import verdicts
from regime_engine.reading.verdicts import VerdictHistory
from regime_engine.series import Series

pytestmark = pytest.mark.one_server

INSIDE = "2011-09-15"


@pytest.fixture
def settings(server, history_template) -> Iterator[Settings]:
    with server.database(DATABASE, history_template) as settings:
        yield settings


def test_a_changed_world_is_a_warning_and_does_not_fail(database, regime):
    # A month left out, a new model, a region that is no more.
    classify.backfill(database, US, date(2012, 2, 1), date(2012, 2, 29))
    fit.fit(database, US, Recipe(n_states=2), valid_from=date(2011, 10, 3))
    succeed(regime("region", "remove", "US"))
    result = succeed(regime("audit"))
    assert "0 failed, 3 with warnings" in result.stdout
    for test in (
        "trading_days_have_a_regime",
        "regimes_are_by_the_version_in_force",
        "regions_are_known",
    ):
        assert f"WARN {test}: " in result.stdout
    strict = regime("audit", "--strict")
    assert strict.returncode == 1
    assert "Audit failed: " in strict.stdout
    assert "0 failed, 3 with warnings (with --strict a warning fails too)\n" in strict.stdout
    strict = regime("audit", "--strict", "--format", "json")
    assert strict.returncode == 1
    document = json.loads(strict.stdout)
    assert (document["passed"], document["strict"]) == (False, True)
    assert Counter(each["verdict"] for each in document["tests"])["WARN"] == 3


def test_rows_of_every_encoder_classifier_and_calendar_are_no_error(server, features_template):
    with server.database(DATABASE, features_template) as settings, connect(settings) as database:
        _insert_odd_prices(database)
        follow_prices(database)
        embed = partial(regime_command, settings, "embed", "--instrument-id", "GSPC.INDX")
        for model_id, days, start in (
            (V1, "200", "2018-12-01"),  # more rows than the vector has room for
            (V1, "63", "1999-01-01"),  # from the first window on
            ("numeric-simple-v1", "5", "2018-12-01"),
            (V2, "63", "1999-01-01"),
        ):
            asked = ("--model-id", model_id, "--window-days", days, "--start", start)
            succeed(embed(*asked, "--end", "1999-06-30" if start < "2000" else "2018-12-31"))
        young, coin = Series("YOUNG", V3, 63), Series("COIN", V3, 63)
        us_v2, us_tech = Series("US", V2, 63), Series("US_TECH", V3, 63)
        classify.backfill(database, young)
        fit.fit(database, coin, Recipe(n_states=2), valid_from=date(2018, 12, 1))
        classify.backfill(database, coin, date(2018, 11, 1))
        fit.fit(database, us_v2, Recipe(n_states=3), valid_from=date(2018, 11, 1))
        classify.backfill(database, us_v2, date(2018, 10, 1))
        classify.run(database, us_v2, date(2018, 12, 30))
        fit.fit(database, us_tech, Recipe("prototype"), valid_from=date(2018, 11, 1))
        classify.backfill(database, us_tech, date(2018, 10, 1))
        vote.vote(database, V3, 63)
        # Prices in the middle of windows change, vanish and appear.
        database.execute(
            "update historical.prices_daily set close = close * 1.01, adjusted_close = close * 1.01"
            " where trade_date = '2018-11-15'"
        )
        database.execute("delete from historical.prices_daily where trade_date = '2018-11-20'")
        database.execute(
            "insert into historical.prices_daily (instrument_id, trade_date, close, adjusted_close)"
            " values ('GSPC.INDX', '2018-11-17', 2700, 2700), ('IXIC.INDX', '2018-11-17', 7200, 7200)"
        )
        follow_prices(database)
        findings = nightly.audit(database)[1]
    assert {finding.test.status for finding in findings} == {"warn"}


def _insert_odd_prices(database: Database) -> None:
    """COIN trades on all days, YOUNG for 70 days."""
    for instrument_id, first in (("COIN", "2017-06-01"), ("YOUNG", "2018-10-23")):
        database.execute(
            """
            insert into historical.prices_daily (instrument_id, trade_date, close, adjusted_close)
            select
                %(instrument_id)s, day::date, price, price
            from (
                select day, 100 + 5 * sin(extract(epoch from day) / 1e5 * (1 + n %% 7)) as price
                from generate_series(%(first)s::date, '2018-12-31', '1 day')
                    with ordinality as days (day, n)
            ) as priced
            """,
            {"instrument_id": instrument_id, "first": first},
        )


def test_rows_of_a_failed_run_are_found_until_a_rerun_takes_them_over(database):
    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify.backfill(database, US, date(2011, 5, 2), date(2011, 12, 30), progress=kill)
    _, findings = nightly.audit(database)
    assert [finding.test.name for finding in findings] == ["rows_have_a_run_that_succeeded"]
    classify.backfill(database, US, date(2011, 5, 2), date(2011, 12, 30))
    assert nightly.audit(database)[1] == []


def test_the_command_says_a_verdict_a_test_the_rows_and_how_to_look_further(database, regime):
    statement = f"update runtime.regimes set confidence = 'NaN' where as_of_date = '{INSIDE}'"
    database.execute("alter table runtime.regimes drop constraint regimes_confidence_check")
    assert database.execute(statement).rowcount == 1
    result = regime("audit")
    assert result.returncode == 1
    test = "regime_confidence_is_the_probability_of_its_label"
    assert "PASS regime_labels_are_known\n" in result.stdout
    assert f"FAIL {test}: 1 rows." in result.stdout
    assert INSIDE in result.stdout
    look_further = f"select * from audit_failures.{test}"
    assert f"Look further: {look_further};\n" in result.stdout
    assert "Audit failed: " in result.stdout
    (row,) = database.rows(look_further).rows
    assert {"US", date(2011, 9, 15)} < set(row)
    # What JSON has no number for is text.
    assert '"confidence": "nan"' in regime("audit", "--format", "json").stdout
    assert f"\n{test}  FAIL " in regime("audit", "--history").stdout
    history = json.loads(regime("audit", "--history", "--format", "json").stdout)
    # The constraint that is gone is found too.
    assert [each["verdict"] for each in history[:3]] == ["FAIL", "FAIL", "PASS"]
    (found,) = (each for each in history if each["test_name"] == test)
    assert found["failures"] == 1
    assert found["first_failed_at"] == found["verdict_since"] < found["audited_at"]
    assert regime("audit", "--history", "--strict").returncode == 2


def test_since_when_a_test_fails_is_told_from_its_audits(database):
    letters = {"P": "PASS", "W": "WARN", "F": "FAIL"}
    # One audit a day from 1 January; the test d is gone since the second.
    by_day = [("PFPF", 1), ("FWP", 2), ("PWP", 3), ("FFW", 4), ("FFP", 5)]
    database.execute("truncate runtime.audit_verdicts")
    for said, day in by_day:
        for name, letter in zip("abcd", said, strict=False):
            database.execute(
                """
                insert into runtime.audit_verdicts
                values (md5(%(day)s::text)::uuid, %(at)s, %(name)s, %(verdict)s, %(day)s, '1', 'me')
                """,
                {
                    "day": day,
                    "at": datetime(2020, 1, day, tzinfo=UTC),
                    "name": name,
                    "verdict": letters[letter],
                },
            )
    found = verdicts.history(database).records(VerdictHistory)
    assert [(each.test_name, each.verdict, each.failures) for each in found] == [
        ("a", "FAIL", 5),
        ("b", "FAIL", 5),
        ("c", "PASS", 5),
    ]
    assert [each.verdict_since.day for each in found] == [4, 4, 5]
    assert [each.last_passed_at and each.last_passed_at.day for each in found] == [3, None, 5]
    assert [each.first_failed_at and each.first_failed_at.day for each in found] == [2, 1, None]


def test_the_audit_names_what_is_missing_and_what_builds_it(database, regime):
    database.execute(
        "drop view audit.market_days, audit.regime_timeline, audit.label_profile cascade"
    )
    database.execute("drop function audit.regime_forecast")
    database.execute("drop view audit.price_suspicions")
    database.execute("create table audit.price_suspicions (instrument_id text)")
    done = regime("audit")
    assert "FAIL relations_exist: 6 rows." in done.stdout
    found = {
        tuple(row[1:]) for row in database.execute("select * from audit_failures.relations_exist")
    }
    views = ("market_days", "regime_timeline", "regime_spells", "label_profile", "price_suspicions")
    assert found == {
        *((view, "view", "regime pipeline") for view in views),
        ("regime_forecast", "function", "regime pipeline"),
    }

    database.execute("drop table runtime.regime_transitions cascade")
    done = regime("audit")
    assert done.returncode == 1
    assert "the database lacks audit.label_profile, " in done.stderr
    assert (
        "runtime.regime_transitions: run `regime init` and then `regime pipeline`\n" in done.stderr
    )


def test_an_audit_tells_how_far_it_is_and_goes_on_if_nobody_can_be_told(database):
    told = []

    def tell(done: int, total: int, name: str) -> None:
        told.append((done, total, name))
        raise OSError("the terminal is gone")

    results, _ = nightly.audit(database, progress=tell)
    tests = {result.name for result in results} - {catalog.NAME}
    assert {name for *_, name in told} == tests
    assert {total for _, total, _ in told} == {len(tests)}
    done = [done for done, *_ in told]
    assert done[0] == 0
    assert done[-1] == len(tests)


def test_an_interrupted_audit_says_how_far_it_came_and_what_to_do(database, settings):
    with connect(settings) as other, other.transaction():
        other.execute("lock table runtime.regimes in access exclusive mode")
        process = Process("regime", ("audit",), environment(settings))
        wait_until(database, "select exists (select from pg_locks where not granted)")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(TIMEOUT)
    assert process.returncode == 1
    interrupted = error.removeprefix("auditing …\n")
    assert re.fullmatch(
        r"interrupted while auditing, \d+ of \d+ done. What is stored .*\n\nAborted!\n", interrupted
    )


def test_an_interruption_of_which_dbt_takes_no_note_ends_its_queries(settings):
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            connect(settings) as database,
            ThreadPoolExecutor(1) as thread,
            dbt.interruptible([database.connection]) as interrupted,
        ):
            waiting = thread.submit(database.execute, "select pg_sleep(300)")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(errors.QueryCanceled):
                waiting.result(TIMEOUT)
        assert interrupted.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_test_that_dbt_skipped_is_not_one_that_passed(database, settings, monkeypatch):
    database.execute("update runtime.regime_runs set row_hash = ''")
    monkeypatch.setitem(os.environ, "DBT_FAIL_FAST", "1")
    result = regime_command(settings, "audit")
    assert result.returncode == 1
    skipped = result.stdout.count("NOT RUN ")
    assert skipped > 0
    assert f", {skipped} not run" in result.stdout


@pytest.fixture(scope="module")
def generic(server, features_template) -> Iterator[tuple[Database, dict[str, str]]]:
    """A database of prices and features, and the compiled SQL of the tests of its phase."""
    with (
        server.database(MODULE_DATABASE, features_template) as settings,
        connect(settings) as database,
    ):
        results = dbt.test(database, "features").results
        assert {result.status for result in results} == {"pass"}
        queries = {result.name: result.query for result in results}
        queries |= {result.name: result.query for result in dbt.test(database, "audit").results}
        yield database, queries


@pytest.mark.parametrize(
    ("test", "statements", "row"),
    [
        (
            "not_null_regions_instrument_id",
            ["update runtime.regions set instrument_id = null where region = 'US'"],
            {"US", None},
        ),
        (
            "is_empty_rejected_prices_",
            ["update historical.prices_daily set close = -1 where trade_date = '2010-06-01' and instrument_id = 'GSPC.INDX'"],
            {"GSPC.INDX", date(2010, 6, 1), "close is not positive"},
        ),
        (
            "regimes_have_unique_keys",
            ["alter table runtime.regimes drop constraint regimes_pkey",
             *["insert into runtime.regimes values ('US', '2010-06-01', 'm', 63, 'i', 0, 'NEUTRAL', 1, '{}', null, null, '', '{}', '', gen_random_uuid(), now())"] * 2],
            {"US", date(2010, 6, 1), 2},
        ),
        (
            "unique_regions_region",
            ["insert into runtime.regions select * from runtime.regions where region = 'US'"],
            {"US", 2},
        ),
    ],
)  # fmt: skip
def test_a_generic_test_passes_good_rows_and_returns_bad_ones(generic, test, statements, row):
    database, queries = generic
    run = partial(database.connection.execute, queries[test])
    with database.transaction(force_rollback=True):
        assert run().fetchall() == []
        for statement in statements:
            database.connection.execute(statement)
        (found,) = run().fetchall()
    assert row <= set(found)


def test_no_generic_test_of_ours_is_left_out():
    ours = {path.stem for path in (ROOT / "tests/dbt/generic").glob("*.sql")}
    # unique_price, which looks at the source's indexes first, has its own in test_features.
    assert ours == {"not_null", "is_empty", "unique_key", "unique_price"}
