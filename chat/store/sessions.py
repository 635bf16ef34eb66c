"""Making a conversation, the instructions it begins with, and deleting what was meant to be deleted by itself."""

import hashlib
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from chat.models import ChatSession, Instructions, Preference, Turn

EXPIRED_AT_ONCE = 100

LEAST_WINDOW, MOST_WINDOW = 2, 1_000
"""Messages of a window that its owner may choose: one turn at least."""
MOST_INSTRUCTIONS = 100_000
"""Characters of a system prompt."""


def instructions(text: str) -> Instructions:
    """The row of this system prompt; equal texts share one, so that equal prefixes share a cache."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    row, _ = Instructions.objects.get_or_create(digest=digest, defaults={"text": text})
    return row


def forget_instructions(ids: Collection[int]) -> None:
    """Remove those of these system prompts that no conversation and no preset uses any more; not the settings' own,
    which the next conversation is about to use."""
    unused = Instructions.objects.filter(pk__in=ids, sessions__isnull=True, presets__isnull=True)
    unused.exclude(text=settings.CHAT_INSTRUCTIONS).delete()


def create(owner, *, title: str = "", text: str | None = None, **values) -> ChatSession:
    """A new, empty conversation of `owner`, with the defaults of the settings where `values` say nothing else."""
    values.setdefault("model", settings.CHAT_MODEL)
    values.setdefault("strategy", settings.CHAT_STRATEGY)
    prompt = settings.CHAT_INSTRUCTIONS if text is None else text
    return ChatSession.objects.create(owner=owner, title=title, instructions=instructions(prompt), **values)


def expire(temporary_s: float, most: int = EXPIRED_AT_ONCE) -> list[UUID]:
    """Delete what its owner wanted to be deleted by itself; the sessions. Like a deletion by hand it can be undone.

    Temporary conversations `temporary_s` seconds after their last message, and all of those who chose so after as many
    days without one. None in which a reply is being written.
    """
    standing = ChatSession.objects.filter(deleted_at__isnull=True).exclude(head__status__in=Turn.LIVE)
    late = [standing.filter(temporary=True, updated_at__lt=Now() - timedelta(seconds=temporary_s))]
    chosen = Preference.objects.filter(delete_after_days__isnull=False)
    for owner_id, days in chosen.values_list("user_id", "delete_after_days"):
        until = Now() - timedelta(days=days)
        # What was brought in yesterday has the dates of long ago.
        brought = Q(imported_at__isnull=True) | Q(imported_at__lt=until)
        late.append(standing.filter(brought, owner_id=owner_id, updated_at__lt=until))
    gone: list[UUID] = []
    for found in late:
        due = list(found.values_list("pk", flat=True)[: most - len(gone)])
        # Asked again: a message may have come meanwhile.
        gone += [pk for pk in due if found.filter(pk=pk).update(deleted_at=Now())]
    return gone
