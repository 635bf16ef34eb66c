"""What this process tells the others over the bus: the beginning and end of its replies, and their text where wanted.

A session has two channels. Its events are few: every process in which the session is watched hears them. Its text is
sent only after another process has asked for it, and no more once it reaches nobody: a reply that is watched where it
is written costs the bus three frames, however long it is.
"""

from uuid import UUID

from chat.stream.bus import Bus
from chat.stream.followed import Followed
from chat.stream.hub import Hub
from chat.stream.live import Live
from chat.stream.protocol import Branch, Done, Gone, Notice, Outbound, Status

WORKERS = "workers"
"""The channel that every process with a runner or jobs listens to."""

PIECE_CHARS = 16_384
"""Characters of text in one frame."""

TAIL_CHARS = 8 * PIECE_CHARS
"""Characters that are sent again at most to a process that missed something; beyond that it reads the row."""


def events(session: UUID) -> str:
    """The channel for the events of a session."""
    return f"s:{session}"


def texts(session: UUID) -> str:
    """The channel for the text of a session's replies."""
    return f"t:{session}"


class Telling:
    """The outgoing half of the live text between processes."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._hub = hub
        self._bus = bus
        self._wanted: set[UUID] = set()

    def begun(self, session: UUID, live: Live) -> None:
        """A reply starts here."""
        self._bus.send(events(session), ("begin", live.turn, live.number, live.epoch))

    def grown(self, session: UUID, live: Live, start: int) -> None:
        """A reply of this process shows more text, from `start` on."""
        if session in self._wanted:
            for at in range(start, live.end, PIECE_CHARS):
                piece = live.text[at : at + PIECE_CHARS]
                self._bus.send(texts(session), ("text", live.turn, live.epoch, at, piece))

    def said(self, session: UUID, frame: Outbound) -> None:
        """A status, a notice (its place, not its words), another branch, or the end of the conversation."""
        if isinstance(frame, Status):
            self._bus.send(events(session), ("status", frame.turn, frame.phase, frame.since_ms))
        elif isinstance(frame, Notice) and frame.range:
            self._bus.send(events(session), ("notice", frame.kind, *frame.range))
        elif isinstance(frame, Branch):
            self._bus.send(events(session), ("branch", frame.first, frame.turn, frame.head))
        elif isinstance(frame, Gone):
            self._bus.send(events(session), ("gone",))

    def ended(self, session: UUID, done: Done) -> None:
        """A reply of this process is stored."""
        self._bus.send(events(session), ("done", {name: getattr(done, name) for name in done.__slots__}))
        self._wanted.discard(session)

    def want(self, session: UUID, turn: int, epoch: int, end: int) -> None:
        """Another process asks for a reply from `end` on. Only who writes it answers."""
        live = self._hub.live(session)
        if live is None or isinstance(live, Followed) or live.turn != turn or live.epoch < epoch:
            return
        self._wanted.add(session)
        if live.epoch > epoch:
            self._bus.send(events(session), ("begin", live.turn, live.number, live.epoch))
            end = 0
        if live.end - end <= TAIL_CHARS:
            self.grown(session, live, end)

    def unheard(self, channel: str) -> None:
        """A frame reached nobody: no more text until somebody asks again."""
        kind, _, name = channel.partition(":")
        if kind == "t":
            self._wanted.discard(UUID(name))
