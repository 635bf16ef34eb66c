"""How the text of every block of a request is made from rows, so that it can be made again: references and numbers.

`describe` finds a recipe for each block of a request that was just assembled; `block` makes the block again from the
recipe and what its references name. `describe` keeps a recipe only when `block` gives the very same text by it, so
that the two can't drift apart: a text that no recipe makes is stored as unknown, and is told as that.

    instructions sha256         the static instructions whose text has this digest
    note name                   one of our own fixed sentences
    facts ref…                  facts, in this order
    summary                     the summary that the part's ref names
    document [most limit]       the document that it names; cut to about so many tokens of a budget of so many
    date day                    the day, as an ISO date
    prompt | reply [keep] [budget]    the words of the turn that it names
    unanswered [keep]           a prompt without reply, as data
    recalled                    a whole turn as data
    step index [keep]           a tool's call or result, or words between them
    stub index tokens [keep]    the line that stands for a tool's result
    cut call index              the line that stands for a tool's call
    silence                     what ends a turn without a last word

`keep` says that a text was cut: so many characters of it around the turn's marker, or (negative) so many of its
head alone. With `budget`, in tokens, the marker is that of a message which alone was too long.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from chat.context import documents, prompts, transcript
from chat.context.values import DOCUMENT_REF, Block, Document, Fact, History, Prompt, Request, Summary, Turn

Recipe = tuple[str | int, ...]

NOTES = {
    "compressed": prompts.NOTE_COMPRESSED,
    "omitted": prompts.NOTE_OMITTED,
    "acknowledgement": prompts.ACKNOWLEDGEMENT,
}
_BUDGET = re.compile(r"\[\.\.\. truncated to fit the message budget \(([\d,]{1,15}) tokens\) \.\.\.\]")
_MOST_MARKERS = 20
_NO_WORDS = (transcript.EMPTY_MESSAGE, transcript.NO_OUTPUT)
_STUBBED = re.compile(r"\[the result of .{0,200}?, (\d[\d,]{0,14})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The rows that a request was made from, as far as they are still there.

    `instructions` by the SHA-256 of their text, turns by number, the rest by ref.
    """

    instructions: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[int, Turn] = field(default_factory=dict)
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Described:
    """What is stored of one block beside its part: a checksum of its text, and how it was made (None: unknown)."""

    check: int
    recipe: Recipe | None


def check(text: str) -> int:
    """The checksum by which a single block is compared: the request as a whole has its SHA-256."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def turn_number(ref: str) -> int | None:
    """The number of the turn that a part's ref names, if it names one."""
    word, _, digits = ref.partition(" ")
    return int(digits) if word == "turn" and digits.isascii() and digits.isdigit() else None


def usual(role: str, ref: str) -> Recipe | None:
    """The recipe of a part for which none is stored, because nearly all of its kind have this one."""
    if turn_number(ref) is not None:
        return ("reply",) if role == "assistant" else ("prompt",)
    if ref.startswith(DOCUMENT_REF):
        return ("document",)
    if ref == "acknowledgement":
        return ("note", ref)
    return ("summary",) if ref[:1] == "S" and ref[1:].isdecimal() else None


def block(recipe: Recipe, ref: str, sources: Sources) -> Block | None:
    """The block that a recipe makes, without tokens or breakpoint; None when what it is made from is not there."""
    try:
        return _MAKERS[str(recipe[0])](recipe, ref, sources)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None  # a row that is gone, or a manifest that a later release wrote


def describe(request: Request, history: History, prompt: Prompt, limit: int) -> tuple[Described, ...]:
    """The recipes of a request's blocks, in order. `limit` is the documents' budget that it was made with."""
    known = Sources(
        instructions={digest(history.instructions): history.instructions},
        turns={turn.number: turn for turn in history.turns}
        | {prompt.number: Turn(number=prompt.number, prompt=prompt.text)},
        summaries={one.ref: one for one in history.summaries},
        facts={one.ref: one for one in history.facts},
        documents={one.ref: one for one in history.documents},
    )
    out: list[Described] = []
    places = [("system", one) for one in request.system]
    places += [(message.role, one) for message in request.messages for one in message.blocks]
    for role, one in places:
        found = next((recipe for recipe in _candidates(one, known, limit) if _same(recipe, one, known)), None)
        # A recipe that goes without saying is not stored.
        unsaid = found is not None and found == usual(role, one.ref)
        out.append(Described(check(one.text), () if unsaid else found))
    return tuple(out)


def digest(text: str) -> str:
    """The name of instructions: the SHA-256 of their text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --- from a block to its recipe -----------------------------------------------------------------------------


def _same(recipe: Recipe, one: Block, sources: Sources) -> bool:
    made = block(recipe, one.ref, sources)
    return made is not None and _bare(made) == _bare(one)


def _bare(one: Block) -> tuple[object, ...]:
    return one.text, one.type, one.call_id, one.name, one.is_error


def _candidates(one: Block, sources: Sources, limit: int) -> Iterator[Recipe]:
    number = turn_number(one.ref)
    if number is not None:
        turn = sources.turns.get(number)
        if turn is not None:
            yield from _of_turn(one, turn)
    elif one.ref.startswith(DOCUMENT_REF):
        yield ("document",)
        yield _shortened(one, limit, sources)
    elif one.component == "facts":
        yield ("facts", *_said(one.text, sources.facts))
    elif one.ref == "date":
        yield ("date", one.text.removeprefix("Today is ").removesuffix("."))
    elif one.component == "summaries":
        yield ("summary",)
    else:
        yield from (("note", name) for name in NOTES)
        yield from (("instructions", name) for name in sources.instructions)


def _of_turn(one: Block, turn: Turn) -> Iterator[Recipe]:
    """Plain words first: nearly every block is some."""
    yield ("prompt",)
    yield ("reply",)
    for index, step in enumerate(turn.steps):
        if step.kind == one.type or (step.kind == "text" and one.type == "text"):
            yield ("step", index)
    yield ("unanswered",)
    yield ("recalled",)
    yield ("silence",)
    if one.type == "text":
        for budget in _budgets(one.text):
            yield from _cut(("prompt",), one, turn, (budget,))
        for base in (("prompt",), ("reply",), ("unanswered",)):
            yield from _cut(base, one, turn)
    for index, step in enumerate(turn.steps):
        if step.kind == "tool_use" == one.type:
            yield ("cut call", index)
        elif step.kind == "tool_result" == one.type:
            told = _STUBBED.match(one.text)
            tokens = _begun(told[1]) if told else 0
            yield ("stub", index, tokens)
            yield from _cut(("stub", index, tokens), one, turn)
            yield from _cut(("step", index), one, turn)
        elif step.kind == "text" == one.type:
            yield from _cut(("step", index), one, turn)


def _cut(base: Recipe, one: Block, turn: Turn, budget: tuple[int, ...] = ()) -> Iterator[Recipe]:
    """The cuts of a text that give one of this length: with the marker, and the bare head.

    The longer the piece that is kept, the longer the text: found by halves, because escaping and the marker add to it.
    """
    alone = Sources(turns={turn.number: turn})

    def length(keep: int) -> int:
        made = block((*base, keep, *budget), one.ref, alone)
        # What stands for no words at all is longer than a few of them.
        if made is None or any(words in made.text and words not in one.text for words in _NO_WORDS):
            return -1
        return len(made.text)

    for sign in (1, -1):
        low, high = 0, len(one.text)
        while low < high:
            keep = (low + high) // 2
            low, high = (keep + 1, high) if length(sign * keep) < len(one.text) else (low, keep)
        yield (*base, sign * low, *budget)
    yield (*base, 0)


def _budgets(text: str) -> Iterator[int]:
    for _, found in zip(range(_MOST_MARKERS), _BUDGET.finditer(text), strict=False):
        yield _int(found[1])


def _begun(digits: str) -> int:
    """A number that begins so: the line that says it may itself have been cut, within the number or before."""
    front, comma, last = digits.rpartition(",")
    return _int(front + last.ljust(3, "0") if comma else digits)


def _int(digits: str) -> int:
    return int(digits.replace(",", "") or 0)


def _shortened(one: Block, limit: int, sources: Sources) -> Recipe:
    """The cut of a document that gives a text of this length, found by halves like any other."""
    low, high = 0, limit
    while low < high:
        most = (low + high) // 2
        made = block(("document", most, limit), one.ref, sources)
        low, high = (most + 1, high) if made is None or len(made.text) < len(one.text) else (low, most)
    return "document", low, limit


def _said(text: str, facts: Mapping[str, Fact]) -> list[str]:
    """The facts whose lines stand in `text`, in its order."""
    refs: dict[str, str] = {}
    for ref, fact in facts.items():
        refs.setdefault(_line(fact), ref)
    return [refs[line] for line in text.splitlines() if line in refs]


def _line(fact: Fact) -> str:
    return prompts.wrap_facts([fact]).splitlines()[1]


# --- from a recipe to its block -----------------------------------------------------------------------------


def _instructions(recipe: Recipe, ref: str, sources: Sources) -> Block:
    return Block(text=sources.instructions[str(recipe[1])], component="system", ref=ref)


def _note(recipe: Recipe, ref: str, sources: Sources) -> Block:
    return Block(text=NOTES[str(recipe[1])], component="system", ref=ref)


def _facts(recipe: Recipe, ref: str, sources: Sources) -> Block:
    text = prompts.wrap_facts(sources.facts[str(one)] for one in recipe[1:])
    return Block(text=text, component="facts", ref=ref)


def _summary(recipe: Recipe, ref: str, sources: Sources) -> Block:
    one = sources.summaries[ref]
    text = prompts.wrap_summary(text=one.text, first=one.first, last=one.last)
    return Block(text=text, component="summaries", ref=ref)


def _document(recipe: Recipe, ref: str, sources: Sources) -> Block:
    one = sources.documents[ref]
    text = documents.shortened(one, int(recipe[1]), int(recipe[2])) if recipe[1:] else documents.wrapped(one)
    return Block(text=text, component="documents", ref=ref)


def _date(recipe: Recipe, ref: str, sources: Sources) -> Block:
    return Block(text=f"Today is {recipe[1]}.", component="current", ref=ref)


def _of(ref: str, sources: Sources) -> Turn:
    number = turn_number(ref)
    if number is None:
        raise KeyError(ref)
    return sources.turns[number]


def _piece(text: str, cut: Recipe, turn: Turn) -> str:
    """`text`, or what a cut left of it."""
    if not cut:
        return text
    keep = int(cut[0])
    if keep <= 0:
        return text[:-keep]
    marker = prompts.truncated(component="message", budget=int(cut[1])) if cut[1:] else transcript.marker(turn)
    return prompts.head_and_tail(text, keep, f"\n{marker}\n")


def _words(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    words = turn.prompt if recipe[0] == "prompt" else turn.reply
    text = transcript.spoken(_piece(transcript.spoken(words), recipe[1:], turn))
    return Block(text=text, component="history", ref=ref)


def _unanswered(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    text = transcript.spoken(_piece(turn.prompt, recipe[1:], turn))
    return Block(text=prompts.wrap_unanswered(text=text, turn=turn.number), component="history", ref=ref)


def _recalled(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    text = prompts.wrap_recalled(text=prompts.render_turn(turn), turn=turn.number)
    return Block(text=text, component="recall", ref=ref)


def _step(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    step = turn.steps[int(recipe[1])]
    return transcript.step_block(turn, step, _piece(step.body, recipe[2:], turn))


def _stub(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    step = turn.steps[int(recipe[1])]
    return transcript.step_block(turn, step, _piece(transcript.stub(turn, step, int(recipe[2])), recipe[3:], turn))


def _cut_call(recipe: Recipe, ref: str, sources: Sources) -> Block:
    turn = _of(ref, sources)
    step = turn.steps[int(recipe[1])]
    return transcript.step_block(turn, step, transcript.cut_call(turn))


def _silence(recipe: Recipe, ref: str, sources: Sources) -> Block:
    return Block(text=transcript.NO_REPLY, component="history", ref=ref)


_MAKERS: Mapping[str, Callable[[Recipe, str, Sources], Block]] = {
    "instructions": _instructions,
    "note": _note,
    "facts": _facts,
    "summary": _summary,
    "document": _document,
    "date": _date,
    "prompt": _words,
    "reply": _words,
    "unanswered": _unanswered,
    "recalled": _recalled,
    "step": _step,
    "stub": _stub,
    "cut call": _cut_call,
    "silence": _silence,
}
