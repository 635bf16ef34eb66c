"""Operations on what does not move: a turn that never ends, a lease that nobody lets go of."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from chat.models import ChatSession, Job, Turn
from chat.store import branches
from chat.surgery.handling import NOTHING
from chat.surgery.values import Done, Kind, Live, Operation, Refused

_EXPIRED = Q(lease_until__lt=Now()) | Q(lease_until__isnull=True)


def _cancel(session: ChatSession, values: Mapping[str, Any]) -> Done:
    turn = Turn.objects.live_in(session.pk).only("pk", "number", "status").get()
    target = {"turns": [turn.number]}
    if branches.stop_queued(turn.pk):
        return Done(target=target, turns=1, says=("It was waiting for a runner, and is stopped.",))
    running = Turn.objects.filter(pk=turn.pk, status=Turn.Status.RUNNING)
    if branches.end_alone(running.filter(_EXPIRED), Turn.Status.STOPPED):
        return Done(target=target, turns=1, says=("Its runner is gone; it is stopped, and keeps the words so far.",))
    if not running.filter(cancel_requested=False).update(cancel_requested=True):
        raise Refused("nothing", "It was asked to stop before; release its lease if its runner does not.")
    return Done(target=target, turns=1, says=("Its runner is asked to stop, and does within a second or two.",))


def _release(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """The turn and the jobs go back to the queue. Whoever held them finds out by owner and epoch, and stops."""
    running = Turn.objects.live_in(session.pk).filter(status=Turn.Status.RUNNING)
    turns = list(running.values_list("number", flat=True))
    held = Job.objects.open().filter(session=session, state=Job.State.RUNNING)
    jobs = list(held.values_list("pk", flat=True))
    if not turns and not jobs:
        raise NOTHING()
    Turn.objects.filter(pk__in=list(running.values_list("pk", flat=True))).update(
        status=Turn.Status.QUEUED, owner="", lease_until=None
    )
    Job.objects.filter(pk__in=jobs, state=Job.State.RUNNING).update(
        state=Job.State.DUE, owner="", lease_until=None, run_after=Now()
    )
    says = [f"Turn {number} waits for a runner again, and is answered from the beginning." for number in turns]
    says += [f"{len(jobs)} background jobs are due again."] if jobs else []
    return Done(target={"turns": turns, "jobs": jobs}, turns=len(turns), says=tuple(says))


OPERATIONS = (
    Operation(
        name="cancel",
        label="Cancel a stuck turn",
        help="Stop the reply that is being written. What was written so far is kept, and its owner can retry.",
        kind=Kind.IRREVERSIBLE,
        work=_cancel,
        live=Live.NEEDED,
        bulk=True,
    ),
    Operation(
        name="release",
        label="Release a lease",
        help="Give a turn and jobs that a worker holds back to the queue: another takes them. Cancel is the way back.",
        kind=Kind.COMPENSATING,
        work=_release,
        live=Live.ANY,
        bulk=True,
    ),
)
