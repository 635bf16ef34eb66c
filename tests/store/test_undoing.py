"""Taking a compression back, and giving it again: rows are switched, notices say so, and no turn is lost."""

import uuid
from typing import Any

import pytest

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import branches, coverage, integrity, leases, loading, undoing
from chat.store.loading import LoadLimits
from tests.store.building import active, compress, conversation, draft, extend, fork, merge, reread, turn

LIMITS = LoadLimits(turns=400, tokens=1_000_000)
MOST = 1_000_000


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Twenty turns of 100 tokens."""
    return conversation(alice, 20)


def place(session: ChatSession) -> tuple[int, list | None]:
    row = reread(session)
    return row.window_from, row.restored


def standing(session: ChatSession) -> list[tuple[str, int, int]]:
    """The notices that a reader sees."""
    rows = Notice.objects.filter(session=session, ended_at=None, until__active=True).order_by("first", "kind")
    return list(rows.values_list("kind", "first", "last"))


def sent(session: ChatSession) -> list[int]:
    """The numbers of the turns that the next request loads to be sent word for word."""
    opened = branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
    found = loading.load(opened.pk, lambda plan: LIMITS)
    leases.claim_turn("me", 15)
    Turn.objects.filter(pk=opened.pk).delete()
    ChatSession.objects.filter(pk=session.pk).update(head=session.head, turns_active=20, turns_total=20)
    return [one.number for one in found.history.turns if one.restored or one.number >= found.window_from]


def state(pk: int) -> str:
    return Summary.objects.values_list("state", flat=True).get(pk=pk)


def test_what_was_compressed_last_is_sent_again_from_where_it_began(session: ChatSession) -> None:
    (made,) = compress(session, (1, 10))
    before = reread(session)
    plan = undoing.plan(session.pk, 1, 10)
    assert plan is not None
    assert (plan.tokens, plan.saved, plan.turns) == (1000, 40, [(1, 10)])
    changed = undoing.restore(session.pk, 1, 10, most=MOST)
    assert (changed.first, changed.last, changed.tokens, changed.window_from) == (1, 10, 1000, 1)
    row = reread(session)
    assert (row.window_from, row.restored, row.open_tokens) == (1, None, 2000)
    assert row.context_version == row.prefix_version == before.context_version + 1
    assert state(made.pk) == "undone"
    assert standing(session) == [("restored", 1, 10)]
    assert integrity.violations() == []


def test_in_the_middle_the_turns_stand_beside_the_summaries_around_them(session: ChatSession) -> None:
    compress(session, (1, 4))
    compress(session, (5, 8))
    compress(session, (9, 12))
    undoing.restore(session.pk, 5, 8, most=MOST)
    assert place(session) == (13, [[5, 8]])
    assert active(session) == [(1, 4, 1), (9, 12, 1)]
    assert standing(session) == [("compressed", 1, 4), ("restored", 5, 8), ("compressed", 9, 12)]
    assert sent(session) == [5, 6, 7, 8, *range(13, 21)]
    assert integrity.violations() == []


def test_a_part_of_a_merge_comes_back_and_its_other_children_stand_in(session: ChatSession) -> None:
    children = [compress(session, one)[0] for one in ((1, 4), (5, 8), (9, 12))]
    whole = merge(session, 1, 12)
    undoing.restore(session.pk, 5, 8, most=MOST)
    assert active(session) == [(1, 4, 1), (9, 12, 1)]
    assert place(session) == (13, [[5, 8]])
    assert (state(whole.pk), state(children[1].pk)) == ("stale", "undone")
    assert integrity.violations() == []
    # No switch of branches brings back what somebody took back.
    old = turn(session, 16)
    branches.switch(session.pk, old.pk)
    assert active(session) == [(1, 4, 1), (9, 12, 1)]


def test_a_merge_without_its_children_comes_back_whole(session: ChatSession) -> None:
    compress(session, (1, 4))
    compress(session, (5, 8))
    merge(session, 1, 8)
    Summary.objects.filter(session=session, tier=1).update(state="stale")
    changed = undoing.restore(session.pk, 5, 8, most=MOST)
    assert (changed.first, changed.last) == (1, 8)
    assert active(session) == []
    assert integrity.violations() == []


def test_what_does_not_fit_is_refused_and_nothing_changes(session: ChatSession) -> None:
    compress(session, (1, 10))
    before = ChatSession.objects.values().get(pk=session.pk)
    with pytest.raises(undoing.DoesNotFit) as refused:
        undoing.restore(session.pk, 1, 10, most=1999)
    assert (refused.value.tokens, refused.value.most) == (2000, 1999)
    assert ChatSession.objects.values().get(pk=session.pk) == before
    assert active(session) == [(1, 10, 1)]
    assert standing(session) == [("compressed", 1, 10)]


def test_nothing_is_taken_back_twice_or_while_a_turn_lives(session: ChatSession) -> None:
    compress(session, (1, 10))
    branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
    with pytest.raises(branches.SessionBusy):
        undoing.restore(session.pk, 1, 10, most=MOST)
    with pytest.raises(branches.SessionBusy):
        undoing.compress_again(session.pk, 1, 10)
    Turn.objects.filter(session=session, number=21).update(status="stopped", closed_at="2026-01-01T00:00Z", digest="x")
    undoing.restore(session.pk, 1, 10, most=MOST)
    version = reread(session).context_version
    with pytest.raises(undoing.NothingThere):
        undoing.restore(session.pk, 1, 10, most=MOST)
    assert reread(session).context_version == version


def test_compressed_again_it_is_as_it_was(session: ChatSession) -> None:
    compress(session, (1, 4))
    compress(session, (5, 8))
    was = place(session), active(session), reread(session).open_tokens
    for first, last in ((1, 4), (5, 8)):
        undoing.restore(session.pk, first, last, most=MOST)
        changed = undoing.compress_again(session.pk, first, last)
        assert (changed.first, changed.last, changed.told) == (first, last, 40)
        assert (place(session), active(session), reread(session).open_tokens) == was
        assert [one[0] for one in standing(session)] == ["compressed", "compressed"]
        assert integrity.violations() == []


def test_neighbours_that_come_back_get_one_line_whatever_is_pinned_between_them(session: ChatSession) -> None:
    compress(session, (1, 4), (5, 8))
    undoing.restore(session.pk, 1, 8, most=MOST)
    Turn.objects.filter(session=session, number__in=(3, 8)).update(pinned_since=1)
    ChatSession.objects.filter(pk=session.pk).update(marked=2)
    undoing.compress_again(session.pk, 1, 8)
    assert standing(session) == [("compressed", 1, 8)]
    assert integrity.violations() == []


def test_a_commit_beside_what_was_taken_back_takes_none_of_it(session: ChatSession) -> None:
    compress(session, (1, 6))
    undoing.restore(session.pk, 1, 6, most=MOST)
    compress(session, (7, 12))
    assert place(session) == (13, [[1, 6]])
    assert standing(session) == [("restored", 1, 6), ("compressed", 7, 12)]
    assert sent(session) == [*range(1, 7), *range(13, 21)]
    assert integrity.violations() == []


class TestAtTheHardMark:
    def test_the_oldest_is_switched_on_again_one_at_a_time(self, session: ChatSession) -> None:
        compress(session, (1, 4))
        compress(session, (5, 8))
        for one in ((1, 4), (5, 8)):
            undoing.restore(session.pk, *one, most=MOST)
        calls = ChatSession.objects.get(pk=session.pk).compactions
        changed = undoing.wake(session.pk, lambda row: row.open_tokens >= 2000)
        assert changed is not None
        assert (changed.first, changed.last, changed.tokens, changed.told) == (1, 4, 400, 40)
        assert undoing.wake(session.pk, lambda row: row.open_tokens >= 2000) is None
        assert active(session) == [(1, 4, 1)]
        assert standing(session) == [("compressed", 1, 4), ("restored", 5, 8)]
        assert reread(session).compactions == calls
        assert integrity.violations() == []

    def test_below_the_mark_nothing_comes_back_by_itself(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        undoing.restore(session.pk, 1, 8, most=MOST)
        assert undoing.wake(session.pk, lambda row: False) is None
        assert place(session) == (1, None)

    def test_what_was_left_out_meanwhile_comes_back_at_any_mark(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        undoing.restore(session.pk, 1, 8, most=MOST)
        ChatSession.objects.filter(pk=session.pk).update(window_from=12)
        coverage.tell(session.pk)
        assert standing(session) == [("trimmed", 1, 11)]
        assert undoing.wake(session.pk, lambda row: False) is not None
        assert standing(session) == [("compressed", 1, 8), ("trimmed", 9, 11)]
        assert integrity.violations() == []

    def test_one_of_other_words_becomes_stale_instead(self, session: ChatSession) -> None:
        (made,) = compress(session, (1, 8))
        undoing.restore(session.pk, 1, 8, most=MOST)
        Turn.objects.filter(session=session, number=3).update(digest="other words")
        assert undoing.wake(session.pk, lambda row: True) is None
        assert state(made.pk) == "stale"

    def test_it_may_be_switched_on_below_a_turn_that_runs(self, session: ChatSession) -> None:
        compress(session, (1, 8))
        undoing.restore(session.pk, 1, 8, most=MOST)
        branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
        assert undoing.wake(session.pk, lambda row: True) is not None
        assert place(session) == (9, None)
        assert integrity.violations() == []


def test_a_branch_without_them_and_back_again_tells_the_truth(session: ChatSession) -> None:
    compress(session, (1, 4))
    compress(session, (5, 8))
    undoing.restore(session.pk, 1, 4, most=MOST)
    old = turn(session, 20)
    assert place(session) == (9, [[1, 4]])
    fork(session, 6)
    assert integrity.violations() == []
    assert place(session) == (1, None), "the summary behind them rests on the other branch"
    branches.switch(session.pk, old.pk)
    assert active(session) == [(5, 8, 1)]
    assert place(session) == (9, [[1, 4]])
    assert integrity.violations() == []


def test_drafts_of_a_restored_range_wait_for_nobody(session: ChatSession) -> None:
    compress(session, (1, 8))
    undoing.restore(session.pk, 1, 8, most=MOST)
    made = draft(session, 9, 12)
    extend(session, 2)
    assert state(made.pk) == "draft"
    assert integrity.violations() == []
