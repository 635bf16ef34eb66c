"""What a person decides about single turns: pinned ones are always sent word for word, excluded ones never.

Each change is one transaction under the session's lock, is refused while a turn is live, and repeated does nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from chat.context.window import Size
from chat.models import ChatSession, Summary, Turn
from chat.store import coverage, ranges, standing
from chat.store.branches import UnknownTurn, locked, refuse_live
from chat.store.ranges import Ranges
from chat.store.standing import Standing, placed

USER = "user"
OWN_TOKENS = F("tokens_upto") - Coalesce(F("parent__tokens_upto"), 0)
"""Tokens of a turn alone, in a query over turns."""


class PinsFull(Exception):
    """Pinned turns may hold `most` tokens; `used` are held, and this one has `tokens`."""

    def __init__(self, tokens: int, used: int, most: int):
        super().__init__(tokens, used, most)
        self.tokens = tokens
        self.used = used
        self.most = most


class Excluded(Exception):
    """The turn is left out of the context: it can't be pinned, or only who left it out may include it again."""

    def __init__(self, by: str):
        super().__init__(by)
        self.by = by


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What a change made true. `changed`: it was not so before; `stale`: a summary must be made again."""

    number: int
    changed: bool
    stale: bool = False


def sizes(session_id: UUID) -> list[Size]:
    """The pinned and excluded turns of the active path, oldest first."""
    path = Turn.objects.filter(session_id=session_id, active=True).exclude(excluded_by="", pinned_since__isnull=True)
    rows = path.annotate(own=OWN_TOKENS).order_by("number").values_list("number", "own", "pinned_since", "excluded_by")
    return [Size(number, own, since is not None, bool(by)) for number, own, since, by in rows]


def pinned(session_id: UUID) -> list[tuple[int, int, int]]:
    """The pinned turns of the active path as (id, number, tokens), oldest first."""
    path = Turn.objects.filter(session_id=session_id, active=True, pinned_since__isnull=False)
    return list(path.annotate(own=OWN_TOKENS).order_by("number").values_list("pk", "number", "own"))


def pin(session_id: UUID, turn_id: int, *, most: int) -> Marked:
    """Keep a turn word for word through every compression. Pinned turns together hold at most `most` tokens.

    Raises SessionBusy, UnknownTurn, Excluded, PinsFull.
    """
    return pin_all(session_id, [turn_id], most=most)[0]


def pin_all(session_id: UUID, turn_ids: Sequence[int], *, most: int) -> list[Marked]:
    """`pin` for many turns: all of them, or none."""
    with transaction.atomic():
        session, turns = _found(session_id, turn_ids)
        due = {turn.pk: turn for turn in turns if turn.pinned_since is None}
        used = sum(tokens for *_, tokens in pinned(session_id))
        path = Turn.objects.filter(pk__in=due).annotate(own=OWN_TOKENS).order_by("number")
        for pk, own in path.values_list("pk", "own"):
            if by := due[pk].excluded_by:
                raise Excluded(by)
            if used + own > most:
                raise PinsFull(own, used, most)
            used += own
        if due:
            Turn.objects.filter(pk__in=due).update(pinned_since=session.context_version + 1)
            standing.write(session, Standing.of(session), prefix=False)
        return [Marked(number=turn.number, changed=turn.pk in due) for turn in turns]


def unpin(session_id: UUID, turn_id: int) -> Marked:
    """Let a turn be compressed like any other. One that nothing stands for stays until the next compaction.

    Raises SessionBusy, UnknownTurn.
    """
    return unpin_all(session_id, [turn_id])[0]


def unpin_all(session_id: UUID, turn_ids: Sequence[int]) -> list[Marked]:
    """`unpin` for many turns."""
    with transaction.atomic():
        session, turns = _found(session_id, turn_ids)
        due = {turn.pk: turn.number for turn in turns if turn.pinned_since is not None}
        if due:
            Turn.objects.filter(pk__in=due).update(pinned_since=None)
            before = Standing.of(session)
            stands = placed(session_id, before.window_from, [*before.restored, *_ranges(due.values())])
            standing.write(session, stands, prefix=False)
        return [Marked(number=turn.number, changed=turn.pk in due) for turn in turns]


def exclude(session_id: UUID, turn_id: int, *, by: str = USER, most: int | None = None) -> Marked:
    """Leave a turn out of every later request. Summaries over it go stale at once: they speak of it.

    What they stood for is sent word for word again until it is summarised anew, if that makes at most `most` tokens
    (None: however many); else it is left out so long, and a notice says so. Raises SessionBusy, UnknownTurn.
    """
    return exclude_all(session_id, [turn_id], by=by, most=most)[0]


def exclude_all(session_id: UUID, turn_ids: Sequence[int], *, by: str, most: int | None) -> list[Marked]:
    """`exclude` for many turns."""
    with transaction.atomic():
        session, turns = _found(session_id, turn_ids)
        due = {turn.pk: turn.number for turn in turns if not turn.excluded_by}
        Turn.objects.filter(pk__in=due).update(excluded_by=by, pinned_since=None)
        stale = bool(due) and remade(session, due.values(), most)
        return [_told(turn, due, stale) for turn in turns]


def include(session_id: UUID, turn_id: int, *, by: str = USER, most: int | None = None) -> Marked:
    """Send a turn again that was excluded by the same. A summary that was made before the exclusion comes back.

    Raises SessionBusy, UnknownTurn, Excluded (by somebody else).
    """
    return include_all(session_id, [turn_id], by=by, most=most)[0]


def include_all(session_id: UUID, turn_ids: Sequence[int], *, by: str, most: int | None) -> list[Marked]:
    """`include` for many turns: all of them, or none."""
    with transaction.atomic():
        session, turns = _found(session_id, turn_ids)
        due = {turn.pk: turn.number for turn in turns if turn.excluded_by}
        for turn in turns:
            if turn.excluded_by not in ("", by):
                raise Excluded(turn.excluded_by)
        Turn.objects.filter(pk__in=due).update(excluded_by="")
        stale = bool(due) and remade(session, due.values(), most, own=_ranges(due.values()))
        return [_told(turn, due, stale) for turn in turns]


def _told(turn: Turn, due: Collection[int], stale: bool) -> Marked:
    return Marked(number=turn.number, changed=turn.pk in due, stale=stale and turn.pk in due)


def found(session_id: UUID, turn_id: int) -> tuple[ChatSession, Turn]:
    """The session, locked, and a turn of its active path. Raises SessionBusy, UnknownTurn."""
    session, turns = _found(session_id, [turn_id])
    return session, turns[0]


def _found(session_id: UUID, turn_ids: Sequence[int]) -> tuple[ChatSession, list[Turn]]:
    """The same of many turns, in the order in which they are named."""
    session = locked(session_id)
    refuse_live(session_id)
    path = Turn.objects.filter(session_id=session_id, pk__in=turn_ids, active=True)
    own = path.only("number", "parent_id", "excluded_by", "pinned_since").in_bulk()
    if len(own) < len(set(turn_ids)):
        raise UnknownTurn
    return session, [own[pk] for pk in turn_ids]


def _ranges(numbers: Iterable[int]) -> Ranges:
    return ranges.join((number, number) for number in numbers)


def remade(session: ChatSession, numbers: Iterable[int], most: int | None, own: Sequence[tuple[int, int]] = ()) -> bool:
    """What follows when turns are told of otherwise than summaries over them were made from; whether one must be made
    again. `own` is sent anyway. Once for many turns: each of its steps looks at the whole conversation."""
    before = coverage.covered(session.pk)
    for first, last in _ranges(numbers):
        _stale(session.pk, first, last)
    coverage.tile(session.pk)
    after = coverage.covered(session.pk)
    lost: Ranges = ranges.without(before, after)
    old = Standing.of(session)
    fits = most is None or coverage.open_tokens(session.pk) <= most
    stands = placed(session.pk, old.window_from, [*old.restored, *own, *(lost if fits else [])])
    standing.write(session, stands, prefix=before != after)
    return bool(lost)


def _stale(session_id: UUID, first: int, last: int) -> None:
    """Summaries over turns that changed are stale; those that were made from just what is there now rest again."""
    over = Summary.objects.filter(session_id=session_id, first__lte=last, last__gte=first, until__active=True)
    stale = over.filter(state=Summary.State.STALE, committed_at__isnull=False)
    coverage.stale_over(session_id, first, last)
    for pk, start, end, source in list(stale.values_list("pk", "first", "last", "source_hash")):
        if coverage.source_hash(session_id, start, end) == source:
            Summary.objects.filter(pk=pk).update(state=Summary.State.RESTING)
