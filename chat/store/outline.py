"""What compaction is planned from: numbers, tokens and marks of uncovered turns. No words are read."""

from dataclasses import dataclass
from uuid import UUID

from chat.context.compaction import Span
from chat.context.values import Line
from chat.context.window import Size
from chat.models import ChatSession, Manifest, Summary, Turn

# A planning pass looks at so many turns; a longer backlog takes several passes.
MOST_TURNS = 2_000
SIZE = ("number", "prompt_tokens", "reply_tokens", "pinned_since", "excluded_by")
"""The columns of a turn that `size` is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A session as planning sees it. `spans` are the active summaries; `taken` are ranges not to be summarised.

    `undone`: some of these a person took back. `keep` is what its owner asks summaries to keep.
    """

    session_id: UUID
    owner_id: int
    model: str
    strategy: str
    mode: str
    window_messages: int | None
    soft_mark: int | None
    hard_mark: int | None
    context_version: int
    window_from: int
    instructions: str
    thinking: bool
    open_tokens: int
    sizes: tuple[Size, ...]
    spans: tuple[Span, ...]
    taken: tuple[tuple[int, int], ...]
    undone: bool
    keep: str
    report: tuple[Line, ...]


def read(session_id: UUID) -> Outline:
    """Read a session's outline. Raises ChatSession.DoesNotExist."""
    session = ChatSession.objects.select_related("instructions").get(pk=session_id, deleted_at__isnull=True)
    states = (Summary.State.ACTIVE, Summary.State.UNDONE)
    rows = list(
        Summary.objects.filter(session_id=session_id, state__in=states, until__active=True)
        .order_by("first")
        .values_list("first", "last", "tier", "tokens", "state")
    )
    taken = tuple((first, last) for first, last, *_ in rows)
    path = Turn.objects.filter(session_id=session_id, active=True, status__in=Turn.TERMINAL)
    start = first_gap(taken)
    sizes = path.filter(number__gte=start).order_by("number").values_list(*SIZE)[:MOST_TURNS]
    last = Manifest.objects.filter(turn__session_id=session_id, turn__active=True).order_by("-turn__number").first()
    return Outline(
        session_id=session.pk,
        owner_id=session.owner_id,
        model=session.model,
        strategy=session.strategy,
        mode=session.mode,
        window_messages=session.window_messages,
        soft_mark=session.soft_mark,
        hard_mark=session.hard_mark,
        context_version=session.context_version,
        window_from=session.window_from,
        instructions=session.instructions.text,
        thinking=session.thinking,
        open_tokens=session.open_tokens,
        sizes=tuple(size(*row) for row in sizes),
        spans=tuple(
            Span(first, last, tier, tokens)
            for first, last, tier, tokens, state in rows
            if state == Summary.State.ACTIVE
        ),
        taken=taken,
        undone=any(state == Summary.State.UNDONE for *_, state in rows),
        keep=session.keep,
        report=tuple(Line(*line) for line in last.budget) if last else (),
    )


def first_gap(taken: tuple[tuple[int, int], ...]) -> int:
    """The first turn that no range covers: everything before it is settled."""
    start = 1
    for first, last in sorted(taken):
        if first > start:
            break
        start = max(start, last + 1)
    return start


def size(number: int, prompt: int, reply: int, pinned: int | None, excluded: str) -> Size:
    """A turn as planning sees it."""
    return Size(number, prompt + reply, pinned is not None, bool(excluded))
