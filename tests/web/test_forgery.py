"""A15, A16: no address of the site changes anything for a GET, takes a POST without its token, or believes a header."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, UUIDConverter

from chat.models import ChatSession, Job

WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE)", re.IGNORECASE)
# Django's own: a session's last use, and where the administration notes that it was changed.
OWN = re.compile(r'"django_session"')
SAFE = {"GET", "HEAD", "OPTIONS"}


def patterns(found: Any = None) -> Iterator[tuple[str, URLPattern]]:
    """Every pattern of the site with its whole route."""
    resolver = found or get_resolver()
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            for route, pattern in patterns(one):
                yield f"{one.pattern}{route}", pattern
        else:
            yield str(one.pattern), one


def addresses(session: ChatSession, user: Any) -> list[str]:
    """An address for each of them, with numbers and ids of rows that are there."""
    numbers = {"user": user.pk, "owner": user.pk, "number": 1}
    turn = session.head_id
    made = []
    for route, pattern in patterns():
        given = route
        for name, converter in pattern.pattern.converters.items():
            value = (
                session.pk
                if isinstance(converter, UUIDConverter)
                else next((number for part, number in numbers.items() if part in name), turn)
                if isinstance(converter, IntConverter)
                else "x"
            )
            given = re.sub(rf"<(?:\w+:)?{name}>", str(value), given)
        given = re.sub(r"<(?:\w+:)?\w*session\w*>", str(session.pk), given)
        given = re.sub(r"<(?:\w+:)?\w+>", str(turn), given)
        if not re.search(r"[\^\\()$]", given):
            made.append(f"/{given}")
    return sorted(set(made))


@pytest.fixture
def chief(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("chief", "chief@example.org", "correct horse battery staple")


@pytest.fixture
def everywhere(chief: Any, make_session: Any) -> list[str]:
    session = make_session(2)
    ChatSession.objects.filter(pk=session.pk).update(owner=chief)
    return addresses(session, chief)


def test_no_get_changes_a_row(client: Client, chief: Any, everywhere: list[str]) -> None:
    client.force_login(chief)
    answered = 0
    for address in everywhere:
        with CaptureQueriesContext(connection) as seen:
            status = client.get(address).status_code
        written = [one["sql"] for one in seen if WRITES.match(one["sql"]) and not OWN.search(one["sql"])]
        # A preview is tried and rolled back.
        if any("ROLLBACK" in one["sql"] for one in seen) and "/operate/" in address:
            written = []
        assert not written, (address, written)
        answered += status == 200
    assert answered >= 60, "most of them were really reached"


def test_no_post_counts_without_the_token_of_the_form(chief: Any, everywhere: list[str]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(chief)
    refused = 0
    for address in everywhere:
        with CaptureQueriesContext(connection) as seen:
            status = client.post(address, {"reason": "nobody asked for it"}).status_code
        assert status in (403, 404, 405), (address, status)
        assert not [one["sql"] for one in seen if WRITES.match(one["sql"]) and not OWN.search(one["sql"])], address
        refused += status == 403
    assert refused >= 60


def test_a_header_can_neither_change_the_method_nor_the_address(client: Client, chief: Any, make_session: Any) -> None:
    session = make_session(1)
    client.force_login(chief)
    tricks = {
        "x-http-method-override": "POST",
        "x-method-override": "DELETE",
        "x-original-url": "/admin/",
        "x-rewrite-url": "/admin/",
        "x-forwarded-prefix": "/admin",
    }
    assert client.get(f"/c/{session.pk}/delete/", headers=tricks).status_code == 405
    assert client.get("/healthz", headers=tricks).content == client.get("/healthz").content


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-host", "forwarded", "x-forwarded-server"])
def test_a_link_in_a_letter_never_follows_a_header(client: Client, chief: Any, name: str) -> None:
    client.post("/accounts/password/", {"email": chief.email}, headers={name: "evil.example"})
    letters = json.dumps(list(Job.objects.values_list("args", flat=True)))
    assert "http://testserver/" in letters
    assert "evil.example" not in letters


def test_a_host_that_is_not_ours_is_refused(client: Client) -> None:
    assert client.get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/accounts/login/", headers={"host": "testserver:80@evil.example"}).status_code == 400
