"""What one does with a turn: other versions of it, an edit in its place, a fork, and what is written meanwhile."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import problems
from tests.browser.conftest import ENDLESS, LONGER, ask, last_reply, ready, send, settled

pytestmark = pytest.mark.browser

OTHER = "Write a longer text about coffee grinders, with a table and code."

# Typed faster than anybody could, so that the reply still runs.
AT_ONCE = """(texts) => {
  const box = document.getElementById("message");
  for (const text of texts) {
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.form.requestSubmit();
  }
}"""


def tool(page: Page, number: int, name: str):
    """A button of turn `number`, which is shown to whoever points at the turn."""
    turn = page.get_by_role("article", name=f"Turn {number}", exact=True)
    turn.hover()
    return turn.get_by_role("button", name=name, exact=True)


def queue(page: Page):
    return page.get_by_role("region", name="Waiting to be sent").get_by_role("listitem")


def session_of(page: Page) -> str:
    return page.url.rstrip("/").rsplit("/", 1)[1]


def prompts(page: Page) -> list[str]:
    return page.locator(".user").all_inner_texts()


class TestVersions:
    def test_regenerate_switch_and_edit_and_the_other_tab_follows(self, visit):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        ask(page, "What is my order number?")
        other = visit.tab(page.context, page.url.removeprefix(visit.site.url))
        expect(other.get_by_role("article")).to_have_count(2)

        tool(page, 1, "Regenerate").click()
        expect(page.get_by_role("article")).to_have_count(1)
        settled(page)
        expect(page.locator(".siblings")).to_have_text(re.compile("2/2"))
        expect(other.get_by_role("article")).to_have_count(1)
        settled(other)

        # By keyboard, and one goes on where one was.
        page.get_by_role("button", name="Previous version").focus()
        page.keyboard.press("Enter")
        for tab in (page, other):
            expect(tab.get_by_role("article")).to_have_count(2)
            expect(tab.locator(".siblings")).to_have_text(re.compile("1/2"))
        expect(page.get_by_role("button", name="Next version")).to_be_focused()
        expect(page.locator("#announcer")).to_have_text("Version 1/2")
        assert problems(page) == []

        # What is being written in a message's place outlives a reload.
        tool(page, 2, "Edit").click()
        box = page.get_by_role("textbox", name="Edit message")
        expect(box).to_be_focused()
        box.fill("My order number is B-2209.")
        assert problems(page) == []
        page.reload()
        expect(box).to_have_value("My order number is B-2209.")
        page.get_by_role("button", name="Save and send").click()
        expect(box).to_have_count(0)
        settled(page)
        assert ask(page, "What is my order number?") == "Your order number is B-2209."
        expect(other.get_by_role("article")).to_have_count(3)
        assert prompts(other)[1] == "My order number is B-2209."

    def test_a_failed_turn_in_the_middle_is_tried_again_and_nothing_goes(self, visit, site):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        site.python(
            "from chat.models import ChatSession\n"
            "from tests.web.conftest import add_turn\n"
            f"session = ChatSession.objects.get(pk='{session_of(page)}')\n"
            "add_turn(session, 'What is my order number?', '', status='failed', error='unavailable',"
            " stop_reason='', usage=None)\n"
            "add_turn(session, 'Are you there?', 'Yes.')"
        )
        page.reload()
        page.get_by_role("article", name="Turn 2").get_by_role("button", name="Retry").click()
        expect(page.get_by_role("article")).to_have_count(2)
        settled(page)
        assert last_reply(page) == "Your order number is A-7731."
        tool(page, 2, "Previous version").click()
        expect(page.get_by_role("article")).to_have_count(3)
        assert prompts(page)[2] == "Are you there?"

    def test_a_version_is_not_changed_under_a_reply_that_runs(self, visit):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        send(page, LONGER)
        expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
        # At once: the reply must still run.
        buttons = page.evaluate("""() => {
          document.querySelector('[data-op="regenerate"]').requestSubmit();
          return document.querySelectorAll('article[aria-busy="true"] button').length;
        }""")
        assert buttons == 0
        expect(page.get_by_text("A reply is still running here. Stop it, or wait until it is done.")).to_be_visible()
        settled(page)
        expect(page.get_by_role("article")).to_have_count(2)


class TestTheMenu:
    def test_a_fork_goes_on_by_itself_and_a_thumb_down_is_remembered(self, visit):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        ask(page, "What is my order number?")
        before = page.url
        tool(page, 1, "Bad reply").click()
        panel = page.get_by_role("dialog", name="Bad reply")
        expect(panel.get_by_role("button", name="It forgot something")).to_be_focused()
        assert problems(page) == []
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(panel).to_be_hidden()
        expect(tool(page, 1, "Bad reply")).to_have_attribute("aria-pressed", "true")
        tool(page, 1, "Bad reply").click()
        panel.get_by_role("button", name="Take it back").click()
        expect(tool(page, 1, "Bad reply")).to_have_attribute("aria-pressed", "false")

        tool(page, 1, "More").click()
        menu = page.get_by_role("dialog", name="More")
        expect(menu).to_be_visible()
        assert problems(page) == []
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        expect(tool(page, 1, "More")).to_be_focused()
        page.keyboard.press("Enter")
        menu.get_by_role("button", name="Fork").click()
        page.wait_for_function("(before) => location.href !== before", arg=before)
        ready(page)
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Fork of"))
        expect(page.get_by_role("article")).to_have_count(1)
        assert ask(page, "What is my order number?") == "Your order number is A-7731."
        page.goto(before)
        expect(page.get_by_role("article")).to_have_count(2)


class TestTheQueue:
    def test_what_is_written_meanwhile_goes_in_order_once_and_whatever_the_tabs_do(self, visit):
        page = visit.new_chat()
        other = visit.tab(page.context, page.url.removeprefix(visit.site.url))
        send(page, LONGER)
        expect(page.get_by_role("button", name="Send", exact=True)).to_have_attribute(
            "title", "Send when this reply is done"
        )
        page.evaluate(AT_ONCE, ["First.", OTHER, "Drop me."])
        expect(queue(other)).to_have_text([re.compile("First"), re.compile("coffee"), re.compile("Drop")])
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")
        queue(other).last.get_by_role("button", name="Delete").click()
        expect(queue(page)).not_to_have_count(3)
        page.reload(wait_until="commit")
        expect(page.get_by_role("article")).to_have_count(3, timeout=20_000)
        for tab in (page, other):
            # All three first: between two of them nothing runs either.
            expect(tab.get_by_role("article")).to_have_count(3)
            settled(tab)
            expect(queue(tab)).to_have_count(0)
            assert prompts(tab)[1:] == ["First.", OTHER]

    def test_it_is_sent_now_or_taken_back_and_a_stopped_reply_keeps_its_text(self, visit):
        page = visit.new_chat()
        send(page, ENDLESS)
        expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
        box = page.get_by_role("textbox", name="Message")
        for text in ("Not so soon.", "My order number is A-7731."):
            box.fill(text)
            page.keyboard.press("Enter")
        box.fill("A draft.")
        queue(page).first.get_by_role("button", name="Edit").click()
        expect(box).to_have_value("Not so soon.\n\nA draft.")
        queue(page).get_by_role("button", name="Send now").click()
        expect(page.get_by_role("article", name="Turn 1")).to_contain_text("Stopped. The text above is kept.")
        expect(page.get_by_role("article")).to_have_count(2)
        settled(page)
        assert "A-7731" in last_reply(page)
        expect(box).to_have_value("Not so soon.\n\nA draft.")

    def test_after_a_failed_reply_it_waits_until_somebody_decides(self, visit, site):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        site.python(
            "from chat.models import ChatSession\n"
            "from tests.web.conftest import add_turn\n"
            f"session = ChatSession.objects.get(pk='{session_of(page)}')\n"
            "add_turn(session, 'Hello?', '', status='failed', error='unavailable', stop_reason='', usage=None)"
        )
        page.evaluate(
            "(name) => localStorage.setItem(`queue:${name}`,"
            " JSON.stringify([{client_id: crypto.randomUUID(), text: 'What is my order number?'}]))",
            session_of(page),
        )
        page.reload()
        expect(page.get_by_text("The reply failed, so this waits.")).to_be_visible()
        expect(queue(page)).to_have_count(1)
        assert problems(page) == []
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_role("article")).to_have_count(3)
        settled(page)
        expect(queue(page)).to_have_count(0)
        assert last_reply(page) == "Your order number is A-7731."
