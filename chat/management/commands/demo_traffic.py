"""Real turns for a dashboard to look at, and the check that it says of them what is true."""

import asyncio
import logging
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from chat import service
from chat.management import demo
from chat.models import Job, Turn, Worker
from chat.providers.standin.ledger import Entry as Answered
from chat.providers.steady import BREAKER
from monitoring import checking

ALIVE = timedelta(seconds=15)
ENDS_S = 10.0

# What the API calls an error, and what we do.
OUTCOMES = {
    "sent": "ok",
    "overflow": "context_overflow",
    "overloaded_error": "overloaded",
    "rate_limit_error": "rate_limited",
    "api_error": "unavailable",
    "timeout_error": "unavailable",
    "transport": "unavailable",
    "authentication_error": "refused",
    "permission_error": "refused",
    "billing_error": "refused",
    "invalid_request_error": "misconfigured",
    "not_found_error": "misconfigured",
    "request_too_large": "too_large",
}


class Command(BaseCommand):
    """Conversations of different sizes through the whole stack, with compactions, overflows, refusals and errors.

    With `--check` every number that was recorded is compared with the stand-in's own books: calls and tokens entry by
    entry, compactions with the conversations' own count, overflows with the rungs that answered them, Prometheus'
    counters and what the pages add up. The exit code is 1 where anything is not equal.
    """

    requires_migrations_checks = True
    help = "Make traffic through the stand-in, for the dashboard to show."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How much, and whether to check it."""
        parser.add_argument("--sessions", type=int, default=200)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--window", type=int, default=None, help="tokens, in place of CHAT_CONTEXT_WINDOW")
        parser.add_argument("--check", action="store_true", help="compare what was recorded with the stand-in's books")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, tell what it was, and check it."""
        if not settings.CHAT_STANDIN:
            raise CommandError(
                "Demo traffic goes to the stand-in only: unset the API key and base URL, or set CHAT_STANDIN."
            )
        if options["sessions"] < 1:
            raise CommandError("--sessions: at least 1.")
        self._refuse_company()
        scenes = demo.scenes(options["sessions"], options["seed"], settings.CHAT_MODELS)
        people = [_person(number) for number in range(max(scene.person for scene in scenes) + 1)]
        root, window = logging.getLogger(), settings.CHAT_CONTEXT_WINDOW
        level = root.level
        if options["verbosity"] < 2:
            root.setLevel(logging.ERROR)  # lines of every call would tear the bar
        before, start = checking.counted(), timezone.now()
        try:
            settings.CHAT_CONTEXT_WINDOW = options["window"] or window
            with tqdm(
                total=sum(len(scene.prompts) for scene in scenes), unit="turn", disable=not sys.stderr.isatty()
            ) as bar:
                traffic = asyncio.run(_run(scenes, people, bar))
        finally:
            root.setLevel(level)
            settings.CHAT_CONTEXT_WINDOW = window
        found = Findings(traffic, before=before, start=start)
        self.stdout.write(found.report())
        if options["check"]:
            self.judge(found)

    def judge(self, found: "Findings") -> None:
        """Say that every number is equal, or which are not; CommandError then."""
        wrong = found.differences()
        for sentence in wrong:
            self.stdout.write(sentence)
        if wrong:
            raise CommandError(f"{len(wrong)} numbers are not equal.")
        self.stdout.write("Every number is equal.")

    def _refuse_company(self) -> None:
        """Another server would answer some of the turns from a stand-in of its own."""
        others = Worker.objects.filter(kinds__contains="turn", beat_at__gt=timezone.now() - ALIVE)
        if service.running() or others.exists():
            raise CommandError("A server is running on this database: stop it first, or give another DATABASE_URL.")
        if Job.objects.open().exists() or Turn.objects.live().exists():
            raise CommandError("Turns or jobs are waiting in this database: let a server finish them first.")


class Findings:
    """What the traffic came to, on both sides. Reads the database once."""

    def __init__(self, traffic: demo.Traffic, *, before: Mapping[str, int], start: Any) -> None:
        self.traffic = traffic
        self.book = _translated(traffic.standin.ledger.entries)
        self.own = checking.recorded(traffic.made, unsent=BREAKER)
        self.events = checking.happened(traffic.made)
        self.said = demo.totals(traffic.made)
        self.unsent = checking.unsent(traffic.made, BREAKER)
        after = checking.counted()
        self.metrics = {key: value - before.get(key, 0) for key, value in after.items()}
        end = timezone.now()
        self.pages, self.rows = checking.shown(start, end), checking.stored(start, end)

    def differences(self) -> list[str]:
        """A sentence for each number that is not equal."""
        expected = checking.sums(self.book)
        overflows = expected.get("reply context_overflow", 0)
        ladder = {"rungs": overflows - self.said["given_up"], "compactions": self.said["compactions"]}
        found = {"rungs": self._happened("rung"), "compactions": self._happened("compaction")}
        return [
            *checking.differences(self.book, self.own),
            *checking.apart("recorded events", ladder, found),
            *checking.apart("counters", {**expected, "calls": expected["calls"] + self.unsent}, self.metrics),
            *checking.apart("pages", self.rows, self.pages),
        ]

    def report(self) -> str:
        """A table: each number as the stand-in's books have it, and as it was recorded."""
        book, own = checking.sums(self.book), checking.sums(self.own)
        names = [*checking.TOKENS, "calls", *sorted({*book, *own} - {*checking.TOKENS, "calls"})]
        sides = (book, own, self.metrics)
        lines = [
            f"{'':32}{'stand-in':>14}{'recorded':>14}{'counters':>14}",
            *(f"{name:32}" + "".join(f"{side.get(name, 0):>14,}" for side in sides) for name in names),
        ]
        happened = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self._kinds().items()))
        ends = ", ".join(f"{how} {count:,}" for how, count in sorted(self.traffic.ends.items()))
        return "\n".join(
            [*lines, f"sessions {len(self.traffic.made):,}; turns: {ends}", f"events: {happened or 'none'}"]
        )

    def _happened(self, kind: str) -> int:
        return sum(
            count
            for (one, outcome, code), count in self.events.items()
            if (one, outcome) == (kind, "ok") and code != "again"
        )

    def _kinds(self) -> Counter[str]:
        told: Counter[str] = Counter()
        for (kind, outcome, _), count in self.events.items():
            told[kind if outcome == "ok" else f"{kind} ({outcome})"] += count
        return told


def _translated(entries: Mapping[Answered, int]) -> checking.Entries:
    told: Counter[checking.Entry] = Counter()
    for entry, count in entries.items():
        told[checking.Entry(*entry._replace(outcome=OUTCOMES.get(entry.outcome, entry.outcome)))] += count
    return told


def _person(number: int) -> Any:
    people = get_user_model().objects
    name = f"demo-{number + 1}"
    return people.filter(username=name).first() or people.create_user(name)


async def _run(scenes: Sequence[demo.Scene], people: Sequence[Any], bar: tqdm) -> demo.Traffic:
    site = await service.start(
        run_turns=True, run_jobs=True, sweep=False, standin_options={"delay_ms": 0, "first_ms": 0}
    )
    try:
        assert site.standin
        traffic = demo.Traffic(site=site, standin=site.standin, people=people, step=bar.update)
        await traffic.run(scenes)
        async with asyncio.timeout(ENDS_S):
            await site.standin.ledger.settled()
        return traffic
    finally:
        await service.drain()
        await service.stop()
