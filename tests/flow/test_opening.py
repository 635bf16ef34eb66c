"""A message becomes a row exactly once, or a clear refusal."""

import uuid
from typing import Any

import pytest
from django.utils import timezone

from chat.context.prompts import CONTINUE
from chat.flow import opening
from chat.flow.opening import Opened, Rejected
from chat.models import ChatSession, Turn
from chat.store import branches, integrity, leases
from chat.store.closing import Outcome, close_turn
from tests.store.building import compress, conversation, fork, numbers, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 4)


def send(session: ChatSession, text: str = "Hello?", **values: Any) -> Opened | Rejected:
    given: dict[str, Any] = {"owner_id": session.owner_id, "session_id": session.pk, "client_id": uuid.uuid4()}
    return opening.open_turn(text=text, **(given | values))


def test_a_message_is_queued_behind_the_head(session: ChatSession) -> None:
    opened = send(session, "What now?", runner="me")
    assert opened == Opened(turn_id=opened.turn_id, session_id=session.pk, number=5)
    made = turn(session, 5)
    assert (made.status, made.prompt, made.parent_id, made.owner) == ("queued", "What now?", session.head_id, "me")
    assert made.prompt_tokens > 0
    assert reread(session).head == made
    assert integrity.violations() == []


def test_the_same_message_again_is_the_same_turn(session: ChatSession) -> None:
    client = uuid.uuid4()
    first = send(session, client_id=client)
    again = send(session, client_id=client)
    assert (again.turn_id, again.number, again.duplicate) == (first.turn_id, 5, True)
    leases.claim_turn("me", 15)
    assert send(session, client_id=client).duplicate
    assert Turn.objects.filter(session=session).count() == 5


def test_the_same_id_with_other_words_is_refused(session: ChatSession) -> None:
    client = uuid.uuid4()
    send(session, "One thing.", client_id=client)
    assert send(session, "Another thing.", client_id=client) == Rejected("client_id_reuse")
    assert Turn.objects.filter(session=session).count() == 5


def test_one_client_id_in_two_sessions_is_two_turns(session: ChatSession, alice: Any) -> None:
    client = uuid.uuid4()
    assert not send(session, client_id=client).duplicate
    assert not send(conversation(alice), client_id=client).duplicate


def test_a_session_that_is_answering_is_busy(session: ChatSession) -> None:
    send(session)
    refused = send(session)
    assert refused.code == "busy"
    assert refused.retry_after_ms


@pytest.mark.parametrize("case", ["stranger", "unknown", "deleted"])
def test_foreign_unknown_and_deleted_look_alike(session: ChatSession, bob: Any, case: str) -> None:
    values: dict[str, Any] = {}
    if case == "stranger":
        values = {"owner_id": bob.pk}
    elif case == "unknown":
        values = {"session_id": uuid.uuid4()}
    else:
        ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now())
    assert send(session, **values) == Rejected("not_found")
    assert Turn.objects.filter(session=session).count() == 4


def test_a_stranger_learns_nothing_by_a_client_id(session: ChatSession, bob: Any) -> None:
    known = turn(session, 1).client_id
    assert send(session, "x", owner_id=bob.pk, client_id=known) == Rejected("not_found")


def test_an_edit_opens_a_sibling_with_new_words(session: ChatSession) -> None:
    opened = send(session, "Rather this.", op="edit", of=turn(session, 2).pk)
    assert opened.number == 2
    assert numbers(session) == [1, 2]
    assert turn(session, 2).prompt == "Rather this."
    assert integrity.violations() == []


@pytest.mark.parametrize("op", ["regenerate", "retry"])
def test_a_retry_takes_the_words_that_stand(session: ChatSession, op: str) -> None:
    old = turn(session, 4)
    client = uuid.uuid4()
    opened = send(session, "ignored", op=op, of=old.pk, client_id=client)
    assert opened.number == 4
    assert turn(session, 4).prompt == old.prompt
    assert send(session, "", op=op, of=old.pk, client_id=client).duplicate


@pytest.mark.parametrize("op", ["edit", "regenerate", "retry"])
def test_only_a_turn_on_the_path_can_be_done_again(session: ChatSession, alice: Any, op: str) -> None:
    gone = turn(session, 3).pk
    fork(session, 3)
    other = conversation(alice, 3)
    for of in (gone, other.head_id, None, 424242):
        assert send(session, op=op, of=of) == Rejected("not_found")


def test_an_edit_of_a_summarised_turn_rests_the_summary(session: ChatSession) -> None:
    compress(session, (1, 3))
    send(session, "Rather this.", op="edit", of=turn(session, 2).pk)
    assert reread(session).window_from == 1
    assert integrity.violations() == []


@pytest.mark.parametrize(("text", "code"), [("", "empty"), (" \n\t", "empty"), ("x" * 51, "too_large")])
def test_what_nobody_could_answer_is_refused(session: ChatSession, settings: Any, text: str, code: str) -> None:
    settings.CHAT_MAX_MESSAGE_CHARS = 50
    assert send(session, text) == Rejected(code)
    assert Turn.objects.filter(session=session).count() == 4


def cut_off(session: ChatSession) -> Turn:
    """A head whose reply reached its longest length."""
    opened = send(session, "Tell me everything.")
    claim = leases.claim_turn("me", 15)
    assert claim is not None
    usage = {"input": 9, "cache_read": 0, "cache_write": 0, "output": 2}
    ended = Outcome(status="truncated", reply="It all beg", stop_reason="max_tokens", usage=usage)
    assert close_turn(claim, ended)
    return Turn.objects.get(pk=opened.turn_id)


def test_a_reply_that_was_cut_off_is_continued_by_a_turn_of_its_own(session: ChatSession) -> None:
    head = cut_off(session)
    client = uuid.uuid4()
    opened = send(session, "", op="continue", of=head.pk, client_id=client)
    made = Turn.objects.get(pk=opened.turn_id)
    assert (made.number, made.parent_id, made.kind, made.prompt) == (6, head.pk, "continue", CONTINUE)
    assert send(session, "", op="continue", of=head.pk, client_id=client).duplicate
    assert integrity.violations() == []


@pytest.mark.parametrize("number", [4, 3])
def test_only_a_cut_off_reply_at_the_end_can_be_continued(session: ChatSession, number: int) -> None:
    assert send(session, op="continue", of=turn(session, number).pk) == Rejected("bad_op")
    assert send(session, op="continue", of=None) == Rejected("not_found")
    assert Turn.objects.filter(session=session).count() == 4


def test_a_continuation_stays_one_when_it_is_done_again_and_its_words_are_not_the_users_to_edit(
    session: ChatSession,
) -> None:
    continued = send(session, "", op="continue", of=cut_off(session).pk)
    assert branches.stop_queued(continued.turn_id)
    assert send(session, "Rather this.", op="edit", of=continued.turn_id) == Rejected("bad_op")
    again = Turn.objects.get(pk=send(session, "", op="retry", of=continued.turn_id).turn_id)
    assert (again.number, again.kind, again.prompt) == (6, "continue", CONTINUE)


def test_another_version_of_what_was_seen_is_news(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(seen=4)
    send(session, "", op="regenerate", of=turn(session, 3).pk)
    assert reread(session).seen == 2


def test_an_operation_that_does_not_exist_is_refused(session: ChatSession) -> None:
    assert send(session, op="delete") == Rejected("bad_op")


def test_what_no_database_stores_is_replaced_before_it_is_compared(session: ChatSession) -> None:
    client = uuid.uuid4()
    send(session, "a\x00b\ud800", client_id=client)
    assert send(session, "a\x00b\ud800", client_id=client).duplicate
    assert turn(session, 5).prompt == "a\ufffdb\ufffd"


def test_a_stop_is_for_the_owner_and_for_a_turn_of_this_session(session: ChatSession, alice: Any, bob: Any) -> None:
    opened = send(session)
    ask = {"owner_id": alice.pk, "session_id": session.pk, "turn_id": opened.turn_id}
    assert opening.ask_stop(**(ask | {"owner_id": bob.pk})) == "not_found"
    assert opening.ask_stop(**(ask | {"session_id": conversation(alice).pk})) == "not_found"
    assert opening.ask_stop(**(ask | {"turn_id": 424242})) == "not_found"
    assert opening.ask_stop(**ask) == "stopped"
    assert opening.ask_stop(**ask) == "finished"


def test_a_running_turn_is_asked_to_stop(session: ChatSession) -> None:
    opened = send(session)
    leases.claim_turn("me", 15)
    ask = {"owner_id": session.owner_id, "session_id": session.pk, "turn_id": opened.turn_id}
    assert opening.ask_stop(**ask) == "asked"
    assert Turn.objects.get(pk=opened.turn_id).cancel_requested


@pytest.mark.django_db(transaction=True)
def test_twenty_sends_with_one_client_id_at_once_are_one_turn(session: ChatSession, at_once: Any) -> None:
    client = uuid.uuid4()
    done = at_once(*[lambda: send(session, client_id=client) for _ in range(20)])
    assert all(isinstance(one, Opened) for one in done), done
    assert len({one.turn_id for one in done}) == 1
    assert sum(not one.duplicate for one in done) == 1
    assert Turn.objects.filter(session=session).count() == 5
    assert integrity.violations() == []


@pytest.mark.django_db(transaction=True)
def test_of_two_tabs_that_send_at_once_one_is_busy(session: ChatSession, at_once: Any) -> None:
    done = at_once(lambda: send(session, "From one tab."), lambda: send(session, "From another."))
    assert sorted(type(one).__name__ for one in done) == ["Opened", "Rejected"]
    assert next(one.code for one in done if isinstance(one, Rejected)) == "busy"


@pytest.mark.django_db(transaction=True)
def test_a_stop_racing_a_claim_ends_or_is_seen(alice: Any, at_once: Any) -> None:
    for _ in range(4):
        session = conversation(alice, 1)
        opened = send(session)
        ask = {"owner_id": alice.pk, "session_id": session.pk, "turn_id": opened.turn_id}
        answer, claim = at_once(lambda ask=ask: opening.ask_stop(**ask), lambda: leases.claim_turn("me", 15))
        row = Turn.objects.get(pk=opened.turn_id)
        assert (answer, row.status, row.cancel_requested, claim is None) in [
            ("stopped", "stopped", False, True),
            ("asked", "running", True, False),
        ]
    assert integrity.violations() == []
