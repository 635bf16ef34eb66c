"""Alerts and rules in words: one sentence a rule, one a message. Figures have their unit; no user wrote any of it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from monitoring import figures
from monitoring.models import Alert, AlertRule, Delivery, Measure

# What a measure is counted in.
UNITS: Mapping[str, str] = {
    Measure.MEAN: "percent",
    Measure.SESSION: "percent",
    Measure.OVERFLOW: "turns",
    Measure.GATE: "percent",
    Measure.BACKLOG: "minutes",
    Measure.CACHE: "points",
    Measure.ERRORS: "percent",
    Measure.SPEND: "dollars",
    Measure.UPSTREAM: "times",
}
# How a rule is called, with its limit.
NAMES: Mapping[str, Any] = {
    Measure.MEAN: gettext_lazy("Mean over {limit}"),
    Measure.SESSION: gettext_lazy("Session over {limit}"),
    Measure.OVERFLOW: gettext_lazy("Overflow recoveries"),
    Measure.GATE: gettext_lazy("Gate failures"),
    Measure.BACKLOG: gettext_lazy("Backlog age"),
    Measure.CACHE: gettext_lazy("Cache hit drop"),
    Measure.ERRORS: gettext_lazy("Error rate"),
    Measure.SPEND: gettext_lazy("Spend"),
    Measure.UPSTREAM: gettext_lazy("Trouble with the model's service"),
}
# What is measured, with the period and the least number of samples.
MEASURED: Mapping[str, Any] = {
    Measure.MEAN: gettext_lazy("mean utilisation of the sessions with a call in {period}, at least {minimum}"),
    Measure.SESSION: gettext_lazy("utilisation of any session with a call in {period}"),
    Measure.OVERFLOW: gettext_lazy("turns that the API refused as too long, in {period}"),
    Measure.GATE: gettext_lazy("summaries refused by the gate or failed in {period}, of at least {minimum}"),
    Measure.BACKLOG: gettext_lazy("age of the oldest compaction that waits"),
    Measure.CACHE: gettext_lazy("cache hit rate in {period} against the 7 days before, of at least {minimum} replies"),
    Measure.ERRORS: gettext_lazy("failed calls in {period}, of at least {minimum}"),
    Measure.SPEND: gettext_lazy("cost of all calls since 00:00 UTC"),
    Measure.UPSTREAM: gettext_lazy("refusals of the key or the account, and opened breakers, in {period}"),
}


def amount(measure: str, value: float | None) -> str:
    """A value with its unit: "82.4 %", "12 min", "$3.20"."""
    if value is None:
        return figures.NONE
    unit = UNITS[measure]
    if unit == "percent":
        return figures.percent(value / 100, 0 if value == round(value) else 1)
    number = f"{value:,.1f}".removesuffix(".0").replace("-", figures.MINUS)
    if unit == "dollars":
        return figures.dollars(value)
    if unit == "minutes":
        return f"{number}{figures.SPACE}min"
    if unit == "points":
        return ngettext("{number} point", "{number} points", 1 if value == 1 else 2).format(number=number)
    return number


def period(seconds: int) -> str:
    """900 -> "15 min", 3600 -> "1 h"."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length and not seconds % length:
            return f"{seconds // length}{figures.SPACE}{unit}"
    return f"{seconds}{figures.SPACE}s"


def duration(seconds: float) -> str:
    """How long something has lasted: "11 min", "1 h 18 min", "2 d 4 h"."""
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}{figures.SPACE}min"
    if minutes < 1_440:
        return f"{minutes // 60}{figures.SPACE}h {minutes % 60:02d}{figures.SPACE}min"
    return f"{minutes // 1_440}{figures.SPACE}d {minutes // 60 % 24}{figures.SPACE}h"


def name(rule: AlertRule) -> str:
    """What a rule is called."""
    return str(NAMES[rule.measure]).format(limit=amount(rule.measure, rule.limit))


def measured(rule: AlertRule) -> str:
    """What a rule looks at."""
    return str(MEASURED[rule.measure]).format(period=period(rule.period_s), minimum=rule.minimum)


def opens(rule: AlertRule) -> str:
    """ "over 80 %", "5 points down"."""
    shape = _("{limit} down") if rule.measure == Measure.CACHE else _("over {limit}")
    return shape.format(limit=amount(rule.measure, rule.limit))


def resolves(rule: AlertRule) -> str:
    """ "at 75 % or below"."""
    if not rule.resolve:
        return _("at none")
    return _("at {limit} or below").format(limit=amount(rule.measure, rule.resolve))


def evaluations(count: int, every_s: int) -> str:
    """ "3 evaluations, 60 s apart"."""
    if count == 1:
        return _("one evaluation")
    return _("{count} evaluations, {seconds} s apart").format(count=count, seconds=every_s)


def sentence(rule: AlertRule) -> str:
    """A rule as a sentence."""
    return _("Opens as {severity} when this is {opens} for {evaluations}: {measured}. Resolves {resolves}.").format(
        severity=rule.severity,
        opens=opens(rule),
        evaluations=evaluations(rule.opens_after, rule.every_s),
        measured=measured(rule),
        resolves=resolves(rule),
    )


def tells(rule: AlertRule) -> str:
    """Who is told, and how often."""
    told = [_("page"), *([_("e-mail")] if rule.email else []), *([_("webhook")] if rule.webhook else [])]
    return _("{ways}; again every {period}").format(ways=", ".join(told), period=period(rule.repeat_s))


def reading(alert: Alert, value: float | None = None) -> str:
    """What an alert says now: its value, and of how many."""
    measure, shown = alert.rule.measure, amount(alert.rule.measure, alert.value if value is None else value)
    if measure == Measure.SESSION and not alert.key.partition(":")[2]:
        sessions = ngettext(
            "{count} session over, fullest {value}", "{count} sessions over, fullest {value}", alert.count
        )
        return sessions.format(count=alert.count, value=shown)
    if measure == Measure.MEAN:
        return ngettext("mean {value}, {count} session", "mean {value}, {count} sessions", alert.count).format(
            count=alert.count, value=shown
        )
    if measure == Measure.CACHE:
        return _("{value} down").format(value=shown)
    if measure == Measure.BACKLOG:
        return ngettext("{value}, {count} waits", "{value}, {count} wait", alert.count).format(
            count=alert.count, value=shown
        )
    return shown


def runbook(rule: AlertRule) -> str:
    """Where it says what to do about a rule."""
    return f"{settings.MONITORING_RUNBOOK or reverse('monitoring:alert_runbook')}#{rule.measure}"


def runbook_link(rule: AlertRule) -> str:
    """The same as a whole address."""
    where = runbook(rule)
    return where if "://" in where else f"{settings.MONITORING_URL}{where}"


# Why a message did not arrive.
TROUBLES: Mapping[str, Any] = {
    "timeout": gettext_lazy("no answer in time"),
    "unreachable": gettext_lazy("the server can't be reached"),
    "unknown_host": gettext_lazy("the host's name is not known"),
    "private_address": gettext_lazy("the address is private, and MONITORING_WEBHOOK_HOSTS doesn't name it"),
    "bad_address": gettext_lazy("the address is none of http or https"),
    "no_target": gettext_lazy("the webhook is not set up any more"),
    "tls": gettext_lazy("its certificate is not good"),
    "smtp": gettext_lazy("the mail server refused it"),
    "recipients_refused": gettext_lazy("the mail server knows no such recipient"),
    "too_many": gettext_lazy("too many messages within an hour"),
}


def trouble(code: str) -> str:
    """Why a message did not arrive, in words: codes of HTTP as they are."""
    return str(TROUBLES.get(code, code.replace("status_", "HTTP ")))


def outcome(delivery: Delivery, most: int) -> str:
    """What became of a message."""
    if delivery.state == Delivery.State.SENT:
        return _("arrived")
    if delivery.state == Delivery.State.FAILED:
        return _("did not arrive: {why}").format(why=trouble(delivery.error))
    if not delivery.attempts:
        return _("waits")
    return _("attempt {n} of {most} failed: {why}; again at {time} UTC").format(
        n=delivery.attempts, most=most, why=trouble(delivery.error), time=f"{delivery.next_at:%H:%M:%S}"
    )


def headline(delivery: Delivery) -> str:
    """A message in one line."""
    alert = delivery.alert
    if alert is None:
        return _("Test of the alerts: nothing is wrong.")
    # Somebody may say that it is over while it still holds.
    ended = delivery.event == Delivery.Event.RESOLVED and not alert.resolved_by
    return _("{severity} {change}: {name}. {value}, {limit}.").format(
        severity=alert.severity,
        change=Delivery.Event(delivery.event).label,
        name=name(alert.rule),
        value=reading(alert, delivery.value),
        limit=resolves(alert.rule) if ended else opens(alert.rule),
    )


def letter(delivery: Delivery, link: str) -> tuple[str, str]:
    """A message as a letter: its subject and its text."""
    alert, subject = delivery.alert, headline(delivery)
    lines = [subject, ""]
    if alert:
        lines += [
            sentence(alert.rule),
            "",
            _("Key: {key}").format(key=alert.key),
            _("Open since: {time} UTC").format(time=f"{alert.opened_at:%Y-%m-%d %H:%M}"),
        ]
        if alert.session:
            path = reverse("monitoring:session", args=[alert.session])
            lines.append(_("Session: {link}").format(link=f"{settings.MONITORING_URL}{path}"))
        lines.append(_("What to do: {link}").format(link=runbook_link(alert.rule)))
    lines.append(_("Alerts: {link}").format(link=link))
    return subject, "\n".join(lines) + "\n"
