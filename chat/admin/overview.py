"""A conversation's page: its numbers, its turns without their words, summaries with versions, facts, notices."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from chat.admin import bars, desk, gauges, operations, troubles
from chat.flow import engine
from chat.models import Audit, ChatSession, Document, Fact, Job, Manifest, Notice, Summary, Turn
from chat.surgery.weighing import weigh

TURNS_A_PAGE = 50
MOST_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is listed of something, at most MOST_ROWS; whether there is more of it."""

    rows: list[Any]
    more: bool


def page(request: HttpRequest, session_id: UUID | str) -> HttpResponse:
    """Everything about one conversation but its words. A GET writes nothing."""
    session = desk.session_of(request, session_id)
    gauge = gauges.of([session.pk]).get(session.pk, gauges.Gauge())
    return desk.show(
        request,
        "admin/chat/session.html",
        f"Session {bars.short(session.pk)}",
        {
            "session": session,
            "gauge": gauge,
            "bar": bars.fullness(gauge.utilisation),
            "wrong": troubles.words([session.pk]).get(session.pk, []),
            "figures": figures(session, gauge),
            "operations": operations.offered(request.user),
            "may_read": request.user.has_perm(desk.READ),
            "summaries": summaries(session.pk),
            "facts": _rows(Fact, session, "value", "quote"),
            "notices": _rows(Notice, session),
            "documents": _rows(Document, session, "text", "name"),
            "jobs": _rows(Job, session),
            "audits": _audits(request, session),
            **_turns(session, None),
        },
    )


def turns(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """More turns, below the ones that are shown."""
    session = desk.session_of(request, session_id)
    given = request.GET.get("before", "")
    before = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None
    context = {"session": session, "may_read": request.user.has_perm(desk.READ), **_turns(session, before)}
    return render(request, "admin/chat/_turns.html", context)


def figures(session: ChatSession, gauge: gauges.Gauge) -> list[tuple[str, str, str]]:
    """What stands at the top: name, figure, remark."""
    left = "" if gauge.turns_left is None else f"~{gauge.turns_left:,} turns until it is full"
    return [
        ("At the last reply", f"{bars.tokens(gauge.tokens)} of {bars.tokens(gauge.window)}", left),
        ("Next request", f"~{bars.tokens(weigh(session).total)}", "turns, summaries and documents that it will hold"),
        ("Turns", f"{session.turns_active:,}", f"{session.turns_total:,} with other versions"),
        ("Not covered", bars.tokens(session.open_tokens), "tokens of finished turns without a summary"),
        ("Word for word from", f"turn {session.window_from}", "what is older is summarised or left out"),
        ("Marks", marks(session), "of the room for turns: compressed from, a reply waits from"),
        ("Messages at most", f"{session.window_messages or 'as the strategy says'}", "word for word; a turn has two"),
        ("Compactions", f"{session.compactions:,}", f"{session.trims:,} trims"),
        ("Input, output", f"{bars.tokens(session.input_tokens)}, {bars.tokens(session.output_tokens)}", "ever"),
    ]


def marks(session: ChatSession) -> str:
    """Where a session is compressed from, and a reply waits from; said where that is by the settings."""
    found = engine.marks(session.soft_mark, session.hard_mark)
    own = session.soft_mark is not None or session.hard_mark is not None
    return f"{bars.whole(found.soft)}, {bars.whole(found.hard)}{'' if own else ' (settings)'}"


def summaries(session_id: UUID) -> Rows:
    """The summaries without their texts: those that are sent first, in the turns' order, then the newest; each with the
    version that it is compared with."""
    columns = (
        "pk", "tier", "first", "last", "state", "version", "tokens", "source_tokens", "made_by", "model", "reason",
        "created_at", "committed_at",
    )  # fmt: skip
    own = Summary.objects.filter(session_id=session_id)
    before = own.filter(first=OuterRef("first"), last=OuterRef("last"), version__lt=OuterRef("version"))
    earlier = before.exclude(state=Summary.State.REJECTED).order_by("-version").values("pk")[:1]
    sent = Case(When(state=Summary.State.ACTIVE, then="first"))
    rows = own.annotate(compare=Coalesce("replaces_id", Subquery(earlier))).order_by(sent.asc(nulls_last=True), "-pk")
    return _some(rows.values(*columns, "compare"))


def _turns(session: ChatSession, before: int | None) -> dict[str, Any]:
    rows = Turn.objects.filter(session=session, active=True)
    if before is not None:
        rows = rows.filter(number__lt=before)
    columns = (
        "pk", "number", "kind", "status", "error", "prompt_tokens", "reply_tokens", "step_count", "excluded_by",
        "pinned_since", "redacted_at", "created_at", "closed_at", "lease_until", "attempt", "stop_reason",
    )  # fmt: skip
    shown = list(rows.order_by("-number").values(*columns)[:TURNS_A_PAGE])
    measured = dict(
        Manifest.objects.filter(turn_id__in=[row["pk"] for row in shown]).values_list("turn_id", "measured")
    )
    for row in shown:
        row["tokens"] = bars.tokens(row["prompt_tokens"] + row["reply_tokens"])
        row["manifest"] = row["pk"] in measured
        row["request"] = bars.tokens(measured.get(row["pk"]))
        row["sent"] = _sent(row) or ("word for word" if row["number"] >= session.window_from else "older")
    last = shown[-1]["number"] if shown else 1
    return {"turns": shown, "older": last if last > 1 else None}


def _sent(row: dict[str, Any]) -> str:
    """Its marks, which say more than where it stands; '' without any."""
    excluded = f"excluded ({row['excluded_by']})" if row["excluded_by"] else ""
    pinned = "pinned" if row["pinned_since"] is not None and not excluded else ""
    return ", ".join(filter(None, (excluded, pinned, "redacted" if row["redacted_at"] else "")))


def _rows(model: Any, session: ChatSession, *words: str) -> Rows:
    """The newest, without their words."""
    return _some(model.objects.filter(session=session).order_by("-id").defer(*words))


def _some(rows: QuerySet[Any, Any]) -> Rows:
    found = list(rows[: MOST_ROWS + 1])
    return Rows(rows=found[:MOST_ROWS], more=len(found) > MOST_ROWS)


def _audits(request: HttpRequest, session: ChatSession) -> list[Audit]:
    if not request.user.has_perm("chat.view_audit"):
        return []
    return list(Audit.objects.filter(session=session.pk).select_related("undone_by").order_by("-id")[:20])
