"""An upload between being looked at and being taken: each conversation as a row, to be shown, stored, and forgotten.

Reading is done once, when the file comes; what waits is what was understood of it. Nothing is stored as a
conversation before its owner has seen what there is.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max, Min, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import Import, ImportItem, Turn
from chat.store.portable import archive, bounding, inserting, reading, storing, uploads
from chat.store.portable.values import Broken, Conversation, Exchange, Unreadable

MOST_CONVERSATIONS = 20_000
MOST_CHARACTERS = 16 << 20
"""Characters of one conversation. Taking JSON apart holds up everything else in the process meanwhile."""

MOST_AT_ONCE = 4 << 20
"""Bytes of compressed conversations that are written in one statement."""

KEPT_S = 86_400.0
TITLE_CHARACTERS = 200


def stage(owner: Any, file: BinaryIO, name: str, size: int) -> Import:
    """Take a file apart and keep what is in it for its owner to look at. An earlier one that was not taken goes.

    What is broken is kept as an item that says why; a file that can't be read on has its reason as `problem`, and
    what came before is good.
    """
    Import.objects.filter(owner=owner, state=Import.State.SHOWN).delete()
    upload = Import.objects.create(owner=owner, size=size, problem="unfinished")
    known = _known(owner)
    held: list[ImportItem] = []
    weight = 0
    problem = ""
    try:
        for index, item in enumerate(_items(upload, file, name, known)):
            if index == MOST_CONVERSATIONS:
                problem = "too_many"
                break
            item.index = index
            held.append(item)
            weight += len(item.body or b"")
            if weight > MOST_AT_ONCE or len(held) >= inserting.BATCH:
                ImportItem.objects.bulk_create(held)
                held, weight = [], 0
    except Unreadable as error:
        problem = "unreadable"
        held.append(
            ImportItem(upload=upload, index=_next(upload, held), state=ImportItem.State.BROKEN, problem=str(error))
        )
    ImportItem.objects.bulk_create(held)
    upload.problem = problem
    upload.save(update_fields=["problem"])
    return upload


def _next(upload: Import, held: list[ImportItem]) -> int:
    if held:
        return held[-1].index + 1
    last = upload.items.aggregate(last=Max("index"))["last"]
    return 0 if last is None else last + 1


def _items(upload: Import, file: BinaryIO, name: str, known: dict[UUID, UUID]) -> Iterator[ImportItem]:
    for part, label in uploads.parts(file, name):
        for read in reading.read_text(part, label, most=MOST_CHARACTERS):
            if isinstance(read, Broken):
                yield ImportItem(upload=upload, state=ImportItem.State.BROKEN, problem=str(read))
                continue
            digest = read.digest() if read.turns else ""
            before = known.get(inserting.client_id(digest, 0)) if digest else None
            item = ImportItem(
                upload=upload,
                format=read.format,
                title=read.title[:TITLE_CHARACTERS],
                turns=len(read.path),
                started_at=read.created_at or (read.turns[0].at if read.turns else None),
                digest=digest,
                left_out=dict(read.left_out) | bounding.replaced(read),
                session_id=before,
                state=ImportItem.State.THERE if before else ImportItem.State.NEW,
            )
            if not read.turns:
                item.state = ImportItem.State.EMPTY
            elif not before:
                item.body = pack(read)
                # A second copy in the same file is known, too.
                known[inserting.client_id(digest, 0)] = upload.pk
            elif before == upload.pk:
                item.session_id = None
            yield item


def _known(owner: Any) -> dict[UUID, UUID]:
    """By the name that an import gives the first turn: the conversations that are there. One query for any number."""
    first = Turn.objects.filter(number=1, session__owner=owner, session__deleted_at=None)
    return dict(first.values_list("client_id", "session_id"))


def pack(conversation: Conversation) -> bytes:
    """A conversation as bytes, for `unpack`."""
    if conversation.archive is not None:
        kept: dict[str, Any] = {"archive": conversation.archive}
    else:
        kept = {
            "title": conversation.title,
            "format": conversation.format,
            "created_at": _text(conversation.created_at),
            "updated_at": _text(conversation.updated_at),
            "turns": [
                [turn.prompt, turn.reply, turn.parent, turn.active, _text(turn.at)] for turn in conversation.turns
            ],
        }
    return zlib.compress(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass"), 6)


def unpack(body: bytes, place: str) -> Conversation:
    """What `pack` was given. Raises Broken where an archive does not hold together."""
    kept = json.loads(zlib.decompress(body).decode("utf-8", "surrogatepass"))
    if "archive" in kept:
        return archive.parse(kept["archive"], place)
    turns = tuple(
        Exchange(prompt=prompt, reply=reply, parent=parent, active=active, at=_moment(at))
        for prompt, reply, parent, active, at in kept["turns"]
    )
    return Conversation(
        place=place,
        format=kept["format"],
        title=kept["title"],
        turns=turns,
        created_at=_moment(kept["created_at"]),
        updated_at=_moment(kept["updated_at"]),
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that is ready to be stored, or why it can't be."""

    item: ImportItem
    conversation: Conversation | None = None
    prepared: storing.Prepared | None = None
    problem: str = ""


def waiting(upload_id: UUID) -> Waiting | None:
    """The next conversation of an import that runs, got ready without writing; None when none is left."""
    rows = ImportItem.objects.filter(upload_id=upload_id, upload__state=Import.State.RUNNING)
    item = rows.filter(state=ImportItem.State.NEW).select_related("upload__owner").order_by("index").first()
    if item is None:
        return None
    try:
        conversation = unpack(bytes(item.body or b""), item.title or f"conversation {item.index + 1}")
        return Waiting(item, conversation, storing.prepare(conversation))
    except Broken as error:
        return Waiting(item, problem=str(error))


def take(one: Waiting) -> None:
    """Store it, whole or not at all. The row is claimed by changing it: of two that are at it at once one stores."""
    mine = ImportItem.objects.filter(pk=one.item.pk, state=ImportItem.State.NEW)
    problem = one.problem
    if one.conversation:
        try:
            with transaction.atomic():
                if mine.update(state=ImportItem.State.TAKEN, body=None):
                    bounds = bounding.values(one.conversation)
                    session = storing.store(one.item.upload.owner, one.conversation, one.prepared, **bounds)
                    ImportItem.objects.filter(pk=one.item.pk).update(session=session, title=session.title)
        except Broken as error:
            problem = str(error)
    if problem:
        mine.update(state=ImportItem.State.BROKEN, problem=problem, body=None)


def finish(upload_id: UUID) -> None:
    """Nothing of it waits any more."""
    Import.objects.filter(pk=upload_id, state=Import.State.RUNNING).update(state=Import.State.DONE, finished_at=Now())


def begin(upload: Import) -> bool:
    """Let it be taken; False when it was begun before."""
    begun = Import.objects.filter(pk=upload.pk, state=Import.State.SHOWN, problem__in=["", "too_many", "unreadable"])
    return bool(begun.update(state=Import.State.RUNNING))


def figures(upload: Import) -> dict[str, Any]:
    """How many conversations are in which state, how many turns wait, and from when to when they are."""
    counts = dict(upload.items.values_list("state").annotate(count=Count("pk")).order_by())
    new = upload.items.exclude(state__in=[ImportItem.State.BROKEN, ImportItem.State.EMPTY])
    return {state: counts.get(state, 0) for state in ImportItem.State.values} | new.aggregate(
        all_turns=Sum("turns"), first=Min("started_at"), last=Max("started_at")
    )


def left_out(upload: Import) -> dict[str, int]:
    """What can't be taken along, by code, over all conversations that can."""
    total: dict[str, int] = {}
    rows: QuerySet = upload.items.filter(state__in=[ImportItem.State.NEW, ImportItem.State.TAKEN]).exclude(left_out={})
    for counts in rows.values_list("left_out", flat=True):
        for code, count in counts.items():
            total[code] = total.get(code, 0) + count
    return total


def purge() -> int:
    """Forget uploads of yesterday, taken or not. Returns how many."""
    old = Import.objects.filter(created_at__lt=timezone.now() - timedelta(seconds=KEPT_S))
    return old.delete()[1].get(Import._meta.label, 0)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
