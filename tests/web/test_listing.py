"""The list of conversations: grouped by day, a page at a time, and only one's own."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.http import QueryDict
from django.utils import timezone

from chat.models import ChatSession, Turn
from chat.web import listing
from chat.web.listing import Place
from tests.web.conftest import add_turn

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def at(make_session):
    """A conversation that was last written to at some time."""

    def make(moment, **values):
        session = make_session(**values)
        ChatSession.objects.filter(pk=session.pk).update(updated_at=moment, turns_total=1)
        return session

    return make


def headings(shown) -> list[tuple[str, list[str]]]:
    return [(group.heading, [row.title for row in group.rows]) for group in shown.groups]


def following(user, shown, size):
    return listing.page(user, after=Place.read(QueryDict(shown.next)), size=size)


def test_conversations_are_grouped_by_day_newest_first(alice, at):
    at(NOW - timedelta(days=400), title="long ago")
    at(NOW - timedelta(days=40), title="this year")
    at(NOW - timedelta(days=3), title="this week")
    at(NOW - timedelta(days=1), title="yesterday")
    at(NOW, title="now")
    at(NOW - timedelta(days=90), title="kept", pinned=True)
    assert headings(listing.page(alice)) == [
        ("Pinned", ["kept"]),
        ("Today", ["now"]),
        ("Yesterday", ["yesterday"]),
        ("Previous 7 days", ["this week"]),
        ("October", ["this year"]),
        ("October 2025", ["long ago"]),
    ]


def test_a_day_begins_where_the_user_is(alice, at):
    at(NOW - timedelta(hours=11), title="1 a.m.")
    assert headings(listing.page(alice))[0][0] == "Today"
    with timezone.override("America/Los_Angeles"):
        assert headings(listing.page(alice))[0][0] == "Yesterday"


def test_a_group_that_goes_on_over_a_page_has_one_heading(alice, at):
    for minute in range(5):
        at(NOW - timedelta(minutes=minute), title=str(minute))
    first = listing.page(alice, size=3)
    second = following(alice, first, 3)
    assert headings(first) == [("Today", ["0", "1", "2"])]
    assert headings(second) == [("", ["3", "4"])]
    assert second.next == ""


def test_pages_go_from_pinned_to_the_rest_without_loss(alice, at):
    expected = {at(NOW - timedelta(minutes=n), title=str(n), pinned=n % 3 == 0).pk for n in range(10)}
    shown, seen = listing.page(alice, size=2), []
    while True:
        seen += [row.id for group in shown.groups for row in group.rows]
        if not shown.next:
            break
        shown = following(alice, shown, 2)
    assert len(seen) == 10
    assert set(seen) == expected


def test_a_conversation_that_moves_to_the_top_meanwhile_hides_no_other(alice, at):
    for minute in range(6):
        at(NOW - timedelta(minutes=minute), title=str(minute))
    first = listing.page(alice, size=3)
    ChatSession.objects.filter(title="5").update(updated_at=NOW + timedelta(minutes=1))
    assert headings(following(alice, first, 3)) == [("", ["3", "4"])]


def test_equal_times_are_told_apart(alice, at):
    expected = {at(NOW, title=str(n)).pk for n in range(5)}
    first = listing.page(alice, size=2)
    second = following(alice, first, 2)
    third = following(alice, second, 2)
    seen = [row.id for shown in (first, second, third) for group in shown.groups for row in group.rows]
    assert len(seen) == 5
    assert set(seen) == expected


def test_nobody_sees_the_conversations_of_others_deleted_or_archived_ones(alice, bob, at):
    at(NOW, owner=bob, title="bob's")
    at(NOW, title="deleted", deleted_at=NOW)
    at(NOW, title="archived", archived_at=NOW)
    assert headings(listing.page(alice)) == []


def test_an_empty_conversation_is_listed_while_it_is_open_only(alice, make_session):
    session = make_session(title="")
    assert headings(listing.page(alice)) == []
    assert headings(listing.page(alice, current=session.pk)) == [("Today", ["New chat"])]


def test_a_row_says_what_runs_and_what_is_unread(alice, make_session):
    session = make_session()
    add_turn(session)
    assert listing.one(alice, session.pk).unread
    ChatSession.objects.filter(pk=session.pk).update(seen=1)
    assert not listing.one(alice, session.pk).unread
    Turn.objects.filter(session=session).delete()
    add_turn(make_session(), status="running")
    assert [row.live for group in listing.page(alice).groups for row in group.rows if row.id != session.pk] == [True]


@pytest.mark.parametrize(
    "query",
    ["", "at=x", "at=2026-11-22", f"at=2026-11-22T12:00:00&id={uuid.UUID(int=7)}", "at=2026-11-22T12:00:00Z&id=7"],
)
def test_what_is_no_place_is_the_first_page(query):
    assert Place.read(QueryDict(query)) is None


@pytest.mark.parametrize(("name", "letters"), [("Maren Vogt", "MV"), ("alice", "A"), ("a b c", "AB"), ("", "")])
def test_initials(name, letters):
    assert listing.initials(name.split()) == letters
