"""The queries of the dashboard in examples/grafana, as Grafana's data source for Postgres sends them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from project import ROOT

DASHBOARD = json.loads((ROOT / "examples/grafana/dashboards/regimes.json").read_text())
MACROS = {
    "timeFilter": "{argument} BETWEEN '{start}' AND '{end}'",
    "timeFrom": "'{start}'",
    "timeTo": "'{end}'",
}


@dataclass(frozen=True)
class PanelQuery:
    """format: table or time_series; variable: one that the query gives the values of"""

    title: str
    text: str
    format: str
    is_variable: bool = False

    def sent(self, values: dict[str, str], start: str, end: str) -> str:
        """The statement. Grafana doubles the quotes of a value, and knows no other macro here."""

        def macro(found: re.Match) -> str:
            return MACROS[found[1]].format(argument=found[2], start=start, end=end)

        def value(found: re.Match) -> str:
            return values[found[1]].replace("'", "''")

        return re.sub(r"\$(\w+)", value, re.sub(r"\$__(\w+)\((.*?)\)", macro, self.text))


def queries() -> Iterator[PanelQuery]:
    for variable in DASHBOARD["templating"]["list"]:
        yield PanelQuery(variable["name"], variable["query"], "table", is_variable=True)
    for annotation in DASHBOARD["annotations"]["list"]:
        target = annotation["target"]
        yield PanelQuery(annotation["name"], target["rawSql"], target["format"])
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield PanelQuery(panel["title"], target["rawSql"], target["format"])
