"""A PostgreSQL server of the tests' own: a new cluster in a scratch directory, gone afterwards."""

import contextlib
import getpass
import glob
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

# The limits (milliseconds) are for what would wait for ever: a table emptied while a lost transaction reads it.
OPTIONS = (
    "-c fsync=off -c full_page_writes=off -c max_connections=200"
    " -c lock_timeout=60000 -c idle_in_transaction_session_timeout=100000"
)
# Nothing outlives the run, so nothing needs to reach the disk; what outlives a crash must reach the system, though.
FAST = "-c synchronous_commit=off"


def programs() -> Path:
    """The directory with initdb and pg_ctl: Debian keeps them off the PATH. Newest version first."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4]))
    if not versions:
        raise FileNotFoundError("No PostgreSQL server is installed (Debian: apt-get install postgresql).")
    return Path(versions[-1]).parent


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_user() -> str:
    """Who runs the server: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class Cluster:
    """One server on one port for its whole life, however often it is stopped and started.

    With `durable` a commit that was answered survives an immediate stop; else the last half second may be lost.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.port = free_port()
        self._user = server_user()
        self._password = secrets.token_hex(16)
        self._home = Path(tempfile.mkdtemp(prefix="chat-postgres-"))
        self._bin = programs()
        self._options = (
            f"{OPTIONS} {'' if durable else FAST} -c listen_addresses=127.0.0.1 -c port={self.port}"
            f" -c unix_socket_directories={self._home}"
        )
        (self._home / "password").write_text(self._password)
        if os.getuid() == 0:
            shutil.chown(self._home, self._user)
            shutil.chown(self._home / "password", self._user)
        self._run(
            *(str(self._bin / "initdb"), "-D", self._data, "-U", "chat", "-E", "UTF8", "--locale=C.UTF-8"),
            *("-A", "scram-sha-256", "--pwfile", str(self._home / "password"), "--no-sync"),
        )

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """A DATABASE_URL; `port` names another one, of a proxy in front."""
        return f"postgres://chat:{self._password}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        log = str(self._home / "log")
        self._run(self._control, "-D", self._data, "-l", log, "-w", "-t", "60", "-o", self._options, "start")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "immediate") -> None:
        """Stop it; "immediate" is a crash: every connection is cut and the next start recovers."""
        self._run(self._control, "-D", self._data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop it if it runs, and delete it."""
        with contextlib.suppress(RuntimeError):
            self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self._home / "data")

    @property
    def _control(self) -> str:
        return str(self._bin / "pg_ctl")

    def _run(self, *command: str) -> None:
        rights: dict[str, Any] = {"user": self._user} if os.getuid() == 0 else {}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._home, **rights)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server; yields its DATABASE_URL. Stopped and deleted at the end, whatever happens."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster.url()
    finally:
        cluster.remove()
