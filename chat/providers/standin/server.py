"""The stand-in's server: the Messages API over real HTTP on loopback.

Endpoints: POST /v1/messages (stream or not), POST /v1/messages/count_tokens, GET /v1/models, GET /v1/models/{id}.
"""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from . import answers, caching, limits, request, streaming
from .catalogue import Card, Catalogue
from .errors import ApiError, invalid
from .faults import Fault, Faults
from .ledger import Ledger
from .summaries import Mode

LOG_LENGTH = 20_000
"""Records kept; the oldest half goes when there are more."""

ASKED = 120
"""Characters of the user's words that a record keeps."""

_THREAD_FROM = 100_000
"""Bytes of a body from which it is read in a thread, so that a giant paste does not hold the event loop."""


@dataclass(slots=True)
class Record:
    """What the stand-in saw of one request and did with it.

    `sha256` is over the bytes received; `request_sha256` over the canonical JSON (sorted keys, no spaces) without
    `stream`; `system_sha256` over the canonical JSON of `system`. `messages` is their number, `tokens` the input's.
    `outcome` is "open", "sent", "error", "cut" (by a scripted fault) or "closed" (by the client). `began` and `ended`
    are on this machine's monotonic clock, in seconds. `asked` is the beginning of the user's last words; `told` is
    the last usage that left. `body` is kept on demand only.
    """

    endpoint: str
    model: str = ""
    purpose: str = ""
    sha256: str = ""
    request_sha256: str = ""
    system_sha256: str = ""
    messages: int = 0
    tokens: int = 0
    bytes: int = 0
    stream: bool = False
    status: int = 0
    error: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str = ""
    fault: str = ""
    deltas: int = 0
    outcome: str = "open"
    asked: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    body: dict[str, Any] | None = None


class StandIn:
    """A running stand-in. `window` is tokens, `windows` those of models that have another; `delay_ms` and
    `first_ms` pace the stream, `paces` those of a purpose that has another; all may be changed live.

    `summary_delay` is how late, in seconds, a summary comes in the mode "slow". `cache_minimum` overrides the
    models' own shortest cached prefix, in tokens. `responder`, when set, writes a reply's text instead of the
    stand-in's own composing, where it returns any. `keys`, when set, are the only ones that are let in.
    """

    def __init__(
        self,
        *,
        window: int,
        delay_ms: float = 20.0,
        first_ms: float = 150.0,
        keep_bodies: bool = False,
        models: Iterable[str] = (),
        cache_minimum: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.window = window
        self.windows: dict[str, int] = {}
        self.delay_ms = delay_ms
        self.first_ms = first_ms
        self.paces: dict[str, float] = {}
        self.keep_bodies = keep_bodies
        self.cache_minimum = cache_minimum
        self.summary_mode: Mode = "lossy"
        self.summary_delay = 30.0
        self.keys: Sequence[str] | None = None
        self.responder: Callable[[dict[str, Any]], str | None] | None = None
        self.log: list[Record] = []
        self.ledger = Ledger()
        self.faults = Faults()
        self.base_url = ""
        self._catalogue = Catalogue(models)
        self._cache = caching.PromptCache(clock)
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host`; port 0 takes a free one. OSError when the port is taken."""
        app = web.Application(client_max_size=limits.MAX_BYTES + 1)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model}", self._model)
        app.router.add_route("*", "/{rest:.*}", self._missing)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        taken = self._runner.addresses[0][1]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{taken}"

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _messages(self, http: web.Request) -> web.StreamResponse:
        return await self._guard(http, "messages", self._reply)

    async def _count(self, http: web.Request) -> web.StreamResponse:
        return await self._guard(http, "count_tokens", self._count_tokens)

    async def _models(self, http: web.Request) -> web.StreamResponse:
        async def entries(http: web.Request, record: Record, request_id: str) -> web.StreamResponse:
            found = self._catalogue.entries(self._window)
            page = {"data": found, "has_more": False, "first_id": found[0]["id"], "last_id": found[-1]["id"]}
            return web.json_response(page)

        return await self._guard(http, "models", entries)

    async def _model(self, http: web.Request) -> web.StreamResponse:
        async def entry(http: web.Request, record: Record, request_id: str) -> web.StreamResponse:
            record.model = http.match_info["model"]
            self._take_fault(record)
            card = self._catalogue.find(record.model)
            return web.json_response(self._catalogue.entry(card, self._window(card.id)))

        return await self._guard(http, "models", entry)

    async def _missing(self, http: web.Request) -> web.StreamResponse:
        async def nothing(http: web.Request, record: Record, request_id: str) -> web.StreamResponse:
            raise ApiError(404, "Not Found")

        return await self._guard(http, "unknown", nothing)

    async def _guard(self, http: web.Request, endpoint: str, handler: Any) -> web.StreamResponse:
        """Run a handler, answer its ApiError as the API would, and keep the record."""
        number = next(self._numbers)
        request_id = f"req_standin{number:012d}"
        record = Record(endpoint)
        self._keep(record)
        cause = ""
        if endpoint == "messages":
            self.ledger.begin()
        try:
            self._check_key(http)
            response: web.StreamResponse = await handler(http, record, request_id)
            record.status = response.status
            if record.outcome == "open":
                record.outcome = "sent"
            else:
                cause = record.error or "transport"
        except ApiError as error:
            cause = "overflow" if error.overflow else error.kind
            record.status, record.error, record.outcome = error.status, error.kind, "error"
            response = web.json_response(error.body(request_id), status=error.status)
            if error.retry_after is not None:
                response.headers["retry-after"] = f"{error.retry_after:g}"
        except asyncio.CancelledError:
            record.outcome = "closed"
            raise
        except ConnectionError:
            # Who stops a reply leaves in the middle of it: nothing for aiohttp to report as a failed request.
            record.outcome = "closed"
            if http.transport is not None:
                http.transport.abort()
            response = web.Response()
        finally:
            record.ended = time.monotonic()
            if endpoint == "messages":
                self.ledger.end(record, record.told, cause)
        if not response.prepared:
            response.headers["request-id"] = request_id
        return response

    async def _count_tokens(self, http: web.Request, record: Record, request_id: str) -> web.StreamResponse:
        body = await self._read(http, record)
        limits.check(body, self._catalogue.find(body.get("model")), counting=True)
        record.tokens = caching.positions(body)[-1].tokens
        return web.json_response({"input_tokens": record.tokens})

    async def _reply(self, http: web.Request, record: Record, request_id: str) -> web.StreamResponse:
        body = await self._read(http, record)
        fault = self._take_fault(record)
        card = self._catalogue.find(body.get("model"))
        limits.check(body, card)
        account, answer = await self._prepare(body, card, record, fault)
        record.usage, record.stop_reason = account.usage(answer.output, answer.thinking), answer.stop_reason
        await self._wait(record, fault)
        message_id = f"msg_{record.request_sha256[:8]}{request_id[-12:]}"
        if not record.stream:
            if fault and fault.kind in ("eof", "reset", "pings"):
                streaming.reset(http)
                record.outcome = "cut"
            if fault and fault.kind == "stream_error":
                raise ApiError(fault.status, fault.message or "Overloaded", kind=fault.error_type)
            record.told = record.usage
            return web.json_response(streaming.message(answer, account, card.id, message_id))
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "request-id": request_id,
            }
        )
        await response.prepare(http)
        record.status = 200
        delay_ms = self.paces.get(record.purpose, self.delay_ms)
        wire = streaming.Wire(response, http, delay_ms / 1000, fault)
        try:
            await streaming.send(wire, answer, account, card.id, message_id)
        except streaming.Cut:
            record.outcome, record.error = "cut", wire.cause
        finally:
            record.deltas, record.told = wire.sent, wire.told
        if not (fault and fault.kind == "reset"):
            await response.write_eof()
        return response

    async def _prepare(
        self, body: dict[str, Any], card: Card, record: Record, fault: Fault | None
    ) -> tuple[caching.Account, answers.Answer]:
        threaded = record.bytes > _THREAD_FROM
        prefix = await asyncio.to_thread(caching.positions, body) if threaded else caching.positions(body)
        record.tokens = prefix[-1].tokens
        limits.check_length(record.tokens, body, self._window(card.id))
        if record.purpose == "summary" and self.summary_mode == "error":
            raise ApiError(529, "Overloaded")
        if self.responder is not None and fault is None:
            given = self.responder(body)
            fault = None if given is None else Fault(kind="reply", text=given)
        arguments = (body, self.summary_mode, fault)
        answer = await asyncio.to_thread(answers.answer, *arguments) if threaded else answers.answer(*arguments)
        minimum = card.cache_minimum if self.cache_minimum is None else self.cache_minimum
        return self._cache.account(prefix, minimum), answer

    async def _wait(self, record: Record, fault: Fault | None) -> None:
        seconds = self.first_ms / 1000
        if fault and fault.kind == "slow_first":
            seconds = fault.seconds
        elif record.purpose == "summary" and self.summary_mode == "slow":
            seconds = self.summary_delay
        if seconds:
            await asyncio.sleep(seconds)

    async def _read(self, http: web.Request, record: Record) -> dict[str, Any]:
        try:
            raw = await http.read()
        except web.HTTPRequestEntityTooLarge:
            raise limits.too_large() from None
        record.bytes, record.sha256 = len(raw), hashlib.sha256(raw).hexdigest()
        if len(raw) > limits.MAX_BYTES:
            raise limits.too_large()
        try:
            body = json.loads(raw)
        except ValueError:
            raise invalid("The request body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise invalid("The request body is not a JSON object.")
        bare = {key: value for key, value in body.items() if key != "stream"}
        record.request_sha256 = _digest(bare)
        record.system_sha256 = _digest(body.get("system", []))
        record.model = str(body.get("model", ""))
        record.stream = body.get("stream") is True
        record.messages = len(body["messages"]) if isinstance(body.get("messages"), list) else 0
        record.purpose, record.asked = _reading(body)
        record.body = body if self.keep_bodies else None
        return body

    def _take_fault(self, record: Record) -> Fault | None:
        fault = self.faults.take(record.endpoint, record.model, record.purpose)
        if fault is not None:
            record.fault = fault.kind
            if error := fault.error(self.window):
                raise error
        return fault

    def _window(self, model: str) -> int:
        return self.windows.get(model, self.window)

    def _check_key(self, http: web.Request) -> None:
        key = http.headers.get("x-api-key", "").strip()
        key = key or http.headers.get("authorization", "").removeprefix("Bearer").strip()
        if key in ("", "invalid") or (self.keys is not None and key not in self.keys):
            raise ApiError(401, "invalid x-api-key")

    def _keep(self, record: Record) -> None:
        self.log.append(record)
        if len(self.log) > LOG_LENGTH:
            del self.log[: LOG_LENGTH // 2]


async def start_standin(*, host: str = "127.0.0.1", port: int = 0, window: int, **options: Any) -> StandIn:
    """Start a stand-in that listens on `host`. `window` in tokens; `options` are those of `StandIn`."""
    standin = StandIn(window=window, **options)
    await standin.start(host, port)
    return standin


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _reading(body: dict[str, Any]) -> tuple[str, str]:
    """The purpose of a request and the first words that the user asks now."""
    try:
        asked = request.texts(body["messages"][-1]["content"])
        return request.purpose(body), asked[-1][:ASKED] if asked else ""
    except (AttributeError, KeyError, IndexError, TypeError):
        # Malformed: the limits refuse it in a moment.
        return "", ""
