"""Every page, and everything that opens on one: no barrier in light or dark, and nothing sticks out at any width."""

import re

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import everywhere
from tests.browser.conftest import PASSWORD, USER, ask

pytestmark = pytest.mark.browser

OWN = ("account/", "account/password/", "account/email/", "account/delete/", "instructions/", "import/", "archive/",
       "search/")  # fmt: skip
# What stands in for a panel or a dialog where there is no script.
ALONE = ("choices/", "share/", "compact/", "remembered/", "turns/{turn}/menu/", "turns/{turn}/feedback/",
         "turns/{turn}/view/", "notices/{notice}/")  # fmt: skip
ENTRY = ("login/", "signup/", "password/", "password/sent/", "password/x/set-password/", "password/done/", "farewell/")
# Where there is no address that leads to it on this site.
DRAWN = ("404.html", "403.html", "403_csrf.html", "500.html", "registration/locked.html")
# What opens on a conversation: how, and what is then looked at.
OPENED = (
    ("More actions", "#options"),
    ("What the context is made of", "#context"),
    ("What is remembered", "#remembered"),
    ("Keyboard shortcuts", "#shortcuts"),
    ("What the model sees", "#model-view"),
    ("Bad reply", "#turn-menu"),
    ("More", "#turn-menu"),
    ("Conversation menu", "#row-menu"),
    ("Edit", "form.edit"),
)


def walk(page: Page, paths: dict[str, str]) -> dict[str, list[str]]:
    """What is wrong on each of these pages."""
    found = {}
    for name, path in paths.items():
        page.goto(path)
        assert page.get_by_role("heading", level=1).count() == 1, name
        if wrong := everywhere(page):
            found[name] = wrong
    return found


def draw(route: Route) -> None:
    """A page that this site gives no address."""
    template = route.request.url.rsplit("/", 1)[1].replace("~", "/")
    route.fulfill(body=render_to_string(template), content_type="text/html; charset=utf-8")


def test_ones_own_pages(visit, site, demo):
    page = visit(demo, base_url=site.url)
    found = walk(page, {path: f"/{path}" for path in OWN} | {"welcome choices": "/choices/"})
    page.get_by_label("Model").wait_for()
    # Texts that will not stay the same are warned of on the page of instructions.
    page.goto("/instructions/")
    page.get_by_label("Name").fill("Dated")
    page.get_by_label("Instructions", exact=True).fill("Today is 2026-11-22 and you talk to {name}.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This text will not stay the same.")).to_be_visible()
    assert found | {"warned": everywhere(page)} == {"warned": []}


def test_what_stands_in_for_panels_and_dialogs(visit, site, demo):
    page = visit(demo, base_url=site.url)
    at = {
        "turn": page.get_by_role("article").last.get_attribute("data-turn"),
        "notice": re.sub(r"\D", "", page.get_by_role("note").first.get_attribute("id") or ""),
    }
    assert walk(page, {path: demo + path.format(**at) for path in ALONE}) == {}


def test_the_way_in_and_what_is_lost(visit, site):
    page = visit("/accounts/login/", anonymous=True, base_url=site.url)
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD + "?")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    found = {"wrong password": wrong} if (wrong := everywhere(page)) else {}
    found |= walk(page, {path: f"/accounts/{path}" for path in ENTRY})
    page.route("**/drawn/*", draw)
    assert found | walk(page, {template: f"/drawn/{template.replace('/', '~')}" for template in DRAWN}) == {}


def test_what_opens_on_a_conversation(visit, site, demo):
    page = visit(demo, base_url=site.url)
    ask(page, "What is the order number?")
    page.get_by_role("note").first.locator("summary").click()
    found = {"the page": everywhere(page)}
    for name, place in OPENED:
        button = page.get_by_role("button", name=name, exact=True)
        button.last.focus()
        page.keyboard.press("Enter")
        expect(page.locator(place)).to_be_visible()
        expect(page.locator(f"{place} [aria-busy]")).to_have_count(0)
        found[name] = everywhere(page, place)
        page.keyboard.press("Escape")
        expect(page.locator(place)).to_be_hidden()
    for command, place in (("/", "#commands"), ("/compact", "#compact")):
        page.get_by_role("textbox", name="Message").fill(command)
        if place == "#compact":
            page.keyboard.press("Enter")
            expect(page.locator("#compact-body[aria-busy]")).to_have_count(0)
        expect(page.locator(place)).to_be_visible()
        found[command] = everywhere(page, place)
        page.keyboard.press("Escape")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
