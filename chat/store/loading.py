"""Reading what a request is made of: O(window) rows, however long the conversation is.

Without a transaction: the session's version is read before and after, and all is read again when it moved. (Three
SELECTs in one READ COMMITTED transaction see a gap between two commits all the same.)
"""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from chat.context import values as context
from chat.models import ChatSession, Fact, Step, Summary, Turn

TRIES = 5
MOST_FACTS = 200


class MovedTooOften(Exception):
    """The context changed with every try to read it; the turn goes back to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimits:
    """The most that one load reads: whole turns, and tokens (the turn that crosses the line still counts)."""

    turns: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """How a session's context is to be handled: what decides the limits before anything is loaded."""

    model: str
    strategy: str
    mode: str
    window_messages: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Handling):
    """A live turn with the history that its request is made from, all of one context version."""

    session_id: UUID
    owner_id: int
    turn_id: int
    number: int
    prompt: str
    context_version: int
    window_from: int
    parent_upto: int
    open_tokens: int
    previous: "Previous | None"
    history: context.History


@dataclass(frozen=True, slots=True)
class Previous:
    """What was measured of the turn before: its request's size, and what the API counted as its reply."""

    measured: int
    reply_tokens: int
    context_version: int
    window_from: int
    model: str


_HEAD = (
    "session_id",
    "number",
    "prompt",
    "parent__tokens_upto",
    "parent__reply_tokens",
    "parent__reply_source",
    "parent__manifest__measured",
    "parent__manifest__context_version",
    "parent__manifest__window_from",
    "parent__manifest__model",
    "session__owner_id",
    "session__model",
    "session__strategy",
    "session__mode",
    "session__window_messages",
    "session__context_version",
    "session__prefix_version",
    "session__window_from",
    "session__open_tokens",
    "session__compactions",
    "session__marked",
    "session__instructions__text",
)
_TURN = (
    "id", "number", "prompt", "reply", "prompt_tokens", "reply_tokens", "pinned_since", "excluded_by", "step_count",
)  # fmt: skip


def handling(turn_id: int) -> Handling:
    """How the session of a turn is handled. Raises Turn.DoesNotExist."""
    names = ("model", "strategy", "mode", "window_messages")
    row = Turn.objects.values_list(*(f"session__{name}" for name in names)).get(pk=turn_id)
    return Handling(**dict(zip(names, row, strict=True)))


def load(turn_id: int, limits: LoadLimits) -> Loaded:
    """Load what the request of a live turn is made of. Raises Turn.DoesNotExist, MovedTooOften."""
    for _ in range(TRIES):
        row = Turn.objects.values(*_HEAD).get(pk=turn_id)
        loaded = _load(turn_id, row, limits)
        version = ChatSession.objects.values_list("context_version", flat=True).get(pk=row["session_id"])
        if version == loaded.context_version:
            return loaded
    raise MovedTooOften


def _load(turn_id: int, row: dict, limits: LoadLimits) -> Loaded:
    session_id = row["session_id"]
    start = row["session__window_from"]
    settled = row["session__prefix_version"]
    upto = row["parent__tokens_upto"] or 0
    path = Turn.objects.filter(session_id=session_id, active=True, number__lt=row["number"])
    newest = list(
        path.filter(number__gte=start, tokens_upto__gt=upto - limits.tokens)
        .order_by("-number")
        .values(*_TURN)[: limits.turns]
    )
    rows = newest[::-1]
    excluded: list[tuple[int, str]] = []
    if row["session__marked"]:
        oldest = rows[0]["number"] if rows else row["number"]
        marked = path.filter(Q(pinned_since__isnull=False) | ~Q(excluded_by=""), number__lt=oldest)
        excluded = list(marked.exclude(excluded_by="").order_by("number").values_list("number", "excluded_by"))
        rows = [*marked.filter(excluded_by="").order_by("number").values(*_TURN), *rows]
    steps = _steps([one["id"] for one in rows if one["step_count"]])
    summaries = _summaries(session_id) if row["session__compactions"] else ()
    return Loaded(
        session_id=session_id,
        owner_id=row["session__owner_id"],
        turn_id=turn_id,
        number=row["number"],
        prompt=row["prompt"],
        model=row["session__model"],
        strategy=row["session__strategy"],
        mode=row["session__mode"],
        window_messages=row["session__window_messages"],
        context_version=row["session__context_version"],
        window_from=start,
        parent_upto=upto,
        open_tokens=row["session__open_tokens"],
        previous=_previous(row),
        history=context.History(
            instructions=row["session__instructions__text"],
            facts=_told(row, _facts(session_id, start, settled)),
            summaries=summaries,
            turns=tuple(_turn(one, settled, steps) for one in rows),
            last=row["number"] - 1,
            window_from=start,
            excluded=tuple(excluded),
        ),
    )


def turns_between(session_id, first: int, last: int) -> list[context.Turn]:
    """The turns first..last of the active path with all their words: what a summary is made from."""
    path = Turn.objects.filter(session_id=session_id, active=True, number__range=(first, last))
    rows = list(path.order_by("number").values(*_TURN))
    steps = _steps([one["id"] for one in rows if one["step_count"]])
    return [_turn(one, None, steps) for one in rows]


def _previous(row: dict) -> Previous | None:
    if row["parent__manifest__measured"] is None or row["parent__reply_source"] != Turn.Source.API:
        return None
    return Previous(
        row["parent__manifest__measured"],
        row["parent__reply_tokens"],
        row["parent__manifest__context_version"],
        row["parent__manifest__window_from"],
        row["parent__manifest__model"],
    )


def _turn(row: dict, settled: int | None, steps: dict[int, tuple[context.Step, ...]]) -> context.Turn:
    pinned_since = row["pinned_since"]
    return context.Turn(
        number=row["number"],
        prompt=row["prompt"],
        reply=row["reply"],
        steps=steps.get(row["id"], ()),
        prompt_tokens=row["prompt_tokens"],
        reply_tokens=row["reply_tokens"],
        pinned=pinned_since is not None,
        pin_settled=pinned_since is None or settled is None or pinned_since <= settled,
        excluded_by=row["excluded_by"],
    )


def _steps(turn_ids: list[int]) -> dict[int, tuple[context.Step, ...]]:
    out: dict[int, tuple[context.Step, ...]] = {}
    if not turn_ids:
        return out
    for step in Step.objects.filter(turn_id__in=turn_ids).order_by("turn_id", "index"):
        value = context.Step(
            kind=step.kind,
            body=step.body,
            call_id=step.call_id,
            name=step.name,
            tokens=step.tokens,
            is_error=step.is_error,
        )
        out[step.turn_id] = (*out.get(step.turn_id, ()), value)
    return out


def _summaries(session_id) -> tuple[context.Summary, ...]:
    rows = Summary.objects.filter(session_id=session_id, state=Summary.State.ACTIVE).order_by("first")
    return tuple(
        context.Summary(first=first, last=last, text=text, tokens=tokens, tier=tier, ref=f"S{pk}")
        for pk, first, last, text, tokens, tier in rows.values_list("pk", "first", "last", "text", "tokens", "tier")
    )


def _told(row, facts: tuple[context.Fact, ...]) -> tuple[context.Fact, ...]:
    """What a session that simply leaves older turns out may say of them: what a person pinned or told it.

    The rest was found in those turns, and goes with them.
    """
    slides = row["session__strategy"] == ChatSession.Strategy.SLIDING_WINDOW
    if not slides and row["session__mode"] != ChatSession.Mode.NEVER:
        return facts
    return tuple(fact for fact in facts if fact.pinned or fact.turn is None)


def _facts(session_id, window_from: int, settled: int) -> tuple[context.Fact, ...]:
    """Current facts that no verbatim turn says: pinned ones first, then those of the cached prefix, then newest.

    What supersedes a fact is younger than it, so that it is among the newest too; it is looked for in Python,
    because a subquery costs more than all the rest of the load.
    """
    rows = list(
        Fact.objects.filter(Q(turn__isnull=True) | Q(turn__active=True), session_id=session_id, forgotten_at=None)
        .filter(Q(turn__isnull=True) | Q(pinned=True) | Q(turn__number__lt=window_from))
        .order_by("-pinned", "-id")
        .values_list("id", "kind", "value", "quote", "turn__number", "pinned", "since", "supersedes_id")[:MOST_FACTS]
    )
    replaced = {row[-1] for row in rows}
    facts = [
        context.Fact(kind=kind, value=value, quote=quote, turn=number, pinned=pinned, settled=since <= settled)
        for pk, kind, value, quote, number, pinned, since, _ in rows
        if pk not in replaced
    ]
    # Stable: what stands in the cached prefix keeps its place whatever was learnt since.
    return tuple(sorted(facts, key=lambda fact: (not fact.pinned, not fact.settled)))
