"""What a socket is told when it says hello: where its conversation stands, and how a reply ended meanwhile."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, IntegerField, Value, When
from django.db.models.functions import Length

from chat.models import ChatSession, Turn
from chat.stream.live import Live, ended

# Written out: every turn executes it, and Django would put it together anew each time.
_SEEN = f"UPDATE {ChatSession._meta.db_table} SET seen = %s WHERE id = %s AND owner_id = %s AND seen < %s"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation stands. `head`: number of its newest turn, `turn` its id, `before` that of the one before
    it (0: there is none).

    `live`: {turn, epoch, end} when that turn has not ended. `known`: the turn that was asked about is one of this
    conversation. `rest`: that turn, when it has ended.
    """

    head: int
    turn: int = 0
    before: int = 0
    live: dict[str, Any] | None = None
    status: str = ""
    known: bool = True
    rest: Live | None = None


def place(owner_id: int, session_id: UUID, asked: int | None = None) -> Place | None:
    """Where a session stands, and what became of the turn `asked`; None when the session is not this owner's."""
    mine = ChatSession.objects.filter(pk=session_id, owner_id=owner_id, deleted_at__isnull=True)
    # The length only where it is told: it costs reading the whole text.
    so_far = Case(
        When(head__status__in=Turn.LIVE, then=Length("head__reply")), default=Value(0), output_field=IntegerField()
    )
    columns = {"epoch": F("head__epoch"), "status": F("head__status"), "before": F("head__parent_id"), "end": so_far}
    row = mine.values("turns_active", "head_id", **columns).first()
    if row is None:
        return None
    head, turn, before = row["turns_active"], row["head_id"] or 0, row["before"] or 0
    live = {"turn": turn, "epoch": row["epoch"], "end": row["end"]} if row["status"] in Turn.LIVE else None
    if asked is None or (live and asked == turn):
        return Place(head, turn, before, live, row["status"] or "")
    known, rest = _rest(session_id, asked)
    return Place(head, turn, before, live, row["status"] or "", known, rest)


def is_mine(owner_id: int, session_id: UUID) -> bool:
    """Whether there is such a session of this owner's."""
    return ChatSession.objects.filter(pk=session_id, owner_id=owner_id, deleted_at__isnull=True).exists()


def seen(owner_id: int, session_id: UUID, number: int) -> None:
    """The owner has this reply on the screen."""
    session = ChatSession._meta.pk.get_db_prep_value(session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, [number, session, owner_id, number])


def _rest(session_id: UUID, asked: int) -> tuple[bool, Live | None]:
    fields = ("number", "epoch", "status", "stop_reason", "error", "usage", "reply")
    row = Turn.objects.filter(pk=asked, session_id=session_id).values(*fields).first()
    if row is None:
        return False, None
    if row["status"] in Turn.LIVE:
        return True, None
    return True, ended(
        turn=asked,
        number=row["number"],
        epoch=row["epoch"],
        text=row["reply"],
        status=row["status"],
        stop_reason=row["stop_reason"] or row["error"],
        usage=row["usage"],
    )
