"""Every operation there is, in the order in which pages list them."""

from chat.surgery import copies, handling, making, memory, stuck, turns
from chat.surgery.values import Operation, Refused

_ORDER = (
    *("compact", "trim", "drop_documents", "model", "strategy", "mode", "thresholds"),
    *("cancel", "release"),
    *("pin", "unpin", "exclude", "include", "restore"),
    *("edit_summary", "roll_back_summary", "rebuild_summary"),
    *("add_fact", "correct_fact", "forget_fact"),
    *("fork", "export", "archive", "unarchive"),
)
_ALL = {one.name: one for room in (making, turns, handling, stuck, memory, copies) for one in room.OPERATIONS}
OPERATIONS: dict[str, Operation] = {name: _ALL[name] for name in _ORDER}


def get(name: str) -> Operation:
    """The operation of this name. Raises Refused."""
    if name not in OPERATIONS:
        raise Refused("unknown_operation", "There is no such operation.")
    return OPERATIONS[name]
