"""What a client did and saw, with times: every call with its outcome, every frame. Judged after the faults."""

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID


@dataclass(slots=True)
class Call:
    """One message that a client wanted stored. Times are monotonic seconds.

    `outcome`: "ok" once any answer said accepted; "failed" when it was refused for good; "unknown" otherwise.
    """

    session: UUID
    client_id: UUID
    text: str
    began: float
    outcome: Literal["unknown", "ok", "failed"] = "unknown"
    ended: float | None = None
    code: str = ""
    turn: int = 0
    number: int = 0
    tries: int = 0
    duplicates: int = 0

    @property
    def seconds(self) -> float:
        """From the first try to the answer."""
        assert self.ended is not None, f"{self.client_id} was never answered"
        return self.ended - self.began


@dataclass(slots=True)
class Seen:
    """One frame that came in, and when (monotonic seconds)."""

    at: float
    session: UUID
    frame: dict[str, Any]


@dataclass(slots=True)
class History:
    """All calls and frames of a group of clients."""

    calls: dict[UUID, Call] = field(default_factory=dict)
    frames: list[Seen] = field(default_factory=list)
    closes: list[tuple[float, UUID, int]] = field(default_factory=list)
    keep_frames: bool = True

    def begin(self, session: UUID, client_id: UUID, text: str) -> Call:
        """A message is about to be sent, perhaps again."""
        call = self.calls.setdefault(client_id, Call(session, client_id, text, time.monotonic()))
        call.tries += 1
        return call

    def saw(self, session: UUID, frame: dict[str, Any]) -> None:
        """A frame came in; what it says about a call is kept in the call."""
        now = time.monotonic()
        if self.keep_frames:
            self.frames.append(Seen(now, session, frame))
        if frame["type"] in ("accepted", "rejected"):
            self._answered(now, frame)

    def _answered(self, now: float, frame: dict[str, Any]) -> None:
        call = self.calls.get(UUID(frame["client_id"]))
        if call is None:
            return
        if frame["type"] == "accepted":
            call.duplicates += bool(frame.get("duplicate"))
            if call.outcome != "ok":
                call.outcome, call.ended = "ok", now
                call.turn, call.number = frame["turn"], frame["number"]
        else:
            call.code = frame["code"]

    def of(self, kind: str, session: UUID | None = None) -> list[Seen]:
        """The frames of one type, of one session if named."""
        return [seen for seen in self.frames if seen.frame["type"] == kind and session in (None, seen.session)]

    def gaps(self, session: UUID, turn: int, since: float, until: float) -> list[float]:
        """The seconds between two pieces of a reply, each pause that touches the time from `since` to `until`.

        One that lasted beyond `until` counts too: a stall ends in the first piece after it.
        """
        times = [seen.at for seen in self.of("delta", session) if seen.frame["turn"] == turn]
        return [later - earlier for earlier, later in pairwise(times) if earlier <= until and later >= since]

    def closed(self, code: int, at: float, session: UUID) -> None:
        """A socket was closed, by whom ever."""
        self.closes.append((at, session, code))

    def judge(self, rows: list[tuple[Any, Any, str]]) -> list[str]:
        """What is wrong with the stored turns (client id, session, prompt): acknowledged messages that are not there,
        messages that are there twice or with other words or in another conversation. Empty when all is well."""
        stored: dict[UUID, list[tuple[UUID, str]]] = {}
        for client_id, session, prompt in rows:
            stored.setdefault(UUID(str(client_id)), []).append((UUID(str(session)), prompt))
        wrong = []
        for call in self.calls.values():
            found = stored.get(call.client_id, [])
            if call.outcome == "ok" and not found:
                wrong.append(f"lost: {call.client_id} was acknowledged and is not stored")
            if len(found) > 1:
                wrong.append(f"duplicate: {call.client_id} is stored {len(found)} times")
            wrong += [
                f"mixed up: {call.client_id} is stored with other words or elsewhere"
                for session, prompt in found
                if (session, prompt) != (call.session, call.text)
            ]
        words = Counter(prompt for found in stored.values() for _, prompt in found)
        wrong += [f"duplicate: {text[:40]!r} is stored {words[text]} times" for text in words if words[text] > 1]
        return wrong
