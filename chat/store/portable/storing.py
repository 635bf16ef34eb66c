"""Keeping a conversation that was read from a file: whole or not at all, in bulk, and once unless asked twice.

An imported turn is closed as if it had been answered here, with a stop reason that says where it is from, no usage,
and token counts that are estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from chat.context import exact, titling
from chat.context.tokens import Counter, Ratios
from chat.models import Calibration, ChatSession, Fact, Turn
from chat.store import closing, coverage, facts, sessions
from chat.store.portable import inserting, restoring
from chat.store.portable.columns import USAGE
from chat.store.portable.values import Broken, Conversation

STOP_REASON = "imported"
TITLE_CHARACTERS = 200


def counter_of(model: str) -> Counter:
    """The counter of a model, with what was learnt of it."""
    row = Calibration.objects.filter(pk=model).first()
    return Counter(Ratios.from_dict(row.ratios)) if row else Counter()


def stored(owner, conversation: Conversation) -> ChatSession | None:
    """The session that this very conversation was imported into before, and that is still there."""
    if not conversation.turns:
        return None
    same = Turn.objects.filter(
        number=1,
        client_id=inserting.client_id(conversation.digest(), 0),
        session__owner=owner,
        session__deleted_at=None,
    )
    turn = same.select_related("session").first()
    return turn.session if turn else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What takes longest, by turn: the tokens of prompt and reply, and the exact values in both. An archive has its
    own, and needs none."""

    tokens: Sequence[tuple[int, int]] = ()
    values: Sequence[Sequence[exact.Exact]] = ()


def prepare(conversation: Conversation, model: str = "") -> Prepared:
    """To be done before a transaction, which on SQLite holds up everybody who writes."""
    if conversation.archive is not None:
        return Prepared()
    count = counter_of(model or settings.CHAT_MODEL).count
    turns = conversation.turns
    tokens = [(count(turn.prompt), count(turn.reply) if turn.reply else 0) for turn in turns]
    return Prepared(tokens, [_values(turn.prompt, turn.reply) for turn in turns])


def store(owner, conversation: Conversation, prepared: Prepared | None = None, **values: Any) -> ChatSession:
    """Keep a conversation as a session of `owner`; `values` (model, strategy) replace the defaults or the archive's.

    Raises Broken, and then nothing of it was kept.
    """
    ready = prepared or prepare(conversation, values.get("model", ""))
    try:
        with transaction.atomic():
            values["imported_at"] = timezone.now()
            if conversation.archive is not None:
                return restoring.restore(owner, conversation, values)
            return _keep(owner, conversation, ready, values)
    except (IntegrityError, DataError):
        # The database's own words quote the row.
        raise Broken(f"{conversation.place}: its parts do not fit together.") from None


def _keep(owner, conversation: Conversation, ready: Prepared, values: dict[str, Any]) -> ChatSession:
    now = timezone.now()
    session = sessions.create(
        owner,
        title=conversation.title[:TITLE_CHARACTERS] or titling.by_code(conversation.path[0].prompt),
        created_at=conversation.created_at or now,
        **values,
    )
    turns: list[Turn] = []
    for exchange, (prompt_tokens, reply_tokens) in zip(conversation.turns, ready.tokens, strict=True):
        parent = turns[exchange.parent] if exchange.parent is not None else None
        at = exchange.at or conversation.created_at or now
        answered = bool(exchange.reply)
        turns.append(
            Turn(
                session=session,
                number=parent.number + 1 if parent else 1,
                active=exchange.active,
                prompt=exchange.prompt,
                reply=exchange.reply,
                status=Turn.Status.COMPLETE if answered else Turn.Status.STOPPED,
                stop_reason=STOP_REASON,
                usage=dict.fromkeys(USAGE, 0),
                prompt_tokens=prompt_tokens,
                reply_tokens=reply_tokens,
                tokens_upto=(parent.tokens_upto if parent else 0) + prompt_tokens + reply_tokens,
                digest=coverage.turn_digest(exchange.prompt, exchange.reply, []),
                created_at=at,
                closed_at=at,
            )
        )
    parents = [exchange.parent for exchange in conversation.turns]
    inserting.insert(turns, parents, inserting.leaves(turns, parents), conversation.digest())
    _keep_facts(turns, parents, ready.values)
    head = max((turn for turn in turns if turn.active), key=lambda turn: turn.number)
    inserting.total(session, turns, head, seen=head.number, updated_at=conversation.updated_at or head.closed_at)
    return session


def _keep_facts(turns: Sequence[Turn], parents: Sequence[int | None], values: Sequence[Sequence[exact.Exact]]) -> None:
    """The exact values of every turn, as closing it would have kept them: each once on its own path."""
    told: dict[tuple[str, str], int] = {}  # on the active path: the turn that says it first
    own: dict[int, set[tuple[str, str]]] = {}  # beside it: by turn
    rows: list[Fact] = []
    for index in sorted(range(len(turns)), key=lambda index: not turns[index].active):
        turn = turns[index]
        known = set() if turn.active else _above(index, turns, parents, told, own)
        for one in values[index]:
            key = one.kind, one.value
            if key in known or (turn.active and key in told):
                continue
            if turn.active:
                told[key] = turn.number
            known.add(key)
            rows.append(
                Fact(
                    session_id=turn.session_id,
                    kind=one.kind,
                    value=one.value,
                    quote=one.quote,
                    turn=turn,
                    made_by=Fact.MadeBy.CODE,
                )
            )
        if not turn.active:
            own[index] = known
    Fact.objects.bulk_create(rows, batch_size=inserting.BATCH)


def _above(
    index: int,
    turns: Sequence[Turn],
    parents: Sequence[int | None],
    told: dict[tuple[str, str], int],
    own: dict[int, set[tuple[str, str]]],
) -> set[tuple[str, str]]:
    """What the ancestors of a turn beside the active path say."""
    parent = parents[index]
    if parent is None:
        return set()
    if not turns[parent].active:
        return set(own[parent])
    return {key for key, number in told.items() if number <= turns[parent].number}


def _values(prompt: str, reply: str) -> Sequence[exact.Exact]:
    most, reach = closing.MOST_VALUES, closing.SEARCHED_CHARACTERS
    found = (*exact.find(prompt[:reach], limit=most), *exact.find(reply[:reach], limit=most))
    return found[: facts.MOST_A_TURN]
