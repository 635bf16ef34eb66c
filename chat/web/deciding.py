"""What a person decides about the context: pin a turn, leave it out, take a compression back; each by POST.

A page with script gets the parts that changed; a plain form comes back to its page. A refusal changes nothing and is
one sentence with its figures.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, trigger_client_event

from chat import service
from chat.flow import compactor, control
from chat.flow.closing import compacts
from chat.flow.control import Figures
from chat.flow.engine import UnknownWindow
from chat.models import ChatSession, Notice, Turn
from chat.store import facts, leases, marks, undoing
from chat.store.branches import SessionBusy, UnknownTurn
from chat.web import measuring, sending, surroundings, transcript
from chat.web.gauge import about
from chat.web.pages import number, own, page

P = ParamSpec("P")
T = TypeVar("T")

MOST_CHOICES = 200
"""Turns of a notice that can be pinned from it; older ones are pinned where they stand."""
WORDS = 80
"""Characters of a message by which a turn is known in a list."""


class Refused(Exception):
    """Nothing was changed; `args[0]` says why, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A turn in a list."""

    id: int
    number: int
    words: str
    tokens: str


def figures(session: ChatSession) -> Figures:
    """The figures that decisions are measured by. Raises Refused."""
    found = control.figures(session, measuring.counter(session.model))
    if found is None and service.running():
        with contextlib.suppress(UnknownWindow):
            async_to_sync(service.current().engine.window)(session.model)
        found = control.figures(session, measuring.counter(session.model))
    if found is None:
        raise Refused(_("It is not known yet how large the model’s window is. Send a message first."))
    return found


def write(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a unit of work that writes, from a page; its refusals become sentences. Raises Refused, Http404."""
    try:
        return async_to_sync(sending.write)(work, *args, **kwargs)
    except (UnknownTurn, facts.UnknownFact):
        raise Http404 from None
    except SessionBusy:
        raise Refused(_("A reply is running. Wait until it has ended, or stop it.")) from None
    except marks.PinsFull as full:
        values = {"tokens": about(full.tokens), "used": about(full.used), "most": about(full.most)}
        text = _("There is no room for this pin: it holds %(tokens)s, and %(used)s of %(most)s are pinned already.")
        raise Refused(text % values) from None
    except marks.Excluded as excluded:
        raise Refused(_by(excluded.by)) from None
    except undoing.NothingThere:
        raise Refused(_("This has changed meanwhile; here is how it stands now.")) from None
    except undoing.DoesNotFit as large:
        raise Refused(_too_much(large.tokens, large.most)) from None
    except facts.EmptyFact:
        raise Refused(_("Write at least a word.")) from None
    except facts.FactsFull as full:
        text = _("There is no room for this: what you told would hold %(tokens)s, and %(most)s are kept for it.")
        raise Refused(text % {"tokens": about(full.tokens), "most": about(full.most)}) from None


def _by(who: str) -> str:
    if who == marks.USER:
        return _("This turn is left out of the context. Include it first.")
    if who == "refusal":
        return _("The model declined this turn; it is never sent again.")
    return _("An operator left this turn out.")


def _too_much(tokens: int, most: int) -> str:
    text = _("It does not fit: %(tokens)s would stand word for word, and there is room for %(most)s.")
    return text % {"tokens": about(tokens), "most": about(max(0, most))}


def tell(session_id: UUID, *, kind: str, first: int, last: int) -> None:
    """Have every page of this conversation look at what stands around the turns again."""
    if service.running():
        async_to_sync(_tell)(session_id, kind, first, last)


async def _tell(session_id: UUID, kind: str, first: int, last: int) -> None:
    service.current().hub.notice(session_id, kind=kind, first=first, last=last)


def wake() -> None:
    """A job was enqueued."""
    if service.running():
        async_to_sync(_wake)()


async def _wake() -> None:
    service.current().wake_jobs()


# --- what a page gets back ---------------------------------------------------------------------------------


def refused(request: HttpRequest, session: ChatSession, why: Refused) -> HttpResponse:
    """Nothing changed: say why, where the page says such things."""
    if not request.htmx:
        messages.warning(request, str(why))
        return redirect("chat:conversation", session.pk)
    answer = reswap(HttpResponse(), "none")
    return trigger_client_event(answer, "refused", {"text": str(why)})


def changed(request: HttpRequest, session: ChatSession, *, turn: int | None = None) -> HttpResponse:
    """The parts of the page that may have changed, each for its place; with `turn` that turn first."""
    if not request.htmx:
        address = redirect("chat:conversation", session.pk)
        if turn:
            address["Location"] += f"#turn-{turn}"
        return address
    session.refresh_from_db()
    shown = transcript.one(session, turn) if turn else None
    context = surroundings.parts(request.user, session, surroundings.shown(request)) | {"turn": shown}
    partial = "chat/_settled.html" if shown else "chat/_around.html"
    return surroundings.tell(render(request, partial, context), session)


# --- turns --------------------------------------------------------------------------------------------------


@require_POST
@page
def pin(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Keep a turn word for word; `pinned` "0": no longer."""
    session = own(request, session_id)
    listed = _listed(request, session)
    try:
        if request.POST.get("pinned") == "0":
            done = write(marks.unpin, session.pk, turn_id)
        else:
            done = write(marks.pin, session.pk, turn_id, most=figures(session).budget.pins)
    except Refused as why:
        return refused(request, session, why)
    return _marked(request, session, turn_id, done, listed)


@require_POST
@page
def exclude(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Leave a turn out of the context; `excluded` "0": no longer."""
    session = own(request, session_id)
    listed = _listed(request, session)
    try:
        known = control.figures(session, measuring.counter(session.model))
        most = known.most(known.turns) if known else None
        if request.POST.get("excluded") == "0":
            done = write(marks.include, session.pk, turn_id, most=most)
        else:
            done = write(marks.exclude, session.pk, turn_id, most=most)
    except Refused as why:
        return refused(request, session, why)
    if done.stale and compacts(session.strategy, session.mode):
        write(leases.enqueue, compactor.KIND, session.pk)
        wake()
    return _marked(request, session, turn_id, done, listed)


def _listed(request: HttpRequest, session: ChatSession) -> int | None:
    """The notice under whose list the turn was marked, by its id; None where it was marked elsewhere.

    Looked for before anything is written: an answer that says "not found" has done nothing. Raises Http404.
    """
    chosen = number(request.POST.get("notice")) if request.htmx else None
    return _notice(session, chosen).pk if chosen else None


def _marked(
    request: HttpRequest, session: ChatSession, turn_id: int, done: marks.Marked, listed: int | None
) -> HttpResponse:
    if done.changed:
        tell(session.pk, kind="marked", first=done.number, last=done.number)
    if listed:
        # That list is shown again, with what may still be pinned.
        session.refresh_from_db()
        context = _acts(session, _notice(session, listed)) | {"choosing": True}
        answer = surroundings.tell(render(request, "chat/_notice_acts.html", context), session)
        answer = trigger_client_event(answer, "turn-changed", {"number": done.number})
        return trigger_client_event(answer, "look-at", {"id": f"choose-{listed}"}, after="settle")
    return changed(request, session, turn=turn_id)


# --- notices ------------------------------------------------------------------------------------------------


@require_safe
@page
def notice(request: HttpRequest, session_id: UUID, notice_id: int) -> HttpResponse:
    """What can be done about a compression, with its price, before anything is done."""
    session = own(request, session_id)
    context = _acts(session, _notice(session, notice_id)) | {"title": _("Compressed turns")}
    return render(request, "chat/_notice_acts.html" if request.htmx else "chat/turn.html", context)


@require_POST
@page
def restore(request: HttpRequest, session_id: UUID, notice_id: int) -> HttpResponse:
    """Send the turns of a notice word for word again; `again` "1": compress them again."""
    session = own(request, session_id)
    row = _notice(session, notice_id)
    try:
        if request.POST.get("again") == "1":
            done = write(undoing.compress_again, session.pk, row.first, row.last)
        else:
            known = figures(session)
            price = control.price_of_restoring(session, row.first, row.last, known)
            if price and not price.fits:
                raise Refused(_too_much(price.tokens_after, price.most))
            most = price.most if price else 0
            done = write(undoing.restore, session.pk, row.first, row.last, most=most)
    except Refused as why:
        return refused(request, session, why)
    tell(session.pk, kind="restored", first=done.first, last=done.last)
    answer = changed(request, session)
    return (
        trigger_client_event(answer, "look-at", {"id": f"after-{done.last}"}, after="settle")
        if request.htmx
        else answer
    )


def _notice(session: ChatSession, notice_id: int) -> Notice:
    row = Notice.objects.filter(session=session, pk=notice_id, until__active=True).first()
    if row is None:
        raise Http404
    return row


def _acts(session: ChatSession, row: Notice) -> dict[str, Any]:
    context = {"session_id": session.pk, "session": session, "notice": row, "partial": "chat/_notice_acts.html"}
    return context | (_offer(session, row) if row.kind == Notice.Kind.COMPRESSED else {})


def _offer(session: ChatSession, row: Notice) -> dict[str, Any]:
    """Restoring and pinning, with what each costs."""
    try:
        known = figures(session)
    except Refused as why:
        return {"why": str(why)}
    price = control.price_of_restoring(session, row.first, row.last, known)
    used = sum(tokens for *_rest, tokens in marks.pinned(session.pk))
    return {
        "price": price,
        "price_text": _price(session, price) if price else "",
        "warns": bool(price) and price.reached != "none",
        "why": "" if not price or price.fits else _too_much(price.tokens_after, price.most),
        "choices": _choices(session, row),
        "pins": _("Pinned: %(used)s of %(most)s") % {"used": about(used), "most": about(known.budget.pins)},
    }


def _price(session: ChatSession, price: control.Price) -> list[str]:
    """What restoring adds, and where that leaves the context."""
    own_figures = measuring.measure(session)
    lines = [_("Restoring adds %(tokens)s") % {"tokens": about(max(0, price.added - price.saved))}]
    if own_figures:
        now = own_figures.gauge
        after = now.tokens + price.added - price.saved
        line = _("~%(after)s of %(window)s") % {"after": about(after), "window": about(now.window)}
        if price.reached != "none" and now.compacts_at:
            line += ", " + _("past the mark at %(mark)s") % {"mark": about(now.compacts_at)}
        lines.append(line)
    return lines


def _choices(session: ChatSession, row: Notice) -> list[Choice]:
    """The turns of a notice that may be pinned and that say something, the newest first."""
    turns = Turn.objects.filter(
        session=session, active=True, number__range=(row.first, row.last), pinned_since__isnull=True, excluded_by="",
        redacted_at__isnull=True,
    )  # fmt: skip
    rows = turns.annotate(own=marks.OWN_TOKENS).order_by("-number").values_list("pk", "number", "prompt", "own")
    return [
        Choice(id=pk, number=number, words=words_of(prompt), tokens=about(own))
        for pk, number, prompt, own in rows[:MOST_CHOICES]
    ]


def words_of(prompt: str) -> str:
    """The first words of a message, on one line."""
    return " ".join(prompt[:WORDS].split()) + ("…" if len(prompt) > WORDS else "")
