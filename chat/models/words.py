"""The index of everything that was said or attached, as vendor SQL, made again after every migrate.

Made and kept by triggers (`wordsql`), so that whoever writes turns or documents (a reply, an import, a fork, an
erasure) keeps it right in the same transaction without knowing of it. A turn is in it while it is finished and not
redacted, a document until it is taken out.

SQLite: FTS5 tables without a copy of the text. PostgreSQL: tables of word vectors under a GIN index, in parts,
because a vector holds one megabyte at most. Both fold case and accents and cut words at everything that is no letter
and no digit. Beside its words each row carries its session's id, on PostgreSQL also its owner's, as words nobody can
write: so a search meets no other people's text, and one session's rows are found as fast as one word's. Recall can
take its candidates from here too, the rarest words first.
"""

from uuid import UUID

from django.db import connections, transaction

from chat.models import wordsql
from chat.models.wordsql import INDEXES, Index

PAGES = 500
"""Of an FTS5 index, some 4 KB each, that are written anew in one step: 20 to 40 ms."""


def install(*, using: str = "default", **_kwargs) -> None:
    """Make the index in the database `using`, and fill it where it is new. Idempotent; a post_migrate receiver."""
    tables = set(connections[using].introspection.table_names())
    if not {"chat_chatsession", *(index.source for index in INDEXES)} <= tables:
        return  # migrated back to what was before them
    if missing(using=using):
        rebuild(using=using)


def missing(*, using: str = "default") -> list[str]:
    """What of the index does not stand as it is defined here."""
    look = _missing_sqlite if connections[using].vendor == "sqlite" else _missing_postgresql
    return [name for index in INDEXES for name in look(index, using)]


def unindexed(*, using: str = "default") -> list[tuple[str, int]]:
    """Sessions with turns or documents that are not in the index, or that it holds too much of: (session, rows)."""
    sqlite = connections[using].vendor == "sqlite"
    wrong: dict[str, int] = {}
    for index in INDEXES:
        table, key = (f"{index.table}_docsize", "id") if sqlite else (index.table, index.key)
        with connections[using].cursor() as cursor:
            cursor.execute(
                f"SELECT t.session_id, count(*) FROM {index.source} t WHERE {index.found('t')} <> "
                f"EXISTS (SELECT 1 FROM {table} f WHERE f.{key} = t.id) GROUP BY t.session_id"
            )
            for session, count in cursor.fetchall():
                name = str(UUID(str(session)))
                wrong[name] = wrong.get(name, 0) + count
    return list(wrong.items())


def rebuild(*, using: str = "default") -> None:
    """Make the index anew from the rows."""
    make = _make_postgresql if connections[using].vendor == "postgresql" else _make_sqlite
    for index in INDEXES:
        make(index, using)


def forget(*, most: int | None = None, using: str = "default") -> bool:
    """Write the index anew without what was deleted: until then FTS5 keeps deleted words in its older segments.

    In steps of `PAGES`, each a transaction of its own where the caller has none: its optimize holds the lock for as
    long as everything takes that was ever said. At most so many steps; True: there is more to do.
    """
    connection = connections[using]
    if connection.vendor != "sqlite":
        return False
    left = most
    with connection.cursor() as cursor:
        for index in INDEXES:
            while left is None or left > 0:
                before = connection.connection.total_changes
                cursor.execute(f"INSERT INTO {index.table}({index.table}, rank) VALUES ('merge', -{PAGES})")
                if connection.connection.total_changes - before < 2:
                    break  # nothing was written, says its documentation
                left = left and left - 1
    return left == 0


def _missing_sqlite(index: Index, using: str) -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE %s", [f"{index.table}%"])
        standing = dict(cursor.fetchall())
    due = {index.table: wordsql.sqlite_table(index), **wordsql.sqlite_triggers(index)}
    return [name for name, sql in due.items() if standing.get(name) != sql]


def _missing_postgresql(index: Index, using: str) -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [index.table])
        filled = cursor.fetchone()[0] == wordsql.FILLED
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D' AND tgrelid = to_regclass(%s)", [index.source]
        )
        standing = {name for (name,) in cursor.fetchall()}
    due = [f"{index.table}_{name}" for name in wordsql.POSTGRESQL_TRIGGERS]
    return [name for name in due if name not in standing] + ([] if filled else [index.table])


def _make_sqlite(index: Index, using: str) -> None:
    """All of it in one transaction: a row that is written meanwhile comes before or after."""
    triggers = wordsql.sqlite_triggers(index)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        for name in triggers:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        cursor.execute(f"DROP TABLE IF EXISTS {index.table}")
        cursor.execute(wordsql.sqlite_table(index))
        cursor.execute(wordsql.sqlite_fill(index))
        for sql in triggers.values():
            cursor.execute(sql)


def _make_postgresql(index: Index, using: str) -> None:
    """The triggers first, then what was there before, a batch a transaction: nobody who serves has to wait for it."""
    with connections[using].cursor() as cursor:
        cursor.execute(wordsql.POSTGRESQL_WORDS + wordsql.postgresql(index))
        # Without a trigger for a while, what is in it may be old.
        cursor.execute(f"TRUNCATE {index.table}")
        cursor.execute(f"SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM {index.source}")
        low, high = cursor.fetchone()
        for start in range(low, high + 1, index.batch):
            cursor.execute(wordsql.postgresql_fill(index), [start, start + index.batch])
        cursor.execute(f"COMMENT ON TABLE {index.table} IS '{wordsql.FILLED}'")
