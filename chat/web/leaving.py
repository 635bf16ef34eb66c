"""Somebody leaves: replies stop, pages close, and every word of theirs goes. For the page and for the command."""

from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from chat import service
from chat.store import erasing, purging
from chat.web import sending


async def erase(user_id: int) -> int:
    """Erase a user; returns how many conversations went. Safe to repeat."""
    for session_id, turn_id in await sending.read(erasing.live, user_id):
        await sending.stop(user_id, session_id, turn_id)
    gone = await sending.write(erasing.close, user_id)
    for session_id in gone:
        while not await sending.write(purging.remove, session_id):
            pass  # each step is a visit of its own: whoever waits to write comes between
    await sending.write(erasing.finish, user_id)
    await sending.read(_forget, gone)
    if service.running():
        for session_id in gone:
            service.current().hub.gone(session_id)
    return len(gone)


def _forget(gone: list[UUID]) -> None:
    """What is kept of these conversations for their next turn."""
    if service.running():
        recent = service.current().engine.recent
        for session_id in gone if recent else ():
            recent.forget(str(session_id))
    elif settings.REDIS_URL:
        kept = import_string(settings.CHAT_IN_REDIS["windows"])(settings.REDIS_URL)
        for session_id in gone:
            kept.forget(str(session_id))
        kept.close()
