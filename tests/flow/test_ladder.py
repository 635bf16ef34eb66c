"""The last line: whatever a request meets, there is an answer or one clear sentence, a notice, and a way on."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from chat.models import Notice, Turn
from chat.providers import steady
from chat.providers.standin.summaries import Mode
from monitoring.models import ContextEvent, ModelCall
from tests.flow.conftest import Chat, Start
from tests.store.building import extend

WINDOW = 8_000
LINE = "Plain words about the weather in the north. "


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between the attempts at one call."""
    real = steady.Steady.__init__

    async def nap(_: float) -> None:
        await asyncio.sleep(0)

    def patched(self: Any, inner: Any, **options: Any) -> None:
        real(self, inner, **(options | {"sleep": nap}))

    monkeypatch.setattr(steady.Steady, "__init__", patched)


def strictly_smaller(chat: Chat) -> list[Any]:
    """The reply requests of the newest turn; each must be smaller than the one before, and none the same."""
    records = chat.sent()
    assert len({one.request_sha256 for one in records}) == len(records)
    for before, after in pairwise(records):
        if before.status == 400:
            assert after.bytes < before.bytes
    return records


async def goes_on(chat: Chat) -> Turn:
    """The next message is answered."""
    turn = await chat.say("And now something short.")
    assert (turn.status, turn.error) == ("complete", "")
    return turn


@pytest.mark.parametrize("mode", ["lossy", "error", "garbage", "blank"])
async def test_ten_windows_of_raw_history_are_answered(start: Start, hurry: None, mode: Mode) -> None:
    chat = await start(window=WINDOW)
    chat.standin.summary_mode = mode
    extend(chat.session, 40, tokens=2_000, words=LINE * 100)
    turn = await chat.say("Where were we?")
    assert (turn.status, turn.error) == ("complete", "")
    assert turn.manifest.ranges[-1][1] == 41
    assert Notice.objects.filter(session=chat.session, ended_at=None).exists()
    await chat.settled()
    strictly_smaller(chat)
    assert all(one.tokens + 500 <= WINDOW for one in chat.sent() if one.status == 200)
    await goes_on(chat)


async def test_a_million_characters_in_one_message_are_answered(start: Start) -> None:
    chat = await start(window=WINDOW)
    await chat.say("My order number is A-7731.")
    turn = await chat.say("Look at this log. " + "error in module seven; " * 43_500)
    assert len(turn.prompt) > 1_000_000
    assert (turn.status, turn.error) == ("complete", "")
    assert turn.manifest.ranges[-1][:3] == [2, 2, "clamped"]
    assert Notice.objects.filter(kind="clamped", first=2, last=2).exists()
    strictly_smaller(chat)
    await goes_on(chat)
    await goes_on(chat)


async def test_a_paste_in_the_past_does_not_stop_the_next_message(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 1, tokens=250_000, words="error in module seven; " * 40_000)
    await goes_on(chat)
    assert Notice.objects.filter(ended_at=None).exists()
    await chat.settled()
    await goes_on(chat)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("wording", [1, 2, 3])
async def test_every_wording_of_the_400_leads_down_the_ladder(start: Start, wording: int, times: int) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 8, tokens=300, words=LINE * 12)
    chat.standin.faults.add("overflow", wording=wording, times=times, purpose="reply")
    turn = await chat.say("Where were we?")
    records = strictly_smaller(chat)
    assert [one.status for one in records] == [400] * times + [200]
    assert turn.status == "complete"
    assert turn.manifest.rung
    kinds = set(Notice.objects.filter(session=chat.session, ended_at=None).values_list("kind", flat=True))
    assert kinds & {"trimmed", "clamped"}
    assert ContextEvent.objects.filter(kind="rung").count() == times
    assert list(ModelCall.objects.order_by("pk").values_list("outcome", flat=True)) == [
        *["context_overflow"] * times, "ok"]  # fmt: skip
    await goes_on(chat)


async def test_an_api_that_refuses_everything_gets_ever_less_and_then_one_clear_end(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 8, tokens=300, words=LINE * 12)
    chat.standin.faults.add("overflow", times=99, purpose="reply")
    turn = await chat.say("Where were we? " + LINE * 10)
    assert (turn.status, turn.error) == ("failed", "too_large")
    records = strictly_smaller(chat)
    assert 2 < len(records) < 20
    assert {one.status for one in records} == {400}
    chat.standin.faults.clear()
    await goes_on(chat)


async def test_a_400_that_merely_mentions_the_prompt_is_not_overflow(start: Start) -> None:
    chat = await start(window=WINDOW)
    chat.standin.faults.add("template", purpose="reply")
    turn = await chat.say("Where were we?")
    assert (turn.status, turn.error) == ("failed", "misconfigured")
    assert len(chat.sent()) == 1
    assert not Notice.objects.exists()
    assert not ContextEvent.objects.exists()
    await goes_on(chat)


async def test_an_overflow_teaches_the_counter(start: Start) -> None:
    chat = await start(window=WINDOW)
    extend(chat.session, 4, tokens=300, words=LINE * 12)
    counter = chat.service.engine.counter
    before = counter(chat.session.model).count(LINE * 50)
    chat.standin.faults.add("overflow", purpose="reply")
    await chat.say("Where were we?")
    assert counter(chat.session.model).ratios.samples > 0
    assert counter(chat.session.model).count(LINE * 50) != before


async def test_the_api_is_asked_near_the_limit_before_it_can_refuse(start: Start) -> None:
    # Digits and symbols: what our estimate and the stand-in's count disagree about most.
    chat = await start(window=WINDOW, strategy="sliding_window", window_messages=400)
    for number in range(30):
        turn = await chat.say(f"{number} " + "0xDEADBEEF {42: [7, 8, 9]}; " * 30)
        assert turn.status == "complete"
    assert {one.status for one in chat.sent()} == {200}
    assert any(one.endpoint == "count_tokens" for one in chat.standin.log)


@pytest.mark.parametrize("kind", ["eof", "reset", "stream_error"])
async def test_a_stream_that_breaks_is_restarted_once_and_never_shown_as_whole(
    start: Start, hurry: None, kind: Any
) -> None:
    chat = await start(window=WINDOW)
    chat.standin.faults.add(kind, after=3, purpose="reply", error_type="overloaded_error")
    turn = await chat.say("Tell me about the harvest, please, at some length.")
    assert (turn.status, turn.attempt) == ("complete", 2)
    assert turn.reply == chat.shown(turn.pk)
    chat.standin.faults.add(kind, after=3, times=2, purpose="reply", error_type="overloaded_error")
    turn = await chat.say("Tell me about the choir, please, at some length.")
    assert turn.status == "failed"
    assert turn.error in ("unavailable", "overloaded")
    assert turn.reply
    await goes_on(chat)


@pytest.mark.parametrize(
    ("reason", "status"),
    [("max_tokens", "truncated"), ("model_context_window_exceeded", "truncated"), ("refusal", "refused")],
)
async def test_stop_reasons_over_the_wire(start: Start, reason: str, status: str) -> None:
    chat = await start(window=WINDOW)
    chat.standin.faults.add("stop", stop_reason=reason, after=4)
    turn = await chat.say("Tell me about the harvest and my secret word Zanzibar.")
    assert (turn.status, turn.stop_reason) == (status, reason)
    chat.standin.keep_bodies = True
    await goes_on(chat)
    assert ("Zanzibar" in str(chat.sent()[-1].body)) is (status != "refused")


async def test_a_model_that_is_not_there_is_one_clear_end(start: Start) -> None:
    chat = await start(window=WINDOW, model="no-such-model")
    turn = await chat.say("Hello?")
    assert (turn.status, turn.error) == ("failed", "misconfigured")
