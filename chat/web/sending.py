"""What a user does to a conversation, for pages and sockets alike: begin one, write, stop, delete.

Where a service runs, work goes through it: its thread pool, its hub, its runner. Without one (a plain WSGI process)
the rows are written all the same, and a runner elsewhere takes the turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import structlog
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from chat import service
from chat.flow import opening
from chat.flow.opening import Opened, Rejected
from chat.models import ChatSession, Turn
from chat.store import branches, forking, presets, sessions
from chat.store.database import Door, straight

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MOST_LOOKED_AT = 200
"""Conversations in which a first message is looked for that comes again."""


async def write(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous unit of work that writes."""
    if service.running():
        return await service.current().database.run(work, *args, **kwargs)
    return await sync_to_async(work)(*args, **kwargs)


async def read(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous unit of work that only reads."""
    if service.running():
        return await service.current().database.read(work, *args, **kwargs)
    return await sync_to_async(work)(*args, **kwargs)


async def send(owner_id: int, session_id: UUID, *, door: Door = straight, **message: Any) -> Opened | Rejected:
    """Store a message as a turn. A database that takes nothing is a refusal too: the page keeps the text.

    `door` is gone through in the same visit to the database; what it raises is raised. Messages a minute are counted
    here, where people come in; one that is sent again because its answer was lost is never refused for being one too
    many.
    """
    keywords = {"owner_id": owner_id, "session_id": session_id, **message}
    try:
        if service.running():
            over = await service.current().rates.take(owner_id)
            if over and not await read(_stored, owner_id, session_id, message["client_id"]):
                return Rejected("quota", over.retry_after_ms, over.reason)
            return await service.current().open_turn(**keywords, door=door)
        return await sync_to_async(door)(opening.open_turn, **keywords)
    except (DatabaseError, InterfaceError) as error:
        log.warning("message_not_stored", error=type(error).__name__)
        # Only what is the database's own trouble: a message that it can't hold says nothing about the next one.
        if service.running() and isinstance(error, OperationalError | InterfaceError):
            service.current().pulse.failed(error)
        return Rejected("storage")


async def stop(owner_id: int, session_id: UUID, turn_id: int, *, door: Door = straight) -> str:
    """Ask for a reply to end here; see flow.opening.ask_stop. `door`: as of `send`."""
    keywords = {"owner_id": owner_id, "session_id": session_id, "turn_id": turn_id}
    if service.running():
        return await service.current().stop_turn(**keywords, door=door)
    return await sync_to_async(door)(opening.ask_stop, **keywords)


@dataclass(frozen=True, slots=True)
class Switched:
    """The path of a conversation, after a switch: `first` is the number of the first turn that changed (None: none
    did), `turn` the id of the last, `head` its number. `code`: switched, busy or not_found."""

    code: str
    first: int | None = None
    turn: int = 0
    head: int = 0


async def switch(owner_id: int, session_id: UUID, to: int) -> Switched:
    """Make the branch of turn `to` the active one. Everybody who watches is told."""
    done = await write(_switch, owner_id, session_id, to)
    if done.first and service.running():
        service.current().hub.branch(session_id, first=done.first, turn=done.turn, head=done.head)
    return done


async def fork(user: Any, session_id: UUID, turn_id: int, title: str) -> UUID | None:
    """A new conversation that begins with a copy of the path up to a turn; None when that is not there, or not done."""
    try:
        made = await write(forking.fork, user.pk, session_id, turn_id, title=title)
    except (ChatSession.DoesNotExist, branches.UnknownTurn, forking.NotFinished):
        return None
    return made.pk


async def new_session(user: Any, *, temporary: bool = False, client_id: UUID | None = None) -> UUID:
    """An empty conversation: the newest one if it is still empty, so that clicks leave no litter.

    `client_id` is of the message that is to begin it: one whose answer was lost has begun one already, and that it is.
    """
    return await write(_new_session, user, temporary, client_id)


async def delete(user: Any, session_id: UUID) -> bool:
    """Delete a conversation; False when there is none of this user. A running reply is stopped first."""
    turn_id = await read(_live_turn, user, session_id)
    if turn_id is not None:
        await stop(user.pk, session_id, turn_id)
    gone = await write(_delete, user, session_id)
    if gone and service.running():
        service.current().hub.gone(session_id)
    return gone


def _switch(owner_id: int, session_id: UUID, to: int) -> Switched:
    mine = ChatSession.objects.filter(pk=session_id, owner_id=owner_id, deleted_at__isnull=True)
    if not mine.exists():
        return Switched("not_found")
    try:
        first = branches.switch(session_id, to)
    except branches.SessionBusy:
        return Switched("busy")
    except branches.UnknownTurn:
        return Switched("not_found")
    return Switched("switched", first, *mine.values_list("head_id", "turns_active").get())


def _stored(owner_id: int, session_id: UUID, client_id: UUID) -> bool:
    return Turn.objects.filter(session_id=session_id, session__owner_id=owner_id, client_id=client_id).exists()


def _new_session(user: Any, temporary: bool, client_id: UUID | None = None) -> UUID:
    with transaction.atomic():
        # Of two that come at once the second finds what the first has made. The key stays free for who refers to it.
        get_user_model()._default_manager.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()
        if client_id and (begun := _begun(user, client_id)):
            return begun
        mine = ChatSession.objects.owned_by(user).filter(turns_total=0, title="", temporary=temporary)
        mine = mine.filter(archived_at__isnull=True, forked_from__isnull=True, imported_at__isnull=True)
        empty = mine.order_by("-created_at").first()
        if empty is None:
            return sessions.create(user, text=presets.preferred(user), temporary=temporary).pk
        ChatSession.objects.filter(pk=empty.pk).update(updated_at=Now())
        return empty.pk


def _begun(user: Any, client_id: UUID) -> UUID | None:
    """The conversation that this message has begun. Looked for among the newest: it is sent again when the page that
    sent it, or the next one, is there again."""
    newest = ChatSession.objects.owned_by(user).filter(pinned=False).order_by("-updated_at", "-id")
    first = Turn.objects.filter(session__in=newest.values("pk")[:MOST_LOOKED_AT], client_id=client_id, number=1)
    return first.values_list("session_id", flat=True).first()


def _live_turn(user: Any, session_id: UUID) -> int | None:
    live = Turn.objects.live_in(session_id).filter(session__owner=user)
    return live.values_list("pk", flat=True).first()


def _delete(user: Any, session_id: UUID) -> bool:
    return bool(ChatSession.objects.owned_by(user).filter(pk=session_id).update(deleted_at=Now()))
