"""Replies that can be checked: each is made from all the questions of its conversation, and from nothing else.

So a reply that is cut, belongs to somebody else, or was asked for with a wrong history is not the expected text.
"""

import hashlib
import re
from functools import lru_cache

TOKENS = 200
FIRST_S = 0.050
EVERY_S = 0.010
WHOLE_S = FIRST_S + (TOKENS - 1) * EVERY_S
"""Seconds from a request to the last token of its reply when nobody in between takes any time."""

PARAGRAPH_TOKENS = 40
MARK = re.compile(r"\bzq[a-z]{10}\b")
SENTENCE = (
    "the pump held its pressure while water moved through a narrow pipe and nobody saw why it should stop there "
    "again because every valve had been open since early morning when they came back from town"
)
WORDS = SENTENCE.split()


def mark(*names: object) -> str:
    """A word of letters only that stands for these names: it is found again, and is no number, date or id."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return "zq" + "".join(chr(97 + byte % 26) for byte in digest[:10])


def question(word: str) -> str:
    """A user's message that carries a mark."""
    return f"Please tell me in a few plain paragraphs what happened at {word}, and what was done about it afterwards."


@lru_cache(maxsize=4096)
def answer(marks: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens of the reply to the last of these questions, after the others."""
    seed = hashlib.sha256("|".join(marks).encode()).digest()
    words = [f"{marks[-1]} ", f"{mark(*marks)} "]
    for index in range(len(words), TOKENS):
        word = WORDS[(seed[index % 32] + index * 7) % len(WORDS)]
        words.append(f"{word}.\n\n" if index % PARAGRAPH_TOKENS == 0 else f"{word} ")
    words[-1] = "end."
    return tuple(words)
