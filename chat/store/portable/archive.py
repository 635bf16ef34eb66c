"""Our own format: a whole conversation as JSON, and its rows again.

What `dump` gives out, `rows` takes in: turns with their branches and usage, summaries, notices, facts. Rows name one
another by their place in the file, never by a database id. Left out: a turn that is still being answered; manifests
and recorded calls, which tell of requests that another installation made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from chat.models import ChatSession, Fact, Notice, Step, Summary, Turn
from chat.store.portable.fields import clean, may, obj, take
from chat.store.portable.values import Broken, Conversation, Exchange

NAME = "ours"
MARK = "context-chat"
VERSION = 1

SESSION = (
    "title", "model", "mode", "strategy", "window_messages", "context_version", "prefix_version", "window_from",
    "compactions", "trims", "seen", "pinned", "archived_at", "created_at", "updated_at",
)  # fmt: skip
TURN = (
    "number", "active", "kind", "prompt", "reply", "status", "error", "stop_reason", "usage", "prompt_tokens",
    "prompt_source", "reply_tokens", "reply_source", "digest", "pinned_since", "excluded_by", "redacted_at",
    "created_at", "closed_at",
)  # fmt: skip
STEP = ("index", "kind", "call_id", "name", "body", "tokens", "is_error", "finished_at")
SUMMARY = (
    "tier", "first", "last", "state", "version", "text", "tokens", "source_tokens", "source_hash", "input_hash",
    "model", "made_by", "gate", "reason", "created_at", "committed_at",
)  # fmt: skip
NOTICE = ("kind", "first", "last", "tokens_before", "tokens_after", "model", "created_at", "ended_at")
FACT = ("kind", "value", "quote", "since", "pinned", "made_by", "created_at", "forgotten_at")

USAGE = ("input", "cache_read", "cache_write", "output")


@dataclass(slots=True)
class Rows:
    """The rows of one archive, not yet stored. Beside each list: which others its rows name, by index."""

    session: dict[str, Any]
    instructions: str
    turns: list[Turn] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    leaves: list[int | None] = field(default_factory=list)
    steps: list[tuple[int, Step]] = field(default_factory=list)
    summaries: list[tuple[Summary, dict[str, int | None]]] = field(default_factory=list)
    notices: list[tuple[Notice, dict[str, int | None]]] = field(default_factory=list)
    facts: list[tuple[Fact, dict[str, int | None]]] = field(default_factory=list)


# --- giving out ---


def dump(session: ChatSession) -> dict[str, Any]:
    """One conversation as plain values, ready for JSON. The same conversation always gives the same."""
    turns = list(session.turns.filter(status__in=Turn.TERMINAL).order_by("number", "id"))
    at = {turn.pk: index for index, turn in enumerate(turns)}
    steps: dict[int, list[Step]] = {}
    for step in Step.objects.filter(turn__session=session).order_by("turn_id", "index"):
        steps.setdefault(step.turn_id, []).append(step)
    # Rows that rest on a turn still being answered go with it.
    summaries = [one for one in session.summaries.order_by("id") if one.until_id in at]
    which = {one.pk: index for index, one in enumerate(summaries)}
    facts = [one for one in session.facts.order_by("id") if one.turn_id is None or one.turn_id in at]
    fact_at = {one.pk: index for index, one in enumerate(facts)}
    return {
        "format": MARK,
        "version": VERSION,
        "session": _out(session, SESSION) | {"instructions": session.instructions.text},
        "turns": [
            _out(turn, TURN)
            | {
                "parent": at.get(turn.parent_id),
                "leaf": at.get(turn.leaf_id),
                "steps": [_out(step, STEP) for step in steps.get(turn.pk, [])],
            }
            for turn in turns
        ],
        "summaries": [
            _out(one, SUMMARY)
            | {
                "until": at[one.until_id],
                "replaces": which.get(one.replaces_id),
                "merged_into": which.get(one.merged_into_id),
            }
            for one in summaries
        ],
        "notices": [
            _out(one, NOTICE)
            | {"until": at[one.until_id], "turn": at.get(one.turn_id), "summary": which.get(one.summary_id)}
            for one in session.notices.order_by("id")
            if one.until_id in at
        ],
        "facts": [
            _out(one, FACT) | {"turn": at.get(one.turn_id), "supersedes": fact_at.get(one.supersedes_id)}
            for one in facts
        ],
    }


def _out(row: Model, names: Iterable[str]) -> dict[str, Any]:
    values = ((name, getattr(row, name)) for name in names)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}


# --- taking in ---


def fits(item: Mapping[str, Any]) -> bool:
    """Whether this looks like a conversation of this format."""
    return item.get("format") == MARK


def parse(item: Mapping[str, Any], place: str) -> Conversation:
    """Read one conversation. Raises Broken."""
    version = take(item, "version", int, place)
    if version != VERSION:
        raise Broken(f"{place}: this is version {version} of the format; {VERSION} can be read.")
    read = rows(item, place)
    turns = tuple(
        Exchange(prompt=turn.prompt, reply=turn.reply, parent=parent, active=turn.active, at=turn.created_at)
        for turn, parent in zip(read.turns, read.parents, strict=True)
    )
    return Conversation(
        place=place,
        title=read.session["title"],
        turns=turns,
        created_at=read.session["created_at"],
        updated_at=read.session["updated_at"],
        archive=item,
    )


def rows(item: Mapping[str, Any], place: str) -> Rows:
    """The rows of an archive, each value checked by its own field. Raises Broken."""
    session = take(item, "session", dict, place)
    out = Rows(
        session=_in(ChatSession, session, SESSION, f"{place}, session"),
        instructions=clean(take(session, "instructions", str, f"{place}, session")),
    )
    for index, (entry, where) in enumerate(_entries(item, "turns", place)):
        _take_turn(out, entry, index, where)
    _check_path(out, place)
    for entry, where in _entries(item, "summaries", place):
        index, count = len(out.summaries), len(_list(item, "summaries", place))
        links = {
            "until": _link(entry, "until", len(out.turns), where, required=True),
            "replaces": _link(entry, "replaces", count, where, but=index),
            "merged_into": _link(entry, "merged_into", count, where, but=index),
        }
        one = Summary(**_in(Summary, entry, SUMMARY, where))
        if out.turns[links["until"] or 0].number != one.last:
            raise Broken(f"{where}: it does not end where its last turn is.")
        out.summaries.append((one, links))
    for entry, where in _entries(item, "notices", place):
        links = {
            "until": _link(entry, "until", len(out.turns), where, required=True),
            "turn": _link(entry, "turn", len(out.turns), where),
            "summary": _link(entry, "summary", len(out.summaries), where),
        }
        out.notices.append((Notice(**_in(Notice, entry, NOTICE, where)), links))
    for entry, where in _entries(item, "facts", place):
        links = {
            "turn": _link(entry, "turn", len(out.turns), where),
            "supersedes": _link(entry, "supersedes", len(out.facts), where),
        }
        out.facts.append((Fact(**_in(Fact, entry, FACT, where)), links))
    return out


def _take_turn(out: Rows, entry: Mapping[str, Any], index: int, where: str) -> None:
    turn = Turn(**_in(Turn, entry, TURN, where))
    parent = _link(entry, "parent", index, where)
    if turn.number != (out.turns[parent].number + 1 if parent is not None else 1):
        raise Broken(f"{where}: its number does not follow that of its parent.")
    if turn.status not in Turn.TERMINAL:
        raise Broken(f"{where}: it is not finished.")
    if turn.active and parent is not None and not out.turns[parent].active:
        raise Broken(f"{where}: it is on the active path, and its parent is not.")
    if turn.usage is not None and (
        not isinstance(turn.usage, dict)
        or any(not isinstance(turn.usage.get(name), int) or turn.usage[name] < 0 for name in USAGE)
    ):
        raise Broken(f"{where}: its usage does not hold {', '.join(USAGE)}.")
    if turn.status == Turn.Status.COMPLETE and not (turn.stop_reason and turn.closed_at and turn.usage):
        raise Broken(f"{where}: it is complete without a stop reason, a closing time and usage.")
    steps = [
        Step(**_in(Step, obj(one, f"{where}, step {number}"), STEP, f"{where}, step {number}"))
        for number, one in enumerate(may(entry, "steps", list, []))
    ]
    turn.step_count = len(steps)
    out.turns.append(turn)
    out.parents.append(parent)
    out.leaves.append(_link(entry, "leaf", 1 << 31, where))
    out.steps += [(index, step) for step in steps]


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
            out[name] = given if given == "" else check(clean(given) if isinstance(given, str) else given, None)
        except ValidationError:
            raise Broken(f"{place}: '{name}' is not a value that it can have.") from None
    return out
