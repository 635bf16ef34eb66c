"""What a conversation begins with, chosen before there is one: model, instructions and thinking of the welcome page.

The choice is kept by the page, beside the message box, and comes with whatever begins a conversation there: the first
message, "New chat", "Temporary chat". A page without script makes the conversation with the choice.
"""

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from chat.models import ChatSession, Instructions, Preference
from chat.web import choosing, deciding, sending, surroundings
from chat.web.deciding import Refused
from chat.web.pages import page

FIELDS = ("model", "instructions", "thinking")


@require_http_methods(["GET", "HEAD", "POST"])
@page
def choices(request: HttpRequest) -> HttpResponse:
    """The form of what answers, for a conversation that is yet to be. Nothing is stored while the page keeps it."""
    session = _blank(request.user)
    fields = request.POST if request.method == "POST" else request.GET
    chosen = choosing.read(fields, session) if "model" in fields else None
    if request.method != "POST" or chosen is None:
        choosing.learn_windows()
        return choosing.show(request, choosing.panel(session, chosen))
    shown = choosing.panel(session, chosen)
    try:
        choosing.warning(session, chosen)
    except Refused as refused:
        return choosing.show(request, shown | {"refused": str(refused)})
    if not request.htmx:
        begun = async_to_sync(sending.new_session)(request.user)
        take(request.user, begun, fields)
        return redirect("chat:conversation", begun)
    shown |= {"kept": {name: fields[name] for name in FIELDS if name in fields}}
    shown |= {"model_name": surroundings.model_name(chosen.model), "thinks": chosen.thinking, "oob": True}
    return trigger_client_event(render(request, "chat/_chosen.html", shown), "chosen", {"value": True})


def take(user: Any, session_id: UUID, fields: QueryDict) -> str:
    """Let an empty conversation begin with what `fields` choose, if they choose anything. Why not, for a person; or "".

    Not for threads of the database's pool: windows are asked for on the process's own loop.
    """
    mine = ChatSession.objects.owned_by(user).select_related("instructions")
    session = mine.filter(pk=session_id, turns_total=0).first()
    if session is None:
        return ""
    chosen = choosing.read(fields, session)
    stands = (session.model, session.instructions.text, session.thinking)
    if stands == (chosen.model, chosen.instructions.text, chosen.thinking):
        return ""
    try:
        choosing.warning(session, chosen)
        deciding.write(choosing.apply, session.pk, chosen)
    except Refused as refused:
        return str(refused)
    return ""


def kept(user: Any) -> dict[str, str]:
    """What the page keeps from the start, in the words of the form: so what is shown is what is begun with, also where
    an empty conversation that was chosen otherwise is used again."""
    preset = Preference.objects.filter(user=user).values_list("preset", flat=True).first()
    return {"model": settings.CHAT_MODEL, "instructions": str(preset or "")}


def _blank(user: Any) -> ChatSession:
    """What a new conversation of this user's would be; not stored."""
    mine = Preference.objects.filter(user=user, preset__isnull=False).select_related("preset__instructions").first()
    text = mine.preset.instructions if mine and mine.preset else Instructions(text=settings.CHAT_INSTRUCTIONS)
    return ChatSession(owner=user, model=settings.CHAT_MODEL, strategy=settings.CHAT_STRATEGY, instructions=text)
