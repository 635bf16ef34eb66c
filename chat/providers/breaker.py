"""When a service in trouble is left alone: a circuit breaker as a state machine, without a clock and without I/O.

    closed ──(`failures` within `within` seconds)──▶ open ──(after `rest` seconds)──▶ half-open
      ▲                                               ▲                                  │ one probe
      └──────────────(it was answered)────────────────┼──────────────────────────────────┤
                                                      └───────────(it failed)────────────┘

The time is handed in, in seconds of any clock that never goes back. Each call is made with a ticket, and says with it
how it went; what a call says that began before the breaker last opened changes nothing any more.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Literal

Change = Literal["", "opened", "reopened", "closed"]

PROBE_S = 1.0
"""How soon to ask again while the probe is under way, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Opens at `failures` failures within `within` seconds, for `rest` seconds.

    They must also be `share` of the calls that were answered or failed in that time: among thousands of answers five
    failures are no outage, and to refuse everybody would make one.
    """

    failures: int = 5
    within: float = 30.0
    rest: float = 15.0
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to make one call. `probe`: the others wait for how it goes. `opening` counts how often it had opened."""

    probe: bool
    opening: int


class Breaker:
    """One breaker. None of its methods waits."""

    __slots__ = ("_answered", "_failed", "_opened_at", "_openings", "_probing", "_rule")

    def __init__(self, rule: Rule | None = None) -> None:
        self._rule = rule or Rule()
        self._failed: deque[float] = deque()
        self._answered: deque[float] = deque()
        self._opened_at: float | None = None
        self._openings = 0
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "probing"]:
        """ "open" also while it waits for somebody to make the probe."""
        if self._opened_at is None:
            return "closed"
        return "probing" if self._probing else "open"

    def refusal(self, now: float) -> float:
        """In how many seconds a call may be made; 0: now. Asking changes nothing."""
        if self._opened_at is None:
            return 0.0
        return PROBE_S if self._probing else max(0.0, self._opened_at + self._rule.rest - now)

    def admit(self, now: float) -> Ticket | float:
        """A ticket, or in how many seconds to ask again. Every ticket comes back by answered, failed or dropped."""
        if wait := self.refusal(now):
            return wait
        if self._opened_at is None:
            return Ticket(False, self._openings)
        self._probing = True
        return Ticket(True, self._openings)

    def answered(self, ticket: Ticket, now: float) -> Change:
        """The service answered, if only to say that the request was wrong."""
        if self._opened_at is None:
            self._answered.append(now)
            self._forget(now)
            return ""
        if not self._probes(ticket):
            return ""
        self._opened_at, self._probing = None, False
        self._failed.clear()
        self._answered.clear()
        return "closed"

    def failed(self, ticket: Ticket, now: float) -> Change:
        """The call failed in a way that may pass."""
        if self._opened_at is not None:
            if not self._probes(ticket):
                return ""
            self._open(now)
            return "reopened"
        if ticket.opening != self._openings:
            return ""
        self._failed.append(now)
        self._forget(now)
        count = len(self._failed)
        if count < self._rule.failures or count < self._rule.share * (count + len(self._answered)):
            return ""
        self._open(now)
        return "opened"

    def dropped(self, ticket: Ticket) -> None:
        """The call was given up before it said anything: somebody else may make the probe."""
        if self._probes(ticket):
            self._probing = False

    def _probes(self, ticket: Ticket) -> bool:
        return ticket.probe and self._probing and ticket.opening == self._openings

    def _open(self, now: float) -> None:
        self._opened_at, self._probing = now, False
        self._openings += 1
        self._failed.clear()
        self._answered.clear()

    def _forget(self, now: float) -> None:
        for times in (self._failed, self._answered):
            while times and times[0] <= now - self._rule.within:
                times.popleft()


class Breakers:
    """One breaker for each key, all by the same rule; made when a key is first used."""

    def __init__(self, rule: Rule | None = None) -> None:
        self._rule = rule
        self._all: dict[Hashable, Breaker] = {}

    def of(self, key: Hashable) -> Breaker:
        """The breaker of `key`."""
        return self._all.setdefault(key, Breaker(self._rule))

    def refusal(self, key: Hashable, now: float) -> float:
        """As `Breaker.refusal`; a key that was never used is closed."""
        found = self._all.get(key)
        return found.refusal(now) if found else 0.0

    def forget(self, key: Hashable) -> None:
        """Drop a key's breaker."""
        self._all.pop(key, None)

    def count(self, state: str) -> int:
        """How many are in `state`."""
        return sum(1 for one in self if one.state == state)

    def __iter__(self) -> Iterator[Breaker]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)
