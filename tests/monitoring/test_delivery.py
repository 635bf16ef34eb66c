"""Messages arrive, or are tried again, and reach only where they should."""

import hashlib
import hmac
import json
import socket
import threading
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from monitoring import delivery, webhooks
from monitoring.models import Alert, AlertRule, Delivery
from monitoring.webhooks import NotSent
from tests.monitoring import sinks


@pytest.fixture
def sink():
    with sinks.hook() as server:
        yield server


@pytest.fixture
def alert(settings, sink):
    settings.MONITORING_ALERT_EMAILS = ["op@example.org"]
    settings.MONITORING_ALERT_WEBHOOKS = [f"http://127.0.0.1:{sink.server_port}/200"]
    settings.MONITORING_WEBHOOK_HOSTS = ["127.0.0.1"]
    settings.MONITORING_WEBHOOK_SECRET = "s3cret"
    settings.MONITORING_URL = "https://chat.example.org"
    rule = AlertRule.objects.get(code="session-over-80")
    return Alert.objects.create(
        rule=rule, key=rule.code, severity="P2", limit=80, value=91.2, peak=91.2, count=4,
        session="2b71f4aa-0000-4000-8000-000000000001", opened_at=timezone.now(),
    )  # fmt: skip


@pytest.mark.django_db
def test_a_message_goes_by_mail_and_as_a_signed_body(alert, sink):
    now = timezone.now()
    assert delivery.tell(alert, "opened", now) == 2
    assert delivery.send_due() == (2, 0)
    ((path, headers, body),) = sink.got
    told = json.loads(body)
    digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert (path, headers["X-Signature-256"]) == ("/200", f"sha256={digest}")
    assert told["summary"] == "P2 opened: Session over 80\xa0%. 4 sessions over, fullest 91.2\xa0%, over 80\xa0%."
    assert told["alert"].items() >= {
        "key": "session-over-80", "measure": "session", "unit": "percent", "value": 91.2, "limit": 80.0,
        "state": "open",
        "runbook": "https://chat.example.org/monitoring/alerts/runbook/#session",
    }.items()  # fmt: skip
    (letter,) = mail.outbox
    assert letter.to == ["op@example.org"]
    assert letter.subject == told["summary"]
    assert "https://chat.example.org/monitoring/sessions/2b71f4aa" in letter.body
    assert delivery.send_due() == (0, 0)


@pytest.mark.django_db
def test_a_refused_message_is_tried_again_with_growing_waits_and_then_given_up(alert, settings, sink):
    settings.MONITORING_ALERT_EMAILS = []
    settings.MONITORING_ALERT_WEBHOOKS = [f"http://127.0.0.1:{sink.server_port}/503"]
    now = timezone.now()
    delivery.tell(alert, "opened", now)
    waits = []
    for _ in range(delivery.MOST_ATTEMPTS):
        assert delivery.send_due(now) == (0, 1)
        assert delivery.send_due(now) == (0, 0)
        row = Delivery.objects.get()
        waits.append(round((row.next_at - now).total_seconds()))
        now = row.next_at
    assert waits[:-1] == [10, 20, 40, 80, 160, 320, 640]
    assert (row.state, row.error, row.attempts) == ("failed", "status_503", 8)
    assert len(sink.got) == 8
    assert len({json.loads(body)["id"] for _, _, body in sink.got}) == 1


@pytest.mark.django_db
def test_two_senders_never_send_one_message_and_that_of_a_dead_one_is_sent_again(alert, sink, settings, monkeypatch):
    settings.MONITORING_ALERT_EMAILS = []
    now = timezone.now()
    delivery.tell(alert, "opened", now)
    monkeypatch.setattr(delivery, "_webhook", lambda one: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        delivery.send_due(now)
    monkeypatch.undo()
    assert delivery.send_due(now + timedelta(seconds=59)) == (0, 0)
    assert delivery.send_due(now + timedelta(seconds=60)) == (1, 0)
    assert len(sink.got) == 1


@pytest.mark.django_db
def test_a_storm_is_held_back_and_a_test_is_not(alert, settings):
    settings.MONITORING_ALERT_WEBHOOKS = []
    now = timezone.now()
    Delivery.objects.bulk_create(
        Delivery(alert=alert, channel="email", event="opened", state="sent", created_at=now, next_at=now, ended_at=now)
        for _ in range(delivery.AN_HOUR)
    )
    delivery.tell(alert, "opened", now)
    delivery.tell(None, "test", now)
    assert delivery.send_due(now) == (1, 1)
    assert Delivery.objects.get(state="failed").error == "too_many"
    assert len(mail.outbox) == 1


# --- where a message may go


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:9/", "private_address"),
        ("http://localhost/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("http://[::ffff:10.0.0.1]/", "private_address"),
        ("http://169.254.169.254/latest/meta-data", "private_address"),
        ("http://10.1.2.3/", "private_address"),
        ("http://100.64.0.1/", "private_address"),
        ("http://0.0.0.0/", "private_address"),
        ("http://2130706433/", "private_address"),
        ("ftp://example.org/", "bad_address"),
        ("file:///etc/passwd", "bad_address"),
        ("https://name:word@example.org/", "bad_address"),
        ("http://example.org:99999/", "bad_address"),
        ("no address", "bad_address"),
    ],
)
def test_an_address_within_is_refused_for_good(url, code):
    with pytest.raises(NotSent, match=code) as refused:
        webhooks.post(url, b"{}", {})
    assert not refused.value.again


def test_a_name_that_has_one_private_address_is_refused(monkeypatch):
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
    with pytest.raises(NotSent, match="private_address"):
        webhooks.post("http://hooks.example.org/", b"{}", {})


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch):
    """A name that means something else by the time of the connection gains nothing."""
    answers = iter(["93.184.216.34", "127.0.0.1"])
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **kwargs: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))],
    )
    went = []

    def connect(address, timeout):
        went.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(NotSent, match="unreachable") as refused:
        webhooks.post("https://hooks.example.org/", b"{}", {})
    assert went == [("93.184.216.34", 443)]
    assert refused.value.again


@pytest.mark.parametrize(
    ("code", "again"), [(302, False), (404, False), (429, True), (500, True)], ids=lambda given: str(given)
)
def test_no_redirect_is_followed_and_what_may_pass_is_tried_again(sink, code, again):
    url = f"http://127.0.0.1:{sink.server_port}/{code}"
    with pytest.raises(NotSent, match=f"status_{code}") as refused:
        webhooks.post(url, b"{}", {}, private=frozenset({"127.0.0.1"}))
    assert (refused.value.again, len(sink.got)) == (again, 1)


def test_who_answers_a_byte_at_a_time_is_left():
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b".")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(NotSent, match="timeout"):
            webhooks.post(url, b"{}", {}, private=frozenset({"127.0.0.1"}), timeout_s=0.2)
        stop.set()
        thread.join(5)
