"""The list of conversations: what one does to them, what one finds in them, and that it stays true by itself."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import ask, ready, refreshed, send, settled

pytestmark = pytest.mark.browser

LETTERS = 90
SEED = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.utils import timezone
from chat.models import ChatSession, Turn
from tests.store.building import compress, conversation
alice = get_user_model().objects.get(username='alice')
for title in ('Fjords', 'Sourdough'):
    conversation(alice, 2, title=title)
long = conversation(alice, 300, title='The garden', words='We talked about the pump.')
Turn.objects.filter(session=long, number=37).update(prompt='The <b>zeppelin</b> lost its rudder.', reply='How sad.')
compress(long, (1, 60))
# Older ones, more than two pages of the list, whatever other tests have left above them.
begun = timezone.now()
ChatSession.objects.bulk_create(
    ChatSession(owner=alice, title=f'Letter {n}', model=long.model, strategy=long.strategy, turns_total=1,
                instructions=long.instructions, updated_at=begun - timedelta(days=1 if n < 3 else 40 * n))
    for n in range(1, LETTERS + 1))
ChatSession.objects.filter(owner=alice).update(seen=300)
print(long.pk)
"""


@pytest.fixture(scope="module")
def garden(site) -> str:
    return "/c/" + site.python(SEED.replace("LETTERS", str(LETTERS))).split()[-1] + "/"


def row(page, title: str):
    return page.locator("#list li").filter(has=page.get_by_role("link", name=title, exact=True))


def choose(page, title: str, act: str) -> None:
    """Open the menu of a row, and choose by keyboard."""
    row(page, title).get_by_role("button", name="Conversation menu").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    item = page.get_by_role("menuitem", name=act, exact=True)
    while not item.evaluate("(one) => one === document.activeElement"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def test_rename_pin_archive_and_delete_with_undo_by_keyboard(visit, garden):
    page = visit(garden)
    choose(page, "Fjords", "Rename")
    box = page.get_by_role("textbox", name="Title")
    expect(box).to_be_focused()
    page.keyboard.type("Norway")
    page.keyboard.press("Escape")
    expect(row(page, "Fjords")).to_be_visible()
    choose(page, "Fjords", "Rename")
    page.keyboard.type("Norway")
    page.keyboard.press("Enter")
    expect(row(page, "Norway").get_by_role("button")).to_be_focused()

    choose(page, "Norway", "Pin")
    expect(page.locator("#list h2").first).to_have_text("Pinned")
    expect(page.locator("#list li").first).to_contain_text("Norway")
    choose(page, "Norway", "Unpin")
    expect(page.get_by_role("heading", name="Pinned")).to_have_count(0)

    choose(page, "Sourdough", "Archive")
    expect(row(page, "Sourdough")).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="Archived “Sourdough”.")).to_be_visible()
    page.goto(page.url.split("/c/")[0] + "/archive/")
    assert problems(page) == []
    page.get_by_role("button", name="Restore Sourdough").click()
    expect(page.get_by_role("listitem").filter(has_text="Sourdough")).to_have_count(0)

    page.goto(page.url.split("/archive/")[0] + garden)
    ready(page)
    expect(row(page, "Sourdough")).to_be_visible()
    choose(page, "Norway", "Delete")
    expect(row(page, "Norway")).to_have_count(0)
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    assert problems(page) == []
    page.keyboard.press("Enter")
    expect(row(page, "Norway").get_by_role("link")).to_be_focused()
    expect(undo).to_have_count(0)
    row(page, "Norway").get_by_role("link").click()
    expect(page.get_by_role("article")).to_have_count(2)


def test_a_hit_in_a_compressed_part_opens_the_conversation_there(visit, garden):
    page = visit("/", color_scheme="dark")
    page.keyboard.press("Control+k")
    box = page.get_by_role("searchbox", name="Search conversations")
    expect(box).to_be_focused()
    page.keyboard.type("zeppelin rud")
    hit = page.get_by_role("link", name=re.compile("You · turn 37"))
    expect(hit).to_contain_text("The <b>zeppelin</b> lost its rudder.")
    expect(hit.locator("mark")).to_have_text(["zeppelin", "rudder"])
    assert problems(page) == []
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="The garden", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(hit).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"\?turn=37#turn-"))
    ready(page)
    assert "zeppelin" not in page.url
    target = page.get_by_role("article", name="Turn 37", exact=True)
    expect(target).to_be_in_viewport()
    # Newer turns come as one scrolls down, the place stays; a message is answered at the end.
    page.locator(".later").scroll_into_view_if_needed()
    expect(page.get_by_role("article", name="Turn 90", exact=True)).to_be_attached()
    expect(page.get_by_role("article", name="Turn 300", exact=True)).to_have_count(0)
    send(page, "Go on.")
    page.wait_for_url(re.compile(r"/c/[0-9a-f-]+/$"))
    ready(page)
    settled(page)
    expect(page.get_by_role("article").last).to_contain_text("Go on.")
    expect(page.get_by_role("article", name="Turn 301", exact=True)).to_be_in_viewport()
    # In this conversation only; Escape leads back to the list.
    page.keyboard.press("Control+Shift+K")
    page.keyboard.type("zeppelin")
    expect(page.get_by_text("1 turn in 1 conversation")).to_be_visible()
    page.keyboard.press("Escape")
    expect(row(page, "Sourdough")).to_be_visible()


def test_an_open_menu_keeps_its_row_and_a_pressed_ring_its_press_when_both_are_drawn_anew(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    current = page.locator("#list li").filter(has=page.locator("[aria-current=page]"))
    current.get_by_role("button", name="Conversation menu").press("Enter")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    refreshed(page)
    page.get_by_role("menuitem", name="Rename").press("Enter")
    expect(current.get_by_role("textbox", name="Title")).to_be_focused()
    page.keyboard.type("Our order")
    page.keyboard.press("Enter")
    expect(current.get_by_role("link")).to_have_text("Our order")
    ring = page.get_by_role("meter", name="Context used")
    panel = page.get_by_role("dialog", name="Context")
    ring.hover()
    for shown in (True, False, True):
        page.mouse.down()
        refreshed(page)
        page.mouse.up()
        expect(panel).to_be_visible(visible=shown)


def test_the_list_follows_what_runs_elsewhere_and_titles_come_by_themselves(visit, garden):
    page = visit(garden)
    other = visit.tab(page.context, garden)
    other.get_by_role("button", name="New chat").click()
    other.wait_for_function("(before) => !location.href.endsWith(before)", arg=garden)
    ready(other)
    send(other, "Please help me to plan a very long walk along the coast. Write 450 words.")
    # Nobody sees its end there. Who comes back to the first tab sees it running, and then that there is something new.
    expect(other.locator('article[aria-busy="true"]')).to_have_count(1)
    other.close()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    nav = page.get_by_role("navigation", name="Conversations")
    expect(nav.get_by_role("img", name="Reply running")).to_be_visible()
    dot = nav.get_by_role("img", name="New reply")
    expect(dot).to_be_visible(timeout=30_000)
    expect(nav.get_by_role("img", name="Reply running")).to_have_count(0)
    better = nav.get_by_role("link", name="Help me to plan a very")
    expect(better).to_be_visible(timeout=15_000)
    better.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Help me to plan a very")
    expect(page.get_by_role("article")).to_have_count(1)
    expect(dot).to_have_count(0)


def test_the_list_is_grouped_by_date_and_goes_on_as_one_scrolls(visit, garden):
    page = visit(garden)
    headings = page.locator("#list h2")
    expect(headings.filter(has_text="Today")).to_be_visible()
    expect(headings.filter(has_text="Yesterday")).to_have_count(1)
    rows, more = page.locator("#list li"), page.locator("#list .more")
    last = page.get_by_role("link", name=f"Letter {LETTERS}", exact=True)
    expect(last).to_have_count(0)
    page.locator("#list").hover()
    # To the end again and again: how many pages there are depends on what other tests said on this site.
    pages = 1
    while (shown := rows.count()) and more.count():
        page.mouse.wheel(0, 100_000)
        expect(rows.nth(shown)).to_be_attached()
        pages += 1
    assert pages > 2
    expect(last).to_be_attached()
    said = headings.all_inner_texts()
    assert len(said) == len(set(said)) > 5, "each heading stands there once"
    assert page.locator("#list li").count() == len(
        set(page.locator("#list li").evaluate_all("(all) => all.map((one) => one.id)"))
    )


def test_a_temporary_chat_is_in_no_list(visit, garden):
    page = visit.new_chat()
    page.get_by_role("button", name="Temporary chat").click()
    expect(page.get_by_text("It is deleted 24 hours after its last message.")).to_be_visible()
    ready(page)
    ask(page, "My secret number is Q-4711.")
    assert problems(page) == []
    expect(page.get_by_role("navigation", name="Conversations")).not_to_contain_text("Q-4711")
    page.get_by_role("searchbox", name="Search conversations").fill("Q-4711")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
