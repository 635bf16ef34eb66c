"""What fired on a day when much did, for pictures: alerts open, acknowledged and resolved, with long keys, and messages
that arrived, wait or did not arrive."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from monitoring import alerting
from monitoring.models import Alert, AlertRule, Delivery, Measure, Progress

FULL = UUID("2b71f4aa-0000-4000-8000-000000000847")
OPERATOR = 3
# rule, what it is of, value, peak, count, opened so many minutes ago, acknowledged after, resolved after.
FIRED: tuple[tuple[str, str, float, float, int, int, int | None, int | None], ...] = (
    ("session-over-80", "", 91.2, 92.4, 4, 11, None, None),
    ("cache-drop", "claude-haiku-4-5-20251001", 8.8, 9.4, 388, 78, None, None),
    ("session-1", str(FULL), 91.2, 92.4, 1, 9, None, None),
    ("error-rate", "", 1.4, 3.1, 6, 440, 7, None),
    ("overflow-recovery", "", 0, 7, 0, 421, 4, 91),
    ("backlog-age", "", 2.5, 26, 12, 436, None, 75),
    ("spend", "", 104.2, 104.2, 2_114, 1_500, 30, 61),
    ("gate-failures", "", 1.2, 6.2, 4, 1_230, None, 42),
    ("mean-over-70", "", 64.1, 74.1, 401, 12_990, 2, 124),
)
NOW = {"mean-over-70": 41.1, "session-over-80": 91.2, "overflow-recovery": 0, "gate-failures": 1.2, "backlog-age": 0.5,
       "cache-drop": 8.8, "error-rate": 0.7, "spend": 65.65, "upstream-trouble": 0, "session-1": 91.2}  # fmt: skip


@transaction.atomic
def record() -> None:
    """Record it, as if the rules had been evaluated just now."""
    now = timezone.now()
    Progress.objects.update_or_create(pk=alerting.ALERTS, defaults={"done_at": now, "seconds": 0.04})
    own = AlertRule(code="session-1", measure=Measure.SESSION, each="session", limit=90, resolve=85, period_s=3_600)
    own.save()
    AlertRule.objects.filter(code="upstream-trouble").update(enabled=False)
    for code, value in NOW.items():
        AlertRule.objects.filter(code=code).update(value=value, evaluated_at=now)
    rules = {rule.code: rule for rule in AlertRule.objects.all()}
    for code, of, value, peak, count, minutes, acknowledged, resolved in FIRED:
        rule, opened = rules[code], now - timedelta(minutes=minutes)
        given: dict[str, Any] = {}
        if acknowledged is not None:
            given |= {"acknowledged_at": opened + timedelta(minutes=acknowledged), "acknowledged_by": OPERATOR,
                      "state": Alert.State.ACKNOWLEDGED}  # fmt: skip
        if resolved is not None:
            given |= {"resolved_at": opened + timedelta(minutes=resolved), "state": Alert.State.RESOLVED}
        alert = Alert.objects.create(
            rule=rule, key=f"{code}:{of}" if of else code, severity=rule.severity, limit=rule.limit, value=value,
            peak=peak, count=count, opened_at=opened, told_at=opened,
            session=FULL if rule.measure == Measure.SESSION else None,
            model=of if rule.each == "model" else "", **given,
        )  # fmt: skip
        if code == "session-over-80":
            _told(alert)


def _told(alert: Alert) -> None:
    """By e-mail it arrived; one webhook is tried again and again, another was never reached."""
    at = alert.opened_at
    for channel, target, state, attempts, error in (
        ("email", 0, "sent", 1, ""),
        ("webhook", 0, "due", 3, "timeout"),
        ("webhook", 1, "failed", 8, "private_address"),
    ):
        Delivery.objects.create(
            alert=alert, channel=channel, target=target, event="opened", state=state, attempts=attempts, error=error,
            value=83.1, created_at=at, next_at=at + timedelta(minutes=12), ended_at=None if state == "due" else at,
        )  # fmt: skip
