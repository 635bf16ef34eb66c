"""The stand-in Messages API as a process of its own, and what a test tells it and asks it."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.faults.harness.processes import Process, environment
from tests.postgres import free_port


class Upstream(Process):
    """One stand-in. `port` stays the same when it is killed and started again; its log does not survive that."""

    def __init__(self, scratch: Path, *, window: int = 200_000, delay_ms: float = 20.0, first_ms: float = 50.0) -> None:
        self.port, self.control_port = free_port(), free_port()
        command = [
            *(sys.executable, "-m", "chat.providers.standin", "--port", str(self.port)),
            *("--control-port", str(self.control_port), "--window", str(window)),
            *("--delay-ms", str(delay_ms), "--first-ms", str(first_ms)),
        ]
        super().__init__("upstream", command, environment({}), scratch)

    def url(self, *, port: int | None = None) -> str:
        """The ANTHROPIC_BASE_URL; `port` names another one, of a proxy in front."""
        return f"http://127.0.0.1:{port or self.port}"

    def wait_until_up(self, patience: float = 30.0) -> None:
        """Wait until the control door is open, which is after the other one."""
        self.wait_for_line("control door on", patience)

    def settings(self, **values: Any) -> dict[str, Any]:
        """Change how it answers from now on: delay_ms, first_ms, window, keep_bodies, summary_mode, ..."""
        return self._call("POST", "/settings", values)

    def fault(self, kind: str, **fields: Any) -> None:
        """Script one fault; the fields are those of the stand-in's `Fault`."""
        self._call("POST", "/faults", {"kind": kind, **fields})

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        self._call("DELETE", "/faults")

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """The records of requests, oldest first; see the stand-in's `Record`."""
        return self._call("GET", f"/log?since={since}")

    def calls(self, asked: str = "", *, since: int = 0) -> list[dict[str, Any]]:
        """The replies that were asked for with words that begin with `asked`."""
        found = [record for record in self.log(since) if record["purpose"] == "reply"]
        return [record for record in found if record["asked"].startswith(asked)]

    def open(self, asked: str = "") -> list[dict[str, Any]]:
        """Those of `calls` that are being answered now."""
        return [record for record in self.calls(asked) if record["outcome"] == "open"]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.control_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
