"""Every story once more with the keyboard alone: whoever has no mouse gets as far, and sees where they are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page, expect

from tests.browser.conftest import ENDLESS, Site, Visitor, last_reply, ready, settled

pytestmark = pytest.mark.browser

STEPS = 250
"""So many presses of Tab lead past everything that these pages hold."""
BACK = "Shift+Tab"
# A page that was touched by anything but keys says so.
NO_POINTER = """for (const type of ["pointermove", "pointerdown", "touchstart", "wheel"]) {
  addEventListener(type, () => console.error(`no key: ${type}`), { capture: true, passive: true });
}"""
SEED = """
from django.contrib.auth import get_user_model
from chat.models import Turn
from chat.store import sessions
from tests.store.building import compress, conversation
from tests.web.conftest import add_turn
alice = get_user_model().objects.get(username="alice")
words = "We talked about what a repair would cost her. " * 20
cut, failed = sessions.create(alice, title="Cut off"), sessions.create(alice, title="Broken off")
for session in (cut, failed):
    add_turn(session, "My order number is A-7731.", "Noted.")
add_turn(cut, "Tell me about my order.", "It is numbered", status="truncated", stop_reason="max_tokens")
add_turn(failed, "What is my order number?", "", status="failed", error="unavailable", stop_reason="", usage=None)
told = conversation(alice, 8, title="About a harpsichord", tokens=300, words=words)
Turn.objects.filter(session=told, number=3).update(prompt="The harpsichord lost its plectrum.", reply="How sad.")
compress(told, (1, 5))
full = conversation(alice, 8, title="About to be full", tokens=1200, words=words * 2, mode="never")
row = conversation(alice, 2, title="Marmalade")
print(cut.pk, failed.pk, told.pk, full.pk, row.pk)
"""


class Typist(Visitor):
    """A visitor without a mouse: a page that sees one has failed."""

    def tab(self, context: BrowserContext, path: str) -> Page:
        context.add_init_script(NO_POINTER)
        return super().tab(context, path)


@pytest.fixture
def typist(site: Site, chromium: Browser, signed_in: dict[str, Any]) -> Iterator[Typist]:
    typist = Typist(site, chromium, signed_in)
    yield typist
    for context in typist.contexts:
        context.close()
    assert typist.faults == []
    assert typist.outside == []


@pytest.fixture(scope="module")
def talks(site: Site) -> dict[str, str]:
    """Conversations that stand where a story begins, by name: their paths."""
    found = site.python(SEED).split()[-5:]
    names = ("cut", "failed", "told", "full", "row")
    return {name: f"/c/{session}/" for name, session in zip(names, found, strict=True)}


def reach(wanted: Locator, key: str = "Tab") -> None:
    """Press `key` until `wanted` has the focus. It must be in sight by then, as for anybody who looks."""
    expect(wanted).to_be_attached()
    page = wanted.page
    for _ in range(STEPS):
        if wanted.evaluate("(one) => one === document.activeElement"):
            break
        page.keyboard.press(key)
    expect(wanted).to_be_focused()
    expect(wanted).to_be_in_viewport()


def enter(wanted: Locator, key: str = "Tab") -> None:
    """Go there by `key`, and press Enter."""
    reach(wanted, key)
    wanted.page.keyboard.press("Enter")


def message(page: Page) -> Locator:
    """The message box, gone to by its shortcut: from there on back nobody has to pass the list of conversations."""
    page.keyboard.press("Alt+Shift+M")
    box = page.get_by_role("textbox", name="Message")
    expect(box).to_be_focused()
    return box


def write(page: Page, text: str) -> None:
    """Write into the message box."""
    box = message(page)
    page.keyboard.type(text)
    expect(box).to_have_value(text)


def ask(page: Page, text: str) -> str:
    """Write a message, send it, wait for the whole reply, and return it."""
    before = page.get_by_role("article").count()
    write(page, text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(before + 1)
    settled(page)
    return last_reply(page)


def tool(page: Page, number: int, name: str) -> Locator:
    """The last button of this name at turn `number`."""
    turn = page.get_by_role("article", name=f"Turn {number}", exact=True)
    return turn.get_by_role("button", name=name, exact=True).last


def choose_mode(page: Page, mode: str, key: str) -> None:
    """Choose what happens when a conversation grows long, by the arrows of a radio group."""
    message(page)
    enter(page.get_by_role("button", name="More actions"), BACK)
    options = page.get_by_role("dialog", name="Conversation")
    expect(options).to_be_visible()
    group = options.get_by_role("group", name="Compress")
    reach(group.get_by_role("radio", checked=True))
    wanted = group.get_by_role("radio", name=re.compile(f"^{mode}"))
    page.keyboard.press(key)
    expect(wanted).to_be_focused()
    expect(wanted).to_be_checked()
    reach(options.get_by_role("button", name="Save"))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    ready(page)


def downloaded(page: Page, wanted: Locator) -> Download:
    """Follow a link that leads to a file."""
    reach(wanted)
    with page.expect_download() as caught:
        page.keyboard.press("Enter")
    return caught.value


def test_a_file_is_attached_and_another_taken_away_again(typist: Typist) -> None:
    page = typist.new_chat()
    box = message(page)
    write(page, "What is the order number?")
    attach = page.get_by_role("button", name="Attach files")
    reach(attach)
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    texts = {"note.txt": b"The order number is B-4410.", "other.txt": b"Nothing of it."}
    chooser.value.set_files([{"name": name, "mimeType": "text/plain", "buffer": text} for name, text in texts.items()])
    chips = page.get_by_role("list", name="Attachments").get_by_role("listitem")
    expect(chips.get_by_text(re.compile(r"~\d+ tokens"))).to_have_count(2)
    expect(box).to_be_focused()
    enter(page.get_by_role("button", name="Remove other.txt"), BACK)
    expect(chips).to_have_count(1)
    expect(box).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(1)
    settled(page)
    assert last_reply(page) == "The order number is B-4410."


def test_what_was_said_is_found_and_its_compression_read_pinned_from_and_taken_back(
    typist: Typist, talks: dict[str, str]
) -> None:
    page = typist("/")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search conversations")).to_be_focused()
    page.keyboard.type("harpsichord plec")
    hit = page.get_by_role("link", name=re.compile("You · turn 3"))
    expect(hit).to_contain_text("plectrum")
    enter(hit, "ArrowDown")
    page.wait_for_url(re.compile(r"\?turn=3#turn-"))
    ready(page)
    expect(page.get_by_role("article", name="Turn 3", exact=True)).to_be_in_viewport()

    note = page.get_by_role("note").filter(has_text="compressed for length")
    enter(note.locator("summary").first)
    expect(note.get_by_text("Turns 1 to 5.")).to_be_visible()
    restore = note.get_by_role("button", name="Restore")
    expect(restore).to_be_enabled()
    enter(note.get_by_role("link", name="View originals"))
    expect(page.get_by_role("article", name="Turn 1", exact=True)).to_be_focused()
    choose = note.locator("summary", has_text="Pin a turn")
    enter(choose)
    enter(note.get_by_role("button", name="Pin turn 2", exact=True))
    expect(note.get_by_role("button", name="Pin turn 2", exact=True)).to_have_count(0)
    expect(tool(page, 2, "Pin")).to_have_attribute("aria-pressed", "true")
    expect(choose).to_be_focused()
    enter(restore, BACK)
    back = page.get_by_role("note").filter(has_text="Earlier parts are back")
    expect(back).to_be_focused()
    enter(back.get_by_role("button", name="Compress again"))
    expect(note).to_be_focused()


def test_whoever_is_asked_decides_and_then_wants_it_never_again(typist: Typist, talks: dict[str, str]) -> None:
    page = typist(talks["full"])
    choose_mode(page, "ask me", "ArrowUp")
    ask(page, "What is my order number?")
    card = page.get_by_role("region", name="Compress earlier turns?")
    expect(card).to_be_visible()
    enter(card.get_by_role("link", name="Compress now"), BACK)
    dialog = page.get_by_role("dialog", name="Compact now")
    keep = dialog.get_by_role("textbox", name="Keep this")
    expect(keep).to_be_visible()
    reach(keep)
    page.keyboard.type("the order number")
    enter(dialog.get_by_role("button", name="Compact now"))
    expect(dialog.get_by_text(re.compile(r"Done\. Turns 1–\d+: "))).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(card).to_have_count(0)
    expect(page.get_by_role("note").filter(has_text="compressed for length").first).to_be_attached()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    choose_mode(page, "never", "ArrowDown")
    message(page)
    enter(page.get_by_role("button", name="More actions"), BACK)
    expect(page.get_by_role("radio", name=re.compile("^never"))).to_be_checked()


def test_other_versions_are_made_switched_and_gone_on_from(typist: Typist) -> None:
    page = typist.new_chat()
    ask(page, "My order number is A-7731.")
    ask(page, "What is my order number?")
    enter(tool(page, 1, "Regenerate"), BACK)
    expect(page.get_by_role("article")).to_have_count(1)
    settled(page)
    siblings = page.locator(".siblings")
    expect(siblings).to_have_text(re.compile("2/2"))
    enter(tool(page, 1, "Previous version"), BACK)
    expect(page.get_by_role("article")).to_have_count(2)
    expect(siblings).to_have_text(re.compile("1/2"))
    expect(tool(page, 1, "Next version")).to_be_focused()
    page.keyboard.press("Enter")
    expect(siblings).to_have_text(re.compile("2/2"))
    expect(tool(page, 1, "Previous version")).to_be_focused()
    page.keyboard.press("Enter")
    expect(siblings).to_have_text(re.compile("1/2"))

    # A message is written anew in its place: once thought better of, once sent.
    expect(tool(page, 1, "Next version")).to_be_focused()
    enter(tool(page, 2, "Edit"))
    box = page.get_by_role("textbox", name="Edit message")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    enter(tool(page, 2, "Edit"))
    expect(box).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("My order number is B-2209.")
    expect(box).to_have_value("My order number is B-2209.")
    enter(page.get_by_role("button", name="Save and send"))
    expect(box).to_have_count(0)
    settled(page)
    expect(page.locator(".user").last).to_have_text("My order number is B-2209.")

    before = page.url
    enter(tool(page, 2, "More"), BACK)
    menu = page.get_by_role("dialog", name="More")
    expect(menu).to_be_visible()
    enter(menu.get_by_role("button", name="Fork"), "ArrowDown")
    page.wait_for_function("(before) => location.href !== before", arg=before)
    ready(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Fork of"))
    assert ask(page, "What is my order number?") == "Your order number is B-2209."


def test_what_broke_off_goes_on_and_what_is_written_meanwhile_waits(typist: Typist, talks: dict[str, str]) -> None:
    page = typist(talks["failed"])
    message(page)
    enter(page.get_by_role("button", name="Retry"), BACK)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    settled(page)
    assert last_reply(page) == "Your order number is A-7731."
    page = typist(talks["cut"])
    box = message(page)
    enter(page.get_by_role("button", name="Continue"), BACK)
    expect(page.get_by_role("article")).to_have_count(3)
    settled(page)
    expect(page.locator(".user").last).to_have_text("Continued")

    write(page, ENDLESS)
    page.keyboard.press("Enter")
    expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
    waiting = page.get_by_role("region", name="Waiting to be sent").get_by_role("listitem")
    for number, text in enumerate(("Not this.", "What is my order?"), start=1):
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(waiting).to_have_count(number)
    enter(waiting.first.get_by_role("button", name="Delete"), BACK)
    expect(waiting).to_have_count(1)
    expect(box).to_be_focused()
    enter(waiting.get_by_role("button", name="Edit"), BACK)
    expect(waiting).to_have_count(0)
    expect(box).to_be_focused()
    expect(box).to_have_value("What is my order?")
    page.keyboard.press("Backspace")
    page.keyboard.type(" number?")
    page.keyboard.press("Enter")
    expect(waiting).to_have_count(1)
    enter(waiting.get_by_role("button", name="Send now"), BACK)
    expect(page.get_by_role("article", name="Turn 4", exact=True)).to_contain_text("Stopped.")
    expect(page.get_by_role("article")).to_have_count(5)
    settled(page)
    assert last_reply(page) == "Your order number is A-7731."


def test_a_conversation_is_renamed_pinned_archived_deleted_and_brought_back(
    typist: Typist, talks: dict[str, str]
) -> None:
    page = typist(talks["row"])
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search conversations")).to_be_focused()

    def choose(title: str, act: str) -> None:
        """Open the menu of a row, and choose."""
        enter(row(title).get_by_role("button", name="Conversation menu"))
        expect(page.get_by_role("menuitem").first).to_be_focused()
        enter(page.get_by_role("menuitem", name=act, exact=True), "ArrowDown")

    def row(title: str) -> Locator:
        return page.locator("#list li").filter(has=page.get_by_role("link", name=title, exact=True))

    choose("Marmalade", "Rename")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    page.keyboard.type("Bitter oranges")
    page.keyboard.press("Enter")
    expect(row("Bitter oranges").get_by_role("button")).to_be_focused()
    choose("Bitter oranges", "Pin")
    expect(page.locator("#list h2").first).to_have_text("Pinned")
    expect(page.locator("#list li").first).to_contain_text("Bitter oranges")
    expect(row("Bitter oranges").get_by_role("button")).to_be_focused()
    choose("Bitter oranges", "Unpin")
    expect(page.get_by_role("heading", name="Pinned")).to_have_count(0)
    expect(row("Bitter oranges").get_by_role("button")).to_be_focused()
    for act in ("Delete", "Archive"):
        choose("Bitter oranges", act)
        expect(row("Bitter oranges")).to_have_count(0)
        expect(page.get_by_role("button", name="Undo")).to_be_focused()
        if act == "Delete":
            page.keyboard.press("Enter")
            expect(row("Bitter oranges").get_by_role("link")).to_be_focused()
    page.goto(f"{typist.site.url}/archive/")
    enter(page.get_by_role("button", name="Restore Bitter oranges"))
    expect(page.get_by_role("listitem").filter(has_text="Bitter oranges")).to_have_count(0)
    page.goto(typist.site.url + talks["row"])
    ready(page)
    expect(row("Bitter oranges")).to_be_visible()


def test_a_conversation_comes_in_goes_out_and_is_shown_to_others_for_a_while(typist: Typist) -> None:
    page = typist("/import/", permissions=["clipboard-read", "clipboard-write"])
    reach(page.get_by_label("File"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    said = [{"sender": "human", "text": "Is it ripe?"}, {"sender": "assistant", "text": "It is."}]
    told = json.dumps([{"name": "For Jonas", "chat_messages": said}]).encode()
    chooser.value.set_files({"name": "conversations.json", "mimeType": "application/json", "buffer": told})
    enter(page.get_by_role("button", name="Look into it"))
    enter(page.get_by_role("button", name=re.compile(r"^Import \d")))
    enter(page.get_by_role("link", name="For Jonas"))
    page.wait_for_url(re.compile("/c/"))
    ready(page)
    expect(page.get_by_role("article")).to_contain_text("It is.")

    more = page.get_by_role("button", name="More actions")
    message(page)
    enter(more, BACK)
    options = page.get_by_role("dialog", name="Conversation")
    expect(options).to_be_visible()
    for form, ending in (("Markdown", ".md"), ("JSON", ".json")):
        file = downloaded(page, options.get_by_role("link", name=f"Export as {form}"))
        assert file.suggested_filename.endswith(ending)
    enter(options.get_by_role("link", name="Share"), BACK)
    dialog = page.get_by_role("dialog", name="Share")
    enter(dialog.get_by_role("button", name="Create link"))
    copy = dialog.get_by_role("button", name="Copy address")
    enter(copy)
    expect(copy.locator("use")).to_have_attribute("href", "#i-done")
    address = page.evaluate("navigator.clipboard.readText()")
    stranger = typist(address.removeprefix(typist.site.url), anonymous=True)
    expect(stranger.get_by_role("article")).to_contain_text("It is.")
    enter(dialog.get_by_role("button", name="Revoke"))
    expect(dialog.get_by_role("button", name="Create link")).to_be_visible()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    answer = stranger.reload()
    assert answer is not None
    assert answer.status == 404
