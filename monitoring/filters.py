"""What a page is about: model, user, strategy and time, as they stand in the address.

Pure: the clock is handed in. What an address says and nobody offers is left out, so that a strange link shows
everything and not an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A code as `monitoring.recording` lets them in; anything else can't have been recorded.
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: its `code` in the address, how wide a point of its charts is, and what "lately" means in it.

    `lately` is the newest part that a card speaks of, to be compared with the whole.
    """

    code: str
    length: timedelta
    step: timedelta
    lately: timedelta

    @property
    def name(self) -> str:
        """The span as people write it: "24 h"."""
        return f"{self.code[:-1]}\u00a0{self.code[-1:]}"


SPANS = {
    "1h": Span("1h", HOUR, 5 * MINUTE, 15 * MINUTE),
    "24h": Span("24h", DAY, 15 * MINUTE, HOUR),
    "7d": Span("7d", 7 * DAY, 2 * HOUR, DAY),
    "30d": Span("30d", 30 * DAY, DAY, 7 * DAY),
}
USUAL = "24h"
EVER = Span("", 36_500 * DAY, DAY, DAY)
"""All that was ever recorded; not offered for charts."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter of a page. "" and None stand for all."""

    span: Span = field(default_factory=lambda: SPANS[USUAL])
    model: str = ""
    strategy: str = ""
    user: int | None = None

    @property
    def query(self) -> dict[str, str]:
        """The parts of the address that hold it; nothing for what is not chosen."""
        given = {
            "span": "" if self.span.code == USUAL else self.span.code,
            "model": self.model,
            "strategy": self.strategy,
            "user": "" if self.user is None else str(self.user),
        }
        return {name: value for name, value in given.items() if value}

    @property
    def name(self) -> str:
        """The filter as part of a file's name: "24h", "7d-claude-opus-4-6-user-7"."""
        parts = [self.span.code, self.model, self.strategy, "" if self.user is None else f"user-{self.user}"]
        return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part) for part in parts if part)

    @property
    def chosen(self) -> int:
        """How many of model, strategy and user are chosen."""
        return sum((bool(self.model), bool(self.strategy), self.user is not None))

    def since(self, now: datetime) -> datetime:
        """The start of the first point: points lie on round times, the last one holds `now`."""
        return floor(now, self.span.step) + self.span.step - self.span.length


def floor(at: datetime, step: timedelta) -> datetime:
    """The start of the step that `at` lies in, counted from 1970 in UTC."""
    seconds = int(step.total_seconds())
    return at - timedelta(seconds=at.timestamp() % seconds)


def read(given: Mapping[str, str]) -> Filter:
    """The filter in an address."""
    user = given.get("user", "").strip()
    return Filter(
        span=SPANS.get(given.get("span", ""), SPANS[USUAL]),
        model=_code(given.get("model", "")),
        strategy=_code(given.get("strategy", "")),
        user=int(user) if user.isascii() and user.isdigit() and len(user) < 18 else None,
    )


def _code(text: str) -> str:
    return text if CODE.fullmatch(text) else ""
