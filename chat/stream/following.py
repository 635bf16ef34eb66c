"""Replies that are watched in this process and written in another one.

They are heard over the bus, and read from their rows where the bus says nothing: after a gap, a second of silence,
or without any bus. Reading costs one query for all followed replies that are due, and one a second that looks for
what is new, whose cost grows with the replies that are being written and not with the sockets; while nobody watches,
there is none. The rows are the truth: whatever the bus loses, they bring.

To attach: subscribe, read the row, show it, then ask the writer for what it has beyond that.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog

from chat.stream.bus import Bus
from chat.stream.followed import Followed
from chat.stream.hub import Hub
from chat.stream.live import Live
from chat.stream.protocol import Done, Gone, Notice, Outbound, Status
from chat.stream.rows import Change, Reader, Row
from chat.stream.telling import WORKERS, Telling, events, texts

log = structlog.get_logger(__name__)

SILENCE_S = 1.0
"""A followed reply of which nothing was heard for so long is read from its row. Rows are written every second."""

AGAIN_S = 0.25
MOST_AGAIN = 5
"""A row that had nothing new is looked at again so soon, so often: long enough for the next checkpoint to come."""

TOGETHER_S = 0.2
"""Rows that are due so soon are read along."""

SCAN_S = 1.0
SCAN_WITH_BUS_S = 5.0
REST_S = 0.05
ASK_S = 0.2
REMEMBERED = 4_096
UNSEEN = -1


class Following:
    """What this process knows of the others' replies; the hub's outlet, and the bus's receiver.

    `told` is called with what is for a runner or for jobs: ("queued",), ("stop", turn), ("job",).
    """

    def __init__(self, hub: Hub, bus: Bus, reader: Reader, told: Callable[[list[Any]], None]) -> None:
        self._hub = hub
        self._bus = bus
        self._reader = reader
        self._told = told
        self._telling = Telling(hub, bus)
        # Watched sessions, and after how many scans that began.
        self._watched: dict[UUID, int] = {}
        # Sessions whose text is subscribed to, and those where that is in force.
        self._listens: set[UUID] = set()
        self._hears: set[UUID] = set()
        self._followed: dict[int, tuple[UUID, Followed]] = {}
        # Turns that somebody here waits for, and before which scan they were named.
        self._expected: dict[int, tuple[UUID, int]] = {}
        self._known: dict[tuple[Any, ...], None] = {}
        self._scans = 0
        self._scan_due = self._not_before = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._counts = dict.fromkeys(("applied", "gaps", "rows_read", "scans"), 0)

    def start(self) -> None:
        """Take the hub's news and the bus's, and begin to read."""
        self._hub.outlet = self
        self._bus.start(self)
        self._task = asyncio.create_task(self._run(), name="following")

    async def stop(self) -> None:
        """End; the hub is told nothing more."""
        self._hub.outlet = None
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def numbers(self) -> dict[str, int]:
        """What was followed so far, and how."""
        return {**self._counts, "followed": len(self._followed), "sessions": len(self._watched)}

    # --- the hub's outlet ---

    def begun(self, session: UUID, live: Live) -> None:
        """This process writes the reply itself now."""
        self._forget(live.turn)
        self._deafen(session)
        self._telling.begun(session, live)

    def grown(self, session: UUID, live: Live, start: int) -> None:
        """See stream.telling."""
        self._telling.grown(session, live, start)

    def said(self, session: UUID, frame: Outbound) -> None:
        """See stream.telling; what was said here is no news from the rows."""
        if isinstance(frame, Notice) and frame.range:
            self._first_time(session, frame.kind, *frame.range)
        elif isinstance(frame, Status):
            self._expect(session, frame.turn)
        self._telling.said(session, frame)

    def ended(self, session: UUID, done: Done) -> None:
        """See stream.telling."""
        self._forget(done.turn)
        self._first_time("ended", done.turn)
        self._telling.ended(session, done)

    def dropped(self, session: UUID) -> None:
        """A reply goes on elsewhere, or will: look for it."""
        if session in self._watched:
            self._scan_soon()

    def watched(self, session: UUID) -> None:
        """Subscribe; the rows are looked at once that is in force."""
        if not self._watched:
            self._reader.reset()
        self._watched[session] = self._scans
        self._bus.listen(events(session))
        if not self._bus.up:
            self._scan_soon()

    def unwatched(self, session: UUID) -> None:
        """Nobody here needs to know."""
        self._watched.pop(session, None)
        self._bus.leave(events(session))
        self._deafen(session)
        for turn, (where, live) in list(self._followed.items()):
            if where == session:
                self._forget(turn)
                self._hub.unfollow(session, live)
        for turn in [turn for turn, (where, _) in self._expected.items() if where == session]:
            del self._expected[turn]

    def expected(self, session: UUID, turn: int) -> None:
        """A page waits for a turn: should the next scan not see it, then it has ended."""
        self._expect(session, turn)
        if not self._bus.up:
            self._scan_soon()

    # --- the bus's receiver ---

    def received(self, channel: str, frame: list[Any]) -> None:
        """A frame of another process."""
        if channel == WORKERS:
            self._for_workers(frame)
            return
        session = UUID(channel[2:])
        if session not in self._watched:
            return
        kind, *fields = frame
        if kind == "text":
            self._text(session, *fields)
        elif kind == "begin":
            turn, number, epoch = fields
            self._begin(session, turn, number, epoch, due=self._now() + SILENCE_S)
        elif kind == "done":
            self._done(session, Done(**fields[0]))
        elif kind == "status":
            turn, phase, since_ms = fields
            self._expect(session, turn)
            self._hub.tell(session, Status(turn=turn, phase=phase, since_ms=since_ms))
        elif kind == "notice":
            word, first, last = fields
            self._first_time(session, word, first, last)
            self._hub.tell(session, Notice(kind=word, range=(first, last)))
        elif kind == "gone":
            self._hub.tell(session, Gone(session=session))

    def listening(self, channel: str) -> None:
        """Subscribed: from now on nothing is missed, so now is the time to read the row, or to ask for the rest."""
        if channel.startswith("s:"):
            self._scan_soon()
        elif channel.startswith("t:"):
            session = UUID(channel[2:])
            self._hears.add(session)
            self._ask(session)

    def unheard(self, channel: str) -> None:
        """See stream.telling."""
        self._telling.unheard(channel)

    def changed(self, up: bool) -> None:
        """Down: the rows at once. Up: what was missed meanwhile, too."""
        if not up:
            self._hears.clear()
        for _, live in self._followed.values():
            live.due = self._now()
        self._scan_soon()

    # --- what is heard ---

    def _for_workers(self, frame: list[Any]) -> None:
        if frame[0] == "want":
            _, session, turn, epoch, end = frame
            self._telling.want(UUID(session), turn, epoch, end)
        else:
            self._told(frame)

    def _text(self, session: UUID, turn: int, epoch: int, start: int, text: str) -> None:
        if ("ended", turn) in self._known:
            return
        _, live = self._followed.get(turn, (None, None))
        if live is None or live.epoch < epoch:
            self._scan_soon()  # its beginning was lost
        elif live.epoch == epoch and start <= live.end:
            self._extend(session, live, text[live.end - start :])
            if live.ending:
                self._done(session, live.ending)
        elif live.epoch == epoch:
            self._counts["gaps"] += 1
            # Not for every frame behind a gap.
            if self._now() - live.asked >= ASK_S:
                live.asked = self._now()
                self._ask(session)

    def _extend(self, session: UUID, live: Followed, text: str) -> None:
        live.misses = 0
        live.due = self._now() + SILENCE_S
        if text:
            self._counts["applied"] += 1
            self._hub.extend(session, live, text)

    def _begin(self, session: UUID, turn: int, number: int, epoch: int, *, due: float, kept: int | None = None) -> None:
        """Follow a reply, unless it is followed already, is written here, or is not the newest."""
        own = self._hub.live(session)
        if own and (own.turn, own.epoch) >= (turn, epoch):
            return
        self._expected.pop(turn, None)
        live = Followed(turn, number, epoch, due=due, kept=kept)
        self._followed[turn] = (session, live)
        self._hub.follow(session, live)
        if session in self._hears:
            self._ask(session)
        else:
            self._listens.add(session)
            self._bus.listen(texts(session))
        self._wake.set()

    def _done(self, session: UUID, done: Done) -> None:
        _, live = self._followed.get(done.turn, (None, None))
        if live is None or live.epoch > done.epoch:
            return
        if live.epoch == done.epoch and live.end == done.end:
            self._conclude(session, live, done)
            return
        # Stored before it was announced: what is missing is in the row.
        live.ending = done
        live.due = self._now()
        self._wake.set()

    def _conclude(self, session: UUID, live: Followed, done: Done) -> None:
        self._forget(live.turn)
        self._first_time("ended", done.turn)
        self._hub.conclude(session, live, done)

    def _ask(self, session: UUID) -> None:
        """Ask the writer for what it has beyond what is known here, and for what follows."""
        live = self._hub.live(session)
        if isinstance(live, Followed):
            self._bus.send(WORKERS, ("want", str(session), live.turn, live.epoch, live.end))

    # --- what is read ---

    async def _run(self) -> None:
        while True:
            await self._until_due()
            try:
                await self._look()
            except Exception as error:
                # The database is away: what the bus brings goes on, and the rows are read when it is back.
                log.warning("following_failed", error=type(error).__name__)
                self._not_before = self._now() + SILENCE_S

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            left = self._next() - self._now()
            if left <= 0:
                return
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if self._watched else None):
                    await self._wake.wait()

    def _next(self) -> float:
        if not self._watched:
            return float("inf")
        due = min((live.due for _, live in self._followed.values()), default=self._scan_due)
        return max(self._not_before, min(due, self._scan_due))

    async def _look(self) -> None:
        """One look at the rows: for what is new, then at the followed replies of which nothing was heard."""
        if self._scan_due <= self._now():
            await self._scan()
        soon = self._now() + TOGETHER_S
        due = {turn: one for turn, one in self._followed.items() if one[1].due <= soon}
        if due:
            await self._read(due)
        self._not_before = self._now() + REST_S

    async def _scan(self) -> None:
        self._scans += 1
        self._counts["scans"] += 1
        self._scan_due = self._now() + (SCAN_WITH_BUS_S if self._bus.up else SCAN_S)
        writing: set[int] = set()
        ended: set[int] = set()
        for change in await self._reader.news():
            if change.kind == "live":
                writing.add(change.id)
            if change.kind == "ended":
                # Who began to watch since the last scan was told when it said hello, or waits for a turn by its id.
                earlier = self._watched.get(change.session, self._scans) < self._scans - 1
                if self._first_time("ended", change.id) and earlier:
                    ended.add(change.id)
                    self._known.pop(("ended", change.id))
            elif change.session in self._watched:
                self._changed_row(change)
        for turn, (_, named) in self._expected.items():
            if turn not in writing and named < self._scans:
                ended.add(turn)
        ended.update(turn for turn in self._followed if turn not in writing)
        if ended:
            await self._end(ended)

    def _changed_row(self, change: Change) -> None:
        session, turn = change.session, change.id
        if change.kind == "gone":
            self._hub.tell(session, Gone(session=session))
        elif change.kind == "notice":
            # Told already when it was stored, here or over the bus? Then this is its row.
            told = (session, change.word, change.first, change.second)
            if self._first_time("notice", change.id) and self._known.pop(told, False) is False:
                self._hub.tell(session, Notice(kind=change.word, range=(change.first, change.second)))
        elif change.word == "running":
            kept = UNSEEN if change.second > 1 else None
            self._begin(session, turn, change.first, change.second, due=self._now(), kept=kept)
        else:
            self._expect(session, turn)
            if not self._writes(session, turn) and self._first_time("queued", turn, change.second):
                phase = "restarting" if change.second else "queued"
                self._hub.tell(session, Status(turn=turn, phase=phase))

    async def _read(self, due: dict[int, tuple[UUID, Followed]]) -> None:
        asked = {turn: 0 if live.kept is not None else live.end for turn, (_, live) in due.items()}
        rows = {row.turn: row for row in await self._reader.rows(asked)}
        self._counts["rows_read"] += len(rows)
        ended: set[int] = set()
        for turn, (session, live) in due.items():
            if self._followed.get(turn, (None, None))[1] is not live:
                continue  # something was heard meanwhile
            row = rows.get(turn)
            if row is None:
                self._forget(turn)
                self._hub.unfollow(session, live)
                self._hub.tell(session, Gone(session=session))
            elif row.finished:
                ended.add(turn)
            elif row.epoch > live.epoch:
                self._begin(session, turn, row.number, row.epoch, due=self._now() + AGAIN_S, kept=row.length or None)
            else:
                self._take(session, live, row, asked[turn])
        if ended:
            await self._end(ended)

    def _take(self, session: UUID, live: Followed, row: Row, start: int) -> None:
        """What the row has beyond what is known."""
        if live.kept == UNSEEN:
            live.kept = row.length or None
        text = ""
        if live.kept is None or row.length != live.kept:
            live.kept = None
            text = row.piece[live.end - start :]
        if text:
            self._extend(session, live, text)
            if session in self._hears:
                self._ask(session)
            return
        live.misses += 1
        soon = not self._bus.up and live.misses <= MOST_AGAIN
        live.due = self._now() + (AGAIN_S if soon else SILENCE_S)

    async def _end(self, turns: set[int]) -> None:
        """Turns that have ended elsewhere: the rest of the text, and the end."""
        for turn in turns & self._followed.keys():
            self._followed[turn][1].due = self._now() + SILENCE_S
        for session, done, reply in await self._reader.ends(sorted(turns)):
            self._expected.pop(done.turn, None)
            if session not in self._watched or not self._first_time("ended", done.turn):
                continue
            _, live = self._followed.get(done.turn, (None, None))
            if live is None or live.epoch < done.epoch:
                own = self._hub.live(session)
                if own and (own.turn, own.epoch) >= (done.turn, done.epoch):
                    continue
                live = Followed(done.turn, done.number, done.epoch, due=self._now())
                self._hub.follow(session, live)
            if reply.startswith(live.text):
                self._extend(session, live, reply[live.end :])
            heard = live.ending if live.ending and live.ending.epoch == done.epoch else done
            self._conclude(session, live, heard)

    # --- small print ---

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _scan_soon(self) -> None:
        self._scan_due = 0.0
        self._wake.set()

    def _writes(self, session: UUID, turn: int) -> bool:
        live = self._hub.live(session)
        return live is not None and live.turn == turn and not isinstance(live, Followed)

    def _expect(self, session: UUID, turn: int) -> None:
        known = turn in self._followed or turn in self._expected or ("ended", turn) in self._known
        if session in self._watched and not known and not self._writes(session, turn):
            self._expected[turn] = (session, self._scans)

    def _forget(self, turn: int) -> None:
        self._followed.pop(turn, None)
        self._expected.pop(turn, None)

    def _deafen(self, session: UUID) -> None:
        self._hears.discard(session)
        if session in self._listens:
            self._listens.discard(session)
            self._bus.leave(texts(session))

    def _first_time(self, *key: Any) -> bool:
        """Whether this is news; remembered for the last few thousand things."""
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return True
