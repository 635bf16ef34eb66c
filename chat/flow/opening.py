"""Opening a turn: the user's message becomes a row, exactly once, or a clear refusal; one transaction."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction

from chat.context.prompts import CONTINUE
from chat.context.tokens import Counter
from chat.models import ChatSession, Turn
from chat.store import branches, quotas
from chat.store import documents as attached
from chat.store.database import storable
from chat.store.quotas import Caps, Over

OPS = ("new", "edit", "regenerate", "retry", "continue")
# These open a sibling of a turn, the others follow the head.
BESIDE = ("edit", "regenerate", "retry")
BUSY_RETRY_MS = 1_000
PESSIMISTIC = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The message is stored. `duplicate`: it had been stored before, under the same client id."""

    turn_id: int
    session_id: uuid.UUID
    number: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing was written. `code`: not_found, busy, client_id_reuse, too_large, empty, bad_op, unavailable, quota.

    `reason` of a quota: messages, live, tokens or spend.
    """

    code: str
    retry_after_ms: int | None = None
    reason: str = ""


def open_turn(
    *,
    owner_id: int,
    session_id: uuid.UUID,
    client_id: uuid.UUID,
    text: str,
    op: str = "new",
    of: int | None = None,
    base: int | None = None,
    documents: Sequence[int] = (),
    count: Callable[[str], int] = PESSIMISTIC.count,
    refusal: Callable[[str], float] = lambda model: 0.0,
    worth: Callable[[ChatSession, int], tuple[int, int]] = lambda session, prompt: (session.open_tokens + prompt, 0),
    caps: Caps | None = None,
    runner: str = "",
) -> Opened | Rejected:
    """Store a message as a queued turn, or say why not.

    `op` "new" appends; "edit", "regenerate" and "retry" open a sibling of the active turn `of`, the last two with
    its own prompt; "continue" appends to `of`, the head, whose reply was cut off, with words of our own. Sending the
    same `client_id` with the same words again is answered with the same turn. What the user was looking at (`base`)
    decides nothing. `refusal` says for how many seconds a model is not to be called; `documents` are the ids of those
    that wait beside the message box and go with a "new" one; `worth` what the call can use at most (tokens, millionths
    of a US dollar), which is set aside within `caps` (None: the settings'); `runner` names the runner of this process,
    which takes the turn at once.
    """
    text = storable(text)
    try:
        with transaction.atomic():
            return _open(owner_id, session_id, client_id, text, op, of, documents, count, refusal, worth, caps, runner)
    except IntegrityError:
        # SQLite names the wrong constraint: what happened is found out by looking, not by reading the message.
        return _duplicate(owner_id, session_id, client_id, text, op) or Rejected("busy", BUSY_RETRY_MS)


def _open(
    owner_id: int,
    session_id: uuid.UUID,
    client_id: uuid.UUID,
    text: str,
    op: str,
    of: int | None,
    documents: Sequence[int],
    count: Callable[[str], int],
    refusal: Callable[[str], float],
    worth: Callable[[ChatSession, int], tuple[int, int]],
    caps: Caps | None,
    runner: str,
) -> Opened | Rejected:
    session = branches.locked_of(owner_id, session_id)
    if session is None:
        return Rejected("not_found")
    head = session.head
    live = head is not None and head.is_live  # the live turn is always the head
    if op != "new" or live:
        before = _duplicate(owner_id, session_id, client_id, text, op)
        if before:
            return before
    # Else a second row of one client id is refused by its constraint, and the first one found then.
    if op not in OPS:
        return Rejected("bad_op")
    if len(text) > settings.CHAT_MAX_MESSAGE_CHARS:
        return Rejected("too_large")
    if live:
        return Rejected("busy", BUSY_RETRY_MS)
    target = None
    if op != "new":
        target = Turn.objects.filter(session=session, pk=of, active=True).select_related("parent").first()
        if target is None:
            return Rejected("not_found")
        if op in ("regenerate", "retry"):
            if target.redacted_at:
                return Rejected("bad_op")  # there is nothing to ask again
            text = target.prompt
        elif op == "edit" and target.kind == Turn.Kind.CONTINUE:
            return Rejected("bad_op")  # its words are ours
        elif op == "continue":
            if target.pk != session.head_id or target.status != Turn.Status.TRUNCATED:
                return Rejected("bad_op")
            text = CONTINUE
    if not text.strip():
        return Rejected("empty")
    if wait := refusal(session.model):
        again = Rejected("unavailable", max(1, round(wait * 1000)))
        return _duplicate(owner_id, session_id, client_id, text, op) or again
    tokens = count(text)
    held = quotas.reserve(owner_id, *worth(session, tokens), caps)
    if isinstance(held, Over):
        over = Rejected("quota", held.retry_after_ms, held.reason)
        return _duplicate(owner_id, session_id, client_id, text, op) or over
    values = {"prompt": text, "client_id": client_id, "tokens": tokens, "owner": runner, "held": held.columns}
    if op in BESIDE and target:
        turn = branches.sibling(session, target, **values)
    else:
        kind = Turn.Kind.CONTINUE if op == "continue" else Turn.Kind.MESSAGE
        turn = branches.new_turn(session, kind=kind, **values)
        if documents and op == "new":
            attached.attach(session, turn, documents)
    return Opened(turn_id=turn.pk, session_id=session.pk, number=turn.number)


def _duplicate(
    owner_id: int, session_id: uuid.UUID, client_id: uuid.UUID, text: str, op: str
) -> Opened | Rejected | None:
    """The answer for a client id that was used before, or None."""
    turn = (
        Turn.objects.filter(session_id=session_id, session__owner_id=owner_id, client_id=client_id)
        .only("id", "number", "prompt", "session_id")
        .first()
    )
    if turn is None:
        return None
    if op in ("new", "edit") and turn.prompt != text:
        return Rejected("client_id_reuse")
    return Opened(turn_id=turn.pk, session_id=session_id, number=turn.number, duplicate=True)


def ask_stop(*, owner_id: int, session_id: uuid.UUID, turn_id: int) -> str:
    """Ask for a turn to stop: a queued one is stopped at once, a running one by its runner.

    Returns "stopped", "asked", "finished" (nothing to stop) or "not_found".
    """
    with transaction.atomic():
        mine = ChatSession.objects.filter(pk=session_id, owner_id=owner_id, deleted_at__isnull=True)
        if mine.select_for_update(of=("self",)).first() is None:
            return "not_found"
        turn = Turn.objects.filter(pk=turn_id, session_id=session_id).only("id", "status", "attempt").first()
        if turn is None:
            return "not_found"
        if branches.stop_queued(turn_id):
            return "stopped"
        asked = Turn.objects.filter(pk=turn_id, status=Turn.Status.RUNNING).update(cancel_requested=True)
        return "asked" if asked else "finished"
