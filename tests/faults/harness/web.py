"""What a browser does over HTTP: sign in, post a message, fetch a turn, delete a conversation."""

import html
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp

from tests.faults.harness.databases import PASSWORD

PATIENCE = aiohttp.ClientTimeout(total=30)
TOKEN = "csrftoken"
CSRF = "f" * 32
"""Django takes any token of 32 letters, as long as cookie and header agree."""

STATUS = re.compile(r'data-status="(\w+)"')
SOURCE = re.compile(r'<template class="source">(.*?)</template>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """A turn as a page shows it."""

    status: str
    reply: str


async def sign_in(url: str, name: str = "alice", password: str = PASSWORD) -> str:
    """Sign in over HTTP like a browser; the session cookie. AssertionError when refused."""
    async with _client(url) as client:
        form = {"username": name, "password": password, "csrfmiddlewaretoken": CSRF}
        async with client.post("/accounts/login/", data=form, allow_redirects=False) as answer:
            assert answer.status == 302, f"not signed in: {answer.status}"
            return answer.cookies["sessionid"].value


async def turn(url: str, cookie: str, session: UUID, turn_id: int) -> Shown | None:
    """Fetch a turn as a page does when it settles; None when it can't be had."""
    try:
        async with _client(url, cookie) as client, client.get(f"/c/{session}/turns/{turn_id}/") as answer:
            if answer.status != 200:
                return None
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    status, source = STATUS.search(text), SOURCE.search(text)
    return Shown(status[1] if status else "", html.unescape(source[1]) if source else "")


async def post(url: str, cookie: str, path: str, data: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Post JSON with the CSRF token; status and the decoded answer (text where it is not JSON)."""
    async with _client(url, cookie) as client:
        headers = {"X-CSRFToken": CSRF}
        async with client.post(path, json=data or {}, headers=headers, allow_redirects=False) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()


async def post_form(url: str, cookie: str, path: str, **fields: str) -> int:
    """Post a form; the status (a redirect is not followed)."""
    async with _client(url, cookie) as client:
        form = {"csrfmiddlewaretoken": CSRF, **fields}
        async with client.post(path, data=form, allow_redirects=False) as answer:
            return answer.status


async def field(url: str, cookie: str, path: str, name: str) -> str:
    """What a hidden field of a page's form holds."""
    async with _client(url, cookie) as client, client.get(path) as answer:
        found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', await answer.text())
    assert found, f"{path} has no field {name}"
    return html.unescape(found[1])


def _client(url: str, cookie: str = "") -> aiohttp.ClientSession:
    cookies = {TOKEN: CSRF} | ({"sessionid": cookie} if cookie else {})
    # An IP address is no domain: without `unsafe` its cookies would be dropped.
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(url, cookies=cookies, cookie_jar=jar, timeout=PATIENCE)


def offered(page: str, op: str, turn: int) -> bool:
    """Whether a page offers to do this with a turn."""
    return f'name="op" value="{op}"><input type="hidden" name="of" value="{turn}"' in page
