"""Sends one answer as the server-sent events of the Messages API."""

import asyncio
import json
import socket
import struct
from typing import Any

from aiohttp import web

from .answers import Answer, pieces
from .caching import Account
from .errors import ApiError
from .faults import Fault

PING_SECONDS = 0.2
"""How often a stalled stream says that it is alive."""


class Cut(Exception):
    """The scripted end of a stream: nothing more is to be sent."""


class Wire:
    """Writes events at a steady pace. `delay` in seconds between text deltas; `sent` counts them.

    `told` is the last usage that left, `cause` the type of the error that ended the stream.
    """

    def __init__(self, response: web.StreamResponse, request: web.Request, delay: float, fault: Fault | None) -> None:
        self._response = response
        self._request = request
        self._delay = delay
        self._fault = fault
        self._due = asyncio.get_running_loop().time()
        self.sent = 0
        self.told: dict[str, Any] = {}
        self.cause = ""

    async def event(self, name: str, **data: Any) -> None:
        """Send one event."""
        text = json.dumps({"type": name, **data}, ensure_ascii=False, separators=(",", ":"))
        await self._response.write(f"event: {name}\ndata: {text}\n\n".encode("utf-8", "surrogatepass"))
        if name in ("message_start", "message_delta"):
            self.told = data.get("message", data)["usage"]

    async def delta(self, index: int, **delta: Any) -> None:
        """Send one delta of a content block, at its time, unless the scripted fault comes first."""
        await self.fail_if_due()
        if self._delay:
            loop = asyncio.get_running_loop()
            self._due = max(self._due + self._delay, loop.time())
            await asyncio.sleep(self._due - loop.time())
        await self.event("content_block_delta", index=index, delta=delta)
        self.sent += 1

    async def fail_if_due(self, *, at_end: bool = False) -> None:
        """Let the scripted fault happen when its number of deltas has gone out, or the text has ended before."""
        fault = self._fault
        if fault is None or (self.sent < fault.after and not at_end):
            return
        if fault.kind == "stream_error":
            error = ApiError(fault.status, fault.message or "Overloaded", kind=fault.error_type, code=fault.error_code)
            body = error.body("")["error"]
            await self.event("error", error=body)
            self.cause = error.kind
            raise Cut
        if fault.kind == "eof":
            raise Cut
        if fault.kind == "reset":
            reset(self._request)
            raise Cut
        if fault.kind == "pings":
            while True:
                await self.event("ping")
                await asyncio.sleep(PING_SECONDS)


async def send(wire: Wire, answer: Answer, account: Account, model: str, message_id: str) -> None:
    """The events of a whole reply, in the order of the API; the usage of message_delta is cumulative."""
    await wire.event(
        "message_start",
        message=message(Answer([], "", 1), account, model, message_id, finished=False),
    )
    for index, block in enumerate(answer.blocks):
        start, parts = _parts(block)
        await wire.event("content_block_start", index=index, content_block=start)
        if index == 0:
            await wire.event("ping")
        for part in parts:
            await wire.delta(index, **part)
        await wire.fail_if_due(at_end=index == len(answer.blocks) - 1)
        await wire.event("content_block_stop", index=index)
    if not answer.blocks:
        await wire.fail_if_due(at_end=True)
    await wire.event(
        "message_delta",
        delta={"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence},
        usage=account.usage(answer.output, answer.thinking),
    )
    await wire.event("message_stop")


def message(answer: Answer, account: Account, model: str, message_id: str, *, finished: bool = True) -> dict[str, Any]:
    """A message as the API tells it, whole or at its start."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": answer.blocks,
        "stop_reason": answer.stop_reason if finished else None,
        "stop_sequence": answer.stop_sequence,
        "usage": account.usage(answer.output, answer.thinking),
    }


def reset(request: web.Request) -> None:
    """Drop the connection so that the client sees a reset, not an end."""
    transport = request.transport
    if transport is None:
        return
    if (sock := transport.get_extra_info("socket")) is not None:
        # Linger 0: the kernel sends RST instead of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in pieces(block["text"])]
    if block["type"] == "tool_use":
        text = json.dumps(block["input"])
        half = len(text) // 2
        parts = [{"type": "input_json_delta", "partial_json": part} for part in ("", text[:half], text[half:])]
        return {**block, "input": {}}, parts
    if block["type"] == "thinking":
        parts = [{"type": "thinking_delta", "thinking": part} for part in pieces(block["thinking"])]
        return {"type": "thinking", "thinking": "", "signature": ""}, [
            *parts,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    return block, []
