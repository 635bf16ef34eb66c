"""Every operation there is: shown with its kind, done, written down, taken back to the byte; and refused to strangers,
while a turn is live, and after a lost race. A new operation that one of these does not try fails here."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from chat.admin.operations import CLASSES
from chat.models import Audit, Batch, ChatSession, Fact, Job, Summary, Turn
from chat.store import branches, integrity, leases
from chat.surgery import batches, operating, registry, telling, weighing
from chat.surgery.values import Kind, Live, Refused
from monitoring.models import ContextEvent
from tests.store.building import extend, reread, turn
from tests.surgery import test_batches
from tests.surgery.conftest import next_request

Case = Callable[[ChatSession], dict[str, Any]]
WHY = "The pager rang."


def summary(session: ChatSession, tier: int = 1) -> int:
    return Summary.objects.get(session=session, state="active", tier=tier).pk


def fact(session: ChatSession, kind: str = "number") -> int:
    return Fact.objects.get(session=session, kind=kind).pk


CASES: dict[str, Case] = {
    "trim": lambda session: {"turns": "5"},
    "drop_documents": lambda session: {},
    "model": lambda session: {"model": "claude-sonnet-4-6"},
    "strategy": lambda session: {"strategy": "sliding_window"},
    "mode": lambda session: {"mode": "never"},
    "thresholds": lambda session: {"messages": "10"},
    "marks": lambda session: {"soft": "30", "hard": "70"},
    "pin": lambda session: {"turns": "1, 17-18"},
    "unpin": lambda session: {"turns": "3"},
    "exclude": lambda session: {"turns": "11, 28"},
    "include": lambda session: {"turns": "25"},
    "restore": lambda session: {"turns": "10"},
    "redact": lambda session: {"turns": "11, 28"},
    "edit_summary": lambda session: {"summary": summary(session), "text": "They talked of a machine."},
    "roll_back_summary": lambda session: {"summary": summary(session)},
    "add_fact": lambda session: {"value": "The café opens at seven."},
    "correct_fact": lambda session: {"fact": fact(session), "value": "A-7732"},
    "forget_fact": lambda session: {"fact": fact(session, "told")},
    "fork": lambda session: {"turn": "20"},
    "archive": lambda session: {},
}
# Those that change nothing about the next request.
SILENT = {"fork", "archive", "unarchive", "marks"}
EVERY = list(registry.OPERATIONS)
BACKGROUND = [name for name, one in registry.OPERATIONS.items() if one.background]
INLINE = [name for name in EVERY if name not in BACKGROUND]
UNDOABLE = [name for name in INLINE if registry.get(name).kind == Kind.UNDOABLE]
FINAL = [name for name in INLINE if name not in UNDOABLE]
FOR_LIVE = ("cancel", "release")
# What open pages of the conversation are told: a kind, a first and a last turn.
TOLD: dict[str, tuple[tuple[str, int, int], ...]] = {
    "trim": (("trimmed", 1, 1),),
    "drop_documents": (("documents", 1, 1),),
    **dict.fromkeys(("model", "strategy", "mode", "thresholds", "marks"), (("handled", 1, 1),)),
    "pin": (("marked", 1, 1), ("marked", 17, 18)),
    "unpin": (("marked", 3, 3),),
    "exclude": (("marked", 11, 11), ("marked", 28, 28)),
    "include": (("marked", 25, 25),),
    "redact": (("marked", 11, 11), ("marked", 28, 28)),
    "restore": (("restored", 9, 14),),
    **dict.fromkeys(("edit_summary", "roll_back_summary", "rebuild_summary", "compact"), (("compressed", 9, 14),)),
    **dict.fromkeys(("add_fact", "correct_fact", "forget_fact"), (("remembered", 1, 1),)),
    **dict.fromkeys(("archive", "unarchive"), (("archived", 1, 1),)),
    # The turn itself is told, as it stands then.
    **dict.fromkeys(("cancel", "release"), ()),
    # Its owner sees nothing of these.
    **dict.fromkeys(("fork", "export"), ()),
}


def case(session: ChatSession, name: str) -> dict[str, Any]:
    """Parameters with which the operation has something to do."""
    if name == "unarchive":
        ChatSession.objects.filter(pk=session.pk).update(archived_at="2026-01-01T00:00Z")
        return {}
    if name in ("cancel", "release"):
        live(session, running=name == "release")
        return {}
    if name == "export":
        return {"format": "json"}
    if registry.get(name).background:
        return {"summary": summary(session)} if registry.get(name).parameters else {}
    return CASES[name](session)


def live(session: ChatSession, *, running: bool = False) -> Turn:
    made = branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
    if running:
        assert leases.claim_turn("me", 15)
    return made


def done(user: Any, session: ChatSession, name: str, given: dict[str, Any]) -> Any:
    stamp = operating.plan(session.pk, name, given).stamp
    return operating.apply(user, session.pk, name, given, WHY, stamp)


def rows(session: ChatSession) -> list[Any]:
    """Everything that an operation could have left behind."""
    return [
        ChatSession.objects.values().get(pk=session.pk),
        *(list(model.objects.order_by("pk").values()) for model in (Summary, Fact, Job, Audit, Turn)),
    ]


# --- the five things that hold for every operation -------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_preview_says_whether_it_can_be_taken_back(
    name: str, session: ChatSession, surgeon: Any, client: Client
) -> None:
    client.force_login(surgeon)
    shown = client.post(f"/admin/chat/chatsession/{session.pk}/operate/{name}/", case(session, name))
    told = f"<b>{CLASSES[registry.get(name).kind][0]}</b>"
    assert (shown.status_code, shown.content.decode().count(told)) == (200, 1)


@pytest.mark.parametrize("name", UNDOABLE)
def test_what_is_undone_leaves_the_next_request_as_it_was_to_the_byte(
    name: str, session: ChatSession, surgeon: Any, viewer: Any
) -> None:
    given = case(session, name)
    before, version = next_request(session), reread(session).context_version
    preview = operating.plan(session.pk, name, given)
    assert not preview.refused
    assert next_request(session) == before
    result = operating.apply(surgeon, session.pk, name, given, WHY, preview.stamp)
    assert (next_request(session) == before) == (name in SILENT)
    if name in ("exclude", "edit_summary", "restore"):
        assert integrity.violations() == []
    # What the preview had said is what became true, and what open pages are told of it.
    assert (preview.after, preview.before) == (result.after, result.before)
    assert preview.after == weighing.weigh(reread(session))
    assert tuple(telling.told(registry.get(name), result.target)) == TOLD[name]
    assert refusal(operating.undo, user=viewer, audit_id=result.audit, reason=WHY) == "not_allowed"
    back = operating.undo(surgeon, result.audit, "It was the wrong one.")
    assert tuple(telling.told(registry.get(name), back.target)) == TOLD[name]
    assert next_request(session) == before
    assert integrity.violations() == []
    assert reread(session).context_version > version
    # What was said since changes nothing about that, and an undone one is not undone twice.
    with pytest.raises(Refused, match="already"):
        operating.undo(surgeon, result.audit, WHY)
    entries = list(Audit.objects.order_by("id").values_list("operation", "actor", "session", "reason"))
    assert entries == [
        (name, surgeon.pk, session.pk, WHY),
        ("undo", surgeon.pk, session.pk, "It was the wrong one."),
    ]
    assert list(ContextEvent.objects.filter(kind="surgery").values_list("code", flat=True)) == [name, f"undo.{name}"]
    if name == "fork":
        assert ChatSession.objects.get(pk=result.made).deleted_at


@pytest.mark.parametrize("name", FINAL)
def test_what_cannot_be_undone_says_so_before_and_refuses_it_afterwards(
    name: str, session: ChatSession, surgeon: Any
) -> None:
    result = done(surgeon, session, name, case(session, name))
    assert tuple(telling.told(registry.get(name), result.target)) == TOLD[name]
    assert refusal(operating.undo, user=surgeon, audit_id=result.audit, reason=WHY) == "not_undoable"


@pytest.mark.parametrize("name", EVERY)
def test_who_has_not_this_very_permission_changes_nothing(
    name: str, session: ChatSession, surgeon: Any, viewer: Any, demoted: Any, foreign: Any
) -> None:
    given = case(session, name)
    stamp = operating.plan(session.pk, name, given).stamp
    before = rows(session)
    apply = partial(operating.apply, session_id=session.pk, name=name, parameters=given, stamp=stamp)
    if registry.get(name).background:
        apply = partial(batches.start, session_ids=[session.pk], name=name, parameters=given)
    for stranger in (viewer, demoted, foreign(registry.get(name).permission)):
        assert refusal(apply, user=stranger, reason=WHY) == "not_allowed"
    assert refusal(apply, user=surgeon, reason=" ") == "no_reason"
    assert rows(session) == before
    assert not Batch.objects.exists()


@pytest.mark.parametrize("name", EVERY)
def test_a_live_turn_is_never_touched_but_by_what_is_for_live_turns(
    name: str, session: ChatSession, surgeon: Any
) -> None:
    operation = registry.get(name)
    given = case(session, name)
    if name not in FOR_LIVE:
        live(session)
    before = rows(session)
    said = operating.plan(session.pk, name, given)
    assert rows(session) == before
    if operation.live == Live.REFUSED:
        assert said.refused.startswith("A reply is being written")
        assert refusal(done, user=surgeon, session=session, name=name, given=given) == "live"
        assert rows(session) == before
        return
    assert not said.refused
    assert name in {*FOR_LIVE, "export", *BACKGROUND}
    if name == "export":
        turns = list(Turn.objects.order_by("pk").values())
        assert "".join(done(surgeon, session, name, given).content)
        assert list(Turn.objects.order_by("pk").values()) == turns


@pytest.mark.parametrize("name", INLINE)
def test_after_a_lost_race_nothing_is_done(name: str, session: ChatSession, surgeon: Any) -> None:
    given = case(session, name)
    stamp = operating.plan(session.pk, name, given).stamp
    # Somebody else was there in between: whatever they did moves the version.
    ChatSession.objects.filter(pk=session.pk).update(context_version=F("context_version") + 1)
    before = rows(session)
    apply = partial(operating.apply, user=surgeon, session_id=session.pk, name=name, parameters=given, reason=WHY)
    assert refusal(apply, stamp=stamp) == "lost"
    assert rows(session) == before


# What takes a model is done by jobs: there it is compacted, undone, raced and done beside a live turn.
BY_JOBS = {
    test_what_is_undone_leaves_the_next_request_as_it_was_to_the_byte: {
        "compact": test_batches.test_many_are_compacted_in_the_background_and_that_is_taken_back,
        "rebuild_summary": test_batches.test_a_summary_is_made_anew_from_its_turns_and_that_is_taken_back,
    },
    test_after_a_lost_race_nothing_is_done: dict.fromkeys(
        BACKGROUND, test_batches.test_what_takes_a_model_loses_a_race_without_a_trace_and_leaves_a_live_turn_alone
    ),
}
FIVE = (
    [test_the_preview_says_whether_it_can_be_taken_back],
    [
        test_what_is_undone_leaves_the_next_request_as_it_was_to_the_byte,
        test_what_cannot_be_undone_says_so_before_and_refuses_it_afterwards,
    ],
    [test_who_has_not_this_very_permission_changes_nothing],
    [test_a_live_turn_is_never_touched_but_by_what_is_for_live_turns],
    [test_after_a_lost_race_nothing_is_done],
)


def test_no_operation_is_left_out_of_any_of_the_five() -> None:
    for tests in FIVE:
        names = [name for test in tests for name in [*test.pytestmark[0].args[1], *BY_JOBS.get(test, {})]]
        assert sorted(names) == sorted(registry.OPERATIONS)
    assert set(TOLD) == set(registry.OPERATIONS)
    assert all(telling.told(registry.get(name), {"turns": [[9, 14]]}) == [*TOLD[name]] for name in BACKGROUND)
    # What changes what its owner sees tells their pages; only a copy and a file are nothing to them.
    assert {one.name for one in registry.OPERATIONS.values() if not one.tells} == {"fork", "export"}


def refusal(work: Callable[..., Any], **given: Any) -> str:
    """The code with which it was refused."""
    with pytest.raises(Refused) as refused:
        work(**given)
    return refused.value.code


@pytest.mark.parametrize("name", ["trim", "exclude", "edit_summary", "correct_fact"])
def test_new_turns_do_not_stand_in_the_way_of_an_undo_and_another_change_does(
    name: str, session: ChatSession, surgeon: Any
) -> None:
    given = case(session, name)
    result = done(surgeon, session, name, given)
    extend(session, 2)
    operating.undo(surgeon, result.audit, WHY)
    assert integrity.violations() == []
    again = done(surgeon, session, name, given)
    ChatSession.objects.filter(pk=session.pk).update(window_from=1, restored=None)
    Summary.objects.filter(session=session).update(state="stale")
    Turn.objects.filter(session=session).update(pinned_since=None, excluded_by="user")
    Fact.objects.filter(session=session).update(forgotten_at="2026-01-01T00:00Z")
    before = rows(session)
    assert refusal(operating.undo, user=surgeon, audit_id=again.audit, reason=WHY) == "changed"
    assert rows(session) == before


def test_a_text_that_was_taken_back_never_comes_back_by_rolling_back_nor_one_that_is_stale(
    session: ChatSession, surgeon: Any
) -> None:
    texts = dict(Summary.objects.filter(session=session, tier=1).values_list("pk", "text"))
    first = texts[summary(session)]
    wrong = done(surgeon, session, "edit_summary", {"summary": summary(session), "text": "They talked of a bomb."})
    operating.undo(surgeon, wrong.audit, WHY)
    done(surgeon, session, "edit_summary", {"summary": summary(session), "text": "They talked of a machine."})
    done(surgeon, session, "roll_back_summary", {"summary": summary(session)})
    assert Summary.objects.get(pk=summary(session)).text == first
    Summary.objects.filter(session=session, state="resting").update(state="stale")
    given = {"summary": summary(session)}
    assert operating.plan(session.pk, "roll_back_summary", given).refused
    assert refusal(done, user=surgeon, session=session, name="roll_back_summary", given=given) == "nothing"
    assert integrity.violations() == []


def test_a_preview_says_which_turns_leave_the_models_view_and_how(session: ChatSession) -> None:
    said = operating.plan(session.pk, "trim", {"turns": "5"})
    assert said.leaves == ((15, 24, "omitted"),)
    assert (said.before.turns, said.after.turns, said.turns) == (16, 6, 11)
    assert said.before.verbatim - said.after.verbatim == 1_000
    back = operating.plan(session.pk, "restore", {"turns": "10"})
    assert (back.leaves, back.returns) == ((), ((9, 14),))
    out = operating.plan(session.pk, "exclude", {"turns": "28"})
    assert out.leaves == ((28, 28, "excluded"),)
    assert operating.plan(session.pk, "rebuild_summary", case(session, "rebuild_summary")).leaves == ()
    many = operating.plan(session.pk, "compact", {})
    assert many.leaves
    assert many.after_low < many.after_high < many.before.total
    # What a trim took out of the request does not leave it once more.
    operating.perform(reread(session), registry.get("trim"), {"turns": 2}, actor=None, reason=WHY)
    again = operating.plan(session.pk, "compact", {})
    assert again.before.total < again.after_low


def test_a_stuck_turn_is_cancelled_and_a_lease_let_go(session: ChatSession, surgeon: Any) -> None:
    stuck = live(session, running=True)
    operating.apply(surgeon, session.pk, "release", {}, WHY, None)
    row = Turn.objects.get(pk=stuck.pk)
    assert (row.status, row.owner, row.lease_until) == ("queued", "", None)
    assert leases.claim_turn("another", 15)
    operating.apply(surgeon, session.pk, "cancel", {}, WHY, None)
    assert Turn.objects.get(pk=stuck.pk).cancel_requested
    Turn.objects.filter(pk=stuck.pk).update(lease_until="2026-01-01T00:00Z", cancel_requested=False)
    operating.apply(surgeon, session.pk, "cancel", {}, WHY, None)
    assert Turn.objects.get(pk=stuck.pk).status == "stopped"
    entry = Audit.objects.latest("id")
    assert operating.plan(session.pk, "cancel", {}).refused == "No turn is being answered."
    with pytest.raises(Refused, match="can't be taken back"):
        operating.undo(surgeon, entry.pk, WHY)


def test_no_word_of_anybody_stands_in_the_audit(session: ChatSession, surgeon: Any) -> None:
    word = "Zanzibar"
    done(surgeon, session, "add_fact", {"value": word})
    done(surgeon, session, "edit_summary", {"summary": summary(session), "text": f"They went to {word}."})
    exported = done(surgeon, session, "export", {"format": "json"})
    assert word in "".join(exported.content)
    assert word not in str(list(Audit.objects.values()))
    assert Audit.objects.filter(operation="export", session=session.pk).count() == 1


@pytest.mark.parametrize("given", ["", "0", "5-3", "a", "1,", "1-5000", "99"])
def test_turns_that_are_none_are_refused_in_a_sentence(given: str, session: ChatSession) -> None:
    try:
        said = operating.plan(session.pk, "pin", {"turns": given}).refused
    except Refused as refused:
        said = str(refused)
    assert said.endswith((".", "”."))
    assert turn(session, 1).pinned_since is None
