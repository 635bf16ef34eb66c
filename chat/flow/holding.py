"""How the turns that run in this process hold on to their rows: checkpoints and heartbeats, together for all of them.

One unit of work a second, however many replies grow: a visit to the database for each would cost more than the text
that it stores. Each row is fenced by its own claim, so that one turn that is lost says nothing of the others.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import structlog
from django.db import InterfaceError, OperationalError

from chat.flow.running import Lost, Running, Stopped
from chat.store import leases
from chat.store.database import Database

log = structlog.get_logger(__name__)

CHECKPOINT_S = 1.0
CHECKPOINT_CHARS = 2048


class Holding:
    """The running turns of one process. Belongs to the loop on which they run."""

    def __init__(self, database: Database):
        self._database = database
        # By epoch, too: a turn that goes back to the queue may be claimed here again before this run has ended.
        self._held: dict[tuple[int, int], Running] = {}
        self._much = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def hold(self, running: Running) -> Iterator[None]:
        """While this lasts, the turn's text is stored every second in which it grew, and at once after
        CHECKPOINT_CHARS characters; without growth its lease is renewed every `beat_s` seconds. A turn that somebody
        else has taken, or that somebody asked to stop, is interrupted.
        """
        key = (running.claim.id, running.claim.epoch)
        self._held[key] = running
        if self._task is None:
            self._task = asyncio.create_task(self._beat_on(), name="holding")
        try:
            yield
        finally:
            del self._held[key]
            if not self._held:
                self._task.cancel()
                self._task = None

    def grew(self, running: Running) -> None:
        """Text was added: it is stored soon once there is enough of it."""
        if running.unsaved >= CHECKPOINT_CHARS:
            self._much.set()

    async def _beat_on(self) -> None:
        tick = time.monotonic()
        while True:
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tick + CHECKPOINT_S - time.monotonic()):
                    await self._much.wait()
            self._much.clear()
            now = time.monotonic()
            if now >= tick + CHECKPOINT_S:
                tick = now
                due = [one for one in self._held.values() if one.has_grown() or now - one.beaten >= one.beat_s]
            else:
                due = [one for one in self._held.values() if one.unsaved >= CHECKPOINT_CHARS]
            if due:
                await self._beat(due, now)

    async def _beat(self, due: Sequence[Running], now: float) -> None:
        for one in due:
            one.beaten = now
        texts = [one.text if one.has_grown() else None for one in due]
        beats = [(one.claim, text) for one, text in zip(due, texts, strict=True)]
        try:
            answers = await self._database.run(leases.beat_turns, beats, max(one.lease_s for one in due))
        except (OperationalError, InterfaceError) as error:
            # The replies go on in memory; whoever takes a turn over meanwhile fences us off.
            log.warning("beat_failed", turns=[one.claim.id for one in due], error=type(error).__name__)
            return
        except Exception:
            # Whatever is wrong with one row must not cost the others their leases: each by itself, then.
            log.exception("beat_refused", turns=[one.claim.id for one in due])
            if len(due) > 1:
                for one in due:
                    await self._beat([one], now)
            return
        for one, text, asked in zip(due, texts, answers, strict=True):
            if asked is None:
                one.interrupt(Lost)
            elif asked:
                one.interrupt(Stopped)
            if text is not None:
                one.saved(len(text))
