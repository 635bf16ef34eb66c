"""The runner: claims waiting turns, runs each in a task, and takes over those whose runner died."""

import asyncio
import contextlib
import time
from uuid import UUID

import structlog
from django.db.models.functions import Now

from chat.flow import owners
from chat.flow.closing import announce
from chat.flow.engine import Engine
from chat.flow.running import Lost, Released, Running, Stopped
from chat.flow.tracing import tracing
from chat.flow.turns import run_turn
from chat.models import Turn, Worker
from chat.store import leases
from chat.store.closing import Closed
from chat.store.leases import Claim
from chat.stream.hub import Hub

log = structlog.get_logger(__name__)

IDLE_S = 0.5
CANCEL_SCAN_S = 0.5
RELEASE_S = 2.0

Runs = dict[tuple[int, int], tuple[Running, asyncio.Task[None]]]


class Runner:
    """Runs turns in this process, `slots` at once. Times in seconds."""

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        owner: str,
        *,
        slots: int,
        lease_s: float,
        beat_s: float,
        reap_s: float,
        closed=None,
    ):
        self._engine = engine
        self._hub = hub
        self.owner = owner
        self._slots = slots
        self._lease_s = lease_s
        self._beat_s = beat_s
        self._reap_s = reap_s
        self._closed = closed
        self._wake = asyncio.Event()
        self._claiming = True
        self._claim: asyncio.Future[list[Claim]] | None = None
        # By epoch, too: a turn that goes back to the queue may be claimed here again before its first run has ended.
        self._running: Runs = {}
        self._loops: list[asyncio.Task[None]] = []
        # A runner that lost the database must not reap others for what may be its own fault.
        self._reap_from = time.monotonic()

    def start(self) -> None:
        """Begin to claim, beat and reap."""
        self._loops = [
            asyncio.create_task(self._forever(self._claim_all, IDLE_S, self._wake), name="turns"),
            asyncio.create_task(self._forever(self._scan, CANCEL_SCAN_S), name="cancellations"),
            asyncio.create_task(self._forever(self._reap, self._reap_s), name="reaper"),
            asyncio.create_task(self._forever(self._beat, self._beat_s), name="beat"),
        ]

    def wake(self) -> None:
        """A turn was opened."""
        self._wake.set()

    @property
    def live(self) -> int:
        """Turns that run now."""
        return len(self._running)

    @property
    def _most(self) -> int:
        """How many turns may run here now. Fewer than before ends none: no new one is taken."""
        return self._engine.switches.slots(self._slots)

    def stop_turn(self, turn_id: int) -> bool:
        """Stop a turn that runs here, at once; False when it runs elsewhere."""
        found = _of(turn_id, self._running)
        for running in found:
            running.interrupt(Stopped)
        return bool(found)

    async def drain(self, seconds: float) -> None:
        """Stop claiming; finish what ends within `seconds`, give the rest back."""
        leaving = [asyncio.ensure_future(self._leave())] if self._claiming else []
        self._claiming = False
        if self._claim:
            await asyncio.wait({self._claim})
            await asyncio.sleep(0)  # what it took is in `_running` now
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for running, _ in list(self._running.values()):
            running.interrupt(Released)
        tasks = [*leaving, *(task for _, task in self._running.values())]
        if tasks:
            await asyncio.wait(tasks, timeout=RELEASE_S)

    async def stop(self) -> None:
        """End all loops. What is claimed in this instant is run to its release first."""
        await self.drain(0)
        tasks = [*self._loops, *(task for _, task in self._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._leave()  # once more: a beat may have been on its way

    async def _leave(self) -> None:
        """Take the name off the list at once: who is asked whether a runner is there must not count one that goes."""
        with contextlib.suppress(Exception):
            await self._engine.database.run(lambda: Worker.objects.filter(pk=self.owner).delete())

    async def _forever(self, step, period: float, wake: asyncio.Event | None = None) -> None:
        while True:
            if wake:
                wake.clear()
            try:
                await step()
            except Exception as error:
                log.warning("runner_step_failed", step=step.__name__, error=type(error).__name__)
                self._reap_from = time.monotonic() + self._lease_s
            if wake:
                # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(period):
                        await wake.wait()
            else:
                await asyncio.sleep(period)

    async def _claim_all(self) -> None:
        free = self._most - len(self._running)
        if not self._claiming or free <= 0:
            return
        # On a task of its own: a claim can't be taken back by being cancelled, so that its outcome is waited for.
        self._claim = asyncio.ensure_future(
            self._engine.database.run(leases.claim_turns, self.owner, self._lease_s, free)
        )
        for claim in await asyncio.shield(self._claim):
            running = Running(claim, self._lease_s, self._beat_s)
            task = asyncio.create_task(self._run(running), name=f"turn {claim.id}")
            self._running[claim.id, claim.epoch] = (running, task)
            if not self._claiming:
                running.interrupt(Released)

    async def _run(self, running: Running) -> None:
        closed: Closed | None = None
        claim = running.claim
        # This task's own: every line that is logged from here on says which turn it is about.
        structlog.contextvars.bind_contextvars(session=str(claim.session_id), turn=claim.id)
        try:
            with tracing.turn(claim.session_id, claim.id, claim.attempt) as span:
                closed = await run_turn(running, self._engine, self._hub)
                if closed:
                    span.set_attribute("chat.turn.status", closed.status)
        except Exception:
            # The row is still ours and its lease runs out: the reaper gives it another attempt.
            log.exception("turn_crashed", turn=claim.id)
        finally:
            if len(self._running) >= self._most:
                self._wake.set()  # somebody may have waited for this place
            self._running.pop((claim.id, claim.epoch), None)
        if closed and self._closed:
            self._closed(closed)
        await self._engine.save_counters()

    async def _scan(self) -> None:
        if self._running:
            asked = await self._engine.database.read(leases.cancelled, list({turn for turn, _ in self._running}))
            for turn_id in asked:
                self.stop_turn(turn_id)

    async def _reap(self) -> None:
        if time.monotonic() < self._reap_from:
            return
        # Those of now: a turn that is put back may be claimed here before the last one has been looked at.
        before = dict(self._running)
        for turn_id, session_id, state in await self._engine.database.run(leases.reap_turns, owners.is_gone):
            log.warning("turn_reaped", turn=turn_id, session=str(session_id), state=state)
            for running in _of(turn_id, before):
                running.interrupt(Lost)
            if state == Turn.Status.QUEUED:
                self._hub.status(UUID(str(session_id)), turn_id, "restarting")
            else:
                await announce(turn_id, self._engine, self._hub)
            self._wake.set()

    async def _beat(self) -> None:
        if not self._claiming:
            return
        live, owner, slots = len(self._running), self.owner, self._slots
        await self._engine.database.run(
            lambda: Worker.objects.update_or_create(
                pk=owner, defaults={"kinds": "turn job", "slots": slots, "live": live, "beat_at": Now()}
            )
        )


def _of(turn_id: int, runs: Runs) -> list[Running]:
    """The runs of one turn: its first one may still be ending."""
    return [running for (turn, _), (running, _) in runs.items() if turn == turn_id]
