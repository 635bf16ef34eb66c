"""The transcript as the templates show it: turns with their words, how they ended, and the notices between them.

Replies come as stored HTML. What an older renderer made is rendered anew for the page: a GET never writes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.models import ChatSession, Feedback, Turn
from chat.store import branches, documents, redacting
from chat.store.standing import Standing
from chat.stream import rendering
from chat.web import chips, failures, notices
from chat.web.chips import Chip
from chat.web.notices import Shown

PAGE = 50
# Turns that a page begins with: what is above them comes while the first are looked at.
FIRST = 30
# Turns that are shown before the one that was asked for.
AHEAD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is said of a turn that did not simply complete. `retry`: it may be tried again; `more`: continued."""

    title: str
    text: str
    bad: bool = False
    retry: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnShown:
    """One turn of the page. `past`: the model no longer sees it word for word. `continues`: the reply before it was
    cut off, and this one goes on with it; its prompt is ours. `position` among `of` versions of it; `before` and
    `after` are the ids of its neighbours. `editing`: its message stands in a box. `excluded`: by whom. `redacted`: what
    it says is that its words were removed."""

    id: int
    number: int
    prompt: str
    reply: str = ""
    html: str = ""
    status: str
    live: bool = False
    past: bool = False
    pinned: bool = False
    excluded: str = ""
    redacted: bool = False
    continues: bool = False
    position: int = 1
    of: int = 1
    before: int | None = None
    after: int | None = None
    feedback: str = ""
    editing: bool = False
    documents: list[Chip] = field(default_factory=list)
    thought: str = ""
    ending: Ending | None = None
    closed_at: datetime | None = None
    notices: list[Shown] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One page of turns, oldest first. `earlier` is the number before which the next page ends, or None;
    `later` that after which newer ones begin that are not here."""

    turns: list[TurnShown]
    earlier: int | None
    head: int
    later: int | None = None


# What the template of a new turn is made from.
BLANK = TurnShown(id=0, number=0, prompt="", status=Turn.Status.QUEUED, live=True)


def page(session: ChatSession, *, before: int | None = None, editing: int | None = None) -> Transcript:
    """The newest turns of the active path, or those before number `before`; that of id `editing` in a box."""
    rows = _rows(session)
    if before is not None:
        rows = rows.filter(number__lt=before)
    found = list(rows.order_by("-number")[: FIRST if before is None else PAGE])
    found.reverse()
    turns = _shown(session, found, editing)
    return Transcript(
        turns=turns,
        earlier=found[0].number if found and found[0].number > 1 else None,
        head=session.turns_active,
    )


def about(session: ChatSession, number: int) -> Transcript:
    """The turns around `number`, most of them after it; the newest page where it is one of those."""
    if number > session.turns_active - FIRST:
        return page(session)
    return later(session, max(0, number - AHEAD - 1), first=True)


def later(session: ChatSession, after: int, *, first: bool = False) -> Transcript:
    """A page of the turns after number `after`; `first`: those before it are not there yet."""
    found = list(_rows(session).filter(number__gt=after).order_by("number")[:PAGE])
    more = bool(found) and found[-1].number < session.turns_active
    return Transcript(
        turns=_shown(session, found),
        earlier=found[0].number if first and found and found[0].number > 1 else None,
        head=session.turns_active,
        later=found[-1].number if more else None,
    )


def one(session: ChatSession, turn_id: int) -> TurnShown | None:
    """One turn of the active path."""
    return next(iter(_shown(session, _rows(session).filter(pk=turn_id))), None)


def _rows(session: ChatSession):
    return (
        Turn.objects.filter(session_id=session.pk, active=True)
        .select_related("thought")
        .only(
            "id",
            "number",
            "prompt",
            "reply",
            "reply_html",
            "html_version",
            "status",
            "error",
            "stop_reason",
            "closed_at",
            "kind",
            "parent_id",
            "created_at",
            "thought__tokens",
            "thought__seconds",
            "pinned_since",
            "excluded_by",
            "redacted_at",
        )
    )


def _shown(session: ChatSession, rows: Iterable[Turn], editing: int | None = None) -> list[TurnShown]:
    found = list(rows)
    if not found:
        return []
    stands = Standing.of(session)
    said = notices.of_session(session, found[0].number, found[-1].number)
    others = branches.versions(session.pk, found[0].number, found[-1].number)
    attached = chips.of_turns(session.pk, found[0].number, found[-1].number)
    judged = dict(Feedback.objects.filter(turn__in=[turn.pk for turn in found]).values_list("turn_id", "reason"))
    return [
        TurnShown(
            id=turn.pk,
            number=turn.number,
            prompt=prompt_of(turn),
            reply="" if turn.redacted_at else turn.reply,
            html=html_of(turn),
            status=turn.status,
            live=turn.is_live,
            past=turn.pinned_since is None and not stands.holds(turn.number),
            pinned=turn.pinned_since is not None,
            excluded=turn.excluded_by,
            redacted=turn.redacted_at is not None,
            continues=turn.kind == Turn.Kind.CONTINUE,
            feedback=judged.get(turn.pk, ""),
            editing=turn.pk == editing and _editable(turn),
            **_place(turn, others.get(turn.parent_id, ())),
            documents=attached.get((turn.number, turn.parent_id), []),
            thought=thought_line(turn),
            ending=ending(turn, last=turn.number == session.turns_active, document=_too_large(turn)),
            closed_at=turn.closed_at,
            notices=said.get(turn.number, []),
        )
        for turn in found
    ]


def _editable(turn: Turn) -> bool:
    return not turn.is_live and turn.kind == Turn.Kind.MESSAGE and turn.redacted_at is None


def _place(turn: Turn, others: Sequence[tuple[datetime, int]]) -> dict[str, Any]:
    """Where a turn stands among its versions, oldest first; `others` are those that are not shown."""
    line = [pk for _, pk in sorted([*others, (turn.created_at, turn.pk)])]
    at = line.index(turn.pk)
    return {
        "position": at + 1,
        "of": len(line),
        "before": line[at - 1] if at else None,
        "after": line[at + 1] if at + 1 < len(line) else None,
    }


def prompt_of(turn: Turn) -> str:
    """A message, or that it was removed."""
    return str(redacting.MESSAGE) if turn.redacted_at else turn.prompt


def html_of(turn: Turn) -> str:
    """A reply as sanitised HTML, or that it was removed; "" while it runs and where there is none."""
    if turn.is_live or not turn.reply:
        return ""
    if turn.redacted_at:
        return format_html("<p>{}</p>", redacting.REPLY)
    if turn.reply_html and turn.html_version == rendering.RENDERER_VERSION:
        return turn.reply_html
    return rendering.render(turn.reply).html


def thought_line(turn: Turn) -> str:
    """How long was thought before a reply, and how much of it there is; "" where nothing was."""
    thought = getattr(turn, "thought", None)
    if thought is None:
        return ""
    count = number_format(thought.tokens, force_grouping=True)
    tokens = ngettext("~%(n)s token", "~%(n)s tokens", thought.tokens) % {"n": count}
    if not thought.seconds:
        return _("Thought · %(tokens)s") % {"tokens": tokens}
    return _("Thought for %(seconds)s s · %(tokens)s") % {"seconds": thought.seconds, "tokens": tokens}


def _too_large(turn: Turn) -> str:
    """The name of the document that made a request too large. Looked up as it is shown: what is stored is a code."""
    if not failures.names_document(turn.error):
        return ""
    return documents.largest(turn.session_id, turn.number, turn.closed_at)


def ending(turn: Turn, *, last: bool = False, document: str = "") -> Ending | None:
    """What to say under a turn; None for one that is complete, still runs or was removed. Only the `last` one can be
    continued. `document`: see failures.sentence."""
    if turn.redacted_at:
        return None
    kept = _("The text above is kept.") if turn.reply else ""
    if turn.status == Turn.Status.STOPPED:
        return Ending(title=_("Stopped."), text=kept or _("Nothing had been written yet."))
    if turn.status == Turn.Status.TRUNCATED:
        text = _("The reply reached the longest length that is allowed.")
        return Ending(title=_("Cut off."), text=text, more=last)
    if turn.status == Turn.Status.REFUSED:
        text = _("The model declined to answer this. Later messages are sent without it.")
        return Ending(title=_("Declined."), text=text)
    if turn.status == Turn.Status.FAILED:
        title = _("Interrupted.") if turn.reply else _("No reply.")
        text = " ".join(
            part
            for part in (failures.sentence(turn.error, turn.closed_at, document), kept or _("Your message is kept."))
            if part
        )
        return Ending(title=title, text=text, bad=True, retry=True)
    return None
