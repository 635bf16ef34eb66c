"""The running totals of a session, counted afresh: what `check_invariants` compares and `--repair` writes."""

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from chat.models import ChatSession, Step, Summary, Turn

COUNTED = ("turns_active", "turns_total", "open_tokens", "input_tokens", "output_tokens", "marked")


def _steps() -> Coalesce:
    own = Step.objects.filter(turn_id=OuterRef("pk")).order_by().values("turn_id").annotate(sum=Sum("tokens"))
    # Most turns have none, and say so themselves.
    sum_of_steps = Case(
        When(step_count=0, then=Value(0)), default=Subquery(own.values("sum")), output_field=IntegerField()
    )
    return Coalesce(sum_of_steps, 0)


def _usage(name: str) -> Coalesce:
    return Coalesce(Cast(KT(f"usage__{name}"), IntegerField()), 0)


def counted(session_ids: Collection[UUID] | None = None) -> dict[UUID, dict[str, int]]:
    """What the totals of each session with turns must be."""
    turns = Turn.objects.order_by()
    if session_ids is not None:
        turns = turns.filter(session_id__in=session_ids)
    covering = Summary.objects.filter(
        session_id=OuterRef("session_id"),
        state=Summary.State.ACTIVE,
        first__lte=OuterRef("number"),
        last__gte=OuterRef("number"),
    )
    out: dict[UUID, dict[str, int]] = {}
    by_session: tuple[tuple[QuerySet, dict[str, Any]], ...] = (
        (turns, {"turns_total": Count("pk")}),
        (turns.filter(active=True), {"turns_active": Count("pk")}),
        (turns.filter(Q(pinned_since__isnull=False) | ~Q(excluded_by=""), active=True), {"marked": Count("pk")}),
        (
            turns.filter(active=True, status__in=Turn.TERMINAL).filter(~Exists(covering)),
            {"open_tokens": Sum(F("prompt_tokens") + F("reply_tokens") + _steps())},
        ),
        (
            turns.filter(usage__isnull=False),
            {
                "input_tokens": Sum(_usage("input") + _usage("cache_read") + _usage("cache_write")),
                "output_tokens": Sum(_usage("output")),
            },
        ),
    )
    for rows, figures in by_session:
        for row in rows.values("session_id").annotate(**figures).iterator(chunk_size=1000):
            due = out.setdefault(row["session_id"], dict.fromkeys(COUNTED, 0))
            due.update({name: row[name] or 0 for name in figures})
    return out


def wrong(session_ids: Collection[UUID] | None = None) -> Iterator[tuple[UUID, str, int, int]]:
    """Totals that are wrong, as (session, name, what it is, what it must be)."""
    due = counted(session_ids)
    sessions = ChatSession.objects.all() if session_ids is None else ChatSession.objects.filter(pk__in=session_ids)
    nothing = dict.fromkeys(COUNTED, 0)
    for row in sessions.values("pk", *COUNTED).iterator(chunk_size=1000):
        for name in COUNTED:
            must = due.get(row["pk"], nothing)[name]
            if row[name] != must:
                yield row["pk"], name, row[name], must
    # Drafts of one commit share its time. Several could share one by chance, hence a lower bound and an upper one.
    commits = Summary.objects.filter(session_id=OuterRef("pk"), committed_at__isnull=False).order_by()
    bounds = sessions.annotate(
        least=Coalesce(Subquery(_per_session(commits, Count("committed_at", distinct=True))), 0),
        most=Coalesce(Subquery(_per_session(commits, Count("pk"))), 0),
    )
    off = bounds.filter(Q(compactions__lt=F("least")) | Q(compactions__gt=F("most")))
    for pk, compactions, least in off.values_list("pk", "compactions", "least"):
        yield pk, "compactions", compactions, least


def _per_session(rows: QuerySet, figure: Count) -> QuerySet:
    return rows.values("session_id").annotate(figure=figure).values("figure")


def _off(session_ids: Collection[UUID] | None) -> QuerySet:
    """Turns whose running sum is not their parent's and their own."""
    turns = Turn.objects.order_by()
    if session_ids is not None:
        turns = turns.filter(session_id__in=session_ids)
    own = Coalesce(F("parent__tokens_upto"), 0) + F("prompt_tokens") + F("reply_tokens") + _steps()
    return turns.annotate(due=own).exclude(tokens_upto=F("due"))


def wrong_sums(session_ids: Collection[UUID] | None = None) -> Iterator[tuple[UUID, int]]:
    """Sessions with turns whose `tokens_upto` is wrong, and how many."""
    # A turn in the middle of an attempt has a partial reply that nobody has counted yet.
    off = _off(session_ids).values("session_id").annotate(count=Count("pk"))
    yield from off.values_list("session_id", "count")


def mend_sums(session_id: UUID) -> int:
    """Write the running sums of a session anew, from the root; how many turns changed. The session is locked."""
    steps = dict(
        Step.objects.filter(turn__session_id=session_id)
        .values("turn_id")
        .annotate(sum=Sum("tokens"))
        .values_list("turn_id", "sum")
    )
    upto: dict[int | None, int] = {None: 0}
    changed: list[Turn] = []
    for turn in (
        Turn.objects.filter(session_id=session_id)
        .order_by("number")
        .only("pk", "parent_id", "prompt_tokens", "reply_tokens", "tokens_upto")
    ):
        due = upto.get(turn.parent_id, 0) + turn.prompt_tokens + turn.reply_tokens + steps.get(turn.pk, 0)
        upto[turn.pk] = due
        if turn.tokens_upto != due:
            turn.tokens_upto = due
            changed.append(turn)
    Turn.objects.bulk_update(changed, ["tokens_upto"], batch_size=500)
    return len(changed)
