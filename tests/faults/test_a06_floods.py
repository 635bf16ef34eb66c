"""Clients that send too much, and clients that never read: what they cost, and what the others notice."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.faults.harness import ORIGIN, measured, percentile

pytestmark = pytest.mark.timeout(180)

MIB = 1024 * 1024
FLOOD_S = 6.0
SIZES = (200, 64 * 1024 + 1, 256 * 1024, MIB - 14)


class Rude:
    """A websocket of bare TCP: it masks with zeros, reads only when told to, and keeps no rule."""

    def __init__(self, web, session, cookie, *, buffer=None):
        self.web, self.session, self.cookie, self.buffer = web, session, cookie, buffer

    async def __aenter__(self):
        raw = socket.socket()
        if self.buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", self.web.port))
        # The stream would read ahead; the handshake is read by hand.
        request = (
            f"GET /ws/c/{self.session}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Origin: {ORIGIN}\r\nCookie: sessionid={self.cookie}\r\n\r\n"
        )
        await loop.sock_sendall(raw, request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await loop.sock_recv(raw, 1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        self.raw = raw
        return self

    async def __aexit__(self, *wrong):
        self.raw.close()

    async def say(self, frame):
        await self.send(json.dumps({"v": 1, **frame}).encode())

    async def send(self, data):
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x81, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x81, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x81, 0xFF, size)
        await asyncio.get_running_loop().sock_sendall(self.raw, head + b"\0\0\0\0" + data)

    async def rest(self):
        """Read all that was sent, to the end of the connection: its size, and the close code."""
        data, code = b"", 1006
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.raw, 65536), 20):
                data += piece
        at = 0
        while at + 2 <= len(data):
            kind, size, at = data[at] & 15, data[at + 1] & 127, at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(data[at : at + width]), at + width
            if kind == 8 and size >= 2:
                code = int.from_bytes(data[at : at + 2])
            at += size
        return len(data), code


class Memory:
    """The largest resident size of a process while it is watched, in bytes over what it was before."""

    def __init__(self, process):
        self.process, self.before = process, process.memory()
        self.most = self.before

    async def __aenter__(self):
        self.task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *wrong):
        self.task.cancel()

    async def _watch(self):
        while True:
            self.most = max(self.most, self.process.memory())
            await asyncio.sleep(0.05)

    @property
    def grown(self):
        return self.most - self.before


async def gap(page, asked, seconds=None):
    """p99 of the time between two texts of one reply, in seconds; of its first so many seconds."""
    call = await page.send(asked)
    await page.text(call.turn, 20)
    if seconds:
        await asyncio.sleep(seconds)
        page.stop(call.turn)
    await page.done(call.turn, 60)
    times = [
        seen.at for seen in page.history.frames if seen.frame["type"] == "delta" and seen.frame["turn"] == call.turn
    ]
    return percentile([after - before for before, after in pairwise(times)], 0.99)


async def a_flood(web, own, size, until, closed):
    """Open, send frames of one size as fast as they go until it is closed, and again."""
    session, cookie = own.conversation("bob"), own.person("bob").cookie
    words = b'{"v":1,"type":"ping","t":1}' if size < 1000 else b"x" * size
    sent = 0
    while time.monotonic() < until:
        async with Rude(web, session, cookie) as client:
            reading = asyncio.create_task(client.rest())
            with contextlib.suppress(ConnectionError, OSError):
                while not reading.done() and time.monotonic() < until:
                    await client.send(words)
                    sent += 1
                    await asyncio.sleep(0)
            if reading.done() or time.monotonic() < until:
                closed[(await reading)[1]] += 1
            else:
                reading.cancel()
    return sent


async def test_a06_a_flood_is_closed_and_costs_the_server_and_the_others_little(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, web.url)
    calm = await gap(page, "Write 900 words about calm seas", FLOOD_S)
    closed: Counter[int] = Counter()
    async with Memory(web) as memory:
        until = time.monotonic() + FLOOD_S
        floods = [asyncio.create_task(a_flood(web, own, size, until, closed)) for size in SIZES]
        rough = await gap(page, "Write 900 words about rough seas", FLOOD_S - 1)
        sent = sum(await asyncio.gather(*floods))
        grown = memory.grown
    measured("A6", f"{sent} frames of up to 1 MiB in {FLOOD_S:.0f} s: memory grew by", grown / MIB, "MiB")
    measured("A6", f"closed with {dict(closed)}; others' p99 gap, times the calm one", rough / calm)
    assert closed[4429] >= len(SIZES)
    assert set(closed) <= {4429, 1006, 1009}
    assert grown <= 10 * MIB
    assert rough <= max(2 * calm, 0.35), "the second is for a machine that others share"


async def test_a06_a_frame_over_a_mebibyte_is_dropped_by_the_server_itself(site):
    own = site("sqlite")
    web = await asyncio.to_thread(own.web)
    async with Rude(web, own.conversation(), own.person().cookie) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(b"x" * (2 * MIB))
        size, code = await client.rest()
    measured("A6", "a frame of 2 MiB: closed with", code)
    assert code in (1006, 1009)
    assert size < 1000


async def test_a07_a_client_that_never_reads_is_closed_and_costs_little(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, web.url)
    calm = await gap(page, "Write 900 words about calm harbours", FLOOD_S)
    # A long reply, as the row of a turn that ended: who says hello with it gets all of it.
    (reader,) = await pages(own, web.url, name="bob")
    call, _ = await reader.send_and_read("Write 5 words about ropes")
    own.rows("UPDATE chat_turn SET reply = repeat('all the ropes of the ship ', 40000) WHERE id = %s", call.turn)
    count = 20
    async with contextlib.AsyncExitStack() as stack, Memory(web) as memory:
        # Half of them with a window so small that all stays with the server: those can't even be told why.
        buffers = [None, 4096] * (count // 2)
        cookie = own.person("bob").cookie
        rude = [await stack.enter_async_context(Rude(web, reader.session, cookie, buffer=buffer)) for buffer in buffers]
        began = time.monotonic()
        for client in rude:
            await client.say({"type": "hello", "session": str(reader.session), "turn": call.turn})
        rough = await gap(page, "Write 900 words about rough harbours", FLOOD_S)
        while time.monotonic() - began < 38:
            await asyncio.sleep(5)
            for client in rude:
                # It is alive, it pings: what it does not do is read.
                with contextlib.suppress(ConnectionError):
                    await client.say({"type": "ping", "t": 1})
        grown = memory.grown
        found = await asyncio.gather(*(client.rest() for client in rude))
    most = max(size for size, _ in found)
    measured("A7", f"{count} clients that never read a reply of 1 MB: memory grew by", grown / MIB / count, "MiB each")
    measured("A7", "the most that was sent to one of them", most / 1024, "KiB")
    measured(
        "A7",
        f"closed with {dict(Counter(code for _, code in found))}; others' p99 gap, times the calm one",
        rough / calm,
    )
    assert {code for _, code in found[::2]} == {4408}
    assert {code for _, code in found[1::2]} <= {4408, 1006}
    assert grown / count <= 2 * MIB
    assert 64 * 1024 <= most <= 64 * 1024 + 40 * 1024
    assert rough <= max(2 * calm, 0.35), "the second is for a machine that others share"
