"""The gate: what may stand for turns, what may not, and no exact value lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context import exact, gate, prompts
from chat.context.gate import check_summary
from chat.context.tokens import Counter
from chat.context.values import Fact, Turn

COUNTER = Counter()
SOURCE = (
    "Hello, my name is Anna Weber and my order number is A-7731. I paid € 1,849.00 on 12 September 2025 and nothing has"
    " arrived. The shop promised to send the pump by Friday, but I only got a mail from help@example.com.\n\n"
    "I am sorry to hear that. I have looked it up and the parcel is still in our hall in Linz, because the label was"
    " damaged. I will have it packed again today and you will get it by express at no cost to you.\n\n"
) + "We then went on to talk about the weather and about how the pump should be mounted in the cellar. " * 12


def summary(**sections):
    """A good summary; a section can be replaced by its first word."""
    bodies = {
        "goal": "Anna wants her pump; the parcel is being packed again.",
        "decisions": "- express, because the label was damaged",
        "commitments": "- the shop sends it today",
        "exact": '- A-7731: "my order number is A-7731"',
        "artefacts": "- none",
        "lookup": "- pump, label, parcel",
    } | sections
    lines = [prompts.OPENING + " a customer asks the shop about a parcel that has not arrived."]
    for heading, body in zip(prompts.HEADINGS, bodies.values(), strict=True):
        lines += [heading, body]
    return "\n".join(lines)


def judge(text, **changes):
    given_ = {
        "text": text,
        "stop_reason": "end_turn",
        "source": SOURCE,
        "source_tokens": COUNTER.count(SOURCE),
        "counter": COUNTER,
    } | changes
    return check_summary(**given_)


def test_a_good_summary_passes_with_its_size():
    verdict = judge(summary())
    assert verdict.ok
    assert verdict.codes == ()
    assert verdict.tokens == COUNTER.count(verdict.text)


# Failures that other engines had, each with the code that monitoring sees.


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b", prompts.OPENING, "...", "- none"])
def test_a_blank_summary_is_never_saved(text):
    verdict = judge(text)
    assert not verdict.ok
    assert "blank" in verdict.codes


def test_headings_with_nothing_under_them_are_blank():
    text = "\n".join([prompts.OPENING, *(f"{heading}\n- none" for heading in prompts.HEADINGS)])
    assert judge(text).codes == ("blank",)


@pytest.mark.parametrize(
    "reasoning",
    [
        "<thinking>The user wants a summary.</thinking>",
        "<think>",
        "</reasoning>",
        "<scratchpad>let me see</scratchpad>",
    ],
)
def test_reasoning_is_never_saved_as_a_summary(reasoning):
    assert judge(summary(goal=f"{reasoning} Anna wants her pump, and soon.")).codes == ("tool_text",)


@pytest.mark.parametrize(
    "call",
    [
        '{"type": "tool_use", "id": "toolu_1", "name": "search"}',
        '{"tool_use_id": "toolu_1"}',
        '<invoke name="search">',
        "<function_calls>",
        '<tool_call>{"name": "search"}</tool_call>',
        "<|tool_calls_begin|>",
    ],
)
def test_tool_text_is_never_saved_as_a_summary(call):
    assert judge(summary(artefacts=call)).codes == ("tool_text",)


def test_code_that_is_talked_about_is_not_taken_for_a_tool_call():
    assert judge(summary(artefacts="- the page with `<thinking>` and `</think>` in it")).ok


def test_a_stub_does_not_replace_history():
    verdict = judge("[Metadata summary: 42 messages were exchanged between the user and the assistant]")
    assert verdict.codes == ("sections",)


@pytest.mark.parametrize("heading", prompts.HEADINGS)
def test_a_summary_that_lacks_a_section_fails(heading):
    assert judge(summary().replace(f"{heading}\n", "")).codes == ("sections",)


def test_a_summary_that_does_not_open_as_told_fails():
    assert judge("Sure! Here is the summary.\n" + summary()).codes == ("sections",)


def test_a_heading_may_carry_a_colon():
    assert judge(summary().replace("## Artefacts", "## Artefacts:")).ok


def test_summaries_do_not_nest():
    assert judge(summary(goal=summary())).codes == ("nested",)
    assert judge(summary(lookup="- pump\n## Artefacts\n- again")).codes == ("nested",)


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "tool_use", "pause_turn", "", "stop_sequence"])
def test_a_reply_that_did_not_end_by_itself_fails(reason):
    assert judge(summary(), stop_reason=reason).codes == ("stop_reason",)


def test_a_transcript_that_is_handed_back_fails():
    assert judge(summary(goal='<turn number="1"> Anna: where is my pump, and when will it come?')).codes == ("echo",)


def test_every_code_that_holds_is_named():
    codes = judge("<thinking>" + "a" * 9_000, stop_reason="max_tokens").codes
    assert codes == ("stop_reason", "sections", "tool_text")


# Size.


def test_a_summary_longer_than_its_part_of_the_source_fails():
    source = SOURCE[: len(SOURCE) // 2]
    tokens = COUNTER.count(source)
    filler = "The pump is to be mounted in the cellar next to the boiler. "
    fits = summary(goal=filler)
    assert COUNTER.count(fits) <= tokens * gate.MOST_OF_SOURCE
    assert judge(fits, source=source, source_tokens=tokens).ok
    assert judge(summary(goal=filler * 12), source=source, source_tokens=tokens).codes == ("too_long",)


def test_the_limit_is_sixty_percent_of_the_source():
    text = summary(goal="The pump is to be mounted in the cellar next to the boiler. " * 6, exact="- none")
    size = COUNTER.count(text.replace(f"{prompts.EXACT_HEADING}\n- none\n", ""))
    least = next(tokens for tokens in range(100, 2_000) if judge(text, source="a pump", source_tokens=tokens).ok)
    assert abs(least - size / 0.6) <= 3


def test_a_summary_over_its_cap_fails_however_long_the_source():
    long = summary(goal="The pump is to be mounted in the cellar next to the boiler. " * 30)
    source = SOURCE * 20
    assert judge(long, source=source, source_tokens=COUNTER.count(source)).codes == ("too_long",)
    assert judge(long, source=source, source_tokens=COUNTER.count(source), limit_tokens=900).ok


def test_a_tiny_source_can_still_be_summarised():
    source = "My order number is A-7731. Where is it? It is on its way to you."
    text = summary(
        goal="A parcel is late.", decisions="- none", commitments="- none", exact="- none", lookup="- parcel"
    )
    verdict = judge(text.replace(" about a parcel that has not arrived", ""), source=source, source_tokens=25)
    assert verdict.ok
    assert "A-7731" in verdict.text


def test_the_list_of_exact_values_does_not_count_as_length():
    values = "\n".join(f"- B-{n:04d}" for n in range(40))
    assert judge(summary(exact=values), exact_tokens=2_000).ok


# Language.

GERMAN = (
    "Hallo, ich bin Anna und ich warte auf meine Pumpe. Sie ist nicht angekommen und ich habe von dem Laden nichts"
    " gehört. Das Paket liegt noch in der Halle, und der Laden wird es heute mit einem Boten auf den Weg bringen. "
) * 10


def test_a_summary_in_another_language_than_its_source_fails():
    assert judge(summary(), source=GERMAN, source_tokens=COUNTER.count(GERMAN)).codes == ("language",)


def test_a_summary_in_the_language_of_its_source_passes_below_english_headings():
    text = summary(
        goal="Anna wartet auf die Pumpe, und der Laden hat das Paket noch nicht auf den Weg gebracht.",
        decisions="- mit einem Boten, weil das Paket noch in der Halle liegt",
        commitments="- der Laden bringt es heute auf den Weg",
        lookup="- Pumpe, Paket, Halle",
    ).replace("a customer asks the shop about a parcel that has not arrived.", "es geht um ein Paket.")
    assert judge(text, source=GERMAN, source_tokens=COUNTER.count(GERMAN)).ok


def test_a_source_whose_language_is_unknown_takes_any_summary():
    source = "1234 5678 = 0x9f\n" * 200
    assert judge(summary(), source=source, source_tokens=COUNTER.count(source)).ok


# Exact values.


def test_every_exact_value_of_the_source_is_in_the_text_or_in_the_facts():
    fact = Fact(kind="email", value="help@example.com", quote="a mail from help@example.com")
    verdict = judge(summary(), facts=[fact])
    haystack = exact.Haystack(verdict.text + "\n" + fact.value)
    assert {value.value for value in verdict.values} >= {
        "Anna Weber",
        "A-7731",
        "€ 1,849.00",
        "12 September 2025",
        "help@example.com",
    }
    assert all(haystack.holds(value.value) for value in verdict.values)
    assert "help@example.com" not in verdict.text
    assert verdict.left_out == ()


def test_missing_values_are_added_from_the_source_with_their_clause_below_the_models_own():
    verdict = judge(summary())
    block = verdict.text.split(prompts.EXACT_HEADING)[1].split("## Artefacts")[0].strip().splitlines()
    assert block[0] == '- A-7731: "my order number is A-7731"'
    assert '- € 1,849.00, 12 September 2025: "I paid € 1,849.00 on 12 September 2025 and nothing has arrived"' in block
    assert [value.value for value in verdict.missing][:2] == ["Anna Weber", "€ 1,849.00"]


def test_an_empty_list_loses_its_none_when_values_are_added_and_keeps_it_when_there_are_none():
    assert "- none\n- " not in judge(summary(exact="- none")).text.split(prompts.EXACT_HEADING)[1]
    source = "We talked about the pump and the boiler and the cellar and the weather, and that was all. " * 20
    text = judge(summary(exact="- none"), source=source, source_tokens=COUNTER.count(source)).text
    assert f"{prompts.EXACT_HEADING}\n- none\n" in text


def test_a_value_in_another_spelling_is_not_added_again():
    verdict = judge(summary(exact="- A–7731\n- €\u202f1849,00\n- Anna Weber\n- HELP@example.com"))
    assert [value.value for value in verdict.missing] == ["12 September 2025"]


def test_the_order_of_sections_is_ours_whatever_the_models():
    shuffled = summary().replace("## Artefacts\n- none\n", "") + "\n## Artefacts\n- a plan"
    text = judge(shuffled).text
    places = [text.index(heading) for heading in prompts.HEADINGS]
    assert places == sorted(places)


LOG = "\n".join(f"order C-{n:05d} failed with € {n}.50 at the till" for n in range(5_000))


def test_a_pasted_log_fills_its_budget_and_the_summary_says_how_many_more_there_are():
    verdict = judge(summary(), source=LOG, source_tokens=COUNTER.count(LOG), exact_tokens=300)
    assert verdict.ok
    assert len(verdict.values) == 10_000
    assert len(verdict.missing) + len(verdict.left_out) == len(verdict.values)
    assert f"{len(verdict.left_out):,} more exact values are kept outside this summary" in verdict.text
    assert verdict.tokens <= COUNTER.count(summary()) + 300 + 40


def test_where_room_is_short_more_values_are_kept_with_shorter_clauses_and_ids_come_first():
    source = "\n".join(
        f"Please note that the container with the order number D-{n:04d} weighs {n + 2} kg at the harbour of Linz"
        for n in range(60)
    )
    verdict = judge(summary(exact="- none"), source=source, source_tokens=COUNTER.count(source), exact_tokens=400)
    kept = [value for value in verdict.missing if value.kind == "id"]
    assert len(kept) >= 10
    assert all("order number" in value.quote for value in kept)
    assert {value.kind for value in verdict.left_out} >= {"quantity"}


def test_one_value_more_is_said_in_the_singular():
    assert gate.more_values(1) == "1 more exact value is kept outside this summary"


def test_a_list_of_the_model_that_is_too_long_is_cut_and_what_is_lost_of_it_is_put_back_by_worth():
    values = "\n".join(f"- item {n} of the long list that the model made up" for n in range(400))
    verdict = judge(summary(exact=values + "\n- A-7731"), exact_tokens=300)
    assert verdict.ok
    assert verdict.tokens <= COUNTER.count(summary()) + 300 + 40
    assert "A-7731" in [value.value for value in (*verdict.missing, *verdict.left_out)]


def test_our_own_transcript_frame_holds_no_values():
    turns = [Turn(number=number, prompt="the pump", reply="the boiler") for number in range(990, 1010)]
    transcript = prompts.render_transcript(turns)
    assert exact.find(transcript)
    assert judge(summary(), source=transcript, source_tokens=900).values == ()


def test_a_merge_takes_over_the_values_of_its_children_and_how_many_they_left_out():
    children = [
        judge(summary(exact="- none")).text,
        judge(summary(exact="- none"), source=LOG, source_tokens=COUNTER.count(LOG), exact_tokens=100),
    ]
    outside = len(children[1].left_out)
    source = f"{children[0]}\n\n{children[1].text}"
    verdict = judge(summary(exact="- none"), source=source, source_tokens=COUNTER.count(source), exact_tokens=900)
    assert verdict.ok
    assert verdict.left_out == ()
    assert {"A-7731", "Anna Weber", "C-00000"} <= {value.value for value in verdict.missing}
    assert not [value for value in verdict.values if value.kind == "quoted"]
    assert f"{outside:,} more exact values are kept outside this summary" in verdict.text
    assert verdict.text.count("kept outside") == 1
    assert '"I paid € 1,849.00 on 12 September 2025 and nothing has arrived"' in verdict.text


def test_a_merge_keeps_a_value_whose_quote_does_not_hold_it():
    source = summary(exact='- E-5512: "the number on the label"')
    verdict = judge(summary(exact="- none"), source=source, source_tokens=900)
    assert [(value.value, value.quote) for value in verdict.missing] == [("E-5512", "E-5512: the number on the label")]


def test_a_model_that_copies_the_line_of_what_was_left_out_does_not_double_it():
    text = judge(summary(exact="9 more exact values are kept outside this summary")).text
    assert "kept outside" not in text


def test_a_failed_text_is_returned_as_it_came_with_the_values_of_its_source():
    verdict = judge("no summary at all, just a remark")
    assert (verdict.ok, verdict.text) == (False, "no summary at all, just a remark")
    assert "A-7731" in [value.value for value in verdict.values]
    assert verdict.missing == verdict.left_out == ()


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300), st.integers(0, 200))
def test_no_text_breaks_the_gate(text, source, room):
    whole = summary(goal=f"The pump is to be mounted in the cellar. {text}")
    for candidate in (text, whole):
        verdict = judge(candidate, source=source, source_tokens=COUNTER.count(source), exact_tokens=room)
        assert verdict.ok == (not verdict.codes)
        if verdict.ok:
            assert len(verdict.missing) + len(verdict.left_out) <= len(verdict.values)
            assert verdict.text.startswith(prompts.OPENING)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["A-7731", "€ 5.00", "x@example.com", "3 Nov", "fw 2.4.1", '"red fox"', "6 bar", "Mr. Bond"])
    )
)
def test_whatever_values_a_source_has_none_is_lost(parts):
    source = "\n".join(f"and then we noted {part} down" for part in parts)
    verdict = judge(summary(exact="- none"), source=source, source_tokens=COUNTER.count(source))
    assert verdict.ok
    held = exact.Haystack(verdict.text)
    assert all(held.holds(value.value) for value in exact.find(source))
