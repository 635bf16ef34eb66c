"""What the operator's pages want to know of conversations: ids, numbers, codes and times, never a word of anybody.

Handed to monitoring by `chat.apps`; each is asked for the few sessions that a page shows.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, Max, Min, Q, Sum, When
from django.utils import timezone

from chat.context import forgetting
from chat.context.values import Run
from chat.models import ChatSession, Job, Manifest, Notice, Summary, Turn
from chat.models.literal import one_of

Row = dict[str, Any]

# Requests of which the fate of a turn is told: the ones after it, and the newest.
FOLLOWED = 400


def backlog() -> dict[str, int | float]:
    """Compactions that wait or run, and for how many seconds the oldest has waited."""
    found = (
        Job.objects.filter(one_of("state", *Job.OPEN), kind="compact")
        .values_list("state")
        .annotate(n=Count("pk"), oldest=Min("created_at"))
        .order_by()
    )
    told = {state: (n, oldest) for state, n, oldest in found}
    since = [oldest for _, oldest in told.values()]
    oldest = max(0.0, (timezone.now() - min(since)).total_seconds()) if since else 0
    return {
        "backlog": sum(n for n, _ in told.values()),
        "running": told.get(Job.State.RUNNING, (0, None))[0],
        "oldest_s": round(oldest),
    }


def standing(sessions: Iterable[UUID]) -> dict[UUID, Row]:
    """Of each session: its `mode`, the tokens that `pinned` turns hold, and its open compaction.

    `job` is its number, `job_state` "due" or "running", `job_s` how many seconds it has been there.
    """
    wanted = list(sessions)
    rows: dict[UUID, Row] = {
        pk: {"mode": mode, "strategy": strategy, "pinned": 0, "job": None, "job_state": "", "job_s": 0}
        for pk, mode, strategy in ChatSession.objects.filter(pk__in=wanted).values_list("pk", "mode", "strategy")
    }
    pins = Turn.objects.filter(session__in=rows, active=True, pinned_since__isnull=False).values_list("session")
    for session, tokens in pins.annotate(tokens=Sum(F("prompt_tokens") + F("reply_tokens"))).order_by():
        rows[session]["pinned"] = tokens
    now = timezone.now()
    jobs = Job.objects.filter(one_of("state", *Job.OPEN), kind="compact", session__in=rows)
    for session, pk, state, since in jobs.values_list("session", "pk", "state", "created_at"):
        seconds = max(0, round((now - since).total_seconds()))
        rows[session] |= {"job": pk, "job_state": state, "job_s": seconds}
    return rows


def summaries(session: UUID) -> list[Row]:
    """The versions of a session's summaries, newest first; drafts are not shown."""
    fields = (
        "pk",
        "tier",
        "first",
        "last",
        "version",
        "state",
        "made_by",
        "model",
        "reason",
        "source_tokens",
        "tokens",
    )
    rows = Summary.objects.filter(session=session).exclude(state=Summary.State.DRAFT).order_by("-created_at", "-pk")
    return [
        {**row, "at": row.pop("committed_at") or row.pop("created_at")}
        for row in rows.values(*fields, "created_at", "committed_at")[:200]
    ]


def notices(session: UUID) -> list[Row]:
    """What was said in the transcript about turns that the model no longer sees word for word, newest first."""
    rows = Notice.objects.filter(session=session).order_by("-created_at", "-pk")
    return list(rows.values("kind", "first", "last", "tokens_before", "tokens_after", "created_at", "ended_at")[:200])


def work(session: UUID) -> list[Row]:
    """The running totals of a session, as one row; none for a session that is gone. A turn has two `messages`, one
    that is not answered yet has one."""
    held = ChatSession.objects.filter(pk=session)
    waits = Case(When(head__status__in=Turn.LIVE, then=1), default=0)
    fields = ("mode", "turns_active", "turns_total", "compactions", "trims", "created_at", "updated_at")
    told = list(held.annotate(messages=F("turns_active") * 2 - waits).values(*fields, "messages"))
    return [row | {"compressed": _compressed(Q(session=session))} for row in told]


def person(user: int) -> list[Row]:
    """The same of all sessions of a user together, as one row; none for whom nothing is kept."""
    told = ChatSession.objects.filter(owner=user, deleted_at__isnull=True).aggregate(
        sessions=Count("pk"), turns_active=Sum("turns_active"), turns_total=Sum("turns_total"),
        compactions=Sum("compactions"), trims=Sum("trims"), created_at=Min("created_at"), updated_at=Max("updated_at"),
        waiting=Count("pk", filter=Q(head__status__in=Turn.LIVE)),
    )  # fmt: skip
    if not told["sessions"]:
        return []
    messages = 2 * told["turns_active"] - told.pop("waiting")
    kept = Q(session__owner=user, session__deleted_at__isnull=True)
    return [told | {"messages": messages, "compressed": _compressed(kept)}]


def _compressed(kept: Q) -> int:
    """Turns that active summaries stand for."""
    active = Summary.objects.filter(kept, state=Summary.State.ACTIVE)
    return active.aggregate(sum=Sum(F("last") - F("first") + 1))["sum"] or 0


def fate(session: UUID, turn: int) -> list[Row]:
    """What became of turn number `turn` in the requests that followed, as `chat.context.forgetting` tells it.

    Of a very long conversation the first FOLLOWED requests and the newest; none for a turn that is not there.
    """
    asked = Manifest.objects.filter(turn__session=session, turn__active=True, turn__number__gte=turn)
    columns = ("turn__number", "ranges", "model", "window", "rung")
    told = list(asked.order_by("turn__number").values_list(*columns)[:FOLLOWED])
    newest = asked.order_by("-turn__number").values_list(*columns).first()
    if newest and newest[0] > told[-1][0]:
        told.append(newest)
    seen = (
        forgetting.Seen(number=number, runs=[Run(*run) for run in runs], model=model, window=window, rung=rung)
        for number, runs, model, window, rung in told
    )
    return [
        {"first": one.first, "last": one.last, "how": one.how, "by": one.by, "why": one.why}
        for one in forgetting.fate(turn, seen)
    ]
