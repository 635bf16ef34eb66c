"""What was said of a thing: finds the value that a text gives for an attribute phrase.

Nothing here knows any attribute. The phrase comes from the question (or from the statement itself), and the
patterns are those of English: "my <phrase> is <value>", "<value> is our <phrase>", "<phrase>: <value>",
"<phrase> <identifier>", "call me <value>".
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import language

_OWNERS = r"(?:my|our|the|your|his|her|their|its|this|that|a|an)"
_NEW = r"(?:new|current|latest|updated|newest|correct|actual|exact|own|official|final|right|real)"
_OLD = frozenset(
    {"old", "previous", "former", "wrong", "earlier", "past", "last", "other", "another", "first", "second"}
)
_BEFORE = language.vocabulary(
    "my our the your his her their its this that a an and but so as because with has have had gave gives is was are "
    "now "
    "also note noted remember reported provided mentioned shared stated confirmed says said user's customer's client's "
    "speaker's person's human's of for under by via new current latest updated newest correct actual exact own "
    "official "
    "final right real"
)
_COPULA = (
    r"(?:is|are|was|were|will be|shall be|should be|must be|would be|becomes|became|has become|equals|stays|remains|"
    r"reads|"
    r"(?:has been |has |was |is |got |have been )?changed (?:from \S+ )?to|(?:has been |was |is )?(?:set|updated|"
    r"moved|switched) to)"
)
_FILLER = r"(?:(?:now|still|actually|currently|definitely|simply|just|going to be|called|named|probably)\s+)*"
_AFTER = re.compile(
    rf"^(?:\s*\([^)]{{0,60}}\))?(?:\s*,?\s*by the way,?)?(?:\s+(?:that|which)\s+(?:I|we|you)\b[^,.]{{0,40}}?)?"
    rf"(?:'s\s+(?!\w+\s+(?:is|are|was)\b)|\s+(?:now\s+|still\s+|actually\s+)?{_COPULA}\s+(?::\s*)?{_FILLER}|"
    rf"\s*[:=]\s*|\s*(?:->|→|=>)\s*|\s+-\s+|\s+–\s+|\s*\|\s*(?=[^|]+$))"
    r"(?P<value>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_IDENTIFIER = re.compile(r"^\s+(?:of\s+)?(?P<value>(?=[^\s]*\d)[#A-Za-z0-9][\w\-./@:#]*|[^\s@]+@[^\s@]+|\"[^\"]+\")")
_CHANGE = re.compile(
    r"\b(?:chang\w+|updat\w+|set|correct\w*|switch\w*|mov\w+|renam\w+)\s+(?:my|our|the)\s+$", re.IGNORECASE
)
_TO = re.compile(r"(?:\s+from\s+\S+)?\s+to\s+(?P<value>\S.*)$", re.IGNORECASE | re.DOTALL)
_AHEAD = re.compile(
    rf"^(?:.*[,;:]\s+)?(?P<value>\S.*?)\s+(?:is|was|are|will be|stays|remains)\s+{_FILLER}(?:(?:my|our|the|your|his|"
    rf"her|their)\s+)(?:{_NEW}\s+)*$",
    re.IGNORECASE | re.DOTALL,
)
_CALLED = re.compile(
    r"\b(?:call me|I'm called|I am called|they call me|people call me|everyone calls me|I go by)\s+(?P<value>\S.*)$",
    re.IGNORECASE,
)
_I_AM = re.compile(
    r"(?:^|[,;:!.]\s+|\b[Hh](?:i|ello|ey)\b[,!]?\s+)(?:I am|I'm|"
    r"[Tt]his is)\s+(?P<value>[A-Z][\w'-]+(?:\s+[A-Z][\w'-]+){0,2})(?=[\s]*(?:[,.!;]|$|\bfrom\b|\bhere\b|\band\b|"
    r"\bwith\b))"
)
_CUT = re.compile(
    r"\s*(?:;|\s--?\s|\s[–—]\s|\s\(|\s\||,\s+(?=(?:and|but|so|which|who|because|please|by|if|when|in case|just|thanks|"
    r"thank|okay|"
    r"ok|can|could|what|I|we|you|it|not|as|my|our|remember|keep)\b)|\s+(?=(?:but|because|so that|which|please|in case|"
    r"if you|"
    r"and (?:I|we|it|he|she|they|you|please|that|this|not|also|don't|do|keep|make|remember|will|then|can|could))\b))",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"[\s,]+(?:now|by the way|btw|please|thanks|thank you|for now|instead|too|as well|okay|ok|from now on|again|"
    r"actually)$",
    re.IGNORECASE,
)
_NO_VALUE = language.vocabulary(
    "unknown missing lost important wrong right correct fine okay ok good bad great here there still secret yours "
    "mine it this "
    "that these those what which who where when why how not nothing none something anything everything cancelled "
    "canceled late "
    "gone broken ready done new old different same true false ? in given below above following as follows"
)
_COMPLAINT = language.vocabulary(
    "wrong missing lost incorrect important unclear needed required gone misspelt mistaken"
)
_PRONOUNS = language.vocabulary("it that this he she there here which who what")
_OF = re.compile(
    r"\b(?:the|a)\s+((?:\w+\s+)?\w+)\s+of\s+(my|our|the|your|his|her|their)\s+([\w-]+)(?=\s+(?:is|are|was|were|"
    r"again)\b|\s*[?.,!:=]|\s*$)",
    re.IGNORECASE,
)
_TELL = re.compile(
    rf"^(?:.*?[,:;]\s+|.*?\b(?:that|and|so|because|but|know|note|remember|FYI|hi|hello|hey|well|also)[,:]?\s+)??"
    rf"(?P<owner>my|our|the)\s+(?P<phrase>(?:[\w&/'+-]+\s+){{1,6}}?)(?:is|are|was|will be|=|has changed to|"
    rf"changed to)\s+{_FILLER}(?P<value>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_NOT_IN_PHRASE = language.vocabulary(
    "i you we they he she it that which who what there is are was were be been not do does did have has had will "
    "would can could "
    "if when because and but or then than so"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Something told: whose it is ("my", "our", "the"), which phrase, and the value given."""

    owner: str
    phrase: str
    value: str


def fold(text: str) -> str:
    """The text with "the name of my cat" turned into "my cat name"."""
    return _OF.sub(r"\2 \3 \1", text)


def value_in(sentence: str, phrase: tuple[str, ...]) -> str:
    """The value that this sentence gives for `phrase` (words in lower case), or ''."""
    if not is_question(sentence):
        for clause in reversed(language.clauses(fold(sentence))):
            if value := _value_in_clause(clause, phrase):
                return value
    return ""


def told(text: str) -> list[Statement]:
    """Every statement that `text` makes in the forms of this module, in order."""
    found = []
    for sentence in language.sentences(text):
        if is_question(sentence):
            continue
        for clause in language.clauses(fold(sentence)):
            if (match := _CALLED.search(clause) or _I_AM.search(clause)) and (value := clean(match["value"])):
                found.append(Statement("my", "name", value))
            elif (match := _TELL.match(clause)) and (value := clean(match["value"])):
                phrase = match["phrase"].strip()
                if not _NOT_IN_PHRASE & set(phrase.lower().split()):
                    found.append(Statement(match["owner"].lower(), phrase, value))
    return found


def is_question(sentence: str) -> bool:
    """Whether the sentence asks rather than tells."""
    return sentence.rstrip(" \"')]*_").endswith("?") or bool(
        re.match(
            r"(?:please |can you |could you |would you )*(?:remind me|tell me|give me|repeat|recall|look up)\b",
            sentence,
            re.IGNORECASE,
        )
    )


def clean(raw: str) -> str:
    """The value without what follows it in the sentence; '' for words that are no value."""
    raw = raw.strip()
    quoted = re.match(r'"([^"]+)"|\'([^\']+)\'(?!\w)', raw)
    value = (quoted[1] or quoted[2]) if quoted else _CUT.split(raw, maxsplit=1)[0]
    value = value.strip(" \t\"'*_,;:!?)(…").rstrip(".").strip()
    while (shorter := _TRAILING.sub("", value)) != value and shorter:
        value = shorter
    parts = value.split()
    if len(parts) > 16:
        parts = value.split(",", 1)[0].split()[:16]
        value = " ".join(parts).rstrip(",")
    lower = [part.lower().strip(".,") for part in parts]
    if not lower or lower[0] in {"not", "unknown"} or all(word in _NO_VALUE for word in lower):
        return ""
    if lower[0] in _COMPLAINT and value == value.lower() and not any(character.isdigit() for character in value):
        return ""
    # What a reply says of a thing that it could not find is no value of that thing.
    if "not in my context" in value.lower():
        return ""
    return value


def _value_in_clause(clause: str, phrase: tuple[str, ...]) -> str:
    if phrase == ("name",) and (match := _CALLED.search(clause) or _I_AM.search(clause)):
        return clean(match["value"])
    for match in _occurrences(clause, phrase):
        rest = clause[match.end() :]
        if _CHANGE.search(clause[: match.start()]) and (after := _TO.match(rest)):
            return clean(after["value"])
        if after := _AFTER.match(rest):
            if value := clean(after["value"]):
                return value
        elif identifier := _IDENTIFIER.match(rest):
            if value := clean(identifier["value"]):
                return value
        elif not re.match(r"\s*[\w']", rest) or re.match(r"\s+(?:now|and|but|from|by|so)\b", rest):
            ahead = _AHEAD.match(clause[: match.start()])
            if ahead and ahead["value"].lower() not in _PRONOUNS and (value := clean(ahead["value"])):
                return value
    if phrase[-1:] == ("name",) and len(phrase) > 1:
        return _named(clause, phrase[:-1])
    return ""


def _named(clause: str, phrase: tuple[str, ...]) -> str:
    for match in _occurrences(clause, phrase):
        if after := re.match(
            r",?\s+(?:is |was |are )?(?:called|named)\s+(?P<value>\S.*)$", clause[match.end() :], re.IGNORECASE
        ):
            return clean(after["value"])
    return ""


def _occurrences(clause: str, phrase: Iterable[str]) -> Iterator[re.Match[str]]:
    pattern = r"(?:'s)?[\s_-]+".join(re.escape(word) for word in phrase)
    for match in re.finditer(rf"(?<![\w-]){pattern}(?![\w]|-\w)", clause, re.IGNORECASE):
        head = clause[: match.start()].rstrip()
        if not head or head[-1] in ",:;(-–—\"'|=.!/[…":
            yield match
            continue
        before = head.split()[-1].lower().strip("\"'(*_,")
        if before in _BEFORE and not _OLD & {word.lower() for word in head.split()[-2:]}:
            yield match
