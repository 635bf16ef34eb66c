"""For everybody: by keyboard, by screen reader, on a phone, in the dark, and without motion."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ENDLESS, settled
from tests.browser.wires import wired

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_all_of_it_by_keyboard(visit, demo):
    page = visit(demo)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the message box")).to_be_focused()
    page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="Message")
    expect(box).to_be_focused()
    said, more = ENDLESS.split(", ")
    page.keyboard.type(f"{said},")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type(more)
    expect(box).to_have_value(f"{said},\n{more}")
    page.keyboard.press("Enter")
    expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
    page.keyboard.press("Escape")
    settled(page)
    expect(page.get_by_role("article").last).to_contain_text("Stopped.")
    page.get_by_role("button", name="More actions").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Conversation")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Conversation")).to_be_hidden()
    expect(page.get_by_role("button", name="More actions")).to_be_focused()


# All that can be acted on and is in sight, each with a number of its own; but for the end of a long list, which makes
# room for more of it before anybody gets there.
CONTROLS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
  .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility() && !one.matches(".more"))
  .map((one, at) => (one.dataset.at = at))"""
# Which of them has the focus, and whether that can be seen: a line around it, or around the box that it stands in.
AT = """() => {
  const one = document.activeElement;
  const line = (node) => getComputedStyle(node).outlineStyle !== "none";
  const box = one.closest(".gauge, .search, .composer");
  const seen = line(one) || Boolean(box && (line(box) || box.matches(".composer")));
  // A box that scrolls can be come to as well.
  return [one === document.body ? -1 : Number(one.dataset.at ?? -2), seen];
}"""


def test_every_control_is_reached_by_tab_and_none_hides_or_keeps_the_focus(visit, demo):
    page = visit(demo)
    wanted = page.evaluate(CONTROLS)
    assert len(wanted) > 60
    reached = []
    while not reached or reached[-1][0] != -1:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(AT))
        assert len(reached) < 2 * len(wanted), "the focus goes round and never leaves the page"
    assert sorted({at for at, _seen in reached} - {-1, -2}) == wanted
    assert [at for at, seen in reached if not seen and at >= 0] == []


# What a screen reader says by itself: changes within a live region, unless it is off or what changed is busy.
HEARS = """() => {
  window.heard = [];
  const implied = { log: "polite", status: "polite", alert: "assertive" };
  const manner = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const own = one.getAttribute("aria-live") ?? implied[one.getAttribute("role")];
      if (own) return own;
    }
    return "off";
  };
  const heed = ({ target, addedNodes, type }) => {
    const place = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
    const said = type === "characterData" ? [target] : [...addedNodes];
    for (const node of said) {
      const own = node.nodeType === Node.ELEMENT_NODE ? manner(node) : manner(place);
      const text = node.textContent.trim();
      if (text && own !== "off" && !place.closest('[aria-busy="true"]')) heard.push([own, text]);
    }
  };
  new MutationObserver((all) => all.forEach(heed))
    .observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_a_screen_reader_hears_a_reply_once_when_it_is_whole(visit):
    page, wires = wired(visit)
    page.evaluate(HEARS)
    tree = page.context.new_cdp_session(page)

    def told(role: str, name: str) -> dict:
        """What the browser tells a screen reader of one element."""
        nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
        (found,) = [
            node
            for node in nodes
            if node.get("role", {}).get("value") == role and node.get("name", {}).get("value") == name
        ]
        return {one["name"]: one["value"].get("value") for one in found["properties"]}

    # Not before all of this has been looked at is the page told that the reply has ended.
    ends = []
    wires.mute = lambda text: '"type":"done"' in text and not ends.append(text)
    page.get_by_role("textbox", name="Message").fill("Write 400 words about water hardness, with a table.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
    assert told("article", "Turn 1")["busy"] == 1
    assert "live" not in told("log", "Conversation")
    wires.mute = lambda text: False
    for text in ends:
        wires.say(text)
    settled(page)
    assert "busy" not in told("article", "Turn 1")
    page.wait_for_function("() => heard.length")
    reply = page.locator("article .reply").inner_text().strip()
    assert len(reply) > 300
    assert page.evaluate("heard") == [["polite", reply]]


def test_on_a_phone_the_list_is_a_drawer(visit, demo):
    page = visit(demo, **PHONE)
    rail = page.get_by_role("navigation", name="Conversations")
    expect(rail).to_be_hidden()
    page.get_by_role("button", name="Open sidebar").click()
    expect(rail).to_be_visible()
    page.get_by_role("button", name="Close sidebar").click()
    expect(rail).to_be_hidden()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "nothing sticks out"


def test_whoever_wants_no_motion_gets_none(visit):
    page = visit.new_chat(reduced_motion="reduce")
    page.get_by_role("textbox", name="Message").fill("Write 400 words about water hardness, with a table.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator('article[aria-busy="true"] .tail')).to_be_attached()
    assert page.evaluate("document.getAnimations().filter((one) => one.playState === 'running').length") == 0
    settled(page)
