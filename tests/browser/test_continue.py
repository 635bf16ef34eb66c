"""A reply that was cut off, and the button that lets it go on."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ask, last_reply, settled

pytestmark = pytest.mark.browser


def test_a_reply_that_was_cut_off_is_continued_in_a_turn_of_its_own(visit, site):
    page = visit.new_chat()
    ask(page, "My order number is A-7731.")
    address = page.url.rstrip("/").rsplit("/", 1)[1]
    site.python(
        "from chat.models import ChatSession\n"
        "from tests.web.conftest import add_turn\n"
        f"session = ChatSession.objects.get(pk='{address}')\n"
        "add_turn(session, 'Tell me about my order.', 'It is numbered', status='truncated', stop_reason='max_tokens')"
    )
    page.reload()
    expect(page.get_by_role("article").last).to_contain_text("Cut off. The reply reached the longest length")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("article")).to_have_count(3)
    settled(page)
    continued = page.get_by_role("article").last
    expect(continued.locator(".user")).to_have_text("Continued")
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()
    assert last_reply(page)
    page.reload()
    expect(page.get_by_role("article").last.locator(".user")).to_have_text("Continued")
    expect(page.get_by_text("Your last reply was cut off")).to_have_count(0)
