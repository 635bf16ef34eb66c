"""Bytes to payloads, however the network cut them."""

import json

import pytest

from chat.providers.base import Completion, StepEvent, TextDelta, Unavailable, Usage
from chat.providers.reply import Reply, StreamError
from chat.providers.sse import Splitter

STREAM = (
    b'event: message_start\ndata: {"type":"a"}\n\n: a comment\n\nevent: ping\ndata: {"type": "ping"}\n\n'
    b'data:{"type":"c","text":"data: not a field"}\n\nid: 7\ndata: {"type":\ndata: "d"}\n\n'
)
EVENTS = [{"type": "a"}, {"type": "ping"}, {"type": "c", "text": "data: not a field"}, {"type": "d"}]


def split(stream: bytes, size: int) -> list[dict]:
    splitter = Splitter()
    payloads = [found for at in range(0, len(stream), size) for found in splitter.feed(stream[at : at + size])]
    return [json.loads(payload) for payload in payloads]


class TestSplitter:
    @pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
    def test_any_cut_and_any_line_ending_gives_the_same_events(self, ending: bytes, size: int) -> None:
        assert split(STREAM.replace(b"\n", ending) + b"\n", size) == EVENTS

    def test_an_unfinished_event_is_none(self) -> None:
        assert split(STREAM + b'data: {"type":"e"}\n', 5) == EVENTS


def payload(**data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


START = payload(
    type="message_start",
    message={
        "id": "msg_1",
        "model": "m",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 30,
            "output_tokens": 1,
        },
    },
)
STOP = payload(type="message_stop")


def ended(**usage: int) -> bytes:
    return payload(type="message_delta", delta={"stop_reason": "end_turn"}, usage=usage)


class TestReply:
    def test_text_is_passed_on_and_counts_as_content(self) -> None:
        delta = payload(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "schön"})
        assert Reply().read(delta) == (TextDelta("schön"), True)

    def test_a_ping_is_no_content(self) -> None:
        assert Reply().read(payload(type="ping")) == (None, False)

    def test_usage_starts_at_message_start_and_the_last_delta_overrides(self) -> None:
        reply = Reply()
        reply.read(START)
        assert reply.usage == Usage(input=10, cache_read=200, cache_write=30, output=1)
        reply.read(ended(output_tokens=7))
        reply.read(ended(input_tokens=11, output_tokens=99))
        event, _ = reply.read(STOP)
        assert event == Completion("end_turn", Usage(input=11, cache_read=200, cache_write=30, output=99), "m", "msg_1")

    def test_a_stop_without_a_reason_is_no_end(self) -> None:
        reply = Reply()
        reply.read(START)
        with pytest.raises(Unavailable):
            reply.read(STOP)

    def test_a_thinking_block_is_kept_whole_with_its_signature(self) -> None:
        reply = Reply()
        reply.read(
            payload(type="content_block_start", content_block={"type": "thinking", "thinking": "", "signature": ""})
        )
        reply.read(payload(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "Hm"}))
        reply.read(payload(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "m."}))
        reply.read(payload(type="content_block_delta", delta={"type": "signature_delta", "signature": "sig"}))
        event, _ = reply.read(payload(type="content_block_stop"))
        assert isinstance(event, StepEvent)
        assert json.loads(event.step.body) == {"type": "thinking", "thinking": "Hmm.", "signature": "sig"}

    def test_a_tool_call_without_input_has_an_empty_one(self) -> None:
        reply = Reply()
        block = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
        reply.read(payload(type="content_block_start", content_block=block))
        event, _ = reply.read(payload(type="content_block_stop"))
        assert isinstance(event, StepEvent)
        assert event.step.body == "{}"

    def test_an_unknown_event_is_passed_over(self) -> None:
        assert Reply().read(payload(type="something_new", value=1)) == (None, True)

    def test_an_error_event_is_raised_with_its_body(self) -> None:
        body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        with pytest.raises(StreamError) as caught:
            Reply().read(json.dumps(body).encode())
        assert caught.value.body == body

    def test_white_space_around_an_event_is_none_of_it(self) -> None:
        assert Reply().read(b' {"type": "ping"} \n') == (None, False)

    @pytest.mark.parametrize(
        "junk",
        [b"", b"{", b"[]", b'"x"', b"{}", b'{"type":"content_block_delta"}', b"\xff", b"null", b'{"type":"ping"}{}'],
    )
    def test_junk_is_unavailable_and_its_text_is_not_repeated(self, junk: bytes) -> None:
        with pytest.raises(Unavailable) as caught:
            Reply().read(junk)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
