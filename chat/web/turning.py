"""What one does with a turn beside writing: look for its other versions, say that it is no good, open its menu."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat.models import ChatSession, Feedback
from chat.web import listing, sending, transcript
from chat.web.forms import SwitchForm
from chat.web.pages import own, page, wants_json
from chat.web.transcript import TurnShown


@require_POST
@login_required
async def switch(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Make another version of a turn, with what followed it, the one that is shown and sent."""
    user = await request.auser()
    form = SwitchForm(request.POST)
    if not form.is_valid():
        raise Http404
    done = await sending.switch(user.pk, session_id, form.cleaned_data["to"])
    if done.code == "not_found":
        raise Http404
    if wants_json(request):
        return JsonResponse(asdict(done), status=409 if done.code == "busy" else 200)
    return _back(session_id, form.cleaned_data["to"])


@require_POST
@login_required
async def fork(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Go on elsewhere: a new conversation that begins with a copy of this one, up to a turn."""
    user = await request.auser()
    title = await sending.read(_title, user, session_id)
    made = title and await sending.fork(user, session_id, turn_id, _("Fork of %(title)s") % {"title": title})
    if not made:
        raise Http404
    return redirect("chat:conversation", made)


@require_GET
@page
def menu(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """The rarer things that can be done with a turn."""
    session, turn = _turn(request, session_id, turn_id)
    return _panel(request, session, turn, "chat/_turn_menu.html", title=_("More"))


@require_http_methods(["GET", "HEAD", "POST"])
@page
def feedback(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Say what is wrong with a reply; no reason takes it back."""
    session, turn = _turn(request, session_id, turn_id)
    if request.method != "POST":
        context = {"reasons": [{"value": one.value, "label": one.label} for one in Feedback.Reason]}
        return _panel(request, session, turn, "chat/_turn_feedback.html", title=_("Bad reply"), **context)
    reason = request.POST.get("reason", "")
    if reason in Feedback.Reason.values and not turn.live:
        values = {"user": request.user, "reason": reason}
        Feedback.objects.update_or_create(turn_id=turn.id, defaults=values)
    else:
        reason = ""
        Feedback.objects.filter(turn_id=turn.id).delete()
    if wants_json(request):
        return JsonResponse({"reason": reason})
    return _back(session.pk, turn.id)


def _title(user: Any, session_id: UUID) -> str | None:
    session = ChatSession.objects.owned_by(user).filter(pk=session_id).first()
    return listing.title(session) if session else None


def _turn(request: HttpRequest, session_id: UUID, turn_id: int) -> tuple[ChatSession, TurnShown]:
    session = own(request, session_id)
    turn = transcript.one(session, turn_id)
    if turn is None:
        raise Http404
    return session, turn


def _panel(
    request: HttpRequest, session: ChatSession, turn: TurnShown, partial: str, *, title: str, **context: object
) -> HttpResponse:
    """A partial for the floating panel; without htmx a page that holds it."""
    context |= {"session": session, "session_id": session.pk, "turn": turn, "title": title, "partial": partial}
    return render(request, partial if request.headers.get("HX-Request") else "chat/turn.html", context)


def _back(session_id: UUID, turn_id: int | None) -> HttpResponseRedirect:
    """To the conversation, at this turn."""
    return HttpResponseRedirect(f"{reverse('chat:conversation', args=[session_id])}#turn-{turn_id}")
