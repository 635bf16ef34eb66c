"""One message sent many times, with other words, from two tabs, and with its acknowledgement lost: stored once."""

import asyncio
from uuid import uuid4

import aiohttp
import pytest

from tests.faults.harness import History, eventually, measured

pytestmark = pytest.mark.timeout(120)


async def settled(own, *calls, patience=20.0):
    """Wait until every call is answered."""
    for _ in range(int(patience / 0.05)):
        if all(call.outcome != "unknown" for call in calls):
            return
        await asyncio.sleep(0.05)
    raise AssertionError([(call.outcome, call.code) for call in calls])


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
async def test_f17_one_client_id_twenty_times_at_once_is_one_turn(site, pages, redis, engine):
    own = site(engine, redis=redis)
    webs = [own.web(start=False), own.web(runner=False, start=False)]
    await asyncio.to_thread(own.start, *webs)
    session, client_id, text = own.conversation(), uuid4(), f"Write 30 words about {engine} locks"
    # A history each: twenty tabs that know nothing of each other.
    opened = []
    for n in range(20):
        opened += await pages(own, webs[n % 2].url, sessions=[session], history=History())
    calls = [page.post(text, client_id=client_id) for page in opened]
    await settled(own, *calls)
    assert [call.outcome for call in calls] == ["ok"] * 20
    assert len({call.turn for call in calls}) == 1
    duplicates = sum(call.duplicates for call in calls)
    rows = own.rows("SELECT count(*) FROM chat_turn WHERE session_id = %s", _id(own, session))
    measured("F17", f"{engine}: rows of 20 sends at once through two processes", rows[0][0])
    measured("F17", f"{engine}: duplicates among their 20 acceptances", duplicates)
    assert (rows[0][0], duplicates) == (1, 19)
    await asyncio.gather(*(page.done(calls[0].turn) for page in opened))
    assert len({page.replies[calls[0].turn].text for page in opened}) == 1
    assert own.broken_invariants() == ""


async def test_f18_the_same_client_id_with_other_words_writes_nothing(site, pages, redis):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    (page,) = await pages(own, web.url)
    call, reply = await page.send_and_read("Write 10 words about keys")
    other = History()
    (tab,) = await pages(own, web.url, sessions=[page.session], history=other)
    refused = tab.post("Quite other words", client_id=call.client_id)
    await settled(own, refused)
    assert (refused.outcome, refused.code) == ("failed", "client_id_reuse")
    status, body = await _post(web, own, page.session, call.client_id, "Other words by POST")
    assert (status, body["code"]) == (409, "client_id_reuse")
    assert own.rows("SELECT prompt, reply FROM chat_turn WHERE session_id = %s", _id(own, page.session)) == [
        ("Write 10 words about keys", reply.text)
    ]
    measured("F18", "rows written by two sends with other words", 0)


async def test_f19_of_two_tabs_that_send_at_once_one_is_told_busy(site, pages, redis):
    own = site("postgresql", redis=redis)
    webs = [own.web(start=False), own.web(start=False)]
    await asyncio.to_thread(own.start, *webs)
    accepted = busy = 0
    for n in range(4):
        session = own.conversation()
        one = (await pages(own, webs[0].url, sessions=[session], history=History()))[0]
        two = (await pages(own, webs[1].url, sessions=[session], history=History()))[0]
        first, second = one.post(f"Write 15 words about doors {n}"), two.post(f"Write 15 words about windows {n}")
        await eventually(
            lambda calls=(first, second): all(call.outcome == "ok" or call.code for call in calls), 20, "two answers"
        )
        outcomes = sorted("ok" if call.outcome == "ok" and not call.code else call.code for call in (first, second))
        assert outcomes == ["busy", "ok"]
        accepted, busy = accepted + 1, busy + 1
        # Who was told busy keeps its text, and sends it when the reply is done.
        await settled(own, first, second, patience=40)
        for tab in (one, two):
            await tab.done(first.turn)
            await tab.done(second.turn)
        rows = own.rows("SELECT number FROM chat_turn WHERE session_id = %s ORDER BY number", _id(own, session))
        assert [row[0] for row in rows] == [1, 2]
    measured("F19", "pairs of sends at once: accepted / busy", f"{accepted} / {busy}")
    assert own.broken_invariants() == ""


async def test_f20_a_lost_acknowledgement_is_asked_for_again_and_is_a_duplicate(site, pages, redis, proxy):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    network = proxy(web.port)
    url = f"http://127.0.0.1:{network.port}"
    slowest, opened = 0.0, await pages(own, url, 1, jitter=0.1)
    for n in range(3):
        (page,) = opened
        came = network.down
        network.cut_after(0)  # the next byte that comes back cuts the connection
        cuts = network.cut
        call = page.post(f"Write 20 words about letters {n}")
        await page.until(lambda cuts=cuts: network.cut > cuts, 20, "the cut")
        assert network.down > came
        stored = own.rows("SELECT count(*) FROM chat_turn WHERE client_id = %s", _id(own, call.client_id))
        network.cut_after(None)
        await page.until(lambda call=call: call.outcome == "ok", 20, "the answer")
        assert call.tries >= 2
        assert (stored, call.duplicates) == ([(1,)], 1), "it was stored before the connection broke"
        await page.done(call.turn)
        slowest = max(slowest, call.seconds)
    rows = own.rows("SELECT client_id, session_id, prompt FROM chat_turn")
    assert page.history.judge(rows) == []
    assert len(rows) == 3
    measured("F20", "three lost acknowledgements: answered again within", slowest, "s")


def _id(own, value):
    """A uuid as the database keeps it."""
    return value.hex if "sqlite" in own.database.url else str(value)


async def _post(web, own, session, client_id, text):
    """The same message as a form, as a page sends what is too long for a frame."""
    cookies = {"sessionid": own.person().cookie, "csrftoken": "f" * 32}
    async with aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        form = {"csrfmiddlewaretoken": "f" * 32, "client_id": str(client_id), "text": text}
        headers = {"Accept": "application/json"}
        async with client.post(f"{web.url}/c/{session}/turns/", data=form, headers=headers) as answer:
            return answer.status, await answer.json()
