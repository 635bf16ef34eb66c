"""A turn while it runs: how it is told to stop, what it has so far, and how much of that is stored."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field

from chat.context.values import Step
from chat.providers.base import Usage
from chat.store.leases import Claim
from chat.stream.live import Live


class Interrupted(Exception):
    """The run must end now."""


class Lost(Interrupted):
    """Somebody else owns the turn: stop, write nothing."""


class Stopped(Interrupted):
    """The user asked to stop: keep what was seen."""


class Released(Interrupted):
    """This process is going away: give the turn back, it costs no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A call that failed before anybody saw anything of it, and was made again: one more that is recorded."""

    call: uuid.UUID
    outcome: str
    usage: Usage
    total_ms: int


@dataclass(slots=True)
class Running:
    """One claimed turn in this process. Times are of the monotonic clock, in seconds."""

    claim: Claim
    lease_s: float
    beat_s: float
    live: Live | None = None
    steps: list[Step] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    stop_reason: str = ""
    call: uuid.UUID = field(default_factory=uuid.uuid4)
    sent_at: float = field(default_factory=time.monotonic)
    first_ms: int | None = None
    attempts: list[Attempt] = field(default_factory=list)
    # What became of the newest call, where the turn's own error does not say it.
    outcome: str = ""
    _why: asyncio.Future[type[Interrupted]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    beaten: float = field(default_factory=time.monotonic)
    _stored: int = 0

    @property
    def text(self) -> str:
        """The reply so far."""
        return self.live.whole() if self.live else ""

    def interrupt(self, why: type[Interrupted]) -> None:
        """End the run at its next step; the first reason counts."""
        if not self._why.done():
            self._why.set_result(why)

    def failed(self, outcome: str, spent: Usage) -> None:
        """The call failed and will be made again, as another one."""
        total_ms = int((time.monotonic() - self.sent_at) * 1000)
        self.attempts.append(Attempt(call=self.call, outcome=outcome, usage=spent, total_ms=total_ms))
        self.call, self.usage = uuid.uuid4(), Usage()

    def check(self) -> None:
        """Raise the reason for which the run must end, if there is one."""
        if self._why.done():
            raise self._why.result()

    async def interruptible(self, work) -> None:
        """Run a coroutine to its end, or cancel it and raise as soon as the run is interrupted."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._why}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            self.check()
        task.result()

    @property
    def unsaved(self) -> int:
        """Characters of the reply that no checkpoint has stored."""
        return self.live.size - self._stored if self.live else 0

    def has_grown(self) -> bool:
        """Whether there is text to store. What an earlier attempt had said stays until this one has said more."""
        return self.live is not None and self.live.size > max(self._stored, len(self.claim.kept))

    def saved(self, characters: int) -> None:
        """So much of the reply stands in its row."""
        self._stored = characters
