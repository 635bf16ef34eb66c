"""One conversation whose rows contradict each other, put right: path, states, links, summaries, window, manifests.

The record is permanent: no turn is deleted and no word is written. What can be told from the rows is set to it; what
can't be told any more is taken out of sight of the model (a summary becomes stale, its turns are sent again) or, where
it is only a proof that proves nothing (a manifest with a gap), removed. A line for each change, ids and numbers only.
"""

import uuid
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import F, Max, Model
from django.db.models.functions import Coalesce

from chat.models import ChatSession, Document, Fact, Feedback, Manifest, Notice, Share, Step, Summary, Turn
from chat.store import branches, coverage, integrity, ranges, standing
from chat.store.branches import locked
from chat.store.standing import placed

State = Summary.State
# Who points where, and what becomes of a pointer into another session: None, or the row goes.
LINKS: tuple[tuple[type[Model], str, bool], ...] = (
    (Turn, "leaf", False),
    (Summary, "replaces", False),
    (Summary, "merged_into", False),
    (Notice, "summary", False),
    (Notice, "turn", False),
    (Notice, "until", True),
    (Fact, "turn", False),
    (Fact, "supersedes", False),
    (Document, "turn", False),
    (Share, "until", True),
)


def heal(session_id: UUID) -> Iterator[str]:
    """Put a session right, as far as its rows tell how. In the caller's transaction; the session is locked."""
    locked(session_id)
    yield from _links(session_id)
    yield from _states(session_id)
    yield from _path(session_id)
    yield from _summaries(session_id)
    yield from _window(session_id)
    yield from _manifests(session_id)


# --- links ------------------------------------------------------------------------------------------------------


def _links(session_id: UUID) -> Iterator[str]:
    for model, name, goes in LINKS:
        rows = model._default_manager.filter(session_id=session_id, **{f"{name}__isnull": False})
        strange = rows.exclude(**{f"{name}__session_id": session_id})
        word = model._meta.model_name
        for pk in list(strange.values_list("pk", flat=True)):
            own = model._default_manager.filter(pk=pk)
            if goes:
                own.delete()
                yield f"{word} {pk} removed: its {name} was in another session"
            else:
                own.update(**{name: None})
                yield f"{word} {pk} points into another session no more ({name})"
    session = ChatSession.objects.filter(pk=session_id)
    if session.filter(forked_from__isnull=False).exclude(forked_from__owner_id=F("owner_id")).update(forked_from=None):
        yield "it says no more that it was forked from somebody else's"
    judged = Feedback.objects.filter(turn__session_id=session_id).exclude(user_id=F("turn__session__owner_id"))
    if count := judged.delete()[0]:
        yield f"{count} judgements of somebody else removed"


# --- turns ------------------------------------------------------------------------------------------------------


def _states(session_id: UUID) -> Iterator[str]:
    turns = Turn.objects.filter(session_id=session_id)
    if count := turns.finished().filter(closed_at__isnull=True).update(closed_at=F("created_at")):
        yield f"{count} ends without a time got that of their beginning"
    if count := turns.live().filter(closed_at__isnull=False).update(closed_at=None):
        yield f"{count} live turns lost their closing time"
    complete = turns.filter(status=Turn.Status.COMPLETE)
    count = complete.filter(stop_reason="").update(stop_reason="end_turn")
    count += complete.filter(usage__isnull=True).update(usage={})
    if count:
        yield f"{count} gaps in complete turns filled"
    for pk in list(turns.finished().filter(digest="").values_list("pk", flat=True)):
        _digest(pk)
        yield f"the digest of turn {pk} counted again"
    seen: set[uuid.UUID] = set()
    for pk, client_id in turns.order_by("pk").values_list("pk", "client_id"):
        if client_id in seen:
            Turn.objects.filter(pk=pk).update(client_id=uuid.uuid4())
            yield f"turn {pk} got a client id of its own"
        seen.add(client_id)
    live = list(turns.live().order_by("-number", "-pk").values_list("pk", flat=True))
    for pk in live[1:]:
        branches.end_alone(Turn.objects.filter(pk=pk), Turn.Status.FAILED, "repaired")
        yield f"turn {pk} ended: there is one live turn at most"


def _digest(turn_id: int) -> bool:
    """Count a digest again from the words; whether it was another."""
    turn = Turn.objects.only("prompt", "reply", "digest").get(pk=turn_id)
    steps = list(Step.objects.filter(turn_id=turn_id).order_by("index").values_list("body", flat=True))
    due = coverage.turn_digest(turn.prompt, turn.reply, steps)
    return bool(Turn.objects.filter(pk=turn_id).exclude(digest=due).update(digest=due))


def _path(session_id: UUID) -> Iterator[str]:
    """Parents by number, then the active path as the line of its last turn, then everything that follows from it."""
    columns = ("pk", "number", "parent_id", "active", "status")
    rows = {row["pk"]: row for row in Turn.objects.filter(session_id=session_id).values(*columns)}
    yield from _parents(rows)
    tip = _tip(session_id, rows)
    line = _line(rows, tip)
    active = {pk for pk, row in rows.items() if row["active"]}
    session = ChatSession.objects.get(pk=session_id)
    moved = sorted(rows[pk]["number"] for pk in active ^ set(line))
    if not moved and session.head_id == tip and session.turns_active == len(line):
        return
    branches_left = list(active - set(line))
    Turn.objects.filter(pk__in=branches_left).update(active=False, leaf=Coalesce("leaf_id", F("pk")))
    Turn.objects.filter(pk__in=line).exclude(active=True).update(active=True)
    branches.settle(session, moved[0] if moved else len(line) + 1, tip, len(line))
    yield f"the active path is 1-{len(line)} again, its head turn {tip}"


def _parents(rows: dict[int, dict[str, Any]]) -> Iterator[str]:
    by_number: dict[int, list[dict[str, Any]]] = {}
    for row in rows.values():
        by_number.setdefault(row["number"], []).append(row)
    for row in sorted(rows.values(), key=lambda one: one["number"]):
        parent = rows.get(row["parent_id"])
        if row["number"] == 1 or (parent and parent["number"] == row["number"] - 1):
            continue
        # Of the turns before it the active one for an active turn; for an orphaned sibling, too.
        found = sorted(by_number.get(row["number"] - 1, []), key=lambda one: (not one["active"], one["pk"]))
        if found:
            row["parent_id"] = found[0]["pk"]
            Turn.objects.filter(pk=row["pk"]).update(parent_id=found[0]["pk"])
            yield f"turn {row['pk']} follows turn {found[0]['pk']} again"


def _tip(session_id: UUID, rows: dict[int, dict[str, Any]]) -> int | None:
    """The turn that ends the active path: the live one, else the last of the active ones."""
    live = [pk for pk, row in rows.items() if row["status"] in Turn.LIVE]
    if live:
        return live[0]
    found = [pk for pk, row in rows.items() if row["active"]] or list(rows)
    return max(found, key=lambda pk: (rows[pk]["number"], pk), default=None)


def _line(rows: dict[int, dict[str, Any]], tip: int | None) -> list[int]:
    """A turn and its ancestors, newest first."""
    line: list[int] = []
    at = tip
    while at is not None and at in rows and at not in line[-1:]:
        line.append(at)
        at = rows[at]["parent_id"]
    return line


# --- summaries and the window -----------------------------------------------------------------------------------


def _summaries(session_id: UUID) -> Iterator[str]:
    """Summaries that may not stand any more. What they stood for is sent again, or stood for by what rests."""
    live = Turn.objects.live_in(session_id).values_list("number", flat=True).first()
    own = Summary.objects.filter(session_id=session_id, state=State.ACTIVE)
    rows = list(own.select_related("until").defer("text").order_by("-tier", "first", "pk"))
    standing_, gone = [], []
    for row in rows:
        if not _says_the_same(session_id, row) and (count := _digests(session_id, row)):
            yield f"the digests of {count} turns counted again"
        if not row.until.active and row.until.number == row.last and row.until.session_id == session_id:
            state, why = State.RESTING, "its turns are on another branch"
        elif row.until.number != row.last or row.until.session_id != session_id or (live and row.last >= live):
            state, why = State.STALE, "it does not stand for the turns that it says"
        elif any(row.first <= other.last and row.last >= other.first for other in standing_):
            state, why = State.STALE, "another one stands for some of its turns"
        elif not _says_the_same(session_id, row):
            state, why = State.STALE, "its turns say something else than it was made from"
        else:
            standing_.append(row)
            continue
        Summary.objects.filter(pk=row.pk).update(state=state)
        gone.append(row)
        yield f"summary {row.pk} is {state}: {why}"
    if gone:
        coverage.tile(session_id)
        session = locked(session_id)
        start = min(session.window_from, *(row.first for row in gone))
        standing.write(session, placed(session_id, start, ranges.read(session.restored)), prefix=True)
        yield f"turns from {start} on are sent again where no summary stands for them"


def _says_the_same(session_id: UUID, row: Summary) -> bool:
    """Whether a summary's turns hash to what it was made from."""
    return coverage.source_hash(session_id, row.first, row.last) == row.source_hash


def _digests(session_id: UUID, row: Summary) -> int:
    """Count the digests of a summary's turns again, before it is given up; how many were wrong."""
    turns = Turn.objects.filter(session_id=session_id, active=True, number__range=(row.first, row.last))
    return sum(_digest(pk) for pk in list(turns.filter(redacted_at__isnull=True).values_list("pk", flat=True)))


def _window(session_id: UUID) -> Iterator[str]:
    session = locked(session_id)
    head = Turn.objects.filter(session_id=session_id, active=True).aggregate(last=Max("number"))["last"] or 0
    wanted = placed(session_id, min(session.window_from, head + 1), ranges.read(session.restored))
    if {"window_from": session.window_from, "restored": session.restored} != wanted.stored():
        standing.write(session, wanted, prefix=True)
        yield f"the window begins at turn {wanted.window_from}, as what is stored says"


def _manifests(session_id: UUID) -> Iterator[str]:
    for turn, sentence in list(integrity.damaged_manifests([session_id])):
        Manifest.objects.filter(turn_id=turn).delete()
        yield f"the manifest of turn {turn} removed: it {sentence}"
