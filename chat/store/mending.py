"""What `check_invariants --repair` puts right: running totals, stale leases, missing notices, what is set aside for
people, and the index of words. Nothing is done in silence: every change is returned as a line, ids and numbers only."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from chat.models import ChatSession, words
from chat.store import coverage, leases, quotas, totals
from chat.store.branches import locked


def repair(session_ids: Collection[UUID] | None = None) -> list[str]:
    """Repair these sessions (None: all); a line for each change. Leases are reaped for everybody."""
    lines = [f"reaped turn {turn} of session {session}: {state}" for turn, session, state in leases.reap_turns()]
    if jobs := leases.reap_jobs():
        lines.append(f"reaped {jobs} jobs")
    for user, day, _, _ in quotas.wrong():
        with transaction.atomic():
            if quotas.mend(user, day):
                lines.append(f"user {user}: what is set aside on {day} counted again")
    if words.missing() or words.unindexed():
        words.rebuild()
        lines.append("the index of words made again")
    sums = [session for session, _ in totals.wrong_sums(session_ids)]
    for session_id in sums:
        with transaction.atomic():
            locked(session_id)
            if count := totals.mend_sums(session_id):
                lines.append(f"session {session_id}: tokens_upto of {count} turns counted again")
    for session_id in sorted({session for session, *_ in totals.wrong(session_ids)}):
        lines += _totals(session_id)
    for session_id in coverage.shortened(session_ids):
        if coverage.missing_notices(session_id):
            with transaction.atomic():
                locked(session_id)
                for kind, first, last in coverage.tell(session_id):
                    lines.append(f"session {session_id}: notice ({kind}) written for turns {first}-{last}")
    return lines


def _totals(session_id: UUID) -> list[str]:
    """Write a session's totals anew, under its lock: what a turn adds meanwhile is not lost."""
    with transaction.atomic():
        locked(session_id)
        wrong = list(totals.wrong([session_id]))
        if wrong:
            ChatSession.objects.filter(pk=session_id).update(**{name: due for _, name, _, due in wrong})
        return [f"session {session_id}: {name} was {is_}, is {due}" for _, name, is_, due in wrong]
