"""Remove a person and every word of theirs."""

import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.store import erasing
from chat.web import leaving


class Command(BaseCommand):
    """Conversations, summaries, facts, attached text, shares, uploads, presets, sign-ins, failed attempts to sign in.

    Numbers stay: what was used, and when. There is no way back but a backup.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, and that it is meant."""
        parser.add_argument("name")
        parser.add_argument("--yes", action="store_true", help="do not ask (nobody is asked without a terminal)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, erase, and say how much went."""
        user = erasing.find(options["name"])
        if user is None:
            raise CommandError(f"There is no user named {options['name']}.")
        count = user.chat_sessions.count()
        if not options["yes"] and sys.stdin.isatty():
            answer = input(f"Erase {options['name']} and {count:,} conversations for good? Type the name: ")
            if answer.strip() != options["name"]:
                raise CommandError("Nothing was erased.")
        self.stdout.write(f"{asyncio.run(leaving.erase(user.pk)):,} conversations and the account are gone")
