"""Attached documents as the page shows them: a name, a kind, how many tokens, and what can be done."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.models import ChatSession, Document
from chat.store import documents

MEGA = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One file. `removed`: taken out of the context since. `refusal`: why it was not taken; then it has no id."""

    name: str
    id: int = 0
    session_id: UUID | None = None
    detail: str = ""
    tokens: int = 0
    removed: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The documents of a conversation: those that wait beside the message box, those that the model is sent."""

    waiting: list[Chip] = field(default_factory=list)
    seen: list[Chip] = field(default_factory=list)
    tokens: str = ""


def shelf(session: ChatSession | None) -> Shelf:
    """What of a conversation's documents the page shows; nothing where there is no conversation yet."""
    if session is None:
        return Shelf()
    rows = list(documents.standing(session.pk))
    waiting, seen = [row for row in rows if row.turn_id is None], [row for row in rows if row.turn_id is not None]
    return Shelf(waiting=chips(waiting), seen=chips(seen), tokens=tokens(sum(row.tokens for row in seen)))


def chips(rows: Iterable[Document]) -> list[Chip]:
    """The chips of stored documents."""
    return [
        Chip(
            id=row.pk,
            session_id=row.session_id,
            name=row.name,
            detail=f"{kind(row.kind)} · {tokens(row.tokens)}",
            tokens=row.tokens,
            removed=row.removed_at is not None,
        )
        for row in rows
    ]


def of_turns(session_id: UUID, first: int, last: int) -> dict[tuple[int, int | None], list[Chip]]:
    """The documents of turns `first`..`last`, by number and parent: every version of a message has those of it."""
    return {place: chips(rows) for place, rows in documents.by_place(session_id, first, last).items()}


def tokens(count: int) -> str:
    """Tokens in words. Always an estimate: no document was ever counted apart by the API."""
    shown = number_format(count, force_grouping=True)
    return ngettext("~%(count)s token", "~%(count)s tokens", count) % {"count": shown}


def kind(name: str) -> str:
    """The kind of a file in words."""
    return {
        "pdf": _("PDF"),
        "docx": _("Word"),
        "markdown": _("Markdown"),
        "csv": _("Table"),
        "code": _("Code"),
    }.get(name, _("Text"))


def refused(name: str, code: str, figures: dict[str, Any]) -> Chip:
    """A file that was not taken, with the sentence that says why."""
    return Chip(name=name, refusal=sentence(code, figures))


def sentence(code: str, figures: dict[str, Any]) -> str:
    """Why a file is not taken, with the numbers that it is about."""
    shown = {name: number_format(value, force_grouping=True) for name, value in figures.items()}
    if code == "too_large":
        # The size rounded up and the limit down: rounded alike, both could read the same.
        shown = {
            "size": _megabytes(-(-figures["size"] * 10 // MEGA)),
            "limit": _megabytes(figures["limit"] * 10 // MEGA),
        }
    if code == "full":
        shown["tokens"] = tokens(figures["tokens"])
        if figures["left"] < figures["budget"] and figures["tokens"] <= figures["budget"]:
            text = _("%(tokens)s; %(left)s of the %(budget)s of this conversation’s documents budget are free.")
        else:
            text = _("%(tokens)s; %(budget)s is the documents budget of this conversation.")
        return text % shown
    return {
        "encrypted": _("This file needs a password. Save it without one, and attach that."),
        "no_text": _("There is no text in this file; a scan has to be made readable (OCR) first."),
        "unknown_type": _("This kind of file can’t be read. Text, Markdown, code, CSV, PDF and DOCX can."),
        "too_large": _("%(size)s; a file may have %(limit)s."),
        "too_long": _("This file holds more than %(limit)s characters of text."),
        "too_many": _("%(pages)s pages; a file may have %(limit)s."),
        "too_complex": _("This file takes too long to read, or too much memory."),
        "broken": _("This file is damaged, or not what its name says."),
        "many": _("This conversation has %(most)s documents, as many as it may have. Remove one first."),
        "quota": _("You have sent as many files as is allowed for now. Try again in a minute."),
        "window": _("How much the model can take is not known right now. Try again in a moment."),
        "gone": _("This conversation is not there any more."),
        "storage": _("The file could not be stored. Try again in a moment."),
    }[code] % shown


def _megabytes(tenths: int) -> str:
    return f"{number_format(tenths / 10, 1)} MB"
