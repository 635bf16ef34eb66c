"""ChatGPT's export: conversations.json, a list of trees of messages with the node that was last shown."""

from collections import Counter
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
    left: Counter[str] = Counter()
    messages = [
        _message(key, obj(node, f"{place}, node {key}"), left, f"{place}, node {key}")
        for key, node in take(item, "mapping", dict, place).items()
    ]
    return Conversation(
        place=place,
        format=NAME,
        left_out={code: count for code, count in left.items() if count},
        title=clean(may(item, "title", str, "")),
        turns=exchanges(messages, may(item, "current_node", str, "") or None, place),
        created_at=moment(item.get("create_time")),
        updated_at=moment(item.get("update_time")),
    )


def _message(key: str, node: Mapping[str, Any], left: Counter[str], place: str) -> Message:
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
        left["tools"] += not unseen and (aside or role == "tool")
        return hidden
    text = clean(_text(take(message, "content", dict, place), left, place))
    at = moment(message.get("create_time"))
    return Message(id=key, parent=hidden.parent, role=role, text=text, at=at)


def _text(content: Mapping[str, Any], left: Counter[str], place: str) -> str:
    """The words of a message; '' for kinds that hold none (thoughts, browsing, context of the product's own)."""
    kind = may(content, "content_type", str, "text")
    if kind == "code":
        return may(content, "text", str, "")
    if kind not in ("text", "multimodal_text"):
        left["thoughts"] += kind in ("thoughts", "reasoning_recap")
        return ""
    return "\n".join(text for part in take(content, "parts", list, place) if (text := _part(part, left)))


def _part(part: Any, left: Counter[str]) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    kind = may(part, "content_type", str, "")
    if kind.startswith("image"):
        left["images"] += 1
        return IMAGE
    text = may(part, "text", str, "")
    left["media"] += not text
    return text
