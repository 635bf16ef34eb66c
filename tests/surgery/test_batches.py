"""One operation on many: shown with totals, done in the background, stopped, taken back, revived after a kill."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

from chat import service
from chat.models import Audit, Batch, BatchItem, ChatSession, Job, Summary
from chat.service import Service
from chat.store import branches, integrity, leases
from chat.surgery import batches, jobs, operating
from chat.surgery.values import Refused
from tests.store.building import conversation, reread
from tests.surgery.conftest import next_request, patient

WHY = "The pager rang."
Start = Callable[[], Awaitable[Service]]


@pytest.fixture
async def start(transactional_db: None, settings: Any) -> AsyncIterator[Start]:
    """`await start()`: a service that does jobs, and sweeps only when it is told to."""
    settings.CHAT_SWEEP_S = 3600.0

    async def begin() -> Service:
        return await service.start(run_turns=False, run_jobs=True, sweep=False, standin_options={"first_ms": 0})

    yield begin
    await service.stop()
    assert integrity.violations() == []


@pytest.fixture
def ward(transactional_db: None, django_user_model: Any) -> list[ChatSession]:
    """Three long conversations, of forty turns each, and one that is too short for anything."""
    owner = django_user_model.objects.create_user("alice")
    long = [conversation(owner, 40, tokens=250, words="Order A-7731 goes to Lena. " * 20) for _ in range(3)]
    return [*long, conversation(owner, 2)]


def ids(sessions: list[ChatSession]) -> list[uuid.UUID]:
    return [one.pk for one in sessions]


def states(batch: Batch) -> list[tuple[str, str]]:
    return list(batch.items.order_by("id").values_list("state", "code"))


async def test_many_are_compacted_in_the_background_and_that_is_taken_back(
    ward: list[ChatSession], surgeon: Any, start: Start
) -> None:
    before = [next_request(one) for one in ward]
    shown = batches.preview(ids(ward), "compact", {}, shown=2)
    assert (shown.count, shown.refused_count, len(shown.rows)) == (4, 1, 2)
    running = await start()
    batch = batches.start(surgeon, ids(ward), "compact", {}, WHY)
    assert batches.progress(batch).share == 0
    await running.jobs.idle()
    batch.refresh_from_db()
    assert states(batch) == [("done", "")] * 3 + [("nothing", "nothing")]
    assert (batch.state, batches.progress(batch).share) == ("done", 1.0)
    assert [next_request(one) == was for one, was in zip(ward, before, strict=True)] == [False] * 3 + [True]
    # What the preview had said is about what it came to: the totals lie within its bounds.
    assert sum(one.tokens_before or 300 for one in batch.items.all()) == shown.total_before + 100
    after = sum(one.tokens_after or 200 for one in batch.items.all())
    assert shown.total_low <= after <= shown.total_high
    assert set(Audit.objects.values_list("operation", "batch", "actor")) == {("compact", batch.pk, surgeon.pk)}
    back = batches.undo(surgeon, batch.pk, WHY)
    await running.jobs.idle()
    assert states(back) == [("done", "")] * 3
    assert [next_request(one) for one in ward] == before
    assert not Summary.objects.filter(state="active").exists()
    with pytest.raises(Refused, match="nothing of it left"):
        batches.undo(surgeon, batch.pk, WHY)


async def test_a_summary_is_made_anew_from_its_turns_and_that_is_taken_back(
    ward: list[ChatSession], surgeon: Any, start: Start
) -> None:
    one = ward[0]
    running = await start()
    batches.start(surgeon, [one.pk], "compact", {}, WHY)
    await running.jobs.idle()
    before, old = next_request(one), Summary.objects.filter(session=one, state="active").order_by("first").first()
    assert old
    Summary.objects.filter(pk=old.pk).update(text="Nothing happened.")
    worse = next_request(one)
    batch = batches.start(surgeon, [one.pk], "rebuild_summary", {"summary": old.pk}, WHY)
    await running.jobs.idle()
    assert states(batch) == [("done", "")]
    new = Summary.objects.get(session=one, state="active", first=old.first)
    assert (new.version, new.replaces_id, next_request(one)) == (old.version + 1, old.pk, before)
    operating.undo(surgeon, Audit.objects.latest("id").pk, WHY)
    assert next_request(one) == worse


async def test_who_is_demoted_or_stops_a_batch_ends_what_is_not_done_yet(
    ward: list[ChatSession], surgeon: Any, start: Start, django_user_model: Any
) -> None:
    batch = batches.start(surgeon, ids(ward), "trim", {"turns": "3"}, WHY)
    first = batch.items.order_by("id").first()
    assert first
    jobs._do(jobs._task(first.pk))
    assert batches.cancel(surgeon, batch.pk) == 3
    running = await start()
    await running.jobs.idle()
    assert [state for state, _ in states(batch)] == ["done", "cancelled", "cancelled", "cancelled"]
    assert [reread(one).window_from for one in ward] == [38, 1, 1, 1]
    assert Batch.objects.get(pk=batch.pk).state == "cancelled"
    again = batches.start(surgeon, ids(ward), "trim", {"turns": "3"}, WHY)
    surgeon.groups.remove(Group.objects.get(name="surgeon"))
    await running.jobs.idle()
    assert states(again) == [("refused", "not_allowed")] * 4


async def test_what_a_killed_worker_left_is_done_once_and_nothing_is_missed(
    ward: list[ChatSession], surgeon: Any, start: Start
) -> None:
    batch = batches.start(surgeon, ids(ward), "compact", {}, WHY)
    # One was killed between its commit and its end, one before it did anything; the third's job got lost.
    taken = leases.claim_job("gone", ["compact"], 60)
    assert taken
    assert leases.claim_job("gone", ["compact"], 60)
    Job.objects.open().filter(state="due").first().delete()
    running = await start()
    task = jobs._task(taken[0].args["item"])
    assert task
    await jobs._compact(task, running.engine, running.hub, False)
    once = Summary.objects.filter(session=task.session, state="active").count()
    await running.jobs.idle()
    Job.objects.filter(state="running").update(lease_until="2026-01-01T00:00Z")
    await service.sweep_once(running)
    await running.jobs.idle()
    assert states(batch) == [("done", "")] * 3 + [("nothing", "nothing")]
    assert sorted(Audit.objects.values_list("session", flat=True)) == sorted(ids(ward[:3]))
    assert Summary.objects.filter(state="active").count() == 3 * once
    assert Batch.objects.get(pk=batch.pk).state == "done"


def test_totals_of_many_are_those_of_each(alice: Any, surgeon: Any) -> None:
    sick = patient(alice)
    all_of = [sick, *(conversation(alice, count) for count in (0, 1, 12)), patient(alice)]
    branches.new_turn(reread(all_of[2]), prompt="?", client_id=uuid.uuid4(), tokens=5)
    for name, given in (("trim", {"turns": "4"}), ("drop_documents", {}), ("mode", {"mode": "ask"}), ("archive", {})):
        shown = batches.preview(ids(all_of), name, given)
        assert sum(one.before for one in shown.rows) == shown.total_before
        assert sum(one.after_low for one in shown.rows) == shown.total_low == shown.total_high
        if name != "drop_documents":
            assert sum(bool(one.refused) for one in shown.rows) == shown.refused_count
    assert BatchItem.objects.count() == 0
    with pytest.raises(Refused, match="one conversation at a time"):
        batches.preview(ids(all_of), "pin", {"turns": "1"})
