"""What goes out of a conversation and what comes in, told in a real browser: share, export, import, leave."""

import io
import json
import re
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.axe import problems
from tests.browser.conftest import copied, ready
from tests.web.test_moving import ATTACKS, PLAN, SOURDOUGH, zipped

pytestmark = pytest.mark.browser


def bring_in(page, name, content):
    """Upload a file, look at it, take it; ends on the list of what became of each."""
    page.goto("/import/")
    page.get_by_label("File").set_input_files({"name": name, "mimeType": "application/zip", "buffer": content})
    page.get_by_role("button", name="Look into it").click()
    page.get_by_role("button", name=re.compile(r"^Import \d")).click()
    expect(page.get_by_role("heading", name=re.compile("imported"))).to_be_visible()


def export(page, form):
    """Export the conversation that is open; the file's content."""
    page.get_by_role("button", name="More actions").click()
    with page.expect_download() as caught:
        page.get_by_role("link", name=f"Export as {form}").click()
    with open(caught.value.path(), "rb") as file:
        return caught.value.suggested_filename, file.read()


def test_conversations_of_elsewhere_come_in_and_go_out_and_come_back_equal(visit, site):
    page = visit("/import/", base_url=site.url, color_scheme="dark")
    assert problems(page) == []
    bring_in(page, "chatgpt.zip", zipped(conversations=[SOURDOUGH, ATTACKS, {"mapping": {"x": []}}]))
    expect(page.get_by_text("conversation 2, node x is not an object")).to_be_visible()
    expect(page.get_by_text("1 image; a mark stands in its place")).to_be_visible()
    assert problems(page) == []
    bring_in(page, "conversations.json", json.dumps([PLAN]).encode())
    page.get_by_role("link", name="Plan").click()
    ready(page)
    expect(page.get_by_role("article")).to_contain_text("KEPT")
    name, markdown = export(page, "Markdown")
    assert re.fullmatch(r"Plan \d{4}-\d\d-\d\d\.md", name)
    assert markdown.decode().startswith("# Plan\n")
    page.keyboard.press("Escape")
    _, before = export(page, "JSON")
    # As another installation would give it out: the same words are known here already.
    foreign = json.loads(before)
    foreign["turns"][0]["prompt"] += " twice"
    bring_in(page, "mine.json", json.dumps(foreign).encode())
    page.get_by_role("link", name="Plan").click()
    ready(page)
    _, after = export(page, "JSON")
    assert json.loads(after) == foreign


def test_a_link_is_shared_read_by_a_stranger_and_revoked(visit, site):
    page = visit("/import/", base_url=site.url, permissions=["clipboard-read", "clipboard-write"])
    said = [{"sender": "human", "text": "Is it done?"}, {"sender": "assistant", "text": "Done: $E = mc^2$."}]
    bring_in(page, "conversations.json", json.dumps([{"name": "For Lena", "chat_messages": said}]).encode())
    page.get_by_role("link", name="For Lena").click()
    ready(page)
    formula = page.get_by_role("article").locator("math")
    expect(formula.locator("msup")).to_have_text("c2")
    assert formula.bounding_box()["width"] > 30
    page.get_by_role("button", name="More actions").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Share").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Share")
    dialog.get_by_role("button", name="Create link").click()
    expect(dialog.get_by_role("button", name="Revoke")).to_be_visible()
    assert problems(page) == []
    address = copied(dialog.get_by_role("button", name="Copy address"))
    assert address == dialog.get_by_label("Address").input_value()
    stranger = visit(address.removeprefix(site.url), anonymous=True, color_scheme="dark")
    expect(stranger.get_by_role("article")).to_contain_text("Done")
    expect(stranger.get_by_role("article").locator("math")).to_be_visible()
    assert stranger.get_by_role("button").count() == stranger.get_by_role("textbox").count() == 0
    assert stranger.evaluate("document.scripts.length") == 0
    assert problems(stranger) == []
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.get_by_role("button", name="Create link")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More actions")).to_be_focused()
    assert stranger.reload().status == 404


def test_whoever_leaves_takes_everything_along_and_leaves_nothing(visit, site):
    site.python(
        "from django.contrib.auth import get_user_model as model\n"
        "model().objects.create_user('parting', 'parting@example.org', 'a long quiet river')"
    )
    page = visit("/accounts/login/", anonymous=True, base_url=site.url)
    page.get_by_label("Username").fill("parting")
    page.get_by_label("Password").fill("a long quiet river")
    page.get_by_role("button", name="Sign in").click()
    bring_in(page, "conversations.json", json.dumps([PLAN]).encode())
    page.get_by_role("link", name="Plan").click()
    ready(page)
    other = visit.tab(page.context, page.url.removeprefix(site.url))
    page.get_by_role("link", name="Account").click()
    assert problems(page) == []
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download my data").click()
    with open(caught.value.path(), "rb") as file:
        assert "account.json" in zipfile.ZipFile(io.BytesIO(file.read())).namelist()
    page.get_by_role("link", name="Delete account").click()
    assert problems(page) == []
    page.get_by_label("Your password").fill("a long quiet river")
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()
    other.goto(other.url)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
