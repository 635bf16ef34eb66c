"""What a person sees when the connection, the server or the network does not do what it should."""

import random
import re
import time
import uuid

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import LONGER, arrives, ask, last_reply, ready, send, settled, titled
from tests.browser.wires import wired
from tests.faults.harness import measured

pytestmark = pytest.mark.browser


# What stands on the page of the last reply: rendered blocks and the plain tail while it is written, else the whole.
SHOWN = """() => {
  const reply = [...document.querySelectorAll('article .reply')].at(-1);
  if (!reply) return null;
  const words = (node) => {
    const copy = node.cloneNode(true);
    for (const button of copy.querySelectorAll('button')) button.remove();
    return copy.textContent.replace(/\\s+/g, '');
  };
  const live = reply.querySelector('.tail');
  const blocks = live ? words(reply.querySelector('.blocks')) : words(reply);
  return { blocks, tail: live ? live.textContent : '', articles: document.querySelectorAll('article').length };
}"""


def stored(page) -> str:
    return page.locator("article template.source").last.evaluate("(source) => source.content.textContent")


class TestReloading:
    def test_f01_a_tab_that_was_closed_and_opened_again_has_all_and_goes_on(self, visit):
        page = visit.new_chat()
        path = page.url.removeprefix(visit.site.url)
        send(page, LONGER)
        expect(page.locator('article[aria-busy="true"] .tail')).not_to_be_empty()
        context = page.context
        page.close()
        time.sleep(2)
        began = time.monotonic()
        again = visit.tab(context, path)
        expect(again.locator("article .reply")).not_to_be_empty()
        measured("F1", "tab opened again: text so far on the page after", time.monotonic() - began, "s")
        settled(again)
        assert again.get_by_role("article").count() == 1
        assert len(stored(again)) > 300

    def test_f02_at_thirty_random_instants_a_reload_shows_a_beginning_of_the_reply_in_one_bubble(self, visit):
        page = visit.new_chat()
        dice, seen, reloads, turns = random.Random(2), [], 0, 0
        while reloads < 30:
            send(page, LONGER)
            turns += 1
            expect(page.get_by_role("article")).to_have_count(turns)
            found = []
            while reloads < 30 and page.locator('article[aria-busy="true"]').count():
                page.wait_for_timeout(dice.randint(0, 250))
                page.reload(wait_until="commit")
                reloads += 1
                page.wait_for_selector("article .reply", state="attached")
                found.append(page.evaluate(SHOWN))
                page.wait_for_timeout(dice.randint(0, 250))
                found.append(page.evaluate(SHOWN))
            ready(page)
            settled(page)
            whole, source = page.evaluate(SHOWN), stored(page)
            for shown in filter(None, found):
                assert shown["articles"] == turns, "one bubble a turn"
                assert whole["blocks"].startswith(shown["blocks"])
                assert shown["tail"].strip() in source
            seen += [shown for shown in found if shown and (shown["blocks"] or shown["tail"])]
        measured("F2", f"{reloads} reloads of {turns} replies: looks at text, each a beginning of the reply", len(seen))
        assert len(seen) > 20


class TestALostAnswer:
    def test_f20_is_asked_for_again_under_the_same_id_and_the_message_stands_once(self, visit):
        page, wires = wired(visit)
        wires.mute = lambda text: '"accepted"' in text or '"status"' in text or '"snapshot"' in text
        send(page, "My order number is A-7731.")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        assert any('"type":"send"' in text for text in wires.sent)
        wires.mute = lambda text: False
        wires.close(1011)
        expect(page.get_by_role("article")).to_have_count(1)
        settled(page)
        expect(page.locator(".user")).to_have_text("My order number is A-7731.")
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")
        ids = {re.search(r'"client_id":"([^"]+)"', text)[1] for text in wires.sent if '"type":"send"' in text}
        assert len(ids) == 1
        page.reload()
        expect(page.get_by_role("article")).to_have_count(1)
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")

    def test_f20_a_message_that_never_arrived_is_sent_after_a_reload(self, visit):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "My order number is A-7731.")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        expect(page.get_by_role("article")).to_have_count(0)
        wires.deaf = False
        page.reload()
        expect(page.get_by_role("article")).to_have_count(1)
        settled(page)
        expect(page.get_by_role("textbox", name="Message")).to_have_value("")

    def test_f18_f20_another_tab_takes_over_what_a_closed_one_left_behind(self, visit):
        page, wires = wired(visit)
        path = page.url.removeprefix(visit.site.url)
        wires.deaf = True
        send(page, "My order number is A-7731.")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        # As if it had been long ago.
        page.evaluate(
            """() => {
              const key = Object.keys(localStorage).find((key) => key.startsWith('sending:'));
              const kept = JSON.parse(localStorage[key]);
              localStorage[key] = JSON.stringify({ ...kept, at: kept.at - 60_000 });
            }"""
        )
        context = page.context
        page.close()
        again = visit.tab(context, path)
        expect(again.get_by_role("article")).to_have_count(1)
        settled(again)
        assert again.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('sending:')).length") == 0


class TestTwoTabs:
    def test_f19_send_at_once_and_the_second_message_waits_for_the_first_reply(self, visit):
        one = visit.new_chat()
        two = visit.tab(one.context, one.url.removeprefix(visit.site.url))
        for tab, text in ((one, "The first of two."), (two, "The second of two.")):
            tab.get_by_role("textbox", name="Message").fill(text)
        # In one instant: neither has heard of the other.
        for tab in (one, two):
            tab.evaluate("setTimeout(() => document.getElementById('send').click(), 300)")
        # The one that was refused waits in sight, and goes by itself when the reply is done.
        expect(one.get_by_role("article")).to_have_count(2, timeout=20_000)
        expect(two.get_by_role("article")).to_have_count(2, timeout=20_000)
        settled(one)
        settled(two)
        for tab in (one, two):
            assert sorted(tab.locator(".user").all_inner_texts()) == ["The first of two.", "The second of two."]
            expect(tab.get_by_role("textbox", name="Message")).to_have_value("")
        assert last_reply(one) == last_reply(two)


def rejected(wires, code, **more):
    """Answer the message that was sent last with a refusal."""
    client_id = wires.client_id
    extra = "".join(f',"{key}":{value}' for key, value in more.items())
    wires.say(f'{{"v":1,"type":"rejected","client_id":"{client_id}","code":"{code}"{extra}}}')
    return client_id


class TestARefusal:
    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            ("quota", "You have sent as much as is allowed for now. Your text is kept."),
            ("too_large", "This message is too long"),
            ("unavailable", "The service can’t take messages right now"),
            ("storage", "The message could not be stored"),
        ],
    )
    def test_keeps_the_text_and_says_why(self, visit, code, sentence):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "Words that must not be lost")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        rejected(wires, code)
        expect(page.locator("#said")).to_contain_text(sentence)
        box = page.get_by_role("textbox", name="Message")
        expect(box).to_have_value("Words that must not be lost")
        expect(box).to_be_editable()
        page.reload()
        expect(box).to_have_value("Words that must not be lost")

    def test_for_another_reply_makes_the_message_wait_in_sight(self, visit):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "Words that must not be lost")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        rejected(wires, "busy")
        waiting = page.get_by_role("region", name="Waiting to be sent")
        expect(waiting).to_contain_text("Words that must not be lost")
        expect(page.get_by_role("textbox", name="Message")).to_be_editable()

    def test_of_a_quota_says_when_it_goes_on(self, visit):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "One more")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        rejected(wires, "quota", retry_after_ms=3_600_000)
        expect(page.locator("#said")).to_contain_text(re.compile(r"it goes on at \d{1,2}:\d\d"))

    @pytest.mark.parametrize(("code", "same"), [("storage", True), ("quota", False)])
    def test_that_leaves_it_open_whether_it_was_stored_keeps_the_id(self, visit, code, same):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "Perhaps stored")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        first = rejected(wires, code)
        expect(page.get_by_role("textbox", name="Message")).to_be_editable()
        page.get_by_role("button", name="Send").click()
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        assert (first == wires.client_id) is same


def cut(visit):
    """The library that asks says of a request that was cut what it always says, and nothing has come of it."""
    assert {said.split(",")[0] for said in visit.faults} == {"htmx:afterRequest", "htmx:sendError"}
    visit.faults.clear()


class TestTheWire:
    def test_a_missing_piece_is_asked_for_once_and_the_reply_is_whole(self, visit):
        page, wires = wired(visit)
        lost = []

        def lose(text):
            if '"delta"' in text and not lost and len(wires.came) > 8:
                lost.append(text)
                return True
            return False

        wires.mute = lose
        ask(page, LONGER)
        assert lost
        hellos = [text for text in wires.sent if '"type":"hello"' in text]
        assert 2 <= len(hellos) <= 3
        assert '"end":' in hellos[1]
        assert page.get_by_role("article").count() == 1

    def test_what_comes_is_acknowledged(self, visit):
        page, wires = wired(visit)
        ask(page, LONGER)
        acks = [int(re.search(r'"end":(\d+)', text)[1]) for text in wires.sent if '"type":"ack"' in text]
        assert acks == sorted(acks)
        assert acks[-1] == len(stored(page)), "the end of the reply, in the server's count"

    def test_a_restarted_reply_says_so_and_keeps_what_stood_there_until_the_next_word(self, visit):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "Hello")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        wires.say(
            f'{{"v":1,"type":"accepted","client_id":"{wires.client_id}","number":1,"turn":9000001,"duplicate":false}}'
        )
        head = '"v":1,"turn":9000001'
        wires.say(f'{{{head},"type":"snapshot","number":1,"epoch":1,"text":"Half a sen","end":10,"blocks":[]}}')
        article = page.get_by_role("article")
        expect(article).to_contain_text("Half a sen")
        wires.say(f'{{{head},"type":"reset","epoch":2,"reason":"restarted"}}')
        wires.say(f'{{{head},"type":"snapshot","number":1,"epoch":2,"text":"","end":0,"blocks":[]}}')
        expect(article).to_contain_text("The reply was interrupted and starts again")
        expect(article).to_contain_text("Half a sen")
        wires.say(f'{{{head},"type":"delta","epoch":2,"start":0,"end":9,"text":"The whole"}}')
        expect(article.locator(".tail")).to_have_text("The whole")
        expect(article).to_contain_text("The reply was interrupted and starts again")

    def test_a_busy_model_is_mentioned_after_three_seconds_and_not_before(self, visit):
        page, wires = wired(visit)
        wires.deaf = True
        send(page, "Hello")
        page.wait_for_function("() => document.querySelector('#message').readOnly")
        wires.say(
            f'{{"v":1,"type":"accepted","client_id":"{wires.client_id}","number":1,"turn":9000001,"duplicate":false}}'
        )
        began = time.monotonic()
        wires.say('{"v":1,"type":"status","turn":9000001,"phase":"retrying","since_ms":500}')
        expect(page.get_by_role("article")).to_contain_text("Still trying")
        assert time.monotonic() - began >= 2.5

    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            (4401, "You are signed out."),
            (4404, "This conversation was deleted."),
            (4409, "This page is older than the server."),
        ],
    )
    def test_what_can_t_be_undone_is_said_and_not_tried_again(self, visit, code, sentence):
        page, wires = wired(visit)
        page.get_by_role("textbox", name="Message").fill("Half a thought")
        wires.close(code)
        expect(page.get_by_text(sentence)).to_be_visible()
        hellos = len(wires.sent)
        page.wait_for_timeout(3_000)
        assert len(wires.sent) == hellos
        expect(page.get_by_text("Not connected.")).to_be_hidden()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("Half a thought")
        expect(page.get_by_role("button", name="Send")).to_be_disabled()

    def test_a_network_that_went_away_is_noticed_within_seconds_and_so_is_its_return(self, visit):
        page = visit.new_chat()
        page.clock.install()
        page.reload()
        ready(page)
        ask(page, "My order number is A-7731.")
        titled(page, "My order number is A-7731")
        page.context.set_offline(True)
        # No answer for five seconds, and two more before anybody is told.
        page.clock.fast_forward(5_100)
        page.clock.fast_forward(2_100)
        expect(page.get_by_text("Not connected.")).to_be_visible()
        page.context.set_offline(False)
        expect(page.get_by_text("Not connected.")).to_be_hidden()

    def test_what_is_noted_while_the_server_can_t_be_asked_is_fetched_once_it_is_back(self, visit):
        page, wires = wired(visit)
        ask(page, "My order number is A-7731.")
        titled(page, "My order number is A-7731")
        page.route("**/around/", lambda route: route.abort())
        with page.expect_event("requestfailed"):
            wires.say('{"v":1,"type":"notice","kind":"title","text":""}')
        page.unroute("**/around/")
        with page.expect_response("**/around/"):
            wires.close(1011)
        cut(visit)

    def test_what_was_noted_while_nobody_listened_shows_after_the_next_welcome_and_nothing_is_asked_for_else(
        self, visit, site
    ):
        page, wires = wired(visit)
        asked = []
        page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/around/") else None)

        def welcomes():
            return sum('"type":"welcome"' in text for text in wires.came)

        before = welcomes()
        wires.close(1011)
        arrives(page, lambda: welcomes() > before)
        page.wait_for_timeout(500)
        assert asked == []
        own = f"ChatSession.objects.filter(pk='{page.url.rstrip('/').rsplit('/', 1)[1]}')"
        site.python(f"from chat.models import ChatSession\n{own}.update(title='A better title')")
        wires.close(1011)
        titled(page, "A better title")
        assert len(asked) == 1

    def test_a_reply_whose_end_could_not_be_fetched_ends_once_the_server_is_back(self, visit):
        page, wires = wired(visit)
        page.route(re.compile(r"/turns/\d+/$"), lambda route: route.abort())
        with page.expect_event("requestfailed"):
            send(page, "My order number is A-7731.")
        page.unroute(re.compile(r"/turns/\d+/$"))
        expect(page.locator('article[aria-busy="true"]')).to_have_count(1)
        wires.close(1011)
        settled(page)
        expect(page.get_by_role("article").get_by_role("button", name="Regenerate")).to_be_attached()
        cut(visit)

    def test_bye_is_obeyed(self, visit):
        page, wires = wired(visit)
        wires.say('{"v":1,"type":"bye","code":4012,"reconnect_after_ms":1500}')
        before = len(wires.sent)
        began = time.monotonic()
        wires.close(4012)
        arrives(page, lambda: len(wires.sent) > before)
        assert time.monotonic() - began >= 1.5
        assert '"type":"hello"' in wires.sent[before]
        expect(page.locator("#offline")).to_be_hidden()

    def test_a04_signing_out_in_one_tab_says_so_in_the_other(self, visit, site):
        site.python(
            "from django.contrib.auth import get_user_model as model\n"
            f"model().objects.create_user('leaver{uuid.uuid4().hex[:6]}', password='another long password')\n"
            "model().objects.filter(username='leaver').exists() or"
            " model().objects.create_user('leaver', password='another long password')"
        )
        one = visit("/accounts/login/", anonymous=True)
        one.get_by_label("Username").fill("leaver")
        one.get_by_label("Password").fill("another long password")
        one.get_by_role("button", name="Sign in").click()
        one.get_by_role("button", name="New chat").click()
        one.wait_for_url(re.compile("/c/"))
        ready(one)
        two = visit.tab(one.context, one.url.removeprefix(site.url))
        two.get_by_role("textbox", name="Message").fill("Half a thought")
        one.get_by_role("button", name="Sign out").click()
        expect(two.get_by_text("You are signed out.")).to_be_visible()
        two.get_by_role("link", name="Sign in").click()
        two.get_by_label("Username").fill("leaver")
        two.get_by_label("Password").fill("another long password")
        two.get_by_role("button", name="Sign in").click()
        expect(two.get_by_role("textbox", name="Message")).to_have_value("Half a thought")
