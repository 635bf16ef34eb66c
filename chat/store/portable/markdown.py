"""A conversation to read: its shown path as Markdown, with the notices where they stand, summaries, facts, usage."""

from collections.abc import Iterable, Iterator

from chat.models import ChatSession, Fact, Notice, Summary, Turn

BATCH = 200

_NOTICES = {
    Notice.Kind.COMPRESSED: "Earlier parts of this conversation were compressed for length",
    Notice.Kind.TRIMMED: "Earlier parts of this conversation are not in the model's view",
    Notice.Kind.LEFT_OUT: "Some of what was attached or recalled did not fit",
    Notice.Kind.CLAMPED: "A long message was shortened for the model",
    Notice.Kind.FAILED: "Compressing earlier parts failed; they are not in the model's view",
    Notice.Kind.RESTORED: "Earlier parts of this conversation are in the model's view again",
}


def render(session: ChatSession) -> str:
    """The conversation as one Markdown text. The words stand as they were written."""
    return "".join(pieces(session))


def pieces(session: ChatSession) -> Iterator[str]:
    """The same in pieces, a turn at a time. No cursor stays open between two."""
    path = session.turns.filter(active=True, status__in=Turn.TERMINAL).order_by("number")
    keys = list(path.values_list("pk", flat=True))
    siblings = _siblings(session)
    notices: dict[int, list[Notice]] = {}
    for notice in session.notices.filter(until__active=True, ended_at__isnull=True).order_by("id"):
        notices.setdefault(notice.last, []).append(notice)
    attached: dict[int | None, list[str]] = {}
    for turn_id, name in session.documents.order_by("id").values_list("turn_id", "name"):
        attached.setdefault(turn_id, []).append(name)
    yield f"# {session.title or 'Conversation'}\n\n{_about(session, len(keys))}\n"
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
    lines = [
        f"- Model: {session.model}",
        f"- Strategy: {session.get_strategy_display()}",
        f"- Started: {session.created_at:%Y-%m-%d %H:%M} UTC",
        f"- Turns: {turns:,}",
        f"- Tokens as the API counted them: {session.input_tokens:,} in, {session.output_tokens:,} out",
    ]
    return "\n".join(lines)


def _siblings(session: ChatSession) -> dict[int, int]:
    """How many other versions a turn of the shown path has, by its number."""
    shown = dict(session.turns.filter(active=True).values_list("number", "parent_id"))
    others: dict[int, int] = {}
    for number, parent in session.turns.filter(active=False).values_list("number", "parent_id"):
        if number in shown and shown[number] == parent:
            others[number] = others.get(number, 0) + 1
    return others


def _turn(turn: Turn, others: int, attached: list[str]) -> Iterable[str]:
    yield f"## Turn {turn.number}"
    # The words that ask for the rest of a reply are ours, not the user's.
    yield "*Continued*" if turn.kind == Turn.Kind.CONTINUE else f"**User:**\n\n{turn.prompt}"
    if attached:
        yield f"*Attached: {', '.join(attached)}*"
    yield f"**Assistant:**\n\n{turn.reply}" if turn.reply else "**Assistant:** *(no reply)*"
    notes = []
    if turn.status != Turn.Status.COMPLETE:
        notes.append(turn.get_status_display())
    if others:
        notes.append(f"{others} other version{'s' if others > 1 else ''}")
    usage = turn.usage or {}
    size = sum(usage.get(name, 0) for name in ("input", "cache_read", "cache_write"))
    if size:
        notes.append(f"{size:,} tokens in ({usage.get('cache_read', 0):,} from the cache), {usage['output']:,} out")
    if notes:
        yield f"*{'; '.join(notes)}*"


def _notice(notice: Notice) -> str:
    turns = f"turn {notice.last}" if notice.first == notice.last else f"turns {notice.first}-{notice.last}"
    sizes = ""
    if notice.tokens_before and notice.tokens_after:
        sizes = f", {notice.tokens_before:,} tokens to {notice.tokens_after:,}"
    return f"{_NOTICES[Notice.Kind(notice.kind)]} ({turns}{sizes})."


def _summaries(session: ChatSession) -> Iterable[str]:
    rows = list(session.summaries.filter(state=Summary.State.ACTIVE, until__active=True).order_by("first"))
    if rows:
        yield "# Summaries"
    for row in rows:
        maker = {Summary.MadeBy.EXTRACT: "code", Summary.MadeBy.USER: "the user"}.get(row.made_by, row.model)
        yield (
            f"## Turns {row.first}-{row.last}\n\n"
            f"*{row.source_tokens:,} tokens to {row.tokens:,}, by {maker}*\n\n{row.text}"
        )


def _facts(session: ChatSession) -> Iterable[str]:
    alive = session.facts.filter(forgotten_at__isnull=True).exclude(turn__active=False)
    rows = list(alive.select_related("turn").order_by("id"))
    if rows:
        yield "# Remembered"
        yield "\n".join(_fact(row) for row in rows)


def _fact(row: Fact) -> str:
    where = f"{row.kind}, turn {row.turn.number}" if row.turn else row.kind
    quote = " ".join(row.quote.split())
    return f"- {row.value} ({where})" + (f": “{quote}”" if quote and quote != row.value else "")
