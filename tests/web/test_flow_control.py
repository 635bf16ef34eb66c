"""Pages that read slowly, say nothing, say too much, or meet a database that is away."""

import asyncio
import time
import uuid

import pytest
from django.db import OperationalError

from chat import service
from chat.stream import protocol
from chat.stream.protocol import COMMANDS_WAITING, FRAMES_BURST, SILENT_S, WINDOW_BYTES, Close
from chat.web import attaching, consumers, sending
from chat.web import doors as doors_of
from chat.web.doors import doors
from tests.web.test_consumers import connected, ended, provider, send, session

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["provider", "session"]

LONG = "x" * 1_000 + "\n"


async def sweep(*, later):
    """A sweep as it would be so many seconds from now."""
    await doors.sweep(time.monotonic() + later)


async def taken(socket):
    """The frames that wait, without waiting; their bytes of reply, and the last of them."""
    size, last = 0, None
    while not await socket.receive_nothing(0.2):
        frame = await socket.hear()
        if frame["type"] in ("snapshot", "delta", "block"):
            size, last = size + len(str(frame)), frame
    return size, last


class TestASlowPage:
    async def test_gets_one_window_and_the_rest_as_it_acknowledges(self, provider, session, alice):
        provider.default = [LONG] * 300
        async with connected(alice, session.pk) as socket:
            await send(socket)
            turn = (await socket.hear("accepted"))["turn"]
            row = await ended(turn)
            size, last = await taken(socket)
            assert WINDOW_BYTES <= size < 2 * WINDOW_BYTES + 16_384
            text_end = last["end"]
            for _ in range(50):
                await socket.say("ack", turn=turn, end=text_end)
                size, last = await taken(socket)
                assert size < 2 * WINDOW_BYTES + 16_384
                if last is None:
                    break
                text_end = max(text_end, last["end"])
            assert text_end == len(row.reply) == 300 * len(LONG)

    async def test_is_closed_when_it_acknowledges_nothing(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.hear("done")
            await sweep(later=protocol.ACK_WITHIN_S - 5)
            await socket.say("ping", t=1)
            await socket.hear("pong")
            await sweep(later=protocol.ACK_WITHIN_S + 1)
            assert await socket.closed_with() == Close.SLOW

    async def test_that_acknowledged_everything_stays(self, provider, session, alice):
        async with connected(alice, session.pk) as socket:
            await send(socket)
            done = await socket.hear("done")
            await socket.say("ack", turn=done["turn"], end=done["end"])
            await socket.say("ping", t=1)
            await socket.hear("pong")
            await sweep(later=SILENT_S - 5)
            await socket.say("ping", t=2)
            assert (await socket.hear("pong"))["t"] == 2

    async def test_that_is_paused_hears_that_the_server_ends(self, provider, session, alice):
        provider.default = [LONG] * 300
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await ended((await socket.hear("accepted"))["turn"])
            await taken(socket)
            service.current().hub.bye(code=Close.RESTART, reconnect_after_ms=7)
            assert (await socket.hear())["type"] == "bye"
            assert await socket.closed_with() == Close.RESTART


class TestASilentPage:
    async def test_is_closed_and_one_that_pings_is_not(self, provider, session, alice):
        async with connected(alice, session.pk) as silent, connected(alice, session.pk) as alive:
            await sweep(later=SILENT_S - 5)
            silent_since = time.monotonic()
            await asyncio.sleep(0.05)
            await alive.say("ping", t=1)
            await alive.hear("pong")
            await doors.sweep(silent_since + SILENT_S)
            assert await silent.closed_with() == Close.SLOW
            await alive.say("ping", t=2)
            assert (await alive.hear("pong"))["t"] == 2

    async def test_that_never_said_hello_is_closed_too(self, provider, session, alice):
        async with connected(alice, session.pk, greet=False) as socket:
            await sweep(later=SILENT_S + 1)
            assert await socket.closed_with() == Close.SLOW


class TestABusyPage:
    async def test_is_answered_while_its_command_waits_for_the_database(self, provider, session, alice, monkeypatch):
        go = asyncio.Event()
        real = sending.send

        async def slow(*args, **message):
            await go.wait()
            return await real(*args, **message)

        monkeypatch.setattr(sending, "send", slow)
        async with connected(alice, session.pk) as socket:
            await send(socket)
            await socket.say("ping", t=5)
            assert (await socket.hear("pong", "accepted"))["type"] == "pong"
            go.set()
            assert (await socket.hear("accepted"))["number"] == 2

    async def test_may_let_only_so_many_commands_wait(self, provider, session, alice, monkeypatch):
        go = asyncio.Event()

        async def never(*args, **message):
            await go.wait()

        monkeypatch.setattr(sending, "stop", never)
        monkeypatch.setattr(protocol, "FRAMES_BURST", 10 * FRAMES_BURST)
        async with connected(alice, session.pk) as socket:
            for _ in range(COMMANDS_WAITING + 2):
                await socket.say("stop", turn=1)
            assert await socket.closed_with() == Close.FLOOD
            go.set()


class TestWithoutADatabase:
    async def test_a_message_is_refused_and_the_socket_stays(self, provider, session, alice, monkeypatch):
        async with connected(alice, session.pk) as socket:
            for room, name, broken in ((doors_of, "holds", _fail), (consumers, "sending", _Broken())):
                with monkeypatch.context() as patch:
                    patch.setattr(room, name, broken)
                    client_id = await send(socket)
                    answer = await socket.hear("rejected")
                    assert (answer["client_id"], answer["code"]) == (client_id, "storage")
            await send(socket)
            assert (await socket.hear("accepted"))["number"] == 2

    async def test_a_newcomer_is_asked_to_come_back(self, provider, session, alice, monkeypatch):
        async with connected(alice, session.pk, greet=False) as socket:
            monkeypatch.setattr(attaching, "place", _fail)
            await socket.say("hello", session=str(session.pk))
            assert (await socket.hear("bye"))["reconnect_after_ms"] == service.COME_BACK_MS
            assert await socket.closed_with() == Close.RESTART
        assert service.current().hub.watchers == 0

    async def test_nobody_is_sent_away_for_a_login_that_can_t_be_checked(
        self, provider, session, alice, monkeypatch, caplog
    ):
        async with connected(alice, session.pk) as socket:
            monkeypatch.setattr("chat.web.doors.ended", _fail)
            await doors.sweep()
            await socket.say("ping", t=1)
            assert (await socket.hear())["type"] == "pong"

    async def test_a_mistake_of_ours_is_logged_without_words_and_the_message_may_be_sent_again(
        self, provider, session, alice, monkeypatch, caplog
    ):
        async def broken(*args, **message):
            raise ValueError("ours")

        async with connected(alice, session.pk) as socket:
            with monkeypatch.context() as patch:
                patch.setattr(sending, "send", broken)
                client_id = await send(socket, "My secret words")
                assert (await socket.hear("rejected"))["client_id"] == client_id
            assert "command_failed" in caplog.text
            assert "secret words" not in caplog.text
            await socket.say("send", client_id=client_id, text="My secret words")
            assert (await socket.hear("accepted"))["duplicate"] is False


async def test_a_socket_that_leaves_leaves_nothing_behind(provider, session, alice):
    async with connected(alice, session.pk) as socket:
        assert len(doors._open) == 1
        await socket.say("hello", session=str(session.pk))
        await socket.hear("welcome")
        assert service.current().hub.watchers == 1
    assert len(doors._open) == 0
    assert service.current().hub.watchers == 0


async def test_a_hello_for_nobody_closes_and_is_not_watched(provider, session, alice):
    async with connected(alice, session.pk, greet=False) as socket:
        await socket.say("hello", session=str(uuid.uuid4()))
        assert await socket.closed_with() == Close.GONE
    assert service.current().hub.watchers == 0


class _Broken:
    """The room `sending` while the database is away."""

    read = staticmethod(sending.read)
    write = staticmethod(sending.write)

    @staticmethod
    async def send(*args, **message):
        raise OperationalError("away")


def _fail(*args, **values):
    raise OperationalError("away")
