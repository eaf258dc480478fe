"""Whatever a user can cause gets one line, an exit code and no half-written row."""

import csv
import re
from datetime import date, timedelta

import numpy as np
import pytest
from commands import refusal, regime_command, succeed
from servers import MODULE_DATABASE

from regime_engine.database import connect
from regime_engine.engine import nightly
from regime_engine.prices.load import load_prices

pytestmark = pytest.mark.one_server

QUOTED = "O'BRIEN\"; drop table runtime.regimes; --"


def trading_days(n: int, last: date) -> list[date]:
    days = [last - timedelta(days=k) for k in range(2 * n)]
    return sorted(day for day in days if day.weekday() < 5)[-n:]


@pytest.fixture(scope="module")
def peculiar(server, features_template, tmp_path_factory):
    """The bundled prices and five instruments, each with something of its own."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        path = tmp_path_factory.mktemp("prices") / "peculiar.csv"
        chance = np.random.default_rng(1)
        last = date(2025, 1, 31)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["instrument_id", "trade_date", "close", "volume"])
            for instrument_id, n in [
                ("AAPL.US", 80),
                ("SHORT.US", 62),
                (QUOTED, 80),
                ("GAP.US", 80),
            ]:
                for day in trading_days(n, last):
                    volume = int(chance.integers(1, 10**6))
                    missing = instrument_id == "GAP.US" and day == date(2025, 1, 15)
                    close = round(float(chance.uniform(50, 60)), 2)
                    writer.writerow([instrument_id, day, close, "" if missing else volume])
        with connect(settings) as database:
            load_prices(database, path)
            nightly.build_features(database)
            # Prices that came after the features were built.
            database.execute(
                "insert into historical.prices_daily (instrument_id, trade_date, close, volume)"
                " select 'LATE.US', day, 5, 5 from generate_series('2024-01-01'::date, '2025-01-31', '1d') as day"
            )
        yield settings


RUN = ("run", "--region", "US", "--as-of", "2025-01-31")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((*RUN, "--instrument-id", "SHORT.US"), 1, "SHORT.US has 62 of the 63 trading days needed up to 2025-01-31"),
        ((*RUN, "--instrument-id", "NONE.US"), 1, "no prices of NONE.US up to 2025-01-31"),
        ((*RUN, "--instrument-id", "x'; drop table runtime.regimes; --"), 1, "no prices of x'; drop table"),
        ((*RUN, "--instrument-id", "LATE.US"), 1, "the features of LATE.US end on no day, its prices on 2025-01-31"),
        ((*RUN, "--model-id", "num-regime-core-v1", "--instrument-id", "GAP.US"), 1, "GAP.US from 2024-11-06 to 2025-01-31 has days without volume"),
        ((*RUN, "--instrument-id", "GSPC.INDX"), 1, "is from 2018-12-31, 2223 days old; at most 7 are allowed"),
        (("run", "--region", "US", "--as-of", "2019-01-30"), 1, "is from 2018-12-31, 30 days old; at most 7 are allowed"),
        (("run", "--region", "US", "--as-of", "1999-04-01"), 1, "62 of the 63 trading days needed"),
        (("run", "--region", "US", "--as-of", "1990-01-01"), 1, "no prices of GSPC.INDX up to 1990-01-01"),
        (("run", "--region", "MARS", "--as-of", "2018-12-31"), 1, "unknown region 'MARS': known are US, US_TECH; `regime region add` adds one"),
        ((*RUN, "--model-id", "v9"), 1, "unknown model id 'v9': choose one of numeric-simple-v1, num-regime-core-v1, num-regime-core-v2, num-regime-core-v3"),
        (("run", "--region", "US", "--as-of", "2025-02-30"), 2, "'2025-02-30' is not a day of the calendar"),
        ((*RUN, "--window-days", "1"), 2, "1 is not in the range"),
        (("backfill", "--region", "US", "--start", "2010-01-01", "--end", "2009-01-01"), 1, "--start 2010-01-01 is after --end 2009-01-01"),
        (("backfill", "--region", "US", "--start", "2019-02-01"), 1, "no trading day between 2019-02-01 and the last price"),
        (("backfill", "--region", "US", "--model-id", "num-regime-core-v1", "--instrument-id", "GAP.US"), 1, "cannot encode 13 of 18 dates"),
        (("fit", "--region", "US", "--window", "BOOM=2008-09-15:2009-03-31"), 1, "unknown label 'BOOM': choose of CARRY, NEUTRAL, RISK_OFF, CRISIS"),
        (("fit", "--region", "US", "--window", "CRISIS=2008-09-15"), 2, "is not LABEL=FROM:TO"),
        (("fit", "--region", "US", "--window", "CRISIS=2008-09-15:2008-01-01"), 1, "CRISIS: 2008-09-15 is after 2008-01-01"),
        (("fit", "--region", "US", "--window", "CRISIS=1990-01-01:1991-01-01"), 1, "no prices of GSPC.INDX up to 1991-01-01"),
        (("fit", "--region", "US", "--window", "CRISIS=2008-01-01:2009-01-01", "--window", "CARRY=2008-12-01:2009-06-01"), 1, "CRISIS to 2009-01-01 overlaps CARRY from 2008-12-01"),
        (("history", "--region", "US"), 1, "no regimes of region US by num-regime-core-v3"),
        (("transitions", "--region", "NOWHERE"), 1, "unknown region 'NOWHERE': known are US_TECH, US"),
        (("matrix", "--region", "US"), 1, "no regimes of region US by num-regime-core-v3 with windows of 63 days: `regime status` lists the stored series"),
        (("forecast", "--region", "NOWHERE"), 1, "unknown region 'NOWHERE': known are US_TECH, US"),
        (("forecast", "--region", "US", "--score"), 1, "no regimes of region US"),
        (("forecast", "--region", "US", "--horizon", "0"), 2, "0 is not in the range 1<=x<=1000"),
        (("forecast", "--region", "US", "--horizon", "10000"), 2, "10000 is not in the range 1<=x<=1000"),
        (("forecast", "--region", "US", "--score", "--as-of", "2008-10-10"), 2, "--score is about the whole history: leave --as-of out"),
        (("explain", "--region", "US", "--as-of", "2008-10-10"), 1, "no regimes of region US"),
        (("explain", "--region", "USA"), 1, "unknown region 'USA': known are US, US_TECH"),
        (("analogues", "--region", "TECH"), 1, "unknown region 'TECH': known are US_TECH, US"),
        (("report", "--region", "USA"), 1, "unknown region 'USA': known are US"),
        (("models", "--region", "USA"), 1, "unknown region 'USA': known are US"),
        (("models", "--region", "USA", "--show", "1"), 1, "unknown region 'USA': known are US"),
        (("forget", "--region", "USA", "--yes"), 1, "unknown region 'USA': known are US"),
        (("forget", "--instrument-id", "NONE.US", "--yes"), 1, "nothing is stored of instrument NONE.US"),
        (("forget",), 2, "give either --region or --instrument-id"),
        (("region", "remove", "USA"), 1, "unknown region 'USA': known are US"),
        (("no-such-command",), 2, "No such command 'no-such-command'"),
        (("histroy",), 2, "Did you mean 'history'?"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line_and_writes_nothing(peculiar, arguments, code, message):
    result = regime_command(peculiar, *arguments)
    assert result.returncode == code
    assert result.stdout == ""
    assert message in result.stderr
    if code == 1:
        assert re.fullmatch(r"Error: .+\n", result.stderr)
    with connect(peculiar) as database:
        (rows,) = database.one("""
            select
                (select count(*) from runtime.regimes)
                + (select count(*) from historical.numeric_window_embeddings)
                + (select count(*) from runtime.regime_transitions)
                + (select count(*) from runtime.regime_models)
        """)
    assert rows == 0


def test_a_failed_run_is_in_the_ledger_with_its_reason(database, regime):
    assert regime("run", "--region", "US", "--as-of", "2019-01-30").returncode == 1
    status, error = database.one(
        "select status, error from runtime.regime_runs order by started_at desc"
    )
    assert status == "FAILED"
    assert "30 days old" in error


def test_the_documented_first_run(peculiar):
    of_v1 = ("--window-days", "63", "--model-id", "num-regime-core-v1")
    result = regime_command(peculiar, *RUN, "--instrument-id", "AAPL.US", *of_v1)
    assert result.stderr == ""
    assert result.stdout == (
        "Regime as of 2025-01-31 for region US: label=NEUTRAL, confidence=1.000\n"
    )
    with connect(peculiar) as database:
        database.execute("truncate runtime.regimes, historical.numeric_window_embeddings")


def test_an_instrument_id_is_data_whatever_it_says(peculiar):
    succeed(regime_command(peculiar, *RUN, "--instrument-id", QUOTED))
    with connect(peculiar) as database:
        rows = database.rows("select instrument_id from runtime.regimes").rows
        assert rows == [(QUOTED,)]
        database.execute("truncate runtime.regimes, historical.numeric_window_embeddings")


@pytest.mark.parametrize("day", ["2018-12-29", "2018-12-25", "2019-01-07"])
def test_a_day_without_trading_uses_the_week_before_and_says_so(regime, day):
    result = succeed(regime("run", "--region", "US", "--as-of", day))
    assert f"{day} has no price of GSPC.INDX; the window ends on" in result.stderr
    assert f"Regime as of {day}" in result.stdout


def test_zero_volume_as_published_is_no_fault(regime):
    assert "4,969 dates" in succeed(regime("backfill", "--region", "US_TECH")).stdout


def test_a_wrong_password_and_a_server_that_is_down(peculiar, tmp_path):
    secret = "hunter2-not-the-password"
    server = re.search(r"host='?([^ ']+)", peculiar.database_url)[1]
    for url, message in [
        (f"postgresql://regime:{secret}@/regime?host={server}", "password authentication failed"),
        (
            f"host={tmp_path} user=regime password={secret} dbname=regime",
            "no connection to Postgres",
        ),
        (f"postgresql://regime:{secret}@localhost:1/regime", "no connection to Postgres"),
        (f"postgresql://regime:{secret}@localhost:port/regime", "no connection to Postgres"),
        (f"postgresql://regime:{secret}@x@localhost/regime", "percent-encoding"),
        (f"postgresql//{secret}", "cannot be read"),
    ]:
        for command in (RUN, ("status",), ("init",), ("audit",), ("pipeline",)):
            result = regime_command(peculiar, "--database-url", url, *command)
            assert message in refusal(result)
            assert secret not in result.stderr + result.stdout


def test_tables_of_an_older_version_are_refused_with_the_way_to_new_ones(database, regime):
    as_of = ("run", "--region", "US", "--as-of", "2018-12-31")
    succeed(regime(*as_of))
    database.execute(
        "alter table historical.numeric_window_embeddings rename column row_hash to vector_hash"
    )
    line = refusal(regime("init"))
    assert refusal(regime("pipeline")) == line
    assert database.one("select count(*) from historical.numeric_window_embeddings") == (1,)
    database.execute(re.search("`(drop table [^`]+)`", line)[1])
    assert "`regime pipeline --walk-forward`" in line
    succeed(regime("init"))
    succeed(regime(*as_of))


@pytest.mark.parametrize(
    "missing",
    [
        "drop table runtime.regime_transitions cascade",
        "drop table historical.numeric_window_embeddings cascade",
        "drop schema runtime cascade",
        "alter table runtime.regimes drop column metadata cascade",
    ],
)
def test_an_unfinished_init_is_named_and_finished_by_init(database, regime, missing):
    database.execute(missing)
    line = refusal(regime("run", "--region", "US", "--as-of", "2018-12-31"))
    assert re.fullmatch("Error: .+run `regime init`", line)
    for table in ("runtime.regimes", "historical.numeric_window_embeddings"):
        if database.one("select to_regclass(%s)", [table]) != (None,):
            (rows,) = database.one(f"select count(*) from {table}")
            assert rows == 0
    succeed(regime("init"))
    succeed(regime("run", "--region", "US", "--as-of", "2018-12-31"))


def test_an_empty_database_says_what_to_do_first(empty_settings):
    for command, message in [
        (("status",), "run `regime init`"),
        (RUN, "run `regime init`"),
        (("pipeline",), "load prices with `regime load FILE`"),
        (("audit",), "regime init"),
    ]:
        assert message in refusal(regime_command(empty_settings, *command))
