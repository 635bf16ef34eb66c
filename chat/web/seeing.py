"""Which replies are on their owner's screen: noted by the sockets, stored together once a second.

It is a dot in the list of conversations; a visit to the database for each reply would cost as much as its heartbeats.
What is noted when a process ends at once is lost: the dot stays until the conversation is opened again.
"""

import asyncio
from uuid import UUID

import structlog
from django.db import Error

from chat.web import attaching, sending

log = structlog.get_logger(__name__)

WAIT_S = 0.5


class Seeing:
    """What was seen and not yet stored, of one process. All methods belong to the loop on which the sockets live."""

    def __init__(self) -> None:
        self._noted: dict[tuple[int, UUID], int] = {}
        self._storing: asyncio.Task[None] | None = None

    def note(self, owner_id: int, session_id: UUID, number: int) -> None:
        """The owner has this reply, and all before it, on the screen."""
        key = (owner_id, session_id)
        self._noted[key] = max(number, self._noted.get(key, 0))
        loop = asyncio.get_running_loop()
        if self._storing is None or self._storing.done() or self._storing.get_loop() is not loop:
            self._storing = loop.create_task(self._store(), name="seeing")

    async def _store(self) -> None:
        while self._noted:
            await asyncio.sleep(WAIT_S)
            noted, self._noted = self._noted, {}
            try:
                await sending.write(attaching.seen, [(*key, number) for key, number in noted.items()])
            except Error as error:
                log.warning("seen_not_stored", error=type(error).__name__)


seeing = Seeing()
