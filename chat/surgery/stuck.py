"""Operations on what does not move: a turn that never ends, a lease that nobody lets go of."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from chat.models import ChatSession, Job, Turn
from chat.store import branches
from chat.surgery.handling import NOTHING
from chat.surgery.values import Done, Kind, Live, Refused, operation

_EXPIRED = Q(lease_until__lt=Now()) | Q(lease_until__isnull=True)


@operation("Cancel a stuck turn", kind=Kind.IRREVERSIBLE, live=Live.NEEDED, bulk=True, tells="turn")
def cancel(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Stop the reply that is being written. What was written so far is kept, and its owner can retry."""
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


@operation("Release a lease", kind=Kind.COMPENSATING, live=Live.ANY, bulk=True, tells="turn")
def release(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Give a turn and jobs that a worker holds back to the queue: another takes them. Cancel is the way back."""
    running = Turn.objects.live_in(session.pk).filter(status=Turn.Status.RUNNING)
    turns = list(running.values_list("number", flat=True))
    held = Job.objects.open().filter(session=session, state=Job.State.RUNNING)
    jobs = list(held.values_list("pk", flat=True))
    if not turns and not jobs:
        raise NOTHING()
    # Whoever held them finds out by owner and epoch, and stops.
    Turn.objects.filter(pk__in=list(running.values_list("pk", flat=True))).update(
        status=Turn.Status.QUEUED, owner="", lease_until=None
    )
    Job.objects.filter(pk__in=jobs, state=Job.State.RUNNING).update(
        state=Job.State.DUE, owner="", lease_until=None, run_after=Now()
    )
    says = [f"Turn {number} waits for a runner again, and is answered from the beginning." for number in turns]
    says += [f"{len(jobs)} background job{'s are' if len(jobs) > 1 else ' is'} due again."] if jobs else []
    return Done(target={"turns": turns, "jobs": jobs}, turns=len(turns), says=tuple(says))
