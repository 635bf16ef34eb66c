"""The one notation of `monitoring.figures`, for templates."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import template
from django.utils.translation import gettext

from monitoring import cards, drawing, fate, figures, series
from monitoring.forecast import Reason
from monitoring.models import Alert, Kind

register = template.Library()

for name in ("tokens", "window", "whole", "change", "seconds", "dollars"):
    register.filter(name, getattr(figures, name))


@register.filter
def percent(share: float | None, decimals: int = 1) -> str:
    """0.436 -> "43.6 %"; with 0 decimals "44 %"."""
    return figures.percent(share, decimals)


@register.filter
def split(count: float | None) -> tuple[str, str]:
    """(number, unit), so that the unit can be set smaller."""
    return figures.split_tokens(count)


@register.filter
def pressure(share: float | None) -> str:
    """The class of a utilisation: calm, watch, alert, unknown."""
    return series.pressure(share)


@register.filter
def reach(share: float | None, full: int) -> str:
    """How long a bar of `full` units is at this share, as an SVG attribute."""
    return f"{min(1.0, max(0.0, share or 0.0)) * full:.1f}"


@register.filter
def short(session: UUID) -> str:
    """The first six digits of an id: enough to tell sessions apart on one page."""
    return session.hex[:6]


@register.filter
def words(code: str) -> str:
    """A code as words: "rate_limited" -> "rate limited"."""
    return code.replace("_", " ")


@register.filter
def kind(code: str) -> str:
    """The word for a kind of event."""
    return str(Kind(code).label)


@register.filter
def utc(at: datetime, with_day: bool = False) -> str:
    """The time as 10:41, or as 21 Nov 10:41 where a page spans days. Always UTC."""
    given = at.astimezone(UTC)
    return f"{given:%H:%M}" if not with_day else f"{given.day} {given:%b %H:%M}"


@register.filter
def about(turns: int | str | None) -> str:
    """A forecast: "~38", "now", or a dash when nobody can tell (a template gives "" where there is no gauge)."""
    if not isinstance(turns, int):
        return figures.NONE
    return f"~{turns:,}" if turns else gettext("now")


@register.filter
def part_of(part: Decimal, whole: Decimal) -> float | None:
    """A part as a share of the whole; None of nothing."""
    return float(part / whole) if whole else None


@register.filter
def model(name: str) -> str:
    """A model's name without its maker and its date, as tables have room for: "opus-4-6"."""
    return re.sub(r"^claude-|-20\d{6}$", "", name)


@register.filter
def severity(level: str) -> str:
    """The shape that stands for a severity: never told by colour alone."""
    return {"P0": "◆", "P1": "▲", "P2": "●", "P3": "○"}.get(level, "●")


@register.filter
def of_hundred(share: float) -> str:
    """A share as an SVG length that follows the width of the page: 0.436 -> "43.6%"."""
    return f"{min(1.0, max(0.0, share)) * 100:.1f}%"


@register.filter
def day(at: datetime) -> str:
    """The day as Sun 22 Nov, in UTC."""
    return drawing.moment(at).rpartition(" ")[0]


@register.filter
def moment(at: datetime) -> str:
    """Day and time as Sun 22 Nov 10:41, in UTC."""
    return drawing.moment(at)


@register.filter
def lasting(seconds: int) -> str:
    """130 -> "2 min 10 s"."""
    return cards.seconds(seconds)


REASONS = {
    "off": lambda one: gettext("never by itself: {name}").format(name=one.name.replace("_", " ")),
    "gate": lambda one: gettext("the gate refused {n} summaries").format(n=one.count),
    "backlog": lambda one: gettext("compaction waits for {time}").format(time=cards.seconds(one.count)),
    "pins": lambda one: gettext("pins hold {share}").format(share=figures.percent(one.share, 0)),
    "documents": lambda one: gettext("documents hold {share}").format(share=figures.percent(one.share, 0)),
    "facts": lambda one: gettext("facts hold {share}").format(share=figures.percent(one.share, 0)),
    "growth": lambda one: gettext("it grows faster than it is compressed"),
    "compacting": lambda one: gettext("compacting, {time}").format(time=cards.seconds(one.count)),
    "queued": lambda one: gettext("queued for {time}").format(time=cards.seconds(one.count)),
    "next": lambda one: gettext("compacts after the next reply"),
    "planned": lambda one: gettext("compacts in ~{n} turns").format(n=one.count),
    "unknown": lambda one: gettext("nobody can tell yet"),
}


@register.filter
def reason(one: Reason) -> str:
    """Why a session is full, or what happens to it next, in words."""
    return REASONS[one.code](one)


register.filter(fate.how)
register.filter(fate.why)


@register.simple_tag(takes_context=True)
def section(context: Any) -> str:
    """Which item of the navigation the page belongs to, by the name of its address."""
    match = context["request"].resolver_match
    name = match.url_name if match else ""
    sections = {"index": "overview", "chart": "overview", "session": "sessions", "user": "users"}
    return "alerts" if name.startswith("alert") else sections.get(name, name)


@register.simple_tag
def open_alerts() -> int:
    """How many alerts nobody has acknowledged yet."""
    return Alert.objects.filter(resolved_at=None, state=Alert.State.OPEN).count()


@register.simple_tag(takes_context=True)
def query(context: Any, **changes: Any) -> str:
    """The page's own query string with some values changed; None leaves a value out."""
    given = context["request"].GET.copy()
    given.pop("stamp", None)
    for name, value in changes.items():
        given.pop(name, None)
        if value is not None:
            given[name] = str(value)
    return f"?{given.urlencode()}"
