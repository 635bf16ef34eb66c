"""What answers a conversation: model, instructions, thinking. One form in a panel by the message box, and a page of its
own without script. A switch that makes older parts go is said with its numbers first, and made when it is confirmed."""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from chat import service
from chat.context.budget import BudgetError
from chat.flow import choosing, windows
from chat.flow.choosing import Fit
from chat.flow.closing import compacts
from chat.flow.engine import UnknownWindow
from chat.models import ChatSession, Instructions, Preset
from chat.providers.base import ModelInfo
from chat.store import sessions
from chat.web import deciding, measuring, notices, surroundings
from chat.web.deciding import Refused
from chat.web.gauge import about
from chat.web.pages import number, own, page
from chat.web.surroundings import model_name

KEEP = "keep"
"""The form's word for the instructions that a conversation has already."""


LEAST_WORTH_SAYING = 1_000
"""Millionths of a US dollar: a tenth of a cent."""
ASK_S = 2.0
"""How long the form waits for windows that nobody has asked for yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a form asks for."""

    model: str
    instructions: Instructions
    thinking: bool


def panel(session: ChatSession, chosen: Chosen | None = None) -> dict[str, Any]:
    """What the form shows: as the conversation is, or as it was `chosen` and not taken yet."""
    now = chosen or Chosen(model=session.model, instructions=session.instructions, thinking=session.thinking)
    return {
        "session_id": None if session._state.adding else session.pk,
        "models": _models(session.model, now.model),
        "presets": _presets(session, now.instructions),
        "thinking": now.thinking,
        "model_name": model_name(session.model),
        "cost": _cost(session),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@page
def choices(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The form, and what it asks for."""
    session = own(request, session_id)
    if request.method != "POST":
        learn_windows()
        return show(request, panel(session))
    chosen = read(request.POST, session)
    try:
        told = "" if request.POST.get("anyway") else warning(session, chosen)
        if told:
            return show(request, panel(session, chosen) | {"warning": told})
        changed = deciding.write(apply, session.pk, chosen)
    except Refused as refused:
        return show(request, panel(session, chosen) | {"refused": str(refused)})
    if changed:
        deciding.wake()
    if not request.htmx:
        return redirect("chat:conversation", session.pk)
    session = own(request, session_id)
    shown = surroundings.page(session) | panel(session) | {"session": session, "oob": True}
    return trigger_client_event(render(request, "chat/_chosen.html", shown), "chosen", {"value": bool(changed)})


def apply(session_id: UUID, chosen: Chosen) -> bool:
    """Write what was chosen; whether anything changed. See flow.choosing.choose."""
    row = sessions.instructions(chosen.instructions.text)
    return choosing.choose(session_id, model=chosen.model, instructions_id=row.pk, thinking=chosen.thinking)


def show(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
    """The form in its panel, or on a page of its own."""
    shown |= {"title": _("What answers"), "partial": "chat/_choices.html"}
    return render(request, "chat/_choices.html" if request.htmx else "chat/turn.html", shown)


def read(fields: QueryDict, session: ChatSession) -> Chosen:
    """What a form asks for; what is not on offer changes nothing. Writes nothing."""
    model = fields.get("model", "")
    wanted = fields.get("instructions", KEEP)
    found = session.instructions
    if wanted == "":
        found = Instructions(text=settings.CHAT_INSTRUCTIONS)
    elif pk := number(wanted):
        preset = Preset.objects.filter(owner=session.owner_id, pk=pk).select_related("instructions").first()
        found = preset.instructions if preset else found
    return Chosen(
        model=model if model in settings.CHAT_MODELS else session.model,
        instructions=found,
        thinking=fields.get("thinking") == "1",
    )


def warning(session: ChatSession, chosen: Chosen) -> str:
    """What the switch would make go; "" where nothing does. Raises Refused where it can't be made at all."""
    info = _window(chosen.model)
    try:
        fits = _fit(session, info, chosen)
    except BudgetError as error:
        text = _("These instructions do not fit %(model)s: it takes %(window)s tokens, and they need %(least)s.")
        values = {"model": notices.model_name(chosen.model), "window": about(info.window), "least": about(error.least)}
        raise Refused(text % values) from None
    if chosen.thinking and not fits.thinks:
        raise Refused(_("%(model)s can’t think here: there is no room for it.") % {"model": model_name(chosen.model)})
    if chosen.model == session.model or not fits.tight:
        return ""
    values = {
        "tokens": about(fits.tokens),
        "model": notices.model_name(chosen.model),
        "window": about(fits.window),
    }
    text = _("This conversation holds %(tokens)s tokens, %(model)s takes %(window)s:") % values
    if compacts(session.strategy, session.mode):
        return f"{text} {_('older parts are compressed first.')}"
    return f"{text} {_('older parts are left out of what it sees.')}"


def _fit(session: ChatSession, info: ModelInfo, chosen: Chosen) -> Fit:
    counter = measuring.counter(chosen.model)
    return choosing.fit(session, info, chosen.instructions.text, counter, thinking=chosen.thinking)


def _window(model: str) -> ModelInfo:
    """The model's window, asked for where a service runs. Raises Refused."""
    info = windows.stored(model)
    if service.running():
        try:
            info = async_to_sync(service.current().engine.window)(model)
        except UnknownWindow:
            info = None
    if info is None:
        text = _("Nobody could say how much %(model)s takes, so it can’t be chosen now. Nothing was changed.")
        raise Refused(text % {"model": notices.model_name(model)})
    return info


def learn_windows() -> None:
    """Ask for the windows that nobody has asked for yet, for a moment: what is not told is shown so."""
    unknown = set(settings.CHAT_MODELS) - windows.all_stored(settings.CHAT_MODELS).keys()
    if unknown and service.running():
        async_to_sync(_ask_windows)(unknown)


async def _ask_windows(models: Collection[str]) -> None:
    engine = service.current().engine
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ASK_S):
            await asyncio.gather(*(engine.window(model) for model in models), return_exceptions=True)


def _models(current: str, chosen: str) -> list[dict[str, Any]]:
    """What can be chosen, each with its window; a model that was taken off the list stays where it is in use."""
    names = list(dict.fromkeys([*settings.CHAT_MODELS, current]))
    known = windows.all_stored(names)
    return [
        {
            "id": name,
            "name": model_name(name),
            "window": about(known[name].window) if name in known else "",
            "chosen": name == chosen,
        }
        for name in names
    ]


def _presets(session: ChatSession, chosen: Instructions) -> list[dict[str, Any]]:
    """The instructions on offer: the site's, one's own, and those of before where they are none of these."""
    own_ones = list(Preset.objects.filter(owner=session.owner_id).select_related("instructions").order_by("name"))
    standard = settings.CHAT_INSTRUCTIONS
    found: list[dict[str, Any]] = [{"value": "", "name": _("Standard"), "chosen": chosen.text == standard}]
    for preset in own_ones:
        taken = any(one["chosen"] for one in found)
        same = preset.instructions_id == chosen.pk and not taken
        found.append({"value": str(preset.pk), "name": preset.name, "chosen": same})
    if not any(one["chosen"] for one in found):
        found.append({"value": KEEP, "name": _("As they were"), "chosen": True})
    return found


def _cost(session: ChatSession) -> str:
    """What another model or other instructions cost: the whole context once, past the cache."""
    measured = None if session._state.adding else measuring.measure(session)
    if measured is None:
        return ""
    tokens = measured.gauge.tokens
    written, read = choosing.price_of_prefix(session.model, tokens)
    if 0 < written < LEAST_WORTH_SAYING:
        return ""
    if not written:
        return _("The next message then sends all %(tokens)s tokens anew, past the cache.") % {"tokens": about(tokens)}
    text = _("The next message then sends all %(tokens)s tokens anew: about %(anew)s instead of %(cached)s.")
    return text % {"tokens": about(tokens), "anew": money(written), "cached": money(read)}


def money(millionths: int) -> str:
    """A small sum of US dollars, to a tenth of a cent; what is less than that is not told as nothing."""
    if 0 < millionths < LEAST_WORTH_SAYING / 2:
        return f"< $ {number_format(LEAST_WORTH_SAYING / 1_000_000, 3)}"
    # It cuts digits off, and does not round.
    return f"$ {number_format(round(millionths / 1_000_000, 3), 3)}"
