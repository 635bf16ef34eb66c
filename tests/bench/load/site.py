"""Our site and its surroundings, started for a benchmark: database, people, server, upstream."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import postgres
from tests.bench.load import machine

SLOTS = 512
"""Replies that one process streams at once: above any N here, so that what is found is the core's limit."""

UNWANTED = ("DATABASE_URL", "HOST", "PORT", "REDIS_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")


@dataclass(slots=True)
class Person:
    """Somebody who is signed in, and a conversation of theirs."""

    session: str
    cookie: str


@dataclass(slots=True)
class Place:
    """Where a benchmark's site lives: its settings by environment, and who is signed in."""

    env: dict[str, str]
    people: list[Person]
    _used: int = 0

    def fresh(self, count: int) -> list[Person]:
        """People whose conversations are still empty."""
        found = self.people[self._used : self._used + count]
        self._used += count
        if len(found) < count:
            raise ValueError(f"{len(self.people)} people are not enough")
        return found


@contextlib.contextmanager
def upstream() -> Iterator[tuple[int, str]]:
    """The lean stand-in on the other core; yields its process id and its address."""
    port = postgres.free_port()
    with machine.process("-m", "tests.bench.load.upstream", str(port), port=port, core=machine.OTHER_CORE) as pid:
        yield pid, f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def author() -> Iterator[str]:
    """An upstream that writes as much as it is asked to; yields its address."""
    port = postgres.free_port()
    with machine.process("-m", "tests.bench.load.author", str(port), port=port, core=None):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def database(kind: str) -> Iterator[dict[str, str]]:
    """A scratch directory and, for "postgresql", a server of its own; yields the environment that names them."""
    with tempfile.TemporaryDirectory(prefix="chat-bench-") as scratch, contextlib.ExitStack() as stack:
        env = {"CHAT_VAR_DIR": scratch}
        if kind == "postgresql":
            env["DATABASE_URL"] = stack.enter_context(postgres.server())
        yield env


def furnish(env: dict[str, str], base_url: str, people: int) -> Place:
    """Migrate and fill a database. What a setting is not about stays as it is by default."""
    clean = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    env = {
        **env,
        "DJANGO_SETTINGS_MODULE": "ctxsite.settings",
        "ANTHROPIC_API_KEY": "bench",
        "ANTHROPIC_BASE_URL": base_url,
        "CHAT_STANDIN": "false",
        "CHAT_TITLES": "code",
        "CHAT_CONTEXT_WINDOW": "200000",
        "CHAT_RUNNER_SLOTS": str(SLOTS),
    }
    file = Path(env["CHAT_VAR_DIR"]) / "people.json"
    command = [sys.executable, "-m", "tests.bench.load.seed", str(people), str(file)]
    subprocess.run(command, cwd=machine.ROOT, env=clean | env, check=True)
    return Place(env, [Person(**found) for found in json.loads(file.read_text())])


@contextlib.contextmanager
def ours(
    place: Place, *, core: int | None = machine.SERVER_CORE, more: dict[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """`python -m ctxsite.serve` on a core; yields its process id and port."""
    port = postgres.free_port()
    env = place.env | {"PORT": str(port)} | (more or {})
    log = Path(env["CHAT_VAR_DIR"]) / "server.log"
    with machine.process("-m", "ctxsite.serve", port=port, core=core, env=env, log=log) as pid:
        machine.wait_until_ready(port)
        yield pid, port


@contextlib.contextmanager
def plain(base_url: str) -> Iterator[tuple[int, int]]:
    """The plain relay on the server's core; yields its process id and port."""
    port = postgres.free_port()
    env = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": base_url}
    arguments = ("-m", "tests.bench.load.plain", str(port))
    with machine.process(*arguments, port=port, core=machine.SERVER_CORE, env=env) as pid:
        yield pid, port
