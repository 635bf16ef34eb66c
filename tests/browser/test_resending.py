"""A message that the server did not take goes again, at a pace that the server bears, and is stored once."""

import itertools
import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ready, send, settled
from tests.browser.wires import wired

pytestmark = pytest.mark.browser

# What the outbox of a page lets through of a message that the server hangs up on, asked every 100 ms for two minutes.
PACE = """async () => {
  const { Outbox } = await import("/static/js/outbox.js");
  const clock = performance.now;
  let now = 0;
  performance.now = () => now;
  const box = new Outbox("pace");
  box.hold({ op: "new", text: "x" });
  const went = [];
  for (; now < 120_000; now += 100) {
    if (box.pause) continue;
    box.leaves();
    went.push(now);
  }
  box.release(box.pending.client_id);
  box.hold({ op: "new", text: "y" });
  const fresh = box.pause;
  box.release(box.pending.client_id);
  performance.now = clock;
  return [went, fresh];
}"""


def test_a_server_that_hangs_up_on_a_message_gets_it_again_ever_later_and_stores_it_once(visit):
    page, wires = wired(visit)
    went, fresh = page.evaluate(PACE)
    gaps = [later - before for before, later in itertools.pairwise(went)]
    assert gaps[:7] == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000]
    assert set(gaps[7:]) == {20_000}
    assert fresh == 0
    wires.hangs_up = 2
    send(page, "My order number is A-7731.")
    expect(page.get_by_role("article")).to_have_count(1, timeout=20_000)
    settled(page)
    ids = [json.loads(text)["client_id"] for text in wires.sent if '"type":"send"' in text]
    assert len(ids) == 3
    assert len(set(ids)) == 1


@pytest.mark.parametrize("arrived", [False, True])
def test_a_first_message_goes_on_after_a_reload_and_begins_one_conversation_as_chosen(visit, site, arrived):
    name = f"reloader-{arrived}".lower()
    site.python(
        "from django.contrib.auth import get_user_model as model\n"
        f"model().objects.create_user({name!r}, password='another long password')"
    )
    page = visit("/accounts/login/", anonymous=True)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("another long password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name=f"Hello, {name}")).to_be_visible()
    ready(page)
    page.get_by_title("Model, instructions, thinking").click()
    panel = page.get_by_role("dialog", name="What answers")
    panel.get_by_label("Model").select_option(label="claude-haiku-4-5 · takes 16 k")
    panel.get_by_role("button", name="Use it").click()
    expect(page.locator("#model-name")).to_have_text("claude-haiku-4-5")
    held = []

    def hold(route):
        if not held:
            return held.append(route.request)
        if arrived:  # the first one did, late, and only its answer was lost
            first = held[0]
            headers = {"Content-Type": first.headers["content-type"], "Accept": "application/json"}
            page.request.post(first.url, data=first.post_data_buffer, headers=headers)
        return route.continue_()

    page.route("**/new/", hold)
    with page.expect_request("**/new/"):
        send(page, "My order number is A-7731.")
    page.reload()
    page.wait_for_url(re.compile("/c/"))
    ready(page)
    expect(page.get_by_role("article")).to_have_count(1)
    settled(page)
    expect(page.locator("#model-name")).to_have_text("claude-haiku-4-5")
    box = page.get_by_role("textbox", name="Message")
    expect(box).to_have_value("")
    expect(box).to_be_editable()
    told = site.python(
        "from chat.models import ChatSession, Turn\n"
        f"print(Turn.objects.filter(session__owner__username={name!r}).count(),"
        f" ChatSession.objects.filter(owner__username={name!r}).count())"
    )
    assert told.split() == ["1", "1"]


def test_no_frame_is_too_long_however_long_json_makes_a_text(visit):
    page, wires = wired(visit)
    send(page, "Which signs are these? " + "\t" * 40_000 + "Tabs.")
    expect(page.get_by_role("article")).to_have_count(1, timeout=20_000)
    settled(page)
    assert not any('"type":"send"' in text for text in wires.sent)
