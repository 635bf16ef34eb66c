"""ctxsite: who may connect, what every page carries, how a start prepares the site."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from channels.auth import AuthMiddleware
from channels.sessions import SessionMiddlewareStack
from channels.testing import ApplicationCommunicator, WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import Client

from ctxsite import ending, protocols, secret
from ctxsite.rotation import RenewedSession
from tests.conftest import PASSWORD

# Channels closes what connections it finds in the shared thread, and an earlier test may have left one there.
pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}


async def accepting(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A websocket application that lets everybody in and says what root path it was given."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(scope.get("root_path"))})
    await receive()


@pytest.fixture
def origins(settings):
    settings.CHAT_ORIGINS = ["https://chat.example.org", "http://127.0.0.1:8000"]


async def may_connect(origin: bytes | None) -> bool:
    headers = [] if origin is None else [(b"origin", origin)]
    communicator = WebsocketCommunicator(protocols.SiteOrigins(accepting), "/ws/", headers=headers)
    connected, _ = await communicator.connect()
    await communicator.disconnect()
    return connected


@pytest.mark.parametrize(
    "origin", [b"https://chat.example.org", b"https://chat.example.org:443", b"http://127.0.0.1:8000"]
)
async def test_a_page_of_the_site_may_open_a_socket(origins, origin):
    assert await may_connect(origin)


@pytest.mark.parametrize(
    "origin",
    [
        *(
            b"http://127.0.0.1:8001",
            b"https://127.0.0.1:8000",
            b"http://chat.example.org",
            b"https://chat.example.org:444",
        ),
        *(b"https://evil.example", b"https://chat.example.org.evil.example", b"null", b"", b"*", b"file://", None),
    ],
)
async def test_another_port_scheme_or_host_may_not(origins, origin):
    assert not await may_connect(origin)


async def test_a_star_among_the_origins_lets_nobody_in(settings):
    settings.CHAT_ORIGINS = ["*"]
    assert not await may_connect(b"https://evil.example")
    assert not await may_connect(None)


async def test_a_root_path_that_a_client_claims_is_dropped():
    communicator = WebsocketCommunicator(
        protocols.OwnRootPath(accepting), "/ws/", headers=[(b"Daphne-Root-Path", b"/evil")]
    )
    communicator.scope["root_path"] = "/evil"  # as daphne sets it from the header
    await communicator.connect()
    assert await communicator.receive_json_from() == ""
    await communicator.disconnect()


class Service:
    """Stands for chat.service; notes what was asked of it."""

    def __init__(self, error: Exception | None = None):
        self.error, self.asked = error, []

    async def start(self) -> None:
        self.asked.append("start")
        if self.error:
            raise self.error

    async def drain(self) -> None:
        self.asked.append("drain")

    async def stop(self) -> None:
        self.asked.append("stop")


async def test_a_server_with_lifespan_starts_drains_and_stops_the_service(monkeypatch):
    monkeypatch.setattr(protocols, "service", service := Service())
    monkeypatch.setattr(ending, "service", service)
    server = ApplicationCommunicator(protocols.application, {"type": "lifespan"})
    await server.send_input({"type": "lifespan.startup"})
    assert await server.receive_output() == {"type": "lifespan.startup.complete"}
    assert service.asked == ["start"]
    await server.send_input({"type": "lifespan.shutdown"})
    assert await server.receive_output() == {"type": "lifespan.shutdown.complete"}
    assert service.asked == ["start", "drain", "stop"]


async def test_a_service_that_cannot_start_fails_the_server_without_its_words(monkeypatch):
    monkeypatch.setattr(protocols, "service", Service(RuntimeError("password=hunter2")))
    server = ApplicationCommunicator(protocols.application, {"type": "lifespan"})
    await server.send_input({"type": "lifespan.startup"})
    assert await server.receive_output() == {"type": "lifespan.startup.failed", "message": "RuntimeError"}


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/", "/healthz", "/nothing-here/"])
def test_every_page_carries_the_policy(client, path):
    response = client.get(path)
    assert set(response.headers["Content-Security-Policy"].split("; ")) == POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"


def test_ten_wrong_passwords_lock_even_the_right_one_out(alice):
    def sign_in(password: str, address: str = "192.0.2.1", forwarded: str = "") -> int:
        body = {"username": "alice", "password": password}
        extra = {"x-forwarded-for": forwarded} if forwarded else {}
        return Client(REMOTE_ADDR=address).post("/accounts/login/", body, headers=extra).status_code

    for attempt in range(10):
        sign_in("wrong", forwarded=f"198.51.100.{attempt}")
    assert sign_in(PASSWORD) == 429
    assert sign_in(PASSWORD, address="192.0.2.2") == 302, "somebody else's attempts lock nobody out elsewhere"
    assert AccessAttempt.objects.count() == 1


def test_signing_in_rotates_the_session_key(client, alice):
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
    assert client.session.session_key != planted
    assert client.session["_auth_user_id"] == str(alice.pk)


@pytest.fixture
def collected(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path


def test_the_first_start_makes_an_administrator_and_says_the_password_once(collected, capsys):
    call_command("prepare_site")
    printed = capsys.readouterr().out
    password = printed.split("Password:")[1].split()[0]
    assert get_user_model().objects.get(username="admin", is_superuser=True).check_password(password)
    call_command("prepare_site")
    assert "assword" not in capsys.readouterr().out
    assert get_user_model().objects.get(username="admin").check_password(password)


def test_a_password_from_the_environment_holds_at_every_start(collected, settings, capsys):
    call_command("prepare_site")
    settings.SUPERUSER_PASSWORD = PASSWORD
    call_command("prepare_site")
    assert PASSWORD not in capsys.readouterr().out
    assert get_user_model().objects.get(username="admin").check_password(PASSWORD)


def test_no_second_administrator_is_made_beside_one_with_another_name(collected, olga, capsys):
    call_command("prepare_site")
    assert get_user_model().objects.filter(is_superuser=True).count() == 1


def settings_with(tmp_path: Path, **environment: str) -> dict[str, Any]:
    """The settings as a process with `environment` reads them."""
    names = (
        "DEBUG ALLOWED_HOSTS CHAT_ORIGINS SESSION_COOKIE_SECURE CHAT_STANDIN CHAT_CONTEXT_WINDOW SECRET_KEY DATABASES"
        " CHAT_LEASE_S"
    )
    program = (
        "import json; from ctxsite import settings;"
        f" print(json.dumps({{name: getattr(settings, name) for name in '{names}'.split()}}))"
    )
    clean = {"PATH": os.environ["PATH"], "CHAT_VAR_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_an_empty_environment_gives_a_site_on_loopback_that_one_can_sign_in_to(tmp_path):
    first, second = settings_with(tmp_path), settings_with(tmp_path)
    assert (first["DEBUG"], first["SESSION_COOKIE_SECURE"]) == (False, False)
    assert (first["CHAT_STANDIN"], first["CHAT_CONTEXT_WINDOW"]) == (True, 16_000)
    assert len(first["SECRET_KEY"]) >= 50
    assert first["SECRET_KEY"] == second["SECRET_KEY"], "or every restart would sign everybody out"
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_processes_that_start_together_sign_with_one_key(tmp_path, monkeypatch):
    together = threading.Barrier(4)

    def when_all_have_looked() -> str:
        together.wait(10)
        return f"the key of {threading.get_ident()}"

    monkeypatch.setattr(secret, "get_random_secret_key", when_all_have_looked)
    with ThreadPoolExecutor(4) as processes:
        keys = set(processes.map(secret.key_in, [tmp_path] * 4))
    assert keys == {secret.key_in(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_an_empty_key_signs_nothing(tmp_path):
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match="is empty: delete it"):
        secret.key_in(tmp_path)


def test_a_public_host_name_makes_cookies_secure_and_opens_sockets_to_https_only(tmp_path):
    read = settings_with(tmp_path, DJANGO_ALLOWED_HOSTS="chat.example.org", PORT="9000")
    assert read["SESSION_COOKIE_SECURE"]
    assert "https://chat.example.org" in read["CHAT_ORIGINS"]
    assert not any(origin.startswith("http://chat") for origin in read["CHAT_ORIGINS"])
    assert "http://127.0.0.1:9000" in read["CHAT_ORIGINS"]


def test_a_database_that_is_silent_is_given_up_before_a_lease_ends(tmp_path):
    read = settings_with(tmp_path, DATABASE_URL="postgres://chat@db.example.org/chat?connect_timeout=3")
    options = read["DATABASES"]["default"]["OPTIONS"]
    assert 0 < options["tcp_user_timeout"] < read["CHAT_LEASE_S"] * 1_000
    assert options["keepalives_idle"] < read["CHAT_LEASE_S"]
    assert int(options["connect_timeout"]) == 3, "what the URL says wins"


def test_a_key_turns_the_stand_in_off_and_leaves_the_window_to_the_models_api(tmp_path):
    read = settings_with(tmp_path, ANTHROPIC_API_KEY="sk-test")
    assert (read["CHAT_STANDIN"], read["CHAT_CONTEXT_WINDOW"]) == (False, None)


OLD, NEW = "the old key " * 4, "the new key " * 4


def test_a_new_secret_key_signs_nobody_out_while_the_old_one_is_a_fallback(client, alice, settings):
    settings.SECRET_KEY = OLD
    client.force_login(alice)
    name = client.cookies["sessionid"].value
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert client.get("/").status_code == 200
    assert client.cookies["sessionid"].value == name, "sockets were opened under this name"
    # The visit has moved the session to the new key: from now on the old one may go.
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("former", [[], ["another key " * 4]])
def test_without_its_key_among_them_a_session_is_signed_out(client, alice, settings, former):
    settings.SECRET_KEY = OLD
    client.force_login(alice)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, former
    assert client.get("/").status_code == 302


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("former", [[OLD], []])
async def test_a_socket_of_a_session_that_a_former_key_signed_is_let_in(async_client, alice, settings, former):
    settings.SECRET_KEY = OLD
    await async_client.aforce_login(alice)
    name = async_client.cookies["sessionid"].value
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, former
    seen = []

    async def consumer(scope, receive, send):
        seen.append(str(scope["user"]))
        await send({"type": "websocket.close"})

    stack = SessionMiddlewareStack(RenewedSession(AuthMiddleware(consumer)))
    cookie = (b"cookie", f"sessionid={name}".encode())
    await WebsocketCommunicator(stack, "/ws/", headers=[cookie]).connect()
    assert seen == (["alice"] if former else ["AnonymousUser"])
    if former:
        assert await Session.objects.filter(session_key=name).aexists(), "channels would delete it"
