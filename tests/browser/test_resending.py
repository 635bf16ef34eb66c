"""A message that the server did not take goes again, at a pace that the server bears, and is stored once."""

import itertools
import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import send, settled
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


def test_no_frame_is_too_long_however_long_json_makes_a_text(visit):
    page, wires = wired(visit)
    send(page, "Which signs are these? " + "\t" * 40_000 + "Tabs.")
    expect(page.get_by_role("article")).to_have_count(1, timeout=20_000)
    settled(page)
    assert not any('"type":"send"' in text for text in wires.sent)
