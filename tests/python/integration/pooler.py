"""A real pgbouncer in front of the tests' server."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from regime_engine.config import Settings

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = {mode}
{more}
"""


@dataclass(frozen=True)
class Pooler:
    port: int

    def settings(self, of: Settings, user: str | None = None) -> Settings:
        """The settings that lead to the same database through this pooler."""
        given = conninfo_to_dict(of.database_url)
        user = user or given["user"]
        url = make_conninfo(host="127.0.0.1", port=self.port, dbname=given["dbname"], user=user)
        return replace(of, database_url=url)


@contextmanager
def pooled(
    settings: Settings, mode: str, passwords: Mapping[str, str], more: str = ""
) -> Iterator[Pooler]:
    """A pooler of the server of these settings. passwords: of its logins, beside the owner's"""
    given = conninfo_to_dict(settings.database_url)
    with Path(given["passfile"]).open() as file:
        owner = {given["user"]: file.read().strip().split(":")[-1]}
    folder = Path(tempfile.mkdtemp(prefix="regime-test-pooler-"))
    # pgbouncer does not run as root, and only the server's user reaches its socket.
    uid = os.stat(given["host"]).st_uid
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    users = (owner | dict(passwords)).items()
    (folder / "users.txt").write_text("".join(f'"{user}" "{word}"\n' for user, word in users))
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(
            host=given["host"],
            port=given["port"],
            listen_port=port,
            folder=folder,
            mode=mode,
            more=more,
        )
    )
    for path in (folder, *folder.iterdir()):
        os.chown(path, uid, -1)
    as_user = {"user": uid} if os.geteuid() != uid else {}
    process = subprocess.Popen(
        [PROGRAM, "-q", folder / "pgbouncer.ini"], stderr=subprocess.DEVNULL, **as_user
    )
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None, "pgbouncer has ended"
            assert time.monotonic() < deadline, "pgbouncer does not listen"
            time.sleep(0.02)
        yield Pooler(port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
