"""The five cache patterns against the stand-in over real HTTP: reads, writes and cost of calls 1, 2 and 10.

The requests go through the real provider. What hits and what misses is the stand-in's own accounting, made to the
rules of the Messages API (exact prefix, least length by model, breakpoints).
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

from chat.context.values import Block, Message, Request
from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import Completion, Usage
from chat.providers.standin import start_standin
from monitoring import pricing

MODEL = "claude-opus-4-6"
CALLS = (1, 2, 10)
RULES = "Rule {n}: answer in the customer's language, name the order, and never promise a date that nobody set. "
LONG_RULES = "".join(RULES.format(n=n) for n in range(400))
DOCUMENT = "".join(f"Section {n}: the boiler holds {n} bar after {n * 3} minutes of heating. " for n in range(500))
QUESTIONS = [f"Question {n}: what does section {n * 7} say?" for n in range(1, 11)]
ANSWER = "It says what stands there. " * 12

Pattern = Callable[[int], Request]


def text(body: str, *, cache: bool = False) -> Block:
    """A text block, with or without a breakpoint after it."""
    return Block(text=body, component="bench", cache=cache)


def request(system: str, *messages: Message, mark_system: bool = True) -> Request:
    """A small request."""
    return Request(model=MODEL, max_tokens=64, system=(text(system, cache=mark_system),), messages=messages)


def user(*blocks: Block) -> Message:
    """A user message."""
    return Message(role="user", blocks=blocks)


def static(call: int) -> Request:
    """The same system prompt every time: our layout."""
    return request(LONG_RULES, user(text(QUESTIONS[call - 1])))


def timestamped(call: int) -> Request:
    """The time of day in the system prompt."""
    return request(f"It is 09:{call:02}. {LONG_RULES}", user(text(QUESTIONS[call - 1])))


def document(call: int) -> Request:
    """A document in front, with a breakpoint behind it."""
    exchange = user(text(DOCUMENT, cache=True)), Message(role="assistant", blocks=(text("Understood."),))
    return request("You answer from the document.", *exchange, user(text(QUESTIONS[call - 1])), mark_system=False)


def retrieved(call: int) -> Request:
    """Another retrieved text in front with every question."""
    found = DOCUMENT.replace("boiler", f"boiler {call}")
    exchange = user(text(found, cache=True)), Message(role="assistant", blocks=(text("Understood."),))
    return request("You answer from the document.", *exchange, user(text(QUESTIONS[call - 1])), mark_system=False)


def growing(call: int) -> Request:
    """A history that grows by a turn, with a breakpoint behind the last finished reply."""
    messages: list[Message] = []
    for earlier in range(call - 1):
        messages += [
            user(text(QUESTIONS[earlier] + " " + DOCUMENT[earlier * 2000 : earlier * 2000 + 2000])),
            Message(role="assistant", blocks=(text(ANSWER),)),
        ]
    if messages:
        last = messages[-1]
        messages[-1] = replace(last, blocks=(replace(last.blocks[0], cache=True),))
    return request(LONG_RULES, *messages, user(text(QUESTIONS[call - 1])))


PATTERNS: tuple[tuple[str, str, Pattern], ...] = (
    ("static prompt", "hit", static),
    ("prompt with a timestamp", "miss", timestamped),
    ("document with cache_control", "hit after the first", document),
    ("retrieved text in front", "miss", retrieved),
    ("growing history", "partial", growing),
)


async def usages(pattern: Pattern) -> list[Usage]:
    """The usage of ten calls of a pattern, against a stand-in of its own."""
    standin = await start_standin(window=200_000, delay_ms=0, first_ms=0)
    provider = AnthropicProvider(api_key="bench", base_url=standin.base_url)
    out: list[Usage] = []
    try:
        for call in range(1, max(CALLS) + 1):
            events = provider.stream(pattern(call))
            out.extend([event.usage async for event in events if isinstance(event, Completion)])
    finally:
        await provider.close()
        await standin.close()
    return out


async def main() -> int:
    """Print a line a pattern and call; 1 when a pattern does not do what it stands for."""
    failed = 0
    for name, expected, pattern in PATTERNS:
        series = await usages(pattern)
        for call in CALLS:
            usage = series[call - 1]
            cost = pricing.cost(
                MODEL,
                input=usage.input,
                cache_read=usage.cache_read,
                cache_write=usage.cache_write,
                output=usage.output,
            )
            share = usage.cache_read / usage.total_input
            print(
                f"cache {name} ({expected}), call {call}: read {usage.cache_read:,}, written {usage.cache_write:,}, "
                f"uncached {usage.input:,} tokens, hit rate {share:.0%}, ${cost}"
            )
        if not as_expected(expected, series):
            failed += 1
            print(f"cache {name}: NOT {expected}")
    return 1 if failed else 0


def as_expected(expected: str, series: list[Usage]) -> bool:
    """Whether the calls after the first read what the pattern says they do."""
    later = [usage.cache_read / usage.total_input for usage in series[1:]]
    if expected == "miss":
        return max(later) == 0
    if expected == "partial":
        return all(0.5 < share < 1 for share in later) and all(usage.cache_write for usage in series[1:])
    return min(later) > 0.9


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
