"""What README and docs show is what happens."""

import csv
import gzip
import math
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import environment, regime_command
from conftest import MODULE_DATABASE

from regime_engine import demo
from regime_engine.database import connect, embedded

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
    settings = server.create_database(MODULE_DATABASE)
    yield settings, regime_command(settings, "demo")
    server.drop_database(MODULE_DATABASE)


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


QUESTIONS = re.findall(
    r"^```sql\n((?:.*\n)*?)```\n\n```text\n((?:.*\n)*?)```$",
    (ROOT / "docs/auditor.md").read_text(),
    re.MULTILINE,
)


def psql(settings, script: str) -> subprocess.CompletedProcess:
    program = shutil.which("psql", path=embedded.client_folder(settings)) or "psql"
    return subprocess.run(
        [program, settings.database_url, "-XqP", "pager=off", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
    )


def same_answer(shown: str, printed: str) -> bool:
    """Word by word; numbers but for what another processor rounds elsewhere in a fit."""

    def same(one: str, other: str) -> bool:
        try:
            return math.isclose(float(one), float(other), rel_tol=0.02, abs_tol=0.002)
        except ValueError:
            return one == other or set(one + other) <= {"-", "+"}

    shown_words, printed_words = shown.split(), printed.split()
    return len(shown_words) == len(printed_words) and all(map(same, shown_words, printed_words))


def test_every_question_of_the_auditor_is_shown_with_its_answer():
    assert len(QUESTIONS) == len(blocks("docs/auditor.md", "sql")) >= 10


@pytest.mark.parametrize(("query", "shown"), QUESTIONS)
def test_the_auditors_questions_have_the_answers_that_are_shown(demonstrated, query, shown):
    settings, _ = demonstrated
    answer = psql(settings, query)
    assert answer.returncode == 0, answer.stderr
    assert same_answer(shown, answer.stdout), answer.stdout


STATEMENTS = [
    statement
    for query, _ in QUESTIONS
    for statement in re.split(r";$|\\gx$", query, flags=re.MULTILINE)
    if statement.strip()
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_each_of_the_auditors_queries_takes_less_than_a_second(demonstrated, statement):
    settings, _ = demonstrated
    with connect(settings) as connection:

        def seconds() -> float:
            begun = time.perf_counter()
            connection.execute(statement).fetchall()
            return time.perf_counter() - begun

        # One of a few, since other work may be going on.
        assert any(seconds() < 1 for _ in range(5))


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
