"""The policy around a provider: try again while nobody saw anything, and leave a service in trouble alone.

The SDK's own retries are off: it obeys `retry-after` without a limit and would repeat what must not be repeated.
What a call may wait for is told before it is waited for (`Waiting`), so that nobody sits in front of a blank page.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from chat.context.values import Request
from chat.providers.alarm import Alarm
from chat.providers.base import (
    Event,
    ModelInfo,
    Provider,
    ProviderError,
    Refused,
    Started,
    Unavailable,
    Usage,
    Waiting,
)
from chat.providers.breaker import Breaker, Breakers, Change, Rule, Ticket
from chat.providers.retry import RetryPolicy

_Found = TypeVar("_Found")

BREAKER = "breaker_open"
"""The cause of a wait, or of an error, that the breaker made and not the service."""


class Steady:
    """Implements `Provider` around `inner`, whose every call is one attempt.

    One breaker for each key and model; the key is known by its label only. `patience` is how long, in seconds, a call
    waits for an open breaker (a turn that was queued already is worth waiting for; a summary is not). `yields_to`
    is somebody whose trouble is ours too: while one of its breakers is not closed, no call is made here.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        purpose: str = "reply",
        label: Callable[[], str] = str,
        rule: Rule | None = None,
        retry: RetryPolicy | None = None,
        patience: float | None = None,
        yields_to: "Steady | None" = None,
        alarm: Alarm | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self.breakers = Breakers(rule)
        self._purpose = purpose
        self._label = label
        self._rule = rule or Rule()
        self._retry = retry or RetryPolicy()
        self._patience = self._retry.whole if patience is None else patience
        self._yields_to = yields_to
        self._alarm = alarm or Alarm()
        self._sleep = sleep
        self._chance = chance
        self._clock = clock

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Send the request; what comes back, and every wait before it begins. Close it to stop the call."""
        started = self._clock()
        failed = 0
        while True:
            label, model = self._label(), request.model
            breaker = self.breakers.of((label, model))
            ticket = self._admit(breaker)
            while not isinstance(ticket, Ticket):
                if self._clock() - started + ticket > self._patience:
                    raise Unavailable(BREAKER, wait=ticket, cause=BREAKER)
                yield Waiting(ticket, BREAKER)
                await self._sleep(ticket)
                ticket = self._admit(breaker)
            delivered = told = False
            try:
                async with aclosing(self.inner.stream(request)) as events:
                    async for event in events:
                        if not told:
                            told = True
                            self._answered(breaker, ticket, label, model)
                        # What the input cost is nothing that a retry would say twice to a user.
                        delivered = delivered or type(event) is not Started
                        yield event
                return
            except ProviderError as error:
                failure = error
                if error.transient:
                    # Also after it had begun: then it counts as an answer and as a failure.
                    self._failed(breaker, ticket, label, model, error)
                else:
                    self._answered(breaker, ticket, label, model, refused=error)
                told = True
            finally:
                if not told:
                    breaker.dropped(ticket)
            failed += 1
            # Outside of `except`: a later error must not hang on this one.
            wait = self._wait_or_raise(failure, failed if not delivered else self._retry.attempts, started)
            yield Waiting(wait, failure.code, failure.partial or Usage())
            await self._sleep(wait)

    async def count(self, request: Request) -> int:
        """The input tokens of the request as the API counts them; Unavailable at once while the breaker is open."""
        if wait := self.refusal(request.model):
            raise Unavailable(BREAKER, wait=wait, cause=BREAKER)
        return await self._call(lambda: self.inner.count(request), request.model)

    async def window(self, model: str) -> ModelInfo:
        """As the inner provider, by the same retries."""
        return await self._call(lambda: self.inner.window(model), model)

    def refusal(self, model: str) -> float:
        """For how many seconds calls to `model` are refused at once; 0: they are made."""
        now = self._clock()
        own = self.breakers.refusal((self._label(), model), now)
        return max(own, self._yields_to.trouble(now)) if self._yields_to else own

    def trouble(self, now: float) -> float:
        """In how many seconds all of the breakers let somebody through; 0: they do."""
        return max((one.refusal(now) for one in self.breakers), default=0.0)

    async def close(self) -> None:
        """As the inner provider."""
        await self.inner.close()

    def _admit(self, breaker: Breaker) -> Ticket | float:
        now = self._clock()
        if self._yields_to and (wait := self._yields_to.trouble(now)):
            return wait
        return breaker.admit(now)

    async def _call(self, make: Callable[[], Awaitable[_Found]], model: str) -> _Found:
        started = self._clock()
        failed = 0
        while True:
            try:
                return await make()
            except Refused as error:
                self._alarm.refused(label=self._label(), model=model, cause=error.cause)
                raise
            except ProviderError as error:
                failure = error
            failed += 1
            await self._sleep(self._wait_or_raise(failure, failed, started))

    def _wait_or_raise(self, failure: ProviderError, failed: int, started: float) -> float:
        elapsed = self._clock() - started
        decision = self._retry.decide(failure, failed=failed, elapsed=elapsed, chance=self._chance)
        if decision is None:
            raise failure
        return decision.wait

    def _answered(
        self, breaker: Breaker, ticket: Ticket, label: str, model: str, refused: ProviderError | None = None
    ) -> None:
        self._changed(breaker.answered(ticket, self._clock()), label, model)
        if isinstance(refused, Refused):
            self._alarm.refused(label=label, model=model, cause=refused.cause)
        elif refused is None:
            self._alarm.answered(label=label, model=model)

    def _failed(self, breaker: Breaker, ticket: Ticket, label: str, model: str, error: ProviderError) -> None:
        self._changed(breaker.failed(ticket, self._clock()), label, model, error.code)

    def _changed(self, change: Change, label: str, model: str, cause: str = "") -> None:
        if change:
            self._alarm.breaker(
                change, purpose=self._purpose, label=label, model=model, cause=cause, rest_s=self._rule.rest
            )
