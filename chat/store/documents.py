"""The rows of attached documents: kept beside the message box, sent with a message, taken out again.

A document waits without a turn until the message that it belongs to is sent. From then on it is seen on the path of
that turn, or of another version of it (an edit keeps what was attached to the message); a switch of branch writes
nothing. Whatever changes which documents are seen raises the session's context version.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import ChatSession, Document, Turn
from chat.store import branches


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room for the document: `tokens` it has, `left` of the `budget` are free for it. All are tokens."""

    tokens: int
    left: int
    budget: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """The conversation has as many documents as it may have."""

    most: int


def standing(session_id: UUID) -> QuerySet[Document]:
    """The documents that are seen or wait; the latter have no turn."""
    return _on_path(session_id).filter(removed_at__isnull=True).order_by("since", "id").defer("text")


def _on_path(session_id: UUID) -> QuerySet[Document]:
    same_place = Turn.objects.filter(
        Q(number=1) | Q(parent_id=OuterRef("turn__parent_id")),
        session_id=session_id,
        active=True,
        number=OuterRef("turn__number"),
    )
    on_path = Q(turn__isnull=True) | Q(turn__active=True) | Exists(same_place)
    return Document.objects.filter(on_path, session_id=session_id)


def seen(session_id: UUID) -> QuerySet[Document]:
    """The documents that the model is sent on the active path, in the order in which it reads them."""
    return standing(session_id).filter(turn__isnull=False)


def largest(session_id: UUID, number: int, at: datetime | None) -> str:
    """The name of the largest document that turn `number` of the active path was sent with, as it ended at `at`; ""
    where there is none. It is its owner's own word: for their page, not for a log."""
    then = Q(removed_at__isnull=True) | Q(removed_at__gt=at or timezone.now())
    sent = _on_path(session_id).filter(then, turn__number__lte=number)
    return sent.order_by("-tokens", "id").values_list("name", flat=True).first() or ""


def held(session_id: UUID) -> int:
    """Tokens of the documents that are seen or wait."""
    return standing(session_id).order_by().aggregate(total=Sum("tokens"))["total"] or 0


def keep(
    owner_id: int,
    session_id: UUID,
    *,
    name: str,
    kind: str,
    text: str,
    size: int,
    tokens: int,
    budget: int,
    most: int,
) -> Document | Full | TooMany | None:
    """Store a document beside the message box, if all that are seen or wait still fit `budget` tokens together.

    `size` is the upload's, in bytes; `most` how many a conversation may have. None: there is no such session of this
    owner's.
    """
    with transaction.atomic():
        session = branches.locked_of(owner_id, session_id)
        if session is None:
            return None
        if Document.objects.filter(session_id=session_id, removed_at__isnull=True).count() >= most:
            return TooMany(most)
        left = budget - held(session_id)
        if tokens > left:
            return Full(tokens, max(0, left), budget)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return Document.objects.create(
            session_id=session_id, name=name, kind=kind, text=text, digest=digest, size=size, tokens=tokens
        )


def attach(session: ChatSession, turn: Turn, ids: Sequence[int]) -> int:
    """Send waiting documents along with a turn that was just opened; returns how many. The session row is locked.

    One that was removed meanwhile, or went with another tab's message, is left alone.
    """
    rows = Document.objects.filter(session_id=session.pk, pk__in=ids, turn__isnull=True, removed_at__isnull=True)
    changed = rows.update(turn_id=turn.pk, since=session.context_version + 1)
    if changed:
        _changed(session.pk)
    return changed


def remove(owner_id: int, session_id: UUID, document_id: int) -> bool:
    """Take a document out: no later request holds it. False when there is none of this owner's.

    The row stays while the conversation does, because earlier requests are shown as they were sent.
    """
    with transaction.atomic():
        if branches.locked_of(owner_id, session_id) is None:
            return False
        standing = Document.objects.filter(pk=document_id, session_id=session_id, removed_at__isnull=True)
        found = standing.values_list("turn_id", flat=True).first()
        if not standing.update(removed_at=Now()):
            return False
        if found is not None:
            _changed(session_id)
        else:
            # Nobody was ever sent it.
            Document.objects.filter(pk=document_id).delete()
        return True


def home(owner_id: int, ids: Collection[int]) -> UUID | None:
    """The conversation in which nothing was said yet that these documents wait in, if it is one of this owner's."""
    rows = Document.objects.filter(
        pk__in=ids,
        turn__isnull=True,
        removed_at__isnull=True,
        session__owner_id=owner_id,
        session__deleted_at__isnull=True,
        session__turns_total=0,
    )
    return rows.order_by("id").values_list("session_id", flat=True).first()


def by_place(session_id: UUID, first: int, last: int) -> dict[tuple[int, int | None], list[Document]]:
    """The documents of turns `first`..`last` of all branches, by number and parent; those since removed, too."""
    out: dict[tuple[int, int | None], list[Document]] = {}
    rows = Document.objects.filter(session_id=session_id, turn__number__range=(first, last))
    for one in (
        rows.select_related("turn")
        .only(*("id", "name", "kind", "tokens", "size", "removed_at", "session_id"), "turn__number", "turn__parent_id")
        .order_by("since", "id")
    ):
        if one.turn is not None:
            out.setdefault((one.turn.number, one.turn.parent_id), []).append(one)
    return out


def _changed(session_id: UUID) -> None:
    ChatSession.objects.filter(pk=session_id).update(context_version=F("context_version") + 1)
