"""3 AM, in a real browser: find the full sessions, compact them all, watch, read the report, take one back."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import problems
from tests.browser.conftest import Site

pytestmark = pytest.mark.browser

COUNT = 4
PREPARE = f"""
from django.contrib.auth import get_user_model
from django.utils import timezone
from monitoring.models import SessionGauge
from tests.store.building import conversation
# Their owner wants to be asked, so that the sweep leaves them to whoever is awake.
night = get_user_model().objects.create_user("night")
words = "We talked about what a repair of the Corvo Duo costs her. " * 25
for at in range({COUNT} + 1):
    one = conversation(night, 12, tokens=900, words=words, model="claude-opus-4-6", mode="ask")
    share = 0.82 + at / 50 if at < {COUNT} else 0.41
    SessionGauge.objects.create(session=one.pk, user=night.pk, model=one.model, state="alert", window=16_000,
                                tokens=int(share * 16_000), utilisation=share, at=timezone.now())
"""


OPEN = """
from django.contrib.auth import get_user_model
from chat.models import Summary
from tests.store.building import compress, conversation
session = conversation(get_user_model().objects.get(username="alice"), 12, model="claude-opus-4-6")
compress(session, (1, 6))
print(session.pk, Summary.objects.get(session=session).pk)
"""


@pytest.fixture(scope="module")
def night(site: Site) -> None:
    """Four full sessions, one that is not, and nobody awake."""
    site.python(PREPARE)


def test_the_full_sessions_are_compacted_watched_and_one_is_taken_back(visit: Any, night: None) -> None:
    page: Page = visit("/admin/chat/chatsession/?q=night")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(COUNT + 1)
    page.get_by_role("link", name="over 80 %").click()
    expect(rows).to_have_count(COUNT)
    assert problems(page) == []
    page.get_by_role("checkbox", name="Select all objects on this page for an action").check()
    page.get_by_role("combobox", name="Action").select_option("compact")
    page.get_by_role("button", name="Go").click()

    expect(page.get_by_role("heading", name=f"Compact now: {COUNT} sessions")).to_be_visible()
    expect(page.locator("svg.fullness rect.range")).to_have_count(COUNT)
    expect(page.get_by_text("Undoable:")).to_be_visible()
    assert problems(page) == []
    page.get_by_label("Reason").fill("backlog of the night, alert backlog-age")
    page.get_by_role("button", name=f"Compact now: {COUNT} sessions").click()

    page.wait_for_url(re.compile(r"/admin/chat/batch/\d+/change/"))
    progress = page.get_by_role("progressbar")
    expect(progress).to_have_attribute("max", str(COUNT))
    expect(page.get_by_text(f"{COUNT} of {COUNT} done, 100 %.")).to_be_visible(timeout=20_000)
    report = page.get_by_role("region", name="Results").locator("tbody tr")
    expect(report).to_have_count(COUNT)
    expect(report.filter(has_text="✓ done")).to_have_count(COUNT)

    report.first.get_by_role("link", name="Undo").click()
    page.get_by_label("Reason").fill("this one was fine as it was")
    page.get_by_role("button", name="Take back: 1 session").click()
    expect(page.get_by_text("is taken back")).to_be_visible()
    expect(page.locator("#summaries tbody tr").first).to_contain_text("undone")
    expect(page.locator("#audit tbody tr")).to_have_count(2)
    assert problems(page) == []


def test_an_open_page_follows_what_staff_do_to_its_conversation(visit: Any, site: Site) -> None:
    session, summary = site.python(OPEN).split()[-2:]
    page: Page = visit(f"/c/{session}/")
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")

    def operate(name: str, **given: str) -> None:
        """As a member of staff with the pages of the administration: preview, reason, done."""
        address = f"{site.url}/admin/chat/chatsession/{session}/operate/{name}/"
        ask = {"headers": {"X-CSRFToken": token, "Referer": address}}
        shown = page.request.post(address, form=given, **ask).text()
        stamp = re.search(r'name="stamp" value="(\w+)"', shown)
        assert stamp, shown
        done = page.request.post(
            address, form=given | {"step": "apply", "stamp": stamp[1], "reason": "A ticket."}, **ask
        )
        assert done.ok

    operate("exclude", turns="8, 10-11")
    for number in (8, 10, 11):
        expect(page.get_by_role("article", name=f"Turn {number}", exact=True)).to_have_class(re.compile("excluded"))
    expect(page.locator("article.excluded")).to_have_count(3)
    before = page.locator("#model-name").inner_text()
    operate("model", model="claude-sonnet-4-6")
    expect(page.locator("#model-name")).not_to_have_text(before)
    note = page.get_by_role("note").first
    note.locator("summary").first.click()
    operate("edit_summary", summary=summary, text="They spoke of a kettle.")
    expect(page.get_by_role("note").first).to_contain_text("They spoke of a kettle.")
