"""The work of a batch, one conversation a job. Killed at any moment it is done once and not missed: what was done is
known by its entry in the audit, which came with it, and what is still due is given a job again."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import BigIntegerField, Exists, OuterRef
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Now

from chat.context.compaction import Chunk
from chat.flow import compactor
from chat.flow.engine import Engine
from chat.flow.summariser import summarise
from chat.models import Audit, Batch, BatchItem, ChatSession, Job, Summary
from chat.models.literal import one_of
from chat.store import branches, leases, outline, summaries
from chat.store.leases import Claim
from chat.store.summaries import Committed, Made
from chat.stream.hub import Hub
from chat.surgery import batches, making, operating, registry, snapshot
from chat.surgery.memory import active, put_in_place
from chat.surgery.sentences import told
from chat.surgery.telling import tell
from chat.surgery.values import Operation, Refused
from chat.surgery.weighing import weigh

log = structlog.get_logger(__name__)

KIND = batches.KIND
State = BatchItem.State
Target = Mapping[str, Any]
# So many items without a job are given one at a time.
REVIVED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one item asks for. `began`: when this attempt did, by the monotonic clock."""

    item: int
    session: UUID
    batch: Batch
    operation: Operation
    began: float

    @property
    def undoes(self) -> bool:
        """Whether something is taken back."""
        return self.batch.undo_of_id is not None

    def values(self) -> dict[str, Any]:
        """The parameters, as they were kept."""
        return {one.name: self.batch.parameters.get(one.name) for one in self.operation.parameters}


async def run_compaction(claim: Claim, engine: Engine, hub: Hub) -> str:
    """A compaction's job: somebody's batch, or the way every other goes."""
    item = (await engine.database.read(leases.args_of, claim)).get("item")
    if item is None:
        return await compactor.run_job(claim, engine, hub)
    return await _run(claim, item, engine, hub)


async def run_job(claim: Claim, engine: Engine, hub: Hub) -> str:
    """The job of any other operation."""
    item = (await engine.database.read(leases.args_of, claim)).get("item")
    return await _run(claim, item, engine, hub) if item is not None else ""


async def _run(claim: Claim, item: int, engine: Engine, hub: Hub) -> str:
    task = await engine.database.read(_task, item)
    if task is None:
        return ""  # it was stopped, or is done
    last_try = claim.attempt >= leases.MOST_JOB_ATTEMPTS
    try:
        await engine.database.read(_refuse_demoted, task)
        if task.operation.background and not task.undoes:
            before = await engine.database.read(_entries, task)
            compacts = task.operation.name == "compact"
            if not before:
                work = _compact if compacts else _rebuild
                if error := await work(task, engine, hub, last_try):
                    return error
            targets = await engine.database.run(_finish_by_entries, task)
            if compacts and not before:
                targets = []  # the compactor told of each of its commits
        else:
            targets = await engine.database.run(_do, task)
        for target in targets:
            await tell(task.session, task.operation, target, engine, hub)
    except Refused as why:
        state = State.NOTHING if why.code == "nothing" else State.REFUSED
        await engine.database.run(_finish, task, state, why.code)
    except ChatSession.DoesNotExist:
        await engine.database.run(_finish, task, State.REFUSED, "gone")
    log.info("surgery_item", batch=task.batch.pk, session=str(task.session), operation=task.operation.name)
    return ""


def _task(item: int) -> Task | None:
    row = BatchItem.objects.select_related("batch").filter(pk=item, state=State.DUE).first()
    if row is None or row.batch.state != Batch.State.RUNNING:
        return None
    return Task(
        item=row.pk,
        session=row.session,
        batch=row.batch,
        operation=registry.get(row.batch.operation),
        began=time.monotonic(),
    )


def _refuse_demoted(task: Task) -> None:
    """Who lost the right since loses it for what is not done yet."""
    user = get_user_model()._default_manager.filter(pk=task.batch.actor).first()
    if user is None:
        raise Refused("not_allowed", "Who asked for this is gone.")
    operating.refuse_strangers(user, task.operation.name)


def _do(task: Task) -> list[Target]:
    """The whole item in one transaction with its entry and its end; to what it was done."""
    with transaction.atomic():
        if not BatchItem.objects.select_for_update().filter(pk=task.item, state=State.DUE).exists():
            return []
        targets: list[Target] = []
        session = operating.locked(task.session)
        known: dict[str, Any] = {"actor": task.batch.actor, "reason": task.batch.reason, "batch": task.batch}
        if task.undoes:
            before = after = weigh(session)
            for entry in _not_undone(task):
                after = operating.perform_undo(operating.locked(task.session), entry, **known).after
                targets.append(entry.target)
        else:
            done = operating.perform(session, task.operation, task.values(), **known)
            before, after = done.before, done.after
            targets.append(done.target)
        _finish(task, State.DONE, tokens_before=before.total, tokens_after=after.total)
    return targets


def _not_undone(task: Task) -> Sequence[Audit]:
    entries = Audit.objects.filter(batch_id=task.batch.undo_of_id, session=task.session, undo_of__isnull=True)
    found = list(entries.filter(undone_by__isnull=True).order_by("-id"))
    if not found:
        raise Refused("nothing", "There is nothing of it left to take back.")
    return found


async def _compact(task: Task, engine: Engine, hub: Hub, last_try: bool) -> str:
    def commit(session_id: UUID, drafts: Sequence[int], **how: Any) -> Committed | None:
        """As every compaction, with an entry in the audit of each commit."""
        session = branches.locked(session_id)
        before, weight = snapshot.read(session, task.operation.touches), weigh(session)
        committed = summaries.commit(session_id, drafts, **how)
        if committed:
            _enter(task, session, before, weight, {"turns": [[committed.first, committed.last]]})
        return committed

    outcome = await compactor.compact(task.session, engine, hub, force=True, last_try=last_try, commit=commit)
    if outcome.code == "lost" and not last_try:
        return "lost"
    if not outcome.committed:
        raise Refused(outcome.code, "Nothing could be compacted.")
    return ""


def _enter(task: Task, session: ChatSession, before: Any, weight: Any, target: dict[str, Any]) -> None:
    """The entry for what a job has just changed, in its transaction."""
    session.refresh_from_db()
    old, new = snapshot.differences(before, snapshot.read(session, task.operation.touches))
    operating.record(
        session, task.operation.name, target, old, new, weight, weigh(session),
        actor=task.batch.actor, reason=task.batch.reason, batch=task.batch,
    )  # fmt: skip


async def _rebuild(task: Task, engine: Engine, hub: Hub, last_try: bool) -> str:
    summary = task.values()["summary"]
    sketch = await engine.database.read(outline.read, task.session)
    budget = await engine.budget(sketch.model, sketch.instructions, thinking=sketch.thinking)

    def look() -> Any:
        old = active(ChatSession.objects.get(pk=task.session), summary)
        rows = making.children(old)
        if old.tier > 1 and not rows:
            raise Refused("too_large", "What it was merged from is out of date.")
        if rows:
            return compactor.merge_work(sketch, rows, old.tier, budget)
        return compactor.chunk_work(sketch, Chunk(old.first, old.last, old.source_tokens), budget)

    made = await summarise(await engine.database.read(look), engine, last_try=last_try)
    if made is None:
        raise Refused("refused", "No model wrote a summary that passed the gate; the old one stays.")
    await engine.database.run(_rebuilt, task, summary, made)
    return ""


def _rebuilt(task: Task, summary: int, made: Made) -> None:
    with transaction.atomic():
        session = operating.locked(task.session)
        before, weight = snapshot.read(session, task.operation.touches), weigh(session)
        old: Summary = active(session, summary)
        with told():
            new = put_in_place(session, old, made)
        target = {"summary": old.pk, "made": new.pk, "turns": [[old.first, old.last]]}
        _enter(task, session, before, weight, target)


def _entries(task: Task) -> list[Audit]:
    """What was written down for this item, the oldest first."""
    return list(Audit.objects.filter(batch=task.batch, session=task.session).order_by("id"))


def _finish_by_entries(task: Task) -> list[Target]:
    """A job's end, by what it wrote down: also when that was before it was killed. To what it was done."""
    entries = _entries(task)
    tokens = {"tokens_before": entries[0].before["tokens"], "tokens_after": entries[-1].after["tokens"]}
    _finish(task, State.DONE, **tokens)
    return [entry.target for entry in entries]


def _finish(task: Task, state: str, code: str = "", **values: int) -> None:
    """The end of an item, once; that of the last one is the batch's."""
    due = BatchItem.objects.filter(pk=task.item, state=State.DUE)
    due.update(state=state, code=code[:40], finished_at=Now(), seconds=time.monotonic() - task.began, **values)
    end(task.batch.pk)


def end(batch_id: int) -> None:
    """Close a batch of which nothing is due any more."""
    due = BatchItem.objects.filter(batch=OuterRef("pk"), state=State.DUE)
    over = Batch.objects.filter(~Exists(due), pk=batch_id, state=Batch.State.RUNNING)
    over.update(state=Batch.State.DONE, finished_at=Now())


def revive() -> int:
    """Give what is due and has no open job one again; returns how many. What failed three times is given up.

    A worker that was killed is no failure.
    """
    asked = Job.objects.annotate(item=Cast(KT("args__item"), BigIntegerField()))
    open_job = asked.filter(one_of("state", *Job.OPEN), session_id=OuterRef("session"), item=OuterRef("pk"))
    due = BatchItem.objects.filter(state=State.DUE, batch__state=Batch.State.RUNNING).select_related("batch")
    stray: dict[int, list[BatchItem]] = {}
    for item in due.filter(~Exists(open_job)).order_by("id")[:REVIVED_AT_ONCE]:
        last = asked.filter(session_id=item.session, item=item.pk).order_by("-id").first()
        gone = last is None and not ChatSession.objects.filter(pk=item.session).exists()
        failed = last is not None and last.state == Job.State.FAILED and last.error != "owner_lost"
        if gone or failed:
            code = "gone" if gone or last is None else last.error
            BatchItem.objects.filter(pk=item.pk, state=State.DUE).update(
                state=State.REFUSED if gone else State.FAILED, code=code, finished_at=Now()
            )
            end(item.batch_id)
        else:
            stray.setdefault(item.batch_id, []).append(item)
    for items in stray.values():
        batches.enqueue(items)
    return sum(len(items) for items in stray.values())
