"""Plain sentences out of whatever text a request holds: markdown, tags, quoted data, lists.

Only English grammar is known here, no subject matter.
"""

import html
import re
from collections.abc import Iterator

LONGEST = 2_000
"""Characters of a sentence that are looked at together: the patterns are not linear in its length."""

_TAG = re.compile(r"</?[A-Za-z_][^<>\n]{0,300}>")
_MARKS = re.compile(r"^[\s>#|•*+\-]+|^\s*\(?\d{1,3}[.)]\s+")
_LABEL = re.compile(r"^(?:note|notice|nb|n\.b\.|fyi|ps|reminder|update|btw)\s*[:,]\s+", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])|(?<=[?!])[\"')\]]*\s+")
_ABBREVIATION = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|St|Prof|Sr|Jr|vs|e\.g|i\.e|etc|approx|No|Nr|[A-Z])\.$")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.){6,})"')
_CLAUSE = re.compile(
    r"(?:\s*[,;]\s*|\s+)(?:and|but|also|plus|while|whereas)\s+(?=(?:also\s+|that\s+)?(?:my|our|the|your|his|her|their|"
    r"call me)\b)"
    r"|\s*[,;]\s+(?=(?:my|our|the|your|his|her|their)\b[^,;]*\b(?:is|are|was|were|will)\b)",
    re.IGNORECASE,
)
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "\u00a0": " "})


def plain(text: str) -> str:
    """The text without markup: entities read, tags turned into line breaks, emphasis dropped, quotes straightened."""
    if "&" in text:
        text = html.unescape(text)
    text = text.translate(_QUOTES)
    text = _TAG.sub("\n", text)
    return text.replace("\\n", "\n").replace('\\"', '"').replace("**", "").replace("`", "")


def sentences(text: str) -> Iterator[str]:
    """The sentences of `text` in order. A quoted sentence inside another is a sentence of its own, after it."""
    for line in plain(text).splitlines():
        line = _LABEL.sub("", _MARKS.sub("", line, count=1).strip().strip("|").strip())
        if not line:
            continue
        if len(line) > LONGEST:
            yield from _chopped(line)
            continue
        inner = [found for found in _QUOTED.findall(line) if " " in found.strip()]
        outer = line
        for found in inner:
            if re.search(r"[.!?:]$|\b(?:is|are|was|were|am|me)\b", found):
                outer = outer.replace(f'"{found}"', " ")
        yield from _split(outer)
        for found in inner:
            yield from _split(found)


def clauses(sentence: str) -> list[str]:
    """The independent parts of a sentence: "my a is x and our b is y" makes two."""
    return [part.strip() for part in _CLAUSE.split(sentence) if part and part.strip()]


def words(text: str) -> list[str]:
    """The words of `text` in lower case, possessive endings dropped."""
    return [re.sub(r"'s$|'$", "", word.lower()) for word in re.findall(r"[\w@./+&%$€£#-]+(?:'\w+)?", text)]


def _chopped(line: str) -> Iterator[str]:
    for part in _split(line):
        yield from (part[at : at + LONGEST] for at in range(0, len(part), LONGEST))


def _split(line: str) -> Iterator[str]:
    held = ""
    for part in _END.split(line):
        if not part:
            continue
        part = f"{held} {part}".strip() if held else part.strip()
        held = ""
        if _ABBREVIATION.search(part) and len(part) < 400:
            held = part
        elif part:
            yield part
    if held:
        yield held


def vocabulary(words: str) -> frozenset[str]:
    """A set of words from a line of them."""
    return frozenset(words.split())


_STOP = vocabulary(
    "a an and are as at be been but by can could did do does for from had has have he her him his how i if in into is "
    "it "
    "its me my of on or our she so some that the their them then there these they this to us was we were what when "
    "where "
    "which who whom whose why will with would you your about again ever any just not no yes please tell know remember "
    "say "
    "said still many much old long far often"
)


def content_words(text: str) -> list[str]:
    """The words that carry meaning, crudely stemmed."""
    return [stem(word) for word in (found.strip("./-") for found in words(text)) if len(word) > 1 and word not in _STOP]


def stem(word: str) -> str:
    """A word without its commonest endings."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
