"""Frames as a server writes them, read by somebody else's parser."""

from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerFactory
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from ctxsite import sockets


class Kept:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def opened() -> tuple[sockets.Socket, Kept]:
    """A socket after its handshake."""
    socket, kept = sockets.Socket(), Kept()
    socket.transport, socket.state, socket.send_queue, socket._perMessageCompress = kept, socket.STATE_OPEN, [], None
    return socket, kept


def parsed(data: bytes) -> Frame:
    """The one frame that these bytes are, to the last of them."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False, max_size=None)
    with pytest.raises(StopIteration) as end:
        next(parser)
    assert not reader.buffer
    return end.value.value


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_message_of_any_length_is_one_whole_frame(size: int) -> None:
    socket, kept = opened()
    socket.serverSend("x" * size)
    frame = parsed(kept.data)
    assert (frame.fin, frame.opcode, len(frame.data)) == (True, Opcode.TEXT, size)


def test_text_is_utf_8_and_bytes_are_bytes() -> None:
    socket, kept = opened()
    socket.serverSend("schön 😀")
    assert bytes(parsed(kept.data).data).decode() == "schön 😀"
    kept.data = b""
    socket.serverSend(b"\x00\xff", True)
    frame = parsed(kept.data)
    assert (frame.opcode, bytes(frame.data)) == (Opcode.BINARY, b"\x00\xff")


def test_the_options_of_a_factory_stand_on_the_class_of_its_sockets() -> None:
    factory: Any = WebSocketServerFactory()
    factory.setProtocolOptions(autoPingTimeout=7, openHandshakeTimeout=0)
    made = sockets.of(factory)()
    made.factory, made.transport = factory, Kept()
    made._connectionMade()
    assert (made.autoPingTimeout, made.openHandshakeTimeout) == (7, 0)
    # A browser offers to compress; the factory's function is asked what to make of that, with the offers alone.
    assert made.perMessageCompressionAccept([]) is None
    assert not set(sockets.Socket.CONFIG_ATTRS) & vars(made).keys()


def test_a_closed_socket_sends_nothing() -> None:
    socket, kept = opened()
    socket.state = socket.STATE_CLOSED
    socket.serverSend("late")
    assert kept.data == b""


PING = b'{"v":1,"type":"ping","t":5}'


class Answering(sockets.Socket):
    """Notes what went the usual way, and answers the ping."""

    def __init__(self) -> None:
        super().__init__()
        self.transport, self.state, self.send_queue, self._perMessageCompress = Kept(), self.STATE_OPEN, [], None
        self.data, self.current_frame, self.inside_message, self.autoPingTimeoutCall = b"", None, False, None
        self.usual: list[bytes] = []
        self.answer_with(lambda data: "pong" if data == PING else None)

    def _dataReceived(self, data: bytes) -> None:
        self.usual.append(data)


def masked(data: bytes, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def test_a_ping_that_comes_alone_is_answered_at_once() -> None:
    socket = Answering()
    socket.dataReceived(masked(PING))
    assert (parsed(socket.transport.data).data, socket.usual) == (b"pong", [])


@pytest.mark.parametrize(
    "data",
    [
        masked(b'{"v":1,"type":"stop","turn":5}'), masked(b""), masked(PING * 5), masked(PING)[:-1], b"", b"\x81",
        masked(PING) + masked(PING), masked(PING, Opcode.BINARY), masked(PING, fin=False), masked(PING, Opcode.CONT),
        masked(PING, Opcode.PING), Frame(Opcode.TEXT, PING).serialize(mask=False),
    ],
    # The masks are random, and two workers must find the same names.
    ids=["another frame", "empty", "too long", "cut", "nothing", "a head", "two", "binary", "a part", "a rest",
         "a real ping", "not masked"],
)  # fmt: skip
def test_anything_else_goes_the_usual_way_untouched(data: bytes) -> None:
    socket = Answering()
    socket.dataReceived(data)
    assert (socket.usual, socket.transport.data) == ([data], b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [("data", b"\x81"), ("current_frame", object()), ("inside_message", True), ("state", sockets.Socket.STATE_CLOSING),
     ("autoPingTimeoutCall", object()), ("_perMessageCompress", object()), ("_at_once", None)],
)  # fmt: skip
def test_a_ping_in_the_middle_of_something_goes_the_usual_way(name: str, value: object) -> None:
    socket = Answering()
    setattr(socket, name, value)
    socket.dataReceived(masked(PING))
    assert len(socket.usual) == 1
