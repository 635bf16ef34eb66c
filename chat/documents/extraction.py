"""The door for uploads: bytes and a name in, text and a kind out, or Refused. Bounded in time, memory and number."""

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from chat.documents import names
from chat.documents.kinds import READERS, recognise
from chat.documents.limits import Limits
from chat.documents.refusals import Refused

MEMORY = 768 * 1024 * 1024
"""Bytes of address space of the child: its libraries alone take a fifth of it."""

AT_ONCE = 2
"""Children at the same time: reading a file takes a whole core, and replies go first."""

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from chat.documents import child, {reader}; child.main({reader}.read)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A file as text. `name` is clean; `size` is the upload's, in bytes."""

    name: str
    kind: str
    text: str
    size: int


class Extraction:
    """Reads files, at most AT_ONCE at the same time. Lives in one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(self, name: str, data: bytes) -> Extracted:
        """See `extract`. The loop goes on meanwhile."""
        async with self._free:
            return await asyncio.to_thread(extract, name, data)


def extract(name: str, data: bytes, limits: Limits | None = None) -> Extracted:
    """The text of a file. Raises Refused. Takes at most the limit's seconds, whatever the file does."""
    limits = limits or from_settings()
    if len(data) > settings.CHAT_MAX_UPLOAD_BYTES:
        raise Refused("too_large", size=len(data), limit=settings.CHAT_MAX_UPLOAD_BYTES)
    kind = recognise(name, data)
    return Extracted(name=names.clean(name), kind=kind, text=_text(kind, data, limits), size=len(data))


def from_settings() -> Limits:
    """The limits that the settings name."""
    return Limits(
        characters=settings.CHAT_MAX_DOCUMENT_CHARS,
        pages=settings.CHAT_MAX_DOCUMENT_PAGES,
        memory=MEMORY,
        seconds=settings.CHAT_UPLOAD_READ_S,
    )


def _text(kind: str, data: bytes, limits: Limits) -> str:
    program = _PROGRAM.format(reader=READERS.get(kind, "plain"))
    # Isolated, without the environment and its keys; UTF-8 whatever the locale is.
    command = [sys.executable, "-I", "-B", "-X", "utf8", "-c", program, str(_ROOT), json.dumps(asdict(limits))]
    try:
        done = subprocess.run(
            command,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused("too_complex") from None
    if done.returncode:
        raise Refused("too_complex")  # ended by the kernel, by one of its limits
    told: dict[str, Any] = json.loads(done.stdout)
    if "refused" in told:
        raise Refused(told["refused"], **told["figures"])
    return str(told["text"])
