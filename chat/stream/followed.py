"""A reply that another process writes, as far as it is known here."""

from chat.stream.live import Live
from chat.stream.protocol import Done


class Followed(Live):
    """A reply that another process writes. Its text comes from the bus or from its row, and only ever grows.

    `due` is when its row is to be read, on the loop's clock in seconds: put off by everything that is heard of it.
    `misses` counts readings in a row that found nothing new. `kept` is the length in characters of a text that stood
    in the row when a later attempt began: it belongs to the attempt before, until the length changes. `ending` is the
    end as it was heard, while text before it is missing. Until `urgent` the row is read often: somebody wants the
    reply to end.
    """

    __slots__ = ("asked", "due", "ending", "kept", "misses", "urgent")

    def __init__(self, turn: int, number: int, epoch: int, *, due: float, kept: int | None = None):
        super().__init__(turn, number, epoch)
        self.due = due
        self.misses = 0
        self.kept = kept
        self.ending: Done | None = None
        self.asked = 0.0
        self.urgent = 0.0
