"""When a failed call is made again: only while nothing was delivered, seldom, and never for long.

The decision alone; `steady` acts on it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from chat.providers.base import ProviderError


@dataclass(frozen=True, slots=True)
class Retry:
    """The decision to try again after `wait` seconds."""

    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """At most `attempts` calls; the wait is the longer of what the API asked for and full jitter.

    `base`, `cap` and `whole` are seconds: jitter is drawn from 0 to base * 2^n, no wait exceeds `cap`, and none is
    begun that would end `whole` seconds after the first call.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 20.0
    whole: float = 45.0

    def decide(self, error: ProviderError, *, failed: int, elapsed: float, chance: Callable[[], float]) -> Retry | None:
        """What to do after the `failed`-th failure (1-based), `elapsed` seconds after the first call.

        `chance` gives a number from 0 to 1. None: give up, and the error goes to the caller, with its wait.
        """
        if not error.transient or failed >= self.attempts:
            return None
        asked = error.wait or 0.0
        if asked > self.cap:
            return None
        wait = min(self.cap, max(asked, chance() * self.base * 2**failed))
        if elapsed + wait > self.whole:
            return None
        return Retry(wait)
