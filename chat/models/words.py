"""The index of everything that was said, as vendor SQL, made again after every migrate.

Made and kept by triggers on the turns, so that whoever writes turns (a reply, an import, a fork, an erasure) keeps it
right in the same transaction without knowing of it. A turn is in it while it is finished and not redacted.

SQLite: an FTS5 table without a copy of the text. PostgreSQL: a table of word vectors under a GIN index, in parts,
because a vector holds one megabyte at most. Both fold case and accents and cut words at everything that is no letter
and no digit. Beside its words each turn carries its session's id, on PostgreSQL also its owner's, as words nobody can
write: so a search meets no other people's text, and one session's turns are found as fast as one word's. Recall can
take its candidates from here too, the rarest words first.
"""

from uuid import UUID

from django.db import connections, transaction

from chat.models.sessions import Turn

TABLE = "chat_search"
# Of the definitions below: another number fills the index anew.
VERSION = 1
# Characters of one part, and by how many two of them overlap, so that no word is cut in both.
PART, OVERLAP = 100_000, 200
BATCH = 2_000
# Said of the table, on PostgreSQL, when all that was there before is in it.
_FILLED = f"filled {VERSION}"

_TERMINAL = ", ".join(f"'{status.value}'" for status in Turn.TERMINAL)


def _found(row: str) -> str:
    return f"({row}.status IN ({_TERMINAL}) AND {row}.redacted_at IS NULL)"


def _values(row: str) -> str:
    return f"{row}.id, {row}.prompt, {row}.reply, {row}.session_id"


_ADD = f"INSERT INTO {TABLE}(rowid, prompt, reply, session_id) SELECT"
_REMOVE = f"INSERT INTO {TABLE}({TABLE}, rowid, prompt, reply, session_id) SELECT 'delete',"
_SQLITE = {
    f"{TABLE}_insert": f"AFTER INSERT ON chat_turn WHEN {_found('NEW')} BEGIN {_ADD} {_values('NEW')}; END",
    f"{TABLE}_delete": f"AFTER DELETE ON chat_turn WHEN {_found('OLD')} BEGIN {_REMOVE} {_values('OLD')}; END",
    f"{TABLE}_update": "AFTER UPDATE OF status, prompt, reply, redacted_at ON chat_turn "
    f"WHEN {_found('OLD')} OR {_found('NEW')} BEGIN "
    f"{_REMOVE} {_values('OLD')} WHERE {_found('OLD')}; {_ADD} {_values('NEW')} WHERE {_found('NEW')}; END",
}
_SQLITE_TABLE = (
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(prompt, reply, session_id, content='chat_turn', content_rowid='id', "
    "tokenize='unicode61 remove_diacritics 2', prefix='2 3')"
)

# ASCII punctuation becomes blanks: the parser would read A-7731 as a letter and a negative number, and an address as
# one word. Not by translate(), which takes four times as long as all the rest.
_PUNCTUATION = "[!-/:-@[-`{-~]+"
_POSTGRESQL = f"""
CREATE EXTENSION IF NOT EXISTS unaccent;
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config WHERE cfgname = 'chat_words') THEN
    CREATE TEXT SEARCH CONFIGURATION chat_words (COPY = simple);
    ALTER TEXT SEARCH CONFIGURATION chat_words ALTER MAPPING FOR word, hword, hword_part, numword
      WITH unaccent, simple;
  END IF;
END $$;
-- Vectors stand apart from their rows: whoever looks for a common word reads many rows, and no vector.
CREATE TABLE IF NOT EXISTS {TABLE} (
  turn_id bigint NOT NULL, part smallint NOT NULL, session_id uuid NOT NULL, words tsvector NOT NULL,
  PRIMARY KEY (turn_id, part)
) WITH (toast_tuple_target = 128);
CREATE INDEX IF NOT EXISTS {TABLE}_words ON {TABLE} USING gin (words);
CREATE OR REPLACE FUNCTION {TABLE}_add(turn bigint, session uuid, said text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO {TABLE} (turn_id, part, session_id, words)
  SELECT turn, part, session,
    array_to_tsvector(ARRAY[
      '=s' || session, (SELECT '=o' || owner_id FROM chat_chatsession WHERE id = session)
    ]) || to_tsvector('chat_words', regexp_replace(
      substr(said, part * {PART} + 1, {PART + OVERLAP}), '{_PUNCTUATION}', ' ', 'g'
    ))
  FROM generate_series(0, greatest(length(said) - 1, 0) / {PART}) AS part
  ON CONFLICT DO NOTHING
$$;
CREATE OR REPLACE FUNCTION {TABLE}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM {TABLE} WHERE turn_id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF {_found("NEW")} THEN
      PERFORM {TABLE}_add(NEW.id, NEW.session_id, NEW.prompt || ' ' || NEW.reply);
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION {TABLE}_clear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE {TABLE};
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER {TABLE}_insert AFTER INSERT ON chat_turn FOR EACH ROW
  WHEN ({_found("NEW")}) EXECUTE FUNCTION {TABLE}_keep();
CREATE OR REPLACE TRIGGER {TABLE}_delete AFTER DELETE ON chat_turn FOR EACH ROW
  WHEN ({_found("OLD")}) EXECUTE FUNCTION {TABLE}_keep();
CREATE OR REPLACE TRIGGER {TABLE}_update AFTER UPDATE OF status, prompt, reply, redacted_at ON chat_turn FOR EACH ROW
  WHEN ({_found("OLD")} OR {_found("NEW")}) EXECUTE FUNCTION {TABLE}_keep();
CREATE OR REPLACE TRIGGER {TABLE}_truncate AFTER TRUNCATE ON chat_turn FOR EACH STATEMENT
  EXECUTE FUNCTION {TABLE}_clear();
"""


def install(*, using: str = "default", **_kwargs) -> None:
    """Make the index in the database `using`, and fill it where it is new. Idempotent; a post_migrate receiver."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if not {"chat_turn", "chat_chatsession"} <= tables:
        return  # migrated back to nothing
    if missing(using=using):
        rebuild(using=using)


def missing(*, using: str = "default") -> list[str]:
    """What of the index does not stand as it is defined here."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE %s", [f"{TABLE}%"])
            standing = dict(cursor.fetchall())
            due = {TABLE: _SQLITE_TABLE} | {name: f"CREATE TRIGGER {name} {sql}" for name, sql in _SQLITE.items()}
            return [name for name, sql in due.items() if standing.get(name) != sql]
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [TABLE])
        filled = cursor.fetchone()[0] == _FILLED
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D' AND tgrelid = 'chat_turn'::regclass")
        standing = {name for (name,) in cursor.fetchall()}
    due = [f"{TABLE}_{name}" for name in ("insert", "delete", "update", "truncate")]
    return [name for name in due if name not in standing] + ([] if filled else [TABLE])


def unindexed(*, using: str = "default") -> list[tuple[str, int]]:
    """Sessions with finished turns that are not in the index, or that it holds too much of: (session, turns)."""
    connection = connections[using]
    index, key = (f"{TABLE}_docsize", "id") if connection.vendor == "sqlite" else (TABLE, "turn_id")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.session_id, count(*) FROM chat_turn t WHERE {_found('t')} <> "
            f"EXISTS (SELECT 1 FROM {index} f WHERE f.{key} = t.id) GROUP BY t.session_id"
        )
        return [(str(UUID(str(session))), count) for session, count in cursor.fetchall()]


def rebuild(*, using: str = "default") -> None:
    """Make the index anew from the turns."""
    if connections[using].vendor == "postgresql":
        _install_postgresql(using)
    else:
        _install_sqlite(using)


def forget(*, using: str = "default") -> None:
    """Write the index anew without what was deleted: until then FTS5 keeps deleted words in its older segments."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE}({TABLE}) VALUES ('optimize')")


def _install_sqlite(using: str) -> None:
    """All of it in one transaction: a turn that is written meanwhile comes before or after."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        for name in _SQLITE:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        cursor.execute(_SQLITE_TABLE)
        cursor.execute(f"{_ADD} {_values('chat_turn')} FROM chat_turn WHERE {_found('chat_turn')}")
        for name, sql in _SQLITE.items():
            cursor.execute(f"CREATE TRIGGER {name} {sql}")


def _install_postgresql(using: str) -> None:
    """The triggers first, then what was there before, a batch a transaction: nobody who serves has to wait for it."""
    with connections[using].cursor() as cursor:
        cursor.execute(_POSTGRESQL)
        # Without a trigger for a while, what is in it may be old.
        cursor.execute(f"TRUNCATE {TABLE}")
        cursor.execute("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM chat_turn")
        low, high = cursor.fetchone()
        for start in range(low, high + 1, BATCH):
            # The rows are locked before they are read: one that is redacted now waits, or was redacted before.
            cursor.execute(
                f"SELECT {TABLE}_add(id, session_id, prompt || ' ' || reply) FROM (SELECT * FROM chat_turn "
                f"WHERE id >= %s AND id < %s AND {_found('chat_turn')} FOR SHARE) AS held",
                [start, start + BATCH],
            )
        cursor.execute(f"COMMENT ON TABLE {TABLE} IS '{_FILLED}'")
