"""The model's service fails in every way that it has been seen to fail; the outcome of each, over real HTTP."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.harness import Page, Site, measured, offered

pytestmark = pytest.mark.timeout(180)

SLACK_S = 1.0
"""What a loaded machine of two cores may add to any of the bounds below."""


@pytest.fixture(scope="module")
def standing(
    sqlite: Any, own_upstream: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """`standing("name", **settings)`: a site with one web process, started once for all tests that name it.

    Tests share one where their failures together stay below what opens the breaker.
    """
    made: dict[str, tuple[Any, Any]] = {}

    def of(name: str, **settings: Any) -> tuple[Any, Any]:
        if name not in made:
            directory = tmp_path_factory.mktemp(name)
            own = Site(directory, sqlite.fresh(directory), own_upstream, **settings)
            web = own.web(start=False)
            own.start(web)
            made[name] = own, web
        return made[name]

    yield of
    wrong = [line for own, _ in made.values() for line in own.tracebacks()]
    for own, _ in made.values():
        own.close()
    assert wrong == []


@pytest.fixture
def begin(standing: Callable[..., Any], pages: Callable[..., Any], upstream: Any) -> Callable[..., Any]:
    """`own, web, page = await begin("name", **settings)`: that site, and a conversation of the test's own."""

    async def make(name: str = "plain", **settings: Any) -> tuple[Any, Any, Page]:
        own, web = await asyncio.to_thread(standing, name, **settings)
        upstream.settings(delay_ms=2, first_ms=10)
        (page,) = await pages(own, web.url)
        return own, web, page

    return make


def shown(web: Any, page: Page) -> str:
    """The conversation as a page loads it."""
    status, text = web.get(f"/c/{page.session}/", cookie=page.cookie)
    assert status == 200
    return text


def told(page: Page, phase: str) -> list[float]:
    """When this page was told of a phase."""
    return [at for at, frame in page.statuses if frame["phase"] == phase]


def key(page: Page) -> str:
    """The conversation's id as SQLite keeps it."""
    return page.session.hex


def alerts(web: Any, name: str) -> list[dict[str, Any]]:
    return web.events(name)


async def test_f24_two_529s_cost_one_answer_nothing_but_time_and_a_word_after_three_seconds(begin, upstream):
    own, _, page = await begin()
    upstream.fault("status", status=529, times=2, retry_after=2.0)
    call, reply = await page.send_and_read("Write 60 words about a ferry")
    assert [record["status"] for record in upstream.calls("Write 60 words about a ferry")] == [529, 529, 200]
    assert (reply.done["status"], own.turn(call.turn)["attempt"]) == ("complete", 1)
    assert own.turn(call.turn)["reply"] == reply.text != ""
    (said,) = told(page, "retrying")
    measured("F24", '529 twice: "still trying" after', said - call.began, "s")
    measured("F24", "the same: the one answer whole after", reply.done_at - call.began, "s")
    assert 2.9 <= said - call.began <= 3.0 + SLACK_S
    assert 4.0 <= reply.done_at - call.began <= 6.0 + SLACK_S


async def test_f24_an_open_breaker_refuses_a_message_at_once_and_answers_those_that_waited(begin, pages, upstream):
    own, web, page = await begin("breaker")
    (other,) = await pages(own, web.url)
    upstream.fault("status", status=529, times=99)
    _, failed = await page.send_and_read("Will you answer this one?", patience=60)
    assert failed.done["status"] == "failed"
    waiting = await other.send("Will you answer the one that waits?")
    await other.until(lambda: bool(alerts(web, "breaker_opened")), 10, "the alert")
    asked, rows = len(upstream.calls("Will you")), own.rows("SELECT count(*) FROM chat_turn")
    call = page.post("Will you answer the last one?")
    await page.until(lambda: call.code == "unavailable", 5, "a refusal")
    (refusal,) = [seen for seen in page.history.of("rejected") if seen.frame["client_id"] == str(call.client_id)]
    measured("F24", "breaker open: a message is refused after", (refusal.at - call.began) * 1000, "ms")
    assert refusal.at - call.began <= 0.2 + SLACK_S / 4
    assert 0 < refusal.frame["retry_after_ms"] <= 15_000
    assert own.rows("SELECT count(*) FROM chat_turn") == rows, "nothing is written"
    assert len(upstream.calls("Will you")) == asked == 5, "nothing is asked"
    upstream.clear()
    await page.until(lambda: call.outcome == "ok", 30, "the kept message to be taken")
    reply, late = await page.done(call.turn), await other.done(waiting.turn)
    measured("F24", "breaker open: the kept message is answered after", reply.done_at - call.began, "s")
    assert (reply.done["status"], late.done["status"]) == ("complete", "complete")
    assert told(other, "retrying"), "who waits is told"
    assert reply.done_at - call.began <= 20 + SLACK_S
    (opened,), (closed,) = alerts(web, "breaker_opened"), alerts(web, "breaker_closed")
    assert (opened["cause"], opened["level"]) == ("overloaded", "error")
    assert opened["key"] == closed["key"] != ""
    events = own.rows("SELECT outcome, code FROM monitoring_contextevent WHERE kind = 'upstream'")
    assert events == [("breaker_opened", "overloaded")]


async def test_f25_a_wait_of_two_hours_fails_at_once_and_is_named(begin, upstream):
    own, web, page = await begin()
    upstream.fault("status", status=429, retry_after=7200)
    call, reply = await page.send_and_read("How long must I wait?")
    measured("F25", "429 with retry-after 7200: said to have failed after", reply.done_at - call.began, "s")
    assert reply.done_at - call.began <= 2.0 + SLACK_S
    assert own.turn(call.turn)["error"] == "rate_limited:7200"
    assert len(upstream.calls("How long must I wait?")) == 1
    text = shown(web, page)
    assert "It asks to wait 2 hours (until" in text
    assert offered(text, "retry", call.turn)


async def test_f26_a_wait_of_three_seconds_is_waited_for(begin, upstream):
    _, _, page = await begin()
    upstream.fault("status", status=429, retry_after=3)
    call, reply = await page.send_and_read("Wait, then answer this")
    measured("F26", "429 with retry-after 3: answered after", reply.done_at - call.began, "s")
    assert reply.done["status"] == "complete"
    assert 3.0 <= reply.done_at - call.began <= 6.0 + SLACK_S
    first, second = upstream.calls("Wait, then answer this")
    assert second["began"] - first["began"] >= 3.0


@pytest.mark.parametrize(
    ("row", "kind", "after"), [("F27", "stream_error", 200), ("F28", "reset", 40), ("F28", "eof", 40)]
)
async def test_f27_f28_a_reply_that_breaks_off_keeps_its_words_and_is_begun_once_more(
    begin, upstream, row, kind, after
):
    own, _, page = await begin("broken")
    asked = f"Write 1200 words about a reply with {kind}"
    upstream.fault(kind, after=after)
    call = await page.send(asked)
    await page.until(lambda: bool(told(page, "retrying")), 30, "the restart")
    broke = time.monotonic()
    kept = own.turn(call.turn)["reply"]
    reply = await page.done(call.turn)
    measured(row, f"{kind} after {after} deltas: whole again after", reply.done_at - broke, "s")
    first, second = upstream.calls(asked)
    assert (first["outcome"], first["deltas"], second["outcome"]) == ("cut", after, "sent")
    turn = own.turn(call.turn)
    assert (turn["status"], turn["attempt"], turn["reply"]) == ("complete", 2, reply.text)
    assert len(reply.text) > len(kept) > after, "the words stayed until there were more"
    assert reply.text.startswith(kept[:40])
    assert [seen.frame["status"] for seen in page.history.of("done")] == ["complete"]


async def test_f28_a_reply_that_breaks_off_twice_is_left_to_a_person(begin, upstream):
    own, web, page = await begin("broken")
    upstream.fault("eof", after=40, times=2)
    call, reply = await page.send_and_read("Write 1200 words about an end that is none")
    turn = own.turn(call.turn)
    assert (turn["status"], turn["stop_reason"], turn["attempt"]) == ("failed", "", 2)
    assert len(turn["reply"]) > 40
    assert (reply.done["status"], reply.text) == ("failed", turn["reply"])
    assert {record["outcome"] for record in upstream.calls("Write 1200 words about an end")} == {"cut"}
    text = shown(web, page)
    assert offered(text, "retry", call.turn)
    assert "The text above is kept." in text
    measured("F28", "the same twice: characters kept, Retry offered", len(turn["reply"]))


async def test_f29_signs_of_life_without_content_are_cut_off(begin, upstream):
    own, _, page = await begin("impatient", model_content_s=4)
    asked = "Write 300 words about patience"
    upstream.fault("pings", after=20)
    call = await page.send(asked)
    await page.until(lambda: bool(told(page, "retrying")), 30, "the cut")
    words = max(seen.at for seen in page.history.of("delta") + page.history.of("snapshot"))
    measured(
        "F29", "only pings, cut at 4 s by its setting (60 s by default): after", told(page, "retrying")[0] - words, "s"
    )
    assert 3.8 <= told(page, "retrying")[0] - words <= 4.0 + SLACK_S
    reply = await page.done(call.turn)
    assert (reply.done["status"], own.turn(call.turn)["attempt"]) == ("complete", 2)
    # Looked at now: the stand-in hears a little later than the page that its call was cut.
    first = upstream.calls(asked)[0]
    assert (first["outcome"], first["deltas"]) == ("closed", 20)


@pytest.mark.parametrize("wording", [1, 2, 3])
async def test_f30_prompt_is_too_long_is_answered_in_the_same_turn_by_a_smaller_request(begin, upstream, wording):
    own, web, page = await begin()
    for number in range(5):
        await page.send_and_read(f"Note {number}: " + "plain words about the weather in the north. " * 60)
    asked = f"Which wording is this, {wording}?"
    upstream.fault("overflow", wording=wording, times=2)
    call, reply = await page.send_and_read(asked)
    calls = upstream.calls(asked)
    measured("F30", f"prompt is too long, wording {wording}: answered after", reply.done_at - call.began, "s")
    assert [record["status"] for record in calls] == [400, 400, 200]
    assert reply.done["status"] == "complete"
    assert own.turn(call.turn)["attempt"] == 1, "in the same turn"
    assert len({record["sha256"] for record in calls}) == 3, "never the same request twice"
    sizes = [record["bytes"] for record in calls]
    assert sizes == sorted(sizes, reverse=True), "each is smaller than the one before"
    told_of = "SELECT count(*) FROM chat_notice WHERE kind = 'trimmed' AND ended_at IS NULL AND session_id = %s"
    assert own.rows(told_of, key(page))[0][0] > 0
    assert "not in the model" in shown(web, page)


async def test_f31_too_many_bytes_are_named_and_not_sent_again(begin, upstream):
    own, web, page = await begin()
    upstream.fault("status", status=413, times=9)
    call, reply = await page.send_and_read("Too many bytes: " + "words " * 500)
    measured("F31", "413: said what is too large after", reply.done_at - call.began, "s")
    assert own.turn(call.turn)["error"] == "too_large:current"
    assert len(upstream.calls("Too many bytes")) == 1
    assert "Your message has more bytes than the model’s service takes." in shown(web, page)


async def test_f31_an_attachment_with_too_many_bytes_is_named_to_its_owner_and_to_nobody_else(begin, upstream):
    own, web, page = await begin()
    await attach(web, page, "a small list.txt", "Hammer, nails.")
    await attach(web, page, "the whole archive.txt", "One more line of the archive. " * 400)
    await attach(web, page, "left at home.txt", "Another line, which is not sent along. " * 500)
    rows = own.rows("SELECT id FROM chat_document WHERE session_id = %s ORDER BY id", key(page))
    small, large, _ = [pk for (pk,) in rows]
    upstream.fault("status", status=413, times=9)
    call, _ = await page.send_and_read("What is in this archive?", documents=[small, large])
    assert own.turn(call.turn)["error"] == "too_large:documents", "a code, and no word of anybody's"
    assert len(upstream.calls("What is in this archive?")) == 1
    said = "The largest is “the whole archive.txt”."
    assert said in shown(web, page)
    # What was too large is taken out; what is said of that reply stays true.
    async with browsing(web, page) as client:
        await client.post(f"/c/{page.session}/documents/{large}/remove/")
    assert said in shown(web, page)
    assert "archive.txt" not in web.output(whole=True)
    assert own.rows("SELECT outcome FROM monitoring_modelcall WHERE session = %s", key(page)) == [("too_large",)]


def browsing(web: Any, page: Page) -> aiohttp.ClientSession:
    """A client with the page's cookie that may post, as its scripts do."""
    cookies = {"sessionid": page.cookie, "csrftoken": "f" * 32}
    headers = {"X-CSRFToken": "f" * 32, "HX-Request": "true"}
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(web.url, cookies=cookies, headers=headers, cookie_jar=jar, raise_for_status=True)


async def attach(web: Any, page: Page, name: str, text: str) -> None:
    """Put a file beside the message box."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("files", text.encode(), filename=name, content_type="text/plain")
    async with browsing(web, page) as client:
        await client.post(f"/c/{page.session}/documents/", data=form)


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded"])
async def test_f32_a_reply_that_was_cut_off_is_stored_so_and_can_be_continued(begin, upstream, reason):
    own, web, page = await begin()
    upstream.fault("stop", stop_reason=reason, after=20)
    call, reply = await page.send_and_read("Write 300 words about an end")
    turn = own.turn(call.turn)
    assert (turn["status"], turn["stop_reason"], turn["reply"]) == ("truncated", reason, reply.text)
    assert offered(shown(web, page), "continue", call.turn)
    more, rest = await page.send_and_read("", op="continue", of=call.turn)
    assert (own.turn(more.turn)["status"], rest.done["status"]) == ("complete", "complete")
    assert own.turn(more.turn)["number"] == turn["number"] + 1
    measured("F32", f"{reason}: stored as truncated, continued by the next turn", "yes")


async def test_f33_a_refused_turn_is_left_out_of_later_requests(begin, upstream):
    own, web, page = await begin()
    upstream.settings(keep_bodies=True)
    upstream.fault("stop", stop_reason="refusal", after=5)
    call, _ = await page.send_and_read("Zanzibar: something that is declined")
    assert own.turn(call.turn)["status"] == "refused"
    await page.send_and_read("Something harmless")
    (record,) = upstream.calls("Something harmless")
    assert record["status"] == 200
    assert "Zanzibar" not in json.dumps(record["body"])
    excluded = own.rows("SELECT excluded_by FROM chat_turn WHERE session_id = %s ORDER BY number", key(page))
    assert excluded == [("refusal",), ("",)]
    assert "Later messages are sent without it." in shown(web, page)
    measured("F33", "refusal: words of the refused turn in the next request", 0)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, "authentication_error", "invalid x-api-key"),
        (402, "billing_error", "payment required"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API."),
    ],
)
async def test_f34_a_refused_account_is_said_plainly_and_told_to_the_operator_once(
    begin, upstream, status, kind, message
):
    own, web, page = await begin()
    upstream.fault("status", status=status, error_type=kind, message=message, times=99)
    for number in range(3):
        call, reply = await page.send_and_read(f"Am I let in, {status}, {number}?")
        assert (reply.done["status"], own.turn(call.turn)["error"]) == ("failed", "refused")
    measured("F34", f"{status}: said so after", reply.done_at - call.began, "s")
    assert len(upstream.calls(f"Am I let in, {status}")) == 3, "no retry"
    assert "refused our account; the operators have been told" in shown(web, page)
    cause = f"{status}:{kind}"
    assert [line["level"] for line in alerts(web, "upstream_refused") if line["cause"] == cause] == ["error"]
    events = "SELECT outcome FROM monitoring_contextevent WHERE kind = 'upstream' AND code = %s"
    assert own.rows(events, cause) == [("upstream_refused",)]
    output = web.output(whole=True)
    assert "sk-fault-tests-own" not in output
    assert message not in output
    assert message not in shown(web, page)


async def test_f34_a_key_is_replaced_without_a_restart(begin, upstream, tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("sk-canary-old\n")
    own, web, page = await begin("keyed", api_key_file=path)
    try:
        upstream.settings(keys=["sk-canary-old"], delay_ms=20)
        call = await page.send("Write 200 words about an old key")
        await page.text(call.turn)
        upstream.settings(keys=["sk-canary-new"])
        (tmp_path / "key.new").write_text("sk-canary-new\n")
        (tmp_path / "key.new").replace(path)
        reply = await page.done(call.turn)
        assert (reply.done["status"], own.turn(call.turn)["attempt"]) == ("complete", 1), "the call under way ends"
        later, answer = await page.send_and_read("Write 20 words about a new key")
        measured("F34", "a replaced key: the next message answered after", answer.done_at - later.began, "s")
        assert answer.done["status"] == "complete"
    finally:
        upstream.settings(keys=None)
    assert not alerts(web, "upstream_refused")
    assert len(alerts(web, "api_key_replaced")) == 1
    assert "canary" not in web.output(whole=True)


async def test_f38_a_summary_that_cannot_stand_for_its_turns_is_replaced_by_an_extract(begin, pages, upstream):
    own, web, _ = await begin("small", context_window=8000, sweep_s=3600)
    for mode in ("huge", "blank", "cut", "garbage"):
        upstream.settings(summary_mode=mode, delay_ms=0)
        (page,) = await pages(own, web.url)
        made = "SELECT made_by, text FROM chat_summary WHERE state = 'active' AND session_id = %s"
        for number in range(12):
            _, reply = await page.send_and_read(f"Note {number}, {mode}: " + f"plain words about note {number}. " * 60)
            assert reply.done["status"] == "complete"
            if own.rows(made, key(page)):
                break
        found = own.rows(made, key(page))
        assert found, f"{mode}: nothing was made of the turns"
        assert {by for by, _ in found} == {"extract"}
        assert all("[extract made by code, without a model]" in text for _, text in found)
        refused = "SELECT count(*) FROM chat_summary WHERE state = 'rejected' AND text = '' AND session_id = %s"
        rejected = own.rows(refused, key(page))
        measured("F38", f"summaries that are {mode}: discarded before the extract", rejected[0][0])
        assert rejected[0][0] >= 3
        assert "made by code, without a model" in shown(web, page)
    assert own.broken_invariants() == ""


async def test_f38_while_no_summary_can_be_had_messages_are_answered_and_the_trim_is_told(begin, upstream):
    own, web, page = await begin("small", context_window=8000, sweep_s=3600)
    upstream.settings(summary_mode="error", delay_ms=0)
    slowest = 0.0
    for number in range(14):
        call, reply = await page.send_and_read(f"Letter {number}: " + f"plain words about letter {number}. " * 60)
        assert reply.done["status"] == "complete"
        slowest = max(slowest, reply.done_at - call.began)
    measured("F38", "no summary to be had: the slowest of 14 answers", slowest, "s")
    assert slowest <= 8.0 + 2 * SLACK_S
    opened = alerts(web, "breaker_opened")
    assert {line["purpose"] for line in opened} == {"background"}, "the replies' own breaker stays closed"
    kinds = dict(own.rows("SELECT kind, 1 FROM chat_notice WHERE ended_at IS NULL AND session_id = %s", key(page)))
    assert kinds.keys() & {"trimmed", "compressed"}
    made = "SELECT made_by FROM chat_summary WHERE state = 'active' AND session_id = %s"
    assert {by for (by,) in own.rows(made, key(page))} <= {"extract"}
    assert own.broken_invariants() == ""
