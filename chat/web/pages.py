"""What a page is: for somebody who is signed in, in their time zone, and never in a shared cache."""

import zoneinfo
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import cache_control

from chat.models import ChatSession

View = Callable[..., HttpResponse]


def page(view: View) -> View:
    """A synchronous view that needs a user; it runs in the time zone that the browser told us, if that is one."""

    @cache_control(private=True, no_cache=True)
    @login_required
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(zone(request)):
            return view(request, *args, **kwargs)

    return inner


def own(request: HttpRequest, session_id: UUID) -> ChatSession:
    """The user's own session. What is somebody else's and what never was look alike: 404."""
    session = ChatSession.objects.owned_by(request.user).filter(pk=session_id).first()
    if session is None:
        raise Http404
    return session


def number(text: str | None) -> int | None:
    """A whole number from a query string; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def uuid(text: str | None) -> UUID | None:
    """An id from a form or a query string; None for anything else."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, which stays on its page and wants to know what happened."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def zone(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
    """The time zone that the browser told us, if that is one."""
    name = unquote(request.COOKIES.get("zone", ""))
    # The set of names first: a name from a cookie must not become a path.
    if name not in _ZONES:
        return None
    return zoneinfo.ZoneInfo(name)


_ZONES = zoneinfo.available_timezones()
