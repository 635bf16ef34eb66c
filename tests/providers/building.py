"""Requests and providers that the tests of this folder share."""

from collections.abc import AsyncIterator
from typing import Any

from chat.context.values import Block, Message, Request
from chat.providers.base import Completion, Event, Provider, ProviderError, Started, TextDelta, Waiting

MODEL = "claude-opus-4-6"
QUICK = "claude-haiku-4-5-20251001"


def text(words: str, **details: Any) -> Block:
    """A text block."""
    return Block(text=words, component=details.pop("component", "history"), **details)


def request(*texts: str, system: str = "You answer from what you were told.", **details: Any) -> Request:
    """A request whose messages alternate, the user's first."""
    roles = ("user", "assistant")
    details.setdefault("messages", tuple(Message(role=roles[i % 2], blocks=(text(t),)) for i, t in enumerate(texts)))
    return Request(
        model=details.pop("model", MODEL),
        max_tokens=details.pop("max_tokens", 1000),
        system=(text(system, component="system"),) if system else (),
        **details,
    )


async def collect(stream: AsyncIterator[Event]) -> list[Event]:
    """Everything that a stream delivers; what its input cost (Started) and its waits are told apart."""
    return [event async for event in stream if not isinstance(event, Started | Waiting)]


async def said(provider: Provider, *texts: str, **details: Any) -> str:
    """The text of one reply."""
    events = await collect(provider.stream(request(*texts, **details)))
    assert isinstance(events[-1], Completion)
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def wire(*texts: str, **changes: Any) -> dict[str, Any]:
    """The JSON body of a request, with changes; a change to None removes a field."""
    body = request(*texts).body() | changes
    return {name: value for name, value in body.items() if value is not None}


async def until_failure(stream: AsyncIterator[Event]) -> tuple[list[Event], ProviderError]:
    """What a stream delivers before it fails, and the failure."""
    events: list[Event] = []
    keep = events.append
    try:
        async for event in stream:
            if not isinstance(event, Started | Waiting):
                keep(event)
    except ProviderError as error:
        return events, error
    raise AssertionError("the stream did not fail")
