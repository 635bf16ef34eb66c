"""The statements that make the index of words, for each of its two tables and each database.

Of turns it holds what was said, but not our own words that ask for the rest of a reply; of attached documents their
names and texts, the beginning of long ones. Whether a document waits still, and whether its turn was redacted, is for
the search to look up: so that sending a message costs nothing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chat.models.sessions import Turn

# Of the definitions below: another number fills the index anew.
VERSION = 2
# Characters of one part, and by how many two of them overlap, so that no word is cut in both.
PART, OVERLAP = 100_000, 200
# Characters of a document that are searched: about what fits a window of 200,000 tokens as a document.
DOCUMENT_MOST = 400_000
# Said of a table, on PostgreSQL, when all that was there before is in it.
FILLED = f"filled {VERSION}"

_TERMINAL = ", ".join(f"'{status.value}'" for status in Turn.TERMINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A table of the index. In its expressions {row} is the row of `source` that it is about.

    `key` names that row on PostgreSQL; `texts` are the columns with what they hold; `holds` says when a row is in it;
    `changes` are the columns on which either depends. `batch` rows are read at once where it is filled on PostgreSQL.
    """

    table: str
    source: str
    key: str
    texts: Mapping[str, str]
    holds: str
    changes: str
    batch: int

    def found(self, row: str) -> str:
        """The condition under which `row` is in the index."""
        return self.holds.replace("{row}", row)

    def words(self, row: str) -> list[str]:
        """What is indexed of `row`, by column."""
        return [text.replace("{row}", row) for text in self.texts.values()]

    def joined(self, row: str) -> str:
        """All of it as one text."""
        return " || ' ' || ".join(self.words(row))


TURNS = Index(
    table="chat_search",
    source="chat_turn",
    key="turn_id",
    texts={
        "prompt": f"CASE WHEN {{row}}.kind = '{Turn.Kind.CONTINUE.value}' THEN '' ELSE {{row}}.prompt END",
        "reply": "{row}.reply",
    },
    holds=f"({{row}}.status IN ({_TERMINAL}) AND {{row}}.redacted_at IS NULL)",
    changes="status, kind, prompt, reply, redacted_at",
    batch=2_000,
)
DOCUMENTS = Index(
    table="chat_search_document",
    source="chat_document",
    key="document_id",
    texts={"name": "{row}.name", "text": f"substr({{row}}.text, 1, {DOCUMENT_MOST})"},
    holds="({row}.removed_at IS NULL)",
    changes="name, text, removed_at",
    batch=100,
)
INDEXES = (TURNS, DOCUMENTS)


# --- SQLite --------------------------------------------------------------------------------------------------


def sqlite_table(index: Index) -> str:
    """An FTS5 table without a copy of the text."""
    return (
        f"CREATE VIRTUAL TABLE {index.table} USING fts5({', '.join(index.texts)}, session_id, content='', "
        "tokenize='unicode61 remove_diacritics 2', prefix='2 3')"
    )


def _add(index: Index, row: str) -> str:
    columns = ", ".join(["rowid", *index.texts, "session_id"])
    values = ", ".join([f"{row}.id", *index.words(row), f"{row}.session_id"])
    return f"INSERT INTO {index.table}({columns}) SELECT {values}"


def _remove(index: Index, row: str) -> str:
    """Without a copy of the text, FTS5 has to be told what it was."""
    columns = ", ".join([index.table, "rowid", *index.texts, "session_id"])
    values = ", ".join(["'delete'", f"{row}.id", *index.words(row), f"{row}.session_id"])
    return f"INSERT INTO {index.table}({columns}) SELECT {values}"


def sqlite_fill(index: Index) -> str:
    """All rows into an empty table."""
    return f"{_add(index, index.source)} FROM {index.source} WHERE {index.found(index.source)}"


def sqlite_triggers(index: Index) -> Mapping[str, str]:
    """The triggers that keep it right, by name."""
    old, new = index.found("OLD"), index.found("NEW")
    events = {
        "insert": f"AFTER INSERT ON {index.source} WHEN {new} BEGIN {_add(index, 'NEW')}; END",
        "delete": f"AFTER DELETE ON {index.source} WHEN {old} BEGIN {_remove(index, 'OLD')}; END",
        "update": f"AFTER UPDATE OF {index.changes} ON {index.source} WHEN {old} OR {new} BEGIN "
        f"{_remove(index, 'OLD')} WHERE {old}; {_add(index, 'NEW')} WHERE {new}; END",
    }
    return {f"{index.table}_{name}": f"CREATE TRIGGER {index.table}_{name} {sql}" for name, sql in events.items()}


# --- PostgreSQL ----------------------------------------------------------------------------------------------

POSTGRESQL_WORDS = """
CREATE EXTENSION IF NOT EXISTS unaccent;
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config WHERE cfgname = 'chat_words') THEN
    CREATE TEXT SEARCH CONFIGURATION chat_words (COPY = simple);
    ALTER TEXT SEARCH CONFIGURATION chat_words ALTER MAPPING FOR word, hword, hword_part, numword
      WITH unaccent, simple;
  END IF;
END $$;
"""
# ASCII punctuation becomes blanks: the parser would read A-7731 as a letter and a negative number, and an address as
# one word. Not by translate(), which takes four times as long as all the rest.
_PUNCTUATION = "[!-/:-@[-`{-~]+"
POSTGRESQL_TRIGGERS = ("insert", "delete", "update", "truncate")


def postgresql(index: Index) -> str:
    """Its table, what fills it, and the triggers that keep it right."""
    table, source, old, new = index.table, index.source, index.found("OLD"), index.found("NEW")
    return f"""
-- Vectors stand apart from their rows: whoever looks for a common word reads many rows, and no vector.
CREATE TABLE IF NOT EXISTS {table} (
  {index.key} bigint NOT NULL, part smallint NOT NULL, session_id uuid NOT NULL, words tsvector NOT NULL,
  PRIMARY KEY ({index.key}, part)
) WITH (toast_tuple_target = 128);
CREATE INDEX IF NOT EXISTS {table}_words ON {table} USING gin (words);
CREATE OR REPLACE FUNCTION {table}_add(turn bigint, session uuid, said text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO {table} ({index.key}, part, session_id, words)
  SELECT turn, part, session,
    array_to_tsvector(ARRAY[
      '=s' || session, (SELECT '=o' || owner_id FROM chat_chatsession WHERE id = session)
    ]) || to_tsvector('chat_words', regexp_replace(
      substr(said, part * {PART} + 1, {PART + OVERLAP}), '{_PUNCTUATION}', ' ', 'g'
    ))
  FROM generate_series(0, greatest(length(said) - 1, 0) / {PART}) AS part
  ON CONFLICT DO NOTHING
$$;
CREATE OR REPLACE FUNCTION {table}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM {table} WHERE {index.key} = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF {new} THEN
      PERFORM {table}_add(NEW.id, NEW.session_id, {index.joined("NEW")});
    END IF;
  END IF;
  RETURN NULL;
END $$;
-- The planner knows nothing of what it costs to fetch vectors: it would read every one of them for a common word.
CREATE OR REPLACE FUNCTION {table}_find(wanted tsquery) RETURNS TABLE (id bigint, session_id uuid)
  LANGUAGE sql STABLE SET enable_seqscan = off AS $$
  SELECT DISTINCT f.{index.key}, f.session_id FROM {table} f WHERE f.words @@ wanted
$$;
CREATE OR REPLACE FUNCTION {table}_clear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM {table}) THEN
    TRUNCATE {table};
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER {table}_insert AFTER INSERT ON {source} FOR EACH ROW
  WHEN ({new}) EXECUTE FUNCTION {table}_keep();
CREATE OR REPLACE TRIGGER {table}_delete AFTER DELETE ON {source} FOR EACH ROW
  WHEN ({old}) EXECUTE FUNCTION {table}_keep();
CREATE OR REPLACE TRIGGER {table}_update AFTER UPDATE OF {index.changes} ON {source} FOR EACH ROW
  WHEN ({old} OR {new}) EXECUTE FUNCTION {table}_keep();
CREATE OR REPLACE TRIGGER {table}_truncate AFTER TRUNCATE ON {source} FOR EACH STATEMENT
  EXECUTE FUNCTION {table}_clear();
"""


def postgresql_fill(index: Index) -> str:
    """The rows with ids from the first to below the second parameter into the table.

    The rows are locked before they are read: one that is redacted now waits, or was redacted before.
    """
    return (
        f"SELECT {index.table}_add(id, session_id, {index.joined('held')}) FROM (SELECT * FROM {index.source} "
        f"WHERE id >= %s AND id < %s AND {index.found(index.source)} FOR SHARE) AS held"
    )
