"""Attachments: counted before they are sent, refused with both numbers, answered from, and taken out again."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import ask, settled
from tests.documents.files import pdf

pytestmark = pytest.mark.browser

NOTE = pdf("The order number is B-4410. The courier is Hermine Vogel.")
# As a browser does it: the event first, then the text, if nobody minds.
PASTE = """(box, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
  if (!box.dispatchEvent(event)) return;
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
}"""
DROP = """(text) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], "dropped.md"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_attachments_with_the_count_before_sending(visit):
    page = visit("/")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#main.ready")).to_have_count(1)
    chips = page.get_by_role("list", name="Attachments").get_by_role("listitem")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach files").click()
    long = {"name": "long.txt", "mimeType": "text/plain", "buffer": b"word " * 40_000}
    chooser.value.set_files([{"name": "note.pdf", "mimeType": "application/pdf", "buffer": NOTE}, long])
    page.evaluate(DROP, "# Plan\nThe password is Tulip.")
    page.get_by_role("textbox", name="Message").fill("What is the order number?")
    expect(chips).to_have_text(
        [
            re.compile(r"note\.pdf\s+PDF · ~\d+ tokens"),
            re.compile(r"long\.txt\s+~[\d,]{6,} tokens; 3,200 is the documents budget of this conversation\."),
            re.compile(r"dropped\.md\s+Markdown · ~\d+ tokens"),
        ],
        use_inner_text=True,
    )
    assert problems(page) == []
    page.get_by_role("button", name="Remove long.txt").click()
    expect(chips).to_have_count(2)
    page.reload()
    expect(chips).to_have_count(2)
    assert ask(page, "What is the order number?") == "The order number is B-4410."
    expect(chips).to_have_count(0)
    attached = page.get_by_role("article").first.get_by_role("list", name="Attached files").get_by_role("listitem")
    expect(attached).to_have_count(2)

    # A pasted giant is counted, and may become a file; what is in the box stays there until the file is kept.
    box = page.get_by_role("textbox", name="Message")
    box.fill("Which room? ")
    box.evaluate("(box) => box.setSelectionRange(box.value.length, box.value.length)")
    notes = "The room is B12 on the third floor. " * 200
    box.evaluate(PASTE, notes)
    expect(page.get_by_text(re.compile(r"~[\d,]+ tokens in this message\."))).to_be_visible()
    page.get_by_role("button", name="Attach it instead").click()
    expect(chips).to_have_text([re.compile(r"Pasted text\.txt\s+Text · ~[\d,]+ tokens")], use_inner_text=True)
    expect(box).to_have_value("Which room? ")
    page.get_by_role("button", name="Send").click()
    settled(page)
    expect(page.get_by_role("article").last.get_by_role("list", name="Attached files")).to_contain_text("Pasted text")

    page.get_by_role("button", name="More actions").click()
    options = page.get_by_role("dialog", name="Conversation")
    expect(options.get_by_role("region", name="Documents").get_by_role("listitem")).to_have_count(3)
