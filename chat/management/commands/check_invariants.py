"""Check what must always hold, and say so row by row."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.store import integrity, mending


class Command(BaseCommand):
    """Ends with the line `0 rows` and exit code 0 when clean, else with `N rows` and 1. Ids and numbers, no words."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The one option."""
        parser.add_argument(
            "--repair",
            action="store_true",
            help="First repair totals, stale leases, missing notices and allowances, with a line for each change.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Repair if asked to, then check; what is printed last is what is true now."""
        if options["repair"]:
            for line in mending.repair():
                self.stdout.write(line)
        found = integrity.violations()
        for violation in found:
            self.stdout.write(str(violation))
        self.stdout.write(f"{len(found)} rows")
        if found:
            raise CommandError("invariants are violated", returncode=1)
