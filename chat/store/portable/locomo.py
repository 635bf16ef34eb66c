"""The LoCoMo set: very long conversations of two people, with questions and the lines that answer them.

The first speaker is the user, the second the assistant. Consecutive lines of one speaker are one message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chat.store.portable.fields import clean, may, obj, take
from chat.store.portable.values import OPENS, Broken, Conversation, Exchange, Question

NAME = "locomo"
_DATE = "%I:%M %p on %d %B, %Y"


def fits(item: Mapping[str, Any]) -> bool:
    """Whether this looks like a conversation of this format."""
    return "speakers" in item and "sessions" in item


@dataclass(slots=True)
class _Pair:
    """A turn that may still grow."""

    at: datetime | None
    prompts: list[tuple[str, str]] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)

    def exchange(self, parent: int | None) -> Exchange:
        return Exchange(
            prompt="\n".join(text for _, text in self.prompts) or OPENS,
            reply="\n".join(text for _, text in self.replies),
            parent=parent,
            at=self.at,
            lines=(*self.prompts, *self.replies),
        )


def parse(item: Mapping[str, Any], place: str) -> Conversation:
    """Read one conversation. Raises Broken."""
    speakers = take(item, "speakers", list, place)
    if len(speakers) != 2 or not all(isinstance(name, str) for name in speakers):
        raise Broken(f"{place}: 'speakers' does not name two people.")
    pairs: list[_Pair] = []
    for number, session in enumerate(take(item, "sessions", list, place)):
        where = f"{place}, session {number}"
        at = _date(may(obj(session, where), "date", str, ""))
        for index, line in enumerate(take(session, "turns", list, where)):
            spot = f"{where}, line {index}"
            speaker = take(obj(line, spot), "speaker", str, spot)
            said = may(line, "id", str, ""), clean(take(line, "text", str, spot))
            if speaker not in speakers:
                raise Broken(f"{spot}: the speaker is none of the two.")
            if not said[1].strip():
                continue
            by_user = speaker == speakers[0]
            if not pairs or (by_user and pairs[-1].replies):
                pairs.append(_Pair(at))
            (pairs[-1].prompts if by_user else pairs[-1].replies).append(said)
    turns = tuple(pair.exchange(index - 1 if index else None) for index, pair in enumerate(pairs))
    return Conversation(
        place=place,
        format=NAME,
        title=clean(may(item, "id", str, "") or " and ".join(speakers)),
        turns=turns,
        questions=tuple(_questions(may(item, "qa", list, []), place)),
        created_at=turns[0].at if turns else None,
        updated_at=turns[-1].at if turns else None,
    )


def _questions(given: list[Any], place: str) -> list[Question]:
    out = []
    for index, entry in enumerate(given):
        where = f"{place}, question {index}"
        names = take(obj(entry, where), "evidence", list, where)
        evidence = tuple(name for name in names if isinstance(name, str))
        out.append(Question(text=clean(take(entry, "question", str, where)), evidence=evidence))
    return out


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
