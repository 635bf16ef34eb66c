"""`run_turns` and `run_jobs` as real processes: they start without a server and end well on a signal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60


@pytest.mark.parametrize(("command", "number"), [("run_turns", signal.SIGTERM), ("run_jobs", signal.SIGINT)])
def test_it_runs_until_a_signal_and_exits_with_0(tmp_path: Path, command: str, number: int) -> None:
    environment = os.environ | {"CHAT_VAR_DIR": str(tmp_path)}
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", command], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while '"service_started"' not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        started = next(line for line in log.read_text().splitlines() if '"service_started"' in line)
        assert f'"runner": {str(command == "run_turns").lower()}' in started
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
    assert "Traceback" not in log.read_text()
