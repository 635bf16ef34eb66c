"""Sharing a conversation by a link, and the page that such a link shows: to anybody, and nothing but the words."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from chat.models import ChatSession, Document, Share, Turn
from chat.store import sharing
from chat.web import listing, notices, transcript
from chat.web.notices import Shown
from chat.web.pages import number, own, page, zone
from chat.web.transcript import Ending

PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTurn:
    """One turn as anybody may see it: by its number, without an id. `documents` are names of attached files."""

    number: int
    prompt: str
    html: str
    redacted: bool
    continues: bool
    ending: Ending | None
    documents: list[str]
    notices: list[Shown]


@require_http_methods(["GET", "HEAD", "POST"])
@page
def share(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """What is shared of a conversation, and the ways to share, update and revoke. In the dialog, or a page."""
    session = own(request, session_id)
    said = ""
    if request.method == "POST":
        if request.POST.get("action") == "revoke":
            sharing.revoke(session)
            said = _("The link shows nothing any more.")
        elif sharing.share(session) is None:
            said = _("There is nothing to share yet.")
        if not request.headers.get("HX-Request"):
            return redirect("chat:share", session.pk)
    link = sharing.standing(session)
    context = {
        "session": session,
        "session_id": session.pk,
        "title": _("Share"),
        "partial": "chat/_share.html",
        "link": link,
        "address": request.build_absolute_uri(reverse("shared", args=[link.token])) if link else "",
        "behind": session.turns_active - link.until.number if link and link.until.active else 0,
        "shareable": not session.temporary and session.turns_active > 0,
        "said": said,
    }
    return render(request, "chat/_share.html" if request.headers.get("HX-Request") else "chat/turn.html", context)


def public(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page for whoever has its address: kept by nobody, found by no search engine, named to no other site."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(zone(request)):
            response = view(request, *args, **kwargs)
        response["Cache-Control"] = "no-store, private"
        response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        response["Referrer-Policy"] = "no-referrer"
        return response

    return inner


@require_safe
@public
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """A shared conversation, from its beginning, a page at a time. Revoked, deleted and unknown ones look alike."""
    found = sharing.find(token)
    if found is None:
        raise Http404
    start = number(request.GET.get("from")) or 1
    turns = _turns(found, start)
    if not turns and start > 1:
        raise Http404
    last = turns[-1].number if turns else 0
    context = {
        "title": listing.title(found.session),
        "share": found,
        "turns": turns,
        "count": found.until.number,
        "start": start,
        "earlier": max(1, start - PAGE) if start > 1 else None,
        "later": last + 1 if last < found.until.number else None,
    }
    return render(request, "chat/shared.html", context)


def _turns(found: Share, start: int) -> list[SharedTurn]:
    rows = list(sharing.line(found).filter(number__gte=start).order_by("number")[:PAGE])
    if not rows:
        return []
    said: dict[int, list[Shown]] = defaultdict(list)
    for notice, summaries in sharing.notices(found, rows[0].number, rows[-1].number):
        said[notice.last].append(notices.show(notice, notices.without_overlap(summaries)))
    names: dict[int, list[str]] = defaultdict(list)
    for turn_id, name in _documents(found.session, rows):
        names[turn_id].append(name)
    return [
        SharedTurn(
            number=turn.number,
            prompt=transcript.prompt_of(turn),
            redacted=turn.redacted_at is not None,
            html=transcript.html_of(turn),
            continues=turn.kind == Turn.Kind.CONTINUE,
            ending=transcript.ending(turn),
            documents=names[turn.pk],
            notices=said[turn.number],
        )
        for turn in rows
    ]


def _documents(session: ChatSession, rows: list[Turn]) -> list[tuple[int, str]]:
    kept = Document.objects.filter(session=session, turn__in=[turn.pk for turn in rows])
    return list(kept.order_by("id").values_list("turn_id", "name"))
