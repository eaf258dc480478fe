"""Python's surroundings: locale, streams, folders, names and users that are not as usual."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from commands import environment
from pooler import PROGRAM, pooled
from project import ROOT

from regime_engine.config import Settings
from regime_engine.database import connect

pytestmark = pytest.mark.one_server

ASCII = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
SETPRIV = shutil.which("setpriv")
PRICES = "instrument_id,trade_date,close\nNAMED,2020-01-01,1\nNAMED,bad,1\n"


@pytest.fixture
def shell(empty_settings: Settings):
    """Run `regime` by a shell's line, in a Python of its own; `$regime` is the command."""

    def shell(line: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
        env = (
            environment(empty_settings)
            | {"regime": f"{sys.executable} -m regime_engine"}
            | variables
        )
        done = subprocess.run(["bash", "-c", line], cwd=cwd, env=env, capture_output=True)
        text = [output.decode() for output in (done.stdout, done.stderr)]
        assert "Traceback" not in text[1], text[1]
        assert "Exception ignored" not in text[1], text[1]
        return subprocess.CompletedProcess(line, done.returncode, *text)

    return shell


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("$regime --version > /dev/full", 1, "Error: No space left on device\n"),
        ("$regime load --help > /dev/full", 1, "Error: No space left on device\n"),
        ("$regime nothing 2> /dev/full", 1, ""),
        ("$regime db url --nothing > /dev/full 2> /dev/full", 1, ""),
        ("$regime --version >&-", 0, ""),
        ("$regime --version <&- >&- 2>&-", 0, ""),
        ("set -o pipefail; (sleep .1; $regime --help) | true", 1, ""),
        ("mkdir x; cd x; rmdir ../x; $regime status", 1, "Error: No such file or directory: the current folder is gone; change to one that exists\n"),
        ("$regime history --region $'\\xff'", 1, "Error: not a text in UTF-8: '\\udcff' (an option, a file name or a variable)\n"),
        ("REGIME_STATE_DIR=~nobody.of.that.name/x $regime status", 1, "Error: REGIME_STATE_DIR=~nobody.of.that.name/x: there is no such home folder\n"),
    ],
)  # fmt: skip
def test_streams_folders_and_names_end_in_a_line_at_most(shell, tmp_path, line, code, error):
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (code, error)


def test_a_locale_without_utf8_loads_what_is_utf8(shell, empty_settings, tmp_path):
    name = os.fsdecode(b"caf\xc3\xa9 \xff.csv")
    (tmp_path / name).write_text(PRICES.replace("NAMED", "CAFÉ"), encoding="utf-8")
    load = shell(f"$regime load --allow-refused {tmp_path}/*.csv", **ASCII)
    assert load.returncode == 0, load.stderr
    assert "2 rows, 1 new, 0 corrected, 0 unchanged, 1 refused" in load.stdout
    with connect(empty_settings) as database:
        loaded = "select instrument_id from historical.prices_daily"
        assert database.rows(loaded).rows == [("CAFÉ",)]
        refused = "select file_name from historical.prices_daily_refused"
        assert database.rows(refused).rows == [("café \\xff.csv",)]


@pytest.mark.skipif(
    os.geteuid() != 0 or not SETPRIV or not PROGRAM, reason="needs root, setpriv and pgbouncer"
)
def test_without_home_passwd_entry_and_utf8_dbt_builds_if_the_state_folder_is_named(empty_settings):
    rights = "+dac_override,+dac_read_search"
    nobody = [SETPRIV, "--reuid=12345", "--regid=12345", "--clear-groups"]
    nobody += [f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    with (
        pooled(empty_settings, "session", {}) as pooler,
        tempfile.TemporaryDirectory(prefix="regime-test-") as state,
    ):
        Path(state).chmod(0o777)
        env = environment(pooler.settings(empty_settings)) | ASCII | {"REGIME_STATE_DIR": state}
        del env["HOME"]
        for variables, expected in (
            (env, (0, "")),
            (
                {n: v for n, v in env.items() if n != "REGIME_STATE_DIR"},
                (1, "Error: this user has no home folder: set REGIME_STATE_DIR\n"),
            ),
        ):
            command = [*nobody, sys.executable, "-m", "regime_engine", "init", "--quiet"]
            done = subprocess.run(command, env=variables, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == expected
