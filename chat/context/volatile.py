"""What does not belong into a system prompt: text that is another one tomorrow, or for somebody else.

The prompt stands before everything else in a request. Whoever keeps a date, a time, an id, an address, a name or a
placeholder up to date there changes the first bytes of every request, and nothing of it comes from the cache any more.
Found by code, in the words of many languages; plain prose gives no alarm. Whether it matters a person decides.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST = 10

# Written with a capital in their languages, so that the English "may" and "march" are no months.
_CAPITAL = (
    "January February March April May June July August September October November December "
    "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec "
    "Januar Jänner Februar März Mai Juni Juli Oktober Dezember Dez Okt"
)
_SMALL = (
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre "
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre "
    "gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre "
    "janeiro fevereiro março maio junho julho setembro outubro novembro dezembro "
    "januari februari maart april mei juni juli augustus september oktober november december "
    "januar februar marts maj august "
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia "
    "ledna února března dubna května června července srpna září října listopadu prosince "
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря "
    "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня "
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
_CAPITALS = "|".join(sorted(set(_CAPITAL.split()), key=len, reverse=True))
_SMALLS = "|".join(sorted(set(_SMALL.split()), key=len, reverse=True))

# In this order: what one finds, those after it leave alone.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("uuid", re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")),
    ("email", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    # Neither LaTeX (\frac{a}{b}) nor code and JSON, whose braces hold more than a name.
    (
        "placeholder",
        re.compile(r"\$\{\w{1,60}\}|%\(\w{1,60}\)s|(?<![\w\\}^$])\{\{?\s?[^\W\d][\w.]{0,59}\s?\}?\}(?!\{)"),
    ),
    (
        "date",
        re.compile(
            rf"\b{_YEAR}-{_MONTH}-{_DAY}(?!\d)"
            rf"|\b{_YEAR}/{_MONTH}/{_DAY}\b"
            rf"|\b{_DAY}\.\s?{_MONTH}\.\s?{_YEAR}\b"
            # With its zeros: else it is the number of a version.
            r"|\b(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d\b(?!\.)"
            rf"|\b{_DAY}/{_DAY}/(?:{_YEAR}|\d\d)\b"
            rf"|{_YEAR}\s?[年년]\s?{_MONTH}\s?[月월]\s?{_DAY}\s?[日일]"
            rf"|\b{_DAY}(?:st|nd|rd|th|\.|er|º)?\s(?:of\s)?(?:{_CAPITALS})\b\.?(?:,?\s{_YEAR}\b)?"
            rf"|\b(?:{_CAPITALS})\b\.?\s{_DAY}(?:st|nd|rd|th)?\b(?!\d)(?:,?\s{_YEAR}\b)?"
        ),
    ),
    (
        "date",
        re.compile(rf"\b{_DAY}(?:\.|er|º|\.º)?\s(?:de\s)?(?:{_SMALLS})\b(?:,?\s(?:de\s)?{_YEAR}\b)?", re.IGNORECASE),
    ),
    (
        "time",
        re.compile(
            r"\b(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d\b"
            r"|\b(?:[01]?\d|2[0-3])(?:[:.][0-5]\d)?\s?(?:[ap]\.?m\b\.?|Uhr\b|o['’]clock\b)"
            r"|\b(?:[01]\d|2[0-3]):(?!10\b)[0-5]\d\b"
            r"|\b(?:[01]?\d|2[0-3])h[0-5]\d\b"
            r"|(?:[01]?\d|2[0-3])\s?[時点點시]\s?[0-5]?\d\s?[分분]",
            re.IGNORECASE,
        ),
    ),
)
# Shorter names are words of some language.
_LEAST_NAME = 3


@dataclass(frozen=True, slots=True)
class Found:
    """One such piece: `kind` is uuid, email, placeholder, date, time or name; `text` stands at `start` (characters)."""

    kind: str
    text: str
    start: int


def find(text: str, names: Iterable[str] = ()) -> tuple[Found, ...]:
    """What may change from request to request in a prompt, in order; at most MOST pieces. `names`: the user's own."""
    taken: list[Found] = []
    for one in _all(text, names):
        end = one.start + len(one.text)
        if not any(one.start < other.start + len(other.text) and other.start < end for other in taken):
            taken.append(one)
    return tuple(sorted(taken, key=lambda one: one.start)[:MOST])


def _all(text: str, names: Iterable[str]) -> Iterator[Found]:
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            yield Found(kind, match.group().strip(), match.start())
    for name in sorted({name.strip() for name in names}, key=len, reverse=True):
        if len(name) >= _LEAST_NAME:
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
                yield Found("name", match.group(), match.start())
