"""3 AM, in a real browser: find the full sessions, compact them all, watch, read the report, take one back."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import everywhere, problems
from tests.browser.conftest import Site, ask

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

# Two for a batch that begins and one that never ends: it has an item and nobody who works on it.
LOOK = """
from django.contrib.auth import get_user_model
from chat.context import exact
from chat.models import Batch, BatchItem
from chat.store import facts
from tests.store.building import compress, conversation, turn
alice = get_user_model().objects.get(username="alice")
words = "We talked about what a repair of the Corvo Duo costs her. " * 25
session = conversation(alice, 12, model="claude-opus-4-6", words=words, tokens=300)
facts.keep(turn(session, 3), exact.find("My order number is A-7731."), since=0)
(summary,) = compress(session, (1, 6))
watch = get_user_model().objects.create_user("watch")
many = [conversation(watch, 2, words=words) for _ in range(2)]
batch = Batch.objects.create(actor=alice.pk, operation="archive", reason="A quiet night.", total=1)
BatchItem.objects.create(batch=batch, session=many[0].pk)
print(session.pk, summary.pk, batch.pk)
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
    visit.heard(page)
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
    operate("redact", turns="9")
    removed = page.get_by_role("article", name="Turn 9", exact=True)
    expect(removed).to_contain_text("This message was removed by support.")
    expect(removed).to_contain_text("This reply was removed by support.")
    expect(removed).not_to_contain_text("Question 9.")
    expect(removed.get_by_role("button", name="Regenerate")).to_have_count(0)
    assert problems(page) == []
    before = page.locator("#model-name").inner_text()
    operate("model", model="claude-sonnet-4-6")
    expect(page.locator("#model-name")).not_to_have_text(before)
    note = page.get_by_role("note").first
    note.locator("summary").first.click()
    operate("edit_summary", summary=summary, text="They spoke of a kettle.")
    expect(page.get_by_role("note").first).to_contain_text("They spoke of a kettle.")


def test_every_page_of_it_is_for_everybody(visit: Any, site: Site) -> None:
    """No barrier in light or dark, and nothing that sticks out at any width."""
    session, summary, batch = site.python(LOOK).split()[-3:]
    page: Page = visit(f"/c/{session}/", base_url=site.url)
    ask(page, "What is my order number?")
    sessions, own = "/admin/chat/chatsession/", f"/admin/chat/chatsession/{session}/"
    found: dict[str, list[str]] = {}

    def look(name: str, path: str = "") -> None:
        """Look at the page as it stands, or at the one of this address."""
        if path:
            page.goto(path)
        if wrong := everywhere(page):
            found[name] = wrong

    def press(button: str | re.Pattern[str], **fields: str) -> None:
        """Fill in what is asked for, and press a button."""
        for label, value in fields.items():
            page.get_by_label(label.replace("_", " "), exact=True).fill(value)
        with page.expect_navigation():
            page.get_by_role("button", name=button).first.click()

    look("list", f"{sessions}?q=watch")
    look("nothing found", f"{sessions}?q=nobody")
    look("turn", f"{own}turn/3/")
    look("operation", f"{own}operate/trim/")
    press("Preview", Turns_to_keep="4")
    look("preview")
    page.goto(f"{own}operate/pin/")
    press("Preview", Turns="the third")
    look("refused")
    page.goto(f"{own}operate/edit_summary/")
    press("Preview", Summary=summary, Text="Turns 1 to 6: they spoke of a kettle.")
    press("Edit a summary", Reason="A ticket.")
    look("session")
    page.goto(f"{own}change/")
    press(f"Read S{summary}")
    look("why")
    press("Show the words", Reason="A ticket.")
    look("summary")
    for button, name in (("Compare S", "versions"), ("Read the facts", "facts")):
        page.goto(f"{own}change/")
        press(button)
        press("Show the words", Reason="A ticket.")
        look(name)
    page.goto(f"{own}change/")
    page.get_by_role("checkbox", name="Choose turn 12").check()
    press("Read the chosen turns", Reason="A ticket.")
    look("words")

    look("audit", "/admin/chat/audit/")
    page.get_by_role("link", name="Undo").first.click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    look("undo")
    page.get_by_role("link", name="No, take me back").click()
    expect(page.get_by_role("heading", name="Before and after")).to_be_visible()
    look("entry")
    look("switches", "/admin/chat/switches/")
    press("Turn these switches")
    look("not turned")

    # It asks for its progress: an answer would be put on the page under whoever looks, and a refusal complained of.
    asked: list[Route] = []
    page.route("**/progress/*", lambda route: asked.append(route))  # a builtin has no room for its marks
    look("running", f"/admin/chat/batch/{batch}/change/")
    page.unroute("**/progress/*")
    page.goto(f"{sessions}?q=watch")
    page.get_by_role("checkbox", name="Select all objects on this page for an action").check()
    page.get_by_role("combobox", name="Action").select_option("archive")
    press("Go")
    look("preview of many")
    press("Archive", Reason="A quiet night.")
    expect(page.get_by_text("2 of 2 done, 100 %.")).to_be_visible()
    look("results")
    look("batches", "/admin/chat/batch/")
    assert found == {}
