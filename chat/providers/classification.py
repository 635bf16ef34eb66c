"""Decides what an upstream failure means for the caller, from plain values.

Asked in this order: the typed error code, the error type, the HTTP status (200 is an error inside a stream), the
wording (for overflow and for spending alone, each only where the API uses it), and our own estimate. Transport
failures never come here: they are Unavailable.

The wordings of overflow seen in the wild are in the tests. Messages of the errors made here are safe to log: the
status, the type, the code and the request id, never the API's text, which may quote the request.
"""

import re
from dataclasses import dataclass

from chat.providers.base import (
    ContextOverflow,
    Misconfigured,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    TooLarge,
    Unavailable,
)

OVERFLOW = re.compile(
    r"prompt is too long|input is too long|input length and .?max_tokens.? exceed context limit"
    r"|exceed(?:s|ed)? (?:the )?(?:model'?s )?(?:maximum )?context (?:window|length|limit)"
    r"|context[_ ]length[_ ]exceeded|maximum context length",
    re.IGNORECASE,
)
SPENDING = re.compile(
    r"credit balance|spend(?:ing)? (?:limit|cap)|(?:specified )?api usage limit|\bbilling\b", re.IGNORECASE
)
"""Asked only of 400, 429 and errors inside a stream, without a code: when the money is used up no retry helps."""

_NUMBER = r"(\d{1,3}(?:[,_ ]\d{3})+|\d+)"
_TWO_NUMBERS = re.compile(rf"{_NUMBER}(?: tokens?)?\s*>\s*{_NUMBER}")
_SUM = re.compile(rf"{_NUMBER}\s*\+\s*{_NUMBER}\s*>\s*{_NUMBER}")
_PLACE = re.compile(r"^[a-z_]+(?:\.[a-z0-9_]+){0,8}(?=: )")

CODES: dict[str, type[ProviderError]] = {
    "context_length_exceeded": ContextOverflow,
    "prompt_too_long": ContextOverflow,
    "request_body_too_large_after_decoding": TooLarge,
    "image_dimensions_too_large": TooLarge,
    "ramp_limit_exceeded": RateLimited,
    "compaction_unavailable": Overloaded,
    "cmek_context_unavailable": Unavailable,
    "cmek_key_unreachable": Unavailable,
    "request_body_timeout": Unavailable,
    "contract_spend_limit_reached": Refused,
    "enforced_spend_limit_reached": Refused,
    "linked_organization_spend_limit_reached": Refused,
    "linked_organization_billing_unavailable": Refused,
    "organization_on_hold": Refused,
    "organization_not_enrolled_in_beta": Refused,
    "cmek_key_disabled": Refused,
    "cmek_key_network_blocked": Refused,
    "workspace_policy_violation": Refused,
    "sandbox_egress_restricted": Refused,
    "user_profile_not_billable": Refused,
    "user_profile_billing_not_authorized": Refused,
}
"""Typed codes whose meaning the type and the status do not tell already."""

TYPES: dict[str, type[ProviderError]] = {
    "authentication_error": Refused,
    "permission_error": Refused,
    "billing_error": Refused,
    "not_found_error": Misconfigured,
    "rate_limit_error": RateLimited,
    "request_too_large": TooLarge,
    "timeout_error": Unavailable,
    "api_error": Unavailable,
    "overloaded_error": Overloaded,
    "conflict_error": Unavailable,
}

STATUSES: dict[int, type[ProviderError]] = {
    401: Refused,
    402: Refused,
    403: Refused,
    408: Unavailable,
    409: Unavailable,
    413: TooLarge,
    425: Unavailable,
    429: RateLimited,
    499: Unavailable,
    501: Misconfigured,
    529: Overloaded,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the API said when it failed. `status` 200 is an error inside a stream; `wait` is retry-after, seconds."""

    status: int
    type: str = ""
    code: str = ""
    message: str = ""
    wait: float | None = None
    request_id: str = ""

    @property
    def safe(self) -> str:
        """The failure in words that hold nothing of the request."""
        place = match[0] if (match := _PLACE.match(self.message)) else ""
        words = [
            str(self.status),
            self.type,
            self.code,
            place and f"at {place}",
            self.request_id and f"({self.request_id})",
        ]
        return " ".join(word for word in words if word)

    @property
    def cause(self) -> str:
        """What every failure of this kind has in common."""
        return ":".join(word for word in (str(self.status), self.type, self.code) if word)


def judge(failure: Failure, *, estimate: int = 0, window: int = 0) -> ProviderError:
    """The leaf of the error tree for `failure`. `estimate` and `window` are our own, in tokens; 0 = unknown."""
    leaf = CODES.get(failure.code) or TYPES.get(failure.type) or _by_status(failure.status, failure.type)
    if _may_overflow(failure, leaf) and (OVERFLOW.search(failure.message) or 0 < window < estimate):
        leaf = ContextOverflow
    elif not failure.code and failure.status in (200, 400, 429) and SPENDING.search(failure.message):
        leaf = Refused
    if leaf is ContextOverflow:
        actual, limit = numbers(failure.message)
        return ContextOverflow(failure.safe, actual=actual, limit=limit)
    return leaf(failure.safe, wait=failure.wait, cause=failure.cause)


def numbers(message: str) -> tuple[int | None, int | None]:
    """(actual, limit) in tokens as an overflow names them: `208656 tokens > 200000`, `210,432 tokens > 200,000`, or
    `199759 + 8192 > 200000`, where the reply's share is counted to the actual."""
    if found := _SUM.search(message):
        first, second, limit = (_integer(number) for number in found.groups())
        return first + second, limit
    if found := _TWO_NUMBERS.search(message):
        return _integer(found[1]), _integer(found[2])
    return None, None


def _by_status(status: int, kind: str) -> type[ProviderError]:
    if leaf := STATUSES.get(status):
        return leaf
    if kind == "invalid_request_error" and status == 200:
        return Misconfigured  # inside a stream the status says nothing, and the same request would fail again
    return Unavailable if status >= 500 or status < 400 else Misconfigured


def _may_overflow(failure: Failure, leaf: type[ProviderError]) -> bool:
    """Only a plain 400, a 413, or an invalid request inside a stream can be about the window."""
    if failure.code or (leaf is TooLarge and failure.status not in (200, 413)):
        return False
    if failure.status == 200:
        return failure.type == "invalid_request_error"
    return failure.status == 413 or (failure.status == 400 and failure.type in ("", "invalid_request_error"))


def _integer(number: str) -> int:
    return int(re.sub(r"\D", "", number))
