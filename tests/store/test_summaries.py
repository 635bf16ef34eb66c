"""Summaries: drafts that are never paid for twice, commits that win or lose whole, and races on real transactions."""

import uuid
from typing import Any

import pytest
from django.db import transaction

from chat.flow import opening
from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import branches, closing, coverage, integrity, leases, summaries
from chat.store.closing import Outcome
from chat.store.summaries import Made
from tests.store.building import USAGE, active, compress, conversation, draft, fork, merge, reread, turn

DONE = Outcome(status="complete", reply="Done.", stop_reason="end_turn", usage=USAGE, reply_tokens=40)


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 20)


def begin(session: ChatSession) -> leases.Claim:
    """A turn that runs."""
    branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
    claim = leases.claim_turn("me", 15)
    assert claim is not None
    return claim


def edit(session: ChatSession, number: int) -> Turn:
    """An edit as it is opened: a queued sibling."""
    with transaction.atomic():
        row = branches.locked(session.pk)
        of = Turn.objects.select_related("parent").get(session=row, number=number, active=True)
        return branches.sibling(row, of, prompt="Edited.", client_id=uuid.uuid4(), tokens=5)


def test_a_commit_makes_drafts_what_the_model_sees(session: ChatSession) -> None:
    first, second = draft(session, 1, 6), draft(session, 7, 10)
    done = summaries.commit(session.pk, [first.pk, second.pk], window_from=11)
    assert (done.first, done.last, done.tokens_before, done.tokens_after, done.summaries) == (1, 10, 1000, 80, 2)
    row = reread(session)
    assert (row.context_version, row.prefix_version, row.window_from, row.compactions) == (1, 1, 11, 1)
    assert row.open_tokens == 1000
    assert active(session) == [(1, 6, 1), (7, 10, 1)]
    notice = Notice.objects.get()
    assert (notice.kind, notice.first, notice.last, notice.tokens_before, notice.tokens_after, notice.model) == (
        "compressed", 1, 10, 1000, 80, "small")  # fmt: skip
    assert Summary.objects.filter(committed_at=None).count() == 0
    assert integrity.violations() == []


def test_a_draft_is_found_again_for_exactly_its_input(session: ChatSession) -> None:
    made = draft(session, 1, 6)
    assert summaries.draft_of(session.pk, 1, 6, made.source_hash) == made
    assert summaries.draft_of(session.pk, 1, 7, made.source_hash) is None
    Turn.objects.filter(session=session, number=3).update(excluded_by="user")
    assert summaries.draft_of(session.pk, 1, 6, coverage.source_hash(session.pk, 1, 6)) is None


def test_a_new_prompt_version_is_a_new_input(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    made = draft(session, 1, 6)
    monkeypatch.setattr(summaries, "PROMPT_VERSION", "next")
    assert summaries.draft_of(session.pk, 1, 6, made.source_hash) is None


def test_a_range_that_changed_is_not_saved(session: ChatSession) -> None:
    old = coverage.source_hash(session.pk, 1, 6)
    Turn.objects.filter(session=session, number=3).update(excluded_by="user")
    made = Made(text="x", tokens=1, model="m", made_by="model", gate={})
    assert summaries.save(session.pk, 1, 6, old, tier=1, source_tokens=9, made=made) is None


def test_refused_attempts_are_counted_without_their_words(session: ChatSession) -> None:
    source = coverage.source_hash(session.pk, 1, 6)
    for _ in range(2):
        summaries.save(
            session.pk, 1, 6, source, tier=1, source_tokens=9, state="rejected", reason="blank",
            made=Made(text="secret words", tokens=1, model="m", made_by="model", gate={"codes": ["blank"]}),
        )  # fmt: skip
    assert summaries.rejected(session.pk, 1, 6, source) == 2
    assert set(Summary.objects.values_list("text", "reason", "version")) == {("", "blank", 1), ("", "blank", 2)}


@pytest.mark.parametrize("change", ["digest", "excluded_by"])
def test_a_source_that_changed_loses_the_commit(session: ChatSession, change: str) -> None:
    made = draft(session, 1, 6)
    Turn.objects.filter(session=session, number=4).update(**{change: "user"})
    before = ChatSession.objects.values().get(pk=session.pk)
    assert summaries.commit(session.pk, [made.pk], window_from=7) is None
    assert ChatSession.objects.values().get(pk=session.pk) == before
    assert not Notice.objects.exists()


def test_a_draft_commits_once(session: ChatSession) -> None:
    made = draft(session, 1, 6)
    assert summaries.commit(session.pk, [made.pk], window_from=7)
    assert summaries.commit(session.pk, [made.pk], window_from=7) is None
    assert reread(session).compactions == 1


def test_an_overlap_loses_the_commit_whole(session: ChatSession) -> None:
    compress(session, (4, 8))
    first, second = draft(session, 1, 3), draft(session, 6, 12)
    before = ChatSession.objects.values().get(pk=session.pk)
    assert summaries.commit(session.pk, [first.pk, second.pk], window_from=13) is None
    assert ChatSession.objects.values().get(pk=session.pk) == before
    assert active(session) == [(4, 8, 1)]
    assert set(Summary.objects.filter(pk__in=[first.pk, second.pk]).values_list("state", flat=True)) == {"draft"}


def test_a_live_turn_is_never_covered(session: ChatSession) -> None:
    begin(session)
    live = turn(session, 21)
    row = Summary.objects.create(
        session=session, first=18, last=21, until=live, source_hash=coverage.source_hash(session.pk, 18, 21),
        input_hash="", state="draft",
    )  # fmt: skip
    assert summaries.commit(session.pk, [row.pk], window_from=22) is None


def test_everything_that_has_finished_may_be_covered(session: ChatSession) -> None:
    compress(session, (1, 20))
    assert reread(session).window_from == 21
    assert reread(session).open_tokens == 0
    assert integrity.violations() == []


@pytest.mark.parametrize(("finished", "start"), [(False, 12), (True, 13)])
def test_the_window_never_starts_behind_a_path_that_an_edit_made_shorter(
    session: ChatSession, finished: bool, start: int
) -> None:
    made = draft(session, 1, 10)
    if finished:
        fork(session, 12)
    else:
        edit(session, 12)
    # The plan had seen excluded turns up to 15.
    assert summaries.commit(session.pk, [made.pk], window_from=16)
    assert reread(session).window_from == start
    assert integrity.violations() == []


def test_another_sessions_draft_is_not_committed(session: ChatSession, bob: Any) -> None:
    other = conversation(bob, 9)
    made = draft(other, 1, 6)
    assert summaries.commit(session.pk, [made.pk], window_from=7) is None
    assert active(other) == []


def test_a_merge_leaves_window_and_notices_alone(session: ChatSession) -> None:
    compress(session, (1, 3), (4, 6))
    made = merge(session, 1, 6)
    row = reread(session)
    assert (row.window_from, row.context_version, row.compactions) == (7, 2, 2)
    assert active(session) == [(1, 6, 2)]
    assert set(Summary.objects.filter(state="resting").values_list("merged_into", flat=True)) == {made.pk}
    assert Notice.objects.filter(ended_at=None).count() == 1
    assert integrity.violations() == []


def test_a_merge_over_half_of_a_summary_is_lost(session: ChatSession) -> None:
    compress(session, (1, 3), (4, 6))
    made = draft(session, 1, 5, tier=2)
    assert summaries.commit(session.pk, [made.pk], window_from=7, merge=True) is None
    assert active(session) == [(1, 3, 1), (4, 6, 1)]


# --- races --------------------------------------------------------------------------------------------------

REAL = pytest.mark.django_db(transaction=True)


@REAL
def test_of_two_compactors_with_one_draft_each_one_commits_and_the_other_loses(alice: Any, at_once: Any) -> None:
    for _ in range(3):
        session = conversation(alice, 20)
        ours, theirs = draft(session, 1, 10), draft(session, 1, 10)
        done = at_once(
            lambda s=session, d=ours: summaries.commit(s.pk, [d.pk], window_from=11),
            lambda s=session, d=theirs: summaries.commit(s.pk, [d.pk], window_from=11),
        )
        assert sorted(one is None for one in done) == [False, True]
        assert reread(session).context_version == 1
        assert active(session) == [(1, 10, 1)]
    assert integrity.violations() == []


@REAL
def test_of_two_compactors_that_overlap_one_commits(alice: Any, at_once: Any) -> None:
    session = conversation(alice, 20)
    ours, theirs = draft(session, 1, 10), draft(session, 5, 15)
    done = at_once(
        lambda: summaries.commit(session.pk, [ours.pk], window_from=11),
        lambda: summaries.commit(session.pk, [theirs.pk], window_from=16),
    )
    assert sum(isinstance(one, summaries.Committed) for one in done) == 1
    assert sum(one is None for one in done) == 1
    assert len(active(session)) == 1
    assert integrity.violations() == []


@REAL
def test_two_compactors_of_one_chunk_save_two_versions(alice: Any, at_once: Any) -> None:
    session = conversation(alice, 20)
    done = at_once(*[lambda: draft(session, 1, 10) for _ in range(4)])
    assert sorted(one.version for one in done) == [1, 2, 3, 4]


@REAL
def test_a_compaction_races_the_end_of_a_turn(alice: Any, at_once: Any) -> None:
    for _ in range(3):
        session = conversation(alice, 20)
        claim, made = begin(session), draft(session, 1, 12)
        committed, closed = at_once(
            lambda s=session, d=made: summaries.commit(s.pk, [d.pk], window_from=13),
            lambda c=claim: closing.close_turn(c, DONE),
        )
        assert isinstance(committed, summaries.Committed)
        assert isinstance(closed, closing.Closed)
        assert reread(session).open_tokens == 8 * 100 + 45
    assert integrity.violations() == []


@REAL
@pytest.mark.parametrize("number", [5, 12, 13, 20])
def test_a_compaction_races_an_edit_and_a_second_compactor(alice: Any, at_once: Any, number: int) -> None:
    session = conversation(alice, 20)
    ours, theirs = draft(session, 1, 12), draft(session, 1, 12)
    mine, other, edited = at_once(
        lambda: summaries.commit(session.pk, [ours.pk], window_from=13),
        lambda: summaries.commit(session.pk, [theirs.pk], window_from=13),
        lambda: edit(session, number),
    )
    assert isinstance(edited, Turn)
    won = [one for one in (mine, other) if isinstance(one, summaries.Committed)]
    assert all(one is None or isinstance(one, summaries.Committed) for one in (mine, other))
    assert len(won) == 1 or number <= 12
    # An edit in the range takes the summary away, whoever came first; one behind it leaves it.
    assert active(session) == ([(1, 12, 1)] if number > 12 else [])
    assert reread(session).window_from <= number
    assert integrity.violations() == []


@REAL
def test_a_compaction_races_a_switch(alice: Any, at_once: Any) -> None:
    session = conversation(alice, 20)
    old = turn(session, 8)
    fork(session, 8)
    made = draft(session, 1, 8)
    results = at_once(
        lambda: summaries.commit(session.pk, [made.pk], window_from=9),
        lambda: branches.switch(session.pk, old.pk),
    )
    assert not any(isinstance(one, Exception) for one in results)
    assert active(session) == []
    assert integrity.violations() == []


@REAL
def test_a_compaction_races_a_merge(alice: Any, at_once: Any) -> None:
    session = conversation(alice, 20)
    compress(session, (1, 4), (5, 8))
    merged, more = draft(session, 1, 8, tier=2), draft(session, 9, 14)
    done = at_once(
        lambda: summaries.commit(session.pk, [merged.pk], window_from=0, merge=True),
        lambda: summaries.commit(session.pk, [more.pk], window_from=15),
    )
    assert all(isinstance(one, summaries.Committed) for one in done)
    assert active(session) == [(1, 8, 2), (9, 14, 1)]
    assert reread(session).window_from == 15
    assert reread(session).compactions == 3
    assert integrity.violations() == []


@REAL
def test_many_edits_at_once_open_one_sibling(alice: Any, at_once: Any) -> None:
    session = conversation(alice, 10)
    compress(session, (1, 6))
    of = turn(session, 4).pk
    done = at_once(
        *[
            lambda: opening.open_turn(
                owner_id=alice.pk, session_id=session.pk, client_id=uuid.uuid4(), text="Edited.", op="edit", of=of
            )
            for _ in range(6)
        ]
    )
    assert sum(isinstance(one, opening.Opened) for one in done) == 1
    # Who came later finds the turn busy, or the edited one gone from the path.
    assert {one.code for one in done if isinstance(one, opening.Rejected)} <= {"busy", "not_found"}
    assert Turn.objects.filter(session=session).count() == 11
    assert integrity.violations() == []
