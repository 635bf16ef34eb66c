"""Rules evaluated against what is measured now; alerts opened, acknowledged and resolved.

A rule is evaluated under a lock on its row, at most once in its interval, whoever asks: two processes, or a command
beside the loop, count as one. Messages are made in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connections, transaction
from django.utils import timezone

from monitoring import alerts, delivery, measures
from monitoring.alerts import Decision, Firing, Reading, Standing
from monitoring.models import Alert, AlertRule, Delivery, Progress

log = structlog.get_logger("monitoring")

ALERTS = "alerts"
# A rule is due a little early: the loop's rounds are never exactly as far apart as they should be.
SLACK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one round came to."""

    rules: int = 0
    unknown: tuple[str, ...] = ()
    opened: int = 0
    resolved: int = 0


def evaluate(now: datetime | None = None) -> Evaluated:
    """Evaluate the rules that are due, and note when that was."""
    now = now or timezone.now()
    begun = timezone.now()
    done, unknown, opened, resolved = 0, [], 0, 0
    for code in list(AlertRule.objects.filter(enabled=True).values_list("code", flat=True)):
        try:
            decisions = _evaluate(code, now)
        except measures.Unknown as error:
            log.warning("rule_not_evaluated", rule=code, why=str(error))
            AlertRule.objects.filter(code=code).update(evaluated_at=now, value=None)
            unknown.append(code)
            done += 1
            continue
        if decisions is None:
            continue
        done += 1
        opened += decisions.count(Decision.OPEN)
        resolved += decisions.count(Decision.RESOLVE)
    if done:
        seconds = (timezone.now() - begun).total_seconds()
        Progress.objects.update_or_create(pk=ALERTS, defaults={"done_at": now, "seconds": seconds})
    return Evaluated(done, tuple(unknown), opened, resolved)


def _evaluate(code: str, now: datetime) -> list[Decision | None] | None:
    """The decisions of one rule; None when it is not due. Raises measures.Unknown."""
    rule = AlertRule.objects.get(code=code)
    if not _is_due(rule, now):
        return None
    # Measured before the row is locked: on SQLite everybody else would wait for it.
    readings = {alerts.key(code, one.of): one for one in measures.read(rule, now)[: alerts.KEYS]}
    with transaction.atomic():
        rule = AlertRule.objects.select_for_update().get(code=code)
        if not _is_due(rule, now):
            return None
        # Locked until they are saved: an acknowledgement in between would be overwritten by what was read before it.
        open_ = Alert.objects.filter(rule=rule, resolved_at=None).select_for_update().order_by("pk")
        firing = {one.key: one for one in open_}
        standings: dict[str, Standing] = {}
        made = []
        for key in {*readings, *firing, *rule.standing}:
            reading, alert = readings.get(key), firing.get(key)
            standings[key], decision = alerts.decide(
                values(rule),
                alerts.standing_of(rule.standing, key),
                Firing(alert.told_at or alert.opened_at, bool(alert.acknowledged_at)) if alert else None,
                reading.value if reading else None,
                now,
            )
            made.append(decision)
            _carry_out(rule, key, alert, reading, decision, now)
        worst = max((one.value for one in readings.values()), default=None)
        AlertRule.objects.filter(pk=rule.pk).update(evaluated_at=now, value=worst, standing=alerts.stored(standings))
        return made


def _is_due(rule: AlertRule, now: datetime) -> bool:
    interval = timedelta(seconds=rule.every_s) - SLACK
    return rule.enabled and (rule.evaluated_at is None or now - rule.evaluated_at >= interval)


def values(rule: AlertRule) -> alerts.Rule:
    """The part of a rule that decides."""
    return alerts.Rule(
        code=rule.code,
        limit=rule.limit,
        resolve=rule.resolve,
        opens_after=rule.opens_after,
        resolves_after=rule.resolves_after,
        repeat_s=rule.repeat_s,
    )


def _carry_out(
    rule: AlertRule,
    key: str,
    alert: Alert | None,
    reading: Reading | None,
    decision: Decision | None,
    now: datetime,
) -> None:
    if alert and reading:
        alert.value, alert.count = reading.value, reading.count
        alert.session = UUID(reading.session) if reading.session else None
        alert.peak = max(alert.peak, reading.value)
    if decision is Decision.OPEN and reading:
        alert = Alert(
            rule=rule, key=key, severity=rule.severity, limit=rule.limit, value=reading.value, peak=reading.value,
            count=reading.count, session=UUID(reading.session) if reading.session else None,
            model=reading.of if rule.each == AlertRule.Each.MODEL else "", opened_at=now, told_at=now,
        )  # fmt: skip
    elif decision is Decision.REPEAT and alert:
        alert.told_at = now
    elif decision is Decision.RESOLVE and alert:
        alert.state, alert.resolved_at = Alert.State.RESOLVED, now
    if alert is None:
        return
    alert.save()
    if decision:
        delivery.tell(alert, decision.value, now, rule)
        log.warning("alert", rule=rule.code, key=key, change=decision.value, value=round(alert.value, 3),
                    severity=alert.severity)  # fmt: skip


def acknowledge(pk: int, user: int, now: datetime | None = None) -> bool:
    """Somebody looks at it: no more repeats. False when it was not open any more."""
    now = now or timezone.now()
    with transaction.atomic():
        changed = Alert.objects.filter(pk=pk, state=Alert.State.OPEN).update(
            state=Alert.State.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=user
        )
        if changed:
            delivery.tell(Alert.objects.select_related("rule").get(pk=pk), Delivery.Event.ACKNOWLEDGED, now)
    return bool(changed)


def resolve(pk: int, user: int, now: datetime | None = None) -> bool:
    """Somebody says that it is over. While it still holds it opens again, after the rule's evaluations."""
    now = now or timezone.now()
    with transaction.atomic():
        changed = Alert.objects.filter(pk=pk, resolved_at=None).update(
            state=Alert.State.RESOLVED, resolved_at=now, resolved_by=user
        )
        if changed:
            delivery.tell(Alert.objects.select_related("rule").get(pk=pk), Delivery.Event.RESOLVED, now)
    return bool(changed)


def end_of(rule: AlertRule, user: int, now: datetime) -> None:
    """A rule was switched off: what it had open is over."""
    for pk in list(Alert.objects.filter(rule=rule, resolved_at=None).values_list("pk", flat=True)):
        resolve(pk, user, now)


def open_count() -> int:
    """How many alerts nobody has looked at yet."""
    return Alert.objects.filter(state=Alert.State.OPEN).count()


def install(using: str = "default", **unused: Any) -> None:
    """Make the default rules that are not there yet. After migrations; on an older schema there is no table."""
    if AlertRule._meta.db_table not in connections[using].introspection.table_names():
        return
    held = set(AlertRule.objects.using(using).values_list("code", flat=True))
    AlertRule.objects.using(using).bulk_create(
        [default_rule(one) for one in alerts.DEFAULTS if one.code not in held], ignore_conflicts=True
    )


def default_rule(default: alerts.Default) -> AlertRule:
    """A default as a row."""
    given: Mapping[str, Any] = default.values
    return AlertRule(
        code=default.code, measure=default.measure, limit=default.limit, resolve=default.resolve,
        severity=default.severity, **given,
    )  # fmt: skip
