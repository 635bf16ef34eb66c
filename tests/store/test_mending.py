"""Every kind of damage is shown by a preview that changes nothing, repaired, and gone; also all of them at once."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from chat.models import ChatSession, Manifest, Notice, Summary, Turn, guards
from chat.store import integrity, mending
from tests.store.building import turn
from tests.store.test_integrity import DAMAGES, Damage, checks_again, ref, rewrite, run, session, unguard

__all__ = ["checks_again", "session"]


def state() -> list[Any]:
    """Everything that a repair may touch."""
    tables = (ChatSession, Turn, Summary, Notice, Manifest)
    return [list(table.objects.order_by("pk").values()) for table in tables]


AT_ONCE = 7


def test_every_kind_of_damage_is_repaired_also_beside_others(session: ChatSession) -> None:
    kinds = len(DAMAGES) // AT_ONCE
    missed = []
    for start in range(kinds):
        group = DAMAGES[start::kinds]
        with transaction.atomic():
            for _, _, damage in group:
                harm(session, damage)
            settle()
            assert integrity.violations()
            done = mending.repair()
            if left := integrity.violations():
                missed.append(f"{[name for name, _, _ in group]}: {left} after {done}")
            transaction.set_rollback(True)
    assert not missed, "\n".join(missed)


def harm(session: ChatSession, damage: Damage) -> None:
    """Do it, unless what was done before it leaves it nothing to harm."""
    try:
        with transaction.atomic():
            damage(session)
            settle()
    except (DatabaseError, ObjectDoesNotExist):
        return


def settle() -> None:
    """PostgreSQL alters no table while it owes it a check."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


# A night's worth: what `check_invariants --repair` is for.
EIGHT: tuple[Damage, ...] = (
    lambda s: Turn.objects.filter(session=s, number=26, active=False).update(parent=turn(s, 3)),
    lambda s: Turn.objects.live().filter(session=s).update(
        status="running", owner="gone", lease_until=timezone.now() - timedelta(hours=1)),
    lambda s: Turn.objects.filter(session=s, number=5).update(excluded_by="operator"),
    lambda s: Turn.objects.filter(session=s, number=20, active=True).update(active=False),
    lambda s: rewrite(s, ranges=[[1, 8, "omitted", "x", 0], [10, 30, "verbatim", "", 9]]),
    lambda s: Notice.objects.filter(session=s).delete(),
    lambda s: ChatSession.objects.filter(pk=s.pk).update(open_tokens=1, turns_total=4, head=None),
    lambda s: guards.missing() or unguard("chat_turn_terminal"),
)  # fmt: skip


def test_a_database_damaged_in_eight_ways_at_once_is_reported_previewed_repaired_and_clean(
    session: ChatSession,
) -> None:
    for damage in EIGHT:
        damage(session)
    settle()
    reported, code = run()
    assert code == 1
    assert {int(line[0]) for line in reported[:-1]} >= {1, 2, 3, 4, 5, 8, 9}
    before = state()
    previewed, code = run("--repair")
    assert code == 1
    assert state() == before
    assert previewed[-1] == reported[-1]
    told = [line for line in previewed if line.startswith("would: ")]
    assert f"Nothing was changed: --repair --yes makes these {len(told)} changes." in previewed
    for word in ("reaped turn", "follows turn", "the active path is 1-31 again", "is stale", "the manifest of turn",
                 "turns_total was 4, is", "notice (", "the guard chat_turn_terminal stands again"):  # fmt: skip
        assert any(word in line for line in told), word
    repaired, code = run("--repair", "--yes")
    assert (repaired[-1], code) == ("0 rows", 0)
    assert Turn.objects.filter(session=session).count() == Turn.objects.count()
    assert "Question" not in "".join(previewed + repaired)
    # The words of a turn that was excluded are in no summary any more; the rest of its turns are sent again.
    assert not Summary.objects.filter(session=session, first=1, state="active").exists()
    assert ChatSession.objects.get(pk=session.pk).restored == [[1, 8]]
    assert run("--repair") == (["0 rows"], 0)


def test_a_digest_that_is_wrong_is_counted_again_and_its_summary_stays(session: ChatSession) -> None:
    Turn.objects.filter(session=session, number=5).update(digest="d")
    mending.repair()
    assert integrity.violations() == []
    assert Summary.objects.filter(session=session, first=1, state="active").exists()


def test_a_turn_whose_summary_went_is_sent_again_and_nothing_is_lost(session: ChatSession) -> None:
    kept = Turn.objects.filter(session=session).count()
    named = ref(session, 9)
    Summary.objects.filter(session=session, first=9).update(source_hash="0" * 64)
    mending.repair()
    session.refresh_from_db()
    assert session.open_tokens >= 800
    assert Turn.objects.filter(session=session).count() == kept
    assert Summary.objects.get(pk=int(named[1:])).state == Summary.State.STALE
    # The manifest of what was sent then stays: it is still true of then.
    assert Manifest.objects.filter(turn=turn(session, 30)).exists()
