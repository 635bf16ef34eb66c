"""Run background jobs and the sweep in a process of their own."""

from typing import Any

from django.core.management.base import BaseCommand

from chat.management import running


class Command(BaseCommand):
    """Runs due jobs, compaction above all, until SIGTERM or SIGINT; then stops and exits with 0."""

    requires_migrations_checks = True
    help = "Run background jobs and the sweep, and nothing else, until a signal."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run jobs only."""
        running.serve(run_turns=False, run_jobs=True)
