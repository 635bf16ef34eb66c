"""Monitoring's own work: alerts evaluated and told, rollups made, old rows deleted. In a thread, one process at a time.

Who holds the lease in the row "loop" works; the others look again each round, and take over when it has run out. A
process that was killed is followed within LEASE. A database that is away costs rounds, nothing else.
"""

import os
import socket
import threading
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from django.utils import timezone

from monitoring import alerting, delivery, retention, rollups
from monitoring.models import Progress

log = structlog.get_logger("monitoring")

LOOP = "loop"
ROUND_S = 10.0
# A round's pieces renew it; the longest piece is an hour of calls.
LEASE = timedelta(seconds=90)
ROLL_S = 60.0  # between two looks for buckets that have ended
PURGE_S = 300.0
# Beside a web server each piece of work is followed by a rest this many times as long: its streams come first.
REST = 3.0


class Loop:
    """The rounds of one process. `rest`: see REST; 0 in a process of its own."""

    def __init__(self, *, rest: float = REST, round_s: float = ROUND_S) -> None:
        self.owner = f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._rest, self._round_s = rest, round_s
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._rolled = self._purged = 0.0

    def start(self) -> None:
        """Begin, in a thread that holds up no exit."""
        self._thread = threading.Thread(target=self.run, name="monitoring", daemon=True)
        self._thread.start()

    def stop(self, wait_s: float = 1.0) -> None:
        """End after the piece of work at hand; give the lease back."""
        self._ends.set()
        if self._thread:
            self._thread.join(wait_s)

    def run(self) -> None:
        """Round after round until `stop`."""
        # Not at the very start: a process that begins has better things to do.
        wait = self._round_s
        while not self._ends.wait(wait):
            wait = self._round_s
            try:
                if self.once():
                    wait = 0.0
            except Lost:
                log.info("round_left")
            except (DatabaseError, InterfaceError) as error:
                log.warning("round_without_database", error=type(error).__name__)
            except Exception:
                # A round that fails must not be the last one: it is logged, and the next may find things better.
                log.exception("round_failed")
            finally:
                _close()
        self._release()

    def once(self, now: datetime | None = None) -> bool:
        """One round, if the lease is ours or free; whether there is more to do at once."""
        moment = now or timezone.now()
        if not self._lease(moment):
            return False
        evaluated = alerting.evaluate(now)
        delivery.send_due(now)
        more = False
        if time.monotonic() - self._rolled >= ROLL_S or not self._rolled:
            more = rollups.roll(moment, breathe=self._breathe).more
            self._rolled = 0.0 if more else time.monotonic()
        if not more and (time.monotonic() - self._purged >= PURGE_S or not self._purged):
            gone = retention.purge(moment, breathe=self._breathe)
            self._purged = time.monotonic()
            if gone:
                log.info("purged", **gone)
        if evaluated.rules:
            Progress.objects.filter(pk=LOOP, owner=self.owner).update(done_at=moment)
        return more

    def _lease(self, now: datetime) -> bool:
        mine = Progress.objects.filter(Q(owner=self.owner) | Q(until=None) | Q(until__lt=now), pk=LOOP)
        if mine.update(owner=self.owner, until=now + LEASE):
            return True
        _, made = Progress.objects.get_or_create(pk=LOOP, defaults={"owner": self.owner, "until": now + LEASE})
        return made

    def _breathe(self, spent: float) -> None:
        """Keep the lease, and rest. Raises Lost when somebody else has it, so that two never work for long, and when
        the process ends."""
        if self._ends.is_set() or not self._lease(timezone.now()):
            raise Lost
        self._ends.wait(min(5.0, spent * self._rest))

    def _release(self) -> None:
        try:
            Progress.objects.filter(pk=LOOP, owner=self.owner).update(until=None, owner="")
        except (DatabaseError, InterfaceError) as error:
            log.warning("lease_not_released", error=type(error).__name__)
        finally:
            _close()


class Lost(Exception):
    """Another process took the lease, since this one stood still for too long; or this one is to end."""


def _close() -> None:
    own: Any = connections
    own.close_all()
