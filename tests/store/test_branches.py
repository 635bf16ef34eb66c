"""Branches: what an edit and a switch do to the path, to the summaries on it, to the window and to the notices."""

import uuid
from typing import Any

import pytest
from django.db import transaction

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import branches, coverage, integrity, summaries
from tests.store.building import active, compress, conversation, draft, extend, fork, merge, numbers, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 10)


@pytest.fixture(autouse=True)
def whole(session: ChatSession) -> Any:
    """Every test ends with a store that holds its invariants."""
    yield
    assert integrity.violations() == []


def standing(session: ChatSession) -> list[tuple[str, int, int]]:
    """The notices that a reader of the active path sees."""
    rows = Notice.objects.filter(session=session, ended_at__isnull=True, until__active=True)
    return list(rows.order_by("first", "last").values_list("kind", "first", "last"))


def test_an_edit_opens_a_sibling_and_keeps_what_followed(session: ChatSession) -> None:
    old = turn(session, 6)
    made = fork(session, 6)
    assert numbers(session) == [1, 2, 3, 4, 5, 6]
    assert reread(session).head == made
    assert made.parent_id == old.parent_id
    assert Turn.objects.filter(session=session).count() == 11
    assert not Turn.objects.get(pk=old.pk).active


def test_a_switch_brings_the_whole_branch_back(session: ChatSession) -> None:
    old, head = turn(session, 6), session.head
    made = fork(session, 6)
    branches.switch(session.pk, old.pk)
    assert numbers(session) == list(range(1, 11))
    assert reread(session).head == head
    branches.switch(session.pk, made.pk)
    assert reread(session).head == made


def test_the_first_turn_can_be_edited_too(session: ChatSession) -> None:
    old = turn(session, 1)
    fork(session, 1)
    assert numbers(session) == [1]
    branches.switch(session.pk, old.pk)
    assert numbers(session) == list(range(1, 11))


def test_a_branch_comes_back_as_far_as_it_had_grown(session: ChatSession) -> None:
    first = fork(session, 4)
    extend(session, 3)
    grown = reread(session).head
    fork(session, 2)
    branches.switch(session.pk, first.pk)
    assert reread(session).head == grown
    assert numbers(session) == list(range(1, 8))


def test_a_leaf_is_right_although_the_path_was_left_further_up(session: ChatSession) -> None:
    # turn 8 was left once with its leaf at 10; later the path grew to 12 and was left at 3.
    eight = turn(session, 8)
    other = fork(session, 8)
    branches.switch(session.pk, eight.pk)
    extend(session, 2)
    fork(session, 3)
    branches.switch(session.pk, other.pk)
    branches.switch(session.pk, eight.pk)
    assert reread(session).head.number == 12


def test_a_switch_into_a_branch_of_a_branch_finds_where_the_paths_part(session: ChatSession) -> None:
    fork(session, 4)
    extend(session, 4)
    deep = fork(session, 7)
    branches.switch(session.pk, Turn.objects.get(session=session, number=10).pk)
    assert numbers(session) == list(range(1, 11))
    branches.switch(session.pk, deep.pk)
    assert numbers(session) == list(range(1, 8))
    assert reread(session).head == deep


def test_a_switch_to_where_one_is_changes_nothing(session: ChatSession) -> None:
    version = reread(session).context_version
    branches.switch(session.pk, turn(session, 3).pk)
    assert reread(session).context_version == version
    assert numbers(session) == list(range(1, 11))


def test_a_switch_raises_the_version(session: ChatSession) -> None:
    old = turn(session, 6)
    fork(session, 6)
    version = reread(session).context_version
    branches.switch(session.pk, old.pk)
    assert reread(session).context_version == version + 1


def test_no_switch_while_a_turn_lives(session: ChatSession) -> None:
    old = turn(session, 6)
    fork(session, 6)
    branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=1)
    with pytest.raises(branches.SessionBusy):
        branches.switch(session.pk, old.pk)
    assert numbers(session) == list(range(1, 8))


def test_another_sessions_turn_is_unknown(session: ChatSession, bob: Any) -> None:
    with pytest.raises(branches.UnknownTurn):
        branches.switch(session.pk, conversation(bob, 3).head.pk)


def test_shared_ancestors_share_their_summaries(session: ChatSession) -> None:
    compress(session, (1, 3))
    old = turn(session, 6)
    fork(session, 6)
    assert active(session) == [(1, 3, 1)]
    branches.switch(session.pk, old.pk)
    assert active(session) == [(1, 3, 1)]
    assert Summary.objects.count() == 1


def test_a_branchs_summaries_rest_while_it_is_away(session: ChatSession) -> None:
    compress(session, (1, 3), (4, 7))
    old = turn(session, 6)
    fork(session, 6)
    assert active(session) == [(1, 3, 1)]
    assert Summary.objects.get(first=4).state == "resting"
    branches.switch(session.pk, old.pk)
    assert active(session) == [(1, 3, 1), (4, 7, 1)]
    assert reread(session).window_from == 8


def test_turns_that_lose_their_summary_are_sent_again(session: ChatSession) -> None:
    compress(session, (1, 8))
    assert reread(session).window_from == 9
    fork(session, 6)
    # 1-5 are covered by nothing now: they must not stay behind the window.
    assert reread(session).window_from == 1
    assert standing(session) == []


def test_what_was_trimmed_before_stays_trimmed_and_is_said_again(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(window_from=8)
    Notice.objects.create(session=session, kind="trimmed", first=1, last=7, until=turn(session, 7))
    fork(session, 5)
    assert reread(session).window_from == 5
    assert standing(session) == [("trimmed", 1, 4)]


def test_a_notice_over_several_summaries_is_said_anew_for_those_that_stay(session: ChatSession) -> None:
    compress(session, (1, 3), (4, 7))
    assert standing(session) == [("compressed", 1, 7)]
    old = turn(session, 6)
    fork(session, 6)
    assert standing(session) == [("compressed", 1, 3)]
    notice = Notice.objects.get(first=1, last=3)
    assert (notice.tokens_before, notice.tokens_after, notice.model) == (300, 40, "small")
    branches.switch(session.pk, old.pk)
    assert standing(session) == [("compressed", 1, 7)]


def test_a_merge_rests_its_children_and_an_edit_below_it_brings_them_back(session: ChatSession) -> None:
    compress(session, (1, 2), (3, 4), (5, 6), (7, 8))
    merge(session, 1, 8)
    assert active(session) == [(1, 8, 2)]
    assert reread(session).window_from == 9
    old = turn(session, 6)
    fork(session, 6)
    assert active(session) == [(1, 2, 1), (3, 4, 1)]
    assert reread(session).window_from == 5
    branches.switch(session.pk, old.pk)
    assert [one[:2] for one in active(session)] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert reread(session).window_from == 9


def test_undoing_a_merge_is_a_retile(session: ChatSession) -> None:
    compress(session, (1, 2), (3, 4))
    merged = merge(session, 1, 4)
    Summary.objects.filter(pk=merged.pk).update(state="undone")
    with transaction.atomic():
        branches.locked(session.pk)
        coverage.retile(session.pk)
    assert active(session) == [(1, 2, 1), (3, 4, 1)]


def test_a_retile_takes_the_highest_tier_first_then_the_oldest(session: ChatSession) -> None:
    compress(session, (1, 2), (3, 4), (5, 6))
    merge(session, 1, 4)
    Summary.objects.filter(session=session).update(state="resting")
    coverage.retile(session.pk)
    assert active(session) == [(1, 4, 2), (5, 6, 1)]


def test_a_draft_of_another_branch_is_never_found(session: ChatSession) -> None:
    made = draft(session, 1, 7)
    source = made.source_hash
    assert summaries.draft_of(session.pk, 1, 7, source) == made
    fork(session, 6)
    assert summaries.draft_of(session.pk, 1, 7, source) is None


def test_excluding_a_covered_turn_makes_every_summary_over_it_stale(session: ChatSession) -> None:
    compress(session, (1, 3), (4, 7))
    draft(session, 2, 5)
    assert coverage.stale_over(session.pk, 3, 3) == 2
    assert set(Summary.objects.filter(state="stale").values_list("first", flat=True)) == {1, 2}
    with transaction.atomic():
        row = branches.locked(session.pk)
        branches.settle(row, 1, row.head_id, row.turns_active)
    assert active(session) == [(4, 7, 1)]
    row = reread(session)
    assert (row.window_from, row.restored) == (8, [[1, 3]]), "they are sent again, the others stay summarised"


def test_numbers_of_tokens_follow_a_branch(session: ChatSession) -> None:
    assert coverage.range_tokens(session.pk, 3, 7) == 500
    made = fork(session, 6)
    assert coverage.range_tokens(session.pk, 3, 6) == 310
    assert reread(session).open_tokens == 510
    assert Turn.objects.get(pk=made.pk).tokens_upto == 510
    branches.switch(session.pk, Turn.objects.get(session=session, number=6, active=False).pk)
    assert reread(session).open_tokens == 1000
