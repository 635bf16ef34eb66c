"""A session passes 80 %: the operator's page, the mailbox and the webhook learn of it once, and when it is over."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from monitoring.loop import Loop
from monitoring.models import Alert, Delivery
from tests.browser.axe import problems
from tests.monitoring import sinks
from tests.monitoring.conftest import POLL_MS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ways(settings):
    """A mail server and a webhook of our own, set up as an operator would."""
    with sinks.mail() as mail, sinks.hook() as hook:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = mail.server_address
        settings.MONITORING_ALERT_EMAILS = ["op@example.org"]
        settings.MONITORING_ALERT_WEBHOOKS = [f"http://127.0.0.1:{hook.server_port}/200"]
        settings.MONITORING_WEBHOOK_HOSTS = ["127.0.0.1"]
        yield mail, hook


def test_a_session_over_eighty_percent_is_told_acknowledged_and_resolved_once(visit, tell, session, ways):
    mail, hook = ways
    work, begun = Loop(rest=0), timezone.now()
    minute = turn = 0

    def grows_to(*shares):
        """A turn a minute with this share of the window, and the round of that minute."""
        nonlocal minute, turn
        for share in shares:
            minute, turn = minute + 1, turn + 1
            now = begun + timedelta(minutes=minute)
            tell(turn, session=session, input=int(share * 200_000), cache_read=0, cache_write=0, at=now)
            work.once(now)

    page = visit(reverse("monitoring:alerts"), by_hand=True)
    expect(page.get_by_text("Nothing has fired.")).to_be_visible()
    grows_to(0.79, 0.82, 0.79, 0.82)
    assert not Alert.objects.exists()

    grows_to(0.83)
    page.clock.run_for(POLL_MS)
    row = page.get_by_role("row", name="Session over 80")
    fired = page.get_by_role("region", name="What fired").get_by_role("row", name="session-over-80")
    expect(fired).to_contain_text("1 session over, fullest 83", timeout=15_000)  # without a reload
    expect(row.first).to_be_visible()
    expect(page.get_by_role("link", name="Alerts 1 open")).to_be_visible()
    assert problems(page) == []

    grows_to(0.79, 0.81, 0.79, 0.81, 0.80, 0.79)  # at the line
    fired.get_by_role("button", name="Acknowledge session-over-80").click()
    expect(page.get_by_role("button", name="Resolve session-over-80")).to_be_visible()
    grows_to(0.74, 0.5)
    page.reload()
    expect(fired).to_contain_text("resolved")
    assert sinks.events(hook) == ["opened", "acknowledged", "resolved"]
    assert [subject.partition(":")[0] for subject in sinks.subjects(mail)] == [
        "P2 opened",
        "P2 acknowledged",
        "P2 resolved",
    ]
    assert sinks.subjects(mail)[-1].replace("\u00a0", " ").endswith("fullest 50 %, at 75 % or below.")
    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
    assert Alert.objects.get().acknowledged_by
