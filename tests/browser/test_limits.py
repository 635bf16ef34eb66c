"""What a person reads who has used up what is allowed."""

import re
from datetime import UTC, datetime

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import expect

from chat.web import condition
from tests.browser.axe import problems
from tests.browser.conftest import TOKENS_PER_DAY, USER, ask, send

pytestmark = pytest.mark.browser


def use(site, tokens: int) -> None:
    """Say that alice has used so many tokens today."""
    site.python(
        "from django.contrib.auth import get_user_model\n"
        "from chat.models import Allowance\n"
        f"user = get_user_model().objects.get(username={USER!r})\n"
        f"Allowance.objects.update_or_create(user=user, day={datetime.now(UTC).date().isoformat()!r},"
        f" defaults={{'used': {tokens}}})"
    )


def test_what_is_not_well_is_said_while_it_lasts_with_what_still_works(visit):
    page = visit("/")
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    wrong = condition.Trouble("model", "The model does not answer just now.", "You can read, search and export.")
    told = render_to_string("chat/_condition.html", {"trouble": wrong})
    page.route("**/status/", lambda route: route.fulfill(body=told, content_type="text/html"))
    page.evaluate(look)
    banner = page.get_by_role("status").filter(has_text=f"{wrong.title} {wrong.text}")
    expect(banner).to_be_visible()
    assert problems(page, within="#condition") == []
    page.unroute("**/status/")
    page.evaluate(look)
    expect(banner).to_have_count(0)


def test_whoever_has_used_todays_tokens_reads_when_there_are_more_and_keeps_the_text(visit, site):
    page = visit.new_chat(timezone_id="UTC")
    use(site, TOKENS_PER_DAY)
    send(page, "One more question?")
    expect(
        page.get_by_text(re.compile(r"You have used today’s tokens; more at .*(00:00|12:00.AM)\. Your text is kept\."))
    ).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("One more question?")
    expect(page.get_by_role("article")).to_have_count(0)
    use(site, 0)
    assert ask(page, "One more question?")
