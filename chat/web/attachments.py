"""Files on their way in: sent, read, counted, and put beside the message box before anything is said about them.

A script sends one file at a time and is answered with its chip; a plain form sends many, and goes back to the page.
"""

import asyncio
import time
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from chat import service
from chat.context import documents as context
from chat.context.budget import BudgetError
from chat.context.tokens import Counter
from chat.documents import names
from chat.documents.extraction import Extraction
from chat.documents.refusals import Refused
from chat.flow import engine, windows
from chat.flow.engine import UnknownWindow
from chat.models import ChatSession, Document
from chat.store import documents
from chat.store.rates import Window
from chat.web import chips, sending
from chat.web.chips import Chip

STATUS = {"quota": 429, "gone": 404, "storage": 503, "window": 503}
REFUSED = 422

LARGE_TOKENS, LARGE_SHARE = 4_000, 16
"""A pasted text is offered to be attached from so many tokens on, or from that part of a small window."""

_extraction = Extraction()
_rate = Window()
_reading: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()


class NotTaken(Exception):
    """A file is not taken: a code of `chips.sentence` with its numbers."""

    def __init__(self, code: str, **figures: int) -> None:
        super().__init__(code)
        self.code = code
        self.figures = figures


@require_POST
@login_required
async def attach(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Put files beside the message box of a conversation."""
    user = await request.auser()
    session = await sending.read(_own, user, session_id)
    if session is None:
        raise Http404
    return await _attach(request, user, session)


@require_POST
@login_required
async def attach_first(request: HttpRequest) -> HttpResponse:
    """The same where there is no conversation yet: one is made first."""
    user = await request.auser()
    session = await sending.read(_own, user, await sending.new_session(user))
    if session is None:
        raise Http404
    return await _attach(request, user, session)


@require_POST
@login_required
async def detach(request: HttpRequest, session_id: UUID, document_id: int) -> HttpResponse:
    """Take a document out: of the message box, or of every later request."""
    user = await request.auser()
    if not await sending.write(documents.remove, user.pk, session_id, document_id):
        raise Http404
    if _by_script(request):
        return HttpResponse(status=204)
    return redirect("chat:conversation", session_id)


@require_POST
@login_required
async def count(request: HttpRequest) -> HttpResponse:
    """How many tokens a text has, by estimate: for what was pasted, before it is sent."""
    text = request.POST.get("text", "")[: settings.CHAT_MAX_MESSAGE_CHARS]
    found = await sending.read(_counter(settings.CHAT_MODEL).count, text)
    return JsonResponse({"tokens": found, "shown": chips.tokens(found)})


def limits() -> dict[str, int]:
    """What the page's script goes by: the largest file in bytes, and from how many tokens on a text is a large one."""
    window = settings.CHAT_CONTEXT_WINDOW
    return {
        "upload": settings.CHAT_MAX_UPLOAD_BYTES,
        "large": min(LARGE_TOKENS, window // LARGE_SHARE) if window else LARGE_TOKENS,
    }


async def _attach(request: HttpRequest, user: Any, session: ChatSession) -> HttpResponse:
    files = request.FILES.getlist("files")[: settings.CHAT_MAX_DOCUMENTS]
    made = [await _chip(user, session, file) for file in files]
    if _by_script(request):
        context = {"chips": [chip for chip, _ in made], "attach": reverse("chat:attach", args=[session.pk])}
        status = max((status for _, status in made), default=400)
        return render(request, "chat/_chips.html", context, status=status)
    for chip, _ in made:
        if chip.refusal:
            messages.error(request, f"{chip.name}: {chip.refusal}")
    return redirect("chat:conversation", session.pk)


async def _chip(user: Any, session: ChatSession, file: UploadedFile) -> tuple[Chip, int]:
    """The chip of one file, and the status that goes with it."""
    try:
        return chips.chips([await _take(user, session, file)])[0], 201
    except (Refused, NotTaken) as refused:
        name = names.clean(file.name or "")
        return chips.refused(name, refused.code, refused.figures), STATUS.get(refused.code, REFUSED)


async def _take(user: Any, session: ChatSession, file: UploadedFile) -> Document:
    """Read, count and store one file. Raises Refused, NotTaken."""
    if settings.CHAT_UPLOADS_PER_MINUTE and _rate.take(user.pk, settings.CHAT_UPLOADS_PER_MINUTE, time.monotonic()):
        raise NotTaken("quota")
    size = file.size or 0
    if size > settings.CHAT_MAX_UPLOAD_BYTES:
        raise Refused("too_large", size=size, limit=settings.CHAT_MAX_UPLOAD_BYTES)
    # One file of a person at a time: nobody's bombs keep the others' files waiting.
    lock = _reading.setdefault(user.pk, asyncio.Lock())
    async with lock:
        read = await _extraction.read(file.name or "", file.read())
    budget = await _budget(session)
    found = await sending.read(context.tokens, read.name, read.text, _counter(session.model))
    try:
        kept = await sending.write(
            documents.keep,
            user.pk,
            session.pk,
            name=read.name,
            kind=read.kind,
            text=read.text,
            size=read.size,
            tokens=found,
            budget=budget,
            most=settings.CHAT_MAX_DOCUMENTS,
        )
    except (DatabaseError, InterfaceError):
        raise NotTaken("storage") from None
    if kept is None:
        raise NotTaken("gone")
    if isinstance(kept, documents.TooMany):
        raise NotTaken("many", most=kept.most)
    if isinstance(kept, documents.Full):
        raise NotTaken("full", tokens=kept.tokens, left=kept.left, budget=kept.budget)
    return kept


def _own(user: Any, session_id: UUID) -> ChatSession | None:
    return ChatSession.objects.owned_by(user).select_related("instructions").filter(pk=session_id).first()


def _counter(model: str) -> Counter:
    return service.current().engine.counter(model) if service.running() else Counter()


async def _budget(session: ChatSession) -> int:
    """What all documents of a conversation may hold, in tokens. Raises NotTaken."""
    instructions = session.instructions.text
    try:
        if service.running():
            own = service.current().engine
            return (await own.budget(session.model, instructions, thinking=session.thinking)).documents
        return await sending.read(_split, session.model, instructions, session.thinking)
    except (UnknownWindow, BudgetError):
        raise NotTaken("window") from None


def _split(model: str, instructions: str, thinking: bool) -> int:
    """The same in a process that reaches no model: by the setting, or by what the service last said."""
    info = windows.stored(model)
    if info is None:
        raise UnknownWindow(model)
    return engine.split(info, Counter().count(instructions), thinking=thinking).documents


def _by_script(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"
