"""One operation on many conversations: shown, started, followed, stopped, taken back. The work itself is in `jobs`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now
from django.utils import timezone

from chat.flow import compactor
from chat.models import Audit, Batch, BatchItem, ChatSession, Job, Turn
from chat.store import leases
from chat.surgery import auditing, forecasts, operating, registry, weighing
from chat.surgery.forecasts import Forecast
from chat.surgery.values import Live, Operation, Refused, Weight

KIND = "surgery"
# Behind what a person waits for, ahead of what the marks found.
PRIORITY = 12
MOST_SESSIONS = 20_000
SHOWN = 25


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation of a preview: tokens before, and after at least and at most."""

    session: UUID
    before: int
    after_low: int
    after_high: int
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPreview:
    """What an operation would do to `count` conversations: `rows` of the first exactly, and the totals of all. Those
    that it would refuse or that are so already count with what they hold now. Costs are in millionths of a US dollar,
    without those of the `unpriced` conversations, whose summariser's price nobody knows."""

    rows: tuple[Row, ...]
    count: int
    refused_count: int
    total_before: int
    total_low: int
    total_high: int
    cost_low: int = 0
    cost_high: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many items of a batch came to what, and for how many seconds it ran."""

    total: int
    due: int = 0
    done: int = 0
    nothing: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Of all that is to be done, from 0 to 1."""
        return 1 - self.due / self.total if self.total else 1.0


def preview(session_ids: Sequence[UUID], name: str, parameters: Mapping[str, Any], shown: int = SHOWN) -> BulkPreview:
    """What an operation would do to all of these. Nothing is changed, and no model is asked. Raises Refused."""
    operation = _bulk(name, session_ids)
    values = operation.clean(parameters)
    known = weighing.many(session_ids)
    ids = [pk for pk in session_ids if pk in known]
    out = _idle(operation, ids, values)
    after = _after(operation, [pk for pk in ids if pk not in out], values, known)
    done = {pk: found for pk, found in after.items() if found is not None}
    rows = []
    for pk in ids[:shown]:
        said = operating.plan(pk, name, parameters)
        rows.append(Row(pk, said.before.total, said.after_low, said.after_high, said.refused))
    stays = sum(known[pk].total for pk in ids if pk not in done)
    priced = [one for one in done.values() if one.cost_high] if operation.name == "compact" else []
    return BulkPreview(
        rows=tuple(rows),
        count=len(ids),
        refused_count=len(ids) - len(done),
        total_before=sum(one.total for one in known.values()),
        total_low=stays + sum(one.low for one in done.values()),
        total_high=stays + sum(one.high for one in done.values()),
        cost_low=sum(one.cost_low for one in priced),
        cost_high=sum(one.cost_high for one in priced),
        unpriced=len(done) - len(priced) if operation.name == "compact" else 0,
    )


def _idle(operation: Operation, ids: Sequence[UUID], values: Mapping[str, Any]) -> set[UUID]:
    """Those for which a look at their row tells that nothing would be done."""
    out: set[UUID] = set()
    for some in weighing.portions(ids):
        rows = ChatSession.objects.filter(pk__in=some)
        live = set(rows.filter(head__status__in=Turn.LIVE).values_list("pk", flat=True))
        if operation.live == Live.REFUSED:
            out |= live
        if operation.live == Live.NEEDED:
            out |= set(rows.values_list("pk", flat=True)) - live
        if operation.same:
            out |= set(rows.filter(**operation.same(values)).values_list("pk", flat=True))
    return out


def _after(
    operation: Operation, ids: Sequence[UUID], values: Mapping[str, Any], known: Mapping[UUID, Weight]
) -> dict[UUID, Forecast | None]:
    """What becomes of each; None where nothing would be done."""
    if operation.name == "compact":
        return forecasts.many(ids, known)
    if operation.name == "trim":
        then = weighing.many(ids, last_turns=values["turns"])
        out = {pk: _exactly(one.total) if one.turns < known[pk].turns else None for pk, one in then.items()}
        for session in weighing.special(ids):
            said = operating.plan(session.pk, operation.name, {"turns": values["turns"]})
            out[session.pk] = None if said.refused else _exactly(said.after.total)
        return out
    held = {pk: known[pk].documents if operation.name == "drop_documents" else 0 for pk in ids}
    return {pk: _exactly(known[pk].total - held[pk]) for pk in ids}


def _exactly(tokens: int) -> Forecast:
    return Forecast(low=tokens, high=tokens, cost_low=0, cost_high=0)


def start(user: Any, session_ids: Sequence[UUID], name: str, parameters: Mapping[str, Any], reason: str) -> Batch:
    """Have it done to all of these in the background. Raises Refused.

    One session is enough, for an operation that takes a model.
    """
    operation = registry.get(name) if len(session_ids) == 1 else _bulk(name, session_ids)
    operating.refuse_strangers(user, name)
    values = operation.clean(parameters)
    reason = auditing.reason_of(reason)
    if any(one.text for one in operation.parameters):
        raise Refused("not_bulk", f"“{operation.label}” is done to one conversation at a time.")
    with transaction.atomic():
        return _made(user.pk, list(dict.fromkeys(session_ids)), operation, operation.plain(values), reason)


def undo(user: Any, batch_id: int, reason: str) -> Batch:
    """Take back what a batch did, in the background: of every conversation the last thing first. Raises Refused."""
    batch = Batch.objects.filter(pk=batch_id, undo_of__isnull=True).first()
    if batch is None:
        raise Refused("unknown_batch", "There is no such batch that could be taken back.")
    operating.refuse_strangers(user, batch.operation)
    reason = auditing.reason_of(reason)
    with transaction.atomic():
        Batch.objects.select_for_update().get(pk=batch_id)
        taken = Audit.objects.filter(undo_of__batch=batch).values("undo_of_id")
        done = Audit.objects.filter(batch=batch, session__isnull=False).exclude(pk__in=taken)
        sessions = list(done.order_by("session").values_list("session", flat=True).distinct())
        if not sessions:
            raise Refused("nothing", "There is nothing of it left to take back.")
        return _made(user.pk, sessions, registry.get(batch.operation), {}, reason, undo_of=batch)


def _made(
    actor: int,
    session_ids: Sequence[UUID],
    operation: Operation,
    parameters: Mapping[str, Any],
    reason: str,
    undo_of: Batch | None = None,
) -> Batch:
    batch = Batch.objects.create(
        actor=actor, operation=operation.name, parameters=parameters, reason=reason, total=len(session_ids),
        undo_of=undo_of,
    )  # fmt: skip
    items = [BatchItem(batch=batch, session=pk) for pk in session_ids]
    BatchItem.objects.bulk_create(items, batch_size=500)
    enqueue(list(batch.items.order_by("id")))
    return batch


def kind_of(batch: Batch) -> str:
    """The kind of its jobs: a compaction goes the way on which any goes, so that no two meet."""
    compacts = batch.operation == "compact" and batch.undo_of_id is None
    return compactor.KIND if compacts else KIND


def enqueue(items: Sequence[BatchItem]) -> None:
    """A job for each of these items of one batch. Where one of its kind waits already, that one does it; where one
    runs, `jobs.revive` comes back to it."""
    if not items:
        return
    kind = kind_of(items[0].batch)
    there = set(ChatSession.objects.filter(pk__in=[one.session for one in items]).values_list("pk", flat=True))
    wanted = {one.session: one.pk for one in items if one.session in there}
    waiting = Job.objects.open().filter(kind=kind, session_id__in=list(wanted), state=Job.State.DUE)
    for job in list(waiting.only("pk", "session_id", "args")):
        if "item" not in job.args:
            leases.hurry(kind, job.session_id, priority=PRIORITY, item=wanted[job.session_id])
    made = [Job(kind=kind, session_id=pk, priority=PRIORITY, args={"item": item}) for pk, item in wanted.items()]
    Job.objects.bulk_create(made, ignore_conflicts=True, batch_size=500)


def cancel(user: Any, batch_id: int) -> int:
    """Stop a batch; what is being done now is finished. Returns how many conversations are left as they were."""
    batch = Batch.objects.filter(pk=batch_id).first()
    if batch is None:
        raise Refused("unknown_batch", "There is no such batch.")
    operating.refuse_strangers(user, batch.operation)
    with transaction.atomic():
        left = batch.items.filter(state=BatchItem.State.DUE).update(state=BatchItem.State.CANCELLED, finished_at=Now())
        running = Batch.objects.filter(pk=batch_id, state=Batch.State.RUNNING)
        if running.update(state=Batch.State.CANCELLED, finished_at=Now()):
            auditing.record(
                user.pk, "cancel_batch", reason=batch.reason, target={"batch": batch_id, "left": left}, batch=batch
            )
    return left


def progress(batch: Batch) -> Progress:
    """How far it is."""
    counts = dict(batch.items.order_by().values_list("state").annotate(count=Count("pk")))
    end = batch.finished_at or timezone.now()
    return Progress(total=batch.total, seconds=(end - batch.at).total_seconds(), **counts)


def _bulk(name: str, session_ids: Sequence[UUID]) -> Operation:
    operation = registry.get(name)
    if not operation.bulk:
        raise Refused("not_bulk", f"“{operation.label}” is done to one conversation at a time.")
    if not session_ids:
        raise Refused("nothing", "Choose at least one conversation.")
    if len(session_ids) > MOST_SESSIONS:
        raise Refused("too_many", f"At most {MOST_SESSIONS:,} conversations at once.")
    return operation
