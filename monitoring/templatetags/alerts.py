"""Alerts and rules in the words of `monitoring.wording`, for templates."""

from datetime import datetime

from django import template
from django.utils.translation import gettext

from monitoring import wording
from monitoring.models import Alert, AlertRule

register = template.Library()

for name in ("name", "measured", "opens", "resolves", "sentence", "tells", "runbook"):
    register.filter(name, getattr(wording, name))
register.simple_tag(wording.outcome, name="told")


@register.filter
def reading(alert: Alert) -> str:
    """What an alert says now; once resolved, the worst that it said."""
    if alert.resolved_at:
        return gettext("worst {value}").format(value=wording.amount(alert.rule.measure, alert.peak))
    return wording.reading(alert)


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
