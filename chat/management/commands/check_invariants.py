"""Check what must always hold, and say so row by row."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.store import integrity, mending
from chat.surgery import auditing
from chat.surgery.values import Refused


class Command(BaseCommand):
    """Ends with the line `0 rows` and exit code 0 when clean, else with `N rows` and 1. Ids and numbers, no words."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Look, show what a repair would do, or do it."""
        parser.add_argument(
            "--repair",
            action="store_true",
            help="Show what would be put right, a line for each change: path, leases, summaries, manifests, notices,"
            " totals, allowances, guards, the index of words. Nothing is changed without --yes.",
        )
        parser.add_argument("--yes", action="store_true", help="With --repair: do it, then check again.")
        parser.add_argument(
            "--reason", default=auditing.FROM_SHELL, help="With --yes: stays in the audit, with each change."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Repair if asked to, then check; what is printed last is what is true now."""
        if options["yes"] and not options["repair"]:
            raise CommandError("--yes goes with --repair")
        if options["repair"]:
            preview = not options["yes"]
            lines = mending.repair(preview=preview, note=_writing(options["reason"]))
            for line in lines:
                self.stdout.write(f"would: {line}" if preview else line)
            if preview and lines:
                self.stdout.write(f"Nothing was changed: --repair --yes makes these {len(lines)} changes.")
        found = integrity.violations()
        for violation in found:
            self.stdout.write(str(violation))
        self.stdout.write(f"{len(found)} rows")
        if found:
            raise CommandError("invariants are violated", returncode=1)


def _writing(reason: str) -> mending.Note:
    """Writes an entry for each transaction of a repair. Raises CommandError for no reason."""
    try:
        auditing.reason_of(reason)
    except Refused as refused:
        raise CommandError(str(refused)) from None

    def note(done: mending.Mended) -> None:
        target = {"part": done.part, "changes": done.changes}
        before = {"broken": list(done.broken)} if done.broken else {}
        auditing.from_shell("repair", reason=reason, session=done.session, target=target, before=before)

    return note
