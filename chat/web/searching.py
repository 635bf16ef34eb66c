"""Search: by POST, so that nobody's words stand in an address or a log; the page of results, or the list of them."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from chat.models import Turn
from chat.store import search
from chat.stream.inbound import clean_text
from chat.web import sending
from chat.web.pages import own, page, uuid


@require_http_methods(["GET", "HEAD", "POST"])
@page
def find(request: HttpRequest) -> HttpResponse:
    """What was found in all conversations, in one of them (`within`), or among those put away (`scope=archive`)."""
    query = clean_text(request.POST.get("query", ""))[: search.MOST_CHARACTERS]
    scope = request.POST.get("scope", "")
    within = uuid(request.POST.get("within")) or (uuid(request.POST.get("here")) if scope == "here" else None)
    if within:
        results = search.within(own(request, within), query)
    else:
        results = search.find(request.user, query, archived=scope == "archive")
    context = {
        "query": query,
        "asked": bool(search.read(query)),
        "results": results,
        "within": within,
        "scope": scope,
        "summary": _summary(results),
    }
    return render(request, "chat/_found.html" if request.htmx else "chat/search.html", context)


@require_POST
@login_required
async def show(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Go to a turn on another branch: that branch is shown from now on, unless a reply is being written."""
    user = await request.auser()
    number = await sending.read(_number, user, session_id, turn_id)
    if number is None or (await sending.switch(user.pk, session_id, turn_id)).code == "not_found":
        raise Http404
    return redirect(f"{reverse('chat:conversation', args=[session_id])}?turn={number}#turn-{turn_id}")


def _number(user: Any, session_id: UUID, turn_id: int) -> int | None:
    mine = Turn.objects.filter(pk=turn_id, session_id=session_id, session__owner=user, session__deleted_at=None)
    return mine.values_list("number", flat=True).first()


def _summary(results: search.Results) -> str:
    if not results.conversations:
        return _("Nothing found.")
    turns = ngettext("%(n)s turn", "%(n)s turns", results.hits) % {"n": results.hits}
    count = len(results.conversations)
    conversations = ngettext("%(n)s conversation", "%(n)s conversations", count) % {"n": count}
    said = _("%(turns)s in %(conversations)s") % {"turns": turns, "conversations": conversations}
    return _("%(found)s, and more: add a word.") % {"found": said} if results.cut else said
