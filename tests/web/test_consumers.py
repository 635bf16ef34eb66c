"""The socket: who gets in, what comes back, and that a reply lives without it."""

import asyncio
import hashlib
import json
import re
import uuid
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.db.models import F

from chat import service
from chat.models import ChatSession, Turn
from chat.providers.base import Unavailable
from chat.providers.scripted import ScriptedProvider
from chat.stream.protocol import ERRORS_ALLOWED, FRAME_BYTES, FRAMES_BURST, TEXT_BYTES, Close
from chat.web.routing import websocket_urlpatterns
from tests.web.conftest import add_turn

pytestmark = pytest.mark.django_db(transaction=True)

ROUTER = URLRouter(websocket_urlpatterns)
NO_TURN = "turn: there is none"


class Socket(WebsocketCommunicator):
    """A page's end of a socket."""

    def __init__(self, user, session_id):
        super().__init__(ROUTER, f"/ws/c/{session_id}/")
        self.scope["user"] = user
        self.early = []  # frames that came before they were asked for: replies and answers are not in one order

    async def say(self, kind, **fields):
        await self.send_to(text_data=json.dumps({"v": 1, "type": kind, **fields}))

    async def hear(self, *kinds, within=60):
        """The next frame, or the next of these kinds."""
        for frame in self.early:
            if not kinds or frame["type"] in kinds:
                self.early.remove(frame)
                return frame
        async with asyncio.timeout(within):
            while True:
                frame = json.loads(await self.receive_from(within))
                if not kinds or frame["type"] in kinds:
                    return frame
                self.early.append(frame)

    async def closed_with(self):
        """The close code; frames before it are dropped."""
        while True:
            message = await self.receive_output(60)
            if message["type"] == "websocket.close":
                return message["code"]

    async def shown(self, text):
        """Wait until a page would show exactly this; returns the frame that completed it."""
        so_far = ""
        while so_far != text:
            frame = await self.hear("snapshot", "delta")
            so_far = frame["text"] if frame["type"] == "snapshot" else so_far + frame["text"]
        return frame

    async def reply(self):
        """All frames up to the end of the reply, and the text that a page would show."""
        frames, text = [], ""
        while not frames or frames[-1]["type"] != "done":
            frame = await self.hear()
            frames.append(frame)
            if frame["type"] == "snapshot":
                text = frame["text"]
            elif frame["type"] == "delta":
                assert frame["start"] == len(text)
                text += frame["text"]
                assert frame["end"] == len(text)
        return frames, text


@pytest.fixture
async def provider():
    """A running service that says what a test scripts."""
    scripted = ScriptedProvider(default=["Hello ", "there."])
    await service.start(provider=scripted)
    yield scripted
    await service.drain()
    await service.stop()


@pytest.fixture
def session(make_session):
    return make_session(1)


@asynccontextmanager
async def connected(user, session_id, greet=True):
    socket = Socket(user, session_id)
    assert (await socket.connect())[0]
    if greet:
        await socket.say("hello", session=str(session_id))
        socket.welcome = await socket.hear("welcome")
    yield socket
    await socket.disconnect()


async def send(socket, text="My order number is A-7731.", **fields):
    client_id = str(uuid.uuid4())
    await socket.say("send", client_id=client_id, text=text, **fields)
    return client_id


async def ended(turn):
    """The row of a turn, once it has ended."""
    for _ in range(600):
        stored = await Turn.objects.aget(pk=turn)
        if not stored.is_live:
            return stored
        await asyncio.sleep(0.05)
    raise AssertionError(f"turn {turn} does not end")


class TestWhoGetsIn:
    async def test_a_stranger_hears_what_everybody_hears_of_an_id_that_never_was(self, provider, session, bob):
        for session_id in (session.pk, uuid.uuid4()):
            socket = Socket(bob, session_id)
            assert (await socket.connect())[0]
            assert await socket.receive_output(5) == {"type": "websocket.close", "code": Close.GONE}

    async def test_who_is_not_signed_in_is_told_so(self, provider, session):
        socket = Socket(AnonymousUser(), session.pk)
        await socket.connect()
        assert await socket.closed_with() == Close.SIGNED_OUT

    async def test_hello_for_another_session_ends_it(self, provider, session, alice, make_session):
        other = await sync_to_async(make_session)(1)
        async with connected(alice, session.pk, greet=False) as socket:
            await socket.say("hello", session=str(other.pk))
            assert await socket.closed_with() == Close.GONE

    async def test_a_deleted_conversation_is_gone_for_every_tab(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            service.current().hub.gone(session.pk)
            assert (await socket.hear("gone"))["session"] == str(session.pk)
            assert await socket.closed_with() == Close.GONE

    async def test_a_server_that_ends_sends_its_sockets_away_first(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["First ", go]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.shown("First ")
            ending = asyncio.create_task(service.drain())
            bye = await socket.hear("bye")
            assert (bye["code"], bye["reconnect_after_ms"]) == (Close.RESTART, service.COME_BACK_MS)
            assert await socket.closed_with() == Close.RESTART
            assert not ending.done(), "before what still runs has ended"
            go.set()
            await ending

    async def test_without_a_service_the_page_is_asked_to_come_back(self, session, alice):
        socket = Socket(alice, session.pk)
        await socket.connect()
        assert await socket.closed_with() == Close.RESTART


class TestTheMarkOfTheWelcome:
    async def test_it_is_that_of_the_page_and_another_one_after_a_notice_or_a_title(
        self, provider, session, alice, async_client
    ):
        await sync_to_async(async_client.force_login)(alice)

        async def marks():
            page = (await async_client.get(f"/c/{session.pk}/")).content.decode()
            around = (await async_client.get(f"/c/{session.pk}/turns/around/")).content.decode()
            async with connected(alice, session.pk) as socket:
                told = socket.welcome["around"]
            assert [re.search(r'<h1 id="title"[^>]* data-around="([^"]*)"', one)[1] for one in (page, around)] == [
                told
            ] * 2
            return told

        rows = ChatSession.objects.filter(pk=session.pk)
        seen = [await marks()]
        await rows.aupdate(title="Another title")
        seen.append(await marks())
        await rows.aupdate(context_version=F("context_version") + 1)
        seen.append(await marks())
        assert len(set(seen)) == 3
        assert await marks() == seen[-1]


class TestAReply:
    async def test_a_message_is_accepted_answered_and_stored(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            assert socket.welcome["head"] == 1
            client_id = await send(socket, base=1)
            accepted = await socket.hear("accepted")
            assert accepted["client_id"] == client_id
            assert accepted["number"] == 2
            frames, text = await socket.reply()
            done = frames[-1]
            assert text == "Hello there."
            assert (done["status"], done["stop_reason"], done["end"]) == ("complete", "end_turn", len(text))
            assert done["sha256"] == hashlib.sha256(text.encode()).hexdigest()
            assert done["gauge"]["window"] > 0
        turn = await Turn.objects.aget(pk=accepted["turn"])
        assert turn.reply == text

    async def test_finished_blocks_come_rendered_while_it_streams(self, provider, session, alice):
        go, end = asyncio.Event(), asyncio.Event()
        provider.default = ["# One", go, "\n\nTwo <script>\n\n", end, "Three\n"]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.shown("# One")
            go.set()
            block = await socket.hear("block")
            assert (block["index"], block["html"]) == (0, "<h2>One</h2>")
            assert block["end"] == len("# One\n\n")
            end.set()
            await socket.hear("done")

    async def test_a_second_socket_gets_the_text_so_far_and_then_the_same(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["First ", go, "second."]
        async with connected(alice, session.pk) as one:
            await send(one)
            await one.shown("First ")
            async with connected(alice, session.pk) as two:
                assert two.welcome["live"]["turn"] > 0
                assert (await two.shown("First "))["type"] == "snapshot"
                go.set()
                frames = [await two.hear("delta", "done")]
                while frames[-1]["type"] != "done":
                    frames.append(await two.hear("delta", "done"))
                assert frames[0] == frames[0] | {"start": 6, "text": "second."}

    async def test_who_comes_back_gets_only_what_is_missing(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["First ", go, "second."]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            seen = await socket.shown("First ")
        async with connected(alice, session.pk, greet=False) as socket:
            at = {"turn": seen["turn"], "epoch": seen["epoch"], "end": seen["end"]}
            await socket.say("hello", session=str(session.pk), **at)
            await socket.hear("welcome")
            go.set()
            delta = await socket.hear("delta", "snapshot")
            assert (delta["type"], delta["start"]) == ("delta", 6)

    async def test_who_comes_back_after_the_end_gets_the_rest_and_the_end(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["First ", go, "second."]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            seen = await socket.shown("First ")
        go.set()
        await ended(seen["turn"])
        async with connected(alice, session.pk, greet=False) as socket:
            at = {"turn": seen["turn"], "epoch": seen["epoch"], "end": seen["end"]}
            await socket.say("hello", session=str(session.pk), **at)
            assert "live" not in await socket.hear("welcome")
            delta, done = await socket.hear("delta", "snapshot"), await socket.hear("done")
            assert (delta["type"], delta["start"], delta["text"]) == ("delta", 6, "second.")
            assert (done["status"], done["stop_reason"], done["end"]) == ("complete", "end_turn", 13)
            assert done["sha256"] == hashlib.sha256(b"First second.").hexdigest()
            assert done["usage"]["output"] > 0

    async def test_who_names_only_the_turn_gets_all_of_it(self, provider, session, alice):
        turn = await Turn.objects.filter(session=session).afirst()
        async with connected(alice, session.pk, greet=False) as socket:
            await socket.say("hello", session=str(session.pk), turn=turn.pk)
            snapshot, done = await socket.hear("snapshot"), await socket.hear("done")
            assert (snapshot["text"], snapshot["number"], done["turn"]) == (turn.reply, 1, turn.pk)

    async def test_what_a_failed_reply_keeps_is_told_from_its_beginning(self, provider, session, alice):
        # It may be the text of an earlier attempt, of which this page has nothing.
        values = {"status": "failed", "epoch": 2, "stop_reason": "", "usage": None, "error": "unavailable"}
        turn = await sync_to_async(add_turn)(session, reply="The longer text of before", **values)
        async with connected(alice, session.pk, greet=False) as socket:
            await socket.say("hello", session=str(session.pk), turn=turn.pk, epoch=2, end=4)
            assert (await socket.hear("snapshot", "delta"))["text"] == "The longer text of before"
            assert (await socket.hear("done"))["stop_reason"] == "unavailable"

    async def test_the_reply_goes_on_without_the_socket(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["First ", go, "second."]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            turn = (await socket.hear("accepted"))["turn"]
            await socket.shown("First ")
        go.set()
        stored = await ended(turn)
        assert (stored.status, stored.reply) == ("complete", "First second.")

    async def test_stop_keeps_what_was_seen(self, provider, session, alice):
        provider.default = ["Some words. ", asyncio.Event()]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            turn = (await socket.hear("accepted"))["turn"]
            await socket.shown("Some words. ")
            await socket.say("stop", turn=turn)
            done = await socket.hear("done")
            assert (done["status"], done["end"]) == ("stopped", len("Some words. "))
        assert (await Turn.objects.aget(pk=turn)).reply == "Some words. "

    async def test_a_failure_ends_the_turn_and_says_so(self, provider, session, alice):
        provider.default = ["Half a ", Unavailable("cut")]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            done = await socket.hear("done", within=30)
            assert done["status"] == "failed"
        turn = await Turn.objects.order_by("-number").afirst()
        assert (turn.error, turn.prompt) == ("unavailable", "My order number is A-7731.")

    async def test_seen_follows_what_was_on_the_screen(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.hear("done")
            await socket.say("ping", t=1)
            await socket.hear("pong")
            for _ in range(100):
                if (await ChatSession.objects.aget(pk=session.pk)).seen == 2:
                    break
                await asyncio.sleep(0.02)
        assert (await ChatSession.objects.aget(pk=session.pk)).seen == 2


class TestRefusals:
    async def test_the_same_message_twice_is_one_turn(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            client_id = str(uuid.uuid4())
            for _ in range(2):
                await socket.say("send", client_id=client_id, text="Once.")
            answers = [await socket.hear("accepted"), await socket.hear("accepted")]
            assert [answer["duplicate"] for answer in answers] == [False, True]
            assert answers[0]["turn"] == answers[1]["turn"]
            await socket.say("send", client_id=client_id, text="Other words.")
            assert (await socket.hear("rejected"))["code"] == "client_id_reuse"

    async def test_one_live_turn_a_conversation(self, provider, session, alice):
        go = asyncio.Event()
        provider.default = ["Wait ", go]
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.hear("accepted")
            second = await send(socket, "Too early.")
            refusal = await socket.hear("rejected")
            assert (refusal["client_id"], refusal["code"]) == (second, "busy")
            assert refusal["retry_after_ms"] > 0
            go.set()
            await socket.hear("done")

    async def test_another_owners_turn_can_be_neither_stopped_nor_retried(
        self, provider, session, alice, bob, make_session
    ):
        theirs = await sync_to_async(make_session)(0, owner=bob)
        turn = await sync_to_async(add_turn)(theirs, status="running", lease_until="2100-01-01T00:00:00Z")
        async with connected(alice, session.pk) as socket:
            await socket.say("stop", turn=turn.pk)
            assert (await socket.hear("error"))["code"] == "not_found"
            await send(socket, op="retry", of=turn.pk)
            assert (await socket.hear("rejected"))["code"] == "not_found"
        await turn.arefresh_from_db()
        assert (turn.status, turn.cancel_requested) == ("running", False)

    async def test_a_place_in_a_foreign_turn_is_answered_like_one_that_never_was(
        self, provider, session, alice, bob, make_session
    ):
        theirs = await sync_to_async(make_session)(1, owner=bob)
        secret = await sync_to_async(add_turn)(theirs, reply="The secret of bob.")
        for turn in (secret.pk, 2**40):
            async with connected(alice, session.pk, greet=False) as socket:
                await socket.say("hello", session=str(session.pk), turn=turn, epoch=1, end=0)
                assert await socket.hear() == {"v": 1, "type": "error", "code": "not_found", "detail": NO_TURN}
                assert (await socket.hear())["type"] == "welcome"
                await socket.say("ping", t=1)
                assert (await socket.hear())["type"] == "pong"

    async def test_a_bad_frame_is_named_and_five_end_the_socket(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            for _ in range(ERRORS_ALLOWED):
                await socket.say("stop", turn="x")
                assert (await socket.hear("error"))["detail"].startswith("turn: ")
            assert await socket.closed_with() == Close.FLOOD

    async def test_a_flood_ends_the_socket(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            for _ in range(FRAMES_BURST + 10):
                await socket.say("ping", t=1)
            assert await socket.closed_with() == Close.FLOOD

    async def test_a_text_that_is_too_large_is_refused_and_such_a_frame_ends_the_socket(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            await send(socket, "x" * (TEXT_BYTES + 1))
            assert (await socket.hear("error"))["code"] == "too_large"
            await send(socket, "x" * FRAME_BYTES)
            assert (await socket.hear("error"))["code"] == "frame_too_large"
            assert await socket.closed_with() == Close.FLOOD
        assert await Turn.objects.filter(session=session).acount() == 1

    async def test_another_version_is_told_to_reload(self, provider, session, alice):
        async with connected(alice, session.pk, greet=False) as socket:
            await socket.send_to(text_data=json.dumps({"v": 2, "type": "ping", "t": 1}))
            assert await socket.closed_with() == Close.VERSION


async def test_a_ping_is_answered_without_a_task_until_there_are_too_many(provider, session, alice):
    socket, answering = Socket(alice, session.pk), []
    socket.scope["answer_with"] = answering.append
    await socket.connect()
    await socket.say("hello", session=str(session.pk))
    await socket.hear("welcome")
    (at_once,) = answering
    ping = b'{"v":1,"type":"ping","t":3}'
    assert json.loads(at_once(ping)) == {"v": 1, "type": "pong", "t": 3}
    assert at_once(b'{"v":1,"type":"stop","turn":3}') is None, "a command"
    # The flood is left to `receive`, which closes.
    answers = [at_once(ping) for _ in range(2 * FRAMES_BURST)]
    assert answers[0]
    assert answers[-1] is None
    await socket.say("ping", t=1)
    assert await socket.closed_with() == Close.FLOOD
    assert at_once(ping) is None, "closed"
