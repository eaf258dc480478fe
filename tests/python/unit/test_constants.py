"""A constant that SQL repeats, since it cannot import it, is the constant of the Python code."""

import re
from pathlib import Path

import yaml

from regime_engine import encoders, trading_days
from regime_engine.cli import options
from regime_engine.database import row_hash
from regime_engine.encoders import num_regime_core_v2, num_regime_core_v3
from regime_engine.notebook import features, prices
from regime_engine.prices import survey
from regime_engine.reading import forecast, rows
from regime_engine.series import GLOBAL, MAX_STALENESS_DAYS

ROOT = Path(__file__).parents[3]
SQL = {
    path.stem: path.read_text()
    for folder in ("macros", "models", "functions", "tests/dbt", "python")
    for path in (ROOT / folder).rglob("*.sql")
}


def numbers(pattern: str, *names: str) -> set[float]:
    """What the pattern captures in these SQL files, in all of them if none is named."""
    texts = [SQL[name] for name in names] or SQL.values()
    return {float(found) for text in texts for found in re.findall(pattern, text)}


def macro(name: str) -> str:
    """The SQL of a macro, with the Jinja in it."""
    (body,) = re.findall(r"{% macro .*?%}\s*(.*?)\s*{%-? endmacro", SQL[name], re.DOTALL)
    return body


def test_the_places_in_a_vector_are_those_of_the_layout():
    layout = num_regime_core_v3.LAYOUT
    # SQL counts from 1: a window's places 1, 2, 3 … come after the first number of the path.
    paths = ("relative_log_volume", "log_range", "overnight_gap")
    assert numbers(r"\[(\d+) \+ ") == {layout.index(f"{path}_62_days_ago") for path in paths}
    assert numbers(r"numbers(?: }}| ~ ')?\[(\d+)\]") == {layout.index("ln_100s") + 1}


def test_the_columns_that_a_vector_repeats_begin_where_the_layout_has_them():
    declared = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]["encoders"]
    for model_id, encoder in encoders.ENCODERS.items():
        for block in declared[model_id]["repeats"]:
            oldest = f"{block['columns'][0]}_62_days_ago"
            assert block["from"] == encoder.layout(63).index(oldest), model_id


def test_a_relative_volume_is_computed_alike():
    days = numbers(r"%} (\d+) {%", "volume_history_days")
    assert days == {num_regime_core_v2.VOLUME_HISTORY_DAYS}
    assert numbers(r"\b(1e\d+)\b", "usual_log_volume") == {features.LOG_UNITS}
    (clip,) = re.findall(r"greatest\(-(.+?), least\((.+?), ln", SQL["daily_features"])
    assert set(map(float, clip)) == {features.LARGEST_RELATIVE}


def test_trading_days_are_counted_alike():
    text = macro("trading_weeks")
    assert set(map(int, re.findall(r"weeks >= (\d+)", text))) == {trading_days.FEWEST_WEEKS}
    days = dict(re.findall(r"weekday_count = (\d) then (\d+)", text))
    assert days == {"6": str(trading_days.OF_SIX_DAYS), "7": str(trading_days.OF_ALL_DAYS)}
    (otherwise,) = re.findall(r"else (\d+)\s+end::integer", text)
    assert int(otherwise) == trading_days.OF_FIVE_DAYS
    rates = set(map(float, re.findall(r"round\(([\d.]+) \*", text)))
    assert rates == {trading_days.DAYS_A_YEAR, trading_days.WEEKS_A_YEAR}


def test_prices_have_the_same_range():
    ranges = re.findall(r"not between (\S+) and (\S+)", SQL["prices_checked"])
    assert {tuple(map(float, ends)) for ends in ranges} == {(prices.LEAST, prices.GREATEST)}


def test_a_split_is_seen_alike():
    limits = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]["price_suspicions"]
    assert list(survey.SPLIT_RATIOS) == limits["split_ratios"]
    assert limits["split_tolerance"] == survey.SPLIT_TOLERANCE


def test_a_forecast_has_the_same_constants():
    assert numbers(r"allowed, (\S+), days_ahead", "regime_forecast") == {forecast.KEEP}
    prior = numbers(r"(?:\(|\+ )(\d\d+)\b", "smoothed_probabilities")
    assert prior == {forecast.PRIOR_TRANSITIONS, forecast.PRIOR_TRANSITIONS - 1}


def test_the_default_windows_of_the_commands_are_those_that_the_default_encoder_reads():
    assert options.DEFAULT_MODEL_ID == encoders.DEFAULT.MODEL_ID
    assert options.DEFAULT_WINDOW_DAYS == encoders.DEFAULT.WINDOW_DAYS


def test_a_regime_counts_for_as_many_days_in_the_audit():
    assert numbers(r"as_of_date \+ (\d+),", "votes_are_of_todays_regimes") == {MAX_STALENESS_DAYS}
    allowed = numbers(r"'backfill' then 0 else (\d+)", "rows_are_of_days_that_had_come")
    assert allowed == {MAX_STALENESS_DAYS}


def test_sql_names_the_vote_once():
    assert macro("is_voted") == f"{{{{ region }}}} = '{GLOBAL}'"
    assert [name for name, text in SQL.items() if f"'{GLOBAL}'" in text] == ["is_voted"]


def test_a_regime_is_of_a_trading_day_by_one_rule():
    assert rows.IS_OF_TRADING_DAY.as_string() == macro("is_of_trading_day")
    beginning = "metadata ->> 'last_trade_date' = to_char"
    assert [name for name, text in SQL.items() if beginning in text] == ["is_of_trading_day"]


def test_a_row_is_hashed_by_one_rule():
    joined = "{{ values | join(', ') }}"
    assert row_hash("a, b").as_string() == macro("row_hash").replace(joined, "a, b")
