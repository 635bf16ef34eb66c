"""Any history, any message, any budget: the request is one the API takes, and the manifest says what it holds."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.context import budget as budgets
from chat.context import documents, prompts
from chat.context.budget import BudgetError
from chat.context.values import Document, Extra, Fact, History, Prompt, Run, Summary
from chat.context.window import WindowLimits
from chat.providers.validate import validate
from tests.context.stories import make, state, states, story, words
from tests.context.strategies import COUNTER, FILLERS, Case, cases, mark, scaled, turn, turns

MARK = re.compile(r"\[(?:prompt|reply|recalled)-(\d+)\]")


# --- any history, any budget -------------------------------------------------------------------------------


@given(cases())
def test_every_request_is_one_that_the_api_takes(case: Case) -> None:
    request = make(case).request
    validate(request)
    roles = [message.role for message in request.messages]
    assert roles[0] == roles[-1] == "user"
    assert all(left != right for left, right in pairwise(roles))
    assert all(block.text.strip() for block in request.blocks())
    assert sum(block.cache for block in request.blocks()) <= 4


@given(cases())
def test_every_request_fits_its_limit(case: Case) -> None:
    assembled = make(case)
    assert assembled.manifest.estimated <= case.budget.input_limit
    for block in assembled.request.blocks():
        if block.component not in ("history", "pins"):  # whose tokens the API may have counted
            assert block.tokens > case.counter.count(block.text)


@given(cases(), st.integers(1, 400))
def test_a_limit_that_nothing_fits_is_a_typed_error_that_names_a_window_that_works(case: Case, limit: int) -> None:
    try:
        assembled = make(case, limit=limit)
    except BudgetError as error:
        wider = budgets.split(error.least, response=case.budget.response)
        assert make(replace(case, budget=wider)).manifest.estimated <= wider.input_limit
    else:
        assert assembled.manifest.estimated <= limit


@given(cases())
def test_the_runs_of_a_manifest_tile_all_turns(case: Case) -> None:
    manifest = make(case).manifest
    expected = 1
    for run in manifest.runs:
        assert run.first == expected
        assert run.last >= run.first
        expected = run.last + 1
    assert expected == manifest.number + 1 == case.prompt.number + 1


@given(cases())
def test_every_turn_is_in_the_state_in_which_it_reached_the_model(case: Case) -> None:
    assembled = make(case)
    request = assembled.request
    sent = {block.ref: block for block in request.blocks()}
    text = words(request)
    loaded = case.turns
    excluded = dict(case.history.excluded) | {n: one.excluded_by for n, one in loaded.items() if one.excluded_by}
    for number, how in states(assembled).items():
        if number == case.prompt.number:
            whole = case.prompt.text in text or not case.prompt.text.strip()
            assert how == ("verbatim" if whole else "clamped")
        elif number in excluded:
            assert how == "excluded"
            assert state(assembled, number).by == excluded[number]
            assert not any(mark(side, number) in text for side in ("prompt", "reply", "call", "result"))
            assert f"[recalled-{number}]" not in text
        elif how == "verbatim":
            one = loaded[number]
            for side, body in (("prompt", one.prompt), ("reply", one.reply)):
                assert body in text or prompts.escape(body.strip()) in text, side
        elif how == "clamped":
            assert f"turn {number}" in sent
        elif how == "recalled":
            assert f"[recalled-{number}]" in text or mark("prompt", number) in text or f'turn="{number}"' in text
        elif how == "summarised":
            by = state(assembled, number).by
            assert by in sent
            covering = next(summary for summary in case.history.summaries if summary.ref == by)
            assert covering.first <= number <= covering.last
        else:
            assert how == "omitted"
            assert state(assembled, number).by
            assert not any(mark(side, number) in text for side in ("prompt", "reply"))
            covers = [one for one in case.history.summaries if one.first <= number <= one.last]
            assert not any(summary.ref in sent for summary in covers)


@given(cases())
def test_no_turn_stands_twice_in_a_request_and_none_out_of_order(case: Case) -> None:
    request = make(case).request
    blocks = [block for block in request.blocks() if block.component != "facts"]
    seen: dict[str, int] = {}
    for block in blocks:
        for found in set(re.findall(r"\[(?:prompt|reply|result|recalled)-\d+\]", block.text)):
            side, number = found[1:-1].rsplit("-", 1)
            seen[found] = seen.get(found, 0) + 1
            assert seen[found] == 1, found
            assert side == "recalled" or f"[recalled-{number}]" not in seen
    turns_in_order = [int(block.ref.removeprefix("turn ")) for block in blocks if block.component == "history"]
    assert turns_in_order == sorted(turns_in_order)
    summaries = [block.ref for block in blocks if block.component == "summaries"]
    assert summaries == sorted(summaries, key=lambda ref: int(ref.removeprefix("S")))
    recalled = [int(block.ref.removeprefix("turn ")) for block in blocks if block.component == "recall"]
    assert recalled == sorted(recalled)


@given(cases())
def test_the_note_is_there_exactly_when_the_manifest_says_that_something_is_missing(case: Case) -> None:
    assembled = make(case)
    hows = {run.how for run in assembled.manifest.runs}
    texts = [block.text for block in assembled.request.blocks()]
    for how, note in (("summarised", prompts.NOTE_COMPRESSED), ("omitted", prompts.NOTE_OMITTED)):
        assert texts.count(note) == (how in hows)
        if how in hows:
            verbatim = [at for at, block in enumerate(assembled.request.blocks()) if block.component == "history"]
            assert texts.index(note) < min(verbatim, default=len(texts))


CODE = FILLERS[2] * 100
# A document that fitted its budget by what was stored, and a model that turned out to need far more tokens for it.
LEARNT = Case(
    history=History(
        documents=(
            Document(
                name="a.c",
                text=CODE,
                tokens=documents.tokens("a.c", CODE, COUNTER),
                ref="document:1",
                turn=1,
                settled=True,
            ),
        )
    ),
    prompt=Prompt(text="Hello", number=1),
    budget=budgets.split(3_800),
    counter=scaled(0.6),
)


@given(cases())
@example(LEARNT)
def test_the_lines_of_the_budget_report_add_up_to_the_estimate(case: Case) -> None:
    manifest = make(case).manifest
    assert sum(line.used for line in manifest.report) == manifest.estimated
    assert [line.component for line in manifest.report] == list(budgets.COMPONENTS)
    assert all(line.before >= line.used >= 0 for line in manifest.report)
    for name in ("recall", "documents", "facts", "summaries"):
        line = next(line for line in manifest.report if line.component == name)
        frames = 12
        newest = max((case.counter.count(one.text) + 40 for one in case.history.summaries), default=0)
        most = {
            "recall": case.budget.recall + case.budget.documents,
            "documents": case.budget.recall + case.budget.documents,
            "facts": case.budget.facts + 2 * frames,
            "summaries": 10**9 if newest else 0,
        }[name]
        assert line.used <= most + frames


@given(cases())
def test_the_parts_name_every_block_and_their_tokens_with_the_frames_are_the_estimate(case: Case) -> None:
    assembled = make(case)
    manifest, request = assembled.manifest, assembled.request
    assert [(part.ref, part.tokens, part.cache) for part in manifest.parts] == [
        (block.ref, block.tokens, block.cache) for block in request.blocks()
    ]
    assert manifest.estimated == sum(part.tokens for part in manifest.parts) + 8 + 5 * len(request.messages)


@given(cases())
@settings(max_examples=25)
def test_equal_input_makes_equal_bytes(case: Case) -> None:
    first, second = make(case), make(case)
    assert json.dumps(first.request.body()) == json.dumps(second.request.body())
    assert first == second


@given(cases())
def test_the_newest_turns_stay_and_the_oldest_go(case: Case) -> None:
    """Of the turns that are not pinned, those sent word for word are one run that ends at the newest."""
    assembled = make(case)
    loose = [one for one in case.history.turns if not one.pinned and not one.excluded_by]
    sent = [one.number for one in loose if states(assembled).get(one.number) in ("verbatim", "clamped")]
    assert sent == [one.number for one in loose][len(loose) - len(sent) :]


# --- single rules, each with its story ---------------------------------------------------------------------


def test_an_empty_conversation_is_the_message_alone() -> None:
    body = make(story(text="Hello")).request.body()
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert "system" not in body


def test_a_turn_without_an_answer_is_folded_into_the_next_user_message() -> None:
    assembled = make(story(turn(1, "a"), turn(2, "b", answer=""), turn(3, "c", answer="")))
    assert [message.role for message in assembled.request.messages] == ["user", "assistant", "user"]
    refs = [block.ref for block in assembled.request.messages[-1].blocks]
    assert refs == ["turn 2", "turn 3", "turn 4"]


def test_a_blank_message_becomes_words_that_say_so() -> None:
    assert make(story(text=" \n")).request.messages[-1].blocks[-1].text == "(empty message)"


def test_a_summary_stands_for_its_turns_and_carries_the_note() -> None:
    summary = Summary(first=1, last=9, text="They spoke of [the garden].", tokens=30, ref="S1")
    assembled = make(story(*turns(10, 12), summaries=(summary,), window_from=10))
    first = assembled.request.messages[0]
    assert [block.ref for block in first.blocks] == ["note", "S1"]
    assert first.blocks[0].text == prompts.NOTE_COMPRESSED
    assert assembled.manifest.runs[0] == Run(1, 9, "summarised", "S1", 30)
    assert not assembled.manifest.trimmed


def test_a_pinned_turn_of_a_covered_range_stands_word_for_word_after_the_summary() -> None:
    summary = Summary(first=1, last=9, text="They spoke.", tokens=30, ref="S1")
    pinned = turn(4, "pinned words", pinned=True)
    assembled = make(story(pinned, *turns(10, 12), summaries=(summary,), window_from=10))
    refs = [block.ref for message in assembled.request.messages for block in message.blocks]
    assert refs.index("S1") < refs.index("turn 4") < refs.index("turn 10")
    assert [run.how for run in assembled.manifest.runs[:3]] == ["summarised", "verbatim", "summarised"]
    assert sum(run.tokens for run in assembled.manifest.runs if run.how == "summarised") == 30
    assert next(line.used for line in assembled.manifest.report if line.component == "pins") > 0


def test_a_pin_younger_than_the_last_commit_rides_in_the_current_message() -> None:
    summary = Summary(first=1, last=9, text="They spoke.", tokens=30, ref="S1")
    pinned = turn(4, "pinned words", pinned=True, pin_settled=False)
    assembled = make(story(pinned, *turns(10, 12), summaries=(summary,), window_from=10))
    assert mark("prompt", 4) in words(replace(assembled.request, messages=assembled.request.messages[-1:]))
    assert state(assembled, 4) == Run(4, 4, "recalled", "pin", state(assembled, 4).tokens)


def test_a_recalled_turn_is_whole_and_never_one_that_stands_there_or_was_excluded() -> None:
    recalled = tuple(
        Extra(component="recall", text=f"[recalled-{number}] words", tokens=9, ref=f"turn {number}", turn=number)
        for number in (6, 2, 11, 3, 2)
    )
    case = story(*turns(10, 12), extras=recalled, window_from=10, excluded=((3, "user"),))
    assembled = make(case)
    assert MARK.findall(words(replace(assembled.request, messages=assembled.request.messages[-1:]))) == ["2", "6"]
    assert {number for number, how in states(assembled).items() if how == "recalled"} == {2, 6}


def test_a_document_over_its_budget_is_cut_with_a_visible_marker() -> None:
    text = prompts.wrap_document(name="report", text="figures " * 60_000)
    assembled = make(story(turn(1, "a"), extras=(Extra(component="documents", text=text, tokens=1, ref="report"),)))
    block = next(block for block in assembled.request.blocks() if block.component == "documents")
    assert "[... truncated to fit the documents budget (40,000 tokens) ...]" in block.text
    assert block.text.endswith("</document>")
    line = next(line for line in assembled.manifest.report if line.component == "documents")
    assert line.truncated
    assert line.used <= 53_333 < line.before
    assert assembled.dropped == {"documents"}


def test_a_fact_is_said_where_neither_a_turn_nor_a_summary_says_it() -> None:
    summary = Summary(first=1, last=9, text="Order A-7731 was late.", tokens=30, ref="S1")
    facts = (
        Fact(kind="id", value="A-7731", turn=3),
        Fact(kind="id", value="B-2200", turn=5),
        Fact(kind="id", value="C-9000", turn=11),
        Fact(kind="name", value="Mara", turn=None, settled=False),
        Fact(kind="id", value="D-1111", turn=2),
    )
    case = story(*turns(10, 12), summaries=(summary,), facts=facts, window_from=10, excluded=((2, "user"),))
    request = make(case).request
    settled = next(block for block in request.messages[0].blocks if block.component == "facts")
    fresh = next(block for block in request.messages[-1].blocks if block.component == "facts")
    assert "B-2200" in settled.text
    assert "Mara" in fresh.text
    assert not any(value in settled.text + fresh.text for value in ("A-7731", "C-9000", "D-1111", "X"))


def test_a_value_that_a_summary_mentions_but_does_not_list_is_said_all_the_same() -> None:
    text = f'Hello Lena Brandt.\n{prompts.EXACT_HEADING}\n- A-7731: "the order A-7731"\n## Artefacts\n- B-2200'
    summary = Summary(first=1, last=9, text=text, tokens=60, ref="S1")
    facts = tuple(Fact(kind="id", value=value, turn=3) for value in ("Lena Brandt", "A-7731", "B-2200"))
    request = make(story(*turns(10, 12), summaries=(summary,), facts=facts, window_from=10)).request
    said = next(block.text for block in request.messages[0].blocks if block.component == "facts")
    assert [value in said for value in ("Lena Brandt", "A-7731", "B-2200")] == [True, False, True]


def test_facts_over_their_budget_are_counted_as_cut_and_those_that_need_not_be_said_are_not() -> None:
    spoken = tuple(Fact(kind="id", value=f"A-{number}", turn=11) for number in range(50))
    line = next(
        line
        for line in make(story(*turns(10, 12), facts=spoken, window_from=10, window=8_000)).manifest.report
        if line.component == "facts"
    )
    assert (line.used, line.before, line.truncated) == (0, 0, False)
    unspoken = tuple(Fact(kind="id", value=f"B-{number}", turn=3) for number in range(50))
    assembled = make(story(*turns(10, 12), facts=unspoken, window_from=10, window=8_000))
    line = next(line for line in assembled.manifest.report if line.component == "facts")
    assert 0 < line.used <= line.budget < line.before
    assert assembled.dropped == {"facts"}


def test_the_facts_of_turns_that_a_trim_left_out_are_said() -> None:
    facts = (Fact(kind="id", value="A-7731", turn=2),)
    case = story(*turns(1, 100, tokens=1_000), facts=facts, window=80_000)
    assembled = make(case)
    assert state(assembled, 2).how == "omitted"
    assert "A-7731" in words(assembled.request)


def test_the_current_message_is_the_last_word_and_the_date_stands_right_before_it() -> None:
    case = replace(story(turn(1, "a")), prompt=Prompt(text="Now?", number=2, date="2026-01-31"))
    assert [block.text for block in make(case).request.messages[-1].blocks] == ["Today is 2026-01-31.", "Now?"]


def test_of_too_many_summaries_the_newest_are_sent_and_the_oldest_run_is_omitted() -> None:
    summaries = tuple(
        Summary(
            first=at * 10 + 1, last=at * 10 + 10, text=f"[summary-{at}] " + "words " * 200, tokens=400, ref=f"S{at}"
        )
        for at in range(20)
    )
    assembled = make(story(*turns(201, 202), summaries=summaries, window_from=201, window=16_000))
    sent = [block.ref for block in assembled.request.blocks() if block.component == "summaries"]
    assert sent == [f"S{at}" for at in range(14, 20)]
    assert assembled.manifest.runs[0] == Run(1, 140, "omitted", "trimmed")


def test_the_start_moves_a_batch_at_once_where_loading_stopped_short_of_it() -> None:
    assembled = make(story(*turns(21, 40), window_from=1, last=40))
    assert assembled.manifest.window_from == 26
    assert assembled.manifest.runs[0] == Run(1, 25, "omitted", "trimmed")
    assert assembled.manifest.trimmed


# --- amnesia: what the support desk knows ------------------------------------------------------------------


def test_a_sliding_window_of_20_messages_has_lost_the_first_by_the_25th() -> None:
    window_from = 1
    limits = WindowLimits(max_messages=20)
    for number in range(1, 26):
        case = story(*turns(window_from, number - 1), last=number - 1, window_from=window_from, limits=limits)
        assembled = make(case)
        window_from = assembled.manifest.window_from
    assert state(assembled, 1).how == "omitted"
    assert state(assembled, 1).by == "window"
    assert prompts.NOTE_OMITTED in words(assembled.request)


# --- the cost of accounting --------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [100, 100_000])
def test_a_manifest_is_as_small_at_100_000_turns_as_at_100(last: int) -> None:
    width = max(1, (last - 20) // 45)
    summaries = tuple(
        Summary(first=at * width + 1, last=(at + 1) * width, text="They spoke.", tokens=30, ref=f"S{at}")
        for at in range(45)
    )
    case = story(
        turn(7, "pinned", pinned=True),
        *turns(last - 19, last),
        last=last,
        summaries=summaries,
        window_from=last - 19,
        excluded=((5, "user"), (9, "user"), (last - 30, "refusal")),
    )
    runs = make(case).manifest.runs
    rows = [[run.first, run.last, run.how, run.by, run.tokens] for run in runs]
    assert len(rows) <= 64
    assert len(json.dumps(rows)) <= 8_192


def test_turns_that_were_not_loaded_are_accounted_for() -> None:
    case = story(*turns(99_990, 100_000), last=100_000, window_from=99_990)
    assembled = make(case)
    assert assembled.manifest.runs[0] == Run(1, 99_989, "omitted", "trimmed")
    assert len(assembled.manifest.runs) == 2
