"""The end of a turn is one transaction: all of it, or nothing."""

import uuid
from typing import Any

import pytest
from django.db import transaction

from chat.context.values import Line, Manifest, Part, Run, Step
from chat.models import ChatSession, Fact, Notice, Turn
from chat.models import Manifest as ManifestRow
from chat.models import Step as StepRow
from chat.store import branches, closing, integrity, leases, summaries
from chat.store.closing import Outcome, Sent
from tests.store.building import USAGE, conversation, draft, reread


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 6)


@pytest.fixture(autouse=True)
def whole(session: ChatSession) -> Any:
    yield
    assert integrity.violations() == []


def claim(session: ChatSession, prompt: str = "My order is A-7731.") -> leases.Claim:
    branches.new_turn(reread(session), prompt=prompt, client_id=uuid.uuid4(), tokens=8)
    found = leases.claim_turn("me", 15)
    assert found is not None
    return found


def outcome(**values: Any) -> Outcome:
    given: dict[str, Any] = {"status": "complete", "reply": "Noted.", "stop_reason": "end_turn", "usage": USAGE,
                             "prompt_tokens": 12, "prompt_source": "api", "reply_tokens": 40,
                             "reply_source": "api"}  # fmt: skip
    return Outcome(**(given | values))


def sent(session: ChatSession, *runs: Run, start: int = 1, number: int = 7, **values: Any) -> Sent:
    manifest = Manifest(
        number=number,
        window=16_000,
        window_from=start,
        estimated=800,
        runs=runs or (Run(1, number, "verbatim", "", 800),),
        parts=(Part("system", "system", "instructions", 60), Part("user", "current", "turn 7", 12, True)),
        report=(Line("history", 900, 700, 800),),
        trimmed=start > reread(session).window_from,
    )
    given = {"context_version": reread(session).context_version, "model": "large", "rung": "", "measured": 812}
    return Sent(manifest=manifest, body_sha256="ab", **(given | values))


def test_everything_of_a_reply_is_stored_at_once(session: ChatSession) -> None:
    mine = claim(session)
    closed = closing.close_turn(mine, outcome(reply_html="<p>", html_version=2, sent=sent(session)))
    turn = Turn.objects.get(pk=mine.id)
    assert (turn.status, turn.reply, turn.reply_html, turn.html_version) == ("complete", "Noted.", "<p>", 2)
    assert (turn.prompt_tokens, turn.prompt_source, turn.reply_tokens, turn.reply_source) == (12, "api", 40, "api")
    assert (turn.stop_reason, turn.usage, turn.lease_until) == ("end_turn", USAGE, None)
    assert turn.tokens_upto == 652
    assert turn.closed_at
    assert len(turn.digest) == 64
    row = reread(session)
    assert (row.open_tokens, row.input_tokens, row.output_tokens) == (652, 700, 280)
    assert (row.context_version, row.window_from, row.trims) == (0, 1, 0)
    assert (closed.number, closed.open_tokens, closed.open_turns, closed.trimmed) == (7, 652, 7, False)
    assert closed.notices == ()


def test_the_manifest_is_kept_by_reference(session: ChatSession) -> None:
    mine = claim(session)
    closing.close_turn(mine, outcome(sent=sent(session, rung="half")))
    row = ManifestRow.objects.get(turn_id=mine.id)
    assert row.ranges == [[1, 7, "verbatim", "", 800]]
    assert row.parts == [["system", "system", "instructions", 60, False], ["user", "current", "turn 7", 12, True]]
    assert row.budget == [["history", 900, 700, 800]]
    assert (row.rung, row.estimated, row.measured, row.body_sha256) == ("half", 800, 812, "ab")


def test_exact_values_become_facts_once(session: ChatSession) -> None:
    closing.close_turn(claim(session), outcome(reply="Order A-7731, EUR 49.90."))
    values = list(Fact.objects.values_list("value", flat=True))
    assert "A-7731" in values
    assert len(values) == len(set(values))
    closing.close_turn(claim(session, "Is A-7731 late? Mine is B-1234."), outcome(reply="No."))
    assert Fact.objects.filter(value="A-7731").count() == 1
    assert Fact.objects.filter(value="B-1234").count() == 1
    assert all(fact.quote and fact.turn.session_id == session.pk for fact in Fact.objects.all())


def test_a_pasted_log_gives_a_bounded_number_of_facts(session: ChatSession) -> None:
    closing.close_turn(claim(session, " ".join(f"ID-{n:05d}" for n in range(2_000))), outcome(reply="Many."))
    assert 0 < Fact.objects.count() <= closing.MOST_VALUES


def test_a_refusal_is_excluded_and_gives_no_facts(session: ChatSession) -> None:
    mine = claim(session)
    closing.close_turn(mine, outcome(status="refused", stop_reason="refusal", reply=""))
    assert Turn.objects.get(pk=mine.id).excluded_by == "refusal"
    assert reread(session).marked == 1
    assert not Fact.objects.exists()


def test_a_failure_keeps_the_prompt_and_what_was_said(session: ChatSession) -> None:
    mine = claim(session)
    closing.close_turn(mine, Outcome(status="failed", reply="Half an", error="unavailable", reply_tokens=3))
    turn = Turn.objects.get(pk=mine.id)
    assert (turn.prompt, turn.reply, turn.error, turn.usage) == ("My order is A-7731.", "Half an", "unavailable", None)
    assert (turn.prompt_tokens, turn.prompt_source) == (8, "estimated")
    assert reread(session).input_tokens == 600


def test_the_first_words_become_the_title_and_stay_it(alice: Any) -> None:
    session = conversation(alice)
    closing.close_turn(claim(session, "  When does\nmy order " + "arrive " * 20), outcome())
    title = reread(session).title
    assert title.startswith("When does my order arrive")
    assert title.endswith("arrive…")
    assert len(title) <= 61
    closing.close_turn(claim(session, "Another"), outcome())
    assert reread(session).title == title


def test_a_trim_moves_the_window_with_a_notice(session: ChatSession) -> None:
    runs = (Run(1, 4, "omitted", "window"), Run(5, 7, "verbatim", "", 300))
    closed = closing.close_turn(claim(session), outcome(sent=sent(session, *runs, start=5)))
    row = reread(session)
    assert (row.window_from, row.trims, row.context_version, row.prefix_version) == (5, 1, 1, 1)
    assert closed.trimmed
    assert closed.notices == (("trimmed", 1, 4),)
    notice = Notice.objects.get()
    assert (notice.kind, notice.first, notice.last, notice.tokens_before, notice.turn.number) == (
        "trimmed", 1, 4, 400, 7)  # fmt: skip


def test_a_trim_that_goes_on_is_not_told_again_and_one_that_grows_replaces_the_old(session: ChatSession) -> None:
    closing.close_turn(
        claim(session),
        outcome(sent=sent(session, Run(1, 4, "omitted"), Run(5, 7, "verbatim"), start=5)),
    )
    again = sent(session, Run(1, 4, "omitted"), Run(5, 8, "verbatim"), start=5, number=8)
    assert closing.close_turn(claim(session), outcome(sent=again)).notices == ()
    grown = sent(session, Run(1, 6, "omitted"), Run(7, 9, "verbatim"), start=7, number=9)
    assert closing.close_turn(claim(session), outcome(sent=grown)).notices == (("trimmed", 1, 6),)
    assert list(Notice.objects.filter(ended_at=None).values_list("first", "last")) == [(1, 6)]


def test_a_compaction_that_committed_meanwhile_keeps_its_window(session: ChatSession) -> None:
    mine = claim(session)
    stale = sent(session, Run(1, 4, "omitted", "half"), Run(5, 7, "verbatim"), start=5)
    made = draft(session, 1, 3)
    assert summaries.commit(session.pk, [made.pk], window_from=4)
    closed = closing.close_turn(mine, outcome(sent=stale))
    row = reread(session)
    assert (row.window_from, row.trims, row.context_version) == (4, 0, 1)
    assert not closed.trimmed
    # The trim was true of this one request; the next one sees what the summary covers.
    assert list(Notice.objects.filter(ended_at=None).values_list("kind", "first", "last")) == [("compressed", 1, 3)]


def test_a_clamped_turn_is_told(session: ChatSession) -> None:
    runs = (Run(1, 3, "verbatim"), Run(4, 4, "clamped"), Run(5, 6, "verbatim"), Run(7, 7, "clamped"))
    closed = closing.close_turn(claim(session), outcome(sent=sent(session, *runs)))
    assert closed.notices == (("clamped", 4, 4), ("clamped", 7, 7))


def test_thinking_is_neither_kept_nor_counted(session: ChatSession) -> None:
    steps = (
        Step(kind="thinking", body="Hm.", tokens=900),
        Step(kind="tool_use", body="{}", call_id="c", name="add", tokens=7),
        Step(kind="tool_result", body="42", call_id="c", tokens=3),
    )
    mine = claim(session)
    closing.close_turn(mine, outcome(steps=steps))
    turn = Turn.objects.get(pk=mine.id)
    assert list(StepRow.objects.filter(turn=turn).values_list("index", "kind")) == [(0, "tool_use"), (1, "tool_result")]
    assert (turn.step_count, turn.tokens_upto) == (2, 662)


def test_a_failure_in_the_middle_writes_nothing(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = claim(session)
    before = Turn.objects.values().get(pk=mine.id)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(closing.facts, "keep", broken)
    with pytest.raises(RuntimeError), transaction.atomic():
        closing.close_turn(mine, outcome(sent=sent(session)))
    assert Turn.objects.values().get(pk=mine.id) == before
    assert not ManifestRow.objects.exists()
    assert reread(session).open_tokens == 600
