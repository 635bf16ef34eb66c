"""The rows that the live text falls back on, as values, and who reads them. This room knows no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chat.stream.protocol import Done


@dataclass(frozen=True, slots=True)
class Row:
    """A turn as its row has it. `piece` is the reply from where it was asked for, `length` that of the whole reply."""

    turn: int
    session: UUID
    number: int
    epoch: int
    finished: bool
    length: int
    piece: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something new in the rows of any session. `kind`: live, ended, notice, gone.

    Of a turn: its id, number, epoch and status; of a notice: its id, first, last and kind.
    """

    kind: str
    id: int
    session: UUID
    first: int
    second: int
    word: str


class Reader(Protocol):
    """The rows, handed in: this room knows no database. Any method may raise; the next try comes later."""

    def reset(self) -> None:
        """Nobody watched for a while: what happened meanwhile is nobody's news."""

    async def news(self) -> Sequence[Change]:
        """All turns that are being written or wait, and what ended, was noted or deleted since the last call."""

    async def rows(self, known: dict[int, int]) -> Sequence[Row]:
        """These turns, their replies from the given character on. A turn that is gone is left out."""

    async def ends(self, turns: Sequence[int]) -> Sequence[tuple[UUID, Done, str]]:
        """Those of these turns that have ended: session, end, whole reply."""
