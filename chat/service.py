"""What one process runs: hub, runner, jobs, provider, and the stand-in where there is no key. One event loop.

`start` is called by the server, and by commands in a loop of their own; `drain` and `stop` end it. The kinds of jobs
are wired here, so that the loop that runs them knows none.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.utils.module_loading import import_string

from chat.flow import allowing, compactor, fallback, importing, letters, opening, owners, titles, upstream
from chat.flow.closing import announce
from chat.flow.engine import Engine
from chat.flow.jobs import JobRunner
from chat.flow.opening import Opened, Rejected
from chat.flow.runner import Runner
from chat.flow.sweeping import Marks
from chat.flow.tracing import tracing
from chat.flow.upstream import Upstream
from chat.models import words
from chat.providers.base import Provider
from chat.providers.standin import StandIn
from chat.store import leases, purging, sessions, switches
from chat.store.closing import Closed
from chat.store.database import Database, Door, straight
from chat.store.following import Rows
from chat.store.portable import staging
from chat.store.pulse import Pulse
from chat.store.quotas import Caps
from chat.store.rates import Rates
from chat.stream import rendering
from chat.stream.bus import Bus, NoBus
from chat.stream.following import Following
from chat.stream.hub import Hub
from chat.stream.protocol import Close
from chat.stream.telling import WORKERS
from chat.surgery import jobs as surgery
from monitoring import recording

log = structlog.get_logger(__name__)

DRAIN_S = 3.0
# About what a restart takes; a page that comes too early tries again with growing waits.
COME_BACK_MS = 2_000
# Steps of SQLite's index in one sweep: less than a tenth of a second in which this process writes nothing else.
FORGOTTEN_AT_ONCE = 2
# Steps of removing what was deleted, in one sweep, and seconds between two: so whoever writes finds SQLite free half of
# that time, and a sweep is over in seconds. A long conversation takes several.
PURGED_AT_ONCE = 40
PURGE_REST_S = 0.05


@dataclass(slots=True)
class Service:
    """The parts of a running process."""

    engine: Engine
    hub: Hub
    database: Database
    owner: str
    bus: Bus
    pulse: Pulse
    following: Following | None = None
    runner: Runner | None = None
    jobs: JobRunner | None = None
    standin: StandIn | None = None
    rates: Rates = field(default_factory=Rates)
    draining: bool = False
    forgetting: bool = False
    loops: list[asyncio.Task[None]] = field(default_factory=list)
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.marks = Marks(self.engine)

    def wake(self) -> None:
        """A turn was opened or a job enqueued, perhaps in this process."""
        self.wake_runner()
        self.wake_jobs()

    def wake_runner(self) -> None:
        """A turn was opened: for our own runner, else for the others'."""
        if self.runner:
            self.runner.wake()
        else:
            self.bus.send(WORKERS, ("queued",))

    def wake_jobs(self) -> None:
        """A job was enqueued."""
        if self.jobs:
            self.jobs.wake()
        else:
            self.bus.send(WORKERS, ("job",))

    def told(self, frame: list[Any]) -> None:
        """Another process has work for whoever runs some, or wants a turn to stop. A hint: the rows say it too."""
        match frame:
            case ["queued"] if self.runner:
                self.runner.wake()
            case ["job"] if self.jobs:
                self.jobs.wake()
            case ["stop", int(turn_id)] if self.runner:
                self.runner.stop_turn(turn_id)

    def switched(self, found: switches.Switches) -> None:
        """An operator turned a switch, perhaps in another process."""
        self.engine.switches = found
        self.wake()

    async def open_turn(
        self,
        *,
        owner_id: int,
        session_id: UUID,
        client_id: UUID,
        text: str,
        op: str = "new",
        of: int | None = None,
        base: int | None = None,
        documents: Sequence[int] = (),
        caps: Caps | None = None,
        door: Door = straight,
    ) -> Opened | Rejected:
        """Store a user's message as a turn and wake the runner; see flow.opening. `caps`: other than the settings'."""
        opened = await self.database.run(
            door,
            opening.open_turn,
            owner_id=owner_id,
            session_id=session_id,
            client_id=client_id,
            text=text,
            op=op,
            of=of,
            base=base,
            documents=documents,
            count=self.engine.counter(settings.CHAT_MODEL).count,
            refusal=partial(fallback.refusal, engine=self.engine),
            worth=partial(allowing.most, self.engine),
            caps=caps,
            runner=self.owner if self.runner else "",
        )
        if isinstance(opened, Opened):
            if not opened.duplicate:
                # Said where the request's or the socket's id is known; the turn's own lines have the turn's.
                log.info("turn_opened", session=str(session_id), turn=opened.turn_id, op=op)
                self.hub.status(session_id, opened.turn_id, "queued")
            self.wake_runner()
        return opened

    async def stop_turn(self, *, owner_id: int, session_id: UUID, turn_id: int, door: Door = straight) -> str:
        """Stop a turn for its owner; see flow.opening.ask_stop."""
        answer = await self.database.run(
            door, opening.ask_stop, owner_id=owner_id, session_id=session_id, turn_id=turn_id
        )
        if answer == "asked" and not (self.runner and self.runner.stop_turn(turn_id)):
            self.bus.send(WORKERS, ("stop", turn_id))
            if self.following:
                self.following.hurry(turn_id)
        if answer == "stopped":
            await announce(turn_id, self.engine, self.hub)
        return answer


_current: Service | None = None


def current() -> Service:
    """The running service of this process. Raises RuntimeError before start."""
    if _current is None:
        raise RuntimeError("The service is not running in this process.")
    return _current


def running() -> bool:
    """Whether this process has a service."""
    return _current is not None


async def start(
    *,
    provider: Provider | None = None,
    run_turns: bool | None = None,
    run_jobs: bool | None = None,
    sweep: bool = True,
    standin_options: dict[str, Any] | None = None,
) -> Service:
    """Start everything that this process runs. `run_turns` and `run_jobs` default to CHAT_RUNNER.

    Without `sweep` only work that this process was told of is done: commands leave other people's sessions alone.
    """
    global _current
    if _current is not None:
        return _current
    if settings.MONITORING_OTEL:
        tracing.use(import_string(settings.MONITORING_TELEMETRY)())
    database = Database(settings.CHAT_DATABASE_THREADS)
    way = Upstream(provider, provider) if provider else await upstream.connect(database, standin_options)
    recent = _in_redis("windows", life_s=settings.CHAT_WINDOW_CACHE_S) if caches_windows() else None
    engine = Engine(way.reply, database, recent, background=way.background)
    hub = Hub(
        finished_blocks=rendering.finished_blocks,
        is_brief=rendering.is_brief,
        flush_s=settings.CHAT_FLUSH_MS / 1000,
    )
    owner = owners.name()
    bus: Bus = _in_redis("bus") if settings.REDIS_URL else NoBus()
    service = Service(
        engine=engine,
        hub=hub,
        database=database,
        owner=owner,
        bus=bus,
        pulse=Pulse(database, owner),
        standin=way.standin,
        rates=Rates(_in_redis("rates") if settings.REDIS_URL else None),
    )
    following = service.following = Following(hub, bus, Rows(database), service.told)
    following.start()
    await engine.load_counters()
    engine.switches = await database.read(switches.read)
    default = settings.CHAT_RUNNER
    if run_turns if run_turns is not None else default:
        service.runner = _runner(service)
        service.runner.start()
    if run_jobs if run_jobs is not None else default:
        service.jobs = _jobs(service)
        service.jobs.start()
        if sweep:
            service.loops.append(asyncio.create_task(_sweep(service), name="sweep"))
    if service.runner or service.jobs:
        bus.listen(WORKERS)
    service.loops.append(asyncio.create_task(service.pulse.run(settings.CHAT_BEAT_S), name="pulse"))
    service.loops.append(asyncio.create_task(switches.follow(database, service.switched), name="switches"))
    recording.register_source("bus", lambda: {**bus.numbers(), **following.numbers()})
    if recent:
        recording.register_source("windows", lambda: {"hits": recent.hits, "misses": recent.misses})
    recording.register_source("hub", lambda: {"live_turns": hub.live_turns, "sockets": hub.watchers})
    _current = service
    log.info("service_started", owner=owner, runner=service.runner is not None, standin=way.standin is not None)
    return service


def caches_windows() -> bool:
    """Whether windows are kept for the next turn: where Redis is, unless the setting says no."""
    return bool(settings.REDIS_URL) and settings.CHAT_WINDOW_CACHE_S > 0


def draining() -> bool:
    """Whether this process is about to end."""
    return _current is not None and _current.draining


async def drain(seconds: float = DRAIN_S) -> None:
    """Send the sockets away; stop taking work; let what ends in so many seconds end, give the rest back."""
    if _current is None or _current.draining:
        return
    _current.draining = True
    _current.hub.bye(code=Close.RESTART, reconnect_after_ms=COME_BACK_MS)
    if _current.runner:
        await _current.runner.drain(seconds)


async def stop() -> None:
    """End everything, save what was learnt, close the connections."""
    global _current
    service, _current = _current, None
    if service is None:
        return
    for loop in service.loops:
        loop.cancel()
    await asyncio.gather(*service.loops, return_exceptions=True)
    if service.jobs:
        await service.jobs.stop()
    if service.runner:
        await service.runner.stop()
    if service.following:
        await service.following.stop()
    await service.bus.stop()
    with contextlib.suppress(Exception):
        await service.engine.save_counters(now=True)
    await service.rates.close()
    await service.pulse.stop()
    await service.engine.provider.close()
    if service.standin:
        await service.standin.close()
    await asyncio.to_thread(service.database.close)
    if service.engine.recent:
        await asyncio.to_thread(service.engine.recent.close)


def _in_redis(part: str, **options: Any) -> Any:
    """A part of the service that lives in Redis. Its module is loaded now: a site without Redis never pays for it."""
    return import_string(settings.CHAT_IN_REDIS[part])(settings.REDIS_URL, **options)


def _runner(service: Service) -> Runner:
    def closed(end: Closed) -> None:
        if end.compacts:
            service.wake_jobs()

    return Runner(
        service.engine,
        service.hub,
        service.owner,
        slots=settings.CHAT_RUNNER_SLOTS,
        lease_s=settings.CHAT_LEASE_S,
        beat_s=settings.CHAT_BEAT_S,
        reap_s=settings.CHAT_REAP_S,
        closed=closed,
    )


def _jobs(service: Service) -> JobRunner:
    async def compact(claim: leases.Claim) -> str:
        return await surgery.run_compaction(claim, service.engine, service.hub)

    async def take_in(claim: leases.Claim) -> str:
        return await importing.run_job(claim, service.engine)

    async def title(claim: leases.Claim) -> str:
        return await titles.run_job(claim, service.engine, service.hub)

    async def write_letters(claim: leases.Claim) -> str:
        return await letters.run_job(claim, service.engine)

    async def operate(claim: leases.Claim) -> str:
        return await surgery.run_job(claim, service.engine, service.hub)

    def rests(kind: str) -> bool:
        if kind == compactor.KIND:
            return compactor.service_rests(service.engine)
        return kind == titles.KIND and compactor.model_rests(service.engine)

    kinds = {
        compactor.KIND: compact,
        importing.KIND: take_in,
        letters.KIND: write_letters,
        surgery.KIND: operate,
        titles.KIND: title,
    }
    return JobRunner(service.engine, service.owner, kinds, rests=rests)


async def _sweep(service: Service) -> None:
    """Find work that no reply announced, jobs whose process died, and conversations that were deleted long enough."""
    while True:
        try:
            await sweep_once(service)
        except Exception as error:
            log.warning("sweep_failed", error=type(error).__name__)
        await asyncio.sleep(settings.CHAT_SWEEP_S)


async def sweep_once(service: Service) -> int:
    """One sweep; how many compactions it enqueued."""
    await service.database.run(leases.reap_jobs, owners.is_gone)
    if await service.database.run(surgery.revive):
        service.wake_jobs()
    for session in await service.database.run(sessions.expire, settings.CHAT_TEMPORARY_S):
        service.hub.gone(session)
    await service.database.run(staging.purge)
    made = await service.database.run(compactor.sweep, await service.marks.read())
    if made:
        service.wake_jobs()
    await _purge(service)
    return made


async def _purge(service: Service) -> None:
    """Remove some of what was deleted long enough ago. Each step is a visit of its own, with room for others after."""
    for _ in range(PURGED_AT_ONCE):
        step = await service.database.run(purging.purge, settings.CHAT_UNDO_S)
        if step is None:
            break
        if step.gone:
            service.forgetting = True
            if service.engine.recent:
                await service.database.read(service.engine.recent.forget, str(step.session))
        await asyncio.sleep(PURGE_REST_S)
    if service.forgetting:
        service.forgetting = await service.database.run(words.forget, most=FORGOTTEN_AT_ONCE)
