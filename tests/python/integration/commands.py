"""The command line as a user runs it: in a process of its own, but for the imports.

Each process is forked from a server that has imported what every command would import anew: dbt
takes seconds. A shell reaches the server by `forked_path()`.

The server (`python commands.py SOCKET PARSED`) takes one request a connection: the three standard
streams, then a line of JSON with program, arguments, variables and folder. It answers with the
number of the process and then with the exit code.
"""

import atexit
import functools
import gc
import json
import logging
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import parsing

from regime_engine.config import Settings

TIMEOUT = 120  # seconds
PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"3"], [0, 1, 2])
request = [{name!r}, sys.argv[1:], dict(os.environ), os.getcwd()]
server.sendall(json.dumps(request).encode() + b"\\n")
pid, code = (int.from_bytes(server.recv(4), "big", signed=True) for _ in range(2))
sys.exit(code)
"""


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command works on the database of these settings."""
    return os.environ | {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }


def regime_command(
    settings: Settings, *arguments: str, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess:
    """Run `regime` on the database of the settings; no traceback may ever show."""
    process = Process("regime", arguments, environment(settings))
    stdout, stderr = process.communicate(timeout)
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def succeed(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done


def refusal(done: subprocess.CompletedProcess) -> str:
    """The one line that a command prints which cannot do what it was asked, but for what it was
    doing or waiting for."""
    assert done.returncode == 1, done.stdout + done.stderr
    *phases, line = done.stderr.splitlines()
    assert all(phase.endswith(" …") or phase.startswith("waiting for ") for phase in phases), (
        done.stderr
    )
    return line


class Process:
    """A running `regime`, `dbt` or `python -c`; its methods are those of subprocess.Popen."""

    def __init__(self, program: str, arguments: tuple[str, ...], variables: dict[str, str]):
        self.outputs = list(map(tempfile.TemporaryFile, ("w+", "w+")))
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(os.fspath(_server() / "socket"))
        with open(os.devnull) as nothing:
            streams = [file.fileno() for file in (nothing, *self.outputs)]
            socket.send_fds(self.server, [b"3"], streams)
        request = json.dumps([program, arguments, variables, os.getcwd()])
        self.server.sendall(request.encode() + b"\n")
        self.pid = self._answer()
        self.returncode = None

    def _answer(self) -> int:
        return int.from_bytes(self.server.recv(4), "big", signed=True)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self.server], [], [], 0)[0]:
            self.returncode = self._answer()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self.server], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> list[str]:
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for output in self.outputs:
            output.seek(0)
        return [output.read() for output in self.outputs]


def forked_path() -> str:
    """A PATH by which `regime` and `dbt` are forked; everything else is where it was."""
    return f"{_server()}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@functools.cache
def _server() -> Path:
    """The folder of the server's socket and of the programs that lead there."""
    folder = Path(tempfile.mkdtemp(prefix="regime-test-commands-"))
    address = os.fspath(folder / "socket")
    for name in ("regime", "dbt"):
        (folder / name).write_text(
            PROGRAM.format(python=sys.executable, address=address, name=name)
        )
        (folder / name).chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, address, parsing.SHARED[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    server.stdout.readline()  # it listens
    atexit.register(lambda: (server.communicate(), shutil.rmtree(folder)))
    return folder


def _serve(address: str) -> tuple[str, list[str]]:
    """Program and arguments of a request; returns in a process that is forked for it, each time."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print(flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                sys.exit()  # the tests have ended
            client, _ = listener.accept()
            if not os.fork():
                break
            client.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, *_ = socket.recv_fds(client, 1, 3)
    with client.makefile() as lines:
        program, arguments, variables, folder = json.loads(lines.readline())
    if pid := os.fork():
        client.send(pid.to_bytes(4, "big"))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        client.send(code.to_bytes(4, "big", signed=True))
        os._exit(0)
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # New objects too: the server's know whether they can be sought in.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    return program, arguments


if __name__ == "__main__":
    import dbt.adapters.postgres
    import dbt.cli.main

    # Not polars: it starts threads, which a fork does not have.
    import regime_engine.cli
    import regime_engine.engine.nightly  # noqa: F401

    parsing.share(Path(sys.argv[2]))
    logging.root.handlers.clear()  # a library of dbt has brought one
    gc.freeze()  # no fork looks through what they all share
    program, arguments = _serve(sys.argv[1])
    sys.argv = [program, *arguments]
    if program == "dbt":
        sys.exit(dbt.cli.main.cli())
    elif program == "regime":
        runpy.run_module("regime_engine", run_name="__main__", alter_sys=True)
    else:
        exec(arguments[1])
