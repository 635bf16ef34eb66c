"""The window of a session's newest turns, kept for ten minutes where the next turn of the session finds it.

A window is named by (session, context version, last finished turn, limits of the load): whatever changes how finished
turns are seen raises the version, and a new turn changes the last one, so that what is found under its name is never
stale. It is a saving only: what is missing, late or broken is read from the database. `rediswindows` keeps them.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol


class Key(NamedTuple):
    """What a window is of. `turns` and `tokens` are the limits that it was read within."""

    session: str
    version: int
    head: int | None
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that a request is made from, as they were read: lists, so that a copy through JSON is the same.

    `turns` are rows of `loading.Row`, oldest first; the first `marked` of them are pinned ones from before the window.
    """

    turns: list[Any]
    marked: int
    steps: dict[int, list[list[Any]]]
    excluded: list[tuple[int, str]]
    summaries: list[Any]
    facts: list[Any]
    documents: list[Any]

    def followed_by(self, row: tuple[Any, ...], steps: list[list[Any]], key: Key, upto: int) -> "Window | None":
        """The window after one more turn, whose running sum of tokens is `upto`; None when an older turn would have
        to leave it, because what becomes of that one the database says. The last field of a row is its running sum.
        """
        own = [*self.turns[self.marked :], row]
        if len(own) > key.turns or own[0][-1] <= upto - key.tokens:
            return None
        return replace(
            self, turns=[*self.turns, row], steps={**self.steps, row[0]: steps} if steps else dict(self.steps)
        )

    def to_json(self) -> str:
        """As text, for a cache."""
        return json.dumps(
            [
                *(self.turns, self.marked, list(self.steps.items())),
                *(self.excluded, self.summaries, self.facts, self.documents),
            ]
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "Window":
        """From `to_json`. Raises ValueError or TypeError for anything else."""
        turns, marked, steps, excluded, summaries, facts, documents = json.loads(text)
        return cls(turns, marked, dict(steps), excluded, summaries, facts, documents)


class Recent(Protocol):
    """A cache of windows. Never raises: what it can't do is a miss."""

    def get(self, key: Key) -> Window | None:
        """The window of exactly this name."""
        ...

    def put(self, key: Key, window: Window) -> None:
        """Keep a window; the session's older one goes."""
        ...

    def forget(self, session: str) -> None:
        """Delete what is kept of a session."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...
