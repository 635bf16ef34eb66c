"""Segments: what stands in a request as a person reads it, and what two requests have in common, block by block."""

from dataclasses import replace

from chat.context import segments
from chat.context.rebuilding import Piece, Rebuilt, State
from chat.context.recipes import check
from chat.context.segments import compare
from chat.context.values import Block, Part

OPENING = [("system", "system", "instructions", "Be plain."), ("user", "summaries", "S1", "They met.")]


def piece(role: str, component: str, ref: str, text: str, *, cache: bool = False, state: State = "sent") -> Piece:
    part = Part(role, component, ref, len(text), cache, check(text), ())
    return Piece(part, Block(text=text, component=component, ref=ref), state)


def said(number: int, *, cache: bool = False) -> list[Piece]:
    """A turn with its reply."""
    return [
        piece("user", "history", f"turn {number}", f"Question {number}."),
        piece("assistant", "history", f"turn {number}", f"Answer {number}.", cache=cache),
    ]


def request(first: int, number: int, *, model: str = "large") -> Rebuilt:
    """Instructions, a summary, turns first..number - 1, the date and the message `number`."""
    pieces = [piece(*one) for one in OPENING]
    for at in range(first, number):
        pieces += said(at, cache=at == number - 1)
    pieces.append(piece("user", "current", "date", "Today is 2026-11-22."))
    pieces.append(piece("user", "current", f"turn {number}", f"Question {number}."))
    return Rebuilt(pieces=tuple(pieces), body={}, verified=True, frame_tokens=8 + 5 * len(pieces), model=model)


def told(found: tuple[segments.Segment, ...]) -> list[tuple[object, ...]]:
    return [(one.kind, one.turns[:1] + one.turns[-1:], one.status) for one in found]


def test_turns_that_stand_alike_are_one_segment_and_all_of_it_adds_up() -> None:
    made = request(4, 9)
    found = segments.segments(made, 9)
    assert told(found) == [
        ("instructions", (), None),
        ("summary", (), None),
        ("turn", (4, 8), None),
        ("date", (), None),
        ("message", (9, 9), None),
    ]
    assert [one.breakpoint for one in found] == [False, False, True, False, False]
    assert sum(one.tokens for one in found) == found[-1].upto == sum(part.part.tokens for part in made.pieces)


def test_a_long_run_is_cut_into_what_can_be_read_and_a_change_stands_alone() -> None:
    made = request(1, 61)
    assert [len(one.turns) for one in segments.segments(made, 61) if one.kind == "turn"] == [25, 25, 10]
    pieces = list(request(1, 9).pieces)
    at = next(at for at, one in enumerate(pieces) if one.part.ref == "turn 5")
    pieces[at] = replace(pieces[at], state="changed")
    found = segments.segments(replace(made, pieces=tuple(pieces)), 9)
    assert [(one.turns[0], one.turns[-1], one.state) for one in found if one.kind == "turn"] == [
        (1, 4, "sent"), (5, 5, "changed"), (6, 8, "sent")]  # fmt: skip


def test_the_next_request_begins_with_the_bytes_of_the_last_one() -> None:
    before, after = request(4, 8), request(4, 9)
    against = compare(after, before)
    found = segments.segments(after, 9, against)
    assert told(found) == [
        ("instructions", (), "same"),
        ("summary", (), "same"),
        ("turn", (4, 7), "same"),
        ("turn", (8, 8), "grown"),  # its words were the message, its reply is new
        ("date", (), "moved"),
        ("message", (9, 9), "new"),
    ]
    assert against.prefix == 2 + 2 * 4
    assert against.gone == ()
    more = sum(one.tokens for one in found) - sum(one.part.tokens for one in before.pieces)
    assert sum(one.delta for one in found) == more


def test_what_only_the_other_held_is_told_and_counts() -> None:
    before, after = request(1, 9), request(6, 10)
    against = compare(after, before)
    left = segments.gone(against, 9)
    assert told(left) == [("turn", (1, 5), "gone")]
    found = segments.segments(after, 10, against)
    more = sum(one.part.tokens for one in after.pieces) - sum(one.part.tokens for one in before.pieces)
    assert sum(one.delta for one in (*found, *left)) == more
    assert against.prefix == 2


def test_another_model_shares_no_prefix_and_an_edit_ends_it() -> None:
    one, other = request(1, 5), request(1, 5, model="small")
    assert compare(one, other).prefix == 0
    assert {found.status for found in segments.segments(one, 5, compare(one, other))} == {"moved"}
    pieces = list(other.pieces)
    pieces[2] = piece("user", "history", "turn 1", "Rewritten.")
    edited = replace(other, pieces=tuple(pieces), model="large")
    assert compare(one, edited).prefix == 2


def test_a_breakpoint_that_moved_changes_no_byte() -> None:
    one = request(1, 5)
    moved = replace(one, pieces=tuple(replace(p, part=replace(p.part, cache=False)) for p in one.pieces))
    assert compare(one, moved).prefix == len(one.pieces)
