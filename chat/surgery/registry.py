"""Every operation there is, in the order in which pages list them."""

from chat.surgery import copies, handling, making, memory, stuck, turns
from chat.surgery.values import Operation, Refused

_ALL = (
    *(making.compact, turns.trim, turns.drop_documents),
    *(handling.model, handling.strategy, handling.mode, handling.thresholds, handling.marks),
    *(stuck.cancel, stuck.release),
    *(turns.pin, turns.unpin, turns.exclude, turns.include, turns.restore, turns.redact),
    *(memory.edit_summary, memory.roll_back_summary, making.rebuild_summary),
    *(memory.add_fact, memory.correct_fact, memory.forget_fact),
    *(copies.fork, copies.export, handling.archive, handling.unarchive),
)
OPERATIONS: dict[str, Operation] = {one.name: one for one in _ALL}


def get(name: str) -> Operation:
    """The operation of this name. Raises Refused."""
    if name not in OPERATIONS:
        raise Refused("unknown_operation", "There is no such operation.")
    return OPERATIONS[name]
