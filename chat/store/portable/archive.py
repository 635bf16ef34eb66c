"""Our own format: a whole conversation as JSON, and its rows again.

What `dumping` gives out, `rows` takes in: turns with their branches and usage, summaries, notices, facts. Rows name one
another by their place in the file, never by a database id. Left out: a turn that is still being answered; manifests
and recorded calls, which tell of requests that another installation made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone

from chat.models import ChatSession, Document, Fact, Feedback, Notice, Step, Summary, Thought, Turn
from chat.store.portable import columns
from chat.store.portable.fields import clean, may, obj, take
from chat.store.portable.values import Broken, Conversation, Exchange

NAME = "ours"


@dataclass(slots=True)
class Rows:
    """The rows of one archive, not yet stored. Beside each list: which others its rows name, by index."""

    session: dict[str, Any]
    instructions: str
    turns: list[Turn] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    leaves: list[int | None] = field(default_factory=list)
    steps: list[tuple[int, Step]] = field(default_factory=list)
    thoughts: list[tuple[int, Thought]] = field(default_factory=list)
    feedback: list[tuple[int, Feedback]] = field(default_factory=list)
    documents: list[tuple[Document, int | None]] = field(default_factory=list)
    summaries: list[tuple[Summary, dict[str, int | None]]] = field(default_factory=list)
    notices: list[tuple[Notice, dict[str, int | None]]] = field(default_factory=list)
    facts: list[tuple[Fact, dict[str, int | None]]] = field(default_factory=list)


def fits(item: Mapping[str, Any]) -> bool:
    """Whether this looks like a conversation of this format."""
    return item.get("format") == columns.MARK


def parse(item: Mapping[str, Any], place: str) -> Conversation:
    """Read one conversation. Raises Broken."""
    version = take(item, "version", int, place)
    if version != columns.VERSION:
        raise Broken(f"{place}: this is version {version} of the format; {columns.VERSION} can be read.")
    read = rows(item, place)
    turns = tuple(
        Exchange(prompt=turn.prompt, reply=turn.reply, parent=parent, active=turn.active, at=turn.created_at)
        for turn, parent in zip(read.turns, read.parents, strict=True)
    )
    return Conversation(
        place=place,
        format=NAME,
        title=read.session["title"],
        turns=turns,
        created_at=read.session["created_at"],
        updated_at=read.session["updated_at"],
        archive=item,
    )


def rows(item: Mapping[str, Any], place: str) -> Rows:
    """The rows of an archive, each value checked by its own field. Raises Broken."""
    out = Rows(*session(item, place))
    for index, (entry, where) in enumerate(_entries(item, "turns", place)):
        _take_turn(out, entry, index, where)
    _check_path(out, place)
    if "documents" in item:
        for entry, where in _entries(item, "documents", place):
            link = _link(entry, "turn", len(out.turns), where)
            out.documents.append((Document(**_in(Document, entry, columns.DOCUMENT, where)), link))
    for entry, where in _entries(item, "summaries", place):
        index, count = len(out.summaries), len(_list(item, "summaries", place))
        links = {
            "until": _link(entry, "until", len(out.turns), where, required=True),
            "replaces": _link(entry, "replaces", count, where, but=index),
            "merged_into": _link(entry, "merged_into", count, where, but=index),
        }
        one = Summary(**_in(Summary, entry, columns.SUMMARY, where))
        if out.turns[links["until"] or 0].number != one.last:
            raise Broken(f"{where}: it does not end where its last turn is.")
        out.summaries.append((one, links))
    for entry, where in _entries(item, "notices", place):
        links = {
            "until": _link(entry, "until", len(out.turns), where, required=True),
            "turn": _link(entry, "turn", len(out.turns), where),
            "summary": _link(entry, "summary", len(out.summaries), where),
        }
        out.notices.append((Notice(**_in(Notice, entry, columns.NOTICE, where)), links))
    for entry, where in _entries(item, "facts", place):
        links = {
            "turn": _link(entry, "turn", len(out.turns), where),
            "supersedes": _link(entry, "supersedes", len(out.facts), where),
        }
        out.facts.append((Fact(**_in(Fact, entry, columns.FACT, where)), links))
    return out


def session(item: Mapping[str, Any], place: str) -> tuple[dict[str, Any], str]:
    """The session's columns of an archive, each checked by its own field, and its instructions. Raises Broken."""
    given = take(item, "session", dict, place)
    known = _in(ChatSession, columns.LATER["session"] | given, columns.SESSION, f"{place}, session")
    return known, clean(take(given, "instructions", str, f"{place}, session"))


def _take_turn(out: Rows, entry: Mapping[str, Any], index: int, where: str) -> None:
    turn = Turn(**_in(Turn, entry, columns.TURN, where))
    parent = _link(entry, "parent", index, where)
    if turn.number != (out.turns[parent].number + 1 if parent is not None else 1):
        raise Broken(f"{where}: its number does not follow that of its parent.")
    if turn.status not in Turn.TERMINAL:
        raise Broken(f"{where}: it is not finished.")
    if turn.active and parent is not None and not out.turns[parent].active:
        raise Broken(f"{where}: it is on the active path, and its parent is not.")
    if turn.usage is not None and (
        not isinstance(turn.usage, dict)
        or any(not isinstance(turn.usage.get(name), int) or turn.usage[name] < 0 for name in columns.USAGE)
    ):
        raise Broken(f"{where}: its usage does not hold {', '.join(columns.USAGE)}.")
    if turn.status == Turn.Status.COMPLETE and not (turn.stop_reason and turn.closed_at and turn.usage):
        raise Broken(f"{where}: it is complete without a stop reason, a closing time and usage.")
    steps = [
        Step(**_in(Step, obj(one, f"{where}, step {number}"), columns.STEP, f"{where}, step {number}"))
        for number, one in enumerate(may(entry, "steps", list, []))
    ]
    turn.step_count = len(steps)
    out.turns.append(turn)
    out.parents.append(parent)
    out.leaves.append(_link(entry, "leaf", 1 << 31, where))
    out.steps += [(index, step) for step in steps]
    if (given := entry.get("thought")) is not None:
        out.thoughts.append((index, Thought(**_in(Thought, obj(given, where), columns.THOUGHT, f"{where}, thought"))))
    if (given := entry.get("feedback")) is not None:
        said = _in(Feedback, obj(given, where), columns.FEEDBACK, f"{where}, feedback")
        out.feedback.append((index, Feedback(**said)))


def _check_path(out: Rows, place: str) -> None:
    """One active turn a number, and every named leaf there."""
    active = [turn.number for turn in out.turns if turn.active]
    if sorted(active) != list(range(1, len(active) + 1)) or (out.turns and not active):
        raise Broken(f"{place}: the active path is not one line of turns.")
    if any(leaf is not None and leaf >= len(out.turns) for leaf in out.leaves):
        raise Broken(f"{place}: a turn names a leaf that is not there.")


def _list(item: Mapping[str, Any], key: str, place: str) -> Sequence[Any]:
    return take(item, key, list, place)


def _entries(item: Mapping[str, Any], key: str, place: str) -> Iterable[tuple[dict[str, Any], str]]:
    for index, entry in enumerate(_list(item, key, place)):
        where = f"{place}, {key} {index}"
        yield obj(entry, where), where


def _link(
    entry: Mapping[str, Any], key: str, count: int, place: str, *, required: bool = False, but: int | None = None
) -> int | None:
    """The index of another row, below `count`; None where none is named."""
    value = entry.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count or value == but:
        raise Broken(f"{place}: '{key}' names a row that is not there.")
    return value


def _in(model: type[Model], entry: Mapping[str, Any], names: Iterable[str], place: str) -> dict[str, Any]:
    """Values as the model's fields take them. Raises Broken with the field's name, and none of its words."""
    out: dict[str, Any] = {}
    for name in names:
        column = model._meta.get_field(name)
        given = entry.get(name)
        if name not in entry:
            raise Broken(f"{place}: '{name}' is missing.")
        if isinstance(given, dict | list) and column.get_internal_type() != "JSONField":
            raise Broken(f"{place}: '{name}' is not a plain value.")
        check: Callable[[Any, Any], Any] = column.clean
        try:
            # Text may be empty whether or not a form would let it; what must not be is a constraint of the table.
            empty = given == "" and column.empty_strings_allowed
            found = given if empty else check(clean(given) if isinstance(given, str) else given, None)
        except (ValidationError, TypeError, OverflowError):  # a number for a time, a number beyond all numbers
            raise Broken(f"{place}: '{name}' is not a value that it can have.") from None
        out[name] = found.replace(tzinfo=UTC) if isinstance(found, datetime) and timezone.is_naive(found) else found
    return out
