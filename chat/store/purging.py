"""Removing a conversation for good, in steps: SQLite has one write lock, and a long conversation takes seconds.

The first step marks it (`ChatSession.GOING`) in the transaction in which it removes its first rows, under the lock of
its row. From then on nothing brings it back, and every later step, of this process or after a crash of another one,
goes on where the last one stopped: what is left is to be read from the rows. The conversation's own row goes last.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model
from django.db.models.functions import Length, Now

from chat.models import ChatSession, Document, Fact, Job, Notice, Share, Summary, Turn
from chat.store import sessions

STEP_S = 0.03
"""For so long one transaction removes rows. The piece in which that is over, and the commit, come on top."""

PIECE = 200
BESIDE: tuple[tuple[type[Model], int], ...] = (
    *((model, PIECE) for model in (Job, Share, Notice, Summary, Fact)),
    # One may be as long as a book, and has to be cut into its words to leave the index of words.
    (Document, 1),
)
"""What hangs on a conversation beside its turns, and how many rows of it go between two looks at the clock."""

TURNS, CHARACTERS = 50, 100_000
"""The same of turns, with what hangs on them: so many at most, and of long ones as many as have so many characters."""


@dataclass(frozen=True, slots=True)
class Purged:
    """A step: of which conversation, and whether that is gone now."""

    session: UUID
    gone: bool


def purge(undo_s: float, step_s: float = STEP_S) -> Purged | None:
    """One step in removing what was deleted over `undo_s` seconds ago, the oldest first; None: there is nothing to do.

    A reply that is still being written is stopped by its deletion and goes first. What was counted about a
    conversation stays, without a word of it. SQLite's index wants `words.forget` when one is gone.
    """
    over = ChatSession.objects.filter(deleted_at__lt=Now() - timedelta(seconds=undo_s))
    ended = over.exclude(head__status__in=Turn.LIVE)
    due = ended.order_by("deleted_at").values_list("pk", flat=True).first()
    if due is None:
        return None
    overwrite()
    with transaction.atomic():
        # Locked and asked again: an undo, or another process, comes before or after, not between.
        session = ended.select_for_update(of=("self",)).filter(pk=due).first()
        return Purged(due, session is not None and _step(session, step_s))


def remove(session_id: UUID, step_s: float = STEP_S) -> bool:
    """One step in removing this conversation, whether it was deleted or not; True when it is gone."""
    overwrite()
    with transaction.atomic():
        session = ChatSession.objects.select_for_update(of=("self",)).filter(pk=session_id).first()
        return session is None or _step(session, step_s)


def _step(session: ChatSession, step_s: float) -> bool:
    """Remove rows for `step_s` seconds; whether none is left. The session is locked."""
    ends = time.monotonic() + step_s
    if session.deleted_at != ChatSession.GOING:
        ChatSession.objects.filter(pk=session.pk).update(deleted_at=ChatSession.GOING)
    for _ in _pieces(session.pk):
        if time.monotonic() >= ends:
            return False
    session.delete()
    sessions.forget_instructions([session.instructions_id])
    return True


def _pieces(session_id: UUID) -> Iterator[None]:
    """Remove what hangs on a conversation, a few rows before each yield, until nothing is left."""
    for model, most in BESIDE:
        rows = model._default_manager.filter(session=session_id).values_list("pk", flat=True)
        while found := list(rows[:most]):
            model._default_manager.filter(pk__in=found).delete()
            yield
    while turns := _lowest(session_id):
        # A branch that was left remembers its end in each of its turns: the database would change them all at once.
        pointing = Turn.objects.filter(leaf__in=turns).exclude(pk__in=turns).values_list("pk", flat=True)
        if found := list(pointing[:PIECE]):
            Turn.objects.filter(pk__in=found).update(leaf=None)
        else:
            Turn.objects.filter(pk__in=turns).delete()
        yield


def _lowest(session_id: UUID) -> list[int]:
    """Turns below which there is none: a turn that goes takes along whatever is below it.

    The left branches first, which may stand below the active path, never above; by the index of the path.
    """
    lowest = Turn.objects.filter(session=session_id).order_by("active", "-number")
    sizes = lowest.annotate(size=Length("prompt") + Length("reply")).values_list("pk", "size")[:TURNS]
    turns: list[int] = []
    room = CHARACTERS
    for pk, size in sizes:
        if turns and size > room:
            break
        turns.append(pk)
        room -= size
    return turns


def overwrite() -> None:
    """From now on this connection removes words for good. SQLite may leave them where they stood, until something else
    needs the place."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")
