"""The harness itself: what the fault tests stand on must not be what fails."""

import contextlib
import socket
import socketserver
import threading
import time
from uuid import uuid4

import psycopg
import pytest

from tests.faults.harness import History, measured, percentile


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
async def test_a_page_sends_a_message_and_reads_its_whole_answer(site, pages, upstream, redis, engine):
    own = site(engine, redis=redis)
    web = own.web()
    (page,) = await pages(own, web.url)
    call, reply = await page.send_and_read(f"Write 60 words about harbours in {engine}")
    assert call.outcome == "ok"
    assert reply.done["status"] == "complete"
    row = own.turn(call.turn)
    assert row["reply"] == reply.text != ""
    (record,) = upstream.calls(f"Write 60 words about harbours in {engine}")
    assert record["outcome"] == "sent"
    assert own.broken_invariants() == ""
    assert web.terminate() < 6
    measured("harness", f"from send to the last word on {engine}", reply.done_at - call.began, "s")


class Echo(socketserver.BaseRequestHandler):
    """Sends back whatever comes."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self.request.recv(65536):
                self.request.sendall(piece)


@pytest.fixture
def echo():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ask(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(65536)


def test_the_proxy_passes_on_delays_holds_back_cuts_and_refuses(proxy, echo):
    bad = proxy(echo)
    with socket.create_connection(("127.0.0.1", bad.port), timeout=5) as connection:
        assert ask(connection, b"one") == b"one"
        bad.delay(0.1)
        began = time.monotonic()
        assert ask(connection, b"two") == b"two"
        assert time.monotonic() - began >= 0.2, "there and back"
        bad.delay(0)
        bad.freeze()
        connection.sendall(b"three")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        bad.thaw()
        connection.settimeout(5)
        assert connection.recv(10) == b"three"
        bad.cut_after(20)
        assert ask(connection, b"x" * 4) == b"x" * 4
        with pytest.raises(ConnectionResetError):
            ask(connection, b"y" * 30)
    assert bad.cut == 1
    bad.cut_after(None)
    with socket.create_connection(("127.0.0.1", bad.port), timeout=5) as connection:
        assert ask(connection, b"again") == b"again"
        bad.refuse()
        with pytest.raises(ConnectionResetError):
            ask(connection, b"gone")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", bad.port), timeout=5)
    bad.accept()
    with socket.create_connection(("127.0.0.1", bad.port), timeout=5) as connection:
        assert ask(connection, b"back") == b"back"


def test_a_history_finds_what_was_lost_doubled_or_mixed_up():
    history, session = History(), uuid4()
    calls = [history.begin(session, uuid4(), f"text {n}") for n in range(4)]
    for call in calls[:3]:
        history.saw(session, {"type": "accepted", "client_id": str(call.client_id), "turn": 1, "number": 1})
    kept, lost, doubled, unknown = calls
    rows = [(kept.client_id, session, kept.text), *[(doubled.client_id, session, doubled.text)] * 2]
    assert [line.split(":")[0] for line in history.judge(rows)] == ["lost", "duplicate", "duplicate"]
    assert str(lost.client_id) in history.judge(rows)[0]
    good = [(call.client_id, session, call.text) for call in (kept, lost, doubled)]
    assert history.judge(good) == [], "an unknown one may be missing"
    assert history.judge([*good, (unknown.client_id, session, unknown.text)]) == [], "or there, once"
    assert history.judge([*good[:2], (doubled.client_id, uuid4(), doubled.text)])[0].startswith("mixed up")


def test_a_killed_server_is_gone_and_comes_back_on_its_port_with_what_it_had(postgresql, redis):
    own = postgresql.fresh()
    own.rows("CREATE TABLE kept (word text)")
    own.rows("INSERT INTO kept VALUES ('here')")
    postgresql.stop()
    with pytest.raises(psycopg.OperationalError):
        own.rows("SELECT 1")
    postgresql.start()
    assert own.rows("SELECT word FROM kept") == [("here",)]
    own.drop()
    redis.command("SET", "word", "here")
    redis.stop()
    with pytest.raises(ConnectionRefusedError):
        redis.command("PING")
    redis.start()
    assert redis.command("GET", "word").startswith("$-1"), "what it had is lost, as after a crash"


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 101), 1.0) == 100
