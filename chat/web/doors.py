"""The open sockets of this process, and the one loop that looks at all of them: who is signed out, slow or silent.

One sweep for all, with two queries for a thousand sockets: a timer and a query for each would cost more than the
replies. What changes in this process is acted on at once, by Django's signals; what changes elsewhere is found by
the next sweep. While the database doesn't answer nobody is sent away: replies go on from memory.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import Error, connection, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from chat.stream.protocol import Close
from chat.web import sending

log = structlog.get_logger(__name__)

SWEEP_S = 3.0
"""Seconds between two sweeps: a sign-out elsewhere is felt in less than five."""

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Login:
    """What let a socket in: a session that is signed in, a user, and the password (hashed) that was in force.

    Django gives a session a new key whenever somebody else signs in with it, so the key stands for the user.
    `key` is "" where there is no session (a test's scope).
    """

    key: str
    user: int
    password: str


class Door(Protocol):
    """One open socket, as the sweep sees it."""

    login: Login

    def overdue(self, now: float) -> bool:
        """Whether the page was silent, or has acknowledged nothing, for too long. `now` in monotonic seconds."""

    async def leave(self, code: Close) -> None:
        """Close it; nothing more is sent or taken."""


class Doors:
    """The open sockets of one process. All methods belong to the loop on which the sockets live."""

    def __init__(self) -> None:
        self._open: set[Door] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, door: Door) -> None:
        """A socket was opened."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._open, self._sweeping = loop, set(), None
        self._open.add(door)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = loop.create_task(self._sweep_on(), name="doors")

    def remove(self, door: Door) -> None:
        """A socket is gone."""
        self._open.discard(door)

    def suspect(self, *, key: str = "", user: int = 0) -> None:
        """Called from any thread: this login may have ended. Its sockets are looked at now."""
        if self._loop and not self._loop.is_closed() and self._open:
            self._loop.call_soon_threadsafe(self._look_at, key, user)

    async def sweep(self, now: float | None = None) -> None:
        """Look at every socket once. `now` in monotonic seconds."""
        now = time.monotonic() if now is None else now
        for door in [door for door in self._open if door.overdue(now)]:
            self._dismiss(door, Close.SLOW)
        doors = list(self._open)
        for first in range(0, len(doors), BATCH):
            await self.check(doors[first : first + BATCH])

    def dismiss(self, code: Close) -> None:
        """Send every page away."""
        for door in self._open:
            self._dismiss(door, code)

    async def check(self, doors: Collection[Door]) -> None:
        """Send away those whose login has ended."""
        try:
            good = await sending.read(still_good, {door.login for door in doors})
        except Error as error:
            log.warning("logins_not_checked", error=type(error).__name__)
            return
        for door in doors:
            if door.login not in good:
                self._dismiss(door, Close.SIGNED_OUT)

    async def _sweep_on(self) -> None:
        while self._open:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Exception:
                log.exception("sockets_not_swept")

    def _look_at(self, key: str, user: int) -> None:
        found = [door for door in self._open if door.login.user == user or (key and door.login.key == key)]
        if found:
            self._keep(self.check(found))

    def _dismiss(self, door: Door, code: Close) -> None:
        # A task each: a server with backpressure may let one that doesn't read wait.
        self._keep(door.leave(code))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


doors = Doors()


def still_good(logins: Iterable[Login]) -> set[Login]:
    """Those of the logins that still hold: session not ended, user active, password the same. Two queries."""
    asked = set(logins)
    keys = {login.key for login in asked} - {""}
    alive = {""}
    if keys:
        sessions = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        alive |= set(sessions.values_list("session_key", flat=True))
    users = get_user_model()._default_manager.filter(pk__in={login.user for login in asked}, is_active=True)
    passwords = dict(users.values_list("pk", "password"))
    return {login for login in asked if login.key in alive and passwords.get(login.user) == login.password}


_USERS = get_user_model()._meta.db_table
_HOLDS = f"""
SELECT 1 FROM {_USERS} u WHERE u.id = %s AND u.is_active = %s AND u.password = %s
AND (%s = '' OR EXISTS (SELECT 1 FROM {Session._meta.db_table} s WHERE s.session_key = %s AND s.expire_date > %s))"""


def holds(login: Login) -> bool:
    """The same of one login, before each command: one statement, put together once."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_HOLDS, [login.user, True, login.password, login.key, login.key, now])
        return cursor.fetchone() is not None


@receiver(post_delete, sender=Session)
def _session_ended(sender: Any, instance: Session, **kwargs: Any) -> None:
    _afterwards(partial(doors.suspect, key=instance.session_key))


@receiver([post_save, post_delete], sender=settings.AUTH_USER_MODEL)
def _user_changed(sender: Any, instance: Any, **kwargs: Any) -> None:
    # Every sign-in writes this one.
    if set(kwargs.get("update_fields") or ()) != {"last_login"}:
        _afterwards(partial(doors.suspect, user=instance.pk))


def _afterwards(work: Callable[[], None]) -> None:
    transaction.on_commit(work, robust=True)
