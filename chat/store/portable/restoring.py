"""The rows of our own format into the tables: as they were, under ids of this database."""

import hashlib
from typing import Any

from chat.models import ChatSession, Document, Fact, Feedback, Notice, Step, Summary, Thought
from chat.store import coverage, sessions
from chat.store.portable import archive, inserting
from chat.store.portable.values import Broken, Conversation


def restore(owner, conversation: Conversation, values: dict[str, Any]) -> ChatSession:
    """Store an archive in the caller's transaction; `values` replace its own. Raises Broken, IntegrityError."""
    rows = archive.rows(conversation.archive or {}, conversation.place)
    kept = {"text": rows.instructions} | rows.session | values
    session = sessions.create(owner, **kept)
    for turn in rows.turns:
        turn.session = session
    _sum_up(rows)
    if not rows.turns:
        return session
    inserting.insert(rows.turns, rows.parents, rows.leaves, conversation.digest())
    for index, step in rows.steps:
        step.turn = rows.turns[index]
    Step.objects.bulk_create((step for _, step in rows.steps), batch_size=inserting.BATCH)
    _restore_beside(session, rows)
    _restore_memory(session, rows, conversation.place)
    head = max((turn for turn in rows.turns if turn.active), key=lambda turn: turn.number)
    inserting.total(session, rows.turns, head, updated_at=kept["updated_at"])
    return session


def _sum_up(rows: archive.Rows) -> None:
    """The running sums: prompt, reply and steps. Parents come first."""
    own = [turn.tokens for turn in rows.turns]
    for index, step in rows.steps:
        own[index] += step.tokens
    for index, (turn, parent) in enumerate(zip(rows.turns, rows.parents, strict=True)):
        turn.tokens_upto = own[index] + (rows.turns[parent].tokens_upto if parent is not None else 0)


def _restore_beside(session: ChatSession, rows: archive.Rows) -> None:
    """Thoughts, feedback and documents. A document's hash is made anew: it stands for the text that is there."""
    for index, thought in rows.thoughts:
        thought.turn = rows.turns[index]
    Thought.objects.bulk_create((thought for _, thought in rows.thoughts), batch_size=inserting.BATCH)
    for index, said in rows.feedback:
        said.turn, said.user = rows.turns[index], session.owner
    Feedback.objects.bulk_create((said for _, said in rows.feedback), batch_size=inserting.BATCH)
    for document, turn in rows.documents:
        document.session = session
        document.turn = rows.turns[turn] if turn is not None else None
        document.digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
    Document.objects.bulk_create((document for document, _ in rows.documents), batch_size=inserting.BATCH)


def _restore_memory(session: ChatSession, rows: archive.Rows, place: str) -> None:
    """Summaries, notices and facts. A summary that claims to stand for other words than these breaks the import."""
    made = [one for one, _ in rows.summaries]
    for one, links in rows.summaries:
        one.session, one.until = session, rows.turns[links["until"] or 0]
    Summary.objects.bulk_create(made, batch_size=inserting.BATCH)
    for one, links in rows.summaries:
        others = {name: made[at] for name in ("replaces", "merged_into") if (at := links[name]) is not None}
        if others:
            Summary.objects.filter(pk=one.pk).update(**others)
        if one.state == Summary.State.ACTIVE and (
            not one.until.active or coverage.source_hash(session.pk, one.first, one.last) != one.source_hash
        ):
            raise Broken(f"{place}: the summary of turns {one.first}-{one.last} is not of these turns.")
    for notice, links in rows.notices:
        notice.session, notice.until = session, rows.turns[links["until"] or 0]
        notice.turn = rows.turns[links["turn"]] if links["turn"] is not None else None
        notice.summary = made[links["summary"]] if links["summary"] is not None else None
    Notice.objects.bulk_create((notice for notice, _ in rows.notices), batch_size=inserting.BATCH)
    known = [fact for fact, _ in rows.facts]
    for fact, links in rows.facts:
        fact.session = session
        fact.turn = rows.turns[links["turn"]] if links["turn"] is not None else None
    Fact.objects.bulk_create(known, batch_size=inserting.BATCH)
    for fact, links in rows.facts:
        if links["supersedes"] is not None:
            Fact.objects.filter(pk=fact.pk).update(supersedes=known[links["supersedes"]])
