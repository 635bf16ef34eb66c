"""The segments of a request in words: what each is, where it comes from, whether it is still what was sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.context import recipes
from chat.context import segments as context
from chat.context.rebuilding import Piece
from chat.context.segments import Segment
from chat.models import Summary
from chat.store.manifests import Seen
from chat.web.notices import model_name

SHOWN_CHARACTERS = 40_000
"""Of one block in the preview; the rest comes when it is asked for."""
MOST_LINKS = 8

# The colour of each kind, by the names that the gauge uses.
_SWATCH = {
    "instructions": "system",
    "note": "system",
    "acknowledgement": "system",
    "facts": "facts",
    "new facts": "facts",
    "summary": "summaries",
    "document": "documents",
    "date": "system",
    "recalled": "recall",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the list. `breakpoint` is the number of the cache breakpoint behind it, 0 for none."""

    at: int
    swatch: str
    name: str
    source: str
    tokens: str
    upto: str
    breakpoint: int
    cache: str
    since: str
    grew: bool
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One block of a segment: who speaks, its words (None: they can't be told), and how many characters are missing."""

    who: str
    turn: int | None
    words: str | None
    missing: int
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A segment, opened. `links` are the turns that it stands for, as (number, id or None)."""

    at: int
    name: str
    detail: str
    texts: list[Text]
    links: list[tuple[int, int | None]]
    more_links: int


def lines(seen: Seen, shown: Sequence[Segment]) -> list[Line]:
    """The list. "~" stands before figures that nobody counted but us."""
    out, breaks = [], 0
    read, written = _cached(seen)
    scale = (seen.manifest.measured or seen.manifest.estimated) / max(1, seen.manifest.estimated)
    for at, one in enumerate(shown, start=1):
        breaks += one.breakpoint
        words = one.kind in ("turn", "pinned") and not one.cut
        about = "" if words and all(seen.turns[n].counted for n in one.turns if n in seen.turns) else "~"
        out.append(
            Line(
                at=at,
                swatch=_SWATCH.get(one.kind, "history"),
                name=name(seen, one),
                source=source(seen, one),
                tokens=about + figure(one.tokens),
                upto="~" + figure(one.upto),
                breakpoint=breaks if one.breakpoint else 0,
                cache=_cache(one.upto * scale, read, written) if one.breakpoint else "",
                since=_since(one),
                grew=one.delta > 0,
                trouble=trouble(seen, one.pieces),
            )
        )
    return out


def preview(seen: Seen, one: Segment, at: int, *, whole: bool) -> Preview:
    """A segment with its words, cut where they are very long unless the `whole` is asked for."""
    role = one.pieces[0].part.role
    spoken = {"system": _("system"), "user": _("user role"), "assistant": _("assistant role")}
    roles = {piece.part.role for piece in one.pieces}
    tokens = ngettext("%(n)s token", "%(n)s tokens", one.tokens) % {"n": "~" + figure(one.tokens)}
    said = spoken[role] if len(roles) == 1 else _("both roles")
    numbers = stands_for(seen, one)
    return Preview(
        at=at,
        name=name(seen, one),
        detail=" · ".join([_("Segment %(n)s") % {"n": at}, said, tokens, source(seen, one)]),
        texts=[_text(seen, piece, whole) for piece in one.pieces],
        links=[(number, _id(seen, number)) for number in numbers[:MOST_LINKS]],
        more_links=max(0, len(numbers) - MOST_LINKS),
    )


def stands_for(seen: Seen, one: Segment) -> list[int]:
    """The turns that a segment stands for: its own, the ends of what a summary covers, those that facts rest on."""
    if one.turns:
        return list(one.turns)
    summary = seen.sources.summaries.get(one.ref)
    if summary:
        return sorted({summary.first, summary.last})
    document = seen.sources.documents.get(one.ref)
    if document:
        return [document.turn] if document.turn else []
    refs = [str(ref) for piece in one.pieces for ref in (piece.part.recipe or ())[1:] if one.kind.endswith("facts")]
    facts = [seen.sources.facts[ref].turn for ref in refs if ref in seen.sources.facts]
    return sorted({number for number in facts if number})


def name(seen: Seen, one: Segment) -> str:
    """What a segment is."""
    if one.turns:
        return _range(one.turns[0], one.turns[-1])
    if one.kind == "summary":
        summary = seen.sources.summaries.get(one.ref)
        return _("Summary of %(turns)s") % {"turns": _range(summary.first, summary.last).lower()} if summary else (
            _("A summary")
        )  # fmt: skip
    if one.kind == "document":
        document = seen.sources.documents.get(one.ref)
        return document.name if document else _("A document")
    return {
        "instructions": _("Instructions"),
        "note": _("Note on what is compressed or left out"),
        "acknowledgement": _("Acknowledgement"),
        "facts": _("Remembered facts"),
        "new facts": _("New facts"),
        "date": _("Date"),
    }.get(one.kind, _("Something else"))


def source(seen: Seen, one: Segment) -> str:
    """Where a segment comes from."""
    if one.kind == "turn" and one.cut:
        return _("shortened")
    if one.kind == "summary":
        way, model = seen.made_by.get(one.ref, ("", ""))
        if way == Summary.MadeBy.EXTRACT:
            return _("extract made by code")
        return _("written by you") if way == Summary.MadeBy.USER else model_name(model)
    if one.kind == "document":
        document = seen.sources.documents.get(one.ref)
        came = _("attached with turn %(n)s") % {"n": document.turn} if document and document.turn else _("attached")
        return f"{came}, {_('shortened')}" if one.cut else came
    if one.kind in ("facts", "new facts"):
        recipe = one.pieces[0].part.recipe
        count = len(recipe) - 1 if recipe else 0
        known = ngettext("%(n)s value", "%(n)s values", count) % {"n": count} if recipe else ""
        return f"{known}, {_('learnt since the last compression')}" if known and one.kind == "new facts" else known
    return {
        "instructions": _("the same in every request"),
        "note": _("fixed wording"),
        "acknowledgement": _("fixed wording"),
        "date": _("the day it was sent"),
        "turn": _("word for word"),
        "pinned": _("pinned, word for word"),
        "unanswered": _("without a reply"),
        "recalled": _("put back word for word, as data"),
        "message": _("the message, shortened") if one.cut else _("the message"),
    }.get(one.kind, "")


def trouble(seen: Seen, pieces: Sequence[Piece]) -> str:
    """What of a segment is no longer what was sent, and why; "" for nothing."""
    return next((said for piece in pieces if (said := _trouble(seen, piece))), "")


def _trouble(seen: Seen, piece: Piece) -> str:
    kind = context.kind_of(piece, seen.turn.number)
    if piece.state == "sent":
        return ""
    if piece.state == "unchecked":
        return _("as it reads now; an older layout stored nothing to compare with")
    if piece.state == "unknown":
        if piece.part.check is None:
            return _("not told: an older layout did not store how it was made")
        return _("not told: how it was made was not stored")
    number = recipes.turn_number(piece.part.ref)
    where = seen.turns.get(number) if number is not None else None
    summary = seen.sources.summaries.get(piece.part.ref)
    if (where and where.redacted) or (summary and not summary.text):
        return _("erased since")
    if piece.state == "gone":
        return {
            "summary": _("this summary is no longer stored"),
            "document": _("this document is no longer stored"),
            "facts": _("a fact is no longer stored"),
            "new facts": _("a fact is no longer stored"),
        }.get(kind, _("no longer stored"))
    if number is not None:
        return _("edited since")
    if kind in ("note", "acknowledgement"):
        return _("this fixed text reads differently since an update")
    return _("changed since")


def _text(seen: Seen, piece: Piece, whole: bool) -> Text:
    block = piece.block
    words = block.text if block else None
    shown = words if words is None or whole else words[:SHOWN_CHARACTERS]
    return Text(
        who=_who(piece),
        turn=recipes.turn_number(piece.part.ref),
        words=shown,
        missing=len(words) - len(shown) if words is not None and shown is not None else 0,
        trouble=_trouble(seen, piece),
    )


def _who(piece: Piece) -> str:
    block = piece.block
    if block and block.type == "tool_use":
        return _("assistant calls %(tool)s") % {"tool": block.name}
    if block and block.type == "tool_result":
        return _("result of a tool")
    return {"system": _("system"), "user": _("user"), "assistant": _("assistant")}[piece.part.role]


def _id(seen: Seen, number: int) -> int | None:
    """The turn's place on the page that shows the active path."""
    where = seen.turns.get(number)
    return where.id if where and where.active else None


def _range(first: int, last: int) -> str:
    if first == last:
        return _("Turn %(n)s") % {"n": first}
    return _("Turns %(first)s–%(last)s") % {"first": first, "last": last}


def _cached(seen: Seen) -> tuple[int, int]:
    usage = seen.turn.usage or {}
    return usage.get("cache_read", 0), usage.get("cache_write", 0)


def _cache(upto: float, read: int, written: int) -> str:
    """Whether a breakpoint's entry was read or written, by which of the two it lies nearer to; "" where nobody told.

    Our tokens are estimates, the API's are not: half of what was written is more than they differ by.
    """
    if not read and not written:
        return ""
    if upto <= read + written / 2:
        return _("read")
    return _("written") if written else ""


def _since(one: Segment) -> str:
    if one.status is None:
        return ""
    if one.status == "same" and not one.delta:
        return _("same")
    if one.status == "moved" and not one.delta:
        return _("same words")
    return signed(one.delta)


def signed(tokens: int) -> str:
    """A difference of tokens."""
    return ("+" if tokens > 0 else "−" if tokens < 0 else "±") + figure(abs(tokens))


def figure(tokens: int) -> str:
    """Tokens with all their digits."""
    return number_format(tokens, force_grouping=True)
