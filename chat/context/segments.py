"""A rebuilt request as a person reads it: segments in their order, and what two requests have in common.

A segment is one thing that stands in the request (a summary, a document, the message) or a run of turns that stand
there alike. Breakpoints and changes end a run. All figures are tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from chat.context import recipes
from chat.context.rebuilding import Piece, Rebuilt, State
from chat.context.values import DOCUMENT_REF

Kind = Literal[
    "instructions", "note", "acknowledgement", "facts", "new facts", "summary", "document", "date", "turn",
    "unanswered", "pinned", "recalled", "message", "other",
]  # fmt: skip
# Against another request: in the part that both begin with; the same text elsewhere; partly; not at all; only there.
Status = Literal["same", "moved", "grown", "new", "gone"]

# Turns in one segment: what opens at a click stays readable.
MOST_TURNS = 25

_RUNS: frozenset[Kind] = frozenset({"turn", "unanswered", "pinned", "recalled"})
_WORST: tuple[State, ...] = ("gone", "unknown", "changed", "unchecked", "sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One line of the list. `turns` are the numbers of the turns whose own words it holds; `upto` adds the tokens of
    the segments before it. `delta` is how many more it has than what it was in the other request."""

    kind: Kind
    pieces: tuple[Piece, ...]
    turns: tuple[int, ...]
    tokens: int
    upto: int
    state: State
    cut: bool
    breakpoint: bool
    status: Status | None = None
    delta: int = 0

    @property
    def ref(self) -> str:
        """What the first of its parts is made from."""
        return self.pieces[0].part.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two requests share. The first `prefix` blocks of both are the same bytes; `matched` are the blocks that have
    the same text in the other, as its index by theirs; `gone` are those of the other that this one lacks."""

    prefix: int
    matched: Mapping[int, int]
    gone: tuple[int, ...]
    other: Rebuilt

    @property
    def prefix_tokens(self) -> int:
        """Tokens of what both begin with: a cache may hold them."""
        return sum(piece.part.tokens for piece in self.other.pieces[: self.prefix])


def compare(one: Rebuilt, other: Rebuilt) -> Comparison:
    """Compare two requests block by block; breakpoints are no part of the text. Another model shares no cache."""
    ours, theirs = [piece.key for piece in one.pieces], [piece.key for piece in other.pieces]
    prefix = 0
    if one.model == other.model:
        for ours_key, theirs_key in zip(ours, theirs, strict=False):
            if ours_key != theirs_key:
                break
            prefix += 1
    matched = {at: at for at in range(prefix)}
    left: dict[tuple[object, ...], list[int]] = {}
    for at in range(len(theirs) - 1, prefix - 1, -1):
        left.setdefault(theirs[at], []).append(at)
    for at in range(prefix, len(ours)):
        if left.get(ours[at]):
            matched[at] = left[ours[at]].pop()
    taken = set(matched.values())
    gone = tuple(at for at in range(len(theirs)) if at not in taken)
    return Comparison(prefix=prefix, matched=matched, gone=gone, other=other)


def segments(rebuilt: Rebuilt, number: int, against: Comparison | None = None) -> tuple[Segment, ...]:
    """The segments of the request of turn `number`, in the order in which the model reads them."""
    indexed = list(enumerate(rebuilt.pieces))
    return tuple(_joined(_units(indexed, number), against))


def gone(against: Comparison, number: int) -> tuple[Segment, ...]:
    """What only the other request, that of turn `number`, held."""
    indexed = [(at, against.other.pieces[at]) for at in against.gone]
    return tuple(_joined(_units(indexed, number), None, status="gone"))


def kind_of(piece: Piece, number: int) -> Kind:
    """What a part is, by its references alone."""
    part = piece.part
    turn = recipes.turn_number(part.ref)
    if turn is not None:
        first = part.recipe[0] if part.recipe else ""
        if part.component == "current" and turn == number:
            return "message"
        if first in ("unanswered", "recalled"):
            return "unanswered" if first == "unanswered" else "recalled"
        if part.component == "recall":
            return "recalled"
        return "pinned" if part.component == "pins" else "turn"
    if part.role == "system":
        return "instructions"
    if part.ref.startswith(DOCUMENT_REF) or part.component == "documents":
        return "document"
    if part.component == "summaries":
        return "summary"
    known: dict[str, Kind] = {
        "note": "note",
        "acknowledgement": "acknowledgement",
        "facts": "facts",
        "new facts": "new facts",
        "date": "date",
    }
    return known.get(part.ref, "other")


def is_cut(piece: Piece) -> bool:
    """Whether less than the whole of what it names was sent."""
    recipe = piece.part.recipe or ()
    whole = {"step": 2, "facts": len(recipe), "instructions": 2, "note": 2, "date": 2}
    return bool(recipe) and (recipe[0] in ("stub", "cut call") or len(recipe) > whole.get(str(recipe[0]), 1))


Unit = tuple[Kind, list[tuple[int, Piece]]]


def _units(indexed: Iterable[tuple[int, Piece]], number: int) -> Iterator[Unit]:
    """What belongs together whatever stands beside it: all blocks of one turn, one summary, one document."""

    def belongs(one: tuple[int, Piece]) -> tuple[Kind, str]:
        return kind_of(one[1], number), one[1].part.ref

    for (kind, _), group in groupby(indexed, key=belongs):
        yield kind, list(group)


def _joined(units: Iterable[Unit], against: Comparison | None, status: Status | None = None) -> Iterator[Segment]:
    """Runs of turns that stand in the request alike, as one segment each."""
    upto = 0
    waiting: Segment | None = None
    for unit in units:
        one = _segment(*unit, against, status)
        if waiting and _alike(waiting, one):
            waiting = _plus(waiting, one)
            continue
        if waiting:
            upto += waiting.tokens
            yield replace(waiting, upto=upto)
        waiting = one
    if waiting:
        yield replace(waiting, upto=upto + waiting.tokens)


def _segment(
    kind: Kind, unit: Sequence[tuple[int, Piece]], against: Comparison | None, status: Status | None
) -> Segment:
    pieces = tuple(piece for _, piece in unit)
    tokens = sum(piece.part.tokens for piece in pieces)
    number = recipes.turn_number(pieces[0].part.ref)
    delta = -tokens if status == "gone" else 0
    if against is not None:
        status = _status([at for at, _ in unit], against)
        delta = tokens - sum(
            against.other.pieces[against.matched[at]].part.tokens for at, _ in unit if at in against.matched
        )
    return Segment(
        kind=kind,
        pieces=pieces,
        turns=() if number is None else (number,),
        tokens=tokens,
        upto=0,
        state=_worst(piece.state for piece in pieces),
        cut=any(is_cut(piece) for piece in pieces),
        breakpoint=pieces[-1].part.cache,
        status=status,
        delta=delta,
    )


def _status(places: Sequence[int], against: Comparison) -> Status:
    if all(at < against.prefix for at in places):
        return "same"
    there = [at in against.matched for at in places]
    return "moved" if all(there) else "grown" if any(there) else "new"


def _worst(states: Iterable[State]) -> State:
    return min(states, key=_WORST.index)


def _alike(one: Segment, other: Segment) -> bool:
    """Whether two neighbours are a run. What is no longer what it was stands alone, so that it is seen."""
    return (
        one.kind in _RUNS
        and (one.kind, one.cut, one.status, one.state) == (other.kind, other.cut, other.status, other.state)
        and one.state in ("sent", "unchecked")
        and one.turns[-1] + 1 == other.turns[0]
        and not one.breakpoint
        and len(one.turns) < MOST_TURNS
    )


def _plus(one: Segment, other: Segment) -> Segment:
    return replace(
        one,
        pieces=one.pieces + other.pieces,
        turns=one.turns + other.turns,
        tokens=one.tokens + other.tokens,
        breakpoint=other.breakpoint,
        delta=one.delta + other.delta,
    )
