"""Claude's export: conversations.json, a list of conversations with their messages in order."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from chat.store.portable.fields import clean, may, moment, obj, take
from chat.store.portable.tree import Message, exchanges
from chat.store.portable.values import Broken, Conversation

NAME = "claude"

_ROLES = {"human": "user", "assistant": "assistant"}


def fits(item: Mapping[str, Any]) -> bool:
    """Whether this looks like a conversation of this format."""
    return "chat_messages" in item


def parse(item: Mapping[str, Any], place: str) -> Conversation:
    """Read one conversation. Attached text stands behind the message; thinking and tools are left out. Raises Broken.

    Branches are kept where the export names each message's parent; the branch of the last message is the shown one.
    """
    given = take(item, "chat_messages", list, place)
    left: Counter[str] = Counter()
    messages: list[Message] = []
    known: set[str] = set()
    for index, entry in enumerate(given):
        where = f"{place}, message {index}"
        message = _message(obj(entry, where), index, messages[-1].id if messages else None, known, where)
        messages.append(message)
        _count(entry, left)
        known.add(message.id)
    return Conversation(
        place=place,
        format=NAME,
        left_out={code: count for code, count in left.items() if count},
        title=clean(may(item, "name", str, "")),
        turns=exchanges(messages, messages[-1].id if messages else None, place),
        created_at=moment(item.get("created_at")),
        updated_at=moment(item.get("updated_at")),
    )


def _message(entry: Mapping[str, Any], index: int, before: str | None, known: set[str], place: str) -> Message:
    sender = take(entry, "sender", str, place)
    if sender not in _ROLES:
        raise Broken(f"{place}: the sender is neither human nor assistant.")
    # The first message's parent is a root that is not in the export.
    named = entry.get("parent_message_uuid")
    parent = before if named is None else named if named in known else None
    parts = [_text(entry, place), *map(_attachment, may(entry, "attachments", list, []))]
    return Message(
        id=may(entry, "uuid", str, "") or f"#{index}",
        parent=parent,
        role=_ROLES[sender],
        text=clean("\n\n".join(part for part in parts if part)),
        at=moment(entry.get("created_at")),
    )


def _text(entry: Mapping[str, Any], place: str) -> str:
    """The text blocks of a message; older exports have the plain text only."""
    blocks = [
        may(block, "text", str, "") if may(block, "type", str, "") == "text" else ""
        for block in may(entry, "content", list, [])
        if isinstance(block, dict)
    ]
    return "\n\n".join(block for block in blocks if block.strip()) or may(entry, "text", str, "")


def _attachment(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    text = may(entry, "extracted_content", str, "")
    return f"[{may(entry, 'file_name', str, '') or 'attachment'}]\n{text}" if text.strip() else ""


def _count(entry: Mapping[str, Any], left: Counter[str]) -> None:
    """Count what of a message stays behind."""
    for block in may(entry, "content", list, []):
        kind = may(block, "type", str, "") if isinstance(block, dict) else ""
        left["thoughts"] += kind == "thinking"
        left["tools"] += kind == "tool_use"
        left["images"] += kind == "image"
    attached = [one for one in may(entry, "attachments", list, []) if isinstance(one, dict)]
    left["files"] += sum(1 for one in attached if not may(one, "extracted_content", str, "").strip())
    known = {may(one, "file_name", str, "") for one in attached}
    files = [one for one in may(entry, "files", list, []) if isinstance(one, dict)]
    left["files"] += sum(1 for one in files if may(one, "file_name", str, "") not in known)
