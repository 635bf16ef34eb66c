"""What a person decides about single turns: pinned ones are always sent word for word, excluded ones never.

Each change is one transaction under the session's lock, is refused while a turn is live, and repeated does nothing.
"""

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
    with transaction.atomic():
        session, turn = found(session_id, turn_id)
        if turn.excluded_by:
            raise Excluded(turn.excluded_by)
        if turn.pinned_since is not None:
            return Marked(number=turn.number, changed=False)
        used = sum(tokens for *_, tokens in pinned(session_id))
        own = coverage.range_tokens(session_id, turn.number, turn.number)
        if used + own > most:
            raise PinsFull(own, used, most)
        Turn.objects.filter(pk=turn_id).update(pinned_since=session.context_version + 1)
        standing.write(session, Standing.of(session), prefix=False)
        return Marked(number=turn.number, changed=True)


def unpin(session_id: UUID, turn_id: int) -> Marked:
    """Let a turn be compressed like any other. One that nothing stands for stays until the next compaction.

    Raises SessionBusy, UnknownTurn.
    """
    with transaction.atomic():
        session, turn = found(session_id, turn_id)
        if turn.pinned_since is None:
            return Marked(number=turn.number, changed=False)
        Turn.objects.filter(pk=turn_id).update(pinned_since=None)
        before = Standing.of(session)
        stands = placed(session_id, before.window_from, [*before.restored, (turn.number, turn.number)])
        standing.write(session, stands, prefix=False)
        return Marked(number=turn.number, changed=True)


def exclude(session_id: UUID, turn_id: int, *, by: str = USER, most: int | None = None) -> Marked:
    """Leave a turn out of every later request. Summaries over it go stale at once: they speak of it.

    What they stood for is sent word for word again until it is summarised anew, if that makes at most `most` tokens
    (None: however many); else it is left out so long, and a notice says so. Raises SessionBusy, UnknownTurn.
    """
    with transaction.atomic():
        session, turn = found(session_id, turn_id)
        if turn.excluded_by:
            return Marked(number=turn.number, changed=False)
        Turn.objects.filter(pk=turn_id).update(excluded_by=by, pinned_since=None)
        return remade(session, turn.number, most, [])


def include(session_id: UUID, turn_id: int, *, by: str = USER, most: int | None = None) -> Marked:
    """Send a turn again that was excluded by the same. A summary that was made before the exclusion comes back.

    Raises SessionBusy, UnknownTurn, Excluded (by somebody else).
    """
    with transaction.atomic():
        session, turn = found(session_id, turn_id)
        if not turn.excluded_by:
            return Marked(number=turn.number, changed=False)
        if turn.excluded_by != by:
            raise Excluded(turn.excluded_by)
        Turn.objects.filter(pk=turn_id).update(excluded_by="")
        return remade(session, turn.number, most, [(turn.number, turn.number)])


def found(session_id: UUID, turn_id: int) -> tuple[ChatSession, Turn]:
    """The session, locked, and a turn of its active path. Raises SessionBusy, UnknownTurn."""
    session = locked(session_id)
    refuse_live(session_id)
    turn = Turn.objects.filter(session_id=session_id, pk=turn_id, active=True)
    own = turn.only("number", "parent_id", "excluded_by", "pinned_since").first()
    if own is None:
        raise UnknownTurn
    return session, own


def remade(session: ChatSession, number: int, most: int | None, own: Ranges) -> Marked:
    """What follows when a turn is told of otherwise than summaries over it were made from. `own` is sent anyway."""
    before = coverage.covered(session.pk)
    _stale(session.pk, number)
    coverage.tile(session.pk)
    after = coverage.covered(session.pk)
    lost: Ranges = ranges.without(before, after)
    old = Standing.of(session)
    fits = most is None or coverage.open_tokens(session.pk) <= most
    stands = placed(session.pk, old.window_from, [*old.restored, *own, *(lost if fits else [])])
    standing.write(session, stands, prefix=before != after)
    return Marked(number=number, changed=True, stale=bool(lost))


def _stale(session_id: UUID, number: int) -> None:
    """Summaries over a turn that changed are stale; those that were made from just what is there now rest again."""
    over = Summary.objects.filter(session_id=session_id, first__lte=number, last__gte=number, until__active=True)
    stale = over.filter(state=Summary.State.STALE, committed_at__isnull=False)
    coverage.stale_over(session_id, number)
    for pk, first, last, source in list(stale.values_list("pk", "first", "last", "source_hash")):
        if coverage.source_hash(session_id, first, last) == source:
            Summary.objects.filter(pk=pk).update(state=Summary.State.RESTING)
