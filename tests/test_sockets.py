"""Frames as a server writes them, read by somebody else's parser."""

import pytest
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


def test_a_closed_socket_sends_nothing() -> None:
    socket, kept = opened()
    socket.state = socket.STATE_CLOSED
    socket.serverSend("late")
    assert kept.data == b""
