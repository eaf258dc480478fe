"""What a page of the documentation says to type, done as its reader would: one shell a page."""

import csv
import gzip
import math
import os
import re
import shlex
import sys
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from commands import environment, forked_path, succeed
from project import ROOT, copy_project, run_in
from servers import DATABASE

from regime_engine import demo
from regime_engine.config import Settings
from regime_engine.database import connect, embedded, libpq_environment

SCHEDULER = "tcp://scheduler.example.com:8786"

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

# They begin with an empty database; all others after the demo.
OF_OWN_PRICES = ("README.md", "docs/operator.md")
# The auditor's questions have a test each, the package's page a project that has it, the pages on
# Python a session, the recipes of prices their files in test_load.py.
SESSIONS = ("docs/notebook.md", "docs/python.md")
ELSEWHERE = ("docs/auditor.md", "docs/package.md", "docs/prices.md", *SESSIONS)
AFTER_THE_DEMO = [
    page
    for page in sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    if BLOCK.search((ROOT / page).read_text()) and page not in OF_OWN_PRICES + ELSEWHERE
]


def checkout(folder: Path, first_day: str = "") -> Path:
    """The folder with the dbt project, and with files of prices from the first day on."""
    copy_project(folder)
    rows = []
    for path in demo.PRICE_FILES:
        with gzip.open(path, "rt") as lines:
            rows += [row for row in csv.DictReader(lines) if row["trade_date"] >= first_day]
    prices = [[row[n] for n in ("instrument_id", "trade_date", "close", "volume")] for row in rows]
    # Of all of its days since 2014, and under another name.
    apple = [row[1:] for row in prices if row[0] == "IXIC.INDX" and row[1] >= "2014"]
    days = [date(2025, 1, 31) - timedelta(days) for days in range(100)]
    prices += [["AAPL.US", day, 200 + day.day % 7, 1e6] for day in days]
    for name, header, lines in (
        ("prices.csv", ["Ticker", "Date", "Close", "Volume"], prices),
        ("apple.csv", ["Date", "Close", "Volume"], apple),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    return folder


def require_what_is_written(page: str, settings: Settings, folder: Path) -> None:
    """Every block of the page is run, in order and in one shell, in a checkout on the database;
    none may fail, and what is shown behind one is what it prints."""
    text = TERMINAL.sub(r"```sh\n\1```\n\n```text\n\2```", (ROOT / page).read_text())
    blocks = BLOCK.findall(text)
    numbered = (
        f"echo '---- block {i} ----'\n{RUN[language].format(block)}"
        for i, (language, block, _) in enumerate(blocks)
    )
    script = "\n".join(["trap 'kill $(jobs -p) 2>/dev/null || :' EXIT", *numbered])
    # The commands of README begin from nothing, as a reader's do.
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    path = own if page == "README.md" else forked_path()
    with connect(settings) as database:
        env = environment(settings) | libpq_environment(database)
    env |= {"PATH": f"{embedded.client_folder(settings)}:{path}", "REGIME_PROJECT_DIR": str(folder)}
    with scheduler(page) as address:
        script = with_what_is_here(script, settings, address)
        done = succeed(run_in(folder, ["bash", "-euo", "pipefail", "-c", script], env))
    printed = re.split(r"---- block \d+ ----\n", done.stdout)[1:]
    for (_, block, shown), answer in zip(blocks, printed, strict=True):
        assert not shown or same_answer(shown, answer), f"{block}{answer}"


def require_session(page: str, capsys) -> None:
    """Every block of the page is run in this process, one after the other, and prints what is
    shown."""
    session = {}
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert {language for language, _, _ in blocks} == {"python"}
    for _, block, shown in blocks:
        exec(block, session)
        printed = capsys.readouterr().out
        assert same_answer(shown, printed), f"{block}{printed}"


def with_what_is_here(script: str, settings: Settings, address: str) -> str:
    """The script with this test's database and scheduler for those of the page's reader, a program
    for a webhook, workers in the background, and a look at what `make` would do."""
    for theirs, ours in (
        (r"postgresql://\S+", shlex.quote(settings.database_url)),
        (r"https://hooks\.example\.com/\S+", "command:cat"),
        (r'^eval "\$\(regime db env\)"$', f'eval "$(regime db env)"; export PGDATABASE={DATABASE}'),
        (r"^dask worker .*$", f"dask worker {SCHEDULER} --nworkers 1 --nthreads 1 &"),
        (re.escape(SCHEDULER), address),
        (r"^make ", f"make --dry-run --directory {shlex.quote(str(ROOT))} "),
    ):
        script = re.sub(theirs, lambda _, ours=ours: ours, script, flags=re.MULTILINE)
    return script


@contextmanager
def scheduler(page: str):
    """The address of a Dask scheduler that waits for its workers, where the page has one."""
    if SCHEDULER not in (ROOT / page).read_text():
        yield SCHEDULER
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def same_answer(shown: str, printed: str) -> bool:
    """Word by word; numbers but for what another processor rounds elsewhere in a fit."""

    def same(one: str, other: str) -> bool:
        if one == other or set(one + other) <= {"-", "+"}:
            return True
        try:
            numbers = [float(each.strip("(),;:%")) for each in (one, other)]
        except ValueError:
            return False
        return math.isclose(*numbers, rel_tol=0.02, abs_tol=0.002)

    shown_words, printed_words = shown.split(), printed.split()
    return len(shown_words) == len(printed_words) and all(map(same, shown_words, printed_words))
