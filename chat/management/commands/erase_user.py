"""Remove a person and every word of theirs."""

import asyncio
import re
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.store import erasing
from chat.surgery import auditing
from chat.surgery.values import Refused
from chat.web import leaving


class Command(BaseCommand):
    """Conversations, summaries, facts, attached text, shares, uploads, presets, sign-ins, failed attempts to sign in.

    Numbers stay: what was used, and when; in the audit a pseudonym. There is no way back but a backup.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, that it is meant, and why."""
        parser.add_argument("name")
        parser.add_argument("--yes", action="store_true", help="do not ask (nobody is asked without a terminal)")
        parser.add_argument("--reason", default=auditing.FROM_SHELL, help="stays in the audit, without the name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, write it down, erase, and say how much went."""
        user = erasing.find(options["name"])
        if user is None:
            raise CommandError(f"There is no user named {options['name']}.")
        reason = _reason(options["reason"], user)
        count = user.chat_sessions.count()
        if not options["yes"] and sys.stdin.isatty():
            answer = input(f"Erase {options['name']} and {count:,} conversations for good? Type the name: ")
            if answer.strip() != options["name"]:
                raise CommandError("Nothing was erased.")
        # Before the first step of several, so that one that is killed in between has its entry, too.
        target = {"user": user.pk, "pseudonym": auditing.pseudonym(user.pk), "conversations": count}
        auditing.from_shell("erase", reason=reason, target=target)
        self.stdout.write(f"{asyncio.run(leaving.erase(user.pk)):,} conversations and the account are gone")


def _reason(given: str, user: Any) -> str:
    """A reason that may outlive the account. Raises CommandError."""
    names = [one for one in (user.get_username(), user.email) if one and given != auditing.FROM_SHELL]
    if any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", given, re.IGNORECASE) for one in names):
        raise CommandError("The reason stays when the account is gone: leave the name out of it.")
    try:
        return auditing.reason_of(given)
    except Refused as refused:
        raise CommandError(str(refused)) from None
