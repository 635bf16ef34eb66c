"""A socket of the site without a browser: the real consumer at one end, and at the other what a page makes of it."""

import asyncio
import hashlib
import json
from contextlib import suppress
from typing import Any
from uuid import UUID

from chat.web.consumers import ChatConsumer

PING_S = 15.0
# Both are the protocol's: see docs/protocol.md.
ACK_BYTES = 16 * 1024
ACK_S = 2.0


class Socket:
    """One open page of a conversation. `replies` are the texts it shows by turn, `ended` what it was told at the end of
    each; `notices` are the kinds of those that appeared. `broken` counts deltas that did not follow on what was there.
    `closed` is the code with which the server closed it."""

    def __init__(self, user: Any, session_id: UUID):
        self.session_id = session_id
        self.replies: dict[int, str] = {}
        self.ended: dict[int, dict[str, Any]] = {}
        self.notices: list[str] = []
        self.closed: int | None = None
        self.broken = 0
        self.began = asyncio.Event()
        self._unsaid: dict[int, int] = {}
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._scope = {
            "type": "websocket",
            "path": f"/ws/c/{session_id}/",
            "headers": [],
            "subprotocols": [],
            "user": user,
            "url_route": {"args": (), "kwargs": {"session_id": session_id}},
        }
        self._tasks: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Connect, and say what a page says first."""
        await self._in.put({"type": "websocket.connect"})
        await self._send(type="hello", session=str(self.session_id))
        consumer = ChatConsumer.as_asgi()
        self._tasks = [
            asyncio.create_task(consumer(self._scope, self._in.get, self._hear)),
            asyncio.create_task(self._ping()),
            asyncio.create_task(self._acknowledge()),
        ]

    async def close(self) -> None:
        """Leave, as a closed tab does."""
        await self._in.put({"type": "websocket.disconnect", "code": 1001})
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.wait(self._tasks[:1])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def whole(self, turn: int) -> bool:
        """Whether what it shows of a reply is all of it, by the server's own hash."""
        said = hashlib.sha256(self.replies.get(turn, "").encode("utf-8", "surrogatepass")).hexdigest()
        return self.ended.get(turn, {}).get("sha256") == said

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await self._send(type="ping", t=0)

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(ACK_S)
            for turn, end in list(self._unsaid.items()):
                await self._ack(turn, end)

    async def _ack(self, turn: int, end: int) -> None:
        self._unsaid.pop(turn, None)
        await self._send(type="ack", turn=turn, end=end)

    async def _send(self, **frame: Any) -> None:
        await self._in.put({"type": "websocket.receive", "text": json.dumps({"v": 1, **frame})})

    async def _hear(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.close":
            self.closed = event.get("code", 1000)
        if event["type"] != "websocket.send":
            return
        frame = json.loads(event["text"])
        turn = frame.get("turn")
        match frame["type"]:
            case "snapshot":
                self.replies[turn] = frame["text"]
                self._unsaid[turn] = frame["end"]
            case "delta":
                own = self.replies.setdefault(turn, "")
                # Only what follows on what is shown is applied; anything else is a hole.
                self.broken += frame["start"] != len(own)
                self.replies[turn] = own + frame["text"]
                self.began.set()
                self._unsaid[turn] = frame["end"]
                if frame["end"] // ACK_BYTES != frame["start"] // ACK_BYTES:
                    await self._ack(turn, frame["end"])
            case "reset":
                self.replies[turn] = ""
            case "done":
                self.ended[turn] = frame
                await self._ack(turn, frame["end"])
            case "notice":
                self.notices.append(frame["kind"])
