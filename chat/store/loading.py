"""Reading what a request is made of: O(window) rows, however long the conversation is.

Without a transaction: the session's version is read with the first statement and with the last, and all is read again
when it moved. (Three SELECTs in one READ COMMITTED transaction see a gap between two commits all the same.) Where a
cache of recent windows is at hand, one statement is enough: see store.recent.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from chat.context import values as context
from chat.models import ChatSession, Step, Turn
from chat.store import ranges, statements
from chat.store.recent import Key, Recent, Window
from chat.store.statements import as_uuid

TRIES = 5
STEP = ("kind", "body", "call_id", "name", "tokens", "is_error")


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
    thinking: bool = False
    soft_mark: int | None = None
    hard_mark: int | None = None


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
    window: Window


@dataclass(frozen=True, slots=True)
class Previous:
    """What was measured of the turn before: its request's size, and what the API counted as its reply."""

    measured: int
    reply_tokens: int
    context_version: int
    window_from: int
    model: str


LimitsOf = Callable[[Handling], LoadLimits]


class Head(NamedTuple):
    """The row of `statements.HEAD`."""

    session_id: Any
    number: int
    prompt: str
    parent_id: int | None
    parent_upto: int | None
    parent_reply_tokens: int | None
    parent_reply_source: str | None
    measured: int | None
    measured_version: int
    measured_from: int
    measured_model: str
    owner_id: int
    model: str
    strategy: str
    mode: str
    window_messages: int | None
    context_version: int
    prefix_version: int
    window_from: int
    restored: Any
    open_tokens: int
    compactions: int
    marked: int
    instructions: str
    documents: bool
    thinking: bool
    soft_mark: int | None
    hard_mark: int | None


class Row(NamedTuple):
    """A turn as `statements.NEWEST` reads it."""

    id: int
    number: int
    prompt: str
    reply: str
    prompt_tokens: int
    reply_tokens: int
    pinned_since: int | None
    excluded_by: str
    step_count: int
    tokens_upto: int


def load(turn_id: int, limits: LimitsOf, recent: Recent | None = None) -> Loaded:
    """Load what the request of a live turn is made of. Raises Turn.DoesNotExist, MovedTooOften.

    `limits` says how much of a session may be read once it is known how its context is handled.
    """
    for _ in range(TRIES):
        found = statements.rows(statements.HEAD, [turn_id])
        if not found:
            raise Turn.DoesNotExist
        head = Head(*found[0])
        plan = Handling(model=head.model, strategy=head.strategy, mode=head.mode, window_messages=head.window_messages)
        most = limits(plan)
        key = Key(str(as_uuid(head.session_id)), head.context_version, head.parent_id, most.turns, most.tokens)
        window = recent.get(key) if recent and head.parent_id else None
        if window is not None:
            return _loaded(turn_id, head, window)
        window, version = _read(head, most)
        if version == head.context_version:
            if recent and head.parent_id:
                recent.put(key, window)
            return _loaded(turn_id, head, window)
    raise MovedTooOften


def following(
    loaded: Loaded, row: tuple[Any, ...], steps: Sequence[context.Step], limits: LoadLimits
) -> tuple[Key, Window] | None:
    """What the load of the next turn would find after this one closed as `row`; None where only the database knows.

    Only while the context version is still the one that was loaded.
    """
    closed = Row(*row)
    key = Key(str(loaded.session_id), loaded.context_version, closed.id, limits.turns, limits.tokens)
    # Thinking is deleted at close.
    kept = [[getattr(step, name) for name in STEP] for step in steps if step.kind != "thinking"]
    window = loaded.window.followed_by(row, kept, key, closed.tokens_upto)
    return (key, window) if window else None


def _read(head: Head, limits: LoadLimits) -> tuple[Window, int | None]:
    """What the database has, and the version of the session when the last of it was read."""
    upto = (head.parent_upto or 0) - limits.tokens
    newest = statements.rows(
        statements.NEWEST, [head.session_id, True, head.window_from, head.number, upto, limits.turns]
    )
    turns = [Row(*row) for row in reversed(newest)]
    marked: list[Row] = []
    excluded: list[tuple[int, str]] = []
    restored = _restored(head)
    if head.marked or restored:
        oldest = turns[0].number if turns else head.number
        path = Turn.objects.filter(session_id=head.session_id, active=True, number__lt=oldest)
        wanted = Q(pinned_since__isnull=False) | ~Q(excluded_by="")
        for one in restored:
            wanted |= Q(number__range=one)
        rows = path.filter(wanted).order_by("number")
        excluded = list(rows.exclude(excluded_by="").values_list("number", "excluded_by"))
        marked = [Row(*row) for row in rows.filter(excluded_by="").values_list(*Row._fields)]
    rows = [*marked, *turns]
    steps = _steps([row.id for row in rows if row.step_count])
    summaries = statements.rows(statements.SUMMARIES, [head.session_id]) if head.compactions else []
    documents = statements.rows(statements.DOCUMENTS, [head.session_id, True, True]) if head.documents else []
    version, facts = _facts(head)
    window = Window(
        turns=rows,
        marked=len(marked),
        steps=steps,
        excluded=excluded,
        summaries=summaries,
        facts=facts,
        documents=documents,
    )
    return window, version


def _restored(head: Head) -> ranges.Ranges:
    """Ranges before the window that stand word for word. A driver that knows no JSON gives its text."""
    stored = json.loads(head.restored) if isinstance(head.restored, str | bytes) else head.restored
    return ranges.before(ranges.read(stored), head.window_from)


def _loaded(turn_id: int, head: Head, window: Window) -> Loaded:
    restored = _restored(head)
    return Loaded(
        session_id=as_uuid(head.session_id),
        owner_id=head.owner_id,
        turn_id=turn_id,
        number=head.number,
        prompt=head.prompt,
        model=head.model,
        strategy=head.strategy,
        mode=head.mode,
        window_messages=head.window_messages,
        thinking=bool(head.thinking),
        soft_mark=head.soft_mark,
        hard_mark=head.hard_mark,
        context_version=head.context_version,
        window_from=head.window_from,
        parent_upto=head.parent_upto or 0,
        open_tokens=head.open_tokens,
        previous=_previous(head),
        window=window,
        history=context.History(
            instructions=head.instructions,
            documents=tuple(
                context.Document(
                    name=name,
                    text=text,
                    tokens=tokens,
                    ref=f"{context.DOCUMENT_REF}{pk}",
                    turn=number,
                    settled=since <= head.prefix_version,
                )
                for pk, name, text, tokens, since, number in window.documents
            ),
            facts=_told(head, window.facts),
            summaries=tuple(
                context.Summary(first=first, last=last, text=text, tokens=tokens, tier=tier, ref=f"S{pk}")
                for pk, first, last, text, tokens, tier in window.summaries
            ),
            turns=tuple(
                _turn(Row(*row), head.prefix_version, window.steps, restored=ranges.hold(restored, row[1]))
                for row in window.turns
            ),
            last=head.number - 1,
            window_from=head.window_from,
            excluded=tuple((number, by) for number, by in window.excluded),
        ),
    )


def turns_between(session_id, first: int, last: int) -> list[context.Turn]:
    """The turns first..last of the active path with all their words: what a summary is made from."""
    path = Turn.objects.filter(session_id=session_id, active=True, number__range=(first, last))
    rows = [Row(*row) for row in path.order_by("number").values_list(*Row._fields)]
    steps = _steps([row.id for row in rows if row.step_count])
    return [_turn(row, None, steps) for row in rows]


def _previous(head: Head) -> Previous | None:
    if head.measured is None or head.parent_reply_source != Turn.Source.API:
        return None
    return Previous(
        head.measured,
        head.parent_reply_tokens or 0,
        head.measured_version,
        head.measured_from,
        head.measured_model,
    )


def _turn(row: Row, settled: int | None, steps: dict[int, list[list[Any]]], *, restored: bool = False) -> context.Turn:
    return context.Turn(
        number=row.number,
        prompt=row.prompt,
        reply=row.reply,
        steps=tuple(context.Step(**dict(zip(STEP, step, strict=True))) for step in steps.get(row.id, ())),
        prompt_tokens=row.prompt_tokens,
        reply_tokens=row.reply_tokens,
        pinned=row.pinned_since is not None,
        pin_settled=row.pinned_since is None or settled is None or row.pinned_since <= settled,
        restored=restored,
        excluded_by=row.excluded_by,
    )


def _steps(turn_ids: list[int]) -> dict[int, list[list[Any]]]:
    """The steps of turns by their ids, each as its values for the names of STEP."""
    out: dict[int, list[list[Any]]] = {}
    if turn_ids:
        steps = Step.objects.filter(turn_id__in=turn_ids).order_by("turn_id", "index")
        for turn_id, *step in steps.values_list("turn_id", *STEP):
            out.setdefault(turn_id, []).append(step)
    return out


def _told(head: Head, rows: list) -> tuple[context.Fact, ...]:
    """The facts of a window; those that supersede another replace it.

    A session that simply leaves older turns out may say of them only what a person pinned or told it: the rest was
    found in those turns, and goes with them. What supersedes a fact is younger than it, so that it is among the
    newest too; it is looked for in Python, because a subquery costs more than all the rest of the load.
    """
    replaced = {row[-1] for row in rows}
    facts = [
        context.Fact(
            kind=kind,
            value=value,
            quote=quote,
            turn=number,
            pinned=bool(pinned),
            settled=since <= head.prefix_version,
            ref=f"F{pk}",
        )
        for pk, kind, value, quote, number, pinned, since, _ in rows
        if pk not in replaced
    ]
    if head.strategy == ChatSession.Strategy.SLIDING_WINDOW or head.mode == ChatSession.Mode.NEVER:
        facts = [fact for fact in facts if fact.pinned or fact.turn is None]
    # Stable: what stands in the cached prefix keeps its place whatever was learnt since.
    return tuple(sorted(facts, key=lambda fact: (not fact.pinned, not fact.settled)))


def _facts(head: Head) -> tuple[int | None, list[tuple[Any, ...]]]:
    """The session's version, and its facts."""
    session = head.session_id
    rows = statements.rows(statements.FACTS, [session, True, True, head.window_from, session])
    return (rows[0][0] if rows else None), [row[1:] for row in rows if row[1] is not None]
