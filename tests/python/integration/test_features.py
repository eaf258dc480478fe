"""daily_features, however prices change, is what a full rebuild and a computation outside SQL give."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, pairwise

import numpy as np
import pytest
from commands import Process, environment
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from servers import follow_prices, wait_until
from stored import FEATURES, day_versions

from regime_engine import daily_features, dbt
from regime_engine.database import Database, connect
from regime_engine.engine import nightly
from regime_engine.errors import RegimeError

pytestmark = pytest.mark.one_server

VOLUME_HISTORY = 252
FLOATS = (
    "close",
    "volume",
    "log_return",
    "adjusted_close",
    "adjusted_log_return",
    "relative_log_volume",
    "open",
    "log_range",
    "overnight_gap",
)

# Rows an instrument has at first; its prices are of every second day, so that there is room
# between them.
LENGTHS = {"LONG": 400, "SHORT": 30, "ONE": 1}


def day(position: float) -> date:
    """The date of an instrument's row; halves lie between two rows."""
    return date(2020, 1, 1) + timedelta(days=int(2 * position))


@dataclass(frozen=True)
class Market:
    """A database of its own with prices and what was built from them.

    rebuild, update: the model's query as dbt compiles it for a first and for a later build
    """

    database: Database
    rebuild: str
    update: str

    def build(self) -> None:
        follow_prices(self.database)

    def update_as_dbt_does(self) -> None:
        """The statements of a later build without dbt, for many builds in short time."""
        with self.database.transaction(), self.database.connection.cursor() as cursor:
            cursor.execute(f"create temporary table new on commit drop as {self.update}")
            cursor.execute(
                "delete from features.daily_features as stored using new"
                " where (stored.instrument_id, stored.trade_date)"
                " = (new.instrument_id, new.trade_date)"
            )
            insert(
                self.database,
                "features.daily_features",
                "select * from new where close is not null",
            )

    def reset(self) -> None:
        with self.database.transaction():
            for schema, table in (("historical", "prices_daily"), ("features", "daily_features")):
                self.database.execute(f"truncate {schema}.{table}")
                insert(self.database, f"{schema}.{table}", f"select * from saved.{table}")


def insert(database: Database, table: str, query: str) -> None:
    """By the names of the columns: one that a build had to add is the table's last."""
    names = [column.name for column in database.execute(f"{query} limit 0").description]
    database.execute(f"insert into {table} ({', '.join(names)}) {query}")


@pytest.fixture(scope="module")
def built_market(server) -> Iterator[Market]:
    chance = np.random.default_rng(20200101)
    with server.database("test_market") as own, connect(own) as database:
        database.execute("create schema historical")
        database.execute("create schema saved")
        # As a team's own table may be: no key, nothing required.
        database.execute(
            "create table historical.prices_daily (instrument_id text, trade_date date,"
            " close double precision, adjusted_close double precision, volume double precision,"
            " open double precision, high double precision, low double precision,"
            " currency text, loaded_at timestamptz default now())"
        )
        for instrument_id, length in LENGTHS.items():
            close = 100 * np.exp(np.cumsum(0.01 * chance.standard_normal(length)))
            volume = np.exp(12 + 0.3 * chance.standard_normal(length))
            opened = close * np.exp(0.005 * chance.standard_normal(length))
            high, low = 1.01 * np.maximum(close, opened), 0.99 * np.minimum(close, opened)
            of_range = np.column_stack([opened, high, low]).tolist()
            for at in range(length):
                put(
                    database,
                    instrument_id,
                    at,
                    close[at],
                    0.9 * close[at],
                    volume[at],
                    *of_range[at],
                )
        rebuild, update = (
            next(
                result.query
                for result in dbt.build(database, selector)
                if result.name == "daily_features"
            )
            for selector in ("features", "daily_features")
        )
        database.execute("create table saved.prices_daily as table historical.prices_daily")
        database.execute("create table saved.daily_features as table features.daily_features")
        yield Market(database, rebuild, update)


@pytest.fixture
def market(built_market: Market) -> Market:
    built_market.reset()
    return built_market


def put(
    database, instrument_id, position, close, adjusted_close=None, volume=None, open=None, high=None, low=None
) -> None:  # fmt: skip
    delete(database, instrument_id, position, 0)
    database.execute(
        "insert into historical.prices_daily"
        " (instrument_id, trade_date, close, adjusted_close, volume, open, high, low)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [instrument_id, day(position), close, adjusted_close, volume, open, high, low],
    )


def restate(database, instrument_id, position, column, value) -> None:
    database.execute(
        sql.SQL(
            "update historical.prices_daily set {} = %s where (instrument_id, trade_date) = (%s, %s)"
        ).format(sql.Identifier(column)),
        [value, instrument_id, day(position)],
    )


def scale(database, instrument_id, position, column, factor) -> None:
    database.execute(
        sql.SQL(
            "update historical.prices_daily set {name} = {name} * %s"
            " where (instrument_id, trade_date) = (%s, %s)"
        ).format(name=sql.Identifier(column)),
        [factor, instrument_id, day(position)],
    )


def unadjust(database, instrument_id) -> None:
    database.execute(
        "update historical.prices_daily set adjusted_close = null where instrument_id = %s",
        [instrument_id],
    )


def delete(database, instrument_id, position, length) -> None:
    database.execute(
        "delete from historical.prices_daily"
        " where instrument_id = %s and trade_date between %s and %s",
        [instrument_id, day(position), day(position + length)],
    )


def bits(database: Database, query: str) -> list[tuple]:
    """Every row of a query of daily_features, its floats byte for byte."""
    floats = ", ".join(f"float8send({name})" for name in FLOATS)
    return database.rows(
        f"select instrument_id, trade_date, day_number, {floats} from ({query}) as features"
        " order by instrument_id, trade_date"
    ).rows


def is_usable(
    is_adjusted: bool, close: float | None, adjusted_close: float | None, volume: float | None
) -> bool:
    return (
        is_price(close)
        and (is_price(adjusted_close) or (adjusted_close is None and not is_adjusted))
        and (volume is None or 0 <= volume < math.inf)
    )


def is_price(value: float | None) -> bool:
    return value is not None and 1e-100 <= value <= 1e100


def relative_log_volumes(volumes: Sequence[float | None]) -> Iterator[float]:
    logs = [math.log(volume) if volume else None for volume in volumes]
    for at, volume in enumerate(volumes):
        history = [log for log in logs[max(at - VOLUME_HISTORY, 0) : at] if log is not None]
        if volume is None or not history:
            yield 0
        elif volume == 0:
            yield -3
        else:
            yield min(3, max(-3, logs[at] - math.fsum(history) / len(history)))


def log_returns(prices: Sequence[float]) -> list[float | None]:
    return [None] + [math.log(price / before) for before, price in pairwise(prices)]


def assert_features_are_right(market: Market) -> None:
    database = market.database
    built = bits(database, "table features.daily_features")
    assert built == bits(database, market.rebuild)

    stored = database.rows(
        "select instrument_id, trade_date, close, volume, log_return, adjusted_close,"
        " adjusted_log_return, relative_log_volume, open, log_range, overnight_gap, day_number"
        " from features.daily_features"
        " order by instrument_id, trade_date"
    ).rows
    prices = database.rows(
        "select instrument_id, trade_date, close, adjusted_close, volume, open, high, low"
        " from historical.prices_daily order by instrument_id, trade_date"
    ).rows
    adjusted = {price[0] for price in prices if is_price(price[3])}
    usable = [price for price in prices if is_usable(price[0] in adjusted, *price[2:5])]
    assert [row[:2] for row in stored] == [price[:2] for price in usable]
    for instrument_id, instrument_prices in groupby(usable, key=lambda price: price[0]):
        _, days, close, adjusted_close, volume, *of_range = zip(*instrument_prices, strict=True)
        adjusted_close = [a or c for a, c in zip(adjusted_close, close, strict=True)]
        found = [row[2:] for row in stored if row[0] == instrument_id]
        found = dict(zip((*FLOATS, "day_number"), zip(*found, strict=True), strict=True))
        assert found["close"] == close
        assert found["volume"] == volume
        assert found["adjusted_close"] == tuple(adjusted_close)
        assert found["day_number"] == tuple(range(1, len(close) + 1))
        assert_within_one_ulp(found["log_return"], log_returns(close))
        assert_within_one_ulp(found["adjusted_log_return"], log_returns(adjusted_close))
        np.testing.assert_allclose(
            found["relative_log_volume"], list(relative_log_volumes(volume)), rtol=0, atol=1e-12
        )
        given = {"trade_date": days, "close": close, "volume": volume}
        given["adjusted_close"] = adjusted_close
        for name, path in zip(("open", "high", "low"), of_range, strict=True):
            # A NaN is a missing value in a frame, and a wrong one in a table.
            given[name] = [math.inf if price != price else price for price in path]
        with warnings.catch_warnings(action="ignore"):
            computed = daily_features(given)
        for name in FLOATS:
            assert np.array(found[name], float).tobytes() == computed[name].tobytes(), name


def assert_within_one_ulp(found: Sequence[float | None], expected: Sequence[float | None]) -> None:
    assert found[0] is expected[0] is None
    np.testing.assert_array_max_ulp(np.array(found[1:], float), np.array(expected[1:], float), 1)


# Before, at, between and after the rows; often at the ends, and where the volume history ends.
PLACES = st.tuples(
    st.sampled_from([*LENGTHS, "NEW"]),
    st.one_of(
        st.sampled_from([-1, -0.5, 0, 0.5, 1, 28, 29, 30, 251, 252, 253, 398, 399, 399.5, 400]),
        st.integers(-2, 803).map(lambda half: half / 2),
    ),
)
ROWS = st.sampled_from(list(LENGTHS)).flatmap(
    lambda name: st.tuples(st.just(name), st.integers(0, LENGTHS[name] - 1))
)
PRICES = st.one_of(
    st.none(),
    st.floats(0.01, 1e5),
    st.floats(0.01, 1e5),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e300, 1e-300]),
)
VOLUMES = st.one_of(
    st.none(),
    st.floats(1e-3, 1e13),
    st.sampled_from([0.0, -0.0, 5e-324, 1e308, math.nan, math.inf, -1.0]),
)
OF_RANGE = st.sampled_from(["open", "high", "low"])
FACTORS = st.sampled_from([0.5, 0.99, 0.995, 1.00000001, 1.001, 1.01, 2.0])
EDITS = st.lists(
    st.one_of(
        st.builds(lambda place, *row: (put, *place, *row), PLACES, PRICES, PRICES, VOLUMES),
        st.builds(lambda row, price: (restate, *row, "close", price), ROWS, PRICES),
        st.builds(lambda row, price: (restate, *row, "adjusted_close", price), ROWS, PRICES),
        st.builds(lambda row, volume: (restate, *row, "volume", volume), ROWS, VOLUMES),
        st.builds(lambda row, name, price: (restate, *row, name, price), ROWS, OF_RANGE, PRICES),
        st.builds(lambda row, name, factor: (scale, *row, name, factor), ROWS, OF_RANGE, FACTORS),
        st.builds(
            lambda row, length: (delete, *row, length), ROWS, st.sampled_from([0, 1, 20, 300, 500])
        ),
        st.builds(lambda name: (unadjust, name), st.sampled_from(list(LENGTHS))),
    ),
    min_size=1,
    max_size=6,
)


def apply(database: Database, edits: list[tuple]) -> None:
    with database.transaction():
        for edit, *arguments in edits:
            edit(database, *arguments)


# Not shrunk: the next test finds smaller examples, without seconds of dbt for each.
@settings(
    max_examples=4, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
)
@given(edits=EDITS)
def test_after_any_edits_a_build_gives_what_a_rebuild_gives(built_market, edits):
    built_market.reset()
    apply(built_market.database, edits)
    built_market.build()
    assert_features_are_right(built_market)


@pytest.mark.both_servers
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=EDITS, second=EDITS)
@example(first=[(restate, "LONG", 5, "volume", 0.0)], second=[(restate, "LONG", 5, "volume", -0.0)])
def test_after_any_edits_the_query_of_the_model_gives_what_a_rebuild_gives(
    built_market, first, second
):
    built_market.reset()
    for edits in (first, second):
        apply(built_market.database, edits)
        built_market.update_as_dbt_does()
        assert_features_are_right(built_market)


def test_a_build_without_a_change_writes_nothing(market):
    before = day_versions(market.database, FEATURES)
    market.build()
    assert day_versions(market.database, FEATURES) == before


@pytest.mark.both_servers
def test_an_edit_rewrites_the_rows_that_depend_on_it_and_no_other(market):
    last = LENGTHS["LONG"] - 1

    def after(first: int, count: int) -> set[float]:
        return set(range(first, min(first + count, last) + 1))

    cases = {
        "close": ((restate, 100, "close", 50.0), after(100, 1)),
        "adjusted close": ((restate, 100, "adjusted_close", 50.0), after(100, 1)),
        "last close": ((restate, last, "close", 50.0), {last}),
        "volume": ((restate, 50, "volume", 160_000.0), after(50, VOLUME_HISTORY)),
        "late volume": ((restate, 390, "volume", None), after(390, VOLUME_HISTORY)),
        "currency": ((restate, 100, "currency", "EUR"), set()),
        "open": ((scale, 100, "open", 1.001), {100}),
        "high": ((scale, 100, "high", 1.001), {100}),
        "unusable open": ((scale, 100, "open", 2.0), {100}),
        "unusable low": ((restate, 100, "low", math.nan), {100}),
        "added": ((put, 200.5, 50.0, 50.0, 160_000.0), {200.5} | after(201, last)),
        "added before": ((put, -1, 50.0, 50.0, 160_000.0), {-1} | after(0, last)),
        "deleted": ((delete, 350, 0), after(350, last)),
        "deleted last": ((delete, last, 0), {last}),
        "refused": ((restate, 350, "close", math.nan), after(350, last)),
        "untouched": (None, set()),
    }
    database = market.database
    for name in cases:
        database.execute(
            "insert into historical.prices_daily"
            " select %s, trade_date, close, adjusted_close, volume, open, high, low, currency,"
            " loaded_at"
            " from saved.prices_daily where instrument_id = 'LONG'",
            [name],
        )
    market.build()
    before = day_versions(database, FEATURES)
    for name, (edit, _) in cases.items():
        if edit:
            edit[0](database, name, *edit[1:])
    market.build()
    versions = day_versions(database, FEATURES)
    changed = [key for key in before | versions if before.get(key) != versions.get(key)]
    touched = {
        name: {
            (trade_date - day(0)).days / 2
            for instrument, trade_date in changed
            if instrument == name
        }
        for name in [*LENGTHS, *cases]
    }
    assert touched == {name: set() for name in LENGTHS} | {
        name: positions for name, (_, positions) in cases.items()
    }
    assert_features_are_right(market)


@contextmanager
def build_in_another_process(market: Market) -> Iterator[Process]:
    """A build that has its new rows and waits to write them, until the body has ended."""
    program = """
from regime_engine import dbt
from regime_engine.config import Settings
from regime_engine.database import connect
settings = Settings.from_environment()
with connect(settings) as database:
    dbt.require_success(dbt.build(database, "daily_features"), "the build")
"""
    with connect(market.database.settings) as other, other.transaction():
        other.execute("lock table features.daily_features in share mode")
        process = Process("python", ("-c", program), environment(market.database.settings))
        wait_until(
            market.database,
            "select count(*) > 0 from pg_locks"
            " where relation = 'features.daily_features'::regclass and not granted",
        )
        yield process


def test_a_killed_build_leaves_the_table_as_it_was_and_the_next_completes_it(market):
    before = day_versions(market.database, FEATURES)
    restate(market.database, "LONG", 10, "close", 55.5)
    delete(market.database, "SHORT", 3, 1)
    with build_in_another_process(market) as process:
        process.kill()
        process.communicate()
    assert day_versions(market.database, FEATURES) == before
    market.build()
    assert_features_are_right(market)


def test_a_build_that_fails_leaves_the_table_as_it_was_and_the_next_completes_it(market):
    before = day_versions(market.database, FEATURES)
    restate(market.database, "LONG", 10, "close", 55.5)
    delete(market.database, "SHORT", 3, 1)
    # In the way of the last of its statements, which deletes the rows of vanished prices.
    market.database.execute(
        "create table public.keeper (instrument_id text, trade_date date,"
        " foreign key (instrument_id, trade_date) references features.daily_features)"
    )
    market.database.execute("insert into public.keeper values ('SHORT', %s)", [day(3)])
    with pytest.raises(RegimeError, match=r"model daily_features failed.*keeper"):
        market.build()
    assert day_versions(market.database, FEATURES) == before
    market.database.execute("drop table public.keeper")
    market.build()
    assert_features_are_right(market)


def test_prices_that_change_during_a_build_are_followed_by_the_next(market):
    restate(market.database, "LONG", 10, "close", 55.5)
    with build_in_another_process(market) as process:
        delete(market.database, "LONG", 300, 0)
        restate(market.database, "SHORT", 3, "close", None)
        put(market.database, "NEW", 0, 1.0)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    market.build()
    assert_features_are_right(market)


def test_a_price_that_cannot_be_used_is_refused_by_name_and_reaches_no_feature(market):
    refused = {
        (None, None, None): "close is missing",
        (math.nan, None, None): "close is not finite",
        (math.inf, None, None): "close is not finite",
        (-math.inf, None, None): "close is not finite",
        (0.0, None, None): "close is not positive",
        (-1.0, None, None): "close is not positive",
        (1.7976931348623157e308, None, None): "close is out of range",
        (5e-324, None, None): "close is out of range",
        (1.0, math.nan, None): "adjusted_close is not finite",
        (1.0, math.inf, None): "adjusted_close is not finite",
        (1.0, 0.0, None): "adjusted_close is not positive",
        (1.0, -1.0, None): "adjusted_close is not positive",
        (1.0, 1e300, None): "adjusted_close is out of range",
        (1.0, None, None): "adjusted_close is missing, and other days of the instrument have one",
        (1.0, None, math.nan): "volume is not finite",
        (1.0, None, math.inf): "volume is not finite",
        (1.0, None, -1.0): "volume is negative",
        (math.nan, 0.0, -1.0): "close is not finite",
    }
    for position, values in enumerate(refused):
        put(market.database, "SHORT", position + 0.5, *values)
    market.database.execute(
        "insert into historical.prices_daily (instrument_id, trade_date, close)"
        " values (null, '2020-01-01', 1), ('ONE', null, 1), ('ONE', 'infinity', 1),"
        " ('ONE', '-infinity', 1)"
    )
    before = day_versions(market.database, FEATURES)
    warnings = nightly.build_features(market.database)

    assert [warning.failures for warning in warnings] == [len(refused) + 4]
    found = market.database.rows(
        "select trade_date, reason from staging.rejected_prices where instrument_id = 'SHORT'"
        " order by trade_date"
    ).rows
    assert found == [(day(at + 0.5), reason) for at, reason in enumerate(refused.values())]
    found = market.database.rows(
        "select instrument_id, trade_date::text, reason from staging.rejected_prices"
        " where instrument_id is distinct from 'SHORT' order by trade_date"
    ).rows
    assert found == [
        ("ONE", "-infinity", "trade_date is not finite"),
        (None, "2020-01-01", "instrument_id is missing"),
        ("ONE", "infinity", "trade_date is not finite"),
        ("ONE", None, "trade_date is missing"),
    ]
    assert day_versions(market.database, FEATURES) == before


# The open, high and low of a day whose close is 3; its log_range, and why there is none.
LN_2 = math.log(2)
RANGES = {
    "as it should be": ((3, 4, 2), LN_2, None),
    "no open": ((None, 4, 2), LN_2, None),
    "open of 0": ((0, 4, 2), LN_2, None),
    "dead": ((3, 3, 3), 0, None),
    "open alone": ((3, None, None), None, None),
    "no low": ((3, 4, None), None, None),
    "of float32": ((3, 2.9999998, 1.5), math.log(2.9999998 / 1.5), None),
    "high rounded": ((2.9, 2.99, 2.9), math.log(2.99 / 2.9), None),
    "high too low": ((2.9, 2.98, 2.9), None, "close is below low or above high"),
    "low too high": ((3.1, 3.14, 3.0151), None, "close is below low or above high"),
    "adjusted high and low": ((1.5, 2, 1), None, "close is below low or above high"),
    "open too high": ((5, 4, 2), None, "open is below low or above high"),
    "open too low": ((1.9, 4, 2), None, "open is below low or above high"),
    "swapped": ((3, 2, 4), None, "high is below low"),
    "negative": ((-3, 4, 2), None, "open is not positive"),
    "zero": ((3, 0, 0), None, "high is not positive"),
    "NaN": ((3, 4, math.nan), None, "low is not finite"),
    "infinite": ((3, math.inf, 2), None, "high is not finite"),
    "huge": ((3, 1e300, 2), None, "high is out of range"),
}


def test_a_range_that_contradicts_its_day_is_not_used_and_is_named(market):
    for instrument_id, (of_range, _, _) in RANGES.items():
        put(market.database, instrument_id, 0, 3.0, 1.5, None, 3, 4, 2)
        put(market.database, instrument_id, 1, 3.0, 1.5, None, *of_range)
        put(market.database, instrument_id, 2, 3.0, 1.5, None, *of_range)
    market.build()
    assert_features_are_right(market)
    for instrument_id, ((opened, _, _), log_range, fault) in RANGES.items():
        found = market.database.rows(
            "select log_range, overnight_gap from features.daily_features"
            " where instrument_id = %s order by trade_date",
            [instrument_id],
        ).rows
        gap = None if fault or not opened else pytest.approx(math.log(opened / 3), abs=1e-15)
        assert found == [
            (LN_2, None),
            (pytest.approx(log_range), gap),
            (pytest.approx(log_range), gap),
        ]
        suspicions = market.database.rows(
            "select first_date, trade_date, value, evidence from audit.price_suspicions"
            " where instrument_id = %s and kind = 'unusable range'",
            [instrument_id],
        ).rows
        evidence = (
            f"trading days in a row whose open, high and low are not used, because {fault}: 2"
        )
        assert suspicions == ([(day(1), day(2), 2, evidence)] if fault else [])


@pytest.fixture
def long_known_market(market: Market, monkeypatch: pytest.MonkeyPatch) -> Market:
    """Loaded ten days ago, and built by load times."""
    for table in ("historical.prices_daily", "features.daily_features"):
        market.database.execute(f"update {table} set loaded_at = now() - interval '10 days'")
    monkeypatch.setenv("REGIME_FEATURES_CHANGES", "loaded")
    return market


def test_a_build_by_load_times_follows_what_was_loaded_and_nothing_else(
    long_known_market, monkeypatch
):
    market, database = long_known_market, long_known_market.database
    put(database, "LONG", LENGTHS["LONG"], 50.0, 49.0, 160_000.0)
    put(database, "LONG", 200, 51.0, 50.0, 150_000.0)
    put(database, "SHORT", 20, math.nan)
    put(database, "NEW", 0, 1.0)
    market.build()
    assert_features_are_right(market)
    before = day_versions(database, FEATURES)
    market.build()
    assert day_versions(database, FEATURES) == before

    restate(database, "LONG", 390, "close", 44.0)
    delete(database, "ONE", 0, 0)
    market.build()
    assert day_versions(database, FEATURES) == before
    monkeypatch.setenv("REGIME_FEATURES_CHANGES", "all")
    market.build()
    assert_features_are_right(market)


def test_a_build_by_load_times_follows_an_instrument_that_becomes_adjusted_and_back(
    long_known_market,
):
    market, database = long_known_market, long_known_market.database
    database.execute(
        "update historical.prices_daily set adjusted_close = null where instrument_id <> 'SHORT'"
    )
    database.execute("truncate features.daily_features")
    market.build()
    for table in ("historical.prices_daily", "features.daily_features"):
        database.execute(f"update {table} set loaded_at = now() - interval '10 days'")
    last = LENGTHS["LONG"]
    stored = "select count(*) from features.daily_features where instrument_id = 'LONG'"

    put(database, "LONG", last, 50.0, 50.0)
    put(database, "ONE", 1, 50.0)
    market.build()
    assert_features_are_right(market)
    assert database.one(stored) == (1,)

    put(database, "LONG", last, 50.0)
    market.build()
    assert_features_are_right(market)
    assert database.one(stored) == (last + 1,)


def test_a_build_by_load_times_waits_for_slow_loads_and_is_not_misled_by_the_future(
    long_known_market,
):
    market, database = long_known_market, long_known_market.database

    def loaded(position: float, ago: str) -> None:
        put(database, "SHORT", position, 50.0, 45.0)
        database.execute(
            "update historical.prices_daily set loaded_at = now() - %s::interval"
            " where instrument_id = 'SHORT' and trade_date = %s",
            [ago, day(position)],
        )

    loaded(30, "-1 year")  # a clock that is wrong
    loaded(31, "0")
    market.build()
    loaded(32, "20 hours")
    market.build()
    assert_features_are_right(market)
    loaded(33, "0")
    market.build()
    assert_features_are_right(market)


def test_features_of_an_earlier_version_get_their_load_times_as_rows_change(market, monkeypatch):
    database = market.database
    database.execute("alter table features.daily_features drop column loaded_at cascade")
    before = day_versions(database, FEATURES)
    market.build()
    assert day_versions(database, FEATURES) == before
    monkeypatch.setenv("REGIME_FEATURES_CHANGES", "loaded")
    put(database, "SHORT", 30, 50.0, 45.0)
    market.build()
    assert_features_are_right(market)
    found = database.rows(
        "select instrument_id, trade_date from features.daily_features where loaded_at is not null"
    ).rows
    assert found == [("SHORT", day(30))]
    database.execute("create index on features.daily_features (loaded_at)")


def test_a_price_that_is_there_twice_is_named_unless_an_index_forbids_it(market):
    database = market.database
    database.execute(
        "create unique index prices_key on historical.prices_daily (instrument_id, trade_date)"
    )
    market.build()
    database.execute("drop index historical.prices_key")
    database.execute(
        "insert into historical.prices_daily select * from historical.prices_daily where instrument_id = 'ONE'"
    )
    with pytest.raises(RegimeError, match="test unique_price_stg_prices_daily_ failed"):
        market.build()
