"""`regime global`: the weighted vote of the regions, against a count by hand."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from bundled import GLOBAL, PROTOTYPES, US, US_TECH, V3
from commands import regime_command, succeed
from servers import MODULE_DATABASE

from regime_engine.database import connect
from regime_engine.engine import classify, fit, nightly, vote
from regime_engine.errors import RegimeError

pytestmark = pytest.mark.one_server


@pytest.fixture(scope="module")
def settings(server, features_template) -> Iterator:
    """US of 2010 by the seed rule, US_TECH of a part of it by a prototype model."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        with connect(settings) as database:
            fit.fit(database, US_TECH, PROTOTYPES)
            classify.backfill(database, US, date(2010, 1, 4), date(2010, 6, 30))
            classify.backfill(database, US_TECH, date(2010, 3, 1), date(2010, 4, 30))
        yield settings


@pytest.fixture
def database(settings) -> Iterator:
    """Nothing that a test does outlasts it."""
    with connect(settings) as database, database.transaction(force_rollback=True):
        yield database


def votes(database) -> dict[date, tuple]:
    rows = database.execute(
        "select as_of_date, regime_label, confidence, probabilities, metadata, regime_embedding,"
        " run_id from runtime.regimes where region = 'GLOBAL' order by as_of_date"
    )
    return {day: row for day, *row in rows}


def probabilities_of(database, region: str, day: date) -> dict[str, float]:
    (stored,) = database.one(
        "select probabilities from runtime.regimes where region = %s and as_of_date = %s",
        [region, day],
    )
    return stored


def test_the_vote_is_the_weighted_mean_of_the_regions_probabilities(database):
    database.execute("update runtime.regions set weight = 3 where region = 'US_TECH'")
    vote.vote(database, V3, 63)
    day = date(2010, 4, 1)
    us, tech = (probabilities_of(database, region, day) for region in ("US", "US_TECH"))
    assert us == {"NEUTRAL": 1.0}
    label, confidence, probabilities, metadata, vector, _ = votes(database)[day]
    expected = {name: 0.75 * share for name, share in tech.items()} | {"NEUTRAL": 0.25}
    assert probabilities == pytest.approx(expected, abs=1e-6)
    assert (label, confidence) == max(probabilities.items(), key=lambda item: item[1])
    assert [(c["region"], c["weight"], c["as_of_date"]) for c in metadata["constituents"]] == [
        ("US", 1, "2010-04-01"),
        ("US_TECH", 3, "2010-04-01"),
    ]
    assert metadata["labels"] == ["CARRY", "NEUTRAL", "CRISIS"]
    told = np.frombuffer(vector, "<f4").reshape(2, 3)
    assert told[0].tolist() == [0, 1, 0]
    assert told[1] == pytest.approx([tech["CARRY"], 0, tech["CRISIS"]], abs=1e-6)


def test_the_votes_volatility_is_the_weighted_mean_if_every_voter_has_one(own):
    def expected() -> dict[date, float | None]:
        rows = own.execute(
            "select as_of_date, expected_volatility from runtime.regimes where region = 'GLOBAL'"
        )
        return dict(rows.fetchall())

    own.execute("update runtime.regions set weight = 3 where region = 'US_TECH'")
    own.execute(
        "update runtime.regimes set expected_volatility = case region when 'US' then 0.1 else 0.3 end"
        " where as_of_date <> '2010-04-01' or region = 'US'"
    )
    vote.vote(own, V3, 63)
    found = expected()
    assert found[date(2010, 3, 31)] == pytest.approx(0.25 * 0.1 + 0.75 * 0.3, rel=1e-15)
    assert found[date(2010, 2, 26)] == 0.1
    assert found[date(2010, 4, 1)] is None
    volatilities = {
        day: [c["expected_volatility"] for c in row[3]["constituents"]]
        for day, row in votes(own).items()
    }
    assert volatilities[date(2010, 4, 1)] == [0.1, None]
    own.execute("update runtime.regimes set expected_volatility = 0.3 where region = 'US_TECH'")
    assert vote.vote(own, V3, 63).written["regimes"] == 1
    assert expected()[date(2010, 4, 1)] == found[date(2010, 3, 31)]


def test_a_region_counts_for_a_week_after_its_last_regime(database):
    vote.vote(database, V3, 63)
    constituents = {
        day: [c["region"] for c in row[3]["constituents"]] for day, row in votes(database).items()
    }
    assert constituents[date(2010, 2, 26)] == ["US"]
    assert constituents[date(2010, 3, 1)] == ["US", "US_TECH"]
    # The last regime of US_TECH is of 2010-04-30.
    assert constituents[date(2010, 5, 7)] == ["US", "US_TECH"]
    assert constituents[date(2010, 5, 10)] == ["US"]
    assert max(constituents) == date(2010, 6, 30)


def test_voting_again_changes_nothing_and_later_days_change_no_earlier_one(own):
    first = vote.vote(own, V3, 63)
    before = votes(own)
    assert first.written["regimes"] == len(before) == 124
    assert not any(vote.vote(own, V3, 63).written.values())
    assert votes(own) == before
    # As if the later days had not come yet.
    last = date(2010, 4, 15)
    own.execute("delete from runtime.regimes where region <> 'GLOBAL' and as_of_date > %s", [last])
    vote.vote(own, V3, 63)
    assert votes(own) == {day: row for day, row in before.items() if day <= last}
    (changes_to_come,) = own.one(
        "select count(*) from runtime.regime_transitions"
        " where region = 'GLOBAL' and as_of_date > %s",
        [last],
    )
    assert changes_to_come == 0


def test_a_weight_of_0_leaves_a_region_out(database):
    database.execute("update runtime.regions set weight = 0 where region = 'US_TECH'")
    vote.vote(database, V3, 63)
    assert {row[1] for row in votes(database).values()} == {1.0}
    assert all(len(row[3]["constituents"]) == 1 for row in votes(database).values())


def test_regions_without_weights_count_the_same(database):
    assert not vote.is_wanted(database)
    vote.vote(database, V3, 63)
    constituents = votes(database)[date(2010, 4, 1)][3]["constituents"]
    assert [(c["region"], c["weight"]) for c in constituents] == [("US", 1), ("US_TECH", 1)]


def test_the_heaviest_region_that_votes_stands_for_the_vote(database):
    database.execute("insert into runtime.regions values ('WORLD', 'NO.PRICES', '', 9)")
    assert vote.vote(database, V3, 63).instrument_id == "GSPC.INDX"


@pytest.mark.parametrize(
    ("weight", "model_id", "reason"),
    [
        ("0", V3, "no region has a weight above 0"),
        ("-1", V3, "the weight of US is -1: give it a number from 0 on"),
        ("'NaN'", V3, "the weight of US is nan"),
        ("1e308", V3, "the weights of the regions have no finite sum"),
        ("1", "num-regime-core-v1", "no regimes by num-regime-core-v1 with windows of 63 days"),
    ],
)
def test_a_vote_that_cannot_be_held_is_refused_in_one_line(database, weight, model_id, reason):
    database.execute(f"update runtime.regions set weight = {weight}")
    with pytest.raises(RegimeError) as raised:
        vote.vote(database, model_id, 63)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_region_of_the_name_of_the_vote_is_refused(database):
    database.execute("insert into runtime.regions values ('GLOBAL', 'GSPC.INDX', 'a team''s')")
    with pytest.raises(
        RegimeError, match="a region has the name GLOBAL, which is that of the vote"
    ):
        vote.vote(database, V3, 63)
    with pytest.raises(RegimeError, match="GLOBAL is the vote of the regions"):
        classify.run(database, GLOBAL, date(2010, 4, 1))


def test_the_pipeline_votes_once_a_weight_is_stated(database):
    def weigh(us: float) -> None:
        database.execute("update runtime.regions set weight = %s where region = 'US'", [us])

    assert nightly.vote_if_wanted(database, V3, 63) is None
    weigh(0)
    assert nightly.vote_if_wanted(database, V3, 63) is None
    weigh(2)
    assert nightly.vote_if_wanted(database, V3, 63).series == GLOBAL
    # What is stored is kept up, whoever is left to vote.
    weigh(0)
    assert vote.is_wanted(database)


def test_the_command_says_what_it_wrote(own):
    said, regime = succeed(regime_command(own.settings, "global")).stdout.splitlines()
    assert said.startswith("124 dates from 2010-01-04 to 2010-06-30: rows written: 124 in regimes")
    assert regime.startswith("Regime as of 2010-06-30 for region GLOBAL: label=NEUTRAL")


def test_the_nightly_pipeline_votes_again_where_there_is_a_vote(own):
    succeed(regime_command(own.settings, "global"))
    result = succeed(regime_command(own.settings, "pipeline"))
    (last,) = [line for line in result.stdout.splitlines() if "region GLOBAL" in line]
    assert last.startswith("Regime as of 2018-12-31 for region GLOBAL: label=")
    (counts,) = own.one(
        "select jsonb_object_agg(region, days) from ("
        " select region, count(*) as days from runtime.regimes group by region) as series"
    )
    assert counts["GLOBAL"] == counts["US"] > counts["US_TECH"] > 2000


def test_the_auditors_views_show_the_vote_as_a_series_of_its_own(database):
    # A day on which the instrument that stands for GLOBAL did not trade, and another region did.
    holiday = date(2010, 4, 6)
    database.execute(
        "delete from features.daily_features where instrument_id = 'GSPC.INDX' and trade_date = %s",
        [holiday],
    )
    database.execute(
        "delete from runtime.regimes where region = 'US' and as_of_date = %s", [holiday]
    )
    vote.vote(database, V3, 63)
    stored = {day: row[0] for day, row in votes(database).items()}
    timeline = {
        day: row
        for day, *row in database.execute(
            "select as_of_date, regime_label, is_missing, is_trading_day, close"
            " from audit.regime_timeline where region = 'GLOBAL'"
        )
    }
    shown = {day: label for day, (label, is_missing, *_) in timeline.items() if not is_missing}
    assert shown == stored
    assert [day for day, (*_, is_trading, _) in timeline.items() if not is_trading] == [holiday]
    assert [day for day, (*_, close) in timeline.items() if close is None] == [holiday]
    counted = {
        view: database.one(
            f"select coalesce(sum({days}), 0) from audit.{view} where region = 'GLOBAL'"
        )[0]
        for view, days in {
            "regime_spells": "trading_days",
            "label_profile": "days",
            "transition_matrix": "transitions",
            "prototype_distances": "1",
        }.items()
    }
    assert counted == {
        "regime_spells": len(stored) - 1,
        "label_profile": len(stored) - 1,
        "transition_matrix": len(stored) - 1,
        "prototype_distances": 0,
    }
    entities = database.rows("select distinct entity_id from audit.window_rows").rows
    assert sorted(entities) == [("GSPC.INDX",), ("IXIC.INDX",)]
