"""Daphne's two walks over all its connections, made short.

Every second it looks for applications that have ended, every two seconds for timeouts, each time at all connections
in one go. With ten thousand of them every stream stood still meanwhile, and an idle server was never idle.
"""

# First: it installs the reactor that the next import would install otherwise.
from ctxsite.lean import Server  # isort: skip

from typing import Any

from twisted.internet import reactor

LOOK_S = 4.0
"""Seconds in which every connection is looked at once for timeouts. The shortest of them is 20 s."""

SLICE = 100
"""Connections that are looked at in one go: a fraction of a millisecond."""


class Rounds(Server):
    """Looks only at connections to which something has happened, and for timeouts at a few at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed: set[Any] = set()
        self._unseen: list[Any] = []

    def create_application(self, protocol: Any, scope: Any) -> Any:
        """As daphne's; its end will be noticed."""
        queue = super().create_application(protocol, scope)
        if queue is not None:
            running = self.connections[protocol]["application_instance"]
            running.add_done_callback(lambda _: self._changed.add(protocol))
        return queue

    def protocol_disconnected(self, protocol: Any) -> None:
        """As daphne's; noticed too."""
        super().protocol_disconnected(protocol)
        self._changed.add(protocol)

    def application_checker(self) -> None:
        """Daphne's own, shown those only that have ended or whose application has: the others it would pass over."""
        everyone = self.connections
        shown = {protocol: everyone[protocol] for protocol in self._changed if protocol in everyone}
        before = set(shown)
        self.connections = shown
        try:
            super().application_checker()
        finally:
            self.connections = everyone
            for protocol in before - shown.keys():
                del everyone[protocol]
            # Who is disconnected and still has an application, or the other way round, is looked at again.
            self._changed = (self._changed - before) | set(shown)

    def timeout_checker(self) -> None:
        """As daphne's, a few at a time."""
        if not self._unseen:
            self._unseen = list(self.connections)
        pause = LOOK_S / max(1, -(-len(self.connections) // SLICE))
        for protocol in self._unseen[-SLICE:]:
            if protocol in self.connections:
                protocol.check_timeouts()
        del self._unseen[-SLICE:]
        later: Any = reactor
        later.callLater(pause, self.timeout_checker)
