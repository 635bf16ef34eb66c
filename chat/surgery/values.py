"""What operations are made of, as values: their parameters, what a preview says, and why one is refused."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from chat.store.ranges import Ranges, join

MOST_CHARACTERS = 20_000
MOST_TURNS = 1_000
UNBOUNDED = 2**31 - 1


class Kind(StrEnum):
    """Whether what was done can be taken back, balanced by something else, or neither."""

    UNDOABLE = "undoable"
    COMPENSATING = "compensating"
    IRREVERSIBLE = "irreversible"


class Live(StrEnum):
    """What an operation says to a turn that is being answered."""

    REFUSED = "refused"
    NEEDED = "needed"
    ANY = "any"


class Refused(Exception):
    """Nothing was done. The message is one sentence for whoever asked; `code` is for programs."""

    def __init__(self, code: str, sentence: str):
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing that an operation must be told. `text`: words, which no audit and no batch ever keeps."""

    name: str
    label: str
    kind: str
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True
    least: int = 1
    most: int = UNBOUNDED

    @property
    def text(self) -> bool:
        """Whether it holds words."""
        return self.kind == "text"

    @property
    def bound(self) -> int | None:
        """The largest number that is taken; None where any is."""
        return None if self.kind != "number" or self.most == UNBOUNDED else self.most

    def clean(self, given: Any) -> Any:
        """The value as operations take it. Raises Refused."""
        given = str(given if given is not None else "").strip()
        if not given:
            if self.required:
                raise Refused("bad_parameters", f"{self.label}: a value is needed.")
            return None
        match self.kind:
            case "number" | "id":
                return self._number(given)
            case "turns":
                return self._turns(given)
            case "choice" if self.choices and given not in dict(self.choices):
                raise Refused("bad_parameters", f"{self.label}: “{given[:40]}” is not one of the choices.")
            case "text" if len(given) > MOST_CHARACTERS:
                raise Refused("bad_parameters", f"{self.label}: at most {MOST_CHARACTERS:,} characters.")
        return given

    def _number(self, given: str) -> int:
        number = int(given) if given.isdecimal() and len(given) < 19 else -1
        if (self.kind == "number" and not self.least <= number <= self.most) or number < 0:
            bounds = f"from {self.least:,} " + ("on" if self.bound is None else f"to {self.bound:,}")
            raise Refused("bad_parameters", f"{self.label}: a whole number {bounds} is needed.")
        return number

    def _turns(self, given: str) -> Ranges:
        found = []
        for part in given.replace(" ", "").split(","):
            first, _, last = part.partition("-")
            if not all(end.isdecimal() and len(end) < 10 for end in (first, last or first)):
                raise Refused("bad_parameters", f"{self.label}: write turns like “3, 5-7”.")
            pair = int(first), int(last or first)
            if not 1 <= pair[0] <= pair[1]:
                raise Refused("bad_parameters", f"{self.label}: “{part[:20]}” is no range of turns.")
            found.append(pair)
        most = min(self.most, MOST_TURNS)
        if sum(last - first + 1 for first, last in found) > most:
            raise Refused("bad_parameters", f"{self.label}: at most {most:,} turns at once.")
        return join(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Tokens that the next request holds before its own message: of `turns` turns word for word, of summaries, of
    documents. Instructions and facts are small, and left out."""

    verbatim: int
    summaries: int
    documents: int
    turns: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.verbatim + self.summaries + self.documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the work of an operation came to, before it is written down. `target`: the numbers it was done to."""

    target: dict[str, Any] = field(default_factory=dict)
    turns: int = 0
    says: tuple[str, ...] = ()
    made: UUID | None = None
    content: Iterator[str] | None = None
    low: int | None = None
    high: int | None = None


Work = Callable[[Any, Mapping[str, Any]], Done]
"""Does it to the locked session, inside of the caller's transaction. Raises Refused, and whatever the store raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be done to a conversation.

    `work` does it. Where `background` is true it takes a model: then `work` only looks what there is to do, and the
    job does it. `touches` are the parts that `snapshot` compares; `created` is what becomes of a new summary when it
    is taken back; `back` does what no snapshot tells of, given the target.
    `same` are the conditions on a session's row under which nothing would change. `tells` is what open pages of the
    conversation are told afterwards, see `telling`; "" where they show nothing of it.
    """

    name: str
    label: str
    help: str
    kind: Kind
    work: Work
    grant: str = ""
    parameters: tuple[Parameter, ...] = ()
    touches: frozenset[str] = frozenset({"session"})
    created: str = "undone"
    live: Live = Live.REFUSED
    bulk: bool = False
    background: bool = False
    back: Callable[[Mapping[str, Any]], None] | None = None
    same: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    tells: str = ""

    @property
    def permission(self) -> str:
        """What staff need to do it."""
        return f"chat.surgery_{self.grant or self.name}"

    def clean(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as values. Raises Refused."""
        return {one.name: one.clean(given.get(one.name)) for one in self.parameters}

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that may be kept: no words."""
        return {one.name: values.get(one.name) for one in self.parameters if not one.text}


def operation(
    label: str, *parameters: Parameter, kind: Kind = Kind.UNDOABLE, **how: Any
) -> Callable[[Work], Operation]:
    """Declare a function as the work of the operation of its name. Its docstring is what pages say of it; `how` are
    further fields of `Operation`."""

    def declare(work: Work) -> Operation:
        said = " ".join((work.__doc__ or "").split())
        return Operation(name=work.__name__, label=label, help=said, kind=kind, work=work, parameters=parameters, **how)

    return declare


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an operation would do. `leaves` are turns that are sent word for word and would not be, with how they would
    be told of then; `returns` those that would be sent so again. `refused` is why it can't be done, or ''."""

    operation: str
    session: UUID
    stamp: str = ""
    before: Weight
    after: Weight
    after_low: int
    after_high: int
    leaves: tuple[tuple[int, int, str], ...] = ()
    returns: tuple[tuple[int, int], ...] = ()
    turns: int = 0
    target: dict[str, Any] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was done. `audit` is the id of its entry; `target` the numbers that it was done to."""

    before: Weight
    after: Weight
    target: dict[str, Any] = field(default_factory=dict)
    audit: int | None = None
    says: tuple[str, ...] = ()
    made: UUID | None = None
    content: Iterator[str] | None = None
