"""What a model thought before a reply, for who wants to read it: fetched when it is opened."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.models import Thought
from chat.stream import rendering
from chat.web.pages import own, page


@require_safe
@page
def thought(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """The thinking of one turn, as sanitised HTML; a page of its own without script."""
    session = own(request, session_id)
    found = Thought.objects.filter(turn_id=turn_id, turn__session=session).first()
    if found is None:
        raise Http404
    shown = {"session_id": session.pk, "html": rendering.render(found.text).html}
    shown |= {"title": _("Thinking"), "partial": "chat/_thought.html"}
    return render(request, "chat/_thought.html" if request.htmx else "chat/turn.html", shown)
