"""The split of a window: proportions, the preset, floors, and errors that name what would work."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context import budget as budgets
from chat.context.assembly import assemble
from chat.context.budget import (
    COMPONENTS,
    GIVES_WAY,
    PARTS,
    Budget,
    BudgetError,
    least_window,
    parse,
    split,
)
from chat.context.overflow import LADDER
from chat.context.values import Fact, History, Prompt
from tests.context.strategies import COUNTER, MODEL, scaled, turns

PRESET = (
    "total=150000 system=3000 history=60000 documents=30000 recall=10000 tool_results=20000 response=8000 "
    "headroom=19000"
)

windows = st.integers(1_000, 2_000_000)


def promised(budget: Budget) -> int:
    """What is given away, with the reserves: summaries, facts and pins live inside history's share."""
    return (
        budget.system
        + budget.history
        + budget.documents
        + budget.recall
        + budget.tool_results
        + budget.response
        + budget.headroom
    )


def test_the_parts_of_150_k_are_the_declared_ones() -> None:
    budget = split(150_000)
    assert {name: getattr(budget, name) for name in PARTS} == {name: part * 1_000 for name, part in PARTS.items()}
    assert budget.documents + budget.recall == 40_000
    assert budget.input_limit == 123_000
    assert budget.hard_limit == 142_000


@given(windows)
def test_the_proportions_fill_any_window_and_promise_no_token_twice(window: int) -> None:
    budget = split(window)
    assert promised(budget) <= window
    assert window - promised(budget) <= 10
    assert budget.headroom == pytest.approx(window * 19 / 150, abs=2)
    assert budget.summaries + budget.facts + budget.pins <= budget.history


@given(windows, st.integers(0, 100_000), st.one_of(st.none(), st.integers(1, 64_000)))
def test_floors_hold_or_the_error_names_the_least_window(window: int, system: int, response: int | None) -> None:
    least = least_window(response=response, system_tokens=system)
    if window < least:
        with pytest.raises(BudgetError, match=f"least window is {least:,}") as caught:
            split(window, response=response, system_tokens=system)
        assert caught.value.least == least
        return
    budget = split(window, response=response, system_tokens=system)
    assert budget.response >= 512
    assert budget.response == max(512, response) if response else True
    assert budget.system >= system
    assert budget.input_limit >= system + budgets.NEWEST_TURN_FLOOR
    assert promised(budget) <= window


@given(st.integers(0, 50_000), st.sampled_from([0.5, 1.0, 5.0]), st.text(min_size=1, max_size=2_000))
def test_the_least_window_really_takes_any_message(length: int, factor: float, text: str) -> None:
    counter = scaled(factor)
    instructions = ("Be brief. " * (length // 10 + 1))[:length]
    system = counter.count(instructions)
    budget = split(least_window(system_tokens=system), system_tokens=system)
    history = History(
        instructions=instructions,
        facts=(Fact(kind="id", value="A-7731"),),
        turns=turns(1, 9, tokens=500),
        last=9,
    )
    prompt = Prompt(text=text, number=10, date="2026-01-31")
    assembled = assemble(history, prompt, budget, counter, model=MODEL)
    assert assembled.manifest.estimated <= budget.input_limit
    with pytest.raises(BudgetError):
        split(budget.window - 1, system_tokens=system)


def test_a_preset_is_taken_as_it_is_and_not_stretched() -> None:
    preset = parse(PRESET)
    assert split(150_000, preset=preset) == split(150_000)
    wide = split(200_000, preset=preset)
    assert wide.history == 60_000
    assert wide.input_limit == 123_000
    assert wide.window == 200_000


def test_a_preset_shrinks_with_a_smaller_window() -> None:
    assert split(75_000, preset=parse(PRESET)).history == 30_000


def test_floors_hold_against_a_preset_too() -> None:
    preset = parse(PRESET)
    budget = split(400_000, preset=preset, system_tokens=200_000)
    assert budget.system == 200_000
    least = least_window(preset=preset, system_tokens=200_000)
    assert 200_000 < least <= 400_000
    assert split(least, preset=preset, system_tokens=200_000).input_limit >= 200_000
    with pytest.raises(BudgetError):
        split(least - 1, preset=preset, system_tokens=200_000)


def test_the_room_is_what_the_other_components_leave() -> None:
    budget = split(150_000)
    assert budget.room(23_000) == 100_000
    assert budget.room(500_000) == 0


def test_every_component_has_a_budget() -> None:
    budget = split(150_000)
    assert {name: budget.of(name) > 0 for name in COMPONENTS} == dict.fromkeys(COMPONENTS, True)
    assert budget.of("current") == budget.input_limit


def test_summaries_may_borrow_a_fixed_amount_and_a_small_window_has_room_for_four() -> None:
    assert split(150_000).summaries_at_most == 22_500
    assert split(16_000).summaries == 1_600
    assert split(8_000).summaries == pytest.approx(1_600, abs=30)
    assert split(1_000).summaries < 100


def test_the_default_is_no_preset() -> None:
    assert parse("") is None
    assert parse(" \n") is None


def test_a_preset_without_total_is_the_sum_of_its_parts() -> None:
    preset = parse(PRESET.removeprefix("total=150000 "))
    assert preset == parse(PRESET)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"{PRESET} pictures=3", "'pictures=3' names no component"),
        (PRESET.replace("20000", "many"), "'tool_results=many' is not a number"),
        (PRESET.replace("20000", "-1"), "'tool_results=-1' is not a number"),
        (PRESET.replace("20000", "²"), "is not a number"),
        (PRESET.replace(" headroom=19000", ""), "names no headroom"),
        (f"{PRESET} system=4", "'system=4' comes second"),
        (PRESET.replace("150000", "100"), "'total=100' is less than its parts, which are 150000"),
        (PRESET.replace("history=60000", "history=0"), "no room for a conversation"),
        ("150000", "'150000' names no component"),
    ],
)
def test_a_preset_that_cannot_be_read_names_the_word(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("²", "")):
        parse(text)


def test_one_declared_order_serves_budget_and_ladder() -> None:
    order = list(dict.fromkeys(rung.component for rung in LADDER))
    assert order[-1] == "current"
    assert order[:-1] == list(GIVES_WAY)
    assert set(GIVES_WAY) == set(COMPONENTS) - {"system", "current"}


def test_components_borrow_what_others_leave_free() -> None:
    """A history of 100 k fits although its own share is 60 k."""
    history = History(turns=turns(1, 100, tokens=1_000), last=100)
    assembled = assemble(history, Prompt(text="And?", number=101), split(150_000), COUNTER, model=MODEL)
    assert assembled.rung == ""
    line = next(line for line in assembled.manifest.report if line.component == "history")
    assert line.budget == 60_000 < line.used
    assert not line.truncated
    assert replace(line, before=line.used + 1).truncated
