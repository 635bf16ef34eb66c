"""Somebody else's ids at every address and in every frame: the answer is the one for ids that never were.

Addresses come from the URLconf and frames from the registry, so that what is added later is asked, too.
"""

import asyncio
import json
import re
from dataclasses import fields
from uuid import uuid4

import aiohttp
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from chat.stream import inbound
from tests.faults import belongings
from tests.faults.belongings import Address
from tests.faults.harness import History, eventually, measured

pytestmark = pytest.mark.timeout(120)

SECRET = "The canary sings at Corvo Duo"
FRAMES = {kind.type: kind for kind in (inbound.Hello, inbound.Send, inbound.Ack, inbound.Stop, inbound.Ping)}
OPS = [op for op in inbound.OPS if op != "new"]


def addresses(patterns=None, before="", name=""):
    """Every address of the site with a parameter in it, but the administration's."""
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and (names := re.findall(r"<(?:\w+:)?(\w+)>", path)):
            yield Address(pattern.name, "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), tuple(names))


async def ask(client, method, url, path):
    data = {"csrfmiddlewaretoken": "f" * 32, "text": "Hello", "title": "Mine now", "op": "retry", "of": "1"}
    data |= {"value": "Mine now", "name": "Mine now", "reason": "wrong"}
    headers = {"Accept": "text/html"}
    async with client.request(
        method, url + path, data=data if method == "POST" else None, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status, await answer.text()


def blind(text, ids):
    """A page without these ids and without what differs from request to request."""
    for each in ids:
        text = re.sub(rf"\b{re.escape(str(each))}\b", "ID", text)
    return re.sub(r'(name="csrfmiddlewaretoken" value=|nonce-)"?[\w-]+', "", text)


def browser(own, name):
    """A client with this person's cookies."""
    cookies = {"sessionid": own.person(name).cookie, "csrftoken": "f" * 32}
    return aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True))


async def alike(client, url, address, hers, nobodys):
    """Ask for hers and for nobody's, by GET and by POST; the two statuses. The answers must not differ."""
    statuses = []
    for method in ("GET", "POST"):
        theirs = await ask(client, method, url, address.of(hers))
        random = await ask(client, method, url, address.of(nobodys))
        assert theirs[0] == random[0], (method, address.name)
        assert SECRET not in theirs[1], (method, address.name)
        ids = [str(one) for one in (*hers.values(), *nobodys.values())]
        assert blind(theirs[1], ids) == blind(random[1], ids), (method, address.name)
        statuses.append(theirs[0])
    return statuses


async def test_a01_at_every_address_a_foreign_id_is_like_one_that_never_was(site, pages):
    own = site("sqlite")
    far_ids(own)
    web = await asyncio.to_thread(own.web)
    (page,) = await pages(own, web.url)
    call, _ = await page.send_and_read(SECRET)
    assert call.turn > 770000
    (bobs_page,) = await pages(own, web.url, name="bob")
    await bobs_page.send_and_read("What bob says")
    await seen(own, page, bobs_page)
    hers = belongings.make(own, "alice", call.turn, SECRET)
    nobodys, found = belongings.nobodys(hers), list(addresses())
    assert len(found) >= 50
    within = [address for address in found if address.parameters[0] == "session_id" and len(address.parameters) > 1]
    assert len(within) >= 15
    before = belongings.rows(own)
    async with browser(own, "alice") as alice:
        shown = 0
        for address in found:
            # So that no id is one that never was: what she may read of it, she is shown.
            status, _text = await ask(alice, "GET", web.url, address.of(hers))
            assert status in ({404} if address.name == "shared" else {200, 302, 403, 405}), (address.name, status)
            shown += status == 200
        assert shown >= 20
    async with browser(own, "bob") as bob:
        for address in found:
            # A link to a new password is good for whoever has it, and says of a wrong one that it is.
            fine = {200, 405} if address.name == "password_reset_confirm" else {302, 403, 404, 405}
            statuses = await alike(bob, web.url, address, hers, nobodys)
            assert set(statuses) <= fine, (address.name, statuses)
        for address in within:
            # In a conversation of his own, with what is in one of hers.
            place = {"session_id": str(bobs_page.session)}
            statuses = await alike(bob, web.url, address, hers | place, nobodys | place)
            assert set(statuses) <= {403, 404, 405}, (address.name, statuses)
            assert set(statuses) != {405}, address.name
    assert belongings.rows(own) == before
    asked = 2 * (len(found) + len(within))
    measured("A1", f"{asked} requests to {len(found)} addresses with foreign ids: answered unlike a random id", 0)
    measured("A1", f"{len(within)} of them with a conversation of one's own before the foreign id: the same", 0)


async def seen(own, *pages):
    """What a page notes a moment after a reply is stored."""
    sql = "SELECT count(*) FROM chat_chatsession WHERE seen = 1"
    await eventually(lambda: own.rows(sql) == [(len(pages),)], 20, "the replies to be seen")


def far_ids(own):
    """Ids of turns that stand for nothing else in an answer."""
    own.rows("DELETE FROM sqlite_sequence WHERE name = 'chat_turn'")
    own.rows("INSERT INTO sqlite_sequence (name, seq) VALUES ('chat_turn', 770000)")


def variants(kind, session, turn):
    """Frames of one type with these ids in every field that may hold one."""
    names = {field.name for field in fields(kind)}
    base = {"v": 1, "type": kind.type}
    if kind is inbound.Send:
        for op in OPS:
            yield base | {"client_id": str(uuid4()), "op": op, "of": turn, "text": "Hello", "base": 1}
    elif kind is inbound.Hello:
        for place in ({}, {"epoch": 1, "end": 0}, {"epoch": 1, "end": 3, "blocks": 1, "block_end": 2}):
            yield base | {"session": str(session), "turn": turn} | place
    elif "turn" in names:
        yield base | {"turn": turn} | ({"end": 5} if "end" in names else {})
    else:
        yield base | {"t": turn}


async def answers(pages, web, bobs, frame):
    """All frames that come for one frame of bob's in a conversation of his own, and the close code."""
    history = History()
    (page,) = await pages(*web, name="bob", sessions=[bobs], history=history, reconnect=False)
    start = len(history.frames)
    page.raw(frame)
    # Commands are answered in order: behind this one's answer nothing more will come.
    page.raw({"type": "hello", "session": str(bobs)})
    await page.until(lambda: bool(page.close_codes) or len(history.of("welcome")) == 2, 20)
    frames = [seen.frame for seen in history.frames[start:]]
    for each in frames:
        each.pop("client_id", None)
    return frames, list(page.close_codes)


async def test_a02_in_every_frame_a_foreign_id_is_like_one_that_never_was(site, pages, upstream):
    own = site("sqlite")
    far_ids(own)
    web = await asyncio.to_thread(own.web)
    (page,) = await pages(own, web.url)
    call, _ = await page.send_and_read(SECRET)
    assert call.turn > 770000
    upstream.settings(delay_ms=500)
    running = await page.send(f"Write 900 words. {SECRET}")
    await page.text(running.turn)
    asked, bobs = 0, own.conversation("bob")
    for kind in FRAMES.values():
        for foreign in (call.turn, running.turn):
            for ours, nobodys in zip(
                variants(kind, page.session, foreign), variants(kind, uuid4(), 2**40), strict=True
            ):
                theirs, random = [await answers(pages, (own, web.url), bobs, one) for one in (ours, nobodys)]
                assert SECRET not in json.dumps(theirs)
                assert _like(theirs, foreign) == _like(random, 2**40), ours
                asked += 1
    # In his own conversation, with a turn of hers: what a page does when it comes back.
    for foreign in (call.turn, running.turn, 2**40):
        history = History()
        (bob,) = await pages(own, web.url, name="bob", history=history, reconnect=False)
        bob.raw({"type": "hello", "session": str(bob.session), "turn": foreign, "epoch": 1, "end": 0})
        await bob.until(lambda history=history: len(history.of("welcome")) == 2, 20)
        await asyncio.sleep(0.25)
        kinds = [seen.frame["type"] for seen in history.frames]
        assert kinds == ["welcome", "error", "welcome"]
        assert history.frames[1].frame["code"] == "not_found"
    assert own.turn(running.turn)["status"] == "running"
    page.stop(running.turn)
    await page.done(running.turn)
    measured("A1", f"{asked} frames of {len(FRAMES)} types with foreign ids: answered unlike a random id", 0)
    measured("A2", "resumes with a foreign turn: bytes of content", 0)


def _like(answer, turn):
    frames, closes = answer
    return [json.loads(re.sub(rf"\b{turn}\b", "0", json.dumps(frame))) for frame in frames], closes
