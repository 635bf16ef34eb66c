"""Chaos: people converse with a whole site while, every 20 s, one of its parts is killed. `python -m tests.soak`

Two web processes, two runners, one compactor, PostgreSQL and Redis; any of them is killed with -9 (PostgreSQL is
restarted as after a crash) and comes back a moment later, as under a supervisor. Afterwards the clients' histories are
held against what is stored. The exit code is 1 if anything was lost, doubled or left unanswered.
"""

import argparse
import asyncio
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.harness import History, Page, PostgreSQL, Site, Upstream, eventually, measured, percentile
from tests.faults.harness.processes import Process
from tests.redis import Server as Redis

BACK_S = 1.0
"""How long a killed part stays away."""

ANSWER_S = 180.0
"""The longest that anybody waits for a message to be stored or answered: two takeovers and their answers."""

TAKEOVER_S = 25.0
COMPLETE = 0.99


@dataclass(slots=True)
class Chaos:
    """What was done to the site, and what the people met."""

    kills: list[tuple[float, str]] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    answered: int = 0


async def converse(page: Page, chaos: Chaos, until: float, dice: random.Random, name: str) -> None:
    """One person: writes, reads the answer, thinks, writes again."""
    number = 0
    while time.monotonic() < until:
        number += 1
        text = f"Write {dice.choice((30, 120, 400))} words about {name} number {number}"
        try:
            call = await page.send(text, patience=ANSWER_S)
            if call.outcome == "ok":
                await page.done(call.turn, ANSWER_S)
                chaos.answered += 1
        except AssertionError as error:
            chaos.stuck.append(str(error))
        await asyncio.sleep(dice.uniform(0.2, 2.0))


async def kill_now_and_then(
    site: Site, server: PostgreSQL, chaos: Chaos, every: float, until: float, dice: Any
) -> None:
    """Kill a random part that is up every `every` seconds; it is started again BACK_S later."""
    assert site.redis
    parts: list[Any] = [*site.processes, site.redis, server]
    away: set[Any] = set()

    async def back(part: Any) -> None:
        await asyncio.sleep(BACK_S)
        await asyncio.to_thread(part.start)
        away.discard(part)

    async with asyncio.TaskGroup() as starting:
        due = time.monotonic() + every
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every
            part = dice.choice([each for each in parts if each not in away])
            name = part.name if isinstance(part, Process) else ("redis" if part is site.redis else "postgresql")
            chaos.kills.append((time.monotonic(), name))
            print(f"{len(chaos.kills):3}  kill -9 {name}", flush=True)
            away.add(part)
            await asyncio.to_thread(part.kill if isinstance(part, Process) else part.stop)
            starting.create_task(back(part))


def takeovers(records: list[dict[str, Any]]) -> list[float]:
    """Seconds from the break of a call to the beginning of the next one for the same message."""
    calls: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        calls.setdefault(record["asked"], []).append(record)
    found = []
    for attempts in calls.values():
        attempts.sort(key=lambda record: record["began"])
        for broken, following in itertools.pairwise(attempts):
            if broken["outcome"] == "closed" and broken["ended"] is not None:
                found.append(max(0.0, following["began"] - broken["ended"]))
    return found


def verdict(site: Site, history: History, pages: list[Page], chaos: Chaos, records: list[dict[str, Any]]) -> list[str]:
    """Print the table; returns what must not be."""
    outcomes = Counter(call.outcome for call in history.calls.values())
    statuses = site.statuses()
    wrong = history.judge(site.rows("SELECT client_id, session_id, prompt FROM chat_turn"))
    accepted = sum(statuses.values())
    complete = statuses.get("complete", 0) + statuses.get("truncated", 0)
    taken = takeovers(records)
    invariants = site.broken_invariants()
    faults = [fault for page in pages for fault in page.faults]
    seconds = [call.seconds for call in history.calls.values() if call.outcome == "ok"]
    rows: list[tuple[str, Any, str]] = [
        ("kills (kill -9 or crash)", len(chaos.kills), ""),
        (
            "messages: stored, refused, never answered",
            " / ".join(str(outcomes[k]) for k in ("ok", "failed", "unknown")),
            "",
        ),
        ("sent more than once", sum(call.tries > 1 for call in history.calls.values()), ""),
        ("lost acknowledgements, duplicates, mix-ups", len(wrong), ""),
        ("answers complete", f"{complete} of {accepted} ({complete / max(1, accepted):.2%})", ""),
        (
            "turns that ended otherwise",
            str({k: v for k, v in statuses.items() if k not in ("complete", "truncated")}),
            "",
        ),
        ("answers taken over", len(taken), ""),
        ("takeover, p99", percentile(taken, 0.99) if taken else "none", "s" if taken else ""),
        ("send to stored, p50", percentile(seconds, 0.5), "s"),
        ("send to stored, p99", percentile(seconds, 0.99), "s"),
        ("people who waited in vain for a message or an answer", len(chaos.stuck), ""),
        ("sockets lost and opened again", len(history.closes), ""),
        ("wrong frames at a page", len(faults), ""),
        ("rows that break an invariant", 0 if not invariants else invariants.splitlines()[-1], ""),
        ("tracebacks", len(site.tracebacks()), ""),
    ]
    for what, figure, unit in rows:
        measured("soak", what, figure, unit)
    bad = [*wrong, *chaos.stuck, *faults, *site.tracebacks()]
    if invariants:
        bad.append(invariants)
    if complete < COMPLETE * accepted:
        bad.append(f"only {complete} of {accepted} answers are complete")
    if taken and percentile(taken, 0.99) > TAKEOVER_S:
        bad.append(f"takeover p99 {percentile(taken, 0.99):.1f} s")
    if not taken or not chaos.kills:
        bad.append("no answer was ever taken over: the chaos proved nothing")
    return bad


async def soak(options: argparse.Namespace, scratch: Path) -> list[str]:
    """The whole run; returns what must not be."""
    dice = random.Random(options.seed)
    upstream, redis = Upstream(scratch, delay_ms=options.delay_ms), Redis()
    server = await asyncio.to_thread(PostgreSQL, scratch)
    site = None
    try:
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(upstream.start)
        site = Site(scratch, server.fresh(), upstream, redis)
        webs = [site.web(runner=False, start=False) for _ in range(2)]
        others = [site.run_turns(start=False), site.run_turns(start=False), site.run_jobs(start=False)]
        await asyncio.to_thread(site.start, *webs, *others)
        chaos, history = Chaos(), History(keep_frames=False)
        cookie, urls = site.person().cookie, [web.url for web in webs]
        async with AsyncExitStack() as stack:
            pages = []
            for n, session in enumerate(site.conversations(options.people)):
                page = Page(urls[n % 2 :] + urls[: n % 2], session, cookie, history)
                pages.append(await stack.enter_async_context(page))
            await asyncio.gather(*(page.opened() for page in pages))
            until = time.monotonic() + options.minutes * 60
            await asyncio.gather(
                kill_now_and_then(site, server, chaos, options.every, until, dice),
                *(
                    converse(page, chaos, until, random.Random(f"{options.seed} {n}"), f"person {n}")
                    for n, page in enumerate(pages)
                ),
            )
            live = "SELECT count(*) FROM chat_turn WHERE status IN ('queued', 'running')"
            own = site
            await eventually(lambda: own.rows(live) == [(0,)], ANSWER_S, "the last answers to end")
            return verdict(site, history, pages, chaos, upstream.calls())
    finally:
        if site:
            site.close()
        upstream.discard()
        redis.remove()
        server.remove()


def main() -> int:
    """Read the command line and run. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills")
    parser.add_argument("--people", type=int, default=16, help="who converse at the same time")
    parser.add_argument("--delay-ms", type=float, default=60.0, help="between two pieces of an answer")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(
        f"{options.minutes:g} minutes, {options.people} people, a kill every {options.every:g} s, seed {options.seed}"
    )
    scratch = Path(tempfile.mkdtemp(prefix="chat-soak-"))
    bad = asyncio.run(soak(options, scratch))
    for line in bad[:40]:
        print(f"WRONG  {line[:1500]}")
    if not bad:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        print(f"The processes' logs are in {scratch}")
    print("soak: " + (f"{len(bad)} things are wrong" if bad else "nothing lost, nothing doubled, nothing left behind"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
