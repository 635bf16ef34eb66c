"""What a request is made of is read in O(window), of one context version, with all that belongs to it."""

import uuid
from typing import Any

import pytest
from django.utils import timezone

from chat.models import ChatSession, Fact, Manifest, Step, Summary, Turn
from chat.store import branches, loading
from chat.store.loading import LoadLimits
from tests.store.building import compress, conversation, fork, reread, turn

WIDE = LoadLimits(turns=400, tokens=1_000_000)


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 20)


def ask(session: ChatSession) -> Turn:
    """The live turn that is to be loaded."""
    return branches.new_turn(reread(session), prompt="And now?", client_id=uuid.uuid4(), tokens=5)


def load(session: ChatSession, limits: LoadLimits = WIDE) -> loading.Loaded:
    live = Turn.objects.live().filter(session=session).first() or ask(session)
    return loading.load(live.pk, lambda plan: limits)


def loaded_numbers(loaded: loading.Loaded) -> list[int]:
    return [turn.number for turn in loaded.history.turns]


def test_all_of_the_path_before_the_live_turn_in_order(session: ChatSession) -> None:
    loaded = load(session)
    assert loaded_numbers(loaded) == list(range(1, 21))
    assert (loaded.number, loaded.prompt, loaded.history.last) == (21, "And now?", 20)
    first = loaded.history.turns[0]
    assert (first.prompt, first.reply, first.tokens) == ("Question 1. ", "Answer 1. ", 100)
    assert loaded.history.instructions == session.instructions.text


def test_the_window_starts_where_the_session_says(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(window_from=15)
    assert loaded_numbers(load(session)) == list(range(15, 21))


def test_tokens_bound_a_load_and_the_turn_that_crosses_the_line_counts(session: ChatSession) -> None:
    assert loaded_numbers(load(session, LoadLimits(turns=400, tokens=350))) == [17, 18, 19, 20]
    assert loaded_numbers(load(session, LoadLimits(turns=400, tokens=1))) == [20]


def test_turns_bound_a_load(session: ChatSession) -> None:
    assert loaded_numbers(load(session, LoadLimits(turns=3, tokens=1_000_000))) == [18, 19, 20]


def test_the_path_is_the_active_one(session: ChatSession) -> None:
    fork(session, 10, "Another way.")
    loaded = load(session)
    assert loaded_numbers(loaded) == list(range(1, 11))
    assert loaded.history.turns[-1].prompt == "Another way."


def test_summaries_come_oldest_first_and_only_the_active_ones(session: ChatSession) -> None:
    compress(session, (1, 4), (5, 8))
    Summary.objects.create(session=session, first=9, last=10, until=turn(session, 10), state="resting",
                           source_hash="", input_hash="")  # fmt: skip
    loaded = load(session)
    assert [(one.first, one.last, one.text) for one in loaded.history.summaries] == [
        (1, 4, "Turns 1 to 4."),
        (5, 8, "Turns 5 to 8."),
    ]
    assert loaded.history.window_from == 9
    assert loaded_numbers(loaded) == list(range(9, 21))


def test_older_pins_come_whole_and_older_exclusions_by_number(session: ChatSession) -> None:
    compress(session, (1, 8))
    rows = Turn.objects.filter(session=session)
    rows.filter(number=3).update(pinned_since=0)
    rows.filter(number=5).update(pinned_since=9)
    rows.filter(number=6).update(excluded_by="user")
    rows.filter(number=15).update(excluded_by="refusal")
    ChatSession.objects.filter(pk=session.pk).update(marked=4)
    loaded = load(session)
    turns = {turn.number: turn for turn in loaded.history.turns}
    assert loaded_numbers(loaded) == [3, 5, *range(9, 21)]
    assert turns[3].pinned
    assert turns[3].pin_settled
    assert not turns[5].pin_settled
    assert loaded.history.excluded == ((6, "user"),)
    assert turns[15].excluded_by == "refusal"


def test_steps_come_with_their_turn_in_order(session: ChatSession) -> None:
    own = turn(session, 19)
    Step.objects.create(turn=own, index=1, kind="tool_result", body="42", call_id="c", tokens=3)
    Step.objects.create(turn=own, index=0, kind="tool_use", body="{}", call_id="c", name="add", tokens=4)
    Turn.objects.filter(pk=own.pk).update(step_count=2)
    steps = load(session).history.turns[18].steps
    assert [(step.kind, step.body) for step in steps] == [("tool_use", "{}"), ("tool_result", "42")]


def fact(session: ChatSession, value: str, number: int | None, **values: Any) -> Fact:
    return Fact.objects.create(
        session=session, kind="id", value=value, turn=turn(session, number) if number else None, **values
    )


def test_facts_of_turns_that_are_sent_anyway_are_not_repeated(session: ChatSession) -> None:
    compress(session, (1, 8))
    fact(session, "covered", 3)
    fact(session, "sent", 12)
    fact(session, "pinned", 14, pinned=True)
    fact(session, "told", None)
    fact(session, "forgotten", 4, forgotten_at=timezone.now())
    assert [one.value for one in load(session).history.facts] == ["pinned", "told", "covered"]


def test_a_fact_of_another_branch_is_not_current(session: ChatSession) -> None:
    fact(session, "old", 9)
    fork(session, 9)
    ChatSession.objects.filter(pk=session.pk).update(window_from=9)
    assert load(session).history.facts == ()


def test_a_fact_that_another_supersedes_is_not_told(session: ChatSession) -> None:
    compress(session, (1, 8))
    old = fact(session, "Monday", 2)
    fact(session, "Tuesday", 5, supersedes=old)
    assert [one.value for one in load(session).history.facts] == ["Tuesday"]


def test_a_fact_is_settled_once_it_was_known_at_a_commit(session: ChatSession) -> None:
    compress(session, (1, 8))
    fact(session, "known", 3, since=0)
    fact(session, "new", 5, since=2)
    assert {one.value: one.settled for one in load(session).history.facts} == {"known": True, "new": False}


def test_what_was_measured_of_the_turn_before_comes_too(session: ChatSession) -> None:
    assert load(session).previous is None
    values = {"context_version": 0, "model": "large", "window": 1, "window_from": 1, "ranges": [], "parts": [],
              "budget": [], "estimated": 1}  # fmt: skip
    Manifest.objects.create(turn=session.head, measured=900, **values)
    assert load(session).previous is None
    Turn.objects.filter(pk=session.head_id).update(reply_source="api")
    before = load(session).previous
    assert (before.measured, before.reply_tokens, before.window_from) == (900, 50, 1)


def test_a_load_is_repeated_when_the_context_moved_under_it(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = ask(session)
    real, calls = loading._facts, []

    def moved(head: Any) -> Any:
        if not calls:
            ChatSession.objects.filter(pk=session.pk).update(context_version=7)
        calls.append(1)
        return real(head)

    monkeypatch.setattr(loading, "_facts", moved)
    assert loading.load(live.pk, lambda plan: WIDE).context_version == 7
    assert len(calls) == 2


def test_a_context_that_never_rests_is_given_up(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    live = ask(session)

    def moved(head: Any) -> tuple[int, list]:
        ChatSession.objects.filter(pk=session.pk).update(context_version=reread(session).context_version + 1)
        return head.context_version + 1, []

    monkeypatch.setattr(loading, "_facts", moved)
    with pytest.raises(loading.MovedTooOften):
        loading.load(live.pk, lambda plan: WIDE)


def test_a_turn_that_is_gone_is_said_to_be(session: ChatSession) -> None:
    with pytest.raises(Turn.DoesNotExist):
        loading.load(424242, lambda plan: WIDE)


@pytest.mark.parametrize("turns", [100, 5_000])
def test_a_load_costs_the_same_at_any_length(alice: Any, turns: int, django_assert_num_queries: Any) -> None:
    session = conversation(alice, turns)
    last = turns - 30
    compress(session, *[(first, min(first + last // 4, last)) for first in range(1, last + 1, last // 4 + 1)])
    ChatSession.objects.filter(pk=session.pk).update(marked=1)
    Turn.objects.filter(session=session, number=7).update(pinned_since=0)
    live = ask(session)
    # head, window, two for marks, summaries, facts with the version.
    with django_assert_num_queries(6):
        loaded = loading.load(live.pk, lambda plan: WIDE)
    assert len(loaded.history.turns) == 31


def test_a_plain_load_costs_three_queries(session: ChatSession, django_assert_num_queries: Any) -> None:
    live = ask(session)
    with django_assert_num_queries(3):
        loading.load(live.pk, lambda plan: WIDE)


def test_the_turns_of_a_summary_come_with_all_their_words(session: ChatSession) -> None:
    Turn.objects.filter(session=session, number=4).update(excluded_by="user", pinned_since=3)
    turns = loading.turns_between(session.pk, 3, 5)
    assert [(turn.number, turn.excluded_by, turn.pinned) for turn in turns] == [
        (3, "", False),
        (4, "user", True),
        (5, "", False),
    ]


def test_a_session_that_leaves_turns_out_says_of_them_only_what_a_person_pinned_or_told(session: ChatSession) -> None:
    first = turn(session, 1)
    Fact.objects.create(session=session, kind="id", value="A-7731", turn=first)
    Fact.objects.create(session=session, kind="id", value="R-2209", turn=first, pinned=True)
    Fact.objects.create(session=session, kind="preference", value="short answers", made_by=Fact.MadeBy.USER)
    ChatSession.objects.filter(pk=session.pk).update(window_from=10)
    assert {fact.value for fact in load(session).history.facts} == {"A-7731", "R-2209", "short answers"}
    for values in ({"strategy": ChatSession.Strategy.SLIDING_WINDOW}, {"mode": ChatSession.Mode.NEVER}):
        ChatSession.objects.filter(pk=session.pk).update(strategy="summary", mode="auto")
        ChatSession.objects.filter(pk=session.pk).update(**values)
        assert {fact.value for fact in load(session).history.facts} == {"R-2209", "short answers"}
