"""Messages about alerts: what they say, and that they arrive.

A message is a row, made in the transaction that makes it true. Whoever sends it first moves `next_at` ahead by CLAIM,
so two processes never send one at the same time, and one whose sender died is sent again: at least once, with the
same `id`. A message that can't be sent is tried again with growing waits, MOST_ATTEMPTS times in all; then it is
failed, and the page says so.
"""

import hashlib
import hmac
import json
import smtplib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from monitoring import webhooks, wording
from monitoring.models import Alert, AlertRule, Delivery
from monitoring.webhooks import NotSent

log = structlog.get_logger("monitoring")

CLAIM = timedelta(seconds=60)  # longer than one message may take
MOST_ATTEMPTS = 8
FIRST_WAIT_S, LONGEST_WAIT_S = 10, 1_800
# Messages that one round sends; the others wait for the next one.
A_ROUND = 30
# Messages of one way within an hour. Above it they are held back: a storm tells nobody more than its beginning.
AN_HOUR = 120
VERSION = 1


def tell(alert: Alert | None, event: str, now: datetime, rule: AlertRule | None = None) -> int:
    """Have an alert told on the ways of its rule, or, without an alert, a test on all; how many messages that makes.

    Call it in the transaction that changes the alert.
    """
    rule = rule or (alert.rule if alert else None)
    made = [
        Delivery(alert=alert, channel=channel, target=target, event=event, created_at=now, next_at=now,
                 value=alert.value if alert else None)
        for channel, target in ways(rule)
    ]  # fmt: skip
    Delivery.objects.bulk_create(made)
    return len(made)


def ways(rule: AlertRule | None) -> Iterator[tuple[str, int]]:
    """Where messages of a rule go, as (channel, number of the webhook): what is set up and the rule asks for."""
    if settings.MONITORING_ALERT_EMAILS and (rule is None or rule.email):
        yield Delivery.Channel.EMAIL, 0
    if rule is None or rule.webhook:
        for target in range(len(settings.MONITORING_ALERT_WEBHOOKS)):
            yield Delivery.Channel.WEBHOOK, target


def send_due(now: datetime | None = None) -> tuple[int, int]:
    """Send what is due, the oldest first, A_ROUND at most; how many arrived and how many did not."""
    sent = failed = 0
    due = Delivery.objects.filter(state="due", next_at__lte=now or timezone.now()).order_by("next_at", "pk")
    for pk in list(due.values_list("pk", flat=True)[:A_ROUND]):
        if not _claim(pk, now or timezone.now()):
            continue
        delivery = Delivery.objects.select_related("alert__rule").get(pk=pk)
        if _send(delivery, now or timezone.now()):
            sent += 1
        else:
            failed += 1
    return sent, failed


def _claim(pk: int, now: datetime) -> bool:
    ours = Delivery.objects.filter(pk=pk, state="due", next_at__lte=now)
    return bool(ours.update(next_at=now + CLAIM, attempts=F("attempts") + 1))


def _send(delivery: Delivery, now: datetime) -> bool:
    try:
        if _too_many(delivery, now):
            raise NotSent("too_many", again=False)
        if delivery.channel == Delivery.Channel.EMAIL:
            _email(delivery)
        else:
            _webhook(delivery)
    except NotSent as error:
        _not_sent(delivery, str(error), error.again, now)
        return False
    Delivery.objects.filter(pk=delivery.pk).update(state="sent", error="", ended_at=now)
    log.info("alert_told", channel=delivery.channel, told=delivery.event, attempts=delivery.attempts)
    return True


def _not_sent(delivery: Delivery, code: str, again: bool, now: datetime) -> None:
    own = Delivery.objects.filter(pk=delivery.pk)
    if again and delivery.attempts < MOST_ATTEMPTS:
        own.update(error=code, next_at=now + timedelta(seconds=wait_s(delivery.attempts)))
    else:
        own.update(error=code, state="failed", ended_at=now)
    log.warning("alert_not_told", channel=delivery.channel, told=delivery.event, code=code, attempts=delivery.attempts)


def wait_s(attempts: int) -> int:
    """Seconds to wait after so many attempts: 10, 20, 40, ... half an hour at most."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempts - 1))


def _too_many(delivery: Delivery, now: datetime) -> bool:
    told = Delivery.objects.filter(
        channel=delivery.channel, target=delivery.target, state="sent", ended_at__gte=now - timedelta(hours=1)
    )
    return delivery.event != Delivery.Event.TEST and told.count() >= AN_HOUR


def _email(delivery: Delivery) -> None:
    subject, text = wording.letter(delivery, link(delivery))
    message = EmailMessage(subject, text, to=settings.MONITORING_ALERT_EMAILS)
    # The letters of one alert belong together in a mail reader.
    if delivery.alert:
        message.extra_headers["References"] = f"<alert-{delivery.alert.pk}@monitoring>"
    message.extra_headers["X-Alert-Id"] = str(delivery.uid)
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent("recipients_refused", again=False) from error
    except smtplib.SMTPException as error:
        raise NotSent("smtp") from error
    except TimeoutError as error:
        raise NotSent("timeout") from error
    except OSError as error:
        raise NotSent("unreachable") from error


def _webhook(delivery: Delivery) -> None:
    targets = settings.MONITORING_ALERT_WEBHOOKS
    if delivery.target >= len(targets):
        raise NotSent("no_target", again=False)
    sent = json.dumps(body(delivery), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "monitoring-alerts/1"}
    if settings.MONITORING_WEBHOOK_SECRET:
        key = settings.MONITORING_WEBHOOK_SECRET.encode()
        headers["X-Signature-256"] = f"sha256={hmac.new(key, sent, hashlib.sha256).hexdigest()}"
    webhooks.post(targets[delivery.target], sent, headers, private=frozenset(settings.MONITORING_WEBHOOK_HOSTS))


def body(delivery: Delivery) -> dict[str, Any]:
    """The documented body of a webhook: numbers, codes and links."""
    found: dict[str, Any] = {
        "version": VERSION,
        "id": str(delivery.uid),
        "event": delivery.event,
        "sent_at": timezone.now().isoformat(),
        "link": link(delivery),
    }
    alert = delivery.alert
    if alert is None:
        return found | {"alert": None, "summary": wording.headline(delivery)}
    return found | {
        "summary": wording.headline(delivery),
        "alert": {
            "id": alert.pk,
            "key": alert.key,
            "rule": alert.rule.code,
            "measure": alert.rule.measure,
            "unit": wording.UNITS[alert.rule.measure],
            "severity": alert.severity,
            "state": alert.state,
            "value": delivery.value,
            "peak": alert.peak,
            "limit": alert.limit,
            "resolve_at": alert.rule.resolve,
            "count": alert.count,
            "session": str(alert.session) if alert.session else None,
            "model": alert.model or None,
            "opened_at": alert.opened_at.isoformat(),
            "acknowledged_at": alert.acknowledged_at.isoformat() if alert.acknowledged_at else None,
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "runbook": wording.runbook_link(alert.rule),
        },
    }


def link(delivery: Delivery) -> str:
    """The page that a message leads to."""
    path = reverse("monitoring:alerts") + (f"#alert-{delivery.alert.pk}" if delivery.alert else "")
    return f"{settings.MONITORING_URL}{path}"
