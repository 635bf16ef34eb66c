"""Daphne's end of one websocket, which can stop listening.

Daphne reads whatever comes, as fast as it comes, and hands it on: a flood fills the queue before the application has
seen its first frame, and goes on being read after the application has closed. Here what is over the limits is not
read: the close frame goes out, the rest stays in the client's own buffers, and the connection is dropped.
"""

import struct
import time
from collections.abc import Callable
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor

from chat.stream.protocol import FRAME_BYTES, FRAMES_BURST, Close

SHORT_HEAD = 6
"""Bytes before the payload of a client's frame of less than 126 bytes (RFC 6455, section 5.2): two, and the mask."""

LINGER_S = 1.0
"""Seconds in which the close frame may reach a client that reads."""


class Socket(WebSocketProtocol):
    """Refuses a frame that is too long at its header, and frames that come faster than they are taken."""

    _at_once: Callable[[bytes], str | None] | None = None

    def answer_with(self, at_once: Callable[[bytes], str | None]) -> None:
        """The application answers some frames by a function: text in, text out, or None for the usual way."""
        self._at_once = at_once

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come. A ping, and idle pages send nothing else, is one short frame: answered here, it costs a
        tenth of the way through Autobahn's state machine, daphne's queue and a task of channels."""
        text = self._lone_text(data) if self._at_once else None
        answer = self._at_once(text) if text and self._at_once else None
        if answer:
            self.last_ping = time.time()
            self.serverSend(answer)
        else:
            # Not the method above: that makes two coloured words for a log which nobody reads.
            self._dataReceived(data)

    def _lone_text(self, data: bytes) -> bytes | None:
        """The payload, if these bytes are one whole short text frame, and nothing is in the middle of anything."""
        size = len(data) - SHORT_HEAD
        if (
            not 0 <= size < 126
            or data[0] != 0x81
            or data[1] != 0x80 | size
            or self.state != self.STATE_OPEN
            or self.data
            or self.current_frame
            or self.inside_message
            or self.autoPingTimeoutCall
            or self._perMessageCompress
        ):
            return None
        mask = (data[2:6] * (size // 4 + 1))[:size]
        bare = int.from_bytes(data[SHORT_HEAD:], "little") ^ int.from_bytes(mask, "little")
        return bare.to_bytes(size, "little")

    def onMessageFrameBegin(self, length: int) -> None:
        """A frame of so many bytes begins; none of them has been looked at."""
        super().onMessageFrameBegin(length)
        if length > FRAME_BYTES:
            self._refuse()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message has come."""
        if self.state != self.STATE_OPEN:
            self._stop_listening()
        elif self.application_queue.qsize() > FRAMES_BURST:
            self._refuse()
        else:
            super().onMessage(payload, isBinary)

    def serverSend(self, content: str | bytes, binary: bool = False) -> None:
        """The application sends, perhaps before it has heard that the socket is closed.

        A whole message is one frame with a short head. Autobahn's own way to it writes a coloured line for its log
        with every frame, whether anybody reads that log or not: a tenth of all that a token costs.
        """
        if self.state == self.STATE_OPEN and self._perMessageCompress is None and not self.send_queue:
            payload = content.encode() if isinstance(content, str) else content
            self.transport.write(_head(len(payload), binary) + payload)
        elif self.state in (self.STATE_CONNECTING, self.STATE_OPEN):
            super().serverSend(content, binary)

    def serverClose(self, code: int | None = None) -> None:
        """The application closes. Who did not keep to the rules is not waited for."""
        if self.state != self.STATE_OPEN:
            return
        super().serverClose(code)
        if code in (Close.FLOOD, Close.SLOW):
            self._hang_up()

    def _refuse(self) -> None:
        self.serverClose(int(Close.FLOOD))

    def _hang_up(self) -> None:
        self._stop_listening()
        later: Any = reactor
        later.callLater(LINGER_S, self.dropConnection, True)

    def _stop_listening(self) -> None:
        self.data = b""
        self.transport.pauseProducing()


def of(factory: Any) -> type[Socket]:
    """The sockets of one factory, whose options are final.

    Autobahn copies all of them onto every connection and writes them out, for a log that nobody reads: a third of
    what it costs to open one. Here they stand on the class.
    """
    options = {name: getattr(factory, name) for name in Socket.CONFIG_ATTRS}
    # One of them is a function, asked by a browser that offers to compress: on a class it would become a method.
    still = {name: staticmethod(value) if callable(value) else value for name, value in options.items()}
    return type("Socket", (Socket,), still | {"CONFIG_ATTRS": ()})


def _head(size: int, binary: bool) -> bytes:
    """The head of a whole message from a server (RFC 6455, section 5.2): final, not masked. `size` in bytes."""
    kind = 0x82 if binary else 0x81
    if size < 126:
        return bytes((kind, size))
    if size < 1 << 16:
        return struct.pack("!BBH", kind, 126, size)
    return struct.pack("!BBQ", kind, 127, size)
