"""What `check_invariants --repair` puts right. Nothing is done in silence: every change is a line of ids and numbers.

A preview is the repair itself in transactions that are rolled back, one a session: it can say nothing else than what
would happen, and holds no lock for longer than one session takes.
"""

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max

from chat.models import ChatSession, Notice, guards, words
from chat.store import coverage, healing, integrity, leases, quotas, totals
from chat.store.branches import locked

# Of what was put right something else may follow: a path that is whole again has totals of its own.
ROUNDS = 3


def repair(session_ids: Collection[UUID] | None = None, *, preview: bool = False) -> list[str]:
    """Repair these sessions (None: all); a line for each change. Leases are reaped for everybody.

    With `preview` nothing is changed: what would be done is told.
    """
    lines = settle(preview=preview)
    for session in _damaged(session_ids):
        lines += _tried(lambda session=session: _session(session), preview)
    if names := guards.missing():
        # Tried, it would only meet what the sessions' own previews have put back.
        lines += (
            [f"the guard {name} stands again" for name in names] if preview else _tried(lambda: _guards(names), False)
        )
    return lines


def settle(*, preview: bool = False) -> list[str]:
    """What is no damage, after a copy was put in or processes died: leases that nobody holds, what is set aside for
    them, the index of words. A line for each change."""
    lines = _tried(_leases, preview)
    for user, day, _, _ in list(quotas.wrong()):
        told = f"user {user}: what is set aside on {day} counted again"
        lines += _tried(lambda user=user, day=day, told=told: [told] if quotas.mend(user, day) else [], preview)
    if words.missing() or words.unindexed():
        lines += ["the index of words made again"] if preview else _tried(_index, preview)
    return lines


def _damaged(session_ids: Collection[UUID] | None) -> list[UUID]:
    found = {one.session for one in integrity.violations(session_ids) if one.session}
    there = ChatSession.objects.filter(pk__in=found).values_list("pk", flat=True) if found else []
    return sorted(there)


def _tried(work: Callable[[], Iterable[str]], preview: bool) -> list[str]:
    with transaction.atomic():
        lines = list(work())
        if preview:
            transaction.set_rollback(True)
    return lines


def _leases() -> list[str]:
    lines = [f"reaped turn {turn} of session {session}: {state}" for turn, session, state in leases.reap_turns()]
    if jobs := leases.reap_jobs():
        lines.append(f"reaped {jobs} jobs")
    return lines


def _guards(names: list[str]) -> list[str]:
    try:
        with transaction.atomic():
            guards.install()
    except IntegrityError:
        return ["the guards can't be made while rows contradict them"]
    return [f"the guard {name} stands again" for name in names]


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
