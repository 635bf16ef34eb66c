"""Compaction through the whole stack: real HTTP to the stand-in, the runner, the jobs, the rows."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat import service
from chat.flow import compactor, inline, summariser
from chat.models import ChatSession, Job, Manifest, Notice, Summary, Turn
from chat.models import words as index
from chat.providers.standin.summaries import Mode
from chat.store import leases
from chat.stream import protocol
from monitoring.models import ContextEvent, ModelCall
from tests.flow.conftest import Chat, Start, eventually
from tests.store.building import extend

WINDOW = 8_000
TOPICS = ("the harvest", "a bridge", "the choir", "an old engine", "the garden", "a ferry", "the archive", "a lamp")


def words(number: int, length: int = 60) -> str:
    """A message of about `length` * 6 words that no other message repeats."""
    topic = TOPICS[number % len(TOPICS)]
    return f"Please write down note {number} about {topic}. " + f"We talked about {topic} for a while. " * length


async def fill(chat: Chat, turns: int, *, start: int = 1, length: int = 60) -> list[Turn]:
    """Turns of a conversation; background work is not waited for."""
    return [await chat.say(words(number, length)) for number in range(start, start + turns)]


def summary_calls(chat: Chat) -> list[Any]:
    """The stand-in's records of the summariser's requests."""
    return [one for one in chat.standin.log if one.purpose == "summary"]


async def test_at_the_soft_mark_older_turns_are_compressed_in_the_background(start: Start) -> None:
    chat = await start(window=WINDOW)
    for number in range(1, 10):
        (turn,) = await fill(chat, 1, start=number)
        assert turn.status == "complete"
        await chat.settled()
    # Nobody waited for it: no turn reached the hard mark.
    assert not [one for one in chat.frames if isinstance(one, protocol.Status) and one.phase == "compacting"]
    assert set(Job.objects.values_list("kind", "state", "owner")) == {("compact", "done", chat.service.owner)}
    summary = Summary.objects.filter(state="active").order_by("first").first()
    assert (summary.first, summary.tier, summary.made_by) == (1, 1, "model")
    assert summary.text.startswith("Previously in this conversation:")
    assert 0 < summary.tokens < summary.source_tokens
    row = chat.row
    assert row.compactions >= 1
    assert row.window_from > 1
    notice = Notice.objects.filter(kind="compressed", ended_at=None).first()
    assert (notice.first, notice.tokens_before > notice.tokens_after > 0) == (1, True)
    assert any(isinstance(frame, protocol.Notice) and frame.kind == "compressed" for frame in chat.frames)
    assert not Notice.objects.filter(kind="trimmed").exists()


async def test_the_turn_after_a_compaction_sends_less_and_says_so(start: Start) -> None:
    chat = await start(window=WINDOW)
    turns = await fill(chat, 4)
    while not chat.row.compactions:
        turns += await fill(chat, 1, start=len(turns) + 1)
        await chat.settled()
    before, row = turns[-1].manifest, chat.row
    after = (await chat.say("And now?")).manifest
    assert after.measured < before.measured
    assert after.context_version == row.context_version
    assert after.ranges[0][:3] == [1, Summary.objects.get(state="active", first=1).last, "summarised"]
    assert after.ranges[-1][2] == "verbatim"


async def test_what_monitoring_holds_is_the_standins_own_log(start: Start) -> None:
    chat = await start(window=WINDOW)
    await fill(chat, 10)
    await chat.settled()

    seen = sorted(
        (one.purpose, one.usage["input_tokens"], one.usage["cache_read_input_tokens"],
         one.usage["cache_creation_input_tokens"], one.usage["output_tokens"], one.stop_reason)
        for one in chat.standin.log if one.endpoint == "messages" and one.status == 200
    )  # fmt: skip
    told = sorted(ModelCall.objects.values_list(
        "purpose", "input", "cache_read", "cache_write", "output", "stop_reason"))  # fmt: skip
    assert told == seen
    for turn in Turn.objects.filter(session=chat.session):
        assert turn.manifest.measured == sum(turn.usage[name] for name in ("input", "cache_read", "cache_write"))
        assert turn.manifest.measured + 512 <= WINDOW
    event = ContextEvent.objects.filter(kind="compaction").first()
    assert (event.session, event.outcome, event.code) == (chat.session.pk, "ok", "summary")
    assert event.tokens_before > event.tokens_after > 0


async def test_the_user_never_waits_for_a_background_compaction(start: Start) -> None:
    chat = await start(window=WINDOW)
    chat.standin.summary_mode = "slow"
    chat.standin.summary_delay = 2.0
    turns: list[Turn] = []
    while not summary_calls(chat):
        turns += await fill(chat, 1, start=len(turns) + 1)
        await asyncio.sleep(0.1)
    # It is at work; a turn goes through meanwhile, with the old context.
    turn = await chat.say("Quick question.")
    assert not Summary.objects.filter(state="active").exists()
    assert turn.manifest.ranges[0][2] == "verbatim"
    await chat.settled()
    assert Summary.objects.filter(state="active").exists()


async def test_at_the_hard_mark_the_turn_compacts_first_and_says_so(start: Start, settings: Any) -> None:
    chat = await start(window=WINDOW, jobs=False)
    extend(chat.session, 10, tokens=600, words="Plain words about the weather in the north. " * 30)
    turn = await chat.say("What now?")
    assert turn.status == "complete"
    assert turn.manifest.ranges[0][2] == "summarised"
    phases = [frame.phase for frame in chat.frames if isinstance(frame, protocol.Status)]
    assert "compacting" in phases
    assert chat.row.compactions == 1
    assert not Notice.objects.filter(kind="trimmed", ended_at=None).exists()
    assert Job.objects.get().state == "done"


async def test_past_the_deadline_the_turn_is_answered_with_what_fits(start: Start, settings: Any) -> None:
    settings.CHAT_INLINE_DEADLINE_S = 0.3
    chat = await start(window=WINDOW, jobs=False)
    chat.standin.summary_mode = "slow"
    extend(chat.session, 12, tokens=700, words="Plain words about the weather in the north. " * 35)
    turn = await chat.say("What now?")
    assert turn.status == "complete"
    assert turn.manifest.ranges[0][2] == "omitted"
    assert Notice.objects.get(ended_at=None).kind == "trimmed"
    job = Job.objects.get()
    assert (job.state, job.error) == ("due", "deadline")
    # Later it is compacted after all, and the notice with it.
    chat.standin.summary_mode = "lossy"
    claim = leases.claim_for_session(compactor.KIND, chat.session.pk, "later", 60)
    outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, last_try=True)
    leases.finish_job(claim)
    assert outcome.code == "committed"
    standing = set(Notice.objects.filter(ended_at=None).values_list("kind", flat=True))
    assert standing == {"compressed"}


async def test_stop_acts_while_a_turn_compacts(start: Start) -> None:
    chat = await start(window=WINDOW, jobs=False)
    chat.standin.summary_mode = "slow"
    extend(chat.session, 12, tokens=700, words="Plain words about the weather in the north. " * 35)
    opened = await chat.open("What now?")
    await chat.until(lambda: [f for f in chat.frames if isinstance(f, protocol.Status) and f.phase == "compacting"])
    await chat.service.stop_turn(owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)
    turn = await chat.ended(opened.turn_id)
    assert (turn.status, turn.reply) == ("stopped", "")
    assert not Job.objects.filter(state="running").exists()


async def test_a_stop_while_the_job_is_being_taken_gives_it_back(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await start(window=WINDOW, jobs=False)
    extend(chat.session, 12, tokens=700, words="Plain words about the weather in the north. " * 35)
    taken, take = threading.Event(), leases.claim_for_session

    def slowly(*given: Any) -> Any:
        claim = take(*given)
        taken.set()
        time.sleep(0.2)
        return claim

    monkeypatch.setattr(leases, "claim_for_session", slowly)
    compacting = asyncio.create_task(inline.compact_inline(chat.session.pk, chat.service.engine, chat.service.hub))
    await asyncio.to_thread(taken.wait, 30)
    compacting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await compacting
    assert Job.objects.get(session=chat.session).state == "due"


async def test_anothers_compaction_is_waited_for_by_the_clock_however_slowly_its_row_is_read(
    start: Start, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    looks: list[int] = []

    def slowly(*_: Any) -> bool:
        looks.append(1)
        time.sleep(0.15)
        return True

    chat = await start(window=WINDOW, jobs=False)
    leases.claim_for_session("compact", chat.session.pk, "another", 60)
    monkeypatch.setattr(leases, "is_running", slowly)
    settings.CHAT_INLINE_DEADLINE_S = 5 * inline.POLL_S
    assert not await inline.compact_inline(chat.session.pk, chat.service.engine, chat.service.hub)
    assert 1 <= len(looks) < 5
    Job.objects.all().delete()


async def test_an_inline_compaction_that_breaks_does_not_break_the_turn(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("words of a user")

    chat = await start(window=WINDOW, jobs=False)
    extend(chat.session, 12, tokens=700, words="Plain words about the weather in the north. " * 35)
    monkeypatch.setattr(compactor, "compact", broken)
    turn = await chat.say("What now?")
    assert (turn.status, turn.manifest.ranges[0][2]) == ("complete", "omitted")


@pytest.mark.parametrize("mode", ["error", "garbage", "blank", "huge", "cut"])
async def test_a_summariser_that_always_fails_costs_no_turn(
    start: Start, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    async def nap(_: float) -> None:
        await asyncio.sleep(0)

    chat = await start(window=WINDOW, jobs=False)
    monkeypatch.setattr(chat.service.engine.background, "_sleep", nap)
    chat.standin.summary_mode = mode
    extend(chat.session, 12, tokens=700, words="Plain words about the weather in the north. " * 35)
    turn = await chat.say("Where were we?")
    assert turn.status == "complete"
    # Nothing was consumed in silence: an extract that says so, or a trim with its notice.
    for summary in Summary.objects.filter(state="active"):
        assert summary.made_by == "extract"
        assert "[extract made by code, without a model]" in summary.text
    assert Notice.objects.filter(ended_at=None).exists()
    assert (await chat.say("And now?")).status == "complete"
    if mode != "error":
        rejected = ContextEvent.objects.filter(kind="gate_rejected")
        assert rejected.exists()
        assert Summary.objects.filter(state="rejected", text="").count() == rejected.count()


async def test_a_refused_input_is_not_asked_about_for_ever(start: Start) -> None:
    chat = await start(window=WINDOW, jobs=False)
    chat.standin.summary_mode = "blank"
    extend(chat.session, 8, tokens=700, words="Plain words about the weather in the north. " * 35)
    for _ in range(3):
        await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, last_try=True)
    ranges = {}
    for one in summary_calls(chat):
        ranges[one.request_sha256] = ranges.get(one.request_sha256, 0) + 1
    # Twice the summary model, once the chat's own: never the same request a third time.
    assert max(ranges.values()) <= 2
    assert Summary.objects.filter(state="active", made_by="extract").exists()


async def test_an_input_that_not_even_code_can_summarise_is_asked_about_three_times_in_all(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await start(window=WINDOW, jobs=False)
    chat.standin.summary_mode = "garbage"
    monkeypatch.setattr(summariser, "extractive_summary", lambda **_: "")
    extend(chat.session, 8, tokens=700, words="Plain words about the weather in the north. " * 35)
    for code in ("refused", "resting", "refused"):
        outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, last_try=True)
        assert outcome.code == code
        if code == "resting":
            chat.service.engine.refusals.forget(chat.session.pk)
    # Twice the summary model, once the chat's own; afterwards code alone tries.
    assert len(summary_calls(chat)) == 3
    # Nothing was consumed: the turns stay as they are.
    assert not Summary.objects.exclude(state="rejected").exists()
    assert (chat.row.window_from, chat.row.context_version) == (1, 0)
    assert (await chat.say("Where were we?")).status == "complete"


async def test_nothing_to_do_is_done_without_a_call(start: Start) -> None:
    chat = await start(window=WINDOW, jobs=False)
    extend(chat.session, 3)
    outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub)
    assert (outcome.code, outcome.committed) == ("nothing", ())
    assert summary_calls(chat) == []


async def test_a_session_that_says_never_is_not_compacted(start: Start) -> None:
    chat = await start(window=WINDOW, mode="never")
    await fill(chat, 8)
    await chat.settled()
    assert not Summary.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("kill_at", [1, 2])
async def test_a_killed_compaction_pays_for_no_chunk_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    chat = await start(window=WINDOW, jobs=False)
    # Several chunks: each holds at most 40 % of the summariser's window.
    extend(chat.session, 24, tokens=400, words="Plain words about the weather in the north. " * 20)
    real, made = compactor.summarise, []

    async def dies(*args: Any, **kwargs: Any) -> Any:
        if len(made) == kill_at:
            raise KeyboardInterrupt
        made.append(1)
        return await real(*args, **kwargs)

    monkeypatch.setattr(compactor, "summarise", dies)
    with pytest.raises(KeyboardInterrupt):
        await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub)
    drafts = set(Summary.objects.filter(state="draft").values_list("pk", flat=True))
    assert len(drafts) == kill_at
    assert not Notice.objects.exists()
    paid = [one.request_sha256 for one in summary_calls(chat)]
    monkeypatch.setattr(compactor, "summarise", real)
    outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub)
    assert outcome.code == "committed"
    every = [one.request_sha256 for one in summary_calls(chat)]
    assert every[: len(paid)] == paid
    assert len(every) == len(set(every))
    assert drafts <= set(Summary.objects.filter(state="active").values_list("pk", flat=True))


async def test_a_job_whose_worker_died_is_finished_by_another(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 12, tokens=500, words="Plain words about the weather in the north. " * 25)
    leases.enqueue(compactor.KIND, chat.session.pk)
    Job.objects.update(
        state="running", owner="dead", epoch=4, attempts=1, lease_until=timezone.now() - timedelta(seconds=1)
    )
    assert leases.reap_jobs() == 1
    chat.service.wake()
    await eventually(lambda: Job.objects.get().state == "done")
    assert chat.row.compactions >= 1


async def test_a_transient_failure_of_the_summariser_is_tried_again_later(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 12, tokens=500, words="Plain words about the weather in the north. " * 25)
    chat.standin.faults.add("status", status=500, times=99, purpose="summary")

    async def nap(_: float) -> None:
        await asyncio.sleep(0)

    chat.service.engine.background._sleep = nap
    leases.enqueue(compactor.KIND, chat.session.pk)
    chat.service.wake()
    await eventually(lambda: Job.objects.get().error)
    job = Job.objects.get()
    assert (job.state, job.error, job.attempts) == ("due", "unavailable", 1)
    assert job.run_after > timezone.now()
    assert not Summary.objects.exists()
    chat.standin.faults.clear()
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    chat.service.wake()
    await eventually(lambda: Job.objects.get().state == "done")
    assert Summary.objects.filter(state="active", made_by="model").exists()


async def test_two_compactors_of_one_session_make_one_context(start: Start) -> None:
    chat = await start(window=WINDOW, jobs=False)
    extend(chat.session, 14, tokens=500, words="Plain words about the weather in the north. " * 25)
    engine, hub = chat.service.engine, chat.service.hub
    ends = await asyncio.gather(*[compactor.compact(chat.session.pk, engine, hub, last_try=True) for _ in range(2)])
    assert {one.code for one in ends} <= {"committed", "lost", "nothing"}
    assert sum(len(one.committed) for one in ends) == chat.row.compactions == 1


async def test_summaries_that_outgrow_their_budget_are_merged(start: Start) -> None:
    chat = await start(window=WINDOW, jobs=False)
    number = 0
    while not Summary.objects.filter(state="active", tier__gte=2).exists():
        extend(chat.session, 6, tokens=700, words=f"Plain words about item {number} of the list. " * 35)
        await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, last_try=True)
        number += 1
        assert number < 25
    merged = Summary.objects.filter(state="active", tier__gte=2).first()
    assert Summary.objects.filter(merged_into=merged, state="resting").count() >= 2
    assert ModelCall.objects.filter(purpose="merge").exists()
    assert (await chat.say("Where were we?")).status == "complete"


async def test_the_sweep_finds_sessions_that_grew_without_a_reply(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 14, tokens=600, words="Plain words about the weather in the north. " * 30)
    # The service's own first round may come before this one.
    await service.sweep_once(chat.service)
    assert await service.sweep_once(chat.service) == 0
    await eventually(lambda: Job.objects.get().state == "done")
    assert chat.row.compactions >= 1


async def test_the_sweep_removes_what_was_deleted_and_has_its_words_forgotten(start: Start, settings: Any) -> None:
    chat = await start()
    settings.CHAT_UNDO_S = 0
    extend(chat.session, 3, tokens=600, words="Plain words about the weather in the north. ")
    ChatSession.objects.filter(pk=chat.session.pk).update(deleted_at=timezone.now() - timedelta(seconds=1))
    # A step in each sweep until nothing is left to do.
    for _ in range(5):
        await service.sweep_once(chat.service)
    assert not ChatSession.objects.exists()
    assert not index.forget(most=1)


async def test_a_sliding_window_drops_with_a_notice_and_never_asks_a_summariser(start: Start) -> None:
    chat = await start(strategy="sliding_window", window_messages=8)
    for number in range(1, 12):
        turn = await chat.say(f"Short message {number}.")
        assert turn.status == "complete"
        sent = sum(run[1] - run[0] + 1 for run in turn.manifest.ranges if run[2] == "verbatim")
        assert 2 * sent - 1 <= 8
    await chat.settled()
    assert summary_calls(chat) == []
    row = chat.row
    assert (row.trims >= 1, row.compactions) == (True, 0)
    notice = Notice.objects.get(ended_at=None)
    assert (notice.kind, notice.first, notice.last) == ("trimmed", 1, row.window_from - 1)
    assert ContextEvent.objects.filter(kind="trim", code="window").count() == row.trims
    # It moves rarely and then by a batch: of a window this small, by half.
    assert row.window_from - 1 == 2 * row.trims


@pytest.mark.parametrize("values", [{"strategy": "sliding_window"}, {"mode": "never"}])
async def test_the_window_of_the_settings_holds_where_a_session_names_none(
    start: Start, settings: Any, values: dict[str, str]
) -> None:
    settings.CHAT_WINDOW_MESSAGES = 6
    chat = await start(**values)
    for number in range(1, 6):
        await chat.say(f"Short message {number}.")
    assert chat.row.trims >= 1
    assert Notice.objects.get(ended_at=None).kind == "trimmed"


async def test_a_manifest_tells_each_turn_of_every_request(start: Start) -> None:
    chat = await start(window=WINDOW)
    await fill(chat, 12)
    await chat.settled()
    for manifest in Manifest.objects.filter(turn__session=chat.session).select_related("turn"):
        told = [number for first, last, *_ in manifest.ranges for number in range(first, last + 1)]
        assert told == list(range(1, manifest.turn.number + 1))
