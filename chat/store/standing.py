"""Which finished turns are sent word for word: those from the window's start on, and older ranges that were restored.

Everything that changes this goes through `write`: versions rise, the totals follow, and the notices say what is true.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chat.models import ChatSession
from chat.store import coverage, ranges
from chat.store.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Standing:
    """The turns from `window_from` on, and the older ranges `restored`."""

    window_from: int
    restored: Ranges

    @classmethod
    def of(cls, session: ChatSession) -> "Standing":
        """As the session's row has it."""
        return cls(session.window_from, ranges.read(session.restored))

    def holds(self, number: int) -> bool:
        """Whether turn `number` is sent word for word, unless somebody excluded it."""
        return number >= self.window_from or ranges.hold(self.restored, number)

    def stored(self) -> dict[str, object]:
        """As columns of the session."""
        return {"window_from": self.window_from, "restored": [list(one) for one in self.restored] or None}


def placed(session_id, start: int, older: Iterable[tuple[int, int]]) -> Standing:
    """What stands word for word once the turns from `start` on and `older` ranges are sent, but for what is covered."""
    return Standing(*ranges.place(start, older, coverage.covered(session_id)))


def write(session: ChatSession, standing: Standing, *, prefix: bool, **values: object) -> list[tuple[str, int, int]]:
    """Make `standing` what the next request is made from; the notices that were added. The session is locked.

    `prefix`: the cached beginning of the request changes with it, so that younger facts and pins may join it.
    """
    version = session.context_version + 1
    values |= {
        "context_version": version,
        "open_tokens": coverage.open_tokens(session.pk),
        "marked": coverage.marked(session.pk),
        **standing.stored(),
    }
    if prefix:
        values["prefix_version"] = version
    ChatSession.objects.filter(pk=session.pk).update(**values)
    session.context_version = version
    return coverage.tell(session.pk)
