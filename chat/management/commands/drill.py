"""The 3 AM drill: the night on which every window was full, done again, and told in figures."""

import asyncio
import json
import logging
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from chat.management import drilling, nights
from chat.management.commands.replay import ALIVE
from chat.management.drilling import Report
from chat.models import ChatSession, Job, Turn, Worker

ROWS = (
    ("answered", "answered", "{:,}"),
    ("errors", "errors", "{}"),
    ("lost turns", "lost_turns", "{:,}"),
    ("notices", "notices", "{:,}"),
    ("sessions without their notice", "without_notice", "{:,}"),
    ("values still known", "known", "{:,}"),
    ("values lost", "unknown", "{:,}"),
    ("sockets open", "sockets", "{:,}"),
    ("sockets closed", "sockets_closed", "{:,}"),
    ("sockets without the notice", "sockets_without_notice", "{:,}"),
    ("streams", "streams", "{:,}"),
    ("answered while all of them streamed", "beside_streams", "{:,}"),
    ("streams not whole", "streams_broken", "{:,}"),
    ("broken invariants", "violations", "{:,}"),
    ("upstream 400s", "upstream_400s", "{:,}"),
    ("fullest before", "fullest_before", "{:.0%}"),
    ("fullest after", "fullest_after", "{:.0%}"),
    ("seconds to build", "made_s", "{:,.1f}"),
    ("seconds until all were answered", "answered_s", "{:,.1f}"),
    ("seconds until all were below 70 %", "below_s", "{:,.1f}"),
    ("seconds to ask all for their value", "asked_s", "{:,.1f}"),
)


class Command(BaseCommand):
    """Builds sessions over the window, sends a message to each, and compacts the backlog, in a service of its own.

    Its sessions and their owner are deleted at the end. The exit code is 1 unless all were answered, no request
    was refused, nobody was cut off, and every value that was planted is still known.
    """

    requires_migrations_checks = True
    help = "Drill the night on which every session was full."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many, how large, and how to tell."""
        parser.add_argument("--sessions", type=int, default=847)
        parser.add_argument("--window", type=int, default=None, help="tokens, in place of CHAT_CONTEXT_WINDOW")
        parser.add_argument("--report", choices=("text", "json"), default="text")
        parser.add_argument("--keep", action="store_true", help="keep the sessions")

    def handle(self, *args: Any, **options: Any) -> None:
        """Build, drill, report, tidy up."""
        if options["sessions"] < 1:
            raise CommandError("A drill needs at least one session.")
        if not settings.CHAT_STANDIN:
            raise CommandError("The drill would send all of it to the real service: unset ANTHROPIC_API_KEY for it.")
        self._refuse_company()
        people = get_user_model().objects
        if people.filter(username="drill").exists():
            raise CommandError("There is a user named drill, perhaps of a drill that was killed: erase_user drill.")
        owner = people.create_user("drill")
        root, level, window = logging.getLogger(), logging.getLogger().level, settings.CHAT_CONTEXT_WINDOW
        if options["verbosity"] < 2:
            # A line for each call would tear the progress bar, as would one of the stand-in's server for each request
            # that was given up.
            root.setLevel(max(level, logging.ERROR))
            logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        settings.CHAT_CONTEXT_WINDOW = options["window"] or window
        report = Report(sessions=options["sessions"], window=settings.CHAT_CONTEXT_WINDOW)
        try:
            self._drill(owner, report, quiet=options["report"] == "json" or not sys.stderr.isatty())
        except TimeoutError:
            raise CommandError("The drill did not come to its end.") from None
        finally:
            root.setLevel(level)
            logging.getLogger("aiohttp.server").setLevel(logging.NOTSET)
            settings.CHAT_CONTEXT_WINDOW = window
            if not options["keep"]:
                self._remove(owner)
        self.stdout.write(json.dumps(report.to_dict(), indent=1) if options["report"] == "json" else _text(report))
        if not report.good:
            raise CommandError("The drill was not clean.")

    def _drill(self, owner: Any, report: Report, *, quiet: bool) -> None:
        started = time.monotonic()
        with tqdm(total=report.sessions, unit="session", desc="built", disable=quiet) as bar:
            cases = nights.make(owner, report.sessions, report.window, bar.update)
        report.made_s = time.monotonic() - started
        phases = ("answered", "below 70 %", "asked")
        bars = {name: tqdm(total=len(cases), unit="session", desc=name, disable=quiet) for name in phases}
        try:
            asyncio.run(drilling.drill(owner, cases, report, lambda phase, more: bars[phase].update(more)))
        finally:
            for bar in bars.values():
                bar.close()

    def _remove(self, owner: Any) -> None:
        """A few at a time: on SQLite each transaction holds up everybody who writes."""
        while some := list(ChatSession.objects.filter(owner=owner).values_list("pk", flat=True)[: nights.BATCH]):
            ChatSession.objects.filter(pk__in=some).delete()
        owner.delete()

    def _refuse_company(self) -> None:
        """Another server would take our turns, and we its: neither may be."""
        others = Worker.objects.filter(kinds__contains="turn", beat_at__gt=timezone.now() - ALIVE)
        if others.exists():
            raise CommandError("A server is running on this database: stop it first, or give another DATABASE_URL.")
        if Job.objects.open().exists() or Turn.objects.live().exists():
            raise CommandError("Turns or jobs are waiting in this database: let a server finish them first.")


def _text(report: Report) -> str:
    lines = [f"{report.sessions:,} sessions over a window of {report.window:,} tokens"]
    width = max(len(label) for label, *_ in ROWS)
    for label, name, form in ROWS:
        value = getattr(report, name)
        told = (
            "never"
            if value is None
            else form.format(value or 0 if not isinstance(value, dict) else sum(value.values()))
        )
        lines.append(f"  {label.ljust(width)}  {told}")
    if report.errors:
        lines.append("  " + ", ".join(f"{code}: {count}" for code, count in sorted(report.errors.items())))
    return "\n".join(lines)
