"""One's own account, from the sign-up to a forgotten password, told in a real browser."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

NAME, ADDRESS = "wanderer", "wanderer@example.org"
FIRST, SECOND = "a long quiet river", "an even longer river"
ARRIVES_WITHIN_S = 15


def link_in_letter(site, path: str) -> str:
    """The newest link to a page below `path` in a letter: on a site without a mail server they go to its log."""
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while time.monotonic() < deadline:
        if found := re.findall(rf"http://\S+({path}\S+)", site.log.read_text()):
            return found[-1]
        time.sleep(0.1)
    raise AssertionError(f"no letter with a link to {path}")


def enter(page: Page, password: str) -> None:
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name=f"Hello, {NAME}")).to_be_visible()


def test_from_the_sign_up_to_a_forgotten_password(visit, site):
    page = visit("/accounts/login/", anonymous=True, base_url=site.url)
    page.get_by_role("link", name="Make an account").click()
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Password", exact=True).fill(FIRST)
    page.get_by_label("Password, once more").fill(FIRST)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("link", name="Account").click()

    # An address holds once the link that was sent there was followed.
    page.get_by_role("link", name="Add an address").click()
    page.get_by_label("New address").fill(ADDRESS)
    page.get_by_label("Your password").fill(FIRST)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_text(f"Waiting for {ADDRESS}")).to_be_visible()
    page.goto(link_in_letter(site, "/account/email/"))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text(f"Your address is {ADDRESS}.")).to_be_visible()

    # Another browser is seen, and signed out from here.
    other = visit("/accounts/login/", anonymous=True, base_url=site.url)
    enter(other, FIRST)
    page.reload()
    page.get_by_role("button", name=re.compile("^Sign out .")).first.click()
    expect(page.get_by_role("button", name=re.compile("^Sign out .."))).to_have_count(0)
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()

    # What is old goes by itself, after as many days as one likes.
    days = page.get_by_label("Delete conversations after so many days")
    days.fill("45")
    page.locator("#h-keep + form button").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(days).to_have_value("45")

    # A password that was forgotten is replaced; every browser is signed out by that.
    other.get_by_role("link", name="Forgot your password?").click()
    other.get_by_label("E-mail").fill(ADDRESS)
    other.get_by_role("button", name="Send the link").click()
    expect(other.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    other.goto(link_in_letter(site, "/accounts/password/"))
    other.get_by_label("New password", exact=True).fill(SECOND)
    other.get_by_label("New password, once more").fill(SECOND)
    other.get_by_role("button", name="Change password").click()
    other.get_by_role("link", name="Sign in").click()
    enter(other, SECOND)
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
