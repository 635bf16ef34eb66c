"""A Redis server of the tests' own: nothing on disk, gone afterwards."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import free_port

PATIENCE_S = 10.0


class Server:
    """One server on one port for its whole life, however often it is stopped and started."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError("No Redis server is installed (Debian: apt-get install redis-server).")
        self.port = free_port()
        self._program = program
        self._home = Path(tempfile.mkdtemp(prefix="chat-redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, *, port: int | None = None) -> str:
        """A REDIS_URL; `port` names another one, of a proxy in front."""
        return f"redis://127.0.0.1:{port or self.port}/0"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with open(self._home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--save", "", "--appendonly", "no", "--dir", str(self._home)),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.command("PING").startswith("+PONG"):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it: every connection is cut, everything in it is lost."""
        if self._process:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def freeze(self) -> None:
        """Stop it from running: connections stay open, nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one run again; any other runs on."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Delete everything in it, connections stay."""
        self.command("FLUSHALL")

    def command(self, *words: str) -> str:
        """Send one command (words without spaces); the beginning of the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(65536).decode("utf-8", "replace")

    def remove(self) -> None:
        """Stop it if it runs, and delete its directory."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server; stopped at the end, whatever happens."""
    own = Server()
    try:
        own.start()
        yield own
    finally:
        own.remove()
