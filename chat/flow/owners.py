"""Who owns a row: the name that a process signs leases with, and whether the process behind such a name is gone.

A lease has to be waited for because nobody can tell a dead process of another machine from a silent one. Of this
machine it can be told: a process id that the kernel no longer knows can't come back with what it held. So a name says
which kernel and which table of processes it belongs to (boot id and pid namespace; a container has its own), and what
a dead neighbour held is taken over at the next look instead of at the lease's end. Where the kernel does not say
(/proc is Linux's), names have no place, and only leases count.
"""

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

HOST_CHARS = 24


def name() -> str:
    """A new name for this process, at most 64 characters: host, place, process id, and eight random digits."""
    return ":".join((socket.gethostname()[:HOST_CHARS].replace(":", "."), place(), str(os.getpid()), _random()))


def is_gone(owner: str) -> bool:
    """Whether that process certainly runs no more. False where it can't be known: elsewhere, or a foreign name."""
    match owner.split(":"):
        case [_, where, pid, _] if where and where == place() and pid.isdecimal():
            return not _lives(int(pid))
    return False


@cache
def place() -> str:
    """Eight hex digits for the table of processes that this one is in; '' where the kernel tells of none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        table = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {table}".encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    # Signal 0 is never delivered. One that was given to another process meanwhile counts as alive: its lease runs out.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _random() -> str:
    return uuid.uuid4().hex[:8]
