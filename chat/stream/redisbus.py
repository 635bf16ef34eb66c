"""The bus over Redis pub/sub; see `bus`.

Loaded only where there is a Redis (by its name, see the settings): the driver alone takes some megabytes.
"""

import asyncio
import contextlib
import json
import random
from typing import Any

import structlog
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chat.stream.bus import Frame, Receiver

log = structlog.get_logger(__name__)

FRAME_BYTES = 128 * 1024
"""The longest frame, in bytes; a longer one is not sent."""

QUEUE_FRAMES = 4_096
QUEUE_BYTES = 8 * 1024 * 1024
"""What may wait for Redis at most; above that, frames are dropped."""

TIMEOUT_S = 1.0
"""Every call to Redis, and how long it may say nothing before it is asked whether it is there."""

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
BATCH = 256
# Other releases may speak otherwise: they meet on channels of another name.
PREFIX = b"chat1:"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Silent(Exception):
    """Redis has not answered in time."""


class RedisBus:
    """The bus over Redis: one connection to send and one to listen, made again after every failure.

    Frames of one loop tick go out in one write. Not `redis.asyncio.PubSub`: it would connect again behind our back,
    and what was missed meanwhile must be known. Raises ValueError when the URL is none that redis-py understands.
    """

    def __init__(self, url: str) -> None:
        self._pool: ConnectionPool = ConnectionPool.from_url(
            url,
            max_connections=2,
            protocol=2,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        # What this process sends comes back to it where it listens itself.
        self._me = random.randbytes(6).hex().encode()
        self._receiver: Receiver | None = None
        self._channels: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._out: list[tuple[str, bytes]] = []
        self._waiting = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._up = False
        self._counts = dict.fromkeys(("sent", "received", "dropped", "malformed", "connected"), 0)

    @property
    def up(self) -> bool:
        """Whether both connections stand, as far as is known."""
        return self._up

    def start(self, receiver: Receiver) -> None:
        """Begin to connect."""
        self._receiver = receiver
        self._task = asyncio.create_task(self._run(), name="bus")

    def send(self, channel: str, frame: Frame) -> None:
        """Queue a frame for this loop tick's write; dropped when Redis is away or too slow, or the frame too long."""
        if not self._up or len(self._out) >= QUEUE_FRAMES or self._waiting >= QUEUE_BYTES:
            self._counts["dropped"] += 1
            return
        body = self._me + _encode(frame).encode("utf-8", "surrogatepass")
        if len(body) > FRAME_BYTES:
            self._counts["dropped"] += 1
            return
        self._waiting += len(body)
        self._out.append((channel, body))
        self._idle.clear()
        self._wake.set()

    def listen(self, channel: str) -> None:
        """Subscribe with the next write; kept over every new connection."""
        self._channels.add(channel)
        self._changes[channel] = True
        self._wake.set()

    def leave(self, channel: str) -> None:
        """Unsubscribe with the next write."""
        self._channels.discard(channel)
        self._changes[channel] = False
        self._wake.set()

    def numbers(self) -> dict[str, int]:
        """Counts since the start, and how many channels are listened to."""
        return {**self._counts, "up": int(self._up), "channels": len(self._channels)}

    async def stop(self) -> None:
        """Let the last frames go, for a moment, then cut the connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                await self._idle.wait()
        self._stopping = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._pool.disconnect()

    # --- the connections ---

    async def _run(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            connected = self._counts["connected"]
            try:
                await self._session()
            except Exception as error:
                # Whatever Redis says, the rows are read instead. Never the message: it may quote what was sent.
                if self._up or wait == FIRST_WAIT_S:
                    log.warning("bus_down", error=_name(error))
            self._state(False)
            if self._stopping:
                # A connection that breaks in the moment in which it is cancelled tells of the former only.
                return
            if self._counts["connected"] > connected:
                wait = FIRST_WAIT_S
            # Jitter: after a restart of Redis not all processes come back in one instant.
            await asyncio.sleep(wait * (0.5 + random.random()))
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _session(self) -> None:
        """Connect, and work until something fails."""
        made: list[AbstractConnection] = []
        try:
            made.append(sender := await self._pool.get_connection())
            made.append(listener := await self._pool.get_connection())
            for connection in made:
                # A Redis that hangs still accepts connections: the kernel does it.
                await connection.send_command("PING", check_health=False)
                await connection.read_response()
            self._changes = dict.fromkeys(self._channels, True)
            self._wake.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(listener))
                group.create_task(self._write(sender, listener))
                self._counts["connected"] += 1
                self._state(True)
        finally:
            self._out.clear()
            self._waiting = 0
            self._idle.set()
            for connection in made:
                await connection.disconnect(nowait=True)
                await self._pool.release(connection)

    async def _write(self, sender: AbstractConnection, listener: AbstractConnection) -> None:
        """Subscriptions first, then frames: all that this loop tick has brought together."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changes or self._out:
                changes, self._changes = self._changes, {}
                for word, wanted in (("UNSUBSCRIBE", False), ("SUBSCRIBE", True)):
                    names = [PREFIX + name.encode() for name, on in changes.items() if on is wanted]
                    for start in range(0, len(names), BATCH):
                        await listener.send_command(word, *names[start : start + BATCH], check_health=False)
                await self._publish(sender)
            self._idle.set()

    async def _publish(self, sender: AbstractConnection) -> None:
        batch = self._out[:BATCH]
        if not batch:
            return
        packed = b"".join(_command(channel, body) for channel, body in batch)
        await sender.send_packed_command(packed, check_health=False)
        for channel, _ in batch:
            if await sender.read_response() == 0:
                self._tell("unheard", channel)
        self._counts["sent"] += len(batch)
        self._waiting -= sum(len(body) for _, body in batch)
        del self._out[: len(batch)]

    async def _listen(self, listener: AbstractConnection) -> None:
        asked = False
        while True:
            # A subscription to nothing can't be read from, but it answers a ping.
            answer = await listener.read_response(timeout=TIMEOUT_S)
            if answer is None:
                if asked:
                    raise Silent
                asked = True
                await listener.send_command("PING", check_health=False)
                continue
            asked = False
            if isinstance(answer, list) and len(answer) == 3:
                kind, name, body = answer
                if kind == b"message":
                    self._take(name, body)
                elif kind == b"subscribe":
                    self._tell("listening", name[len(PREFIX) :].decode())

    def _take(self, name: bytes, body: bytes) -> None:
        if body.startswith(self._me):
            return
        try:
            frame = json.loads(body[len(self._me) :].decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            frame = None
        if len(body) > FRAME_BYTES or not isinstance(frame, list) or not frame or not isinstance(frame[0], str):
            self._counts["malformed"] += 1
            return
        self._counts["received"] += 1
        self._tell("received", name[len(PREFIX) :].decode("ascii", "replace"), frame)

    def _state(self, up: bool) -> None:
        if up is not self._up:
            self._up = up
            if up:
                log.info("bus_up", channels=len(self._channels))
            self._tell("changed", up)

    def _tell(self, what: str, *args: Any) -> None:
        """A receiver that fails must not cost the connection; nor may its error quote a frame in the log."""
        try:
            getattr(self._receiver, what)(*args)
        except Exception as error:
            self._counts["malformed"] += 1
            log.warning("bus_receiver_failed", what=what, error=type(error).__name__)


def _command(channel: str, body: bytes) -> bytes:
    """PUBLISH as Redis reads it: packed by hand, because this is done for every flush of every reply."""
    name = PREFIX + channel.encode()
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(body), body)


def _name(error: BaseException) -> str:
    """The name of an error, or of the first one in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
