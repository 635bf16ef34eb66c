"""Rules against what was recorded: alerts open, are told, acknowledged and resolved, each once."""

import json
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from monitoring import alerting, hindsight, measures, recording, rollups
from monitoring.models import Alert, AlertRule, Delivery, Progress

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _told(settings, monkeypatch):
    settings.MONITORING_ALERT_EMAILS = ["op@example.org"]
    settings.MONITORING_ALERT_WEBHOOKS = ["https://hooks.example.org/a", "https://hooks.example.org/b"]
    monkeypatch.setattr(recording, "_sources", {"jobs": lambda: {"backlog": 0, "oldest_s": 0}})


@pytest.fixture
def now():
    return datetime(2026, 11, 22, 12, 7, tzinfo=UTC)


def only(*codes):
    AlertRule.objects.exclude(code__in=codes).update(enabled=False)


def fill(tell, share, at, session=None, number=1, **given):
    size = int(share * 200_000)
    tell(number, session=session or uuid4(), input=size, cache_read=0, cache_write=0, at=at, **given)


def test_a_session_over_the_line_is_one_alert_from_opening_to_resolution(tell, now, session):
    only("session-over-80")
    fill(tell, 0.83, now, session)
    fill(tell, 0.91, now)
    assert alerting.evaluate(now).opened == 0
    # Asked again at once, it is still one evaluation.
    assert alerting.evaluate(now + timedelta(seconds=20)).rules == 0
    assert alerting.evaluate(now + MINUTE).opened == 1
    alert = Alert.objects.get()
    assert (alert.key, alert.severity, alert.count, round(alert.value, 1)) == ("session-over-80", "P2", 2, 91.0)
    assert alert.session != session
    assert sorted(Delivery.objects.values_list("channel", "target", "event")) == [
        ("email", 0, "opened"), ("webhook", 0, "opened"), ("webhook", 1, "opened"),
    ]  # fmt: skip
    assert alerting.open_count() == 1
    assert alerting.acknowledge(alert.pk, 5, now + 2 * MINUTE)
    assert not alerting.acknowledge(alert.pk, 6, now + 2 * MINUTE)
    assert alerting.open_count() == 0
    fill(tell, 0.4, now + 2 * MINUTE, alert.session, 2)
    fill(tell, 0.76, now + 2 * MINUTE, session, 2)
    for minutes in (3, 4, 5):
        assert alerting.evaluate(now + minutes * MINUTE).resolved == 0  # 76 % is between the lines
    fill(tell, 0.5, now + 5 * MINUTE, session, 3)
    alerting.evaluate(now + 6 * MINUTE)
    assert alerting.evaluate(now + 7 * MINUTE).resolved == 1
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by, alert.resolved_by, round(alert.peak, 1)) == ("resolved", 5, None, 91.0)
    assert set(Delivery.objects.values_list("event", flat=True)) == {"opened", "acknowledged", "resolved"}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deed", ["acknowledge", "resolve"])
def test_what_somebody_does_while_a_rule_is_evaluated_is_not_undone_by_it(tell, now, session, monkeypatch, deed):
    only("session-over-80")
    fill(tell, 0.91, now, session)
    alerting.evaluate(now)
    alerting.evaluate(now + MINUTE)
    alert, decide = Alert.objects.get(), alerting.alerts.decide
    somebody: list[int] = []
    did: list[bool] = []

    def act():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                somebody.append(cursor.fetchone()[0])
            did.append(getattr(alerting, deed)(alert.pk, 5, now + 2 * MINUTE))
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)

    def waits():
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", somebody)
            return cursor.fetchone()[0]

    def meanwhile(*given):
        """What is decided rests on what was read; what was decided is not saved yet."""
        thread.start()
        while thread.is_alive() and not (somebody and waits()):
            thread.join(0.01)
        return decide(*given)

    monkeypatch.setattr(alerting.alerts, "decide", meanwhile)
    fill(tell, 0.95, now + 2 * MINUTE, session, 2)
    alerting.evaluate(now + 2 * MINUTE)
    thread.join(60)
    assert did == [True]
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.resolved_by) == ((5, None) if deed == "acknowledge" else (None, 5))
    assert alert.state == ("acknowledged" if deed == "acknowledge" else "resolved")
    assert round(alert.peak) == 95, "and what was measured is not lost either"


def test_each_session_may_have_an_alert_of_its_own(tell, now, session):
    only("session-over-80")
    AlertRule.objects.filter(code="session-over-80").update(each="session", opens_after=1)
    fill(tell, 0.85, now, session)
    fill(tell, 0.95, now, UUID(int=9))
    assert alerting.evaluate(now).opened == 2
    assert set(Alert.objects.values_list("key", "session")) == {
        (f"session-over-80:{session}", session), (f"session-over-80:{UUID(int=9)}", UUID(int=9)),
    }  # fmt: skip


def test_a_second_unresolved_alert_of_one_key_can_not_be_written(now):
    rule = AlertRule.objects.get(code="spend")
    values = {"rule": rule, "key": "spend", "severity": "P2", "limit": 1, "value": 2, "peak": 2, "opened_at": now}
    Alert.objects.create(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.filter(key="spend").update(state="resolved")
    Alert.objects.update(state="resolved", resolved_at=now)
    Alert.objects.create(**values)


def test_the_mean_needs_five_sessions_of_the_last_quarter_of_an_hour(tell, now):
    rule = AlertRule.objects.get(code="mean-over-70")
    for _ in range(4):
        fill(tell, 0.9, now)
    fill(tell, 0.9, now - 16 * MINUTE)
    assert measures.read(rule, now) == []
    fill(tell, 0.5, now)
    (reading,) = measures.read(rule, now)
    assert (round(reading.value, 1), reading.count) == (82.0, 5)


def test_what_happens_to_contexts_and_calls_is_measured(tell, happen, now):
    def reading(code):
        found = measures.read(AlertRule.objects.get(code=code), now)
        return [(round(one.value, 2), one.count, one.of) for one in found]

    for number in (3, 3, 4):
        happen(number, kind="rung", at=now - MINUTE)
    happen(5, kind="rung", at=now - timedelta(hours=2))
    assert reading("overflow-recovery") == [(2, 2, "")]
    assert reading("gate-failures") == []
    for number in range(9):
        happen(number, at=now - MINUTE)
    happen(9, kind="gate_rejected", outcome="rejected", at=now - MINUTE)
    assert reading("gate-failures") == [(10.0, 1, "")]
    happen(0, kind="upstream", session=None, user=None, outcome="breaker_opened", code="overloaded", at=now - MINUTE)
    assert reading("upstream-trouble") == [(1, 1, "")]
    for number in range(60):
        tell(number, at=now - 2 * MINUTE, outcome="overloaded" if number < 3 else "ok", session=None)
    assert reading("error-rate") == [(5.0, 3, "")]
    assert reading("spend")[0][0] > 0
    recording.register_source("jobs", lambda: {"backlog": 4, "oldest_s": 720})
    assert reading("backlog-age") == [(12.0, 4, "")]


def test_the_hit_rate_is_compared_with_seven_days_model_by_model(tell, now):
    for day in range(1, 7):
        tell(at=now - timedelta(days=day), session=None)
    for number in range(60):
        tell(number, at=now - timedelta(minutes=30), session=None, input=5_500, cache_read=3_500)
        tell(number, at=now - timedelta(minutes=30), session=None, model="somebody-elses")
    rollups.roll(now)
    (reading,) = measures.read(AlertRule.objects.get(code="cache-drop"), now)
    assert (round(reading.value, 1), reading.of) == (45.0, "claude-opus-4-6")


@pytest.mark.parametrize(
    ("code", "source"), [("backlog-age", {}), ("spend", None)], ids=["no answer", "no price is known"]
)
def test_what_can_not_be_known_opens_and_resolves_nothing(tell, now, monkeypatch, code, source):
    only(code)
    monkeypatch.setattr(recording, "_sources", {"jobs": lambda: source or {}})
    tell(model="somebody-elses", at=now - MINUTE)
    rule = AlertRule.objects.get(code=code)
    Alert.objects.create(rule=rule, key=code, severity="P2", limit=1, value=2, peak=2, opened_at=now, told_at=now)
    evaluated = alerting.evaluate(now)
    assert (evaluated.unknown, evaluated.resolved) == ((code,), 0)
    assert Alert.objects.get().resolved_at is None


def test_spend_today_counts_from_midnight_and_only_what_has_a_price(tell, now):
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tell(at=midnight - MINUTE, session=None, output=1_000_000)
    tell(at=midnight, session=None, output=1_000_000)
    tell(at=midnight, session=None, output=1_000_000, model="somebody-elses")
    (reading,) = measures.read(AlertRule.objects.get(code="spend"), midnight + MINUTE)
    assert (round(reading.value), reading.count) == (25, 2)


def test_hindsight_reads_the_last_seven_days(tell, happen, now):
    noon = (now - timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)
    for minutes in range(0, 30, 5):
        fill(tell, 0.86 if minutes == 10 else 0.5, noon + timedelta(minutes=minutes), UUID(int=1), minutes + 1)
    happen(kind="rung", at=noon)
    rollups.roll(now)
    rule = AlertRule.objects.get(code="session-over-80")

    def seen():
        readings, step = hindsight.history(rule, now)
        assert step == 5 * MINUTE
        return {(at - noon) // MINUTE: round(value) for at, value in readings if value is not None}

    # Within an hour of the call the session counts as it was.
    assert seen() == {at: 86 if 15 <= at <= 70 else 50 for at in range(5, 90, 5)}
    rule.measure, rule.period_s, rule.minimum = "mean", 900, 3
    assert seen() == {at: 62 if at < 30 else 50 for at in (15, 20, 25, 30)}
    rule.minimum = 4
    assert seen() == {}
    counts, _ = hindsight.history(AlertRule.objects.get(code="overflow-recovery"), now)
    assert sum(value or 0 for _, value in counts) == 12  # an hour of five minutes


def test_the_default_rules_are_there_and_one_that_was_changed_stays_changed():
    AlertRule.objects.filter(code="spend").update(limit=7, resolve=7)
    AlertRule.objects.filter(code="backlog-age").delete()
    alerting.install()
    assert AlertRule.objects.count() == 9
    assert AlertRule.objects.get(code="spend").limit == 7


@pytest.mark.parametrize(
    ("severity", "code"), [("P3", 1), ("P2", 1), ("P1", 2), ("P0", 2)], ids=lambda given: str(given)
)
def test_check_alerts_says_by_its_exit_code_how_bad_it_is(tell, settings, severity, code):
    settings.MONITORING_ALERT_WEBHOOKS = []
    only("session-over-80")
    AlertRule.objects.filter(code="session-over-80").update(opens_after=1, severity=severity)
    out = StringIO()
    with pytest.raises(SystemExit) as fine:
        call_command("check_alerts", stdout=StringIO())
    fill(tell, 0.9, timezone.now())
    AlertRule.objects.update(evaluated_at=None)
    with pytest.raises(SystemExit) as bad:
        call_command("check_alerts", "--json", stdout=out)
    assert (fine.value.code, bad.value.code) == (0, code)
    told = json.loads(out.getvalue())
    assert [one["key"] for one in told["unresolved"]] == ["session-over-80"]
    assert told["sent"] == 1
    assert Progress.objects.get(pk="alerts").done_at


def test_check_alerts_says_when_it_can_not_know(monkeypatch):
    only("backlog-age")
    monkeypatch.setattr(recording, "_sources", {})
    out = StringIO()
    with pytest.raises(SystemExit) as unknown:
        call_command("check_alerts", stdout=out)
    assert unknown.value.code == 3
    assert "backlog-age could not be evaluated" in out.getvalue()
