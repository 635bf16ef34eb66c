"""One socket's view of one session: frames are made when the socket asks for them, so that a slow one costs nothing."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from chat.stream.live import Live
from chat.stream.protocol import Block, Bye, Close, Delta, Gone, Outbound, Reset, Snapshot

# Events wait in a socket's queue only while it is between two frames, or paused.
MOST_EVENTS = 256

# Characters of a reply in one frame. A socket that lags behind catches up in several of these, and between two of
# them it can be found to be slow.
PIECE_CHARS = 16 * 1024


class Watcher:
    """One socket's view of one session: an async iterator of frames, each made when it is asked for."""

    def __init__(self, live: Live | None, closed: Callable[["Watcher"], None]):
        self._closed = closed
        self._lives: deque[Live] = deque([live] if live else [])
        self._events: deque[Outbound] = deque()
        self._last: deque[Outbound] = deque()  # what ends the socket, paused or not
        self._wake = asyncio.Event()
        self._known: tuple[int, int] | None = None  # turn and epoch that the socket has the beginning of
        self._end = 0
        self._blocks = 0
        self._open = True
        self._paused = False
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

    def pause(self) -> None:
        """Give nothing more but what ends the socket."""
        self._paused = True

    def proceed(self) -> None:
        """Give frames again."""
        if self._paused:
            self._paused = False
            self._wake.set()

    def holds(self, turn: int) -> bool:
        """Whether this reply will come, from its beginning or from where the page stopped, with its end."""
        return any(live.turn == turn for live in self._lives)

    def recall(self, live: Live) -> None:
        """A reply that ended before the page came back: it comes first."""
        self._lives.appendleft(live)
        self._wake.set()

    def resume(self, turn: int, epoch: int, end: int, *, blocks: int = 0, block_end: int = 0) -> None:
        """The page already has this much of a reply: no snapshot for it, only what follows.

        Blocks are counted anew by each process that renders them; where the page's last one is not ours, it gets
        everything again.
        """
        live = self._lives[0] if self._lives else None
        if live is None or live.turn != turn:
            return
        if live.epoch != epoch:
            if live.epoch > epoch:
                self.tell(Reset(turn=turn, epoch=live.epoch, reason="restarted"))
            return
        ours = live.done is not None or not blocks
        ours = ours or (blocks <= len(live.blocks) and live.blocks[blocks - 1][0] == block_end)
        if ours and end <= live.end:
            self._known, self._end, self._blocks = (turn, epoch), end, blocks

    def next(self) -> Outbound | None:
        """The frame that is due, or None when this socket has everything, or may get nothing now."""
        if self._events and not self._paused:
            return self._events.popleft()
        if self._last:
            return self._last.popleft()
        return self._of_reply(self._lives[0]) if self._lives and not self._paused else None

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def tell(self, frame: Outbound) -> None:
        """Send a frame that is no part of a reply. A socket that lets too many of them wait is closed."""
        if isinstance(frame, Gone | Bye):
            self._last.append(frame)
        elif len(self._events) < MOST_EVENTS:
            self._events.append(frame)
        elif not self._last:
            self._last.append(Bye(code=Close.SLOW))
        self._wake.set()

    def begin(self, live: Live) -> None:
        """A reply starts, perhaps the next attempt at one that this socket has a part of.

        The same attempt may come again, lost and found: its text is the same, and what the page has stays.
        """
        before = [one for one in self._lives if one.turn == live.turn and one.done is None]
        if self._known and self._known[0] == live.turn and self._known[1] != live.epoch:
            self.tell(Reset(turn=live.turn, epoch=live.epoch, reason="restarted"))
        if before:
            # In its place: later replies may stand behind an attempt of which nothing more was heard.
            self._lives[self._lives.index(before[0])] = live
            for one in before[1:]:
                self._lives.remove(one)
        else:
            self._lives.append(live)
        self._wake.set()

    def forget(self, live: Live) -> None:
        """A reply that will never be done here: left in front, it would hide every reply after it."""
        if live in self._lives:
            self._lives.remove(live)
            self._wake.set()

    def _of_reply(self, live: Live) -> Outbound | None:
        if self._known != (live.turn, live.epoch):
            return self._snapshot(live)
        if live.done is None and self._blocks < len(live.blocks) and live.blocks[self._blocks][0] <= self._end:
            index = self._blocks
            self._blocks += 1
            end, html = live.blocks[index]
            return Block(turn=live.turn, epoch=live.epoch, index=index, end=end, html=html)
        if self._end < live.end:
            start, self._end = self._end, min(live.end, self._end + PIECE_CHARS)
            text = live.text[start : self._end]
            return Delta(turn=live.turn, epoch=live.epoch, start=start, end=self._end, text=text)
        if live.done is not None:
            self._lives.popleft()
            return live.done
        return None

    def _snapshot(self, live: Live) -> Snapshot:
        text = live.text[:PIECE_CHARS]
        blocks, size = [], 0
        for end, html in live.blocks:
            size += len(html)
            if end > len(text) or size > 2 * PIECE_CHARS:
                break
            blocks.append((end, html))
        self._known = (live.turn, live.epoch)
        self._end, self._blocks = len(text), len(blocks)
        return Snapshot(
            turn=live.turn, number=live.number, epoch=live.epoch, text=text, end=self._end, blocks=tuple(blocks)
        )
