"""Make every picture in docs/screenshots anew. `python -m tests.screenshots [NAME ...]`

A site of its own with the demo conversation, a real browser; each picture is a page as somebody would meet it: light
and dark on a desk, on a phone, with long texts, empty, and in error. With names, only those pictures.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.browser.conftest import ARGUMENTS, CHROMIUM, PASSWORD, ROOT, USER, Site, free_port, ready, send

WHERE = ROOT / "docs" / "screenshots"
DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
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


ALL = ("light", "dark", "phone")
PICTURES: dict[str, tuple[Act, tuple[str, ...]]] = {
    "password": (go("/accounts/password/reset/"), ALL),
    "chat": (go("{demo}"), ALL),
    "empty": (then("/", fresh), ALL),
    "long": (then("/", fresh, say(LONG)), ("light", "phone")),
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
    "edit": (then("{demo}", press("Edit")), ("light", "phone")),
    "archive": (go("/archive/"), ALL),
    "import": (go("/import/"), ALL),
    "account": (go("/account/"), ALL),
    "instructions": (go("/instructions/"), ALL),
    "missing": (go("/c/00000000-0000-4000-8000-000000000000/"), ALL),
    "monitoring": (go("/monitoring/"), ALL),
    "session": (lambda page, demo: _open(page, "/monitoring" + demo.replace("/c/", "/sessions/")), ("light", "dark")),
}  # fmt: skip


def _open(page: Page, path: str) -> None:
    page.goto(path)
    if page.get_by_role("textbox", name="Message").count():
        ready(page)


def looks(browser: Browser, site: Site, state: str) -> dict[str, Page]:
    """A page for each way of looking, signed in."""
    ways = {"light": DESK, "dark": DESK | {"color_scheme": "dark"}, "phone": PHONE}
    return {
        name: browser.new_context(base_url=site.url, storage_state=state, reduced_motion="reduce", **options).new_page()
        for name, options in ways.items()
    }


def signed_in(browser: Browser, site: Site, file: str) -> str:
    """Sign in once; the file with the browser's state."""
    page = browser.new_context(base_url=site.url).new_page()
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/c/*/")
    page.context.storage_state(path=file)
    return file


def main() -> int:
    """The command. Returns the number of pictures that could not be made."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description="Make docs/screenshots anew.")
    parser.add_argument("name", nargs="*", help="only these")
    wanted = parser.parse_args().name or list(PICTURES)
    failed = 0
    WHERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chat-screenshots-") as scratch, sync_playwright() as playwright:
        port = free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CHAT_", "DATABASE_"))}
        own = {
            "CHAT_VAR_DIR": scratch,
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "DJANGO_DEBUG": "1",
            "CHAT_STANDIN": "1",
        }
        site = Site(url=f"http://127.0.0.1:{port}", environment=environment | own, log=Path(scratch) / "log")
        site.python(
            "from django.contrib.auth import get_user_model\n"
            "from django.core.management import call_command\n"
            "call_command('migrate', verbosity=0)\n"
            f"get_user_model().objects.create_superuser({USER!r}, password={PASSWORD!r}, first_name='Alice')"
        )
        found = re.search(r"/c/\S+/", site.run("demo_session"))
        assert found, "no demo conversation"
        site.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        pages = looks(browser, site, signed_in(browser, site, f"{scratch}/state.json"))
        # A first count by the API: before, there is no gauge.
        then("{demo}", say("Is my machine still under warranty?"))(pages["light"], found[0])
        for name in wanted:
            act, ways = PICTURES[name]
            for way in ways:
                page = pages[way]
                try:
                    act(page, found[0])
                    page.wait_for_timeout(SETTLE_MS)
                    page.screenshot(path=WHERE / f"{name}-{way}.png", animations="disabled")
                except (PlaywrightError, AssertionError) as error:
                    failed += 1
                    print(f"{name}-{way}: {str(error).splitlines()[0]}", file=sys.stderr)
        browser.close()
        site.stop()
    return failed


if __name__ == "__main__":
    sys.exit(main())
