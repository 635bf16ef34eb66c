"""What is done to a whole conversation, from its row or its page: call it, pin it, put it away, delete it, and back."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from chat.models import ChatSession
from chat.web import listing, sending
from chat.web.forms import TitleForm
from chat.web.pages import own, page, uuid

UNDO_SHOWN_S = 10


@require_safe
@page
def rows(request: HttpRequest) -> HttpResponse:
    """The next page of the list of conversations."""
    shown = listing.page(request.user, after=listing.Place.read(request.GET))
    return render(request, "chat/_rows.html", {"listing": shown})


@require_safe
@page
def states(request: HttpRequest) -> HttpResponse:
    """The rows that changed since a moment, or that the page shows as running or unread; nothing where none did."""
    asked = [found for text in request.GET.getlist("row")[: listing.PAGE] if (found := uuid(text))]
    changed = listing.changed(request.user, listing.moment(request.GET.get("since")), asked)
    if not changed.rows and not changed.gone:
        return HttpResponse(status=204)
    return render(request, "chat/_states.html", {"changed": changed, "current": uuid(request.GET.get("current"))})


@require_POST
@page
def rename(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Another title, by its owner: no model touches it any more. A refused one changes nothing."""
    session = own(request, session_id)
    form = TitleForm(request.POST, instance=session)
    if form.is_valid():
        named = {"title": form.cleaned_data["title"], "titled_by": ChatSession.TitledBy.USER}
        ChatSession.objects.filter(pk=session.pk).update(**named)
    if not request.htmx:
        return redirect("chat:conversation", session.pk)
    session.refresh_from_db(fields=["title"])
    context = {"row": listing.one(request.user, session.pk), "title": listing.title(session)}
    return render(request, "chat/_renamed.html", context | {"current": uuid(request.POST.get("current"))})


@require_POST
@page
def pin(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Keep a conversation at the top of the list, or no more."""
    session = own(request, session_id)
    ChatSession.objects.filter(pk=session.pk).update(pinned=request.POST.get("pinned") == "1")
    return _list_or_page(request, session.pk)


@require_POST
@page
def archive(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Put a conversation away: out of the list, still found by search and in the archive."""
    session = own(request, session_id)
    at = None if request.POST.get("archived") == "0" else session.archived_at or timezone.now()
    ChatSession.objects.filter(pk=session.pk).update(archived_at=at)
    if not request.htmx:
        return redirect(_next(request, reverse("chat:conversation", args=[session.pk])))
    if at is None:
        return _list_or_page(request, session.pk)
    if uuid(request.POST.get("current")) == session.pk:
        return HttpResponseClientRedirect(reverse("chat:conversation", args=[session.pk]))
    return render(request, "chat/_undo.html", _undo(session, "archived"))


@require_POST
@page
def keep(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Make an empty conversation a temporary one, or any temporary one a lasting one."""
    session = own(request, session_id)
    temporary = request.POST.get("temporary") == "1"
    if not temporary or not session.turns_total:
        ChatSession.objects.filter(pk=session.pk).update(temporary=temporary)
    return redirect("chat:conversation", session.pk)


@require_POST
@login_required
async def delete(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Delete a conversation: a running reply is stopped, other tabs are told. For a while it can be brought back."""
    user = await request.auser()
    if not await sending.delete(user, session_id):
        raise Http404
    home = f"{reverse('chat:home')}?undo={session_id}"
    if not request.htmx:
        return redirect(_next(request, home))
    if uuid(request.POST.get("current")) == session_id:
        return HttpResponseClientRedirect(home)
    session = await sending.read(ChatSession.objects.get, pk=session_id)
    return render(request, "chat/_undo.html", _undo(session, "deleted"))


@require_POST
@page
def restore(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Bring a deleted conversation back, as long as it is still there."""
    # One statement: who is here first, this or the first step of its removal, wins whole.
    if not ChatSession.objects.deleted_by(request.user).filter(pk=session_id).update(deleted_at=None):
        raise Http404
    return _list_or_page(request, session_id)


@require_safe
@page
def archived(request: HttpRequest) -> HttpResponse:
    """What was put away, and what was deleted a moment ago."""
    mine = ChatSession.objects.filter(owner=request.user)
    away = mine.filter(deleted_at=None, archived_at__isnull=False, temporary=False).order_by("-archived_at")
    found = list(away[: listing.MOST_AWAY + 1])
    deleted = ChatSession.objects.deleted_by(request.user).order_by("-deleted_at")[: listing.MOST_AWAY]
    context = {
        "away": [listing.put_away(session) for session in found[: listing.MOST_AWAY]],
        "more": len(found) > listing.MOST_AWAY,
        "deleted": [listing.put_away(session) for session in deleted],
        "minutes": max(1, round(settings.CHAT_UNDO_S / 60)),
    }
    return render(request, "chat/archive.html", context)


def undoable(request: HttpRequest) -> dict[str, Any] | None:
    """What the page offers to bring back: the conversation whose deletion led here."""
    asked = uuid(request.GET.get("undo"))
    session = asked and ChatSession.objects.deleted_by(request.user).filter(pk=asked).first()
    return _undo(session, "deleted") if session else None


def _undo(session: ChatSession, what: str) -> dict[str, Any]:
    said = {"deleted": _("Deleted “%(title)s”."), "archived": _("Archived “%(title)s”.")}
    back = {"deleted": "chat:restore", "archived": "chat:archive"}
    return {
        "undo": {
            "text": said[what] % {"title": listing.title(session)},
            "url": reverse(back[what], args=[session.pk]),
            "archived": what == "archived",
            "id": session.pk,
            "seconds": UNDO_SHOWN_S,
        }
    }


def _list_or_page(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The first page of the list anew, for the list; else the conversation."""
    if not request.htmx:
        return redirect(_next(request, reverse("chat:conversation", args=[session_id])))
    current = uuid(request.POST.get("current"))
    return render(
        request,
        "chat/_list.html",
        {"listing": listing.page(request.user, current=current), "current": current, "now": timezone.now()},
    )


def _next(request: HttpRequest, default: str) -> str:
    """Back to the archive where the form stood there."""
    return reverse("chat:archived") if request.POST.get("from") == "archive" else default
