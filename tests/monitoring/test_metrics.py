"""/metrics: what is recorded is counted, by few labels, for those who may read it, in a format that parses."""

import urllib.error
import urllib.request
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, transaction
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from monitoring import exposing, recording
from monitoring.metrics import MOST_MODELS, Metrics
from monitoring.models import Alert, AlertRule
from monitoring.standing import Standing

# What tells one person or one conversation from another.
NAMING = {"user", "session", "turn", "call", "title", "text"}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Metrics that nobody else counts in, and that keep the process's own from counting."""
    counting = Metrics()
    monkeypatch.setattr(recording, "_listeners", [counting.heard])
    return counting


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.django_db
def test_a_call_is_counted_by_purpose_model_and_outcome_with_its_tokens_and_times(
    tell, own, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        tell(1, model="claude-opus-4-6", miss_cause="expired")
        tell(2, model="claude-opus-4-6", outcome="overloaded", stop_reason="", first_ms=None)
        tell(3, purpose="summary", model="unheard-of")
    model = {"purpose": "reply", "model": "claude-opus-4-6"}
    assert sample(own, "chat_calls_total", **model, outcome="ok") == 1
    assert sample(own, "chat_calls_total", **model, outcome="overloaded") == 1
    counted = {
        kind: sample(own, "chat_tokens_total", **model, kind=kind)
        for kind in ("input", "cache_read", "cache_write", "output")
    }
    assert counted == {"input": 2_000, "cache_read": 16_000, "cache_write": 2_000, "output": 1_000}
    assert sample(own, "chat_cost_dollars_total", **model) > 0
    assert sample(own, "chat_unpriced_calls_total", model="unheard-of") == 1
    assert sample(own, "chat_cache_misses_total", cause="expired") == 1
    assert sample(own, "chat_replies_total", stop_reason="end_turn") == 1
    assert sample(own, "chat_first_token_seconds_count", model="claude-opus-4-6") == 1
    assert sample(own, "chat_call_seconds_sum", purpose="summary") == 4
    assert sample(own, "chat_reply_utilisation_ratio_bucket", le="0.1") == 2
    assert sample(own, "chat_estimate_error_ratio_bucket", le="0.05") == 2


@pytest.mark.django_db
def test_a_compaction_is_counted_with_what_it_replaced(happen, own, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        happen(1)
        happen(2, kind="gate_rejected", outcome="rejected", code="blank")
    assert sample(own, "chat_context_events_total", kind="compaction", outcome="ok", code="soft") == 1
    assert sample(own, "chat_context_events_total", kind="gate_rejected", outcome="rejected", code="blank") == 1
    assert sample(own, "chat_compacted_tokens_total", side="before") == 60_000
    assert sample(own, "chat_compaction_seconds_sum") == 4.2


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_never_happened(tell, own):
    with transaction.atomic():
        tell(1)
        transaction.set_rollback(True)
    assert "chat_calls_total{" not in exposing.generate_latest(own.registry).decode()
    tell(1)
    assert sample(own, "chat_calls_total", purpose="reply", model="claude-opus-4-6", outcome="ok") == 1


@pytest.mark.django_db
def test_however_many_models_and_codes_come_the_series_stay_few_and_name_nobody(
    tell, happen, own, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(60):
            tell(number, model=f"model-{number}", outcome=f"code-{number}", user=number)
            happen(number, code=f"code-{number}")
    names = {name for family in own.registry.collect() for one in family.samples for name in one.labels}
    assert names & NAMING == set()
    models = {one.labels["model"] for one in own.calls.collect()[0].samples}
    assert len(models) == MOST_MODELS + 1
    assert "other" in models
    assert sum(one.value for one in own.calls.collect()[0].samples) == 60


@pytest.mark.django_db
def test_the_page_parses_in_both_formats_and_shows_sessions_alerts_and_sources(tell, client, settings, monkeypatch):
    settings.MONITORING_METRICS_TOKEN = "letmein"
    recording.register_source("hub", lambda: {"live_turns": 3})
    monkeypatch.setattr("monitoring.standing.HOLD_S", 0.0)
    for number, size in enumerate((1_000, 150_000, 170_000), 1):
        tell(
            number, session=f"2b71f4aa-0000-4000-8000-00000000000{number}", at=timezone.now(), input=size, cache_read=0
        )
    rule = AlertRule.objects.create(code="planted", measure="mean", severity="P1", limit=70, resolve=65)
    Alert.objects.create(rule=rule, key="planted", severity="P1", limit=70, value=75, peak=75, opened_at=timezone.now())
    headers = {"authorization": "Bearer letmein"}
    for accept, parser in (("", plain), ("application/openmetrics-text", open_metrics)):
        answer = client.get("/metrics", headers=headers | {"accept": accept})
        found = {
            (one.name, *one.labels.values()): one.value
            for family in parser(answer.content.decode())
            for one in family.samples
        }
        assert found[("chat_database_up",)] == 1
        assert found[("chat_hub_live_turns",)] == 3
        assert found[("chat_alerts", "P1", "open")] == 1
        assert [found["chat_sessions_active", over] for over in ("0", "0.7", "0.8")] == [3, 2, 1]
        assert found[("process_resident_memory_bytes",)] > 0


@pytest.mark.django_db
def test_the_token_or_an_operator_gets_in_and_nobody_else(client, settings, alice, olga, django_user_model):
    def ask(token: str | None = None) -> int:
        return client.get(
            "/metrics", headers={"authorization": f"Bearer {token}"} if token is not None else {}
        ).status_code

    assert [ask(), ask(""), ask("guess")] == [401, 401, 401]
    settings.MONITORING_METRICS_TOKEN = "s3cret"
    assert [ask(), ask(""), ask("guess"), ask("s3cret")] == [401, 401, 401, 200]
    client.force_login(alice)
    assert ask() == 403
    client.force_login(django_user_model.objects.create_user("clerk", is_staff=True))
    assert ask() == 403
    client.force_login(olga)
    assert ask() == 200
    assert client.post("/metrics").status_code == 405


def test_with_the_database_away_the_counters_are_still_told():
    def away() -> dict[str, Any]:
        raise OperationalError

    [up, *_] = Standing(away).collect()
    assert (up.name, up.samples[0].value) == ("chat_database_up", 0)


def test_the_database_is_asked_once_however_many_scrape():
    asked, now = [], [0.0]
    standing = Standing(lambda: asked.append(1) or {"levels": {}, "mean": 0, "alerts": {}}, clock=lambda: now[0])
    for _ in range(5):
        list(standing.collect())
    assert len(asked) == 1
    now[0] = 60.0
    list(standing.collect())
    assert len(asked) == 2


@pytest.mark.django_db(transaction=True)
def test_a_process_without_pages_has_a_door_with_the_same_lock(settings, monkeypatch):
    made = []
    monkeypatch.setattr(exposing, "_Server", lambda *given: made.append(SERVER(*given)) or made[0])
    settings.MONITORING_METRICS_ADDRESS, settings.MONITORING_METRICS_TOKEN = "127.0.0.1:0", "s3cret"
    close = exposing.open_door()
    try:
        address = f"http://127.0.0.1:{made[0].server_port}/metrics"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address, timeout=10)
        asked = urllib.request.Request(address, headers={"Authorization": "Bearer s3cret"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            names = {family.name for family in plain(answer.read().decode())}
        assert {"chat_calls", "chat_database_up"} <= names
    finally:
        close()


SERVER = exposing._Server


@pytest.mark.parametrize("address", ["0.0.0.0:9108", "somewhere:9108", "9108", "127.0.0.1:"])
def test_an_address_that_strangers_reach_or_nobody_can_is_refused(settings, address):
    settings.MONITORING_METRICS_ADDRESS, settings.MONITORING_METRICS_TOKEN = address, ""
    with pytest.raises(ImproperlyConfigured, match="MONITORING_METRICS_ADDRESS"):
        exposing.open_door()


def test_no_door_is_opened_unless_it_is_wanted(settings):
    settings.MONITORING_METRICS_ADDRESS = ""
    exposing.open_door()()
