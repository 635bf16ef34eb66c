"""What stands around the turns of a page: notices, gauge, what answers, what is remembered, documents, its row of the
list."""

import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django_htmx.http import trigger_client_event

from chat.models import ChatSession
from chat.store import facts
from chat.store.standing import Standing
from chat.web import attaching, chips, gauge, listing, measuring, notices, transcript

MOST = 500
"""Turns of one page that are looked at; a page holds some 70 (static/js/stretch.js)."""

_SHOWN = re.compile(r"(\d{1,9})-(\d{1,9})")


def model_name(model: str) -> str:
    """A model as people are told it."""
    return (
        _("Offline stand-in") if settings.CHAT_STANDIN and model == settings.CHAT_MODEL else notices.model_name(model)
    )


def page(session: ChatSession) -> dict[str, Any]:
    """Those parts that a page shows from the start."""
    remembered = facts.count(session.pk, gauge.MOST_REMEMBERED + 1)
    return {
        "around_mark": attaching.mark(session.context_version, session.title),
        "gauge": gauge.of_session(session, remembered),
        "asked": measuring.asked(session),
        "remembered": gauge.known(remembered),
        "model_name": model_name(session.model),
    }


def shown(request: HttpRequest) -> tuple[int, int] | None:
    """The numbers of the first and the last turn on the page that asks, as its script tells them."""
    found = _SHOWN.fullmatch(request.headers.get("X-Turns", ""))
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return first, min(last, first + MOST)


def parts(user: Any, session: ChatSession, turns: tuple[int, int] | None = None) -> dict[str, Any]:
    """The out-of-band parts, for the `turns` that a page shows, or those that it most likely does."""
    first, last = turns or (max(1, session.turns_active - 2 * transcript.PAGE), session.turns_active)
    said = notices.of_session(session, first, last)
    places = [(place, said.get(place, [])) for place in notices.changed_places(session, first, last)]
    return page(session) | {
        "oob": True,
        "session": session,
        "session_id": session.pk,
        "places": places,
        "shelf": chips.shelf(session),
        "row": listing.one(user, session.pk),
        "current": session.pk,
        "title": listing.title(session),
    }


def tell(response: HttpResponse, session: ChatSession) -> HttpResponse:
    """Tell the page from which turn on the model sees word for word, and which older ranges it sees so too."""
    stands = Standing.of(session)
    return trigger_client_event(response, "seen-from", {"value": stands.window_from, "again": stands.restored})
