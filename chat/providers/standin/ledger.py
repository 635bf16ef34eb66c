"""What the stand-in has told of its answers, added up: the other side's books, for whoever checks his own by them.

The log forgets after a while; this does not, and holds one number for each distinct entry. Only calls of the Messages
endpoint count, each once it has ended: counting tokens is free.
"""

import asyncio
from collections import Counter
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One call as its caller heard of it. Tokens are those of the last `usage` that left, 0 where none did.

    `outcome` is "sent", "overflow", the API's error type, "transport" for a stream that broke off without a word, or
    "closed" where the caller left. `stop_reason` is "" unless the whole reply was sent.
    """

    purpose: str
    model: str
    outcome: str
    stop_reason: str
    input: int
    cache_read: int
    cache_write: int
    output: int


class Ledger:
    """Counts entries. `open` calls have begun and not ended."""

    def __init__(self) -> None:
        self.entries: Counter[Entry] = Counter()
        self.open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """A call came in."""
        self.open += 1
        self._idle.clear()

    def end(self, record: Any, told: dict[str, Any], cause: str) -> None:
        """A call has ended; `record` is the server's, `told` the last usage that left, `cause` why it failed."""
        self.open -= 1
        if not self.open:
            self._idle.set()
        sent = record.outcome == "sent"
        self.entries[
            Entry(
                purpose=record.purpose,
                model=record.model,
                outcome="sent" if sent else cause or record.outcome,
                stop_reason=record.stop_reason if sent else "",
                input=told.get("input_tokens", 0),
                cache_read=told.get("cache_read_input_tokens", 0),
                cache_write=told.get("cache_creation_input_tokens", 0),
                output=told.get("output_tokens", 0),
            )
        ] += 1

    async def settled(self) -> None:
        """Wait until no call is open: whoever was answered reads the end before this side has closed."""
        await self._idle.wait()
