"""Django's PostgreSQL, with a short way for the statements that every turn executes, and threads that keep their
connection.

Django binds parameters on the client, builds a cursor with two wrappers for each statement, and has a connection
fetched from the pool and put back around each unit of work. For a fixed statement of the application `fixed_rows` and
`fixed_counts` prepare it once a connection and send parameters apart from it; that is half of the work. Whoever listens
(a debug cursor, an execute wrapper) hears of them as of any other.

A fixed statement names its columns: PostgreSQL refuses a prepared `SELECT *` once a column was added to the table.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Cursor
from psycopg.types.numeric import Int8Dumper

Parameters = Sequence[Any]


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of a thread. `keep_s`: for how many seconds the thread keeps it before it goes back to the pool; 0
    (as Django has it): until its unit of work ends."""

    keep_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fixed: Cursor[Any] | None = None

    def fixed_rows(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Execute a fixed statement and fetch all that it finds. Values are as the driver gives them."""
        if self.execute_wrappers or self.queries_logged:
            with self._heard() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall()
        with self.wrap_database_errors:
            return self._execute(statement, parameters).fetchall()

    def fixed_counts(self, changes: Sequence[tuple[str, Parameters]]) -> list[int]:
        """Execute fixed statements that change rows, in one; how many rows each of them changed.

        They begin with INSERT, UPDATE or DELETE, return nothing and don't build on each other: none sees what
        another one does, and no two may change the same row.
        """
        if len(changes) == 1:
            statement, parameters = changes[0]
            if self.execute_wrappers or self.queries_logged:
                with self._heard() as cursor:
                    cursor.execute(statement, parameters)
                    return [cursor.rowcount]
            with self.wrap_database_errors:
                return [self._execute(statement, parameters).rowcount]
        together = _together(tuple(statement for statement, _ in changes))
        return list(self.fixed_rows(together, [value for _, values in changes for value in values])[0])

    def connect(self) -> None:
        """See Django's; what it does for CONN_MAX_AGE, which its pool forbids, `keep_s` does here."""
        super().connect()
        if self.keep_s:
            self.close_at = time.monotonic() + self.keep_s

    def _execute(self, statement: str, parameters: Parameters) -> Cursor[Any]:
        if self.connection is None:
            self.ensure_connection()
        self.validate_no_broken_transaction()
        return self._server_cursor().execute(statement, parameters, prepare=True)

    def _server_cursor(self) -> Cursor[Any]:
        if self._fixed is None or self._fixed.connection is not self.connection:
            # Django turns preparing off, because its own statements seldom repeat; these always do.
            self.connection.prepare_threshold = 2
            self._fixed = Cursor(self.connection)
            # The driver sends a number as the smallest type that holds it, and prepares a statement anew for each
            # combination of those.
            self._fixed.adapters.register_dumper(int, Int8Dumper)
        return self._fixed

    def _heard(self) -> Any:
        self.ensure_connection()
        wrap = self.make_debug_cursor if self.queries_logged else self.make_cursor
        cursor = Cursor(self.connection)
        cursor.adapters.register_dumper(int, Int8Dumper)
        return wrap(cursor)

    def _close(self) -> None:
        self._fixed = None
        super()._close()


@cache
def _together(statements: tuple[str, ...]) -> str:
    parts = ", ".join(f"c{number} AS ({statement} RETURNING 1)" for number, statement in enumerate(statements))
    counts = ", ".join(f"(SELECT COUNT(*) FROM c{number})" for number in range(len(statements)))
    return f"WITH {parts} SELECT {counts}"
