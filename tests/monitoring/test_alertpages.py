"""The pages of alerts: who may look, who may act, and what is refused."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from monitoring import alerting
from monitoring.models import Alert, AlertRule, Delivery, Progress

pytestmark = pytest.mark.django_db

LOOK = ("view_modelcall",)
FORM = {
    "limit": "85", "resolve": "70", "opens_after": "3", "resolves_after": "2", "period_s": "3600", "minimum": "1",
    "each": "", "severity": "P1", "repeat_s": "3600", "email": "on", "enabled": "on",
}  # fmt: skip


@pytest.fixture
def staff(client, django_user_model):
    def staff(*permissions, is_staff=True):
        user = django_user_model.objects.create_user(f"op{len(permissions)}{is_staff}", is_staff=is_staff)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return user

    return staff


@pytest.fixture
def alert():
    rule = AlertRule.objects.get(code="session-over-80")
    return Alert.objects.create(
        rule=rule, key=rule.code, severity="P2", limit=80, value=91.2, peak=91.2, count=4, opened_at=timezone.now(),
        session="2b71f4aa-0000-4000-8000-000000000001",
    )  # fmt: skip


def pages(alert):
    return [
        reverse("monitoring:alerts"),
        reverse("monitoring:alerts_csv"),
        reverse("monitoring:alert_runbook"),
        reverse("monitoring:alert", args=[alert.pk]),
        reverse("monitoring:alert_rule", args=["spend"]),
        reverse("monitoring:alert_rule_new"),
    ]


def actions(alert):
    return [
        reverse("monitoring:alert_acknowledge", args=[alert.pk]),
        reverse("monitoring:alert_resolve", args=[alert.pk]),
        reverse("monitoring:alert_test"),
        reverse("monitoring:alert_rule", args=["spend"]),
        reverse("monitoring:alert_rule_new"),
    ]


def test_staff_with_the_permission_look_and_nobody_else(client, staff, alert):
    assert {client.get(page).status_code for page in pages(alert)} == {302}
    staff(*LOOK, is_staff=False)
    assert {client.get(page).status_code for page in pages(alert)} == {403}
    staff()
    assert {client.get(page).status_code for page in pages(alert)} == {403}
    staff(*LOOK)
    assert {client.get(page).status_code for page in pages(alert)} == {200}
    assert {client.post(page).status_code for page in actions(alert)} == {403}
    assert Alert.objects.get().state == "open"


def test_an_alert_is_acknowledged_and_resolved_by_who_may(client, staff, alert):
    user = staff(*LOOK, "handle_alert")
    page = client.get(reverse("monitoring:alerts")).content.decode()
    assert "4 sessions over, fullest 91.2\xa0%" in page
    assert re.search(r"Acknowledge<span class=.sr.> session-over-80", page)
    assert client.get(actions(alert)[0]).status_code == 405
    client.post(actions(alert)[0])
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", user.pk)
    assert f"user {user.pk} at" in client.get(reverse("monitoring:alerts")).content.decode()
    client.post(actions(alert)[1], {"from": "alert"})
    alert.refresh_from_db()
    assert (alert.state, alert.resolved_by) == ("resolved", user.pk)
    assert "resolved already" in client.post(actions(alert)[1], follow=True).content.decode()


def test_a_rule_is_saved_with_an_entry_in_the_log_and_begins_anew(client, staff):
    user = staff(*LOOK, "change_alertrule")
    AlertRule.objects.update(standing={"session-over-80": [1, 0]}, evaluated_at=timezone.now())
    page = reverse("monitoring:alert_rule", args=["session-over-80"])
    assert client.post(page, FORM).status_code == 302
    rule = AlertRule.objects.get(code="session-over-80")
    assert (rule.limit, rule.resolve, rule.severity, rule.webhook, rule.standing) == (85, 70, "P1", False, {})
    assert rule.evaluated_at is None
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (user.pk, str(rule.pk))
    assert "limit" in entry.change_message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limit": "101"}, "At most 100."),
        ({"limit": "-1"}, "Not below 0."),
        ({"resolve": "86"}, "It resolves at or below the line"),
        ({"opens_after": "0"}, "From 1 to 60."),
        ({"each": "model"}, "This measure has one alert for all."),
    ],
)
def test_lines_that_make_no_sense_are_refused_with_a_reason_and_nothing_is_saved(client, staff, given, says):
    staff(*LOOK, "change_alertrule")
    answer = client.post(reverse("monitoring:alert_rule", args=["session-over-80"]), FORM | given)
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert AlertRule.objects.get(code="session-over-80").limit == 80


def test_switching_a_rule_off_ends_what_it_had_open(client, staff, alert):
    staff(*LOOK, "change_alertrule")
    form = {name: value for name, value in FORM.items() if name != "enabled"}
    client.post(reverse("monitoring:alert_rule", args=["session-over-80"]), form)
    assert Alert.objects.get().state == "resolved"


def test_a_rule_of_ones_own_gets_a_code_of_its_own(client, staff):
    staff(*LOOK, "add_alertrule")
    for _ in range(2):
        assert client.post(reverse("monitoring:alert_rule_new"), FORM | {"measure": "session"}).status_code == 302
    assert set(AlertRule.objects.filter(measure="session").values_list("code", flat=True)) == {
        "session-over-80", "session-1", "session-2",
    }  # fmt: skip


def test_a_change_is_rehearsed_before_it_is_saved(client, staff, tell):
    staff(*LOOK, "change_alertrule")
    tell(input=150_000, cache_read=0, cache_write=0, at=timezone.now() - timezone.timedelta(hours=5))
    page = reverse("monitoring:alert_rule", args=["session-over-80"])
    assert "Would not have fired in 7 days." in client.get(page).content.decode()
    asked = client.get(page, FORM | {"limit": "72"}, headers={"HX-Request": "true"}).content.decode()
    assert "Would have fired once in 7 days." in asked
    assert "<html" not in asked
    assert AlertRule.objects.get(code="session-over-80").limit == 80


def test_the_test_button_says_what_came_of_it(client, staff, settings, mailoutbox):
    staff(*LOOK, "handle_alert")
    page = reverse("monitoring:alert_test")
    assert "Nobody is set up to be told" in client.post(page, follow=True).content.decode()
    settings.MONITORING_ALERT_EMAILS = ["op@example.org"]
    settings.MONITORING_ALERT_WEBHOOKS = ["http://127.0.0.1:9/"]
    answer = client.post(page, follow=True).content.decode()
    assert "Test by e-mail: arrived." in answer
    assert "Test by webhook: did not arrive: the address is private" in answer
    assert len(mailoutbox) == 1
    assert Delivery.objects.filter(event="test").count() == 2


def test_a_poll_without_news_is_nothing(client, staff, alert):
    staff(*LOOK)
    page = client.get(reverse("monitoring:alerts")).content.decode()
    stamp = re.search(r"stamp=([^&\"]+)", page)[1]
    assert client.get(reverse("monitoring:alerts"), {"stamp": stamp}).status_code == 204
    overview = re.search(r"stamp=([^&\"]+)", client.get(reverse("monitoring:index")).content.decode())[1]
    assert client.get(reverse("monitoring:index"), {"stamp": overview}).status_code == 204
    Alert.objects.update(acknowledged_at=timezone.now(), state="acknowledged")
    assert client.get(reverse("monitoring:alerts"), {"stamp": stamp}).status_code == 200
    assert client.get(reverse("monitoring:index"), {"stamp": overview}).status_code == 200


def test_the_page_says_when_nobody_evaluates_or_has_not_yet(client, staff):
    staff(*LOOK)
    assert "The rules were not evaluated yet." in client.get(reverse("monitoring:alerts")).content.decode()
    for minutes, said in ((6, True), (4, False)):
        at = timezone.now() - timezone.timedelta(minutes=minutes)
        Progress.objects.update_or_create(pk=alerting.ALERTS, defaults={"done_at": at, "seconds": 0.1})
        words = client.get(reverse("monitoring:alerts")).content.decode()
        assert ("Nobody evaluates the rules." in words) == said


def test_the_lines_of_alerts_are_those_that_are_chosen_and_the_file_says_so(client, staff, alert):
    staff(*LOOK)
    for chosen, name, lines in (("", "alerts", 2), ("?severity=P0&rule=spend&state=odd", "alerts-P0-spend", 1)):
        answer = client.get(reverse("monitoring:alerts_csv") + chosen)
        assert f'filename="{name}.csv"' in answer.headers["Content-Disposition"]
        assert len(answer.content.splitlines()) == lines
