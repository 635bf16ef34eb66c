"""Replies that are watched in this process and written in another one.

They are heard over the bus, and read from their rows (stream.reading) where the bus says nothing: after a gap, a
second of silence, or without any bus. The rows are the truth: whatever the bus loses, they bring.

To attach: subscribe, read the row, show it, then ask the writer for what it has beyond that.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from chat.stream.bus import Bus
from chat.stream.hub import Hub
from chat.stream.ledger import SILENCE_S, Ledger, now
from chat.stream.live import Live
from chat.stream.protocol import Branch, Done, Gone, Notice, Outbound, Status
from chat.stream.reading import Reading
from chat.stream.rows import Reader
from chat.stream.telling import WORKERS, Telling, events

ASK_S = 0.2
# A runner looks for stops once a second.
URGENT_S = 3.0


class Following:
    """The hub's outlet and the bus's receiver: what happens here goes out, what happens elsewhere comes in.

    `told` is called with what is for a runner or for jobs: ["queued"], ["stop", turn], ["job"].
    """

    def __init__(self, hub: Hub, bus: Bus, reader: Reader, told: Callable[[list[Any]], None]) -> None:
        self._hub = hub
        self._bus = bus
        self._told = told
        self._telling = Telling(hub, bus)
        self._ledger = Ledger(hub, bus)
        self._reading = Reading(hub, bus, reader, self._ledger)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take the hub's news and the bus's, and begin to read."""
        self._hub.outlet = self
        self._bus.start(self)
        self._task = asyncio.create_task(self._reading.run(), name="following")

    async def stop(self) -> None:
        """End; the hub is told nothing more."""
        self._hub.outlet = None
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def numbers(self) -> dict[str, int]:
        """What is followed, and how much was heard, missed and read since the start."""
        ledger = self._ledger
        return {
            "sessions": len(ledger),
            "followed": len(ledger.followed),
            "applied": ledger.applied,
            "gaps": ledger.gaps,
            "scans": ledger.scans,
            "rows_read": self._reading.rows,
        }

    def hurry(self, turn: int) -> None:
        """Somebody here has asked for this reply to end: without a bus, its row is looked at often for a while."""
        _, live = self._ledger.followed.get(turn, (None, None))
        if live and not self._bus.up:
            live.urgent = now() + URGENT_S
            live.due = now()
            self._reading.wake()

    # --- the hub's outlet ---

    def begun(self, session: UUID, live: Live) -> None:
        """This process writes the reply itself now."""
        self._ledger.forget(live.turn)
        self._ledger.deafen(session)
        self._telling.begun(session, live)

    def grown(self, session: UUID, live: Live, start: int) -> None:
        """See stream.telling."""
        self._telling.grown(session, live, start)

    def said(self, session: UUID, frame: Outbound) -> None:
        """See stream.telling; what was said here is no news from the rows."""
        if isinstance(frame, Notice) and frame.range:
            self._ledger.first_time(session, frame.kind, *frame.range)
        elif isinstance(frame, Status):
            self._waits(session, frame)
        self._telling.said(session, frame)

    def ended(self, session: UUID, done: Done) -> None:
        """See stream.telling."""
        self._ledger.forget(done.turn)
        self._ledger.first_time("ended", done.turn)
        self._telling.ended(session, done)

    def dropped(self, session: UUID) -> None:
        """A reply goes on elsewhere, or will: look for it."""
        if session in self._ledger:
            self._reading.soon()

    def watched(self, session: UUID) -> None:
        """Subscribe; the rows are looked at once that is in force."""
        if not len(self._ledger):
            self._reading.reset()
        self._ledger.watch(session)
        self._bus.listen(events(session))
        if not self._bus.up:
            self._reading.soon()

    def unwatched(self, session: UUID) -> None:
        """Nobody here needs to know."""
        self._bus.leave(events(session))
        self._ledger.unwatch(session)

    def expected(self, session: UUID, turn: int) -> None:
        """A page waits for a turn: should the next scan not see it, then it has ended."""
        self._ledger.expect(session, turn)
        if not self._bus.up:
            self._reading.soon()

    # --- the bus's receiver ---

    def received(self, channel: str, frame: list[Any]) -> None:
        """A frame of another process. Raises TypeError, ValueError or LookupError when it makes no sense."""
        if channel == WORKERS:
            self._for_workers(frame)
            return
        session = UUID(channel[2:])
        if session not in self._ledger:
            return
        kind, *fields = frame
        if kind == "text":
            self._text(session, *fields)
        elif kind == "begin":
            turn, number, epoch = fields
            self._ledger.begin(session, turn, number, epoch, due=now() + SILENCE_S)
            self._reading.wake()
        elif kind == "done":
            self._done(session, Done(**fields[0]))
        elif kind == "status":
            turn, phase, since_ms = fields
            status = Status(turn=turn, phase=phase, since_ms=since_ms)
            if self._waits(session, status):
                self._hub.tell(session, status)
        elif kind == "notice":
            word, first, last = fields
            self._ledger.first_time(session, word, first, last)
            self._hub.tell(session, Notice(kind=word, range=(first, last)))
        elif kind == "branch":
            first, turn, head = fields
            self._hub.tell(session, Branch(first=first, turn=turn, head=head))
        elif kind == "gone":
            self._hub.tell(session, Gone(session=session))

    def listening(self, channel: str) -> None:
        """Subscribed: from now on nothing is missed, so now is the time to read the row, or to ask for the rest."""
        if channel.startswith("s:"):
            self._reading.soon()
        elif channel.startswith("t:"):
            self._ledger.heard(UUID(channel[2:]))

    def unheard(self, channel: str) -> None:
        """See stream.telling."""
        self._telling.unheard(channel)

    def changed(self, up: bool) -> None:
        """Down: the rows at once. Up: what was missed meanwhile, too."""
        if not up:
            self._ledger.cut()
        for _, live in self._ledger.followed.values():
            live.due = now()
        self._reading.soon()

    def _waits(self, session: UUID, status: Status) -> bool:
        """A status promises an end. Whether it is news: that a new turn is queued the rows may have told before."""
        self._ledger.expect(session, status.turn)
        return status.phase != "queued" or self._ledger.first_time("queued", status.turn, 0)

    def _for_workers(self, frame: list[Any]) -> None:
        if frame[0] == "want":
            _, session, turn, epoch, end = frame
            self._telling.want(UUID(session), turn, epoch, end)
        else:
            self._told(frame)

    def _text(self, session: UUID, turn: int, epoch: int, start: int, text: str) -> None:
        ledger = self._ledger
        if ledger.told("ended", turn):
            return
        _, live = ledger.followed.get(turn, (None, None))
        if live is None or live.epoch < epoch:
            self._reading.within()  # its beginning was lost
        elif live.epoch == epoch and start <= live.end:
            ledger.extend(session, live, text[live.end - start :])
        elif live.epoch == epoch:
            ledger.gaps += 1
            # Not for every frame behind a gap.
            if now() - live.asked >= ASK_S:
                live.asked = now()
                ledger.ask(session)

    def _done(self, session: UUID, done: Done) -> None:
        _, live = self._ledger.followed.get(done.turn, (None, None))
        if live is None or live.epoch > done.epoch:
            return
        if live.epoch == done.epoch and live.end == done.end:
            self._ledger.conclude(session, live, done)
            return
        # Stored before it was announced: what is missing is in the row.
        live.ending = done
        live.due = now()
        self._reading.wake()
