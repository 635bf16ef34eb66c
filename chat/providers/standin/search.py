"""Looks through the text of a request for what was asked. Sources come newest first."""

import re
from collections.abc import Iterator, Sequence

from . import language
from .questions import is_asking
from .statements import Statement, told, value_in

LONGEST_QUOTE = 400
"""Characters of a sentence that may be quoted as an answer."""

_DEED = re.compile(
    r"\b(?:do|did|does|am|was|were|are|have|had|will|should|can|could)\s+(?P<who>I|we)\s+(?:still\s+|usually\s+)?"
    r"(?P<verb>[a-z]{2,})\b(?P<rest>.*)$",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"\bhow (?:many|much|old|long|far|often|big|tall)\b", re.IGNORECASE)
_SAYING = frozenset(
    {"say", "tell", "mention", "give", "ask", "call", "name", "mean", "write", "need", "know", "do", "have"}
)


def find(phrase: tuple[str, ...], sources: Sequence[str]) -> str:
    """The newest value that the sources give for a phrase, or ''."""
    for source in sources:
        if phrase[0] not in source.lower() and phrase != ("name",):
            continue
        for sentence in reversed(list(language.sentences(source))):
            if value := value_in(sentence, phrase):
                return value
    return ""


def reordered(phrase: tuple[str, ...], sources: Sequence[str]) -> Statement | None:
    """The newest statement about the same words in another order: "password for the wifi", "wifi password"."""
    wanted = sorted(language.content_words(" ".join(phrase)))
    if len(wanted) < 2:
        return None
    for source in sources:
        if wanted[0] not in source.lower():
            continue
        for statement in reversed(told(source)):
            if sorted(language.content_words(statement.phrase)) == wanted:
                return statement
    return None


def deed(question: str, sources: Sequence[str]) -> str:
    """The newest sentence in which the user says what they do or did, when that is asked: "Where do I live?"."""
    match = _DEED.search(question.rstrip(" ?!."))
    if not match or match["verb"].lower() in _SAYING:
        return ""
    stem = re.escape(language.stem(match["verb"].lower()))
    said = re.compile(rf"\b{match['who']}(?:'\w+)?\s+(?:\w+\s+){{0,2}}?{stem}\w*", re.IGNORECASE)
    others = set(language.content_words(match["rest"]))
    for sentence in _told_sentences(sources):
        if said.search(sentence) and others <= set(language.content_words(sentence)):
            return sentence
    return ""


def closest(question: str, sources: Sequence[str]) -> str:
    """The newest told sentence that shares most of the question's words, or '' if none shares enough."""
    wanted = set(language.content_words(question))
    if len(wanted) == 1 and _AMOUNT.search(question):
        return next((said for said in _told_sentences(sources) if _counts(said) and wanted <= _stems(said)), "")
    if len(wanted) < 2:
        return ""
    best, found = 0.6, ""
    for sentence in _told_sentences(sources):
        shared = len(wanted & _stems(sentence))
        if shared >= 2 and shared / len(wanted) > best:
            best, found = shared / len(wanted), sentence
    return found


def _told_sentences(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        for sentence in reversed(list(language.sentences(source))):
            if len(sentence) <= LONGEST_QUOTE and not is_asking(sentence):
                yield sentence.strip(' "')


def _stems(sentence: str) -> set[str]:
    return set(language.content_words(sentence))


def _counts(sentence: str) -> bool:
    return bool(
        re.search(r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|dozen|hundred)\b", sentence, re.IGNORECASE)
    )
