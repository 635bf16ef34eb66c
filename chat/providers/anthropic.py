"""Reaches Anthropic's Messages API. The only file that knows the SDK.

The SDK does the key, the base URL, the request and its errors; the bytes travel by its aiohttp transport, and the
events are read raw: its own event objects cost several times as much per token as everything here. Every call is one
attempt (`steady` makes further ones), save where a refused key turns out to have been replaced meanwhile.
"""

import asyncio
import email.utils
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import anthropic
import httpx2

from chat.context import thinking
from chat.context.values import Request
from chat.providers.base import Completion, Event, Misconfigured, ModelInfo, ProviderError, Refused, Unavailable
from chat.providers.body import Body
from chat.providers.classification import Failure, judge
from chat.providers.keys import FixedKey, Key, label
from chat.providers.pace import Pace
from chat.providers.patience import Patience
from chat.providers.reply import Reply, StreamError
from chat.providers.sse import Splitter
from chat.providers.validate import validate

UPSTREAM = (
    anthropic.AnthropicError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    httpx2.CookieConflict,
    aiohttp.ClientError,
    StreamError,
    OSError,
    EOFError,
)
"""What a call can fail with besides our own errors. Anything else is a bug, and passes unchanged."""

_OUR_FAULT = (
    httpx2.InvalidURL,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.TooManyRedirects,
    httpx2.CookieConflict,
    aiohttp.InvalidURL,
    aiohttp.TooManyRedirects,
    anthropic.APIWebhookValidationError,
)

COUNTED = ("model", "messages", "system", "tools", "thinking")
"""What count_tokens takes of a request."""

_DRAIN_SECONDS = 0.25
"""How long the end of a finished stream is awaited, so that its connection can be used again."""

_TRACING: anthropic.OpenTelemetryOptions = {"traces": False, "propagation": False}
"""The SDK's own spans are off, whatever the environment says: it could have them carry what users wrote, and of a
stream that is read raw they know no usage. `chat/flow/tracing.py` makes ours."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `first` is up to the first event, `content` between two events that are no pings, `whole` the call."""

    connect: float = 5.0
    first: float = 30.0
    content: float = 60.0
    whole: float = 600.0


class AnthropicProvider:
    """Implements `Provider`. The client opens in the running loop at the first call.

    `api_key` is asked for at each call, so that a replaced key is used from the next call on; calls under way keep
    the one that they were made with. `http_client` makes the HTTP client (tests hand one in).
    """

    def __init__(
        self,
        *,
        api_key: str | Key,
        base_url: str | None = None,
        timeouts: Timeouts | None = None,
        http_client: Callable[[], httpx2.AsyncClient] | None = None,
    ) -> None:
        self._key: Key = FixedKey(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url
        self._timeouts = timeouts or Timeouts()
        self._make_http_client = http_client or anthropic.DefaultAioHttpClient
        self._client: anthropic.AsyncAnthropic | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._windows: dict[str, ModelInfo] = {}

    @property
    def label(self) -> str:
        """Tells the present key apart from others in logs; see `keys.label`."""
        return label(self._key.current())

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Send the request; text as it comes, steps when finished, one Completion. Close it to stop the call."""
        body = validate(request)
        loop = asyncio.get_running_loop()
        started = loop.time()
        end = started + self._timeouts.whole
        due = min(end, started + self._timeouts.first)
        reply, splitter = Reply(), Splitter()
        try:
            async with AsyncExitStack() as stack:
                response = await self._respond(stack, body, due)
                arriving = Body(response.http_response)
                chunks = arriving.chunks()
                pace = Pace(arriving.connection)
                stack.callback(pace.close)
                patience = Patience(due, self._timeouts.content)
                stack.callback(patience.close)
                while True:
                    chunk = await patience.wait(anext(chunks, b""))
                    if not chunk:
                        raise Unavailable("the stream ended before message_stop")
                    heard = reply.read_all(splitter.feed(chunk))
                    for event in heard.events:
                        yield event
                        if type(event) is Completion:
                            await _drain(chunks)
                            return
                    if heard.failure:
                        raise heard.failure
                    if heard.content:
                        patience.heard(end)
                    if heard.text:
                        pace.rest(len(chunk))
        except ProviderError as error:
            failure = error
        except UPSTREAM as error:
            failure = self._classified(error, request)
        failure.partial = reply.usage
        # Outside of `except`: the SDK's error, whose text may quote the request, must not hang on ours.
        raise failure

    async def count(self, request: Request) -> int:
        """The input tokens of the request as the API counts them."""
        body = validate(request)
        fields = {name: body[name] for name in COUNTED if name in body}
        counted = await self._call(lambda client: client.messages.count_tokens(**fields), request)
        return int(counted.input_tokens)

    def refusal(self, model: str) -> float:
        """Never: every call is made."""
        return 0.0

    async def window(self, model: str) -> ModelInfo:
        """What the Models API says of `model`; `known` is false for a model or a window that it does not name."""
        try:
            found = await self._call(lambda client: client.models.retrieve(model))
        except Misconfigured:
            return ModelInfo(id=model, window=0, known=False)
        if not found.max_input_tokens:
            return ModelInfo(id=model, window=0, max_output=found.max_tokens or 0, known=False)
        info = ModelInfo(
            id=model,
            window=found.max_input_tokens,
            max_output=found.max_tokens or 0,
            thinking=_thinking(found.capabilities),
        )
        self._windows[model] = info
        return info

    async def close(self) -> None:
        """Close the client; a later call opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _respond(self, stack: AsyncExitStack, body: dict[str, Any], due: float) -> Any:
        """The response, its headers read; entered into `stack`."""
        async with _Deadline(due, "no first event"):
            for client in self._clients():
                try:
                    opening = client.messages.with_streaming_response.create(
                        **body, stream=True, timeout=httpx2.Timeout(None, connect=self._timeouts.connect)
                    )
                    return await stack.enter_async_context(opening)
                except anthropic.AuthenticationError as error:
                    refused = error
            raise refused

    async def _call(
        self, make: Callable[[anthropic.AsyncAnthropic], Awaitable[_Found]], request: Request | None = None
    ) -> _Found:
        """A call that is not streamed, by the same errors."""
        try:
            async with _Deadline(asyncio.get_running_loop().time() + self._timeouts.first, "no answer"):
                for client in self._clients():
                    try:
                        return await make(client)
                    except anthropic.AuthenticationError as error:
                        refused = error
                raise refused
        except ProviderError as error:
            failure = error
        except UPSTREAM as error:
            failure = self._classified(error, request)
        raise failure

    def _clients(self) -> Iterator[anthropic.AsyncAnthropic]:
        """The client with the present key; once that was refused, with the one that has replaced it, if any has."""
        client = self._opened()
        client.api_key = used = self._key.current()
        yield client
        renewed = self._key.renew()
        if renewed != used:
            client.api_key = renewed
            yield client

    def _classified(self, error: BaseException, request: Request | None) -> ProviderError:
        known = self._windows.get(request.model) if request else None
        estimate = sum(block.tokens for block in request.blocks()) if request else 0
        return classify(error, estimate=estimate, window=known.window if known else 0)

    def _opened(self) -> anthropic.AsyncAnthropic:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = anthropic.AsyncAnthropic(
                api_key=self._key.current(),
                base_url=self._base_url,
                max_retries=0,
                timeout=httpx2.Timeout(self._timeouts.first, connect=self._timeouts.connect),
                http_client=self._make_http_client(),
                open_telemetry=_TRACING,
            )
        return self._client


def classify(error: BaseException, *, estimate: int = 0, window: int = 0) -> ProviderError:
    """The leaf of the error tree for whatever a call failed with. `estimate` and `window` in tokens; 0 = unknown."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, StreamError):
        return judge(_of_body(200, error.body), estimate=estimate, window=window)
    if isinstance(error, anthropic.APIStatusError):
        return judge(_of_status(error), estimate=estimate, window=window)
    if isinstance(error, _OUR_FAULT):
        return Misconfigured(type(error).__name__)
    if isinstance(error, anthropic.CredentialsError):
        return Refused(type(error).__name__)
    if isinstance(error, anthropic.APIConnectionError) and isinstance(error.__cause__, _OUR_FAULT):
        return Misconfigured(type(error.__cause__).__name__)
    if isinstance(error, UPSTREAM):
        # The transport, or an answer that was none.
        return Unavailable(type(error).__name__)
    return Misconfigured(type(error).__name__)


def _thinking(capabilities: Any) -> str:
    """How the model is asked to think, by what the Models API says it can; "" where it says nothing."""
    if capabilities is None:
        return ""
    can = capabilities.thinking
    if not can.supported:
        return thinking.NONE
    if can.types.adaptive.supported:
        return thinking.ADAPTIVE
    return thinking.ENABLED if can.types.enabled.supported else thinking.NONE


def _of_status(error: anthropic.APIStatusError) -> Failure:
    return Failure(
        status=error.status_code,
        type=error.type or "",
        code=error.error_code or "",
        message=error.api_message or "",
        wait=_wait(error.response.headers),
        request_id=error.request_id or "",
    )


def _of_body(status: int, body: dict[str, Any]) -> Failure:
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    details = error.get("details")
    return Failure(
        status=status,
        type=str(error.get("type") or ""),
        code=str(details.get("error_code") or "") if isinstance(details, dict) else "",
        message=str(error.get("message") or ""),
        request_id=str(body.get("request_id") or ""),
    )


def _wait(headers: httpx2.Headers) -> float | None:
    """Seconds that the API asks to wait: `retry-after-ms`, or `retry-after` as seconds or as a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        told = headers.get("retry-after")
        if not told:
            return None
        try:
            return max(0.0, float(told))
        except ValueError:
            return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


class _Deadline:
    """Turns a missed deadline into Unavailable. `due` is the loop's time."""

    __slots__ = ("_timeout", "_what")

    def __init__(self, due: float, what: str) -> None:
        self._timeout = asyncio.timeout_at(due)
        self._what = what

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *failure: Any) -> None:
        try:
            await self._timeout.__aexit__(*failure)
        except TimeoutError:
            missed = True
        else:
            missed = False
        if missed:
            raise Unavailable(self._what) from None


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read a finished stream to its end; what goes wrong there no longer matters."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except UPSTREAM:
        return
