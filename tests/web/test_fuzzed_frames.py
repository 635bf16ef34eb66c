"""Random frames through the consumer: every one is answered or refused, and nothing breaks. 10^5 of them:

CHAT_FUZZED_FRAMES=100000 python -m pytest -s tests/web/test_fuzzed_frames.py
"""

import gc
import json
import logging
import os
import random

import psutil
import pytest
from asgiref.sync import sync_to_async

from chat.models import ChatSession, Turn
from chat.stream import protocol
from chat.web.doors import doors
from tests.web import fuzzing
from tests.web.conftest import add_turn
from tests.web.test_consumers import Socket, provider, session

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["provider", "session"]

COUNT = int(os.environ.get("CHAT_FUZZED_FRAMES", "1000"))
A_SOCKET = 100  # a frame of another version, and some others, end it
SERVER_SAYS = {kind.type for kind in protocol.OUTBOUND}


async def drained(socket):
    """Take what came; the frames' types and how the socket ended."""
    kinds = set()
    while True:
        message = await socket.receive_output(60)
        if message["type"] == "websocket.close":
            return kinds, message["code"]
        frame = json.loads(message["text"])
        kinds.add(frame["type"])
        if frame["type"] == "pong" and frame["t"] == 4711:
            return kinds, None


@pytest.mark.timeout(1_800)
async def test_whatever_a_page_sends_it_gets_a_frame_and_nothing_breaks(
    provider, session, alice, bob, make_session, monkeypatch, caplog
):
    monkeypatch.setattr(protocol, "FRAMES_BURST", 10**9)
    monkeypatch.setattr(protocol, "ERRORS_ALLOWED", 10**9)
    monkeypatch.setattr(protocol, "COMMANDS_WAITING", 10**9)
    theirs = await sync_to_async(make_session)(0, owner=bob)
    secret = await sync_to_async(add_turn)(theirs, reply="The secret of bob.")
    turns = [*[turn.pk async for turn in Turn.objects.filter(session=session)], secret.pk, 2**40]
    process, dice = psutil.Process(), random.Random(COUNT)
    frames, sizes, ends, kinds = 0, [], {}, set()
    gc.collect()  # what an earlier test left is none of it
    with caplog.at_level(logging.WARNING):
        for _ in range(0, COUNT, A_SOCKET):
            socket = Socket(alice, session.pk)
            assert (await socket.connect(60))[0]
            for data in fuzzing.frames(dice.randrange(2**32), A_SOCKET, session.pk, turns):
                kind = "text" if isinstance(data, str) else "bytes"
                await socket.send_input({"type": "websocket.receive", kind: data})
            await socket.say("ping", t=4711)
            told, code = await drained(socket)
            kinds |= told
            ends[code] = ends.get(code, 0) + 1
            await socket.disconnect()
            gc.collect()
            sizes.append(process.memory_info().rss)
            frames += A_SOCKET
            if frames % 10_000 == 0:
                print(f"fuzz | {frames} frames | {sizes[-1] / 2**20:.1f} MiB", flush=True)
    assert len(doors._open) == 0
    assert kinds <= SERVER_SAYS
    assert {"error", "pong", "welcome", "accepted", "rejected", "done"} & kinds
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert "Traceback" not in caplog.text
    assert await ChatSession.objects.filter(pk=session.pk).aexists()
    await secret.arefresh_from_db()
    assert (secret.reply, secret.status) == ("The secret of bob.", "complete")
    settled = len(sizes) // 4
    grown = (sizes[-1] - sizes[settled]) / 2**20
    print(f"fuzz | {COUNT} frames, sockets ended by {ends}: memory over the last three quarters | {grown:.1f} MiB")
    assert grown < 10
