"""Fitted model versions, and the history that they label."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import numpy as np
import pytest
from bundled import US
from commands import refusal, regime_command, succeed
from servers import DATABASE, MODULE_DATABASE

from regime_engine import demo, model_versions
from regime_engine.database import Database, connect
from regime_engine.engine import classify, fit, nightly
from regime_engine.engine.fit import Recipe, WalkForward
from regime_engine.errors import RegimeError
from regime_engine.prices.load import load_prices

pytestmark = pytest.mark.one_server

YEARLY = WalkForward(every_months=12)


def rows_up_to(database, day: date) -> list[tuple]:
    return database.rows(
        "select as_of_date, model_version, regime_label, confidence, probabilities, run_id, xmin"
        " from runtime.regimes where as_of_date <= %s order by 1",
        [day],
    ).rows


@pytest.fixture(scope="module")
def walked_template(server, features_template) -> Iterator[str]:
    """Yearly versions from 2005 on and the regimes that they give."""
    first = date(2005, 1, 1)
    with server.new_template("template_walked", features_template) as database:
        fit.walk_forward(database, US, Recipe(), YEARLY, start=first)
        classify.backfill(database, US, first)
    yield "template_walked"
    server.drop_database("template_walked")


@pytest.fixture
def walked(server, walked_template) -> Iterator[Database]:
    with server.database(DATABASE, walked_template) as settings, connect(settings) as database:
        yield database


def test_each_date_is_labelled_by_a_version_that_was_trained_before_it(walked):
    rows = walked.rows("""
        select
            as_of_date, model_version, valid_from, trained_from, trained_to, n_windows,
            metadata ->> 'in_sample'
        from runtime.regimes
        inner join runtime.regime_models as m
            on m.region = regimes.region
            and m.model_id = regimes.model_id
            and m.window_days = regimes.window_days
            and m.version = model_version
    """).rows
    assert len(rows) == walked.one("select count(*) from runtime.regimes")[0]
    for day, version, valid_from, trained_from, trained_to, n_windows, in_sample in rows:
        assert (valid_from, version) == (date(day.year, 1, 1), day.year - 2004)
        assert trained_to < valid_from <= day
        assert trained_from == date(1999, 4, 5)  # the first whole window: on all the past
        assert n_windows > 1000
        assert in_sample == "false"


def test_every_row_says_how_probable_each_label_was_and_how_novel_the_window(walked):
    rows = walked.rows(
        "select regime_label, confidence, probabilities, runner_up_label,"
        " (metadata ->> 'novelty')::float from runtime.regimes"
    ).rows
    assert {label for label, *_ in rows} == {"CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"}
    for label, confidence, probabilities, runner_up, novelty in rows:
        assert set(probabilities) == {"CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-9)
        assert confidence == probabilities[label]
        others = {name: p for name, p in probabilities.items() if name != label}
        assert probabilities[runner_up] == max(others.values())
        assert 0 <= novelty <= 100


def test_lehman_is_a_crisis_and_2017_is_carry(walked):
    def most_common(start, end):
        return walked.one(
            "select mode() within group (order by regime_label) from runtime.regimes"
            " where as_of_date between %s and %s",
            [start, end],
        )[0]

    assert most_common("2008-09-29", "2009-01-31") == "CRISIS"
    assert most_common("2017-01-01", "2017-12-31") == "CARRY"


def test_the_audit_finds_nothing_wrong_with_a_walk_forward_history(walked):
    assert nightly.audit(walked)[1] == []


def test_a_version_trained_on_its_own_dates_is_found_by_the_audit(walked):
    walked.execute("update runtime.regime_models set trained_to = '2010-06-30' where version = 6")
    _, findings = nightly.audit(walked)
    (finding,) = [f for f in findings if f.test.name == "regime_versions_were_valid"]
    assert finding.test.failures == 124  # trading days of the first half of 2010


def test_fitting_again_stores_nothing_and_fits_nothing(walked, monkeypatch):
    before = model_versions.load(walked, US)
    monkeypatch.setattr(
        "regime_engine.classifiers.markov.train", lambda *_: pytest.fail("fitted again")
    )
    again = fit.walk_forward(walked, US, Recipe(), YEARLY, start=date(2005, 1, 1))
    assert again == before == model_versions.load(walked, US)


def test_of_versions_with_one_first_day_the_last_stored_is_in_force(database):
    def fitted(n_states):
        return fit.fit(database, US, Recipe(n_states=n_states), end=date(2004, 12, 31))

    assert [fitted(k).version for k in (2, 2, 4, 4, 2, 2)] == [1, 1, 2, 2, 3, 3]
    classify.backfill(database, US, date(2005, 1, 3), date(2005, 6, 30))
    versions = database.rows("select distinct model_version from runtime.regimes").rows
    assert versions == [(3,)]
    assert nightly.audit(database)[1] == []
    fitted(4)
    _, findings = nightly.audit(database)
    assert [f.test.name for f in findings] == ["regimes_are_by_the_version_in_force"]


def test_models_of_a_run_that_died_are_taken_over(walked):
    walked.execute("update runtime.regime_runs set status = 'FAILED' where command = 'fit'")
    fit.walk_forward(walked, US, Recipe(), YEARLY, start=date(2005, 1, 1))
    _, findings = nightly.audit(walked)
    # The status was edited, which is found; the models are those of a run that succeeded.
    assert {finding.test.name for finding in findings} == {
        "runs_are_as_they_were_recorded",
        "runs_wrote_what_they_sealed",
    }


def test_new_prices_change_no_old_row(empty_settings):
    """The real series up to mid-2012, then the rest of it: nothing is repainted."""
    cut = date(2012, 6, 15)
    with connect(empty_settings) as database:

        def night():
            nightly.build_features(database)
            fit.walk_forward(database, US, Recipe(), YEARLY, start=date(2009, 1, 1))
            classify.backfill(database, US, date(2009, 1, 1))

        for path in demo.PRICE_FILES:
            load_prices(database, path)
        database.execute("delete from historical.prices_daily where trade_date > %s", [cut])
        night()
        before = rows_up_to(database, cut)
        for path in demo.PRICE_FILES:
            load_prices(database, path)
        night()
        assert len(before) > 800
        assert rows_up_to(database, cut) == before
        assert len(model_versions.load(database, US)) == 10
        (revised,) = database.one("select count(*) from runtime.regime_revisions")
        assert revised == 0


def test_a_given_version_classifies_and_the_row_says_so(walked):
    regime = partial(regime_command, walked.settings)
    arguments = ("--region", "US", "--model-id", US.model_id, "--model-version", "3")
    succeed(regime("run", *arguments, "--as-of", "2015-06-30"))
    succeed(regime("run", *arguments, "--as-of", "2006-06-30"))
    rows = walked.rows(
        "select as_of_date::text, model_version, metadata ->> 'version_given',"
        " metadata ->> 'in_sample' from runtime.regimes where metadata ? 'version_given' order by 1"
    ).rows
    assert rows == [("2006-06-30", 3, "true", "true"), ("2015-06-30", 3, "true", "false")]
    assert nightly.audit(walked)[1] == []


@pytest.fixture(scope="module")
def synthetic(server, features_template, tmp_path_factory):
    """Instruments that are hard to fit, beside the bundled ones."""
    chance = np.random.default_rng(5)
    days = [date(2000, 1, 3) + timedelta(days=k) for k in range(1100)]
    days = [day for day in days if day.weekday() < 5]
    path = tmp_path_factory.mktemp("prices") / "synthetic.csv"
    with path.open("w") as file:
        file.write("instrument_id,trade_date,close,volume\n")
        close = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, len(days))))
        for at, day in enumerate(days):
            file.write(f"FLAT,{day},100,1000\n")
            file.write(f"MUTE,{day},{close[at]},\n")
            if at < 150:
                file.write(f"YOUNG,{day},{close[at]},1000\n")
    with server.new_template("template_synthetic", features_template) as database:
        load_prices(database, path)
        nightly.build_features(database)
    with server.database(MODULE_DATABASE, "template_synthetic") as settings:
        yield settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--instrument-id", "FLAT"), "never move"),
        (("--instrument-id", "YOUNG"), "training windows, and there are 88"),
        (("--instrument-id", "YOUNG", "--walk-forward"), "needs 756 training windows before its first version, and there are 88"),
        (("--window-days", "21"), "num-regime-core-v3 reads windows of 63 days, not 21"),
        (("--model-id", "num-regime-core-v1"), "the markov classifier reads num-regime-core-v3 and num-regime-core-v2, not num-regime-core-v1"),
        (("--classifier", "markov", "--window", "CRISIS=2008-09-15:2009-03-31"), "finds its states itself"),
        (("--walk-forward", "--start", "2019-06-01"), "no date of the schedule lies from 2019-06-01 to 2018-12-31"),
        (("--walk-forward", "--start", "2010-01-01", "--end", "2009-06-01"), "no date of the schedule"),
        (("--walk-forward", "--start", "0003-01-01"), "126 training windows"),
        (("--window", "PANIC=2008-09-15:2009-03-31"), "unknown label 'PANIC'"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_gets_one_line(synthetic, arguments, message):
    assert message in refusal(regime_command(synthetic, "fit", "--region", "US", *arguments))
    with connect(synthetic) as database:
        stored = database.one("select count(*) from runtime.regime_models")
    assert stored == (0,)


def test_a_series_without_volume_is_fitted_and_classified(synthetic):
    mute = ("--region", "US_TECH", "--instrument-id", "MUTE")
    succeed(regime_command(synthetic, "fit", *mute, "--end", "2001-12-31"))
    succeed(regime_command(synthetic, "backfill", *mute))
    with connect(synthetic) as database:
        labels = database.one(
            "select count(distinct model_version), count(*) from runtime.regimes"
            " where instrument_id = 'MUTE'"
        )
        database.execute("truncate runtime.regimes, runtime.regime_models")
    assert labels[0] == 2
    assert labels[1] > 700


def test_a_model_of_another_release_gets_one_line_and_is_fitted_again(database):
    def fitted() -> int:
        return fit.fit(database, US, Recipe(), date(2003, 1, 1), date(2004, 12, 31)).version

    def backfill():
        return classify.backfill(database, US, date(2005, 1, 1), date(2005, 3, 31))

    assert fitted() == fitted() == 1
    database.execute("update runtime.regime_models set parameters = parameters - 'experts'")
    with pytest.raises(
        RegimeError, match="another release stored: fit it again, with `regime fit`"
    ):
        backfill()
    assert fitted() == 2
    assert backfill().n_windows == 61


def test_auto_shows_the_scores_and_takes_the_best(database, regime):
    # A version of a given number of states is no answer to the question which number it should be.
    succeed(regime("fit", "--region", "US", "--end", "2006-12-31"))
    result = succeed(regime("fit", "--region", "US", "--end", "2006-12-31", "--states", "auto"))
    header, _, *scores, chosen = result.stdout.splitlines()
    assert header.split() == ["states", "score", "to", "the", "best"]
    assert [line.split()[0] for line in scores] == ["2", "3", "4"]
    best = next(line.split()[0] for line in scores if line.split()[2] == "0.000")
    (labels,) = database.one(
        "select labels from runtime.regime_models where metrics ? 'states_tried'"
    )
    assert len(labels) == int(best)
    assert chosen.startswith("markov version 2 of US")


def test_prototypes_of_labelled_and_of_found_states_on_the_same_interface(database):
    labelled = fit.fit(
        database,
        US,
        Recipe(
            "prototype",
            labelled=(
                fit.LabelledStretch("CARRY", date(2006, 1, 1), date(2006, 12, 31)),
                fit.LabelledStretch("CRISIS", date(2008, 9, 15), date(2009, 3, 31)),
            ),
        ),
    )
    found = fit.fit(database, US, Recipe("prototype", 3), end=date(2012, 12, 31))
    assert (labelled.labels, found.labels) == (("CARRY", "CRISIS"), ("CARRY", "NEUTRAL", "CRISIS"))
    classify.backfill(database, US, date(2009, 4, 1))
    counts = dict(
        database.rows("select model_version, count(*) from runtime.regimes group by 1").rows
    )
    assert set(counts) == {1, 2}
    (eurocrisis,) = database.one(
        "select mode() within group (order by regime_label) from runtime.regimes"
        " where as_of_date between '2011-08-15' and '2011-10-31'"
    )
    assert eurocrisis == "CRISIS"


def test_models_are_listed_shown_and_compared(walked):
    regime = partial(regime_command, walked.settings)
    listed = regime("models", "--region", "US").stdout
    assert len(listed.splitlines()) == 2 + 14
    shown = regime("models", "--region", "US", "--show", "3").stdout
    assert "parameters.experts.1.transition_matrix" in shown
    compared = regime("models", "--region", "US", "--compare", "3", "4", "--format", "csv").stdout
    assert compared.splitlines()[0] == "field,version 3,version 4"
    assert "no model version 99" in refusal(regime("models", "--region", "US", "--show", "99"))


def test_the_layout_names_all_384_numbers(regime):
    lines = regime("models", "--layout", US.model_id, "--format", "csv").stdout.splitlines()
    assert lines[0] == "number,name"
    assert len(lines) == 385
    assert lines[1 + 253] == "253,median_volume"


def test_versions_are_records_of_their_training(walked):
    first = model_versions.load(walked, US)[0]
    refitted = fit.fit(
        walked,
        US,
        Recipe(),
        start=first.trained_from,
        end=first.trained_to,
        valid_from=date(2030, 1, 1),
    )
    assert refitted.training_hash == first.training_hash
    assert refitted.parameters == first.parameters
    assert replace(refitted, version=1, valid_from=first.valid_from) == first


def test_a_fit_says_what_is_doubtful_about_its_training(walked):
    """A 10:1 split and a dead quote of 15 days amid the S&P 500."""
    regime = partial(regime_command, walked.settings)
    walked.execute("""
        update historical.prices_daily
        set
            open = open / 10, high = high / 10, low = low / 10, close = close / 10,
            adjusted_close = adjusted_close / 10
        where instrument_id = 'GSPC.INDX' and trade_date < '2004-03-01'
    """)
    walked.execute("""
        update historical.prices_daily
        set open = 1200, high = 1200, low = 1200, close = 1200, adjusted_close = 1200
        where instrument_id = 'GSPC.INDX' and trade_date between '2005-02-01' and '2005-02-22'
    """)
    nightly.build_features(walked)
    asked = ("--region", "US", "--model-id", US.model_id)
    done = succeed(regime("fit", *asked, "--end", "2006-12-29", "--valid-from", "2031-01-01"))
    warned = [
        line for line in done.stderr.splitlines() if line.startswith("warning: US version 15: ")
    ]
    found = sorted(line.split(": ", 2)[2] for line in warned)
    assert [line.split(":")[0].split(" (log score")[0] for line in found] == [
        "4 states tell the returns hardly better than one state whose volatility moves",
        "its training has suspicious prices (1 extreme return, 1 stale close, 1 unadjusted split)",
        "the close stays the same for 10 days or more once, the longest time 15 days from 2005-02-01",
        "the return of 2004-03-01 (+910%) cut to 20 times the usual size",
    ]
    row = regime("models", *asked, "--format", "csv").stdout.splitlines()[-1]
    assert row.endswith('"cut returns, dead quotes, one state is enough, suspicious prices"')
    shown = regime("models", *asked, "--show", "15").stdout
    assert "['2004-03-01']" in shown


def test_versions_of_other_training_years_are_replaced_with_a_word(walked):
    regime = partial(regime_command, walked.settings)
    asked = ("--region", "US", "--model-id", US.model_id, "--walk-forward", "--every", "12m")
    years = ("--start", "2012-01-01", "--end", "2013-06-30")
    done = succeed(regime("fit", *asked, *years, "--train", "3y"))
    assert "2 versions from 8 to 9 were trained on at most 14 years" in done.stderr
    done = succeed(regime("fit", *asked, *years))
    assert (
        "2 versions from 15 to 16 were trained on at most 3 years, and this fit trains on all"
        in done.stderr
    )
    assert "To go back, fit with --train 3y" in done.stderr
    parameters = walked.one(
        "select parameters ->> 'train_years' from runtime.regime_runs order by started_at desc limit 1"
    )
    assert parameters == ("all",)
