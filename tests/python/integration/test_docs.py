"""What README and docs show is what happens."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import grafana
import psycopg
import pytest
from bundled import V3
from commands import regime_command, succeed
from pages import (
    AFTER_THE_DEMO,
    checkout,
    require_session,
    require_what_is_written,
    same_answer,
)
from project import ROOT, run_in
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from servers import DATABASE, MODULE_DATABASE
from shapes import refused
from statements import recorded
from stored import ENGINE_TABLES, FEATURES, PRICES, REVISIONS, RUNS, versions

from regime_engine import roles
from regime_engine.database import connect, embedded

pytestmark = pytest.mark.one_server

TABLES = {PRICES, FEATURES} | ENGINE_TABLES - {RUNS}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    fences = re.findall(r"^```(.*)\n((?:.*\n)*?)^```$", (ROOT / page).read_text(), re.MULTILINE)
    return [text for name, text in fences if name == language]


@pytest.fixture(scope="module")
def sent(server):
    """What the commands of this file have sent to the server."""
    with recorded(server) as sent:
        yield sent


@pytest.fixture(scope="module")
def demonstrated(server, sent):
    """A database on which the demo ran, and what it printed."""
    with server.database(MODULE_DATABASE) as settings:
        yield settings, regime_command(settings, "demo")


def words(line: str) -> list[str]:
    return re.sub(r"[\d.,]+", "#", line).split()


def test_the_demo_prints_what_the_readme_shows(demonstrated):
    _, result = demonstrated
    assert result.returncode == 0, result.stderr
    (shown,) = [block for block in blocks("README.md", "") if block.startswith("Postgres ")]
    printed = result.stdout.splitlines()
    # The first line names the server; the last five say what to type here. A processor of another
    # kind may round a fit elsewhere, so numbers are compared as numbers that are there.
    assert [words(line) for line in printed[1:-5]] == [
        words(line) for line in shown.splitlines()[1:-5]
    ]
    assert len(printed) == len(shown.splitlines())


def test_a_second_demo_changes_no_row(demonstrated):
    settings, _ = demonstrated
    with connect(settings) as database:
        before = versions(database, TABLES)
        succeed(regime_command(settings, "demo"))
        assert versions(database, TABLES) == before
    assert all(before[table] for table in TABLES if table != REVISIONS)


QUESTIONS = re.findall(
    r"^```sql\n((?:.*\n)*?)```\n\n```text\n((?:.*\n)*?)```$",
    (ROOT / "docs/auditor.md").read_text(),
    re.MULTILINE,
)


def psql(settings, script: str) -> subprocess.CompletedProcess:
    program = shutil.which("psql", path=embedded.client_folder(settings)) or "psql"
    options = ["-XqP", "pager=off", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    return run_in(ROOT, [program, settings.database_url, *options], dict(os.environ), script)


def test_every_question_of_the_auditor_is_shown_with_its_answer():
    assert len(QUESTIONS) == len(blocks("docs/auditor.md", "sql")) >= 10


@pytest.mark.parametrize(("query", "shown"), QUESTIONS)
def test_the_auditors_questions_have_the_answers_that_are_shown(demonstrated, query, shown):
    settings, _ = demonstrated
    answer = succeed(psql(settings, query))
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
    with connect(settings) as database:

        def seconds() -> float:
            begun = time.perf_counter()
            database.connection.execute(statement).fetchall()
            return time.perf_counter() - begun

        # One of a few, since other work may be going on.
        assert any(seconds() < 1 for _ in range(5))


def test_the_tables_of_the_reference_are_those_of_the_database(demonstrated):
    settings, _ = demonstrated
    page = (ROOT / "docs/tables.md").read_text().partition("\n## Functions")[0]
    described = [
        (f"{schema}.{table}", dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)))
        for schema, tables in re.findall(r"^## Schema `(\w+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        for table, text in re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", tables, re.M | re.S)
    ]
    assert len(described) > 20
    with connect(settings) as database:
        for table, columns in described:
            there = database.rows(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
                [table],
            ).rows
            assert columns == dict(there), table


@pytest.fixture
def after_the_demo(server, demonstrated):
    with server.database(DATABASE, MODULE_DATABASE) as settings:
        yield settings
    for role in ("alice", "grafana", *roles.ROLES):
        server.execute("drop role if exists {role}", role=role)


# The tables that grow with the market, and by what they are looked up.
LARGE = {
    "prices_daily": "instrument_id =",
    "daily_features": "instrument_id =",
    "numeric_window_embeddings": "entity_id =",
    "regimes": "region =|region >|instrument_id =",
    "regime_transitions": "region =",
}
# The demo's tables are so small that Postgres had rather read them whole. This asks for the plan of a
# large market.
AS_IF_LARGE = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off"


def reads(node: dict, above: str = "") -> Iterator[tuple[str, str]]:
    """Each table that a plan has read, and the condition by which; a first row needs none."""
    if "Relation Name" in node and node["Actual Loops"] and above != "Limit":
        yield node["Relation Name"], node.get("Index Cond", node.get("Recheck Cond", ""))
    for child in node.get("Plans", []):
        yield from reads(child, node["Node Type"])


def test_every_query_of_the_dashboard_answers_the_auditor_by_the_keys(after_the_demo):
    succeed(regime_command(after_the_demo, "init", "--roles"))
    with connect(after_the_demo) as database:
        database.execute("create role grafana login password 'seen' in role regime_auditor")
    url = make_conninfo(after_the_demo.database_url, user="grafana", password="seen")
    values = {"region": "US", "model": V3, "window": "63"}
    answers = {}
    with psycopg.connect(url) as connection:
        for query in grafana.queries():
            sent = query.sent(values, "2008-01-01T00:00:00Z", "2009-12-31T23:59:59.999Z")
            with connection.cursor(row_factory=dict_row) as cursor:
                answers[query.title] = rows = cursor.execute(sent).fetchall()
            assert rows, query.title
            if query.is_variable:
                assert values[query.title] in map(str, rows[0].values())
            if query.format == "time_series":
                assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
            # No value yet, as in a new database, and one with a quote.
            for some in (dict.fromkeys(values, ""), values | {"region": "O'Neil"}):
                connection.execute(query.sent(some, "2008-01-01", "2009-12-31"))
        connection.execute(AS_IF_LARGE)
        for query in grafana.queries():
            sent = query.sent(values, "2008-01-01T00:00:00Z", "2009-12-31T23:59:59.999Z")
            ((plan,),) = connection.execute(f"explain (analyze, format json) {sent}").fetchone()
            for table, condition in reads(plan["Plan"]):
                assert re.search(LARGE.get(table, ""), condition), f"{query.title}: {table}"

    state = json.loads(regime_command(after_the_demo, "status", "--format", "json").stdout)
    assert [
        (row["Region"], row["Label"], row["Confidence"], str(row["Newest price"]))
        for row in answers["Every region today"]
    ] == [
        (series["region"], series["last_label"], series["confidence"], region["last_price"])
        for series, region in zip(state["series"], state["regions"], strict=True)
    ]
    asked = ["--start", "2008-01-01", "--end", "2009-12-31", "--format", "json"]
    history = regime_command(after_the_demo, "history", "--region", "US", *asked)
    labels = [(str(row["time"]), row["Label"]) for row in answers["Label of each trading day"]]
    assert labels == [
        (row["as_of_date"], row["regime_label"]) for row in json.loads(history.stdout)
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.mark.parametrize("page", AFTER_THE_DEMO)
def test_the_commands_of_a_page_work_as_written(page, after_the_demo, project):
    shutil.copy(ROOT / "seeds/regions.csv", project / "seeds")
    require_what_is_written(page, after_the_demo, project)


def test_the_session_of_the_page_on_python_prints_what_is_shown(
    demonstrated, tmp_path, monkeypatch, capsys
):
    settings, _ = demonstrated
    monkeypatch.setenv("REGIME_DATABASE_URL", settings.database_url)
    monkeypatch.chdir(tmp_path)
    require_session("docs/python.md", capsys)
    assert (tmp_path / "regimes.png").read_bytes().startswith(b"\x89PNG")


# The last test here: it reads what all others have sent.


def test_a_citus_would_refuse_nothing_of_what_was_sent(demonstrated, sent):
    settings, _ = demonstrated
    with connect(settings) as database:
        assert refused(database, sent()) == {}
