"""Run every test on SQLite, then on PostgreSQL, and say how many passed on each. `python -m tests [--quick]`

The last line is `N passed, M failed, K skipped`. With CI set, a skipped test is a failure. A test that is true of
one engine only carries the mark `sqlite` or `postgresql`; all others must be the same on both. The rooms that know no
database are tested once, with none in reach. What is seen in a browser is tried on SQLite, and the main stories on
PostgreSQL too: below the pages everything was tried on both. The fault tests run once: each of them starts the
database that it is about.

Nothing can hang: a test that outlasts its limit ends its process with a dump of all threads, and each run has a limit
of its own, after which it is killed and counts as failed.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import postgres

ROOT = Path(__file__).resolve().parent.parent
NOTHING_COLLECTED = 5
ABSENT_DATABASE = "postgres://nobody:nothing@127.0.0.1:1/none"
WITHOUT_DATABASE = ("tests/context", "tests/documents", "tests/providers", "tests/stream")
# Seconds. In parallel runs a process that hangs is replaced, so it may be ended from a thread, which always works:
# a signal that interrupts a test is of no use against the tidying after it that waits for ever. The new process takes
# the same test up again: once, or one that always hangs would do so nine times, for half an hour.
BESIDE = ("-n", "2", "--dist", "loadfile", "--max-worker-restart=1", "-o", "timeout_method=thread")
PARALLEL = (*BESIDE, "--timeout=240")
LIMIT = 1_200
MESSAGE_CHARS = 400
# What --quick leaves out to end in two minutes: processes of their own, long conversations, many examples.
LONG = (
    "tests/documents/test_extraction.py",
    "tests/flow/test_canary.py",
    "tests/flow/test_compaction.py",
    "tests/flow/test_demo_traffic.py",
    "tests/flow/test_ladder.py",
    "tests/flow/test_model_view.py",
    "tests/flow/test_prefix.py",
    "tests/flow/test_replay.py",
    "tests/flow/test_run_commands.py",
    "tests/flow/test_saved.py",
    "tests/flow/test_secrecy.py",
    "tests/flow/test_titles.py",
    "tests/flow/test_turns.py",
    "tests/store/test_integrity.py",
    "tests/store/test_machine.py",
    "tests/store/test_mending.py",
    "tests/store/test_search.py",
    "tests/stream/test_bus.py",
    "tests/stream/test_following.py",
    "tests/stream/test_rendering.py",
    "tests/surgery/test_batches.py",
    "tests/surgery/test_drill.py",
    "tests/surgery/test_operations.py",
    "tests/test_between.py",
    "tests/test_copies.py",
    "tests/test_migrations.py",
    "tests/test_serve.py",
    "tests/web/test_erasing.py",
    "tests/web/test_forgery.py",
    "tests/web/test_fuzzed_frames.py",
)
FAULTS = "tests/faults"
# Fault tests that compare times have the machine to themselves; the others mostly wait, two at a time.
TIMED = (
    "tests/faults/test_a06_floods.py",
    "tests/faults/test_f15_sqlite_busy.py",
    "tests/faults/test_slow_calls.py",
    "tests/faults/test_two_processes.py",
)
MAIN_STORIES = "tests/browser/test_stories.py"
# Where the site would look for its own; and what makes each process of the tests compile all that it imports.
UNWANTED = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "PYTHONDONTWRITEBYTECODE")


@dataclass(slots=True)
class Outcome:
    """What became of the tests on one database. Names are pytest's, without the database; `failed`: and why."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    engine_specific: set[str] = field(default_factory=set)
    broken: bool = False

    def read(self, report: Path) -> None:
        """Add what pytest wrote into its JUnit report."""
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            trouble = [part for kind in ("failure", "error") if (part := case.find(kind)) is not None]
            if trouble:
                self.failed.setdefault(name, " ".join(trouble[0].get("message", "").split())[:MESSAGE_CHARS])
                self.passed.discard(name)
            elif case.find("skipped") is not None:
                self.skipped.add(name)
            elif name not in self.failed:
                self.passed.add(name)
            if any(entry.get("name") == "engine" for entry in case.iter("property")):
                self.engine_specific.add(name)


@contextlib.contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """The environment in which the tests find the database `name`."""
    environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    # Django's system messages and axe's results are compared in English.
    environment |= {"LANGUAGE": "en", "PYTHONUNBUFFERED": "1"}
    if name == "none":
        yield environment | {"DATABASE_URL": ABSENT_DATABASE}
        return
    if name == "SQLite":
        yield environment
        return
    with postgres.server() as url:
        yield environment | {"DATABASE_URL": url}


def run(environment: dict[str, str], limit: float, *arguments: str) -> Outcome:
    """One run of pytest, of at most `limit` seconds."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        slowest = ("--durations=12", "--durations-min=4")
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *slowest, *arguments]
        # A group of its own, or what it started would outlive it.
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        try:
            code = process.wait(limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"\nNot ended after {limit:.0f} s: {' '.join(arguments)}", flush=True)
            code = process.returncode
        if report.exists():
            outcome.read(report)
        outcome.broken = code not in (0, NOTHING_COLLECTED) and not outcome.failed
    return outcome


def differences(outcomes: dict[str, Outcome]) -> list[str]:
    """Tests that were not run on both databases, without a mark that says why."""
    common = [
        (outcome.passed | set(outcome.failed) | outcome.skipped) - outcome.engine_specific
        for outcome in outcomes.values()
    ]
    return sorted(set.union(*common) - set.intersection(*common))


def main() -> int:
    """Returns the exit code: 0 when everything passed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description="Run the tests on both databases.")
    parser.add_argument("--quick", action="store_true", help="SQLite only, no browser")
    options = parser.parse_args()
    # Or the server's processes and its directory would outlive a run that is told to stop.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    started = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    # The quick run does not start twice: there the rooms without a database have SQLite in reach.
    apart: dict[str, Outcome] = {}
    if not options.quick:
        print("\n== No database ==", flush=True)
        with database("none") as environment:
            apart["No database"] = run(environment, LIMIT, *PARALLEL, *WITHOUT_DATABASE)
    for name in ("SQLite",) if options.quick else ("SQLite", "PostgreSQL"):
        print(f"\n== {name} ==", flush=True)
        with database(name) as environment:
            others = [f"--ignore={path}" for path in (FAULTS, *(LONG if options.quick else WITHOUT_DATABASE))]
            outcomes[name] = run(environment, LIMIT, "-m", "not browser", *PARALLEL, *others)
    unequal = differences(outcomes)
    outcomes = apart | outcomes
    if not options.quick:
        # One at a time: a browser, a server and the stand-in share the two cores.
        for name, what in (("SQLite", f"--ignore={FAULTS}"), ("PostgreSQL", MAIN_STORIES)):
            print(f"\n== Browser, {name} ==", flush=True)
            with database(name) as environment:
                outcomes[f"Browser, {name}"] = run(environment, LIMIT, "-m", "browser", what)
        print("\n== Faults ==", flush=True)
        with database("SQLite") as environment, tempfile.TemporaryDirectory() as scratch:
            report = Path(environment.setdefault("CHAT_FAULT_REPORT", f"{scratch}/figures.jsonl"))
            waiting = [f"--ignore={path}" for path in TIMED]
            # A test that hangs ends its process, and is told of; each test says how long it may take.
            outcomes["Faults"] = run(environment, LIMIT, FAULTS, *waiting, *BESIDE)
            outcomes["Faults, timed"] = run(environment, LIMIT, *TIMED)
            print(report.read_text() if report.exists() else "No figure was measured.")

    print()
    for name, outcome in outcomes.items():
        specific = f", of which {len(outcome.engine_specific)} true of {name} only" if outcome.engine_specific else ""
        print(
            f"{name + ':':20} {len(outcome.passed)} passed{specific}, {len(outcome.failed)} failed,"
            f" {len(outcome.skipped)} skipped{' (pytest itself failed)' if outcome.broken else ''}"
        )
        for test in sorted(outcome.engine_specific):
            print(f"{'':20} {name} only: {test}")
    if options.quick:
        print(f"Left out of the quick run: the browser, PostgreSQL, {', '.join((FAULTS, *LONG))}")
    # Once more, where whoever looks at the end of a long output finds it.
    for name, outcome in outcomes.items():
        for test, message in sorted(outcome.failed.items()):
            print(f"Failed, {name}: {test}: {message}")
    for test in unequal:
        print(f"Run on one database only: {test}")
    passed, failed, skipped = (
        sum(len(getattr(outcome, kind)) for outcome in outcomes.values()) for kind in ("passed", "failed", "skipped")
    )
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    broken = any(outcome.broken for outcome in outcomes.values()) or not passed
    return 1 if failed or broken or unequal or (skipped and os.environ.get("CI")) else 0


if __name__ == "__main__":
    sys.exit(main())
