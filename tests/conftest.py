"""What every test shares: a database in a file, a cast, and a site that reaches nobody outside.

The cast: alice owns what a test is about, bob is a signed-in stranger, olga is an operator (staff).
"""

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

PASSWORD = "correct horse battery staple"
ENGINES = ("sqlite", "postgresql")

# A shared machine is no stopwatch: how long an example takes is measured by `make bench`. In CI the same examples
# run each time, so that a failure there is one of the change and not of the dice.
hypothesis.settings.register_profile(
    "house",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")

_scratch = Path(tempfile.mkdtemp(prefix="chat-tests-"))


def pytest_configure(config: pytest.Config) -> None:
    """Point the settings at this process's own scratch directory and away from the real API."""
    # Playwright's sync API runs a loop in the test's thread, where Django would refuse the ORM.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        os.environ.pop(name, None)
    settings.ANTHROPIC_API_KEY = settings.ANTHROPIC_BASE_URL = ""
    settings.REDIS_URL = ""
    settings.CHAT_STANDIN = True
    settings.CHAT_STANDIN_DELAY_MS = 0
    settings.CHAT_CONTEXT_WINDOW = 16_000
    # Limits, and titles by a model, are for the tests that are about them.
    settings.CHAT_TITLES = "code"
    settings.CHAT_MESSAGES_PER_MINUTE = settings.CHAT_LIVE_TURNS = 0
    # A file, so that threads share it; one directory a process, so that two test runs don't share it.
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        settings.DATABASES["default"]["TEST"]["NAME"] = str(_scratch / "test.sqlite3")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Tests see the static sources, not what an earlier `make run` collected.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    settings.SERVESTATIC_USE_MANIFEST, settings.SERVESTATIC_USE_FINDERS = False, True


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_scratch, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is true of the other database only: deselected, so that "skipped" stays a fault."""
    other = next(name for name in ENGINES if name != connection.vendor)
    left = [item for item in items if item.get_closest_marker(other)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker(other)]
    for item in items:
        if item.get_closest_marker(connection.vendor):
            # `python -m tests` names them in its report.
            item.user_properties.append(("engine", connection.vendor))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the sessions that a test's threads left open: PostgreSQL drops no database that somebody is using."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def ends_of_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what an async test opened: there every task has a connection of its own, and nobody gives it back.

    PostgreSQL's pool has ten; without this the eleventh such test waits for ever.
    """
    opened: list[BaseDatabaseWrapper] = []
    connect = BaseDatabaseWrapper.connect

    def noted(self: BaseDatabaseWrapper) -> None:
        connect(self)
        if _in_a_loop():
            opened.append(self)

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", noted)
    yield
    for wrapper in opened:
        wrapper.close()


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def alice(db: None, django_user_model: Any) -> Any:
    """The owner."""
    return django_user_model.objects.create_user("alice", "alice@example.org", PASSWORD)


@pytest.fixture
def bob(db: None, django_user_model: Any) -> Any:
    """A stranger, signed in like anybody."""
    return django_user_model.objects.create_user("bob", "bob@example.org", PASSWORD)


@pytest.fixture
def olga(db: None, django_user_model: Any) -> Any:
    """An operator."""
    return django_user_model.objects.create_superuser("olga", "olga@example.org", PASSWORD)


@pytest.fixture
def password() -> str:
    """What everybody in the cast signs in with."""
    return PASSWORD


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run callables at the same instant, a thread and a connection each; needs `transaction=True`.

    `at_once(first, second)` returns, in order, what each returned or the exception that it raised.
    """

    def run(*calls: Callable[[], Any]) -> list[Any]:
        results: list[Any] = [None] * len(calls)
        barrier = threading.Barrier(len(calls))

        def work(index: int, call: Callable[[], Any]) -> None:
            try:
                barrier.wait(30)
                results[index] = call()
            except Exception as error:
                results[index] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a call that ran at once with others never returned"
        return results

    return run
