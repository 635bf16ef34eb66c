"""What is remembered: each fact with the sentence that it came from, pinned turns, and what all of it costs."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from chat.context import prompts, selection
from chat.context import values as context
from chat.context.tokens import Counter
from chat.flow import control
from chat.models import ChatSession, Fact, Summary, Turn
from chat.store import facts, marks, ranges
from chat.store.facts import Known
from chat.store.standing import Standing
from chat.web import surroundings, transcript
from chat.web.deciding import WORDS, Refused, figures, tell, words_of, write
from chat.web.gauge import about
from chat.web.measuring import counter
from chat.web.pages import own, page

EDGES = re.compile(r"^[\s>#]+")
"""What Markdown puts before a sentence: a quotation, a heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactShown:
    """A fact as the panel shows it. `state` says how it reaches the model; `bad`: it does not."""

    id: int
    value: str
    quote: str
    before: str
    turn: int | None
    number: int | None
    told: bool
    tokens: str
    state: str
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PinShown:
    """A pinned turn as the panel shows it."""

    id: int
    number: int
    words: str
    tokens: str


@require_http_methods(["GET", "HEAD", "POST"])
@page
def remembered(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The panel; by POST: remember what a person says."""
    session = own(request, session_id)
    if request.method != "POST":
        return _panel(request, session)
    return _changed(request, session, lambda room: write(facts.add, session.pk, request.POST.get("value", ""), **room))


@require_POST
@page
def correct(request: HttpRequest, session_id: UUID, fact_id: int) -> HttpResponse:
    """Put another value in the place of a fact."""
    session = own(request, session_id)
    value = request.POST.get("value", "")
    return _changed(request, session, lambda room: write(facts.correct, session.pk, fact_id, value, **room))


@require_POST
@page
def forget(request: HttpRequest, session_id: UUID, fact_id: int) -> HttpResponse:
    """Take a fact away."""
    session = own(request, session_id)
    return _changed(request, session, lambda room: write(facts.forget, session.pk, fact_id))


@require_POST
@page
def unpin(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """Let go of a pinned turn, from the panel."""
    session = own(request, session_id)
    return _changed(request, session, lambda room: write(marks.unpin, session.pk, turn_id))


def _changed(request: HttpRequest, session: ChatSession, change: Any) -> HttpResponse:
    """Make a change that knows how much room there is, and show the panel as it is then."""
    why = ""
    try:
        change({"count": counter(session.model).count, "most": figures(session).budget.facts})
    except Refused as refused:
        why = str(refused)
    else:
        tell(session.pk, kind="remembered", first=1, last=session.turns_active or 1)
    if not request.htmx:
        if why:
            return _panel(request, session, why)
        return redirect("chat:remembered", session.pk)
    session.refresh_from_db()
    return _panel(request, session, why)


def _panel(request: HttpRequest, session: ChatSession, why: str = "") -> HttpResponse:
    shown = _shown(session) | {"why": why, "session": session, "session_id": session.pk, "title": _("Remembered")}
    if request.htmx and request.method == "POST":
        shown |= {"around": surroundings.parts(request.user, session, surroundings.shown(request))}
    return render(
        request,
        "chat/_remembered.html" if request.htmx else "chat/turn.html",
        shown | {"partial": "chat/_remembered.html"},
    )


def _shown(session: ChatSession) -> dict[str, Any]:
    known, count = facts.current(session.pk)
    counts = counter(session.model)
    figures_ = control.figures(session, counts)
    own_facts = _facts(session, known, counts, figures_.budget.facts if figures_ else 0)
    pins = [
        PinShown(id=pk, number=number, words=words_of(words), tokens=about(tokens))
        for (pk, number, tokens), words in _with_words(marks.pinned(session.pk))
    ]
    out: dict[str, Any] = {"facts": own_facts, "count": count, "pins": pins, "more": ""}
    if count > len(known):
        rest = count - len(known)
        out["more"] = ngettext("and %(n)s older one", "and %(n)s older ones", rest) % {"n": rest}
    if figures_:
        used = sum(tokens for *_rest, tokens in marks.pinned(session.pk))
        out["pins_cost"] = _("%(used)s of %(most)s tokens") % {"used": about(used), "most": about(figures_.budget.pins)}
        out["facts_most"] = about(figures_.budget.facts)
    return out


def _with_words(pins: list[tuple[int, int, int]]) -> list[tuple[tuple[int, int, int], str]]:
    rows = Turn.objects.filter(pk__in=[pk for pk, *_rest in pins]).only("pk", "prompt", "redacted_at")
    words = {turn.pk: transcript.prompt_of(turn) for turn in rows}
    return [(one, words.get(one[0], "")[: WORDS + 1]) for one in pins]


def _facts(session: ChatSession, known: list[Known], counts: Counter, most: int) -> list[FactShown]:
    """Each fact with how it reaches the model, by the very rule that assembly goes by."""
    stands = Standing.of(session)
    told = Summary.objects.filter(session=session, state=Summary.State.ACTIVE, until__active=True)
    summaries = [context.Summary(first=1, last=1, text=text, tokens=0) for text in told.values_list("text", flat=True)]
    pairs = [(one, one.as_context(session.prefix_version)) for one in known]
    priced = selection.price([fact for _one, fact in pairs], summaries, counts.count)
    excluded = {one.number for one in marks.sizes(session.pk) if one.excluded}
    again = {number for first, last in stands.restored for number in range(first, last + 1)}
    said, _beyond = selection.facts(
        priced, summaries=bool(summaries), start=stands.window_from, unsaid=excluded | again, limit=most
    )
    sent = {id(fact) for fact in said}
    in_summary = {id(one.fact): one.summarised for one in priced}
    return [_one(one, fact, id(fact) in sent, in_summary[id(fact)], stands, excluded, counts) for one, fact in pairs]


def without_marks(quote: str) -> str:
    """A sentence as it reads once its Markdown is drawn: a row of a table is told cell by cell."""
    cells = (cell.strip() for cell in EDGES.sub("", quote.replace("**", "")).split("|"))
    return " · ".join(cell for cell in cells if cell)


def _one(
    one: Known,
    fact: context.Fact,
    sent: bool,
    summarised: bool,
    stands: Standing,
    excluded: set[int],
    counts: Counter,
) -> FactShown:
    tokens = f"~{counts.count(prompts.wrap_facts([fact]))}"
    bad = False
    if sent:
        state = _("sent with every message")
    elif fact.turn in excluded:
        state, bad = _("not sent: its turn is left out"), True
    elif fact.turn is not None and (fact.turn >= stands.window_from or ranges.hold(stands.restored, fact.turn)):
        state, tokens = _("its turn is sent word for word"), ""
    elif summarised:
        state, tokens = _("stands in the summary"), ""
    else:
        state, bad = _("not sent: no room"), True
    return FactShown(
        id=one.id,
        value=one.value,
        quote=without_marks(one.quote),
        before=one.before,
        turn=one.turn,
        number=one.number,
        told=one.made_by == Fact.MadeBy.USER,
        tokens=tokens,
        state=state,
        bad=bad,
    )
