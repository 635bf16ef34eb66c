"""For everybody: by keyboard, by screen reader, on a phone, in the dark, and without motion."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import ask, settled

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def problems(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:600]}" for one in found for node in one["nodes"]]


@pytest.fixture(scope="module")
def demo(site) -> str:
    site.run("demo_session", "--user", "alice", "-v0")
    return "/c/" + site.python(
        "from chat.models import ChatSession\nprint(ChatSession.objects.get(title__startswith='Demo').pk)"
    ).split()[-1] + "/"  # fmt: skip


@pytest.mark.parametrize(("scheme", "device"), [("light", {}), ("dark", PHONE)], ids=["light desk", "dark phone"])
def test_no_page_has_a_barrier(visit, demo, scheme, device):
    page = visit(demo, color_scheme=scheme, **device)
    ask(page, "What is the order number?")
    assert problems(page) == []
    page.locator(".notice summary").click()
    assert problems(page) == []
    page.get_by_role("button", name="What the context is made of").click()
    assert problems(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="More actions").click()
    assert problems(page) == []


def test_the_way_in_has_no_barrier(visit):
    assert problems(visit("/accounts/login/", anonymous=True)) == []
    assert problems(visit.new_chat()) == []


def test_all_of_it_by_keyboard(visit, demo):
    page = visit(demo)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the message box")).to_be_focused()
    page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="Message")
    expect(box).to_be_focused()
    page.keyboard.type("Write a longer text about water hardness,")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("with a table and code.")
    expect(box).to_have_value("Write a longer text about water hardness,\nwith a table and code.")
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
    page = visit.new_chat()
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

    page.get_by_role("textbox", name="Message").fill("Write a longer text about water hardness, with a table.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator('article[aria-busy="true"] .blocks > *').first).to_be_visible()
    assert told("article", "Turn 1")["busy"] == 1
    assert "live" not in told("log", "Conversation")
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
    page.get_by_role("textbox", name="Message").fill("Write a longer text about water hardness, with a table.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator('article[aria-busy="true"] .tail')).to_be_attached()
    assert page.evaluate("document.getAnimations().filter((one) => one.playState === 'running').length") == 0
    settled(page)
