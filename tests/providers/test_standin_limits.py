"""Each limit of the API, with its status, its type and its words, over real HTTP."""

import copy
import io
from typing import Any

import pytest

from chat.providers.classification import OVERFLOW
from chat.providers.standin import StandIn, start_standin
from chat.providers.standin.counting import count
from tests.providers.building import MODEL, wire
from tests.providers.conftest import Post

USER = {"role": "user", "content": "a"}
REPLY = {"role": "assistant", "content": "b"}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "found"}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def texts(*blocks: dict[str, Any] | str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]


def marked(text: str, control: dict[str, Any] = MARK) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": control}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no messages", {"messages": []}, "at least one message is required"),
    ("two users", {"messages": [USER, USER]}, 'roles must alternate between "user" and "assistant"'),
    ("two assistants", {"messages": [USER, REPLY, REPLY, USER]}, 'multiple "assistant" roles in a row'),
    ("an assistant first", {"messages": [REPLY, USER]}, 'first message must use the "user" role'),
    ("prefill", {"messages": [USER, REPLY]}, "does not support assistant message prefill"),
    ("a system message", {"messages": [{"role": "system", "content": "a"}, USER]}, "Input should be 'user' or"),
    ("no content", {"messages": [{"role": "user", "content": []}]}, "must have non-empty content"),
    ("an empty text", {"messages": [{"role": "user", "content": texts("")}]}, "must be non-empty"),
    ("a blank text", {"messages": [{"role": "user", "content": texts(" \n")}]}, "must contain non-whitespace text"),
    ("a blank system text", {"system": texts("\t")}, "must contain non-whitespace text"),
    ("an unknown block", {"messages": [{"role": "user", "content": [{"type": "note"}]}]}, "does not match any of the"),
    (
        "a block without a type",
        {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
        "does not match any of the",
    ),
    ("a call by the user", {"messages": [{"role": "user", "content": [CALL]}]}, "does not match any of the"),
    ("an unknown field", {"colour": 1}, "colour: Extra inputs are not permitted"),
    ("an unknown field of a message", {"messages": [USER | {"id": 1}]}, "messages.0.id: Extra inputs"),
    (
        "an unknown field of a block",
        {"messages": [{"role": "user", "content": texts({"type": "text", "text": "a", "id": 1})}]},
        "messages.0.content.0.text.id: Extra inputs",
    ),
    (
        "an unknown field of a breakpoint",
        {"system": texts(marked("a", MARK | {"scope": "x"}))},
        "system.0.text.cache_control.scope: Extra inputs",
    ),
    ("an unknown field of a tool", {"tools": [{"name": "x", "input_schema": {}, "id": 1}]}, "tools.0.id: Extra inputs"),
    ("five breakpoints", {"system": [marked(str(n)) for n in range(5)]}, "A maximum of 4 blocks with cache_control"),
    (
        "a longer time to live after a shorter",
        {"system": texts(marked("a")), "messages": [{"role": "user", "content": texts(marked("b", HOUR))}]},
        "must not come after a ttl='5m'",
    ),
    ("an unknown time to live", {"system": texts(marked("a", {"type": "ephemeral", "ttl": "2h"}))}, "'5m' or '1h'"),
    (
        "a call without its result",
        {"messages": [USER, {"role": "assistant", "content": [CALL]}, USER]},
        "`tool_use` ids were found without `tool_result` blocks immediately after: t1",
    ),
    (
        "a result without its call",
        {"messages": [USER, REPLY, {"role": "user", "content": [RESULT]}]},
        "unexpected `tool_use_id` found in `tool_result` blocks: t1",
    ),
    ("no max_tokens", {"max_tokens": None}, "max_tokens: Field required"),
    ("max_tokens of nought", {"max_tokens": 0}, "greater than or equal to 1"),
    ("max_tokens of the wrong kind", {"max_tokens": "9"}, "valid integer"),
    (
        "too long a reply",
        {"max_tokens": 128_001},
        "128001 > 128000, which is the maximum allowed number of output tokens",
    ),
    ("stream of the wrong kind", {"stream": "yes"}, "stream: Input should be a valid boolean"),
    ("a tool twice", {"tools": [{"name": "x", "input_schema": {}}] * 2}, "Tool names must be unique"),
    ("messages of the wrong kind", {"messages": "a"}, "messages: Input should be a valid list"),
    ("a message of the wrong kind", {"messages": ["a"]}, "messages.0: Input should be a valid dictionary"),
]


class TestRefusals:
    @pytest.mark.parametrize(("changes", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
    async def test_it_is_a_400_with_the_apis_words(self, post: Post, changes: dict[str, Any], words: str) -> None:
        status, answer = await post(wire("a", **changes))
        assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
        assert words in answer["error"]["message"]
        assert answer["request_id"].startswith("req_")
        assert not OVERFLOW.search(answer["error"]["message"])

    async def test_what_is_well_formed_is_taken(self, post: Post) -> None:
        called = [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT, *texts("b")]}]
        for changes in (
            {},
            {"system": None},
            {"system": "Be brief."},
            {"messages": [USER, REPLY, USER]},
            {"messages": called},
            {"system": [marked("a", HOUR)], "messages": [{"role": "user", "content": [marked("b")]}]},
            {"tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]},
            {"metadata": {"user_id": "1"}, "stop_sequences": ["END"], "tool_choice": {"type": "auto"}},
        ):
            assert (await post(wire("a", **changes)))[0] == 200

    async def test_counting_refuses_the_same_but_wants_no_max_tokens(self, post: Post) -> None:
        path = "/v1/messages/count_tokens"
        assert (await post(wire("a", max_tokens=None), path))[0] == 200
        assert (await post(wire("a"), path))[0] == 400
        assert (await post(wire("a", max_tokens=None, messages=[USER, USER]), path))[0] == 400

    async def test_no_refused_request_changes_the_body_it_judges(self, post: Post) -> None:
        body = wire("a", messages=[USER, USER])
        before = copy.deepcopy(body)
        await post(body)
        assert body == before


class TestTheWindow:
    async def test_a_prompt_over_it_is_too_long(self, standin: StandIn, post: Post) -> None:
        status, answer = await post(wire("word " * 60_000))
        tokens = standin.log[0].tokens
        assert status == 400
        assert answer["error"]["message"] == f"prompt is too long: {tokens} tokens > 16000 maximum"
        assert tokens > 16_000

    async def test_prompt_and_reply_together_may_not_pass_it(self, standin: StandIn, post: Post) -> None:
        status, answer = await post(wire("a", max_tokens=16_000))
        tokens = standin.log[0].tokens
        assert status == 400
        assert answer["error"]["message"].startswith(
            f"input length and `max_tokens` exceed context limit: {tokens} + 16000 > 16000"
        )

    async def test_exactly_the_window_fits(self, standin: StandIn, post: Post) -> None:
        await post(wire("Hello", max_tokens=1))
        standin.window = standin.log[0].tokens + 100
        assert (await post(wire("Hello", max_tokens=100)))[0] == 200
        assert (await post(wire("Hello", max_tokens=101)))[0] == 400

    async def test_counting_knows_no_window(self, post: Post) -> None:
        status, answer = await post(wire("word " * 60_000, max_tokens=None), "/v1/messages/count_tokens")
        assert status == 200
        assert answer["input_tokens"] > 16_000


class TestTheDoor:
    @pytest.mark.parametrize("key", ["", "invalid"])
    async def test_a_bad_key_is_a_401(self, post: Post, key: str) -> None:
        status, answer = await post(None, json=wire("a"), headers={"x-api-key": key})
        assert (status, answer["error"]["type"]) == (401, "authentication_error")

    async def test_an_unknown_model_is_a_404(self, post: Post) -> None:
        status, answer = await post(wire("a", model="claude-never-was"))
        assert (status, answer["error"]) == (404, {"type": "not_found_error", "message": "model: claude-never-was"})

    async def test_a_body_over_32_mb_is_a_413(self, post: Post) -> None:
        status, answer = await post(None, data=io.BytesIO(b" " * (32 * 1024 * 1024 + 1)))
        assert (status, answer["error"]["type"]) == (413, "request_too_large")

    @pytest.mark.parametrize("data", [b"{", b"[]", b"", b"\xff"])
    async def test_what_is_no_json_object_is_a_400(self, post: Post, data: bytes) -> None:
        assert (await post(None, data=data))[0] == 400

    async def test_another_path_is_a_404(self, post: Post) -> None:
        assert (await post({}, "/v1/complete"))[0] == 404


class TestReplies:
    async def test_a_whole_message_has_the_apis_shape(self, post: Post) -> None:
        _, answer = await post(wire("My order number is A-7731."))
        assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", MODEL)
        assert answer["content"] == [{"type": "text", "text": answer["content"][0]["text"]}]
        assert answer["stop_reason"] == "end_turn"
        assert answer["usage"]["output_tokens"] == count(answer["content"][0]["text"])

    async def test_max_tokens_cuts_the_reply(self, post: Post) -> None:
        _, answer = await post(wire("Write a long answer about gardens.", max_tokens=40))
        assert answer["stop_reason"] == "max_tokens"
        assert answer["usage"]["output_tokens"] <= 40

    async def test_a_stop_sequence_cuts_the_reply(self, post: Post) -> None:
        _, answer = await post(wire("My order number is A-7731.", stop_sequences=["number"]))
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "number")
        assert "number" not in answer["content"][0]["text"]

    async def test_further_models_may_be_named(self, standin: StandIn) -> None:
        other = await start_standin(window=9_000, models=["claude-of-tomorrow"])
        assert other._catalogue.find("claude-of-tomorrow").id == "claude-of-tomorrow"
        await other.close()

    async def test_the_log_remembers_what_was_asked(self, standin: StandIn, post: Post) -> None:
        await post(wire("a", "b", "c"))
        record = standin.log[-1]
        assert (record.endpoint, record.model, record.messages, record.status) == ("messages", MODEL, 3, 200)
        assert (record.purpose, record.outcome, record.stop_reason) == ("reply", "sent", "end_turn")
        assert record.usage["input_tokens"] == record.tokens
        assert record.body == wire("a", "b", "c")

    async def test_bodies_are_kept_on_demand_only(self, standin: StandIn, post: Post) -> None:
        standin.keep_bodies = False
        await post(wire("a"))
        assert standin.log[-1].body is None
