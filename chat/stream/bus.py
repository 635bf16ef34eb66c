"""The bus between the processes of a site: short frames on named channels, over Redis (`redisbus`) or not at all.

Nothing here is the truth, so nothing here is waited for: a frame that can't go now is dropped, and whoever missed it
reads the row. A frame holds what a reply says: it is never logged and never stored, by us or by Redis.
"""

from collections.abc import Sequence
from typing import Any, Protocol

Frame = Sequence[Any]


class Receiver(Protocol):
    """Who is told what the bus hears. Called in the event loop; what it raises is logged by name only."""

    def received(self, channel: str, frame: list[Any]) -> None:
        """A frame of another process. It has been checked to be a list that begins with a string, no more."""

    def listening(self, channel: str) -> None:
        """From now on nothing sent to this channel is missed."""

    def unheard(self, channel: str) -> None:
        """A frame that was sent to this channel has reached nobody."""

    def changed(self, up: bool) -> None:
        """The bus went up or down."""


class Bus(Protocol):
    """Frames to other processes. No method blocks or raises; `send` drops what can't go."""

    @property
    def up(self) -> bool:
        """Whether frames go out and come in, as far as is known."""

    def start(self, receiver: Receiver) -> None:
        """Begin; a bus that can't be reached yet goes up later."""

    def send(self, channel: str, frame: Frame) -> None:
        """Send a frame to every other process that listens to the channel."""

    def listen(self, channel: str) -> None:
        """Hear what other processes send to this channel."""

    def leave(self, channel: str) -> None:
        """Hear it no more."""

    def numbers(self) -> dict[str, int]:
        """What was sent, received and dropped so far."""

    async def stop(self) -> None:
        """Send what waits, as far as it goes at once, and end."""


class NoBus:
    """No bus: every process for itself, and what others do is read from the rows."""

    up = False

    def start(self, receiver: Receiver) -> None:
        """Nothing to do."""

    def send(self, channel: str, frame: Frame) -> None:
        """Nobody hears it."""

    def listen(self, channel: str) -> None:
        """Nothing comes."""

    def leave(self, channel: str) -> None:
        """Nothing came."""

    def numbers(self) -> dict[str, int]:
        """None."""
        return {}

    async def stop(self) -> None:
        """Nothing to do."""
