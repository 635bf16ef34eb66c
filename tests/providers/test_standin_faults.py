"""Scripted faults happen when they are told to, to whom, and as often."""

import json
from typing import Any

import aiohttp
import pytest

from chat.providers.base import Completion, ContextOverflow, Misconfigured
from chat.providers.standin import StandIn
from chat.providers.standin.faults import Faults
from chat.providers.steady import Steady
from tests.providers.building import MODEL, QUICK, collect, request, said, until_failure, wire
from tests.providers.conftest import Post


def asked(standin: StandIn, body: dict[str, Any]) -> Any:
    """The answer to one request, without any SDK."""
    return aiohttp.request("POST", f"{standin.base_url}/v1/messages", json=body, headers={"x-api-key": "k"})


LONG = "Write a long answer about gardens."


class TestTheQueue:
    def test_a_fault_happens_as_often_as_told_and_in_order(self) -> None:
        faults = Faults()
        faults.add("status", status=500, times=2)
        faults.add("status", status=529)
        taken = [faults.take("messages", MODEL, "reply") for _ in range(4)]
        assert [fault and fault.status for fault in taken] == [500, 500, 529, None]

    def test_it_waits_for_the_request_that_it_is_for(self) -> None:
        faults = Faults()
        faults.add("status", model=QUICK, purpose="summary")
        assert faults.take("messages", MODEL, "summary") is None
        assert faults.take("messages", QUICK, "reply") is None
        assert faults.take("count_tokens", QUICK, "summary") is None
        assert len(faults) == 1
        assert faults.take("messages", QUICK, "summary")
        assert len(faults) == 0

    def test_what_did_not_happen_can_be_forgotten(self) -> None:
        faults = Faults()
        faults.add("reset", times=9)
        faults.clear()
        assert faults.take("messages", MODEL, "reply") is None


class TestBeforeTheStream:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ],
    )
    async def test_each_status_has_its_type(self, standin: StandIn, post: Post, status: int, kind: str) -> None:
        standin.faults.add("status", status=status)
        answered, answer = await post(wire("Hello"))
        assert (answered, answer["error"]["type"]) == (status, kind)
        assert standin.log[-1].fault == "status"

    async def test_retry_after_is_a_header(self, standin: StandIn) -> None:
        standin.faults.add("status", status=429, retry_after=7200)
        async with asked(standin, wire("Hello")) as answer:
            assert answer.headers["retry-after"] == "7200"

    async def test_a_code_stands_in_the_details(self, standin: StandIn, post: Post) -> None:
        standin.faults.add("status", status=429, error_code="contract_spend_limit_reached")
        _, answer = await post(wire("Hello"))
        assert answer["error"]["details"] == {"error_code": "contract_spend_limit_reached"}

    @pytest.mark.parametrize(
        ("wording", "actual", "limit"), [(1, 24_656, 16_000), (2, 23_951, 16_000), (3, 26_432, 16_000)]
    )
    async def test_every_wording_of_overflow_reads_as_one(
        self, standin: StandIn, provider: Steady, wording: int, actual: int, limit: int
    ) -> None:
        standin.faults.add("overflow", wording=wording)
        _, error = await until_failure(provider.stream(request("Hello")))
        assert isinstance(error, ContextOverflow)
        assert (error.actual, error.limit) == (actual, limit)
        assert await said(provider, "Hello")

    async def test_a_400_that_only_mentions_a_prompt_is_none(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add("template")
        _, error = await until_failure(provider.stream(request("Hello")))
        assert type(error) is Misconfigured


class TestInsideTheStream:
    @pytest.mark.parametrize("kind", ["stream_error", "reset", "eof"])
    @pytest.mark.parametrize("after", [1, 5])
    async def test_it_happens_after_so_many_deltas(
        self, standin: StandIn, provider: Steady, kind: str, after: int
    ) -> None:
        # With a pause between deltas a reset cannot overtake what was sent before it.
        standin.delay_ms = 2
        standin.faults.add(kind, after=after)
        events, _ = await until_failure(provider.stream(request(LONG)))
        # What comes within a moment is read as one event.
        assert 1 <= len(events) <= after
        assert standin.log[0].deltas == after
        assert standin.log[0].outcome == "cut"

    @pytest.mark.parametrize("kind", ["stream_error", "eof"])
    async def test_it_happens_although_the_text_was_shorter(
        self, standin: StandIn, provider: Steady, kind: str
    ) -> None:
        standin.faults.add(kind, after=500)
        events, _ = await until_failure(provider.stream(request("Hello")))
        assert events
        assert not any(isinstance(event, Completion) for event in events)

    @pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
    async def test_a_reply_ends_with_the_reason_told(self, standin: StandIn, provider: Steady, reason: str) -> None:
        standin.faults.add("stop", stop_reason=reason, after=3)
        *texts, last = await collect(provider.stream(request(LONG)))
        assert texts
        assert (standin.log[0].deltas, last.stop_reason) == (3, reason)

    async def test_an_event_stream_is_the_apis_event_for_event(self, standin: StandIn) -> None:
        async with asked(standin, wire("Hello", stream=True)) as answer:
            assert answer.content_type == "text/event-stream"
            assert answer.headers["request-id"].startswith("req_")
            text = await answer.text()
        events = [block.split("\n") for block in text.strip().split("\n\n")]
        names = [name.removeprefix("event: ") for name, _ in events]
        data = [json.loads(line.removeprefix("data: ")) for _, line in events]
        assert names == [found["type"] for found in data]
        assert names[:3] == ["message_start", "content_block_start", "ping"]
        assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert set(names[3:-3]) == {"content_block_delta"}
        assert data[0]["message"]["stop_reason"] is None
        assert data[-2]["usage"]["output_tokens"] > data[0]["message"]["usage"]["output_tokens"]
        assert data[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}

    async def test_a_responder_may_write_the_replies(self, standin: StandIn, provider: Steady) -> None:
        standin.responder = lambda body: f"{len(body['messages'])} messages"
        assert await said(provider, "a", "b", "c") == "3 messages"
