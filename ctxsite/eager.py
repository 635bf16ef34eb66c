"""Writes to a socket at once when nothing waits before it.

Twisted puts every write into a buffer, asks the selector when the socket takes bytes, and writes one turn of the loop
later: two system calls and a wake-up more for each frame of each reply. A socket with an empty buffer nearly always
takes a frame at once; what it doesn't take goes the usual way.
"""

from typing import Any

from twisted.internet import tcp


class EagerConnection(tcp.Server):
    """A server's end of one TCP connection."""

    _waiting = False

    def startWriting(self) -> None:
        """There is something in the buffer."""
        self._waiting = True
        super().startWriting()

    def stopWriting(self) -> None:
        """The buffer is empty."""
        self._waiting = False
        super().stopWriting()

    def write(self, data: bytes) -> None:
        """Write what the socket takes now; keep the rest, in order."""
        # A pull producer is asked for more only when a buffer has emptied.
        pulls = self.producer is not None and not self.streamingProducer
        if data and self.connected and not (self._waiting or self.disconnecting or pulls):
            sent: Any = self.writeSomeData(data)
            # An exception stands for a connection that is gone: the usual way finds that out by itself.
            if isinstance(sent, int) and sent > 0:
                data = data[sent:]
                if not data:
                    return
        super().write(data)


def install() -> None:
    """Let every port of this process that is opened from now on make such connections."""
    tcp.Port.transport = EagerConnection
