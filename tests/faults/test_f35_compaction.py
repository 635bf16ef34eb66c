"""Compaction under faults: two compactors on one conversation, a message while one runs, history that changes."""

import asyncio
import itertools
import json
import re
import time
from typing import Any
from uuid import UUID

import pytest

from tests.faults.harness import eventually, measured

pytestmark = pytest.mark.timeout(120)

WORDS = "The ferry leaves at nine from the second quay and the rope is kept dry in the long shed by the wall. " * 5
TURNS = 20
# 20 turns of this size lie between the soft and the hard mark of a window of 8,000 tokens.
TOKENS = 235
SMALL = {"context_window": 8000, "sweep_s": 1}
CANARY = "quetzalcoatlus"

FILL = f"""
import json, sys
from uuid import UUID
from chat.models import ChatSession
from tests.store import building
ids = json.loads(sys.argv[1])
for session in ChatSession.objects.filter(pk__in=ids):
    building.extend(session, {TURNS}, tokens={TOKENS}, words=sys.argv[2])
"""


def filled(own: Any, count: int) -> list[UUID]:
    """Conversations whose soft mark is passed."""
    sessions = own.conversations(count)
    own.python(FILL, json.dumps([str(each) for each in sessions]), WORDS)
    return sessions


def active(own: Any, session: UUID) -> list[tuple[Any, ...]]:
    """The summaries that are sent: first and last turn, text."""
    return own.rows(
        "SELECT first, last, text FROM chat_summary WHERE session_id = %s AND state = 'active' ORDER BY first", session
    )


def summaries_open(upstream: Any) -> list[dict[str, Any]]:
    return [one for one in upstream.log() if one["purpose"] == "summary" and one["outcome"] == "open"]


async def test_f35_of_two_compactors_on_one_conversation_one_commits(site, upstream):
    own = site("postgresql", **SMALL)
    (session,) = await asyncio.to_thread(filled, own, 1)
    upstream.settings(summary_mode="slow", summary_delay=5.0)
    # The first sweeps once, when it starts; so that it does not take its own job over.
    first, second = own.run_jobs(start=False, sweep_s=3600), own.run_jobs(start=False)
    await asyncio.to_thread(first.start)
    await eventually(lambda: len(summaries_open(upstream)) == 1, 30, "the first compactor at work")
    own.rows("UPDATE chat_job SET lease_until = now() - interval '1 second' WHERE state = 'running'")
    await asyncio.to_thread(second.start)
    await eventually(lambda: len(summaries_open(upstream)) == 2, 30, "both compactors at work at once")
    assert own.rows("SELECT epoch, state FROM chat_job") == [(2, "running")]
    upstream.settings(summary_delay=0.0)
    await eventually(lambda: not summaries_open(upstream), 60, "both to have their summaries")
    await eventually(lambda: own.rows("SELECT count(*) FROM chat_job WHERE state = 'running'") == [(0,)], 60, "the end")
    # The one whose job was taken over hears of it with its next beat and stops, or finds its drafts superseded.
    await eventually(
        lambda: len(first.events("compaction_job") + second.events("compaction_job")) == 2 or first.events("job_lost"),
        30,
        "both to say what they came to",
    )
    said = first.events("compaction_job") + second.events("compaction_job")
    outcomes = sorted(event["outcome"] for event in said)
    measured("F35", "two compactors on one conversation", " and ".join(outcomes))
    assert outcomes.count("committed") == 1
    assert own.rows("SELECT compactions FROM chat_chatsession WHERE id = %s", session) == [(1,)]
    ranges = [(begin, end) for begin, end, _ in active(own, session)]
    assert ranges
    assert ranges[0][0] == 1
    assert all(end + 1 == begin for (_, end), (begin, _) in itertools.pairwise(ranges)), ranges
    assert own.broken_invariants() == ""


def told(body: dict[str, Any]) -> tuple[set[int], str]:
    """Which of the old turns a request holds word for word, and all of its text."""
    texts = [block["text"] for message in body["messages"] for block in message["content"] if "text" in block]
    numbers = [re.match(r"Question (\d+)\.", text) for text in texts]
    return {int(found[1]) for found in numbers if found}, "\n".join(texts)


async def test_f36_a_message_does_not_wait_for_a_compaction_and_sees_old_or_new_never_a_mix(
    site, pages, upstream, redis
):
    own = site("postgresql", redis=redis, **SMALL)
    web, turns, jobs = own.web(runner=False, start=False), own.run_turns(start=False), own.run_jobs(start=False)
    await asyncio.to_thread(own.start, web, turns)
    sessions = await asyncio.to_thread(filled, own, 6)
    opened = await pages(own, web.url, sessions=sessions)
    upstream.settings(summary_mode="slow", summary_delay=4.0, keep_bodies=True, delay_ms=5)
    await asyncio.to_thread(jobs.start)
    await eventually(lambda: len(summaries_open(upstream)) >= 1, 30, "compactions at work")
    before = len(upstream.log())

    async def ask(n: int, wait: float) -> float:
        await asyncio.sleep(wait)
        began = time.monotonic()
        call = await opened[n].send(f"Write 20 words about knots {n} {wait}")
        await opened[n].text(call.turn)
        first = opened[n].replies[call.turn].first_at - began
        await opened[n].done(call.turn, 60)
        return first

    # Before, around and after the commits, which come four seconds after the calls.
    waited = await asyncio.gather(*(ask(n, 0.4 * n) for n in range(6)))
    measured("F36", "a message while its conversation is being compressed: first text after, at most", max(waited), "s")
    assert max(waited) < 3.0, "it does not wait for the summary, which takes 4 s"
    await eventually(lambda: all(active(own, each) for each in sessions), 90, "all to be compressed")
    upstream.settings(summary_delay=0.0)
    for n in range(6):
        await ask(n, 0.0)
    old = new = 0
    for record in upstream.log(before):
        if record["purpose"] != "reply":
            continue
        numbers, text = told(record["body"])
        if numbers == set(range(1, TURNS + 1)):
            old += 1
            continue
        new += 1
        session = sessions[int(record["asked"].split("knots ")[1].split(" ")[0])]
        covered = {number for begin, end, _ in active(own, session) for number in range(begin, end + 1)}
        assert numbers | covered >= set(range(1, TURNS + 1)), "what is not word for word is summarised"
        for _, _, words in active(own, session):
            assert words[:60] in text
    measured("F36", "requests with the old context and with the new one", f"{old} and {new}, none mixed")
    assert old >= 1
    assert new >= 6
    assert own.broken_invariants() == ""


CHANGE = """
import json, sys
from django.contrib.auth import get_user_model
from chat.models import ChatSession
from chat.store import branches
from chat.surgery import operating
from chat.surgery.values import Refused
from tests.store import building
session = ChatSession.objects.get(pk=sys.argv[1])
what, number = sys.argv[2], int(sys.argv[3])
if what == "compress":
    building.compress(session, (1, 10))
elif what == "switch":
    try:
        branches.switch(session.pk, number)
    except branches.SessionBusy:
        print("busy")
elif what in ("exclude", "redact"):
    people = get_user_model().objects
    surgeon = people.filter(is_superuser=True).first() or people.create_superuser("night-shift", password="?")
    try:
        operating.apply(surgeon, session.pk, what, {"turns": str(number)}, "The customer asked for it.", None)
    except Refused as refused:
        print(refused.code)
"""


def holding(words: str, own: Any) -> list[str]:
    """The tables in which these words stand, byte for byte."""
    tables = own.rows("SELECT tablename FROM pg_tables WHERE tablename ~ '^(chat|monitoring)_' ORDER BY tablename")
    asked = "SELECT count(*) FROM {} AS r WHERE position(%s in r::text) > 0"
    return [name for (name,) in tables if own.rows(asked.format(name), words) != [(0,)]]


async def test_f37_f39_history_that_changes_under_its_summaries(site, pages, upstream, redis):
    own = site("postgresql", redis=redis, context_window=16000)
    web = await asyncio.to_thread(own.web)
    (session,) = await asyncio.to_thread(filled, own, 1)

    def change(what: str, number: int = 0) -> str:
        return own.python(CHANGE, str(session), what, str(number)).strip()

    def states() -> dict[tuple[int, int], str]:
        rows = own.rows("SELECT first, last, state FROM chat_summary WHERE session_id = %s", session)
        return {(first, last): state for first, last, state in rows}

    def turn_id(number: int) -> int:
        asked = "SELECT id FROM chat_turn WHERE session_id = %s AND number = %s AND active"
        return own.rows(asked, session, number)[0][0]

    await asyncio.to_thread(change, "compress")
    assert states() == {(1, 10): "active"}
    (page,) = await pages(own, web.url, sessions=[session])
    upstream.settings(keep_bodies=True, delay_ms=2)
    old_head = turn_id(TURNS)

    # An edit of a summarised turn: a sibling. The old branch's summary rests, its words are not told.
    asked = "Write 900 words about the other quay"
    upstream.settings(delay_ms=150)
    call = await page.send(asked, op="edit", of=turn_id(5))
    await page.text(call.turn)
    numbers, text = told(upstream.calls(asked)[-1]["body"])
    assert numbers == {1, 2, 3, 4}
    assert "Turns 1 to 10." not in text
    assert states() == {(1, 10): "resting"}
    assert own.turn(call.turn)["number"] == 5

    # Surgery while a turn is live is refused, and applied once it has been stopped.
    assert await asyncio.to_thread(change, "switch", old_head) == "busy"
    assert await asyncio.to_thread(change, "exclude", 3) == "live"
    assert len(upstream.open(asked)) == 1, "it was live, and still is"
    page.stop(call.turn)
    await page.done(call.turn, 10)
    assert await asyncio.to_thread(change, "switch", old_head) == ""
    assert states() == {(1, 10): "active"}
    assert own.rows("SELECT count(*) FROM chat_audit") == [(0,)], "what was refused was not done"
    measured("F39", "surgery, or a branch switched, while a turn is live", "refused; applied after the stop")

    upstream.settings(delay_ms=2)
    await page.send_and_read("Write 20 words about the first quay")
    numbers, text = told(upstream.calls("Write 20 words about the first quay")[-1]["body"])
    assert numbers == set(range(11, TURNS + 1)), "back on the old branch, with its summary"
    assert "Turns 1 to 10." in text

    # A turn left out: every summary over it is stale in the same transaction, its words are in no later request.
    assert await asyncio.to_thread(change, "exclude", 3) == ""
    assert states() == {(1, 10): "stale"}
    (entry,) = own.rows("SELECT operation, before, after FROM chat_audit")
    assert entry[0] == "exclude"
    assert entry[1] != entry[2], "one entry, with before and after"
    await page.send_and_read("Write 20 words about the third quay")
    numbers, text = told(upstream.calls("Write 20 words about the third quay")[-1]["body"])
    assert "Turns 1 to 10." not in text
    assert 3 not in numbers
    assert "Question 3." not in text
    measured("F37", "a summarised turn edited / left out", "sibling, summary rests / summary stale, words gone at once")

    # A turn redacted: the same, and its words, with those of the version that was asked above, are in no table.
    own.rows("UPDATE chat_turn SET prompt = prompt || %s WHERE id = %s", CANARY, turn_id(5))
    own.rows("UPDATE chat_summary SET text = text || %s WHERE session_id = %s", CANARY, session)
    await asyncio.to_thread(change, "compress")
    assert active(own, session)
    assert holding(CANARY, own) == ["chat_search", "chat_summary", "chat_turn"]
    assert {"chat_chatsession", "chat_turn"} <= set(holding(asked, own)), "it has made the title, too"
    assert await asyncio.to_thread(change, "redact", 5) == ""
    assert own.rows("SELECT DISTINCT state FROM chat_summary WHERE session_id = %s", session) == [("stale",)]
    assert holding(CANARY, own) == holding("Question 5.", own) == holding(asked, own) == []
    await page.send_and_read("Write 20 words about the fourth quay")
    numbers, text = told(upstream.calls("Write 20 words about the fourth quay")[-1]["body"])
    assert {4, 6} <= numbers
    assert "Turns 1 to 10." not in text
    assert "Question 5." not in text
    assert CANARY not in text
    measured(
        "F37", "a summarised turn redacted", "summary stale and empty, words in no table, none in the next request"
    )
    assert own.broken_invariants() == ""
