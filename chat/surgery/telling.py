"""What open pages of a conversation are told once something was done to it, so that they follow without a reload.

A page that hears a notice looks again at everything that stands around its turns, whatever the kind; of "marked" at
the turns, too. What was done to a live turn is told as the turn's own state.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chat.flow.closing import announce
from chat.flow.engine import Engine
from chat.models import Turn
from chat.store import ranges
from chat.stream.hub import Hub
from chat.surgery.values import Operation

TURN = "turn"


def told(operation: Operation, target: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The notices, as kind, first and last turn, of an operation that was done to `target`."""
    if operation.tells in ("", TURN):
        return []
    turns = [one if isinstance(one, list | tuple) else (one, one) for one in target.get("turns", ())]
    return [(operation.tells, *one) for one in ranges.join((first, last) for first, last in turns) or [(1, 1)]]


async def tell(session_id: UUID, operation: Operation, target: Mapping[str, Any], engine: Engine, hub: Hub) -> None:
    """Tell every page, in this process and in others, and drop the window that was kept. Call it after the commit."""
    if engine.recent:
        # No load finds it under its old version; it need not keep its words until it is too old, either.
        await engine.database.read(engine.recent.forget, str(session_id))
    for kind, first, last in told(operation, target):
        hub.notice(session_id, kind=kind, first=first, last=last)
    if operation.tells == TURN and target.get("turns"):
        await _turn(session_id, target["turns"][-1], engine, hub)


async def _turn(session_id: UUID, number: int, engine: Engine, hub: Hub) -> None:
    """A turn that has ended is told as ended, one that waits as waiting; one that runs is told by its runner."""
    rows = Turn.objects.filter(session=session_id, active=True, number=number).values_list("pk", "status")
    found = await engine.database.read(rows.first)
    if found is None:
        return
    turn, status = found
    if status in Turn.TERMINAL:
        await announce(turn, engine, hub)
    elif status == Turn.Status.QUEUED:
        hub.status(session_id, turn, "queued")
