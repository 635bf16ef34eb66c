"""Alerts and rules in words, for templates."""

from datetime import datetime
from typing import Any

from django import template

from monitoring import wording
from monitoring.models import Alert, AlertRule, Delivery

register = template.Library()


@register.filter
def name(rule: AlertRule) -> str:
    """What a rule is called."""
    return wording.name(rule)


@register.filter
def measured(rule: AlertRule) -> str:
    """What a rule looks at."""
    return wording.measured(rule)


@register.filter
def opens(rule: AlertRule) -> str:
    """When it opens."""
    return wording.opens(rule)


@register.filter
def resolves(rule: AlertRule) -> str:
    """When it resolves."""
    return wording.resolves(rule)


@register.filter
def sentence(rule: AlertRule) -> str:
    """A rule as a sentence."""
    return wording.sentence(rule)


@register.filter
def tells(rule: AlertRule) -> str:
    """Who is told, and how often."""
    return wording.tells(rule)


@register.filter
def runbook(rule: AlertRule) -> str:
    """Where it says what to do."""
    return wording.runbook(rule)


@register.filter
def reading(alert: Alert) -> str:
    """What an alert says now; once resolved, the worst that it said."""
    return wording.reading(alert, alert.peak if alert.resolved_at else None)


@register.filter
def limit(alert: Alert) -> str:
    """The line that was crossed, as it was then."""
    return wording.amount(alert.rule.measure, alert.limit)


@register.filter
def amount(rule: AlertRule, value: float | None) -> str:
    """A value with the unit of the rule's measure."""
    return wording.amount(rule.measure, value)


@register.filter
def lasted(alert: Alert, now: datetime) -> str:
    """How long an alert has been open, or was."""
    return wording.duration(((alert.resolved_at or now) - alert.opened_at).total_seconds())


@register.simple_tag
def told(delivery: Delivery, most: int) -> Any:
    """What became of a message, in words."""
    return wording.outcome(delivery, most)
