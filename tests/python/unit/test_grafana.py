"""The files of examples/grafana fit together: no part names another that is not there."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "examples/grafana"
DASHBOARD = json.loads((FOLDER / "dashboards/regimes.json").read_text())
PANELS = DASHBOARD["panels"]
COLUMNS = 24  # of Grafana's grid


def provisioned(kind: str) -> list[dict]:
    document = yaml.safe_load((FOLDER / f"provisioning/{kind}/regime-engine.yml").read_text())
    assert document["apiVersion"] == 1
    return document["providers" if kind == "dashboards" else kind]


def asking() -> list[tuple[str, dict, str]]:
    """Everything that asks the database: its title, its source, its SQL."""
    variables = DASHBOARD["templating"]["list"]
    found = [(each["name"], each["datasource"], each["query"]) for each in variables]
    for each in DASHBOARD["annotations"]["list"]:
        found.append((each["name"], each["datasource"], each["target"]["rawSql"]))
    for panel in PANELS:
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"]
            found.append((panel["title"], target["datasource"], target["rawSql"]))
    return found


def test_every_query_asks_the_source_that_is_provisioned():
    (source,) = provisioned("datasources")
    assert len(asking()) > 15
    for title, asked, _ in asking():
        assert asked == {"type": source["type"], "uid": source["uid"]}, title


def test_the_source_holds_no_secret_and_is_no_editor():
    (source,) = provisioned("datasources")
    assert source["secureJsonData"] == {"password": "$PGPASSWORD"}
    assert source["editable"] is False


def test_every_variable_is_there_before_the_query_that_uses_it():
    known = set()
    for title, _, text in asking():
        used = set(re.findall(r"\$(?!__)(\w+)", text))
        assert used <= known, title
        known.add(title)
    assert {"region", "model", "window"} <= known


def test_every_value_of_a_variable_is_quoted():
    for title, _, text in asking():
        outside_of_quotes = re.sub(r"'[^']*'", "", text)
        assert not re.search(r"\$(?!__)\w", outside_of_quotes), title


def test_no_two_panels_share_an_id_or_a_place():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells[panel["title"]] = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
    for one, other in combinations(cells, 2):
        assert not cells[one] & cells[other], f"{one} lies over {other}"


def test_an_annotation_is_shown_on_panels_that_exist():
    ids = {panel["id"] for panel in PANELS}
    for each in DASHBOARD["annotations"]["list"]:
        assert set(each["filter"]["ids"]) <= ids


@pytest.mark.parametrize(
    "panel", [p for p in PANELS if p["type"] != "row"], ids=lambda p: p["title"]
)
def test_a_panel_says_what_it_shows_and_formats_columns_that_its_query_gives(panel):
    assert panel["description"]
    (target,) = panel["targets"]
    columns = set(re.findall(r'as "([^"]+)"', target["rawSql"]))
    named = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
    # Each label is a series of its own, named after it.
    labels = (
        {"CARRY", "NEUTRAL", "RISK_OFF", "CRISIS"} if "as metric" in target["rawSql"] else set()
    )
    assert named <= columns | labels
    assert target["format"] == ("time_series" if panel["type"] == "timeseries" else "table")
