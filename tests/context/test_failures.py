"""Failures that other engines had, each as the story in which it happened. What these tests name, ours must not do.

Only those whose answer lies in the pure core; the gate, the races and the breakers are tested where they live.
"""

from itertools import pairwise
from typing import ClassVar

import pytest

from chat.context.assembly import assemble
from chat.context.budget import split
from chat.context.compaction import Policy, chunk_limit, marks, plan_compaction
from chat.context.tokens import Counter
from chat.context.values import Assembled, History, Prompt, Step, Summary
from chat.context.window import Size
from chat.providers.base import Usage
from chat.providers.validate import validate
from tests.context.conversation import Conversation, text_of
from tests.context.strategies import COUNTER, MODEL, mark, turn, turns


def ask(history: History, text: str = "And now?", window: int = 16_000) -> Assembled:
    prompt = Prompt(text=text, number=history.last + 1)
    assembled = assemble(history, prompt, split(window), COUNTER, model=MODEL)
    validate(assembled.request)
    return assembled


def words(assembled: Assembled) -> str:
    return "\n".join(block.text for block in assembled.request.blocks())


def test_the_kept_window_is_not_lost_on_the_second_turn_nor_on_any_of_fifty() -> None:
    """Open WebUI #27037."""
    conversation = Conversation(budget=split(16_000))
    for number in range(1, 51):
        assembled = conversation.ask(text_of(100, f"question {'x' * number} "), text_of(150))
        kept = [one for one in conversation.turns if conversation.window_from <= one.number < number]
        assert all(one.prompt in words(assembled) and one.reply in words(assembled) for one in kept)
        assert len(kept) >= min(number - 1, 4)
        sent = {n for run in assembled.manifest.runs if run.how == "verbatim" for n in range(run.first, run.last + 1)}
        assert sent == {one.number for one in kept} | {number}
        conversation.compact()
    assert len(conversation.summaries) >= 2


def test_cache_tokens_are_counted_once() -> None:
    """Open WebUI #28590."""
    usage = Usage(input=3, cache_read=1_000, cache_write=200, output=50)
    assert usage.total_input == 1_203
    assert (usage + usage).total_input == 2_406


@pytest.mark.parametrize("window", [8_000, 200_000, 1_000_000])
def test_the_threshold_follows_the_window_of_the_model(window: int) -> None:
    """Open WebUI; LobeHub #13366."""
    assert marks(split(window)).utilisation(marks(split(window)).soft) == pytest.approx(0.49, abs=0.01)


def test_one_paste_of_60_000_tokens_is_not_one_message_like_any_other() -> None:
    """Open WebUI: split by message count."""
    sizes = [Size(1, 60_000), *(Size(number, 200) for number in range(2, 8))]
    plan = plan_compaction(sizes, room=80_000, policy=Policy())
    assert plan is not None
    assert (plan.chunks[0].first, plan.chunks[0].last) == (1, 1)
    assert plan.keep_from == 2


def test_under_pressure_the_newest_turns_are_kept_and_never_reversed() -> None:
    """AnythingLLM #1841, #2100."""
    assembled = ask(History(turns=turns(1, 60, tokens=1_000), last=60))
    found = [number for number in range(1, 61) if mark("prompt", number) in words(assembled)]
    assert found
    assert found == list(range(61 - len(found), 61))
    places = [words(assembled).index(mark("prompt", number)) for number in found]
    assert places == sorted(places)


def test_an_unchanged_conversation_is_never_compacted_twice() -> None:
    """nac #147: the facts of an unchanged transcript erode; opencode #37584: 35 compactions in an hour."""
    conversation = Conversation(budget=split(16_000))
    while conversation.compact() is None:
        conversation.ask(text_of(200), text_of(200))
    made = list(conversation.summaries)
    assert [conversation.compact() for _ in range(35)] == [None] * 35
    assert conversation.summaries == made


def test_a_turn_too_large_to_go_does_not_start_a_loop() -> None:
    """opencode #48828."""
    conversation = Conversation(budget=split(16_000))
    conversation.ask("short", "short")
    conversation.ask(text_of(9_000), text_of(9_000))
    assert conversation.level() == "hard"
    assert [conversation.compact() for _ in range(5)] == [None] * 5


def test_summaries_neither_nest_nor_grow() -> None:
    """opencrabs #1649: 8.6 times in a day."""
    conversation = Conversation(budget=split(16_000))
    for _ in range(600):
        conversation.ask(text_of(100), text_of(150))
        conversation.compact()
        while conversation.merge():
            pass
        assert sum(one.tokens for one in conversation.summaries) <= conversation.budget.summaries
        ranges = [(one.first, one.last) for one in conversation.summaries]
        assert ranges == sorted(ranges)
        assert all(left[1] < right[0] for left, right in pairwise(ranges))
    assert conversation.made >= 40


def test_compaction_starts_at_60_percent_in_pieces_that_the_summariser_can_take() -> None:
    """claude-code #9400, #23047: at 100 % it fails, "conversation too long"."""
    policy = Policy(chunk_tokens=chunk_limit(8_000))
    conversation = Conversation(budget=split(16_000), policy=policy)
    while (plan := conversation.compact()) is None:
        assembled = conversation.ask(text_of(300), text_of(300))
        assert assembled.manifest.estimated < conversation.budget.input_limit * 0.75
        assert not assembled.manifest.trimmed
    assert len(plan.chunks) >= 2
    assert all(chunk.tokens <= 3_200 for chunk in plan.chunks)


def test_a_backlog_ten_times_the_window_is_planned_in_pieces_too() -> None:
    sizes = [Size(number, 500) for number in range(1, 321)]
    plan = plan_compaction(sizes, room=13_000, policy=Policy(chunk_tokens=3_200))
    assert plan is not None
    assert all(chunk.tokens <= 3_200 for chunk in plan.chunks)
    assert (plan.first, plan.last) == (1, plan.keep_from - 1)


def test_no_call_of_a_tool_is_without_its_result() -> None:
    """langchain #34282: the cut went through the pair."""
    told = [
        turn(
            number,
            "look",
            steps=(
                Step(kind="tool_use", body="{}", call_id=f"c{number}", name="search"),
                Step(kind="tool_result", body=text_of(700), call_id=f"c{number}", tokens=700),
            ),
        )
        for number in range(1, 40)
    ]
    for count in range(1, 40):
        assembled = ask(History(turns=tuple(told[:count]), last=count))
        text = str(assembled.request.body())
        calls = [number for number in range(1, count + 1) if f"'id': 'c{number}'" in text]
        assert calls == [number for number in range(1, count + 1) if f"'tool_use_id': 'c{number}'" in text]
        assert calls


def test_one_tool_result_of_668_000_characters_does_not_push_out_the_conversation() -> None:
    """deepagentsjs #228."""
    steps = (
        Step(kind="tool_use", body="{}", call_id="c1", name="read_file"),
        Step(kind="tool_result", body="log line\n" * 74_000, call_id="c1"),
    )
    assembled = ask(History(turns=(*turns(1, 3), turn(4, "read it", steps=steps)), last=4))
    assert assembled.rung == ""
    assert all(mark("reply", number) in words(assembled) for number in range(1, 5))
    assert "cut for length; the whole of turn 4 is stored" in words(assembled)
    assert [run.how for run in assembled.manifest.runs] == ["verbatim", "clamped", "verbatim"]
    line = next(line for line in assembled.manifest.report if line.component == "tool_results")
    assert line.used <= line.budget + 40 < line.before


def test_the_work_is_that_of_the_window_however_long_the_conversation_is() -> None:
    """Open WebUI #23418: 3 minutes before the request left, at 1,248 messages."""

    class Watched(Counter):
        """A counter that tells how many texts it was given."""

        given: ClassVar[list[int]] = []

        def count(self, text: str) -> int:
            Watched.given.append(len(text))
            return super().count(text)

    work = []
    for last in (100, 624, 100_000):
        Watched.given.clear()
        summary = Summary(first=1, last=last - 25, text="They spoke.", tokens=30, ref="S1")
        history = History(turns=turns(last - 24, last), summaries=(summary,), last=last, window_from=last - 24)
        prompt = Prompt(text="And now?", number=last + 1)
        assembled = assemble(history, prompt, split(16_000), Watched(), model=MODEL)
        assert len(assembled.manifest.runs) == 2
        work.append(len(Watched.given))
    assert max(work) - min(work) == 0
    assert work[0] < 100
