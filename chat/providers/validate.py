"""What may leave: a pure check of every request before it is sent (invariant 6).

A request that the API would refuse for its shape is our own mistake, and is found here, by name, rather than by a
400 in the middle of somebody's conversation. Messages name places, never text.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from chat.context.values import Request
from chat.providers.base import Misconfigured

MAX_BREAKPOINTS = 4
FIELDS = frozenset(
    {"model", "max_tokens", "system", "messages", "tools", "tool_choice", "stop_sequences", "metadata", "thinking"}
)
MESSAGE_FIELDS = frozenset({"role", "content"})
BLOCK_FIELDS = {
    "text": frozenset({"type", "text", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
TOOL_FIELDS = frozenset({"name", "description", "input_schema", "cache_control", "strict", "type"})
ALLOWED = {
    "system": frozenset({"text"}),
    "user": frozenset({"text", "tool_result"}),
    "assistant": frozenset({"text", "tool_use"}),
}
TTLS = ("5m", "1h")
THINKING_FIELDS = {
    "enabled": frozenset({"type", "budget_tokens", "display"}),
    "adaptive": frozenset({"type", "display"}),
    "disabled": frozenset({"type"}),
}
LEAST_THINKING = 1_024


def validate(request: Request) -> dict[str, Any]:
    """The body to send. Misconfigured, with the place and the rule, when the API would refuse its shape."""
    if not request.model:
        raise _wrong("model", "is empty")
    if request.max_tokens < 1:
        raise _wrong("max_tokens", "is less than 1")
    body = request.body()
    check(body)
    return body


def check(body: Mapping[str, Any]) -> None:
    """The same for a JSON body."""
    _known("request", body, FIELDS)
    if "thinking" in body:
        _check_thinking(body["thinking"], body["max_tokens"])
    messages = body.get("messages") or []
    if not messages:
        raise _wrong("messages", "is empty")
    for index, tool in enumerate(body.get("tools", [])):
        _known(f"tools.{index}", tool, TOOL_FIELDS)
    _check_blocks("system", "system", body.get("system", []))
    before = ""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        _known(path, message, MESSAGE_FIELDS)
        role, blocks = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            raise _wrong(path, "has no known role")
        if role == before:
            raise _wrong(path, "repeats the role before it")
        if index == 0 and role != "user":
            raise _wrong(path, "is first and not the user's")
        if not blocks:
            raise _wrong(path, "has no content")
        _check_blocks(path, role, blocks)
        open_calls = _check_calls(path, blocks, open_calls)
        before = role
    if before != "user":
        raise _wrong("messages", "end with the assistant")
    _check_breakpoints(body)


def _check_thinking(thinking: Mapping[str, Any], max_tokens: int) -> None:
    fields = THINKING_FIELDS.get(str(thinking.get("type")))
    if fields is None:
        raise _wrong("thinking", "is of an unknown type")
    _known("thinking", thinking, fields)
    if thinking["type"] != "enabled":
        return
    if thinking.get("budget_tokens", 0) < LEAST_THINKING:
        raise _wrong("thinking", f"has a budget of less than {LEAST_THINKING} tokens")
    if thinking["budget_tokens"] >= max_tokens:
        raise _wrong("thinking", "has a budget that leaves no token for the reply")


def _check_blocks(path: str, place: str, blocks: Iterable[Mapping[str, Any]]) -> None:
    for index, block in enumerate(blocks):
        here = f"{path}.{index}"
        kind = block.get("type")
        if kind not in ALLOWED[place]:
            raise _wrong(here, "is of a type that cannot stand there")
        _known(here, block, BLOCK_FIELDS[kind])
        if kind == "text":
            _check_text(here, block.get("text"))
        elif kind == "tool_use":
            if not block.get("id") or not block.get("name"):
                raise _wrong(here, "is a tool call without id or name")
            if not isinstance(block.get("input"), Mapping):
                raise _wrong(here, "is a tool call whose input is no object")
        elif not block.get("tool_use_id"):
            raise _wrong(here, "is a tool result without the id of its call")
        elif isinstance(block.get("content"), str):
            _check_encodable(here, block["content"])


def _check_text(path: str, text: Any) -> None:
    if not isinstance(text, str) or not text.strip():
        raise _wrong(path, "is an empty text block")
    _check_encodable(path, text)


def _check_encodable(path: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _wrong(path, "holds half a surrogate pair") from None


def _check_calls(path: str, blocks: Iterable[Mapping[str, Any]], open_calls: list[str]) -> list[str]:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if any(call not in results for call in open_calls):
        raise _wrong(path, "lacks the result of a tool call before it")
    if any(call not in open_calls for call in results):
        raise _wrong(path, "holds the result of no tool call before it")
    return [block["id"] for block in blocks if block["type"] == "tool_use"]


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    parts = [*body.get("tools", []), *body.get("system", [])]
    parts += [block for message in body["messages"] for block in message["content"]]
    ttls = [part["cache_control"].get("ttl", "5m") for part in parts if part.get("cache_control")]
    if len(ttls) > MAX_BREAKPOINTS:
        raise _wrong("request", f"has {len(ttls)} cache breakpoints, {MAX_BREAKPOINTS} are allowed")
    if any(ttl not in TTLS for ttl in ttls):
        raise _wrong("request", "has a cache breakpoint with an unknown time to live")
    if "1h" in ttls and "5m" in ttls[: len(ttls) - ttls[::-1].index("1h")]:
        raise _wrong("request", "has a longer cache time to live after a shorter one")


def _known(path: str, value: Mapping[str, Any], fields: frozenset[str]) -> None:
    if unknown := sorted(set(value) - fields):
        raise _wrong(path, f"has the unknown field {unknown[0]!r}")


def _wrong(path: str, rule: str) -> Misconfigured:
    return Misconfigured(f"{path} {rule}")
