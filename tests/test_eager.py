"""Writes that leave at once, in order, and whole."""

import socket
from collections.abc import Iterator

import pytest
from twisted.internet import tcp
from twisted.internet.protocol import Protocol

from ctxsite import eager


class Selector:
    """The part of a reactor that a connection uses; nothing runs by itself here."""

    def __init__(self) -> None:
        self.writers: list[tcp.Connection] = []

    def addWriter(self, writer: tcp.Connection) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: tcp.Connection) -> None:
        self.writers.remove(writer)

    def addReader(self, reader: tcp.Connection) -> None: ...

    def removeReader(self, reader: tcp.Connection) -> None: ...


@pytest.fixture
def ends() -> Iterator[tuple[eager.EagerConnection, socket.socket, Selector]]:
    """Our end of a connection, the client's, and what watches ours."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    selector = Selector()
    protocol = Protocol()
    connection = eager.EagerConnection(ours, protocol, ("127.0.0.1", 1), None, 1, selector)
    protocol.makeConnection(connection)
    yield connection, theirs, selector
    ours.close()
    theirs.close()


def received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.recv(65_536)
    return data


class TestEagerConnection:
    def test_a_frame_leaves_at_once(self, ends) -> None:
        connection, client, selector = ends
        connection.write(b"frame")
        assert selector.writers == []
        assert received(client, 5) == b"frame"

    def test_what_a_full_socket_does_not_take_follows_in_order(self, ends) -> None:
        connection, client, selector = ends
        whole = bytes(index % 251 for index in range(3_000_000))
        for start in range(0, len(whole), 100_000):
            connection.write(whole[start : start + 100_000])
        assert selector.writers == [connection]
        got = b""
        while len(got) < len(whole):
            got += client.recv(1 << 20)
            if connection in selector.writers:
                connection.doWrite()
        assert got == whole
        assert selector.writers == []

    def test_afterwards_it_is_eager_again(self, ends) -> None:
        connection, client, selector = ends
        connection.write(b"x" * 1_000_000)
        got = 0
        while selector.writers:
            got += len(client.recv(1 << 20))
            connection.doWrite()
        received(client, 1_000_000 - got)
        connection.write(b"frame")
        assert selector.writers == []
        assert received(client, 5) == b"frame"

    def test_a_client_that_hung_up_is_found_out_by_the_reactor(self, ends) -> None:
        connection, client, selector = ends
        client.close()
        connection.write(b"one")
        connection.write(b"two")
        assert selector.writers == [connection]


def test_a_server_makes_such_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp.Port, "transport", tcp.Server)
    eager.install()
    assert tcp.Port.transport is eager.EagerConnection
