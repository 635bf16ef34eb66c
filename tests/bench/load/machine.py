"""What the kernel says of a process (Linux), and processes that are held to one core."""

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SERVER_CORE, OTHER_CORE = 0, 1


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mb(pid: int) -> float:
    """Megabytes (10^6 bytes) of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"/proc/{pid}/status names no VmRSS")


def load() -> str:
    """The load average of the last minute: what else this machine was doing."""
    return f"{os.getloadavg()[0]:.1f}"


def describe() -> str:
    """The machine in one line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, load {load()}"


@contextlib.contextmanager
def process(
    *arguments: str, port: int, core: int | None, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[int]:
    """A Python process that listens on `port`, held to `core`; yields its id once it accepts connections.

    What it writes goes to `log`, or nowhere.
    """

    def hold() -> None:
        if core is not None and core < (os.cpu_count() or 1):
            os.sched_setaffinity(0, {core})

    with (log or Path(os.devnull)).open("ab") as written:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT, env=os.environ | dict(env or {}), preexec_fn=hold, stdout=written, stderr=written,
        )  # fmt: skip
    try:
        wait_for(port, child)
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until_ready(port: int, seconds: float = 60) -> None:
    """Return when our server on `port` takes work: it listens before, and sends sockets away to come back."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server on {port} is not ready")


def wait_for(port: int, child: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Return when somebody listens on `port`; raises when the process ends first or takes longer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"{child.args} ended with {child.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on {port}")
