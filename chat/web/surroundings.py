"""What stands around the turns of a page: notices, gauge, what is remembered, documents, its row of the list."""

from typing import Any

from django.http import HttpResponse
from django_htmx.http import trigger_client_event

from chat.models import ChatSession
from chat.store import facts
from chat.store.standing import Standing
from chat.web import chips, gauge, listing, measuring, notices, transcript


def page(session: ChatSession) -> dict[str, Any]:
    """Those parts that a page shows from the start."""
    remembered = facts.count(session.pk)
    return {
        "gauge": gauge.of_session(session, remembered),
        "asked": measuring.asked(session),
        "remembered": remembered,
    }


def parts(user: Any, session: ChatSession) -> dict[str, Any]:
    """The out-of-band parts, for the turns that a page most likely shows."""
    first = max(1, session.turns_active - 2 * transcript.PAGE)
    said = notices.of_session(session, first, session.turns_active)
    places = [(place, said.get(place, [])) for place in notices.changed_places(session, first, session.turns_active)]
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
