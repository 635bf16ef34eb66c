"""Branches: turns are a tree by `parent`; the active path is the flag `active`, prefix-closed, numbers 1..head."""

import uuid
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from chat.context import titling
from chat.context.tokens import Counter
from chat.models import ChatSession, Document, Turn
from chat.store import coverage, plain, quotas, statements
from chat.store.plain import Plus
from chat.store.standing import Standing, placed

PESSIMISTIC = Counter()
NOTHING: Mapping[str, object] = {}
_HELD = ("session__owner_id", "reserved_on", "reserved", "reserved_cost")


class SessionBusy(Exception):
    """A turn is live: its path can't change under it."""


class UnknownTurn(Exception):
    """No such turn in this session."""


_HEAD = ("id", "number", "status", "tokens_upto")
_SESSION = plain.attributes(ChatSession)
_MINE = f"""
SELECT {plain.columns(Turn, "h", _HEAD)}, {plain.columns(ChatSession, "s", _SESSION)},
       (SELECT SUM(d.tokens) FROM {Document._meta.db_table} d WHERE d.session_id = s.id AND d.removed_at IS NULL)
FROM {ChatSession._meta.db_table} s LEFT JOIN {Turn._meta.db_table} h ON h.id = s.head_id
WHERE s.id = %s AND s.owner_id = %s AND s.deleted_at IS NULL"""


def locked_of(owner_id: int, session_id: uuid.UUID) -> ChatSession | None:
    """A session of this owner with its head, the session's row locked; None when there is none.

    Written out, because Django puts the statement together anew for every message. Of the head only what opening a
    turn needs is read; the rest is read when somebody asks for it.
    """
    lock = "FOR UPDATE OF s" if connection.features.has_select_for_update_of else ""
    key = ChatSession._meta.pk.get_db_prep_value(session_id, connection)
    for row in statements.rows(f"{_MINE} {lock}", [key, owner_id]):
        session = plain.found(ChatSession, _SESSION, row[len(_HEAD) : -1])
        session.attached_tokens = int(row[-1] or 0)
        # None although there is one: it is newer than this statement, which waited for the lock. It is read then.
        if row[0] is not None:
            session.head = plain.found(Turn, _HEAD, row[: len(_HEAD)])
        return session
    return None


def locked(session_id) -> ChatSession:
    """The session row, locked until the transaction ends. Raises ChatSession.DoesNotExist."""
    # `of` keeps the lock off the joined rows of nullable relations, which PostgreSQL refuses.
    return ChatSession.objects.select_for_update(of=("self",)).get(pk=session_id)


def refuse_live(session_id) -> None:
    """Raise SessionBusy while a turn waits or runs."""
    if Turn.objects.live_in(session_id).exists():
        raise SessionBusy


def leave(session: ChatSession, number: int) -> None:
    """Deactivate the active path from turn `number` on. Each of its turns remembers the leaf to come back to.

    Each, not the first alone: a turn further down may be where a later switch parts from the path.
    """
    path = Turn.objects.filter(session=session, active=True, number__gte=number)
    path.update(active=False, leaf=session.head_id)


def settle(session: ChatSession, number: int, head_id: int | None, head_number: int) -> None:
    """Everything that follows from a path that changed from turn `number` on. The session row is locked."""
    uncovered = coverage.retile(session.pk, number)
    # Turns that lost their summary are sent again: else nothing would stand for them until the next compaction.
    start = min(session.window_from, number if uncovered is None else min(number, uncovered))
    stands = placed(session.pk, start, Standing.of(session).restored)
    ChatSession.objects.filter(pk=session.pk).update(
        head_id=head_id,
        turns_active=head_number,
        context_version=F("context_version") + 1,
        open_tokens=coverage.open_tokens(session.pk),
        marked=coverage.marked(session.pk),
        updated_at=Now(),
        **stands.stored(),
    )
    coverage.tell(session.pk)


def versions(session_id, first: int, last: int) -> dict[int | None, list[tuple[datetime, int]]]:
    """The versions of turns `first`..`last` beside the active path, as (when they were made, id), by parent.

    One query, few rows. The ids alone say nothing of the order: an import stores the active path first.
    """
    beside = Turn.objects.filter(session_id=session_id, active=False, number__range=(first, last))
    out: dict[int | None, list[tuple[datetime, int]]] = {}
    for parent, at, turn in beside.values_list("parent_id", "created_at", "pk"):
        out.setdefault(parent, []).append((at, turn))
    return out


def switch(session_id, to_id: int) -> int | None:
    """Make the branch of turn `to_id` the active one; the number of the first turn that changed, None for none.

    Raises SessionBusy, UnknownTurn. The two updates stay two: one that swapped the flags would meet the unique index in
    whatever order the rows lie.
    """
    with transaction.atomic():
        session = locked(session_id)
        refuse_live(session_id)
        to = Turn.objects.filter(session_id=session_id, pk=to_id).first()
        if to is None:
            raise UnknownTurn
        if to.active:
            return None
        # `to` may hang below a branch that is itself inactive: the swap starts where the two paths part.
        target = to.leaf_id or to.pk
        coming = _inactive_line(target)
        fork = Turn.objects.filter(pk__in=coming).order_by("number").values_list("number", flat=True).first()
        if fork is None:
            return None
        leave(session, fork)
        Turn.objects.filter(pk__in=coming).update(active=True)
        head = Turn.objects.values_list("pk", "number").get(pk=target)
        settle(session, fork, head[0], head[1])
        return fork


def _inactive_line(turn_id: int) -> list[int]:
    """A turn and its ancestors up to the first active one: one recursive query, as long as the branch."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE line(id, parent_id) AS ("
            "  SELECT id, parent_id FROM chat_turn WHERE id = %s AND NOT active"
            "  UNION ALL SELECT turn.id, turn.parent_id FROM chat_turn turn"
            "    JOIN line ON turn.id = line.parent_id WHERE NOT turn.active"
            ") SELECT id FROM line",
            [turn_id],
        )
        return [row[0] for row in cursor.fetchall()]


def new_turn(
    session: ChatSession,
    *,
    prompt: str,
    client_id: uuid.UUID,
    tokens: int,
    owner: str = "",
    kind: str = "message",
    held: Mapping[str, object] = NOTHING,
) -> Turn:
    """Append a queued turn to the active path. The session row is locked. `held`: see quotas.Reserved.columns."""
    parent = session.head
    return _insert(session, parent, prompt=prompt, client_id=client_id, tokens=tokens, owner=owner, kind=kind, **held)


def sibling(
    session: ChatSession,
    of: Turn,
    *,
    prompt: str,
    client_id: uuid.UUID,
    tokens: int,
    owner: str = "",
    held: Mapping[str, object] = NOTHING,
) -> Turn:
    """Open a queued sibling of an active turn (edit, regenerate, retry), of its kind. The session row is locked."""
    leave(session, of.number)
    values = {"prompt": prompt, "client_id": client_id, "tokens": tokens, "owner": owner, "kind": of.kind}
    turn = _insert(session, of.parent, **values, **held)
    settle(session, of.number, turn.pk, turn.number)
    # What was seen there is another version: the new one is news once it has ended.
    ChatSession.objects.filter(pk=session.pk, seen__gte=turn.number).update(seen=turn.number - 1)
    return turn


def _insert(session: ChatSession, parent: Turn | None, *, tokens: int, **values) -> Turn:
    turn = Turn(
        session=session,
        parent_id=parent.pk if parent else None,
        number=parent.number + 1 if parent else 1,
        prompt_tokens=tokens,
        tokens_upto=(parent.tokens_upto if parent else 0) + tokens,
        **values,
    )
    changes = {"head_id": plain.MADE, "turns_active": turn.number, "turns_total": Plus(1), "updated_at": plain.NOW}
    if not session.title and settings.CHAT_TITLES != "off" and (title := titling.by_code(turn.prompt)):
        changes |= {"title": title, "titled_by": ChatSession.TitledBy.CODE}
    plain.insert(turn, ChatSession, {"pk": session.pk}, changes)
    return turn


def stop_queued(turn_id: int) -> bool:
    """Stop a turn that no runner has taken yet; False when it is not waiting any more. The session is locked."""
    return end_alone(Turn.objects.filter(pk=turn_id, status=Turn.Status.QUEUED), Turn.Status.STOPPED)


def end_alone(fenced: QuerySet, status: str, error: str = "") -> bool:
    """End the one turn of `fenced` without a runner's help; False when it is not there any more.

    What an earlier attempt had said stays and is counted by estimate. The session row is locked.
    """
    turn = (
        fenced.annotate(before=F("parent__tokens_upto"))
        .values("pk", "session_id", "prompt", "reply", "prompt_tokens", "before", *_HELD)
        .first()
    )
    if turn is None:
        return False
    reply_tokens = PESSIMISTIC.count(turn["reply"])
    own = turn["prompt_tokens"] + reply_tokens
    ended = fenced.update(
        status=status,
        error=error,
        owner="",
        lease_until=None,
        closed_at=Now(),
        reply_tokens=reply_tokens,
        tokens_upto=(turn["before"] or 0) + own,
        digest=coverage.turn_digest(turn["prompt"], turn["reply"], []),
    )
    if ended:
        ChatSession.objects.filter(pk=turn["session_id"]).update(open_tokens=F("open_tokens") + own, updated_at=Now())
        # Its call, if it had one, told nobody what it used: the reply that is there was part of it.
        quotas.settle(*(turn[name] for name in _HELD), used=reply_tokens)
    return bool(ended)
