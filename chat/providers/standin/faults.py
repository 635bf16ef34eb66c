"""Scripted faults: the next matching requests are answered wrongly, in the ways that the real API has shown."""

from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ApiError, invalid
from .request import Purpose

Kind = Literal[
    "status",  # an error status before anything is streamed
    "overflow",  # a 400 that says the prompt is too long, although it fits; `wording` 1, 2 or 3
    "template",  # a 400 that merely mentions a prompt
    "stream_error",  # an error event inside the stream, after `after` deltas
    "reset",  # the connection reset after `after` deltas
    "eof",  # the stream ends cleanly, without message_stop, after `after` deltas
    "pings",  # only pings, for ever, after `after` deltas
    "slow_first",  # the first event `seconds` late
    "stop",  # the reply ends with `stop_reason`, after `after` deltas
    "reply",  # this `text` or these `blocks` instead of the reply
]


@dataclass(slots=True, kw_only=True)
class Fault:
    """One scripted fault. `times` requests get it; `model`, `purpose` and `endpoint` limit which ("" = any)."""

    kind: Kind
    times: int = 1
    model: str = ""
    purpose: Purpose | Literal[""] = ""
    endpoint: str = "messages"
    status: int = 529
    error_type: str = ""
    error_code: str = ""
    message: str = ""
    retry_after: float | None = None
    wording: int = 1
    after: int = 0
    seconds: float = 0.0
    stop_reason: str = "end_turn"
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)

    def error(self, window: int) -> ApiError | None:
        """The error to answer with before anything is streamed, if this fault is one. `window` in tokens."""
        if self.kind == "status":
            return ApiError(
                self.status,
                self.message or f"scripted {self.status}",
                kind=self.error_type,
                code=self.error_code,
                retry_after=self.retry_after,
            )
        if self.kind == "overflow":
            return invalid(self.message or _overflow(self.wording, window), overflow=True)
        if self.kind == "template":
            return invalid(self.message or "prompt: invalid template")
        return None


def _overflow(wording: int, window: int) -> str:
    if wording == 1:
        return f"prompt is too long: {window + 8656} tokens > {window} maximum"
    if wording == 2:
        return (
            f"input length and `max_tokens` exceed context limit: {window - 241} + 8192 > {window}, "
            "decrease input length or `max_tokens` and try again"
        )
    return f"prompt is too long: {window + 10432:,} tokens > {window:,} token limit"


class Faults:
    """The queue of scripted faults. A request takes the oldest one that matches it."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def add(self, kind: Kind, **details: Any) -> Fault:
        """Script a fault; `details` are the fields of `Fault`."""
        fault = Fault(kind=kind, **details)
        self._queue.append(fault)
        return fault

    def clear(self) -> None:
        """Forget what has not happened yet."""
        self._queue.clear()

    def __len__(self) -> int:
        return sum(fault.times for fault in self._queue)

    def take(self, endpoint: str, model: str, purpose: str) -> Fault | None:
        """The fault for this request, counted down; None when none matches."""
        for fault in self._queue:
            if fault.endpoint == endpoint and fault.model in ("", model) and fault.purpose in ("", purpose):
                fault.times -= 1
                if fault.times <= 0:
                    self._queue.remove(fault)
                return fault
        return None
