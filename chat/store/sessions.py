"""Making a conversation, and the instructions it begins with."""

import hashlib

from django.conf import settings

from chat.models import ChatSession, Instructions


def instructions(text: str) -> Instructions:
    """The row of this system prompt; equal texts share one, so that equal prefixes share a cache."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    row, _ = Instructions.objects.get_or_create(digest=digest, defaults={"text": text})
    return row


def create(owner, *, title: str = "", text: str | None = None, **values) -> ChatSession:
    """A new, empty conversation of `owner`, with the defaults of the settings where `values` say nothing else."""
    values.setdefault("model", settings.CHAT_MODEL)
    values.setdefault("strategy", settings.CHAT_STRATEGY)
    prompt = settings.CHAT_INSTRUCTIONS if text is None else text
    return ChatSession.objects.create(owner=owner, title=title, instructions=instructions(prompt), **values)
