"""A conversation to read: its shown path as Markdown, with the notices where they stand, summaries, facts, usage.

What is ours is said in the language that is in force when it is asked for; the words of a conversation stand as they
were written.
"""

from collections.abc import Iterable, Iterator

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from chat.models import ChatSession, Fact, Notice, Summary, Turn
from chat.store import redacting
from chat.store.portable.speaking import count, in_one_language

BATCH = 200

_NOTICES = {
    Notice.Kind.COMPRESSED: gettext_lazy("Earlier parts of this conversation were compressed for length"),
    Notice.Kind.TRIMMED: gettext_lazy("Earlier parts of this conversation are not in the model’s view"),
    Notice.Kind.LEFT_OUT: gettext_lazy("Some of what was attached or recalled did not fit"),
    Notice.Kind.CLAMPED: gettext_lazy("A long message was shortened for the model"),
    Notice.Kind.FAILED: gettext_lazy("Compressing earlier parts failed; they are not in the model’s view"),
    Notice.Kind.RESTORED: gettext_lazy("Earlier parts of this conversation are in the model’s view again"),
}


def render(session: ChatSession) -> str:
    """The conversation as one Markdown text. The words stand as they were written."""
    return "".join(pieces(session))


def pieces(session: ChatSession) -> Iterator[str]:
    """The same in pieces, a turn at a time. No cursor stays open between two."""
    return in_one_language(_pieces(session))


def _pieces(session: ChatSession) -> Iterator[str]:
    path = session.turns.filter(active=True, status__in=Turn.TERMINAL).order_by("number")
    keys = list(path.values_list("pk", flat=True))
    siblings = _siblings(session)
    notices: dict[int, list[Notice]] = {}
    for notice in session.notices.filter(until__active=True, ended_at__isnull=True).order_by("id"):
        notices.setdefault(notice.last, []).append(notice)
    attached: dict[int | None, list[str]] = {}
    for turn_id, name in session.documents.order_by("id").values_list("turn_id", "name"):
        attached.setdefault(turn_id, []).append(name)
    title = session.title or _("Conversation")
    yield f"# {title}\n\n{_about(session, len(keys))}\n"
    for first in range(0, len(keys), BATCH):
        rows = Turn.objects.in_bulk(keys[first : first + BATCH])
        for turn in (rows[pk] for pk in keys[first : first + BATCH] if pk in rows):
            for part in _turn(turn, siblings.get(turn.number, 0), attached.get(turn.pk, [])):
                yield f"\n{part}\n"
            for notice in notices.get(turn.number, []):
                yield f"\n---\n*{_notice(notice)}*\n\n---\n"
    for part in (*_summaries(session), *_facts(session)):
        yield f"\n{part}\n"


def _about(session: ChatSession, turns: int) -> str:
    used = {"input": count(session.input_tokens), "output": count(session.output_tokens)}
    lines = [
        _("Model: %(model)s") % {"model": session.model},
        _("Strategy: %(strategy)s") % {"strategy": session.get_strategy_display()},
        _("Started: %(date)s UTC") % {"date": f"{session.created_at:%Y-%m-%d %H:%M}"},
        _("Turns: %(number)s") % {"number": count(turns)},
        _("Tokens as the API counted them: %(input)s in, %(output)s out") % used,
    ]
    return "\n".join(f"- {line}" for line in lines)


def _siblings(session: ChatSession) -> dict[int, int]:
    """How many other versions a turn of the shown path has, by its number."""
    shown = dict(session.turns.filter(active=True).values_list("number", "parent_id"))
    others: dict[int, int] = {}
    for number, parent in session.turns.filter(active=False).values_list("number", "parent_id"):
        if number in shown and shown[number] == parent:
            others[number] = others.get(number, 0) + 1
    return others


def _turn(turn: Turn, others: int, attached: list[str]) -> Iterable[str]:
    title = _("Turn %(number)s") % {"number": turn.number}
    yield f"## {title}"
    # The words that ask for the rest of a reply are ours, not the user's.
    if turn.kind == Turn.Kind.CONTINUE:
        yield "*" + _("Continued") + "*"
    elif turn.redacted_at:
        yield "**" + _("User:") + f"**\n\n*{redacting.MESSAGE}*"
    else:
        yield "**" + _("User:") + f"**\n\n{turn.prompt}"
    if attached:
        yield "*" + _("Attached: {name}").format(name=", ".join(attached)) + "*"
    said = f"*{redacting.REPLY}*" if turn.redacted_at else turn.reply
    answer = f"\n\n{said}" if turn.reply else " *(" + _("no reply") + ")*"
    yield "**" + _("Assistant:") + f"**{answer}"
    notes = []
    if turn.status != Turn.Status.COMPLETE:
        notes.append(turn.get_status_display())
    if others:
        notes.append(ngettext("%(n)s other version", "%(n)s other versions", others) % {"n": others})
    usage = turn.usage or {}
    size = sum(usage.get(name, 0) for name in ("input", "cache_read", "cache_write"))
    if size:
        figures = {"input": size, "cache": usage.get("cache_read", 0), "output": usage["output"]}
        notes.append(
            _("%(input)s tokens in (%(cache)s from the cache), %(output)s out")
            % {name: count(value) for name, value in figures.items()}
        )
    if notes:
        yield f"*{'; '.join(notes)}*"


def _notice(notice: Notice) -> str:
    said = [_range(notice.first, notice.last)]
    if notice.tokens_before and notice.tokens_after:
        said.append(_sizes(notice.tokens_before, notice.tokens_after))
    return f"{_NOTICES[Notice.Kind(notice.kind)]} ({', '.join(said)})."


def _range(first: int, last: int) -> str:
    if first == last:
        return _("turn %(number)s") % {"number": last}
    return _("turns %(first)s-%(last)s") % {"first": first, "last": last}


def _sizes(before: int, after: int) -> str:
    return _("%(before)s tokens to %(after)s") % {"before": count(before), "after": count(after)}


def _summaries(session: ChatSession) -> Iterable[str]:
    rows = list(session.summaries.filter(state=Summary.State.ACTIVE, until__active=True).order_by("first"))
    if rows:
        yield "# " + _("Summaries")
    for row in rows:
        maker = {Summary.MadeBy.EXTRACT: _("by code"), Summary.MadeBy.USER: _("by the user")}.get(
            row.made_by, _("by %(model)s") % {"model": row.model}
        )
        title = _("Turns %(first)s-%(last)s") % {"first": row.first, "last": row.last}
        yield f"## {title}\n\n*{_sizes(row.source_tokens, row.tokens)}, {maker}*\n\n{row.text}"


def _facts(session: ChatSession) -> Iterable[str]:
    alive = session.facts.filter(forgotten_at__isnull=True).exclude(turn__active=False)
    rows = list(alive.select_related("turn").order_by("id"))
    if rows:
        yield "# " + _("Remembered")
        yield "\n".join(_fact(row) for row in rows)


def _fact(row: Fact) -> str:
    where = f"{row.kind}, {_range(row.turn.number, row.turn.number)}" if row.turn else row.kind
    quote = " ".join(row.quote.split())
    return f"- {row.value} ({where})" + (f": “{quote}”" if quote and quote != row.value else "")
