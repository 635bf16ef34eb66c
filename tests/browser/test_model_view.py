"""What the model sees, by keyboard alone: opened, compared, proven, and left where it was opened."""

import hashlib
import json

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import ask

pytestmark = pytest.mark.browser


def test_two_turns_are_compared_and_are_what_the_upstream_received(site, visit):
    page = visit.new_chat(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "My order number is A-7731.")
    ask(page, "What is my order number?")
    opener = page.get_by_role("article").last.get_by_role("button", name="What the model sees")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="What the model sees")
    expect(dialog.get_by_text("byte for byte")).to_be_visible()
    expect(dialog.get_by_text("2 of 2 turns")).to_be_visible()
    assert problems(page) == []

    compare = dialog.get_by_role("button", name="Compare")
    compare.focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("columnheader", name="since 1")).to_be_visible()
    expect(compare).to_be_focused()  # the list was replaced under it
    rows = dialog.locator("tbody tr.seg")
    expect(rows.filter(has_text="Instructions")).to_contain_text("same")
    expect(rows.filter(has_text="Turn 1")).to_contain_text("+")
    page.emulate_media(color_scheme="dark")
    assert problems(page) == []

    first = rows.get_by_role("link", name="Turn 1")
    first.focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("region", name="Selected segment")).to_contain_text("My order number is A-7731.")
    expect(first).to_be_focused()

    # What "Copy as JSON" copies is, to the byte, what its hash says was sent.
    dialog.get_by_role("link", name="Copy as JSON").press("Enter")
    expect(page.locator("#announcer")).to_have_text("The request is in the clipboard.")
    body = json.loads(page.evaluate("navigator.clipboard.readText()"))
    said = body["messages"][-1]["content"][-1]["text"]
    assert said == "What is my order number?"
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    shown = dialog.locator(".proof code").inner_text().rstrip("…")
    assert hashlib.sha256(canonical.encode()).hexdigest().startswith(shown)

    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    # Loaded anew, it begins with the message again.
    expect(dialog.get_by_role("region", name="Selected segment")).to_contain_text("What is my order number?")
    first.press("Enter")
    dialog.get_by_role("link", name="Go to turn 1").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("article").first).to_be_focused()


def test_it_is_a_page_without_script_and_a_sheet_on_a_phone(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    form = page.get_by_role("article").last.locator("form[action$='/view/']")
    address = form.get_attribute("action")
    plain = visit(address, java_script_enabled=False)
    expect(plain.get_by_role("heading", name="What the model sees", level=2)).to_be_visible()
    plain.get_by_role("link", name="Instructions").click()
    expect(plain.get_by_role("region", name="Selected segment")).to_contain_text("helpful assistant")
    plain.get_by_role("link", name="Back to the conversation").click()
    expect(plain.get_by_role("article")).to_have_count(1)

    phone = visit(
        page.url.removeprefix(visit.site.url), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    phone.get_by_role("article").last.get_by_role("button", name="What the model sees").click()
    dialog = phone.get_by_role("dialog", name="What the model sees")
    dialog.get_by_role("link", name="Instructions").click()
    text = dialog.get_by_role("region", name="Selected segment")
    expect(text).to_contain_text("helpful assistant")
    assert text.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    dialog.get_by_role("button", name="Back to the list").click()
    expect(text).to_be_hidden()
    expect(dialog.get_by_role("link", name="Instructions")).to_be_focused()
    assert phone.evaluate("document.querySelector('#model-view .seen').scrollWidth") <= 390
