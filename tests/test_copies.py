"""`backup` and `restore`: all or nothing, never over something, and sound afterwards."""

import os
import stat
import subprocess
import sys
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis as client
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from chat.flow import opening
from chat.management import copies
from chat.models import Allowance, ChatSession, Turn, Worker
from chat.store import integrity, leases, rediswindows
from tests.redis import server
from tests.store.building import compress, conversation

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parent.parent


def rows() -> dict[str, list[Any]]:
    """Everything that the models hold."""
    return {
        model._meta.label: sorted(model._base_manager.values_list(), key=lambda row: repr(row[0]))
        for model in apps.get_models()
    }


def run(name: str, *arguments: Any, **options: Any) -> str:
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def session(alice: Any) -> ChatSession:
    made = conversation(alice, 30, words="Grüße, 東京 and A-7731")
    compress(made, (1, 8), (9, 16))
    return made


def test_what_was_backed_up_is_what_is_restored(session: ChatSession, bob: Any, tmp_path: Path) -> None:
    before = rows()
    assert run("backup", tmp_path / "copy").endswith(" bytes\n")
    ChatSession.objects.all().delete()
    bob.delete()
    conversation(session.owner, 3)
    assert run("restore", tmp_path / "copy", replace=True) == "0 rows\n"
    assert rows() == before
    assert integrity.violations() == []
    conversation(session.owner, 2)  # ids go on behind those that were restored


def test_a_copy_is_for_its_owner_alone_and_nothing_else_is_left(session: ChatSession, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["copy"]


def test_a_backup_never_overwrites(session: ChatSession, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("precious")
    with pytest.raises(CommandError, match="never overwrites"):
        run("backup", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "precious"


def test_a_backup_that_fails_leaves_nothing(
    session: ChatSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(path: Path) -> None:
        raise CommandError("damaged")

    monkeypatch.setattr(copies, "verify", damaged)
    with pytest.raises(CommandError, match="damaged"):
        run("backup", tmp_path / "copy")
    with pytest.raises(CommandError, match="No such file"):
        run("backup", tmp_path / "nowhere" / "copy")
    assert os.listdir(tmp_path) == []


def test_a_restore_replaces_nobodys_conversations_unasked(session: ChatSession, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy")
    before = rows()
    with pytest.raises(CommandError, match="--replace"):
        run("restore", tmp_path / "copy")
    assert rows() == before


def test_a_restore_under_a_running_site_is_refused(session: ChatSession, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy")
    Worker.objects.create(id="web:1", kinds="web", beat_at=timezone.now())
    with pytest.raises(CommandError, match="1 processes"):
        run("restore", tmp_path / "copy", replace=True)
    Worker.objects.update(beat_at=timezone.now() - timedelta(hours=1))
    assert run("restore", tmp_path / "copy", replace=True) == "0 rows\n"


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_damaged_copy_changes_nothing(session: ChatSession, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    run("backup", copy)
    before = rows()
    if damage == "cut":
        os.truncate(copy, copy.stat().st_size * 2 // 3)
    elif damage == "other":
        copy.write_text("no database at all\n" * 500)
    else:
        copy.unlink()
    with pytest.raises(CommandError):
        run("restore", copy, replace=True)
    assert rows() == before


def test_what_was_running_is_given_back_after_a_restore(session: ChatSession, tmp_path: Path) -> None:
    opened = opening.open_turn(
        owner_id=session.owner_id, session_id=session.pk, client_id=uuid.uuid4(), text="And then?"
    )
    leases.claim_turn("a process that is gone", 15)
    Turn.objects.filter(pk=opened.turn_id).update(lease_until=timezone.now() - timedelta(hours=1))
    run("backup", tmp_path / "copy")
    told = run("restore", tmp_path / "copy", replace=True)
    assert f"reaped turn {opened.turn_id}" in told
    assert told.endswith("\n0 rows\n")
    assert Turn.objects.get(pk=opened.turn_id).status == Turn.Status.QUEUED
    assert Allowance.objects.get(user=session.owner).live == 1


def test_a_copy_with_a_broken_invariant_is_said_to_have_one(session: ChatSession, tmp_path: Path) -> None:
    Turn.objects.filter(session=session, number=5).update(digest="d")
    run("backup", tmp_path / "copy")
    with pytest.raises(CommandError, match="invariants"):
        run("restore", tmp_path / "copy", replace=True)


def test_windows_kept_in_redis_go_before_the_rows_do(session: ChatSession, tmp_path: Path, settings: Any) -> None:
    run("backup", tmp_path / "copy")
    with server() as own:
        settings.REDIS_URL = own.url()
        with client.Redis.from_url(own.url()) as connected:
            connected.set(f"{rediswindows.PREFIX}{session.pk}", "window")
            connected.set("somebody else's", "value")
            run("restore", tmp_path / "copy", replace=True)
            assert connected.keys() == [b"somebody else's"]
        own.stop()
        before = rows()
        with pytest.raises(CommandError, match="Redis"):
            run("restore", tmp_path / "copy", replace=True)
        assert rows() == before


def test_a_copy_goes_into_a_database_that_was_never_used(session: ChatSession, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
        else:
            cursor.execute("DROP DATABASE IF EXISTS restored")
            cursor.execute("CREATE DATABASE restored")
            given = connection.settings_dict
            url = f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/restored"
    done = subprocess.run(
        [sys.executable, "manage.py", "restore", str(tmp_path / "copy")],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url, "CHAT_VAR_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0 rows\n"), done.stderr
