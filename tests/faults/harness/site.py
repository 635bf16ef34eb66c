"""A whole site of a test's own: its database, its processes, its upstream, and what can be asked of it afterwards."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.faults.harness.databases import SECRET_KEY, Person, PostgreSQLDatabase, SQLiteDatabase
from tests.faults.harness.processes import ROOT, Process, Web, Worker, environment
from tests.faults.harness.upstream import Upstream
from tests.redis import Server as Redis

ORIGIN = "http://faults.test"
"""What pages of every web process of a test call their origin, whichever port or proxy they come by."""

LIVE = ("queued", "running")


class Site:
    """Settings are given in lower case and without CHAT_: `lease_s=4` is CHAT_LEASE_S. They hold for all processes
    that are made afterwards, unless a process is given its own."""

    def __init__(
        self,
        scratch: Path,
        database: PostgreSQLDatabase | SQLiteDatabase,
        upstream: Upstream,
        redis: Redis | None = None,
        *,
        base_url: str = "",
        redis_url: str = "",
        **settings: Any,
    ) -> None:
        self.scratch = scratch
        self.database = database
        self.upstream = upstream
        self.redis = redis
        self.processes: list[Process] = []
        self.allowed: tuple[str, ...] = ()
        self._given: dict[str, int] = {}
        self._env = {
            "CHAT_VAR_DIR": str(scratch),
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database.url,
            "REDIS_URL": redis_url or (redis.url() if redis else ""),
            "ANTHROPIC_BASE_URL": base_url or upstream.url(),
            "ANTHROPIC_API_KEY": "sk-fault-tests-own",
            "CHAT_ORIGINS": ORIGIN,
            "CHAT_CONTEXT_WINDOW": "200000",
            "CHAT_MESSAGES_PER_MINUTE": "0",
            "CHAT_LIVE_TURNS": "0",
            "CHAT_TITLES": "code",
        } | _named(settings)

    # --- processes ---

    def web(self, *, runner: bool = True, start: bool = True, port: int | None = None, **settings: Any) -> Web:
        """A web process, with a runner in it or without."""
        env = environment(self._env | {"CHAT_RUNNER": str(runner).lower()} | _named(settings))
        return self._keep(Web(self._name("web"), env, self.scratch, port=port), start)

    def run_turns(self, *, start: bool = True, **settings: Any) -> Worker:
        """`manage.py run_turns`."""
        env = environment(self._env | _named(settings))
        return self._keep(Worker(self._name("run_turns"), "run_turns", env, self.scratch), start)

    def run_jobs(self, *, start: bool = True, **settings: Any) -> Worker:
        """`manage.py run_jobs`."""
        env = environment(self._env | _named(settings))
        return self._keep(Worker(self._name("run_jobs"), "run_jobs", env, self.scratch), start)

    def start(self, *processes: Process) -> None:
        """Start several at once: they import at the same time."""
        for process in processes:
            process.launch()
        for process in processes:
            process.wait_until_up()

    def manage(self, *arguments: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py` to its end; output and code are the caller's to judge."""
        env = environment(self._env | _named(settings))
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)

    def python(self, source: str, *arguments: str, **settings: Any) -> str:
        """Run Python with the site's settings in a process of its own; what it printed. It must not fail."""
        env = environment(self._env | _named(settings))
        command = [sys.executable, "-c", "import django; django.setup()\n" + source, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def script(self, name: str, source: str, *arguments: str, **settings: Any) -> Process:
        """Python with the site's settings as a process of the site that goes on beside the test; not started."""
        env = environment(self._env | _named(settings))
        command = [sys.executable, "-c", "import django; django.setup()\n" + source, *arguments]
        return self._keep(Process(self._name(name), command, env, self.scratch), False)

    def _keep(self, process: Any, start: bool) -> Any:
        self.processes.append(process)
        if start:
            process.start()
        return process

    def _name(self, kind: str) -> str:
        return f"{kind}-{sum(process.name.startswith(kind) for process in self.processes) + 1}"

    # --- people, conversations, rows ---

    def person(self, name: str = "alice") -> Person:
        """A user who has signed in."""
        return self.database.people[name]

    def conversation(self, name: str = "alice") -> UUID:
        """An empty conversation that nobody has used in this test."""
        return self.conversations(1, name)[0]

    def conversations(self, count: int, name: str = "alice") -> list[UUID]:
        """The same, several."""
        first = self._given.get(name, 0)
        self._given[name] = first + count
        found = self.database.people[name].conversations[first : first + count]
        assert len(found) == count, f"{name} has no more empty conversations"
        return [UUID(each) for each in found]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database, past the site. Values as %s."""
        return self.database.rows(sql, *values)

    def turn(self, turn_id: int) -> dict[str, Any]:
        """One turn's row."""
        names = "id, number, status, error, attempt, epoch, owner, prompt, reply, client_id, stop_reason"
        rows = self.rows(f"SELECT {names} FROM chat_turn WHERE id = %s", turn_id)
        assert rows, f"there is no turn {turn_id}"
        return dict(zip(names.split(", "), rows[0], strict=True))

    def statuses(self) -> dict[str, int]:
        """How many turns there are in each state."""
        return dict(self.rows("SELECT status, count(*) FROM chat_turn GROUP BY status"))

    def broken_invariants(self) -> str:
        """What `check_invariants` finds; '' when nothing is wrong."""
        done = self.manage("check_invariants")
        return "" if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]

    # --- the end ---

    def tracebacks(self) -> list[str]:
        """Every traceback that a process of this site wrote."""
        return [line for process in self.processes for line in process.tracebacks()]

    def close(self) -> None:
        """End all processes, at once; the database goes too."""
        for process in self.processes:
            process.discard()
        self.database.drop()


def _named(settings: dict[str, Any]) -> dict[str, str]:
    """Keywords as names of the environment; those that are in capitals already stay as they are."""
    return {
        name if name.isupper() else f"CHAT_{name.upper()}": str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for name, value in settings.items()
    }
