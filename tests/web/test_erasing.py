"""A18: whoever is erased is nowhere: no word, no name, no address, in any table or in the file that holds them."""

from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from chat.models import (
    Audit,
    ChatSession,
    Document,
    Fact,
    Feedback,
    Import,
    Instructions,
    Preference,
    Preset,
    SignIn,
    Thought,
)
from chat.store import erasing, purging, sessions, sharing
from chat.surgery import auditing, operating
from monitoring import recording
from monitoring.models import ModelCall
from tests.conftest import PASSWORD
from tests.store.building import conversation, purged
from tests.web.conftest import SUMMARY, add_turn

CANARY = "quetzalcoatlus"


def tables(canary: str) -> list[str]:
    """Every table and index of words in which a word is to be found, byte for byte."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                told = (bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)
                if any(canary.encode() in (cell if isinstance(cell, bytes) else str(cell).encode()) for cell in told):
                    found.add(table)
    return sorted(found)


def places() -> list[str]:
    """Every table, index of words and file of the database in which the canary is still to be found."""
    found = tables(CANARY)
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        connection.close()
        files = [Path(name + ending) for ending in ("", "-wal")]
        found += [file.name for file in files if file.exists() and CANARY.encode() in file.read_bytes()]
    return sorted(set(found))


def live_a_life(user) -> Client:
    """Everything that somebody can leave behind."""
    browser = Client()
    browser.post("/accounts/login/", {"username": user.username, "password": "wrong"})
    for attempt in AccessAttempt.objects.all():
        assert attempt.username == user.username
    AccessAttempt.objects.update(username=user.username)
    browser.force_login(user)
    session = sessions.create(user, title=f"My {CANARY}", text=f"Be a {CANARY}.")
    for number in range(3):
        turn = add_turn(session, f"Is {CANARY} {number} there?", f"The **{CANARY}** is.")
    session.summaries.create(
        first=1, last=2, until=turn.parent, text=f"{SUMMARY} {CANARY}", source_hash="", input_hash=""
    )
    Fact.objects.create(session=session, kind="note", value=CANARY, quote=f"a {CANARY}", turn=turn)
    Thought.objects.create(turn=turn, text=CANARY)
    Feedback.objects.create(turn=turn, user=user, reason="wrong")
    Document.objects.create(
        session=session, turn=turn, name=f"{CANARY}.txt", kind="text", text=CANARY, digest="", size=1, tokens=1
    )
    sharing.share(session)
    Preset.objects.create(
        owner=user, name=CANARY, instructions=Instructions.objects.create(text=f"Only {CANARY}s.", digest="p")
    )
    Preference.objects.create(user=user, new_email=f"{CANARY}@example.net")
    staged = Import.objects.create(owner=user)
    staged.items.create(index=0, state="broken", title=CANARY, problem=CANARY, body=CANARY.encode())
    kind = ContentType.objects.get_for_model(user)
    other = type(user).objects.get(username="olga")
    LogEntry.objects.create(
        user=other, content_type=kind, object_id=user.pk, object_repr=str(user), action_flag=CHANGE, change_message=""
    )
    return browser


@pytest.fixture
def victim(transactional_db, django_user_model, olga):
    return django_user_model.objects.create_user(f"{CANARY}-1", f"{CANARY}@example.org", PASSWORD)


def test_nothing_of_an_erased_user_is_left_but_numbers(victim, make_session, alice):
    kept = make_session(2)
    shared = sessions.create(victim)  # with the same instructions as everybody's
    browser = live_a_life(victim)
    gone, user = list(ChatSession.objects.filter(owner=victim).values_list("pk", flat=True)), victim.pk
    assert len(places()) >= 12
    answer = browser.post("/account/delete/", {"password": PASSWORD})
    assert answer.url == "/accounts/farewell/"
    assert "is deleted" in browser.get(answer.url).content.decode()
    assert places() == []
    assert not ChatSession.objects.filter(pk__in=gone).exists()
    assert browser.get("/account/").status_code == 302
    assert not SignIn.objects.filter(user_id=user).exists()
    assert LogEntry.objects.get().object_repr == f"user {user}"
    assert ChatSession.objects.get().pk == kept.pk
    assert kept.instructions_id == shared.instructions_id
    assert Instructions.objects.filter(pk=kept.instructions_id).exists()


def test_the_command_does_the_same_and_monitoring_keeps_its_numbers(victim, capsys):
    live_a_life(victim)
    session, user = ChatSession.objects.get().pk, victim.pk
    numbers = dict.fromkeys(("window", "input", "cache_read", "cache_write", "output"), 7)
    recording.record_call(
        **numbers, call=session, session=session, user=user, turn=1, number=1, purpose="reply", model="m",
        strategy="summary", components={}, estimate=None, first_ms=1, total_ms=2, stop_reason="end_turn", outcome="ok",
    )  # fmt: skip
    call_command("erase_user", victim.username)
    assert "1 conversations and the account are gone" in capsys.readouterr().out
    assert places() == []
    assert ModelCall.objects.get(session=session, user=user).output == 7
    with pytest.raises(CommandError, match="no user named"):
        call_command("erase_user", victim.username)


def test_a_long_conversation_is_erased_in_steps_and_all_of_it_before_the_account(victim, monkeypatch):
    conversation(victim, 30, words=CANARY)
    steps, left = [], []
    remove, finish = purging.remove, erasing.finish

    def step(session_id):
        steps.append(remove(session_id, step_s=0.0))
        return steps[-1]

    def last(user_id):
        left.extend(ChatSession.objects.filter(owner=user_id))
        finish(user_id)

    monkeypatch.setattr(purging, "remove", step)
    monkeypatch.setattr(purging, "TURNS", 10)
    monkeypatch.setattr(erasing, "finish", last)
    call_command("erase_user", victim.username)
    assert (steps, left) == ([False, False, False, True], [])
    assert places() == []


def test_words_that_the_sweep_removes_are_overwritten_too_where_an_erasure_meets_it(victim):
    session = conversation(victim, 30, words=CANARY * 20)
    ChatSession.objects.filter(pk=session.pk).update(deleted_at="2026-01-01T00:00Z")
    assert purged(600) == [session.pk]
    call_command("erase_user", victim.username)
    assert places() == []


def test_the_audit_keeps_what_was_done_by_numbers_and_a_pseudonym(victim, olga, client):
    live_a_life(victim)
    session, known = ChatSession.objects.get().pk, auditing.pseudonym(victim.pk)
    for name, given in (("pin", {"turns": "2"}), ("export", {"format": "json"}), ("fork", {"turn": "1"})):
        operating.apply(olga, session, name, given, "Ticket 4711.", None)
    auditing.record(victim.pk, "read_text", reason="A surgeon, once.", session=session)
    assert "chat_audit" not in places()
    before = list(Audit.objects.order_by("id").values())
    assert len(before) == 4
    call_command("erase_user", victim.username, reason="Ticket 4711.")
    assert places() == []
    assert not ChatSession.objects.exists(), "the copy is erased too"
    assert list(Audit.objects.exclude(operation="erase").order_by("id").values()) == before
    entry = Audit.objects.get(operation="erase")
    assert entry.target == {"user": victim.pk, "pseudonym": known, "conversations": 2}
    assert (entry.who, entry.session, entry.reason) == ("the shell", None, "Ticket 4711.")
    client.force_login(olga)
    listed = client.get("/admin/chat/audit/", {"q": known}).content.decode()
    assert ("A surgeon, once." in listed, "Ticket 4711." in listed, CANARY in listed) == (True, False, False)
    assert known in client.get(f"/admin/chat/audit/{before[-1]['id']}/change/").content.decode()
