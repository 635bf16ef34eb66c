"""Every invariant is broken on purpose, around whatever guards it, and must be seen; a healthy store shows nothing."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from chat.models import (
    Allowance,
    ChatSession,
    Fact,
    Feedback,
    Job,
    Manifest,
    Notice,
    Share,
    Step,
    Summary,
    Turn,
    guards,
)
from chat.store import branches, integrity, leases
from tests.store.building import compress, conversation, extend, fork, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Thirty turns, two summaries, a branch that rests, a manifest, facts, notices, a waiting turn."""
    made = conversation(alice, 30)
    fork(made, 25, "Another way.")
    extend(made, 5)
    compress(made, (1, 8), (9, 16))
    last = turn(made, 30)
    Manifest.objects.create(turn=last, **manifest([[1, 8, "summarised", ref(made, 1), 40],
                                                   [9, 16, "summarised", ref(made, 9), 40],
                                                   [17, 30, "verbatim", "", 900]]))  # fmt: skip
    Fact.objects.create(session=made, kind="id", value="A-7731", quote="order A-7731", turn=turn(made, 3))
    branches.new_turn(reread(made), prompt="Waiting.", client_id=uuid.uuid4(), tokens=7)
    return reread(made)


def ref(session: ChatSession, first: int) -> str:
    """How manifests name the summary that begins at `first`."""
    return f"S{Summary.objects.get(session=session, first=first, state='active').pk}"


def manifest(ranges: list[list[Any]], parts: list[list[Any]] | None = None) -> dict[str, Any]:
    """A manifest row's values."""
    return {
        "context_version": 1,
        "model": "large",
        "window": 16_000,
        "window_from": 17,
        "ranges": ranges,
        "parts": parts or [["system", "system", "instructions", 60, False], ["user", "current", "turn 30", 20, False]],
        "budget": [],
        "estimated": 1_000,
        "body_sha256": "0" * 64,
    }


def unguard(*names: str) -> None:
    """Take guards away until the transaction of the test is rolled back."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            for name in names:
                cursor.execute("SELECT type FROM sqlite_master WHERE name = %s", [name])
                row = cursor.fetchone()
                if row:
                    cursor.execute(f"DROP {row[0]} {name}")
            return
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in names:
            cursor.execute("SELECT conrelid::regclass::text FROM pg_constraint WHERE conname = %s", [name])
            row = cursor.fetchone()
            if row:
                cursor.execute(f"ALTER TABLE {row[0]} DROP CONSTRAINT {name}")
            elif name == "chat_turn_terminal":
                cursor.execute(f"DROP TRIGGER {name} ON chat_turn")
            else:
                cursor.execute(f"DROP INDEX IF EXISTS {name}")


@pytest.fixture(autouse=True)
def checks_again() -> Any:
    """SQLite's pragma outlives a rollback."""
    yield
    if connection.vendor == "sqlite" and connection.connection is not None:
        connection.connection.execute("PRAGMA ignore_check_constraints = OFF")


def broken(session: ChatSession) -> set[int]:
    """The numbers of the broken invariants."""
    return {found.number for found in integrity.violations([session.pk])}


def rewrite(session: ChatSession, **values: Any) -> None:
    """Change the manifest of turn 30."""
    Manifest.objects.filter(turn=turn(session, 30)).update(**values)


def test_a_healthy_store_shows_nothing(session: ChatSession) -> None:
    assert integrity.violations() == []


def _allowance(session: ChatSession) -> None:
    Allowance.objects.create(user=session.owner, day=timezone.now().date(), live=1, reserved=500)


Damage = Callable[[ChatSession], Any]


def _overlap(session: ChatSession) -> None:
    unguard("chat_summary_no_overlap_insert", "chat_summary_no_overlap_update", "chat_summary_no_overlap")
    Summary.objects.filter(session=session, first=9).update(first=8)


def _live_turns(session: ChatSession) -> None:
    unguard("one_live_turn", "one_active_turn")
    head = reread(session).head
    copy = Turn.objects.get(pk=head.pk)
    copy.pk, copy.client_id = None, uuid.uuid4()
    copy.save(force_insert=True)


def _incomplete(session: ChatSession) -> None:
    unguard("complete_turn_is_whole")
    Turn.objects.filter(session=session, number=4).update(stop_reason="")


def _run(session: ChatSession, **values: Any) -> None:
    Turn.objects.live().filter(session=session).update(status="running", owner="me", **values)


def _job(session: ChatSession) -> None:
    Job.objects.create(
        kind="compact", session=session, state="running", lease_until=timezone.now() - timedelta(minutes=5)
    )


def _stranger(session: ChatSession) -> ChatSession:
    return conversation(session.owner, 3)


def _bobs(session: ChatSession) -> ChatSession:
    return conversation(get_user_model().objects.get_or_create(username="somebody else")[0], 1)


DAMAGES: list[tuple[str, int, Damage]] = [
    ("a manifest with a gap", 1, lambda s: rewrite(s, ranges=[[1, 8, "omitted", "x", 0], [10, 30, "verbatim", "", 9]])),
    ("a manifest that ends early", 1, lambda s: rewrite(s, ranges=[[1, 29, "verbatim", "", 9]])),
    ("a manifest with an overlap", 1, lambda s: rewrite(
        s, ranges=[[1, 9, "omitted", "", 0], [9, 30, "verbatim", "", 9]])),
    ("a manifest that names no summary", 1, lambda s: rewrite(
        s, ranges=[[1, 29, "summarised", "S999999", 1], [30, 30, "verbatim", "", 9]])),
    ("a manifest that stretches a summary", 1, lambda s: rewrite(
        s, ranges=[[1, 29, "summarised", ref(s, 1), 1], [30, 30, "verbatim", "", 9]])),
    ("a manifest with a summary of another branch", 1, lambda s: Summary.objects.filter(session=s, first=9).update(
        until=Turn.objects.get(session=s, number=29, active=False))),
    ("active summaries that overlap", 2, _overlap),
    ("an active summary of another branch", 2, lambda s: Summary.objects.filter(session=s, first=9).update(
        until=Turn.objects.get(session=s, number=29, active=False))),
    ("an active summary over a live turn", 2, lambda s: Summary.objects.filter(session=s, first=9).update(
        last=31, until=turn(s, 31))),
    ("a covered turn whose digest changed", 2, lambda s: Turn.objects.filter(session=s, number=5).update(digest="d")),
    ("a covered turn that was excluded", 2, lambda s: Turn.objects.filter(session=s, number=5).update(
        excluded_by="operator")),
    ("two live turns", 3, _live_turns),
    ("a gap in the path", 3, lambda s: Turn.objects.filter(session=s, number=10).update(active=False)),
    ("a head that is not the last turn", 3, lambda s: ChatSession.objects.filter(pk=s.pk).update(head=turn(s, 30))),
    ("no head", 3, lambda s: ChatSession.objects.filter(pk=s.pk).update(head=None)),
    ("a turn that skips its parent", 3, lambda s: Turn.objects.filter(session=s, number=20, active=True).update(
        parent=turn(s, 18))),
    ("a complete turn without a stop reason", 4, _incomplete),
    ("an end without a time", 4, lambda s: Turn.objects.filter(session=s, number=25, active=True).update(
        closed_at=None)),
    ("an end without a digest", 4, lambda s: Turn.objects.filter(session=s, number=25, active=True).update(digest="")),
    ("a live turn with a closing time", 4, lambda s: Turn.objects.live().filter(session=s).update(
        closed_at=timezone.now())),
    ("a running turn without a lease", 5, lambda s: _run(s, lease_until=None)),
    ("a running turn with a stale lease", 5, lambda s: _run(s, lease_until=timezone.now() - timedelta(minutes=1))),
    ("a job with a stale lease", 5, _job),
    ("a request with five breakpoints", 6, lambda s: rewrite(s, parts=[["user", "history", "x", 1, True]] * 5)),
    ("a request that ends with the assistant", 6, lambda s: rewrite(
        s, parts=[["user", "current", "x", 1, False], ["assistant", "history", "y", 1, False]])),
    ("a leaf in another session", 7, lambda s: Turn.objects.filter(session=s, number=2).update(
        leaf=_stranger(s).head)),
    ("a notice of another session's summary", 7, lambda s: Notice.objects.filter(session=s).update(
        turn=_stranger(s).head)),
    ("a fact of another session's turn", 7, lambda s: Fact.objects.filter(session=s).update(turn=_stranger(s).head)),
    ("a fork of somebody else's", 7, lambda s: ChatSession.objects.filter(pk=s.pk).update(forked_from=_bobs(s))),
    ("a thumb down of somebody else's", 7, lambda s: Feedback.objects.create(
        turn=turn(s, 3), user=_bobs(s).owner, reason="wrong")),
    ("a link to another session's turn", 7, lambda s: Share.objects.create(session=s, until=_stranger(s).head)),
    ("a notice that ended", 8, lambda s: Notice.objects.filter(session=s).update(ended_at=timezone.now())),
    ("a notice that covers too little", 8, lambda s: Notice.objects.filter(session=s).update(first=2)),
    ("a trim that nobody was told of", 8, lambda s: ChatSession.objects.filter(pk=s.pk).update(window_from=20)),
    ("a trim that reads like success", 8, lambda s: (
        ChatSession.objects.filter(pk=s.pk).update(window_from=20),
        Notice.objects.create(session=s, kind="compressed", first=17, last=19, until=turn(s, 19)))),
    ("a window behind the head", 8, lambda s: ChatSession.objects.filter(pk=s.pk).update(window_from=33)),
    ("an allowance that holds more than its turns", 10, _allowance),
    ("open tokens that are off", 9, lambda s: ChatSession.objects.filter(pk=s.pk).update(open_tokens=1)),
    ("turns counted wrongly", 9, lambda s: ChatSession.objects.filter(pk=s.pk).update(turns_total=1)),
    ("input counted wrongly", 9, lambda s: ChatSession.objects.filter(pk=s.pk).update(input_tokens=1)),
    ("marks counted wrongly", 9, lambda s: ChatSession.objects.filter(pk=s.pk).update(marked=3)),
    ("more compactions than summaries", 9, lambda s: ChatSession.objects.filter(pk=s.pk).update(compactions=9)),
    ("a running sum that is off", 9, lambda s: Turn.objects.filter(session=s, number=29).update(tokens_upto=1)),
    ("a step that no sum counts", 9, lambda s: (
        Turn.objects.filter(session=s, number=20).update(step_count=1),
        Step.objects.create(turn=turn(s, 20), index=0, kind="tool_use", tokens=5))),
]  # fmt: skip


@pytest.mark.parametrize(("number", "damage"), [pytest.param(n, do, id=name) for name, n, do in DAMAGES])
def test_damage_is_seen(session: ChatSession, number: int, damage: Damage) -> None:
    damage(session)
    found = integrity.violations([session.pk])
    assert number in {one.number for one in found}
    assert {one.session for one in found} <= {str(session.pk), ""}


@pytest.mark.postgresql
def test_two_turns_with_one_client_id_are_seen(session: ChatSession) -> None:
    # SQLite keeps this constraint inside the table: it can't be taken away for a test.
    unguard("one_turn_a_client_id")
    Turn.objects.filter(session=session, number=2).update(client_id=turn(session, 1).client_id)
    assert broken(session) == {3}


def test_a_guard_that_was_lost_is_seen(session: ChatSession) -> None:
    assert guards.missing() == []
    unguard("chat_turn_terminal")
    assert [(found.number, found.session) for found in integrity.violations()] == [(4, "")]
    guards.install()
    assert integrity.violations() == []


def test_an_overlap_is_told_beside_the_guard_that_let_it_in(session: ChatSession) -> None:
    _overlap(session)
    told = [found.detail for found in integrity.violations() if found.number == 2]
    assert sum("overlaps another active one" in detail for detail in told) == 2
    assert any("guard" in detail for detail in told)


def test_another_sessions_damage_is_not_ours(session: ChatSession, alice: Any) -> None:
    other = conversation(alice, 2)
    ChatSession.objects.filter(pk=other.pk).update(turns_total=7)
    assert broken(session) == set()
    assert broken(other) == {9}


def test_what_is_told_holds_no_words(session: ChatSession) -> None:
    for _, _, damage in DAMAGES:
        try:
            damage(session)
        except Exception:
            continue
    told = " ".join(found.detail for found in integrity.violations())
    assert "Question" not in told
    assert "Answer" not in told


def test_a_violation_that_is_gone_at_the_second_look_is_not_told(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([[(9, session.pk, "half of a transaction")], []])
    monkeypatch.setattr(integrity, "CHECKS", (lambda ids: iter(next(looks)),))
    assert integrity.violations() == []


def run(*options: str) -> tuple[list[str], int]:
    """What the command prints, by line, and its exit code."""
    out = StringIO()
    try:
        call_command("check_invariants", *options, stdout=out)
    except CommandError as error:
        return out.getvalue().splitlines(), error.returncode
    return out.getvalue().splitlines(), 0


def test_the_command_ends_with_no_rows_when_all_is_well(session: ChatSession) -> None:
    assert run() == (["0 rows"], 0)


def test_the_command_counts_what_it_found_and_fails(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(turns_total=1, open_tokens=1)
    lines, code = run()
    assert code == 1
    assert lines[-1] == "2 rows"
    assert lines[0].startswith(f"9 {session.pk} open_tokens is 1, not ")


def test_repair_counts_again_reaps_and_tells_a_line_for_each(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(
        turns_total=1, open_tokens=1, input_tokens=3, marked=2, compactions=40, window_from=20
    )
    Turn.objects.filter(session=session, number=29, active=True).update(tokens_upto=1)
    Notice.objects.filter(session=session).delete()
    _run(session, lease_until=timezone.now() - timedelta(minutes=1), attempt=1)
    _job(session)
    _allowance(session)
    assert run()[1] == 1
    lines, code = run("--repair", "--yes")
    assert (lines[-1], code) == ("0 rows", 0)
    told = "\n".join(lines)
    for name in ("turns_total was 1, is", "open_tokens", "input_tokens", "marked was 2, is 0",
                 "compactions was 40, is 1", "tokens_upto of ", "notice (compressed) written for turns 1-16",
                 "notice (trimmed) written for turns 17-19", "reaped turn", "reaped 1 jobs",
                 "what is set aside on"):  # fmt: skip
        assert name in told
    assert run("--repair") == (["0 rows"], 0)


def test_a_check_costs_the_same_number_of_queries_for_any_length(
    alice: Any, django_assert_max_num_queries: Any
) -> None:
    long = conversation(alice, 400)
    compress(long, *[(first, first + 19) for first in range(1, 300, 20)])
    with django_assert_max_num_queries(75):
        assert integrity.violations() == []


def test_a_lease_of_a_moment_ago_is_the_reapers_business(session: ChatSession, settings: Any) -> None:
    settings.CHAT_REAP_S = 30.0
    _run(session, lease_until=timezone.now() - timedelta(seconds=5))
    assert broken(session) == set()
    assert leases.reap_turns()
