"""Guards that Django can't declare, as vendor SQL, made again after every migrate.

- active summaries of a session never overlap;
- a terminal turn never changes its state;
- what staff did is written down once, and neither changed nor deleted.

They are made in a post_migrate receiver, not in a migration: SQLite remakes a table to alter it, and the triggers
of the old table are gone without a word. Violations raise IntegrityError on both databases (PostgreSQL: an
exclusion violation, and ERRCODE 23514).
"""

from django.db import connections

from chat.models.sessions import Turn

_TERMINAL = ", ".join(f"'{status.value}'" for status in Turn.TERMINAL)

_POSTGRESQL = f"""
CREATE EXTENSION IF NOT EXISTS btree_gist;
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'chat_summary_no_overlap') THEN
    ALTER TABLE chat_summary ADD CONSTRAINT chat_summary_no_overlap
      EXCLUDE USING gist (session_id WITH =, int4range(first, last, '[]') WITH &&) WHERE (state = 'active');
  END IF;
END $$;
CREATE OR REPLACE FUNCTION chat_turn_stays_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a terminal turn never changes its state' USING ERRCODE = '23514';
END $$;
DROP TRIGGER IF EXISTS chat_turn_terminal ON chat_turn;
CREATE TRIGGER chat_turn_terminal BEFORE UPDATE OF status ON chat_turn FOR EACH ROW
  WHEN (OLD.status IN ({_TERMINAL}) AND NEW.status IS DISTINCT FROM OLD.status)
  EXECUTE FUNCTION chat_turn_stays_terminal();
CREATE OR REPLACE FUNCTION chat_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = '23514';
END $$;
DROP TRIGGER IF EXISTS chat_audit_update ON chat_audit;
CREATE TRIGGER chat_audit_update BEFORE UPDATE ON chat_audit FOR EACH ROW EXECUTE FUNCTION chat_audit_stays();
DROP TRIGGER IF EXISTS chat_audit_delete ON chat_audit;
CREATE TRIGGER chat_audit_delete BEFORE DELETE ON chat_audit FOR EACH ROW EXECUTE FUNCTION chat_audit_stays();
"""

_OVERLAP = """
  SELECT RAISE(ABORT, 'active summaries must not overlap') FROM chat_summary
  WHERE session_id = NEW.session_id AND state = 'active' AND id IS NOT NEW.id
    AND first <= NEW.last AND last >= NEW.first;
"""

_SQLITE = (
    "DROP TRIGGER IF EXISTS chat_summary_no_overlap_insert",
    "CREATE TRIGGER chat_summary_no_overlap_insert BEFORE INSERT ON chat_summary WHEN NEW.state = 'active' "
    f"BEGIN {_OVERLAP} END",
    "DROP TRIGGER IF EXISTS chat_summary_no_overlap_update",
    "CREATE TRIGGER chat_summary_no_overlap_update BEFORE UPDATE ON chat_summary WHEN NEW.state = 'active' "
    f"BEGIN {_OVERLAP} END",
    "DROP TRIGGER IF EXISTS chat_turn_terminal",
    "CREATE TRIGGER chat_turn_terminal BEFORE UPDATE OF status ON chat_turn "
    f"WHEN OLD.status IN ({_TERMINAL}) AND NEW.status IS NOT OLD.status "
    "BEGIN SELECT RAISE(ABORT, 'a terminal turn never changes its state'); END",
    "DROP TRIGGER IF EXISTS chat_audit_update",
    "CREATE TRIGGER chat_audit_update BEFORE UPDATE ON chat_audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "DROP TRIGGER IF EXISTS chat_audit_delete",
    "CREATE TRIGGER chat_audit_delete BEFORE DELETE ON chat_audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
)

NAMES = {
    "sqlite": (
        *("chat_summary_no_overlap_insert", "chat_summary_no_overlap_update", "chat_turn_terminal"),
        *("chat_audit_update", "chat_audit_delete"),
    ),
    "postgresql": ("chat_summary_no_overlap", "chat_turn_terminal", "chat_audit_update", "chat_audit_delete"),
}
_STANDING = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT conname FROM pg_constraint UNION SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'",
}


def missing(*, using: str = "default") -> list[str]:
    """The names of the guards that do not stand in the database `using`."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_STANDING[connection.vendor])
        standing = {row[0] for row in cursor.fetchall()}
    return [name for name in NAMES[connection.vendor] if name not in standing]


def install(*, using: str = "default", **_kwargs) -> None:
    """Make the guards on the database `using`. Idempotent; a post_migrate receiver."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if not {"chat_turn", "chat_summary", "chat_audit"} <= tables:
        return  # migrated back to nothing
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_POSTGRESQL)
    elif connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for statement in _SQLITE:
                cursor.execute(statement)
