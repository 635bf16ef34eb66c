"""Forking: a new conversation of the same owner that begins with a copy of the path up to one of its turns.

Turns and what belongs to them are copied inside the database, by statements whose number does not grow with the
conversation; of summaries, notices, facts and documents there are few, and they are inserted in batches. Numbers stay
the same, so every hash over a range holds for the copy too. Manifests and feedback are not copied: they speak of
requests that were made from the original.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from django.db import connection, models, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from chat.models import ChatSession, Fact, Notice, Step, Summary, Thought, Turn
from chat.store import branches, documents, totals

BATCH = 500

Row = TypeVar("Row", bound=models.Model)
Pairs = dict[int | None, tuple[Any, Any]]

# Of a turn, what the copy does not take over.
_ANEW = {
    "leaf_id": None,
    "owner": "",
    "lease_until": None,
    "reserved_on": None,
    "reserved": None,
    "reserved_cost": None,
}

# What was decided about the conversation, and not about what it says, begins anew too.
_BEGINS = {"pinned": False, "archived_at": None, "compactions": 0, "trims": 0, "turns_total": 0, "head_id": None}

# Those that may come back are copied; what was refused, is out of date or unfinished would never be.
_KEPT = (Summary.State.ACTIVE, Summary.State.RESTING, Summary.State.UNDONE)


class NotFinished(Exception):
    """The turn still runs: there is nothing to copy yet."""


def fork(owner_id: int, session_id: uuid.UUID, turn_id: int, *, title: str) -> ChatSession:
    """Copy the active path of a session up to a turn of it into a new session, called `title`.

    Raises ChatSession.DoesNotExist (also for somebody else's), branches.UnknownTurn, NotFinished.
    """
    with transaction.atomic():
        mine = ChatSession.objects.select_for_update(of=("self",))
        session = mine.get(pk=session_id, owner_id=owner_id, deleted_at__isnull=True)
        last = Turn.objects.filter(session=session, pk=turn_id, active=True).only("number", "status").first()
        if last is None:
            raise branches.UnknownTurn
        if last.is_live:
            raise NotFinished
        now = timezone.now()
        made = _copy(session, id=uuid.uuid4(), forked_from_id=session.pk, created_at=now, updated_at=now, **_BEGINS)
        made.title = title[: ChatSession._meta.get_field("title").max_length]
        made.seen = last.number
        made.save(force_insert=True)
        _copy_turns(session.pk, made.pk, last.number)
        _copy_memory(session.pk, made.pk, last.number)
        _settle(session, made, last.number)
    made.refresh_from_db()
    return made


def _copy(row: Row, **changes: Any) -> Row:
    """An unsaved row with the same columns, but for its id and `changes`."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    del values[row._meta.pk.attname]
    return type(row)(**values | changes)


def _copy_turns(source: uuid.UUID, made: uuid.UUID, last: int) -> None:
    """The turns, first of all those that the others point to, and what hangs on them."""
    # An import looks for the client id of a first turn to find what it stored before; a copy is not that.
    _insert_turns(source, made, 1, 1, client_id=uuid.uuid4(), parent_id=None)
    first = Turn.objects.values_list("pk", flat=True).get(session_id=made)
    _insert_turns(source, made, 2, last, parent_id=first)  # for now: its own parent has no id yet
    own = Turn.objects.filter(session_id=made)
    before = Turn.objects.filter(session_id=made, active=True, number=OuterRef("number") - 1)
    own.filter(number__gt=2).update(parent=Subquery(before.values("pk")[:1]))
    _insert_of_turns(Step, source, made)
    _insert_of_turns(Thought, source, made)


def _insert_turns(source: uuid.UUID, made: uuid.UUID, first: int, last: int, **values: Any) -> None:
    values = {"session_id": made} | _ANEW | values
    columns, given, parameters = _columns(Turn, "o", values)
    _execute(
        f"INSERT INTO {Turn._meta.db_table} ({columns}) SELECT {given} FROM {Turn._meta.db_table} o"
        " WHERE o.session_id = %s AND o.active AND o.number BETWEEN %s AND %s ORDER BY o.number",
        [*parameters, _id(source), first, last],
    )


def _insert_of_turns(model: type[models.Model], source: uuid.UUID, made: uuid.UUID) -> None:
    """Rows of `model`, which has a `turn`, for the turns that were copied."""
    table, turns = model._meta.db_table, Turn._meta.db_table
    columns, given, _ = _columns(model, "r", {}, turn_id="n.id")
    _execute(
        f"INSERT INTO {table} ({columns}) SELECT {given} FROM {turns} o"
        f" JOIN {table} r ON r.turn_id = o.id JOIN {turns} n ON n.session_id = %s AND n.active AND n.number = o.number"
        " WHERE o.session_id = %s AND o.active",
        [_id(made), _id(source)],
    )


def _columns(
    model: type[models.Model], alias: str, values: Mapping[str, Any], **words: str
) -> tuple[str, str, list[Any]]:
    """The columns of a table that the database does not number itself; what each gets: its own value under `alias`,
    or one of `values` (by attribute) as a parameter, or one of `words` as it is."""
    quoted = connection.ops.quote_name
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    given, parameters = [], []
    for field in fields:
        if field.attname in values:
            given.append("%s")
            parameters.append(field.get_db_prep_save(values[field.attname], connection))
        else:
            given.append(words.get(field.attname, f"{alias}.{quoted(field.column)}"))
    return ", ".join(quoted(field.column) for field in fields), ", ".join(given), parameters


def _execute(statement: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _id(session_id: uuid.UUID) -> Any:
    return ChatSession._meta.pk.get_db_prep_value(session_id, connection)


def _copy_memory(source: uuid.UUID, made: uuid.UUID, last: int) -> None:
    """What stands for turns and beside them, as far as it is true of the turns up to `last`."""
    turns = dict(Turn.objects.filter(session_id=made).values_list("number", "pk"))
    old = dict(Turn.objects.filter(session_id=source, active=True, number__lte=last).values_list("pk", "number"))

    def there(turn_id: int | None) -> int | None:
        """The copy of a turn, if it has one."""
        return turns.get(old.get(turn_id, 0)) if turn_id else None

    valid = Summary.objects.filter(session_id=source, state__in=_KEPT, until__active=True, last__lte=last)
    summaries = _insert_rows(valid, lambda one: {"until_id": there(one.until_id)}, made)
    _link(summaries, "replaces", "merged_into")
    notices = Notice.objects.filter(session_id=source, ended_at=None, until__active=True, last__lte=last)
    _insert_rows(
        notices,
        lambda one: {
            "until_id": there(one.until_id),
            "turn_id": there(one.turn_id),
            "summary_id": getattr(_copy_of(summaries, one.summary_id), "pk", None),
        },
        made,
    )
    facts = Fact.objects.filter(session_id=source, forgotten_at=None).filter(_said_by(last))
    _link(_insert_rows(facts, lambda one: {"turn_id": there(one.turn_id)}, made), "supersedes")
    # One that came with another version of a turn is seen here with the version that was copied.
    attached = documents.seen(source).filter(turn__number__lte=last).defer(None).select_related("turn")
    _insert_rows(attached, lambda one: {"turn_id": turns[one.turn.number]}, made)


def _said_by(last: int) -> models.Q:
    """Facts of the active path up to a turn, and those that somebody wrote down beside it."""
    return models.Q(turn=None) | models.Q(turn__active=True, turn__number__lte=last)


def _insert_rows(rows: QuerySet, change: Callable[[Any], dict[str, Any]], made: uuid.UUID) -> Pairs:
    """Copies of these rows. What they say of each other is set by `_link`."""
    found: Pairs = {}
    for batch in _batches(rows.order_by("pk").iterator(chunk_size=BATCH)):
        copies = [_copy(one, session_id=made, **_unlinked(one), **change(one)) for one in batch]
        rows.model.objects.bulk_create(copies)
        found |= {one.pk: (one, copy) for one, copy in zip(batch, copies, strict=True)}
    return found


def _unlinked(row: models.Model) -> dict[str, None]:
    return {field.attname: None for field in row._meta.concrete_fields if field.related_model is type(row)}


def _link(pairs: Pairs, *names: str) -> None:
    """Set what copies say of each other: each names the copy of what its original names, if there is one."""
    changed = []
    for original, copy in pairs.values():
        links = {name: _copy_of(pairs, getattr(original, f"{name}_id")) for name in names}
        if any(links.values()):
            for name, other in links.items():
                setattr(copy, name, other)
            changed.append(copy)
    if changed:
        type(changed[0]).objects.bulk_update(changed, names, batch_size=BATCH)


def _copy_of(pairs: Pairs, original: int | None) -> Any:
    return pairs[original][1] if original in pairs else None


def _batches(rows: Iterable[Row]) -> Iterable[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def _settle(session: ChatSession, made: ChatSession, last: int) -> None:
    """The window, the tiling, the notices and the totals, as if the path had been left behind turn `last`."""
    # A summary that reaches beyond stands for nothing here: what it covered is sent again, or a smaller one covers it.
    reaching = Summary.objects.filter(
        session=session, state=Summary.State.ACTIVE, until__active=True, first__lte=last, last__gt=last
    )
    start = min([last + 1, *reaching.values_list("first", flat=True)])
    head = Turn.objects.values_list("pk", flat=True).get(session_id=made.pk, number=last)
    branches.settle(made, start, head, last)
    commits = Summary.objects.filter(session=made, committed_at__isnull=False)
    figures = totals.counted([made.pk])[made.pk]
    figures["compactions"] = commits.values("committed_at").distinct().count()
    ChatSession.objects.filter(pk=made.pk).update(**figures)
