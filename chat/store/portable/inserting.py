"""A tree of turns into the table in bulk, and the totals of its session."""

import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from django.db.models import OuterRef, Subquery

from chat.models import ChatSession, Turn
from chat.store import coverage

# Client ids are made from the content, so that what was imported once is found again.
NAMESPACE = uuid.UUID("6f0b3c55-6d0e-4d0c-9d7e-0b7a4c3f2a11")
BATCH = 500


def insert(turns: Sequence[Turn], parents: Sequence[int | None], leaves: Sequence[int | None], digest: str) -> None:
    """Insert a tree of turns: the active path in a few statements however long it is, other branches level by level."""
    for index, turn in enumerate(turns):
        turn.client_id = client_id(digest, index)
    path = sorted((turn for turn in turns if turn.active), key=lambda turn: turn.number)
    first, rest = path[0], path[1:]
    first.save(force_insert=True)
    for turn in rest:
        turn.parent = first  # for now: its own parent has no id yet
    Turn.objects.bulk_create(rest, batch_size=BATCH)
    own = Turn.objects.filter(session_id=first.session_id, active=True)
    before = own.filter(number=OuterRef("number") - 1).values("pk")[:1]
    own.filter(number__gt=2).update(parent=Subquery(before))
    for one, following in pairwise(path):
        following.parent = one
    levels: dict[int, list[Turn]] = {}
    for index, turn in enumerate(turns):
        if not turn.active:
            parent = parents[index]
            turn.parent = turns[parent] if parent is not None else None
            levels.setdefault(turn.number, []).append(turn)
    for number in sorted(levels):
        for turn in levels[number]:
            turn.parent_id = turn.parent.pk if turn.parent else None
        Turn.objects.bulk_create(levels[number], batch_size=BATCH)
    for index, leaf in enumerate(leaves):
        if leaf is not None:
            Turn.objects.filter(pk=turns[index].pk).update(leaf=turns[leaf])


def leaves(turns: Sequence[Turn], parents: Sequence[int | None]) -> list[int | None]:
    """Where each branch beside the active path is come back to: its last child's last child, and so on."""
    beside = ((parent, index) for index, parent in enumerate(parents) if not turns[index].active)
    child = {parent: index for parent, index in beside if parent is not None}
    out: list[int | None] = []
    for index, turn in enumerate(turns):
        leaf = index
        while not turn.active and leaf in child:
            leaf = child[leaf]
        out.append(leaf if leaf != index else None)
    return out


def total(session: ChatSession, turns: Sequence[Turn], head: Turn, **values: Any) -> None:
    """The session's running totals, from what was just stored."""
    usage = [turn.usage for turn in turns if turn.usage]
    totals = {
        "head": head,
        "turns_active": head.number,
        "turns_total": len(turns),
        "open_tokens": coverage.open_tokens(session.pk),
        "input_tokens": sum(one["input"] + one["cache_read"] + one["cache_write"] for one in usage),
        "output_tokens": sum(one["output"] for one in usage),
        "marked": sum(1 for turn in turns if turn.active and (turn.pinned_since is not None or turn.excluded_by)),
    }
    ChatSession.objects.filter(pk=session.pk).update(**totals, **values)
    session.refresh_from_db()


def client_id(digest: str, index: int) -> uuid.UUID:
    """The client id of one turn of a conversation with this digest."""
    return uuid.uuid5(NAMESPACE, f"{digest}:{index}")
