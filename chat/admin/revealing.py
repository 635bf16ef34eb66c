"""Showing the words of a user: for those who may, with a reason, and with an entry in the audit every time.

The words are the answer to a POST: a page that is loaded again asks again, and leaves an entry again.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from chat.admin import bars, desk
from chat.models import ChatSession, Fact, Summary, Turn
from chat.surgery import auditing
from chat.surgery.values import Refused

MOST = 50
"""What is shown at once: as many as a page of turns has boxes. More is refused, never left out."""
MOST_FACTS = 100
KINDS = ("turns", "summary", "versions", "facts")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that somebody wrote, under a name. `lines` is a diff: (what, text)."""

    name: str
    text: str = ""
    lines: tuple[tuple[str, str], ...] = ()


@require_POST
def page(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """What was asked for, or the question why. Without a reason nothing is shown, and nothing is written."""
    session = desk.session_of(request, session_id)
    desk.demand(request, desk.READ)
    kind = request.POST.get("kind", "")
    ids = [int(one) for one in request.POST.getlist("id") if one.isascii() and one.isdecimal() and len(one) < 19]
    context: dict[str, Any] = {"session": session, "kind": kind, "ids": ids, "reason": request.POST.get("reason", "")}
    title = f"Read the words of session {bars.short(session.pk)}"
    if kind not in KINDS or (not ids and kind != "facts"):
        context["refused"] = "Nothing was chosen. Go back and choose what to read."
        return desk.show(request, "admin/chat/reveal.html", title, context, status=400)
    if len(ids) > MOST:
        said = f"{len(ids):,} were chosen, at most {MOST} are shown at once. Go back and choose fewer."
        return desk.show(request, "admin/chat/reveal.html", title, context | {"refused": said, "ids": []}, status=400)
    if "reason" not in request.POST:
        return desk.show(request, "admin/chat/reveal.html", title, context)
    try:
        with transaction.atomic():
            entry = auditing.record(
                request.user.pk,
                "read_text",
                session=session.pk,
                reason=request.POST["reason"],
                target={"kind": kind, "ids": ids},
            )
            pieces = list(_pieces(session, kind, ids))
    except Refused as refused:
        context["refused"] = str(refused)
        return desk.show(request, "admin/chat/reveal.html", title, context, status=400)
    return desk.show(request, "admin/chat/reveal.html", title, context | {"pieces": pieces, "entry": entry})


def _pieces(session: ChatSession, kind: str, ids: list[int]) -> Iterator[Piece]:
    match kind:
        case "turns":
            rows = Turn.objects.filter(session=session, pk__in=ids).order_by("number")
            for number, prompt, reply in rows.values_list("number", "prompt", "reply"):
                yield Piece(f"Turn {number}, the user", prompt)
                yield Piece(f"Turn {number}, the reply", reply)
        case "summary":
            for row in Summary.objects.filter(session=session, pk__in=ids).order_by("pk"):
                yield Piece(f"S{row.pk}, version {row.version}, turns {row.first}–{row.last}", row.text)
        case "versions":
            yield from _versions(session, ids)
        case "facts":
            facts = Fact.objects.filter(session=session).order_by("-id")
            for fact in facts[:MOST_FACTS]:
                yield Piece(f"{fact.kind} (fact {fact.pk})", f"{fact.value}\n{fact.quote}".strip())
            if (left := facts.count() - MOST_FACTS) > 0:
                yield Piece(f"{left:,} older facts", f"Only the newest {MOST_FACTS} are shown.")


def _versions(session: ChatSession, ids: list[int]) -> Iterator[Piece]:
    """Two versions of a summary, side by side in one list of lines."""
    rows = {row.pk: row for row in Summary.objects.filter(session=session, pk__in=ids[:2])}
    if len(rows) < 2:
        return
    old, new = (rows[one] for one in ids[:2])
    lines = tuple(diff(old.text, new.text))
    yield Piece(f"S{old.pk} (version {old.version}) → S{new.pk} (version {new.version})", lines=lines)


def diff(old: str, new: str) -> Iterator[tuple[str, str]]:
    """What changed from `old` to `new`, line by line, as ("same" | "gone" | "new", text)."""
    words = {"  ": "same", "- ": "gone", "+ ": "new"}
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if what := words.get(line[:2]):
            yield what, line[2:]
