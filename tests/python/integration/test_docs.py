"""What README and docs show is what happens."""

import csv
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment, regime_command

from regime_engine import demo
from regime_engine.database import connect

pytestmark = pytest.mark.one_server

ROOT = Path(__file__).parents[3]
TABLES = (
    "historical.prices_daily",
    "features.daily_features",
    "historical.numeric_window_embeddings",
    "runtime.regimes",
    "runtime.regime_transitions",
    "runtime.regime_models",
    "runtime.regime_revisions",
)


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    fences = re.findall(r"^```(.*)\n((?:.*\n)*?)^```$", (ROOT / page).read_text(), re.MULTILINE)
    return [text for name, text in fences if name == language]


@pytest.fixture(scope="module")
def demonstrated(server):
    """A database on which the demo ran, and what it printed."""
    settings = server.create_database("test_demo")
    yield settings, regime_command(settings, "demo")
    server.drop_database("test_demo")


def words(line: str) -> list[str]:
    return re.sub(r"[\d.,]+", "#", line).split()


def test_the_demo_prints_what_the_readme_shows(demonstrated):
    _, result = demonstrated
    assert result.returncode == 0, result.stderr
    (shown,) = [block for block in blocks("README.md", "") if block.startswith("Postgres ")]
    printed = result.stdout.splitlines()
    # The first line names the server; the last four say what to type here. A processor of another
    # kind may round a fit elsewhere, so numbers are compared as numbers that are there.
    assert [words(line) for line in printed[1:-4]] == [
        words(line) for line in shown.splitlines()[1:-4]
    ]
    assert len(printed) == len(shown.splitlines())


def test_a_second_demo_changes_no_row(demonstrated):
    settings, _ = demonstrated
    with connect(settings) as connection:

        def rows():
            return {
                table: connection.execute(
                    f"select xmin, ctid, * from {table} order by 2"
                ).fetchall()
                for table in TABLES
            }

        before = rows()
        assert regime_command(settings, "demo").returncode == 0
        assert rows() == before
    assert all(before[table] for table in TABLES if table != "runtime.regime_revisions")


@pytest.mark.parametrize("query", blocks("docs/auditor.md", "sql"))
def test_the_auditors_questions_have_answers_on_the_demo(demonstrated, query):
    settings, _ = demonstrated
    with connect(settings) as connection:
        rows = connection.execute(query).fetchall()
    if "regime_revisions" not in query:
        assert rows
    if "still_the_same" in query:
        assert rows == [(True,)]


def test_the_commands_for_ones_own_database_work_as_written(database, tmp_path):
    with (tmp_path / "prices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Ticker", "Date", "Close", "Volume"])
        for path in demo.PRICE_FILES:
            with gzip.open(path, "rt") as lines:
                for row in csv.DictReader(lines):
                    writer.writerow(
                        [row["instrument_id"], row["trade_date"], row["close"], row["volume"]]
                    )
    (script,) = [block for block in blocks("README.md", "sh") if "regime pipeline" in block]
    without_url = script.replace("export REGIME_DATABASE_URL=postgresql://user@host/database\n", "")
    assert without_url != script
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", without_url],
        cwd=tmp_path,
        env=environment(database) | {"PATH": programs},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "2018-12-31  CRISIS" in result.stdout
    assert "Audit passed" in result.stdout


def test_every_link_of_the_docs_leads_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
