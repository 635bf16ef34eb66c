"""A page without a browser: one websocket to one conversation, opened again for as long as the page lives.

It keeps the protocol as static/js does: hello with where it stopped, pings, acknowledgements, deltas applied only
where they fit, a message sent again under the same client id until it is answered, reconnecting with full jitter.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Self
from uuid import UUID, uuid4

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.harness import web
from tests.faults.harness.history import Call, History
from tests.faults.harness.reply import Reply
from tests.faults.harness.site import ORIGIN

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
HEARTBEAT_S = 15.0
SILENCE_S = 45.0
ACK_CHARS = 16 * 1024
ACK_S = 2.0
FINAL = (4401, 4404, 4409)
"""Close codes after which a page does not come back."""


class Page:
    """`async with Page(urls, session, cookie, history) as page:` connects; leaving closes it for good.

    `urls` are the web processes or proxies (http://...) that it may reach, tried in turn after each break. `faults`
    lists what a page must never see: a delta that leaves a gap or overlaps, an end whose text is not what was shown.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        session: UUID,
        cookie: str,
        history: History | None = None,
        *,
        reconnect: bool = True,
        jitter: float = 1.0,
        acknowledge: bool = True,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.session = session
        self.cookie = cookie
        self.history = history or History()
        self.replies: dict[int, Reply] = {}
        self.live: int | None = None
        self.head = 0
        self.faults: list[str] = []
        self.connects: list[float] = []
        self.welcomes: list[float] = []
        self.close_codes: list[int] = []
        self.resyncs = 0
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self._jitter = jitter
        self._reconnect = reconnect
        self._acknowledge = acknowledge
        self._socket: ClientConnection | None = None
        self._tries = 0
        self._at = 0
        self._after = 0.0
        self._pending: dict[UUID, tuple[Call, dict[str, Any]]] = {}
        self._changed = asyncio.Event()
        self._owed = 0  # characters of JSON that came since the last acknowledgement
        self._acked_at = 0.0
        self._newest = (0, 0)
        self._tasks: list[asyncio.Task[None]] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._final = False
        self._welcomed = False
        self._heard = self._pinged = 0.0

    # --- life ---

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._final = True
        for task in [*self._tasks, *self._settling]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._settling, return_exceptions=True)
        if self._socket:
            await self._socket.close()

    @property
    def up(self) -> bool:
        """Whether the server has welcomed this page and the socket stands."""
        return self._socket is not None and self._welcomed

    async def opened(self, patience: float = 30.0) -> Self:
        """Wait for the welcome."""
        await self.until(lambda: self.up, patience, "the welcome")
        return self

    def drop(self) -> None:
        """Lose the connection without a word, as when a network goes away."""
        if self._socket:
            self._socket.transport.abort()

    # --- what a user does ---

    async def send(self, text: str, *, patience: float = 30.0, client_id: UUID | None = None, **fields: Any) -> Call:
        """Send a message and wait until it is accepted or refused for good; the same client id through every break.

        `fields` are further fields of the frame (op, of, base). A refusal is waited out where its code says that
        another try may help (busy, unavailable, storage with `retry_after_ms`, or a broken connection).
        """
        call = self.post(text, client_id=client_id, **fields)
        await self.until(lambda: call.outcome != "unknown", patience, f"an answer to {text[:40]!r} ({call.code})")
        return call

    def post(self, text: str, *, client_id: UUID | None = None, **fields: Any) -> Call:
        """Send a message and don't wait; it is sent again after every break until it is answered."""
        client_id = client_id or uuid4()
        frame = {"type": "send", "client_id": str(client_id), "text": text, "op": "new", "base": self.head, **fields}
        call = self.history.begin(self.session, client_id, text)
        self._pending[client_id] = (call, frame)
        if self.up:
            self._say(frame)
        return call

    async def done(self, turn: int, patience: float = 60.0) -> Reply:
        """Wait for the end of a reply, from the socket or, where it ended while this page was away, from the page."""
        await self.until(
            lambda: turn in self.replies and self.replies[turn].done is not None, patience, f"turn {turn} to end"
        )
        return self.replies[turn]

    async def send_and_read(self, text: str, patience: float = 60.0, **fields: Any) -> tuple[Call, Reply]:
        """Send a message and read its whole reply."""
        call = await self.send(text, patience=patience, **fields)
        assert call.outcome == "ok", f"refused: {call.code}"
        return call, await self.done(call.turn, patience)

    async def text(self, turn: int, least: int = 1, patience: float = 30.0) -> str:
        """Wait until so many characters of a reply are shown; the text."""
        await self.until(
            lambda: turn in self.replies and len(self.replies[turn].text) >= least, patience, f"text of turn {turn}"
        )
        return self.replies[turn].text

    def stop(self, turn: int) -> None:
        """Ask for a reply to end."""
        self._say({"type": "stop", "turn": turn})

    def raw(self, frame: dict[str, Any]) -> None:
        """Send any frame, as it is."""
        self._say(frame)

    async def until(self, true: Callable[[], bool], patience: float, what: str = "it") -> float:
        """Wait until something holds that frames bring about; the seconds it took."""
        began = time.monotonic()
        while not true():
            left = began + patience - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited {patience} s for {what}; closes {self.close_codes}, up {self.up}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 0.25)):
                    await self._changed.wait()
        return time.monotonic() - began

    # --- the socket ---

    async def _live(self) -> None:
        while not self._final:
            url = self.urls[self._at % len(self.urls)]
            code = 1006
            try:
                self._socket = await self._open(url)
                self.connects.append(time.monotonic())
                await self._hello()
                async for message in self._socket:
                    self._take(message)
                code = self._socket.close_code or 1006
            except websockets.ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
            except (OSError, TimeoutError, websockets.InvalidHandshake, websockets.InvalidMessage, EOFError):
                code = 1006
            self._socket, self._welcomed = None, False
            self._lost(code)
            if self._final or not self._reconnect:
                return
            await asyncio.sleep(self._wait())

    async def _open(self, url: str) -> ClientConnection:
        return await connect(
            f"{url.replace('http', 'ws', 1)}/ws/c/{self.session}/",
            origin=websockets.Origin(ORIGIN),
            additional_headers={"Cookie": f"sessionid={self.cookie}"},
            open_timeout=10,
            close_timeout=1,
            ping_interval=None,
            max_size=None,
            compression=None,
            proxy=None,
        )

    def _lost(self, code: int) -> None:
        self.close_codes.append(code)
        self.history.closed(code, time.monotonic(), self.session)
        self._final = self._final or code in FINAL
        self._at += 1
        self._changed.set()

    def _wait(self) -> float:
        """Full jitter: after a restart not every page comes back in the same instant."""
        most = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**self._tries)
        self._tries += 1
        wait = self._after or max(FIRST_WAIT_S, random.random() * most)
        self._after = 0.0
        return wait * self._jitter

    async def _hello(self) -> None:
        where = {}
        if self.live is not None and (reply := self.replies.get(self.live)) and reply.epoch:
            where = {"turn": reply.turn, "epoch": reply.epoch, "end": reply.end}
        self._say({"type": "hello", "session": str(self.session), "build": "", **where})

    def _say(self, frame: dict[str, Any]) -> None:
        if self._socket is not None:
            task = asyncio.ensure_future(self._write(self._socket, json.dumps({"v": 1, **frame})))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _write(self, socket: ClientConnection, text: str) -> None:
        # A broken connection shows in the reading of it.
        with contextlib.suppress(websockets.ConnectionClosed, OSError):
            await socket.send(text)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if not self.up:
                continue
            now = time.monotonic()
            if now - self._heard > SILENCE_S:
                self.drop()
            elif now - self._pinged >= HEARTBEAT_S:
                self._pinged = now
                self._say({"type": "ping", "t": int(now * 1000)})
            self._ack()

    def _ack(self, *, now: bool = False) -> None:
        """Acknowledge what came, when it is much or long ago; the end of a reply at once."""
        if not self._acknowledge or not self._owed or not self.up:
            return
        if now or self._owed >= ACK_CHARS or time.monotonic() - self._acked_at >= ACK_S:
            self._owed, self._acked_at = 0, time.monotonic()
            turn, end = self._newest
            self._say({"type": "ack", "turn": turn, "end": end})

    # --- frames ---

    def _take(self, message: str | bytes) -> None:
        frame, size = json.loads(message), len(message)
        self._heard = time.monotonic()
        self.history.saw(self.session, frame)
        handler = getattr(self, f"_on_{frame['type']}", None)
        if handler:
            handler(frame)
        if frame["type"] in ("snapshot", "delta", "block", "done"):
            self._owed += size
            turn, end = self._newest
            # Blocks lag behind the text; the end of the newest frame of a reply covers them.
            same = frame["type"] == "block" and turn == frame["turn"]
            self._newest = (frame["turn"], max(end, frame["end"]) if same else frame["end"])
            self._ack(now=frame["type"] == "done")
        self._changed.set()

    def _reply(self, turn: int) -> Reply:
        return self.replies.setdefault(turn, Reply(turn))

    def _on_welcome(self, frame: dict[str, Any]) -> None:
        self._tries, self._welcomed = 0, True
        self.welcomes.append(time.monotonic())
        self.head = frame["head"]
        live = frame.get("live")
        for reply in self.replies.values():
            if reply.done is None and (not live or live["turn"] != reply.turn):
                self._later(self._fetch(reply.turn))
        for call, message in list(self._pending.values()):
            self.history.begin(self.session, call.client_id, call.text)
            self._say(message)

    def _on_accepted(self, frame: dict[str, Any]) -> None:
        self._pending.pop(UUID(frame["client_id"]), None)
        self.head = max(self.head, frame["number"])
        if frame.get("duplicate") and self._reply(frame["turn"]).done is None:
            # It may have ended before this page came back, and then nobody says so again.
            self._later(self._fetch(frame["turn"]))
        self._reply(frame["turn"])

    def _on_rejected(self, frame: dict[str, Any]) -> None:
        pending = self._pending.get(UUID(frame["client_id"]))
        if pending is None:
            return
        call, message = pending
        if frame.get("retry_after_ms") is None and frame["code"] not in ("storage", "unavailable"):
            del self._pending[call.client_id]
            call.outcome, call.ended = "failed", time.monotonic()
            return
        wait = (frame.get("retry_after_ms") or 1000) / 1000

        async def again() -> None:
            await asyncio.sleep(wait)
            if call.client_id in self._pending:
                self.history.begin(self.session, call.client_id, call.text)
                self._say(message)

        self._later(again())

    def _on_snapshot(self, frame: dict[str, Any]) -> None:
        reply = self._reply(frame["turn"])
        self._new_epoch(reply, frame["epoch"])
        reply.text, reply.end = frame["text"], frame["end"]
        self.live = reply.turn
        self._shown(reply)

    def _on_delta(self, frame: dict[str, Any]) -> None:
        reply = self._reply(frame["turn"])
        if frame["epoch"] != reply.epoch or frame["start"] != reply.end:
            self.faults.append(
                f"turn {reply.turn}: delta {frame['start']}-{frame['end']} of epoch {frame['epoch']} does not follow"
                f" {reply.end} of epoch {reply.epoch}"
            )
            self.resyncs += 1
            self._later(self._hello())
            return
        if len(frame["text"]) != frame["end"] - frame["start"]:
            self.faults.append(f"turn {reply.turn}: delta {frame['start']}-{frame['end']} has {len(frame['text'])}")
        reply.text += frame["text"]
        reply.end = frame["end"]
        self.live = reply.turn
        self._shown(reply)

    def _on_reset(self, frame: dict[str, Any]) -> None:
        reply = self._reply(frame["turn"])
        reply.resets += 1
        self.live = reply.turn

    def _on_status(self, frame: dict[str, Any]) -> None:
        self.statuses.append((time.monotonic(), frame))

    def _on_done(self, frame: dict[str, Any]) -> None:
        reply = self._reply(frame["turn"])
        reply.done, reply.done_at = frame, time.monotonic()
        if reply.epoch == frame["epoch"] and reply.end == frame["end"] and frame.get("sha256"):
            digest = hashlib.sha256(reply.text.encode("utf-8", "surrogatepass")).hexdigest()
            if digest != frame["sha256"]:
                self.faults.append(f"turn {reply.turn}: what was shown is not what was stored")
        if self.live == reply.turn:
            self.live = None

    def _on_bye(self, frame: dict[str, Any]) -> None:
        self._after = (frame.get("reconnect_after_ms") or 0) / 1000

    def _new_epoch(self, reply: Reply, epoch: int) -> None:
        if epoch < reply.epoch:
            self.faults.append(f"turn {reply.turn}: epoch {epoch} after {reply.epoch}")
        if epoch != reply.epoch:
            reply.epoch, reply.text, reply.end = epoch, "", 0
            reply.epochs.append(epoch)

    def _shown(self, reply: Reply) -> None:
        if reply.first_at is None and reply.text:
            reply.first_at = time.monotonic()

    async def _fetch(self, turn: int) -> None:
        """What a page does for a reply that ended while it was away: it fetches the turn as it is stored."""
        url = self.urls[(self._at) % len(self.urls)]
        found = await web.turn(url, self.cookie, self.session, turn)
        reply = self._reply(turn)
        if found is None or found.status in ("queued", "running") or reply.done is not None:
            return
        reply.text = found.reply
        reply.done = {"type": "settled", "turn": turn, "status": found.status, "end": len(found.reply)}
        reply.done_at = time.monotonic()
        if self.live == turn:
            self.live = None
        self._changed.set()

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
