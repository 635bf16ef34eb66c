"""What every format is read into, and the ways in which reading one fails."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# A conversation that the assistant began needs a user's message all the same: turns are pairs.
OPENS = "(conversation opens)"


class Unreadable(Exception):
    """The file, or the rest of it, can't be taken apart. The message is one sentence with the place."""


class Broken(Exception):
    """One conversation is not what its format promises. The message is one sentence with the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One turn. `parent` is the index of the turn before it, None for a first one; `active` lies on the shown path.

    `lines` are what the turn was joined from, as (name, text), where the format names its lines.
    """

    prompt: str
    reply: str = ""
    parent: int | None = None
    active: bool = True
    at: datetime | None = None
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about a conversation, and the names of the lines that hold its answer."""

    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation of a file. `turns` stand behind their parents.

    `place` says where it stood, for messages. `archive` is the whole conversation in our own format, when it was.
    `left_out` counts by code what it had and could not be taken: images, files, thoughts, tools, media.
    """

    place: str
    format: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    title: str = ""
    turns: tuple[Exchange, ...] = ()
    questions: tuple[Question, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archive: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def path(self) -> tuple[Exchange, ...]:
        """The turns of the shown path, in order."""
        return tuple(turn for turn in self.turns if turn.active)

    def digest(self) -> str:
        """The hash of all words and how they hang together: the same conversation read again has the same."""
        digest = hashlib.sha256()
        for turn in self.turns:
            for part in (turn.prompt, turn.reply, str(turn.parent), str(turn.active)):
                digest.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()
