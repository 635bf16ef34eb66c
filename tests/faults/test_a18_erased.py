"""A18 on a site that runs: whoever is erased is in no table, not in Redis, in no file and in no line of any log."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis as driver

from tests.faults.harness import PASSWORD, eventually, measured, post_form, sign_in
from tests.faults.harness.web import CSRF

pytestmark = pytest.mark.timeout(240)

CANARY = "quetzalcoatlus"
NAME = f"{CANARY}-1"
SURGERY = """
import sys
from django.contrib.auth import get_user_model
from chat.surgery import auditing, operating
olga = get_user_model().objects.get(username="olga")
operating.apply(olga, sys.argv[1], "pin", {"turns": "1"}, "Ticket 4711.", None)
auditing.record(olga.pk, "read_text", reason="Ticket 4711.", session=sys.argv[1], target={"kind": "turns"})
owner = get_user_model().objects.get(username=sys.argv[2])
print(auditing.pseudonym(owner.pk))
"""
READ = {
    "hash": lambda client, key: client.hgetall(key),
    "string": lambda client, key: client.get(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "set": lambda client, key: client.smembers(key),
    "zset": lambda client, key: client.zrange(key, 0, -1),
}


def in_tables(own: Any) -> list[str]:
    """The tables of which a row holds the canary."""
    if own.database.vendor == "sqlite":
        names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    else:
        names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    tables = [name for (name,) in own.rows(names)]
    assert len(tables) > 30
    return sorted(name for name in tables if CANARY in str(own.rows(f'SELECT * FROM "{name}"')).lower())


def in_redis(redis: Any) -> list[str]:
    """The keys that hold it, in their name or in what they keep."""
    with driver.Redis.from_url(redis.url()) as client:
        kept = {key.decode(): READ[client.type(key).decode()](client, key) for key in client.scan_iter()}
    return sorted(key for key, value in kept.items() if CANARY in f"{key} {value}".lower())


def in_files(home: Path) -> list[str]:
    """The files that hold it, in their name or in what they keep: the database's, those of CHAT_VAR_DIR, the logs."""
    found = [path for path in home.rglob("*") if path.is_file()]
    return sorted(path.name for path in found if CANARY in path.name or CANARY.encode() in path.read_bytes().lower())


async def attach(url: str, cookie: str, session: Any, times: int) -> int:
    """A file of their own for the message box; the answer's status."""
    cookies, jar = {"sessionid": cookie, "csrftoken": CSRF}, aiohttp.CookieJar(unsafe=True)
    form = aiohttp.FormData({"csrfmiddlewaretoken": CSRF})
    form.add_field("files", io.BytesIO(f"The {CANARY} flies. ".encode() * times), filename=f"{CANARY}.txt")
    async with (
        aiohttp.ClientSession(url, cookies=cookies, cookie_jar=jar) as client,
        client.post(f"/c/{session}/documents/", data=form, allow_redirects=False) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(("engine", "by"), [("sqlite", "command"), ("postgresql", "page")])
async def test_a18_nothing_of_an_erased_user_is_left_where_the_site_keeps_things(
    engine: str, by: str, site: Any, pages: Any, redis: Any
) -> None:
    own = site(engine, redis=redis)
    own.rows(
        "UPDATE auth_user SET username = %s, email = %s, first_name = %s WHERE username = 'bob'",
        NAME, f"{CANARY}@example.org", CANARY,
    )  # fmt: skip
    # What is laid aside for a moment, uploads too, is laid where this test looks.
    web, session = own.web(start=False, TMPDIR=str(own.scratch)), own.conversation("bob")
    await asyncio.to_thread(web.start)
    with pytest.raises(AssertionError, match="not signed in"):
        await sign_in(web.url, NAME, "a wrong guess")
    cookie = await sign_in(web.url, NAME)
    (page,) = await pages(own, web.url, sessions=[session], cookie=cookie)
    for number in range(3):
        await page.send_and_read(f"The berth of the {CANARY} is B-{number}. Where is the {CANARY}?")
    assert await attach(web.url, cookie, session, 100) == 302
    await attach(web.url, cookie, session, 200_000)  # so large that Django puts it into a file meanwhile
    known = (await asyncio.to_thread(own.python, SURGERY, str(session), NAME)).strip()
    person = own.person("bob").id
    tables, keys = in_tables(own), in_redis(redis)
    assert {"auth_user", "chat_turn", "chat_document"} <= set(tables)
    assert keys, "the window of the conversation"

    if by == "page":
        assert await post_form(web.url, cookie, "/account/delete/", password=PASSWORD) == 302
    else:
        done = await asyncio.to_thread(own.manage, "erase_user", NAME, "--yes", "--reason=Ticket 4711.")
        assert (done.returncode, CANARY in done.stdout + done.stderr) == (0, False), done.stderr
    await page.until(lambda: bool(page.close_codes), 30, "the end of the socket")
    await eventually(lambda: not in_redis(redis), 10, "Redis to forget")
    await asyncio.to_thread(web.terminate)
    left = {"tables": in_tables(own), "keys": in_redis(redis), "files": in_files(own.scratch)}
    what = f"{engine}, by {by}: found in {len(tables)} tables and {len(keys)} keys before, afterwards in"
    measured("A18", what, sum(map(len, left.values())), "tables, keys, files and logs")
    assert left == {"tables": [], "keys": [], "files": []}

    entries = own.rows("SELECT operation, session, target, pseudonym FROM chat_audit ORDER BY id")
    # What was done to them stays; what they do to themselves is no work of staff.
    assert [entry[0] for entry in entries] == ["pin", "read_text", "erase"][: 2 if by == "page" else 3]
    assert all(str(entry[1]).replace("-", "") == session.hex for entry in entries[:2])
    if by == "command":
        target = entries[2][2] if isinstance(entries[2][2], dict) else json.loads(entries[2][2])
        assert (target, entries[2][3]) == ({"user": person, "pseudonym": known, "conversations": 20}, "shell")
    assert own.broken_invariants() == ""
