"""Whether this process can still write: a database may answer every question and take nothing (disk full, a standby).

Every few seconds the process writes its row among the workers; a write of a user's that failed is told here, too. A
question whether the site is ready then costs no write.
"""

import asyncio

import structlog
from django.db import Error
from django.db.models.functions import Now

from chat.models import Worker
from chat.store.database import Database

log = structlog.get_logger(__name__)

# As long as writing fails it is tried this often.
AGAIN_S = 1.0
KINDS = "web"


class Pulse:
    """The last word on whether a write succeeds. `failing` is the name of the error, '' while all is well."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._wake = asyncio.Event()
        self.failing = ""

    async def run(self, period: float) -> None:
        """Beat until cancelled, every `period` seconds."""
        while True:
            try:
                async with asyncio.timeout(AGAIN_S if self.failing else period):
                    await self._wake.wait()
            except TimeoutError:
                await self.beat()
            else:
                self._wake.clear()

    async def beat(self) -> None:
        """Write once."""
        try:
            await self._database.run(_write, self._owner)
        except Error as error:
            self.failed(error)
        else:
            if self.failing:
                log.info("storage_recovered")
            self.failing = ""

    def failed(self, error: Exception) -> None:
        """Something could not be stored."""
        if not self.failing:
            log.error("storage_fails", error=type(error).__name__)
            self._wake.set()
        self.failing = type(error).__name__

    async def stop(self) -> None:
        """Take this process off the list."""
        try:
            await self._database.run(lambda: Worker.objects.filter(pk=self._owner).delete())
        except Error as error:
            log.warning("worker_not_removed", error=type(error).__name__)


def _write(owner: str) -> None:
    # One statement; of a runner's row, which says more, only the time.
    Worker.objects.bulk_create(
        [Worker(id=owner, kinds=KINDS, beat_at=Now())],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["beat_at"],
    )
