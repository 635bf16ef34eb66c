"""Frames: what a page may send, what it gets back, and what a hostile page finds out (nothing)."""

import json
from dataclasses import fields
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.stream import inbound, protocol
from chat.stream.inbound import Ack, BadFrame, Hello, Ping, Send, Stop, clean_text, parse, pong
from chat.stream.protocol import Delta, Done

SESSION, CLIENT = uuid4(), uuid4()


def frame(**body) -> str:
    return json.dumps({"v": 1, **body})


def code_of(data) -> str:
    with pytest.raises(BadFrame) as caught:
        parse(data)
    return caught.value.code


class TestWhatAPageSends:
    def test_hello_says_where_the_page_stopped(self):
        data = frame(type="hello", session=str(SESSION), turn=7, epoch=1, end=2048, build="a1")
        assert parse(data) == Hello(session=SESSION, turn=7, epoch=1, end=2048, build="a1")

    def test_hello_of_a_fresh_page_needs_the_session_only(self):
        assert parse(frame(type="hello", session=str(SESSION), turn=None)) == Hello(session=SESSION)

    def test_send_carries_a_message_and_the_place_it_was_written_at(self):
        data = frame(type="send", client_id=str(CLIENT), op="new", text="My order number is A-7731.", base=3)
        assert parse(data) == Send(client_id=CLIENT, op="new", text="My order number is A-7731.", base=3)

    def test_the_small_frames(self):
        assert parse(frame(type="stop", turn=5)) == Stop(turn=5)
        assert parse(frame(type="ack", turn=5, end=9)) == Ack(turn=5, end=9)
        assert parse(frame(type="ping", t=12.5)) == Ping(t=12.5)

    def test_bytes_are_as_good_as_text(self):
        assert parse(frame(type="ping", t=1).encode()) == Ping(t=1)


class TestWhatIsRefused:
    @pytest.mark.parametrize("data", ["", "{", "null", "[]", "1", '"x"', "[" * 60_000, '{"v":NaN}', b"\xff\xfe\xff"])
    def test_what_is_no_json_object(self, data):
        assert code_of(data) == "not_json"

    @pytest.mark.parametrize(
        "body", [{"type": "ping", "t": 1}, {"v": 2, "type": "ping", "t": 1}, {"v": "1", "type": "ping"}]
    )
    def test_another_version(self, body):
        assert code_of(json.dumps(body)) == "version"

    @pytest.mark.parametrize("kind", ["delta", "welcome", "", None, 1, ["send"], {"a": 1}])
    def test_a_type_that_a_page_does_not_speak(self, kind):
        assert code_of(frame(type=kind)) == "unknown_type"

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ({"type": "stop"}, "turn"),
            ({"type": "stop", "turn": "7"}, "turn"),
            ({"type": "stop", "turn": True}, "turn"),
            ({"type": "stop", "turn": -1}, "turn"),
            ({"type": "stop", "turn": 2**60}, "turn"),
            ({"type": "stop", "turn": 1.5}, "turn"),
            ({"type": "stop", "turn": 1, "force": True}, "force"),
            ({"type": "ack", "turn": 1}, "end"),
            ({"type": "ping", "t": "now"}, "t"),
            ({"type": "ping", "t": 1e300}, "t"),
            ({"type": "hello"}, "session"),
            ({"type": "hello", "session": "x" * 36}, "session"),
            ({"type": "hello", "session": SESSION.hex}, "session"),
            ({"type": "hello", "session": "{" + str(SESSION)[:34] + "}"}, "session"),
            ({"type": "hello", "session": str(SESSION), "build": "x" * 65}, "build"),
            ({"type": "send", "text": "x"}, "client_id"),
            ({"type": "send", "client_id": str(CLIENT), "op": "delete"}, "op"),
            ({"type": "send", "client_id": str(CLIENT), "text": ["x"]}, "text"),
            ({"type": "send", "client_id": str(CLIENT), "documents": "7"}, "documents"),
            ({"type": "send", "client_id": str(CLIENT), "documents": [7, "8"]}, "documents"),
            ({"type": "send", "client_id": str(CLIENT), "documents": [True]}, "documents"),
            ({"type": "send", "client_id": str(CLIENT), "documents": [0]}, "documents"),
            ({"type": "send", "client_id": str(CLIENT), "documents": [2**60]}, "documents"),
            ({"type": "send", "client_id": str(CLIENT), "documents": [1] * 101}, "documents"),
        ],
    )
    def test_a_field_that_is_missing_wrong_or_unknown_is_named(self, body, word):
        with pytest.raises(BadFrame, match=f"^{word}: ") as caught:
            parse(frame(**body))
        assert caught.value.code == "bad_field"

    def test_an_unknown_field_is_named_in_words_that_can_be_sent(self):
        with pytest.raises(BadFrame) as caught:
            parse(frame(type="ping", t=1, **{"half a pair: \ud800": 1}))
        told = protocol.Error(code=caught.value.code, detail=str(caught.value)).to_json()
        assert json.loads(told.encode())["detail"] == "half a pair: \ufffd: unknown field"

    def test_a_text_over_the_limit_is_counted_in_bytes(self):
        body = {"type": "send", "client_id": str(CLIENT)}
        assert parse(json.dumps({"v": 1, **body, "text": "é" * 24_000}, ensure_ascii=False)).text == "é" * 24_000
        assert code_of(json.dumps({"v": 1, **body, "text": "é" * 24_577}, ensure_ascii=False)) == "too_large"
        assert code_of(frame(**body, text="x" * 70_000)) == "frame_too_large"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
        )
    )
    def test_whatever_comes_is_a_frame_or_a_bad_frame(self, value):
        for data in (json.dumps(value), json.dumps({"v": 1, "type": "send", "text": value, "client_id": value})):
            with pytest.raises(BadFrame):
                parse(data)


class TestText:
    def test_what_no_database_takes_is_replaced(self):
        assert clean_text("a\0b\ud800c") == "a\ufffdb\ufffdc"
        assert clean_text("😀 é") == "😀 é"

    def test_line_ends_are_one_character(self):
        assert clean_text("a\r\nb\rc\n") == "a\nb\nc\n"

    @given(st.text(st.characters(exclude_categories=[])))
    def test_the_result_can_always_be_stored(self, text):
        cleaned = clean_text(text)
        cleaned.encode()
        assert "\0" not in cleaned
        assert clean_text(cleaned) == cleaned

    def test_a_message_is_cleaned_on_its_way_in(self):
        assert parse(frame(type="send", client_id=str(CLIENT), text="a\0\ud83d")).text == "a\ufffd\ufffd"


class TestWhatTheServerSends:
    def test_a_delta_is_one_line_of_json_with_its_version(self):
        text = Delta(turn=7, epoch=1, start=0, end=5, text="Hé 😀").to_json()
        assert json.loads(text) == {
            "v": 1,
            "type": "delta",
            "turn": 7,
            "epoch": 1,
            "start": 0,
            "end": 5,
            "text": "Hé 😀",
        }
        assert "\n" not in text

    def test_what_is_none_is_left_out(self):
        body = json.loads(Done(turn=7, epoch=1, number=3, status="stopped", end=5).to_json())
        assert "usage" not in body
        assert body["status"] == "stopped"

    def test_every_frame_names_its_type_once(self):
        names = [kind.type for kind in protocol.OUTBOUND]
        assert len(set(names)) == len(names)
        assert set(names).isdisjoint(inbound.INBOUND)

    def test_every_frame_is_frozen(self):
        for kind in (*protocol.OUTBOUND, Hello, Send, Ack, Stop, Ping):
            assert kind.__dataclass_params__.frozen
            assert fields(kind)

    def test_close_codes_are_those_an_application_may_use(self):
        assert all(3000 <= code <= 4999 for code in protocol.Close)


@pytest.mark.parametrize("t", ["0", "-7", "123456789012345"])
def test_a_plain_ping_is_answered_as_any_other_is(t):
    for data in (f'{{"v":1,"type":"ping","t":{t}}}', f'{{"v": 1, "type": "ping", "t": {t}}}'):
        assert pong(data.encode()) == protocol.Pong(t=parse(data).t).to_json()


@pytest.mark.parametrize(
    "data",
    [b'{"v":1,"type":"ping","t":1234567890123456}', b'{"v":1,"type":"ping","t":01}', b'{"v":1,"type":"ping","t":1.5}',
     b'{"v":2,"type":"ping","t":1}', b'{"v":1,"type":"ping","t":1,"x":1}', b'{"v":1,"type":"ping"}', b"", b"\xff"],
)  # fmt: skip
def test_anything_else_is_left_to_the_parser(data):
    assert pong(data) is None
