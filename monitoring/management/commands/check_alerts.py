"""Evaluate the alert rules, once or for ever."""

import json
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from monitoring import alerting, alerts, delivery, wording
from monitoring.loop import Loop
from monitoring.models import Alert

# As monitoring plugins have it, so that a cron job or a watchdog can read it.
FINE, WARNING, CRITICAL, UNKNOWN = range(4)


class Command(BaseCommand):
    """Once: evaluates what is due, sends what is due, prints what is open. Exit code 0: nothing is; 1: P2 or P3;
    2: P0 or P1; 3: a rule could not be evaluated and nothing is open. Raises DatabaseError without a database."""

    requires_migrations_checks = True
    help = "Evaluate the alert rules and send the messages. Exits with 0 (fine), 1 (P2, P3), 2 (P0, P1), 3 (unknown)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--loop",
            action="store_true",
            help="go on until a signal: alerts, messages, rollups and retention, in one process at a time",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Evaluate."""
        if options["loop"]:
            self._loop()
            return
        alerting.install()
        evaluated = alerting.evaluate()
        sent, failed = delivery.send_due()
        open_ones = list(Alert.objects.filter(resolved_at=None).select_related("rule").order_by("severity", "pk"))
        unknown = sorted(evaluated.unknown)
        if options["json"]:
            self.stdout.write(json.dumps(_told(open_ones, unknown, evaluated.rules, sent, failed)))
        else:
            for alert in open_ones:
                self.stdout.write(f"{alert.severity} {alert.state:12} {alert.key}: {wording.reading(alert)}")
            for code in unknown:
                self.stdout.write(f"unknown: {code} could not be evaluated")
            self.stdout.write(
                f"{len(open_ones)} unresolved, {evaluated.rules} rules evaluated, {sent} messages sent, {failed} not"
            )
        worst = {alert.severity for alert in open_ones}
        raise SystemExit(CRITICAL if worst & alerts.URGENT else WARNING if worst else UNKNOWN if unknown else FINE)

    def _loop(self) -> None:
        loop = Loop(rest=0.0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop(0))
        self.stdout.write("Watching (Ctrl-C stops it)")
        self.stdout.flush()
        loop.run()


def _told(open_ones: list[Alert], unknown: list[str], rules: int, sent: int, failed: int) -> dict[str, Any]:
    return {
        "at": timezone.now().isoformat(),
        "unresolved": [
            {
                "key": alert.key, "severity": alert.severity, "state": alert.state, "value": alert.value,
                "limit": alert.limit, "since": alert.opened_at.isoformat(),
            }
            for alert in open_ones
        ],
        "unknown": unknown,
        "rules": rules,
        "sent": sent,
        "not_sent": failed,
    }  # fmt: skip
