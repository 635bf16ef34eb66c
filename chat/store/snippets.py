"""Where in a text the words that somebody looked for stand: the piece that is shown of it, with marks."""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

# Characters of a snippet, and of a text in which its place is looked for.
SNIPPET, LOOKED_AT = 180, 400_000
AHEAD = 50
# Matches in a text among which the best place is looked for.
MOST_PLACES = 1_000
# Characters whose folded form is kept: more than the words of anybody need, and no more than some megabytes.
MOST_FOLDED = 20_000
# The line of a Markdown table that only rules it.
_RULED = re.compile(r"^[ \t|:-]*---[ \t|:-]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand side by side. `begins`: the last may go on. `letters`: no word, but looked for as it is."""

    words: tuple[str, ...]
    begins: bool = False
    letters: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text, marked where it is what was looked for."""

    text: str
    marked: bool = False


class _Fold(dict):
    """Characters to small ones without accents, each to exactly one, so that places stay what they are."""

    def __missing__(self, code: int) -> str:
        if len(self) >= MOST_FOLDED:
            self.clear()
        small = unicodedata.normalize("NFD", chr(code))[0].lower()
        self[code] = folded_one = small if len(small) == 1 else chr(code)
        return folded_one


_FOLD = _Fold()


def folded(text: str) -> str:
    """`text` in small letters without accents, as long as it was."""
    return text.lower() if text.isascii() else text.translate(_FOLD)


def pattern(terms: Iterable[Term]) -> re.Pattern[str]:
    """What finds the terms in a folded text."""
    looks = []
    for term in terms:
        said = r"[\W_]+".join(re.escape(folded(word)) for word in term.words)
        looks.append(said if term.letters else rf"(?<![^\W_]){said}" + (r"[^\W_]*" if term.begins else r"(?![^\W_])"))
    return re.compile("|".join(looks))


def marked(text: str, look: re.Pattern[str]) -> tuple[Part, ...]:
    """The whole of a short text, in parts."""
    parts: list[Part] = []
    at = 0
    for match in look.finditer(folded(text)):
        if match.start() > at:
            parts.append(Part(text[at : match.start()]))
        parts.append(Part(text[match.start() : match.end()], marked=True))
        at = match.end()
    return (*parts, Part(text[at:])) if text[at:] else tuple(parts)


def snippet(text: str, look: re.Pattern[str]) -> tuple[Part, ...]:
    """The piece of `text` with the most different matches, in parts; its beginning where nothing matches."""
    text = text[:LOOKED_AT]
    start = _at_a_word(text, max(0, _richest(text, look) - AHEAD))
    piece = text[start : start + SNIPPET]
    if start + SNIPPET < len(text):
        piece = (piece.rsplit(None, 1)[0] if len(piece.split()) > 1 else piece) + " …"
    piece = ("… " if start else "") + " ".join(_RULED.sub("", piece).split())
    return marked(piece, look)


def _richest(text: str, look: re.Pattern[str]) -> int:
    """Where the first piece with the most different matches begins. No further is read than has to be."""
    all_of_them = look.pattern.count("|") + 1
    near: deque[tuple[int, str]] = deque()
    best, most = 0, 0
    for match in islice(look.finditer(folded(text)), MOST_PLACES):
        near.append((match.start(), match[0]))
        while near[0][0] <= match.start() - (SNIPPET - AHEAD):
            near.popleft()
        different = len({said for _, said in near})
        if different > most:
            best, most = near[0][0], different
        if most >= all_of_them:
            break
    return best


def _at_a_word(text: str, at: int) -> int:
    """The place of the next word's beginning at or after `at`, if there is one soon."""
    if at == 0:
        return 0
    blank = re.compile(r"\s").search(text, at, at + AHEAD // 2)
    return blank.end() if blank else at
