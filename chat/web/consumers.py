"""One socket to one conversation: it takes frames in, and passes on what the hub has. It never runs a turn.

Frames of a reply come from the hub to `_pump` and go straight out: not through `dispatch`, not through a channel
layer, not through the database. Channels' own `dispatch` awaits a call on the one shared thread before every frame;
ours does not, because nothing here holds a connection: units of work run in the service's pool.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from chat import service
from chat.flow.opening import Opened
from chat.models import ChatSession, Turn
from chat.stream import protocol
from chat.stream.hub import Watcher
from chat.stream.protocol import (
    Accepted,
    Ack,
    BadFrame,
    Bye,
    Close,
    Done,
    Error,
    Gone,
    Hello,
    Outbound,
    Ping,
    Pong,
    Rejected,
    Send,
    Status,
    Stop,
    Welcome,
)
from chat.web import sending

log = structlog.get_logger(__name__)

LIMITS = {"frame": protocol.FRAME_BYTES, "text": protocol.TEXT_BYTES}


class Allowance:
    """How many frames a socket may still send: so many a second, a burst above that."""

    def __init__(self) -> None:
        self._left = float(protocol.FRAMES_BURST)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Take one; False when there is none."""
        now = time.monotonic()
        self._left = min(protocol.FRAMES_BURST, self._left + (now - self._at) * protocol.FRAMES_PER_SECOND)
        self._at = now
        self._left -= 1
        return self._left >= 0


class ChatConsumer(AsyncWebsocketConsumer):
    """The server's end of one socket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._allowance = Allowance()
        self._errors = 0
        self._watcher: Watcher | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As in channels, without its visit to the shared thread before every frame."""
        handlers = {
            "websocket.connect": self.websocket_connect,
            "websocket.receive": self.websocket_receive,
            "websocket.disconnect": self.websocket_disconnect,
        }
        await handlers[message["type"]](message)

    async def connect(self) -> None:
        """Let the owner in; everybody else hears the same "gone" as for an id that never was."""
        self.user = self.scope["user"]
        self.session_id: UUID = self.scope["url_route"]["kwargs"]["session_id"]
        await self.accept()
        if not self.user.is_authenticated:
            await self._leave(Close.SIGNED_OUT)
        elif not service.running():
            await self._leave(Close.RESTART)
        elif await sending.read(_place, self.user.pk, self.session_id) is None:
            await self._leave(Close.GONE)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One frame from the page."""
        if self._closing:
            return
        if not self._allowance.take():
            await self._leave(Close.FLOOD)
            return
        try:
            frame = protocol.parse(text_data if text_data is not None else bytes_data or b"")
        except BadFrame as bad:
            await self._refuse(bad)
            return
        await self._handlers[type(frame)](self, frame)

    async def disconnect(self, code: int) -> None:
        """The socket is gone; the reply goes on."""
        self._closing = True
        await self._unwatch()

    # --- frames ---

    async def _hello(self, frame: Hello) -> None:
        """Subscribe first, read the row second: nothing falls between the two."""
        if frame.session != self.session_id:
            await self._leave(Close.GONE)
            return
        await self._unwatch()
        watcher = service.current().hub.watch(self.session_id)
        if frame.turn is not None and frame.epoch is not None and frame.end is not None:
            watcher.resume(frame.turn, frame.epoch, frame.end)
        place = await sending.read(_place, self.user.pk, self.session_id)
        if place is None:
            watcher.close()
            await self._leave(Close.GONE)
            return
        head, live = place
        await self._say(Welcome(head=head, live=live, limits=LIMITS))
        if live and service.current().hub.live(self.session_id) is None:
            await self._say(Status(turn=live["turn"], phase="queued"))
        self._watcher = watcher
        self._task = asyncio.create_task(self._pump(watcher))
        await sending.write(_seen, self.user.pk, self.session_id, head - 1 if live else head)

    async def _send(self, frame: Send) -> None:
        answer = await sending.send(
            self.user.pk,
            self.session_id,
            client_id=frame.client_id,
            op=frame.op,
            of=frame.of,
            text=frame.text,
            base=frame.base,
        )
        if isinstance(answer, Opened):
            accepted = Accepted(
                client_id=frame.client_id, number=answer.number, turn=answer.turn_id, duplicate=answer.duplicate
            )
            await self._say(accepted)
        else:
            refusal = Rejected(client_id=frame.client_id, code=answer.code, retry_after_ms=answer.retry_after_ms)
            await self._say(refusal)

    async def _stop(self, frame: Stop) -> None:
        if await sending.stop(self.user.pk, self.session_id, frame.turn) == "not_found":
            await self._refuse(BadFrame("not_found", "turn: there is none"))

    async def _ping(self, frame: Ping) -> None:
        await self._say(Pong(t=frame.t))

    async def _ack(self, frame: Ack) -> None:
        """Taken and not yet needed: a socket that does not read is closed by the flow control of another issue."""

    _handlers: ClassVar[dict[type, Callable[["ChatConsumer", Any], Awaitable[None]]]] = {
        Hello: _hello,
        Send: _send,
        Stop: _stop,
        Ping: _ping,
        Ack: _ack,
    }

    # --- out ---

    async def _pump(self, watcher: Watcher) -> None:
        """Everything that the hub has for this session, at the speed of this socket."""
        with contextlib.suppress(asyncio.CancelledError):
            async for frame in watcher:
                await self._say(frame)
                if isinstance(frame, Gone):
                    await self._leave(Close.GONE)
                elif isinstance(frame, Bye):
                    await self._leave(Close(frame.code))
                elif isinstance(frame, Done):
                    await sending.write(_seen, self.user.pk, self.session_id, frame.number)

    async def _say(self, frame: Outbound) -> None:
        if not self._closing:
            await self.send(text_data=frame.to_json())

    async def _refuse(self, bad: BadFrame) -> None:
        self._errors += 1
        await self._say(Error(code=bad.code, detail=str(bad)))
        if bad.code == "version":
            await self._leave(Close.VERSION)
        elif self._errors >= protocol.ERRORS_ALLOWED:
            await self._leave(Close.FLOOD)

    async def _leave(self, code: Close) -> None:
        if not self._closing:
            self._closing = True
            await self.close(code=int(code))

    async def _unwatch(self) -> None:
        if self._watcher:
            self._watcher.close()
            self._watcher = None
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None


def _place(owner_id: int, session_id: UUID) -> tuple[int, dict[str, Any] | None] | None:
    """The head's number and the live turn of a session, which is the head; None when it is not this owner's."""
    mine = ChatSession.objects.filter(pk=session_id, owner_id=owner_id, deleted_at__isnull=True)
    row = mine.values_list("turns_active", "head_id", "head__epoch", "head__status").first()
    if row is None:
        return None
    number, turn, epoch, status = row
    return number, {"turn": turn, "epoch": epoch} if status in Turn.LIVE else None


def _seen(owner_id: int, session_id: UUID, number: int) -> None:
    """The owner has this reply on the screen."""
    ChatSession.objects.filter(pk=session_id, owner_id=owner_id, seen__lt=number).update(seen=number)
