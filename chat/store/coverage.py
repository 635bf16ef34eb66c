"""Which turns a summary stands for, and whether it still may.

A summary is valid on the active path exactly when its last turn (`until`) is active. Of the valid ones, some are
active and never overlap; the others rest. `retile` finds the active ones after the path or the summaries changed.
"""

import hashlib
from collections.abc import Collection, Sequence
from itertools import chain
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q, Sum
from django.db.models.functions import Now

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import ranges
from chat.store.ranges import gaps

LAST = 1 << 31
"""A number that no turn has."""


def source_hash(session_id, first: int, last: int) -> str:
    """The hash of what turns `first`..`last` of the active path hold: digests, exclusions, redactions."""
    digest = hashlib.sha256()
    rows = Turn.objects.filter(session_id=session_id, active=True, number__range=(first, last)).order_by("number")
    for number, own, excluded, redacted in rows.values_list("number", "digest", "excluded_by", "redacted_at"):
        digest.update(f"{number}:{own}:{excluded}:{'r' if redacted else ''};".encode())
    return digest.hexdigest()


def turn_digest(prompt: str, reply: str, steps: list[str]) -> str:
    """The hash of a closed turn's words."""
    digest = hashlib.sha256()
    for part in (prompt, *steps, reply):
        digest.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def range_tokens(session_id, first: int, last: int) -> int:
    """Tokens of turns `first`..`last` of the active path: one subtraction of running sums."""
    upto = dict(
        Turn.objects.filter(session_id=session_id, active=True, number__in=(first - 1, last)).values_list(
            "number", "tokens_upto"
        )
    )
    return max(0, upto.get(last, 0) - upto.get(first - 1, 0))


def covered(session_id, *, undone: bool = False) -> list[tuple[int, int]]:
    """The ranges of the active summaries, oldest first; with `undone`, also those a person took back."""
    states = [Summary.State.ACTIVE, *([Summary.State.UNDONE] if undone else [])]
    rows = Summary.objects.filter(session_id=session_id, state__in=states, until__active=True)
    return list(rows.order_by("first").values_list("first", "last"))


def retile(session_id, start: int = 1) -> int | None:
    """Find the active summaries again, for a path that changed from turn `start` on. The session row is locked.

    Active ones that reach `start` rest; then of the valid resting ones, highest tier first, then oldest, each that
    overlaps no active one becomes active. Returns the first turn that one of those that rest had stood for.
    """
    own = Summary.objects.filter(session_id=session_id)
    reaching = own.filter(state=Summary.State.ACTIVE, last__gte=start)
    uncovered = reaching.aggregate(first=Min("first"))["first"]
    if uncovered is not None:
        reaching.update(state=Summary.State.RESTING)
    tile(session_id)
    return uncovered


def tile(session_id) -> list[tuple[int, int]]:
    """Make active, of the valid resting summaries, each that overlaps no active one; their ranges."""
    own = Summary.objects.filter(session_id=session_id)
    taken = list(own.filter(state=Summary.State.ACTIVE).values_list("first", "last"))
    woken: list[tuple[int, int]] = []
    resting = own.filter(state=Summary.State.RESTING, until__active=True).order_by("-tier", "first", "-version")
    for pk, first, last in list(resting.values_list("pk", "first", "last")):
        if all(last < a or first > b for a, b in [*taken, *woken]):
            own.filter(pk=pk).update(state=Summary.State.ACTIVE)
            woken.append((first, last))
    return woken


def stale_over(session_id, first: int, last: int) -> int:
    """Mark every summary over one of these turns stale: its words may no longer be told. Returns how many.

    An undone one stays undone, for its turns stay sent; it never comes back while it was made from something else.
    """
    over = Summary.objects.filter(session_id=session_id, first__lte=last, last__gte=first)
    states = [Summary.State.ACTIVE, Summary.State.RESTING, Summary.State.DRAFT]
    return over.filter(state__in=states).update(state=Summary.State.STALE)


def open_tokens(session_id) -> int:
    """Tokens of finished turns of the active path that no active summary covers. A constant number of queries."""
    path = Turn.objects.filter(session_id=session_id, active=True)
    total = path.filter(status__in=Turn.TERMINAL).order_by("-number").values_list("tokens_upto", flat=True).first()
    ranges = covered(session_id)
    edges = set(chain.from_iterable((first - 1, last) for first, last in ranges))
    upto = dict(path.filter(number__in=edges).values_list("number", "tokens_upto")) if edges else {}
    return max(0, (total or 0) - sum(upto.get(last, 0) - upto.get(first - 1, 0) for first, last in ranges))


def summary_tokens(session_id) -> int:
    """Tokens of the active summaries."""
    rows = Summary.objects.filter(session_id=session_id, state=Summary.State.ACTIVE, until__active=True)
    return rows.aggregate(total=Sum("tokens"))["total"] or 0


def open_turns(session: ChatSession) -> int:
    """How many turns of the active path no active summary covers."""
    return session.turns_active - sum(last - first + 1 for first, last in covered(session.pk))


def marked(session_id) -> int:
    """How many turns of the active path are pinned or excluded."""
    path = Turn.objects.filter(session_id=session_id, active=True)
    return path.exclude(excluded_by="", pinned_since__isnull=True).count()


def end_smaller(session_id, kind: str, first: int, last: int) -> int:
    """End notices of this kind that a new one for first..last replaces: those strictly inside it."""
    inside = Notice.objects.filter(
        session_id=session_id, kind=kind, first__gte=first, last__lte=last, ended_at__isnull=True
    )
    return inside.exclude(first=first, last=last).update(ended_at=Now())


def say(session: ChatSession, kind: str, first: int, last: int, **values) -> Notice | None:
    """Write a notice for turns first..last; None when the same one stands already."""
    until = Turn.objects.filter(session=session, active=True, number=last).values_list("pk", flat=True).first()
    if until is None:
        return None
    same = Q(session=session, kind=kind, first=first, last=last, until_id=until, ended_at__isnull=True)
    if Notice.objects.filter(same).exists():
        return None
    return Notice.objects.create(session=session, kind=kind, first=first, last=last, until_id=until, **values)


def next_version(session_id, first: int, last: int) -> int:
    """The version that the next summary of this range gets."""
    rows = Summary.objects.filter(session_id=session_id, first=first, last=last)
    return (rows.aggregate(newest=Max("version"))["newest"] or 0) + 1


def heal_trims(session: ChatSession, window_from: int) -> None:
    """End the notices of trims whose turns are covered by now or sent again; keep what is still missing."""
    trims = Notice.objects.filter(session=session, kind=Notice.Kind.TRIMMED, ended_at__isnull=True)
    told = [*covered(session.pk), *ranges.read(session.restored)]
    for notice in list(trims):
        left = gaps(notice.first, min(notice.last, window_from - 1), told)
        if left == [(notice.first, notice.last)]:
            continue
        Notice.objects.filter(pk=notice.pk).update(ended_at=Now())
        for first, last in left:
            say(session, Notice.Kind.TRIMMED, first, last, turn=notice.turn, model=notice.model)


def shortened(session_ids: Collection[UUID] | None = None) -> list[UUID]:
    """The sessions whose window starts behind their first turn: those that owe notices."""
    rows = ChatSession.objects.filter(window_from__gt=1)
    if session_ids is not None:
        rows = rows.filter(pk__in=session_ids)
    return list(rows.values_list("pk", flat=True))


def missing_notices(session_id) -> list[tuple[str, int, int]]:
    """Ranges before the window that no notice speaks of, as (kind, first, last).

    What a summary covers is compressed, and may not be called trimmed; what none covers must not read like success.
    Excluded turns were left out by somebody's own act, pinned and restored ones are sent.
    """
    row = ChatSession.objects.values_list("window_from", "turns_active", "restored").get(pk=session_id)
    before = min(row[0] - 1, row[1])
    if before < 1:
        return []
    path = Turn.objects.filter(session_id=session_id, active=True, number__lte=before)
    numbers = path.exclude(excluded_by="", pinned_since__isnull=True).values_list("number", flat=True)
    owed_none = [(number, number) for number in numbers]
    standing: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    told = _standing(session_id).exclude(kind=Notice.Kind.RESTORED)
    for kind, first, last in told.values_list("kind", "first", "last"):
        standing[kind == Notice.Kind.COMPRESSED].append((first, last))
    summarised = covered(session_id)
    bare = gaps(1, before, [*summarised, *ranges.read(row[2])])
    out = [
        (Notice.Kind.COMPRESSED, *gap)
        for first, last in ranges.join(summarised)
        if first <= before
        for gap in gaps(first, min(last, before), standing[True])
        # One line for neighbours, whatever is pinned between them; none for pinned turns alone.
        if gaps(*gap, owed_none)
    ]
    out += [
        (Notice.Kind.TRIMMED, *gap) for first, last in bare for gap in gaps(first, last, [*standing[False], *owed_none])
    ]
    return sorted(out, key=lambda one: one[1])


def tell(session_id) -> list[tuple[str, int, int]]:
    """Make the notices agree with what is covered and where the window starts; returns those that were added.

    The session row is locked. A notice ends on the turn that it was written at: on another branch, or below a
    summary that came back, the same turns need one of their own.
    """
    session = ChatSession.objects.get(pk=session_id)
    heal_trims(session, session.window_from)
    end_untrue(session_id, session.window_from, ranges.read(session.restored))
    added = []
    for kind, first, last in missing_notices(session_id):
        parts = list(_active_in(session_id, first, last)) if kind == Notice.Kind.COMPRESSED else []
        values: dict[str, object] = {"tokens_before": range_tokens(session_id, first, last)}
        if parts:
            values |= {
                "summary": parts[-1],
                "tokens_before": sum(one.source_tokens for one in parts),
                "tokens_after": sum(one.tokens for one in parts),
                "model": parts[-1].model,
            }
        if say(session, kind, first, last, **values):
            added.append((kind, first, last))
    wider = _standing(session_id).filter(
        kind=OuterRef("kind"), first__lte=OuterRef("first"), last__gte=OuterRef("last")
    )
    inside = wider.exclude(first=OuterRef("first"), last=OuterRef("last"))
    twice = _standing(session_id).filter(Exists(inside), kind=Notice.Kind.COMPRESSED)
    Notice.objects.filter(pk__in=list(twice.values_list("pk", flat=True))).update(ended_at=Now())
    return added


def end_untrue(session_id, window_from: int, restored: Sequence[tuple[int, int]]) -> None:
    """End notices that are true no longer: of a compression that was taken back, even in part, and of turns that came
    back and are summarised or left out by now. What is owed then is written anew."""
    summarised = covered(session_id)
    compressed = _standing(session_id).filter(kind=Notice.Kind.COMPRESSED)
    ended = [pk for pk, *own in compressed.values_list("pk", "first", "last") if gaps(*own, summarised)]
    sent = [*restored, (window_from, LAST)]
    back = _standing(session_id).filter(kind=Notice.Kind.RESTORED)
    ended += [pk for pk, *own in back.values_list("pk", "first", "last") if gaps(*own, sent)]
    if ended:
        Notice.objects.filter(pk__in=ended).update(ended_at=Now())


def _standing(session_id):
    """Notices that a reader of the active path sees."""
    return Notice.objects.filter(session_id=session_id, ended_at__isnull=True, until__active=True)


def _active_in(session_id, first: int, last: int):
    rows = Summary.objects.filter(session_id=session_id, state=Summary.State.ACTIVE, until__active=True)
    return rows.filter(first__lte=last, last__gte=first).order_by("first").defer("text")
