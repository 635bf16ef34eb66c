"""A provider around another one that remembers what went through it: for commands that report on their calls."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from chat.context.values import Request
from chat.providers.base import (
    Completion,
    ContextOverflow,
    Event,
    Misconfigured,
    ModelInfo,
    Provider,
    ProviderError,
    TooLarge,
    Usage,
)

# What the API answers with a 400 or 413: the request should never have left.
REFUSED = (ContextOverflow, Misconfigured, TooLarge)
KEPT = 8


@dataclass(slots=True)
class Tally:
    """Passes everything on unchanged. `largest` is the largest input of one call in tokens, as the API counted it.

    `refused` counts calls that the API refused as wrong or too long; `kept` holds the last requests by their hash,
    while `keeping` says so.
    """

    inner: Provider
    calls: int = 0
    refused: int = 0
    largest: int = 0
    used: Usage = field(default_factory=Usage)
    keeping: bool = False
    kept: OrderedDict[str, Request] = field(default_factory=OrderedDict)

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """As the inner provider."""
        self.calls += 1
        if self.keeping:
            self.kept[request.sha256()] = request
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        try:
            async with aclosing(self.inner.stream(request)) as events:
                async for event in events:
                    if isinstance(event, Completion):
                        self.used += event.usage
                        self.largest = max(self.largest, event.usage.total_input)
                    yield event
        except ProviderError as error:
            self._count(error)
            raise

    async def count(self, request: Request) -> int:
        """As the inner provider."""
        try:
            return await self.inner.count(request)
        except ProviderError as error:
            self._count(error)
            raise

    def refusal(self, model: str) -> float:
        """As the inner provider."""
        return self.inner.refusal(model)

    async def window(self, model: str) -> ModelInfo:
        """As the inner provider."""
        return await self.inner.window(model)

    async def close(self) -> None:
        """As the inner provider."""
        await self.inner.close()

    def _count(self, error: ProviderError) -> None:
        if isinstance(error, REFUSED):
            self.refused += 1
