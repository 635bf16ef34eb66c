"""Exact values found by code: what a summary must not lose and a model must not be asked for.

Ids, amounts, dates, addresses, names and quoted words are found by patterns, each with the clause that it rests on,
so that its label ("My order number is A-7731") stays with it. Finding errs on the side of too much: a value kept
for nothing costs a line, one that is lost costs the user's trust. Time is linear in the text, whatever the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from chat.context.patterns import PATTERNS, Kind

# A clause that is longer is cut around its value, at words.
QUOTE_CHARACTERS = 100
# Of what is left beside the value, the part that goes to the words before it: labels stand there.
_BEFORE = 0.7

_CLAUSE_END = re.compile(r"[.!?;…]+[\"'”’)\]]?(?=\s|$)|\n|[。！？；]")
_ABBREVIATIONS = re.compile(
    r"no|nr|mr|mrs|ms|dr|prof|st|ref|ext|art|ca|approx|vs|bzw|ggf|inkl|tel|str|abs|[a-z]|[0-9]{1,2}", re.IGNORECASE
)
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s|x|k|m|er|te|ten|ter|tes|D|G|K)")
_COMPOUND = re.compile(r"\d+(?:-[A-Za-zà-ÿ]{2,})+")
_HEX = re.compile(r"[0-9a-f]{7,}", re.IGNORECASE)
# Words that are capitalised for another reason than being a name.
_NOT_NAMES = re.compile(
    r"I|I'm|I've|I'll|I'd|The|A|An|And|But|Or|So|If|It|It's|That|This|These|Those|He|She|We|You|They|My|Your|Our|His|Her"
    r"|What|When|Where|Why|How|Who|Yes|No|Not|Ok|Okay|Hi|Hello|Hey|Thanks|Please|Also|Then|Sorry|Sure|Great|Well|Just|Wow|Yeah|Oh|Dear"
    r"|Der|Die|Das|Ein|Eine|Und|Aber|Oder|Ich|Wir|Sie|Er|Es|Du|Ihr|Mein|Meine|Ja|Nein|Bitte|Danke"
    r"|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
)
_POSSESSIVE = re.compile(r"['’]s$")
_TRAILING = ".,;:!?)]}'\"*_"
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """One exact value: the letters as they stand, the clause that it rests on, and where it starts (characters)."""

    kind: Kind
    value: str
    quote: str
    start: int

    @property
    def key(self) -> tuple[str, str]:
        """What two mentions of the same value have in common."""
        return self.kind, normalise(self.value)


def find(text: str, *, limit: int | None = None) -> tuple[Exact, ...]:
    """The exact values of `text` in the order of their first mention, each once; at most `limit` of them."""
    found: dict[tuple[str, str], Exact] = {}
    for start, end, kind in sorted(_spans(text)):
        value = " ".join(text[start:end].split())
        key = (kind, normalise(value))
        if key in found:
            continue
        if limit is not None and len(found) >= limit:
            break
        found[key] = Exact(kind=kind, value=value, quote=quote_around(text, start, end), start=start)
    return tuple(found.values())


def _spans(text: str) -> Iterator[tuple[int, int, Kind]]:
    taken = bytearray(len(text))
    digits = _DIGIT.search(text) is not None
    for kind, pattern, needs_digit in PATTERNS:
        if needs_digit and not digits:
            continue
        for match in pattern.finditer(text):
            group = match.lastgroup
            start, end = match.span(group) if group else match.span()
            if kind == "name":
                # "Frau Schmidt 14 Uhr": a name ends where a value begins that is taken already.
                cut = taken.find(1, start, end)
                end = end if cut < 0 else cut
            start, end = _trimmed(kind, text, start, end)
            # A label or a form of its own ("room 12", an IBAN) is evidence enough; a bare word must look like an id.
            told = bool(group) and kind == "id"
            lone = group == "names" and " " not in text[start:end]
            if end <= start or lone or not (told or _plausible(kind, text[start:end])):
                continue
            if kind == "quoted":
                # Words in quotes often are an id or a name: then one of the two is enough.
                if taken.count(1, start, end) < end - start:
                    yield start, end, kind
            elif taken.find(1, start, end) < 0:
                taken[start:end] = b"\1" * (end - start)
                yield start, end, kind


def _trimmed(kind: Kind, text: str, start: int, end: int) -> tuple[int, int]:
    if kind in ("url", "path"):
        value = text[start:end].rstrip(_TRAILING)
        # A link may end in a bracket that it opened itself.
        end = start + len(value) + (value.count("(") > value.count(")") and text[start + len(value) : end][:1] == ")")
    elif kind == "quoted":
        value = text[start:end]
        start, end = end - len(value.lstrip()), start + len(value.rstrip())
    elif kind == "name":
        end = start + len(text[start:end].rstrip())
        words = text[start:end].split(" ")
        while words and _NOT_NAMES.fullmatch(words[0]):
            start += len(words.pop(0)) + 1
        while words and (_NOT_NAMES.fullmatch(words[-1]) or (len(words) > 1 and words[-1].islower())):
            end -= len(words.pop()) + 1
        end = start + len(_POSSESSIVE.sub("", text[start:end]))
    return start, end


def _plausible(kind: Kind, value: str) -> bool:
    if kind == "id":
        return _is_id(value)
    if kind == "name":
        return value[:1] == "@" or any(character.islower() for character in value)
    if kind == "quoted":
        return any(character.isalnum() for character in value)
    return True


def _is_id(word: str) -> bool:
    digits = sum(character.isdigit() for character in word)
    letters = [character for character in word if character.isalpha()]
    if not letters:
        return digits >= 5 and "." not in word
    if _ORDINAL.fullmatch(word) or _COMPOUND.fullmatch(word):
        return False
    if "".join(letters).isupper():
        return digits >= 2 or len(word) > digits + len(letters)
    return digits >= 3 or bool(_HEX.fullmatch(word)) or (digits >= 2 and len(letters) <= 4)


def quote_around(text: str, start: int, end: int, *, characters: int = QUOTE_CHARACTERS) -> str:
    """The clause that the value text[start:end] rests on, on one line and cut at words.

    At most `characters`, or the value alone where that is longer. A clause that is nothing but the value brings
    the one before it along, where its label stands ("Order number?" and then "A-7731").
    """
    reach = 2 * characters
    left, right = text[max(0, start - reach) : start], text[end : end + reach]
    clause = _last_clause(left)
    after = _first_clause(right)
    if not any(character.isalnum() for character in clause + after):
        bare = left.rstrip()
        clause = _last_clause(bare[: len(bare) - 1]) + left[max(0, len(bare) - 1) :]
    before, value, after = (" ".join(part.split()) for part in (clause, text[start:end], after))
    room = max(0, characters - len(value) - 2)
    before = _cut_left(before, max(int(room * _BEFORE), room - len(after)))
    after = _cut_right(after, room - len(before))
    spaced_left = " " if before and clause[-1:].isspace() else ""
    spaced_right = " " if after and right[:1].isspace() else ""
    return f"{before}{spaced_left}{value}{spaced_right}{after}"


def _last_clause(left: str) -> str:
    cut = 0
    for match in _CLAUSE_END.finditer(left + " "):
        if match.end() <= len(left) and not _abbreviated(left, match.start()):
            cut = match.end()
    return left[cut:]


def _first_clause(right: str) -> str:
    for match in _CLAUSE_END.finditer(right):
        if not _abbreviated(right, match.start()):
            return right[: match.start()]
    return right


def _abbreviated(text: str, stop: int) -> bool:
    # "Nr. 5", "3. November", "z. B.": the point ends no clause.
    word = text[max(0, stop - 8) : stop].rpartition(" ")[2]
    return text[stop : stop + 1] == "." and bool(_ABBREVIATIONS.fullmatch(word))


def _cut_left(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    kept = text[len(text) - room :] if room else ""
    return kept if text[len(text) - room - 1 : len(text) - room] == " " else kept.partition(" ")[2]


def _cut_right(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    kept = text[:room]
    return kept if text[room : room + 1] == " " else kept.rpartition(" ")[0]


_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_QUOTES = dict.fromkeys(map(ord, "\u2018\u2019\u201a"), "'") | dict.fromkeys(map(ord, "\u201c\u201d\u201e«»"), '"')
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("￥"): "¥"}
_FOLDED: dict[int, str | int | None] = {**_DASHES, **_QUOTES, **_INVISIBLE, **_WIDE}
# 1,849 and 1.849 and 1'849, in groups of three, and the same with spaces where cents make plain that it is a number.
_THIN = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_GROUPS = re.compile(r"(?<=[0-9])[.,'](?=[0-9]{3}(?![0-9]))")
_SPACED = re.compile(r"(?<![0-9])([0-9]{1,3}(?: [0-9]{3}){1,4})(?=[.,][0-9]{1,2}(?![0-9]))")
_CENTS = re.compile(r"(?<=[0-9]),(?=[0-9]{1,2}(?![0-9]))")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")


def normalise(text: str) -> str:
    """`text` in the form in which two ways to write one value are equal.

    Spaces of any kind are one space, dashes and quotes plain, thousands without separators, the decimal mark a point,
    full-width forms are narrow, e-mail addresses in lower case. All else, capitals too, stays as it is.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", _THIN.sub("", text)).translate(_FOLDED)
    text = _GROUPS.sub("", " ".join(text.split()))
    text = _SPACED.sub(lambda match: match[0].replace(" ", ""), text)
    text = _CENTS.sub(".", text)
    return _ADDRESS.sub(lambda match: match[0].lower(), text)


class Haystack:
    """A text to look values up in, normalised once."""

    def __init__(self, text: str):
        self._text = normalise(text)

    def holds(self, value: str) -> bool:
        """Whether `value` stands in the text as a whole: 12 is not in 312, nor in 12.50."""
        needle = normalise(value)
        at = self._text.find(needle) if needle else -1
        while at >= 0:
            if self._whole(at, at + len(needle)):
                return True
            at = self._text.find(needle, at + 1)
        return False

    def _whole(self, start: int, end: int) -> bool:
        text = self._text
        before = text[max(0, start - 2) : start]
        # "v2.4.1" holds 2.4.1.
        prefixed = before[-1:] in ("v", "V") and not _joins(before[:-1])
        if _joins(text[start]) and _joins(before[-1:]) and not prefixed:
            return False
        if _joins(text[end - 1]) and _joins(text[end : end + 1]):
            return False
        if text[start].isdecimal() and start > 1 and text[start - 1] in ".," and text[start - 2].isdecimal():
            return False
        return not (
            text[end - 1].isdecimal() and text[end : end + 1] in (".", ",") and text[end + 1 : end + 2].isdecimal()
        )


def _joins(character: str) -> bool:
    # Latin letters and digits, as in the patterns: Chinese and Japanese put no space between a word and a number.
    return (character.isascii() and character.isalnum()) or "À" <= character <= "ɏ"


def contains(haystack: str, value: str) -> bool:
    """Whether `value` stands in `haystack`, however its spaces, dashes and thousands are written."""
    return Haystack(haystack).holds(value)
