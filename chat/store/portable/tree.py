"""From a tree of messages to a tree of turns: what other products keep as messages, we keep as pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chat.store.portable.values import OPENS, Broken, Exchange

SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `role` is "user", "assistant", or '' for one that nobody sees: its children count as its parent's.

    `at` is when it was written.
    """

    id: str
    parent: str | None
    role: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """A turn that may still grow."""

    prompts: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The messages that somebody sees: by id, and who follows whom. None stands for the root."""

    messages: dict[str, Message]
    parents: dict[str, str | None]
    children: dict[str | None, list[str]]


def exchanges(messages: Sequence[Message], current: str | None, place: str) -> tuple[Exchange, ...]:
    """The turns of a tree, parents first; those on the way to the message `current` are active.

    Neighbours of one role join. Where messages branch, turns branch: another reply to the same message is a turn of
    its own beside the first. Without a usable `current` the last branch is the active one. Raises Broken.
    """
    seen, current = _seen(messages, current, place)
    found: list[Exchange] = []
    ends: dict[str, int] = {}  # the last message of a turn -> the turn

    def close(last: str, turn: _Open, parent: int | None) -> int:
        if last not in ends:
            ends[last] = len(found)
            prompt = SEPARATOR.join(turn.prompts) or OPENS
            reply = SEPARATOR.join(turn.replies)
            found.append(Exchange(prompt=prompt, reply=reply, parent=parent, active=False, at=turn.at))
        return ends[last]

    stack: list[tuple[str, int | None, _Open]] = [(root, None, _Open()) for root in reversed(seen.children[None])]
    while stack:
        key, parent, turn = stack.pop()
        message = seen.messages[key]
        if message.role == "user":
            if turn.replies:
                parent, turn = close(str(seen.parents[key]), turn, parent), _Open()
            turn = replace(turn, prompts=(*turn.prompts, message.text), at=turn.at or message.at)
        else:
            turn = replace(turn, replies=(*turn.replies, message.text), at=turn.at or message.at)
        below = seen.children.get(key, [])
        if not below:
            close(key, turn, parent)
        stack += [(child, parent, turn) for child in reversed(below)]

    shown = ends.get(_leaf(seen, current))
    while shown is not None:
        found[shown] = replace(found[shown], active=True)
        shown = found[shown].parent
    return tuple(found)


def _seen(messages: Sequence[Message], current: str | None, place: str) -> tuple[_Seen, str | None]:
    """The visible part of the tree, and the visible message at or above `current`."""
    by_id = {message.id: message for message in messages}
    if len(by_id) != len(messages):
        raise Broken(f"{place}: two messages have the same id.")
    below: dict[str | None, list[str]] = {}
    for message in messages:
        below.setdefault(message.parent if message.parent in by_id else None, []).append(message.id)
    seen = _Seen({}, {}, {None: []})
    above: dict[str, str | None] = {}
    stack: list[tuple[str, str | None]] = [(root, None) for root in reversed(below.get(None, []))]
    while stack:
        key, parent = stack.pop()
        message = by_id[key]
        if message.role and message.text.strip():
            seen.messages[key] = message
            seen.parents[key] = parent
            seen.children.setdefault(parent, []).append(key)
            parent = key
        above[key] = parent
        stack += [(child, parent) for child in reversed(below.get(key, []))]
    if len(above) != len(by_id):
        raise Broken(f"{place}: messages hang on one another in a circle.")
    return seen, above.get(current or "")


def _leaf(seen: _Seen, key: str | None) -> str:
    """The end of the branch of a message: its last child's last child, and so on."""
    while below := seen.children.get(key):
        key = below[-1]
    return key or ""
