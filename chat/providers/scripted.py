"""A provider without a network: says what it was told to say, and remembers what it was asked.

A script is one call's course: text (a delta), events, a `ProviderError` to raise, an `asyncio.Event` to wait for,
or a number of seconds to sleep. A script that raises nothing ends with a Completion; one is made when it has none.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable

from chat.context.values import Request
from chat.providers.base import Completion, Event, Misconfigured, ModelInfo, ProviderError, StepEvent, TextDelta, Usage
from chat.providers.validate import validate

Item = str | float | TextDelta | StepEvent | Completion | ProviderError | asyncio.Event
Course = Iterable[Item]
Script = Course | Callable[[Request], Course]


class ScriptedProvider:
    """Plays one script a call; when none is left, `default`, or Misconfigured without one.

    `window` is every model's, in tokens (0: unknown). `counter` counts the tokens of a request; without one, the
    blocks' own estimates are added up. `requests` are the requests seen, `closed` how many streams were closed
    before their end.
    """

    def __init__(
        self,
        scripts: Iterable[Script] = (),
        *,
        default: Script | None = None,
        window: int = 200_000,
        max_output: int = 64_000,
        counter: Callable[[Request], int] | None = None,
    ) -> None:
        self.scripts = list(scripts)
        self.default = default
        self.requests: list[Request] = []
        self.counted: list[Request] = []
        self.closed = 0
        self._window = window
        self._max_output = max_output
        self._counter = counter or _estimated

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Play the next script."""
        validate(request)
        self.requests.append(request)
        course = self._next(request)
        said: list[str] = []
        whole = False
        try:
            for item in course:
                if isinstance(item, asyncio.Event):
                    await item.wait()
                elif isinstance(item, int | float):
                    await asyncio.sleep(item)
                elif isinstance(item, ProviderError):
                    whole = True
                    raise item
                elif isinstance(item, Completion):
                    whole = True
                    yield item
                    return
                else:
                    event = TextDelta(item) if isinstance(item, str) else item
                    if isinstance(event, TextDelta):
                        said.append(event.text)
                    yield event
            whole = True
            yield self._completion(request, "".join(said))
        finally:
            self.closed += not whole

    async def count(self, request: Request) -> int:
        """The tokens of the request, by the counter given."""
        validate(request)
        self.counted.append(request)
        return self._counter(request)

    def refusal(self, model: str) -> float:
        """Never."""
        return 0.0

    async def window(self, model: str) -> ModelInfo:
        """The window given."""
        known = self._window > 0
        return ModelInfo(
            id=model, window=self._window, max_output=self._max_output if known else 0, known=known, source="scripted"
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _next(self, request: Request) -> Course:
        script = self.scripts.pop(0) if self.scripts else self.default
        if script is None:
            raise Misconfigured("no script is left")
        return script(request) if callable(script) else script

    def _completion(self, request: Request, said: str) -> Completion:
        number = len(self.requests)
        usage = Usage(input=self._counter(request), output=max(1, len(said) // 4))
        return Completion("end_turn", usage, model=request.model, message_id=f"msg_scripted_{number}")


def _estimated(request: Request) -> int:
    return sum(block.tokens or max(1, len(block.text) // 4) for block in request.blocks())
