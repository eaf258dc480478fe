"""The Tab key in real shells, which start with the lines that docs/commands.md shows."""

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/commands.md"
# The shell gets a terminal of its own.
ON_A_TERMINAL = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
TAB, TO_THE_START, ENTER = "\t", "\x01", "\r"
SECONDS = 60


@dataclass(frozen=True)
class Shell:
    """start: the file that the shell reads, in a folder that is its home; prompt: for that file"""

    command: list[str]
    start: str
    prompt: str


SHELLS = {
    "bash": Shell(["bash", "--noprofile", "-i"], ".bashrc", "PS1='ready> '"),
    "zsh": Shell(["zsh", "-i"], ".zshrc", "PS1='ready> '\nbindkey -e"),
    "fish": Shell(
        ["fish", "-i"], ".config/fish/config.fish", "function fish_prompt; echo 'ready> '; end"
    ),
}


@pytest.fixture(params=SHELLS)
def completed(request, tmp_path) -> Callable[[str], str]:
    """What a line has become when Tab was pressed at its end."""
    shell = SHELLS[request.param]
    if not shutil.which(shell.command[0]):
        pytest.skip(f"{shell.command[0]} is not installed")
    (shown,) = re.findall(rf"^```{request.param}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    start = tmp_path / shell.start
    start.parent.mkdir(parents=True, exist_ok=True)
    start.write_text(f"{shown}{shell.prompt}\n")
    (tmp_path / "prices_of_today.csv").touch()
    variables = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    process = subprocess.Popen(
        [*ON_A_TERMINAL, *shell.command],
        cwd=tmp_path,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    seen = ""

    def wait_for(pattern: str) -> str:
        nonlocal seen
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, seen)):
            left = deadline - time.monotonic()
            assert select.select([process.stdout], [], [], max(left, 0))[0], seen
            more = os.read(process.stdout.fileno(), 65536)
            assert more, seen
            seen += more.decode(errors="replace")
        seen = seen[found.end(1) :]
        return found[1]

    def complete(line: str) -> str:
        wait_for("(ready> )")
        # The shell shows the words, each in braces, which the line as it is typed does not have.
        keys = f"{line}{TAB}{TO_THE_START}printf '{{%s}}' {ENTER}"
        process.stdin.write(keys.encode())
        process.stdin.flush()
        return " ".join(re.findall(r"\{(.*?)\}", wait_for(r"((?:\{[\w.-]+\})+)[^{}]*ready> ")))

    yield complete
    process.kill()
    process.communicate()


def test_the_tab_key_completes_commands_values_and_files(completed):
    assert completed("regime histo") == "regime history"
    assert completed("regime history --reg") == "regime history --region"
    assert completed("regime db sta") == "regime db sta"  # start and status
    assert completed("regime matrix --format js") == "regime matrix --format json"
    assert completed("regime load prices_of") == "regime load prices_of_today.csv"
