"""The eight questions, asked as somebody asks them who has never been here: in a browser, from /monitoring/, with at
most two interactions. The answer is what stands there in words, with the cause seeded and again without it.

With QUESTIONS_IN each answer is pictured in that directory (`python -m tests.screenshots questions`).
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import problems
from tests.monitoring import asking
from tests.monitoring.test_questions import QUESTIONS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST = 2
Step = Callable[[Page], object]


@dataclass(frozen=True, slots=True)
class Way:
    """What an operator does, an interaction each, and the part of the page where the answer stands."""

    where: str
    steps: tuple[Step, ...] = ()


def click(name: str) -> Step:
    return lambda page: page.get_by_role("link", name=name, exact=True).first.click()


def look_up(session: str, turn: str) -> Step:
    """Fill in the form under "Will be full soon" and send it."""

    def step(page: Page) -> None:
        page.get_by_role("textbox", name="Session").fill(session)
        page.get_by_role("textbox", name="Turn").fill(turn)
        page.keyboard.press("Enter")

    return step


WAYS = {
    "full": Way("#soon"),
    "saved": Way("[aria-labelledby=t-money]"),
    "cache": Way("[aria-labelledby=t-cache]"),
    "fills": Way("#head", (click("Sessions"), click("f11100"))),
    "summariser": Way("#wrong"),
    "costs": Way("main", (click("Users"),)),
    "overflow": Way("#wrong"),
    "forgot": Way("#fate", (look_up("f0490", "12"),)),
}


@pytest.fixture
def visit(then, visit):
    """At the time of the afternoon."""
    return visit


@pytest.mark.parametrize("causes", ["present", "absent"])
def test_every_question_is_answered_in_words_within_two_interactions(visit, causes, tmp_path):
    asking.afternoon(without=() if causes == "present" else asking.CAUSES)
    pictures = Path(os.environ.get("QUESTIONS_IN") or tmp_path)
    page = visit("/monitoring/", color_scheme="light")
    for question, way in WAYS.items():
        assert len(way.steps) <= MOST
        if page.url.rpartition("/monitoring/")[2]:
            page.goto("/monitoring/")
        for step in way.steps:
            step(page)
        answer = page.locator(way.where)
        expect(answer).to_be_visible()
        words = " ".join(answer.inner_text().split())
        expected, other = QUESTIONS[question][1:] if causes == "present" else QUESTIONS[question][:0:-1]
        assert re.search(expected, words), (question, words)
        assert not re.search(other, words), (question, words)
        answer.screenshot(path=pictures / f"question-{question}-{causes}.png", animations="disabled")


def test_the_charts_are_painted_read_by_keyboard_and_follow_what_happens(visit):
    asking.afternoon()
    page = visit("/monitoring/?span=1h", color_scheme="dark")
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
    expect(spoken).to_contain_text("system prompt changed 1")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    assert problems(page) == []
    asking.call(asking.FULL, 3, asking.NOW - asking.NOW, cache_read=170_000)
    # The figure changes in its place: the page was not loaded again, and who was at a link still is.
    page.evaluate("window.kept = true")
    link = page.locator("#soon").get_by_role("link", name="f01100")
    link.focus()
    # Whoever comes back to the tab needs not wait for the next round.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#soon")).to_contain_text("f01100, at 86", timeout=15_000)
    assert page.evaluate("window.kept")
    expect(link).to_be_focused()
