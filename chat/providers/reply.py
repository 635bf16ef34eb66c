"""Reads the events of one streamed reply: text out at once, everything else gathered."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chat.context.values import Step
from chat.providers.base import Completion, Event, Started, StepEvent, TextDelta, Unavailable, Usage

# Not json.loads: it looks for white space twice and asks for the encoding, which costs more than reading an event.
_decode = json.JSONDecoder().raw_decode


class StreamError(Exception):
    """An `error` event inside a stream; `body` is its JSON. The HTTP status was 200 long ago."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("error event inside a stream")
        self.body = body


@dataclass(slots=True)
class Heard:
    """What one chunk of a stream told: its events in order, neighbouring text made one.

    `content`: whether there was any, pings aside; `text`: whether some of it was text. `failure` is what ended the
    stream, after these events.
    """

    events: list[Event]
    content: bool = False
    text: bool = False
    failure: StreamError | Unavailable | None = None


class Reply:
    """What has arrived of one reply. `usage` is what the API counted so far; None before its first event."""

    __slots__ = ("_block", "_model", "_parts", "_stop_reason", "id", "usage")

    def __init__(self) -> None:
        self.id = ""
        self.usage: Usage | None = None
        self._model = ""
        self._stop_reason = ""
        self._block: dict[str, Any] = {}
        self._parts: list[str] = []

    def read_all(self, payloads: Iterable[bytes]) -> Heard:
        """The events that these payloads make. Raises nothing: what came before a failure counts."""
        heard = Heard([])
        texts: list[str] = []
        try:
            for payload in payloads:
                event, content = self.read(payload)
                heard.content = heard.content or content
                if type(event) is TextDelta:
                    texts.append(event.text)
                elif event is not None:
                    _spill(texts, heard)
                    heard.events.append(event)
        except (StreamError, Unavailable) as error:
            heard.failure = error
        _spill(texts, heard)
        return heard

    def read(self, payload: bytes) -> tuple[Event | None, bool]:
        """The event that a payload makes, if any, and whether it was content (pings are not).

        Unavailable for what is no event of the API's; StreamError for its error event.
        """
        try:
            given = payload.decode().strip()
            data, end = _decode(given)
            if end != len(given):
                raise ValueError("more than one value")
            kind = data["type"]
            # The one that comes by the thousand goes first.
            if kind == "content_block_delta" and data["delta"]["type"] == "text_delta":
                text = data["delta"]["text"]
                return (TextDelta(text) if text else None), True
            return self._other(kind, data), kind != "ping"
        except (KeyError, TypeError, ValueError, AttributeError):
            error = Unavailable("an event of the stream could not be read")
        raise error

    def _other(self, kind: str, data: dict[str, Any]) -> Event | None:
        if kind == "content_block_delta":
            self._gather(data["delta"])
        elif kind == "content_block_start":
            self._block, self._parts = dict(data["content_block"]), []
            if self._block["type"] == "text" and self._block.get("text"):
                return TextDelta(self._block["text"])
        elif kind == "content_block_stop":
            return self._finish()
        elif kind == "message_start":
            message = data["message"]
            self.id, self._model = message["id"], message["model"]
            self.usage = _usage(message["usage"], Usage())
            return Started(self.usage)
        elif kind == "message_delta":
            self._stop_reason = data["delta"].get("stop_reason") or self._stop_reason
            self.usage = _usage(data.get("usage") or {}, self.usage or Usage())
        elif kind == "message_stop":
            if not self._stop_reason:
                raise ValueError("message_stop without a stop reason")
            return Completion(self._stop_reason, self.usage or Usage(), self._model, self.id)
        elif kind == "error":
            raise StreamError(data)
        return None

    def _gather(self, delta: dict[str, Any]) -> None:
        kind = delta["type"]
        if kind == "input_json_delta":
            self._parts.append(delta["partial_json"])
        elif kind == "thinking_delta":
            self._block["thinking"] = self._block.get("thinking", "") + delta["thinking"]
        elif kind == "signature_delta":
            self._block["signature"] = self._block.get("signature", "") + delta["signature"]

    def _finish(self) -> Event | None:
        block, self._block = self._block, {}
        if block.get("type") == "tool_use":
            body = "".join(self._parts) or json.dumps(block.get("input") or {})
            return StepEvent(Step(kind="tool_use", body=body, call_id=block["id"], name=block["name"]))
        if block.get("type") in ("thinking", "redacted_thinking"):
            # The whole block as JSON: its signature must go back unchanged while the turn runs.
            return StepEvent(Step(kind="thinking", body=json.dumps(block, ensure_ascii=False)))
        return None


def _spill(texts: list[str], heard: Heard) -> None:
    """Text up to here as one event: every layer above costs as much for one letter as for a line."""
    if texts:
        heard.events.append(TextDelta("".join(texts)))
        heard.text = True
        texts.clear()


def _usage(data: dict[str, Any], before: Usage) -> Usage:
    """`before` with what `data` tells; message_delta is cumulative and overrides, what it leaves out stands."""

    def told(name: str, old: int) -> int:
        value = data.get(name)
        return old if value is None else int(value)

    return Usage(
        input=told("input_tokens", before.input),
        cache_read=told("cache_read_input_tokens", before.cache_read),
        cache_write=told("cache_creation_input_tokens", before.cache_write),
        output=told("output_tokens", before.output),
        thinking=int((data.get("output_tokens_details") or {}).get("thinking_tokens") or before.thinking),
    )
