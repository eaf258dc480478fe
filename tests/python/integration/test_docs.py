"""What README and docs show is what happens."""

import csv
import gzip
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from commands import environment, regime_command
from conftest import DATABASE, MODULE_DATABASE

from regime_engine import demo, roles
from regime_engine.config import Settings
from regime_engine.database import connect, embedded, libpq_environment

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


def test_the_tables_of_the_reference_are_those_of_the_database(demonstrated):
    settings, _ = demonstrated
    page = (ROOT / "docs/tables.md").read_text().partition("\n## Functions")[0]
    described = [
        (f"{schema}.{table}", dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)))
        for schema, tables in re.findall(r"^## Schema `(\w+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        for table, text in re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", tables, re.M | re.S)
    ]
    assert len(described) > 20
    with connect(settings) as connection:
        for table, columns in described:
            there = connection.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
                [table],
            ).fetchall()
            assert columns == dict(there), table


# ---- every command, query and program of a page, in one shell ----

RUN = {
    "sh": "{}",
    "sql": "psql -XqP pager=off -v ON_ERROR_STOP=1 \"$REGIME_DATABASE_URL\" <<'END'\n{}END",
    "python": "python - <<'END'\n{}END",
}
# With what it prints, where that is shown.
BLOCK = re.compile(
    rf"^```({'|'.join(RUN)})\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
# A command and what it prints in one block, as in a terminal.
TERMINAL = re.compile(r"^```\n\$ ([^\n]*\n)(.*?)^```$", re.MULTILINE | re.DOTALL)
# The auditor's are run above, the package's where there is a project that has it.
ELSEWHERE = ("docs/auditor.md", "docs/package.md")
PAGES = [
    page
    for page in ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
    if BLOCK.search((ROOT / page).read_text()) and page not in ELSEWHERE
]
BEGIN_EMPTY = ("README.md",)  # the others begin after the demo
SCHEDULER = "tcp://scheduler.example.com:8786"
PROJECT = ("dbt_project.yml", "selectors.yml", "profiles", "seeds", "macros", "functions", "models", "tests/dbt")  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The dbt project and price files, where a reader of the pages has them."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PROJECT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / name, folder / name], check=True)
    with (folder / "prices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Ticker", "Date", "Close", "Volume"])
        for path in demo.PRICE_FILES:
            with gzip.open(path, "rt") as lines:
                for row in csv.DictReader(lines):
                    names = ("instrument_id", "trade_date", "close", "volume")
                    writer.writerow([row[name] for name in names])
        for day in range(100):
            writer.writerow(["AAPL.US", date(2025, 1, 31) - timedelta(day), 200 + day % 7, 1e6])
    prices = (folder / "prices.csv").read_text().splitlines()
    apple = [line.partition(",")[2] for line in prices if line.startswith("IXIC")]
    (folder / "apple.csv").write_text("\n".join(["Date,Close,Volume", *apple[-1260:]]) + "\n")
    return folder


@pytest.fixture
def scheduler(page):
    """The address of a Dask scheduler that waits for its workers, where the page needs one."""
    if SCHEDULER not in (ROOT / page).read_text():
        yield SCHEDULER
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def page_database(server, demonstrated, page):
    template = "template1" if page in BEGIN_EMPTY else MODULE_DATABASE
    yield server.create_database(DATABASE, template)
    for name in (DATABASE, "restored"):
        server.drop_database(name)
    with connect(server.settings) as connection:
        for role in ("alice", *roles.ROLES):
            connection.execute(f"drop role if exists {role}")


def one_script(blocks: list[tuple[str, str, str]]) -> str:
    """All blocks of a page for one shell, each behind a line with its number."""
    numbered = (
        f"echo '---- block {i} ----'\n{RUN[language].format(block)}"
        for i, (language, block, _) in enumerate(blocks)
    )
    return "\n".join(["trap 'kill $(jobs -p) 2>/dev/null || :' EXIT", *numbered])


def with_what_is_here(script: str, settings: Settings, scheduler: str) -> str:
    """The script with this test's database and scheduler for those of the page's reader, workers
    in the background, and a look at what `make` would do."""
    for theirs, ours in (
        (r"postgresql://\S+", shlex.quote(settings.database_url)),
        (r'^eval "\$\(regime db env\)"$', f'eval "$(regime db env)"; export PGDATABASE={DATABASE}'),
        (r"^dask worker .*$", f"dask worker {SCHEDULER} --nworkers 1 --nthreads 1 &"),
        (re.escape(SCHEDULER), scheduler),
        (r"^make ", f"make --dry-run --directory {shlex.quote(str(ROOT))} "),
    ):
        script = re.sub(theirs, lambda _, ours=ours: ours, script, flags=re.MULTILINE)
    return script


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_as_written(page, page_database, checkout, scheduler):
    shutil.copy(ROOT / "seeds/regions.csv", checkout / "seeds")
    text = TERMINAL.sub(r"```sh\n\1```\n\n```text\n\2```", (ROOT / page).read_text())
    blocks = BLOCK.findall(text)
    script = with_what_is_here(one_script(blocks), page_database, scheduler)
    folders = [Path(sys.executable).parent, embedded.client_folder(page_database)]
    with connect(page_database) as connection:
        env = environment(page_database) | libpq_environment(connection)
    env |= {
        "PATH": ":".join([*map(str, folders), os.environ["PATH"]]),
        "REGIME_PROJECT_DIR": str(checkout),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    printed = re.split(r"---- block \d+ ----\n", done.stdout)[1:]
    for (_, block, shown), answer in zip(blocks, printed, strict=True):
        assert not shown or same_answer(shown, answer), f"{block}{answer}"
