"""One socket's view of one session: frames are made when the socket asks for them, so that a slow one costs nothing."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from chat.stream.live import Live
from chat.stream.protocol import Block, Delta, Outbound, Reset, Snapshot

# Events wait in a socket's queue only while it is between two frames; one that doesn't read is closed elsewhere.
MOST_EVENTS = 256


class Watcher:
    """One socket's view of one session: an async iterator of frames, each made when it is asked for."""

    def __init__(self, live: Live | None, closed: Callable[["Watcher"], None]):
        self._closed = closed
        self._lives: deque[Live] = deque([live] if live else [])
        self._events: deque[Outbound] = deque(maxlen=MOST_EVENTS)
        self._wake = asyncio.Event()
        self._known: tuple[int, int] | None = None  # turn and epoch that the socket has a snapshot of
        self._end = 0
        self._blocks = 0
        self._open = True
        if self._lives:
            self._wake.set()
            if self._lives[0].phase:
                self._events.append(self._lives[0].phase)

    def __aiter__(self) -> AsyncIterator[Outbound]:
        return self

    async def __anext__(self) -> Outbound:
        while self._open:
            frame = self.next()
            if frame is not None:
                return frame
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    def close(self) -> None:
        """Stop watching; a pending wait ends."""
        if self._open:
            self._open = False
            self._wake.set()
            self._closed(self)

    def resume(self, turn: int, epoch: int, end: int) -> None:
        """The page already has this much of a reply: no snapshot for it, only what follows."""
        live = self._lives[0] if self._lives else None
        if live and (live.turn, live.epoch) == (turn, epoch) and end <= live.end:
            self._known = (turn, epoch)
            self._end = end

    def next(self) -> Outbound | None:
        """The frame that is due, or None when this socket has everything."""
        if self._events:
            return self._events.popleft()
        if not self._lives:
            return None
        live = self._lives[0]
        if self._known != (live.turn, live.epoch):
            self._known = (live.turn, live.epoch)
            self._end, self._blocks = live.end, len(live.blocks)
            return Snapshot(
                turn=live.turn,
                number=live.number,
                epoch=live.epoch,
                text=live.text,
                end=live.end,
                blocks=tuple(live.blocks),
            )
        if self._end < live.end:
            start, self._end = self._end, live.end
            return Delta(turn=live.turn, epoch=live.epoch, start=start, end=live.end, text=live.text[start:])
        if self._blocks < len(live.blocks) and live.done is None:
            index = self._blocks
            self._blocks += 1
            end, html = live.blocks[index]
            return Block(turn=live.turn, epoch=live.epoch, index=index, end=end, html=html)
        if live.done is not None:
            self._lives.popleft()
            return live.done
        return None

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def tell(self, frame: Outbound) -> None:
        """Send a frame that is no part of a reply."""
        self._events.append(frame)
        self._wake.set()

    def begin(self, live: Live) -> None:
        """A reply starts, perhaps the next attempt at one that this socket has a part of."""
        while self._lives and self._lives[-1].turn == live.turn and self._lives[-1].done is None:
            self._lives.pop()
        if self._known and self._known[0] == live.turn:
            self._events.append(Reset(turn=live.turn, epoch=live.epoch, reason="restarted"))
        self._lives.append(live)
        self._wake.set()

    def forget(self, live: Live) -> None:
        """A reply that will never be done here: left in front, it would hide every reply after it."""
        if live in self._lives:
            self._lives.remove(live)
            self._wake.set()
