"""`regime analogues` against a plain loop over every stored window, and against SQL."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from bundled import US, US_TECH, US_V1, V1, V3
from commands import regime_command, succeed
from servers import MODULE_DATABASE

from regime_engine.config import Settings
from regime_engine.database import Database, connect
from regime_engine.engine import classify
from regime_engine.errors import RegimeError
from regime_engine.reading import nearest
from regime_engine.reading.analogues import analogues
from regime_engine.series import Series
from regime_engine.store import nearest_index

pytestmark = pytest.mark.one_server

INSTRUMENTS = {"US": "GSPC.INDX", "US_TECH": "IXIC.INDX"}


@pytest.fixture(scope="module")
def settings(server, features_template) -> Iterator[Settings]:
    """Two regions by the seed rule, 1999 to 2003, and one of them by the encoder of raw volumes."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        with connect(settings) as database:
            for series in (US, US_TECH, US_V1):
                classify.backfill(database, series, end=date(2003, 12, 31))
            # A day without trading has the window of the trading day before it.
            classify.run(database, US, date(2002, 7, 20))
        yield settings


def plain_loop(database, series: Series, as_of: date, n: int, regions: list[str]) -> list[tuple]:
    """(instrument, date, distance), by the number of each window's last trading day."""
    stored = database.rows(
        "select entity_id, as_of_date, vector, day_number, trade_date"
        " from historical.numeric_window_embeddings"
        " inner join features.daily_features"
        "  on instrument_id = entity_id and trade_date = (window_spec ->> 'last_trade_date')::date"
        " where model_id = %s and entity_id = any(%s) order by entity_id, as_of_date",
        [series.model_id, [INSTRUMENTS[region] for region in regions]],
    ).rows
    instrument_id = INSTRUMENTS[series.region]
    (asked,) = [row for row in stored if row[:2] == (instrument_id, as_of)]
    vector = np.frombuffer(asked[2], "<f4").astype(float)
    (begin,) = database.one(
        "select trade_date from features.daily_features where instrument_id = %s and day_number = %s",
        [instrument_id, asked[3] - series.window_days + 1],
    )
    earlier = [
        (float(np.sqrt(((np.frombuffer(row[2], "<f4") - vector) ** 2).sum())), *row)
        for row in stored
        if row[1] < begin
    ]
    chosen: list[tuple] = []
    for distance, instrument, day, _, number, _ in sorted(earlier):
        near = [c for c in chosen if c[0] == instrument and abs(c[3] - number) < series.window_days]
        if not near and len(chosen) < n:
            chosen.append((instrument, day, distance, number))
    return [(*c[:2], pytest.approx(c[2], rel=1e-12)) for c in chosen]


@pytest.mark.parametrize(
    ("series", "as_of", "scope", "regions"),
    [
        (US, date(2002, 10, 9), "region", ["US"]),
        (US, date(2002, 7, 20), "region", ["US"]),
        (US, date(2003, 12, 31), "regions", ["US", "US_TECH"]),
        (US_TECH, date(2001, 9, 21), "market", ["US", "US_TECH"]),
        (US_V1, date(2002, 10, 9), "region", ["US"]),
    ],
)
@pytest.mark.parametrize("n", [1, 10])
def test_the_search_finds_what_a_plain_loop_finds(database, series, as_of, scope, regions, n):
    found = analogues(database, series, as_of, n, scope)
    expected = plain_loop(database, series, as_of, n, regions)
    assert [
        (r["instrument_id"], r["as_of_date"], r["distance"]) for r in found.records(dict)
    ] == expected


def test_several_connections_find_the_same(database, monkeypatch):
    search = (database, US, date(2003, 12, 31), 10, "market")
    by_one = analogues(*search)
    monkeypatch.setattr(nearest, "INSTRUMENTS_A_CONNECTION", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    shares = []
    measure = nearest._measure_roughly
    monkeypatch.setattr(
        nearest, "_measure_roughly", lambda *args: shares.append(args[-1]) or measure(*args)
    )
    assert analogues(*search) == by_one
    assert sorted(shares) == [["GSPC.INDX"], ["IXIC.INDX"]]


@pytest.fixture(scope="module")
def indexed(server, settings) -> Iterator[Database]:
    """A copy of the database with pgvector's index."""
    with server.database("test_indexed", MODULE_DATABASE) as copy, connect(copy) as indexed:
        made = succeed(regime_command(copy, "index"))
        assert made.stdout == (
            "nearest_num-regime-core-v3_63 is an index of num-regime-core-v3 with windows of 63 days\n"
        )
        yield indexed


@pytest.mark.parametrize("n", [1, 10])
@pytest.mark.parametrize(
    "as_of", [date(2001, 9, 21), date(2002, 10, 9), date(2003, 3, 31), date(2003, 12, 31)]
)
def test_the_index_finds_what_a_plain_loop_finds(indexed, monkeypatch, as_of, n):
    monkeypatch.setattr(nearest, "_lower_bounds", None)  # the search of every window
    found = analogues(indexed, US, as_of, n, "market")
    expected = plain_loop(indexed, US, as_of, n, ["US", "US_TECH"])
    assert [(row[1], row[2], row[3]) for row in found.rows] == expected


def test_the_index_gives_fewer_where_there_are_no_more(indexed, database):
    search = (US, date(1999, 8, 2), 10, "market")
    found = analogues(indexed, *search)
    assert 0 < len(found.rows) < 10
    assert found == analogues(database, *search)


def test_the_index_is_asked_for_no_more_than_a_cursor_can_fetch(indexed):
    asked = (indexed, US, date(1999, 10, 1))
    all_there_are = analogues(*asked, 100, "market")
    assert analogues(*asked, 10**12, "market") == all_there_are


def test_the_index_knows_each_window_that_is_written(indexed):
    before = analogues(indexed, US, date(2003, 12, 31), 1, "market").rows
    indexed.execute(
        "delete from historical.numeric_window_embeddings where entity_id = %s and as_of_date = %s",
        before[0][1:3],
    )
    without = analogues(indexed, US, date(2003, 12, 31), 1, "market").rows
    assert without != before
    series = US if before[0][1] == "GSPC.INDX" else US_TECH
    classify.backfill(indexed, series, before[0][2], before[0][2])
    assert analogues(indexed, US, date(2003, 12, 31), 1, "market").rows == before


def test_an_index_of_partitions_finds_the_same(own, database, monkeypatch):
    table = "historical.numeric_window_embeddings"
    own.execute(f"alter table {table} rename to whole")
    own.execute(
        f"create table {table} (like historical.whole including all)"
        " partition by range (as_of_date)"
    )
    own.execute(
        f"create table historical.of_2001 partition of {table}"
        " for values from ('2001-01-01') to ('2002-01-01')"
    )
    own.execute(f"create table historical.of_others partition of {table} default")
    own.execute(f"insert into {table} select * from historical.whole")
    nearest_index.create(own, V3, 63)
    monkeypatch.setattr(nearest, "_lower_bounds", None)
    found = analogues(own, US, date(2002, 10, 9), 10, "market")
    monkeypatch.undo()
    assert found == analogues(database, US, date(2002, 10, 9), 10, "market")
    assert len({row[2].year == 2001 for row in found.rows}) == 2


@pytest.mark.parametrize(
    ("model_id", "prepare", "reason"),
    [
        (V1, "", "num-regime-core-v1 embeds raw volumes"),
        (
            V3,
            "create table public.pg_available_extensions (name text);"
            " set search_path = public, pg_catalog",
            "this server has no pgvector: install the extension 0.7 or newer",
        ),
        (
            V3,
            "create extension vector schema public; update pg_extension set extversion = '0.6.2' where extname = 'vector'",
            "this database has pgvector 0.6.2, and 0.7 or newer is needed",
        ),
    ],
)
def test_an_index_that_cannot_be_made_is_refused_in_one_line(settings, model_id, prepare, reason):
    with connect(settings) as database, database.transaction(force_rollback=True):
        database.execute(prepare)
        with pytest.raises(RegimeError) as raised:
            nearest_index.create(database, model_id, 63)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_sql_measures_the_same_distances(database):
    found = analogues(database, US, date(2000, 3, 24), 2)
    told = {row[found.headers.index("as_of_date")]: row[3] for row in found.rows}
    by_sql = dict(
        database.rows("""
            with asked as materialized (
                select audit.float32_array(vector) as numbers, window_spec
                from historical.numeric_window_embeddings
                where entity_id = 'GSPC.INDX' and model_id = 'num-regime-core-v3'
                    and as_of_date = '2000-03-24'
            )
            select as_of_date, audit.euclidean_distance(audit.float32_array(vector), numbers)
            from historical.numeric_window_embeddings as stored, asked
            where entity_id = 'GSPC.INDX' and model_id = 'num-regime-core-v3'
                and as_of_date < (asked.window_spec ->> 'first_trade_date')::date
            order by 2
        """).rows
    )
    assert min(by_sql, key=by_sql.get) == found.rows[0][2]
    assert told == {day: pytest.approx(by_sql[day], rel=1e-12) for day in told}
    (none,) = database.one("select audit.euclidean_distance('{{1, 2}}', '{{1}}')")
    assert none is None


def test_returns_are_those_of_the_days_after_as_far_as_they_were_known(database):
    as_of = date(2003, 12, 31)
    found = analogues(database, US, as_of, 8, "regions")
    for row in found.records(dict):
        (closes,) = database.one(
            "select array_agg(adjusted_close order by trade_date) from features.daily_features"
            " where instrument_id = %s and trade_date between %s and %s",
            [row["instrument_id"], row["last_trade_date"], as_of],
        )
        assert row["next_21_days_return"] == pytest.approx(closes[21] / closes[0] - 1, rel=1e-12)
        assert row["next_63_days_return"] == pytest.approx(closes[63] / closes[0] - 1, rel=1e-12)
        assert row["regime_label"] == "NEUTRAL"
        assert row["region"] == {"GSPC.INDX": "US", "IXIC.INDX": "US_TECH"}[row["instrument_id"]]


def test_what_was_not_known_on_the_asked_date_is_left_out(own):
    """An instrument that stopped trading while the asked window went on."""
    own.execute(
        "delete from features.daily_features"
        " where instrument_id = 'IXIC.INDX' and trade_date > '2002-07-15'"
        " and trade_date <= '2002-10-15'"
    )
    own.execute(
        "delete from runtime.regimes where region = 'US_TECH' and as_of_date < '2003-01-01'"
    )
    # Only windows of the other region of just before the asked one.
    own.execute(
        "delete from historical.numeric_window_embeddings"
        " where model_id = 'num-regime-core-v3' and as_of_date < '2002-06-14'"
    )
    found = analogues(own, US, date(2002, 9, 16), 5, "market")
    ((region, instrument, day, _, label, confidence, after_21, after_63, *_),) = [
        row for row in found.rows if row[1] == "IXIC.INDX"
    ]
    assert date(2002, 6, 14) <= day < date(2002, 6, 18)
    assert (region, instrument, label, confidence) == (None, "IXIC.INDX", None, None)
    assert after_21 is None or day <= date(2002, 6, 14)
    assert after_63 is None


@pytest.mark.parametrize(
    ("series", "as_of", "n", "reason"),
    [
        (US, date(2002, 10, 9), 0, "-n 0: ask for at least one analogue"),
        (US, date(1999, 1, 4), 1, "the embeddings of GSPC.INDX begin on 1999-04-05"),
        (US, date(2002, 10, 12), 1, "no embedding as of 2002-10-12: the last one before it is as of "
         "2002-10-11"),
        (Series("US_TECH", V1, 63), None, 1, "no embeddings of IXIC.INDX"),
        (Series("MARS", V3, 63), None, 1, "unknown region 'MARS'"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said_in_one_line(database, series, as_of, n, reason):
    with pytest.raises(RegimeError) as raised:
        analogues(database, series, as_of, n)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_date_is_asked_of_the_instrument_that_its_regime_is_of(own):
    before = analogues(own, US, date(2003, 12, 30), 5)
    classify.run(own, US, date(2003, 12, 31), INSTRUMENTS["US_TECH"])
    assert analogues(own, US, date(2003, 12, 30), 5) == before
    after = analogues(own, US, date(2003, 12, 31), 5)
    assert {row[1] for row in before.rows} == {INSTRUMENTS["US"]}
    assert {row[1] for row in after.rows} == {INSTRUMENTS["US_TECH"]}


def test_fewer_analogues_than_asked_are_given_and_said_to_be_fewer(settings):
    asked = ("--region", "US", "--as-of", "1999-10-01", "--format", "csv")
    result = succeed(regime_command(settings, "analogues", *asked))
    assert len(result.stdout.splitlines()) == 1 + 1
    assert result.stderr.startswith("1 of 10 analogues")
