"""The values that the context engine takes and returns.

All are frozen; none knows a database id or a clock. A turn is known by its `number` (1-based, along the
active path); a summary by the range of turns that it stands for.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["verbatim", "clamped", "summarised", "recalled", "excluded", "omitted"]
Role = Literal["user", "assistant"]
# How the ref of an attached document begins; its row's id follows.
DOCUMENT_REF = "document:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One piece of a reply that is not its text: a tool call, its result, or thinking. `tokens` in tokens."""

    kind: Literal["text", "tool_use", "tool_result", "thinking"]
    body: str
    call_id: str = ""
    name: str = ""
    tokens: int = 0
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One user prompt with its reply: the smallest unit that is kept, summarised, pinned or left out.

    `prompt_tokens` and `reply_tokens` are the API's counts where it gave them, else estimates.
    `pin_settled` is true when the pin was already there at the last commit, so that the turn stands in the
    cached prefix; a younger pin rides in the current message. `restored`: it lies before the window, and a person had
    it sent word for word again.
    """

    number: int
    prompt: str
    reply: str = ""
    steps: tuple[Step, ...] = ()
    prompt_tokens: int = 0
    reply_tokens: int = 0
    pinned: bool = False
    pin_settled: bool = True
    restored: bool = False
    excluded_by: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of the whole turn: prompt, reply and steps."""
        return self.prompt_tokens + self.reply_tokens + sum(step.tokens for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The text that stands for the turns `first`..`last` (inclusive). `ref` names it for people, as in "S3"."""

    first: int
    last: int
    text: str
    tokens: int
    tier: int = 1
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that must not be lost: a value with the sentence that it rests on.

    `turn` is the number of the turn it was found in (None: told by the user outside any turn).
    `settled` is true when it was known at the last commit: it then stands in the cached prefix. `ref` names its row,
    as in "F7".
    """

    kind: str
    value: str
    quote: str = ""
    turn: int | None = None
    pinned: bool = False
    settled: bool = True
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An attached document, sent whole while it stands. `ref` names it, as in "document:7".

    `turn` is the number of the turn that it came with. `tokens` are those of its block, as counted when it was
    attached: a count that is learnt anew would move the cut of one that does not fit, and with it the cached prefix.
    `settled` is true when it was there at the last commit: it then stands in the first message.
    """

    name: str
    text: str
    tokens: int
    ref: str
    turn: int
    settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a conversation when a request is made.

    `documents` stand in the order in which they were attached. `turns` are the loaded turns in order, those from
    `window_from` on and pinned older ones. `last` is the number of the newest finished turn, so that turns that were
    not loaded are still accounted for. `excluded` names excluded turns that were not loaded, as (number, by).
    """

    instructions: str = ""
    documents: tuple[Document, ...] = ()
    facts: tuple[Fact, ...] = ()
    summaries: tuple[Summary, ...] = ()
    turns: tuple[Turn, ...] = ()
    last: int = 0
    window_from: int = 1
    excluded: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The user's current message. `number` is its turn's number; `date` an ISO day, or '' for none."""

    text: str
    number: int
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Text that is injected fresh with the current message, as data: a recalled turn or a retrieved section.

    `turn` is set for a recalled turn; `ref` says where the text comes from.
    """

    component: Literal["recall", "documents"]
    text: str
    tokens: int
    ref: str = ""
    turn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One content block of a request. `component` says what it holds; `ref` which turn, summary or document.

    `cache` marks a prompt-cache breakpoint after this block. For a tool call `text` is the JSON of its input.
    """

    text: str
    component: str
    ref: str = ""
    type: Literal["text", "tool_use", "tool_result"] = "text"
    call_id: str = ""
    name: str = ""
    is_error: bool = False
    tokens: int = 0
    cache: bool = False

    def body(self, ttl: str) -> dict[str, Any]:
        """The block as the Messages API takes it. `ttl` is "5m" or "1h"."""
        if self.type == "tool_use":
            out: dict[str, Any] = {
                "type": "tool_use",
                "id": self.call_id,
                "name": self.name,
                "input": json.loads(self.text or "{}"),
            }
        elif self.type == "tool_result":
            out = {"type": "tool_result", "tool_use_id": self.call_id, "content": self.text}
            if self.is_error:
                out["is_error"] = True
        else:
            out = {"type": "text", "text": self.text}
        if self.cache:
            out["cache_control"] = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a request."""

    role: Role
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the Messages API. `body()` is exactly what is sent, save for `stream`.

    `thinking` is the field of that name, where thinking is asked for (see `context.thinking`).
    """

    model: str
    max_tokens: int
    system: tuple[Block, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    ttl: str = "5m"
    thinking: Mapping[str, Any] | None = None

    def blocks(self) -> list[Block]:
        """Every block in the order in which the model reads them."""
        return [*self.system, *(block for message in self.messages for block in message.blocks)]

    def body(self) -> dict[str, Any]:
        """The JSON body of the request, without `stream`."""
        out: dict[str, Any] = {"model": self.model, "max_tokens": self.max_tokens}
        if self.thinking:
            out["thinking"] = dict(self.thinking)
        if self.tools:
            out["tools"] = list(self.tools)
        if self.system:
            out["system"] = [block.body(self.ttl) for block in self.system]
        out["messages"] = [
            {"role": message.role, "content": [block.body(self.ttl) for block in message.blocks]}
            for message in self.messages
        ]
        return out

    def sha256(self) -> str:
        """The hash under which the manifest remembers what was sent."""
        return body_sha256(self.body())


def body_sha256(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a request's body, however its keys are ordered."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Run:
    """Turns `first`..`last` reached the model in one way. `by` says by which summary, by whom, or why."""

    first: int
    last: int
    how: How
    by: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One block of the request, by reference: what "What the model sees" is rebuilt from. No text.

    `check` is a checksum of its text; `recipe` says how the text is made from what `ref` names (see `recipes`): ()
    is the usual way, None an unknown one. A manifest of layout 1 holds neither.
    """

    role: str
    component: str
    ref: str
    tokens: int
    cache: bool = False
    check: int | None = None
    recipe: tuple[str | int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the budget report. `before` is what the component wanted, `used` what it got, in tokens."""

    component: str
    budget: int
    used: int
    before: int

    @property
    def truncated(self) -> bool:
        """Whether the component was cut to fit."""
        return self.used < self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one request was made of. `runs` tile 1..number without gap or overlap.

    `trimmed`: turns that stood word for word had to leave; from then on those from `window_from` on do, and `restored`.
    """

    number: int
    window: int
    window_from: int
    estimated: int
    runs: tuple[Run, ...]
    parts: tuple[Part, ...]
    report: tuple[Line, ...]
    trimmed: bool = False
    restored: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A request with the proof of what it holds. `rung` names the ladder's last step that led here, or ''."""

    request: Request
    manifest: Manifest
    rung: str = ""
    dropped: frozenset[str] = field(default_factory=frozenset)
