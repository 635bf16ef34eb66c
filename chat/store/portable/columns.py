"""What stands in our own format: the columns of each row, by their names in the tables."""

from typing import Any

MARK = "context-chat"
VERSION = 1

SESSION = (
    "title", "titled_by", "model", "mode", "thinking", "strategy", "window_messages", "context_version",
    "prefix_version", "window_from", "restored", "keep", "compactions", "trims", "seen", "pinned", "archived_at",
    "created_at", "updated_at", "soft_mark", "hard_mark",
)  # fmt: skip
TURN = (
    "number", "active", "kind", "prompt", "reply", "status", "error", "stop_reason", "usage", "prompt_tokens",
    "prompt_source", "reply_tokens", "reply_source", "digest", "pinned_since", "excluded_by", "redacted_at",
    "created_at", "closed_at",
)  # fmt: skip
STEP = ("index", "kind", "call_id", "name", "body", "tokens", "is_error", "finished_at")
SUMMARY = (
    "tier", "first", "last", "state", "version", "text", "tokens", "source_tokens", "source_hash", "input_hash",
    "model", "made_by", "gate", "reason", "created_at", "committed_at",
)  # fmt: skip
NOTICE = ("kind", "first", "last", "tokens_before", "tokens_after", "model", "created_at", "ended_at")
FACT = ("kind", "value", "quote", "since", "pinned", "made_by", "created_at", "forgotten_at")
DOCUMENT = ("name", "kind", "text", "digest", "size", "tokens", "since", "created_at", "removed_at")
THOUGHT = ("text", "tokens", "seconds")
FEEDBACK = ("reason", "created_at")

USAGE = ("input", "cache_read", "cache_write", "output")

# Columns that came after the first files were given out, and what they are where a file doesn't know them.
LATER: dict[str, dict[str, Any]] = {
    "session": {"titled_by": "", "thinking": False, "restored": None, "keep": "", "soft_mark": None, "hard_mark": None}
}
