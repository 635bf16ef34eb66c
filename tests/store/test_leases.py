"""Claim, beat, release, reap: one worker at a time, and an old claim changes nothing."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat.models import ChatSession, Job, Turn
from chat.store import branches, closing, integrity, leases
from chat.store.closing import Outcome
from tests.store.building import conversation, reread

LEASE = 15.0
OUTCOME = Outcome(status="complete", reply="Done.", stop_reason="end_turn", usage={
    "input": 1, "cache_read": 0, "cache_write": 0, "output": 1})  # fmt: skip


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 3)


def waiting(session: ChatSession, owner: str = "") -> Turn:
    """A turn that waits for a runner."""
    return branches.new_turn(reread(session), prompt="Hello?", client_id=uuid.uuid4(), tokens=5, owner=owner)


def expire(turn: Turn) -> None:
    Turn.objects.filter(pk=turn.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def wait(seconds: float, **jobs: Any) -> None:
    """Jobs that are tried again later."""
    Job.objects.filter(**jobs).update(run_after=timezone.now() + timedelta(seconds=seconds))


def claimed(session: ChatSession, owner: str = "a") -> leases.Claim:
    waiting(session)
    claim = leases.claim_turn(owner, LEASE)
    assert claim is not None
    return claim


def test_a_claim_takes_a_turn_once(session: ChatSession) -> None:
    turn = waiting(session)
    claim = leases.claim_turn("a", LEASE)
    assert (claim.id, claim.epoch, claim.attempt, claim.owner) == (turn.pk, 1, 1, "a")
    turn.refresh_from_db()
    assert (turn.status, turn.owner, turn.epoch, turn.attempt) == ("running", "a", 1, 1)
    assert timedelta(seconds=10) < turn.lease_until - timezone.now() < timedelta(seconds=16)
    assert leases.claim_turn("b", LEASE) is None


def test_the_oldest_turn_is_taken_first(alice: Any) -> None:
    turns = [waiting(conversation(alice, 1)) for _ in range(3)]
    Turn.objects.filter(pk=turns[1].pk).update(created_at=timezone.now() - timedelta(minutes=1))
    assert leases.claim_turn("a", LEASE).id == turns[1].pk


def test_anothers_fresh_turn_is_left_to_its_own_process_for_a_second(session: ChatSession) -> None:
    turn = waiting(session, owner="a")
    assert leases.claim_turn("b", LEASE) is None
    Turn.objects.filter(pk=turn.pk).update(created_at=timezone.now() - timedelta(seconds=2))
    assert leases.claim_turn("b", LEASE).id == turn.pk


def test_a_turn_that_was_meant_for_us_is_ours_at_once(session: ChatSession) -> None:
    waiting(session, owner="a")
    assert leases.claim_turn("a", LEASE) is not None


def test_a_beat_prolongs_and_stores_the_text_so_far(session: ChatSession) -> None:
    claim = claimed(session)
    Turn.objects.filter(pk=claim.id).update(lease_until=timezone.now())
    assert leases.beat_turn(claim, LEASE, "So far") is False
    turn = Turn.objects.get(pk=claim.id)
    assert turn.reply == "So far"
    assert turn.lease_until > timezone.now() + timedelta(seconds=10)
    assert leases.beat_turn(claim, LEASE) is False
    assert Turn.objects.get(pk=claim.id).reply == "So far"


def test_a_beat_tells_that_a_stop_was_asked_for(session: ChatSession) -> None:
    claim = claimed(session)
    Turn.objects.update(cancel_requested=True)
    assert leases.beat_turn(claim, LEASE) is True
    assert leases.cancelled([claim.id, 999]) == {claim.id}


def test_a_beat_succeeds_past_the_lease_as_long_as_nobody_took_the_turn(session: ChatSession) -> None:
    claim = claimed(session)
    expire(Turn.objects.get(pk=claim.id))
    assert leases.beat_turn(claim, LEASE, "Late") is False


def test_an_expired_turn_goes_back_once_then_fails_with_what_it_had_said(session: ChatSession) -> None:
    claim = claimed(session)
    leases.beat_turn(claim, LEASE, "Half an ans")
    expire(Turn.objects.get(pk=claim.id))
    assert leases.reap_turns() == [(claim.id, session.pk, "queued")]
    second = leases.claim_turn("b", LEASE)
    assert (second.epoch, second.attempt, second.kept) == (2, 2, "Half an ans")
    expire(Turn.objects.get(pk=claim.id))
    assert leases.reap_turns() == [(claim.id, session.pk, "failed")]
    turn = Turn.objects.get(pk=claim.id)
    assert (turn.status, turn.error, turn.reply, turn.owner) == ("failed", "owner_lost", "Half an ans", "")
    assert turn.closed_at
    assert turn.reply_tokens > 0
    assert reread(session).open_tokens == 300 + turn.tokens
    assert integrity.violations() == []


def test_a_turn_that_somebody_stopped_is_not_answered_once_more(session: ChatSession) -> None:
    claim = claimed(session)
    leases.beat_turn(claim, LEASE, "Half")
    Turn.objects.update(cancel_requested=True)
    expire(Turn.objects.get(pk=claim.id))
    assert leases.reap_turns() == [(claim.id, session.pk, "stopped")]
    turn = Turn.objects.get(pk=claim.id)
    assert (turn.status, turn.error, turn.reply) == ("stopped", "", "Half")


def test_what_a_process_that_is_gone_held_is_not_waited_for(session: ChatSession) -> None:
    claim = claimed(session, "gone")
    leases.enqueue("compact", session.pk)
    _, job = leases.claim_job("gone", ["compact"], LEASE)
    assert leases.reap_turns(lambda owner: owner == "another") == []
    assert leases.reap_jobs(lambda owner: owner == "another") == 0
    assert leases.reap_turns(lambda owner: owner == "gone") == [(claim.id, session.pk, "queued")]
    assert leases.reap_jobs(lambda owner: owner == "gone") == 1
    assert leases.claim_turn("b", LEASE).epoch == 2
    assert leases.beat_turn(claim, LEASE) is None
    assert leases.beat_job(job, LEASE) is False
    assert leases.reap_turns(lambda owner: owner == "gone") == [], "it has a new owner"


def test_a_lease_that_holds_is_not_reaped(session: ChatSession) -> None:
    claimed(session)
    assert leases.reap_turns() == []


def test_an_old_claim_changes_nothing(session: ChatSession) -> None:
    old = claimed(session, "a")
    expire(Turn.objects.get(pk=old.id))
    leases.reap_turns()
    new = leases.claim_turn("b", LEASE)
    leases.beat_turn(new, LEASE, "New text")
    before = Turn.objects.values().get(pk=old.id)
    assert leases.beat_turn(old, LEASE, "Old text") is None
    assert leases.release_turn(old, costs_attempt=False) is False
    assert closing.close_turn(old, OUTCOME) is None
    assert Turn.objects.values().get(pk=old.id) == before
    assert closing.close_turn(new, OUTCOME) is not None


def test_the_same_owner_with_an_old_epoch_is_fenced_off_too(session: ChatSession) -> None:
    old = claimed(session, "a")
    expire(Turn.objects.get(pk=old.id))
    leases.reap_turns()
    assert leases.claim_turn("a", LEASE).epoch == 2
    assert leases.beat_turn(old, LEASE) is None


def test_a_release_costs_no_attempt_when_the_process_just_ends(session: ChatSession) -> None:
    claim = claimed(session)
    assert leases.release_turn(claim, costs_attempt=False)
    turn = Turn.objects.get(pk=claim.id)
    assert (turn.status, turn.attempt, turn.owner, turn.lease_until) == ("queued", 0, "", None)
    again = leases.claim_turn("b", LEASE)
    assert leases.release_turn(again, costs_attempt=True)
    assert Turn.objects.get(pk=claim.id).attempt == 1


def test_nothing_can_be_done_to_a_finished_turn(session: ChatSession) -> None:
    claim = claimed(session)
    assert closing.close_turn(claim, OUTCOME)
    assert closing.close_turn(claim, OUTCOME) is None
    assert leases.beat_turn(claim, LEASE, "More") is None
    assert leases.release_turn(claim, costs_attempt=True) is False
    assert leases.claim_turn("b", LEASE) is None


def test_a_stop_before_any_runner_came_ends_the_turn(session: ChatSession) -> None:
    turn = waiting(session)
    assert branches.stop_queued(turn.pk)
    assert not branches.stop_queued(turn.pk)
    turn.refresh_from_db()
    assert (turn.status, turn.tokens_upto) == ("stopped", 305)
    assert integrity.violations() == []


# --- jobs ---------------------------------------------------------------------------------------------------


def test_one_job_of_a_kind_waits_for_a_session(session: ChatSession, alice: Any) -> None:
    assert leases.enqueue("compact", session.pk) is True
    assert leases.enqueue("compact", session.pk) is False
    assert leases.enqueue("compact", conversation(alice).pk) is True
    assert leases.enqueue("title", session.pk) is True
    assert Job.objects.count() == 3


def test_a_job_that_waits_is_raised_never_lowered(session: ChatSession) -> None:
    leases.enqueue("compact", session.pk, priority=5)
    leases.enqueue("compact", session.pk, priority=20)
    leases.enqueue("compact", session.pk, priority=1)
    assert Job.objects.get().priority == 20


def test_the_most_urgent_job_that_is_due_is_taken(session: ChatSession, alice: Any) -> None:
    leases.enqueue("compact", session.pk)
    urgent, later = conversation(alice), conversation(alice)
    leases.enqueue("compact", urgent.pk, priority=20)
    leases.enqueue("compact", later.pk, priority=30)
    wait(60, session=later)
    job, claim = leases.claim_job("a", ["compact"], 60)
    assert (job.session_id, claim.session_id, claim.attempt, claim.epoch) == (urgent.pk, urgent.pk, 1, 1)
    assert leases.claim_job("a", ["title"], 60) is None
    assert leases.claim_job("b", ["compact"], 60)[0].session_id == session.pk
    assert leases.claim_job("b", ["compact"], 60) is None


def test_a_job_ends_and_another_may_follow(session: ChatSession) -> None:
    leases.enqueue("compact", session.pk)
    _, claim = leases.claim_job("a", ["compact"], 60)
    assert leases.enqueue("compact", session.pk) is False
    assert leases.is_running("compact", session.pk)
    assert leases.finish_job(claim)
    assert not leases.is_open("compact", session.pk)
    assert Job.objects.get().state == "done"
    assert leases.enqueue("compact", session.pk) is True


def test_a_job_is_tried_again_a_little_later_and_at_most_three_times(session: ChatSession) -> None:
    leases.enqueue("compact", session.pk)
    for attempt in (1, 2, 3):
        _, claim = leases.claim_job("a", ["compact"], 60)
        assert claim.attempt == attempt
        assert leases.finish_job(claim, error="overloaded", retry_in_s=30)
        assert leases.claim_job("a", ["compact"], 60) is None
        Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    job = Job.objects.get()
    assert (job.state, job.error) == ("failed", "overloaded")
    assert job.finished_at


def test_a_job_whose_worker_died_goes_back_and_its_old_claim_is_dead(session: ChatSession) -> None:
    leases.enqueue("compact", session.pk)
    _, old = leases.claim_job("a", ["compact"], 60)
    assert leases.reap_jobs() == 0
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert leases.reap_jobs() == 1
    _, new = leases.claim_job("b", ["compact"], 60)
    assert leases.beat_job(old, 60) is False
    assert leases.finish_job(old) is False
    assert leases.beat_job(new, 60) is True
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1), attempts=3)
    leases.reap_jobs()
    assert Job.objects.get().state == "failed"


def test_a_session_is_taken_at_once_unless_somebody_is_at_it(session: ChatSession) -> None:
    first = leases.claim_for_session("compact", session.pk, "inline", 60)
    assert first is not None
    assert leases.claim_for_session("compact", session.pk, "other", 60) is None
    assert leases.claim_job("b", ["compact"], 60) is None
    leases.finish_job(first, error="deadline", retry_in_s=0)
    assert leases.claim_job("b", ["compact"], 60)[1].id == first.id


def test_a_job_that_waits_for_its_retry_is_taken_at_once_too(session: ChatSession) -> None:
    leases.enqueue("compact", session.pk)
    wait(600)
    assert leases.claim_job("a", ["compact"], 60) is None
    assert leases.claim_for_session("compact", session.pk, "inline", 60) is not None


@pytest.mark.django_db(transaction=True)
def test_twenty_runners_at_once_take_each_turn_once(alice: Any, at_once: Any) -> None:
    turns = {waiting(conversation(alice, 1)).pk for _ in range(8)}
    found = at_once(*[lambda name=f"r{n}": leases.claim_turn(name, LEASE) for n in range(20)])
    claims = [claim for claim in found if claim]
    assert all(claim is None or isinstance(claim, leases.Claim) for claim in found)
    assert len(claims) == len({claim.id for claim in claims})
    while claim := leases.claim_turn("rest", LEASE):
        claims.append(claim)
    assert {claim.id for claim in claims} == turns
    assert len(claims) == 8


@pytest.mark.django_db(transaction=True)
def test_two_reapers_at_once_reap_a_turn_once(session: ChatSession, at_once: Any) -> None:
    claim = claimed(session)
    expire(Turn.objects.get(pk=claim.id))
    reaped = at_once(leases.reap_turns, leases.reap_turns, leases.reap_turns)
    assert sorted(map(len, reaped)) == [0, 0, 1]


@pytest.mark.django_db(transaction=True)
def test_a_close_racing_the_reaper_ends_in_one_state(alice: Any, at_once: Any) -> None:
    for _ in range(4):
        session = conversation(alice, 1)
        claim = claimed(session)
        Turn.objects.filter(pk=claim.id).update(attempt=2)
        expire(Turn.objects.get(pk=claim.id))
        closed, reaped = at_once(lambda claim=claim: closing.close_turn(claim, OUTCOME), leases.reap_turns)
        status = Turn.objects.get(pk=claim.id).status
        assert (status == "complete") == (closed is not None)
        assert (status == "failed") == bool(reaped)
    assert integrity.violations() == []


@pytest.mark.django_db(transaction=True)
def test_a_job_is_made_once_by_many_at_once(session: ChatSession, at_once: Any) -> None:
    at_once(*[lambda: leases.enqueue("compact", session.pk) for _ in range(8)])
    assert Job.objects.count() == 1
    taken = at_once(*[lambda n=n: leases.claim_for_session("compact", session.pk, f"w{n}", 60) for n in range(6)])
    assert sum(claim is not None for claim in taken) == 1
