"""Giving a conversation out in our own format: as plain values, or as JSON text a piece at a time.

The same conversation always gives the same. Rows are ordered by what survives a way out and in again, not by ids
alone. Batches are whole queries: the pieces may be asked for from different threads, where no cursor stays open.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model

from chat.models import ChatSession, Document, Feedback, Notice, Step, Summary, Thought, Turn
from chat.store.portable import columns

BATCH = 200


def dump(session: ChatSession) -> dict[str, Any]:
    """One conversation as plain values, ready for JSON."""
    return {name: list(value) if isinstance(value, Iterator) else value for name, value in sections(session)}


def pieces(session: ChatSession) -> Iterator[str]:
    """The same as JSON text. Only one row is held at a time, and the batch that it came with."""
    opening = "{"
    for name, value in sections(session):
        yield f"{opening}\n {_json(name)}: "
        opening = ","
        if not isinstance(value, Iterator):
            yield _json(value)
            continue
        before = "["
        for row in value:
            yield f"{before}\n  {_json(row)}"
            before = ","
        yield "[]" if before == "[" else "\n ]"
    yield "\n}\n"


def sections(session: ChatSession) -> Iterator[tuple[str, Any]]:
    """The parts of a conversation by name, in order; lists of rows as iterators, to be read in this order."""
    turns = session.turns.filter(status__in=Turn.TERMINAL).order_by("number", "-active", "id")
    keys = list(turns.values_list("pk", flat=True))
    at = {pk: index for index, pk in enumerate(keys)}
    # Rows that rest on a turn still being answered go with it.
    summaries = [one for one in session.summaries.order_by("id") if one.until_id in at]
    which = {one.pk: index for index, one in enumerate(summaries)}
    facts = [one for one in session.facts.order_by("id") if one.turn_id is None or one.turn_id in at]
    fact_at = {one.pk: index for index, one in enumerate(facts)}
    yield "format", columns.MARK
    yield "version", columns.VERSION
    yield "session", _out(session, columns.SESSION) | {"instructions": session.instructions.text}
    yield "turns", _turns(keys, at)
    yield (
        "documents",
        (
            _out(one, columns.DOCUMENT) | {"turn": at.get(one.turn_id)}
            for one in _documents(session)
            if one.turn_id is None or one.turn_id in at
        ),
    )
    yield "summaries", iter([_summary(one, at, which) for one in summaries])
    yield "notices", iter([_notice(one, at, which) for one in session.notices.order_by("id") if one.until_id in at])
    yield "facts", iter([
        _out(one, columns.FACT) | {"turn": at.get(one.turn_id), "supersedes": fact_at.get(one.supersedes_id)}
        for one in facts
    ])  # fmt: skip


def _turns(keys: list[int], at: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    for first in range(0, len(keys), BATCH):
        part = keys[first : first + BATCH]
        rows = Turn.objects.in_bulk(part)
        thoughts = Thought.objects.in_bulk(part)
        judged = Feedback.objects.in_bulk(part)
        steps: dict[int, list[dict[str, Any]]] = {}
        for step in list(Step.objects.filter(turn__in=part).order_by("turn_id", "index")):
            steps.setdefault(step.turn_id, []).append(_out(step, columns.STEP))
        for pk in (pk for pk in part if pk in rows):
            turn = rows[pk]
            out = _out(turn, columns.TURN)
            out |= {"parent": at.get(turn.parent_id), "leaf": at.get(turn.leaf_id), "steps": steps.get(pk, [])}
            if pk in thoughts:
                out["thought"] = _out(thoughts[pk], columns.THOUGHT)
            if pk in judged:
                out["feedback"] = _out(judged[pk], columns.FEEDBACK)
            yield out


def _documents(session: ChatSession) -> Iterator[Document]:
    for pk in list(session.documents.order_by("id").values_list("pk", flat=True)):
        yield from list(Document.objects.filter(pk=pk))


def _summary(one: Summary, at: Mapping[int, int], which: Mapping[int, int]) -> dict[str, Any]:
    links = {"replaces": which.get(one.replaces_id), "merged_into": which.get(one.merged_into_id)}
    return _out(one, columns.SUMMARY) | {"until": at[one.until_id]} | links


def _notice(one: Notice, at: Mapping[int, int], which: Mapping[int, int]) -> dict[str, Any]:
    links = {"turn": at.get(one.turn_id), "summary": which.get(one.summary_id)}
    return _out(one, columns.NOTICE) | {"until": at[one.until_id]} | links


def _out(row: Model, names: Iterable[str]) -> dict[str, Any]:
    values = ((name, getattr(row, name)) for name in names)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
