"""Removing for good what was said in a turn, and what was made of it: what staff do where something must go.

The turn stays in its place with its numbers, so that who reads on sees that something was removed. All of its versions
go together, for a reply that was asked for again repeats the message. Nothing here can be taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from chat.context import titling
from chat.models import ChatSession, Document, Fact, Step, Summary, Thought, Turn, words
from chat.store import coverage, marks

# What stands in the place of each text: a request may hold no empty message, and roles go on to alternate.
MARKER = "[removed by support]"
MESSAGE = gettext_lazy("This message was removed by support.")
REPLY = gettext_lazy("This reply was removed by support.")

_Titled = ChatSession.TitledBy
_SHIFT = f"""
WITH RECURSIVE line(id) AS (
  SELECT id FROM {Turn._meta.db_table} WHERE id = %s
  UNION ALL SELECT t.id FROM {Turn._meta.db_table} t JOIN line ON t.parent_id = line.id
) UPDATE {Turn._meta.db_table} SET tokens_upto = tokens_upto + %s WHERE id IN (SELECT id FROM line)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted(marks.Marked):
    """What went with a turn: so many versions of it, facts, and attached documents."""

    versions: int = 0
    facts: int = 0
    documents: int = 0


def redact(session_id: UUID, turn_id: int, *, tokens: int, most: int | None = None) -> Redacted:
    """Remove the words of a turn of the active path and of its other versions; `tokens` are those of MARKER.

    Summaries over it lose their texts and are stale at once; what they stood for is sent again as far as `most`
    tokens allow, see `marks.exclude`. Raises SessionBusy, UnknownTurn.
    """
    with transaction.atomic():
        session, turn = marks.found(session_id, turn_id)
        versions = Turn.objects.filter(session_id=session_id, number=turn.number, parent_id=turn.parent_id)
        ids = list(versions.filter(redacted_at__isnull=True).values_list("pk", flat=True))
        if not ids:
            return Redacted(number=turn.number, changed=False)
        _title(session, turn.number, ids)
        documents = Document.objects.filter(turn_id__in=ids).delete()[0]
        known = _facts(ids)
        _words(ids, tokens)
        _empty(session_id, turn.number)
        stale = marks.remade(session, [turn.number], most)
        transaction.on_commit(words.forget, robust=True)
        return Redacted(
            number=turn.number,
            changed=True,
            stale=stale,
            versions=len(ids),
            facts=known,
            documents=documents,
        )


def _title(session: ChatSession, number: int, ids: Sequence[int]) -> None:
    """Take a title that was made of these words: the first of a message, or what a model made of the first turn."""
    prompts = Turn.objects.filter(pk__in=ids).values_list("prompt", flat=True)
    if (number == 1 and session.titled_by in (_Titled.CODE, _Titled.MODEL)) or (
        session.titled_by != _Titled.USER and session.title in [titling.by_code(prompt) for prompt in prompts]
    ):
        ChatSession.objects.filter(pk=session.pk).update(title="", titled_by="")


def _words(ids: Sequence[int], tokens: int) -> None:
    """Put the marker in the place of the texts, and count the running sums of all that follows by it."""
    turns = Turn.objects.filter(pk__in=ids)
    before = list(turns.values_list("pk", "parent__tokens_upto", "tokens_upto"))
    answered = list(turns.exclude(reply="").values_list("pk", flat=True))
    Step.objects.filter(turn_id__in=ids).delete()
    Thought.objects.filter(turn_id__in=ids).delete()
    for some, reply in ((answered, MARKER), ([pk for pk in ids if pk not in answered], "")):
        Turn.objects.filter(pk__in=some).update(
            prompt=MARKER,
            prompt_tokens=tokens,
            prompt_source=Turn.Source.ESTIMATED,
            reply=reply,
            reply_html="",
            html_version=0,
            reply_tokens=tokens if reply else 0,
            reply_source=Turn.Source.ESTIMATED,
            step_count=0,
            digest=coverage.turn_digest(MARKER, reply, []),
            redacted_at=Now(),
        )
    with connection.cursor() as cursor:
        for pk, parent, upto in before:
            own = tokens * (2 if pk in answered else 1)
            cursor.execute(_SHIFT, [pk, own - (upto - (parent or 0))])


def _facts(ids: Sequence[int]) -> int:
    """Remove what was learnt from these turns. A person's correction stays, without the value that it corrected."""
    known = list(Fact.objects.filter(turn_id__in=ids).values_list("pk", flat=True))
    Fact.objects.filter(supersedes_id__in=known, made_by=Fact.MadeBy.USER).update(quote="")
    Fact.objects.filter(pk__in=known).delete()
    return len(known)


def _empty(session_id: UUID, number: int) -> None:
    """Take the texts of all summaries over a turn. Without the hash of a source none of them ever comes back."""
    over = Summary.objects.filter(session_id=session_id, first__lte=number, last__gte=number)
    over.filter(state=Summary.State.UNDONE).update(state=Summary.State.STALE)
    over.update(text="", source_hash="")
