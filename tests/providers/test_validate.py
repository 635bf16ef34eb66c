"""Invariant 6: no request of a wrong shape ever leaves."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context.values import Block, Message, Request
from chat.providers.base import Misconfigured
from chat.providers.standin import limits
from chat.providers.standin.catalogue import Catalogue
from chat.providers.standin.errors import ApiError
from chat.providers.validate import check, validate
from tests.providers.building import MODEL, request, text


def user(*blocks: Block) -> Message:
    return Message(role="user", blocks=blocks)


def assistant(*blocks: Block) -> Message:
    return Message(role="assistant", blocks=blocks)


CALL = Block(text='{"a": 1}', component="tool_results", type="tool_use", call_id="t1", name="look")
RESULT = Block(text="found", component="tool_results", type="tool_result", call_id="t1")
LONE = "\ud83d"

WRONG: dict[str, Request] = {
    "two equal roles in a row": request(messages=(user(text("a")), user(text("b")))),
    "an assistant first": request(messages=(assistant(text("a")), user(text("b")))),
    "an assistant last": request(messages=(user(text("a")), assistant(text("b")))),
    "no messages": request(messages=()),
    "a message without content": request(messages=(user(),)),
    "an empty text": request(messages=(user(text("")),)),
    "a blank text": request(messages=(user(text(" \n\t")),)),
    "a blank system text": request("a", system=" "),
    "half a surrogate pair": request(f"a{LONE}"),
    "a call without its result": request(messages=(user(text("a")), assistant(CALL), user(text("b")))),
    "a result without its call": request(messages=(user(text("a")), assistant(text("b")), user(RESULT))),
    "a result in the first message": request(messages=(user(RESULT),)),
    "a call by the user": request(messages=(user(CALL),)),
    "a call without a name": request(
        messages=(
            user(text("a")),
            assistant(Block(text="{}", component="x", type="tool_use", call_id="t1")),
            user(RESULT),
        )
    ),
    "five breakpoints": request(messages=(user(*(text(str(n), cache=True) for n in range(5))),)),
    "an unknown time to live": request(messages=(user(text("a", cache=True)),), ttl="1d"),
    "an unknown field of a tool": request("a", tools=({"name": "look", "input_schema": {}, "colour": "red"},)),
    "no model": request("a", model=""),
    "no room for a reply": request("a", max_tokens=0),
    "thinking of an unknown kind": request("a", thinking={"type": "deep"}),
    "thinking with an unknown field": request("a", thinking={"type": "adaptive", "budget_tokens": 2_000}),
    "thinking with too little": request("a", max_tokens=4_000, thinking={"type": "enabled", "budget_tokens": 1_023}),
    "thinking that leaves no reply": request(
        "a", max_tokens=2_000, thinking={"type": "enabled", "budget_tokens": 2_000}
    ),
}
RIGHT: dict[str, Request] = {
    "one message": request("a"),
    "no system": request("a", system=""),
    "a longer conversation": request("a", "b", "c"),
    "a call with its result": request(messages=(user(text("a")), assistant(text("b"), CALL), user(RESULT, text("c")))),
    "four breakpoints": request(messages=(user(*(text(str(n), cache=True) for n in range(4))),)),
    "thinking as it likes": request("a", thinking={"type": "adaptive", "display": "summarized"}),
    "thinking within bounds": request("a", max_tokens=2_000, thinking={"type": "enabled", "budget_tokens": 1_024}),
    "breakpoints of an hour": request(messages=(user(text("a", cache=True)),), ttl="1h"),
    "a tool": request("a", tools=({"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},)),
}


class TestRequests:
    @pytest.mark.parametrize("name", WRONG)
    def test_it_refuses(self, name: str) -> None:
        with pytest.raises(Misconfigured):
            validate(WRONG[name])

    @pytest.mark.parametrize("name", RIGHT)
    def test_it_passes(self, name: str) -> None:
        assert validate(RIGHT[name]) == RIGHT[name].body()

    def test_a_longer_time_to_live_may_not_follow_a_shorter(self) -> None:
        body = request("a", "b", "c").body()
        body["messages"][0]["content"][0]["cache_control"] = {"type": "ephemeral"}
        body["messages"][2]["content"][0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
        with pytest.raises(Misconfigured):
            check(body)
        body["messages"][0]["content"][0]["cache_control"]["ttl"] = "1h"
        del body["messages"][2]["content"][0]["cache_control"]["ttl"]
        check(body)

    @pytest.mark.parametrize("path", ["", "messages.0", "messages.0.content.0", "system.0"])
    def test_an_unknown_field_is_refused_at_every_level(self, path: str) -> None:
        body = copy.deepcopy(request("a").body())
        place: Any = body
        for step in filter(None, path.split(".")):
            place = place[int(step)] if step.isdigit() else place[step]
        place["colour"] = "red"
        with pytest.raises(Misconfigured, match="colour"):
            check(body)

    def test_the_message_names_the_place_and_not_the_text(self) -> None:
        with pytest.raises(Misconfigured) as caught:
            validate(request(messages=(user(text("my secret")), user(text("b")))))
        assert str(caught.value) == "messages.1 repeats the role before it"


class TestAgainstTheStandIn:
    """The stand-in knows the API's rules by itself: what passes here, it takes."""

    CARD = Catalogue().find(MODEL)

    def taken(self, body: dict[str, Any]) -> bool:
        try:
            limits.check(body, self.CARD)
        except ApiError:
            return False
        return True

    @pytest.mark.parametrize("name", [name for name in WRONG if "surrogate" not in name and "model" not in name])
    def test_it_refuses_the_same(self, name: str) -> None:
        assert not self.taken(WRONG[name].body())

    @pytest.mark.parametrize("name", RIGHT)
    def test_it_takes_the_same(self, name: str) -> None:
        assert self.taken(RIGHT[name].body())

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["user", "assistant"]),
                st.lists(st.tuples(st.sampled_from(["a", "", " ", CALL, RESULT]), st.booleans()), max_size=3),
            ),
            max_size=5,
        )
    )
    def test_whatever_passes_is_taken(self, messages: list) -> None:
        made = tuple(
            Message(
                role=role,
                blocks=tuple(text(found, cache=mark) if isinstance(found, str) else found for found, mark in blocks),
            )
            for role, blocks in messages
        )
        asked = request(messages=made)
        try:
            validate(asked)
        except Misconfigured:
            return
        assert self.taken(asked.body())
