"""SIGTERM: a runner ends what ends soon and gives the rest back; a web process sends its pages away first."""

import asyncio
import json
import signal
import socket
import sys
import time
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from chat.stream.protocol import Close
from tests.faults.harness import ORIGIN, Web, eventually, measured, percentile

EXIT_S = 5.0
# What a machine with two cores and many other tests adds to a bound; the figure itself is printed.
SLACK_S = 2.0
# Room for replies that take 17 s; those of "50 words", which is about 200, take 1.4 s.
LONG = {"context_window": 200_000}


class Uvicorn(Web):
    """The same application under uvicorn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application = (
            "ctxsite.asgi:application",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--log-level",
            "error",
        )
        self._command = [sys.executable, "-m", "uvicorn", *application]

    def wait_until_up(self, patience: float = 30.0) -> None:
        """Its lifespan has started the service."""
        self.wait_for_line("service_started", patience)
        deadline = time.monotonic() + patience
        while self.get("/healthz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def under_uvicorn(own: Any, **settings: Any) -> Uvicorn:
    """A web process of this site under uvicorn; not started."""
    daphne = own.web(start=False, **settings)
    own.processes.remove(daphne)
    return own._keep(Uvicorn("uvicorn", daphne._env, own.scratch), False)


def serving(own: Any, server: str, **settings: Any) -> Web:
    return under_uvicorn(own, **settings) if server == "uvicorn" else own.web(start=False, **settings)


async def ended(process: Any, patience: float = 30.0) -> float:
    """Wait for a clean exit; the seconds it took. Uvicorn ends well and then by the signal that it was sent."""
    began = time.monotonic()
    code = await asyncio.to_thread(process.wait, patience)
    assert code == (-signal.SIGTERM if isinstance(process, Uvicorn) else 0), (
        f"{process.name} ended with {code}:\n{process.output()[-3000:]}"
    )
    return time.monotonic() - began


async def test_f09_a_runner_ends_what_ends_in_time_and_gives_the_rest_back(site, pages, upstream):
    own = site("postgresql", drain_s=5, **LONG)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    upstream.settings(delay_ms=20)
    short_1, short_2, long_1, long_2, late = await pages(own, web.url, 5)
    short = [await page.send("Write 50 words about a ferry") for page in (short_1, short_2)]
    long = [await page.send("Write 2500 words about a ferry") for page in (long_1, long_2)]
    for page, call in zip((short_1, short_2, long_1, long_2), (*short, *long), strict=True):
        await page.text(call.turn)
    first.signal(signal.SIGTERM)
    told = time.monotonic()
    waiting = await late.send("Write 50 words about a bridge")
    gone = await eventually(lambda: '"runner": "none"' in web.get("/readyz")[1], 3, "readiness to miss the runner")
    await ended(first)
    exited = time.monotonic() - told
    assert {own.turn(call.turn)["status"] for call in short} == {"complete"}, "what ends in time is let end"
    rows = [own.turn(call.turn) for call in long]
    assert [(row["status"], row["attempt"]) for row in rows] == [("queued", 0)] * 2, "given back, at no attempt's cost"
    assert own.turn(waiting.turn)["attempt"] == 0, "nothing is claimed after the signal"
    assert exited < 5 + 2.5 + SLACK_S
    measured("F09", "SIGTERM to a runner that may drain 5 s: exit after", exited, "s")
    measured("F09", "the same: the others know that it takes nothing any more after", gone, "s")
    upstream.settings(delay_ms=1)
    await asyncio.to_thread(second.start)
    for page, call in ((long_1, long[0]), (long_2, long[1]), (late, waiting)):
        reply = await page.done(call.turn)
        row = own.turn(call.turn)
        assert (row["status"], row["attempt"], row["reply"]) == ("complete", 1, reply.text)
    assert own.broken_invariants() == ""


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_f10_a_web_process_says_bye_closes_4012_and_exits(server, site, pages, upstream):
    own = site("postgresql", **LONG)
    web, other = serving(own, server, runner=False), serving(own, "daphne", runner=False)
    runner = own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, other, runner)
    upstream.settings(delay_ms=20)
    opened = await pages(own, [web.url, other.url], 60)
    calls = [await page.send("Write 900 words about a canal") for page in opened[:5]]
    for page, call in zip(opened, calls, strict=False):
        await page.text(call.turn)
    quiet = await silent(own, web)
    half = socket.create_connection(("127.0.0.1", web.port))
    half.sendall(b"GET /ws/c/x/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n")
    web.signal(signal.SIGTERM)
    told = time.monotonic()
    # One more handshake while it ends.
    late = asyncio.create_task(_late(own, web))
    assert await close_code(quiet) == Close.RESTART, "one that never said hello, too"
    await ended(web)
    exited = time.monotonic() - told
    half.close()
    closes = opened[0].history.closes
    assert len(closes) == 60
    assert {code for _, _, code in closes} == {int(Close.RESTART)}
    byes = opened[0].history.of("bye")
    assert len(byes) == 60
    assert all(seen.frame["reconnect_after_ms"] > 0 for seen in byes)
    seconds = [at - told for at, _, _ in closes]
    measured("F10", f"SIGTERM to a web process ({server}) with 60 pages: the last closed 4012 after", max(seconds), "s")
    measured("F10", f"the same ({server}): exit after", exited, "s")
    assert percentile(seconds, 1.0) < 1.0 + SLACK_S
    assert exited < EXIT_S + SLACK_S
    assert await late in (int(Close.RESTART), 0)
    # The replies never stopped: the pages read on elsewhere.
    for page, call in zip(opened, calls, strict=False):
        reply = await page.done(call.turn)
        assert (own.turn(call.turn)["attempt"], own.turn(call.turn)["reply"]) == (1, reply.text)


async def silent(own: Any, web: Any) -> ClientConnection:
    """A socket that says nothing."""
    return await connect(
        f"{web.url.replace('http', 'ws')}/ws/c/{own.conversation()}/",
        origin=websockets.Origin(ORIGIN),
        additional_headers={"Cookie": f"sessionid={own.person().cookie}"},
        proxy=None,
    )


async def close_code(page: ClientConnection) -> int:
    """With what the server closes a socket, within five seconds."""
    try:
        async with asyncio.timeout(5):
            while True:
                await page.recv()
    except websockets.ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def _late(own: Any, web: Any) -> int:
    """The close code of a page that comes while the process ends; 0 when it was not let in."""
    await asyncio.sleep(0.2)
    try:
        return await close_code(await silent(own, web))
    except (OSError, websockets.InvalidHandshake, EOFError):
        return 0


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_f10_a_web_process_with_a_runner_in_it_drains_three_seconds(server, site, pages, upstream):
    own = site("sqlite", **LONG)
    web, other = serving(own, server), serving(own, "daphne")
    await asyncio.to_thread(web.start)
    upstream.settings(delay_ms=20)
    soon, later = await pages(own, [web.url, other.url], 2)
    short, long = await soon.send("Write 50 words about a lock"), await later.send("Write 2500 words about a lock")
    await soon.text(short.turn)
    await later.text(long.turn)
    web.signal(signal.SIGTERM)
    told = time.monotonic()
    await eventually(lambda: '"draining": true' in web.get("/readyz")[1] or not web.running, 2, "readiness to tell")
    await ended(web)
    exited = time.monotonic() - told
    measured("F10", f"SIGTERM to a web process with a runner in it ({server}): exit after", exited, "s")
    assert exited < EXIT_S + SLACK_S
    assert own.turn(short.turn)["status"] == "complete"
    row = own.turn(long.turn)
    assert (row["status"], row["attempt"]) == ("queued", 0)
    upstream.settings(delay_ms=1)
    await asyncio.to_thread(other.start)
    reply = await later.done(long.turn)
    assert (own.turn(long.turn)["attempt"], own.turn(long.turn)["reply"]) == (1, reply.text)
    assert own.broken_invariants() == ""


@pytest.mark.parametrize("kind", ["run_turns", "web"])
async def test_f09_a_second_signal_is_the_end_at_once(kind, site, pages, upstream):
    own = site("sqlite", lease_s=2, reap_s=1, beat_s=1, **LONG)
    web = own.web(runner=kind == "web", start=False)
    process = web if kind == "web" else own.run_turns(start=False)
    await asyncio.to_thread(own.start, *{web, process})
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, web.url)
    call = await page.send("Write 2500 words about a quay")
    await page.text(call.turn)
    process.signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    assert process.running
    process.signal(signal.SIGTERM)
    told = time.monotonic()
    code = await asyncio.to_thread(process.wait, 5)
    measured("F09", f"a second SIGTERM to {kind}: exit after", time.monotonic() - told, "s")
    assert code == 128 + signal.SIGTERM
    assert time.monotonic() - told < SLACK_S
    assert own.turn(call.turn)["status"] == "running", "nobody gave it back: its lease runs out"


def test_f10_a_root_path_that_a_client_claims_is_ignored(site):
    own = site("sqlite")
    web = own.web()
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        client.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nDaphne-Root-Path: /evil\r\nConnection: close\r\n\r\n"
        )
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nDaphne-Root-Path: /evil\r\nConnection: close\r\n\r\n")
        assert b"/evil" not in client.recv(65536)
    assert json.loads(web.get("/readyz")[1])["draining"] is False
