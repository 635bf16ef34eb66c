"""The databases of the fault tests: each site gets a fresh copy of one that was prepared once.

Prepared means: migrated, with users who have signed in (their cookies are known) and with empty conversations, so
that no test pays for either.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.faults.harness.processes import ROOT, environment
from tests.postgres import Cluster

PASSWORD = "correct horse battery staple"
SECRET_KEY = "only for processes that a test starts and ends"
CONVERSATIONS = {"alice": 400, "bob": 20, "olga": 2}

PREPARE = """
import json, sys
import django
django.setup()
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from chat.store import sessions
call_command("migrate", verbosity=0, interactive=False)
store = import_module(settings.SESSION_ENGINE).SessionStore
people = {}
with transaction.atomic():
    for name, count in json.loads(sys.argv[1]).items():
        make = get_user_model().objects.create_superuser if name == "olga" else get_user_model().objects.create_user
        user = make(name, f"{name}@example.org", sys.argv[2])
        signed_in = store()
        signed_in[SESSION_KEY] = str(user.pk)
        signed_in[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        signed_in[HASH_SESSION_KEY] = user.get_session_auth_hash()
        signed_in.save()
        people[name] = {
            "id": user.pk,
            "cookie": signed_in.session_key,
            "conversations": [str(sessions.create(user).pk) for _ in range(count)],
        }
connection.close()
print(json.dumps(people))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a prepared database. `cookie` is that of a browser in which they have signed in."""

    name: str
    id: int
    cookie: str
    conversations: tuple[str, ...]


class Database(Protocol):
    """One site's database."""

    people: dict[str, Person]
    url: str

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement with %s for values, past Django and past the site; what it returns."""


def prepare(url: str, scratch: Path) -> dict[str, Person]:
    """Migrate a database and put people and conversations into it."""
    given = {"DATABASE_URL": url, "CHAT_VAR_DIR": str(scratch), "DJANGO_SECRET_KEY": SECRET_KEY}
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, json.dumps(CONVERSATIONS), PASSWORD],
        cwd=ROOT,
        env=environment(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        name: Person(name, person["id"], person["cookie"], tuple(person["conversations"]))
        for name, person in found.items()
    }


class PostgreSQL:
    """A server and a template in it; `fresh` makes a site's database."""

    def __init__(self, scratch: Path) -> None:
        self.cluster = Cluster(durable=True)
        self.running = False
        self.start()
        self._number = 0
        self._administer("CREATE DATABASE template_site")
        self._people = prepare(self.cluster.url("template_site"), scratch)

    def start(self) -> None:
        """Start the server, on the same port as ever."""
        self.cluster.start()
        self.running = True

    def stop(self) -> None:
        """Crash the server: every connection is cut, new ones are refused."""
        self.cluster.stop("immediate")
        self.running = False

    def fresh(self, *, port: int | None = None) -> "PostgreSQLDatabase":
        """A new copy of the template; `port` is that of a proxy through which the site shall reach it."""
        if not self.running:
            self.start()
        self._number += 1
        name = f"site_{self._number}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE template_site")
        return PostgreSQLDatabase(self, self.cluster.url(name), self.cluster.url(name, port=port), self._people)

    def remove(self) -> None:
        """Stop and delete it all."""
        self.cluster.remove()

    def _administer(self, sql: str) -> None:
        with psycopg.connect(self.cluster.url(), autocommit=True) as connection:
            connection.execute(sql)


class PostgreSQLDatabase:
    """One site's database in the server `server`."""

    vendor = "postgresql"

    def __init__(self, server: PostgreSQL, own: str, url: str, people: dict[str, Person]) -> None:
        self.server, self.url, self.people = server, url, people
        self.direct = own
        """Where psycopg reaches it, past every proxy."""

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """See `Database`."""
        with psycopg.connect(self.direct, autocommit=True) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        """Cut whoever is connected, and delete it."""
        if self.server.running:
            name = self.direct.rsplit("/", 1)[1]
            self.server._administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class SQLite:
    """A template file; `fresh` makes a site's database."""

    def __init__(self, scratch: Path) -> None:
        self._template = scratch / "template.sqlite3"
        self._people = prepare(f"sqlite:///{self._template}", scratch)
        with sqlite3.connect(self._template) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def fresh(self, directory: Path) -> "SQLiteDatabase":
        """A new copy of the template in `directory`."""
        path = directory / "db.sqlite3"
        shutil.copy(self._template, path)
        return SQLiteDatabase(path, self._people)


class SQLiteDatabase:
    """One site's file."""

    vendor = "sqlite"

    def __init__(self, path: Path, people: dict[str, Person]) -> None:
        self.path, self.people = path, people
        self.url = f"sqlite:///{path}"

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """See `Database`."""
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            with connection:
                return connection.execute(sql.replace("%s", "?"), values).fetchall()
        finally:
            connection.close()

    def drop(self) -> None:
        """Its directory goes with the test."""
