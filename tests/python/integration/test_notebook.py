"""Features, embeddings, models and regimes of a notebook are what the engine stores, to the bit."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from pages import require_session

from regime_engine import MarkovRegimes, PrototypeRegimes, daily_features, demo, encode
from regime_engine.database import connect, libpq_environment
from regime_engine.engine import classify, fit
from regime_engine.engine.fit import LabelledStretch, Recipe
from regime_engine.series import Series

pytestmark = pytest.mark.one_server

TRAINED_TO, LAST = date(2004, 12, 31), date(2006, 12, 29)
LABELLED = (
    LabelledStretch("CRISIS", date(2002, 7, 1), date(2002, 10, 31)),
    LabelledStretch("CARRY", date(2004, 1, 2), date(2004, 6, 30)),
)
FITS = {
    "markov": (Series("US", "num-regime-core-v3", 63), Recipe("markov", 4)),
    "prototypes found": (Series("US_TECH", "num-regime-core-v3", 63), Recipe("prototype", 4)),
    "prototypes given": (
        Series("US", "num-regime-core-v1", 21),
        Recipe("prototype", labelled=LABELLED),
    ),
}


def bundled_prices(region: str) -> pl.DataFrame:
    return pl.read_csv(demo.PRICE_FILES[demo.REGIONS.index(region)])


@pytest.fixture(scope="module")
def stored(server, features_template):
    """A database in which the engine made each of the fits and a history by it."""
    with (
        server.database("test_notebook", features_template) as settings,
        connect(settings) as database,
    ):
        for series, recipe in FITS.values():
            end = None if recipe.labelled else TRAINED_TO
            fit.fit(database, series, recipe, end=end)
            classify.backfill(database, series, date(2005, 1, 1), LAST)
        yield database


@pytest.mark.parametrize("region", demo.REGIONS)
def test_features_are_those_of_the_table(stored, region):
    features = daily_features(bundled_prices(region))
    for name, computed in features.items():
        value = f"coalesce({name}, 'NaN')" if computed.dtype == float else name
        column = stored.rows(
            f"select {value} from features.daily_features"
            " where instrument_id = (select instrument_id from runtime.regions where region = %s)"
            " order by trade_date",
            [region],
        ).rows
        found = np.array([value for (value,) in column], computed.dtype)
        assert found.tobytes() == computed.tobytes(), name


@pytest.mark.parametrize("fit", FITS)
def test_embeddings_are_those_that_are_stored(stored, fit):
    series, _ = FITS[fit]
    embeddings, days = encode(bundled_prices(series.region), series.model_id, series.window_days)
    rows = stored.rows(
        "select as_of_date, regime_embedding from runtime.regimes"
        " where (region, model_id) = (%s, %s)",
        [series.region, series.model_id],
    ).rows
    computed = dict(zip(days.tolist(), embeddings, strict=True))
    assert len(rows) > 500
    assert all(vector == computed[day].tobytes() for day, vector in rows)


@pytest.mark.parametrize("fit", FITS)
def test_a_model_of_the_same_days_and_what_it_says_are_those_that_are_stored(stored, fit):
    series, recipe = FITS[fit]
    embeddings, days = encode(bundled_prices(series.region), series.model_id, series.window_days)
    if recipe.classifier == "markov":
        model = MarkovRegimes(recipe.n_states)
    else:
        model = PrototypeRegimes(recipe.n_states, series.model_id)
    if recipe.labelled:
        spans = [
            (days >= np.datetime64(s.start)) & (days <= np.datetime64(s.end)) for s in LABELLED
        ]
        rows = np.concatenate([np.flatnonzero(span) for span in spans])
        model.fit(embeddings[rows], np.repeat([s.label for s in LABELLED], [sum(s) for s in spans]))
    else:
        model.fit(embeddings[days <= np.datetime64(TRAINED_TO)])

    labels, parameters = stored.one(
        "select labels, parameters from runtime.regime_models where (region, model_id) = (%s, %s)",
        [series.region, series.model_id],
    )
    assert (list(model.parameters_.labels), model.to_json()) == (labels, parameters)

    history = stored.rows(
        "select as_of_date, regime_label, probabilities, (metadata -> 'novelty')::float,"
        " expected_volatility"
        " from runtime.regimes where (region, model_id) = (%s, %s) order by as_of_date",
        [series.region, series.model_id],
    ).rows
    as_of_dates, regime_labels, probabilities, novelty, expected_volatility = zip(
        *history, strict=True
    )
    asked = embeddings[np.isin(days, np.array(as_of_dates, "datetime64[D]"))]
    for each in (model, type(model).from_json(labels, parameters)):
        assert each.predict(asked).tolist() == list(regime_labels)
        told = [
            dict(zip(each.classes_, row, strict=True)) for row in each.predict_proba(asked).tolist()
        ]
        assert told == list(probabilities)
        assert each.novelty(asked).tolist() == list(novelty)
        if recipe.classifier == "markov":
            assert each.expected_volatility(asked).tolist() == list(expected_volatility)
        else:
            assert set(expected_volatility) == {None}


def test_the_session_of_the_documentation_prints_what_is_shown(
    stored, tmp_path, monkeypatch, capsys
):
    for name, value in libpq_environment(stored).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    require_session("docs/notebook.md", capsys)
    assert (tmp_path / "regimes.png").read_bytes().startswith(b"\x89PNG")
