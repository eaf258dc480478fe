"""The charts of a notebook show the labels on their days, in the colours of the report."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
import vl_convert

from regime_engine import plot_probabilities, plot_regimes
from regime_engine.charts.palette import LIGHT

DAYS = pd.bdate_range("2019-10-01", periods=100)
_CHANCE = np.random.default_rng(3)
# Calm for 40 days, wild for 30, calm again.
SIGMA = np.repeat([0.004, 0.03, 0.004], [40, 30, 30])
CLOSE = 100 * np.exp(np.cumsum(SIGMA * _CHANCE.standard_normal(100)))
PRICES = {"date": DAYS.to_numpy(), "close": CLOSE}
LABELS = np.repeat(["CARRY", "CRISIS", "CARRY"], [40, 30, 30])
COLOURS = dict(zip(("CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"), LIGHT.labels, strict=True))


def moment(day: pd.Timestamp) -> int:
    return int(day.timestamp() * 1000)


def spells(chart) -> list[tuple[str, int, int]]:
    return [tuple(spell.values()) for spell in chart.to_dict()["datasets"]["spells_0"]]


REGIMES = pl.DataFrame(
    {
        "as_of_date": DAYS.to_numpy(),
        "regime_label": LABELS,
        "probability_CARRY": np.where(LABELS == "CARRY", 0.75, 0.25),
        "probability_NEUTRAL": [None] * 100,
        "probability_CRISIS": np.where(LABELS == "CARRY", 0.25, 0.75),
    },
    schema_overrides={"as_of_date": pl.Date},
)


@pytest.mark.parametrize(
    ("labels", "days"),
    [
        pytest.param(LABELS, None, id="a label a price"),
        pytest.param(LABELS.tolist(), DAYS, id="list, pandas index"),
        pytest.param(LABELS[::-1], DAYS.date.tolist()[::-1], id="dates, newest first"),
        pytest.param(LABELS, DAYS.strftime("%Y-%m-%d"), id="text days"),
        pytest.param(pd.Series(LABELS, DAYS), None, id="pandas, days in the index"),
        pytest.param(
            pd.Series(LABELS, DAYS.tz_localize("Asia/Tokyo")), None, id="pandas, time zone"
        ),
        pytest.param(pd.Series(LABELS), DAYS.to_series(), id="pandas, no days in the index"),
        pytest.param(pl.Series(LABELS), REGIMES["as_of_date"], id="polars"),
        pytest.param(REGIMES, None, id="a polars frame of regimes"),
        pytest.param(pd.DataFrame(REGIMES.to_dict(as_series=False)), None, id="a pandas frame"),
    ],
)
def test_labels_stand_behind_the_closes_of_their_days(labels, days):
    chart = plot_regimes(PRICES, labels, days).to_dict()
    bounds = [moment(DAYS[at]) for at in (0, 40, 70)] + [moment(DAYS[-1] + timedelta(1))]
    assert chart["datasets"]["spells_0"] == [
        {"label": label, "start": start, "until": until}
        for label, start, until in zip(
            ("CARRY", "CRISIS", "CARRY"), bounds[:-1], bounds[1:], strict=True
        )
    ]
    closes = chart["datasets"]["days_0"]
    assert [row["close"] for row in closes] == CLOSE.tolist()
    assert [row["date"] for row in closes] == [moment(day) for day in DAYS]


def test_the_labels_of_windows_belong_to_the_days_on_which_these_end():
    (spell,) = spells(plot_regimes(PRICES, ["NEUTRAL"] * 38))
    assert spell == ("NEUTRAL", moment(DAYS[62]), moment(DAYS[-1] + timedelta(1)))


def test_days_without_a_label_have_none():
    known = np.r_[0:10, 20:25, 90:100]
    found = spells(plot_regimes(PRICES, LABELS[known], DAYS[known]))
    assert found == [
        ("CARRY", moment(DAYS[0]), moment(DAYS[10])),
        ("CARRY", moment(DAYS[20]), moment(DAYS[25])),
        ("CARRY", moment(DAYS[90]), moment(DAYS[-1] + timedelta(1))),
    ]


def colours(chart) -> dict[str, str]:
    """Label → colour, calmest first, of a chart that Vega draws without a complaint."""
    spec = chart.to_dict()
    lowest = spec
    while "vconcat" in lowest:
        lowest = lowest["vconcat"][-1]
    domain = lowest["encoding"]["color"]["scale"]["domain"]
    found = dict(zip(domain, spec["config"]["range"]["category"], strict=True))
    svg = vl_convert.vegalite_to_svg(spec)
    assert all(colour in svg for colour in found.values())
    return found


def test_a_label_has_its_colour_of_the_report_whichever_others_are_there():
    chart = plot_regimes(PRICES, LABELS, title="S&P 500")
    assert list(colours(chart).items()) == [(name, COLOURS[name]) for name in ("CARRY", "CRISIS")]
    shares = plot_probabilities(REGIMES)
    assert list(colours(shares).items()) == [(name, COLOURS[name]) for name in ("CARRY", "CRISIS")]


def test_labels_of_ones_own_are_coloured_by_the_volatility_of_their_days():
    own = np.where(LABELS == "CRISIS", "a storm", "quiet")
    assert colours(plot_regimes(PRICES, own)) == {
        "quiet": LIGHT.labels[0],
        "a storm": LIGHT.labels[-1],
    }


def test_probabilities_are_stacked_calmest_first_whatever_the_order_of_the_columns():
    values = np.tile([0.1, 0.6, 0.3], (100, 1))
    chart = plot_probabilities(values, DAYS, ["CRISIS", "CARRY", "NEUTRAL"])
    assert list(colours(chart)) == ["CARRY", "NEUTRAL", "CRISIS"]
    assert chart.to_dict()["datasets"]["days"][0] == {
        "date": moment(DAYS[0]),
        "p0": 0.6,
        "p1": 0.3,
        "p2": 0.1,
    }
    of_frame = plot_probabilities(pd.DataFrame(REGIMES.to_dict(as_series=False))).to_dict()
    assert of_frame["datasets"] == plot_probabilities(REGIMES).to_dict()["datasets"]
    assert of_frame["datasets"]["days"][50] == {"date": moment(DAYS[50]), "p0": 0.25, "p1": 0.75}


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot_regimes(PRICES, LABELS[:50]), ValueError, "50 labels, and prices of 100 days: give days"),
        (lambda: plot_regimes(PRICES, LABELS, DAYS[1:]), ValueError, "100 labels of 99 days"),
        (lambda: plot_regimes(PRICES, [], []), ValueError, "there are no labels"),
        (lambda: plot_regimes(PRICES, ["A", "B"], ["2019-10-01"] * 2), ValueError, "several are of one day: give those of one region"),
        (lambda: plot_regimes(PRICES, ["A"], ["1.10.2019"]), ValueError, "days: the day of row 0 cannot be read as YYYY-MM-DD: '1.10.2019'"),
        (lambda: plot_regimes(PRICES, ["A"], [None]), ValueError, "days: the day of row 0 cannot be read as YYYY-MM-DD: 'None'"),
        (lambda: plot_regimes(PRICES, ["A"], [date(2030, 1, 1)]), ValueError, "no price is of a day that has a label: prices are from 2019-10-01 to 2020-02-17, labels from 2030-01-01"),
        (lambda: plot_regimes(PRICES, REGIMES.drop("as_of_date")), ValueError, "columns as_of_date and regime_label"),
        (lambda: plot_regimes(CLOSE, LABELS), TypeError, "prices must be a DataFrame"),
        (lambda: plot_probabilities(np.ones((100, 1))), TypeError, "give days and labels"),
        (lambda: plot_probabilities(np.ones((99, 1)), DAYS, ["A"]), ValueError, r"shape \(99, 1\), and there are 100 days and 1 labels"),
        (lambda: plot_probabilities(np.ones((100, 2)), DAYS, ["A"]), ValueError, r"shape \(100, 2\)"),
        (lambda: plot_probabilities(REGIMES.select("as_of_date")), ValueError, "columns as_of_date and probability_…"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said_in_one_line(draw, error, message):
    with pytest.raises(error, match=message) as said:
        draw()
    assert "\n" not in str(said.value)
