"""Plan, apply, undo: the one way on which every operation goes.

A preview is the operation itself, done in a transaction that is rolled back: it can't say anything else than what
would happen. Applying it needs the stamp of the preview: whatever changed in between is a lost race, and nothing is
done then. The audit's entry is written in the same transaction.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from chat.models import Audit, Batch, ChatSession, Turn
from chat.surgery import auditing, registry, snapshot, weighing
from chat.surgery.sentences import GONE, LIVE, told
from chat.surgery.values import Done, Kind, Live, Operation, Preview, Refused, Result, Weight
from chat.surgery.weighing import weigh
from monitoring import recording

LOST = partial(
    Refused, "lost", "The conversation has changed since you looked at it; nothing was done. Look at it again."
)


def allowed(user: Any, name: str) -> bool:
    """Whether this person may do it: active staff with the permission."""
    return bool(user.is_active and user.is_staff and user.has_perm(registry.get(name).permission))


def refuse_strangers(user: Any, name: str) -> None:
    """Raises Refused for whoever may not."""
    if not allowed(user, name):
        raise Refused("not_allowed", "You are not allowed to do this.")


def plan(session_id: UUID, name: str, parameters: Mapping[str, Any]) -> Preview:
    """What an operation would do. Nothing is changed. Raises Refused only where there is nothing to preview at all."""
    operation = registry.get(name)
    with transaction.atomic():
        session = locked(session_id)
        try:
            values = operation.clean(parameters)
            return _preview(session, operation, lambda: work(operation, session, values))
        finally:
            transaction.set_rollback(True)


def apply(
    user: Any, session_id: UUID, name: str, parameters: Mapping[str, Any], reason: str, stamp: str | None
) -> Result:
    """Do it, and write it down. Raises Refused; then nothing is changed. Not for operations in the background: see
    `batches.start`. `stamp` is the preview's; None: whatever it is now."""
    operation = registry.get(name)
    refuse_strangers(user, name)
    values = operation.clean(parameters)
    auditing.reason_of(reason)
    with transaction.atomic():
        return perform(locked(session_id), operation, values, actor=user.pk, reason=reason, stamp=stamp)


def perform(
    session: ChatSession,
    operation: Operation,
    values: Mapping[str, Any],
    *,
    actor: int | None,
    reason: str,
    stamp: str | None = None,
    batch: Batch | None = None,
) -> Result:
    """The work with its entry in the audit, in the caller's transaction. The session is locked."""
    if stamp is not None and stamp != stamp_of(session):
        raise LOST()
    before, weight = snapshot.read(session, operation.touches), weigh(session)
    done = work(operation, session, values)
    session.refresh_from_db()
    after = weigh(session)
    old, new = snapshot.differences(before, snapshot.read(session, operation.touches))
    entry = record(
        session, operation.name, done.target, old, new, weight, after, actor=actor, reason=reason, batch=batch,
        parameters=operation.plain(values),
    )  # fmt: skip
    return Result(
        audit=entry.pk, before=weight, after=after, target=done.target, says=done.says, made=done.made,
        content=done.content,
    )  # fmt: skip


def work(operation: Operation, session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Do it, if the session is in a state for it. Raises Refused."""
    live = Turn.objects.live_in(session.pk).exists()
    if live and operation.live == Live.REFUSED:
        raise LIVE()
    if not live and operation.live == Live.NEEDED:
        raise Refused("nothing", "No turn is being answered.")
    with told():
        return operation.work(session, values)


def record(
    session: ChatSession,
    name: str,
    target: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    before: Weight,
    after: Weight,
    *,
    actor: int | None,
    reason: str,
    batch: Batch | None = None,
    undo_of: Audit | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Audit:
    """The entry, and the event on the dashboards."""
    recording.record_event(
        session=session.pk,
        user=session.owner_id,
        kind="surgery",
        number=session.turns_active,
        model=session.model,
        tokens_before=before.total,
        tokens_after=after.total,
        seconds=None,
        outcome="ok",
        code=f"undo.{name}" if undo_of else name,
    )
    return auditing.record(
        actor,
        "undo" if undo_of else name,
        session=session.pk,
        reason=reason,
        target={**target, "parameters": dict(parameters)} if parameters else target,
        before={**old, "tokens": before.total},
        after={**new, "tokens": after.total, "version": session.context_version},
        undo_of=undo_of,
        batch=batch,
    )


def plan_undo(audit_id: int) -> Preview:
    """What taking an entry back would do. Nothing is changed."""
    entry, operation = _undoable(audit_id)
    with transaction.atomic():
        session = locked(entry.session)
        try:
            return _preview(session, operation, lambda: _put_back(session, operation, entry), name="undo")
        finally:
            transaction.set_rollback(True)


def undo(user: Any, audit_id: int, reason: str) -> Result:
    """Take an entry back. Raises Refused; then nothing is changed."""
    entry, operation = _undoable(audit_id)
    refuse_strangers(user, operation.name)
    auditing.reason_of(reason)
    with transaction.atomic():
        return perform_undo(locked(entry.session), entry, actor=user.pk, reason=reason)


def perform_undo(
    session: ChatSession, entry: Audit, *, actor: int | None, reason: str, batch: Batch | None = None
) -> Result:
    """Take an entry back in the caller's transaction. The session is locked. Raises Refused."""
    entry, operation = _undoable(entry.pk)
    before, weight = snapshot.read(session, operation.touches), weigh(session)
    done = _put_back(session, operation, entry)
    session.refresh_from_db()
    after = weigh(session)
    old, new = snapshot.differences(before, snapshot.read(session, operation.touches))
    made = record(
        session, operation.name, done.target, old, new, weight, after, actor=actor, reason=reason, batch=batch,
        undo_of=entry,
    )  # fmt: skip
    return Result(audit=made.pk, before=weight, after=after, target=done.target, says=done.says)


def _put_back(session: ChatSession, operation: Operation, entry: Audit) -> Done:
    if Turn.objects.live_in(session.pk).exists():
        raise LIVE()
    with told():
        snapshot.put_back(session, entry.before, entry.after, created=operation.created)
    if operation.back:
        operation.back(entry.target)
    return Done(target=entry.target, says=(f"What “{operation.label}” did is taken back.",))


def _undoable(audit_id: int) -> tuple[Audit, Operation]:
    entry = Audit.objects.filter(pk=audit_id).first()
    if entry is None:
        raise Refused("unknown_audit", "There is no such entry.")
    if Audit.objects.filter(undo_of=entry).exists():
        raise Refused("undone", "This has been taken back already.")
    name = entry.operation if entry.undo_of is None else ""
    if name not in registry.OPERATIONS or registry.get(name).kind != Kind.UNDOABLE or entry.session is None:
        raise Refused("not_undoable", "This can't be taken back.")
    return entry, registry.get(name)


def _preview(session: ChatSession, operation: Operation, try_it: Any, name: str = "") -> Preview:
    """Try it in the transaction that is about to be rolled back, and look what became of it."""
    before, turns_before, stamp = weigh(session), weighing.told(session), stamp_of(session)
    try:
        with transaction.atomic():
            done = try_it()
    except Refused as why:
        return Preview(
            operation=name or operation.name, session=session.pk, stamp=stamp, before=before, after=before,
            after_low=before.total, after_high=before.total, refused=str(why),
        )  # fmt: skip
    session.refresh_from_db()
    after = weigh(session)
    leaves, returns = weighing.changes(session.pk, turns_before, weighing.told(session))
    low = after.total if done.low is None else done.low
    if done.low is not None:
        planned = [(first, last) for first, last in done.target.get("turns", ())]
        leaves = tuple((*one, "summarised") for one in weighing.within(turns_before, planned))
    moved = sum(last - first + 1 for first, last in (*(one[:2] for one in leaves), *returns))
    return Preview(
        operation=name or operation.name,
        session=session.pk,
        stamp=stamp,
        before=before,
        after=after,
        after_low=low,
        after_high=after.total if done.high is None else done.high,
        leaves=leaves,
        returns=returns,
        turns=done.turns or moved,
        target=done.target,
        says=done.says,
    )


def locked(session_id: UUID | None) -> ChatSession:
    """The session with its instructions, its row locked. Raises Refused for one that is gone."""
    rows = ChatSession.objects.select_for_update(of=("self",)).select_related("instructions")
    found: ChatSession | None = rows.filter(pk=session_id, deleted_at__isnull=True).first()
    if found is None:
        raise GONE()
    return found


def stamp_of(session: ChatSession) -> str:
    """Everything that a preview rests on, in a few characters."""
    head = Turn.objects.filter(pk=session.head_id).values_list("pk", "status", "epoch", "cancel_requested").first()
    held = (
        *(session.context_version, session.prefix_version, session.window_from, session.model, session.strategy),
        *(session.mode, session.window_messages, session.soft_mark, session.hard_mark),
        *(session.archived_at, session.open_tokens, head),
    )
    return hashlib.sha256(repr(held).encode()).hexdigest()[:16]
