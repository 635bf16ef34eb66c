"""What an exact value looks like, kind by kind: the patterns of `exact`, for English and German text at least.

Every pattern is linear: repeats are bounded, or nothing that could fail follows them, and a look-behind keeps a
match from starting inside a run that was already tried. The order of `PATTERNS` is the order of claims: a span that
one kind took is not offered to the next, so that a date is no amount and a link no list of numbers. A pattern's
value is its named group where one took part in the match, else the whole match.
"""

import re
from typing import Literal

Kind = Literal["id", "email", "url", "amount", "date", "version", "quoted", "phone", "path", "name", "quantity"]

_SPACE = "[ \\u00a0\\u202f\\u2009]"
_DASH = "[-\\u2010-\\u2014]"
_START = r"(?<![A-Za-zÀ-ɏ0-9])(?<![0-9][.,])"
_END = r"(?![A-Za-zÀ-ɏ0-9])"
_NUMBER = (
    rf"(?:\d{{1,3}}(?:{_SPACE}\d{{3}}){{1,4}}(?:[.,]\d{{1,2}})?(?![0-9])|\d{{1,15}}(?:[.,'\u2019]\d{{1,15}}){{0,5}})"
)
_SCALE = rf"(?:{_SPACE}?(?:k|m|bn|million|billion|Mio\.?|Mrd\.?|Tsd\.?|Millionen|Milliarden){_END})?"
_CURRENCY = "[$€£¥￥₹₽₺₩฿]"
_CODE = (
    r"(?:USD|EUR|GBP|CHF|JPY|CNY|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|INR|BRL|ZAR|SGD|TRY"
    r"|元|円|[Ee]uros?|dollars?|Dollar|pounds|Pfund|cents?|Cent|Franken|Rappen)"
)
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Januar|Jänner|Februar|März|Mai|Juni|Juli|Oktober|Dezember"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Okt|Nov|Dec|Dez)"
)
_MONTH_END = r"(?![A-Za-zÀ-ɏ])\.?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,6})?)?"
_UNITS = (
    # Measures.
    r"kg|mg|µg|g|t|lbs?|oz|km/h|mph|m/s|km|cm|mm|µm|nm|m²|m³|m2|m3|sqm|m|miles?|ft|feet|inch(?:es)?|yards?|ha|acres?"
    r"|ml|cl|dl|l|lit(?:re|er)s?|Liter|gallons?|bar|psi|[kMh]?Pa|°\s?[CF]|[kmM]?V|mAh|mA|Ah|[kM]?Wh|[kM]?W|[kMG]?Hz"
    r"|rpm|dB|kcal|kJ|Nm|kN|[kKMGT]i?B|[kMG]bit/s|[kMG]bps|bits?|bytes?|px|dpi|fps"
    # Time.
    r"|ms|µs|ns|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|days?|weeks?|months?|years?|nights?|Sekunden?|Minuten?"
    r"|Stunden?|Tage?n?|Wochen?|Monate?n?|Jahre?n?|Nächten?|Nacht"
    # Things that are counted.
    r"|people|persons?|guests?|adults?|children|kids|rooms?|tickets?|items?|pieces?|units?|box(?:es)?|bottles?|pages?"
    r"|copies|users?|employees|customers|sessions?|tokens?|words|characters|times|points?|steps|floors?|seats?|cups?"
    r"|tablespoons?|teaspoons?|tbsp|tsp|servings?|orders?|Personen|Gäste|Erwachsene|Kinder|Zimmer|Stück|Stk|Seiten"
    r"|Flaschen|Kisten|Mal|Punkte|Mitarbeiter|Kunden|Nutzer|Plätze|Dosen|Packungen"
)
_LABEL = (
    r"(?:number|no\.|nr\.?|order|ticket|invoice|account|customer|case|reference|ref\.?|room|gate|table|seat|pin|code"
    r"|extension|ext\.?|flight|serial|zimmer|bestellung|rechnung|konto|kunde|auftrag|tisch"
    r"|platz|[A-Za-zÀ-ɏ]{0,30}nummer)"
)
_SECRET = r"(?:code|reference|locator|confirmation|password|pnr|passwort|kennwort|buchungscode|id)"
_IS = r"(?:\s{1,3}(?:number|no\.?|nr\.?|code))?\s{0,3}(?:(?:is|ist|was|war|lautet)\s|:|=|#)?\s{0,3}"
_CAP = r"[A-ZÀ-ÖØ-Þ][A-Za-zÀ-ɏ0-9]{1,30}(?:['\u2019-][A-Za-zÀ-ɏ0-9]{1,30}){0,3}"
_PARTICLE = r"(?:van der|van den|van|von der|von|de la|de|la|le|da|di|bin|al|of the|of)"
_NAME = rf"{_CAP}(?: (?:{_PARTICLE} )?(?:{_CAP}|[A-Z]\.)){{0,4}}"
_MODEL_NUMBER = r"[A-Z]{0,4}[0-9]{1,5}[A-Za-z]{0,3}(?![A-Za-zÀ-ɏ0-9])(?![.,][0-9])"
_NAMES = rf"{_CAP}(?: (?:{_PARTICLE} )?(?:{_CAP}|[A-Z]\.|{_MODEL_NUMBER})){{1,4}}"
_RELATION = (
    r"(?:daughter|son|wife|husband|brother|sister|mother|father|mom|dad|aunt|uncle|cousin|friend|colleague|boss|manager"
    r"|partner|doctor|teacher|neighbou?r|dog|cat|horse|company|brand|Tochter|Sohn|Bruder|Schwester|Mutter|Vater"
    r"|Freund(?:in)?|Kollege|Kollegin|Chef(?:in)?|Nachbar(?:in)?|Hund|Katze|Firma|Marke|named|called|namens|heißt)"
)
_FILE = (
    r"(?:pdf|docx?|xlsx?|pptx?|odt|ods|csv|tsv|json|xml|ya?ml|toml|ini|cfg|conf|env|log|txt|md|rst|html?|css|js|mjs|ts"
    r"|tsx|jsx|py|ipynb|java|kt|go|rs|c|h|cpp|hpp|cs|rb|php|sh|bat|ps1|sql|sqlite3?|db|zip|tar|gz|7z|rar|png|jpe?g|gif"
    r"|svg|webp|mp[34]|mov|wav|ics|eml|pem|key|crt|lock|exe|dll|so|deb|rpm|iso|bin|hex|dwg|step|stl)"
)

# Kind, pattern, flags, and whether nothing can match it that has no digit.
_TABLE: tuple[tuple[Kind, str, int, bool], ...] = (
    (
        "url",
        r"(?<![A-Za-zÀ-ɏ0-9])(?:https?|ftp|wss?)://[^\s<>\"'`{}|\\^\u2018-\u201f«»\u3000-\u9fff\uff00-\uffef]{3,2000}"
        r"|(?<![A-Za-z0-9.@/-])www\.[A-Za-z0-9./?=&%#_~:+-]{3,500}",
        re.IGNORECASE,
        False,
    ),
    (
        "email",
        r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-zÀ-ɏ0-9])",
        0,
        False,
    ),
    (
        "url",
        r"(?<![A-Za-z0-9.@/_-])(?:[A-Za-z0-9-]{2,63}\.){1,4}(?:com|org|net|de|io|dev|app|edu|gov|eu|ch|at|co\.uk)"
        r"(?:/[A-Za-z0-9./?=&%#_~:+-]{1,300})?(?![A-Za-z0-9_-])",
        0,
        False,
    ),
    (
        "path",
        r"(?<![A-Za-z0-9/.:~_-])(?:~|\.{1,2})?(?:/[A-Za-zÀ-ɏ0-9_.@+-]{1,128}){2,40}"
        r"|(?<![A-Za-zÀ-ɏ0-9])[A-Za-z]:\\[^\s<>:\"|?*]{1,255}"
        rf"|(?<![A-Za-zÀ-ɏ0-9_.@/-])[A-Za-zÀ-ɏ0-9_-]{{1,64}}(?:\.[A-Za-zÀ-ɏ0-9_-]{{1,64}}){{0,3}}\.{_FILE}"
        r"(?![A-Za-z0-9_-])(?!\.[A-Za-z0-9])",
        0,
        False,
    ),
    (
        "date",
        # 2025-11-03T14:05:00Z
        rf"{_START}\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?)?{_END}"
        # 03/11/2025, 3.11.25
        rf"|{_START}\d{{1,2}}([./-])\d{{1,2}}\1(?:\d{{4}}|\d{{2}})(?![A-Za-zÀ-ɏ0-9])(?![./-][0-9])"
        # 12 September 2025, 3rd of Nov, 3. November
        rf"|{_START}\d{{1,2}}(?:st|nd|rd|th|\.)?(?: of)?{_SPACE}{_MONTH}{_MONTH_END}(?:,?{_SPACE}\d{{4}}{_END})?"
        # September 12th, 2025; September 2025
        rf"|(?<![A-Za-zÀ-ɏ]){_MONTH}{_MONTH_END}{_SPACE}"
        rf"(?:\d{{1,2}}(?:st|nd|rd|th)?{_END}(?![.:]\d)(?:,?{_SPACE}\d{{4}}{_END})?|\d{{4}}{_END})"
        # am 12.9.
        r"|(?<=[Aa]m |om |is |um |it |ab |en )\d{1,2}\.\d{1,2}\.(?![0-9])"
        # 14:05, 2:30 pm, 9 am, 14 Uhr
        rf"|{_START}{_CLOCK}(?:{_SPACE}?(?:[ap]m|[AP]M|[ap]\.m\.|Uhr))?(?![A-Za-z0-9:])"
        rf"|{_START}\d{{1,2}}(?:\.\d{{2}})?{_SPACE}?(?:[ap]m|[AP]M|[ap]\.m\.|Uhr)(?![A-Za-zÀ-ɏ0-9])",
        0,
        True,
    ),
    (
        "amount",
        rf"{_CURRENCY}{_SPACE}?{_NUMBER}{_SCALE}{_END}(?![.,][0-9])"
        rf"|(?<![A-Za-zÀ-ɏ0-9]){_CODE}{_SPACE}?{_NUMBER}{_SCALE}{_END}(?![.,][0-9])"
        rf"|{_START}{_NUMBER}{_SCALE}{_SPACE}?(?:{_CURRENCY}|{_CODE}(?![A-Za-zÀ-ɏ]))"
        rf"|{_START}{_NUMBER}{_SPACE}?(?:[%‰]|percent|per cent|Prozent)",
        0,
        True,
    ),
    (
        "id",
        # An IBAN, a card, an IPv4 address, a MAC address.
        r"(?<![A-Za-zÀ-ɏ0-9])(?P<a>[A-Z]{2}\d{2}(?: [0-9A-Z]{4}){3,7}(?: [0-9A-Z]{1,4})?)(?![A-Za-zÀ-ɏ0-9])"
        r"|(?<![A-Za-zÀ-ɏ0-9])(?P<b>\d{4}(?: \d{4}){2,4})(?![A-Za-zÀ-ɏ0-9])"
        r"|(?<![A-Za-z0-9.])(?P<c>\d{1,3}(?:\.\d{1,3}){3}(?::\d{2,5})?)(?![A-Za-zÀ-ɏ0-9])(?!\.\d)"
        r"|(?<![A-Za-z0-9:])(?P<d>[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})(?![A-Za-z0-9:])",
        0,
        False,
    ),
    (
        "phone",
        r"(?<![A-Za-z0-9+])\+\d[\d \u00a0()./-]{6,22}\d(?![A-Za-zÀ-ɏ0-9])"
        r"|(?<![A-Za-zÀ-ɏ0-9])\(\d{3,5}\)[ -]?\d{3,4}[ -]?\d{2,5}(?![A-Za-zÀ-ɏ0-9])"
        r"|(?<![A-Za-z0-9-])\d{3}-\d{3}-\d{4}(?![A-Za-z0-9-])"
        r"|(?<![A-Za-z0-9-])0\d{2,5}[ /]\d{3,9}(?: \d{2,6}){0,3}(?![A-Za-zÀ-ɏ0-9])",
        0,
        True,
    ),
    (
        "version",
        r"(?<![A-Za-zÀ-ɏ0-9])(?:[Vv]|[Ff][Ww] ?|[Ff]irmware |[Vv]ersion |[Vv]er\. ?|[Rr]elease )"
        r"(?P<a>\d{1,5}(?:\.\d{1,6}){0,4}(?:-[A-Za-z0-9.]{1,20}(?<!\.))?)(?![A-Za-zÀ-ɏ0-9])(?!\.\d)"
        r"|(?<![A-Za-z0-9.])\d{1,5}(?:\.\d{1,6}){2,4}(?:-[A-Za-z]{1,8}\.?\d{0,4})?(?![A-Za-zÀ-ɏ0-9])(?!\.\d)"
        r"|(?<![A-Za-zÀ-ɏ])[A-Z][A-Za-z+#]{1,20} (?P<b>\d{1,3}\.\d{1,3})(?![A-Za-z0-9%,])(?!\.\d| ?[A-Za-z%€$])",
        0,
        True,
    ),
    (
        "quantity",
        rf"{_START}{_NUMBER}(?:{_SPACE}?(?:[x×]|{_DASH}){_SPACE}?{_NUMBER}){{0,3}}{_SPACE}?(?:{_UNITS})"
        r"(?![A-Za-zÀ-ɏ0-9²³])",
        0,
        True,
    ),
    (
        "id",
        rf"(?<![A-Za-zÀ-ɏ]){_LABEL}{_IS}(?P<value>[A-Z]{{0,4}}\d{{1,20}})(?![A-Za-zÀ-ɏ0-9])(?![-/_.,]\w)",
        re.IGNORECASE,
        True,
    ),
    (
        "id",
        rf"(?<![A-Za-zÀ-ɏ])(?i:{_SECRET})\s{{0,3}}(?i:is|ist|lautet|:|=)\s{{0,3}}(?P<value>[A-Z][A-Z0-9]{{3,15}})"
        r"(?![A-Za-z0-9-])",
        0,
        False,
    ),
    (
        "id",
        # A word with a digit in it; `exact` decides which of them are ids.
        r"(?<![A-Za-zÀ-ɏ0-9])(?=[A-Za-z_/.-]{0,40}[0-9])[A-Za-z0-9]{1,128}(?:[-/_.\u2010-\u2013][A-Za-z0-9]{1,64}){0,12}"
        r"(?![A-Za-zÀ-ɏ0-9])",
        0,
        True,
    ),
    (
        "name",
        rf"(?<![A-Za-zÀ-ɏ])(?:[Mm]y name is|[Mm]y name's|[Cc]all me|I'm|I\u2019m|I am|[Tt]his is|[Nn]ame:"
        rf"|[Mm]ein Name ist|[Ii]ch heiße|[Ii]ch bin|{_RELATION}(?: is| ist)?) (?P<value>{_NAME})",
        0,
        False,
    ),
    (
        "name",
        r"(?<![A-Za-zÀ-ɏ])(?:my name is|call me|mein name ist|ich heiße) "
        r"(?!(?:not|a|an|the|on|in|if|when|back|later|at|as|to|nicht|auf|in)\b)(?P<value>[a-zà-ÿ]{2,20})"
        r"(?![A-Za-zÀ-ɏ])",
        re.IGNORECASE,
        False,
    ),
    (
        "name",
        rf"(?<![A-Za-zÀ-ɏ])(?:Mrs?|Ms|Miss|Dr|Prof|Herrn?|Frau|Mme|Sir)\.? (?P<value>{_NAME})",
        0,
        False,
    ),
    ("name", rf"(?<=[a-zà-ÿ0-9,;:(] )(?P<names>{_NAMES})", 0, False),
    ("date", rf"{_START}(?:19|20)\d{{2}}{_END}(?![.,]\d)", 0, True),
    (
        "quantity",
        rf"{_START}(?:\d{{1,12}}(?:[.,'\u2019]\d{{1,12}}){{1,5}}|\d{{3,4}})(?![A-Za-zÀ-ɏ0-9])(?![.,]\d)",
        0,
        True,
    ),
    ("name", r"(?<![A-Za-z0-9@./])@[A-Za-z][A-Za-z0-9_]{2,30}(?![A-Za-z0-9@.])", 0, False),
    (
        "quoted",
        r"(?<![A-Za-z0-9\"])\"(?=[^\s\"])(?P<a>[^\"\n]{2,80})(?<=\S)\"(?![A-Za-z0-9\"]|\s{0,2}:)"
        r"|[“„](?P<b>[^“”„\"\n]{2,80})[“”\"]|«(?P<c>[^«»\n]{2,80})»|»(?P<d>[^«»\n]{2,80})«"
        r"|‘(?P<e>[^‘’\n]{2,80})’(?![A-Za-z])|(?<![A-Za-z0-9`])`(?P<f>[^`\n]{2,80})`(?!`)"
        r"|(?<![A-Za-z0-9'])'(?=[^\s'])(?P<g>[^'\n]{2,60})(?<=\S)'(?![A-Za-z0-9'])"
        r"|「(?P<h>[^「」\n]{2,80})」",
        0,
        False,
    ),
)

PATTERNS: tuple[tuple[Kind, re.Pattern[str], bool], ...] = tuple(
    (kind, re.compile(pattern, flags), digit) for kind, pattern, flags, digit in _TABLE
)
"""Kind, pattern, and whether it is of no use on a text without a digit: most of the time goes into those."""
