"""THE FLOW, every way out of it: with a provider that does what it is told."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat import service
from chat.flow import requests as flow_requests
from chat.flow import runner
from chat.models import ChatSession, Manifest, Turn
from chat.providers.base import Completion, ContextOverflow, Misconfigured, Overloaded, RateLimited, Unavailable, Usage
from chat.providers.scripted import ScriptedProvider
from chat.store import sessions
from chat.stream.protocol import Delta, Done, Reset, Snapshot, Status
from monitoring.models import ContextEvent, ModelCall
from tests.flow.conftest import Start, eventually

USAGE = Usage(input=30, cache_read=500, cache_write=70, output=12)


def said(provider: ScriptedProvider, call: int = -1) -> str:
    """All the words of a request."""
    return "\n".join(block.text for block in provider.requests[call].blocks())


async def test_a_reply_is_stored_whole_with_its_usage(start: Start) -> None:
    provider = ScriptedProvider([["Hello ", "Lena", ".", Completion("end_turn", USAGE)]])
    chat = await start(provider)
    turn = await chat.say("I am Lena.")
    assert (turn.status, turn.reply, turn.error) == ("complete", "Hello Lena.", "")
    assert (turn.stop_reason, turn.reply_tokens, turn.reply_source) == ("end_turn", 12, "api")
    assert turn.usage == {"input": 30, "cache_read": 500, "cache_write": 70, "output": 12}
    assert "<p>Hello Lena.</p>" in turn.reply_html
    assert turn.lease_until is None
    row = chat.row
    assert (row.turns_active, row.input_tokens, row.output_tokens, row.title) == (1, 600, 12, "I am Lena.")


async def test_what_monitoring_is_told_is_what_was_counted(start: Start) -> None:
    chat = await start(ScriptedProvider([["Hi.", Completion("end_turn", USAGE)]]))
    turn = await chat.say("Hello.")
    call = ModelCall.objects.get()
    assert (call.session, call.user, call.turn, call.number) == (chat.session.pk, chat.owner.pk, turn.pk, 1)
    assert (call.input, call.cache_read, call.cache_write, call.output) == (30, 500, 70, 12)
    assert (call.purpose, call.outcome, call.stop_reason, call.window) == ("reply", "ok", "end_turn", 16_000)
    manifest = Manifest.objects.get(turn=turn)
    assert (manifest.measured, call.estimate) == (600, manifest.estimated)
    assert manifest.ranges == [[1, 1, "verbatim", "", manifest.ranges[0][4]]]


async def test_frames_come_in_order_and_make_the_stored_text(start: Start) -> None:
    chat = await start(ScriptedProvider([[*(f"word{n} " for n in range(50)), 0.06, "end."]]))
    turn = await chat.say("Talk.")
    kinds = [type(frame) for frame in chat.frames if not isinstance(frame, Status)]
    assert kinds[0] is Snapshot
    assert kinds[-1] is Done
    assert set(kinds[1:-1]) <= {Delta}
    assert chat.shown(turn.pk) == turn.reply
    done = chat.frames[-1]
    assert (done.number, done.status, done.end) == (1, "complete", len(turn.reply))


async def test_the_counter_learns_from_what_was_counted(start: Start) -> None:
    # One word is said to be three tokens: the estimate moves towards it.
    provider = ScriptedProvider(default=["Yes."], counter=lambda request: sum(
        3 * len(block.text.split()) for block in request.blocks()))  # fmt: skip
    chat = await start(provider)
    model = chat.session.model
    errors = []
    for _ in range(4):
        turn = await chat.say("several plain words " * 60)
        manifest = turn.manifest
        errors.append(abs(manifest.estimated - manifest.measured) / manifest.measured)
    assert chat.service.engine.counter(model).ratios.samples > 0
    assert errors[-1] < errors[0] / 2
    assert errors[-1] < 0.1
    await chat.service.engine.save_counters(now=True)
    chat.service.engine._counters.clear()
    await chat.service.engine.load_counters()
    assert chat.service.engine.counter(model).ratios.samples > 0


async def test_a_measured_prompt_is_the_difference_of_two_requests(start: Start) -> None:
    provider = ScriptedProvider(default=["Yes."], counter=lambda request: sum(
        block.tokens for block in request.blocks()) + 6 * len(request.messages))  # fmt: skip
    chat = await start(provider)
    first = await chat.say("One question of some length.")
    second = await chat.say("Another question of some length.")
    assert (first.prompt_source, second.prompt_source) == ("estimated", "api")
    assert second.tokens_upto == first.tokens_upto + second.prompt_tokens + second.reply_tokens


async def test_stop_keeps_what_was_seen_and_ends_the_call(start: Start) -> None:
    never = asyncio.Event()
    provider = ScriptedProvider([["Half of ", "it", never]])
    chat = await start(provider)
    opened = await chat.open("Tell me all.")
    assert (await chat.text_of(opened.turn_id, 8)).startswith("Half of ")
    asked = await chat.service.stop_turn(owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)
    turn = await chat.ended(opened.turn_id)
    assert asked == "asked"
    assert (turn.status, turn.reply, turn.error) == ("stopped", "Half of it", "")
    assert turn.reply == chat.shown(turn.pk)
    assert turn.reply_source == "estimated"
    assert turn.reply_tokens > 0
    assert provider.closed == 1
    assert (await chat.service.stop_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)) == "finished"  # fmt: skip


async def test_a_stop_that_is_only_in_the_row_is_found_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CANCEL_SCAN_S", 0.05)
    chat = await start(ScriptedProvider([["Half", asyncio.Event()]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    Turn.objects.filter(pk=opened.turn_id).update(cancel_requested=True)
    assert (await chat.ended(opened.turn_id)).status == "stopped"


async def test_a_turn_that_waits_is_stopped_and_its_watchers_are_told(start: Start) -> None:
    chat = await start(ScriptedProvider(), turns=False)
    opened = await chat.open("Wait.")
    assert (await chat.service.stop_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)) == "stopped"  # fmt: skip
    assert (await chat.ended(opened.turn_id)).status == "stopped"


async def test_nobody_stops_anothers_turn(start: Start, bob: Any) -> None:
    chat = await start(ScriptedProvider([["Half", asyncio.Event()]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    answer = await chat.service.stop_turn(owner_id=bob.pk, session_id=chat.session.pk, turn_id=opened.turn_id)
    assert answer == "not_found"
    assert chat.turn(opened.turn_id).cancel_requested is False
    await chat.service.stop_turn(owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)
    await chat.ended(opened.turn_id)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misconfigured(), "misconfigured"),
        (RateLimited(wait=7200), "rate_limited:7200"),
        (Overloaded(), "overloaded"),
        (Unavailable(), "unavailable"),
    ],
)
async def test_a_failure_before_any_text_keeps_the_prompt(start: Start, error: Exception, code: str) -> None:
    chat = await start(ScriptedProvider([[error], ["Now."]]))
    turn = await chat.say("Important words.")
    assert (turn.status, turn.error, turn.reply, turn.prompt) == ("failed", code, "", "Important words.")
    assert (turn.attempt, turn.usage) == (1, None)
    assert ModelCall.objects.get().outcome == code.partition(":")[0]
    # The session goes on, and the unanswered words are in the next request.
    after = await chat.say("Still there?")
    assert after.status == "complete"
    assert "Important words." in said(chat.service.engine.provider)


async def test_a_failure_that_will_not_pass_keeps_the_partial(start: Start) -> None:
    chat = await start(ScriptedProvider([["Some words", Misconfigured()]]))
    turn = await chat.say("Go.")
    assert (turn.status, turn.error, turn.reply, turn.attempt) == ("failed", "misconfigured", "Some words", 1)


async def test_a_failed_turn_is_retried_as_a_sibling(start: Start) -> None:
    chat = await start(ScriptedProvider([["A"], [Misconfigured()], ["Better."]]))
    await chat.say("First.")
    failed = await chat.say("Second.")
    again = await chat.say(op="retry", of=failed.pk)
    assert (again.status, again.prompt, again.number, again.parent_id) == ("complete", "Second.", 2, failed.parent_id)
    assert not chat.turn(failed.pk).active
    assert chat.row.head_id == again.pk


async def test_a_refused_turn_is_left_out_of_what_follows(start: Start) -> None:
    provider = ScriptedProvider([["I won't.", Completion("refusal", USAGE)], ["Gladly."]])
    chat = await start(provider)
    turn = await chat.say("Something forbidden.")
    assert (turn.status, turn.excluded_by, turn.stop_reason) == ("refused", "refusal", "refusal")
    after = await chat.say("Something else.")
    assert "forbidden" not in said(provider)
    assert after.manifest.ranges[0][:4] == [1, 1, "excluded", "refusal"]


@pytest.mark.parametrize(
    ("stop_reason", "status"),
    [
        ("end_turn", "complete"),
        ("stop_sequence", "complete"),
        ("max_tokens", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("something_new", "complete"),
    ],
)
async def test_a_stop_reason_gives_the_state(start: Start, stop_reason: str, status: str) -> None:
    chat = await start(ScriptedProvider([["Words", Completion(stop_reason, USAGE)]]))
    turn = await chat.say("Go.")
    assert (turn.status, turn.stop_reason, turn.reply) == (status, stop_reason, "Words")


async def test_a_break_after_text_restarts_once_from_scratch(start: Start) -> None:
    lost = Unavailable(usage=Usage(input=40, output=3))
    provider = ScriptedProvider([["Half a sen", lost], ["The whole sentence."]])
    chat = await start(provider)
    turn = await chat.say("Go.")
    assert (turn.status, turn.reply, turn.attempt, turn.epoch) == ("complete", "The whole sentence.", 2, 2)
    assert chat.shown(turn.pk) == "The whole sentence."
    assert any(isinstance(frame, Reset) for frame in chat.frames)
    assert provider.requests[0].body() == provider.requests[1].body()
    # Both calls were paid, both are told.
    calls = ModelCall.objects.order_by("pk")
    assert [call.outcome for call in calls] == ["unavailable", "ok"]
    assert calls[0].input == 40


async def test_a_second_break_fails_with_the_longer_partial(start: Start) -> None:
    chat = await start(ScriptedProvider([["A long beginning of it", Unavailable()], ["Short", Unavailable()]]))
    turn = await chat.say("Go.")
    assert (turn.status, turn.error, turn.attempt) == ("failed", "unavailable", 2)
    assert turn.reply == "A long beginning of it"
    done = [frame for frame in chat.frames if isinstance(frame, Done)][-1]
    assert done.end == len(turn.reply)


async def test_a_checkpoint_never_takes_back_what_an_earlier_attempt_had_said(start: Start) -> None:
    never = asyncio.Event()
    chat = await start(ScriptedProvider([["x" * 5_000, Unavailable()], ["y" * 3_000, never]]))
    opened = await chat.open("Go.")
    await chat.until(lambda: chat.shown(opened.turn_id).startswith("y"))
    await asyncio.sleep(0.2)
    assert chat.turn(opened.turn_id).reply == "x" * 5_000
    await chat.service.stop_turn(owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=opened.turn_id)
    assert (await chat.ended(opened.turn_id)).reply == "y" * 3_000


async def test_a_long_reply_is_checkpointed_while_it_runs(start: Start) -> None:
    never = asyncio.Event()
    chat = await start(ScriptedProvider([["word " * 1_000, never, "end"]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id, 5_000)
    await eventually(lambda: len(chat.turn(opened.turn_id).reply) >= 5_000)
    assert chat.turn(opened.turn_id).status == "running"
    never.set()
    assert (await chat.ended(opened.turn_id)).reply == "word " * 1_000 + "end"


async def test_a_turn_that_was_taken_over_is_left_alone(start: Start) -> None:
    never = asyncio.Event()
    provider = ScriptedProvider([["Mine ", never, "too late"]])
    chat = await start(provider)
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    Turn.objects.filter(pk=opened.turn_id).update(
        owner="another", epoch=9, lease_until=timezone.now() + timedelta(minutes=1)
    )
    before = Turn.objects.values().get(pk=opened.turn_id)
    never.set()
    await eventually(lambda: not chat.service.runner.live)
    assert Turn.objects.values().get(pk=opened.turn_id) == before
    assert not Manifest.objects.exists()
    assert chat.service.hub.live_turns == 0
    assert not any(isinstance(frame, Done) for frame in chat.frames)


async def test_losing_the_turn_ends_the_call_at_the_next_beat(start: Start, settings: Any) -> None:
    settings.CHAT_BEAT_S = 0.1
    provider = ScriptedProvider([["Mine", asyncio.Event()]])
    chat = await start(provider)
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    Turn.objects.filter(pk=opened.turn_id).update(
        owner="another", epoch=9, lease_until=timezone.now() + timedelta(minutes=1)
    )
    await eventually(lambda: not chat.service.runner.live)
    assert provider.closed == 1
    assert chat.turn(opened.turn_id).owner == "another"


async def test_a_runner_that_dies_is_followed_by_another(start: Start, settings: Any) -> None:
    settings.CHAT_REAP_S = 0.1
    provider = ScriptedProvider([["Half", asyncio.Event()], ["Whole."]])
    chat = await start(provider)
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    # Its lease ran out: whoever reaps, the old run must let go and the new one answers.
    Turn.objects.filter(pk=opened.turn_id).update(lease_until=timezone.now() - timedelta(seconds=1))
    turn = await chat.ended(opened.turn_id)
    assert (turn.status, turn.reply, turn.attempt) == ("complete", "Whole.", 2)


async def test_a_turn_out_of_attempts_is_ended_and_its_watchers_are_told(start: Start, settings: Any) -> None:
    settings.CHAT_REAP_S = 0.1
    chat = await start(ScriptedProvider([["Half", asyncio.Event()]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    Turn.objects.filter(pk=opened.turn_id).update(
        lease_until=timezone.now() - timedelta(seconds=1), attempt=2, reply="Half"
    )
    turn = await chat.ended(opened.turn_id)
    assert (turn.status, turn.error, turn.reply) == ("failed", "owner_lost", "Half")


async def test_a_process_that_ends_gives_its_turns_back_for_free(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DRAIN_S", 0.05)
    chat = await start(ScriptedProvider([["Half", asyncio.Event()]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    await service.drain()
    turn = chat.turn(opened.turn_id)
    assert (turn.status, turn.attempt, turn.owner, turn.reply) == ("queued", 0, "", "Half")
    assert chat.service.runner.live == 0


async def test_a_reply_that_ends_in_time_is_not_cut_by_a_drain(start: Start) -> None:
    chat = await start(ScriptedProvider([["Almost ", 0.2, "done."]]))
    opened = await chat.open("Go.")
    await chat.text_of(opened.turn_id)
    await service.drain()
    assert chat.turn(opened.turn_id).reply == "Almost done."
    # What comes afterwards waits for another process.
    waiting = await chat.open("Next.")
    await asyncio.sleep(0.1)
    assert chat.turn(waiting.turn_id).status == "queued"


async def test_a_bug_of_ours_is_one_clear_end_not_a_spinner(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("Go and see")

    chat = await start(ScriptedProvider([["Fine."]]))
    with monkeypatch.context() as patch:
        patch.setattr(flow_requests, "assemble", broken)
        turn = await chat.say("Go.")
    assert (turn.status, turn.error) == ("failed", "internal")
    assert (await chat.say("Again.")).status == "complete"


async def test_a_window_that_nobody_knows_is_said(start: Start) -> None:
    chat = await start(ScriptedProvider(window=0), window=None)
    turn = await chat.say("Go.")
    assert (turn.status, turn.error) == ("failed", "unknown_window")


async def test_an_overflow_goes_down_the_ladder_within_the_turn(start: Start) -> None:
    provider = ScriptedProvider([["A " * 900], ["B " * 900], [ContextOverflow(actual=20_000, limit=16_000)], ["Fits."]])
    chat = await start(provider)
    await chat.say("one " * 900)
    await chat.say("two " * 900)
    turn = await chat.say("three")
    assert (turn.status, turn.reply) == ("complete", "Fits.")
    sizes = [len(said(provider, call)) for call in (2, 3)]
    assert sizes[1] < sizes[0]
    assert turn.manifest.rung
    assert chat.session.notices.filter(kind="trimmed", ended_at=None).exists()
    assert ContextEvent.objects.filter(kind="rung").count() == 1


async def test_an_overflow_in_the_middle_of_a_reply_is_not_answered_twice(start: Start) -> None:
    chat = await start(ScriptedProvider([["Half", ContextOverflow(actual=20_000, limit=16_000)], ["Again."]]))
    turn = await chat.say("Go.")
    assert (turn.status, turn.error, turn.reply) == ("failed", "context_overflow", "Half")


async def test_what_no_database_stores_is_replaced_on_both_ways(start: Start) -> None:
    chat = await start(ScriptedProvider([["a\x00b", "\ud83d c"]]))
    turn = await chat.say("x\x00y \udc00")
    assert (turn.status, turn.prompt, turn.reply) == ("complete", "x\ufffdy \ufffd", "a\ufffdb\ufffd c")


async def test_many_conversations_run_at_once_each_with_its_own_words(start: Start) -> None:
    provider = ScriptedProvider(default=lambda request: [request.messages[-1].blocks[-1].text, " back"])
    chat = await start(provider)
    others = [sessions.create(chat.owner) for _ in range(12)]
    opened = [
        await chat.service.open_turn(
            owner_id=chat.owner.pk, session_id=one.pk, client_id=uuid.uuid4(), text=f"words of {n}"
        )
        for n, one in enumerate(others)
    ]
    await eventually(lambda: not Turn.objects.live().exists())
    for n, one in enumerate(opened):
        assert chat.turn(one.turn_id).reply == f"words of {n} back"
    assert ChatSession.objects.filter(turns_active=1).count() == 12
