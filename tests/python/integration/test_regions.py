"""`regime region`: regions live in the database; regions.csv is what a new one starts with."""

import csv
import io
import json

import pytest
from bundled import V3
from commands import refusal, regime_command, succeed
from servers import MODULE_DATABASE
from stored import FEATURES, PRICES

from regime_engine import dbt, seeds
from regime_engine.database import connect
from regime_engine.engine import nightly, regions
from regime_engine.engine.classify import no_progress
from regime_engine.errors import RegimeError
from regime_engine.reading import tables
from regime_engine.series import Series

pytestmark = pytest.mark.one_server


@pytest.fixture(scope="module")
def settings(server, features_template):
    with server.database(MODULE_DATABASE, features_template) as settings:
        yield settings


@pytest.fixture
def database(settings):
    """Nothing that a test does outlasts it."""
    with connect(settings) as database, database.transaction(force_rollback=True):
        yield database


def progress(region: str):
    return no_progress


def instruments(database) -> dict[str, str]:
    return {name: each.instrument_id for name, each in seeds.regions(database).items()}


def test_a_region_is_added_changed_and_removed_and_a_second_time_changes_nothing(database):
    for _ in range(2):
        regions.add(database, "EU", "STOXX", weight=2, description="Europe")
    regions.add(database, "EU", "STOXX", weight=0.5)
    assert vars(seeds.regions(database)["EU"]) == {
        "region": "EU",
        "instrument_id": "STOXX",
        "weight": 0.5,
        "description": "Europe",
    }
    regions.remove(database, "EU")
    regions.remove(database, "US")
    assert instruments(database) == {"US_TECH": "IXIC.INDX"}
    regions.add(database, "US", "GSPC.INDX")
    assert "US" in instruments(database)
    recorded = database.rows(
        "select command, parameters ->> 'region' from runtime.regime_runs order by started_at"
    ).rows
    assert recorded == [
        *[("region add", "EU")] * 2,
        *[("region remove", "EU"), ("region remove", "US"), ("region add", "US")],
    ]


def test_another_instrument_replaces_that_of_a_region_only_when_told(database):
    with pytest.raises(RegimeError, match=r"US stands for GSPC\.INDX already: choose another name"):
        regions.add(database, "US", "IXIC.INDX")
    change = regions.add(database, "US", "IXIC.INDX", replace=True)
    assert (change.before.description, change.after.description) == ("S&P 500", None)
    assert change.notes == (
        "IXIC.INDX stands for US_TECH too: in GLOBAL it counts for each of them, unless you give "
        "one --weight 0",
    )


def test_the_seed_never_undoes_a_command_and_still_adds_regions(own):
    regions.add(own, "US", "SPX", replace=True)
    regions.remove(own, "US_TECH")
    dbt.require_success(dbt.build(own, "engine_tables"), "init")
    assert instruments(own) == {"US": "SPX"}
    own.execute("insert into runtime.regions values ('EU', 'STOXX', 'of the seed')")
    assert instruments(own) == {"EU": "STOXX", "US": "SPX"}
    # Who edits the file hears of it.
    assert seeds.overruled(own) == ["US (SPX)", "US_TECH (removed)"]


@pytest.mark.parametrize(
    ("name", "instrument_id", "reason"),
    [
        ("", "X", "the name of a region may not be empty"),
        (" EU", "X", "may not begin or end with a space"),
        ("E\x1b[2JU", "X", "may hold only characters that show: 'E\\x1b[2JU'"),
        ("E\u202eU", "X", "may hold only characters that show"),
        ("E" * 201, "X", "may have at most 200 characters, not 201"),
        ("EU", "\t", "an instrument_id may not be empty"),
        ("us", "X", "there is a region US, which 'us' could be mistaken for"),
        ("ＵＳ", "X", "there is a region US"),
        ("GLOBAL", "X", "GLOBAL is the vote of the regions: choose another name"),
        ("IXIC.INDX", "GSPC.INDX", "IXIC.INDX is an instrument with prices"),
    ],
)
def test_a_name_that_could_mislead_is_refused(database, name, instrument_id, reason):
    with pytest.raises(RegimeError) as raised:
        regions.add(database, name, instrument_id)
    assert reason in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_that_makes_no_vote_is_refused(database, weight):
    with pytest.raises(RegimeError, match="give a number from 0 on"):
        regions.add(database, "EU", "STOXX", weight=weight)


def test_prices_that_are_loaded_and_not_staged_yet_are_not_missing(own):
    own.execute("drop view staging.stg_prices_daily cascade")
    assert regions.add(own, "EU", "GSPC.INDX", weight=0).notes == (
        "GSPC.INDX stands for US too: in GLOBAL it counts for each of them, unless you give one "
        "--weight 0",
    )
    (note,) = regions.add(own, "ASIA", "N225").notes
    assert note == "N225 has no prices yet: load them with `regime load`"


def test_the_command_says_what_it_did_and_that_prices_are_missing(own):
    def regime(*arguments):
        return succeed(regime_command(own.settings, *arguments))

    added = regime("region", "add", "TECH", "--instrument-id", "ixic", "--weight", "2")
    assert added.stdout == "added: TECH is ixic, weight 2\n"
    assert added.stderr == (
        "note: ixic has no prices yet: load them with `regime load`, or did you mean IXIC.INDX?\n"
    )
    listed = regime("region", "list", "--format", "json").stdout
    last = next(row for row in json.loads(listed) if row["region"] == "TECH")
    assert (last["instrument_id"], last["weight"], last["changed_by"]) == ("ixic", 2, "regime")
    rows = list(csv.DictReader(io.StringIO(regime("region", "list", "--format", "csv").stdout)))
    assert [row["region"] for row in rows] == ["TECH", "US", "US_TECH"]
    assert regime("region", "remove", "TECH").stdout == "removed: TECH is ixic, weight 2\n"
    line = refusal(regime_command(own.settings, "region", "remove", "TECH"))
    assert line == (
        "Error: unknown region 'TECH': known are US_TECH, US; `regime region add` adds one"
    )


def test_an_embedded_instrument_is_a_known_region_of_its_own(own):
    succeed(regime_command(own.settings, "embed", "--all", "--classify", "--start", "2018-12-01"))
    succeed(regime_command(own.settings, "run", "--region", "US", "--as-of", "2018-12-28"))
    succeed(regime_command(own.settings, "global"))
    assert nightly.audit(own)[1] == []
    regions.remove(own, "US")
    found = {finding.test.name: finding.test.failures for finding in nightly.audit(own)[1]}
    assert found["regions_are_known"] == 1


def test_an_instrument_of_a_regions_name_is_not_classified_as_that_region(own):
    regions.add(own, "SPX", "GSPC.INDX")
    for table in (FEATURES, PRICES):
        own.execute(f"update {table} set instrument_id = 'SPX' where instrument_id = 'IXIC.INDX'")
    done = regime_command(own.settings, "embed", "--all", "--classify", "--start", "2018-12-28")
    assert done.returncode == 1
    assert "SPX: SPX is also the region of GSPC.INDX, which is another instrument" in done.stderr
    rows = own.rows("select distinct region, instrument_id from runtime.regimes").rows
    assert rows == [("GSPC.INDX", "GSPC.INDX")]


def test_a_region_without_prices_is_named_and_fails_no_night(own):
    own.execute("delete from historical.prices_daily where instrument_id = 'IXIC.INDX'")
    result = succeed(regime_command(own.settings, "pipeline"))
    assert "US_TECH: no prices of IXIC.INDX; not classified\n" in result.stderr
    assert "Regime as of 2018-12-31 for region US: " in result.stdout
    with pytest.raises(RegimeError, match=r"and no features of its instrument IXIC\.INDX: load"):
        tables.history(own, Series("US_TECH", V3, 63))
    # One that is asked for, and one that had prices when it was classified, is missed.
    own.execute("delete from historical.prices_daily")
    assert nightly.regions_with_prices(own) == (["US"], {"US_TECH": "IXIC.INDX"})
    _, errors = nightly.classify_regions(own, V3, 63, progress, regions=["US_TECH", "US"])
    assert {region: str(error) for region, error in errors.items()} == {
        "US": "no prices of GSPC.INDX: load them with `regime load`",
        "US_TECH": "no prices of IXIC.INDX: load them with `regime load`",
    }


def test_the_night_fails_where_no_region_has_prices(database):
    for region in ("US", "US_TECH"):
        regions.remove(database, region)
    regions.add(database, "EU", "STOXX")
    with pytest.raises(RegimeError) as raised:
        nightly.regions_with_prices(database)
    assert str(raised.value) == (
        "no region has prices: EU (STOXX); there are prices of GSPC.INDX, IXIC.INDX: make an "
        "instrument a region with `regime region add NAME --instrument-id ID`"
    )
