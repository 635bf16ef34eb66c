"""Taking a compression back, and giving it again: a summary is a row that is switched, and no word is written anew.

Undone summaries never come back by themselves, except at the hard mark, where `wake` switches one on again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import coverage, ranges, standing
from chat.store.branches import locked, refuse_live
from chat.store.ranges import Ranges
from chat.store.standing import Standing, placed

State = Summary.State


class NothingThere(Exception):
    """No summary stands for any of these turns (any more)."""


class DoesNotFit(Exception):
    """The conversation would then hold `tokens` word for word, and `most` fit."""

    def __init__(self, tokens: int, most: int):
        super().__init__(tokens, most)
        self.tokens = tokens
        self.most = most


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What taking a compression back does: `turns` are sent again, `undone` summaries rest for good, `woken` ones
    stand in for what `split` ones covered beside. `tokens` come back, and summaries of `saved` tokens leave
    (fewer than none, where the woken ones are longer)."""

    turns: Ranges
    undone: tuple[int, ...]
    split: tuple[int, ...]
    woken: tuple[int, ...]
    tokens: int
    saved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What such a change made true: `first`..`last` are the turns that it is about, of so many `tokens`; `told` are
    those of the summaries for them."""

    first: int
    last: int
    tokens: int
    told: int
    window_from: int


@dataclass(frozen=True, slots=True)
class _Row:
    pk: int
    first: int
    last: int
    tier: int
    tokens: int
    state: str

    def within(self, first: int, last: int) -> bool:
        return first <= self.first and self.last <= last

    def meets(self, first: int, last: int) -> bool:
        return self.first <= last and first <= self.last


def plan(session_id: UUID, first: int, last: int) -> Restoration | None:
    """What it takes to send turns `first`..`last` word for word again; None when no summary stands for any of them.

    Where a merged summary reaches beyond them, those that it was made from stand for the rest, if they are there;
    else all that it covers comes back.
    """
    rows = Summary.objects.filter(
        session_id=session_id, state__in=[State.ACTIVE, State.RESTING], until__active=True
    ).order_by("-tier", "first", "-version")
    own = [_Row(*row) for row in rows.values_list("pk", "first", "last", "tier", "tokens", "state")]
    active = [one for one in own if one.state == State.ACTIVE]
    hit = [one for one in active if one.meets(first, last)]
    if not hit:
        return None
    taken = [one for one in active if one not in hit]
    woken: list[_Row] = []
    for one in own:
        if one.state != State.RESTING or one.meets(first, last) or not any(one.within(s.first, s.last) for s in hit):
            continue
        if not any(one.meets(other.first, other.last) for other in [*taken, *woken]):
            woken.append(one)
    turns = ranges.without([(one.first, one.last) for one in hit], [(one.first, one.last) for one in woken])
    # What rests below them would come back with the next switch of branches.
    touched = [one for one in own if one not in [*taken, *woken] and any(one.meets(*some) for some in turns)]
    whole = [one for one in touched if not ranges.gaps(one.first, one.last, turns)]
    return Restoration(
        turns=turns,
        undone=tuple(one.pk for one in whole),
        split=tuple(one.pk for one in touched if one not in whole),
        woken=tuple(one.pk for one in woken),
        tokens=_sent_anew(session_id, turns),
        saved=sum(one.tokens for one in hit) - sum(one.tokens for one in woken),
    )


def _sent_anew(session_id: UUID, turns: Ranges) -> int:
    """Tokens of turns that are not sent now: neither pinned nor excluded."""
    total = sum(coverage.range_tokens(session_id, *one) for one in turns)
    inside = Q()
    for one in turns:
        inside |= Q(number__range=one)
    path = Turn.objects.filter(inside, session_id=session_id, active=True)
    marked = path.exclude(excluded_by="", pinned_since__isnull=True).values_list("number", flat=True)
    return total - sum(coverage.range_tokens(session_id, number, number) for number in marked)


def restore(session_id: UUID, first: int, last: int, *, most: int) -> Changed:
    """Send the turns first..last word for word again. One transaction.

    Raises SessionBusy, NothingThere, DoesNotFit: at most `most` tokens may then stand word for word.
    """
    with transaction.atomic():
        session = locked(session_id)
        refuse_live(session_id)
        found = plan(session_id, first, last)
        if found is None:
            raise NothingThere
        own = Summary.objects.filter(session_id=session_id)
        own.filter(pk__in=found.undone).update(state=State.UNDONE)
        own.filter(pk__in=found.split).update(state=State.STALE)
        own.filter(pk__in=found.woken).update(state=State.ACTIVE)
        tokens = coverage.open_tokens(session_id)
        if tokens > most:
            raise DoesNotFit(tokens, most)
        before = Standing.of(session)
        stands = placed(session_id, before.window_from, [*before.restored, *found.turns])
        standing.write(session, stands, prefix=True)
        for one in found.turns:
            tokens = _sent_anew(session_id, [one])
            coverage.say(session, Notice.Kind.RESTORED, *one, tokens_before=max(0, found.saved), tokens_after=tokens)
        return Changed(
            first=found.turns[0][0],
            last=found.turns[-1][1],
            tokens=found.tokens,
            told=found.saved,
            window_from=stands.window_from,
        )


def compress_again(session_id: UUID, first: int, last: int) -> Changed:
    """Switch the undone summaries of turns first..last on again: no call, no wait. One transaction.

    Raises SessionBusy, NothingThere (none is there any more that still says what these turns say).
    """
    with transaction.atomic():
        session = locked(session_id)
        refuse_live(session_id)
        woken = [one for one in _undone(session_id) if one.meets(first, last) and _wake(session, one)]
        if not woken:
            raise NothingThere
        return _awake(session, woken)


def wake(session_id: UUID, wanted: Callable[[ChatSession], bool]) -> Changed | None:
    """At the hard mark: switch the oldest undone summary on again. Or one whose turns were left out meanwhile, at any
    mark. `wanted` says of the locked session whether it has reached the mark. None when there is nothing to switch.

    One that was made from something else than what its turns are now becomes stale: they are summarised anew.
    """
    with transaction.atomic():
        session = locked(session_id)
        undone = _undone(session_id)
        if not undone:
            return None
        stands = Standing.of(session)
        pressed = wanted(session)
        for one in undone:
            left_out = not any(stands.holds(number) for number in (one.first, one.last))
            if (pressed or left_out) and _wake(session, one):
                return _awake(session, [one])
        return None


def _undone(session_id: UUID) -> list[_Row]:
    """The oldest first; of those that begin together the widest."""
    rows = Summary.objects.filter(session_id=session_id, state=State.UNDONE, until__active=True)
    found = [_Row(*row) for row in rows.values_list("pk", "first", "last", "tier", "tokens", "state")]
    return sorted(found, key=lambda one: (one.first, -one.tier, -one.pk))


def _wake(session: ChatSession, one: _Row) -> bool:
    """Whether it could be switched on."""
    if any(one.meets(*other) for other in coverage.covered(session.pk)):
        return False
    live = Turn.objects.live_in(session.pk).values_list("number", flat=True).first()
    if live is not None and one.last >= live:
        return False
    own = Summary.objects.filter(pk=one.pk)
    if coverage.source_hash(session.pk, one.first, one.last) != own.values_list("source_hash", flat=True)[0]:
        own.update(state=State.STALE)
        return False
    own.update(state=State.ACTIVE)
    return True


def _awake(session: ChatSession, woken: list[_Row]) -> Changed:
    """Everything that follows from summaries that were switched on. The session row is locked."""
    # What was merged from others, or into one, must not stay undone below or above what stands for it now.
    for one in woken:
        inside = Summary.objects.filter(session_id=session.pk, state=State.UNDONE, until__active=True)
        inside.filter(first__gte=one.first, last__lte=one.last).update(state=State.RESTING)
    before = Standing.of(session)
    stands = placed(session.pk, before.window_from, before.restored)
    standing.write(session, stands, prefix=True)
    turns = ranges.join((one.first, one.last) for one in woken)
    return Changed(
        first=turns[0][0],
        last=turns[-1][1],
        tokens=sum(coverage.range_tokens(session.pk, *one) for one in turns),
        told=sum(one.tokens for one in woken),
        window_from=stands.window_from,
    )
