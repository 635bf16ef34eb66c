"""ctxsite/serve.py, as a real process: it serves, and it ends when it is told to."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 30


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A process of its own, with its own database, on its own port."""
    return os.environ | {"CHAT_VAR_DIR": str(tmp_path), "PORT": str(free_port()), "HOST": "127.0.0.1"}


@pytest.fixture
def site(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A site that has said that it serves."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    process = start(environment)
    assert process.stdout
    line = process.stdout.readline()
    assert f"Serving on http://127.0.0.1:{environment['PORT']}" in line, line
    yield process
    process.kill()
    process.communicate()


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ctxsite.serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def get(environment: dict[str, str], path: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(f"http://127.0.0.1:{environment['PORT']}{path}", timeout=PATIENCE_S) as response:
        return response.status, response.read()


def become_ready(environment: dict[str, str]) -> bytes:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return get(environment, "/readyz")[1]
        except urllib.error.HTTPError as error:
            if time.monotonic() > deadline:
                raise AssertionError(error.read()) from error
            time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_serves_until_it_is_told_to_stop_and_then_ends_well(site, environment, number):
    assert get(environment, "/healthz") == (200, b"ok")
    assert b'"ready": true' in become_ready(environment)
    assert len(get(environment, "/static/django_htmx/htmx-2.min.js")[1]) > 10_000, "straight from the sources"
    # A client that keeps its connection open must not keep the process alive.
    with socket.create_connection(("127.0.0.1", int(environment["PORT"]))) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(20).startswith(b"HTTP/1.1 200")
        site.send_signal(number)
        _, errors = site.communicate(timeout=PATIENCE_S)
    assert site.returncode == 0, errors
    assert "Traceback" not in errors
    assert '"level": "error"' not in errors


def test_a_port_that_is_taken_is_named_and_fails_the_start(environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environment["PORT"])))
        taken.listen()
        process = start(environment)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{environment['PORT']}" in errors
