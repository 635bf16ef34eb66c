"""Every page of monitoring by axe-core, in light and dark, and whether it fits a screen of any width."""

from datetime import timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from monitoring.models import Alert
from monitoring.urls import urlpatterns
from tests.browser.axe import everywhere
from tests.monitoring import alarms, asking

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NO_PAGES = {"alert_test", "alert_acknowledge", "alert_resolve"}
"""They only take a POST. What ends in .csv is no page either."""
ARGUMENTS = {
    "chart": ["cache"],
    "session": [asking.FORGETFUL],
    "user": [7],
    "alert_rule": ["session-over-80"],
}
QUERY = {"session": "?turn=12", "index": "?span=1h", "sessions": "?state=over80"}


def pages() -> dict[str, str]:
    """The address of every page, by its name: a new one is looked at without being named here."""
    names = {pattern.name for pattern in urlpatterns} - NO_PAGES
    given = ARGUMENTS | {"alert": [Alert.objects.filter(session__isnull=False).order_by("pk")[0].pk]}
    return {
        name: reverse(f"monitoring:{name}", args=given.get(name)) + QUERY.get(name, "")
        for name in sorted(names)
        if not name.endswith("_csv")
    }


def test_every_page_is_accessible_and_fits(then, visit):
    asking.afternoon()
    long = {"model": "claude-opus-4-6-of-a-name-that-nobody-remembers", "strategy": "sliding_window", "user": 10**12}
    asking.call(asking.LOST, 10, timedelta(minutes=3), **long)
    alarms.record()
    usual = {"width": 1280, "height": 800}  # with all filters in sight
    page, found = visit("/monitoring/mine/", color_scheme="light", viewport=usual), {}
    for name, address in pages().items():
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found[name] = [*everywhere(page), *(["sticks out of 1280 pixels"] if wide else [])]
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("letters", [16, 24, 32], ids=lambda size: f"{size} pixels")
def test_what_is_chosen_from_fits_the_narrowest_phone_in_letters_of_any_size(visit, letters):
    """A select is as wide as its longest option, in whatever font a phone has."""
    alarms.record()
    page = visit("/monitoring/alerts/", viewport={"width": 320, "height": 800})
    given = pages()
    for name in ("alerts", "alert_rule", "alert_rule_new"):
        page.goto(given[name])
        page.evaluate("size => { document.documentElement.style.fontSize = `${size}px` }", letters)
        out = page.evaluate("""[...document.querySelectorAll("select")]
            .filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.name)""")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert (name, out, wide) == (name, [], 0)
