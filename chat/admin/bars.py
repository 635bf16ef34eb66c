"""Numbers as a tired person reads them: tokens with their unit, and bars drawn 0 to 100 % of the window.

Bars are SVG with plain attributes: the content policy lets no inline style through. Ticks stand at 70 % and 80 %.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

NONE = "–"
SPACE = "\u00a0"
WIDTH, HEIGHT = 120, 10
TICKS = (0.7, 0.8)
HATCH = 3


def tokens(count: float | None) -> str:
    """78300 -> "78.3 k"; a dash for what nobody knows."""
    if count is None:
        return NONE
    size = abs(count)
    if size < 999.5:
        return f"{count:.0f}"
    return f"{count / 1000:.1f}{SPACE}k" if size < 999_950 else f"{count / 1_000_000:.2f}{SPACE}M"


def percent(share: float | None) -> str:
    """0.912 -> "91.2 %"."""
    return NONE if share is None else f"{share * 100:.1f}{SPACE}%"


def whole(share: float) -> str:
    """0.6 -> "60 %": for shares that somebody set."""
    return f"{share * 100:.0f}{SPACE}%"


def dollars(amount: Decimal | None) -> str:
    """16.8412 -> "$16.84"; small amounts with three decimals."""
    if amount is None:
        return NONE
    return f"${amount:.2f}" if amount >= 1 else f"${amount:.3f}"


def seconds(amount: float | None) -> str:
    """3.21 -> "3.2 s"."""
    return NONE if amount is None else f"{amount:,.1f}{SPACE}s"


def span(low: int, high: int) -> str:
    """A size that is exact, or "~41.0 to 46.0 k" where it is expected."""
    if low == high:
        return tokens(low)
    one, other = tokens(low), tokens(high)
    if one[-2:] == other[-2:]:
        one = one[:-2]
    return f"~{one} to {other}"


def short(session: UUID | str) -> str:
    """The first six digits of an id."""
    return str(session).replace("-", "")[:6]


def ago(at: datetime | None) -> str:
    """How long ago, in the largest unit: "12 min ago"."""
    if at is None:
        return NONE
    seconds = max(0, round((timezone.now() - at).total_seconds()))
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size}{SPACE}{word} ago"
    return f"{seconds}{SPACE}s ago"


def pressure(share: float | None) -> str:
    """The state word of a utilisation; colour never stands alone."""
    if share is None:
        return ""
    return "over the window" if share >= 1 else "full" if share >= 0.8 else "watch" if share >= 0.7 else ""


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of the window, 0 to 1: `before` light, `after` dark, `most` the end of the hatched range."""

    before: float | None
    after: float | None = None
    most: float | None = None

    def svg(self, label: str) -> SafeString:
        """The drawing, with its words for those who can't see it."""
        parts = [format_html('<rect class="room" width="{}" height="{}"></rect>', WIDTH, HEIGHT)]
        state = "full" if (self.before or 0) >= 0.8 else "watch" if (self.before or 0) >= 0.7 else "calm"
        kind = f"light {state}" if self.after is None else "light"
        parts.append(format_html('<rect class="{}" width="{}" height="{}"></rect>', kind, _at(self.before), HEIGHT))
        if self.after is not None:
            parts.append(format_html('<rect class="dark" width="{}" height="{}"></rect>', _at(self.after), HEIGHT))
            if self.most is not None and self.most > self.after:
                wide = max(1.0, _at(self.most) - _at(self.after))
                parts.append(
                    format_html(
                        '<rect class="range" x="{}" width="{}" height="{}"></rect>', _at(self.after), wide, HEIGHT
                    )
                )
                at = _at(self.after)
                while at < _at(self.most):
                    parts.append(format_html('<rect class="hatch" x="{}" width="1" height="{}"></rect>', at, HEIGHT))
                    at = round(at + HATCH, 1)
        for tick in TICKS:
            at = tick * WIDTH
            parts.append(format_html('<line class="tick" x1="{}" x2="{}" y1="0" y2="{}"></line>', at, at, HEIGHT))
        return format_html(
            '<svg class="fullness" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
            WIDTH, HEIGHT, WIDTH, HEIGHT, label, SafeString("".join(parts)),
        )  # fmt: skip


def fullness(share: float | None) -> SafeString:
    """A utilisation as bar, number and, where it presses, a word."""
    if share is None:
        return mark_safe('<span class="quiet">no calls yet</span>')
    word = pressure(share)
    bar = Bar(share).svg(f"{percent(share)} of the window")
    return format_html('{} <b class="figure">{}</b> <span class="state">{}</span>', bar, percent(share), word)


def _at(share: float | None) -> float:
    return round(min(1.0, max(0.0, share or 0.0)) * WIDTH, 1)
