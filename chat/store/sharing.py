"""Links to read a conversation: made, brought up to now, revoked; and what such a link shows."""

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.models import ChatSession, Notice, Share, Summary, Turn
from chat.store import branches


def standing(session: ChatSession) -> Share | None:
    """The link that a conversation is shared by now."""
    return session.shares.filter(revoked_at__isnull=True).select_related("until").first()


def share(session: ChatSession) -> Share | None:
    """Share a conversation as far as it has got; a link that stands is brought up to now, under its address.

    A reply that is still being written is left out. None: there is nothing finished to show, or it is temporary.
    """
    with transaction.atomic():
        kept = branches.locked(session.pk)
        if kept.temporary or kept.deleted_at:
            return None
        until = _last_finished(kept)
        if until is None:
            return None
        now = timezone.now()
        changed = session.shares.filter(revoked_at__isnull=True).update(until=until, created_at=now)
        return standing(session) if changed else Share.objects.create(session=session, until=until, created_at=now)


def revoke(session: ChatSession) -> None:
    """The address shows nothing from now on, and never again."""
    session.shares.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())


def find(token: str) -> Share | None:
    """What an address shows. Revoked, deleted with its conversation, of somebody who may not sign in any more: None."""
    shares = Share.objects.filter(
        token=token,
        revoked_at__isnull=True,
        session__deleted_at__isnull=True,
        session__temporary=False,
        session__owner__is_active=True,
    )
    return shares.select_related("session", "until").first()


def line(shown: Share) -> QuerySet[Turn]:
    """The shared turns: the last one and its ancestors, whatever branch is the active one now."""
    until = shown.until
    turns = Turn.objects.filter(session_id=shown.session_id)
    if until.active:
        return turns.filter(active=True, number__lte=until.number)
    above = dict(turns.filter(active=False, number__lte=until.number).values_list("pk", "parent_id"))
    beside: list[int] = []
    at: int | None = until.pk
    while at in above:
        beside.append(at)
        at = above[at]
    fork = until.number - len(beside)
    return turns.filter(Q(pk__in=beside) | Q(active=True, number__lte=fork))


def notices(shown: Share, first: int, last: int) -> list[tuple[Notice, list[Summary]]]:
    """The notices after turns `first`..`last` that stood when the link was made and stand now, with their summaries.

    What was compressed later is none of a reader's business, and what was taken back isn't either.
    """
    on_line = line(shown).values("pk")
    rows = Notice.objects.filter(
        session_id=shown.session_id,
        last__range=(first, last),
        until__in=on_line,
        ended_at__isnull=True,
        created_at__lte=shown.created_at,
    )
    found = list(rows.order_by("last", "first", "id"))
    if not found:
        return []
    made = Summary.objects.filter(
        session_id=shown.session_id,
        until__in=on_line,
        # Of their notices, not of the page: one of a long range stands behind its last turn.
        first__gte=min(notice.first for notice in found),
        last__lte=max(notice.last for notice in found),
        state__in=[Summary.State.ACTIVE, Summary.State.RESTING],
        created_at__lte=shown.created_at,
    )
    summaries = list(made.order_by("first", "-version"))
    return [
        (notice, [one for one in summaries if notice.first <= one.first and one.last <= notice.last])
        for notice in found
    ]


def _last_finished(session: ChatSession) -> Turn | None:
    path = Turn.objects.filter(session_id=session.pk, active=True, status__in=Turn.TERMINAL)
    return path.order_by("-number").first()
