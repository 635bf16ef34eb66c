"""Servers are started once a run; sites, with fresh databases and processes of their own, once a test."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.faults.harness import History, Page, PostgreSQL, Proxy, Site, SQLite, Upstream
from tests.redis import Server as Redis


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory of this run."""
    path = Path(tempfile.mkdtemp(prefix="chat-faults-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql(scratch: Path) -> Iterator[PostgreSQL]:
    """A PostgreSQL server with a prepared template; a test that stops it starts it again."""
    server = PostgreSQL(scratch)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def sqlite(scratch: Path) -> SQLite:
    """A prepared SQLite file."""
    return SQLite(scratch)


@pytest.fixture(scope="session")
def own_redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.remove()


@pytest.fixture
def redis(own_redis: Redis) -> Redis:
    """A Redis server with nothing in it; a test that stops it need not start it again."""
    if own_redis.running:
        own_redis.flush()
    else:
        own_redis.start()
    return own_redis


@pytest.fixture(scope="session")
def own_upstream(scratch: Path) -> Iterator[Upstream]:
    process = Upstream(scratch)
    process.start()
    yield process
    process.discard()


@pytest.fixture
def upstream(own_upstream: Upstream) -> Iterator[Upstream]:
    """The stand-in, answering well and at 20 ms a piece. Its log goes on from test to test: look for your words."""
    if not own_upstream.running:
        own_upstream.start()
    own_upstream.clear()
    own_upstream.settings(delay_ms=20.0, first_ms=50.0, window=200_000, keep_bodies=False, summary_mode="lossy")
    yield own_upstream
    if own_upstream.running:
        own_upstream.clear()


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """`proxy(port)` puts a bad network in front of something."""
    made: list[Proxy] = []

    def make(target: int) -> Proxy:
        made.append(Proxy(target))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def site(
    request: pytest.FixtureRequest, scratch: Path, tmp_path: Path, upstream: Upstream
) -> Iterator[Callable[..., Site]]:
    """`site("postgresql", redis=redis, lease_s=4)` makes a site; its processes are the test's to start.

    At the end no process of it may have written a traceback, unless the test says `site.allowed = ("words",)`: then
    tracebacks with these words are what the test is about.
    """
    made: list[Site] = []

    def make(
        engine: str = "postgresql",
        *,
        redis: Redis | None = None,
        database_port: int | None = None,
        **settings: Any,
    ) -> Site:
        directory = tmp_path / f"site-{len(made) + 1}"
        directory.mkdir()
        if engine == "postgresql":
            database: Any = request.getfixturevalue("postgresql").fresh(port=database_port)
        else:
            database = request.getfixturevalue("sqlite").fresh(directory)
        made.append(Site(directory, database, upstream, redis, **settings))
        return made[-1]

    yield make
    wrong = [line for each in made for line in each.tracebacks() if not any(word in line for word in each.allowed)]
    for each in made:
        with contextlib.suppress(OSError):
            each.close()
    assert wrong == []


@pytest.fixture
async def pages() -> AsyncIterator[Callable[..., Any]]:
    """`await pages(site, urls, count=50)` opens pages, each to a conversation of its own, and waits for all welcomes.

    They share one history, `pages[0].history`. At the end none of them may have seen a wrong frame.
    """
    stack = contextlib.AsyncExitStack()
    opened: list[Page] = []

    async def open_pages(
        site: Site,
        urls: str | Sequence[str],
        count: int = 1,
        *,
        name: str = "alice",
        sessions: Sequence[UUID] | None = None,
        history: History | None = None,
        **options: Any,
    ) -> list[Page]:
        cookie = options.pop("cookie", None) or site.person(name).cookie
        shared = history or History()
        sessions = sessions or site.conversations(count, name)
        made = [Page(urls, session, cookie, shared, **options) for session in sessions]
        for page in made:
            await stack.enter_async_context(page)
        opened.extend(made)
        await asyncio.gather(*(page.opened() for page in made))
        return made

    async with stack:
        yield open_pages
    assert [fault for page in opened for fault in page.faults] == []
