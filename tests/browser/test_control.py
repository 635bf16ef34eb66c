"""What a person decides about the context, told in a real browser: with the price before, and the way back after."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import ask, last_reply, ready, refreshed, settled

pytestmark = pytest.mark.browser

COMPRESSED = "Earlier parts of this conversation were compressed for length"
# Sixteen turns just below the hard mark: with the next message they are compressed. The third told an order number. In
# the second nothing is compressed before its test has chosen, however long that takes: the site looks around by itself.
SEED = """
from django.contrib.auth import get_user_model
from chat.context import exact
from chat.models import Turn
from chat.store import coverage, facts, sessions
from tests.store.building import extend
owner = get_user_model().objects.get(username="alice")
for mode in ("auto", "never"):
    session = sessions.create(owner, title="About A-7731", mode=mode)
    third = extend(session, 16, tokens=600, words="We talked about what a repair would cost her. " * 20)[2]
    prompt = "My order number is A-7731. " + third.prompt
    digest = coverage.turn_digest(prompt, third.reply, [])
    Turn.objects.filter(pk=third.pk).update(prompt=prompt, digest=digest)
    third.refresh_from_db()
    facts.keep(third, exact.find(prompt), since=0)
    print(session.pk)
"""


@pytest.fixture(scope="module")
def addresses(site) -> list[str]:
    return [f"/c/{found}/" for found in site.python(SEED).split()[-2:]]


def test_a_compression_is_read_pinned_from_taken_back_and_given_again(visit, addresses):
    page = visit(addresses[0], color_scheme="dark")
    assert "A-7731" in ask(page, "What is my order number?")
    note = page.get_by_role("note").filter(has_text=COMPRESSED)
    note.locator("summary").first.click()
    expect(note.get_by_text(re.compile(r"Restoring adds \d.*past the mark at", re.DOTALL))).to_be_visible()
    expect(note.get_by_text("A-7731").first).to_be_visible()
    note.get_by_role("link", name="View originals").press("Enter")
    first = page.get_by_role("article", name="Turn 1", exact=True)
    expect(first).to_be_focused()
    expect(first).to_be_in_viewport()
    note.locator("summary", has_text="Pin a turn").click()
    note.get_by_role("button", name="Pin turn 3", exact=True).click()
    # The list goes on from there, and the turn says so.
    expect(note.locator("summary", has_text="Pin a turn")).to_be_focused()
    expect(note.get_by_role("button", name="Pin turn 3", exact=True)).to_have_count(0)
    third = page.get_by_role("article", name="Turn 3", exact=True)
    expect(third.get_by_text("Pinned: kept word for word.")).to_be_attached()
    expect(third.get_by_role("button", name="Pin", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("article.past").first).to_be_attached()
    assert problems(page) == []
    note.get_by_role("button", name="Restore").click()
    back = page.get_by_role("note").filter(has_text="Earlier parts are back in the model’s view")
    expect(back).to_be_focused()
    expect(back).to_be_in_viewport()
    expect(note).to_have_count(0)
    expect(page.locator("article.past")).to_have_count(0)
    assert problems(page) == []
    back.get_by_role("button", name="Compress again").click()
    expect(note).to_be_focused()
    third.get_by_role("button", name="Pin", exact=True).click()
    expect(third).to_have_class(re.compile("past"))
    page.reload()
    expect(note).to_be_attached()


def test_who_wants_to_be_asked_is_asked_sees_the_price_and_decides(visit, addresses):
    page = visit(addresses[1])
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("radio", name=re.compile("ask me")).check()
    with page.expect_navigation():
        page.get_by_role("dialog", name="Conversation").get_by_role("button", name="Save").click()
    ready(page)
    card = page.get_by_role("region", name="Compress earlier turns?")
    ask(page, "What is my order number?")
    expect(card).to_be_visible(timeout=15_000)
    card.get_by_role("button", name="Later").press("Enter")
    expect(card).to_be_hidden()
    expect(page.get_by_role("note").filter(has_text=COMPRESSED)).to_have_count(0)
    page.evaluate("sessionStorage.clear()")
    page.reload()
    ready(page)
    card.get_by_role("link", name="Compress now").click()
    dialog = page.get_by_role("dialog", name="Compact now")
    expect(dialog).to_contain_text(re.compile(r"Goes\s*turns 1–\d+.*Stays word for word\s*turns \d+–17", re.DOTALL))
    expect(dialog).to_contain_text(re.compile(r"k → ~[\d.]+ k–[\d.]+ k.*~0\.\d+–0\.\d+ US\$", re.DOTALL))
    assert problems(page) == []
    dialog.get_by_role("textbox", name="Keep this").fill("the order number")
    dialog.get_by_role("button", name="Compact now").click()
    expect(dialog.get_by_text(re.compile(r"Done\. Turns 1–\d+: "))).to_be_visible(timeout=15_000)
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    expect(page.get_by_role("note").filter(has_text=COMPRESSED).first).to_be_attached()
    newest = page.get_by_role("article").last
    newest.hover()
    newest.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name=re.compile("Leave out")).click()
    expect(newest).to_contain_text("Left out: the model does not see this turn.")
    assert "A-7731" in ask(page, "What is my order number?")
    taken = page.get_by_role("article", name="Turn 17", exact=True)
    taken.get_by_role("button", name="Include again").press("Enter")
    expect(taken.get_by_text("Left out")).to_have_count(0)
    # Who never wants to be compressed says so once.
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("radio", name=re.compile("^never")).check()
    with page.expect_navigation():
        page.get_by_role("dialog", name="Conversation").get_by_role("button", name="Save").click()
    ready(page)
    page.get_by_role("button", name="More actions").click()
    expect(page.get_by_role("radio", name=re.compile("^never"))).to_be_checked()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="What the context is made of").click()
    expect(page.get_by_role("dialog", name="Context").get_by_text("leaves out from")).to_be_visible()


def test_the_gauge_tells_all_by_keyboard_with_what_is_being_written(visit):
    # A new one: in a full one a compaction may end meanwhile, and the gauge fall by thousands.
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    box = page.get_by_role("textbox", name="Message")
    meter = page.get_by_role("meter", name="Context used")
    before = int(meter.get_attribute("aria-valuenow"))
    box.fill("word " * 2_000)
    expect(meter).not_to_have_attribute("aria-valuenow", str(before))
    assert 1_500 < int(meter.get_attribute("aria-valuenow")) - before < 5_000
    page.get_by_role("button", name="What the context is made of").focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Context")
    expect(panel).to_be_visible()
    # In one step: the gauge may be drawn anew between two.
    top = page.evaluate("document.getElementById('context').getBoundingClientRect().top")
    assert top >= 0, "the message box takes a third of the screen, and the panel stands above it"
    rows = panel.locator("tr:not([hidden])")
    assert rows.locator("th").all_inner_texts() == [
        "System", "Documents", "Facts", "Summaries", "Recalled", "History", "This draft", "Reply reserve", "Free",
    ]  # fmt: skip
    amounts = [float(text.split()[0].lstrip("~")) for text in rows.locator("td:nth-child(4)").all_inner_texts()]
    assert round(sum(amounts), 1) == 16.0
    shares = [float(text.split()[0]) for text in rows.locator("td:nth-child(5)").all_inner_texts()]
    assert round(sum(shares), 1) == 100.0
    for mark in ("now", "compacts at", "hard limit"):
        expect(panel.get_by_text(mark, exact=True)).to_be_visible()
    assert problems(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="What the context is made of")).to_be_focused()
    box.fill("")
    expect(meter).to_have_attribute("aria-valuenow", str(before))
    page.get_by_role("button", name="What the context is made of").click()
    expect(panel.get_by_text("This draft")).to_be_hidden()


def test_what_is_remembered_is_corrected_forgotten_and_added(visit):
    page = visit.new_chat(color_scheme="dark")
    ask(page, "My order number is A-7731.")
    count = page.locator("#remembered-count")
    expect(count).to_have_text("1")
    page.get_by_role("button", name="What is remembered").click()
    panel = page.get_by_role("region", name="Remembered")
    expect(panel.get_by_text("My order number is A-7731")).to_be_visible()
    panel.get_by_text("Edit", exact=True).click()
    panel.get_by_label("The right value").fill("B-1200")
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_text("corrected, before: A-7731")).to_be_visible()
    panel.get_by_role("textbox", name="Something to remember").fill("My dog is called Bruno")
    page.keyboard.press("Enter")
    expect(count).to_have_text("2")
    assert problems(page) == []
    panel.get_by_role("button", name="Forget B-1200").click()
    expect(count).to_have_text("1")
    panel.get_by_role("link", name="turn 1").wait_for(state="detached")
    page.keyboard.press("Escape")
    assert "Bruno" in ask(page, "What is my dog called?")
    settled(page)
    assert "Bruno" in last_reply(page)


def renewed(page):
    """Have the first turn put on the page anew, as when another tab changed it."""
    page.evaluate("document.querySelector('article').stood = true")
    page.evaluate("document.dispatchEvent(new CustomEvent('turn-changed', {detail: {number: 1}}))")
    page.wait_for_function("() => !document.querySelector('article').stood")


def test_an_answer_is_seen_though_its_button_was_replaced_meanwhile(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    turn = page.get_by_role("article")
    held = []
    page.route("**/pin/", lambda route: held.append(route))  # a builtin has no room for its marks
    turn.hover()
    turn.get_by_role("button", name="Pin", exact=True).click()
    renewed(page)
    expect(turn.get_by_role("button", name="Pin", exact=True)).to_have_attribute("aria-pressed", "false")
    held.pop().continue_()
    expect(turn.get_by_role("button", name="Pin", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(turn.get_by_text("Pinned: kept word for word.")).to_be_attached()
    expect(turn).to_have_count(1)


def test_the_focus_outlives_the_part_that_it_was_on(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    turn = page.get_by_role("article")
    for name in ("Copy", "Regenerate", "Pin", "What the model sees", "Bad reply", "More"):
        button = turn.get_by_role("button", name=name, exact=True).last
        button.focus()
        renewed(page)
        expect(button).to_be_focused()
    row = page.locator("#list li").filter(has=page.locator("[aria-current=page]"))
    for part in (row.get_by_role("link"), row.get_by_role("button")):
        part.focus()
        refreshed(page)
        expect(part).to_be_focused()
    # A dialog and a menu lead back to the button that stands there now.
    turn.get_by_role("button", name="What the model sees").press("Enter")
    dialog = page.get_by_role("dialog", name="What the model sees")
    expect(dialog.get_by_text("byte for byte")).to_be_visible()
    renewed(page)
    page.keyboard.press("Escape")
    expect(turn.get_by_role("button", name="What the model sees")).to_be_focused()
    turn.get_by_role("button", name="More", exact=True).press("Enter")
    expect(page.locator("#turn-menu button").first).to_be_focused()
    renewed(page)
    page.keyboard.press("Escape")
    expect(turn.get_by_role("button", name="More", exact=True)).to_be_focused()


def test_what_was_just_put_on_the_page_answers_at_once(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    page.evaluate("""async () => {
      const article = document.querySelector("article");
      const address = document.getElementById("main").dataset.turns + article.dataset.turn + "/";
      await htmx.ajax("GET", address, { source: article, target: article, swap: "outerHTML" });
      document.querySelector("article [data-dialog=model-view]").click();
    }""")
    dialog = page.get_by_role("dialog", name="What the model sees")
    expect(dialog.get_by_text("byte for byte")).to_be_visible()
