"""One socket to one conversation: it takes frames in, and passes on what the hub has. It never runs a turn.

Frames of a reply come from the hub to `_pump` and go straight out: not through `dispatch`, not through a channel
layer, not through the database. Channels' own `dispatch` awaits a call on the one shared thread before every frame;
ours does not, because nothing here holds a connection: units of work run in the service's pool.

What comes in is read at once and never waits for the database: pings and acknowledgements are answered on the spot,
commands stand in a short queue of their own. So a flood meets its limit, and not the server's memory.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error as DatabaseFailure

from chat import service
from chat.flow.opening import Opened
from chat.models import Turn
from chat.stream import protocol
from chat.stream.hub import Watcher
from chat.stream.inbound import Ack, BadFrame, Hello, Inbound, Ping, Send, Stop, parse, pong
from chat.stream.protocol import (
    Accepted,
    Block,
    Bye,
    Close,
    Delta,
    Done,
    Error,
    Gone,
    Outbound,
    Pong,
    Rejected,
    Snapshot,
    Status,
    Welcome,
)
from chat.stream.window import Window
from chat.web import attaching, sending
from chat.web.doors import Login, SignedOut, doors, let_in
from chat.web.seeing import seeing

log = structlog.get_logger(__name__)

LIMITS = {"frame": protocol.FRAME_BYTES, "text": protocol.TEXT_BYTES, "window": protocol.WINDOW_BYTES}


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
        self._window = Window()
        self._errors = 0
        self._heard = time.monotonic()
        self._commands: deque[Inbound] = deque()
        self._working: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None
        self._pumping: asyncio.Task[None] | None = None
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
        # This task's own, and that of its commands: every line that is logged for this socket has them.
        structlog.contextvars.bind_contextvars(
            request_id=str(uuid4()), session=str(self.session_id), user_id=self.user.pk
        )
        await self.accept()
        if not self.user.is_authenticated:
            await self.leave(Close.SIGNED_OUT)
        elif not service.running() or service.draining():
            await self._come_back()
        else:
            key = self.scope["session"].session_key or "" if "session" in self.scope else ""
            self.login = Login(key, self.user.pk, self.user.password)
            doors.add(self)
            try:
                if not await sending.read(attaching.is_mine, self.user.pk, self.session_id):
                    await self.leave(Close.GONE)
                elif "answer_with" in self.scope:
                    self.scope["answer_with"](self.at_once)
            except DatabaseFailure:
                await self._come_back()

    def at_once(self, data: bytes) -> str | None:
        """The answer to a ping, for a server that need not wait for a task's turn. None: `receive` takes the frame."""
        answer = None if self._closing else pong(data)
        if answer is None or not self._allowance.take():
            return None
        self._heard = time.monotonic()
        return answer

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One frame from the page. Never waits."""
        if self._closing:
            return
        self._heard = time.monotonic()
        if not self._allowance.take():
            await self.leave(Close.FLOOD)
            return
        try:
            frame = parse(text_data if text_data is not None else bytes_data or b"")
        except BadFrame as bad:
            await self._refuse(bad)
            return
        if isinstance(frame, Ping):
            await self._say(Pong(t=frame.t))
        elif isinstance(frame, Ack):
            self._acknowledged(frame)
        elif len(self._commands) >= protocol.COMMANDS_WAITING:
            await self.leave(Close.FLOOD)
        else:
            self._commands.append(frame)
            if self._working is None or self._working.done():
                self._working = asyncio.create_task(self._work())

    async def disconnect(self, code: int) -> None:
        """The socket is gone; the reply goes on, and so does a command that was taken."""
        self._closing = True
        doors.remove(self)
        await self._unwatch()

    # --- as the sweep sees it ---

    def overdue(self, now: float) -> bool:
        """Whether nothing was heard, or nothing acknowledged, for too long."""
        return now - self._heard > protocol.SILENT_S or self._window.overdue(now)

    async def leave(self, code: Close) -> None:
        """Close this socket: from here on nothing is sent and nothing is taken."""
        if self._closing:
            return
        self._closing = True
        self._commands.clear()
        doors.remove(self)
        if self._watcher:
            self._watcher.close()
        log.debug("socket_closed", code=int(code), session=str(self.session_id))
        await self.close(code=int(code))

    # --- commands, one after the other ---

    async def _work(self) -> None:
        while self._commands and not self._closing:
            frame = self._commands.popleft()
            try:
                await self._handlers[type(frame)](self, frame)
            except SignedOut:
                await self.leave(Close.SIGNED_OUT)
            except Exception as error:
                # A database that is away for a while is no news; anything else is.
                if not isinstance(error, DatabaseFailure):
                    log.exception("command_failed", frame=frame.type)
                await self._unable(frame)

    async def _unable(self, frame: Inbound) -> None:
        """Nothing could be done, or nobody knows whether it was: sent again with its client id it is safe."""
        if isinstance(frame, Send):
            await self._say(Rejected(client_id=frame.client_id, code="storage"))
        elif isinstance(frame, Stop):
            await self._say(Error(code="unavailable", detail="turn: not stopped; ask again"))
        else:
            await self._come_back()

    async def _hello(self, frame: Hello) -> None:
        """Subscribe first, read the row second: nothing falls between the two."""
        if frame.session != self.session_id:
            await self.leave(Close.GONE)
            return
        await self._unwatch()
        hub = service.current().hub
        watcher = hub.watch(self.session_id)
        try:
            place = await sending.read(let_in, self.login, attaching.place, self.user.pk, self.session_id, frame.turn)
        except BaseException:
            watcher.close()
            raise
        if self._closing or place is None:
            watcher.close()
            await self.leave(Close.GONE)
            return
        if frame.turn is not None:
            if not place.known:
                await self._refuse(BadFrame("not_found", "turn: there is none"))
            elif place.rest and not watcher.holds(frame.turn):
                watcher.recall(place.rest)
            # What a failed reply keeps may be another attempt's text: it is told from its beginning.
            same = place.rest is None or place.rest.done is None or place.rest.done.status != Turn.Status.FAILED
            if same and frame.epoch is not None and frame.end is not None:
                watcher.resume(frame.turn, frame.epoch, frame.end, blocks=frame.blocks, block_end=frame.block_end)
        welcome = Welcome(
            head=place.head, turn=place.turn, before=place.before, live=place.live, around=place.around, limits=LIMITS
        )
        await self._say(welcome)
        if place.live and not watcher.holds(place.live["turn"]):
            hub.expect(self.session_id, place.live["turn"])
            phase = "queued" if place.status == Turn.Status.QUEUED else "waiting"
            await self._say(Status(turn=place.live["turn"], phase=phase))
        if self._closing:
            watcher.close()
            return
        if self._window.full:
            watcher.pause()
        self._watcher = watcher
        self._pumping = asyncio.create_task(self._pump(watcher))
        seeing.note(self.user.pk, self.session_id, place.head - 1 if place.live else place.head)

    async def _send(self, frame: Send) -> None:
        answer = await sending.send(
            self.user.pk,
            self.session_id,
            door=partial(let_in, self.login),
            client_id=frame.client_id,
            op=frame.op,
            of=frame.of,
            text=frame.text,
            base=frame.base,
            documents=frame.documents,
        )
        if isinstance(answer, Opened):
            accepted = Accepted(
                client_id=frame.client_id, number=answer.number, turn=answer.turn_id, duplicate=answer.duplicate
            )
            await self._say(accepted)
        else:
            refusal = Rejected(
                client_id=frame.client_id,
                code=answer.code,
                retry_after_ms=answer.retry_after_ms,
                reason=answer.reason or None,
            )
            await self._say(refusal)

    async def _stop(self, frame: Stop) -> None:
        door = partial(let_in, self.login)
        if await sending.stop(self.user.pk, self.session_id, frame.turn, door=door) == "not_found":
            await self._refuse(BadFrame("not_found", "turn: there is none"))

    _handlers: ClassVar[dict[type, Callable[["ChatConsumer", Any], Awaitable[None]]]] = {
        Hello: _hello,
        Send: _send,
        Stop: _stop,
    }

    # --- out ---

    async def _pump(self, watcher: Watcher) -> None:
        """Everything that the hub has for this session, at the speed of this page."""
        async for frame in watcher:
            size = await self._say(frame)
            if isinstance(frame, Snapshot | Delta | Block | Done):
                self._window.sent(frame.turn, frame.end, size, time.monotonic())
                if self._window.full:
                    watcher.pause()
            if isinstance(frame, Gone):
                await self.leave(Close.GONE)
            elif isinstance(frame, Bye):
                await self.leave(Close(frame.code))
            elif isinstance(frame, Done):
                seeing.note(self.user.pk, self.session_id, frame.number)

    def _acknowledged(self, frame: Ack) -> None:
        self._window.acknowledged(frame.turn, frame.end, time.monotonic())
        if self._watcher and not self._window.full:
            self._watcher.proceed()

    async def _say(self, frame: Outbound) -> int:
        """Send a frame; its size in bytes."""
        if self._closing:
            return 0
        text = frame.to_json()
        send = self.scope.get("frames") or self.base_send
        await send({"type": "websocket.send", "text": text})
        return len(text) if text.isascii() else len(text.encode())

    async def _refuse(self, bad: BadFrame) -> None:
        self._errors += 1
        await self._say(Error(code=bad.code, detail=str(bad)))
        if bad.code == "version":
            await self.leave(Close.VERSION)
        elif bad.code == "frame_too_large" or self._errors >= protocol.ERRORS_ALLOWED:
            await self.leave(Close.FLOOD)

    async def _come_back(self) -> None:
        """The service or its database is away: the page tries again in a moment."""
        await self._say(Bye(code=Close.RESTART, reconnect_after_ms=service.COME_BACK_MS))
        await self.leave(Close.RESTART)

    async def _unwatch(self) -> None:
        if self._watcher:
            self._watcher.close()
            self._watcher = None
        pumping, self._pumping = self._pumping, None
        if pumping and pumping is not asyncio.current_task():
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)
