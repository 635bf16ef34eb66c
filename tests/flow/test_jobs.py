"""The loop behind background work: it knows no kind, survives every error, and loses nothing."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from chat.flow import jobs
from chat.flow.jobs import JobRunner
from chat.models import Job
from chat.providers.base import Overloaded
from chat.store import database, leases
from chat.store.database import Database
from chat.store.leases import Claim
from tests.flow.conftest import eventually
from tests.store.building import conversation


@pytest.fixture
async def runner(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., JobRunner]]:
    """Makes a runner of handlers by kind."""
    monkeypatch.setattr(jobs, "IDLE_S", 0.05)
    own = Database(2)
    made: list[JobRunner] = []

    def make(slots: int = 2, **kinds: Any) -> JobRunner:
        found = JobRunner(SimpleNamespace(database=own), "me", kinds, slots)
        made.append(found)
        return found

    yield make
    for one in made:
        await one.stop()
    own.close()


def state() -> tuple[str, str, int]:
    job = Job.objects.get()
    return job.state, job.error, job.attempts


async def test_a_job_is_run_and_done(runner: Any) -> None:
    seen: list[Claim] = []

    async def work(claim: Claim) -> str:
        seen.append(claim)
        return ""

    leases.enqueue("tidy")
    found = runner(tidy=work)
    found.start()
    await eventually(lambda: state() == ("done", "", 1))
    assert seen[0].owner == "me"


async def test_a_kind_that_nobody_does_waits(runner: Any) -> None:
    async def work(claim: Claim) -> str:
        return ""

    leases.enqueue("other")
    await runner(tidy=work).idle()
    assert state() == ("due", "", 0)


@pytest.mark.parametrize(("error", "code"), [(Overloaded(), "overloaded"), (KeyError("a user's words"), "KeyError")])
async def test_an_error_is_tried_again_later_by_its_code(runner: Any, error: Exception, code: str) -> None:
    async def work(claim: Claim) -> str:
        raise error

    leases.enqueue("tidy")
    await runner(tidy=work).idle()
    assert state() == ("due", code, 1)
    assert Job.objects.get().run_after > timezone.now()


async def test_a_code_that_is_given_back_is_tried_again_too(runner: Any) -> None:
    async def work(claim: Claim) -> str:
        return "lost"

    leases.enqueue("tidy")
    found = runner(tidy=work)
    for attempt in (1, 2, 3):
        await found.idle()
        assert Job.objects.get().attempts == attempt
        Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert state() == ("failed", "lost", 3)


async def test_no_more_than_its_slots_run_at_once(runner: Any, django_user_model: Any) -> None:
    running, most = 0, 0

    async def work(claim: Claim) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return ""

    owner = django_user_model.objects.create_user("owner")
    for _ in range(6):
        leases.enqueue("tidy", conversation(owner).pk)
    await runner(tidy=work).idle()
    assert most == 2
    assert set(Job.objects.values_list("state", flat=True)) == {"done"}


@pytest.mark.parametrize("before", [0, leases.MOST_JOB_ATTEMPTS - 1])
async def test_ending_gives_a_running_job_back_and_costs_it_no_attempt(runner: Any, before: int) -> None:
    begun = asyncio.Event()

    async def work(claim: Claim) -> str:
        begun.set()
        await asyncio.sleep(60)
        return ""

    leases.enqueue("tidy")
    Job.objects.update(attempts=before)
    found = runner(tidy=work)
    found.start()
    await asyncio.wait_for(begun.wait(), 10)
    await found.stop()
    assert state() == ("due", "", before)
    assert Job.objects.get().lease_until is None


async def test_a_job_that_is_just_being_taken_at_the_end_goes_back(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, take = threading.Event(), leases.claim_job

    def slowly(*given: Any) -> Any:
        claimed = take(*given)
        taken.set()
        time.sleep(0.1)
        return claimed

    async def work(claim: Claim) -> str:
        return ""

    monkeypatch.setattr(leases, "claim_job", slowly)
    leases.enqueue("tidy")
    found = runner(tidy=work)
    found.start()
    await asyncio.to_thread(taken.wait, 30)
    await found.stop()
    assert state() == ("due", "", 0)


async def test_a_job_that_was_lost_is_ended_and_changes_nothing(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.05)
    ended = asyncio.Event()

    async def work(claim: Claim) -> str:
        Job.objects.update(owner="another", epoch=9)
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ""

    leases.enqueue("tidy")
    found = runner(tidy=work)
    found.start()
    await asyncio.wait_for(ended.wait(), 10)
    await eventually(lambda: not found.live)
    job = Job.objects.get()
    assert (job.state, job.owner, job.epoch) == ("running", "another", 9)


async def test_a_beating_job_keeps_its_lease(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.05)
    first: list[Any] = []

    async def work(claim: Claim) -> str:
        first.append(Job.objects.get().lease_until)
        await eventually(lambda: Job.objects.get().lease_until > first[0])
        return ""

    leases.enqueue("tidy")
    await runner(tidy=work).idle()
    assert state() == ("done", "", 1)


async def test_a_beat_that_meets_no_database_is_not_the_last(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.05)
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    beats: list[bool] = []
    beat = leases.beat_job

    def away_at_first(*given: Any) -> bool:
        beats.append(not beats)
        if beats[-1]:
            raise OperationalError("the server is gone")
        return beat(*given)

    async def work(claim: Claim) -> str:
        first = Job.objects.get().lease_until
        await eventually(lambda: Job.objects.get().lease_until > first)
        return ""

    monkeypatch.setattr(leases, "beat_job", away_at_first)
    leases.enqueue("tidy")
    await asyncio.wait_for(runner(tidy=work).idle(), 10)
    assert beats[:2] == [True, False]
    assert state() == ("done", "", 1)


async def test_an_end_that_can_t_be_stored_is_left_to_the_lease(
    runner: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("the server is gone")

    async def work(claim: Claim) -> str:
        return ""

    monkeypatch.setattr(leases, "finish_job", away)
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    leases.enqueue("tidy")
    gc.collect()  # what an earlier test left is none of it
    caplog.clear()
    await runner(tidy=work).idle()
    gc.collect()
    assert state() == ("running", "", 1)
    assert "never retrieved" not in caplog.text


async def test_idle_waits_for_a_job_that_the_loop_is_just_taking(
    runner: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = conversation(alice, 1)
    done: list[int] = []
    taken, take = threading.Event(), leases.claim_job

    def slowly(*given: Any) -> Any:
        claimed = take(*given)
        if claimed:
            taken.set()
            time.sleep(0.2)
        return claimed

    async def work(claim: Claim) -> str:
        done.append(claim.id)
        return ""

    monkeypatch.setattr(leases, "claim_job", slowly)
    leases.enqueue("note", session.pk)
    loop = runner(note=work)
    loop.start()
    await asyncio.to_thread(taken.wait, 30)
    await loop.idle()
    assert len(done) == 1
