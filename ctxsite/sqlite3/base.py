"""Django's SQLite, with writers that stand in line for the write lock instead of looking for it now and then.

SQLite itself has no queue: who finds the lock taken sleeps, up to a tenth of a second, looks again, and may find it
taken by somebody who came later. With six processes that write hard single waits grew to seconds, at a third of the
file's capacity. Here a transaction (all of ours begin with BEGIN IMMEDIATE), and a statement that writes outside of
one, first takes the lock of a file beside the database: asked for every two milliseconds, so that nobody sleeps for
long while it is free, and for no longer than the connection's timeout, so that a frozen process stops nobody for ever.

The line is fairness, not safety: SQLite's own lock still decides. Whoever is not in the line (another program, a
system without flock, who has waited too long) is merely served as before.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from typing import Any

from django.db.backends.sqlite3 import base

try:
    import fcntl
except ImportError:  # no POSIX
    LINES = False
else:
    LINES = True

PATIENCE_S = 5.0
LOOK_S = 0.002
KEEPS = "%BEFORE DELETE%"
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class DatabaseOperations(base.DatabaseWrapper.ops_class):
    """`flush` empties every table, those too whose rows a trigger keeps from being deleted. The guards are made
    again by the post_migrate signal that follows it."""

    def sql_flush(self, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        """Take such triggers down first: PostgreSQL's TRUNCATE passes them by."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE %s", [KEEPS])
            guards = [name for name, table in cursor.fetchall() if table in tables]
        return [f"DROP TRIGGER {self.quote_name(name)}" for name in guards] + super().sql_flush(
            style, tables, **options
        )


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose writers wait in line. The file of the line is the database's name and `-line`."""

    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place: int | None = None
        self.execute_wrappers.append(self._in_line)

    def fixed_rows(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """As ctxsite.postgresql has it; here nothing about such a statement is special."""
        with self.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def fixed_counts(self, changes: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
        """As ctxsite.postgresql has it, one statement after the other."""
        with self.cursor() as cursor:
            return [cursor.execute(statement, parameters).rowcount for statement, parameters in changes]

    def _in_line(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.in_atomic_block or self._place is not None or not sql.lstrip().startswith(WRITES):
            return execute(sql, params, many, context)
        self._queue()
        try:
            return execute(sql, params, many, context)
        finally:
            self._leave()

    def _start_transaction_under_autocommit(self) -> None:
        self._queue()
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._leave()
            raise

    def _commit(self) -> None:
        super()._commit()
        self._leave()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._leave()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._leave()

    def _queue(self) -> None:
        """Wait for our turn. The lock belongs to the open file: a process that dies leaves the line."""
        if not LINES or self._place is not None or self.is_in_memory_db():
            return
        # Not the database's own file: to close any handle of that would drop SQLite's locks on it.
        place = os.open(f"{self.settings_dict['NAME']}-line", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + self.settings_dict["OPTIONS"].get("timeout", PATIENCE_S)
        try:
            while not _taken(place):
                if time.monotonic() > until:
                    os.close(place)
                    return
                time.sleep(LOOK_S)
        except BaseException:
            os.close(place)
            raise
        self._place = place

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            with contextlib.suppress(OSError):
                os.close(place)


def _taken(place: int) -> bool:
    """Take the lock of the line if nobody has it."""
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
