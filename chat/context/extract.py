"""A summary made by code, for when no model gives one: sentences of the turns themselves, and it says so.

It is the last thing before nothing is compacted at all, so it needs nothing and cannot fail: the first and newest
words, sentences that decide, promise or ask, and words to look the rest up by. It leaves the list of exact values to
the gate, which takes them from the source anyway.
"""

import re
from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from chat.context import exact
from chat.context.gate import LEAST_ROOM, MOST_OF_SOURCE, foreign
from chat.context.prompts import HEADINGS, MADE_BY_CODE, NOTHING, OPENING, fold
from chat.context.tokens import Counter
from chat.context.values import Turn

# The end is optional: were it required, text without any would be searched again from each of its characters.
_SENTENCE = re.compile(r"[^.!?。！？\n]{1,2000}[.!?。！？]*")
_SENTENCE_CHARACTERS = 160
# Sentences looked at in one text: its beginning says what it is about.
_SENTENCES_A_TEXT = 40
_DECIDED = re.compile(
    r"\b(?:decided?|decision|agreed?|instead|because|chose|we'll go with|let's (?:go|use|take)|settled|correction"
    r"|actually|entschieden|entscheidung|vereinbart|einverstanden|stattdessen|weil|doch lieber|wir nehmen|korrektur)\b",
    re.IGNORECASE,
)
_PROMISED = re.compile(
    r"\b(?:will|i'll|we'll|promise|going to|need to|have to|must|deadline|todo|remind|until"
    r"|werde|werden wir|verspreche|muss|müssen|frist|erinner\w{0,4}|bis zum)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ-]{4,30}")
_HINTS = 12
# Characters of a prompt or reply that are searched for sentences, words and files; a paste must not take all the time.
_SEARCHED = 20_000


def extractive_summary(*, turns: Sequence[Turn], counter: Counter, limit: int, keep: str = "") -> str:
    """The labelled extract of `turns`, in the sections of a summary, at most `limit` tokens and 60 % of their own.

    Sentences with a word of `keep` come first. The headings alone are returned where not even one sentence fits.
    """
    turns = [turn for turn in turns if not turn.excluded_by]
    if not turns:
        raise ValueError("An extract needs at least one turn that is not excluded.")
    sections: dict[str, list[str]] = {heading: [] for heading in HEADINGS}
    source = sum(counter.count(turn.prompt) + counter.count(turn.reply) for turn in turns)
    room = min(limit, max(int(source * MOST_OF_SOURCE), LEAST_ROOM)) - counter.count(_written(turns, sections)) - 1
    seen: set[str] = set()
    for heading, line in [*_wanted(turns, keep), *_candidates(turns)]:
        cost = counter.count(f"{line}\n") + 1
        if line not in seen and cost <= room:
            seen.add(line)
            sections[heading].append(line)
            room -= cost
    return _written(turns, sections)


def _written(turns: Sequence[Turn], sections: dict[str, list[str]]) -> str:
    head = f"{OPENING} {MADE_BY_CODE} {len(turns)} of the turns {turns[0].number} to {turns[-1].number}."
    blocks = [f"{heading}\n" + ("\n".join(lines) or NOTHING) for heading, lines in sections.items()]
    return "\n".join([head, *blocks])


def _wanted(turns: Sequence[Turn], keep: str) -> Iterator[tuple[str, str]]:
    """Sentences that hold one of the longer words of `keep`."""
    words = {re.escape(word) for word in _WORD.findall(keep)}
    if words:
        pattern = re.compile(rf"\b(?:{'|'.join(sorted(words))})\b", re.IGNORECASE)
        for turn in turns:
            yield from (
                (HEADINGS[0], line) for text in (turn.prompt, turn.reply) for line in _lines(turn, text, pattern)
            )


def _candidates(turns: Sequence[Turn]) -> Iterator[tuple[str, str]]:
    """Lines by what they are worth: how it began and stands, what was found, then one line of each kind in turn."""
    goal, decisions, open_ends, _, artefacts, hints = HEADINGS
    opening = [line for turn in (turns[0], turns[-1]) for line in _lines(turn, turn.prompt, None)[:1]]
    # In the little room of a tiny source a line of signs must not take the place of one that says something.
    yield from ((goal, line) for line in sorted(opening, key=_says_little))
    words = _hints(turns)
    if words:
        yield hints, f"- {', '.join(words)}"
    told = [text for turn in turns for text in (turn.prompt, turn.reply)]
    found = (entry for text in told for entry in exact.find(text[:_SEARCHED]))
    files = [f"- {entry.value}" for entry in found if entry.kind in ("path", "url")]
    queues = [
        (decisions, _all_lines(turns, _DECIDED)),
        (open_ends, [line for turn in turns[-3:] for line in _lines(turn, turn.prompt, None) if line.endswith("?")]),
        (open_ends, _all_lines(turns, _PROMISED)),
        (artefacts, files),
        (goal, [line for turn in turns for line in _lines(turn, turn.prompt, None)[:1]]),
        (goal, [line for turn in turns for line in _lines(turn, turn.reply, None)[:1]]),
    ]
    for place in range(max(len(lines) for _, lines in queues)):
        yield from ((heading, lines[place]) for heading, lines in queues if place < len(lines))


def _says_little(line: str) -> bool:
    return sum(map(str.isalpha, line)) < len(line) / 2


def _all_lines(turns: Sequence[Turn], cue: re.Pattern[str]) -> list[str]:
    # The newest first: what was settled last holds.
    return [line for turn in reversed(turns) for text in (turn.prompt, turn.reply) for line in _lines(turn, text, cue)]


def _lines(turn: Turn, text: str, cue: re.Pattern[str] | None) -> list[str]:
    lines = []
    for place, match in enumerate(_SENTENCE.finditer(text[:_SEARCHED])):
        if place >= _SENTENCES_A_TEXT:
            break
        sentence = fold(match[0])
        if len(sentence) > _SENTENCE_CHARACTERS:
            sentence = f"{sentence[:_SENTENCE_CHARACTERS]} ..."
        # What the gate refuses in a summary it would refuse in a quotation too: one such sentence must not cost all.
        if OPENING in sentence or foreign(sentence) or not any(map(str.isalpha, sentence)):
            continue
        if cue is None or cue.search(sentence):
            lines.append(f"- (turn {turn.number}) {sentence}")
    return lines


def _hints(turns: Sequence[Turn]) -> list[str]:
    words = Tally(
        word.lower() for turn in turns for word in _WORD.findall(turn.prompt[:_SEARCHED] + " " + turn.reply[:_SEARCHED])
    )
    # Longer words are rarer words: no list of small words is needed for any language.
    return [word for word, _ in sorted(words.items(), key=lambda entry: -entry[1] * len(entry[0]))[:_HINTS]]
