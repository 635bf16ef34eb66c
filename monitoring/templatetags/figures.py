"""The one notation of `monitoring.figures`, for templates."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import template

from monitoring import figures, series
from monitoring.models import Kind

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
    return f"~{turns:,}" if turns else "now"


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
