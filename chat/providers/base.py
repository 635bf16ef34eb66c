"""The seam to a model: one protocol, its events, its usage, and the errors by what the caller will do.

The error tree (every upstream failure maps to exactly one leaf, in `anthropic.classify`):

    ProviderError
      ContextOverflow      the request is larger than the window: climb down the ladder
      TooLarge             bytes, not tokens (413): shrink attachments; never retried
      RateLimited          429 with a wait in seconds
      Overloaded           529 or in-stream overloaded_error: retry a little later
      Unavailable          500, 504, transport, a stream cut off before its end
      Refused              the key, the account or the spend limit forbids it: no retry, tell the operator
      Misconfigured        the request or the model is wrong: our bug, no retry
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from chat.context.values import Request, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call as the API counted them. The real size of the input is the sum of the three.

    `thinking` is a part of `output`, where the API told it.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def total_input(self) -> int:
        """input_tokens + cache_read_input_tokens + cache_creation_input_tokens (Messages API, prompt caching)."""
        return self.input + self.cache_read + self.cache_write

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            thinking=self.thinking + other.thinking,
        )


@dataclass(frozen=True, slots=True)
class Started:
    """The model has read the request: `usage` is what its input cost, whatever comes of the reply."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Some characters of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A finished step that is not text: a tool call or thinking."""

    step: Step


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a whole reply: the API said message_stop. Without it a reply is never complete."""

    stop_reason: str
    usage: Usage
    model: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing comes for `seconds`: the call failed, or was not made yet, for `cause` (the code of an error).

    `spent` is what a call that failed had used of tokens; None where none was made.
    """

    seconds: float
    cause: str
    spent: Usage | None = field(default=None, compare=False)


Event = Started | TextDelta | StepEvent | Completion | Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a model can take. `known` is false for a window that nobody could tell; 0 tokens then.

    `thinking` is one of `context.thinking.KINDS`, or "" where nobody said.
    """

    id: str
    window: int
    max_output: int = 0
    known: bool = True
    source: str = "api"
    thinking: str = ""


class ProviderError(Exception):
    """A call to the model failed. `code` is stable and safe to store; `partial` is the usage seen so far.

    `wait` is how long the service asked to wait, in seconds. `cause` is the status, type and code of the API's
    error: the same for every call that fails for the same reason.
    """

    code = "provider"
    transient = False

    def __init__(
        self, message: str = "", *, wait: float | None = None, usage: Usage | None = None, cause: str = ""
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.partial = usage
        self.cause = cause or self.code


class ContextOverflow(ProviderError):
    """The prompt is too long. `actual` and `limit` are tokens, where the error named them."""

    code = "context_overflow"

    def __init__(self, message: str = "", *, actual: int | None = None, limit: int | None = None):
        super().__init__(message)
        self.actual = actual
        self.limit = limit


class TooLarge(ProviderError):
    """The request has too many bytes."""

    code = "too_large"


class RateLimited(ProviderError):
    """Too many requests; `wait` is what the API asked for, in seconds."""

    code = "rate_limited"
    transient = True


class Overloaded(ProviderError):
    """The service is overloaded."""

    code = "overloaded"
    transient = True


class Unavailable(ProviderError):
    """The service could not be reached, failed, stalled, or cut its reply off."""

    code = "unavailable"
    transient = True


class Refused(ProviderError):
    """The key, the account or a spend limit forbids the call."""

    code = "refused"


class Misconfigured(ProviderError):
    """The request, or the model it names, is wrong."""

    code = "misconfigured"


class Provider(Protocol):
    """Reaches a model. Implementations: anthropic, scripted (and the stand-in server behind anthropic).

    Those make one attempt a call. What is done about failures is `steady`'s, which is a provider too.
    """

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Send the request and yield what comes back; ends with exactly one Completion, or raises ProviderError."""
        ...

    def refusal(self, model: str) -> float:
        """For how many seconds calls to `model` would be refused at once; 0: they are made. Asking costs nothing."""
        ...

    async def count(self, request: Request) -> int:
        """The input tokens of the request as the API counts them."""
        ...

    async def window(self, model: str) -> ModelInfo:
        """The model's window in tokens, from the Models API."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...
