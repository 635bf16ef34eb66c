"""Pinned and excluded turns: what each costs, what it makes stale, and what it never loses."""

import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import branches, integrity, marks
from tests.store.building import active, compress, conversation, draft, merge, reread, turn

MOST = 1_000_000


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Twenty turns of 100 tokens."""
    return conversation(alice, 20)


def version(session: ChatSession) -> int:
    return reread(session).context_version


def standing(session: ChatSession) -> list[tuple[str, int, int]]:
    rows = Notice.objects.filter(session=session, ended_at=None, until__active=True).order_by("first", "kind")
    return list(rows.values_list("kind", "first", "last"))


class TestPins:
    def test_a_pin_is_counted_and_moves_the_version_once(self, session: ChatSession) -> None:
        one = turn(session, 3)
        assert marks.pin(session.pk, one.pk, most=MOST) == marks.Marked(number=3, changed=True)
        assert marks.pin(session.pk, one.pk, most=MOST).changed is False
        row = reread(session)
        assert (row.context_version, row.marked, turn(session, 3).pinned_since) == (1, 1, 1)
        assert marks.pinned(session.pk) == [(one.pk, 3, 100)]
        assert marks.unpin(session.pk, one.pk).changed
        assert marks.unpin(session.pk, one.pk).changed is False
        assert (version(session), reread(session).marked) == (2, 0)
        assert integrity.violations() == []

    def test_beyond_their_budget_pinning_is_refused_with_the_figures(self, session: ChatSession) -> None:
        for number in (1, 2):
            marks.pin(session.pk, turn(session, number).pk, most=250)
        with pytest.raises(marks.PinsFull) as refused:
            marks.pin(session.pk, turn(session, 3).pk, most=250)
        assert (refused.value.tokens, refused.value.used, refused.value.most) == (100, 200, 250)
        assert len(marks.pinned(session.pk)) == 2

    def test_a_pin_that_goes_leaves_nothing_unsaid(self, session: ChatSession) -> None:
        """Pinned turns alone are not worth a summary: one that is unpinned stays in view until the next compaction."""
        for number in (1, 2):
            marks.pin(session.pk, turn(session, number).pk, most=MOST)
        compress(session, (3, 8))
        marks.unpin(session.pk, turn(session, 1).pk)
        row = reread(session)
        assert (row.window_from, row.restored) == (9, [[1, 1]])
        assert integrity.violations() == []

    def test_what_is_left_out_can_t_be_pinned(self, session: ChatSession) -> None:
        one = turn(session, 3)
        marks.exclude(session.pk, one.pk)
        with pytest.raises(marks.Excluded):
            marks.pin(session.pk, one.pk, most=MOST)


@pytest.mark.parametrize("change", ["pin", "unpin", "exclude", "include"])
def test_nothing_is_marked_while_a_turn_lives_nor_elsewhere(session: ChatSession, bob: Any, change: str) -> None:
    keywords = {"most": MOST} if change == "pin" else {}
    other = turn(conversation(bob, 2), 1)
    with pytest.raises(branches.UnknownTurn):
        getattr(marks, change)(session.pk, other.pk, **keywords)
    branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
    with pytest.raises(branches.SessionBusy):
        getattr(marks, change)(session.pk, turn(session, 3).pk, **keywords)


class TestExclusion:
    def test_in_the_window_only_the_turn_itself_changes(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        one = turn(session, 12)
        assert marks.exclude(session.pk, one.pk) == marks.Marked(number=12, changed=True)
        assert marks.exclude(session.pk, one.pk).changed is False
        row = reread(session)
        assert (row.context_version, row.prefix_version, row.marked) == (2, 1, 1)
        assert turn(session, 12).excluded_by == "user"
        assert active(session) == [(1, 8, 1)]
        assert marks.include(session.pk, one.pk).changed
        assert reread(session).marked == 0
        assert integrity.violations() == []

    def test_below_a_summary_the_rest_of_it_is_sent_again(self, session: ChatSession) -> None:
        compress(session, (1, 4))
        compress(session, (5, 8))
        draft(session, 2, 3)
        answer = marks.exclude(session.pk, turn(session, 3).pk)
        assert answer.stale
        row = reread(session)
        assert (row.window_from, row.restored, active(session)) == (9, [[1, 4]], [(5, 8, 1)])
        assert row.prefix_version == row.context_version
        assert set(Summary.objects.filter(first__lt=5).values_list("state", flat=True)) == {"stale"}
        assert standing(session) == [("compressed", 5, 8)]
        assert integrity.violations() == []

    def test_where_the_rest_does_not_fit_a_notice_says_that_it_is_left_out(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        marks.exclude(session.pk, turn(session, 3).pk, most=1900)
        row = reread(session)
        assert (row.window_from, row.restored) == (9, None)
        assert standing(session) == [("trimmed", 1, 2), ("trimmed", 4, 8)]
        assert integrity.violations() == []

    def test_included_again_the_summary_that_told_of_it_comes_back(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        one = turn(session, 3)
        marks.exclude(session.pk, one.pk)
        marks.include(session.pk, one.pk)
        row = reread(session)
        assert (row.window_from, row.restored, active(session)) == (9, None, [(1, 8, 1)])
        assert standing(session) == [("compressed", 1, 8)]
        assert integrity.violations() == []

    def test_of_a_merge_only_the_child_that_told_of_it_is_lost(self, session: ChatSession) -> None:
        for one in ((1, 4), (5, 8), (9, 12)):
            compress(session, one)
        merge(session, 1, 12)
        marks.exclude(session.pk, turn(session, 6).pk)
        assert active(session) == [(1, 4, 1), (9, 12, 1)]
        assert reread(session).restored == [[5, 8]]
        assert integrity.violations() == []

    def test_a_pin_goes_with_it(self, session: ChatSession) -> None:
        one = turn(session, 3)
        marks.pin(session.pk, one.pk, most=MOST)
        marks.exclude(session.pk, one.pk)
        assert turn(session, 3).pinned_since is None
        assert reread(session).marked == 1

    @pytest.mark.parametrize("by", ["refusal", "operator"])
    def test_only_who_left_it_out_includes_it(self, session: ChatSession, by: str) -> None:
        one = turn(session, 3)
        Turn.objects.filter(pk=one.pk).update(excluded_by=by)
        with pytest.raises(marks.Excluded):
            marks.include(session.pk, one.pk)
        assert turn(session, 3).excluded_by == by


@pytest.mark.parametrize("change", ["pin", "exclude"])
def test_many_turns_in_a_row_cost_no_more_statements_than_two(session: ChatSession, change: str) -> None:
    there, back = {
        "pin": (partial(marks.pin_all, session.pk, most=MOST), partial(marks.unpin_all, session.pk)),
        "exclude": (
            partial(marks.exclude_all, session.pk, by="operator", most=None),
            partial(marks.include_all, session.pk, by="operator", most=None),
        ),
    }[change]
    costs = []
    for most in (2, 8):
        ids = [turn(session, number).pk for number in range(1, most + 1)]
        for work in (there, back):
            with CaptureQueriesContext(connection) as queries:
                assert [one.changed for one in work(ids)] == [True] * most
            costs.append(len(queries))
    assert costs[:2] == costs[2:]
