"""The pictures of the administration, for `python -m tests.screenshots`: its pages on a night that went wrong."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.test_surgery import PREPARE

Act = Callable[[Page, str], None]
ALL = ("light", "dark", "phone")
LIST = "/admin/chat/chatsession/"
SEED = PREPARE


def at(path: str) -> Act:
    """Open an address; {own} is the demo conversation's page."""

    def act(page: Page, demo: str) -> None:
        page.goto(path.format(own=LIST + demo.strip("/").removeprefix("c/")))

    return act


def filled(path: str, label: str, value: str, button: str) -> Act:
    """Open an address, fill one field in, press the button."""

    def act(page: Page, demo: str) -> None:
        at(path)(page, demo)
        page.get_by_label(label).fill(value)
        page.get_by_role("button", name=button, exact=True).click()
        page.wait_for_load_state()

    return act


def previewed(page: Page, _demo: str) -> None:
    """The preview of a compaction of all that are over 80 %."""
    page.goto(f"{LIST}?q=night&over=80")
    page.get_by_role("checkbox", name="Select all objects on this page for an action").check()
    page.get_by_role("combobox", name="Action").select_option("compact")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("heading", name="What will happen").wait_for()


def watched(page: Page, demo: str) -> None:
    """And its progress: in the first picture what comes of it, in the others what is left to do."""
    previewed(page, demo)
    if page.get_by_label("Reason").count():
        page.get_by_label("Reason").fill("backlog of the night, alert backlog-age")
        page.get_by_role("button", name="Compact now").click()
        page.wait_for_url("**/admin/chat/batch/**")
        page.get_by_text("100 %.").wait_for(timeout=30_000)
    else:
        page.goto("/admin/chat/batch/")
        page.locator("#result_list tbody a").first.click()


def read(page: Page, demo: str) -> None:
    """The words of two turns, behind a reason."""
    at("{own}/change/")(page, demo)
    for box in page.get_by_role("checkbox", name="Choose turn").all()[-2:]:
        box.check()
    page.get_by_label("Reason").fill("ticket 4471: the kit that was promised")
    page.get_by_role("button", name="Read the chosen turns").click()
    page.get_by_text("Written to the audit").wait_for()


def trimmed(page: Page, demo: str) -> None:
    """The entry of a trim, which the first picture makes."""
    page.goto("/admin/chat/audit/?q=trim")
    if not page.locator("#result_list").count():
        filled("{own}/operate/trim/", "Turns to keep", "4", "Preview")(page, demo)
        page.get_by_label("Reason").fill("ticket 4471: it answers from what is long over")
        page.locator(".confirm .default").click()
        page.locator("#audit").wait_for()
        page.goto("/admin/chat/audit/?q=trim")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("heading", name="Before and after").wait_for()


def untrimmed(page: Page, demo: str) -> None:
    """What taking it back would do."""
    trimmed(page, demo)
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("heading", name="What will happen").wait_for()


REDACT = filled("{own}/operate/redact/", "Turns", "3", "Preview")


def redacted(path: str) -> Act:
    """Open an address once the third turn's words are gone; the first picture removes them, for good."""

    def act(page: Page, demo: str) -> None:
        at("{own}/turn/3/")(page, demo)
        if not page.get_by_text("removed for good").count():
            REDACT(page, demo)
            page.get_by_label("Reason").fill("ticket 4480: a card number was pasted")
            page.locator(".confirm .default").click()
            page.locator("#audit").wait_for()
        page.goto(path.format(own=LIST + demo.strip("/").removeprefix("c/"), demo=demo))
        page.get_by_text("removed").first.scroll_into_view_if_needed()

    return act


PICTURES: dict[str, tuple[Act, tuple[str, ...]]] = {
    "admin-sessions": (at(f"{LIST}?q=night"), ALL),
    "admin-none": (at(f"{LIST}?trouble=stuck"), ("light", "phone")),
    "admin-session": (at("{own}/change/"), ALL),
    "admin-turn": (at("{own}/turn/3/"), ALL),
    "admin-trim": (filled("{own}/operate/trim/", "Turns to keep", "4", "Preview"), ALL),
    "admin-refused": (filled("{own}/operate/pin/", "Turns", "the third", "Preview"), ("light", "phone")),
    "admin-compact-many": (previewed, ALL),
    "admin-progress": (watched, ALL),
    "admin-switches": (at("/admin/chat/switches/"), ALL),
    "admin-audit": (at("/admin/chat/audit/"), ALL),
    "admin-reveal": (read, ALL),
    "admin-entry": (trimmed, ALL),
    "admin-undo": (untrimmed, ALL),
    # Last: nothing brings these words back.
    "admin-redact": (REDACT, ALL),
    "admin-redacted": (redacted("{own}/turn/3/"), ALL),
    "redacted": (redacted("{demo}"), ALL),
}
