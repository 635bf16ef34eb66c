"""Commands, shortcuts, the choice of what answers, the second language and the dark, told in a browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import ask, ready, settled

pytestmark = pytest.mark.browser


def test_commands_are_done_and_never_sent(visit):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    box = page.get_by_role("textbox", name="Message")
    figures = page.locator("#gauge-figures")
    before = figures.inner_text()
    box.press_sequentially("/")
    choices = page.get_by_role("listbox", name="Commands")
    expect(choices.get_by_role("option")).to_have_count(8)
    assert problems(page) == []
    box.press_sequentially("s")
    expect(choices.get_by_role("option")).to_have_count(2)
    expect(box).to_have_attribute("aria-activedescendant", "command-status")
    page.keyboard.press("Escape")
    expect(choices).to_be_hidden()
    box.fill("/status")
    expect(figures).not_to_have_text(before)
    page.keyboard.press("Enter")
    # The command itself is no part of what it tells of.
    expect(page.locator("#said")).to_contain_text(f"Context {before.replace('/', 'of')}")
    expect(box).to_have_value("")
    box.press_sequentially("/pi")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article").get_by_role("button", name="Pin")).to_have_attribute("aria-pressed", "true")
    box.fill("/compact")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=re.compile("Compact now"))).to_be_visible()
    page.keyboard.press("Escape")
    box.fill("/export")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".md")
    expect(page.get_by_role("article")).to_have_count(1)
    # A path is no command, and what is none is a message.
    box.press_sequentially("/etc/hosts has no entry")
    expect(choices).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.get_by_role("article").last.locator(".user")).to_have_text("/etc/hosts has no entry")
    settled(page)


def test_shortcuts_and_the_sheet_that_lists_them(visit):
    page = visit.new_chat(permissions=["clipboard-read", "clipboard-write"])
    reply = ask(page, "My order number is A-7731.")
    here = page.url
    page.locator("#scroll").click()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet.get_by_text("Copy the last reply")).to_be_visible()
    assert problems(page) == []
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.keyboard.press("Alt+Shift+C")
    page.wait_for_function(
        "(words) => navigator.clipboard.readText().then((text) => text.includes(words))", arg="A-7731"
    )
    assert "A-7731" in reply
    page.keyboard.press("Alt+Shift+S")
    expect(page.get_by_role("navigation", name="Conversations")).to_be_hidden()
    page.get_by_role("button", name="Open sidebar").click()
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    page.keyboard.press("Alt+Shift+M")
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.type("?")
    expect(sheet).to_be_hidden()
    page.get_by_role("textbox", name="Message").fill("")
    page.keyboard.press("Alt+Shift+N")
    page.wait_for_url(lambda url: url != here)
    ready(page)
    page.keyboard.press("Alt+Shift+ArrowDown")
    page.wait_for_url(here)
    ready(page)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(sheet).to_be_visible()


def test_thinking_is_switched_on_shown_collapsed_and_counted(visit):
    page = visit.new_chat(color_scheme="dark")
    page.get_by_title("Model, instructions, thinking").click()
    panel = page.get_by_role("dialog", name="What answers")
    expect(panel.get_by_label("Model")).to_be_visible()
    assert problems(page) == []
    panel.get_by_label("Extended thinking").check()
    panel.get_by_role("button", name="Use it").click()
    expect(panel).to_be_hidden()
    expect(page.locator("#model-name")).to_have_text(re.compile("thinking"))
    ask(page, "My order number is A-7731.")
    thought = page.get_by_role("article").get_by_text(re.compile(r"Thought for \d+ s · ~\d+ tokens"))
    expect(page.get_by_text("The user writes")).to_be_hidden()
    thought.click()
    expect(page.get_by_text("The user writes")).to_be_visible()
    assert problems(page) == []
    page.get_by_role("button", name="What the context is made of").click()
    expect(page.get_by_role("row", name=re.compile("^Thinking"))).to_contain_text("1 k")


def test_the_second_language_from_the_account_to_a_reply(visit):
    page = visit("/account/")
    page.get_by_label("Language of the pages").select_option("de")
    page.locator("#h-language + form button").click()
    expect(page.get_by_role("heading", name="Konto", exact=True)).to_be_visible()
    assert problems(page) == []
    visit.tab(page.context, "/instructions/").get_by_role("heading", name="Neue Anweisungen").wait_for()
    page.goto(visit.site.url + "/")
    ready(page)
    page.get_by_role("button", name="Neue Unterhaltung").click()
    page.locator("[data-session]").wait_for()
    ready(page)
    page.get_by_role("textbox", name="Nachricht").fill("My order number is A-7731.")
    page.get_by_role("button", name="Senden").click()
    expect(page.locator("article [data-copy=reply]")).to_have_count(1, timeout=20_000)
    expect(page.get_by_role("log", name="Unterhaltung")).to_contain_text("A-7731")
    page.get_by_role("button", name="Woraus der Kontext besteht").click()
    expect(page.get_by_role("dialog", name="Kontext")).to_contain_text("Reserve für die Antwort")


def test_dark_is_chosen_whatever_the_system_says(visit):
    page = visit("/account/", color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Light or dark").select_option("dark")
    page.locator("#h-theme + form button").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert problems(page) == []
    page.goto(visit.site.url + "/")
    ready(page)
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.goto(visit.site.url + "/account/")
    page.get_by_label("Light or dark").select_option("")
    page.locator("#h-theme + form button").click()
    expect(page.locator("html:not([data-theme])")).to_have_count(1)
