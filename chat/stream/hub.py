"""The live text of this process: appended once, read by every socket at its own speed.

A reply is one growing text with an end; a socket holds only where it stopped. So a slow socket costs nothing and
catches up in one frame, and no frame is made before a socket asks for it. Text is coalesced: the first delta wakes
the sockets at once, later ones after `FLUSH_S` or `FLUSH_CHARS` characters. Finished markdown blocks are rendered
once, and only while somebody watches: in a thread, unless they are done sooner than a thread is asked. No database
here, and nothing that blocks the loop.

A reply that another process writes is held here too, while somebody watches it here: as a `Followed`, which whoever
follows it (see stream.following) feeds. What happens here is told to the `outlet`, which passes it on.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from chat.stream.followed import Followed
from chat.stream.live import Live, end_of
from chat.stream.protocol import Branch, Bye, Done, Gone, Notice, Outbound, Status
from chat.stream.watcher import Watcher

FLUSH_S = 0.05
FLUSH_CHARS = 512
EARLY = 0.2
"""Share of FLUSH_S. So much before its time text is shown all the same: a stream that is read in the rhythm in which it
is shown would otherwise need a timer and a wake-up more each time. The next flush is due as if this one had been in
time."""

FinishedBlocks = Callable[[str], tuple[int, list[str]]]


def never(text: str) -> bool:
    """No text is brief."""
    return False


class Outlet(Protocol):
    """Who is told what happens in this process. No method blocks or raises."""

    def begun(self, session: UUID, live: Live) -> None:
        """A reply starts here."""

    def grown(self, session: UUID, live: Live, start: int) -> None:
        """A reply of this process shows more text, from `start` on."""

    def said(self, session: UUID, frame: Outbound) -> None:
        """Something that is no text: a status, a notice, the end of the conversation."""

    def ended(self, session: UUID, done: Done) -> None:
        """A reply of this process has ended and is stored."""

    def dropped(self, session: UUID) -> None:
        """A reply goes on elsewhere, or not yet."""

    def watched(self, session: UUID) -> None:
        """A first socket watches."""

    def unwatched(self, session: UUID) -> None:
        """The last socket left."""

    def expected(self, session: UUID, turn: int) -> None:
        """A page waits for this turn, of which this process has nothing."""


class _Channel:
    """One session in this process: its live reply and who watches."""

    __slots__ = ("live", "watchers")

    def __init__(self) -> None:
        self.live: Live | None = None
        self.watchers: set[Watcher] = set()


class Hub:
    """All live replies of this process. Runs on one event loop; none of its methods blocks.

    `finished_blocks` renders the finished blocks at the start of a text (see stream.rendering); it runs in a thread,
    unless the text is brief: two wake-ups of two threads that share one interpreter cost more than a paragraph.
    """

    outlet: Outlet | None = None

    def __init__(
        self,
        *,
        finished_blocks: FinishedBlocks,
        is_brief: Callable[[str], bool] = never,
        flush_s: float = FLUSH_S,
        flush_chars: int = FLUSH_CHARS,
    ) -> None:
        self._finished_blocks = finished_blocks
        self._is_brief = is_brief
        self._flush_s = flush_s
        self._flush_chars = flush_chars
        self._channels: dict[UUID, _Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: Bye | None = None

    def watch(self, session: UUID) -> Watcher:
        """Watch a session: the live reply first, if there is one, then everything that happens."""
        channel = self._channels.setdefault(session, _Channel())
        watcher = Watcher(channel.live, lambda gone: self._forget(session, gone))
        channel.watchers.add(watcher)
        if self._ending:
            watcher.tell(self._ending)
        if channel.live:
            self._render(channel, channel.live)
        if self.outlet and len(channel.watchers) == 1:
            self.outlet.watched(session)
        return watcher

    def expect(self, session: UUID, turn: int) -> None:
        """A page waits for a turn that nothing is here of: its reply is written elsewhere, or will be."""
        if self.outlet:
            self.outlet.expected(session, turn)

    def live(self, session: UUID) -> Live | None:
        """The reply that is being written, here or followed from here, if any."""
        channel = self._channels.get(session)
        return channel.live if channel else None

    def watching(self, session: UUID) -> bool:
        """Whether a socket of this process watches."""
        channel = self._channels.get(session)
        return channel is not None and bool(channel.watchers)

    @property
    def live_turns(self) -> int:
        """How many replies are being written in this process."""
        return sum(1 for one in self._channels.values() if one.live and not isinstance(one.live, Followed))

    @property
    def watchers(self) -> int:
        """How many sockets watch."""
        return sum(len(channel.watchers) for channel in self._channels.values())

    def begin(self, session: UUID, turn: int, number: int, epoch: int) -> Live:
        """A reply starts here. A later attempt at the same turn resets what the sockets have."""
        live = Live(turn, number, epoch)
        self._install(session, live)
        if self.outlet:
            self.outlet.begun(session, live)
        return live

    def follow(self, session: UUID, live: Followed) -> None:
        """A reply that starts, or runs already, in another process."""
        self._install(session, live)

    def append(self, session: UUID, live: Live, text: str) -> None:
        """More text of a reply."""
        waiting = live.add(text)
        if live.timer is None:
            loop = asyncio.get_running_loop()
            due = live.flushed_at + self._flush_s
            if waiting >= self._flush_chars or loop.time() >= due - EARLY * self._flush_s:
                self._flush(session, live)
            else:
                live.timer = loop.call_at(due, self._tick, session, live)
        elif waiting >= self._flush_chars:
            self._flush(session, live)

    def extend(self, session: UUID, live: Followed, text: str) -> None:
        """More text of a followed reply: it was coalesced where it was written, and is shown at once."""
        live.add(text)
        self._show(session, live)

    def status(self, session: UUID, turn: int, phase: str, since_ms: int = 0) -> None:
        """What a turn is doing while no text comes: queued, waiting, retrying, compacting."""
        self._say(session, Status(turn=turn, phase=phase, since_ms=since_ms))

    def notice(self, session: UUID, *, kind: str, first: int, last: int) -> None:
        """A notice was stored."""
        self._say(session, Notice(kind=kind, range=(first, last)))

    def branch(self, session: UUID, *, first: int, turn: int, head: int) -> None:
        """Another path is the active one, from number `first` on; it ends with turn `turn`, whose number is `head`."""
        self._say(session, Branch(first=first, turn=turn, head=head))

    def gone(self, session: UUID) -> None:
        """The conversation is there no more."""
        self._say(session, Gone(session=session))

    def bye(self, *, code: int, reconnect_after_ms: int) -> None:
        """This process is about to end: every socket is told so, and when to come back; one that comes yet, too."""
        self._ending = Bye(code=code, reconnect_after_ms=reconnect_after_ms)
        for session in self._channels:
            self._tell(session, self._ending)

    def tell(self, session: UUID, frame: Outbound) -> None:
        """A frame for everybody who watches in this process."""
        live = self.live(session)
        if isinstance(frame, Status) and live and live.turn == frame.turn:
            live.phase = frame
        self._tell(session, frame)

    def finish(
        self,
        session: UUID,
        live: Live,
        *,
        status: str,
        stop_reason: str = "",
        usage: Mapping[str, Any] | None = None,
        gauge: Mapping[str, Any] | None = None,
        text: str | None = None,
    ) -> None:
        """The reply has ended and is stored. `text` is what was stored, where it is not what was streamed."""
        start = live.end
        if live.flush() and self.outlet:
            self.outlet.grown(session, live, start)
        self._stop_timer(live)
        done = end_of(live, status=status, stop_reason=stop_reason, usage=usage, gauge=gauge, text=text)
        self.conclude(session, live, done)
        if self.outlet:
            self.outlet.ended(session, done)

    def conclude(self, session: UUID, live: Live, done: Done) -> None:
        """The reply has ended: in this process, or as another one says."""
        live.done = done
        channel = self._channels.get(session)
        if channel is None:
            return
        if channel.live is live:
            channel.live = None
        for watcher in channel.watchers:
            watcher.wake()
        if not channel.watchers and channel.live is None:
            self._channels.pop(session, None)

    def drop(self, session: UUID, live: Live) -> None:
        """The reply went on elsewhere, or waits to be started again: no end is announced."""
        self._drop(session, live)
        if self.outlet:
            self.outlet.dropped(session)

    def unfollow(self, session: UUID, live: Followed) -> None:
        """The reply is followed no more: there is no such turn, or nobody watches it here."""
        self._drop(session, live)

    def _drop(self, session: UUID, live: Live) -> None:
        self._stop_timer(live)
        channel = self._channels.get(session)
        if channel is None:
            return
        if channel.live is live:
            channel.live = None
        for watcher in channel.watchers:
            watcher.forget(live)
        if not channel.watchers and channel.live is None:
            self._channels.pop(session, None)

    def _install(self, session: UUID, live: Live) -> None:
        channel = self._channels.setdefault(session, _Channel())
        before, channel.live = channel.live, live
        if before is not None:
            self._stop_timer(before)
        for watcher in channel.watchers:
            watcher.begin(live)

    def _tick(self, session: UUID, live: Live) -> None:
        live.timer = None
        if live.done is None:
            self._flush(session, live)

    def _flush(self, session: UUID, live: Live) -> None:
        start = live.end
        now, due = asyncio.get_running_loop().time(), live.flushed_at + self._flush_s
        live.flushed_at = due if now < due <= now + EARLY * self._flush_s else now
        if self._show(session, live) and self.outlet:
            self.outlet.grown(session, live, start)

    def _show(self, session: UUID, live: Live) -> bool:
        live.phase = None
        if not live.flush():
            return False
        channel = self._channels.get(session)
        if channel:
            for watcher in channel.watchers:
                watcher.wake()
            self._render(channel, live)
        return True

    def _render(self, channel: _Channel, live: Live) -> None:
        """Render what is finished, if anybody watches and no rendering of this reply runs already.

        Only a whole line can finish a block: without a new one, the last look said all there is to say.
        """
        if live.rendering or live.done or not channel.watchers or live.text.find("\n", live.looked) < 0:
            return
        live.looked = live.end
        text = live.text[live.committed :]
        if self._is_brief(text):
            self._add_blocks(channel, live, *self._finished_blocks(text))
            return
        live.rendering = True
        task = asyncio.create_task(self._render_finished(channel, live, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _render_finished(self, channel: _Channel, live: Live, text: str) -> None:
        try:
            found = await asyncio.to_thread(self._finished_blocks, text)
        finally:
            live.rendering = False
        self._add_blocks(channel, live, *found)

    def _add_blocks(self, channel: _Channel, live: Live, used: int, blocks: list[str]) -> None:
        if used and blocks:
            live.committed += used
            live.blocks += [(live.committed, html) for html in blocks]
            for watcher in channel.watchers:
                watcher.wake()

    def _say(self, session: UUID, frame: Outbound) -> None:
        self.tell(session, frame)
        if self.outlet:
            self.outlet.said(session, frame)

    def _tell(self, session: UUID, frame: Outbound) -> None:
        channel = self._channels.get(session)
        if channel:
            for watcher in channel.watchers:
                watcher.tell(frame)

    def _forget(self, session: UUID, watcher: Watcher) -> None:
        channel = self._channels.get(session)
        if channel and watcher in channel.watchers:
            channel.watchers.discard(watcher)
            if not channel.watchers:
                if channel.live is None:
                    self._channels.pop(session, None)
                if self.outlet:
                    self.outlet.unwatched(session)

    def _stop_timer(self, live: Live) -> None:
        if live.timer:
            live.timer.cancel()
            live.timer = None
