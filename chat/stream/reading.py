"""The rows behind the live text, looked at where the bus says nothing.

Reading costs one query for all followed replies that are due, and one that looks for what is new: every second
without a bus, else every few. Its cost grows with the replies that are being written, not with the sockets; while
nobody watches there is none.
"""

import asyncio
import contextlib

import structlog

from chat.stream.bus import Bus
from chat.stream.followed import Followed
from chat.stream.hub import Hub
from chat.stream.ledger import UNSEEN, Ledger, now
from chat.stream.protocol import Gone, Notice, Status
from chat.stream.rows import Change, Reader, Row

log = structlog.get_logger(__name__)

SCAN_S = 1.0
SCAN_WITH_BUS_S = 5.0

AGAIN_S = 0.25
MOST_AGAIN = 5
"""A row that had nothing new is looked at again so soon, so often: long enough for the next checkpoint to come."""

PAUSE_S = 1.0
"""Between two looks at a row that stays the same, and after an error."""

TOGETHER_S = 0.2
"""Rows that are due so soon are read along."""

REST_S = 0.05


class Reading:
    """The loop that reads."""

    def __init__(self, hub: Hub, bus: Bus, reader: Reader, ledger: Ledger) -> None:
        self._hub = hub
        self._bus = bus
        self._reader = reader
        self._ledger = ledger
        self._scan_due = self._scanned = self._not_before = 0.0
        self._wake = asyncio.Event()
        self.rows = 0

    def reset(self) -> None:
        """Nobody watched for a while: what happened meanwhile is nobody's news."""
        self._reader.reset()

    def soon(self) -> None:
        """Look for what is new, now."""
        self._scan_due = 0.0
        self._wake.set()

    def within(self) -> None:
        """Look for what is new, but not for every frame that asks for it."""
        self._scan_due = min(self._scan_due, self._scanned + SCAN_S)
        self._wake.set()

    def wake(self) -> None:
        """Something became due."""
        self._wake.set()

    async def run(self) -> None:
        """Read what is due, for ever."""
        while True:
            await self._until_due()
            try:
                await self._look()
            except Exception as error:
                # The database is away: what the bus brings goes on, and the rows are read when it is back.
                log.warning("following_failed", error=type(error).__name__)
                self._not_before = now() + PAUSE_S

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            left = self._next() - now()
            if left <= 0:
                return
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if len(self._ledger) else None):
                    await self._wake.wait()

    def _next(self) -> float:
        if not len(self._ledger):
            return float("inf")
        due = min((live.due for _, live in self._ledger.followed.values()), default=self._scan_due)
        return max(self._not_before, min(due, self._scan_due))

    async def _look(self) -> None:
        if self._scan_due <= now():
            await self._scan()
        soon = now() + TOGETHER_S
        due = {turn for turn, (_, live) in self._ledger.followed.items() if live.due <= soon}
        if due:
            await self._read(due)
        self._not_before = now() + REST_S

    async def _scan(self) -> None:
        """What is new in any session that is watched here."""
        ledger = self._ledger
        ledger.scans += 1
        self._scanned = now()
        self._scan_due = self._scanned + (SCAN_WITH_BUS_S if self._bus.up else SCAN_S)
        writing: set[int] = set()
        ended: set[int] = set()
        for change in await self._reader.news():
            if change.kind == "ended":
                # Who began to watch since the last scan was told when it said hello, or waits for a turn by its id.
                awaited = change.id in ledger.expected or change.id in ledger.followed
                if not awaited and not ledger.watched_before(change.session, ledger.scans - 1):
                    ledger.first_time("ended", change.id)
                elif not ledger.told("ended", change.id):
                    ended.add(change.id)
                continue
            if change.kind == "live":
                writing.add(change.id)
            if change.session in ledger:
                self._changed(change)
        ended.update(
            turn for turn, (_, named) in ledger.expected.items() if turn not in writing and named < ledger.scans
        )
        ended.update(turn for turn in ledger.followed if turn not in writing)
        if ended:
            await self._end(ended)

    def _changed(self, change: Change) -> None:
        ledger, session, turn = self._ledger, change.session, change.id
        if change.kind == "gone":
            self._hub.tell(session, Gone(session=session))
        elif change.kind == "notice":
            # Told already when it was stored, here or over the bus? Then this is its row.
            told = ledger.untell(session, change.word, change.first, change.second)
            if ledger.first_time("notice", turn) and not told:
                self._hub.tell(session, Notice(kind=change.word, range=(change.first, change.second)))
        elif change.word == "running":
            ledger.begin(session, turn, change.first, change.second, due=now())
        else:
            ledger.expect(session, turn)
            if not ledger.writes(session, turn) and ledger.first_time("queued", turn, change.second):
                phase = "restarting" if change.second else "queued"
                self._hub.tell(session, Status(turn=turn, phase=phase))

    async def _read(self, turns: set[int]) -> None:
        """The rows of replies of which nothing was heard."""
        ledger = self._ledger
        due = {turn: ledger.followed[turn] for turn in turns}
        known = {turn: 0 if live.kept is not None else live.end for turn, (_, live) in due.items()}
        rows = {row.turn: row for row in await self._reader.rows(known)}
        self.rows += len(rows)
        ended: set[int] = set()
        for turn, (session, live) in due.items():
            if ledger.followed.get(turn, (None, None))[1] is not live:
                continue  # something was heard meanwhile
            row = rows.get(turn)
            if row is None:
                ledger.forget(turn)
                self._hub.unfollow(session, live)
                self._hub.tell(session, Gone(session=session))
            elif row.finished:
                ended.add(turn)
            elif row.epoch > live.epoch:
                ledger.begin(session, turn, row.number, row.epoch, due=now())
            else:
                if live.kept == UNSEEN:
                    live.kept = row.length or None
                fresh = live.kept is None or row.length != live.kept
                self._take(live, row, row.piece[live.end - known[turn] :] if fresh else "")
        if ended:
            await self._end(ended)

    def _take(self, live: Followed, row: Row, text: str) -> None:
        """What the row has beyond what is known."""
        if text:
            live.kept = None
            self._ledger.extend(row.session, live, text)
            if self._ledger.hears(row.session):
                self._ledger.ask(row.session)
        else:
            live.misses += 1
            again = not self._bus.up and live.misses <= MOST_AGAIN
            live.due = now() + (AGAIN_S if again else PAUSE_S)
        if now() < live.urgent:
            live.due = min(live.due, now() + AGAIN_S)

    async def _end(self, turns: set[int]) -> None:
        """Those of these turns that have ended: the rest of the text, and the end."""
        ledger = self._ledger
        for turn in turns & ledger.followed.keys():
            ledger.followed[turn][1].due = now() + PAUSE_S
        for session, done, reply in await self._reader.ends(sorted(turns)):
            if session not in ledger or ledger.told("ended", done.turn):
                ledger.forget(done.turn)
                continue
            _, live = ledger.followed.get(done.turn, (None, None))
            if live is None or live.epoch < done.epoch:
                live = ledger.begin(session, done.turn, done.number, done.epoch, due=now() + PAUSE_S)
            if live is None:
                continue
            if reply.startswith(live.text):
                ledger.extend(session, live, reply[live.end :])
            heard = live.ending if live.ending and live.ending.epoch == done.epoch else done
            ledger.conclude(session, live, heard)
