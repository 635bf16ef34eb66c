"""Tokens estimated from characters, and corrected by what the API counted.

The only true count is the one that the API returns. Before a call there is an estimate: the characters of each
text class, divided by how many of them make a token. The ratios start low, so that they **overcount on purpose**
(a request that is thought too large is asked about or trimmed; one that is thought too small is a 400), and are
then learnt per model from the usage of past calls.

The class of a character depends on at most three characters before it and on none after it. So text can grow
without its count ever falling, and the parts of a request can be counted one by one and added.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

# Tokens that a request holds beside its text. The API does not publish them; they are set a little high, and what
# remains of the error is learnt into the ratios.
REQUEST_TOKENS = 8  # the frame around system and messages
MESSAGE_TOKENS = 5  # the role and the turn's separators
BLOCK_TOKENS = 2  # the seam between two content blocks, where no token can join both sides
TOOL_BLOCK_TOKENS = 24  # a tool call or result: its id and name are text that no block's own text contains

# Below this a sample says more about the frame around the text than about the text.
LEAST_SAMPLE = 48  # tokens
# Learnt ratios stay within 0.5 to 5 times the start: one strange measurement must not break the budget.
CLAMP_LOW, CLAMP_HIGH = 0.5, 5.0
# The first call corrects its whole error, each later one less of it, down to the steady part: a start that is 50 % off
# in every class is learnt to under 5 % in some 40 calls if each class now and then dominates one, and after that one
# odd call can't undo it.
STEADY_RATE = 0.25
EAGER_CALLS = 40
# A number in an error is the truth about one request; the next one must be below it, not at it.
OVERFLOW_MARGIN = 1.02

_SYMBOLS = bytes(code for code in range(128) if not (chr(code).isalnum() or chr(code) in " \t\n\r"))
_DENSE = re.compile(rb"[0-9A-Z]+(?:(?<=[0-9])[a-z]{1,3})?")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_BEYOND_LETTERS = re.compile("[\x80-\xbf\u2000-\u206f]+")
_ALPHABETS = re.compile("[\xc0-\u08ff\u1e00-\u1fff]+")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many characters of each text class there are.

    `prose`: lower-case Latin letters and blank space. `code`: punctuation, symbols, control characters.
    `dense`: digits and the letters that hang on them (hex, base64, ids), capitals, letters with marks, and the
    alphabets that tokenizers know less well (Cyrillic, Greek, Arabic). `cjk`: CJK, Indic scripts, emoji, counted in
    UTF-16 units because what lies beyond the basic plane costs several tokens.
    """

    prose: int = 0
    code: int = 0
    dense: int = 0
    cjk: int = 0

    def __add__(self, other: "Shares") -> "Shares":
        return Shares(
            prose=self.prose + other.prose,
            code=self.code + other.code,
            dense=self.dense + other.dense,
            cjk=self.cjk + other.cjk,
        )

    @property
    def characters(self) -> int:
        """All of them."""
        return self.prose + self.code + self.dense + self.cjk


CLASSES = tuple(entry.name for entry in fields(Shares))


def _removed(pattern: re.Pattern[str], text: str) -> tuple[str, int]:
    rest = pattern.sub("", text)
    return rest, len(text) - len(rest)


def classify(text: str) -> Shares:
    """Sort the characters of `text` into classes. Any text will do, lone surrogates included."""
    code = dense = cjk = 0
    if not text.isascii():
        odd = "".join(_BEYOND_ASCII.findall(text))
        odd, code = _removed(_BEYOND_LETTERS, odd)
        odd, dense = _removed(_ALPHABETS, odd)
        cjk = len(odd) + _removed(_ASTRAL, odd)[1]
    plain = text.encode("ascii", "ignore")
    rest = _DENSE.sub(b"", plain)
    prose = len(rest.translate(None, _SYMBOLS))
    return Shares(prose=prose, code=code + len(rest) - prose, dense=dense + len(plain) - len(rest), cjk=cjk)


def total(texts: Iterable[str]) -> Shares:
    """The shares of many texts together, for `learn`."""
    shares = Shares()
    for text in texts:
        shares += classify(text)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Characters per token of each class, for one model, and from how many calls they were learnt.

    The start overcounts. Measured characters per token of whole texts: English 4.5, Python 2.9, German 2.8,
    JSON 1.4, hex 1.5, Chinese 1.0; the start lies at or below what each of these needs.
    """

    prose: float = 3.0
    code: float = 0.9
    dense: float = 1.2
    cjk: float = 0.9
    samples: int = 0

    def tokens(self, shares: Shares) -> float:
        """The estimate for `shares`, in tokens, not rounded."""
        return shares.prose / self.prose + shares.code / self.code + shares.dense / self.dense + shares.cjk / self.cjk

    def learn(self, *, shares: Shares, estimated: int, measured: int) -> "Ratios":
        """The ratios after a call of `shares`, estimated at `estimated` tokens and counted at `measured`.

        What `estimated` holds beyond the text (frames of messages, tools) is taken as known. The error goes to the
        classes by their share of the estimate, in log space, as a normalised step: a call of one class alone
        corrects that class alone. Samples too small to tell anything change nothing.
        """
        body = self.tokens(shares)
        truth = measured - max(0.0, estimated - body)
        if body < LEAST_SAMPLE or truth < LEAST_SAMPLE:
            return self
        weights = {name: getattr(shares, name) / getattr(self, name) / body for name in CLASSES}
        rate = max(STEADY_RATE, 1 - self.samples / EAGER_CALLS)
        step = rate * math.log(truth / body) / sum(weight * weight for weight in weights.values())
        return self._moved({name: -step * weight for name, weight in weights.items()})

    def scaled(self, factor: float) -> "Ratios":
        """The ratios with which every estimate is `factor` times as large, as far as the clamps allow."""
        return self._moved(dict.fromkeys(CLASSES, -math.log(factor)))

    def _moved(self, logs: Mapping[str, float]) -> "Ratios":
        moved = {name: _clamped(name, getattr(self, name) * math.exp(_bounded(log))) for name, log in logs.items()}
        return replace(self, samples=self.samples + 1, **moved)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the Calibration row of a model."""
        return {name: round(getattr(self, name), 6) for name in CLASSES} | {"samples": self.samples}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From `to_dict`. What is missing, not a number or outside the clamps becomes the start or the clamp."""

        def stored(name: str) -> float:
            value = data.get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                return _clamped(name, float(value))
            return float(getattr(START, name))

        samples = data.get("samples")
        return cls(
            prose=stored("prose"),
            code=stored("code"),
            dense=stored("dense"),
            cjk=stored("cjk"),
            samples=samples if isinstance(samples, int) and samples > 0 else 0,
        )


START = Ratios()


def _clamped(name: str, value: float) -> float:
    start = float(getattr(START, name))
    return min(max(value, start * CLAMP_LOW), start * CLAMP_HIGH)


def _bounded(log: float) -> float:
    widest = math.log(CLAMP_HIGH / CLAMP_LOW)
    return min(max(log, -widest), widest)


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts tokens with the ratios of one model. A value: learning returns another counter."""

    ratios: Ratios = field(default=START)

    def count(self, text: str) -> int:
        """An estimate in tokens: 0 for no text, else at least 1; never smaller for `text` with more behind it."""
        return self.count_shares(classify(text)) if text else 0

    def count_shares(self, shares: Shares) -> int:
        """The same for text that is classified already."""
        return max(1, math.ceil(self.ratios.tokens(shares))) if shares.characters else 0

    def learn(self, *, shares: Shares, estimated: int, measured: int) -> "Counter":
        """The counter after the API counted `measured` tokens where `estimated` were expected; see Ratios.learn."""
        return Counter(self.ratios.learn(shares=shares, estimated=estimated, measured=measured))

    def from_overflow(self, *, actual: int | None, estimated: int) -> "Counter":
        """The counter after an overflow error that names the `actual` tokens of a request estimated at `estimated`.

        Every class is corrected at once and in full: which of them was wrong is not known, and the next request
        must fit. An error without numbers, or with fewer tokens than estimated, teaches nothing.
        """
        if not actual or estimated <= 0 or actual <= estimated:
            return self
        return Counter(self.ratios.scaled(actual / estimated * OVERFLOW_MARGIN))
