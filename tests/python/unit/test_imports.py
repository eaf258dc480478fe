"""Imports run one way, downwards, and a notebook needs no database."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import regime_engine

PACKAGE = Path(regime_engine.__file__).parent
# A room imports those before it.
ROOMS = (
    *("errors", "series", "config", "arrays", "charts", "measures", "trading_days"),
    *("encoders", "classifiers"),
    *("database", "seeds", "prices", "windows", "features"),
    "seals",
    *("runs", "model_versions", "store", "roles", "dbt"),
    *("engine", "reading", "frames", "report", "notify", "notebook", "demo", "cli", "__main__"),
)
NEVER = {"store": {"classifiers"}, "notebook": {"database", "store", "engine"}}


MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports() -> Iterator[tuple[str, str, str]]:
    """Each import of a module of the package: where, by which module, of which module."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            targets = set()
            if isinstance(node, ast.Import):
                targets = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                members = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = {each if each in MODULES else str(node.module) for each in members}
            # The package itself, which has the version, is imported before any module of it.
            for target in (each for each in targets if each.startswith("regime_engine.")):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} imports {target}", name, target


def test_every_import_is_of_a_lower_room():
    allowed = {
        room: {room, *ROOMS[:place]} - NEVER.get(room, set()) for place, room in enumerate(ROOMS)
    }
    wrong = []
    for where, importer, target in imports():
        room, imported = (f"{name}.".split(".")[1] for name in (importer, target))
        if room and imported not in allowed.get(room, ()):  # the package itself is above all rooms
            wrong.append(where)
    assert not wrong, "\n".join(wrong)


def test_what_came_of_a_forecast_is_read_only_by_what_people_read():
    """The view looks into the future: nothing that gives labels may depend on it."""
    project = PACKAGE.parents[1]
    texts = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]
    texts += [*(project / "models").rglob("*.sql"), *(project / "macros").rglob("*.sql")]
    readers = {
        str(path.relative_to(project))
        for path in texts
        if re.search("volatility_forecasts|realised_volatility", path.read_text())
    }
    assert readers == {
        "models/audit/volatility_forecasts.sql",
        "python/regime_engine/config.py",
        "python/regime_engine/reading/volatility.py",
        *(
            f"python/regime_engine/report/{name}"
            for name in ("contents.py", "days.sql", "sections.py")
        ),
    }


def test_no_import_closes_a_circle():
    graph = TopologicalSorter()
    for _, importer, target in imports():
        graph.add(importer, target)
    try:
        graph.prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_a_notebook_imports_neither_the_database_nor_the_engine():
    program = """
import sys
from regime_engine import MarkovRegimes, PrototypeRegimes, daily_features, encode, plot_regimes
unwanted = ("psycopg", "regime_engine.database", "regime_engine.store", "regime_engine.engine")
print(*[name for name in sys.modules if f"{name}.".startswith(tuple(f"{each}." for each in unwanted))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split(), done.stdout
