"""The runtime switches as every process has them: a value that is read again every few seconds, never for a turn.

Nobody asks the database on the way of a message. A process that can't reach it goes on with what it read last.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from django.db import Error, transaction
from django.db.models.functions import Now

from chat.models import Switches as Row
from chat.store.database import Database

log = structlog.get_logger(__name__)

REFRESH_S = 2.0
"""In force everywhere within 5 s, also when one reading fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How the site runs just now, where that differs from the settings; see `models.Switches`."""

    compaction_paused: bool = False
    inline_off: bool = False
    summary_model: str = ""
    fallback_model: str = ""
    concurrency: int | None = None
    read_only: bool = False

    def values(self) -> dict[str, Any]:
        """By name, as the audit keeps them."""
        return asdict(self)

    def slots(self, own: int) -> int:
        """How many of a process's `own` slots may run replies."""
        return own if self.concurrency is None else min(own, self.concurrency)


NAMES = tuple(Switches.__dataclass_fields__)


def read() -> Switches:
    """The switches as they are stored. One statement."""
    found = Row.objects.values(*NAMES).first()
    return Switches(**found) if found else Switches()


def write(wanted: Switches) -> Switches:
    """Store them; what they were before, under the row's lock. Call it in the transaction that also writes the audit
    row."""
    with transaction.atomic():
        only = Row.objects.get_or_create(pk=Row._meta.pk.get_default())[0].pk
        row = Row.objects.select_for_update().get(pk=only)  # made before it is locked: two first writers wait, too
        before = Switches(**{name: getattr(row, name) for name in NAMES})
        Row.objects.filter(pk=only).update(**wanted.values(), changed_at=Now())
        return before


async def follow(database: Database, tell: Callable[[Switches], None]) -> None:
    """Tell the switches now and after every change, until cancelled."""
    known: Switches | None = None
    while True:
        try:
            found = await database.read(read)
        except Error as error:
            log.warning("switches_not_read", error=type(error).__name__)
        else:
            if found != known:
                if known is not None or found != Switches():
                    log.warning("switches", **found.values())
                known = found
                tell(found)
        await asyncio.sleep(REFRESH_S)
