"""The process that takes one file apart: bytes in, a line of JSON out, and never more than it was given.

It knows no settings, no database and no key, and is started without an environment. Whatever a hostile file does to a
parser ends here: as `too_complex` when it is about memory or time, as `broken` otherwise.
"""

import json
import math
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from chat.documents.limits import Limits
from chat.documents.refusals import Refused


def main(read: Callable[[bytes, Limits], str]) -> None:
    """Read one file from standard input by `read`; the limits are the second argument, as JSON."""
    limits = Limits(**json.loads(sys.argv[2]))
    _bound(limits)
    json.dump(answer(read, sys.stdin.buffer.read(), limits), sys.stdout)


def answer(read: Callable[[bytes, Limits], str], data: bytes, limits: Limits) -> dict[str, Any]:
    """{"text"} or {"refused", "figures"}."""
    try:
        return {"text": read(data, limits)}
    except Refused as refused:
        return {"refused": refused.code, "figures": refused.figures}
    except (MemoryError, RecursionError):
        return {"refused": "too_complex", "figures": {}}
    except Exception:
        # Parsers raise whatever they stumble over, and its message quotes the file.
        return {"refused": "broken", "figures": {}}


def _bound(limits: Limits) -> None:
    """From here on the kernel refuses more memory, and ends the process when its time is over."""
    os.nice(10)  # replies go first
    seconds = math.ceil(limits.seconds)
    for what, most in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
