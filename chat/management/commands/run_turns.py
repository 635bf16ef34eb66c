"""Answer turns in a process of their own."""

from typing import Any

from django.core.management.base import BaseCommand

from chat.management import running


class Command(BaseCommand):
    """Claims waiting turns and answers them until SIGTERM or SIGINT; then drains and exits with 0."""

    requires_migrations_checks = True
    help = "Run turn runners, and nothing else, until a signal."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run turns only."""
        running.serve(run_turns=True, run_jobs=False)
