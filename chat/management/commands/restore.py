"""Put a copy that `backup` wrote in the place of the database, bring it up to this release, and prove it sound."""

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models.functions import Now
from redis import RedisError

from chat.management import copies
from chat.models import Worker
from chat.store import integrity, mending, rediswindows

# Three missed beats, as on /readyz.
BEATS_MISSED = 3


class Command(BaseCommand):
    """Ends with `0 rows` and exit code 0 when all invariants hold afterwards, like `check_invariants`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and leave to replace what is there."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="Throw away what the database holds now.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse or restore; then migrate, reap what no process runs any more, and check."""
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path}: no such file")
        if copies.holds_something():
            if not options["replace"]:
                raise CommandError("The database holds users or conversations. --replace throws them away.")
            _refuse_company()
        if settings.REDIS_URL:
            # Row ids go on from an earlier point: a window kept for one of them would be another turn's then.
            _forget_windows()
        copies.load(path)
        call_command("migrate", interactive=False, verbosity=0)
        # Damage is told and not repaired: that is decided by whoever has seen it.
        for line in mending.settle():
            self.stdout.write(line)
        found = integrity.violations()
        for violation in found:
            self.stdout.write(str(violation))
        self.stdout.write(f"{len(found)} rows")
        if found:
            raise CommandError("restored, but invariants are violated", returncode=1)


def _forget_windows() -> None:
    try:
        rediswindows.forget_all(settings.REDIS_URL)
    except RedisError as error:
        raise CommandError(f"Redis does not answer ({type(error).__name__}); what it keeps must go first.") from None


def _refuse_company() -> None:
    """A process that serves would write half of its old world into the new one."""
    since = Now() - timedelta(seconds=settings.CHAT_BEAT_S * BEATS_MISSED)
    try:
        alive = Worker.objects.filter(beat_at__gte=since).count()
    except DatabaseError:
        return  # of a schema without workers
    if alive:
        raise CommandError(f"{alive} processes of the site are running on this database: stop them first.")
