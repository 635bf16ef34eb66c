"""A whole database into one file and back, by the database's own means, while the site serves or before it starts.

SQLite: its online backup, one consistent moment, readers and writers go on. PostgreSQL: pg_dump's custom format, and
psql for the way back. Both ways are all or nothing: a copy has its name only when it is complete and on the disk, and
a restore is one transaction.
"""

import contextlib
import glob
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import IO

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import connection

from chat.models import ChatSession

# Tables first: those of a newer release are not in an older copy, and would be in the way of its migrations.
_CLEAR = """
DO $$ DECLARE each text; BEGIN
  FOR each IN SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE 'DROP TABLE public.' || each || ' CASCADE';
  END LOOP;
END $$;
"""


def save(path: Path) -> None:
    """Write a copy of the database to `path`, which must not exist. Raises CommandError; then nothing is left."""
    if path.exists():
        raise CommandError(f"{path} exists already; a backup never overwrites one.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Everything that anybody ever wrote: for the operator's eyes only.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if connection.vendor == "sqlite":
            _save_sqlite(part)
        else:
            _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
        verify(part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.link(part, path)  # unlike a rename it fails where the name was taken meanwhile
        _sync_directory(path.parent)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def verify(path: Path) -> None:
    """Whether a copy can be read to its end. Raises CommandError."""
    if connection.vendor == "sqlite":
        try:
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as copy:
                said = copy.execute("PRAGMA integrity_check").fetchone()[0]
                whole = said == "ok" and copy.execute("SELECT count(*) FROM django_migrations").fetchone()[0]
        except sqlite3.Error as error:
            raise CommandError(f"{path} is no copy of a database: {error}") from None
        if not whole:
            raise CommandError(f"{path} is damaged.")
    else:
        # To nowhere: that reads and unpacks every row, which the list of contents does not.
        _run("pg_restore", "--file=/dev/null", str(path))


def load(path: Path) -> None:
    """Put the copy at `path` in place of all that the database holds. Raises CommandError; then nothing has changed."""
    verify(path)
    connection.close()
    if connection.vendor == "sqlite":
        _load_sqlite(path)
        return
    with contextlib.suppress(AttributeError):
        connection.close_pool()
    script = subprocess.Popen(
        [program("pg_restore"), "--clean", "--if-exists", "--no-owner", "--no-privileges", "--file=-", str(path)],
        env={},
        stdout=subprocess.PIPE,
    )
    assert script.stdout
    with script:
        _run(
            *("psql", "--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1"),
            *("--output=/dev/null", f"--command={_CLEAR}", "--file=-"),
            stdin=script.stdout,
        )
    if script.returncode:
        raise CommandError(f"{path} could not be read to its end.")


def holds_something() -> bool:
    """Whether the database has users or conversations. A new one, migrated or not, has neither."""
    tables = set(connection.introspection.table_names())
    return any(
        model._meta.db_table in tables and model._default_manager.exists() for model in (get_user_model(), ChatSession)
    )


def _save_sqlite(path: Path) -> None:
    source = sqlite3.connect(f"{Path(connection.settings_dict['NAME']).absolute().as_uri()}?mode=ro", uri=True)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without companions


def _load_sqlite(path: Path) -> None:
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"])) as own:
        source.backup(own)
        own.execute("PRAGMA journal_mode=WAL")


def program(name: str) -> str:
    """One of PostgreSQL's programs, the newest: an older one refuses a newer server. Debian keeps them off the PATH."""
    found = [path for path in [shutil.which(name), *glob.glob(f"/usr/lib/postgresql/*/bin/{name}")] if path]
    if not found:
        raise CommandError(f"{name} is not installed (Debian: apt-get install postgresql-client).")
    return max(found, key=_version)


def _version(path: str) -> float:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+(?:\.\d+)?)", said)
    return float(number[1]) if number else 0.0


# What the programs know by the environment, and not by the command line, which anybody on the machine can read.
_SERVER = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "service")


def _server() -> dict[str, str]:
    given = connection.settings_dict
    options = given.get("OPTIONS", {})
    return {name: str(given[ours]) for name, ours in _SERVER.items() if given.get(ours)} | {
        f"PG{name.upper()}": str(options[name]) for name in _OPTIONS if options.get(name)
    }


def _run(name: str, *arguments: str, stdin: IO[bytes] | None = None) -> None:
    done = subprocess.run(
        [program(name), *arguments], env=_server(), stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise CommandError(f"{name} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
