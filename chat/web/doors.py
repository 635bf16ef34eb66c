"""The open sockets of this process, and the one loop that looks at all of them: who is signed out, slow or silent.

One sweep for all, a few hundred at a time with one query each: a timer and a query for every socket would cost more
than the replies, and ten thousand in one go would hold up every reply. What changes in this process is acted on at
once, by Django's signals; what changes elsewhere is found by the next sweep. While the database doesn't answer nobody
is sent away: replies go on from memory.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import inf
from typing import Any, ParamSpec, Protocol, TypeVar

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import Error, connection, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from chat.store import logins
from chat.stream.protocol import Close
from chat.web import sending

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

NOTE_S = 60.0
SWEEP_S = 3.0
"""Seconds in which every socket is looked at once: a sign-out elsewhere is felt in less than five."""

SLICE = 500
"""Sockets that are looked at in one go; the slices of a sweep are spread over its seconds."""


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
        # In order: who has waited longest for a look stands first.
        self._open: dict[Door, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._noted = -inf

    def add(self, door: Door) -> None:
        """A socket was opened."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._open, self._sweeping = loop, {}, None
        self._open[door] = None
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = loop.create_task(self._sweep_on(), name="doors")

    def remove(self, door: Door) -> None:
        """A socket is gone."""
        self._open.pop(door, None)

    def suspect(self, *, key: str = "", user: int = 0) -> None:
        """Called from any thread: this login may have ended. Its sockets are looked at now."""
        if self._loop and not self._loop.is_closed() and self._open:
            self._loop.call_soon_threadsafe(self._look_at, key, user)

    async def sweep(self, now: float | None = None) -> None:
        """Look at every socket once. `now` in monotonic seconds."""
        for _ in range(-(-len(self._open) // SLICE)):
            await self._look_at_some(now)

    def dismiss(self, code: Close) -> None:
        """Send every page away."""
        for door in self._open:
            self._dismiss(door, code)

    async def check(self, doors: Sequence[Door]) -> None:
        """Send away those whose login has ended."""
        try:
            places = await sending.read(ended, [door.login for door in doors])
        except Error as error:
            log.warning("logins_not_checked", error=type(error).__name__)
            return
        for place in places:
            self._dismiss(doors[place], Close.SIGNED_OUT)

    async def _look_at_some(self, now: float | None = None) -> None:
        """Look at those that have waited longest; they go to the end, and whoever comes in stands behind them."""
        now = time.monotonic() if now is None else now
        some = list(islice(self._open, SLICE))
        for door in some:
            del self._open[door]
            self._open[door] = None
        good = []
        for door in some:
            if door.overdue(now):
                self._dismiss(door, Close.SLOW)
            else:
                good.append(door)
        if good:
            await self.check(good)

    async def _sweep_on(self) -> None:
        while self._open:
            await asyncio.sleep(SWEEP_S / max(1, -(-len(self._open) // SLICE)))
            try:
                await self._look_at_some()
                await self._note()
            except Exception:
                log.exception("sockets_not_swept")

    async def _note(self) -> None:
        """Write down, once in a while, who has a page open: it is what "last seen" says of a browser."""
        now = time.monotonic()
        if now - self._noted > NOTE_S:
            self._noted = now
            await sending.write(logins.seen, {(door.login.key, door.login.user) for door in self._open})

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


_USERS = get_user_model()._meta.db_table
_SESSIONS = Session._meta.db_table
_HOLDS = f"""
SELECT 1 FROM {_USERS} u WHERE u.id = %s AND u.is_active = %s AND u.password = %s
AND (%s = '' OR EXISTS (SELECT 1 FROM {_SESSIONS} s WHERE s.session_key = %s AND s.expire_date > %s))"""

# Many in one statement, which answers with nothing when all is well: a row for each would cost more than the looking.
_ASKED = {
    "sqlite": """
        (SELECT key AS place, json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS password,
        json_extract(value, '$[2]') AS session FROM json_each(%s))""",
    "postgresql": """
        (SELECT place - 1 AS place, (value->>0)::bigint AS id, value->>1 AS password, value->>2 AS session
        FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS given(value, place))""",
}
_ENDED = f"""
SELECT a.place FROM {{asked}} a WHERE
NOT EXISTS (SELECT 1 FROM {_USERS} u WHERE u.id = a.id AND u.is_active = %s AND u.password = a.password)
OR a.session <> '' AND NOT EXISTS
(SELECT 1 FROM {_SESSIONS} s WHERE s.session_key = a.session AND s.expire_date > %s)"""


def ended(logins: Iterable[Login]) -> list[int]:
    """The places of those logins that hold no more: session ended, user inactive, or the password another one."""
    asked = json.dumps([(login.user, login.password, login.key) for login in logins])
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_ENDED.format(asked=_ASKED[connection.vendor]), [asked, True, now])
        return [place for (place,) in cursor.fetchall()]


class SignedOut(Exception):
    """The login that let a socket in holds no more."""


def let_in(login: Login, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """A unit of work that is done only for who is still signed in. Raises SignedOut."""
    if not holds(login):
        raise SignedOut
    return work(*args, **kwargs)


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
