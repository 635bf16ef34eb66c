"""The eight questions, asked as an operator asks them: in a browser, from /monitoring/, with at most two interactions.

Without the causes the answers are other ones: tests/monitoring/test_questions.py.
"""

import re
from collections.abc import Callable, Iterator

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import WATCH
from tests.monitoring import asking

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST = 2


@pytest.fixture
def visit(chromium: Browser, live_server, client, olga) -> Iterator[Callable[..., Page]]:
    """A page of the operator's; at the end nothing may have been refused or thrown."""
    faults: list[str] = []
    with time_machine.travel(asking.NOW, tick=True):
        client.force_login(olga)
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        contexts = []

        def visit(**options) -> Page:
            context = chromium.new_context(
                base_url=live_server.url, **{"viewport": {"width": 1440, "height": 1000}} | options
            )
            contexts.append(context)
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": key, "url": live_server.url}])
            page = context.new_page()
            page.add_init_script(WATCH)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
            return page

        yield visit
        for context in contexts:
            context.close()
    assert faults == []


def test_every_question_is_answered_within_two_interactions(visit):
    asking.afternoon()
    page = visit()
    interactions = 0

    def start() -> None:
        nonlocal interactions
        page.goto("/monitoring/")
        interactions = 0

    def act(step: Callable[[], object]) -> None:
        nonlocal interactions
        step()
        interactions += 1
        assert interactions <= MOST

    def says(text: str) -> None:
        expect(page.locator("main")).to_contain_text(re.compile(text.replace(" ", r"\s")))  # some are no-break spaces

    def turn_12() -> None:
        page.get_by_role("textbox", name="Turn").fill("12")
        page.keyboard.press("Enter")

    start()
    says("Next: f01100, at 82 %")
    says(r"compaction \$0\.038 after \$0\.012 for its summaries")
    says(r"at 14:05: system prompt changed")
    says("Failing: 3 of 4 calls failed, most: overloaded")
    says("2 turns overflowed from 03:40 to 03:40; 1 answered, 1 got no reply")
    act(lambda: page.get_by_role("link", name="Users").click())
    expect(page.get_by_role("row", name=re.compile(r"user 44 \$1\.00"))).to_be_visible()
    start()
    act(lambda: page.get_by_role("link", name="Sessions", exact=True).click())
    act(lambda: page.get_by_role("link", name="f11100").click())
    says("Filled by documents: 50.0 k of 60.0 k tokens")
    page.goto("/monitoring/sessions/")
    interactions = 0
    act(lambda: page.get_by_role("link", name="f04900").click())
    act(turn_12)
    says(r"Turn 12 was compressed with the turns up to 20")


def test_the_charts_are_painted_read_by_keyboard_and_follow_what_happens(visit):
    asking.afternoon()
    page = visit(color_scheme="dark")
    page.goto("/monitoring/?span=1h")
    canvas = page.locator("canvas[data-plot=head-cache]")
    page.wait_for_function("() => Chart.getChart(document.querySelector('canvas[data-plot=head-cache]'))")
    canvas.focus()
    page.keyboard.press("End")
    card = page.locator("#t-cache").locator("xpath=ancestor::section").locator(".tip")
    expect(card).to_contain_text("hit rate")
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    spoken = page.locator("#t-cache").locator("xpath=ancestor::section").locator(".spoken")
    expect(spoken).to_contain_text("Sun 22 Nov 14:05 UTC, hit rate 10.0 %")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    violations = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in violations] == []
    asking.call(asking.FULL, 3, asking.NOW - asking.NOW, cache_read=170_000)
    # The figure changes in its place: the page was not loaded again.
    page.evaluate("window.kept = true")
    # Whoever comes back to the tab needs not wait for the next round.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#soon")).to_contain_text("f01100, at 86", timeout=9_000)
    assert page.evaluate("window.kept")


def test_the_pages_are_accessible_and_fit_a_phone(visit):
    asking.afternoon()
    page = visit(color_scheme="light", viewport={"width": 390, "height": 844})
    for path in ("/monitoring/", "/monitoring/sessions/", "/monitoring/users/7/", "/monitoring/mine/"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
        violations = Axe().run(page).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in violations] == [], path
