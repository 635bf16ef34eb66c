"""Clients that cost next to nothing: a websocket read frame by frame, and looked at only where time is taken.

They speak both dialects: ours (`v`, `send`, `snapshot`, `delta`, `done`) and the plain relay's (`delta`, `done`).
"""

import asyncio
import hashlib
import json
import os
import struct
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.bench.load import words

PING_S = 15.0
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


class Broken(Exception):
    """The socket was closed, or never opened."""


@dataclass(slots=True)
class Turn:
    """One question and its reply. Times of the loop's clock, in seconds."""

    sent: float
    accepted: float = 0.0
    first: float = 0.0
    done: float = 0.0
    text: str = ""
    status: str = ""
    wrong: str = ""
    gaps: list[float] = field(default_factory=list)

    @property
    def first_plus(self) -> float:
        """Seconds to the first text, less what the upstream took."""
        return self.first - self.sent - words.FIRST_S

    @property
    def total_plus(self) -> float:
        """Seconds to the end of the turn, less what the upstream took."""
        return self.done - self.sent - words.WHOLE_S


class Socket(asyncio.Protocol):
    """A websocket client: text frames in, whole frames of at most 64 KiB out. Masked with zeros, which is a mask."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._upgraded = False
        self.frames: list[tuple[float, bytes]] = []
        self.opened = self._loop.create_future()
        self.closed = ""
        self._wake = asyncio.Event()
        self.on_frame: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self.closed or f"lost ({exc})")

    def _end(self, why: str) -> None:
        self.closed = why
        if not self.opened.done():
            self.opened.set_exception(Broken(why))
        if self.on_frame:
            self.on_frame(0.0, b"")

    def handshake(self, host: str, path: str, headers: dict[str, str]) -> None:
        """Ask for the upgrade; `opened` tells how it went."""
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        lines = [
            f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *(f"{k}: {v}" for k, v in headers.items()),
        ]  # fmt: skip
        self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def say(self, body: dict[str, Any]) -> None:
        """Send one frame."""
        payload = json.dumps(body).encode()
        size = len(payload)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
        self.transport.write(head + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            status = bytes(self._buffer[:end]).split(b"\r\n")[0].decode()
            del self._buffer[: end + 4]
            if " 101" not in status:
                self._end(status)
                self.transport.close()
                return
            self._upgraded = True
            self.opened.set_result(None)
        self._split(now)

    def _split(self, now: float) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            size, body = buffer[at + 1], at + 2
            if size == 126:
                if len(buffer) < at + 4:
                    break
                size, body = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if len(buffer) < at + 10:
                    break
                size, body = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < body + size:
                break
            kind, payload = buffer[at] & 15, bytes(buffer[body : body + size])
            at = body + size
            if kind == 8:
                self.closed = f"closed {int.from_bytes(payload[:2], 'big')}"
                self.transport.close()
            elif kind == 9:
                self.transport.write(struct.pack("!BB", 0x8A, 0x80 | len(payload)) + b"\0\0\0\0" + payload)
            elif self.on_frame:
                self.on_frame(now, payload)
        del buffer[:at]


class Client:
    """One conversation: asks, waits for the end of the reply, checks it, asks again."""

    def __init__(self, number: int, port: int, *, session: str = "", cookie: str = "", source: str = "") -> None:
        self._number = number
        self._port = port
        self._session = session
        self._cookie = cookie
        self._source = source
        self._marks: tuple[str, ...] = ()
        self._turn: Turn | None = None
        self._frames: list[bytes] = []
        self._ended = asyncio.Event()
        self._greeted = asyncio.Event()
        self._last = 0.0
        self.turns: list[Turn] = []

    async def open(self) -> None:
        """Connect, and say hello where that is spoken."""
        loop = asyncio.get_running_loop()
        local = (self._source, 0) if self._source else None
        _, self.socket = await loop.create_connection(Socket, "127.0.0.1", self._port, local_addr=local)
        self.socket.on_frame = self._frame
        host = f"127.0.0.1:{self._port}"
        path = f"/ws/c/{self._session}/" if self._session else "/"
        headers = {"Origin": f"http://{host}", "Cookie": self._cookie} if self._cookie else {}
        self.socket.handshake(host, path, headers)
        async with asyncio.timeout(60):
            await self.socket.opened
            if self._session:
                self.socket.say({"v": 1, "type": "hello", "session": self._session})
                await self._greeted.wait()
                if self.socket.closed:
                    raise Broken(self.socket.closed)

    def close(self) -> None:
        """Say goodbye and hang up."""
        self.socket.transport.write(CLOSE)
        self.socket.transport.close()

    def ping(self) -> None:
        """What a page sends every `PING_S` seconds."""
        self.socket.say({"v": 1, "type": "ping", "t": 1})

    async def ask(self, run: str, limit_s: float = 60) -> Turn:
        """One turn, checked."""
        word = words.mark(run, self._number, len(self._marks))
        self._marks = (*self._marks, word)
        self._frames, self._last = [], 0.0
        self._ended.clear()
        turn = self._turn = Turn(sent=asyncio.get_running_loop().time())
        text = words.question(word)
        if self._session:
            self.socket.say({"v": 1, "type": "send", "client_id": str(uuid.UUID(bytes=os.urandom(16))), "text": text})
        else:
            self.socket.say({"text": text})
        try:
            async with asyncio.timeout(limit_s):
                await self._ended.wait()
        except TimeoutError:
            turn.wrong = "never done"
        self._turn = None
        self._check(turn)
        self.turns.append(turn)
        return turn

    def _frame(self, now: float, payload: bytes) -> None:
        turn = self._turn
        kind = payload[:32]
        if turn is None:
            # Nothing: the socket has ended.
            if not payload or b'"welcome"' in kind:
                self._greeted.set()
            return
        self._frames.append(payload)
        if b'"delta"' in kind or (b'"snapshot"' in kind and b'"text":""' not in payload):
            if not turn.first:
                turn.first = now
            else:
                turn.gaps.append(now - self._last)
            self._last = now
        elif b'"accepted"' in kind:
            turn.accepted = now
        elif b'"done"' in kind or b'"rejected"' in kind or not payload:
            turn.done = now
            self._ended.set()

    def _check(self, turn: Turn) -> None:
        """Put the reply together as a page does, and compare it with the only right one."""
        text, done = "", None
        for payload in self._frames:
            frame = json.loads(payload) if payload else {"type": self.socket.closed}
            match frame["type"]:
                case "snapshot":
                    text = frame["text"]
                case "delta":
                    if frame.get("start", len(text)) != len(text):
                        turn.wrong = "a delta that does not fit"
                    text += frame["text"]
                case "done":
                    done = frame
        turn.text = text
        expected = "".join(words.answer(self._marks))
        if turn.wrong:
            return
        if done is None:
            turn.wrong = f"no end: {frame['type']} {frame.get('code', '')}" if self._frames else "nothing came"
        elif text != expected:
            turn.wrong = f"{len(text)} characters of {len(expected)}, or others" + (f" ({done})" if not text else "")
        elif self._session:
            if done["sha256"] != hashlib.sha256(text.encode()).hexdigest() or done["status"] != "complete":
                turn.wrong = f"stored otherwise: {done['status']}"
            self.socket.say({"v": 1, "type": "ack", "turn": done["turn"], "end": done["end"]})
