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
from typing import Any

# Nothing here outlives the run, so nothing needs to reach the disk.
OPTIONS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


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


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server; yields its DATABASE_URL. Stopped and deleted at the end, whatever happens."""
    bin_directory, user, password = programs(), server_user(), secrets.token_hex(16)
    home = Path(tempfile.mkdtemp(prefix="chat-postgres-"))
    port = free_port()
    rights: dict[str, Any] = {"user": user, "cwd": home} if os.getuid() == 0 else {"cwd": home}

    def run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **rights)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")

    try:
        (home / "password").write_text(password)
        if os.getuid() == 0:
            shutil.chown(home, user)
            shutil.chown(home / "password", user)
        data, log = str(home / "data"), str(home / "log")
        run(
            *(str(bin_directory / "initdb"), "-D", data, "-U", "chat", "-E", "UTF8", "--locale=C.UTF-8"),
            *("-A", "scram-sha-256", "--pwfile", str(home / "password"), "--no-sync"),
        )
        options = f"{OPTIONS} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={home}"
        control = str(bin_directory / "pg_ctl")
        run(control, "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start")
        try:
            yield f"postgres://chat:{password}@127.0.0.1:{port}/postgres"
        finally:
            run(control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
