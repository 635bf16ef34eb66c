"""Processes of the site as a test starts, stops, freezes and kills them; what they logged is read at the end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 90.0
# What would point a process at the machine's own site, or make each of them compile all that it imports.
UNWANTED = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "PYTHONDONTWRITEBYTECODE")
UNWANTED_PREFIXES = ("CHAT_", "ANTHROPIC_", "DJANGO_", "MONITORING_", "COVERAGE_")
# How a traceback looks, in plain output and in a line of the log; and what else must never be written.
SIGNS = (
    "Traceback (most recent call last)",
    '"error_at":',
    "never retrieved",
    "was never awaited",
    "database is locked",
)


def environment(values: dict[str, str]) -> dict[str, str]:
    """This process's environment without what names a site, and with `values`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in UNWANTED and not name.startswith(UNWANTED_PREFIXES)
    }
    return kept | {"PYTHONUNBUFFERED": "1", "LANGUAGE": "en", "DJANGO_SETTINGS_MODULE": "ctxsite.settings"} | values


class Process:
    """One command that can be started more than once; all its output goes to one file."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], scratch: Path) -> None:
        self.name = name
        self.log_path = scratch / f"{name}.log"
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0

    def start(self) -> None:
        """Start it, and wait until it is up."""
        self.launch()
        self.wait_until_up()

    def launch(self) -> None:
        """Start it, and don't wait."""
        assert not self.running, f"{self.name} runs already"
        self._from = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log)

    def wait_until_up(self, patience: float = PATIENCE_S) -> None:
        """Wait until it does its work; each kind of process knows how that shows."""

    def wait_for_line(self, words: str, patience: float = PATIENCE_S) -> None:
        """Wait until the output since the last start has a line with these words."""
        deadline = time.monotonic() + patience
        while words not in self.output():
            if not self.running or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} never said {words!r}:\n{self.output()[-3000:]}")
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        """Whether the process is there (a frozen one is)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; negative for the signal that ended it, None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and see that it is gone."""
        self.signal(signal.SIGKILL)
        assert self.wait(PATIENCE_S) == -signal.SIGKILL
        assert not psutil.pid_exists(self.pid)

    def freeze(self) -> None:
        """SIGSTOP, and see that it stands still."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_S
        while psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, f"{self.name} does not stop"
            time.sleep(0.005)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self, patience: float = PATIENCE_S) -> float:
        """SIGTERM; waits for the exit, which must be clean (0). The seconds it took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait(patience)
        assert code == 0, f"{self.name} ended with {code}:\n{self.output()[-3000:]}"
        return time.monotonic() - began

    def wait(self, patience: float = PATIENCE_S) -> int:
        """Wait for its end; the exit code. AssertionError when it does not end."""
        assert self._process
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end") from None

    def discard(self) -> None:
        """Kill it if it is there."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait(PATIENCE_S)

    def memory(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def output(self, *, whole: bool = False) -> str:
        """What it wrote since its last start, or ever."""
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(0 if whole else self._from)
            return log.read().decode("utf-8", "replace")

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The JSON lines of its log, those of one event if named."""
        lines = []
        for line in self.output(whole=True).splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and name in ("", entry.get("event")):
                    lines.append(entry)
        return lines

    def tracebacks(self) -> list[str]:
        """Every traceback that it wrote, ever, and what was never awaited or never retrieved."""
        text = self.output(whole=True)
        signs = (
            "Traceback (most recent call last)",
            '"error_at":',
            "never retrieved",
            "was never awaited",
            "database is locked",
        )
        return [f"{self.name}: {line[:2000]}" for line in text.splitlines() if any(sign in line for sign in signs)]


class Web(Process):
    """A web process, with a runner in it or without."""

    def __init__(self, name: str, env: dict[str, str], scratch: Path, *, port: int | None = None) -> None:
        self.port = port or free_port()
        super().__init__(
            name, [sys.executable, "-m", "ctxsite.serve"], env | {"PORT": str(self.port), "HOST": "127.0.0.1"}, scratch
        )

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, patience: float = PATIENCE_S, *, cookie: str = "") -> tuple[int, str]:
        """Status and text of a page, as whoever the cookie is of; 0 when nobody answers."""
        request = urllib.request.Request(self.url + path, headers={"Cookie": f"sessionid={cookie}"} if cookie else {})
        try:
            with urllib.request.urlopen(request, timeout=patience) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def sockets(self) -> int:
        """Connections from clients that stand."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == self.port for each in found)

    def wait_until_up(self, patience: float = PATIENCE_S) -> None:
        """Wait until its service has started and /healthz answers."""
        self.wait_for_line("Serving on", patience)
        status, text = self.get("/healthz", patience)
        assert (status, text) == (200, "ok")


class Worker(Process):
    """`manage.py run_turns` or `manage.py run_jobs`."""

    def __init__(self, name: str, command: str, env: dict[str, str], scratch: Path) -> None:
        super().__init__(name, [sys.executable, "manage.py", command], env, scratch)

    def wait_until_up(self, patience: float = PATIENCE_S) -> None:
        """Wait until its service has started."""
        self.wait_for_line("service_started", patience)
