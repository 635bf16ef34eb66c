"""What a person does with the chat, told in a real browser against a real server."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import everywhere
from tests.browser.conftest import (
    ENDLESS,
    LONGER,
    ask,
    copied,
    last_reply,
    ready,
    refreshed,
    send,
    settled,
    sign_in,
    titled,
)

pytestmark = pytest.mark.browser

COMPRESSED = "Earlier parts of this conversation were compressed for length"
LEFT_OUT = "are not in the model’s view"
# Resolves once the wheel has come to its end: what it set off may take some frames.
RESTS = """() => new Promise((done) => {
  const box = document.getElementById("scroll");
  let [top, still] = [-1, 0];
  const look = () => {
    still = box.scrollTop === top ? still + 1 : 0;
    top = box.scrollTop;
    if (still > 10) done();
    else requestAnimationFrame(look);
  };
  look();
})"""
# So short a reply may be over before anybody has looked.
STOPPABLE = """() => {
  const stop = document.getElementById("stop");
  new MutationObserver(() => (window.stoppable ||= stop.checkVisibility())).observe(stop, { attributes: true });
}"""


class TestTheFirstMessage:
    def test_sign_in_say_something_see_it_arrive_reload_find_everything(self, visit, site):
        page = visit("/accounts/login/", anonymous=True)
        sign_in(page, site)
        page.get_by_role("button", name="New chat").click()
        expect(page.get_by_role("log", name="Conversation")).to_be_attached()
        ready(page)
        page.evaluate(STOPPABLE)
        send(page, "My order number is A-7731.")
        expect(page.get_by_role("article")).to_have_count(1)
        settled(page)
        assert page.evaluate("window.stoppable"), "while it was written it could be stopped"
        reply = last_reply(page)
        assert len(reply) > 10
        assert ask(page, "What is my order number?") == "Your order number is A-7731."
        page.reload()
        expect(page.get_by_role("article")).to_have_count(2)
        expect(page.get_by_role("article").first).to_contain_text("My order number is A-7731.")
        assert page.get_by_role("article").first.locator(".reply").inner_text() == reply
        expect(page.get_by_role("navigation", name="Conversations")).to_contain_text("My order number is A-7731")

    def test_what_is_shown_while_it_streams_is_a_beginning_of_what_is_stored(self, visit):
        page = visit.new_chat()
        send(page, "Write a longer text about water hardness, with a table and code.")
        tail = page.locator('article[aria-busy="true"] .reply')
        expect(tail).not_to_be_empty()
        seen = []
        while page.locator('article[aria-busy="true"]').count():
            seen.append(
                page.evaluate("""() => {
              const reply = document.querySelector('article[aria-busy="true"] .reply');
              return reply && [reply.querySelector('.blocks').innerText, reply.querySelector('.tail').textContent];
            }""")
            )
        settled(page)
        stored = page.locator("article template.source").last.evaluate("(source) => source.content.textContent")
        tails = [part[1].strip() for part in seen if part and part[1].strip()]
        assert len(set(tails)) > 5, "tokens arrive one after the other"
        assert all(text in stored for text in tails)
        blocks = [len(part[0]) for part in seen if part]
        assert blocks == sorted(blocks), "a finished block never goes away"
        assert blocks[-1] > 0, "blocks are rendered while it streams"
        assert page.locator("article").last.locator(".code").count() >= 1

    def test_a_reply_is_formatted_and_can_be_copied(self, visit):
        page = visit.new_chat(permissions=["clipboard-read", "clipboard-write"])
        ask(page, "Write a longer text about water hardness, with a table and code.")
        article = page.get_by_role("article").last
        block = article.locator(".code").first
        assert copied(block.get_by_role("button", name="Copy")) == block.locator("pre").inner_text()
        article.hover()
        own, whole = article.locator(".tools").get_by_role("button", name="Copy").all()
        assert copied(own) == "Write a longer text about water hardness, with a table and code."
        markdown = copied(whole)
        assert "```" in markdown
        assert block.locator("pre").inner_text().strip() in markdown

    def test_the_gauge_shows_two_numbers_that_add_up_and_stays_open_for_whoever_reads(self, visit):
        page = visit.new_chat()
        meter = page.get_by_role("meter", name="Context used")
        expect(meter).to_have_count(0)
        ask(page, "My order number is A-7731.")
        assert meter.get_attribute("aria-valuemax") == "16000"
        assert 0 < int(meter.get_attribute("aria-valuenow")) < 2000
        # Beside the ring, and all of it where one points at it.
        gauge = page.locator(".gauge")
        expect(gauge).to_have_text(re.compile(r"^\s*\d\.\d k / 16 k\s+~\d+ turns left\s*$"), use_inner_text=True)
        gauge.hover()
        assert re.fullmatch(r"Context \d\.\d k / 16 k \(\d+ %\), ~\d+ turns left", gauge.get_attribute("title"))
        panel = page.get_by_role("dialog", name="Context")
        for shown in (True, False, True):
            meter.click()
            expect(panel).to_be_visible(visible=shown)
        amounts = [float(text.split()[0].lstrip("~")) for text in panel.locator("tr td:nth-child(4)").all_inner_texts()]
        assert round(sum(amounts), 1) == 16.0
        page.keyboard.press("Escape")

        send(page, LONGER)
        page.get_by_role("button", name="What the context is made of").click()
        before = panel.get_by_role("heading").inner_text()
        expect(panel.get_by_role("heading")).not_to_have_text(before, timeout=20_000)
        expect(panel).to_be_visible()
        page.keyboard.press("Escape")
        # Where there is no room, the ring alone.
        page.set_viewport_size({"width": 320, "height": 640})
        expect(gauge).to_have_text("", use_inner_text=True)
        expect(meter).to_be_visible()
        page.get_by_role("button", name="What the context is made of").click()
        expect(panel).to_be_visible()

    def test_the_welcome_page_begins_a_conversation_with_what_was_chosen_there(self, visit, site):
        site.python(
            "from django.contrib.auth import get_user_model as model\n"
            "from chat.store import presets\n"
            "newcomer = model().objects.create_user('newcomer', password='another long password')\n"
            "presets.save(newcomer, None, name='Shop', text='Answer like a good shop.')"
        )
        page = visit("/accounts/login/", anonymous=True)
        page.get_by_label("Username").fill("newcomer")
        page.get_by_label("Password").fill("another long password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Hello, newcomer")).to_be_visible()
        ready(page)
        assert everywhere(page) == []
        chooser, name = page.get_by_title("Model, instructions, thinking"), page.locator("#model-name")
        panel = page.get_by_role("dialog", name="What answers")
        chooser.press("Enter")
        # Where there is more room: here that is below.
        assert panel.bounding_box()["y"] > page.locator("#composer").bounding_box()["y"] + 60
        panel.get_by_label("Model").select_option(label="claude-haiku-4-5 · takes 16 k")
        panel.get_by_label("Instructions").select_option(label="Shop")
        panel.get_by_role("button", name="Use it").press("Enter")
        expect(name).to_have_text("claude-haiku-4-5")
        expect(chooser).to_be_focused()
        page.get_by_role("button", name=re.compile("Keep something in mind")).click()
        expect(page.get_by_role("textbox", name="Message")).to_have_value(re.compile("A-7731"))
        page.get_by_role("button", name="Send").click()
        page.wait_for_url(re.compile("/c/"))
        ready(page)
        expect(page.get_by_role("article")).to_have_count(1)
        settled(page)
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")
        expect(name).to_have_text("claude-haiku-4-5")
        article = page.get_by_role("article")
        article.get_by_role("button", name="What the model sees").press("Enter")
        sees = page.get_by_role("dialog", name="What the model sees")
        sees.get_by_role("link", name="Instructions").click()
        expect(sees.get_by_role("region", name="Selected segment")).to_contain_text("Answer like a good shop.")
        page.keyboard.press("Escape")
        # Another one in the middle of it.
        chooser.click()
        expect(panel.get_by_label("Instructions")).to_have_value(re.compile(r"\d+"))
        panel.get_by_label("Model").select_option(label="claude-sonnet-4-6 · takes 16 k")
        panel.get_by_role("button", name="Use it").click()
        expect(name).to_have_text("claude-sonnet-4-6")
        assert "A-7731" in ask(page, "What is my order number?")


class TestAmnesia:
    """A name and an order number in message 1, asked for at message 25, with a window of 20 messages."""

    @pytest.mark.parametrize("strategy", ["sliding_window", "summary"])
    def test_what_was_said_first_is_lost_openly_or_kept(self, visit, strategy):
        page = visit.new_chat()
        page.get_by_role("button", name="More actions").click()
        names = {"summary": "Summarise older parts", "sliding_window": "Leave older parts out"}
        page.get_by_role("radio", name=re.compile(names[strategy])).check()
        page.get_by_label("Messages word for word").fill("20")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("textbox", name="Message")).to_be_visible()

        ask(page, "My name is Lena Brandt and my order number is A-7731.")
        for number in range(2, 13):
            ask(page, f"Tell me something about topic {number}, please.")
        notes = page.get_by_role("note")
        # Before anybody asks, and nobody reloads.
        expect(notes.filter(has_text=COMPRESSED if strategy == "summary" else LEFT_OUT).first).to_be_visible()
        name = ask(page, "What is my name?")
        order = ask(page, "What is my order number?")

        if strategy == "summary":
            assert "Lena Brandt" in name
            assert "A-7731" in order
            assert page.locator("article.past").count() >= 1
        else:
            expect(notes.filter(has_text=COMPRESSED)).to_have_count(0)
            for reply in (name, order):
                assert "not in my context" in reply
                assert "Lena" not in reply
                assert "A-7731" not in reply
        expect(page.get_by_role("article").first).to_contain_text("A-7731")

        page.reload()
        expect(notes.filter(has_text=COMPRESSED if strategy == "summary" else LEFT_OUT).first).to_be_visible()
        if strategy == "summary":
            note = notes.filter(has_text=COMPRESSED).first
            note.locator("summary").click()
            expect(note.get_by_text("A-7731").first).to_be_visible()


class TestNothingIsLost:
    def test_stop_keeps_what_was_seen_and_the_next_message_goes_on(self, visit):
        page = visit.new_chat()
        send(page, ENDLESS)
        expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        settled(page)
        article = page.get_by_role("article").last
        expect(article).to_contain_text("Stopped. The text above is kept.")
        kept = last_reply(page)
        assert kept
        page.reload()
        assert last_reply(page) == kept
        assert "A-7731" in ask(page, "My order number is A-7731. What is my order number?")

    def test_a_draft_survives_a_reload_and_is_gone_once_sent(self, visit):
        page = visit.new_chat()
        box = page.get_by_role("textbox", name="Message")
        box.fill("Half a thought")
        page.reload()
        expect(box).to_have_value("Half a thought")
        ask(page, "Half a thought, finished.")
        page.reload()
        expect(box).to_have_value("")

    def test_a_reload_in_the_middle_of_a_reply_goes_on_with_it(self, visit):
        page = visit.new_chat()
        send(page, LONGER)
        expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
        page.reload(wait_until="commit")
        expect(page.locator('article[aria-busy="true"]')).to_have_count(1)
        settled(page)
        assert page.get_by_role("article").count() == 1
        stored = page.locator("article template.source").evaluate("(source) => source.content.textContent")
        assert len(stored) > 300
        assert page.locator(".user").inner_text().startswith("Write 450 words")

    def test_two_tabs_show_the_same_and_a_second_message_waits(self, visit):
        one = visit.new_chat()
        two = visit.tab(one.context, one.url.removeprefix(visit.site.url))
        expect(two.get_by_role("button", name="Send")).to_be_visible()
        two.get_by_role("textbox", name="Message").fill("Me, too.")
        send(one, LONGER)
        expect(two.get_by_role("article")).to_have_count(1)
        expect(two.locator(".user")).to_have_text(re.compile("water hardness"))
        expect(two.locator("#message")).to_have_value("Me, too.")
        two.get_by_role("button", name="Send").click()
        expect(one.get_by_role("article")).to_have_count(2)
        settled(one)
        settled(two)
        assert last_reply(one) == last_reply(two)
        assert one.locator(".user").last.inner_text() == "Me, too."

    def test_a_message_of_a_hundred_thousand_characters_goes_through(self, visit):
        page = visit.new_chat()
        ask(page, "My order number is A-7731. " + "word " * 20_000)
        expect(page.get_by_role("article")).to_have_count(1)
        expect(page.locator("#said")).to_have_text("")

    def test_the_server_restarts_and_the_page_comes_back_by_itself(self, visit, site):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        box = page.get_by_role("textbox", name="Message")
        box.fill("Written while nobody answers")
        titled(page, "My order number is A-7731")
        assert site.stop() == 0
        expect(page.get_by_text("Not connected.")).to_be_visible(timeout=15_000)
        page.get_by_role("button", name="Try now").click()
        expect(page.get_by_text("Not connected.")).to_be_visible()
        site.start()
        expect(page.get_by_text("Not connected.")).to_be_hidden(timeout=30_000)
        expect(box).to_have_value("Written while nobody answers")
        box.fill("What is my order number?")
        page.keyboard.press("Enter")
        expect(page.get_by_role("article")).to_have_count(2)
        settled(page)
        assert "A-7731" in last_reply(page)

    def test_a_failed_turn_is_tried_again_in_its_place(self, visit, site):
        page = visit.new_chat()
        ask(page, "My order number is A-7731.")
        address = page.url.rstrip("/").rsplit("/", 1)[1]
        site.python(
            "from chat.models import ChatSession\n"
            "from tests.web.conftest import add_turn\n"
            f"session = ChatSession.objects.get(pk='{address}')\n"
            "add_turn(session, 'What is my order number?', 'Half a', status='failed', error='unavailable',"
            " stop_reason='', usage=None)"
        )
        page.reload()
        failed = page.get_by_role("article").last
        expect(failed).to_contain_text("Interrupted. The connection to the model broke. The text above is kept.")
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("Interrupted.")).to_have_count(0)
        settled(page)
        expect(page.get_by_role("article")).to_have_count(2)
        assert last_reply(page) == "Your order number is A-7731."
        page.reload()
        expect(page.get_by_role("article")).to_have_count(2)

    def test_a_deleted_conversation_closes_in_every_tab(self, visit):
        one = visit.new_chat()
        ask(one, "Delete me.")
        path = one.url.removeprefix(visit.site.url)
        two = visit.tab(one.context, path)
        expect(two.get_by_role("article")).to_have_count(1)
        one.evaluate("window.confirm = () => true")
        one.get_by_role("button", name="More actions").click()
        one.get_by_role("button", name="Delete").click()
        expect(one.get_by_role("button", name="New chat")).to_be_visible()
        expect(two.get_by_text("This conversation was deleted.")).to_be_visible()
        two.get_by_role("textbox", name="Message").fill("Too late")
        expect(two.get_by_role("button", name="Send")).to_be_disabled()
        two.get_by_role("link", name="Leave it").click()
        two.wait_for_function("(path) => location.pathname !== path", arg=path)
        assert visit.site.url + path not in (one.url, two.url)

    @pytest.mark.parametrize("of", ["around", "turn"])
    def test_a_page_that_hears_it_by_no_socket_learns_of_the_deletion_from_the_next_answer(self, visit, of):
        one = visit.new_chat()
        ask(one, "Delete me.")
        path = one.url.removeprefix(visit.site.url)
        context = visit.context()
        context.route_web_socket(re.compile("/ws/"), lambda socket: None)
        two = visit.tab(context, path)
        number = two.get_by_role("article").get_attribute("data-turn")
        one.evaluate("window.confirm = () => true")
        one.get_by_role("button", name="More actions").click()
        one.get_by_role("button", name="Delete").click()
        expect(one.get_by_role("button", name="New chat")).to_be_visible()
        banner = two.get_by_text("This conversation was deleted.")
        expect(banner).to_be_hidden()
        if of == "around":
            refreshed(two)
        else:
            two.evaluate(
                "(turn) => htmx.ajax('GET', document.getElementById('main').dataset.turns + turn + '/')", number
            )
        expect(banner).to_be_visible()
        two.get_by_role("textbox", name="Message").fill("Too late")
        expect(two.get_by_role("button", name="Send")).to_be_disabled()


class TestWhileReading:
    def test_the_page_follows_a_reply_until_somebody_scrolls_up(self, visit):
        page = visit.new_chat(viewport={"width": 1000, "height": 500})
        ask(page, "Write a longer text about water hardness, with a table and code.")
        send(page, LONGER)
        expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
        page.mouse.move(600, 200)
        page.mouse.wheel(0, -400)
        expect(page.get_by_role("button", name="Jump to the newest")).to_be_visible()
        page.evaluate(RESTS)
        first = page.locator("article").first
        before = first.bounding_box()["y"]
        settled(page)
        assert abs(first.bounding_box()["y"] - before) < 2, "what is read does not move"
        page.get_by_role("button", name="Jump to the newest").click()
        expect(page.get_by_role("button", name="Jump to the newest")).to_be_hidden()
        distance = "(box) => box.scrollHeight - box.clientHeight - box.scrollTop"
        assert page.locator("#scroll").evaluate(distance) < 2

    def test_older_turns_come_when_one_scrolls_up_and_nothing_jumps(self, visit, site):
        address = site.python(
            "from django.contrib.auth import get_user_model as model\n"
            "from chat.store.portable import storing\n"
            "from chat.store.portable.values import Conversation, Exchange\n"
            "turns = tuple(Exchange(prompt=f'Question {n}?', reply=f'Answer {n}.\\n\\n' + 'Words. ' * 40,"
            " parent=n - 2 if n > 1 else None) for n in range(1, 121))\n"
            "told = Conversation(place='test', title='A long one', turns=turns)\n"
            "print(storing.store(model().objects.get(username='alice'), told).pk)"
        ).split()[-1]
        page = visit(f"/c/{address}/")
        expect(page.get_by_role("article")).to_have_count(30)
        expect(page.get_by_text("Question 120?")).to_be_in_viewport()
        scroll = page.locator("#scroll")
        scroll.evaluate("(box) => box.scrollTo(0, 0)")
        expect(page.get_by_text("Question 41?", exact=True)).to_be_attached()
        expect(page.get_by_text("Question 91?", exact=True)).to_be_in_viewport()
        scroll.evaluate("(box) => box.scrollTo(0, 0)")
        expect(page.get_by_text("Question 1?", exact=True)).to_be_attached()
        expect(page.locator(".earlier")).to_have_count(0)
        numbers = page.locator("article").evaluate_all("(all) => all.map((one) => Number(one.dataset.number))")
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) < 120, "the newest have gone meanwhile"
