"""Who was told what: notices heal, and say neither too much nor too little."""

from typing import Any

import pytest
from django.utils import timezone

from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import coverage, summaries
from tests.store.building import compress, conversation, draft, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 20)


def trim(session: ChatSession, first: int, last: int) -> None:
    """A trim as a closed turn leaves it."""
    ChatSession.objects.filter(pk=session.pk).update(window_from=last + 1)
    coverage.say(session, Notice.Kind.TRIMMED, first, last)


def standing(session: ChatSession) -> list[tuple[str, int, int]]:
    rows = Notice.objects.filter(session=session, ended_at__isnull=True)
    return list(rows.order_by("first").values_list("kind", "first", "last"))


def test_the_same_notice_is_said_once(session: ChatSession) -> None:
    assert coverage.say(session, Notice.Kind.TRIMMED, 1, 4)
    assert coverage.say(session, Notice.Kind.TRIMMED, 1, 4) is None
    assert Notice.objects.count() == 1


def test_a_notice_stands_at_the_turn_it_ends_on(session: ChatSession) -> None:
    made = coverage.say(session, Notice.Kind.TRIMMED, 1, 4)
    assert made.until == turn(session, 4)
    assert coverage.say(session, Notice.Kind.TRIMMED, 1, 40) is None


def test_a_compression_heals_the_trim_that_it_covers(session: ChatSession) -> None:
    trim(session, 1, 6)
    compress(session, (1, 4), (5, 6))
    assert standing(session) == [("compressed", 1, 6)]


def test_what_a_compression_leaves_uncovered_is_still_called_trimmed(session: ChatSession) -> None:
    trim(session, 1, 8)
    made = draft(session, 3, 5)
    assert summaries.commit(session.pk, [made.pk], window_from=9)
    assert standing(session) == [("trimmed", 1, 2), ("compressed", 3, 5), ("trimmed", 6, 8)]
    assert coverage.missing_notices(session.pk) == []


def test_turns_that_are_sent_again_need_no_notice(session: ChatSession) -> None:
    trim(session, 1, 8)
    ChatSession.objects.filter(pk=session.pk).update(window_from=4)
    coverage.tell(session.pk)
    assert standing(session) == [("trimmed", 1, 3)]


def test_excluded_and_pinned_turns_need_no_notice(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(window_from=7)
    Turn.objects.filter(session=session, number=2).update(excluded_by="user")
    Turn.objects.filter(session=session, number=5).update(pinned_since=0)
    assert coverage.missing_notices(session.pk) == [("trimmed", 1, 1), ("trimmed", 3, 4), ("trimmed", 6, 6)]


def test_what_is_missing_is_told_with_its_tokens(session: ChatSession) -> None:
    compress(session, (1, 4), (5, 6))
    Notice.objects.all().delete()
    ChatSession.objects.filter(pk=session.pk).update(window_from=10)
    assert coverage.tell(session.pk) == [("compressed", 1, 6), ("trimmed", 7, 9)], "one line for neighbours"
    first, trimmed = Notice.objects.get(first=1), Notice.objects.get(first=7)
    assert (first.tokens_before, first.tokens_after, first.summary.last) == (600, 80, 6)
    assert (trimmed.tokens_before, trimmed.tokens_after, trimmed.summary) == (300, 0, None)
    assert coverage.tell(session.pk) == []


def test_a_compression_that_lost_its_summary_does_not_pass_for_one(session: ChatSession) -> None:
    compress(session, (1, 6))
    Summary.objects.update(state="stale")
    assert coverage.missing_notices(session.pk) == [("trimmed", 1, 6)]


def test_a_notice_that_grew_ends_the_smaller_one(session: ChatSession) -> None:
    trim(session, 1, 4)
    coverage.say(session, Notice.Kind.TRIMMED, 1, 6)
    coverage.say(session, Notice.Kind.CLAMPED, 2, 3)
    assert coverage.end_smaller(session.pk, Notice.Kind.TRIMMED, 1, 6) == 1
    assert standing(session) == [("trimmed", 1, 6), ("clamped", 2, 3)]


def test_a_range_costs_one_subtraction(session: ChatSession, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert coverage.range_tokens(session.pk, 4, 9) == 600


def test_open_tokens_cost_three_queries_for_any_number_of_summaries(alice: Any, django_assert_num_queries: Any) -> None:
    session = conversation(alice, 60)
    compress(session, *[(first, first + 1) for first in range(1, 50, 2)])
    with django_assert_num_queries(3):
        assert coverage.open_tokens(session.pk) == 1_000
    assert reread(session).open_tokens == 1_000


def test_a_hash_knows_words_exclusions_and_redactions(session: ChatSession) -> None:
    before = coverage.source_hash(session.pk, 2, 6)
    rows = Turn.objects.filter(session=session, number=4)
    seen = {before}
    for change, back in (
        ({"digest": "x"}, {"digest": rows.get().digest}),
        ({"excluded_by": "user"}, {"excluded_by": ""}),
        ({"redacted_at": timezone.now()}, {"redacted_at": None}),
        ({"active": False}, {"active": True}),
    ):
        rows.update(**change)
        seen.add(coverage.source_hash(session.pk, 2, 6))
        rows.update(**back)
    assert len(seen) == 5
    assert coverage.source_hash(session.pk, 2, 6) == before
    assert coverage.source_hash(session.pk, 2, 5) != before


def test_a_digest_tells_prompt_steps_and_reply_apart() -> None:
    same = {
        coverage.turn_digest("ab", "c", []),
        coverage.turn_digest("a", "bc", []),
        coverage.turn_digest("a", "c", ["b"]),
        coverage.turn_digest("", "abc", []),
        coverage.turn_digest("ab\ud800", "c", []),
    }
    assert len(same) == 5
