"""What is done from the shell is in the audit like what is done on a page: with a reason, and without words."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from chat.models import Audit, ChatSession, Job, Summary
from chat.store import integrity, mending
from tests.store.building import compress, conversation
from tests.store.test_integrity import checks_again, unguard

__all__ = ["checks_again"]

WHY = "Ticket 4711."


def entry(operation: str) -> Audit:
    """The newest one, which is by nobody but the shell."""
    found = Audit.objects.latest("id")
    assert (found.operation, found.actor, found.pseudonym, found.who) == (operation, None, "shell", "the shell")
    return found


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_an_export_from_the_shell_leaves_an_entry_every_time_and_no_word_in_it(session: ChatSession) -> None:
    assert "A-7731" in run("export_conversation", str(session.pk))
    found = entry("export")
    assert (found.session, found.target, found.reason) == (session.pk, {"format": "json"}, "From the shell.")
    assert run("export_conversation", str(session.pk), "--format=markdown", f"--reason={WHY}").startswith("# ")
    found = entry("export")
    assert (found.target, found.reason) == ({"format": "markdown"}, WHY)
    assert Audit.objects.filter(session=session.pk).count() == 2
    assert "A-7731" not in str(list(Audit.objects.values()))


@pytest.mark.parametrize("command", ["export_conversation", "erase_user", "check_invariants"])
def test_nothing_is_done_for_a_reason_that_says_nothing(command: str, session: ChatSession, alice: Any) -> None:
    ChatSession.objects.filter(pk=session.pk).update(turns_total=1)
    given = {"export_conversation": [str(session.pk)], "erase_user": ["alice"], "check_invariants": ["--repair"]}
    out = StringIO()
    with pytest.raises(CommandError, match="Say why"):
        call_command(command, *given[command], "--yes" if command != "export_conversation" else "--format=json",
                     "--reason= x ", stdout=out)  # fmt: skip
    assert out.getvalue() == ""
    assert not Audit.objects.exists()
    assert ChatSession.objects.get(pk=session.pk).turns_total == 1
    assert type(alice).objects.filter(pk=alice.pk).exists()


def test_a_repair_leaves_an_entry_for_each_session_and_a_preview_none(alice: Any) -> None:
    one, other, sound = conversation(alice, 12), conversation(alice, 2), conversation(alice, 2)
    compress(one, (1, 8))
    ChatSession.objects.filter(pk__in=[one.pk, other.pk]).update(turns_total=7)
    Summary.objects.filter(session=one).update(source_hash="0" * 64)
    with pytest.raises(CommandError):
        run("check_invariants", "--repair", f"--reason={WHY}")
    assert not Audit.objects.exists()
    lines = run("check_invariants", "--repair", "--yes", f"--reason={WHY}").splitlines()
    assert lines[-1] == "0 rows"
    entries = {found.session: found for found in Audit.objects.all()}
    assert entries.keys() == {one.pk, other.pk}
    assert sound.pk not in entries
    for pk, found in entries.items():
        assert (found.operation, found.who, found.reason) == ("repair", "the shell", WHY)
        told = sum(line.startswith(f"session {pk}: ") for line in lines)
        assert found.target == {"part": "session", "changes": told}
    assert entries[one.pk].before == {"broken": [2, 9]}
    assert entries[other.pk].before == {"broken": [9]}
    assert run("check_invariants", "--repair", "--yes") == "0 rows\n"
    assert Audit.objects.count() == 2, "where nothing was changed, nothing is written down"


def test_what_no_session_has_is_repaired_with_an_entry_too(session: ChatSession) -> None:
    late = timezone.now() - timedelta(minutes=5)
    Job.objects.create(kind="compact", session=session, state="running", lease_until=late)
    unguard("chat_turn_terminal")
    assert run("check_invariants", "--repair", "--yes").endswith("0 rows\n")
    told = list(Audit.objects.filter(operation="repair", session=None).order_by("id").values_list("target", flat=True))
    assert told == [{"part": "leases", "changes": 1}, {"part": "guards", "changes": 1}]


def test_an_entry_that_cannot_be_written_takes_the_repair_with_it(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ChatSession.objects.filter(pk=session.pk).update(turns_total=1)

    def broken(done: mending.Mended) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        mending.repair(note=broken)
    assert {one.number for one in integrity.violations([session.pk])} == {9}


@pytest.mark.parametrize("reason", ["Alice asked for it.", "by mail from ALICE@example.org", "alice"])
def test_the_name_of_whoever_is_erased_does_not_stay_in_the_reason(alice: Any, reason: str) -> None:
    with pytest.raises(CommandError, match="leave the name out"):
        call_command("erase_user", "alice", yes=True, reason=reason)
    assert type(alice).objects.filter(pk=alice.pk, is_active=True).exists()
    assert not Audit.objects.exists()


def test_pages_say_that_it_was_the_shell(session: ChatSession, olga: Any) -> None:
    run("export_conversation", str(session.pk))
    browser = Client()
    browser.force_login(olga)
    for address in ("audit/", f"audit/{entry('export').pk}/change/", f"chatsession/{session.pk}/change/"):
        assert "the shell" in browser.get(f"/admin/chat/{address}").content.decode()
    assert "the shell<" in browser.get("/admin/chat/audit/", {"q": "shell"}).content.decode()
    assert "the shell<" not in browser.get("/admin/chat/audit/", {"q": f"u-{olga.pk}"}).content.decode()
