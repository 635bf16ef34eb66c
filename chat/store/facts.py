"""Exact values kept as facts from the start, so that no compaction can lose them."""

from collections.abc import Sequence

from chat.context.exact import Exact
from chat.models import Fact, Turn

MOST_A_TURN = 40  # a pasted log holds thousands; beyond this the words themselves are the record


def keep(turn: Turn, found: Sequence[Exact], *, since: int) -> int:
    """Store the values that a closed turn holds and the session does not yet know; returns how many are new.

    `since` is the session's context version: facts of that version stand in the cached prefix only after the next
    commit.
    """
    # What the prompt says the reply often repeats; the first quote is kept.
    found = list({(one.kind, one.value): one for one in reversed(found)}.values())[::-1][:MOST_A_TURN]
    if not found:
        return 0
    known = set(
        Fact.objects.filter(
            session_id=turn.session_id,
            value__in=[one.value for one in found],
            forgotten_at__isnull=True,
            turn__active=True,
        ).values_list("kind", "value")
    )
    new = [
        Fact(
            session_id=turn.session_id,
            kind=one.kind,
            value=one.value,
            quote=one.quote,
            turn=turn,
            since=since,
            made_by=Fact.MadeBy.CODE,
        )
        for one in found
        if (one.kind, one.value) not in known
    ]
    Fact.objects.bulk_create(new)
    return len(new)
