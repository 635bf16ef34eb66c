"""The pages of the chat. Every view starts from the owner; a GET writes nothing."""

from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from chat.flow import control
from chat.flow.opening import Rejected
from chat.models import ChatSession
from chat.store import documents
from chat.stream.protocol import TEXT_BYTES
from chat.web import (
    attachments,
    beginning,
    chips,
    condition,
    deciding,
    keeping,
    keys,
    listing,
    sending,
    surroundings,
    transcript,
)
from chat.web.forms import MessageForm, OptionsForm
from chat.web.pages import number, own, page, uuid, wants_json

BUILD = "1"

STATUS = {
    "not_found": 404,
    "busy": 409,
    "client_id_reuse": 409,
    "quota": 429,
    "too_large": 413,
    "storage": 503,
    "unavailable": 503,
}


@require_safe
@page
def home(request: HttpRequest) -> HttpResponse:
    """The newest conversation, or a welcome."""
    newest = ChatSession.objects.owned_by(request.user).listed().filter(turns_total__gt=0).values_list("pk", flat=True)
    if first := newest.first():
        undo = uuid(request.GET.get("undo"))
        return redirect(reverse("chat:conversation", args=[first]) + (f"?undo={undo}" if undo else ""))
    return render(
        request,
        "chat/page.html",
        _shell(request) | {"title": _("Welcome"), "first": True, "kept": beginning.kept(request.user)},
    )


@require_safe
@page
def conversation(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A conversation with its newest turns, those around one, or, without script, those before a number."""
    session = own(request, session_id)
    editing = number(request.GET.get("edit"))
    around = number(request.GET.get("turn"))
    if around:
        shown = transcript.about(session, around)
    else:
        shown = transcript.page(session, before=number(request.GET.get("before")), editing=editing)
    return render(
        request,
        "chat/page.html",
        _shell(request, session)
        | {
            "title": listing.title(session),
            "session": session,
            "transcript": shown,
            "first": not session.turns_total,
            "live": any(turn.live for turn in shown.turns),
            "blank": transcript.BLANK,
            "shelf": chips.shelf(session),
            **surroundings.page(session),
            "forked_from": _origin(request, session),
            "strategies": _strategies(),
            "modes": _modes(),
        },
    )


@require_safe
@page
def earlier(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A page of older turns, to be put above the ones that are there."""
    session = own(request, session_id)
    shown = transcript.page(session, before=number(request.GET.get("before")))
    return render(request, "chat/_turns.html", {"session_id": session.pk, "transcript": shown})


@require_safe
@page
def later(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A page of newer turns, for a page that shows older ones."""
    session = own(request, session_id)
    shown = transcript.later(session, number(request.GET.get("after")) or 0)
    return render(request, "chat/_turns.html", {"session_id": session.pk, "transcript": shown})


@require_safe
@page
def rest(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The turns from a number on (without one: the newest page), for a page that shows other ones, or too few."""
    session = own(request, session_id)
    first = number(request.GET.get("from"))
    shown = transcript.page(session) if first is None else transcript.later(session, first - 1)
    return render(request, "chat/_turns.html", {"session_id": session.pk, "transcript": shown})


@require_GET
@page
def turn(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """One turn as it is stored; out of band the notices after it, the gauge and its row of the list."""
    session = own(request, session_id)
    shown = transcript.one(session, turn_id)
    if shown is None:
        raise Http404
    context = {"session_id": session.pk, "turn": shown, "fresh": True} | surroundings.parts(
        request.user, session, surroundings.shown(request)
    )
    return surroundings.tell(render(request, "chat/_settled.html", context), session)


@require_GET
@page
def around(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """What stands around the turns: notices, gauge, the row of the list; all of it out of band."""
    session = own(request, session_id)
    shown = surroundings.parts(request.user, session, surroundings.shown(request))
    return surroundings.tell(render(request, "chat/_around.html", shown), session)


@require_POST
@login_required
async def new(request: HttpRequest) -> HttpResponse:
    """New chat. With a text: its first message, too."""
    user = await request.auser()
    form = MessageForm(request.POST)
    text = request.POST.get("text", "")
    # With attached files there is one already: they wait in it.
    named = form.cleaned_data["documents"] if form.is_valid() else ()
    session_id = await sending.read(documents.home, user.pk, named) if named else None
    temporary = request.POST.get("temporary") == "1"
    first = form.cleaned_data["client_id"] if form.is_valid() and text.strip() else None
    session_id = session_id or await sending.new_session(user, temporary=temporary, client_id=first)
    address = reverse("chat:conversation", args=[session_id])
    chosen = "model" in request.POST
    if chosen and (why := await sync_to_async(beginning.take)(user, session_id, request.POST)):
        if wants_json(request):
            return JsonResponse({"code": "failed", "text": why}, status=409)
        messages.error(request, why)
        return redirect(address)
    if text.strip():
        answer = await _send(user, session_id, form)
        if isinstance(answer, Rejected):
            return _refusal(request, answer, session_id)
    if wants_json(request):
        return JsonResponse({"url": address})
    return redirect(address)


@require_POST
@login_required
async def send(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A message; answers like the socket (JSON), or goes back to the page when it is a plain form."""
    user = await request.auser()
    answer = await _send(user, session_id, MessageForm(request.POST))
    if isinstance(answer, Rejected):
        return _refusal(request, answer, session_id)
    if wants_json(request):
        return JsonResponse(
            {
                "client_id": request.POST.get("client_id", ""),
                "turn": answer.turn_id,
                "number": answer.number,
                "duplicate": answer.duplicate,
            }
        )
    return redirect("chat:conversation", session_id)


@require_POST
@login_required
async def stop(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Stop a reply, where no socket is open."""
    user = await request.auser()
    if await sending.stop(user.pk, session_id, turn_id) == "not_found":
        raise Http404
    return HttpResponse(status=204)


@require_POST
@page
def options(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """What happens when the conversation grows long. A refused value changes nothing."""
    session = own(request, session_id)
    # Not of the session itself: a form writes what it was given into its instance.
    form = OptionsForm(request.POST, instance=own(request, session_id))
    if form.is_valid():
        deciding.write(control.set_handling, session.pk, **form.cleaned_data)
        deciding.wake()
    return redirect("chat:conversation", session.pk)


async def _send(user: Any, session_id: UUID, form: MessageForm) -> Any:
    if not form.is_valid():
        return Rejected("bad_field")
    return await sending.send(user.pk, session_id, **form.message(uuid4()))


def _refusal(request: HttpRequest, answer: Rejected, session_id: UUID) -> HttpResponse:
    if answer.code == "not_found":
        raise Http404
    if wants_json(request):
        body = {"code": answer.code, "retry_after_ms": answer.retry_after_ms, "reason": answer.reason}
        return JsonResponse(body, status=STATUS.get(answer.code, 400))
    return redirect("chat:conversation", session_id)


def _shell(request: HttpRequest, session: ChatSession | None = None) -> dict[str, Any]:
    """What every page shows around its middle."""
    user = request.user
    name = user.get_full_name() or user.get_username()
    return {
        "session_id": session.pk if session else None,
        "current": session.pk if session else None,
        "listing": listing.page(user, current=session.pk if session else None),
        "now": timezone.now(),
        "temporary_hours": max(1, round(settings.CHAT_TEMPORARY_S / 3600)),
        **(keeping.undoable(request) or {}),
        "initials": listing.initials(name.split()),
        "greeting": _("Hello, %(name)s") % {"name": user.first_name or user.get_username()},
        "standin": settings.CHAT_STANDIN,
        "model_name": surroundings.model_name(session.model if session else settings.CHAT_MODEL),
        "limits": {"socket": TEXT_BYTES, "message": settings.CHAT_MAX_MESSAGE_CHARS, **attachments.limits()},
        "starts": _starts(),
        "shortcuts": keys.SHORTCUTS,
        "commands": keys.COMMANDS,
        "trouble": condition.now(session.model if session else ""),
        "build": BUILD,
    }


def _origin(request: HttpRequest, session: ChatSession) -> dict[str, Any] | None:
    """The conversation that this one was forked from, while it is there."""
    found = ChatSession.objects.owned_by(request.user).filter(pk=session.forked_from_id).first()
    return {"pk": found.pk, "title": listing.title(found)} if found else None


def _strategies() -> list[dict[str, str]]:
    summary, sliding = ChatSession.CHOOSABLE
    return [
        {
            "value": summary.value,
            "label": summary.label,
            "text": _("A summary with every exact value takes their place; you can read it."),
        },
        {
            "value": sliding.value,
            "label": sliding.label,
            "text": _("The model sees the newest messages only; a line says from where."),
        },
    ]


def _modes() -> list[dict[str, str]]:
    texts = {
        ChatSession.Mode.AUTO: _("In the background, ahead of need; a line says where."),
        ChatSession.Mode.ASK: _("A card asks you first. At the hard limit what does not fit is left out, with a line."),
        ChatSession.Mode.NEVER: _("The model sees the newest messages only."),
    }
    return [{"value": mode.value, "label": mode.label, "text": text} for mode, text in texts.items()]


def _starts() -> list[dict[str, str]]:
    return [
        {
            "icon": "remember",
            "label": _("Keep something in mind"),
            "hint": _("an order, a name"),
            "text": _("My order number is A-7731. Please keep it in mind."),
        },
        {
            "icon": "idea",
            "label": _("Explain the context"),
            "hint": _("in plain words"),
            "text": _("What happens to the beginning of a long conversation?"),
        },
        {
            "icon": "table",
            "label": _("Make a table"),
            "hint": _("from a few lines"),
            "text": _("Make a table of three coffee machines with price and weight."),
        },
        {
            "icon": "code",
            "label": _("Write some code"),
            "hint": _("with comments"),
            "text": _("Write a Python function that splits a bill between friends."),
        },
    ]
