"""What a failed call means for the person who waits: the code that is stored, and the word that it is still tried.

A code may carry one figure or word after a colon, because the sentence under the turn needs it: `rate_limited:7200`
(seconds until it makes sense to ask again), `too_large:current` (the part of the request that is too large).
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from chat.context.values import Request
from chat.providers.base import ProviderError, TooLarge
from chat.providers.steady import BREAKER

STILL_S = 3.0
"""Seconds of failing after which those who watch are told."""


def stored(error: ProviderError, request: Request | None) -> str:
    """The code of a failure as a turn keeps it."""
    if error.wait and error.cause != BREAKER:  # that wait is ours, and over before anybody has read of it
        return f"{error.code}:{round(error.wait)}"
    if isinstance(error, TooLarge) and request:
        return f"{error.code}:{largest_part(request)}"
    return error.code


def largest_part(request: Request) -> str:
    """The component with the most bytes: what must become smaller."""
    sizes: Counter[str] = Counter()
    for block in request.blocks():
        sizes[block.component] += len(block.text.encode("utf-8", "surrogatepass"))
    return max(sizes, key=lambda name: sizes[name], default="")


def bare(code: str) -> str:
    """The code without what it carries: what monitoring counts."""
    return code.partition(":")[0]


class StillTrying:
    """Calls `tell(since_ms)` once a call has failed for STILL_S seconds, and at each further wait."""

    def __init__(self, tell: Callable[[int], None]):
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def waits(self) -> None:
        """A failure is being waited out."""
        if self._timer is None:
            self._since = self._loop.time()
            self._timer = self._loop.call_later(STILL_S, self._say)
        elif self._loop.time() - self._since >= STILL_S:
            self._say()

    def over(self) -> None:
        """It answers, or was given up."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _say(self) -> None:
        self._tell(int((self._loop.time() - self._since) * 1000))
