"""Replay stored conversations through the whole stack and report what became of them."""

import asyncio
import json
import logging
import signal
import sys
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from chat import service
from chat.flow.replay import Figures
from chat.management import reporting
from chat.management.replaying import Replayer
from chat.models import ChatSession, Job, Turn, Worker
from chat.store import integrity
from chat.store.portable import reading
from chat.store.portable.values import Broken, Conversation, Unreadable

ALIVE = timedelta(seconds=15)


class Command(BaseCommand):
    """Feeds each conversation turn by turn to a service of its own: HTTP, SDK, database, runner, compactor.

    Without a key the stand-in says what was recorded; with one the model's own replies are kept. Its sessions are
    deleted at the end; the recorded usage stays, for it was used. The exit code is 1 on any failed turn, any 400,
    and any broken invariant.
    """

    requires_migrations_checks = True
    help = "Replay a file of conversations (formats of import_conversations) and report."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to replay, how, and how to tell."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--strategy", choices=ChatSession.Strategy.values, default=settings.CHAT_STRATEGY)
        parser.add_argument("--window", type=int, default=None, help="tokens, in place of CHAT_CONTEXT_WINDOW")
        parser.add_argument("--report", choices=("text", "json"), default="text")
        parser.add_argument("--user", default="replay", help="owner of the sessions, made when missing")
        parser.add_argument("--limit", type=int, default=None, help="conversations at most")
        parser.add_argument("--questions", type=int, default=0, help="ask so many of each conversation's questions")
        parser.add_argument("--keep", action="store_true", help="keep the sessions")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, report, tidy up."""
        conversations = self._read(options["file"], options["limit"])
        self._refuse_company()
        owner, new = self._owner(options["user"])
        quiet = options["report"] == "json" or not sys.stderr.isatty()
        root, level, window = logging.getLogger(), logging.getLogger().level, settings.CHAT_CONTEXT_WINDOW
        if options["verbosity"] < 2:
            # A line for each call would tear the progress bar.
            root.setLevel(max(level, logging.WARNING))
        if options["window"]:
            settings.CHAT_CONTEXT_WINDOW = options["window"]
        made: list[UUID] = []
        try:
            with tqdm(total=sum(len(one.path) for one in conversations), unit="turn", disable=quiet) as bar:
                found = asyncio.run(_replay(conversations, owner, options, bar, made))
            violations = [str(one) for one in integrity.violations(made)]
        except asyncio.CancelledError:
            raise CommandError("The replay was stopped.") from None
        finally:
            root.setLevel(level)
            settings.CHAT_CONTEXT_WINDOW = window
            if not options["keep"]:
                ChatSession.objects.filter(pk__in=made).delete()
                if new:
                    owner.delete()
        if options["report"] == "json":
            self.stdout.write(json.dumps(reporting.as_json(found, violations, options["strategy"]), indent=1))
        else:
            self.stdout.write(reporting.as_text(found, violations, options["strategy"]))
        if violations or not found or not all(one.good for one in found):
            raise CommandError("The replay was not clean.")

    def _read(self, path: Path, limit: int | None) -> list[Conversation]:
        found: list[Conversation] = []
        try:
            for one in reading.read(path):
                if isinstance(one, Broken):
                    raise CommandError(str(one))
                if one.turns:
                    found.append(one)
                if limit is not None and len(found) >= limit:
                    break
        except Unreadable as error:
            raise CommandError(str(error)) from None
        if not found:
            raise CommandError(f"{path} holds no conversation.")
        return found

    def _refuse_company(self) -> None:
        """Another server would take our turns, and we its: neither may be."""
        others = Worker.objects.filter(kinds__contains="turn", beat_at__gt=timezone.now() - ALIVE)
        if service.running() or others.exists():
            raise CommandError("A server is running on this database: stop it first, or give another DATABASE_URL.")
        waiting = Job.objects.open().exists()
        if waiting or Turn.objects.live().exists():
            raise CommandError("Turns or jobs are waiting in this database: let a server finish them first.")

    def _owner(self, name: str) -> tuple[Any, bool]:
        people = get_user_model().objects
        owner = people.filter(username=name).first()
        return (owner, False) if owner else (people.create_user(name), True)


async def _replay(
    conversations: list[Conversation], owner: Any, options: dict[str, Any], bar: tqdm, made: list[UUID]
) -> list[Figures]:
    """Replay all of them in one service; the ids of their sessions are added to `made`."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    site = await service.start(
        run_turns=True, run_jobs=True, sweep=False, standin_options={"delay_ms": 0, "first_ms": 0}
    )
    try:
        replayer = Replayer.on(site, owner, options["strategy"], bar.update, made)
        out = []
        for conversation in conversations:
            bar.set_description(conversation.title[:20] or "conversation")
            out.append(await replayer.run(conversation, questions=options["questions"]))
        return out
    finally:
        await service.drain()
        await service.stop()
