"""What an archive may say of how its conversation is handled, when a person brings it in: what they could choose here.

A file is anybody's to write. The words in it are its owner's; which model answers, at which marks it is compressed and
how much is read for a turn is bounded as on the pages. Staff's marks are staff's to set again.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils import timezone

from chat.models import ChatSession
from chat.store import ranges
from chat.store.portable import archive
from chat.store.portable.values import Conversation
from chat.store.sessions import LEAST_WINDOW, MOST_INSTRUCTIONS, MOST_WINDOW

MOST_COUNTED = 1_000_000
"""Of what rises by one with each change: no conversation gets there, and from there it can go on rising."""


def values(conversation: Conversation) -> dict[str, Any]:
    """What replaces the session's columns of an archive; nothing for other formats. Raises Broken."""
    given = _given(conversation)
    if given is None:
        return {}
    head = len(conversation.path)
    start = min(max(1, given["window_from"]), head + 1)
    version = min(given["context_version"], MOST_COUNTED)
    return {
        "model": given["model"] if given["model"] in settings.CHAT_MODELS else settings.CHAT_MODEL,
        "strategy": given["strategy"] if given["strategy"] in _strategies() else settings.CHAT_STRATEGY,
        "window_messages": _messages(given["window_messages"]),
        "text": given["instructions"] if _instructs(given["instructions"]) else settings.CHAT_INSTRUCTIONS,
        "soft_mark": None,
        "hard_mark": None,
        "context_version": version,
        "prefix_version": min(given["prefix_version"], version),
        "compactions": min(given["compactions"], given["summaries"]),  # each left a row
        "trims": min(given["trims"], MOST_COUNTED),
        "seen": min(given["seen"], head),
        "window_from": start,
        "restored": _restored(given["restored"], start),
        "updated_at": min(given["updated_at"], timezone.now()),
    }


def replaced(conversation: Conversation) -> dict[str, int]:
    """What of it its owner must be told, counted by code: model, marks, choices. Raises Broken."""
    given = _given(conversation)
    if given is None:
        return {}
    taken = values(conversation)
    choices = ("strategy", "window_messages", "text")
    codes = {
        "model": given["model"] != taken["model"],
        "marks": given["soft_mark"] is not None or given["hard_mark"] is not None,
        "choices": any((given | {"text": given["instructions"]})[name] != taken[name] for name in choices),
    }
    return {code: 1 for code, so in codes.items() if so}


def _given(conversation: Conversation) -> Mapping[str, Any] | None:
    if conversation.archive is None:
        return None
    session, instructions = archive.session(conversation.archive, conversation.place)
    return session | {"instructions": instructions, "summaries": len(conversation.archive["summaries"])}


def _strategies() -> tuple[str, ...]:
    return (*ChatSession.CHOOSABLE, settings.CHAT_STRATEGY)


def _messages(given: int | None) -> int | None:
    return None if given is None else min(max(given, LEAST_WINDOW), MOST_WINDOW)


def _instructs(text: str) -> bool:
    return len(text) <= MOST_INSTRUCTIONS or text == settings.CHAT_INSTRUCTIONS


def _restored(stored: Any, window_from: int) -> list[list[int]] | None:
    """Ranges that stand before the window, apart from it, in the form that is stored; anything else is none."""
    own = [list(one) for one in ranges.before(ranges.read(stored), window_from)]
    return own if own and own == stored and own[-1][1] < window_from - 1 else None
