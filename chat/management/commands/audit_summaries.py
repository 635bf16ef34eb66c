"""Look whether the summaries still hold what their turns said."""

import dataclasses
import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chat.store import keeping
from chat.store.keeping import Kept


class Command(BaseCommand):
    """A line for each summary of which something is to be said, then the sums. Ids, numbers and codes, no words.

    A value that stands in neither summary nor facts is still in the transcript, and recall may find it: that is told
    and no failure. The exit code is 1 where a summary is blank, stale, or holds what no summary says.
    """

    requires_migrations_checks = True
    help = "Look for every exact value of the compressed turns in their summaries and facts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Of which conversation, and how to tell."""
        parser.add_argument("--session", type=UUID, default=None, help="one conversation, else all")
        parser.add_argument("--report", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, and tell."""
        found: list[Kept] = []
        for one in keeping.audit(options["session"]):
            found.append(one)
            if options["report"] == "text" and (one.outside or one.wrong):
                self.stdout.write(_line(one))
        wrong = sum(bool(one.wrong) for one in found)
        if options["report"] == "json":
            rows = [{**dataclasses.asdict(one), "outside": one.outside} for one in found]
            self.stdout.write(json.dumps({"summaries": rows, "wrong": wrong}, default=str, indent=1))
        else:
            self.stdout.write(_sums(found))
        if wrong:
            raise CommandError(f"{_many(wrong)} wrong: see check_invariants --repair, or have a summary made anew.")


def _many(count: int) -> str:
    return f"{count:,} summar{'y' if count == 1 else 'ies'}"


def _line(one: Kept) -> str:
    kept = f"{one.outside:,} of {one.values:,} exact values only in the transcript" if one.outside else ""
    said = ", ".join([*filter(None, [kept]), *one.wrong])
    return f"{one.session} S{one.summary}, turns {one.first}-{one.last}: {said}"


def _sums(found: Sequence[Kept]) -> str:
    names = ("in_summary", "in_facts", "outside")
    summary, told, outside = (sum(getattr(one, name) for one in found) for name in names)
    return (
        f"{_many(len(found))}, {summary + told + outside:,} exact values:"
        f" {summary:,} in the summaries, {told:,} among the facts, {outside:,} only in the transcript"
    )
