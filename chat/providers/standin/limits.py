"""What the Messages API refuses, and in which words.

Stricter than live in two places, on purpose: two equal roles in a row are a 400 here (the live API merges them),
and `system` messages inside `messages` are not taken. Live wordings: platform.claude.com/docs/en/api/errors.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .catalogue import Card
from .errors import ApiError, invalid

MAX_BYTES = 32 * 1024 * 1024
MAX_BREAKPOINTS = 4
MAX_MESSAGES = 100_000

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_COUNTED = frozenset(
    {"cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"}
)
_FIELDS = _COUNTED | {
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "metadata",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
}
_MESSAGE = frozenset({"role", "content"})
_TOOL = frozenset({
    "allowed_callers", "cache_control", "defer_loading", "description", "eager_input_streaming", "input_examples",
    "input_schema", "name", "strict", "type",
})  # fmt: skip
_BLOCKS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    # type: (required, optional)
    "text": (frozenset({"text"}), frozenset({"cache_control", "citations"})),
    "tool_use": (frozenset({"id", "input", "name"}), frozenset({"cache_control", "caller"})),
    "tool_result": (frozenset({"tool_use_id"}), frozenset({"cache_control", "content", "is_error"})),
    "thinking": (frozenset({"signature", "thinking"}), frozenset()),
    "redacted_thinking": (frozenset({"data"}), frozenset()),
    "image": (frozenset({"source"}), frozenset({"cache_control"})),
    "document": (frozenset({"source"}), frozenset({"cache_control", "citations", "context", "title"})),
}
_THINKING = {
    "enabled": frozenset({"type", "budget_tokens", "display"}),
    "adaptive": frozenset({"type", "display"}),
    "disabled": frozenset({"type"}),
    "between_tools": frozenset({"type"}),
}
_ALLOWED = {
    "system": frozenset({"text"}),
    "user": frozenset({"text", "tool_result", "image", "document"}),
    "assistant": frozenset({"text", "tool_use", "thinking", "redacted_thinking"}),
    "tool_result": frozenset({"text", "image", "document"}),
}


def check(body: Any, card: Card, *, counting: bool = False) -> None:
    """Raise the API's error for a request that it would refuse whatever its length.

    `counting` is for count_tokens, which takes no max_tokens.
    """
    fields = _COUNTED if counting else _FIELDS
    _known("", body, fields)
    for name in ("messages", "model") if counting else ("max_tokens", "messages", "model"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    if not counting:
        _check_max_tokens(body["max_tokens"], card)
        if not isinstance(body.get("stream", False), bool):
            raise invalid("stream: Input should be a valid boolean")
    if body.get("thinking") is not None:
        _check_thinking(body["thinking"], body.get("max_tokens"))
    _check_tools(body.get("tools", []))
    _check_content("system", "system", body.get("system", []))
    _check_messages(body["messages"])
    _check_breakpoints(body)


def check_length(tokens: int, body: Mapping[str, Any], window: int) -> None:
    """Raise the API's error for a request of `tokens` that does not fit `window` (both in tokens)."""
    if tokens > window:
        raise invalid(f"prompt is too long: {tokens} tokens > {window} maximum", overflow=True)
    asked = body["max_tokens"]
    if tokens + asked > window:
        raise invalid(
            f"input length and `max_tokens` exceed context limit: {tokens} + {asked} > {window}, "
            "decrease input length or `max_tokens` and try again",
            overflow=True,
        )


def _check_max_tokens(value: Any, card: Card) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid("max_tokens: Input should be a valid integer")
    if value < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if value > card.max_output:
        raise invalid(
            f"max_tokens: {value} > {card.max_output}, which is the maximum allowed number of output tokens for "
            f"{card.id}"
        )


def _check_thinking(thinking: Any, max_tokens: int | None) -> None:
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if kind not in _THINKING:
        raise invalid("thinking: Input tag found using 'type' does not match any of the expected tags")
    _known(f"thinking.{kind}", thinking, _THINKING[kind])
    if thinking.get("display") not in (None, "summarized", "omitted"):
        raise invalid(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind != "enabled":
        return
    most = thinking.get("budget_tokens")
    if not isinstance(most, int) or most < 1024:
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if max_tokens is not None and most >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    names = set()
    for index, tool in enumerate(tools):
        path = f"tools.{index}"
        _known(path, tool, _TOOL)
        for name in ("name", "input_schema"):
            if name not in tool:
                raise invalid(f"{path}.{name}: Field required")
        if tool["name"] in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(tool["name"])


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise invalid(f"messages: too many messages, {len(messages)} > {MAX_MESSAGES}")
    before = ""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        _known(path, message, _MESSAGE)
        role = message.get("role")
        if role not in ("user", "assistant"):
            raise invalid(f"{path}.role: Input should be 'user' or 'assistant'")
        if index == 0 and role != "user":
            raise invalid('messages: first message must use the "user" role')
        if role == before:
            raise invalid(
                'messages: roles must alternate between "user" and "assistant", '
                f'but found multiple "{role}" roles in a row'
            )
        before = role
        if "content" not in message:
            raise invalid(f"{path}.content: Field required")
        if not message["content"]:
            raise invalid(
                f"{path}: all messages must have non-empty content except for the optional final assistant message"
            )
        _check_content(f"{path}.content", role, message["content"])
        open_calls = _check_calls(path, index, message, open_calls)
    if before == "assistant":
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _check_content(path: str, place: str, content: Any) -> None:
    if isinstance(content, str):
        if place != "system" or content:
            _check_text(path, content)
        return
    if not isinstance(content, list):
        raise invalid(f"{path}: Input should be a valid list")
    for index, block in enumerate(content):
        here = f"{path}.{index}"
        kind = block.get("type") if isinstance(block, Mapping) else None
        if not isinstance(kind, str) or kind not in _ALLOWED[place]:
            found = f"'{kind}'" if isinstance(kind, str) else "no type"
            raise invalid(f"{here}: Input tag {found} found using 'type' does not match any of the expected tags")
        required, optional = _BLOCKS[kind]
        _known(f"{here}.{kind}", block, required | optional | {"type"})
        for name in sorted(required - block.keys()):
            raise invalid(f"{here}.{kind}.{name}: Field required")
        if "cache_control" in block:
            _check_control(f"{here}.{kind}.cache_control", block["cache_control"])
        if kind == "text":
            _check_text(f"{here}.text", block["text"])
        if kind == "tool_use":
            _check_call(f"{here}.tool_use", block)
        if kind == "tool_result" and block.get("content"):
            _check_content(f"{here}.tool_result.content", "tool_result", block["content"])


def _check_call(path: str, block: Mapping[str, Any]) -> None:
    for name in ("id", "name"):
        if not isinstance(block[name], str) or not _NAME.match(block[name]):
            raise invalid(f"{path}.{name}: String should match pattern '{_NAME.pattern}'")
    if not isinstance(block["input"], Mapping):
        raise invalid(f"{path}.input: Input should be a valid dictionary")


def _check_text(path: str, text: Any) -> None:
    if not isinstance(text, str):
        raise invalid(f"{path}: Input should be a valid string")
    if not text:
        raise invalid(f"{path.split('.')[0]}: text content blocks must be non-empty")
    if not text.strip():
        raise invalid(f"{path.split('.')[0]}: text content blocks must contain non-whitespace text")


def _check_calls(path: str, index: int, message: Mapping[str, Any], open_calls: Sequence[str]) -> list[str]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for at, call in enumerate(results):
        if call not in open_calls:
            raise invalid(
                f"{path}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    if missing := [call for call in open_calls if call not in results]:
        raise invalid(
            f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            f"message."
        )
    return [block["id"] for block in blocks if block["type"] == "tool_use"]


def _check_control(path: str, control: Any) -> None:
    if control is None:
        return
    _known(path, control, frozenset({"type", "ttl"}))
    if control.get("type") != "ephemeral":
        raise invalid(f"{path}.type: Input should be 'ephemeral'")
    if control.get("ttl", "5m") not in ("5m", "1h"):
        raise invalid(f"{path}.ttl: Input should be '5m' or '1h'")


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    if "cache_control" in body:
        _check_control("cache_control", body["cache_control"])
    marks = list(_breakpoints(body))
    if len(marks) > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}.")
    shorter = False
    for path, ttl in marks:
        if ttl == "1h" and shorter:
            raise invalid(
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                f"cache_control "
                "block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        shorter = shorter or ttl == "5m"


def _breakpoints(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    lists = [("tools", body.get("tools")), ("system", body.get("system"))]
    lists += [(f"messages.{index}.content", message["content"]) for index, message in enumerate(body["messages"])]
    for path, blocks in lists:
        if isinstance(blocks, list):
            for index, block in enumerate(blocks):
                if block.get("cache_control"):
                    yield f"{path}.{index}", block["cache_control"].get("ttl", "5m")
    if body.get("cache_control"):
        yield "top", body["cache_control"].get("ttl", "5m")


def _known(path: str, value: Any, fields: frozenset[str]) -> None:
    if not isinstance(value, Mapping):
        raise invalid(f"{path or 'body'}: Input should be a valid dictionary or object")
    for name in value:
        if name not in fields:
            raise invalid(
                f"{path}.{name}: Extra inputs are not permitted" if path else f"{name}: Extra inputs are not permitted"
            )


def too_large() -> ApiError:
    """The 413 of a body over 32 MB."""
    return ApiError(413, "Request exceeds the maximum allowed number of bytes. The maximum request size is 32 MB.")
