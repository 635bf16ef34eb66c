"""What `check_invariants --repair` puts right. Nothing is done in silence: every change is a line of ids and numbers.

A preview is the repair itself in transactions that are rolled back, one a session: it can say nothing else than what
would happen, and holds no lock for longer than one session takes.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max

from chat.models import ChatSession, Notice, guards, words
from chat.store import coverage, healing, integrity, leases, quotas, totals
from chat.store.branches import locked

# Of what was put right something else may follow: a path that is whole again has totals of its own.
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """One transaction of a repair: of a session whose invariants `broken` did not hold, or of a `part` of the house;
    in so many `changes`."""

    part: str
    session: UUID | None = None
    broken: tuple[int, ...] = ()
    changes: int = 0


Note = Callable[[Mended], Any]
"""Told of each transaction that changes something, inside of it: what it writes is written with the change."""


def repair(
    session_ids: Collection[UUID] | None = None, *, preview: bool = False, note: Note | None = None
) -> list[str]:
    """Repair these sessions (None: all); a line for each change. Leases are reaped for everybody.

    With `preview` nothing is changed, and nobody is told: what would be done is returned.
    """
    lines = settle(preview=preview, note=note)
    for session, broken in _damaged(session_ids).items():
        of = Mended(part="session", session=session, broken=broken)
        lines += _tried(lambda session=session: _session(session), preview, note, of)
    if names := guards.missing():
        stand = [f"the guard {name} stands again" for name in names]
        # Tried, it would only meet what the sessions' own previews have put back.
        made = stand if preview else _tried(lambda: stand if _guards() else [], False, note, Mended(part="guards"))
        lines += made or ["the guards can't be made while rows contradict them"]
    return lines


def settle(*, preview: bool = False, note: Note | None = None) -> list[str]:
    """What is no damage, after a copy was put in or processes died: leases that nobody holds, what is set aside for
    them, the index of words. A line for each change."""
    lines = _tried(_leases, preview, note, Mended(part="leases"))
    for user, day, _, _ in list(quotas.wrong()):
        lines += _tried(lambda user=user, day=day: _allowance(user, day), preview, note, Mended(part="allowances"))
    if words.missing() or words.unindexed():
        again = ["the index of words made again"]
        lines += again if preview else _tried(_index, preview, note, Mended(part="words"))
    return lines


def _damaged(session_ids: Collection[UUID] | None) -> dict[UUID, tuple[int, ...]]:
    """Sessions in which something does not hold, and the numbers of what."""
    found: dict[str, set[int]] = {}
    for one in integrity.violations(session_ids):
        found.setdefault(one.session, set()).add(one.number)
    there = ChatSession.objects.filter(pk__in=[pk for pk in found if pk]).values_list("pk", flat=True)
    return {pk: tuple(sorted(found[str(pk)])) for pk in sorted(there)}


def _tried(work: Callable[[], Iterable[str]], preview: bool, note: Note | None, what: Mended) -> list[str]:
    with transaction.atomic():
        lines = list(work())
        if preview:
            transaction.set_rollback(True)
        elif lines and note:
            note(replace(what, changes=len(lines)))
    return lines


def _leases() -> list[str]:
    lines = [f"reaped turn {turn} of session {session}: {state}" for turn, session, state in leases.reap_turns()]
    if jobs := leases.reap_jobs():
        lines.append(f"reaped {jobs} jobs")
    return lines


def _allowance(user: int, day: date) -> list[str]:
    return [f"user {user}: what is set aside on {day} counted again"] if quotas.mend(user, day) else []


def _guards() -> bool:
    try:
        with transaction.atomic():
            guards.install()
    except IntegrityError:
        return False
    return True


def _index() -> list[str]:
    words.rebuild()
    return ["the index of words made again"]


def _session(session_id: UUID) -> list[str]:
    """All of one session in one transaction: what the healing leaves wrong in sums and notices is counted after it."""
    locked(session_id)
    lines: list[str] = []
    before, told = _figures(session_id), Notice.objects.aggregate(last=Max("pk"))["last"] or 0
    for _ in range(ROUNDS):
        made = [*healing.heal(session_id), *_sums(session_id)]
        lines += made
        if not made and not _count(session_id):
            break
    after = _figures(session_id)
    lines += [f"{name} was {before[name]}, is {after[name]}" for name in before if before[name] != after[name]]
    written = Notice.objects.filter(session_id=session_id, pk__gt=told, ended_at__isnull=True).order_by("pk")
    for kind, first, last in written.values_list("kind", "first", "last"):
        lines.append(f"notice ({kind}) written for turns {first}-{last}")
    return [f"session {session_id}: {line}" for line in lines]


def _figures(session_id: UUID) -> dict[str, int]:
    return ChatSession.objects.values(*totals.COUNTED, "compactions").get(pk=session_id)


def _sums(session_id: UUID) -> Iterable[str]:
    if any(totals.wrong_sums([session_id])) and (count := totals.mend_sums(session_id)):
        yield f"tokens_upto of {count} turns counted again"


def _count(session_id: UUID) -> bool:
    """Totals and notices, from the rows; whether anything had to be written."""
    wrong = {name: due for _, name, _, due in totals.wrong([session_id])}
    if wrong:
        ChatSession.objects.filter(pk=session_id).update(**wrong)
    owed = bool(coverage.shortened([session_id]) and coverage.missing_notices(session_id))
    if owed:
        coverage.tell(session_id)
    return bool(wrong) or owed
