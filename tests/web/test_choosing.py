"""What answers, instructions under names, light and dark, and what is said when something is not well."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from chat.models import ChatSession, Preference, Preset, Thought, Turn
from chat.store import presets
from chat.web import choosing, condition
from tests.web.conftest import add_manifest, add_turn

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = "claude-haiku-4-5-20251001"
STANDARD = "Answer plainly."


@pytest.fixture
def page(client: Any, alice: Any, settings: Any) -> Any:
    settings.CHAT_CONTEXT_WINDOW = 16_000
    client.force_login(alice)
    return client


def post(page: Any, session: ChatSession, **fields: Any) -> Any:
    return page.post(
        reverse("chat:choices", args=[session.pk]), {"model": session.model, "instructions": "keep"} | fields
    )


class TestWhatAnswers:
    def test_the_form_lists_models_with_their_windows_and_those_nobody_knows(self, page, make_session, settings):
        session = make_session(1)
        assert "takes 16 k" in page.get(reverse("chat:choices", args=[session.pk])).content.decode()
        settings.CHAT_CONTEXT_WINDOW = None
        assert "window not known" in page.get(reverse("chat:choices", args=[session.pk])).content.decode()
        answer = post(page, session, model=SMALL)
        assert "can’t be chosen now" in answer.content.decode()
        session.refresh_from_db()
        assert session.model != SMALL

    def test_a_switch_that_makes_parts_go_is_told_with_its_numbers_and_then_made(self, page, make_session):
        session = make_session(3)
        ChatSession.objects.filter(pk=session.pk).update(open_tokens=61_000)
        said = post(page, session, model=SMALL).content.decode()
        assert "holds 61.1 k tokens, claude-haiku-4-5 takes 16 k: older parts are compressed first." in said
        session.refresh_from_db()
        assert session.model != SMALL
        assert post(page, session, model=SMALL, anyway="1").status_code == 302
        session.refresh_from_db()
        assert session.model == SMALL

    def test_it_is_refused_while_a_reply_runs_and_for_what_is_not_on_offer(self, page, make_session):
        session = make_session(1)
        post(page, session, model="somebody-elses-model")
        session.refresh_from_db()
        assert session.model != "somebody-elses-model"
        add_turn(session, status="running")
        assert "A reply is running" in post(page, session, thinking="1").content.decode()
        session.refresh_from_db()
        assert not session.thinking

    def test_a_stranger_finds_nothing(self, page, make_session, bob):
        session = make_session(1, owner=bob)
        turn = Turn.objects.get(session=session)
        Thought.objects.create(turn=turn, text="Secret.", tokens=3)
        preset = presets.save(bob, None, name="His", text="Be brief.")
        paths = [
            reverse("chat:choices", args=[session.pk]),
            reverse("chat:thought", args=[session.pk, turn.pk]),
            reverse("chat:instructions-edit", args=[preset.pk]),
        ]
        assert [page.get(path).status_code for path in paths] == [404] * 3
        assert page.post(reverse("chat:instructions-delete", args=[preset.pk])).status_code == 404
        mine = make_session(1)
        post(page, mine, instructions=preset.pk)
        mine.refresh_from_db()
        assert mine.instructions_id != preset.instructions_id

    def test_with_script_the_gauge_and_the_name_come_along(self, page, make_session):
        session = make_session(2)
        add_manifest(session)
        url = reverse("chat:choices", args=[session.pk])
        fields = {"model": session.model, "instructions": "keep", "thinking": "1"}
        answer = page.post(url, fields, headers={"HX-Request": "true"})
        body = answer.content.decode()
        assert 'id="gauge" hx-swap-oob="true"' in body
        assert "· thinking" in body
        assert "set aside for it" in body
        assert "chosen" in answer.headers["HX-Trigger"]

    def test_what_was_thought_is_told_in_a_line_and_shown_sanitised(self, page, make_session):
        session = make_session(1)
        turn = Turn.objects.get(session=session)
        Thought.objects.create(turn=turn, text="Let me **see** <script>alert(1)</script>.", tokens=1_200, seconds=4)
        shown = page.get(reverse("chat:conversation", args=[session.pk])).content.decode()
        assert "Thought for 4 s · ~1,200 tokens" in shown
        assert "Let me" not in shown
        body = page.get(reverse("chat:thought", args=[session.pk, turn.pk])).content.decode()
        assert "<strong>see</strong>" in body
        assert "<script>alert" not in body


class TestBeforeThereIsAConversation:
    """The welcome page: what is shown by its message box is what the first conversation begins with."""

    CHOICE = {"model": SMALL, "thinking": "1"}

    @pytest.fixture
    def preset(self, alice, page) -> Preset:
        return presets.save(alice, None, name="Shop", text="Answer like a shop.")

    def test_a_choice_is_kept_by_the_page_and_taken_by_the_first_message(self, page, preset, settings):
        form = page.get(reverse("chat:choices-first")).content.decode()
        assert "takes 16 k" in form
        assert f'<option value="{preset.pk}">Shop</option>' in form
        choice = self.CHOICE | {"instructions": preset.pk}
        kept = page.post(reverse("chat:choices-first"), choice, headers={"HX-Request": "true"}).content.decode()
        for name, value in choice.items():
            assert f'<input type="hidden" name="{name}" value="{value}">' in kept
        assert "· thinking" in kept
        assert not ChatSession.objects.exists()
        page.post(reverse("chat:new"), choice | {"text": "Hello?"})
        session = ChatSession.objects.get()
        assert (session.model, session.thinking, session.turns_total) == (SMALL, True, 1)
        assert session.instructions == preset.instructions

    def test_an_empty_one_that_is_used_again_begins_with_what_the_page_shows(self, page, preset, settings):
        page.post(reverse("chat:new"), self.CHOICE | {"instructions": preset.pk})
        shown = page.get(reverse("chat:home")).content.decode()
        assert f'name="model" value="{settings.CHAT_MODEL}"' in shown
        page.post(reverse("chat:new"), {"model": settings.CHAT_MODEL, "instructions": "", "text": "Hello?"})
        session = ChatSession.objects.get()
        assert (session.model, session.thinking) == (settings.CHAT_MODEL, False)
        assert session.instructions.text == settings.CHAT_INSTRUCTIONS

    def test_what_cant_be_chosen_is_said_and_nothing_is_sent(self, page, settings):
        settings.CHAT_CONTEXT_WINDOW = None
        assert "can’t be chosen now" in page.post(reverse("chat:choices-first"), self.CHOICE).content.decode()
        answer = page.post(
            reverse("chat:new"), self.CHOICE | {"text": "Hello?"}, headers={"Accept": "application/json"}
        )
        assert answer.status_code == 409
        assert "can’t be chosen now" in answer.json()["text"]
        assert not Turn.objects.exists()

    def test_without_script_the_conversation_is_made_with_it(self, page, preset):
        answer = page.post(reverse("chat:choices-first"), self.CHOICE | {"instructions": preset.pk})
        session = ChatSession.objects.get()
        assert answer.headers["location"] == reverse("chat:conversation", args=[session.pk])
        assert (session.model, session.instructions) == (SMALL, preset.instructions)


class TestInstructions:
    def save(self, page: Any, text: str, name: str = "Shop", **more: str) -> str:
        answer = page.post(reverse("chat:instructions"), {"name": name, "text": text} | more, follow=True)
        return answer.content.decode()

    def test_kept_chosen_preferred_edited_and_deleted(self, page, alice, make_session):
        self.save(page, "Answer like a shop.")
        preset = Preset.objects.get(owner=alice)
        page.post(reverse("chat:instructions-default"), {"preset": preset.pk})
        assert Preference.objects.get(user=alice).preset == preset
        address = page.post(reverse("chat:new")).headers["location"]
        session = ChatSession.objects.get(pk=address.split("/")[2])
        assert session.instructions.text == "Answer like a shop."
        add_turn(session)
        edited = {"name": "Shop", "text": "Answer like a good shop."}
        page.post(reverse("chat:instructions-edit", args=[preset.pk]), edited)
        session.refresh_from_db()
        assert session.instructions.text == "Answer like a shop.", "a conversation keeps what it has"
        post(page, session, instructions=preset.pk)
        session.refresh_from_db()
        assert session.instructions.text == "Answer like a good shop."
        assert session.context_version == session.prefix_version == 1
        page.post(reverse("chat:instructions-delete", args=[preset.pk]))
        session.refresh_from_db()
        assert session.instructions.text == "Answer like a good shop."
        assert not Preset.objects.exists()

    def test_a_text_over_the_budget_is_refused_with_both_numbers(self, page):
        said = self.save(page, "Please be kind to everybody who writes here. " * 100)
        assert "instructions may hold 320" in said
        assert not Preset.objects.exists()

    def test_what_changes_from_day_to_day_is_named_with_its_price_and_saved_anyway(self, page, settings):
        text = "Today is 2026-11-22 and you talk to alice, {role}."
        said = self.save(page, text)
        for piece, kind in (("2026-11-22", "a date"), ("alice", "your name"), ("{role}", "a placeholder")):
            assert f"<q>{piece}</q> is {kind}." in said
        assert "a turn costs $ 0.050 instead of $ 0.004" in said
        assert not Preset.objects.exists()
        self.save(page, text, anyway="1")
        assert Preset.objects.get().instructions.text == text

    def test_a_name_is_given_once(self, page):
        self.save(page, "One.")
        assert "of this name already" in self.save(page, "Two.")
        assert Preset.objects.get().instructions.text == "One."


class TestTheme:
    def test_it_is_on_the_page_before_anything_is_painted(self, page, make_session):
        url = reverse("chat:conversation", args=[make_session(1).pk])
        assert "data-theme" not in page.get(url).content.decode()
        answer = page.post(reverse("chat:theme"), {"theme": "dark", "next": "https://example.org/"})
        assert answer.headers["location"] == "/"
        assert '<html lang="en" dir="ltr" data-theme="dark">' in page.get(url).content.decode()
        page.post(reverse("chat:theme"), {"theme": '"><script>'})
        assert "data-theme" not in page.get(url).content.decode()


class TestCondition:
    def test_a_stranger_is_told_nothing(self, client):
        assert client.get(reverse("chat:status")).status_code == 302

    def test_the_worst_is_said_with_what_still_works_and_goes_away(self, page, monkeypatch, settings):
        settings.REDIS_URL = "redis://nowhere"
        provider, background = SimpleNamespace(refusal=lambda model: 5.0), SimpleNamespace(refusal=lambda model: 5.0)
        switches = SimpleNamespace(read_only=False, compaction_paused=False, fallback_model="")
        engine = SimpleNamespace(provider=provider, background=background, switches=switches, summary_model="")
        now = SimpleNamespace(pulse=SimpleNamespace(failing=True), engine=engine, bus=SimpleNamespace(up=False))
        monkeypatch.setattr(condition.service, "running", lambda: True)
        monkeypatch.setattr(condition.service, "current", lambda: now)
        codes = []
        for well in (
            lambda: setattr(now.pulse, "failing", False),
            lambda: setattr(provider, "refusal", lambda model: 0.0),
            lambda: setattr(background, "refusal", lambda model: 0.0),
            lambda: setattr(now.bus, "up", True),
        ):
            trouble = condition.now()
            codes.append(trouble.code)
            assert trouble.title in page.get(reverse("chat:status")).content.decode()
            well()
        assert codes == ["storage", "model", "compaction", "bus"]
        assert "banner" not in page.get(reverse("chat:status")).content.decode()


def test_a_sum_that_is_too_small_to_show_is_not_told_as_nothing():
    assert [choosing.money(sum_) for sum_ in (0, 300, 700, 50_000)] == ["$ 0.000", "< $ 0.001", "$ 0.001", "$ 0.050"]
