"""The drill: what happened on the night, done to a running service, and what became of it in figures."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from chat import service
from chat.flow.compactor import KIND
from chat.flow.opening import Rejected
from chat.management.nights import Case
from chat.management.sockets import Socket
from chat.models import ChatSession, Notice, Turn
from chat.providers.standin.request import purpose
from chat.store import coverage, integrity, leases
from chat.store.quotas import Caps
from chat.stream.protocol import Done
from chat.surgery import weighing

SOCKETS, STREAMS = 50, 20
GOAL = 0.7
AT_ONCE = 40
TURN_S = 300.0
LOOK_S = 0.5
# A long reply has so many pieces, and lasts about as long as all the others may take.
PIECES = 100
LEAST_STREAM_MS, STREAM_MS = 4_000, 250
FIRST = "Are you still there? Please go on."
LONG = "Tell me all of it again, slowly."


@dataclass(slots=True, kw_only=True)
class Report:
    """What a drill came to. Seconds of the wall clock; shares of 1. `beside_streams`: others that were answered while
    every stream was under way."""

    sessions: int
    window: int
    answered: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    lost_turns: int = 0
    without_notice: int = 0
    notices: int = 0
    sockets: int = 0
    sockets_closed: int = 0
    sockets_without_notice: int = 0
    streams: int = 0
    beside_streams: int = 0
    streams_broken: int = 0
    known: int = 0
    unknown: int = 0
    violations: int = 0
    upstream_400s: int = 0
    fullest_before: float = 0.0
    fullest_after: float = 0.0
    made_s: float = 0.0
    answered_s: float = 0.0
    below_s: float | None = None
    asked_s: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, no request was refused, nobody was cut off, and every value is still known."""
        return (
            self.answered == self.known == self.sessions
            and not self.errors
            and self.below_s is not None
            and not any(
                (
                    *(self.lost_turns, self.without_notice, self.sockets_closed, self.sockets_without_notice),
                    *(self.streams_broken, self.unknown, self.violations, self.upstream_400s),
                )
            )
            and (self.beside_streams > 0 or self.sessions == self.streams)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"good": self.good}


Step = Callable[[str, int], Any]
"""Told the phase and how much of it is done, in sessions."""


@dataclass(slots=True, kw_only=True)
class Drill:
    """One drill on a service that runs, with the sessions of the night."""

    site: service.Service
    owner: Any
    cases: Sequence[Case]
    report: Report
    step: Step
    sockets: list[Socket] = field(default_factory=list)
    turns: dict[uuid.UUID, int] = field(default_factory=dict)
    streaming: list[asyncio.Task[str]] = field(default_factory=list)

    async def run(self) -> None:
        """All of it; what it came to stands in `report`."""
        self.report.fullest_before = max((await self._fullness()).values(), default=0.0)
        if self.site.standin:
            self.site.standin.responder = self._said
        await self._open_sockets()
        started = time.monotonic()
        self.streaming = await self._begin_streams()
        rest = self.cases[len(self.streaming) :]
        watching = asyncio.create_task(self._below(started))
        try:
            await self._each(rest, lambda case: self._send(case, FIRST), "answered")
            self.report.answered_s = time.monotonic() - started
            await self.site.database.run(self._hurry)
            self.site.wake_jobs()
            async with asyncio.timeout(TURN_S + 2 * len(self.cases)):
                for waiting in self.streaming:
                    self._count(await waiting)
                    self.step("answered", 1)
                self.report.below_s = await watching
        finally:
            watching.cancel()
        if self.site.jobs:
            await self.site.jobs.idle()
        asked = time.monotonic()
        await self._each(self.cases, self._ask, "asked")
        self.report.asked_s = time.monotonic() - asked
        if self.site.jobs:
            await self.site.jobs.idle()
        await self._look_back()

    # --- the sockets and the streams ---

    async def _open_sockets(self) -> None:
        self.sockets = [Socket(self.owner, case.session) for case in self.cases[:SOCKETS]]
        await asyncio.gather(*(socket.open() for socket in self.sockets))
        self.report.sockets = len(self.sockets)

    async def _begin_streams(self) -> list[asyncio.Task[str]]:
        """Long replies, slow enough to be under way while everything else happens."""
        if self.site.standin:
            lasts = LEAST_STREAM_MS + STREAM_MS * len(self.cases)
            self.site.standin.paces["reply"] = lasts / PIECES
        chosen = self.cases[: min(STREAMS, len(self.cases) // 2)]
        waiting = [asyncio.create_task(self._send(case, LONG)) for case in chosen]
        async with asyncio.timeout(TURN_S):
            for socket in self.sockets[: len(chosen)]:
                await socket.began.wait()
        if self.site.standin:
            self.site.standin.paces.clear()
        self.report.streams = len(chosen)
        return waiting

    def _said(self, body: dict[str, Any]) -> str | None:
        if purpose(body) != "reply":
            return None
        last = str(body["messages"][-1]["content"])
        if LONG in last:
            return "slowly and word by word, and then " * (PIECES * 3 // 7)
        return "I am here." if FIRST in last else None

    # --- messages ---

    async def _each(self, cases: Sequence[Case], work: Callable[[Case], Any], phase: str) -> None:
        turnstile = asyncio.Semaphore(AT_ONCE)

        async def one(case: Case) -> None:
            async with turnstile:
                status = await work(case)
            if phase == "answered":
                self._count(status)
                self.report.beside_streams += not any(one.done() for one in self.streaming)
            self.step(phase, 1)

        await asyncio.gather(*(one(case) for case in cases))

    def _count(self, status: str) -> None:
        if status == Turn.Status.COMPLETE:
            self.report.answered += 1
        else:
            self.report.errors[status] = self.report.errors.get(status, 0) + 1

    async def _send(self, case: Case, text: str) -> str:
        """Send a message and wait for its end: how it ended, or the code of what refused it."""
        watcher = self.site.hub.watch(case.session)
        try:
            opened = await self.site.open_turn(
                owner_id=self.owner.pk, session_id=case.session, client_id=uuid.uuid4(), text=text, caps=Caps()
            )
            if isinstance(opened, Rejected):
                return opened.code
            self.turns[case.session] = opened.turn_id
            async with asyncio.timeout(TURN_S):
                async for frame in watcher:
                    if isinstance(frame, Done) and frame.turn == opened.turn_id:
                        return frame.status
        except TimeoutError:
            return "timeout"
        finally:
            watcher.close()
        return "gone"

    async def _ask(self, case: Case) -> str:
        status = await self._send(case, case.question)
        reply = await self.site.database.read(
            lambda: Turn.objects.values_list("reply", flat=True).get(pk=self.turns[case.session])
        )
        known = status == Turn.Status.COMPLETE and case.value in reply
        self.report.known += known
        self.report.unknown += not known
        return status

    # --- the backlog ---

    def _hurry(self) -> int:
        """What nobody's reply announced: the sweep's own work, at once."""
        full = [pk for pk, share in self._shares().items() if share >= GOAL]
        return sum(leases.enqueue(KIND, pk) for pk in full)

    async def _below(self, started: float) -> float:
        """The seconds after which everybody is below the goal."""
        told = 0
        while True:
            shares = await self._fullness()
            below = sum(share < GOAL for share in shares.values())
            self.step("below 70 %", max(0, below - told))
            told = max(told, below)
            if below == len(self.cases):
                return time.monotonic() - started
            await asyncio.sleep(LOOK_S)

    async def _fullness(self) -> dict[uuid.UUID, float]:
        return await self.site.database.read(self._shares)

    def _shares(self) -> dict[uuid.UUID, float]:
        known = weighing.many([case.session for case in self.cases])
        return {pk: one.total / self.report.window for pk, one in known.items()}

    # --- what became of it ---

    async def _look_back(self) -> None:
        for index, socket in enumerate(self.sockets):
            self.report.sockets_closed += socket.closed is not None
            self.report.sockets_without_notice += "compressed" not in socket.notices
            whole = bool(socket.ended) and all(socket.whole(turn) for turn in socket.ended) and not socket.broken
            if index < self.report.streams:
                self.report.streams_broken += not whole
            await socket.close()
        self.report.fullest_after = max((await self._fullness()).values(), default=0.0)
        await self.site.database.read(self._judge)
        if self.site.standin:
            self.report.upstream_400s = sum(one.status == 400 for one in self.site.standin.log)

    def _judge(self) -> None:
        ids = [case.session for case in self.cases]
        rows = Turn.objects.filter(session_id__in=ids, active=True, status__in=Turn.TERMINAL)
        turns = Counter(rows.values_list("session_id", flat=True))
        self.report.lost_turns = sum(abs(case.turns + 2 - turns[case.session]) for case in self.cases)
        noticed = Counter(Notice.objects.filter(session_id__in=ids, ended_at=None).values_list("session_id", flat=True))
        self.report.notices = noticed.total()
        shortened = ChatSession.objects.filter(pk__in=ids, window_from__gt=1).values_list("pk", flat=True)
        self.report.without_notice = sum(not noticed[pk] or bool(coverage.missing_notices(pk)) for pk in shortened)
        self.report.violations = len(integrity.violations(ids))


async def drill(owner: Any, cases: Sequence[Case], report: Report, step: Step) -> None:
    """Start a service of this process's own, do the drill, end the service."""
    options = {"delay_ms": 0, "first_ms": 0}
    site = await service.start(run_turns=True, run_jobs=True, sweep=False, standin_options=options)
    try:
        report.window = (await site.engine.window(settings.CHAT_MODEL)).window
        await Drill(site=site, owner=owner, cases=cases, report=report, step=step).run()
    finally:
        await service.drain()
        await service.stop()
