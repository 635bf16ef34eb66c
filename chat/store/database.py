"""The one door from async code to the database: a small pool of threads, one unit of work at a time in each.

Django's own bridge runs everything on one shared thread, where one slow query stops every socket. Here a unit of
work is a synchronous function that holds one transaction; its thread keeps its connection for the next one.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 6
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
INSIST_S = 600.0
# So long a thread keeps a connection of PostgreSQL's pool: fetching it costs more than a statement. Then it goes back,
# where it is looked after.
KEEP_S = 60.0


# What stands before a unit of work, in the same visit: does it, or raises.
Door = Callable[..., Any]


def straight(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The door that is always open."""
    return work(*args, **kwargs)


class Database:
    """Runs units of work in threads. A unit that lost its connection is run again: all of ours are idempotent,
    fenced by client id, epoch or version, so that a commit whose answer was lost does no harm when repeated."""

    def __init__(self, threads: int = 4):
        self._threads = threads
        self._kept: list[Any] = []
        self._lock = threading.Lock()
        self._readers = self._pool("read", threads)
        # SQLite has one write lock: one thread that waits for it, and readers that never do.
        self._writers = self._pool("write", 1) if connection.vendor == "sqlite" else self._readers

    def _pool(self, name: str, threads: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(threads, thread_name_prefix=f"chat-{name}", initializer=self._enter)

    def _enter(self) -> None:
        own: Any = connections["default"]
        own.keep_s = KEEP_S  # see ctxsite.postgresql; SQLite's connection is kept for good
        own.inc_thread_sharing()  # so that close() may close it from another thread
        with self._lock:
            self._kept.append(own)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work that may write."""
        return await self._run(self._writers, work, *args, **kwargs)

    async def read(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work that only reads."""
        return await self._run(self._readers, work, *args, **kwargs)

    async def insist(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work that must not be lost while this process lives: it waits for a database that is away.

        Raises what the work raises once INSIST_S seconds of that have passed, and any other error at once.
        """
        end = time.monotonic() + INSIST_S
        while True:
            try:
                return await self.run(work, *args, **kwargs)
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() > end:
                    raise
                log.warning("database_awaited", error=type(error).__name__)
                await asyncio.sleep(LONGEST_WAIT_S * random.random())

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        wait = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await loop.run_in_executor(pool, lambda: _once(work, *args, **kwargs))
            except (OperationalError, InterfaceError) as error:
                if attempt == ATTEMPTS or not passes(error):
                    raise
                log.warning("database_retry", attempt=attempt, error=type(error).__name__)
                # Jitter: after a restart not all of a process's work comes back in one instant.
                await asyncio.sleep(wait * (0.5 + random.random()))
                wait = min(wait * 2, LONGEST_WAIT_S)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let what runs finish, then close the connections."""
        for pool in {self._readers, self._writers}:
            pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for own in self._kept:
                own.close()
            self._kept.clear()


def storable(text: str) -> str:
    """`text` as every database can store it: PostgreSQL refuses NUL, and no driver encodes half a surrogate pair.

    Both arrive: a page's JSON and a model's may escape anything.
    """
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def passes(error: Exception) -> bool:
    """Whether an error of the database may be gone with the next try: a lock, a restart, a connection that was cut.

    SQLite gives no code, only words. PostgreSQL's SQLSTATE: none (the connection itself failed), 08 connection,
    40 serialisation and deadlock, 53 resources, 57 the server is going down or coming up.
    """
    if isinstance(error, InterfaceError):
        return True
    if connection.vendor == "sqlite":
        return "locked" in str(error) or "busy" in str(error)
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state[:2] in ("08", "40", "53", "57")


def _once(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return work(*args, **kwargs)
    except (OperationalError, InterfaceError):
        connection.close()
        raise
    finally:
        close_old_connections()
