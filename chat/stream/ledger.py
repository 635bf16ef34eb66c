"""Which replies of other processes are followed here, and what is done with what becomes known of them.

Two tell it things: the bus (stream.following) and the rows (stream.reading). Whichever is first is believed; the text
of a reply only grows, and what was told once is not told again.
"""

import asyncio
from typing import Any
from uuid import UUID

from chat.stream.bus import Bus
from chat.stream.followed import Followed
from chat.stream.hub import Hub
from chat.stream.protocol import Done
from chat.stream.telling import WORKERS, texts

SILENCE_S = 1.0
"""A followed reply of which nothing was heard for so long is read from its row. Rows are written every second."""

REMEMBERED = 4_096
UNSEEN = -1


def now() -> float:
    """Seconds on the loop's clock."""
    return asyncio.get_running_loop().time()


class Ledger:
    """What this process knows of the others' replies. `followed` and `expected` are by turn: its session, and a
    reply or the number of the last scan that had begun when the turn was named."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._hub = hub
        self._bus = bus
        self.followed: dict[int, tuple[UUID, Followed]] = {}
        self.expected: dict[int, tuple[UUID, int]] = {}
        self.scans = 0
        self.gaps = self.applied = 0
        # Of each watched session: after how many scans that began, and its turns in the two dicts above.
        self._watched: dict[UUID, tuple[int, set[int]]] = {}
        # Sessions whose text is subscribed to, and those where that is in force.
        self._listens: set[UUID] = set()
        self._hears: set[UUID] = set()
        self._told: dict[tuple[Any, ...], None] = {}

    # --- sessions ---

    def __contains__(self, session: UUID) -> bool:
        return session in self._watched

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, session: UUID) -> None:
        """A first socket of this process watches."""
        self._watched[session] = (self.scans, set())

    def unwatch(self, session: UUID) -> None:
        """The last one left: nothing of the session is followed."""
        self.deafen(session)
        _, turns = self._watched.pop(session, (0, set()))
        for turn in turns:
            self.expected.pop(turn, None)
            _, live = self.followed.pop(turn, (None, None))
            if live:
                self._hub.unfollow(session, live)

    def watched_before(self, session: UUID, scan: int) -> bool:
        """Whether it was watched already when that scan began."""
        return session in self._watched and self._watched[session][0] < scan

    # --- turns ---

    def expect(self, session: UUID, turn: int) -> None:
        """Somebody waits for this turn: should the next scan not see it, then it has ended."""
        known = turn in self.followed or turn in self.expected or self.told("ended", turn)
        if session in self._watched and not known and not self.writes(session, turn):
            self.expected[turn] = (session, self.scans)
            self._watched[session][1].add(turn)

    def writes(self, session: UUID, turn: int) -> bool:
        """Whether this process writes the reply itself."""
        live = self._hub.live(session)
        return live is not None and live.turn == turn and not isinstance(live, Followed)

    def begin(self, session: UUID, turn: int, number: int, epoch: int, *, due: float) -> Followed | None:
        """Follow a reply, unless it is followed already, is written here, is not the newest, or has ended.

        What was read before the end was heard may come after it.
        """
        own = self._hub.live(session)
        if session not in self._watched or self.told("ended", turn) or (own and (own.turn, own.epoch) >= (turn, epoch)):
            return None
        self.forget(turn)
        # Of a later attempt nobody can say whose text stands in the row.
        live = Followed(turn, number, epoch, due=due, kept=UNSEEN if epoch > 1 else None)
        self.followed[turn] = (session, live)
        self._watched[session][1].add(turn)
        self._hub.follow(session, live)
        if session in self._hears:
            self.ask(session)
        else:
            self._listens.add(session)
            self._bus.listen(texts(session))
        return live

    def extend(self, session: UUID, live: Followed, text: str) -> None:
        """More of its text, or a sign of life."""
        live.misses = 0
        live.due = now() + SILENCE_S
        if text:
            self.applied += 1
            self._hub.extend(session, live, text)

    def conclude(self, session: UUID, live: Followed, done: Done) -> None:
        """It has ended, and everything before the end is here."""
        self.forget(live.turn)
        self.first_time("ended", live.turn)
        self._hub.conclude(session, live, done)

    def forget(self, turn: int) -> None:
        """Neither followed nor expected any more."""
        session, _ = self.followed.pop(turn, None) or self.expected.get(turn) or (None, None)
        self.expected.pop(turn, None)
        if session in self._watched:
            self._watched[session][1].discard(turn)

    # --- what was told ---

    def first_time(self, *key: Any) -> bool:
        """Whether this is news; the last few thousand things are remembered."""
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def told(self, *key: Any) -> bool:
        """Whether this was told before."""
        return key in self._told

    def untell(self, *key: Any) -> bool:
        """Forget that it was told; whether it had been."""
        return self._told.pop(key, False) is None

    # --- text over the bus ---

    def hears(self, session: UUID) -> bool:
        """Whether text of this session comes over the bus if its writer sends any."""
        return session in self._hears

    def heard(self, session: UUID) -> None:
        """From now on it does: ask for what is missing."""
        self._hears.add(session)
        self.ask(session)

    def cut(self) -> None:
        """The bus is down: no text comes."""
        self._hears.clear()

    def deafen(self, session: UUID) -> None:
        """Text of this session is needed no more."""
        self._hears.discard(session)
        if session in self._listens:
            self._listens.discard(session)
            self._bus.leave(texts(session))

    def ask(self, session: UUID) -> None:
        """Ask the writer for what it has beyond what is known here, and for what follows."""
        live = self._hub.live(session)
        if isinstance(live, Followed):
            self._bus.send(WORKERS, ("want", str(session), live.turn, live.epoch, live.end))
