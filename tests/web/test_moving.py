"""Bringing conversations in: looked at first, taken once, bounded, and never trusted."""

import io
import json
import struct
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from chat.flow import importing
from chat.models import ChatSession, Import, Job, Turn
from chat.store import integrity
from chat.store.portable import dumping, staging, uploads
from chat.store.portable.values import Unreadable

pytestmark = pytest.mark.django_db


def chatgpt(title, *pairs, **extra):
    nodes = {"root": {"message": None, "parent": None}}
    above = "root"
    for number, (role, content) in enumerate(pairs):
        content = {"content_type": "text", "parts": [content]} if isinstance(content, str) else content
        message = {"author": {"role": role}, "create_time": 1_760_000_000 + number, "content": content}
        nodes[f"n{number}"] = {"message": message, "parent": above}
        above = f"n{number}"
    return {"title": title, "create_time": 1_760_000_000, "mapping": nodes, "current_node": above} | extra


def claude(name, *messages):
    return {"name": name, "created_at": "2026-03-01T10:00:00Z", "chat_messages": list(messages)}


PICTURE = {"content_type": "multimodal_text", "parts": ["Look:", {"content_type": "image_asset_pointer"}]}
SOURDOUGH = chatgpt("Sourdough", ("user", PICTURE), ("assistant", "Four hours."))
ATTACKS = chatgpt(
    "<img src=x onerror=alert(1)>",
    ("user", "<script>alert(1)</script>"),
    ("assistant", "<b onclick=alert(1)>x</b> [y](javascript:alert(1)) ![z](https://evil.example/z.png)"),
)
PLAN = claude(
    "Plan",
    {"sender": "human", "text": "Read this", "attachments": [{"file_name": "a.txt", "extracted_content": "KEPT"}]},
    {"sender": "assistant", "content": [{"type": "thinking"}, {"type": "text", "text": "Done."}]},
)


def zipped(**files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/") + ".json", json.dumps(content))
        archive.writestr("chat.html", "<script>alert(1)</script>")
    return held.getvalue()


@pytest.fixture
def upload(client, alice):
    client.force_login(alice)

    def send(content, name="export.zip"):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return client.post("/import/", {"file": SimpleUploadedFile(name, data)})

    return send


def take(client, address):
    """As the page and then the job do."""
    client.post(f"{address}take/")
    made = Import.objects.get(pk=address.split("/")[2])
    while one := staging.waiting(made.pk):
        staging.take(one)
    staging.finish(made.pk)
    made.refresh_from_db()
    return made


def given_out(session):
    """An archive of a conversation, without its summaries."""
    Turn.objects.update(usage=dict.fromkeys(("input", "cache_read", "cache_write", "output"), 1), digest="d")
    return dumping.dump(session) | {"summaries": [], "notices": []}


class TestThePage:
    def test_shows_what_is_there_before_anything_is_stored_and_takes_it_once(self, client, upload, alice):
        address = upload(zipped(conversations=[SOURDOUGH, PLAN, {"mapping": {"x": []}}, claude("Nothing")])).url
        page = client.get(address).content.decode()
        assert not ChatSession.objects.exists()
        assert "4 conversations in this file" in page
        for words in (
            *("Sourdough", "Plan", "Import 2 conversations", "Oct. 9, 2025 to March 1, 2026"),
            *("can’t be read", "conversation 2, node x is not an object"),
            *("1 image; a mark stands in its place", "1 piece of thinking"),
        ):
            assert words in page, words
        made = take(client, address)
        assert (made.state, set(alice.chat_sessions.values_list("title", flat=True))) == ("done", {"Sourdough", "Plan"})
        assert not made.items.exclude(body=None).exists()
        assert Turn.objects.get(prompt__contains="Read this").prompt == "Read this\n\n[a.txt]\nKEPT"
        page = client.get(address).content.decode()
        assert "2 conversations imported" in page
        for session in alice.chat_sessions.all():
            assert f"/c/{session.pk}/" in page
        again = upload(zipped(conversations=[SOURDOUGH, PLAN, PLAN])).url
        page = client.get(again).content.decode()
        assert "there already" in page
        assert "Import " + "2" not in page
        take(client, again)
        assert alice.chat_sessions.count() == 2
        assert integrity.violations() == []

    def test_the_same_conversation_twice_in_one_file_is_taken_once(self, client, upload, alice):
        take(client, upload([PLAN, PLAN], "conversations.json").url)
        assert alice.chat_sessions.count() == 1

    def test_our_own_export_comes_back_equal_and_the_zip_of_everything_too(self, client, upload, alice, compressed):
        compressed.summaries.update(state="resting")
        Turn.objects.update(usage=dict.fromkeys(("input", "cache_read", "cache_write", "output"), 1), digest="d")
        before = dumping.dump(compressed)
        everything = b"".join(client.get("/account/download/").streaming_content)
        for content in (json.dumps(before).encode(), everything):
            ChatSession.objects.filter(imported_at__isnull=False).delete()
            take(client, upload(content, "mine").url)
            assert dumping.dump(ChatSession.objects.get(imported_at__isnull=False)) == before

    def test_an_archive_chooses_nothing_that_its_owner_could_not_choose_here(
        self, client, upload, alice, compressed, settings
    ):
        settings.CHAT_MODELS = [settings.CHAT_MODEL, "claude-offered"]
        written = given_out(compressed)
        free = {"soft_mark": -5, "hard_mark": 32_000, "window_messages": 2_000_000_000, "strategy": "provider"}
        ahead = {"context_version": 2**31 - 1, "prefix_version": 2**31 - 1, "compactions": 2**31 - 1, "seen": 99}
        ahead |= {"trims": 2**31 - 1, "window_from": 900, "updated_at": "9999-01-01T00:00:00"}
        ahead |= {"restored": [[1, 2]] * 1_000}
        written["session"] |= {"model": "anything-at-all", "instructions": "x" * 100_001, **free, **ahead}
        address = upload(written, "mine.json").url
        words = (
            "the model of 1 conversation, which is not on offer here",
            "the marks for compressing of 1 conversation, which staff set",
            "instructions or settings of 1 conversation beyond what can be chosen here",
        )
        assert all(word in client.get(address).content.decode() for word in words)
        take(client, address)
        assert all(word in client.get(address).content.decode() for word in words)
        came = ChatSession.objects.select_related("instructions").get(imported_at__isnull=False)
        assert (came.model, came.soft_mark, came.hard_mark) == (settings.CHAT_MODEL, None, None)
        assert (came.strategy, came.window_messages) == (settings.CHAT_STRATEGY, 1_000)
        assert came.instructions.text == settings.CHAT_INSTRUCTIONS
        assert (came.context_version, came.prefix_version, came.trims) == (1_000_000,) * 3
        assert (came.seen, came.window_from, came.restored, came.compactions) == (6, 7, None, 0)
        assert came.updated_at <= timezone.now()

    def test_a_model_that_is_on_offer_and_what_its_owner_chose_come_along(self, client, upload, compressed, settings):
        settings.CHAT_MODELS = [settings.CHAT_MODEL, "claude-offered"]
        written = given_out(compressed)
        chosen = {"model": "claude-offered", "strategy": "sliding_window", "window_messages": 12, "mode": "ask"}
        written["session"] |= chosen | {"instructions": "Speak like a captain.", "restored": [[1, 2]]}
        address = upload(written, "mine.json").url
        assert "Not taken along" not in client.get(address).content.decode()
        take(client, address)
        came = ChatSession.objects.select_related("instructions").get(imported_at__isnull=False)
        assert {name: getattr(came, name) for name in chosen} == chosen
        assert (came.instructions.text, came.restored) == ("Speak like a captain.", [[1, 2]])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("context_version", float("inf")),
            ("context_version", ""),
            ("updated_at", 1e300),
            ("archived_at", True),
            ("soft_mark", float("inf")),
        ],
    )
    def test_a_value_of_another_kind_breaks_its_conversation_and_not_the_upload(
        self, client, upload, make_session, name, value
    ):
        written = given_out(make_session(1))
        written["session"][name] = value
        page = client.get(upload([written, PLAN]).url).content.decode()
        assert "is not a value that it can have" in page
        assert "Import 1 conversation" in page

    def test_words_of_elsewhere_are_words_and_never_markup(self, client, upload, alice):
        address = upload([ATTACKS]).url
        pages = [client.get(address).content.decode()]
        take(client, address)
        session = alice.chat_sessions.get()
        pages += [client.get(path).content.decode() for path in (address, f"/c/{session.pk}/")]
        for page in pages:
            assert "<img" not in page
            assert "alert(1)</script>" not in page.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
            assert "<b onclick" not in page
            assert 'href="javascript' not in page
        assert "&lt;script&gt;alert(1)" in pages[2]

    def test_is_the_owners_alone_and_goes_with_what_was_not_taken(self, client, upload, bob, alice):
        address = upload([PLAN]).url
        client.force_login(bob)
        assert [client.get(address).status_code, client.post(f"{address}drop/").status_code] == [404, 404]
        client.force_login(alice)
        assert client.post(f"{address}drop/").url == "/import/"
        assert not Import.objects.exists()

    def test_a_new_upload_replaces_one_that_was_only_looked_at(self, upload):
        upload([PLAN])
        upload([SOURDOUGH])
        assert Import.objects.count() == 1

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "Choose a file first"),
            (b"x" * 2_000_001, "larger than 1 MB"),
        ],
    )
    def test_refuses_what_is_no_file_and_what_is_too_large(self, upload, settings, content, words):
        settings.CHAT_IMPORT_MB = 1
        response = upload(content)
        assert response.status_code == 422
        assert words in response.content.decode()
        assert not Import.objects.exists()

    def test_says_where_reading_ended_and_keeps_what_came_before(self, client, upload):
        page = client.get(upload(json.dumps([PLAN]).encode()[:-1] + b", {oops").url).content.decode()
        assert "could not be read to its end" in page
        assert "Import 1 conversation" in page


class TestBounds:
    def read(self, data, most=uploads.MOST_UNPACKED):
        return [part.read() for part, _name in uploads.parts(io.BytesIO(data), "x.zip", most)]

    def test_a_zip_that_unpacks_to_more_than_may_is_cut_while_it_unpacks(self):
        bomb = zipped(conversations="0" * 5_000_000)
        assert len(bomb) < 100_000
        with pytest.raises(Unreadable, match="unpacks to more"):
            self.read(bomb, 1_000_000)

    def test_the_bound_is_for_all_of_its_files_together(self):
        many = zipped(**{f"conversations-{n}": "0" * 400_000 for n in range(5)})
        assert len(self.read(many, 3_000_000)) == 5
        with pytest.raises(Unreadable, match="unpacks to more"):
            self.read(many, 1_000_000)

    def test_a_directory_of_millions_is_never_read(self):
        held = bytearray(zipped(conversations=[]))
        end = held.rfind(b"PK\x05\x06")
        struct.pack_into("<L", held, end + 12, 500_000_000)
        with pytest.raises(Unreadable, match="more files than an export"):
            self.read(bytes(held))

    @pytest.mark.parametrize("harm", ["cut", "flipped", "encrypted", "none inside"])
    def test_a_damaged_zip_is_said_in_a_sentence(self, harm):
        data = bytearray(zipped(conversations=[PLAN] * 50) if harm != "none inside" else zipped(users=[1]))
        if harm == "cut":
            del data[-40:]
        elif harm == "flipped":
            data[120] ^= 0xFF
        elif harm == "encrypted":
            for sign, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
                data[data.find(sign) + flag] |= 1
        with pytest.raises(Unreadable, match=r"x\.zip (is a damaged or encrypted zip|holds no conversations\.json)\."):
            self.read(bytes(data))

    def test_more_conversations_than_may_be_taken_at_once_are_cut_off_and_said(self, client, upload, monkeypatch):
        monkeypatch.setattr(staging, "MOST_CONVERSATIONS", 2)
        page = client.get(upload([claude(f"C{n}", {"sender": "human", "text": f"{n}"}) for n in range(5)]).url)
        assert "more conversations in it than can be taken" in page.content.decode()
        assert "Import 2 conversations" in page.content.decode()


class TestTheJob:
    def test_is_made_once_however_often_the_button_is_pressed(self, client, upload):
        address = upload([PLAN]).url
        for _ in range(2):
            client.post(f"{address}take/")
        assert Job.objects.filter(kind=importing.KIND).count() == 1
        assert 'hx-trigger="every 1s"' in client.get(address).content.decode()

    def test_one_that_does_not_fit_together_is_said_and_the_next_is_taken(self, client, upload, alice, compressed):
        Turn.objects.update(usage=dict.fromkeys(("input", "cache_read", "cache_write", "output"), 1), digest="d")
        wrong = dumping.dump(compressed)  # its summary claims to be of other words
        made = take(client, upload([wrong, PLAN]).url)
        assert list(made.items.order_by("index").values_list("state", flat=True)) == ["broken", "taken"]
        assert "is not of these turns" in client.get(f"/import/{made.pk}/").content.decode()
        assert alice.chat_sessions.filter(imported_at__isnull=False).count() == 1
