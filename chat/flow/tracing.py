"""Spans of turns, jobs and calls to a model, for OpenTelemetry; while nobody listens they are nothing.

Names by the conventions for generative AI (open-telemetry/semantic-conventions-genai, as of November 2026): a call is
`chat {model}`, with the API's own counts. Numbers, ids and codes only: no message, and no exception's text, which may
quote one. The SDK's own spans are off (`chat/providers/anthropic.py`): of a stream that is read raw they know no usage,
and an environment variable could have them carry content.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

from chat.context.values import Request
from chat.providers.base import Completion, Event, ProviderError, Started, TextDelta, Usage, Waiting
from chat.providers.steady import BREAKER

NANO = 1_000_000_000


class Tracing:
    """Where spans go: nowhere, until `use` says where."""

    def __init__(self) -> None:
        self.tracer: Tracer = trace.NoOpTracer()

    def use(self, provider: TracerProvider | None) -> None:
        """Send spans there; None: nowhere."""
        self.tracer = provider.get_tracer("chat") if provider else trace.NoOpTracer()

    @contextmanager
    def _span(self, name: str, attributes: dict[str, str | int]) -> Iterator[Span]:
        with self.tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def turn(self, session: UUID, turn: int, attempt: int) -> AbstractContextManager[Span]:
        """One attempt at a turn; the calls that are made in it are its children."""
        told = {"gen_ai.conversation.id": str(session), "chat.turn.id": turn, "chat.turn.attempt": attempt}
        return self._span("chat.turn", told)

    def job(self, kind: str, session: UUID | None, job: int) -> AbstractContextManager[Span]:
        """A piece of background work, likewise."""
        told: dict[str, str | int] = {"chat.job.id": job}
        return self._span(f"chat.job {kind}", told | ({"gen_ai.conversation.id": str(session)} if session else {}))

    def call(
        self,
        events: AsyncGenerator[Event, None],
        request: Request,
        *,
        purpose: str,
        session: UUID,
        compacted: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """The same events; each attempt that was made for them is a span of its own."""
        if isinstance(self.tracer, trace.NoOpTracer):
            return events
        return self._watched(events, request, {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": request.model,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": str(session),
            "gen_ai.conversation.compacted": compacted,
            "chat.purpose": purpose,
        })  # fmt: skip

    async def _watched(
        self, events: AsyncGenerator[Event, None], request: Request, attributes: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        attempt = self._begin(request.model, attributes)
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Waiting):
                        if event.spent is not None:
                            attempt.used(event.spent)
                            attempt.failed(event.cause)
                        else:
                            attempt.dropped()
                        attempt = self._begin(request.model, attributes, in_s=event.seconds)
                    else:
                        attempt.heard(event)
                    yield event
        except ProviderError as error:
            if error.partial:
                attempt.used(error.partial)
            attempt.failed(BREAKER if error.cause == BREAKER else error.code)
            raise
        finally:
            attempt.end()

    def _begin(self, model: str, attributes: dict[str, Any], in_s: float = 0.0) -> "_Attempt":
        start = time.time_ns() + int(in_s * NANO)
        return _Attempt(
            self.tracer.start_span(f"chat {model}", kind=SpanKind.CLIENT, attributes=attributes, start_time=start),
            start,
        )


class _Attempt:
    """One request to the service, as a span."""

    def __init__(self, span: Span, start: int) -> None:
        self._span = span
        self._start = start
        self._spoke = False
        self._over = False

    def heard(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            if not self._spoke:
                self._spoke = True
                seconds = max(0, time.time_ns() - self._start) / NANO
                self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        elif isinstance(event, Started):
            self.used(event.usage)
        elif isinstance(event, Completion):
            self.used(event.usage)
            self._span.set_attribute("gen_ai.response.finish_reasons", [event.stop_reason])
            self._span.set_attribute("gen_ai.response.model", event.model)
            self._span.set_attribute("gen_ai.response.id", event.message_id)

    def used(self, usage: Usage) -> None:
        self._span.set_attribute("gen_ai.usage.input_tokens", usage.total_input)
        self._span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cache_read)
        self._span.set_attribute("gen_ai.usage.cache_write.input_tokens", usage.cache_write)
        self._span.set_attribute("gen_ai.usage.output_tokens", usage.output)
        if usage.thinking:
            self._span.set_attribute("gen_ai.usage.reasoning.output_tokens", usage.thinking)

    def failed(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))
        self.end()

    def dropped(self) -> None:
        """No request was made: what waits for a breaker begins anew."""
        self._span.set_attribute("chat.unsent", True)
        self.end()

    def end(self) -> None:
        if not self._over:
            self._over = True
            self._span.end(end_time=max(time.time_ns(), self._start))


tracing = Tracing()
