"""Files that are given out: whole, equal when they come back, under names that harm nobody."""

import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
from django.test import AsyncClient

from chat.models import ChatSession, Document, Instructions, Preference, Preset, Thought, Turn
from chat.store.portable import dumping, reading, storing
from chat.store.portable.naming import file_name
from tests.web.conftest import add_turn

pytestmark = pytest.mark.django_db

USAGE = dict.fromkeys(("input", "cache_read", "cache_write", "output"), 1)


def body(response) -> bytes:
    return b"".join(response.streaming_content)


@pytest.fixture
def rich(compressed):
    """A conversation with a summary, a notice, a document, a thought and two versions of its last turn."""
    last = compressed.head
    Thought.objects.create(turn=last, text="Let me think.", tokens=4, seconds=3)
    Document.objects.create(
        session=compressed, turn=last, name="plan.txt", kind="text", text="one two", size=7, tokens=2,
        digest="ab" * 32,
    )  # fmt: skip
    # The version that is shown is the newer one, as after every regenerate.
    Turn.objects.filter(pk=last.pk).update(active=False)
    newer = Turn.objects.get(pk=last.pk)
    newer.pk, newer.active, newer.reply = None, True, "Another answer."
    newer.client_id = "6f0b3c55-6d0e-4d0c-9d7e-0b7a4c3f2a11"
    newer.save()
    ChatSession.objects.filter(pk=compressed.pk).update(head=newer, turns_total=7)
    Turn.objects.filter(session=compressed).update(digest="d", usage=USAGE)
    compressed.summaries.update(state="resting")
    compressed.refresh_from_db()
    return compressed


class TestAConversation:
    def test_comes_back_equal_with_everything_that_belongs_to_it(self, client, alice, bob, rich, tmp_path):
        client.force_login(alice)
        response = client.get(f"/c/{rich.pk}/export.json")
        text = body(response)
        assert json.loads(text) == dumping.dump(rich)
        (tmp_path / "export.json").write_bytes(text)
        (found,) = reading.read(tmp_path / "export.json")
        copy = storing.store(bob, found)
        again = dumping.dump(copy)
        document = {"digest": again["documents"][0]["digest"]}
        assert again == json.loads(text) | {"documents": [json.loads(text)["documents"][0] | document]}
        thought = {"text": "Let me think.", "tokens": 4, "seconds": 3}
        assert [turn.get("thought") for turn in again["turns"]].count(thought) == 1

    def test_reads_as_markdown_with_its_notices_summaries_and_attachments(self, client, alice, rich):
        client.force_login(alice)
        response = client.get(f"/c/{rich.pk}/export.md")
        text = body(response).decode()
        assert text.startswith("# About A-7731\n")
        assert text.index("## Turn 4") < text.index("compressed for length") < text.index("## Turn 5")
        assert "Another answer." in text
        assert "*1 other version; 3 tokens in" in text
        assert response["Content-Type"] == "text/markdown; charset=utf-8"
        assert response["Content-Disposition"].startswith('attachment; filename="About A-7731 ')
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in response["Cache-Control"]

    def test_of_the_first_version_of_the_format_can_still_be_taken_in(self, alice, rich, tmp_path):
        old = dumping.dump(rich)
        del old["documents"], old["session"]["thinking"], old["session"]["titled_by"]
        (tmp_path / "old.json").write_text(json.dumps(old))
        (found,) = reading.read(tmp_path / "old.json")
        assert storing.store(alice, found).turns_active == 6


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd 2026-01-02.md"),
        ('a"b\r\nSet-Cookie: x=y', "a b Set-Cookie x y 2026-01-02.md"),
        ("\u202efdp.exe\x00", "fdp.exe 2026-01-02.md"),
        ("CON", "conversation CON 2026-01-02.md"),
        (" .. ", "conversation 2026-01-02.md"),
        ("Größe 中文", "Größe 中文 2026-01-02.md"),
        ("x" * 500, "x" * 60 + " 2026-01-02.md"),
    ],
)
def test_a_file_has_a_name_that_every_system_takes(title, name):
    assert file_name(title, datetime(2026, 1, 2, tzinfo=UTC), "md") == name


class TestEverything:
    def test_is_a_zip_with_the_account_and_all_conversations_which_can_be_taken_in_again(
        self, client, alice, bob, make_session, tmp_path
    ):
        for number in range(3):
            make_session(2, title=f"Talk {number}")
        make_session(1, owner=bob, title="Bob's")
        gone = make_session(1, title="Gone")
        ChatSession.objects.filter(pk=gone.pk).update(deleted_at=datetime(2026, 1, 1, tzinfo=UTC))
        Turn.objects.update(usage=USAGE)
        text = Instructions.objects.create(text="Be brief.", digest="x")
        short = Preset.objects.create(owner=alice, name="Short", instructions=text)
        Preference.objects.create(user=alice, delete_after_days=30, preset=short)
        client.force_login(alice)
        response = client.get("/account/download/")
        archive = zipfile.ZipFile(io.BytesIO(body(response)))
        assert archive.testzip() is None
        account = json.loads(archive.read("account.json"))
        assert (account["username"], account["email"]) == ("alice", "alice@example.org")
        assert account["presets"][0]["instructions"] == "Be brief."
        assert account["preferences"] == {"delete_after_days": 30, "preset": "Short"}
        assert not {"password", "key"} & set(str(account).lower().split("'"))
        (tmp_path / "all.zip").write_bytes(archive.fp.getvalue())
        titles = [one.title for one in reading.read(tmp_path / "all.zip")]
        assert titles == ["Talk 0", "Talk 1", "Talk 2"]
        assert sum(name.startswith("readable/") for name in archive.namelist()) == 3

    @pytest.mark.django_db(transaction=True)
    async def test_is_made_piece_by_piece_while_it_is_sent(self, alice, make_session, monkeypatch):
        monkeypatch.setattr("chat.web.giving.GATHERED", 1)
        session = make_session(30)
        client = AsyncClient()
        await client.aforce_login(alice)
        response = await client.get(f"/c/{session.pk}/export.json")
        pieces = [piece async for piece in response.streaming_content]
        assert len(pieces) > 30
        assert len(json.loads(b"".join(pieces))["turns"]) == 30


def test_nobody_gets_what_is_somebody_elses(client, bob, make_session):
    session = make_session(1)
    add_turn(session)
    client.force_login(bob)
    assert client.get(f"/c/{session.pk}/export.json").status_code == 404
