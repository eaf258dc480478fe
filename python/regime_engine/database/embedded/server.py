"""The life cycle of the embedded Postgres: start, stop and status.

A server that answers is reused. In the state folder, `lock` makes starts and stops take turns, and
`server.lock` is held by the server as long as it lives. A lock belongs to the file itself: it
follows a folder that is moved, and a copy of the folder is without it.
"""

import fcntl
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from psycopg.conninfo import make_conninfo

from regime_engine.config import Settings
from regime_engine.database.embedded.cluster import (
    DATABASE,
    PORT,
    SOCKET_NAME,
    USER,
    StateFolder,
    account_for,
    create_cluster,
    create_folder,
    programs_for,
    remove_socket_folder,
    socket_folder,
    state_folder,
)
from regime_engine.database.embedded.programs import (
    Account,
    Command,
    Programs,
    first_error,
    reachable,
    remove_leftovers,
)
from regime_engine.errors import RegimeError

LOCK_SECONDS = 60
SILENT_SECONDS = 3
SETTLE_SECONDS = 30
START_SECONDS = 120
ANSWER_SECONDS = 5
# A client's first question, to which every Postgres has an answer.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass(frozen=True)
class Server:
    """A running server and how to log in; the password stays in `passfile`."""

    data: Path
    socket_folder: Path
    passfile: Path
    version: int
    pid: int

    @property
    def conninfo(self) -> str:
        # The empty values keep PGHOSTADDR and PGPASSWORD of the environment out.
        login = {"user": USER, "password": "", "passfile": str(self.passfile)}
        host = str(self.socket_folder)
        return make_conninfo("", host=host, hostaddr="", port=PORT, dbname=DATABASE, **login)

    @property
    def url(self) -> str:
        parameters = {"host": self.socket_folder, "port": PORT, "passfile": self.passfile}
        return f"postgresql://{USER}@/{DATABASE}?{urlencode(parameters, quote_via=quote, safe='')}"

    @property
    def environment(self) -> dict[str, str]:
        """The libpq variables of this server."""
        server = {"PGHOST": str(self.socket_folder), "PGPORT": str(PORT), "PGDATABASE": DATABASE}
        return server | {"PGUSER": USER, "PGPASSFILE": str(self.passfile)}


@dataclass(frozen=True)
class Status:
    """state: "running", "starting or stopping", "stopped" or "not created" (version None)"""

    state: str
    data: Path
    version: int | None = None
    server: Server | None = None


def start(settings: Settings) -> Server:
    """The running server; if there is none yet, it is created and started."""
    state = state_folder(settings)
    with _file_errors(state):
        if state.data.exists() and not state.passfile.exists():
            raise RegimeError(
                f"{state.passfile} is missing, and nobody can log in without the password in it: "
                f"restore it, or run `regime db stop` and move {state.data} away to start with an "
                "empty one"
            )
        if server := _running(state):
            return server
        create_folder(state.path)
        with _locked(state) as lock, _open_lock(state.path / "server.lock") as server_lock:
            account = account_for(state)
            remove_leftovers(state.path)
            if server := _settled(state, account, server_lock):
                return server
            programs = reachable(programs_for(state), account, state.path)
            if not state.data.exists():
                create_cluster(state, programs, account, lock)
            return _start_cluster(state, programs, account, server_lock)


def stop(settings: Settings) -> bool:
    """Stop the server; False if none was running."""
    state = state_folder(settings)
    with _file_errors(state):
        if not state.data.exists():
            return False
        with _locked(state):
            account = account_for(state)
            postmaster = _living_postmaster(state, account)
            if not postmaster:
                return False
            programs = reachable(programs_for(state), account, state.path)
            pg_ctl: Command = [programs.folder / "pg_ctl", "stop", "-D", state.data]
            pg_ctl += ["-m", "fast", "-w"]
            result = account.run(pg_ctl)
            if result.returncode:
                raise RegimeError(
                    f"Postgres (process {postmaster.pid}) did not stop: "
                    f"{first_error(result.stderr)} (log: {state.log})"
                )
            remove_socket_folder(postmaster.socket_folder)
            return True


def status(settings: Settings) -> Status:
    """What is there; nothing is started or changed, and nothing is waited for."""
    state = state_folder(settings)
    data = state.data
    with _file_errors(state):
        if not data.exists():
            return Status("not created", data)
        if server := _running(state):
            return Status("running", data, server.version, server)
        alive = _living_postmaster(state, account_for(state))
        return Status("starting or stopping" if alive else "stopped", data, state.major)


class Postmaster(NamedTuple):
    """What postmaster.pid says."""

    pid: int
    socket_folder: Path
    ready: bool


def _postmaster(state: StateFolder) -> Postmaster | None:
    try:
        lines = os.fsdecode((state.data / "postmaster.pid").read_bytes()).split("\n")
        pid, _data, _started, _port, folder, _address, _memory, status, *_ = lines
        return Postmaster(int(pid), Path(folder), status.strip() == "ready")
    except (FileNotFoundError, ValueError):
        return None


def _living_postmaster(state: StateFolder, account: Account) -> Postmaster | None:
    """None if the file is stale: its number may belong to another process, not to be signalled."""
    postmaster = _postmaster(state)
    if postmaster and (_running(state) or postmaster.pid in _processes(state, account)):
        return postmaster
    return None


def _running(state: StateFolder) -> Server | None:
    """The server if it answers now. The everyday path: nothing waited for, no process started."""
    postmaster = _postmaster(state)
    if not postmaster or not postmaster.ready or not _is_served(state):
        return None
    if not _answers(postmaster.socket_folder, state):
        return None
    return Server(
        data=state.data,
        socket_folder=postmaster.socket_folder,
        passfile=state.passfile,
        version=state.major,
        pid=postmaster.pid,
    )


def _is_served(state: StateFolder) -> bool:
    """Whether a server holds its lock in this very folder; a copied folder names another's."""
    try:
        with _open_lock(state.path / "server.lock", os.O_RDONLY) as lock:
            return not _acquire(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _answers(folder: Path, state: StateFolder) -> bool:
    """Whether the server answers a request; a dying server's socket accepts connections too."""
    try:
        if folder.lstat().st_uid != state.data.stat().st_uid:
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(os.fspath(folder / SOCKET_NAME))
            client.sendall(SSL_REQUEST)
            return client.recv(1) != b""
    except OSError:
        return False


def _processes(state: StateFolder, account: Account) -> list[int]:
    """Postgres processes that work in the data folder: the postmaster and its children.

    Their own user asks: in a container, root may not see the folders of other users' processes.
    """
    script = """
        for p in /proc/[0-9]*; do
            [ "$p/cwd" -ef "$1" ] && grep -qx postgres "$p/comm" && echo "${p#/proc/}"
        done"""
    found = account.run(["/bin/sh", "-c", script, "sh", state.data]).stdout
    return [int(pid) for pid in found.split()]


def _settled(state: StateFolder, account: Account, server_lock: int) -> Server | None:
    """The server that another start or a recovery brings up; None once no process is left.

    The children of a killed postmaster live on for a moment, and a start would fail until then.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    word = _Word(f"waiting for a Postgres that uses {state.data} to answer or to end")
    while (processes := _processes(state, account)) or not _acquire(server_lock):
        if server := _running(state):
            return server
        if time.monotonic() > deadline:
            who = f"processes {', '.join(map(str, processes))}" if processes else "out of sight"
            raise RegimeError(
                f"a Postgres ({who}) uses {state.data} but does not answer here: run `regime db "
                "stop`, in its container if it runs in another one, or set REGIME_STATE_DIR to "
                f"another folder (log: {state.log})"
            )
        word.say_when_due()
        time.sleep(0.05)
    return None


def _start_cluster(
    state: StateFolder, programs: Programs, account: Account, server_lock: int
) -> Server:
    """The server keeps the server lock: other containers see the lock, but not its processes."""
    log = state.log
    log.touch(0o600)
    account.own(log)
    log_start = log.stat().st_size
    folder = socket_folder(state.data, account)
    _remove_stale_files(state, folder)
    postgres: Command = [programs.folder / "postgres", "-D", state.data, "-h", "", "-p", str(PORT)]
    postgres += ["-k", folder, "-c", "unix_socket_permissions=0700"]
    # Not by pg_ctl, which hands the folders to a shell, where some characters have a meaning.
    with log.open("ab") as output:
        process = account.start(postgres, output, pass_fds=(server_lock,))
    deadline = time.monotonic() + START_SECONDS
    # A copied postmaster.pid names another server, until ours has written its own.
    while not (server := _running(state)) or server.pid != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            logged = log.read_bytes()[log_start:].decode(errors="replace")
            reason = first_error(logged) or f"no answer in {START_SECONDS} s"
            raise RegimeError(f"the embedded Postgres did not start: {reason} (log: {log})")
        time.sleep(0.02)
    return server


def _remove_stale_files(state: StateFolder, socket_folder: Path) -> None:
    """Remove a dead postmaster's files if another process, or a zombie, has its number now.

    Postgres would take that process for a server. In every other case it removes the files
    itself. Called when nothing works in the data folder.
    """
    postmaster = _postmaster(state)
    if postmaster and Path(f"/proc/{postmaster.pid}").exists():
        (state.data / "postmaster.pid").unlink()
        if not _answers(socket_folder, state):
            (socket_folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


@contextmanager
def _file_errors(state: StateFolder) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise RegimeError(
            f"no permission for {error.filename}, which belongs to the embedded Postgres: use the "
            "account that created it, or set REGIME_STATE_DIR to a folder of your own"
        ) from error
    except OSError as error:
        reason: object = error
        if isinstance(error, shutil.Error):
            (_source, _target, reason), *_ = error.args[0]
        raise RegimeError(
            f"the embedded Postgres in {state.path} failed: {reason} (set REGIME_STATE_DIR to use "
            "another folder)"
        ) from error


class _Word:
    """What is said once, on stderr, when a wait becomes long."""

    def __init__(self, text: str) -> None:
        self._text: str | None = text
        self._due = time.monotonic() + SILENT_SECONDS

    def say_when_due(self) -> None:
        if self._text and time.monotonic() > self._due:
            print(self._text, file=sys.stderr, flush=True)
            self._text = None


@contextmanager
def _locked(state: StateFolder) -> Iterator[int]:
    """One start or stop at a time."""
    with _open_lock(state.path / "lock") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        word = _Word(f"waiting for another start or stop that holds {state.path / 'lock'}")
        while not _acquire(lock):
            if time.monotonic() > deadline:
                holder = os.pread(lock, 20, 0).decode() or "unknown"
                raise RegimeError(
                    f"another start or stop of the embedded Postgres (process {holder}) has held "
                    f"{state.path / 'lock'} for {LOCK_SECONDS} s: wait for it or end it"
                )
            word.say_when_due()
            time.sleep(0.02)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock


@contextmanager
def _open_lock(path: Path, how: int = os.O_RDWR | os.O_CREAT) -> Iterator[int]:
    """A file to lock; a process that inherits its number holds the lock too, while it lives."""
    lock = os.open(path, how | os.O_NOFOLLOW, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def _acquire(lock: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
