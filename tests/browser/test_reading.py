"""A long conversation is read: the page stays light, the reader's place stays, and what is written live stays too."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ask, last_reply, ready, refreshed, send, settled

pytestmark = pytest.mark.browser

TURNS = 240
MOST = 70

NUMBERS = "(all) => all.map((one) => Number(one.dataset.number))"
COUNTED = """() => {
  const all = document.getElementsByTagName("article");
  window.most = all.length;
  window.stayed = true;
  const count = () => (window.most = Math.max(window.most, all.length));
  new MutationObserver(count).observe(document.getElementById("transcript"), { childList: true });
}"""
# Just within reach of older turns: from there nobody scrolls, and what is read is looked at in every frame.
DRIFT = """async () => {
  const box = document.getElementById("scroll");
  const turns = () => [...box.querySelectorAll(".turn")];
  const first = turns()[0].dataset.number;
  box.scrollTop = box.clientHeight;
  const read = turns().find((turn) => turn.getBoundingClientRect().top > box.getBoundingClientRect().top);
  const top = read.getBoundingClientRect().top;
  let most = 0;
  for (let frame = 0; frame < 600 && first - turns()[0].dataset.number < 50; frame++) {
    await new Promise(requestAnimationFrame);
    most = Math.max(most, Math.abs(read.getBoundingClientRect().top - top));
  }
  return { most, came: first - turns()[0].dataset.number, still: read.isConnected };
}"""

SCROLL = """async (pixels) => {
  document.getElementById("scroll").scrollTop += pixels;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}"""


@pytest.fixture
def long_one(site):
    """The path of a conversation of many turns, of different heights."""
    made = site.python(
        "from django.contrib.auth import get_user_model as model\n"
        "from chat.store.portable import storing\n"
        "from chat.store.portable.values import Conversation, Exchange\n"
        "turns = tuple(Exchange(prompt=f'Question {n}?', reply=f'Answer {n}.\\n\\n' + 'More words. ' * (n % 9 * 9),"
        f" parent=n - 2 if n > 1 else None) for n in range(1, {TURNS} + 1))\n"
        "told = Conversation(place='test', title='A very long one', turns=turns)\n"
        "print(storing.store(model().objects.get(username='alice'), told).pk)"
    )
    return f"/c/{made.split()[-1]}/"


def numbers(page) -> list[int]:
    return page.locator("article").evaluate_all(NUMBERS)


def test_the_page_never_holds_more_turns_than_it_needs_and_the_place_stays(visit, long_one):
    page = visit(long_one)
    page.evaluate(COUNTED)
    page.mouse.move(700, 300)
    for _ in range(60):
        found = page.evaluate(DRIFT)
        assert found["came"] >= 50 or numbers(page)[0] == 1
        assert found["most"] < 1, "what is read does not move while older turns come"
        assert found["still"]
        shown = numbers(page)
        assert shown == list(range(shown[0], shown[-1] + 1))
        if shown[-1] < TURNS:
            break
    assert page.evaluate("most") == MOST
    assert shown[-1] < TURNS
    # The newest ones are fetched again, on this very page; a message is answered there.
    page.get_by_role("button", name="Jump to the newest").click()
    expect(page.get_by_text(f"Question {TURNS}?", exact=True)).to_be_in_viewport()
    assert "A-7731" in ask(page, "My order number is A-7731. What is my order number?")
    assert page.evaluate("stayed")
    # Too full for that message, it is compressed: while it is written or, where that takes too long, a while after.
    expect(page.get_by_role("note").filter(has_text="were compressed for length").first).to_be_attached(timeout=30_000)
    # Three pixels up are none; four are, also one at a time; near the end it is followed again.
    jump = page.get_by_role("button", name="Jump to the newest")
    for pixels, followed in ((-3, True), (-1, False), (-200, False), (100, False), (95, True)):
        page.evaluate(SCROLL, pixels)
        assert jump.is_hidden() == followed, pixels
    # A turn that is on the page no more is found all the same.
    page.keyboard.press("Control+Shift+K")
    page.keyboard.insert_text("Question 12")
    page.get_by_role("link", name=re.compile(r"You · turn 12\b")).click()
    page.wait_for_url(re.compile(r"\?turn=12#"))
    ready(page)
    expect(page.get_by_role("article", name="Turn 12", exact=True)).to_be_in_viewport()


def test_the_newest_turns_are_reached_while_older_ones_still_come(visit, long_one):
    page = visit(long_one)
    page.evaluate(COUNTED)
    for _ in range(3):
        assert page.evaluate(DRIFT)["came"]
    assert numbers(page)[-1] < TURNS

    def slowly(route):
        time.sleep(0.5)
        route.continue_()

    # What is said around the turns comes late, so that there is time for older ones to drive the newest out.
    page.route("**/around/", slowly)
    page.evaluate("document.getElementById('scroll').scrollTop = 0")
    page.get_by_role("button", name="Jump to the newest").click()
    expect(page.get_by_text(f"Question {TURNS}?", exact=True)).to_be_in_viewport()
    page.wait_for_timeout(700)
    expect(page.get_by_text(f"Question {TURNS}?", exact=True)).to_be_in_viewport()
    assert page.evaluate("window.stayed"), "it is the very same page"
    # Text boxes lose their only line for an instant when they are emptied.
    page.get_by_role("textbox", name="Message").press_sequentially("a")
    page.keyboard.press("Backspace")
    page.evaluate(SCROLL, 0)
    expect(page.get_by_role("button", name="Jump to the newest")).to_be_hidden()


def test_what_is_said_after_turns_that_left_meanwhile_is_passed_over(visit, demo):
    page = visit(demo)
    expect(page.get_by_role("note")).to_have_count(1)
    # Asked for while turn 8 was there; its page would report an error that nobody made.
    page.evaluate("""() => {
      const root = document.getElementById("transcript");
      const told = htmx.ajax("GET", `${document.getElementById("main").dataset.turns}around/`,
        { source: root, target: root, swap: "none" });
      document.getElementById("after-8").remove();
      return told;
    }""")
    expect(page.get_by_role("note")).to_have_count(0)


def test_the_row_of_a_conversation_that_the_list_does_not_show_is_passed_over(visit, demo):
    page = visit(demo)
    # Where other tests have said much since, it is below what the list shows at first.
    page.evaluate("document.querySelector('#list li:has([aria-current=page])')?.remove()")
    refreshed(page)
    expect(page.locator("#list [aria-current=page]")).to_have_count(0)


def test_on_a_tall_screen_short_turns_do_not_drive_each_other_out(visit, long_one):
    page = visit(long_one)
    page.set_viewport_size({"width": 1000, "height": 3600})
    page.evaluate(COUNTED)
    page.mouse.move(700, 300)
    for _ in range(4):
        assert page.evaluate(DRIFT)["came"]
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.evaluate("document.querySelectorAll('#transcript .turn')[60].scrollIntoView()")
    page.wait_for_timeout(1_500)
    assert len(fetched) <= 3, "what was fetched stays, so that it ends"
    assert MOST < page.evaluate("most") <= 400


def test_a_block_that_was_written_live_is_the_same_element_when_the_reply_has_ended(visit):
    page = visit.new_chat()
    send(page, "Write a longer text about water hardness, with a table and code.")
    expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
    page.evaluate("""() => {
      window.article = document.querySelector("article");
      window.block = article.querySelector(".blocks > *");
      getSelection().selectAllChildren(block);
      window.chosen = getSelection().toString();
      window.message = article.querySelector(".user").firstChild;
    }""")
    settled(page)
    kept = """() => [article, block, message].every((one) => one.isConnected)
      && article.querySelector(".blocks").contains(block) && chosen && getSelection().toString() === chosen"""
    assert page.evaluate(kept)
    # All else of a turn that is stored has come around it.
    article = page.get_by_role("article").last
    expect(article.locator(".tail, .phase")).to_have_count(0)
    expect(article.get_by_role("button", name="Regenerate")).to_be_attached()
    expect(article.locator(".code").first.get_by_role("button", name="Copy")).to_be_attached()
    reply, parts = last_reply(page), article.locator(".blocks > *").count()
    page.reload()
    assert last_reply(page) == reply
    assert page.locator("article .reply > *").count() == parts
