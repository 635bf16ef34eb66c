"""Claim, beat, release and reap: how work in a row finds one worker at a time, and never two.

Every transition is one conditional UPDATE, fenced by owner and epoch. Changing 0 rows means that ownership is
lost, and whoever sees that stops at once. All times are the database's own clock: a worker whose clock is wrong, or
who was stopped for a minute, can't believe that its lease still holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Model, Q, QuerySet
from django.db.models.functions import Now

from chat.models import Job, Turn
from chat.store import branches, statements

# Somebody else's fresh turns are left to their own process for so long: its text streams without a bus.
COURTESY_S = 1.0
MOST_ATTEMPTS = 2
MOST_JOB_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that is ours until its lease runs out. `epoch` fences every write about it.

    `kept` is what an earlier attempt at a turn had said: it stays until this one has said more.
    """

    id: int
    session_id: object
    epoch: int
    attempt: int
    owner: str
    kept: str = ""


def _first(queryset: QuerySet) -> Model | None:
    if connection.features.has_select_for_update_skip_locked:
        queryset = queryset.select_for_update(skip_locked=True, of=("self",))
    return queryset.first()


def claim_turns(owner: str, lease_s: float, most: int = 1) -> list[Claim]:
    """Take up to `most` of the oldest waiting turns: one statement, so that none is taken and then not known."""
    rows = statements.rows(statements.claim(), [owner, lease_s, owner, COURTESY_S, most])
    # The oldest first: RETURNING gives them in the order in which they were found.
    return [
        Claim(pk, statements.as_uuid(session_id), epoch, attempt, owner, kept)
        for pk, session_id, epoch, attempt, kept in sorted(rows)
    ]


def claim_turn(owner: str, lease_s: float) -> Claim | None:
    """Take the oldest waiting turn, or None."""
    return next(iter(claim_turns(owner, lease_s)), None)


def beat_turns(beats: Sequence[tuple[Claim, str | None]], lease_s: float) -> list[bool | None]:
    """Hold on to turns, and store the text so far of those where it is given: one statement.

    Returns for each whether a stop was asked for; None: lost. Succeeds even past the lease, as long as nobody else
    has taken the turn.
    """
    rows = statements.beats([(claim.id, claim.owner, claim.epoch, reply) for claim, reply in beats], lease_s)
    held = {(turn, epoch): bool(asked) for turn, epoch, asked in rows}
    return [held.get((claim.id, claim.epoch)) for claim, _ in beats]


def beat_turn(claim: Claim, lease_s: float, reply: str | None = None) -> bool | None:
    """The same for one turn."""
    return beat_turns([(claim, reply)], lease_s)[0]


def release_turn(claim: Claim, *, costs_attempt: bool) -> bool:
    """Give a running turn back to the queue; whether it was still ours. A clean shutdown costs no attempt."""
    attempt = F("attempt") if costs_attempt else F("attempt") - 1
    return bool(_owned(claim).update(status=Turn.Status.QUEUED, owner="", lease_until=None, attempt=attempt))


def cancelled(turn_ids: list[int]) -> set[int]:
    """Which of these running turns somebody asked to stop."""
    return set(Turn.objects.filter(pk__in=turn_ids, cancel_requested=True).values_list("pk", flat=True))


def _nobody(owner: str) -> bool:
    return False


def _abandoned(running: QuerySet, is_gone: Callable[[str], bool]) -> QuerySet:
    """Those of these rows whose lease ran out, or whose owner is gone. By the name: one that is found by a new owner
    meanwhile is left to it."""
    owners = running.order_by().values_list("owner", flat=True).distinct()
    gone = [owner for owner in owners if is_gone(owner)]
    return running.filter(Q(lease_until__lt=Now()) | Q(lease_until__isnull=True) | Q(owner__in=gone))


def reap_turns(is_gone: Callable[[str], bool] = _nobody) -> list[tuple[int, object, str]]:
    """Requeue running turns whose lease ran out, or whose owner certainly is gone. Returns (turn, session, new state).

    Those out of attempts fail; those that somebody had asked to stop are stopped, not answered once more.
    """
    out: list[tuple[int, object, str]] = []
    abandoned = _abandoned(Turn.objects.live().filter(status=Turn.Status.RUNNING), is_gone)
    rows = abandoned.values_list("pk", "session_id", "epoch", "attempt", "cancel_requested")
    for pk, session_id, epoch, attempt, cancelled in list(rows):
        fenced = abandoned.filter(pk=pk, epoch=epoch)
        if cancelled or attempt >= MOST_ATTEMPTS:
            status, error = (Turn.Status.STOPPED, "") if cancelled else (Turn.Status.FAILED, "owner_lost")
            with transaction.atomic():
                branches.locked(session_id)
                if branches.end_alone(fenced, status, error):
                    out.append((pk, session_id, status))
        elif fenced.update(status=Turn.Status.QUEUED, owner="", lease_until=None):
            out.append((pk, session_id, Turn.Status.QUEUED))
    return out


def _owned(claim: Claim) -> QuerySet:
    return Turn.objects.filter(pk=claim.id, owner=claim.owner, epoch=claim.epoch, status=Turn.Status.RUNNING)


def enqueue(kind: str, session_id=None, *, priority: int = 0, **args) -> bool:
    """Insert a job in the caller's transaction; False when one of its kind is open for the session already.

    A job that is due and gets more urgent is raised.
    """
    before = is_open(kind, session_id)
    # Ignored, not caught: a race for the first job of a session must not break the caller's transaction.
    Job.objects.bulk_create(
        [Job(kind=kind, session_id=session_id, priority=priority, args=args)], ignore_conflicts=True
    )
    open_job = Job.objects.open().filter(kind=kind, session_id=session_id, state=Job.State.DUE)
    open_job.filter(priority__lt=priority).update(priority=priority)
    return not before


def claim_job(owner: str, kinds: list[str], lease_s: float) -> tuple[Job, Claim] | None:
    """Take the most urgent due job of these kinds, or None."""
    with transaction.atomic():
        due = Job.objects.open().filter(kind__in=kinds, state=Job.State.DUE, run_after__lte=Now())
        job = _first(due.order_by("-priority", "run_after", "id"))
        claim = _take(job, owner, lease_s)
        return (job, claim) if claim else None


def claim_for_session(kind: str, session_id, owner: str, lease_s: float) -> Claim | None:
    """Make and take the session's job of this kind at once; None while somebody else is at it."""
    with transaction.atomic():
        enqueue(kind, session_id)
        job = Job.objects.open().filter(kind=kind, session_id=session_id, state=Job.State.DUE).first()
        return _take(job, owner, lease_s)


def _take(job: Job | None, owner: str, lease_s: float) -> Claim | None:
    """Claim a due job, unless there is none or somebody was quicker."""
    if job is None:
        return None
    changed = Job.objects.filter(pk=job.pk, state=Job.State.DUE).update(
        state=Job.State.RUNNING,
        owner=owner,
        epoch=F("epoch") + 1,
        attempts=F("attempts") + 1,
        lease_until=Now() + timedelta(seconds=lease_s),
    )
    return Claim(job.pk, job.session_id, job.epoch + 1, job.attempts + 1, owner) if changed else None


def is_open(kind: str, session_id) -> bool:
    """Whether a job of this kind waits or runs for the session."""
    return Job.objects.open().filter(kind=kind, session_id=session_id).exists()


def is_running(kind: str, session_id) -> bool:
    """Whether somebody is at the session's job of this kind now."""
    return Job.objects.open().filter(kind=kind, session_id=session_id, state=Job.State.RUNNING).exists()


def args_of(claim: Claim) -> dict[str, Any]:
    """What the job was asked to do."""
    return Job.objects.filter(pk=claim.id).values_list("args", flat=True).first() or {}


def note(claim: Claim, progress: dict[str, Any]) -> bool:
    """Write down how far a job is, or what it came to: numbers and codes. False when it is lost."""
    return bool(_owned_job(claim).update(progress=progress))


def hurry(kind: str, session_id, *, priority: int, **args) -> int | None:
    """Have a job of this kind run as soon as can be, as a person asked for it; its id. One that runs already is told
    as it is."""
    enqueue(kind, session_id, priority=priority, **args)
    own = Job.objects.open().filter(kind=kind, session_id=session_id)
    own.filter(state=Job.State.DUE).update(args=args, run_after=Now(), progress=None)
    return own.values_list("pk", flat=True).first()


def beat_job(claim: Claim, lease_s: float) -> bool:
    """Hold on to a job; False when it is lost or was cancelled."""
    return bool(_owned_job(claim).update(lease_until=Now() + timedelta(seconds=lease_s)))


def release_job(claim: Claim) -> bool:
    """Give a running job back to the queue, as a clean shutdown does: it costs no attempt."""
    back = {"state": Job.State.DUE, "owner": "", "lease_until": None, "run_after": Now(), "attempts": F("attempts") - 1}
    return bool(_owned_job(claim).update(**back))


def finish_job(claim: Claim, *, error: str = "", retry_in_s: float | None = None) -> bool:
    """Close a job, or give it back for a later try while it has attempts left."""
    rows = _owned_job(claim)
    if error and retry_in_s is not None and claim.attempt < MOST_JOB_ATTEMPTS:
        return bool(
            rows.update(
                state=Job.State.DUE,
                owner="",
                lease_until=None,
                error=error,
                # SQLite's sum has more digits than its clock, and so lies a moment ahead of it.
                run_after=Now() + timedelta(seconds=retry_in_s) if retry_in_s else Now(),
            )
        )
    state = Job.State.FAILED if error else Job.State.DONE
    return bool(rows.update(state=state, error=error, lease_until=None, finished_at=Now()))


def reap_jobs(is_gone: Callable[[str], bool] = _nobody) -> int:
    """Give jobs whose lease ran out, or whose owner certainly is gone, back to the queue, or fail them when they are
    out of attempts."""
    abandoned = _abandoned(Job.objects.open().filter(state=Job.State.RUNNING), is_gone)
    failed = abandoned.filter(attempts__gte=MOST_JOB_ATTEMPTS).update(
        state=Job.State.FAILED, error="owner_lost", lease_until=None, finished_at=Now()
    )
    return failed + abandoned.update(state=Job.State.DUE, owner="", lease_until=None)


def _owned_job(claim: Claim) -> QuerySet:
    return Job.objects.filter(pk=claim.id, owner=claim.owner, epoch=claim.epoch, state=Job.State.RUNNING)
