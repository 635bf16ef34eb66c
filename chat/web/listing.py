"""The list of conversations: newest first, grouped by day, a page at a time.

Pages are found by the place of the last row, not by an offset: a conversation that moves to the top while somebody
scrolls neither repeats nor hides another.
"""

import datetime
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from chat.models import ChatSession, Turn

PAGE = 40
MOST_AWAY = 200
# The clock that asks and the clock that wrote may be so far apart; what is told twice does no harm.
CLOCKS_APART = datetime.timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One conversation of the list."""

    id: UUID
    title: str
    live: bool = False
    unread: bool = False
    pinned: bool = False
    heading: str = ""
    moved: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a page that shows the list should know: rows as they are now, and ids of those that left it."""

    rows: list[Row]
    gone: list[UUID]
    at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A conversation outside of the list: `at` it was put away or deleted."""

    id: UUID
    title: str
    turns: int
    at: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading; the heading is '' where the last page ended in the same group."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of the list. `next` is the query string of the page after it, or ''."""

    groups: list[Group] = field(default_factory=list)
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the last page ended."""

    pinned: bool
    updated_at: datetime.datetime
    id: UUID
    heading: str

    @classmethod
    def read(cls, query) -> "Place | None":
        """From a query string; None for the first page, and for anything that is no place."""
        try:
            when = parse_datetime(query.get("at", ""))
            if when is None or timezone.is_naive(when):
                return None
            return cls(
                pinned=query.get("pinned") == "1",
                updated_at=when,
                id=UUID(query.get("id", "")),
                heading=query.get("under", ""),
            )
        except ValueError:
            return None

    def query(self) -> str:
        """The query string that `read` understands."""
        values = {"at": self.updated_at.isoformat(), "id": self.id, "under": self.heading}
        return urlencode(values | ({"pinned": "1"} if self.pinned else {}))


def page(user, *, after: Place | None = None, current: UUID | None = None, size: int = PAGE) -> Listing:
    """One page of the user's conversations; empty ones are left out, save the `current` one."""
    rows = _rows(user).listed().filter(Q(turns_total__gt=0) | Q(pk=current))
    if after:
        at = after.updated_at
        beyond = Q(updated_at__lt=at) | Q(updated_at=at, id__lt=after.id)
        rows = rows.filter(Q(pinned=after.pinned) & beyond | (Q(pinned=False) if after.pinned else Q(pk__in=[])))
    found = list(rows[: size + 1])
    more, found = len(found) > size, found[:size]
    today = timezone.localdate()
    groups = [
        Group(heading, list(members))
        for heading, members in groupby((row(session, today) for session in found), key=lambda one: one.heading)
    ]
    last = Place.read({}) if not found else _place(found[-1], groups[-1].heading)
    if after and groups and groups[0].heading == after.heading:
        groups[0] = Group("", groups[0].rows)
    return Listing(groups=groups, next=last.query() if more and last else "")


def one(user, session_id: UUID) -> Row | None:
    """The row of one conversation; None for one that is not listed."""
    return next((row(session) for session in _rows(user).listed().filter(pk=session_id)), None)


def changed(user, since: datetime.datetime | None, asked: Collection[UUID]) -> Changed:
    """The rows that changed since a moment and those that were asked for; without a moment nothing else is told.

    One query by the index of the list, and one only where something left it.
    """
    now = timezone.now()
    recent = Q(pk__in=asked)
    left = Q(pk__in=asked) & (Q(deleted_at__isnull=False) | Q(archived_at__isnull=False))
    if since:
        since = max(since, now - datetime.timedelta(days=1)) - CLOCKS_APART
        recent |= Q(updated_at__gt=since)
        left |= Q(deleted_at__gt=since) | Q(archived_at__gt=since)
    today = timezone.localdate()
    rows = [row(session, today) for session in _rows(user).listed().filter(recent, turns_total__gt=0)[:PAGE]]
    gone = list(ChatSession.objects.filter(left, owner=user).values_list("pk", flat=True)[:PAGE])
    return Changed(rows=rows, gone=gone, at=now)


def moment(text: str | None) -> datetime.datetime | None:
    """A time from a query string; None for anything else."""
    try:
        when = parse_datetime(text or "")
    except ValueError:
        return None
    return when if when and timezone.is_aware(when) else None


def put_away(session: ChatSession) -> Away:
    """A conversation that is archived or deleted, as the archive shows it."""
    at = session.deleted_at or session.archived_at
    return Away(id=session.pk, title=title(session), turns=session.turns_active, at=at)


def row(session: ChatSession, today: datetime.date | None = None) -> Row:
    """A session, annotated with `live`, as a row."""
    live = bool(getattr(session, "live", False))
    return Row(
        id=session.pk,
        title=title(session),
        live=live,
        unread=not live and session.seen < session.turns_active,
        pinned=session.pinned,
        heading=_heading(session, today or timezone.localdate()),
        moved=session.updated_at.timestamp(),
    )


def title(session: ChatSession) -> str:
    """What a conversation is called."""
    return session.title or _("New chat")


def _rows(user):
    """A live turn is always the head: one look by its key, where a search for it would go through all turns."""
    return (
        ChatSession.objects.owned_by(user)
        .annotate(live=Q(head__status__in=Turn.LIVE))
        .only("id", "title", "pinned", "updated_at", "seen", "turns_active")
    )


def _place(session: ChatSession, heading: str) -> Place:
    return Place(pinned=session.pinned, updated_at=session.updated_at, id=session.pk, heading=heading)


def _heading(session: ChatSession, today: datetime.date) -> str:
    if session.pinned:
        return _("Pinned")
    day = timezone.localtime(session.updated_at).date()
    days = (today - day).days
    if days <= 0:
        return _("Today")
    if days == 1:
        return _("Yesterday")
    if days <= 7:
        return _("Previous 7 days")
    return date_format(day, "F" if day.year == today.year else "F Y")


def initials(words: Iterable[str]) -> str:
    """Two letters for a name."""
    letters = [word[0] for word in words if word]
    return "".join(letters[:2]).upper()
