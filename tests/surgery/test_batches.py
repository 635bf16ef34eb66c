"""One operation on many: shown with totals, done in the background, stopped, taken back, revived after a kill."""

import asyncio
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models.functions import Now

from chat import service
from chat.models import Audit, Batch, BatchItem, ChatSession, Job, Manifest, Summary, Turn
from chat.store import branches, leases, summaries
from chat.surgery import batches, jobs, operating, registry, telling
from chat.surgery.sentences import price
from chat.surgery.values import Refused
from tests.store.building import compress, conversation, reread, turn
from tests.surgery.conftest import Start, next_request, patient

WHY = "The pager rang."


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
    shown = batches.preview(ids(ward), "compact", {}, shown=4)
    assert (shown.count, shown.refused_count, len(shown.rows)) == (4, 1, 4)
    # The rows are exact, each by itself; the totals come from statements for all, and are the same.
    assert sum(one.after_low for one in shown.rows) == shown.total_low
    assert sum(one.after_high for one in shown.rows) == shown.total_high
    running = await start()
    batch = batches.start(surgeon, ids(ward), "compact", {}, WHY)
    assert batches.progress(batch).share == 0
    await running.jobs.idle()
    batch.refresh_from_db()
    assert states(batch) == [("done", "")] * 3 + [("nothing", "nothing")]
    assert (batch.state, batches.progress(batch).share) == ("done", 1.0)
    assert all(one.seconds for one in batch.items.all())
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


def test_a_price_is_said_as_far_as_it_is_known(ward: list[ChatSession], settings: Any) -> None:
    one = operating.plan(ward[0].pk, "compact", {})
    shown = batches.preview(ids(ward), "compact", {})
    assert 0 < shown.cost_low < shown.cost_high
    assert shown.unpriced == 0
    assert f"Price: {price(shown.cost_low // 3, shown.cost_high // 3)}, by" in one.says[1]
    settings.CHAT_SUMMARY_MODEL = "nobody-knows"
    shown = batches.preview(ids(ward), "compact", {})
    assert (shown.cost_low, shown.cost_high, shown.unpriced) == (0, 0, 3)
    assert operating.plan(ward[0].pk, "compact", {}).says[1] == "Price: unknown, by nobody-knows."
    assert [price(low, high) for low, high in ((12_345, 23_456), (4, 4), (2_500_000, 2_500_400))] == [
        "~$0.012 to $0.023", "~$0.000", "~$2.50"
    ]  # fmt: skip


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


async def test_copies_are_made_of_many_and_taken_back(ward: list[ChatSession], surgeon: Any, start: Start) -> None:
    before = [next_request(one) for one in ward]
    running = await start()
    batch = batches.start(surgeon, ids(ward), "fork", {"turn": "3"}, WHY)
    await running.jobs.idle()
    assert states(batch) == [("done", "")] * 3 + [("refused", "unknown_turn")]
    copies = ChatSession.objects.filter(forked_from__in=ids(ward))
    made = list(copies.values_list("turns_active", "temporary", "deleted_at"))
    assert made == [(3, True, None)] * 3
    assert set(copies.values_list("pk", flat=True)) == {uuid.UUID(one.target["copy"]) for one in Audit.objects.all()}
    batches.undo(surgeon, batch.pk, WHY)
    await running.jobs.idle()
    assert not copies.filter(deleted_at=None).exists()
    assert [next_request(one) for one in ward] == before


async def test_open_pages_hear_what_was_done_in_the_background_and_how_a_live_turn_stands_then(
    ward: list[ChatSession], surgeon: Any, start: Start
) -> None:
    one, running = ward[0], await start()
    page = running.hub.watch(one.pk)

    async def heard() -> Any:
        async with asyncio.timeout(5):
            return await anext(aiter(page))

    batch = batches.start(surgeon, [one.pk], "trim", {"turns": "3"}, WHY)
    await running.jobs.idle()
    assert (await heard()).kind == "trimmed"
    batches.undo(surgeon, batch.pk, WHY)
    await running.jobs.idle()
    assert (await heard()).kind == "trimmed"
    waits = branches.new_turn(reread(one), prompt="?", client_id=uuid.uuid4(), tokens=5)
    assert leases.claim_turn("me", 60)
    for name, told in (("release", ("status", "queued")), ("cancel", ("done", "stopped"))):
        done = operating.apply(surgeon, one.pk, name, {}, WHY, None)
        await telling.tell(one.pk, registry.get(name), done.target, running.engine, running.hub)
        frame = await heard()
        while frame.type == "snapshot":
            frame = await heard()
        assert (frame.type, getattr(frame, "phase", "") or frame.status, frame.turn) == (*told, waits.pk)


async def test_what_takes_a_model_loses_a_race_without_a_trace_and_leaves_a_live_turn_alone(
    ward: list[ChatSession], surgeon: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, running = ward[0], await start(run_jobs=False)
    alive = branches.new_turn(reread(one), prompt="?", client_id=uuid.uuid4(), tokens=5)
    commit, write = summaries.commit, jobs.summarise

    def task(name: str, given: dict[str, Any]) -> jobs.Task:
        found = jobs._task(batches.start(surgeon, [one.pk], name, given, WHY).items.get().pk)
        assert found
        return found

    def late(session_id: uuid.UUID, drafts: Any, **how: Any) -> Any:
        """Somebody edits history between the summary and its commit."""
        Turn.objects.filter(session=session_id, number=2).update(redacted_at=Now())
        return commit(session_id, drafts, **how)

    compaction = task("compact", {})
    monkeypatch.setattr(summaries, "commit", late)
    assert await jobs._compact(compaction, running.engine, running.hub, False) == "lost"
    assert not Audit.objects.exists()
    assert not Summary.objects.filter(state="active").exists()
    monkeypatch.setattr(summaries, "commit", commit)
    assert await jobs._compact(compaction, running.engine, running.hub, False) == ""

    old = Summary.objects.filter(session=one, state="active").order_by("first").first()
    assert old
    rebuilding = task("rebuild_summary", {"summary": old.pk})
    assert await jobs._rebuild(rebuilding, running.engine, running.hub, False) == ""
    assert Turn.objects.get(pk=alive.pk).status == "queued"
    new = Summary.objects.get(session=one, state="active", first=old.first)
    assert new.replaces_id == old.pk

    async def slow(*args: Any, **how: Any) -> Any:
        """Somebody edits the summary while a model writes another."""
        made = await write(*args, **how)
        with transaction.atomic():
            branches.locked(one.pk)
            branches.stop_queued(alive.pk)
        operating.apply(surgeon, one.pk, "edit_summary", {"summary": new.pk, "text": "They talked."}, WHY, None)
        return made

    monkeypatch.setattr(jobs, "summarise", slow)
    with pytest.raises(Refused, match="no active summary"):
        await jobs._rebuild(task("rebuild_summary", {"summary": new.pk}), running.engine, running.hub, False)
    assert Summary.objects.get(session=one, state="active", first=old.first).text == "They talked."
    done = Audit.objects.order_by("id").values_list("operation", flat=True)
    assert list(done) == ["compact", "rebuild_summary", "edit_summary"]


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
    all_of = [sick, *(conversation(alice, count) for count in (0, 1, 12)), patient(alice), conversation(alice, 24)]
    compress(all_of[-1], (5, 12))  # with turns before it that none stands for
    trimmed = conversation(alice, 20)
    ChatSession.objects.filter(pk=trimmed.pk).update(window_from=15, restored=[[3, 4]])
    all_of.append(trimmed)
    branches.new_turn(reread(all_of[2]), prompt="?", client_id=uuid.uuid4(), tokens=5)
    Manifest.objects.create(
        turn=turn(sick, 30), context_version=1, model="large", window=16_000, window_from=1, ranges=[], parts=[],
        budget=[["system", 4_000, 3_900, 3_900], ["documents", 3_000, 2_900, 2_900]], estimated=1, measured=1,
    )  # fmt: skip
    for name, given in (
        ("compact", {}),
        ("trim", {"turns": "4"}),
        ("drop_documents", {}),
        ("mode", {"mode": "ask"}),
        ("archive", {}),
        ("fork", {}),
        ("fork", {"turn": "13"}),
    ):
        shown = batches.preview(ids(all_of), name, given)
        assert sum(one.before for one in shown.rows) == shown.total_before
        assert sum(one.after_low for one in shown.rows) == shown.total_low
        assert sum(one.after_high for one in shown.rows) == shown.total_high
        assert (shown.total_low == shown.total_high) == (name != "compact")
        if name != "drop_documents":
            assert sum(bool(one.refused) for one in shown.rows) == shown.refused_count
    assert BatchItem.objects.count() == 0
    with pytest.raises(Refused, match="one conversation at a time"):
        batches.preview(ids(all_of), "pin", {"turns": "1"})
