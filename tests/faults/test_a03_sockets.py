"""Who may open a socket, and how long: foreign origins, logins that end, staff that is staff no more."""

import asyncio
import time

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.faults.harness import ORIGIN, eventually, measured

pytestmark = pytest.mark.timeout(120)

EVIL = [
    "http://faults.test:8001",
    "https://faults.test",
    "null",
    None,
    "http://evil.test",
    "http://faults.test.evil.test",
]
EVIL += ["http://sub.faults.test", "file://", "http://faults.test@evil.test"]
BROKEN = ["", "*", "faults.test"]
"""No origins at all: the server's own parser may refuse them first."""


async def handshake(web, session, cookie, origin):
    """The status that a websocket's handshake is answered with; 101 when it was let in."""
    address = f"{web.url.replace('http', 'ws', 1)}/ws/c/{session}/"
    try:
        async with connect(
            address, origin=origin, additional_headers={"Cookie": f"sessionid={cookie}"}, proxy=None, open_timeout=20
        ):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


async def test_a03_a_foreign_origin_is_refused_before_the_socket_is_accepted(site):
    own = site("sqlite")
    web = await asyncio.to_thread(own.web)
    session, cookie = own.conversation(), own.person().cookie
    assert await handshake(web, session, cookie, ORIGIN) == 101
    found = {origin: await handshake(web, session, cookie, origin) for origin in EVIL}
    measured("A3", f"{len(EVIL)} foreign origins: refused with 403", sum(code == 403 for code in found.values()))
    assert set(found.values()) == {403}, found
    for origin in BROKEN:
        assert await handshake(web, session, cookie, origin) in (400, 403)


def logout(own, webs, cookie):
    """Over HTTP, at the other process."""

    async def out():
        cookies = {"sessionid": cookie, "csrftoken": "f" * 32}
        async with (
            aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
            client.post(
                f"{webs[1].url}/accounts/logout/", data={"csrfmiddlewaretoken": "f" * 32}, allow_redirects=False
            ) as answer,
        ):
            assert answer.status == 302

    return out()


async def deactivated(own, webs, cookie):
    own.rows("UPDATE auth_user SET is_active = %s WHERE username = 'alice'", False)


async def password_changed(own, webs, cookie):
    own.rows("UPDATE auth_user SET password = 'argon2$another' WHERE username = 'alice'")


async def session_flushed(own, webs, cookie):
    own.rows("DELETE FROM django_session WHERE session_key = %s", cookie)


async def session_expired(own, webs, cookie):
    own.rows("UPDATE django_session SET expire_date = now() - interval '1 second' WHERE session_key = %s", cookie)


WAYS = [logout, deactivated, password_changed, session_flushed, session_expired]


async def test_a04_what_ends_a_login_closes_its_sockets_in_every_process(site, pages, redis, upstream):
    own = site("postgresql", redis=redis)
    webs = [own.web(start=False), own.web(start=False)]
    await asyncio.to_thread(own.start, *webs)
    person = own.person()
    for way in WAYS:
        (page,) = await pages(own, webs[0].url)
        (other,) = await pages(own, webs[0].url, name="bob")
        call = await page.send(f"Write 900 words about gates, {way.__name__}")
        await page.text(call.turn, 50)
        before = own.rows("SELECT password FROM auth_user WHERE username = 'alice'")[0][0]
        session_row = own.rows("SELECT * FROM django_session WHERE session_key = %s", person.cookie)[0]
        began = time.monotonic()
        await way(own, webs, person.cookie)
        # A command after the fact, before any sweep can have come: refused, and nothing is written.
        late = page.post("Too late", client_id=None)
        await page.until(lambda page=page: bool(page.close_codes), 10, "the end of the socket")
        seconds = time.monotonic() - began
        assert page.close_codes == [4401]
        measured("A4", f"{way.__name__}: the socket in the other process closed after", seconds, "s")
        assert seconds <= 5.0
        assert late.outcome == "unknown"
        assert own.rows("SELECT count(*) FROM chat_turn WHERE client_id = %s", str(late.client_id)) == [(0,)]
        frames = len(page.history.frames)
        await asyncio.sleep(0.5)
        assert len(page.history.frames) == frames, "nothing comes after the end"
        assert (await other.send("Write 5 words about keys")).outcome == "ok", "somebody else's socket stays"
        # As it was, for the next way.
        own.rows("UPDATE auth_user SET is_active = true, password = %s WHERE username = 'alice'", before)
        own.rows("DELETE FROM django_session WHERE session_key = %s", person.cookie)
        own.rows("INSERT INTO django_session VALUES (%s, %s, %s)", *session_row)


async def test_a04_a_silent_page_is_closed_without_saying_a_word(site, pages, redis):
    """The sweep alone: no command, no signal of this process."""
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    (page,) = await pages(own, web.url)
    began = time.monotonic()
    await session_flushed(own, [web, web], own.person().cookie)
    await page.until(lambda: bool(page.close_codes), 10, "the end of the socket")
    measured(
        "A4", "session flushed past the site, a page that says nothing: closed after", time.monotonic() - began, "s"
    )
    assert page.close_codes == [4401]
    assert time.monotonic() - began <= 5.0


async def test_a05_staff_that_is_staff_no_more_is_refused_at_its_next_request(site):
    own = site("postgresql")
    web = await asyncio.to_thread(own.web)
    cookie = own.person("olga").cookie
    cookies = {"sessionid": cookie, "csrftoken": "f" * 32}
    async with aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:

        async def status(path, method="GET"):
            data = {"csrfmiddlewaretoken": "f" * 32} if method == "POST" else None
            async with client.request(method, web.url + path, data=data, allow_redirects=False) as answer:
                return answer.status, answer.headers.get("Location", "")

        for path in ("/admin/", "/monitoring/"):
            assert (await status(path))[0] == 200
        own.rows("UPDATE auth_user SET is_staff = false, is_superuser = false WHERE username = 'olga'")
        refused = {}
        for path in ("/admin/", "/monitoring/", "/admin/auth/user/", "/admin/auth/user/add/"):
            for method in ("GET", "POST"):
                code, where = await status(path, method)
                refused[path, method] = code
                assert code in (403, 404, 405) or (code == 302 and "login" in where), (path, method, code, where)
    measured("A5", "requests of demoted staff to staff pages: refused", f"{len(refused)} of {len(refused)}")
    await eventually(lambda: web.running, 1, "the server stays")
