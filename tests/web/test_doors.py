"""A socket ends with what let it in: the session, the user, the password. Somebody else's change is found, too."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import Turn
from chat.stream.protocol import Close
from chat.web import doors as room
from chat.web.doors import Doors, Login, doors, ended, holds
from tests.web.test_consumers import Socket, provider, send, session

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["provider", "session"]


@pytest.fixture
def browser(alice):
    """Alice's browser."""
    client = Client()
    client.force_login(alice)
    return client


async def opened(user, session_id, client):
    socket = Socket(user, session_id)
    socket.scope["session"] = await sync_to_async(lambda: client.session)()
    assert (await socket.connect())[0]
    await socket.say("hello", session=str(session_id))
    await socket.hear("welcome")
    return socket


def deactivate(user, client):
    user.is_active = False
    user.save()


def change_password(user, client):
    user.set_password("another one, just as long")
    user.save()


def log_out(user, client):
    assert client.post("/accounts/logout/").status_code == 302


def delete_user(user, client):
    user.delete()


def flush(user, client):
    client.session.flush()


def deactivate_elsewhere(user, client):
    type(user).objects.filter(pk=user.pk).update(is_active=False)


def change_password_elsewhere(user, client):
    type(user).objects.filter(pk=user.pk).update(password="md5$other")


def end_session_elsewhere(user, client):
    # Past the signals of this process.
    Session.objects.filter(pk=client.session.session_key)._raw_delete("default")


def let_it_expire(user, client):
    Session.objects.filter(pk=client.session.session_key).update(expire_date=timezone.now())


HERE = [log_out, flush, deactivate, change_password, delete_user]
ELSEWHERE = [deactivate_elsewhere, change_password_elsewhere, end_session_elsewhere, let_it_expire]


@pytest.fixture
def no_sweep(monkeypatch):
    """No sweep comes by itself."""
    monkeypatch.setattr(room, "SWEEP_S", 3_600)


@pytest.mark.parametrize("ends", HERE)
async def test_what_ends_a_login_here_closes_its_sockets_at_once(provider, session, alice, browser, no_sweep, ends):
    socket = await opened(alice, session.pk, browser)
    await sync_to_async(ends)(alice, browser)
    assert await socket.closed_with() == Close.SIGNED_OUT


@pytest.mark.parametrize("ends", ELSEWHERE)
async def test_what_ends_a_login_elsewhere_is_found_by_the_sweep(provider, session, alice, browser, no_sweep, ends):
    socket = await opened(alice, session.pk, browser)
    await sync_to_async(ends)(alice, browser)
    await doors.sweep()
    assert await socket.closed_with() == Close.SIGNED_OUT


async def test_the_sweep_comes_by_itself(provider, session, alice, browser, monkeypatch):
    monkeypatch.setattr(room, "SWEEP_S", 0.05)
    socket = await opened(alice, session.pk, browser)
    await sync_to_async(deactivate_elsewhere)(alice, browser)
    assert await socket.closed_with() == Close.SIGNED_OUT


@pytest.mark.parametrize("ends", ELSEWHERE)
@pytest.mark.parametrize("command", ["send", "stop", "hello"])
async def test_before_the_sweep_no_command_is_taken(provider, session, alice, browser, no_sweep, ends, command):
    socket = await opened(alice, session.pk, browser)
    await sync_to_async(ends)(alice, browser)
    if command == "send":
        await send(socket)
    else:
        await socket.say(command, **({"turn": 1} if command == "stop" else {"session": str(session.pk)}))
    assert await socket.closed_with() == Close.SIGNED_OUT
    assert await Turn.objects.filter(session=session).acount() == 1


async def test_others_stay(provider, session, alice, bob, browser, make_session):
    theirs = await sync_to_async(make_session)(1, owner=bob)
    client = Client()
    await sync_to_async(client.force_login)(bob)
    socket, other = await opened(alice, session.pk, browser), await opened(bob, theirs.pk, client)
    await sync_to_async(log_out)(alice, browser)
    assert await socket.closed_with() == Close.SIGNED_OUT
    await doors.sweep()
    await other.say("ping", t=1)
    assert (await other.hear())["type"] == "pong"
    await other.disconnect()


async def test_signing_in_again_elsewhere_closes_nothing(provider, session, alice, browser, no_sweep, monkeypatch):
    looked = []
    monkeypatch.setattr(doors, "suspect", lambda **who: looked.append(who))
    socket = await opened(alice, session.pk, browser)
    await sync_to_async(Client().force_login)(alice)
    assert all("user" not in who for who in looked), "the new key of its own session only"
    await doors.sweep()
    await socket.say("ping", t=1)
    assert (await socket.hear())["type"] == "pong"
    await socket.disconnect()


def test_any_number_of_logins_costs_one_query(alice, bob, browser):
    logins = [Login(f"key {number}", bob.pk, bob.password) for number in range(50)]
    logins[7] = Login(browser.session.session_key, alice.pk, alice.password)
    with CaptureQueriesContext(connection) as queries:
        assert sorted(ended(logins)) == [place for place in range(50) if place != 7]
    assert len(queries) == 1


class Waiting:
    """A door that notes when it was looked at."""

    def __init__(self):
        self.login = Login("", 0, "")
        self.looks = []

    def overdue(self, now):
        self.looks.append(now)
        return False


async def test_a_sweep_looks_at_a_few_at_a_time_and_at_everybody_once(monkeypatch):
    asked = []

    async def read(work, logins):
        asked.append(len(logins))
        return []

    monkeypatch.setattr(room.sending, "read", read)
    monkeypatch.setattr(room, "SLICE", 3)
    crowd, everybody = Doors(), [Waiting() for _ in range(7)]
    for one in everybody:
        crowd.add(one)
    await crowd._look_at_some(1.0)
    # Whoever comes in the middle has as many before it as anybody.
    late = Waiting()
    crowd.add(late)
    crowd.remove(everybody[4])
    for now in (2.0, 3.0, 4.0):
        await crowd._look_at_some(now)
    assert [one.looks for one in everybody] == [[1.0, 3.0]] * 3 + [[2.0, 4.0], [], [2.0, 4.0], [2.0]]
    assert late.looks == [4.0]
    assert max(asked) == 3
    for one in (*everybody, late):
        crowd.remove(one)


def test_one_login_is_judged_as_many_are_by_one_query(alice, browser):
    good = Login(browser.session.session_key, alice.pk, alice.password)
    others = [
        Login("", alice.pk, alice.password),
        Login("another key", alice.pk, alice.password),
        Login(good.key, alice.pk, "another password"),
        Login(good.key, alice.pk + 1, alice.password),
    ]
    for login in (good, *others):
        with CaptureQueriesContext(connection) as queries:
            assert holds(login) == (ended([login]) == [])
        assert sum(query["sql"].strip().startswith("SELECT 1") for query in queries) == 1
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert (holds(good), holds(others[0])) == (False, True)
    type(alice).objects.update(is_active=False)
    assert not holds(others[0])


async def test_a_change_is_seen_when_it_is_committed_and_not_before(provider, session, alice, browser, no_sweep):

    socket = await opened(alice, session.pk, browser)

    def undone():
        with transaction.atomic():
            deactivate(alice, browser)
            transaction.set_rollback(True)

    await sync_to_async(undone)()
    await asyncio.sleep(0.1)
    await socket.say("ping", t=1)
    assert (await socket.hear())["type"] == "pong"
    await socket.disconnect()
