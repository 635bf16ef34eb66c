"""Erasing a person: every word of theirs from every table. What was counted stays, by numbers that name nobody.

So that a large account holds no lock for long: `close` shuts the door, `purging.remove` takes the conversations a
little at a time, `finish` takes the rest. Each may be repeated after a crash.
"""

from typing import Any
from uuid import UUID

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, transaction

from chat.models import ChatSession, SignIn, Turn, words
from chat.store import purging, sessions


def close(user_id: int) -> list[UUID]:
    """Nobody signs in by this name any more, no page of theirs stays open. The conversations that are to be dropped."""
    people = get_user_model()._default_manager
    user = people.filter(pk=user_id).first()
    if user is None:
        return []
    user.is_active = False
    user.set_unusable_password()
    user.save(update_fields=["is_active", "password"])  # its signal has the sockets looked at
    keys = SignIn.objects.filter(user=user).values_list("key", flat=True)
    for session in Session.objects.filter(session_key__in=list(keys)):
        session.delete()
    return list(ChatSession.objects.filter(owner=user).order_by("created_at").values_list("pk", flat=True))


def live(user_id: int) -> list[tuple[UUID, int]]:
    """The replies that are still being written: session and turn."""
    return list(Turn.objects.live().filter(session__owner=user_id).values_list("session_id", "pk"))


def finish(user_id: int) -> None:
    """Remove the account and everything else that names it."""
    purging.overwrite()
    words.forget()  # the most of it, in steps that others may come between
    with transaction.atomic():
        user = get_user_model()._default_manager.filter(pk=user_id).first()
        if user is None:
            return
        name = user.get_username()
        texts = list(ChatSession.objects.filter(owner=user).values_list("instructions_id", flat=True))
        texts += list(user.presets.values_list("instructions_id", flat=True))
        kind = ContentType.objects.get_for_model(user)
        user.delete()
        sessions.forget_instructions(texts)
        for table in (AccessAttempt, AccessFailureLog, AccessLog):
            table.objects.filter(username=name).delete()
        LogEntry.objects.filter(content_type=kind, object_id=str(user_id)).update(object_repr=f"user {user_id}")
        words.forget()
    _empty_log()


def find(name: str) -> Any:
    """The user of this name, or None."""
    return get_user_model()._default_manager.filter(username=name).first()


def _empty_log() -> None:
    """And it keeps what was written last in a file of its own. A page that is being read may hold that up: then the
    next checkpoint does it."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
