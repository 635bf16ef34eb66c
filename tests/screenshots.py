"""Make every picture in docs/screenshots anew. `python -m tests.screenshots [NAME ...]`

A site of its own with the demo conversation, a real browser; each picture is a page as somebody would meet it: light
and dark on a desk, on a phone, with long texts, empty, and in error. With names, only those pictures.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import django
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests import admin_pictures
from tests.browser.conftest import ARGUMENTS, CHROMIUM, PASSWORD, ROOT, USER, Site, free_port, ready, send

WHERE = ROOT / "docs" / "screenshots"
DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
PICTURED = "2b71f4aa-0000-4000-8000-000000000847"
"""The session of tests.monitoring.day that has a picture."""
QUESTIONS = "questions"
"""The name for the answers to an operator's questions, which the story of the questions pictures."""
SETTLE_MS = 400
"""Until pictures, popovers and lines that glide in have come to rest."""

LONG = (
    ("Please read the whole of this before you answer: every part of it matters for the letter to the customer. ") * 14
    + "\n\n"
    + "https://example.org/"
    + "a-very-long-address-without-any-place-to-break-it-" * 5
)
Act = Callable[[Page, str], None]


def go(path: str) -> Act:
    """Open an address; {demo} is the demo conversation's."""
    return lambda page, demo: _open(page, path.format(demo=demo))


def whole(path: str) -> Act:
    """Open an address on a screen that is tall enough for the most of it."""

    def act(page: Page, demo: str) -> None:
        size = page.viewport_size or {"width": 1280, "height": 800}
        page.set_viewport_size({"width": size["width"], "height": 1680})
        _open(page, path)

    return act


def then(path: str, *steps: Callable[[Page], object]) -> Act:
    """Open an address, then do these things on the page."""

    def act(page: Page, demo: str) -> None:
        _open(page, path.format(demo=demo))
        for step in steps:
            step(page)

    return act


def press(name: str, *, first: bool = False) -> Callable[[Page], object]:
    """Press a button by its name."""

    def act(page: Page) -> None:
        found = page.get_by_role("button", name=name, exact=True)
        (found.first if first else found.last).click()

    return act


def open_notice(page: Page) -> None:
    page.get_by_role("note").first.locator("summary").click()


def say(text: str) -> Callable[[Page], object]:
    """Send a message and wait for the reply."""

    def act(page: Page) -> None:
        send(page, text)
        page.locator('article[aria-busy="true"]').first.wait_for()
        page.locator('article[aria-busy="true"]').first.wait_for(state="detached", timeout=30_000)

    return act


def write(text: str) -> Callable[[Page], object]:
    return lambda page: page.get_by_role("textbox", name="Message").fill(text)


def fresh(page: Page) -> None:
    if page.get_by_role("button", name="Open sidebar").is_visible():
        page.get_by_role("button", name="Open sidebar").click()
    page.get_by_role("button", name="New chat").first.click()
    page.wait_for_url("**/c/*/")
    ready(page)


def choose(page: Page) -> None:
    """Look at what answers, with another model chosen and not taken yet."""
    page.locator("[popovertarget=choices]").first.click()
    page.get_by_label("Extended thinking").check()


def refuse(page: Page) -> None:
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill("a guess")
    page.get_by_role("button", name="Sign in").click()


def search(page: Page) -> None:
    """Look for something, where there is room for the list."""
    if page.get_by_role("button", name="Open sidebar").is_visible():
        page.get_by_role("button", name="Open sidebar").click()
    page.get_by_role("searchbox", name="Search conversations").fill("pump")
    page.locator("#found .hit").first.wait_for()


def follow(title: str) -> Callable[[Page], object]:
    """Open a conversation of the list, whether or not the list is in sight."""

    def act(page: Page) -> None:
        _open(page, page.locator("#list a", has_text=title).first.get_attribute("href") or "")

    return act


def share(page: Page) -> None:
    page.get_by_role("link", name="Share").click()


def shared(page: Page) -> None:
    """The page that a link leads to, as anybody sees it."""
    share(page)
    address, create = page.get_by_label("Address", exact=True), page.get_by_role("button", name="Create link")
    address.or_(create).wait_for()
    if create.is_visible():
        create.click()
    _open(page, address.input_value())


def look_into(page: Page) -> None:
    """A file of another product, looked at and not taken yet."""
    found = [
        {"name": title, "created_at": "2026-09-12T10:00:00Z", "chat_messages": [{"sender": "human", "text": title}]}
        for title in ("Beans for the small grinder", "Opening hours in winter", "A letter to the landlord")
    ]
    file = {"name": "conversations.json", "mimeType": "application/json", "buffer": json.dumps(found).encode()}
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Look into it").click()
    page.get_by_role("button", name=re.compile("^Import 3")).wait_for()


def attach(page: Page) -> None:
    """Files beside the message box: one that is taken, one that is too large for the window."""
    for button in page.locator("#chips [data-detach]").all():
        button.click()
    texts = {"warranty.md": "The warranty of the Corvo Duo ends in 2028.\n" * 20, "log.txt": "9 bar, 6 bar, " * 20_000}
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in texts.items()]
    )
    page.locator("#chips .refused .why").wait_for()


def drawer(page: Page) -> None:
    page.get_by_role("button", name="Open sidebar").click()


def lose_connection(page: Page) -> None:
    """As when the server is gone: every socket closes as soon as it opens."""
    gone = [True]
    page.route_web_socket("**/ws/**", lambda socket: socket.close() if gone else socket.connect_to_server())
    page.reload()
    page.locator("#offline:not([hidden])").wait_for(timeout=20_000)
    gone.clear()


def follow_alert(page: Page) -> None:
    page.get_by_role("region", name="What fired").get_by_role("link", name="Session over 80", exact=False).first.click()


def cross_the_lines(page: Page) -> None:
    """A rule that would resolve above the line at which it opens."""
    page.get_by_label("it is at or below").fill("95")
    page.get_by_role("button", name="Save rule").click()


def drawn(template: str) -> Act:
    """A page that comes with an error: no address leads to it."""

    def act(page: Page, demo: str) -> None:
        page.route("**/drawn/", lambda route: route.fulfill(body=render_to_string(template), content_type="text/html"))
        page.goto("/drawn/")
        page.unroute("**/drawn/")

    return act


# What alice has talked about before, so that the list looks as it does after a few weeks.
SEED = f"""
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
people = get_user_model().objects
alice = people.create_superuser({USER!r}, password={PASSWORD!r}, first_name="Alice")
people.create_user("nina", password={PASSWORD!r}, first_name="Nina")
call_command("demo_session")
from chat.models import ChatSession
from tests.store.building import conversation
from tests.web.conftest import add_turn
now = timezone.now()
talks = (("Bulk order, Café Nordlicht", 0, True), ("Grinder burr size, A-7702", 0, False),
    ("Return policy wording, German", 1, False), ("Courier pickup fails for islands", 1, False),
    ("Descaling guide, CD2 series", 4, False), ("Invoice mismatch A-7688", 5, False),
    ("Water hardness by postcode", 6, False), ("Supplier terms, OPV kits", 40, False),
    ("Spare parts price list 2027", 42, False))
for title, days, unread in talks:
    made = conversation(alice, 2, title=title, words="We talked about the pump and what its repair would cost.")
    if title.startswith("Courier"):
        add_turn(made, "Which islands does the courier leave out?", "The courier does not go to",
                 status="failed", error="unavailable", stop_reason="", usage=None)
    seen = 0 if unread else 9
    ChatSession.objects.filter(pk=made.pk).update(updated_at=now - timedelta(days=days, minutes=5), seen=seen)
"""
ALL = ("light", "dark", "phone")
# Who looks: alice, somebody who has just come, or nobody who is signed in.
NEWCOMER, NOBODY = "nina", ""
BY = {"welcome": NEWCOMER, "welcome-choices": NEWCOMER, "sign-in": NOBODY, "sign-in-refused": NOBODY, "sign-up": NOBODY,
      "password": NOBODY}  # fmt: skip
PICTURES: dict[str, tuple[Act, tuple[str, ...]]] = {
    # First: after five minutes this page says that nobody evaluates the rules.
    "alerts": (go("/monitoring/alerts/"), ALL),
    "password": (go("/accounts/password/"), ALL),
    "sign-in": (go("/accounts/login/"), ALL),
    "sign-in-refused": (then("/accounts/login/", refuse), ALL),
    "sign-up": (go("/accounts/signup/"), ALL),
    "welcome": (go("/"), ALL),
    "welcome-choices": (then("/", choose), ALL),
    "chat": (go("{demo}"), ALL),
    "drawer": (then("{demo}", drawer), ("phone",)),
    "search": (then("{demo}", search), ALL),
    "failed": (then("{demo}", follow("Courier pickup fails for islands")), ALL),
    "offline": (then("{demo}", lose_connection), ALL),
    "empty": (then("/", fresh), ALL),
    "long": (then("/", fresh, say(LONG)), ALL),
    "notice": (then("{demo}", open_notice), ALL),
    "gauge": (then("{demo}", press("What the context is made of")), ALL),
    "draft": (then("{demo}", write(LONG), press("What the context is made of")), ("light",)),
    "model-view": (then("{demo}", press("What the model sees")), ALL),
    "remembered": (then("{demo}", press("What is remembered")), ALL),
    "compact": (then("{demo}", write("/compact"), lambda page: page.keyboard.press("Enter")), ALL),
    "choices": (then("{demo}", lambda page: page.locator("[popovertarget=choices]").first.click()), ALL),
    "commands": (then("{demo}", lambda page: page.get_by_role("textbox", name="Message").press_sequentially("/")),
                 ("light", "dark")),
    "shortcuts": (then("{demo}", lambda page: page.get_by_role("log").press("?")), ("light", "dark")),
    "options": (then("{demo}", press("More actions")), ALL),
    "edit": (then("{demo}", press("Edit")), ALL),
    "archive": (go("/archive/"), ALL),
    "import": (go("/import/"), ALL),
    "import-found": (then("/import/", look_into), ALL),
    "account": (go("/account/"), ALL),
    "instructions": (go("/instructions/"), ALL),
    "email": (go("/account/email/"), ALL),
    "change-password": (go("/account/password/"), ALL),
    "delete-account": (go("/account/delete/"), ALL),
    "missing": (drawn("404.html"), ALL),
    "broken": (drawn("500.html"), ALL),
    "share": (then("{demo}", press("More actions"), share), ALL),
    "shared": (then("{demo}", press("More actions"), shared), ALL),
    "attachments": (then("/", fresh, attach), ALL),
    "monitoring": (whole("/monitoring/"), ALL),
    "monitoring-sessions": (go("/monitoring/sessions/"), ALL),
    "monitoring-users": (go("/monitoring/users/"), ALL),
    "monitoring-chart": (go("/monitoring/charts/cache/"), ALL),
    "monitoring-user": (go("/monitoring/users/44/"), ALL),
    "alert": (then("/monitoring/alerts/", follow_alert), ALL),
    "alert-rule": (go("/monitoring/alerts/rules/session-over-80/"), ALL),
    "alert-rule-refused": (then("/monitoring/alerts/rules/session-over-80/", cross_the_lines), ("light", "phone")),
    "alert-test": (then("/monitoring/alerts/", press("Send a test alert")), ALL),
    "alert-runbook": (go("/monitoring/alerts/runbook/"), ALL),
    "usage": (go("/monitoring/mine/"), ALL),
    "session": (go(f"/monitoring/sessions/{PICTURED}/?turn=12"), ALL),
    **admin_pictures.PICTURES,
}  # fmt: skip


def _open(page: Page, path: str) -> None:
    answer = page.goto(path)
    # A picture of an address that is gone would be one of Django's own pages.
    assert answer is None or answer.ok, f"{path}: {answer.status}"
    if page.get_by_role("textbox", name="Message").count():
        ready(page)


WAYS = {"light": DESK, "dark": DESK | {"color_scheme": "dark"}, "phone": PHONE}


def looks(browser: Browser, site: Site, name: str) -> dict[str, Page]:
    """A page for each way of looking, signed in as this user; "": as nobody."""
    common = {"base_url": site.url, "reduced_motion": "reduce"}
    if name:
        context = browser.new_context(**common)
        page = context.new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("textbox", name="Message").wait_for()
        common["storage_state"] = context.storage_state()
    return {way: browser.new_context(**common, **options).new_page() for way, options in WAYS.items()}


def main() -> int:
    """The command. Returns the number of pictures that could not be made."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description="Make docs/screenshots anew.")
    parser.add_argument("name", nargs="*", help="only these")
    wanted = parser.parse_args().name or [*PICTURES, QUESTIONS]
    failed = 0
    WHERE.mkdir(exist_ok=True)
    if QUESTIONS in wanted:
        wanted.remove(QUESTIONS)
        story = ["-q", "tests/monitoring/test_questions_story.py", "-k", "two_interactions"]
        run = [sys.executable, "-m", "pytest", *story]
        failed += subprocess.call(run, cwd=ROOT, env=os.environ | {"QUESTIONS_IN": str(WHERE)}) != 0
    with tempfile.TemporaryDirectory(prefix="chat-screenshots-") as scratch, sync_playwright() as playwright:
        port = free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CHAT_", "DATABASE_"))}
        own = {
            "CHAT_VAR_DIR": scratch,
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "DJANGO_DEBUG": "1",
            "CHAT_STANDIN": "1",
            "CHAT_SIGNUP": "1",
            # What fired is what tests.monitoring.alarms says; one webhook that can't be reached.
            "MONITORING_LOOP": "0",
            "MONITORING_ALERT_EMAILS": "operators@example.org",
            "MONITORING_ALERT_WEBHOOKS": "http://127.0.0.1:9/",
            "DJANGO_SETTINGS_MODULE": "ctxsite.settings",
        }
        os.environ.update(own)
        django.setup()
        site = Site(url=f"http://127.0.0.1:{port}", environment=environment | own, log=Path(scratch) / "log")
        found = re.search(r"/c/\S+/", site.python(SEED + admin_pictures.SEED))
        assert found, "no demo conversation"
        if any(name.startswith(("monitoring", "session", "usage", "alert")) for name in wanted):
            site.python("from tests.monitoring import alarms, day\nday.record()\nalarms.record()")
        site.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        people = {who: looks(browser, site, who) for who in {USER, *(BY[name] for name in wanted if name in BY)}}
        # A first count by the API: before, there is no gauge.
        then("{demo}", say("What is the order number?"))(people[USER]["light"], found[0])
        for name in wanted:
            act, ways = PICTURES[name]
            for way in ways:
                page = people[BY.get(name, USER)][way]
                page.set_viewport_size((PHONE if way == "phone" else DESK)["viewport"])
                try:
                    act(page, found[0])
                    page.wait_for_timeout(SETTLE_MS)
                    page.screenshot(path=WHERE / f"{name}-{way}.png", animations="disabled")
                    # What was written for one picture is no draft of the next.
                    page.evaluate("localStorage.clear(), sessionStorage.clear()")
                except (PlaywrightError, AssertionError) as error:
                    failed += 1
                    print(f"{name}-{way}: {str(error).splitlines()[0]}", file=sys.stderr)
        browser.close()
        site.stop()
    return failed


if __name__ == "__main__":
    sys.exit(main())
