"""Background jobs: claim, run with a beating lease, finish. The loop knows no kind; kinds are handed in."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import structlog
from django.db import InterfaceError, OperationalError

from chat.flow.engine import Engine
from chat.flow.tracing import tracing
from chat.models import Job
from chat.providers.base import ProviderError
from chat.store import leases
from chat.store.leases import Claim

log = structlog.get_logger(__name__)

# Returns '' when the job is done, or the code of an error that is worth another try.
Handler = Callable[[Claim], Awaitable[str]]

LEASE_S = 60.0
BEAT_S = 15.0
IDLE_S = 1.0
RETRY_S = (5.0, 30.0)


class JobRunner:
    """Runs due jobs of the kinds it was given, `slots` at once. Survives any error of a job.

    No job is taken of a kind that `rests`: it waits as a row, and costs no attempt.
    """

    def __init__(
        self,
        engine: Engine,
        owner: str,
        kinds: Mapping[str, Handler],
        slots: int = 2,
        rests: Callable[[str], bool] = lambda kind: False,
    ):
        self._engine = engine
        self._owner = owner
        self._kinds = dict(kinds)
        self._slots = slots
        self._rests = rests
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._taking: asyncio.Future[tuple[Job, Claim] | None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to claim."""
        self._loop = asyncio.create_task(self._run(), name="jobs")

    def wake(self) -> None:
        """Something was enqueued."""
        self._wake.set()

    @property
    def live(self) -> int:
        """Jobs that run now."""
        return len(self._tasks)

    async def stop(self) -> None:
        """Stop claiming and end running jobs; they go back to the queue at no cost, and their drafts stay."""
        self._stopping = True
        for task in [self._loop, *self._tasks]:
            if task:
                task.cancel()
        await asyncio.gather(*(task for task in [self._loop, *self._tasks] if task), return_exceptions=True)
        if self._taking:
            # A claim can't be taken back by being cancelled.
            [taken] = await asyncio.gather(self._taking, return_exceptions=True)
            if isinstance(taken, tuple):
                with contextlib.suppress(OperationalError, InterfaceError):
                    await self._engine.database.run(leases.release_job, taken[1])

    async def idle(self) -> None:
        """Wait until nothing is due and nothing runs: for commands that must see the work done."""
        while True:
            if await self._claim():
                continue
            if not self._tasks:
                return
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                while len(self._tasks) < self._slots and await self._claim():
                    pass
            except Exception:
                log.exception("job_claim_failed")
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()

    async def _claim(self) -> bool:
        # One at a time: `idle` must not take a job that a thread is still claiming for the loop for no job at all.
        async with self._claiming:
            kinds = [kind for kind in self._kinds if not self._rests(kind)]
            if not kinds or len(self._tasks) >= self._slots:
                return False
            self._taking = asyncio.ensure_future(
                self._engine.database.run(leases.claim_job, self._owner, kinds, LEASE_S)
            )
            claimed = await asyncio.shield(self._taking)
            self._taking = None
            if claimed is None:
                return False
            job, claim = claimed
            task = asyncio.create_task(self._work(job.kind, claim), name=f"{job.kind} job {claim.id}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _work(self, kind: str, claim: Claim) -> None:
        beating = asyncio.create_task(self._beat(claim, asyncio.current_task()))
        error: str | None = None
        session = claim.session_id
        structlog.contextvars.bind_contextvars(job=claim.id, **({"session": str(session)} if session else {}))
        try:
            with tracing.job(kind, session, claim.id):
                error = await self._kinds[kind](claim)
        except ProviderError as failure:
            error = failure.code
        except asyncio.CancelledError:
            error = "cancelled"
            raise
        except Exception as failure:
            log.exception("job_failed", kind=kind, job=claim.id)
            error = type(failure).__name__[:40]
        finally:
            beating.cancel()
            await asyncio.shield(self._end(claim, error or ""))

    async def _end(self, claim: Claim, error: str) -> None:
        """Write down how it ended. Where that can't be, its lease runs out and it is done again."""
        run = self._engine.database.run
        try:
            if error == "cancelled" and self._stopping:
                await run(leases.release_job, claim)
            else:
                wait = 0.0 if error == "cancelled" else RETRY_S[min(claim.attempt, len(RETRY_S)) - 1]
                await run(leases.finish_job, claim, error=error, retry_in_s=wait)
        except (OperationalError, InterfaceError) as failure:
            log.warning("job_end_not_stored", job=claim.id, error=type(failure).__name__)

    async def _beat(self, claim: Claim, task: asyncio.Task[None] | None) -> None:
        held = True
        while held:
            await asyncio.sleep(BEAT_S)
            try:
                held = await self._engine.database.run(leases.beat_job, claim, LEASE_S)
            except (OperationalError, InterfaceError) as failure:
                # The work goes on; whoever takes the job over meanwhile fences us off.
                log.warning("job_beat_failed", job=claim.id, error=type(failure).__name__)
        if task:
            task.cancel()
