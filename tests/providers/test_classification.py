"""Every upstream failure maps to exactly one leaf of the error tree."""

import inspect
from collections.abc import Iterator

import aiohttp
import anthropic
import httpx2
import pytest
from anthropic._error_classes import ERROR_CLASSES

from chat.providers import base
from chat.providers.anthropic import UPSTREAM, classify
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
from chat.providers.classification import CODES, Failure, judge, numbers
from chat.providers.reply import StreamError

LEAVES = {
    found
    for _, found in inspect.getmembers(base, inspect.isclass)
    if issubclass(found, ProviderError) and found is not ProviderError
}
SECRET = "the user's secret words"
ASKED = httpx2.Request("POST", "http://upstream.invalid/v1/messages", headers={"x-api-key": "sk-secret"})

OVERFLOWS = [
    ("prompt is too long: 208656 tokens > 200000 maximum", 208_656, 200_000),
    ("prompt is too long: 210,432 tokens > 200,000 token limit", 210_432, 200_000),
    ("prompt is too long: 1 048 577 tokens > 1 000 000 maximum", 1_048_577, 1_000_000),
    (
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, "
        "decrease input length or `max_tokens` and try again",
        207_951,
        200_000,
    ),
    ("Prompt is too long", None, None),
    ("input is too long for requested model", None, None),
    ("The request exceeds the model's maximum context window", None, None),
    ("this exceeds the context limit", None, None),
    ("context_length_exceeded", None, None),
    ("context length exceeded", None, None),
    ("This model's maximum context length is 200000 tokens", None, None),
]
NO_OVERFLOWS = [
    ("prompt: invalid template", Misconfigured),
    ("messages.0.content: prompt is missing", Misconfigured),
    ("max_tokens: 21333 > 4096, which is the maximum allowed number of output tokens for x", Misconfigured),
    ("messages: roles must alternate", Misconfigured),
    ("Your credit balance is too low to access the Anthropic API. Go to Plans & Billing.", Refused),
    ("You have reached your specified API usage limits. You will regain access on 2026-12-01.", Refused),
]
LIMITS = [
    "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
    "Number of request tokens has exceeded your per-minute rate limit: prompt is too long for it",
    "Number of concurrent connections has exceeded your rate limit",
]


def status_error(status: int, kind: str = "", message: str = SECRET, code: str = "", **headers: str) -> Exception:
    """The SDK's own error for an answer."""
    error = {"type": kind, "message": message} | ({"details": {"error_code": code}} if code else {})
    answer = httpx2.Response(status, request=ASKED, headers={"request-id": "req_1"} | headers)
    body = {"type": "error", "error": error}
    return ERROR_CLASSES.get((status, code or None), anthropic.APIStatusError)(str(body), response=answer, body=body)


class TestOverflow:
    @pytest.mark.parametrize(("message", "actual", "limit"), OVERFLOWS)
    def test_each_wording_is_read_with_its_numbers(self, message: str, actual: int | None, limit: int | None) -> None:
        found = classify(status_error(400, "invalid_request_error", message))
        assert type(found) is ContextOverflow
        assert (found.actual, found.limit) == (actual, limit)

    @pytest.mark.parametrize("message", [wording for wording, _, _ in OVERFLOWS])
    def test_each_wording_counts_inside_a_stream_and_with_413(self, message: str) -> None:
        inside = StreamError({"error": {"type": "invalid_request_error", "message": message}})
        assert type(classify(inside)) is ContextOverflow
        assert type(classify(status_error(413, "request_too_large", message))) is ContextOverflow

    @pytest.mark.parametrize(("message", "leaf"), NO_OVERFLOWS)
    def test_other_refusals_are_none(self, message: str, leaf: type) -> None:
        assert type(classify(status_error(400, "invalid_request_error", message))) is leaf

    @pytest.mark.parametrize("message", LIMITS)
    def test_a_rate_limit_is_none_whatever_it_says(self, message: str) -> None:
        assert type(classify(status_error(429, "rate_limit_error", message))) is RateLimited

    def test_our_estimate_decides_where_the_wording_does_not(self) -> None:
        error = status_error(400, "invalid_request_error", "no can do")
        assert type(classify(error, estimate=900, window=1000)) is Misconfigured
        assert type(classify(error, estimate=1001, window=1000)) is ContextOverflow
        assert type(classify(error, estimate=1001, window=0)) is Misconfigured
        assert type(classify(status_error(401, "authentication_error"), estimate=1001, window=1000)) is Refused
        assert type(classify(status_error(500, "api_error"), estimate=1001, window=1000)) is Unavailable

    def test_a_text_without_numbers_gives_none(self) -> None:
        assert numbers("prompt is too long") == (None, None)


class TestOrder:
    def test_the_code_goes_before_the_type_and_the_type_before_the_status(self) -> None:
        assert type(judge(Failure(status=429, type="rate_limit_error", code="contract_spend_limit_reached"))) is Refused
        assert type(judge(Failure(status=400, type="overloaded_error"))) is Overloaded
        assert type(judge(Failure(status=529))) is Overloaded

    @pytest.mark.parametrize(
        ("status", "kind", "leaf"),
        [
            (401, "authentication_error", Refused),
            (402, "billing_error", Refused),
            (403, "permission_error", Refused),
            (404, "not_found_error", Misconfigured),
            (408, "", Unavailable),
            (413, "request_too_large", TooLarge),
            (413, "", TooLarge),
            (422, "invalid_request_error", Misconfigured),
            (429, "rate_limit_error", RateLimited),
            (500, "api_error", Unavailable),
            (502, "", Unavailable),
            (503, "", Unavailable),
            (504, "timeout_error", Unavailable),
            (529, "overloaded_error", Overloaded),
        ],
    )
    def test_a_status_with_its_type(self, status: int, kind: str, leaf: type) -> None:
        assert type(classify(status_error(status, kind))) is leaf

    @pytest.mark.parametrize(
        ("kind", "leaf"),
        [
            ("overloaded_error", Overloaded),
            ("rate_limit_error", RateLimited),
            ("api_error", Unavailable),
            ("invalid_request_error", Misconfigured),
            ("request_too_large", TooLarge),
            ("authentication_error", Refused),
            ("", Unavailable),
        ],
    )
    def test_inside_a_stream_the_type_tells(self, kind: str, leaf: type) -> None:
        assert type(classify(StreamError({"error": {"type": kind, "message": SECRET}}))) is leaf

    def test_wording_never_overrides_a_code(self) -> None:
        coded = Failure(status=400, type="invalid_request_error", code="tool_name_conflict", message=OVERFLOWS[0][0])
        assert type(judge(coded, estimate=2, window=1)) is Misconfigured

    def test_a_spend_limit_in_words_is_refused_where_no_code_says_so(self) -> None:
        assert type(classify(status_error(429, "rate_limit_error", "You have hit the spend limit"))) is Refused
        inside = {"error": {"type": "rate_limit_error", "message": "You have hit the spend limit"}}
        assert type(classify(StreamError(inside))) is Refused
        assert type(classify(status_error(500, "api_error", "the billing service is down"))) is Unavailable


class TestWait:
    @pytest.mark.parametrize(
        ("headers", "wait"),
        [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "soon"}, None), ({}, None)],
    )
    def test_retry_after_is_seconds(self, headers: dict[str, str], wait: float | None) -> None:
        assert classify(status_error(429, "rate_limit_error", **headers)).wait == wait

    def test_retry_after_may_be_a_date(self) -> None:
        past = classify(status_error(429, "rate_limit_error", **{"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}))
        assert past.wait == 0.0


def _subclasses(root: type) -> Iterator[type]:
    for found in root.__subclasses__():
        yield found
        yield from _subclasses(found)


def _raised(kind: type) -> BaseException:
    """One of `kind`, made without its constructor's particular arguments."""
    if issubclass(kind, anthropic.APIStatusError):
        status = next((status for (status, _), found in ERROR_CLASSES.items() if found is kind), 500)
        code = next((code for (_, code), found in ERROR_CLASSES.items() if found is kind), None)
        return status_error(status, "invalid_request_error" if status == 400 else "", code=code or "")
    error = kind.__new__(kind)
    Exception.__init__(error, SECRET)
    return error


EVERY = sorted(
    {
        *ERROR_CLASSES.values(),
        *(
            found
            for root in (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError)
            for found in (root, *_subclasses(root))
        ),
        httpx2.InvalidURL,
        httpx2.CookieConflict,
        ConnectionResetError,
        TimeoutError,
        EOFError,
    },
    key=lambda found: (found.__module__, found.__name__),
)


class TestTheMapIsComplete:
    def test_it_meets_every_class_of_the_sdk_and_the_transports(self) -> None:
        assert len(EVERY) > 130
        exported = {
            found for name, found in vars(anthropic).items() if inspect.isclass(found) and name.endswith("Error")
        }
        assert exported <= set(EVERY)
        assert {
            found for _, found in inspect.getmembers(httpx2, inspect.isclass) if issubclass(found, Exception)
        } <= set(EVERY)

    @pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
    def test_each_has_one_leaf_and_says_nothing_of_the_request(self, kind: type) -> None:
        assert issubclass(kind, UPSTREAM)
        found = classify(_raised(kind))
        assert type(found) in LEAVES
        assert SECRET not in str(found)
        assert "sk-secret" not in str(found)

    def test_each_code_of_our_table_is_one_that_the_sdk_knows_or_that_was_seen(self) -> None:
        known = {code for _, code in ERROR_CLASSES if code}
        assert set(CODES) - known == {"context_length_exceeded", "prompt_too_long"}

    @pytest.mark.parametrize("leaf", sorted(LEAVES, key=lambda leaf: leaf.__name__))
    def test_each_leaf_is_reached(self, leaf: type) -> None:
        reached = {type(classify(_raised(kind))) for kind in EVERY}
        reached.add(type(classify(status_error(400, "invalid_request_error", OVERFLOWS[0][0]))))
        assert leaf in reached
