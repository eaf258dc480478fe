"""`regime report`: the page in a browser against the database, and the picture."""

import base64
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bundled import US, US_TECH, V3
from commands import refusal, regime_command
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from servers import MODULE_DATABASE

from regime_engine.charts.palette import DARK, LIGHT, colours, readable
from regime_engine.config import Settings
from regime_engine.database import connect
from regime_engine.engine import classify, fit
from regime_engine.engine.fit import Recipe
from regime_engine.errors import RegimeError
from regime_engine.reading import volatility
from regime_engine.reading.score import score, shown
from regime_engine.report import contents, page, pdf, regions
from regime_engine.report.contents import RegionReport
from regime_engine.report.months import years
from regime_engine.report.regions import Report
from regime_engine.report.sections import MOST_DAYS, Section, section
from regime_engine.report.tables import minus, signed, tables

pytestmark = pytest.mark.one_server

MARKUP = "</script><i>NASDAQ"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def settings(server, features_template) -> Iterator:
    """US of 2007 to 2010 by a Markov model; US_TECH by the seed rule, under a name with markup."""
    with server.database(MODULE_DATABASE, features_template) as settings:
        with connect(settings) as database:
            database.execute("delete from features.daily_features where trade_date > '2010-12-31'")
            fit.fit(database, US, Recipe(), end=date(2006, 12, 29))
            classify.backfill(database, US, date(2007, 1, 3), date(2010, 12, 31))
            classify.backfill(database, US_TECH, date(2010, 6, 1), date(2010, 12, 31))
            database.execute(
                "update runtime.regions set description = %s where region = 'US_TECH'", [MARKUP]
            )
        yield settings


def read(database, *names: str, make=section, audited=None) -> Report:
    return regions.read(
        database,
        names,
        model_id=V3,
        window_days=63,
        make=make,
        audited=audited,
        benchmark_id="IXIC.INDX",
    )


@pytest.fixture(scope="module")
def made(settings) -> Report[tuple[RegionReport, Section]]:
    """What was read of each region, and what is shown of it."""
    with connect(settings) as database:
        return read(database, make=lambda region, shared: (region, section(region, shared)))


@pytest.fixture(scope="module")
def us(made) -> RegionReport:
    return made.regions[0][0]


@pytest.fixture(scope="module")
def tech(made) -> RegionReport:
    return made.regions[1][0]


@pytest.fixture(scope="module")
def report(made) -> Report[Section]:
    return Report(made.shared, [shown for _, shown in made.regions])


@pytest.fixture(scope="module")
def file(settings, report, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    page.write(path, page.html(report, settings).encode())
    return path


def test_the_model_card_has_the_parameters_of_each_expert(us, database):
    shown = {name: values for name, *values in tables(us)["parameters"].rows}
    (experts,) = database.one(
        "select parameters -> 'experts' from runtime.regime_models where region = 'US'"
    )
    for number, expert in enumerate(experts):
        assert shown[f"experts.{number}.sigma"] == [f"{each:.4g}" for each in expert["sigma"]]


class Browser:
    """A Chromium that has the page open."""

    def __init__(self, file: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(executable_path=DRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.url = file.as_uri()

    def open(self, width: int = 1400, scheme: str = "light") -> "Browser":
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(self.url)
        return self

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def chart(self, name: str):
        """The chart of the region in sight, in the middle of the window and drawn."""
        (chart,) = self.find(f".panel:not([hidden]) .chart.{name}")
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chart)
        self.wait(lambda: chart.find_elements(By.CSS_SELECTOR, "svg .mark-group"))
        return chart

    def draw_all(self) -> None:
        for chart in self.find(".panel:not([hidden]) .chart"):
            self.run("arguments[0].scrollIntoView({behavior: 'instant'})", chart)
            self.wait(lambda chart=chart: chart.find_elements(By.CSS_SELECTOR, "svg .mark-group"))

    def wait(self, until) -> None:
        WebDriverWait(self.driver, 20, poll_frequency=0.05).until(lambda _: until())

    def read(self) -> str:
        """The text about the day under the pointer or the cursor; empty if it is hidden."""
        return self.find("#day")[0].text

    def point(self, element, part: float) -> None:
        """Move the pointer over the element, at a part of its width from the left."""
        actions = webdriver.ActionChains(self.driver)
        offset = round((part - 0.5) * element.size["width"])
        actions.move_to_element_with_offset(element, offset, 0).perform()

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        events = (json.loads(e["message"])["message"] for e in self.driver.get_log("performance"))
        return {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }


@pytest.fixture(scope="module")
def browser(file) -> Iterator[Browser]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromedriver here")
    browser = Browser(file)
    yield browser
    browser.driver.quit()


def label_of(database, region: str, day: date) -> tuple[str, float]:
    return database.one(
        "select regime_label, confidence from runtime.regimes where region = %s and as_of_date = %s",
        [region, day],
    )


def said(text: str) -> tuple[date, str, float]:
    day, label, confidence = re.match(r"(\S+) · (\S+)\nconfidence\n?\s*(\S+)%", text).groups()
    return date.fromisoformat(day), label, float(confidence) / 100


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_all_charts_are_drawn_without_a_complaint_or_a_request(browser, width, scheme):
    browser.complaints(), browser.requests()
    browser.open(width, scheme).draw_all()
    charts = browser.find(".panel:not([hidden]) .chart svg")
    assert len(charts) == 13
    assert all(0 < chart.rect["width"] <= width for chart in charts)
    browser.run("scrollTo({top: 0, behavior: 'instant'})")
    browser.find("[role=tab]")[1].click()
    browser.draw_all()
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith("data:")} == {browser.url}
    # Nothing is cut off on the right: what is wider scrolls in a frame of its own.
    root = "document.documentElement"
    assert browser.run(f"return {root}.scrollWidth === {root}.clientWidth")


def test_the_colours_are_those_of_the_readers_scheme(browser):
    colours = {}
    for scheme in ("light", "dark"):
        browser.open(scheme=scheme).chart("price")
        script = "return getComputedStyle(document.body)[arguments[0]]"
        colours[scheme] = [browser.run(script, name) for name in ("color", "backgroundColor")]
    # Text darker than the page in the one, lighter in the other.
    brightness = {
        scheme: [sum(map(int, re.findall(r"\d+", colour))) for colour in pair]
        for scheme, pair in colours.items()
    }
    assert brightness["light"][0] < 200 < 600 < brightness["light"][1]
    assert brightness["dark"][1] < 200 < 600 < brightness["dark"][0]


@pytest.mark.parametrize(
    "chart", ["price", "lanes", "probabilities", "volatility", "drawdown", "novelty"]
)
def test_pointing_at_a_day_shows_its_date_and_label(browser, database, chart):
    if chart == "price":
        browser.open()
    assert browser.read() == ""
    browser.point(browser.chart(chart), 0.7)
    day, label, confidence = said(browser.read())
    assert date(2009, 6, 1) < day < date(2010, 2, 1)
    assert (label, confidence) == (
        label_of(database, "US", day)[0],
        pytest.approx(label_of(database, "US", day)[1], abs=0.0006),
    )
    browser.point(browser.find("footer")[0], 0.5)
    assert browser.read() == ""


def test_wealth_is_read_from_the_first_week_shown(browser, us):
    browser.driver.get("about:blank")
    browser.driver.get(f"{browser.url}#US/2008-01-01/2009-12-31")
    browser.run("arguments[0].focus()", browser.chart("wealth"))
    browser.press(Keys.END)
    weeks = [each for each in us.performance.wealth if each.as_of_date.year in (2008, 2009)]
    title, *facts = browser.read().split("\n")
    assert title == f"week to {weeks[-1].as_of_date}"
    grown = [
        getattr(weeks[-1], name) / getattr(weeks[0], name)
        for name in ("rule", "market", "benchmark")
    ]
    assert [float(each) for each in facts[1::2]] == pytest.approx(grown, abs=0.0006)


def test_days_are_read_with_the_keyboard(browser, database):
    price = browser.open().chart("price")
    browser.run("arguments[0].focus()", price)
    browser.press(Keys.END)
    assert said(browser.read())[:2] == (date(2010, 12, 31), label_of(database, "US", date(2010, 12, 31))[0])  # fmt: skip
    browser.press(Keys.ARROW_LEFT)
    assert said(browser.read())[0] == date(2010, 12, 30)
    browser.press(Keys.HOME)
    assert said(browser.read())[0] == date(2007, 1, 3)
    assert price.get_attribute("aria-valuetext").startswith("2007-01-03 · ")
    browser.press("+")
    assert dates_shown(browser)[0] == date(2007, 1, 3)
    assert date(2008, 12, 25) < dates_shown(browser)[1] < date(2009, 1, 10)
    browser.press("-")
    assert fragment(browser) == "#US"
    browser.press(Keys.ESCAPE)
    assert browser.read() == ""


def test_whatever_can_be_used_is_reached_with_the_tab_key(browser):
    browser.open().draw_all()
    browser.run("scrollTo(0, 0); document.activeElement.blur()")
    usable = browser.run(
        "return [...document.querySelectorAll('a, button, input, summary, [tabindex]')].filter(each =>"
        " each.tabIndex >= 0 && each.checkVisibility()).length"
    )
    reached = set()
    for _ in range(usable + 2 * 3):  # each date has a month, a day, a year and a calendar
        browser.press(Keys.TAB)
        reached.add(browser.driver.switch_to.active_element.id)
    assert len(reached) == usable > 20


def test_a_region_is_chosen_with_the_pointer_or_the_arrow_keys(browser, database):
    browser.open().chart("price")
    us, tech = browser.find("[role=tab]")

    def shown() -> list[str]:
        return [panel.get_attribute("id") for panel in browser.find(".panel:not([hidden])")]

    assert shown() == ["panel-0"]
    tech.click()
    assert shown() == ["panel-1"]
    browser.point(browser.chart("price"), 0.5)
    day, label, confidence = said(browser.read())
    assert day >= date(2010, 6, 1)
    assert (label, confidence) == label_of(database, "US_TECH", day) == ("NEUTRAL", 1.0)
    tech.send_keys(Keys.ARROW_LEFT)
    assert shown() == ["panel-0"]
    assert browser.driver.switch_to.active_element == us


def test_what_a_region_is_called_is_text_and_not_markup(browser):
    browser.open()
    browser.find("[role=tab]")[1].click()
    (heading,) = browser.find(".panel:not([hidden]) h2")
    assert heading.text == f"US_TECH · {MARKUP}"


def test_a_range_of_years_ends_on_the_last_day(browser):
    price = browser.open().chart("price")
    browser.find(".panel:not([hidden]) .ranges button")[0].click()
    browser.run("arguments[0].focus()", price)
    browser.press(Keys.HOME)
    assert said(browser.read())[0] == date(2009, 12, 31)
    browser.press(Keys.END)
    assert said(browser.read())[0] == date(2010, 12, 31)


def in_sight(browser, selector: str) -> list:
    return browser.find(f".panel:not([hidden]) {selector}")


def dates_shown(browser) -> list[date]:
    inputs = in_sight(browser, ".stretch input")
    return [date.fromisoformat(each.get_attribute("value")) for each in inputs]


def fragment(browser) -> str:
    return browser.run("return location.hash")


def ends_of_the_axis(browser, chart) -> list[date]:
    """The days at both ends of a chart, read with the keyboard."""
    browser.run("arguments[0].focus()", chart)
    ends = []
    for key in (Keys.HOME, Keys.END):
        browser.press(key)
        ends.append(said(browser.read())[0])
    browser.press(Keys.ESCAPE)
    return ends


def test_a_stretch_that_is_drawn_over_a_chart_is_shown_and_kept_in_the_address(browser, database):
    price = browser.open().chart("price")
    offsets = [round(part * price.size["width"]) for part in (-0.2, 0.1)]
    actions = webdriver.ActionChains(browser.driver)
    actions.move_to_element_with_offset(price, offsets[0], 0).click_and_hold()
    actions.move_to_element_with_offset(price, offsets[1], 0).perform()
    title, *facts = browser.read().split("\n")
    first, last = (date.fromisoformat(each) for each in title.split(" to "))
    days, change = database.one(
        "select count(*), (array_agg(close order by as_of_date desc))[1] /"
        " (array_agg(close order by as_of_date))[1] - 1 from audit.regime_timeline"
        " where region = 'US' and as_of_date between %s and %s",
        [first, last],
    )
    assert 250 < days < 350
    assert facts[:4] == ["trading days", str(days), "close", f"{change:+.1%}".replace("-", "−")]

    webdriver.ActionChains(browser.driver).release().perform()
    assert fragment(browser) == f"#US/{first}/{last}"
    assert dates_shown(browser) == [first, last] == ends_of_the_axis(browser, price)
    # The table has these days, newest first.
    in_sight(browser, ".by-day summary")[0].click()
    browser.wait(lambda: in_sight(browser, ".by-day[open] tbody tr"))
    named = browser.run(
        "return [...document.querySelectorAll('.by-day[open] tbody th')].map(th => th.textContent)"
    )
    assert (named[0], named[-1], len(named)) == (str(last), str(first), days)

    browser.find("[role=tab]")[1].click()  # it has no day in that range
    assert fragment(browser) == f"#US_TECH/{first}/{last}"
    (note,) = in_sight(browser, ".range-note")
    assert note.text.startswith(f"US_TECH has no day from {first} to {last}")
    browser.driver.back()
    assert dates_shown(browser) == [first, last]
    webdriver.ActionChains(browser.driver).double_click(browser.chart("price")).perform()
    assert fragment(browser) == "#US"
    assert dates_shown(browser) == [date(2007, 1, 3), date(2010, 12, 31)]


def test_an_address_opens_its_region_and_range(browser):
    browser.driver.get("about:blank")
    browser.driver.get(f"{browser.url}#US_TECH/2010-07-01/2010-08-31")
    assert in_sight(browser, "h2")[0].text.startswith("US_TECH")
    stretch = [date(2010, 7, 1), date(2010, 8, 31)]
    assert dates_shown(browser) == stretch == ends_of_the_axis(browser, browser.chart("price"))
    browser.driver.get(f"{browser.url}#US/3y")
    assert dates_shown(browser) == [date(2007, 12, 31), date(2010, 12, 31)]
    pressed = in_sight(browser, ".ranges [aria-pressed=true]")
    assert [each.text for each in pressed] == ["3 years"]
    browser.driver.get(f"{browser.url}#ATLANTIS/3y")
    assert browser.find("#note")[0].text == "This report has no region ATLANTIS."


def test_a_range_of_ones_own_is_checked(browser):
    browser.open()
    first, last = in_sight(browser, ".stretch input")
    (note,) = in_sight(browser, ".range-note")

    def give(field, value: str) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('{}'))"
        for event in ("change", "blur"):
            browser.run(script.format(event), field, value)

    give(first, "2008-03-03")
    give(last, "2009-03-02")
    assert (fragment(browser), note.text) == ("#US/2008-03-03/2009-03-02", "")
    give(first, "2009-06-01")
    assert note.text == "2009-06-01 is after 2009-03-02."
    give(first, "1999-06-01")
    assert note.text == "Choose a day from 2007-01-03 to 2010-12-31."
    assert fragment(browser) == "#US/2008-03-03/2009-03-02"
    give(first, "2009-01-05")
    assert (fragment(browser), note.text) == ("#US/2009-01-05/2009-03-02", "")


def test_a_label_that_is_not_the_most_probable_one_says_why(browser, database):
    day, label, probabilities = database.one(
        "select as_of_date, regime_label, probabilities from audit.regime_timeline"
        " join runtime.regimes using (region, as_of_date, model_id, window_days, regime_label)"
        " where region = 'US' and regimes.confidence < 0.4 and days_since_change > 0"
        " order by regimes.confidence limit 1"
    )
    likeliest = max(probabilities, key=probabilities.get)
    assert likeliest != label
    browser.driver.get(f"{browser.url}#US/{day}/2010-12-31")
    browser.run("arguments[0].focus()", browser.chart("price"))
    browser.press(Keys.HOME)
    assert said(browser.read())[:2] == (day, label)
    assert browser.read().endswith(
        f"most probable is {likeliest} {probabilities[likeliest]:.1%}; "
        f"the label stays {label} by hysteresis"
    )


def test_a_table_that_is_cut_says_so_and_keeps_the_names_of_its_rows(browser):
    browser.open(width=390)
    frame = next(each for each in in_sight(browser, ".scroll") if "Jan" in each.text)
    (name, *_) = frame.find_elements(By.CSS_SELECTOR, "tbody th")
    left = name.rect["x"]

    def is_cut() -> bool:
        return "more-right" in frame.get_attribute("class")

    browser.wait(is_cut)
    browser.run("arguments[0].scrollLeft = 10000", frame)
    browser.wait(lambda: not is_cut())
    assert abs(name.rect["x"] - left) < 5


def test_months_and_earnings_are_those_of_the_database(us, file, database):
    months = database.rows(
        """
        select
            extract(year from as_of_date)::int as year,
            extract(month from as_of_date)::int as month,
            exp(sum(adjusted_log_return)) - 1 as total_return,
            mode() within group (order by regime_label) as label
        from audit.regime_timeline
        where region = 'US'
        group by 1, 2
        order by 1, 2
        """
    ).rows
    shown_years = years(us.days, us.labels)
    shown = [
        (year.year, number, month.total_return, month.label)
        for year in reversed(shown_years)
        for number, month in enumerate(year.months, 1)
        if month
    ]
    assert [row[:2] for row in shown] == [row[:2] for row in months]
    assert [row[2] for row in shown] == pytest.approx([row[2] for row in months])
    # Of labels that are equally frequent, either may come first in SQL.
    assert sum(row[3] != other[3] for row, other in zip(shown, months, strict=True)) <= 1
    text = file.read_text()
    for year in shown_years:
        assert f'<td class="n">{signed(year.total_return)}</td>' in text

    rows = {name: figures for name, *figures in tables(us)["earned"].rows}
    assert list(rows)[-3:] == ["Rule", "Buy and hold", "Benchmark IXIC.INDX"]
    of_rule = {each.name: each for each in us.score.sections[-1].measures}
    assert rows["Rule"][3] == f"{of_rule['sharpe_ratio'].ours:.2f}"
    assert rows["Buy and hold"][5] == signed(of_rule["worst_drawdown"].rivals["no_regime"].value)


def column(digits: int, steps: str) -> list[float | None]:
    """A column of the page: its values from the steps between them."""
    units, values = 0, []
    for step in steps.split(","):
        units += int(step or 0)
        values.append(units / 10**digits if step else None)
    return values


def test_the_page_has_what_sql_answers(us, tech, file, database):
    text = file.read_text()
    stored = json.loads(
        re.search(r'<script type="application/json" id="region-0">(.*?)</script>', text)[1]
    )
    rows = database.rows(
        "select as_of_date, regime_label, confidence, close from audit.regime_timeline"
        " where region = 'US' order by as_of_date"
    ).rows
    days = {name: column(*each) for name, each in stored["days"].items()}
    labels = stored["labels"]
    # The page derives it, where it is the probability of the label.
    assert "confidence" not in days
    days["confidence"] = [days[f"p{label:.0f}"][n] for n, label in enumerate(days["label"])]
    assert [
        (date(1970, 1, 1) + timedelta(number), labels[int(label)], confidence, close)
        for number, label, confidence, close in zip(
            days["date"], days["label"], days["confidence"], days["close"], strict=True
        )
    ] == [
        (day, label, pytest.approx(confidence, abs=6e-4), pytest.approx(close, rel=1e-5))
        for day, label, confidence, close in rows
    ]
    volatilities = database.rows(
        "select expected_volatility, realised_volatility_21_days_after"
        " from audit.volatility_forecasts where region = 'US' order by as_of_date"
    ).rows
    assert list(zip(days["expected"], days["came"], strict=True)) == [
        tuple(each and pytest.approx(each, abs=6e-4) for each in row) for row in volatilities
    ]
    # The features end with the regimes.
    assert [each is None for each in days["came"]] == [False] * (len(rows) - 21) + [True] * 21
    (n_spells,) = database.one("select count(*) from audit.regime_spells where region = 'US'")
    assert len(stored["spells"]) == n_spells
    assert len(text) < 3_000_000
    assert [check.found for check in us.checks if check.is_fault] == [0, 0, 0]
    for check in us.checks:
        assert len(database.connection.execute(check.look_further).fetchall()) == check.found
    assert sum(row.forecasts for row in us.calibration) == (len(rows) - 252 - 21) * 4
    assert us.volatility == volatility.score(database, US).records(volatility.Score)
    assert {each.days for each in us.volatility} == {len(rows) - 21}
    assert tech.why_empty["volatility"].startswith("region US_TECH has no days with an expected")
    assert text.count("None: no model of this region tells a volatility.") == 1
    assert tech.why_empty["calibration"].startswith("region US_TECH has one label only, NEUTRAL")
    assert us.score == score(database, US)
    for part in us.score.sections:
        for verdict in part.verdicts:
            assert minus(verdict.partition(": ")[2]) in text
    held = next(each for each in us.score.sections[-1].measures if each.name == "exposure")
    assert ["Share of days held", shown(held.ours, "share"), "100.0%"] in [
        row[:3] for row in tables(us)["score 4"].rows
    ]
    assert tech.score is None
    assert f"Not known: {tech.why_empty['score']}" in text
    assert tech.why_empty["score"].startswith("region US_TECH has 0 walk-forward labels to score")


def test_what_the_views_found_is_on_the_page(settings, database):
    move = "update runtime.regime_transitions set previous_as_of_date = previous_as_of_date + %s"
    database.execute(move, [-1])
    with connect(settings) as other:
        faulty = page.html(read(other, "US"), settings)
    database.execute(move, [1])
    assert "1 check fails" in faulty
    assert re.search(
        r">FAULT</span>\s*<span>Transitions that disagree with the regimes: \d", faulty
    )


def test_the_page_says_what_was_audited_and_when(settings, database):
    def written(audited=None) -> str:
        with connect(settings) as other:
            return page.html(read(other, "US_TECH", audited=audited), settings)

    def audit(at: str, verdict: str, rows: int) -> None:
        database.execute(
            "insert into runtime.audit_verdicts (audit_id, audited_at, test_name, verdict, failures,"
            " package_version, database_user) values (%s, %s, 'no_future_rows', %s, %s, '1', 'me')",
            [uuid.uuid4(), at, verdict, rows],
        )

    before = written()
    assert "No fault found" in before
    assert before.count("No audit has been recorded") == 2

    audit("2020-01-02 03:04:05+00", "PASS", 0)
    old = written()
    assert "Audited 2020-01-02 03:04 UTC: 1 test, all passed." in old
    assert "This label was written after that audit." in old

    audit("2100-01-02 03:04:05+00", "FAIL", 3)
    database.execute(
        "create table audit_failures.no_future_rows as"
        " select * from (values ('US'), ('US_TECH'), ('US_TECH')) as rows (region)"
    )
    failed = written(audited={"no_future_rows": "Nothing is of the future."})
    database.execute("drop table audit_failures.no_future_rows")
    database.execute("truncate runtime.audit_verdicts")
    assert "Audit failed" in failed
    assert "This label was written after" not in failed
    assert re.search(
        "<code>no_future_rows</code>: 3 rows, 2 of US_TECH, since 2100-01-02 03:04 UTC."
        " Nothing is of the future.",
        failed,
    )


@pytest.fixture
def packed(browser, settings, report, monkeypatch, tmp_path) -> Iterator[Browser]:
    """The browser with the page as it is where the regions are many."""
    plain = browser.url
    monkeypatch.setattr(contents, "FEW", 1)
    path = tmp_path / "packed.html"
    page.write(path, page.html(report, settings).encode())
    browser.url = path.as_uri()
    yield browser
    browser.url = plain


def test_many_regions_begin_with_an_overview_and_are_unpacked_when_opened(packed, database):
    packed.complaints(), packed.requests()
    packed.open()
    assert not packed.find(".panel:not([hidden])")
    assert packed.run("return !document.querySelector('.panel').children.length")
    shown = [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th a, td")[:4]]
        for row in packed.find(".overview tbody tr")
    ]
    stored = database.rows(
        "select region, regime_label, confidence, start_date from audit.regime_spells"
        " inner join runtime.regimes using (region, model_id, window_days, regime_label)"
        " where is_open and as_of_date = end_date order by region"
    ).rows
    assert shown == [
        [region, label, f"{confidence:.1%}", str(since) if region == "US" else f"before {since}"]
        for region, label, confidence, since in stored
    ]
    assert len(packed.find(".overview .spark polyline")) == 2
    packed.find(".overview a")[0].click()
    packed.wait(lambda: packed.find(".panel:not([hidden]) h2"))
    packed.point(packed.chart("price"), 0.4)
    day, label, confidence = said(packed.read())
    assert (label, pytest.approx(confidence, abs=6e-4)) == label_of(database, "US", day)
    packed.run("document.getElementById('choose').value = '1'")
    packed.run("document.getElementById('choose').dispatchEvent(new Event('change'))")
    packed.wait(lambda: packed.find("#panel-1:not([hidden]) h2"))
    assert packed.find("#panel-1 h2")[0].text == f"US_TECH · {MARKUP}"
    assert packed.run("return location.hash") == "#US_TECH"
    packed.driver.back()
    packed.driver.back()
    packed.wait(lambda: packed.find("#overview:not([hidden])"))
    assert packed.complaints() == []
    assert {url for url in packed.requests() if not url.startswith("data:")} == {packed.url}


def test_an_overview_is_sorted_and_narrowed(packed, database):
    packed.open()

    def shown() -> list[str]:
        return [each.text for each in packed.find(".overview tbody tr:not([hidden]) a")]

    assert shown() == ["US", "US_TECH"]
    by_confidence = packed.find(".overview thead button")[2]
    for order in ("desc", "asc"):
        by_confidence.click()
        rows = database.rows(
            "select region from runtime.regimes where as_of_date = '2010-12-31'"
            f" order by confidence {order}"
        ).rows
        assert shown() == [region for (region,) in rows]
    search = packed.find("#search")[0]
    search.send_keys("nasdaq")
    assert shown() == ["US_TECH"]
    assert packed.find("#found")[0].text == "1 of 2 regions"
    search.clear()
    search.send_keys(" ", Keys.BACKSPACE)
    label, _ = label_of(database, "US", date(2010, 12, 31))
    packed.find(f".filters [data-label={label}]")[0].click()
    rows = database.rows(
        "select region from runtime.regimes where as_of_date = '2010-12-31' and regime_label = %s"
        " order by region",
        [label],
    ).rows
    assert sorted(shown()) == [region for (region,) in rows]


def test_regions_read_in_processes_of_their_own_are_those_read_in_this_one(
    settings, report, monkeypatch
):
    monkeypatch.setattr(contents, "FEW", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    told = []
    with connect(settings) as database:
        apart = regions.read(
            database,
            ("US_TECH",),
            model_id=V3,
            window_days=63,
            make=section,
            benchmark_id="IXIC.INDX",
            progress=lambda *each: told.append(each),
        )
    (tech,) = apart.regions
    assert (tech.row, tech.numbers) == (report.regions[1].row, report.regions[1].numbers)
    assert told == [(0, 1, "looking for suspicious prices"), (1, 1, "US_TECH")]


def test_a_page_of_very_many_days_has_the_newest_and_some_of_the_older(us, made):
    few = replace(made.shared, n_regions=500)
    thinned = section(us, few)
    dates = [
        date(1970, 1, 1) + timedelta(int(number))
        for number in column(*thinned.numbers["days"]["date"])
    ]
    every = [day.as_of_date for day in us.days]
    most = MOST_DAYS // 500
    assert most * 0.9 < len(dates) <= most
    assert dates[-most // 2 :] == every[-most // 2 :]
    assert dates[0] == every[0]
    assert {*dates} < {*every}
    assert f"Of the days before {dates[-most // 2]} only some are in this page" in thinned.panel
    assert thinned.numbers["spells"] == section(us, made.shared).numbers["spells"]


def test_without_javascript_the_page_has_its_tables_and_a_picture_of_each_price(browser):
    disable = "Emulation.setScriptExecutionDisabled"
    browser.driver.execute_cdp_cmd(disable, {"value": True})
    try:
        browser.open()
        shown = {
            selector: [each.is_displayed() for each in browser.find(selector)]
            for selector in ("#overview", ".panel", ".picture svg", ".panel h2", ".months")
        }
        assert not any(each.is_displayed() for each in browser.find(".chart, .ranges, [role=tab]"))
    finally:
        browser.driver.execute_cdp_cmd(disable, {"value": False})
    assert shown.pop("#overview") == [True]
    assert all(each == [True, True] for each in shown.values())


def test_print_has_all_charts_of_all_regions_in_the_light_scheme(browser):
    browser.complaints()
    browser.open(scheme="dark").chart("price")
    printed = base64.b64decode(browser.driver.print_page())
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 10
    # Those that no one has scrolled to, and of the region that is not in sight.
    for panel in browser.find(".panel"):
        charts = panel.find_elements(By.CSS_SELECTOR, ".chart")
        assert all(each.find_elements(By.CSS_SELECTOR, "svg .mark-group") for each in charts)
    assert len(browser.find(".chart")) > 20
    assert browser.complaints() == []
    # Back on the screen, the charts have its width again.
    (price,) = browser.find(".panel:not([hidden]) .chart.price svg")
    browser.wait(lambda: price.rect["width"] > 1000)
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    style = "getComputedStyle(document.documentElement).getPropertyValue('--panel')"
    panel = browser.run(f"return {style}")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert panel == LIGHT.panel


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_pdf_is_printed_and_nothing_else_is_written(settings, tmp_path):
    file = tmp_path / "tech.pdf"
    result = regime_command(settings, "report", "--region", "US_TECH", "--pdf", str(file))
    assert (result.returncode, result.stdout) == (0, f"{file}: US_TECH\n"), result.stderr
    content = file.read_bytes()
    assert content.startswith(b"%PDF")
    # A4, in points
    assert re.search(rb"/MediaBox \[0 0 59[45](\.\d+)? 84[12](\.\d+)?\]", content)
    assert os.listdir(tmp_path) == ["tech.pdf"]


def test_a_pdf_that_cannot_be_printed_is_told_in_a_line(monkeypatch):
    with pytest.raises(RegimeError, match=r"REGIME_CHROMIUM names no program .*: /no/chrome"):
        pdf.chromium(Settings(chromium="/no/chrome"))
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(RegimeError, match="no Chromium to print the PDF with: install"):
        pdf.chromium(Settings())
    with pytest.raises(RegimeError, match=r"/bin/false printed no PDF \(exit code 1: it said noth"):
        pdf.pdf("<p>page</p>", "/bin/false")


def test_a_picture_says_whose_prices_which_model_and_when(report):
    us, tech = report.regions
    assert re.fullmatch(
        r"Prices of GSPC.INDX · markov version 1, trained to 2006-12-29, on num-regime-core-v3 · "
        r"Regime Engine \S+, written \d{4}-\d\d-\d\d \d\d:\d\d UTC",
        us.source,
    )
    assert tech.source.startswith("Prices of IXIC.INDX · seed rule, on num-regime-core-v3 · ")


def test_a_picture_of_too_many_regions_is_refused_before_they_are_read(settings):
    with (
        connect(settings) as database,
        pytest.raises(RegimeError, match="a picture shows at most 1 regions, and these are 2"),
    ):
        regions.read(database, (), model_id=V3, window_days=63, make=section, most=1)


# What is left of the linear red, green and blue for an eye that lacks a cone (Machado, Oliveira and
# Fernandes 2009, severity 1).
VISION = {
    "all cones": np.eye(3),
    "no red": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no blue": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_labels_differ_in_lightness_alone_and_text_can_be_read(palette, n):
    def luminance(colour: str, seen_by: str = "all cones") -> float:
        channels = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return max(0.0, float(np.array([0.2126, 0.7152, 0.0722]) @ VISION[seen_by] @ linear))

    def contrast(one: str, other: str, seen_by: str = "all cones") -> float:
        """As WCAG 2 defines it, 1 to 21."""
        dark, light = sorted(luminance(colour, seen_by) for colour in (one, other))
        return (light + 0.05) / (dark + 0.05)

    shown = colours(palette.labels, n)
    # The worse the label, the further from the panel: darker on white, lighter on black.
    ranked = [palette.panel, *shown]
    for eye in VISION:
        by_lightness = sorted(ranked, key=lambda each, eye=eye: luminance(each, eye))
        assert ranked == by_lightness[:: -1 if palette is LIGHT else 1]
        assert all(contrast(*pair, eye) > 1.12 for pair in pairwise(ranked))
        assert contrast(*ranked[:2], eye) > 1.5  # the calmest label too can be seen
    for ink in ("text", "muted", "accent", "good", "bad"):
        assert contrast(getattr(palette, ink), palette.panel) >= 4.5
    assert all(contrast(readable(colour), colour) >= 4.5 for colour in shown)


def test_the_picture_is_a_png_of_the_main_chart(settings, tmp_path):
    result = regime_command(settings, "report", "--region", "US", "--png", f"{tmp_path}/us.png")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/us.png: US\n"), result.stderr
    picture = (tmp_path / "us.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(picture[16:20]) > 1400
    assert os.listdir(tmp_path) == ["us.png"]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("none/report.html", "No such file or directory"),
        ("folder", "it is not a file"),
        ("pipe", "it is not a file"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, where, why):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for refuses in (page.require_writable, lambda path: page.write(path, b"page")):
        with pytest.raises(RegimeError, match=rf"{where} cannot be written \({why}\): name ano"):
            refuses(tmp_path / where)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_a_page_that_is_there_is_replaced_whole(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, b"before, and longer")
    page.write(path, b"after")
    assert path.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["report.html"]


def test_an_empty_database_is_told_in_a_line(empty_settings, tmp_path):
    result = regime_command(empty_settings, "report", "--output", f"{tmp_path}/report.html")
    assert (result.returncode, result.stdout, os.listdir(tmp_path)) == (1, "", [])
    assert "regime init" in refusal(result)


def test_an_unknown_region_and_a_database_without_regimes_are_told_in_a_line(own):
    with pytest.raises(RegimeError, match="unknown region 'ATLANTIS': known are"):
        read(own, "ATLANTIS")
    own.execute("truncate runtime.regimes")
    with pytest.raises(RegimeError, match="no regimes yet"):
        read(own)
