"""What is wrong with a conversation, in queries: stuck turns, stale leases, compaction that fails.

Each is a query for ids over an index of few rows, so that a filter costs the same at a hundred thousand sessions.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from chat.flow import compactor
from chat.models import Job, Turn

WAITS_TOO_LONG = timedelta(seconds=60)
"""A turn that waits for a runner for so long has none."""
FAILED_SINCE = timedelta(days=1)


def stuck() -> QuerySet[Turn]:
    """Turns that nobody works at: they wait for a runner, or theirs is gone."""
    waits = Q(status=Turn.Status.QUEUED, created_at__lt=Now() - WAITS_TOO_LONG)
    return Turn.objects.live().filter(waits | _late(Turn.Status.RUNNING, "status"))


def stale_turns() -> QuerySet[Turn]:
    """Turns that run without a lease."""
    return Turn.objects.live().filter(_late(Turn.Status.RUNNING, "status"))


def stale_jobs() -> QuerySet[Job]:
    """Jobs that run without a lease."""
    return Job.objects.open().filter(_late(Job.State.RUNNING, "state"))


def failing() -> QuerySet[Job]:
    """Compactions that failed within a day, or are tried again, and that none has followed which did not."""
    done = Job.objects.filter(
        kind=compactor.KIND, session=OuterRef("session"), state=Job.State.DONE, pk__gt=OuterRef("pk")
    )
    gone_wrong = Q(state=Job.State.FAILED, finished_at__gte=Now() - FAILED_SINCE)
    again = Q(state__in=Job.OPEN, attempts__gt=0) & ~Q(error="")
    return Job.objects.filter(gone_wrong | again, kind=compactor.KIND).filter(~Exists(done))


def _late(state: str, column: str) -> Q:
    return Q(**{column: state}) & (Q(lease_until__isnull=True) | Q(lease_until__lt=Now()))


KINDS = {
    "stuck": ("Stuck turn", lambda: [stuck().values("session_id")]),
    "stale": ("Stale lease", lambda: [stale_turns().values("session_id"), stale_jobs().values("session_id")]),
    "failing": ("Failing compaction", lambda: [failing().values("session_id")]),
}


def sessions(kind: str) -> Q:
    """The condition on sessions for one of KINDS."""
    wanted = Q()
    for ids in KINDS[kind][1]():
        wanted |= Q(pk__in=ids)
    return wanted


def words(ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """What is wrong with these sessions, in words. Four statements, however many."""
    out: dict[UUID, list[str]] = {}
    named = (
        ("stuck turn", stuck()),
        ("stale lease", stale_turns()),
        ("stale lease of a job", stale_jobs()),
        ("compaction fails", failing()),
    )
    for word, rows in named:
        for session in rows.filter(session_id__in=ids).values_list("session_id", flat=True).distinct():
            out.setdefault(session, []).append(word)
    return out
