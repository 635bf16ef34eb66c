"""How each of the two databases is opened: what is set of SQLite, of libpq and of its pool, and why."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured


def tuned(found: dict[str, Any], *, directory: Path, threads: int, pool: int) -> dict[str, Any]:
    """A database's settings as its URL gives them, completed. `threads` keep a connection each; a `pool` of PostgreSQL
    holds at most that many, or two more than the threads. Raises ImproperlyConfigured for another kind."""
    if found["ENGINE"] == "django.db.backends.sqlite3":
        return found | _sqlite(directory)
    if found["ENGINE"] == "django.db.backends.postgresql":
        # The threads for sockets and runners keep theirs; pages need some too.
        return found | _postgresql(found.get("OPTIONS", {}), max(pool, threads + 2))
    raise ImproperlyConfigured("DATABASE_URL: sqlite:/// and postgres:// are supported.")


def _sqlite(directory: Path) -> dict[str, Any]:
    return {
        # Django's own, with a line for writers.
        "ENGINE": "ctxsite.sqlite3",
        # IMMEDIATE takes the write lock at BEGIN and waits for it there: a deferred transaction that turns into
        # a writer fails at once with "database is locked", whatever the timeout.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
            " PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4000;",
        },
        # Opening SQLite costs more than most queries; a thread keeps its connection.
        "CONN_MAX_AGE": None,
        # A file, never memory: the runner, the jobs and the sockets use threads of their own.
        "TEST": {"NAME": str(directory / "test.sqlite3")},
    }


def _postgresql(given: dict[str, Any], most: int) -> dict[str, Any]:
    # A server that is gone without a word holds a thread for so long (10 s, less than a lease), not for a quarter of an
    # hour. Of libpq: seconds, and for the user timeout milliseconds; what the URL says wins.
    silence = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
    silence |= {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
    return {
        # Django's own, with a short way for the statements of every turn.
        "ENGINE": "ctxsite.postgresql",
        "OPTIONS": silence | given | {"pool": {"min_size": 1, "max_size": most, "timeout": 20}},
        "CONN_MAX_AGE": 0,
    }
