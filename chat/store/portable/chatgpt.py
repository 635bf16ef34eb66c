"""ChatGPT's export: conversations.json, a list of trees of messages with the node that was last shown."""

from collections.abc import Mapping
from typing import Any

from chat.store.portable.fields import clean, may, moment, obj, take
from chat.store.portable.tree import Message, exchanges
from chat.store.portable.values import Conversation

NAME = "chatgpt"
IMAGE = "[image]"

_ROLES = ("user", "assistant")


def fits(item: Mapping[str, Any]) -> bool:
    """Whether this looks like a conversation of this format."""
    return "mapping" in item


def parse(item: Mapping[str, Any], place: str) -> Conversation:
    """Read one conversation. What the system and tools said is left out, and calls to tools. Raises Broken."""
    messages = [
        _message(key, obj(node, f"{place}, node {key}"), f"{place}, node {key}")
        for key, node in take(item, "mapping", dict, place).items()
    ]
    return Conversation(
        place=place,
        title=clean(may(item, "title", str, "")),
        turns=exchanges(messages, may(item, "current_node", str, "") or None, place),
        created_at=moment(item.get("create_time")),
        updated_at=moment(item.get("update_time")),
    )


def _message(key: str, node: Mapping[str, Any], place: str) -> Message:
    parent = node.get("parent")
    hidden = Message(id=key, parent=parent if isinstance(parent, str) else None, role="")
    if node.get("message") is None:
        return hidden
    message = obj(node["message"], f"{place}: 'message'")
    role = take(take(message, "author", dict, place), "role", str, place)
    # An assistant's message to somebody else than everybody is a call of a tool.
    aside = may(message, "recipient", str, "all") != "all"
    unseen = may(message, "metadata", dict, {}).get("is_visually_hidden_from_conversation") is True
    if role not in _ROLES or aside or unseen:
        return hidden
    text = clean(_text(take(message, "content", dict, place), place))
    at = moment(message.get("create_time"))
    return Message(id=key, parent=hidden.parent, role=role, text=text, at=at)


def _text(content: Mapping[str, Any], place: str) -> str:
    """The words of a message; '' for kinds that hold none (thoughts, browsing, context of the product's own)."""
    kind = may(content, "content_type", str, "text")
    if kind == "code":
        return may(content, "text", str, "")
    if kind not in ("text", "multimodal_text"):
        return ""
    return "\n".join(part for part in map(_part, take(content, "parts", list, place)) if part)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    kind = may(part, "content_type", str, "")
    return IMAGE if kind.startswith("image") else may(part, "text", str, "")
